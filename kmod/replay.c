// SPDX-License-Identifier: GPL-2.0
/* A twin follows the log, see replay.h.  All of it on the vCPU's thread. */
#include <linux/moduleparam.h>
#include <linux/xxhash.h>
#include "replay.h"

static uint stall_ms = 30000;
module_param(stall_ms, uint, 0644);
MODULE_PARM_DESC(stall_ms, "milliseconds that a twin may run without getting to the record that comes next, before it is said to have diverged; 0: for ever (30000)");

/* A vCPU's thread that was not heard for longer has not run: its host stood still. */
#define STALL_STEP_NS	(100 * NSEC_PER_MSEC)

/**
 * lockstep_replay_here - position and digest of where the vCPU is
 * @guest: at a stop, outside KVM_RUN
 * @rec:   out: @pos, @digest
 */
void lockstep_replay_here(struct lockstep_guest *guest, struct lockstep_rec *rec)
{
	struct lockstep_regs regs;

	lockstep_arch_regs_get(&guest->lv, &regs);
	rec->pos.count = guest->count;
	rec->pos.rip = regs.rip;
	rec->pos.rcx = regs.gpr[1];
	rec->digest = xxh64(&regs, sizeof(regs), guest->forced.counts);
}

/**
 * lockstep_diverge - what is here is not what the log says
 * @guest:    a twin, may sleep
 * @reason:   enum lockstep_divergence
 * @expected: of the log
 * @found:    here
 *
 * The state becomes DIVERGED, unless the twin is no twin any more. Returns
 * -EILSEQ.
 */
int lockstep_diverge(struct lockstep_guest *guest, u32 reason, u64 expected, u64 found)
{
	struct lockstep_rec here;

	lockstep_replay_here(guest, &here);
	mutex_lock(&guest->lock);
	guest->diverged = (struct lockstep_divergence_info){
		.reason = reason,
		.pos = here.pos,
		.lsn = guest->log.tail,
		.expected = expected,
		.found = found,
	};
	mutex_unlock(&guest->lock);
	pr_warn("lockstep: %s: diverged: reason %u at count %llu rip %llx lsn %llu: expected %llx, found %llx\n",
		guest->name, reason, here.pos.count, here.pos.rip, guest->log.tail, expected,
		found);
	lockstep_guest_event(guest, LOCKSTEP_EVENT_DIVERGED, NULL);
	return -EILSEQ;
}

/**
 * lockstep_replay_stalls - has this twin gone where its primary never was?
 * @guest: vCPU's thread of a twin, after an exit
 *
 * What differs is compared at the next record; a guest that differs by a loop without
 * stops never gets there.  Its primary came by, so it should, too, in about the time it
 * took the primary, which is that before the record was here.
 *
 * Returns true: lockstep_diverge() was called.
 */
bool lockstep_replay_stalls(struct lockstep_guest *guest)
{
	u64 now, ran, limit = (u64)READ_ONCE(stall_ms) * NSEC_PER_MSEC;
	struct lockstep_stall *stall = &guest->stall;
	struct lockstep_rec rec;

	if (stall->count != guest->count) {
		*stall = (struct lockstep_stall){ .count = guest->count };
		return false;
	}
	now = ktime_get_ns();
	ran = stall->then ? min_t(u64, now - stall->then, STALL_STEP_NS) : 0;
	stall->then = now;
	if (lockstep_log_peek(&guest->log, &rec)) {
		stall->free_ns += ran;
		return false;
	}
	stall->late_ns += ran;
	if (!limit || stall->late_ns <= limit + 4 * stall->free_ns)
		return false;
	lockstep_diverge(guest, LOCKSTEP_DIVERGENCE_STALL, rec.type,
			 div_u64(stall->late_ns, NSEC_PER_MSEC));
	return true;
}

static bool wait_over(struct lockstep_guest *guest, bool may_pass)
{
	u8 mode = READ_ONCE(guest->mode);

	if (lockstep_guest_is_over(guest) || lockstep_mode_lives(mode))
		return true;
	return mode == LOCKSTEP_VCPU_REPLAY &&
	       (lockstep_log_head(&guest->log) != guest->log.tail ||
		(may_pass && READ_ONCE(guest->horizon) > guest->count));
}

/**
 * lockstep_replay_wait - the next record, as soon as it is known
 * @guest:    a twin; may sleep
 * @rec:      out
 * @may_pass: knowing that there is none for this place is enough
 *
 * Returns enum lockstep_replay, -EINTR, -ESHUTDOWN (the instance is over), or
 * -EILSEQ (the log can't be read: diverged).
 */
