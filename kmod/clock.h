/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The virtual clock of a guest: ns since its start, never backwards
 *
 * Every clock the guest sees is this one: its TSC (LOCKSTEP_TSC_KHZ makes a tick
 * a ns) and the timers of the VMM's devices.  On a live side it follows
 * CLOCK_MONOTONIC; on a twin it stands at the last value of the log; when a twin
 * goes live it continues from there.  Host TSC frequencies do not matter.
 *
 * Written on the vCPU's thread only; @last is read anywhere.
 */
#ifndef LOCKSTEP_CLOCK_H
#define LOCKSTEP_CLOCK_H

#include <linux/compiler.h>
#include <linux/ktime.h>

/**
 * struct lockstep_clock_source - the clock's state
 * @base: CLOCK_MONOTONIC at virtual time 0
 * @last: the last value given out, or consumed
 * @runs: follows the host's clock
 */
struct lockstep_clock_source {
	u64 base;
	u64 last;
	bool runs;
};

/* Any context: what the clock would say; makes nothing of it. */
static inline u64 lockstep_clock_peek(const struct lockstep_clock_source *clock)
{
	u64 last = READ_ONCE(clock->last), now;

	if (!READ_ONCE(clock->runs))
		return last;
	now = ktime_get_ns() - READ_ONCE(clock->base);
	return (s64)(now - last) > 0 ? now : last;
}

/* vCPU's thread: let it run on from its last value. */
static inline void lockstep_clock_start(struct lockstep_clock_source *clock)
{
	if (clock->runs)
		return;
	WRITE_ONCE(clock->base, ktime_get_ns() - clock->last);
	WRITE_ONCE(clock->runs, true);
}

#endif
