// SPDX-License-Identifier: GPL-2.0
/*
 * What the hooks do with our vCPUs: clock reads and parking
 *
 * The order of clock records in the log is their position: no counter is read.
 * The fast path runs with interrupts off between an exit and the next entry; it
 * answers from or into the log and enters again.  Whatever it can't do there
 * (no room, nothing known, a divergence, parked, single step) is left to
 * lockstep_vcpu_exit(), where the thread may sleep.
 */
#include <linux/entry-kvm.h>
#include <linux/sched/signal.h>
#include "forced.h"
#include "replay.h"
#include "sender.h"
#include "vcpu.h"

/* Of a guest that is slowed down: sleeps are not shorter, and not for more than it has run. */
#define THROTTLE_LEAST_NS	(500 * NSEC_PER_USEC)
#define THROTTLE_RUN_NS		(10 * NSEC_PER_MSEC)

static inline struct lockstep_guest *guest_of(struct lockstep_vcpu *lv)
{
	return container_of(lv, struct lockstep_guest, lv);
}

/* The page is the VMM's own: any answer is safe. */
static inline bool vmm_wants(const struct lockstep_guest *guest, u64 now)
{
	return READ_ONCE(guest->page->kick) || now >= READ_ONCE(guest->page->deadline);
}

/**
 * lockstep_vcpu_is_wanted - does the VMM want the vCPU back?
 * @guest: a side that lives; any context
 */
bool lockstep_vcpu_is_wanted(const struct lockstep_guest *guest)
{
	return vmm_wants(guest, lockstep_clock_peek(&guest->clock));
}

/* A twin: nothing is to happen before the next stop, or it may not be known. */
static inline bool twin_is_free(const struct lockstep_guest *guest)
{
	const struct lockstep_log *log = &guest->log;
	/* before the look at head: a horizon comes after its records */
	u64 horizon = smp_load_acquire(&guest->horizon);

	if (lockstep_log_head(log) != log->tail)
		return *lockstep_log_at(log, log->tail) != LOCKSTEP_RECORD_FORCED;
	return horizon > guest->count;
}

/* See lockstep_vcpu_clock_log(); inlined where each instruction counts. */
static __always_inline int clock_log(struct lockstep_guest *guest, u8 mode, u8 type, u64 *ns,
				     bool *stop)
{
	bool log = mode == LOCKSTEP_VCPU_LOG;
	u64 now;

	if (log && !lockstep_log_has_room(&guest->log, LOCKSTEP_SHORT_MAX))
		return -ENOSPC;
	lockstep_clock_start(&guest->clock);
	now = lockstep_clock_peek(&guest->clock);
	*stop = type == LOCKSTEP_RECORD_TSC && vmm_wants(guest, now);
	if (log) {
		lockstep_log_push(&guest->log,
				  lockstep_record_short_put(lockstep_log_end(&guest->log),
							    *stop ? LOCKSTEP_RECORD_TSC_STOP : type,
							    now - guest->clock.last));
		guest->stats.records++;
	}
	WRITE_ONCE(guest->clock.last, now);
	*ns = now;
	return 0;
}

/**
 * lockstep_vcpu_clock_log - take a clock value on a live side, and log it
 * @guest: vCPU's thread, any context
 * @type:  LOCKSTEP_RECORD_TSC or LOCKSTEP_RECORD_CLOCK
 * @ns:    out
 * @stop:  out: a TSC read that goes back to the VMM
 *
 * Returns 0, or -ENOSPC when the log is full.
 */
int lockstep_vcpu_clock_log(struct lockstep_guest *guest, u8 type, u64 *ns, bool *stop)
{
	return clock_log(guest, READ_ONCE(guest->mode), type, ns, stop);
}

/* One RDTSC. 0: answered; -errno: not here. */
static __always_inline int tsc_value(struct lockstep_guest *guest, u8 mode, u64 *ns, bool *stop)
{
	int ret;

	switch (mode) {
	case LOCKSTEP_VCPU_LOG:		/* on its own: what does not concern it is left out */
		ret = clock_log(guest, LOCKSTEP_VCPU_LOG, LOCKSTEP_RECORD_TSC, ns, stop);
		break;
	case LOCKSTEP_VCPU_RUN:
		ret = clock_log(guest, LOCKSTEP_VCPU_RUN, LOCKSTEP_RECORD_TSC, ns, stop);
		break;
	case LOCKSTEP_VCPU_REPLAY:
		ret = lockstep_replay_clock(guest, ns, stop);
		break;
	default:
		ret = -EAGAIN;
	}
	if (ret)
		return ret;
	/* the twin's VMM is to hear of GO_LIVE at once */
	if (mode != LOCKSTEP_VCPU_LOG && READ_ONCE(guest->state) == LOCKSTEP_STATE_LIVE)
		*stop = true;
	guest->stats.tsc++;
	smp_store_release(&guest->count, guest->count + 1);	/* after the record */
	if (unlikely(lockstep_forced_compares))
		lockstep_forced_count_compare(guest);
	if (mode == LOCKSTEP_VCPU_REPLAY)
		guest->forced.known = twin_is_free(guest);
	return 0;
}

