// SPDX-License-Identifier: GPL-2.0
/*
 * What comes from the other host through the daemon: log for a twin, acks for
 * a primary.  None of it is trusted; all of it belongs to one generation and one
 * peer instance, or is refused.
 */
#include <linux/string.h>
#include "guest.h"
#include "sender.h"

static bool from_peer(const struct lockstep_guest *guest, u64 generation, const u8 *peer)
{
	return generation == guest->generation && !memcmp(guest->peer, peer, LOCKSTEP_UUID_LEN);
}

/* Remember how far outputs go in what was appended behind @lsn. */
static void outputs_note(struct lockstep_guest *guest, u64 lsn)
{
	const struct lockstep_log *log = &guest->log;
	struct lockstep_output_rec output;
	struct lockstep_rec rec;

	for (; lsn != log->head; lsn += rec.size) {
		if (lockstep_record_get(lockstep_log_at(log, lsn), log->head - lsn, &rec))
			return;
		if (rec.type != LOCKSTEP_RECORD_OUTPUT)
			continue;
		memcpy(&output, rec.payload, sizeof(output));
		guest->fed[rec.unit] = max(guest->fed[rec.unit], le64_to_cpu(output.index));
	}
}

/* Nothing is released that the log did not make: the twin drops what it kept. */
static void released_take(struct lockstep_guest *guest, const struct lockstep_batch *batch)
{
	unsigned int i;

	for (i = 0; i < LOCKSTEP_STREAMS; i++) {
		u64 index = min(le64_to_cpu(batch->released[i]), guest->fed[i]);

		if (index > guest->released[i]) {
			guest->released[i] = index;
			WRITE_ONCE(guest->page->released[i], index);
		}
	}
}

/* Append what is new of a batch that was checked. */
static int feed_append(struct lockstep_guest *guest, const struct lockstep_batch *batch)
{
	struct lockstep_log *log = &guest->log;
	u64 lsn = le64_to_cpu(batch->lsn);
	u32 len = le32_to_cpu(batch->len);
	u64 skip;

	if (lsn > log->head)
		return -ERANGE;			/* a hole: ask again from head */
	skip = log->head - lsn;
	if (skip >= len)
		return 0;			/* all known (sent again) */
	if (!lockstep_log_has_room(log, len - skip))
		return -EAGAIN;
	memcpy(lockstep_log_end(log), (const u8 *)(batch + 1) + skip, len - skip);
	lockstep_log_push(log, len - skip);
	outputs_note(guest, log->head - (len - skip));
	return 0;
}

/**
 * lockstep_guest_feed - log for a twin
 * @guest:      process context
 * @generation: it belongs to
 * @peer:       instance that made it
 * @data:       a batch, foreign, aligned to 8
 * @len:        its bytes
 *
 * Returns 0 (acknowledge it); -EBADMSG, -EPROTO: no such batch; -ESTALE: not
 * ours to take; -ERANGE: something is missing before it; -EAGAIN: no room now,
 * an ack follows when there is.
 */
int lockstep_guest_feed(struct lockstep_guest *guest, u64 generation, const u8 *peer,
			const void *data, size_t len)
{
	const struct lockstep_batch *batch = data;
	u64 horizon;
	int ret;

	ret = lockstep_batch_check(data, len);
	if (ret)
		return ret;
	if (le16_to_cpu(batch->counter) != LOCKSTEP_COUNTER_STOPS &&
	    le16_to_cpu(batch->counter) != guest->forced.pmc.kind) {
		pr_warn_ratelimited("lockstep: %s: the log counts otherwise (%u) than this host (%u): load the module with the same counter= on both\n",
				    guest->name, le16_to_cpu(batch->counter),
				    guest->forced.pmc.kind);
		return -EPROTO;
	}
	mutex_lock(&guest->lock);
	if (guest->dead || !lockstep_state_rule(guest->state)->acks ||
	    !from_peer(guest, generation, peer)) {
		ret = -ESTALE;
		goto out;
	}
	ret = feed_append(guest, batch);
	if (ret) {
		guest->ack_due |= ret == -EAGAIN;
		goto out;
	}
	guest->stats.batches++;
	released_take(guest, batch);
	/* it speaks of what follows its records: good only up to our end */
	horizon = le64_to_cpu(batch->horizon);
	if (horizon > guest->horizon)
		smp_store_release(&guest->horizon, horizon);	/* after its records */
	if (wq_has_sleeper(&guest->wq))
		wake_up_all(&guest->wq);
out:
	mutex_unlock(&guest->lock);
	return ret;
}

/**
 * lockstep_guest_ack_fill - what this twin has
 * @guest: any context
 * @ack:   out
 */
void lockstep_guest_ack_fill(struct lockstep_guest *guest, struct lockstep_ack *ack)
{
	u64 tail = lockstep_log_tail(&guest->log);
	u64 head = READ_ONCE(guest->log.head);
	unsigned int i;

	memset(ack, 0, sizeof(*ack));
	ack->lsn = cpu_to_le64(head);
	ack->executed = cpu_to_le64(tail);
	ack->clock = cpu_to_le64(lockstep_clock_peek(&guest->clock));
	ack->room = cpu_to_le64(guest->log.size - (head - tail));
	for (i = 0; i < LOCKSTEP_STREAMS; i++)
		ack->released[i] = cpu_to_le64(READ_ONCE(guest->released[i]));
}

/*
 * Keep the lag bounded: above the limit the vCPU sleeps in proportion to what it runs,
 * more the further the twin is behind, until it has a quarter of its speed. Not less:
 * a twin that was kept from running for minutes is waited for by a guest that serves.
 * One slower than that fills the log, which is waited for.
 */
