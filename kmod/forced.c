// SPDX-License-Identifier: GPL-2.0
/* Forced positions, see forced.h. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/minmax.h>
#include <linux/moduleparam.h>
#include <linux/string.h>
#include <linux/xxhash.h>
#include "forced.h"
#include "guest.h"
#include "replay.h"
#include "vcpu.h"

#define HOLD_US_MAX	100000

static uint hold_us = 100;

static int hold_us_set(const char *val, const struct kernel_param *kp)
{
	return param_set_uint_minmax(val, kp, 0, HOLD_US_MAX);
}

static const struct kernel_param_ops hold_us_ops = {
	.set = hold_us_set,
	.get = param_get_uint,
};
module_param_cb(hold_us, &hold_us_ops, &hold_us, 0644);
MODULE_PARM_DESC(hold_us, "microseconds that an input waits for the guest's next exit before a position is forced, 0 to 100000 (100): fewer positions are less work for the twin");

bool lockstep_forced_compares __read_mostly;
module_param_named(compare_counts, lockstep_forced_compares, bool, 0444);
MODULE_PARM_DESC(compare_counts, "digests of records cover what the counter said at each stop and clock read so far, so that a twin that counts otherwise once diverges; both hosts need the same (N)");

/* A place that could not be logged is left at the next exit, or after so long. */
#define AGAIN_NS	(20 * NSEC_PER_USEC)

/* Never nothing: a guest is to get on between two stops. */
static u64 hold_ns(void)
{
	return max_t(u64, (u64)READ_ONCE(hold_us) * NSEC_PER_USEC, AGAIN_NS);
}

static struct lockstep_guest *guest_of(struct lockstep_forced *forced)
{
	return container_of(forced, struct lockstep_guest, forced);
}

static enum hrtimer_restart is_due(struct lockstep_forced *forced)
{
	smp_store_release(&forced->due, true);	/* after what made it due */
	lockstep_hook_kick(guest_of(forced)->lv.vcpu);
	return HRTIMER_NORESTART;
}

static enum hrtimer_restart deadline_due(struct hrtimer *timer)
{
	return is_due(container_of(timer, struct lockstep_forced, deadline_timer));
}

static enum hrtimer_restart kick_due(struct hrtimer *timer)
{
	struct lockstep_forced *forced = container_of(timer, struct lockstep_forced, kick_timer);

	WRITE_ONCE(forced->kicked, false);	/* before @due: a kick that finds it set is covered */
	return is_due(forced);
}

/* What comes behind this makes it due again: the VMM's page is looked at after it. */
static void due_clear(struct lockstep_forced *forced)
{
	smp_store_mb(forced->due, false);	/* before the look at the page */
}

/* The deadline that made it due may be one that was heard too early: have its timer set anew. */
static void deadline_forget(struct lockstep_forced *forced)
{
	forced->deadline = ~0ULL;
}