static inline bool twin_is_guided(const struct lockstep_guest *guest, u8 mode)
{
	return mode == LOCKSTEP_VCPU_REPLAY && (!guest->forced.known || guest->forced.target);
}

static __always_inline fastpath_t enter_guest(struct lockstep_guest *guest, u8 mode, bool debugs,
					      u64 run_flags)
{
	fastpath_t fastpath;
	u64 deadline;

	if (unlikely(twin_is_guided(guest, mode)))
		return lockstep_forced_run(guest, run_flags);
	deadline = READ_ONCE(guest->page->deadline);
	if (unlikely(deadline != guest->forced.deadline) && lockstep_mode_lives(mode))
		lockstep_forced_deadline_set(guest, deadline);
	fastpath = lockstep_hook_run_orig(guest->lv.vcpu, run_flags);
	if (unlikely(debugs))
		lockstep_forced_debugged(guest);
	return fastpath;
}

/*
 * May the guest be entered again from here?  KVM would say yes too: it asks this between
 * two entries (kvm_vcpu_exit_request()).  Without an interrupt controller in the kernel
 * it does nothing else there.
 */
static inline bool may_enter_again(struct lockstep_guest *guest)
{
	struct kvm_vcpu *vcpu = guest->lv.vcpu;

	return vcpu->mode != EXITING_GUEST_MODE && !kvm_request_pending(vcpu) &&
	       !xfer_to_guest_mode_work_pending();
}

/* Enter the guest, and again as long as it only reads the clock. */
static fastpath_t run_and_answer(struct lockstep_guest *guest, u8 mode, u64 run_flags)
{
	struct lockstep_vcpu *lv = &guest->lv;
	enum lockstep_tsc_exit which;
	fastpath_t fastpath;
	bool debugs, stop;
	u64 ns;

	/* only an exit that ends this loop changes debug registers, and tsc_fast sees a step */
	debugs = mode == LOCKSTEP_VCPU_LOG && lockstep_forced_may_come(guest) &&
		 !lockstep_arch_debug_free(lv);
	do {
		fastpath = enter_guest(guest, mode, debugs, run_flags);
		if (fastpath != EXIT_FASTPATH_NONE)
			return fastpath;
		which = lockstep_arch_tsc_fast(lv);
		if (which == LOCKSTEP_TSC_NONE)
			return fastpath;
		/* it may have changed while the guest ran */
		if (unlikely(READ_ONCE(guest->mode) != mode) || tsc_value(guest, mode, &ns, &stop))
			return fastpath;
		lockstep_arch_tsc_finish(lv, which, ns);
		if (stop) {
			guest->stopping = true;
			return EXIT_FASTPATH_EXIT_HANDLED;
		}
		/* what comes next has to be known, or prepared for, where one may sleep */
		if (unlikely(twin_is_guided(guest, mode)))
			return EXIT_FASTPATH_EXIT_HANDLED;
		run_flags = 0;		/* as KVM: they were for the first */
		guest->lv.vcpu->stat.exits++;
	} while (may_enter_again(guest));
	return EXIT_FASTPATH_REENTER_GUEST;
}

/**
 * lockstep_vcpu_run - around every entry of one of our vCPUs, interrupts off
 * @lv:        the vCPU
 * @run_flags: KVM's
 */
fastpath_t lockstep_vcpu_run(struct lockstep_vcpu *lv, u64 run_flags)
{
	struct lockstep_guest *guest = guest_of(lv);
	u8 mode = READ_ONCE(guest->mode);

	smp_store_release(&guest->at_stop, false);	/* after the inputs of the stop */
	lockstep_arch_vcpu_enter(lv);
	/*
	 * Parked, or kicked while it was not yet counted as in the guest: let KVM deliver
	 * what it has injected, run nothing.
	 */
	if (unlikely(mode == LOCKSTEP_VCPU_PARK || guest->stopping ||
		     (READ_ONCE(guest->forced.due) && lockstep_mode_lives(mode))))
		return lockstep_hook_run_orig(lv->vcpu, run_flags | KVM_RUN_FORCE_IMMEDIATE_EXIT);
	return run_and_answer(guest, mode, run_flags);
}

