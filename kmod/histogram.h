/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Histogram of times, in ns: four slots for each doubling, so that a slot's bounds are
 * at most a quarter apart. The same source in the module, which counts, and in
 * programs, which read.
 */
#ifndef LOCKSTEP_HISTOGRAM_H
#define LOCKSTEP_HISTOGRAM_H

#include <linux/lockstep.h>

#define LOCKSTEP_HISTOGRAM_FIRST	12	/* slot 0: below 2^12 ns */
#define LOCKSTEP_HISTOGRAM_LAST		33	/* the last: 2^33 ns and more */

/* The slot that a time is counted in: below LOCKSTEP_HOLD_SLOTS. */
static inline unsigned int lockstep_histogram_slot(__u64 ns)
{
	unsigned int log;

	if (ns < 1ULL << LOCKSTEP_HISTOGRAM_FIRST)
		return 0;
	log = 63 - __builtin_clzll(ns);
	if (log >= LOCKSTEP_HISTOGRAM_LAST)
		return LOCKSTEP_HOLD_SLOTS - 1;
	return 1 + 4 * (log - LOCKSTEP_HISTOGRAM_FIRST) + (unsigned int)(ns >> (log - 2) & 3);
}

/* Times in a slot are below this, and not below that of the slot before; ~0: there is no bound. */
static inline __u64 lockstep_histogram_bound(unsigned int slot)
{
	if (slot >= LOCKSTEP_HOLD_SLOTS - 1)
		return ~0ULL;
	return (4ULL + slot % 4) << (LOCKSTEP_HISTOGRAM_FIRST - 2 + slot / 4);
}

#endif
