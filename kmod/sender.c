// SPDX-License-Identifier: GPL-2.0
/*
 * The sender: one kthread per guest
 *
 * On a primary it takes batches off the log and hands them to the daemon's
 * socket with a blocking netlink_unicast(): a slow reader stalls the sender, a
 * full log then parks the vCPU, nothing is lost.  On a twin it sends the acks
 * that could not be sent with the reply to a feed, and tells of progress.
 *
 * An output asks for a flush; clock reads and progress alone go at least every
 * FLUSH_NS while the guest runs.
 */
#include <linux/kthread.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <net/netlink.h>
#include "forced.h"
#include "netlink.h"
#include "sender.h"

/* Records of a batch: with heads it fits into one allocation of order 3. */
#define BATCH_BYTES	(28U << 10)
#define FLUSH_NS	(8 * NSEC_PER_MSEC)
#define IDLE_NS		(20 * NSEC_PER_MSEC)

/**
 * lockstep_sender_released - index of the last output handed to the outside
 * @guest:  any context
 * @stream: below LOCKSTEP_STREAMS
 */
u64 lockstep_sender_released(const struct lockstep_guest *guest, unsigned int stream)
{
	return stream == LOCKSTEP_STREAM_NET ? lockstep_gate_released(&guest->gate) :
					       READ_ONCE(guest->released[stream]);
}

/*
 * RELEASED costs a message there and back: sent at once only when half the
 * bound on duplicates is used up, with the next batch otherwise.
 */
void lockstep_sender_released_look(struct lockstep_guest *guest)
{
	u64 released = lockstep_gate_released(&guest->gate);
	u64 unknown = released - min(released, guest->acked_released[LOCKSTEP_STREAM_NET]);

	guest->stats.duplicates_max = max(guest->stats.duplicates_max, unknown);
	if (unknown > LOCKSTEP_DUPLICATES_MAX / 2)
		lockstep_sender_flush(guest);
}

static bool released_news(const struct lockstep_guest *guest)
{
	unsigned int i;

	for (i = 0; i < LOCKSTEP_STREAMS; i++)
		if (lockstep_sender_released(guest, i) != guest->sent_released[i])
			return true;
	return false;
}

/*
 * The count below which no input will be added to the log, nor a forced position.
 * Where there are none of those, a vCPU that has left its last stop takes no input
 * there any more, however long it computes.  The count is read first: with a newer
 * one, at_stop speaks of that stop or a later.
 */
static u64 horizon_now(const struct lockstep_guest *guest)
{
	u64 count = smp_load_acquire(&guest->count);	/* pairs with its increments */

	if (lockstep_forced_may_come(guest))
		return count;
	/* pairs with lockstep_vcpu_run(): after the inputs of the stop */
	return smp_load_acquire(&guest->at_stop) ? count : count + 1;
}

/* Is there anything that the last batch did not say? */
static bool primary_news(const struct lockstep_guest *guest)
{
	return READ_ONCE(guest->log.head) != guest->log.sent ||
	       horizon_now(guest) != guest->sent_horizon || released_news(guest);
}

static bool may_send(const struct lockstep_guest *guest)
{
	return READ_ONCE(guest->portid) && !READ_ONCE(guest->dead) &&
	       lockstep_state_rule(READ_ONCE(guest->state))->logs;
}

static bool may_ack(const struct lockstep_guest *guest)
{
	return READ_ONCE(guest->portid) && !READ_ONCE(guest->dead) &&
	       lockstep_state_rule(READ_ONCE(guest->state))->acks;
}

static void batch_fill(struct lockstep_guest *guest, struct lockstep_batch *batch)
{
	struct lockstep_log *log = &guest->log;
	/* first: all inputs below it are in the log behind this read */
	u64 horizon = horizon_now(guest);
	u64 head = lockstep_log_head(log);
	size_t len = lockstep_record_fit(lockstep_log_at(log, log->sent), head - log->sent,
					 BATCH_BYTES);
	unsigned int i;

	if (log->sent + len != head)
		horizon = guest->sent_horizon;
	memset(batch, 0, sizeof(*batch));
	batch->magic = cpu_to_le32(LOCKSTEP_BATCH_MAGIC);
	batch->version = cpu_to_le16(LOCKSTEP_ABI_VERSION);
	batch->counter = cpu_to_le16(guest->forced.pmc.kind);
	batch->len = cpu_to_le32(len);
	batch->lsn = cpu_to_le64(log->sent);
	batch->horizon = cpu_to_le64(horizon);
	batch->clock = cpu_to_le64(lockstep_clock_peek(&guest->clock));
	for (i = 0; i < LOCKSTEP_STREAMS; i++) {
		guest->sent_released[i] = lockstep_sender_released(guest, i);
		batch->released[i] = cpu_to_le64(guest->sent_released[i]);
	}
	memcpy(batch + 1, lockstep_log_at(log, log->sent), len);
	guest->sent_horizon = horizon;
	lockstep_batch_seal(batch);
}