static int back_to_user(struct lockstep_guest *guest, int ret)
{
	guest->lv.vcpu->run->exit_reason = KVM_EXIT_INTR;
	return ret;
}

/**
 * lockstep_vcpu_park - sleep while parked
 * @guest: vCPU's thread, with nothing that it has made on its way
 *
 * Returns 0: look again, after a second at the latest; or -EINTR.
 */
int lockstep_vcpu_park(struct lockstep_guest *guest)
{
	lockstep_guest_rest(guest);
	return wait_event_interruptible_timeout(guest->wq, lockstep_guest_is_over(guest) ||
						READ_ONCE(guest->mode) != LOCKSTEP_VCPU_PARK ||
						!READ_ONCE(guest->at_rest), HZ) < 0 ? -EINTR : 0;
}

/**
 * lockstep_vcpu_wait_unparked - sleep as long as parked
 * @guest: as above
 *
 * Returns the mode that holds then, -EINTR or -ESHUTDOWN.
 */
int lockstep_vcpu_wait_unparked(struct lockstep_guest *guest)
{
	u8 mode;

	while ((mode = READ_ONCE(guest->mode)) == LOCKSTEP_VCPU_PARK &&
	       !lockstep_guest_is_over(guest))
		if (lockstep_vcpu_park(guest))
			return -EINTR;
	return lockstep_guest_is_over(guest) ? -ESHUTDOWN : mode;
}

static int sleep_for(struct lockstep_guest *guest, bool full)
{
	struct kvm_vcpu *vcpu = guest->lv.vcpu;
	struct lockstep_rec rec;
	int ret = 0;

	kvm_vcpu_srcu_read_unlock(vcpu);	/* do not stall memslot updates */
	if (full)
		ret = lockstep_vcpu_room_wait(guest, LOCKSTEP_SHORT_MAX);
	else if (READ_ONCE(guest->mode) == LOCKSTEP_VCPU_REPLAY)
		ret = lockstep_replay_wait(guest, &rec, false);
	else
		ret = lockstep_vcpu_wait_unparked(guest);
	kvm_vcpu_srcu_read_lock(vcpu);
	return ret < 0 ? ret : 0;
}

/* A clock read that the fast path left: answer it, or leave it undone (-EINTR). */
static int tsc_slow(struct lockstep_guest *guest, enum lockstep_tsc_exit which)
{
	struct lockstep_rec rec;
	bool stop = false;
	u64 ns;
	int ret;

	lockstep_hook_exit_orig(guest->lv.vcpu, EXIT_FASTPATH_EXIT_HANDLED);
	while ((ret = tsc_value(guest, READ_ONCE(guest->mode), &ns, &stop))) {
		if (lockstep_guest_is_over(guest))
			return back_to_user(guest, -EINTR);
		if (ret == -EILSEQ) {
			if (lockstep_log_peek(&guest->log, &rec))
				rec.type = 0;
			lockstep_diverge(guest, LOCKSTEP_DIVERGENCE_TYPE, rec.type,
					 LOCKSTEP_RECORD_TSC);
		}
		if (sleep_for(guest, ret == -ENOSPC))
			return back_to_user(guest, -EINTR);
	}
	lockstep_arch_tsc_answer(&guest->lv, which, ns);
	ret = lockstep_arch_tsc_skip(&guest->lv);
	if (ret > 0 && stop)
		return back_to_user(guest, 0);
	/* single step: the trap goes first, the stop is due at the next entry */
	return ret;
}

/**
 * lockstep_vcpu_throttle - sleep for what it has run, if the twin is too far behind
 * @guest: vCPU's thread, may sleep
 */
void lockstep_vcpu_throttle(struct lockstep_guest *guest)
{
	u32 throttle = READ_ONCE(guest->throttle);
	u64 now, owed;
	ktime_t to;

	if (likely(!throttle) || READ_ONCE(guest->mode) != LOCKSTEP_VCPU_LOG)
		return;
	now = ktime_get_ns();
	owed = min_t(u64, now - guest->throttled_at, THROTTLE_RUN_NS) * throttle /
	       LOCKSTEP_THROTTLE_ONE;
	if (owed < THROTTLE_LEAST_NS)
		return;
	to = ns_to_ktime(owed);
	set_current_state(TASK_INTERRUPTIBLE);
	schedule_hrtimeout(&to, HRTIMER_MODE_REL);
	guest->throttled_at = ktime_get_ns();
	guest->stats.throttle_ns += guest->throttled_at - now;
}

