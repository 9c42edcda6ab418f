/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Forced positions: stops between two stops of the guest's own
 *
 * An input that has waited (parameter hold_us) is worth a stop where the guest makes
 * none. The living side takes the place an interrupt of the host happens to give,
 * if it is between two instructions, and logs it: so many events of the counter
 * behind the last stop, RIP, RCX. The twin sets alarms some way before (by events, and
 * by instructions where events are something else: the later one is enough), and goes the
 * rest from breakpoint to breakpoint at RIP; to stop inside a REP it lets it run with
 * a smaller RCX; an IRET on the way exits, as it may return past a breakpoint. Then its
 * registers have to be those of the record. No single steps: the guest could see their
 * flag. Its breakpoints would be in the way of the guest's own: no position is taken
 * within the margin of those.
 *
 * So a twin enters the guest only when it knows what comes next: a record, or a
 * horizon that says that there is no forced position before the next stop.
 */
#ifndef LOCKSTEP_FORCED_H
#define LOCKSTEP_FORCED_H

#include <linux/hrtimer.h>
#include <linux/kvm_host.h>
#include "pmc.h"

struct lockstep_guest;
struct lockstep_rec;

/* Positions that took more entries count as if they had taken so many. */
#define LOCKSTEP_STEPS_MAX	255

/**
 * struct lockstep_forced - of one guest; the vCPU's thread's but for @due and @kicked
 * @pmc:     what positions between stops count
 * @base:    its value at the last stop
 * @guide_base: likewise of its guide
 * @counts:  hash of what was counted at each stop and clock read, in order (compare_counts)
 * @lost:    perf has taken the counter away
 * @deadline_timer: living: the VMM's deadline and the hold are over
 * @kick_timer: living: an input's hold is over, or a try is made again
 * @kicked:  @kick_timer will make it due, and nobody needs to set it for that
 * @deadline: living: what @deadline_timer stands at, virtual ns; ~0: set it at the next entry
 * @debugged: living: the counter's value when the guest last debugged itself
 * @due:     living: stop at the next place that can be logged; set by the timers
 * @known:   twin: it is known what comes before the next stop
 * @target:  twin: a forced position comes
 * @reached: twin: it is reached
 * @passed:  twin: it is passed: the counts differ
 * @events:  twin: the position
 * @instructions: twin: likewise by the guide; 0: not known
 * @rip:     twin: likewise
 * @rcx:     twin: likewise
 * @forced:  counter for statistics: positions forced or reached
 * @steps:   likewise: entries with a breakpoint
 * @steps_before: of them, those on the way to former positions
 * @took:    likewise: positions, by entries with a breakpoint each took
 */
struct lockstep_forced {
	struct lockstep_pmc pmc;
	u64 base;
	u64 guide_base;
	u64 counts;
	bool lost;

	struct hrtimer deadline_timer;
	struct hrtimer kick_timer;
	bool kicked;
	u64 deadline;
	u64 debugged;
	bool due;

	bool known;
	bool target;
	bool reached;
	bool passed;
	u64 events;
	u64 instructions;
	u64 rip;
	u64 rcx;

	u64 forced;
	u64 steps;
	u64 steps_before;
	u32 took[LOCKSTEP_STEPS_MAX + 1];
};

extern bool lockstep_forced_compares;	/* parameter compare_counts */

void lockstep_forced_init(struct lockstep_guest *guest);
void lockstep_forced_exit(struct lockstep_guest *guest);
void lockstep_forced_at_stop(struct lockstep_guest *guest);
void lockstep_forced_count_compare(struct lockstep_guest *guest);
u64 lockstep_forced_steps_median(const struct lockstep_forced *forced);

/* A living side */
bool lockstep_forced_may_come(const struct lockstep_guest *guest);
void lockstep_forced_kick(struct lockstep_guest *guest);
void lockstep_forced_deadline_set(struct lockstep_guest *guest, u64 deadline);
void lockstep_forced_debugged(struct lockstep_guest *guest);
bool lockstep_forced_take(struct lockstep_guest *guest);

/* A twin */
int lockstep_forced_look(struct lockstep_guest *guest, const struct lockstep_rec *rec);
fastpath_t lockstep_forced_run(struct lockstep_guest *guest, u64 run_flags);
int lockstep_forced_arrive(struct lockstep_guest *guest);

#endif