int lockstep_replay_wait(struct lockstep_guest *guest, struct lockstep_rec *rec, bool may_pass)
{
	u64 horizon;
	int ret;

	for (;;) {
		if (lockstep_guest_is_over(guest))
			return -ESHUTDOWN;
		if (lockstep_mode_lives(READ_ONCE(guest->mode)))
			return LOCKSTEP_REPLAY_LIVE;
		if (READ_ONCE(guest->mode) == LOCKSTEP_VCPU_REPLAY) {
			/* before the look at head: a horizon comes after its records */
			horizon = smp_load_acquire(&guest->horizon);
			ret = lockstep_log_peek(&guest->log, rec);
			if (!ret)
				return LOCKSTEP_REPLAY_RECORD;
			if (ret != -EAGAIN)
				return lockstep_diverge(guest, LOCKSTEP_DIVERGENCE_LOG, 0,
							rec->type);
			if (may_pass && horizon > guest->count)
				return LOCKSTEP_REPLAY_AHEAD;
			if (READ_ONCE(guest->state) == LOCKSTEP_STATE_CONTEST_B)
				lockstep_guest_drained(guest);
		}
		if (wait_event_interruptible(guest->wq, wait_over(guest, may_pass)))
			return -EINTR;
	}
}

/**
 * lockstep_replay_pop - a record was consumed
 * @guest: a twin; may sleep
 * @rec:   the record at the tail
 */
void lockstep_replay_pop(struct lockstep_guest *guest, const struct lockstep_rec *rec)
{
	lockstep_log_pop_to(&guest->log, guest->log.tail + rec->size);
	guest->stats.records++;
	if (READ_ONCE(guest->state) == LOCKSTEP_STATE_CONTEST_B)
		lockstep_guest_drained(guest);
}

/**
 * lockstep_replay_match - is the vCPU where the record was made?
 * @guest: a twin at a stop, its count that of the record
 * @rec:   long record
 *
 * Returns 0, or -EILSEQ after a divergence.
 */
int lockstep_replay_match(struct lockstep_guest *guest, const struct lockstep_rec *rec)
{
	struct lockstep_rec here;

	lockstep_replay_here(guest, &here);
	if (rec->pos.count != here.pos.count)
		return lockstep_diverge(guest, LOCKSTEP_DIVERGENCE_POSITION, rec->pos.count,
					here.pos.count);
	if (rec->pos.rip != here.pos.rip)
		return lockstep_diverge(guest, LOCKSTEP_DIVERGENCE_RIP, rec->pos.rip,
					here.pos.rip);
	if (rec->pos.rcx != here.pos.rcx)
		return lockstep_diverge(guest, LOCKSTEP_DIVERGENCE_RIP, rec->pos.rcx,
					here.pos.rcx);
	if (rec->digest != here.digest)
		return lockstep_diverge(guest, LOCKSTEP_DIVERGENCE_REGISTERS, rec->digest,
					here.digest);
	return 0;
}

/**
 * lockstep_replay_expect - wait for a long record that belongs right here
 * @guest: a twin at a stop; may sleep
 * @type:  what the vCPU is doing here
 * @rec:   out
 *
 * Returns LOCKSTEP_REPLAY_RECORD, LOCKSTEP_REPLAY_LIVE, or as
 * lockstep_replay_wait(); -EILSEQ too when something else is here.
 */
int lockstep_replay_expect(struct lockstep_guest *guest, u8 type, struct lockstep_rec *rec)
{
	int ret = lockstep_replay_wait(guest, rec, false);

	if (ret != LOCKSTEP_REPLAY_RECORD)
		return ret;
	if (rec->type != type)
		return lockstep_diverge(guest, LOCKSTEP_DIVERGENCE_TYPE, rec->type, type);
	return lockstep_replay_match(guest, rec);
}

/**
 * lockstep_replay_clock - consume a clock record of the vCPU's RDTSC
 * @guest: a twin; any context of the vCPU's thread, interrupts off too
 * @ns:    out: the value
 * @stop:  out: back to the VMM after it
 *
 * Returns 0, -EAGAIN (nothing known yet), or -EILSEQ (something else is here;
 * the caller tells where it may sleep).
 */
int lockstep_replay_clock(struct lockstep_guest *guest, u64 *ns, bool *stop)
{
	struct lockstep_rec rec;
	int ret = lockstep_log_peek(&guest->log, &rec);

	if (ret)
		return ret == -EAGAIN ? ret : -EILSEQ;
	if (rec.type != LOCKSTEP_RECORD_TSC && rec.type != LOCKSTEP_RECORD_TSC_STOP)
		return -EILSEQ;
	WRITE_ONCE(guest->clock.last, guest->clock.last + rec.delta);
	*ns = guest->clock.last;
	*stop = rec.type == LOCKSTEP_RECORD_TSC_STOP;
	lockstep_log_pop_to(&guest->log, guest->log.tail + rec.size);
	guest->stats.records++;
	return 0;
}