/* A twin that does not know what comes before the next stop waits for it. */
static int twin_look(struct lockstep_guest *guest)
{
	struct kvm_vcpu *vcpu = guest->lv.vcpu;
	struct lockstep_rec rec;
	int ret;

	kvm_vcpu_srcu_read_unlock(vcpu);
	ret = lockstep_replay_wait(guest, &rec, true);
	if (ret == LOCKSTEP_REPLAY_RECORD)
		ret = lockstep_forced_look(guest, &rec);
	else if (ret == LOCKSTEP_REPLAY_AHEAD)
		ret = lockstep_forced_look(guest, NULL);
	kvm_vcpu_srcu_read_lock(vcpu);
	return ret < 0 ? ret : 0;
}

/**
 * lockstep_vcpu_exit - after an exit that left the entry loop; may sleep
 * @lv:       the vCPU
 * @fastpath: what lockstep_vcpu_run() returned
 */
int lockstep_vcpu_exit(struct lockstep_vcpu *lv, fastpath_t fastpath)
{
	struct lockstep_guest *guest = guest_of(lv);
	enum lockstep_tsc_exit which = LOCKSTEP_TSC_NONE;
	int ret;

	if (guest->stopping) {
		guest->stopping = false;
		ret = lockstep_hook_exit_orig(lv->vcpu, EXIT_FASTPATH_EXIT_HANDLED);
		return ret > 0 ? back_to_user(guest, 0) : ret;
	}
	if (unlikely(guest->forced.reached || guest->forced.passed)) {
		ret = lockstep_hook_exit_orig(lv->vcpu, EXIT_FASTPATH_EXIT_HANDLED);
		return ret > 0 ? back_to_user(guest, lockstep_forced_arrive(guest) ? -EINTR : 0) :
				 ret;
	}
	if (fastpath == EXIT_FASTPATH_NONE)
		which = lockstep_arch_tsc_exit(lv);
	if (which != LOCKSTEP_TSC_NONE)
		ret = tsc_slow(guest, which);
	else
		ret = lockstep_hook_exit_orig(lv->vcpu, fastpath);
	if (ret <= 0)
		return ret;
	if (unlikely(READ_ONCE(guest->mode) == LOCKSTEP_VCPU_PARK) && sleep_for(guest, false))
		return back_to_user(guest, -EINTR);
	if (unlikely(READ_ONCE(guest->mode) == LOCKSTEP_VCPU_REPLAY && !guest->forced.known) &&
	    twin_look(guest))
		return back_to_user(guest, -EINTR);
	if (unlikely(READ_ONCE(guest->mode) == LOCKSTEP_VCPU_REPLAY) &&
	    lockstep_replay_stalls(guest))
		return back_to_user(guest, -EINTR);
	/* over, or live: the VMM is to hear of it before the guest's next stop */
	if (lockstep_guest_is_over(guest) ||
	    unlikely(READ_ONCE(guest->state) == LOCKSTEP_STATE_LIVE && !guest->told_live))
		return back_to_user(guest, -EINTR);
	if (unlikely(READ_ONCE(guest->forced.due)) && lockstep_forced_take(guest))
		return back_to_user(guest, 0);
	if (unlikely(READ_ONCE(guest->throttle))) {
		kvm_vcpu_srcu_read_unlock(lv->vcpu);
		lockstep_vcpu_throttle(guest);
		kvm_vcpu_srcu_read_lock(lv->vcpu);
	}
	/* the fast path may have consumed the last record */
	if (unlikely(READ_ONCE(guest->state) == LOCKSTEP_STATE_CONTEST_B))
		lockstep_guest_drained(guest);
	return ret;
}

static bool room_or_change(struct lockstep_guest *guest, u32 len)
{
	return READ_ONCE(guest->mode) != LOCKSTEP_VCPU_LOG ||
	       lockstep_log_has_room(&guest->log, len) || lockstep_guest_is_over(guest);
}

/**
 * lockstep_vcpu_room_wait - sleep while the log has no room
 * @guest: vCPU's thread
 * @len:   bytes to append
 *
 * Also ends when the vCPU is to do something else. Returns 0 or -EINTR.
 */
int lockstep_vcpu_room_wait(struct lockstep_guest *guest, u32 len)
{
	int ret;

	guest->stats.log_full++;
	lockstep_guest_log_full(guest, true);
	lockstep_sender_flush(guest);
	ret = wait_event_interruptible(guest->wq, room_or_change(guest, len));
	lockstep_guest_log_full(guest, false);
	return ret ? -EINTR : 0;
}