static void timer_init(struct hrtimer *timer, enum hrtimer_restart (*fn)(struct hrtimer *))
{
	lockstep_hrtimer_setup(timer, fn, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
}

static void again_in(struct lockstep_forced *forced, u64 ns)
{
	hrtimer_start(&forced->kick_timer, ns_to_ktime(ktime_get_ns() + ns),
		      HRTIMER_MODE_ABS_HARD);
}

/**
 * lockstep_forced_init - on the vCPU's thread, at attach
 * @guest: being attached
 */
void lockstep_forced_init(struct lockstep_guest *guest)
{
	struct lockstep_forced *forced = &guest->forced;

	timer_init(&forced->deadline_timer, deadline_due);
	timer_init(&forced->kick_timer, kick_due);
	forced->deadline = ~0ULL;
	lockstep_pmc_create(&forced->pmc, guest->name);
}

/**
 * lockstep_forced_exit - undo lockstep_forced_init()
 * @guest: its vCPU is not in the hooks any more
 */
void lockstep_forced_exit(struct lockstep_guest *guest)
{
	hrtimer_cancel(&guest->forced.deadline_timer);
	hrtimer_cancel(&guest->forced.kick_timer);
	lockstep_pmc_destroy(&guest->forced.pmc);
}

/* Events since the last stop. False: perf has taken the counter away. */
static bool events_read(struct lockstep_guest *guest, u64 *events)
{
	struct lockstep_forced *forced = &guest->forced;
	u64 value;

	if (forced->pmc.kind == LOCKSTEP_COUNTER_STOPS || forced->lost ||
	    lockstep_pmc_read(&forced->pmc, &value))
		return false;
	*events = value - forced->base;
	return true;
}

/* Instructions since the last stop. False: not known. */
static bool instructions_read(struct lockstep_forced *forced, u64 *instructions)
{
	u64 value;

	if (lockstep_pmc_guide_read(&forced->pmc, &value))
		return false;
	*instructions = value - forced->guide_base;
	return true;
}

/* What follows is compared only if this was the same. */
static void counts_fold(struct lockstep_forced *forced, u64 events)
{
	if (lockstep_forced_compares)
		forced->counts = xxh64(&events, sizeof(events), forced->counts);
}

/**
 * lockstep_forced_count_compare - a clock read was answered, and counts are compared
 * @guest: vCPU's thread, any context
 */
void lockstep_forced_count_compare(struct lockstep_guest *guest)
{
	u64 events;

	if (events_read(guest, &events))
		counts_fold(&guest->forced, events);
}

/**
 * lockstep_forced_at_stop - positions count from here on
 * @guest: vCPU's thread, at a stop
 */
void lockstep_forced_at_stop(struct lockstep_guest *guest)
{
	struct lockstep_forced *forced = &guest->forced;
	u64 events;

	if (READ_ONCE(forced->due)) {
		due_clear(forced);
		deadline_forget(forced);
	}
	forced->known = false;
	forced->target = false;
	if (forced->pmc.kind == LOCKSTEP_COUNTER_STOPS || forced->lost)
		return;
	if (events_read(guest, &events)) {
		forced->base += events;
		counts_fold(forced, events);
		lockstep_pmc_guide_read(&forced->pmc, &forced->guide_base);
		return;
	}
	smp_store_release(&forced->lost, true);	/* see lockstep_forced_may_come() */
	pr_warn("%s: perf has taken its counter away (too many events, or perf is throttled): inputs wait for the guest's next exit\n",
		guest->name);
}

/* ---- a living side ---- */

/**
 * lockstep_forced_may_come - may there be a forced position behind the last stop?
 * @guest: any thread; what was logged before the answer turns to no is in the log by then
 */
bool lockstep_forced_may_come(const struct lockstep_guest *guest)
{
	/* pairs with lockstep_forced_at_stop(): after the last FORCED record */
	bool lost = smp_load_acquire(&guest->forced.lost);

	return !lost && guest->forced.pmc.kind != LOCKSTEP_COUNTER_STOPS;
}

/* Alone it needs no counter: nobody follows. */
static bool may_force(const struct lockstep_guest *guest, u8 mode)
{
	return mode == LOCKSTEP_VCPU_RUN ||
	       (mode == LOCKSTEP_VCPU_LOG && lockstep_forced_may_come(guest));
}

/**
 * lockstep_forced_kick - LOCKSTEP_KICK: an input waits
 * @guest: any thread
 */
void lockstep_forced_kick(struct lockstep_guest *guest)
{
	/* a parked side takes it later */
	if (READ_ONCE(guest->mode) != LOCKSTEP_VCPU_REPLAY && !xchg(&guest->forced.kicked, true))
		again_in(&guest->forced, hold_ns());
}

/**
 * lockstep_forced_deadline_set - the VMM wants the vCPU back at another time
 * @guest:    vCPU's thread, interrupts off too
 * @deadline: virtual time, ns; ~0: never
 */
void lockstep_forced_deadline_set(struct lockstep_guest *guest, u64 deadline)
{
	struct lockstep_forced *forced = &guest->forced;

	if (deadline <= (u64)KTIME_MAX / 2) {
		if (!guest->clock.runs || !may_force(guest, READ_ONCE(guest->mode)))
			return;		/* the next entry tries again */
		hrtimer_start(&forced->deadline_timer,
			      ns_to_ktime(guest->clock.base + deadline + hold_ns()),
			      HRTIMER_MODE_ABS_HARD);
	}
	forced->deadline = deadline;	/* a timer that still runs finds nothing to do */
}

/**
 * lockstep_forced_debugged - in this entry the guest used debug registers, or stepped itself
 * @guest: vCPU's thread of a living side with a counter, interrupts off, behind the entry
 */
void lockstep_forced_debugged(struct lockstep_guest *guest)
{
	lockstep_pmc_read(&guest->forced.pmc, &guest->forced.debugged);
}

/* A twin has breakpoints on the last part of its way to a position: there the guest is to have none. */
static bool debugged_lately(struct lockstep_guest *guest, u64 events)
{
	const struct lockstep_forced *forced = &guest->forced;

	return !lockstep_arch_debug_free(&guest->lv) ||
	       forced->base + events - forced->debugged <= forced->pmc.margin;
}

static bool record_put(struct lockstep_guest *guest, u64 events)
{
	struct lockstep_forced_rec payload = { .events = cpu_to_le64(events) };
	struct lockstep_rec rec = {
		.type = LOCKSTEP_RECORD_FORCED,
		.len = sizeof(payload),
		.payload = (const u8 *)&payload,
	};
	u32 size = sizeof(struct lockstep_record) + sizeof(payload);
	u64 instructions;

	if (!lockstep_log_has_room(&guest->log, size))
		return false;
	if (instructions_read(&guest->forced, &instructions))
		payload.instructions = cpu_to_le64(instructions);
	lockstep_replay_here(guest, &rec);
	lockstep_record_long_put(lockstep_log_end(&guest->log), &rec);
	lockstep_log_push(&guest->log, size);
	guest->stats.records++;
	return true;
}

/*
 * The VMM waits for interrupts to be allowed, and they are: KVM stops here by itself,
 * on both sides. A forced stop in its place would be one that the twin does not make.
 */
static bool window_is_open(struct lockstep_guest *guest)
{
	struct lockstep_regs regs;

	if (!READ_ONCE(guest->lv.vcpu->run->request_interrupt_window))
		return false;
	lockstep_arch_regs_get(&guest->lv, &regs);
	return regs.rflags & X86_EFLAGS_IF;
}

/**
 * lockstep_forced_take - make a stop here, if the VMM still wants one
 * @guest: vCPU's thread in lockstep_vcpu_exit(), the exit was served; @due is set
 *
 * Where it can't be logged (an event is on its way, the guest debugs itself) it is
 * tried again later.
 *
 * Returns true: this is a stop, go back to the VMM.
 */
bool lockstep_forced_take(struct lockstep_guest *guest)
{
	struct lockstep_forced *forced = &guest->forced;
	u8 mode = READ_ONCE(guest->mode);
	u64 events;

	if (!lockstep_mode_lives(mode))
		return false;		/* parked: it is due still once that is over */
	due_clear(forced);
	if (!lockstep_vcpu_is_wanted(guest)) {
		deadline_forget(forced);
		return false;
	}
	if (!may_force(guest, mode))
		return false;
	if (!lockstep_arch_clean_boundary(&guest->lv)) {
		again_in(forced, AGAIN_NS);
		return false;
	}
	if (mode == LOCKSTEP_VCPU_RUN)
		return true;
	if (window_is_open(guest)) {
		again_in(forced, AGAIN_NS);	/* should KVM not do it */
		return false;
	}
	if (!events_read(guest, &events))
		return false;
	if (debugged_lately(guest, events)) {
		again_in(forced, AGAIN_NS);
		return false;
	}
	lockstep_arch_resume_flag_clear(&guest->lv);
	if (!record_put(guest, events)) {
		again_in(forced, NSEC_PER_MSEC);
		return false;
	}
	forced->forced++;
	return true;
}

/* ---- a twin ---- */

/* Instructions until the guide says that the position is near; 0: it is, or it is not known. */
static u64 guide_left(struct lockstep_forced *forced)
{
	u64 near;

	if (!forced->instructions || !instructions_read(forced, &near))
		return 0;
	near += forced->pmc.guide_margin;
	return forced->instructions > near ? forced->instructions - near : 0;
}

/* The vCPU comes out of the guest at the margin of each; early for the other does no harm. */
static void alarms_set(struct lockstep_forced *forced, u64 left)
{
	u64 guide = guide_left(forced);

	if (left > forced->pmc.margin)
		lockstep_pmc_alarm_set(forced->pmc.alarm, left - forced->pmc.margin);
	if (guide)
		lockstep_pmc_alarm_set(forced->pmc.guide, guide);
}

/* Is an alarm to come? Without events left it can't be far, whatever the guide says. */
static bool is_far(struct lockstep_forced *forced, u64 left)
{
	return left > forced->pmc.margin || (left && guide_left(forced));
}

/**
 * lockstep_forced_look - what comes before the next stop is known now
 * @guest: vCPU's thread of a twin; may sleep
 * @rec:   the next record, NULL: none comes
 *
 * Returns 0, or -EILSEQ after a divergence.
 */
int lockstep_forced_look(struct lockstep_guest *guest, const struct lockstep_rec *rec)
{
	struct lockstep_forced *forced = &guest->forced;
	struct lockstep_forced_rec payload;
	u64 now;

	forced->known = true;
	/* one behind a later stop is not for now */
	forced->target = rec && rec->type == LOCKSTEP_RECORD_FORCED &&
			 rec->pos.count <= guest->count;
	if (!forced->target)
		return 0;
	if (rec->pos.count != guest->count)
		return lockstep_diverge(guest, LOCKSTEP_DIVERGENCE_POSITION, rec->pos.count,
					guest->count);
	memcpy(&payload, rec->payload, sizeof(payload));
	forced->events = le64_to_cpu(payload.events);
	forced->instructions = le64_to_cpu(payload.instructions);
	forced->rip = rec->pos.rip;
	forced->rcx = rec->pos.rcx;
	if (!events_read(guest, &now))
		return lockstep_diverge(guest, LOCKSTEP_DIVERGENCE_POSITION, forced->events, 0);
	if (forced->events > now)
		alarms_set(forced, forced->events - now);
	return 0;
}

/* Is the vCPU, out of the guest and between instructions, at the position? */
static bool is_there(struct lockstep_guest *guest, u64 left, const struct lockstep_regs *regs)
{
	return !left && regs->rip == guest->forced.rip && regs->gpr[1] == guest->forced.rcx &&
	       lockstep_arch_clean_boundary(&guest->lv);
}

/*
 * How to enter so close to the position. At RIP with the right count and another RCX
 * it is the same instruction, a REP: run what is left up to the position. Otherwise
 * stop at RIP, unless it is there: pass it once. An event whose delivery begins the
 * entry is not to find RF set, the guest would see it on its stack; the breakpoint
 * then waits until it returns.
 */
static void step_choose(struct lockstep_guest *guest, u64 left, const struct lockstep_regs *regs,
			struct lockstep_step *step)
{
	const struct lockstep_forced *forced = &guest->forced;
	bool here = regs->rip == forced->rip && !lockstep_arch_event_queued(&guest->lv);

	*step = (struct lockstep_step){
		.rip = forced->rip,
		.pass = here,
		.rep = here && !left && regs->gpr[1] > forced->rcx,
		.rcx = forced->rcx,
	};
}

static fastpath_t reached(struct lockstep_guest *guest)
{
	guest->forced.reached = true;
	return EXIT_FASTPATH_EXIT_HANDLED;
}

static fastpath_t run_step(struct lockstep_guest *guest, u64 run_flags, u64 left)
{
	struct lockstep_forced *forced = &guest->forced;
	enum lockstep_step_exit how;
	struct lockstep_step step;
	struct lockstep_regs regs;
	fastpath_t fastpath;

	lockstep_arch_regs_get(&guest->lv, &regs);
	if (is_there(guest, left, &regs))
		return reached(guest);
	step_choose(guest, left, &regs, &step);
	do {
		lockstep_arch_step_enter(&guest->lv, &step);
		fastpath = lockstep_hook_run_orig(guest->lv.vcpu, run_flags);
		how = lockstep_arch_step_exit(&guest->lv, &step);
		forced->steps++;
		step.rep = false;	/* an exception comes again, and is delivered */
		step.iret = how == LOCKSTEP_STEP_IRET;
		lockstep_arch_regs_get(&guest->lv, &regs);
		step.pass = regs.rip == forced->rip;
	} while (how == LOCKSTEP_STEP_EVENT || how == LOCKSTEP_STEP_IRET);
	if (how == LOCKSTEP_STEP_REP && forced->pmc.kind == LOCKSTEP_COUNTER_INSTRUCTIONS)
		forced->base++;
	if (how == LOCKSTEP_STEP_NONE)
		return fastpath;
	/* the next entry looks whether this is the place; what else ended this one comes again */
	return EXIT_FASTPATH_REENTER_GUEST;
}

/**
 * lockstep_forced_run - an entry of a twin that is not free to run
 * @guest:     vCPU's thread, interrupts off: it is not known what comes, or a position does
 * @run_flags: KVM's
 */
fastpath_t lockstep_forced_run(struct lockstep_guest *guest, u64 run_flags)
{
	struct lockstep_forced *forced = &guest->forced;
	u64 now;

	if (!forced->known)
		return lockstep_hook_run_orig(guest->lv.vcpu,
					      run_flags | KVM_RUN_FORCE_IMMEDIATE_EXIT);
	if (!events_read(guest, &now) || now > forced->events) {
		forced->passed = true;
		return EXIT_FASTPATH_EXIT_HANDLED;
	}
	if (is_far(forced, forced->events - now))
		return lockstep_hook_run_orig(guest->lv.vcpu, run_flags);
	return run_step(guest, run_flags, forced->events - now);
}

/**
 * lockstep_forced_arrive - the position is reached, or passed
 * @guest: vCPU's thread of a twin, may sleep
 *
 * Returns 0: a stop; or -EILSEQ after a divergence.
 */
int lockstep_forced_arrive(struct lockstep_guest *guest)
{
	struct lockstep_forced *forced = &guest->forced;
	bool passed = forced->passed;
	struct lockstep_rec rec;
	u64 now = 0;
	int ret;

	lockstep_pmc_alarms_clear(&forced->pmc);
	forced->reached = false;
	forced->passed = false;
	forced->target = false;
	if (passed) {
		events_read(guest, &now);
		return lockstep_diverge(guest, LOCKSTEP_DIVERGENCE_POSITION, forced->events, now);
	}
	lockstep_arch_resume_flag_clear(&guest->lv);
	forced->took[min_t(u64, forced->steps - forced->steps_before, LOCKSTEP_STEPS_MAX)]++;
	forced->steps_before = forced->steps;
	ret = lockstep_log_peek(&guest->log, &rec);
	if (ret)
		return lockstep_diverge(guest, LOCKSTEP_DIVERGENCE_LOG, 0, rec.type);
	ret = lockstep_replay_match(guest, &rec);
	if (ret)
		return ret;
	lockstep_replay_pop(guest, &rec);
	forced->forced++;
	return 0;
}

/**
 * lockstep_forced_steps_median - entries with a breakpoint that half the positions took at most
 * @forced: any context
 */
u64 lockstep_forced_steps_median(const struct lockstep_forced *forced)
{
	u64 below = 0, all = 0;
	unsigned int i;

	for (i = 0; i <= LOCKSTEP_STEPS_MAX; i++)
		all += READ_ONCE(forced->took[i]);
	for (i = 0; i < LOCKSTEP_STEPS_MAX; i++) {
		below += READ_ONCE(forced->took[i]);
		if (2 * below >= all)
			break;
	}
	return all ? i : 0;
}