static u32 throttle_of(u64 lag, u64 limit)
{
	if (!limit || lag <= limit)
		return 0;
	return min_t(u64, div64_u64((lag - limit) * LOCKSTEP_THROTTLE_ONE, limit),
		     3 * LOCKSTEP_THROTTLE_ONE);
}

static void lag_take(struct lockstep_guest *guest, const struct lockstep_ack *ack)
{
	u64 now = lockstep_clock_peek(&guest->clock), then = le64_to_cpu(ack->clock);
	u64 lag;

	/* a twin that has consumed everything is not behind, however long ago */
	lag = guest->executed == READ_ONCE(guest->log.head) || now < then ? 0 : now - then;
	guest->stats.lag_ns = lag;
	guest->stats.lag_max_ns = max(guest->stats.lag_max_ns, lag);
	WRITE_ONCE(guest->throttle,
		   throttle_of(lag, (u64)READ_ONCE(guest->lag_limit_ms) * NSEC_PER_MSEC));
}

/*
 * Batches end at records' ends, and so do honest acks. An ack is at most one ring
 * ahead, so this walks what it frees, once.
 */
static bool boundary(const struct lockstep_guest *guest, u64 lsn)
{
	const struct lockstep_log *log = &guest->log;
	u64 at = log->tail, head = lockstep_log_head(log);
	struct lockstep_rec rec;

	while (at < lsn) {
		if (lockstep_record_get(lockstep_log_at(log, at), head - at, &rec))
			return false;
		at += rec.size;
	}
	return at == lsn || lsn < log->tail;
}

static int ack_check(const struct lockstep_guest *guest, const struct lockstep_ack *ack)
{
	u64 lsn = le64_to_cpu(ack->lsn), executed = le64_to_cpu(ack->executed);
	unsigned int i;

	if (lsn > lockstep_log_head(&guest->log) || executed > lsn)
		return -ERANGE;
	if (!boundary(guest, lsn))
		return -ERANGE;
	for (i = 0; i < LOCKSTEP_STREAMS; i++)
		if (le64_to_cpu(ack->released[i]) > lockstep_sender_released(guest, i))
			return -ERANGE;
	return 0;
}

/**
 * lockstep_guest_acked_set - outputs up to here may leave, the log is not needed
 * @guest: a side that lives; its lock is held
 * @lsn:   a record's boundary
 */
void lockstep_guest_acked_set(struct lockstep_guest *guest, u64 lsn)
{
	lockdep_assert_held(&guest->lock);
	guest->acked = lsn;
	WRITE_ONCE(guest->page->acked, lsn);
	lockstep_log_pop_to(&guest->log, lsn);
	lockstep_gate_acked(&guest->gate, lsn, guest->acked_released[LOCKSTEP_STREAM_NET]);
}

static void ack_take(struct lockstep_guest *guest, const struct lockstep_ack *ack)
{
	u64 lsn = le64_to_cpu(ack->lsn);
	unsigned int i;

	for (i = 0; i < LOCKSTEP_STREAMS; i++) {
		u64 index = le64_to_cpu(ack->released[i]);

		if (index > guest->acked_released[i]) {
			guest->acked_released[i] = index;
			WRITE_ONCE(guest->page->released[i], index);
		}
	}
	if (lsn > guest->acked)
		lockstep_guest_acked_set(guest, lsn);
	guest->executed = max(guest->executed, le64_to_cpu(ack->executed));
	guest->stats.acks++;
	lag_take(guest, ack);
}

/**
 * lockstep_guest_ack - the backup's module acknowledges
 * @guest:      process context
 * @generation: it belongs to
 * @peer:       instance that acknowledges
 * @ack:        foreign data
 *
 * Returns 0; -ESTALE when it is not from our backup or does not count any more
 * (a contest); -ERANGE when it acknowledges what was never made.
 */
int lockstep_guest_ack(struct lockstep_guest *guest, u64 generation, const u8 *peer,
		       const struct lockstep_ack *ack)
{
	bool draining;
	int ret;

	mutex_lock(&guest->lock);
	if (guest->dead || !lockstep_state_rule(guest->state)->logs ||
	    guest->state == LOCKSTEP_STATE_CONTEST_P || !from_peer(guest, generation, peer)) {
		ret = -ESTALE;
		goto out;
	}
	ret = ack_check(guest, ack);
	if (ret)
		goto out;
	ack_take(guest, ack);
	/* not only on progress: the bound on duplicates moves with every ack */
	lockstep_gate_acked(&guest->gate, guest->acked,
			    guest->acked_released[LOCKSTEP_STREAM_NET]);
	lockstep_sender_released_look(guest);
	if (wq_has_sleeper(&guest->wq))
		wake_up_all(&guest->wq);
	lockstep_guest_notify(guest);
out:
	draining = !ret && lockstep_guest_is_draining(guest);
	mutex_unlock(&guest->lock);
	if (draining)
		lockstep_guest_drained(guest);
	return ret;
}

/**
 * lockstep_guest_released - the VMM handed over part of a byte stream
 * @guest:  process context
 * @stream: LOCKSTEP_STREAM_SERIAL or LOCKSTEP_STREAM_CONSOLE, checked
 * @index:  offset behind the last byte
 */
void lockstep_guest_released(struct lockstep_guest *guest, u32 stream, u64 index)
{
	mutex_lock(&guest->lock);
	if (index > guest->released[stream] && index <= READ_ONCE(guest->made[stream]) &&
	    !lockstep_state_rule(guest->state)->acks)
		WRITE_ONCE(guest->released[stream], index);
	mutex_unlock(&guest->lock);
	if (lockstep_guest_is_draining(guest))
		lockstep_guest_drained(guest);
}