/* One batch. Returns 0, or -errno of the socket. */
static int primary_send(struct lockstep_guest *guest, struct lockstep_batch *batch)
{
	u32 len, portid;
	u64 lsn;
	int ret;

	mutex_lock(&guest->send_lock);
	/* a backup may acknowledge what a rewind was to send again */
	lsn = max(guest->log.sent, lockstep_log_tail(&guest->log));
	guest->log.sent = lsn;
	batch_fill(guest, batch);
	if (!may_send(guest) || lockstep_log_tail(&guest->log) > lsn) {
		/* overtaken by an ack: the bytes taken may be new ones */
		mutex_unlock(&guest->send_lock);
		return may_send(guest) ? 0 : -ENOTCONN;
	}
	len = le32_to_cpu(batch->len);
	guest->log.sent += len;
	guest->stats.batches++;
	portid = READ_ONCE(guest->portid);
	mutex_unlock(&guest->send_lock);

	/* unlocked: a stalled reader must not stop a rewind */
	ret = lockstep_netlink_log_send(guest, portid, batch, sizeof(*batch) + len);
	if (!ret)
		return 0;
	mutex_lock(&guest->send_lock);
	if (guest->log.sent == lsn + len) {
		guest->log.sent = lsn;		/* no memory, or nobody there: again later */
		guest->sent_horizon = 0;
	}
	mutex_unlock(&guest->send_lock);
	return ret;
}

static void primary_drain(struct lockstep_guest *guest, struct lockstep_batch *batch)
{
	while (!kthread_should_stop() && may_send(guest) && primary_news(guest))
		if (primary_send(guest, batch) || signal_pending(current))
			break;
}

static void twin_ack(struct lockstep_guest *guest, u64 *told)
{
	u64 tail = lockstep_log_tail(&guest->log);

	if (!READ_ONCE(guest->ack_due) && tail == *told)
		return;
	WRITE_ONCE(guest->ack_due, false);
	*told = tail;
	lockstep_netlink_ack_send(guest, READ_ONCE(guest->portid), true);
}

static int sender(void *data)
{
	struct lockstep_guest *guest = data;
	struct lockstep_batch *batch = guest->batch;
	u64 told = 0;

	allow_signal(SIGTERM);		/* the way out of a blocking netlink_unicast() */
	while (!kthread_should_stop()) {
		bool busy;

		/* Somebody's, or that of lockstep_sender_stop(): then the guest is dead and
		 * nothing below blocks. Left pending, it would end every sleep at once.
		 */
		if (signal_pending(current))
			flush_signals(current);
		busy = may_send(guest) ? READ_ONCE(guest->mode) == LOCKSTEP_VCPU_LOG :
					 may_ack(guest);
		wait_event_interruptible_hrtimeout(guest->send_wq,
						   READ_ONCE(guest->flush) || kthread_should_stop(),
						   ns_to_ktime(busy ? FLUSH_NS : IDLE_NS));
		WRITE_ONCE(guest->flush, false);
		if (may_send(guest))
			primary_drain(guest, batch);
		else if (may_ack(guest))
			twin_ack(guest, &told);
	}
	return 0;
}

/**
 * lockstep_sender_start - start the thread
 * @guest: being attached
 *
 * Returns 0 or -errno.
 */
int lockstep_sender_start(struct lockstep_guest *guest)
{
	struct task_struct *task;

	guest->batch = kvmalloc(sizeof(*guest->batch) + LOCKSTEP_BATCH_MAX, GFP_KERNEL);
	if (!guest->batch)
		return -ENOMEM;
	task = kthread_create(sender, guest, "lockstep/%s", guest->name);
	if (IS_ERR(task)) {
		kvfree(guest->batch);
		return PTR_ERR(task);
	}
	guest->sender = get_task_struct(task);
	wake_up_process(task);
	return 0;
}

/**
 * lockstep_sender_stop - end the thread, whatever it waits for
 * @guest: being detached, @dead is set, or nobody can be bound to it yet: nothing is
 *	   sent any more, so the signal ends a send that blocks for good
 */
void lockstep_sender_stop(struct lockstep_guest *guest)
{
	if (!guest->sender)
		return;
	send_sig(SIGTERM, guest->sender, 1);
	kthread_stop(guest->sender);
	put_task_struct(guest->sender);
	guest->sender = NULL;
	kvfree(guest->batch);
}

/**
 * lockstep_sender_rewind - send the log again from an earlier place
 * @guest: process context
 * @lsn:   the backup's contiguous LSN: a record's boundary that we still hold
 *
 * Returns 0, or -ERANGE: that is not in the log.
 */
int lockstep_sender_rewind(struct lockstep_guest *guest, u64 lsn)
{
	struct lockstep_rec rec;
	int ret = 0;
	u64 at;

	/* guest->lock keeps acks, and so tail, where they are */
	mutex_lock(&guest->lock);
	mutex_lock(&guest->send_lock);
	at = guest->log.tail;
	if (lsn < at || lsn > guest->log.sent)
		ret = -ERANGE;
	while (!ret && at < lsn) {
		ret = lockstep_record_get(lockstep_log_at(&guest->log, at),
					  guest->log.sent - at, &rec);
		at += ret ? 0 : rec.size;
	}
	if (!ret && at != lsn)
		ret = -ERANGE;
	if (!ret) {
		guest->log.sent = lsn;
		guest->sent_horizon = 0;
		memset(guest->sent_released, 0xff, sizeof(guest->sent_released));
	}
	mutex_unlock(&guest->send_lock);
	mutex_unlock(&guest->lock);
	lockstep_sender_flush(guest);
	return ret;
}
