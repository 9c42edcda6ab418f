/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A count of what a guest executes: a retired event of the CPU, in guest mode only
 *
 * Two perf events of the vCPU's thread. One counts and is never sampled, so nothing
 * throttles it: it is the truth. The other overflows when it is told to: that is a
 * hint which brings the vCPU out of the guest, some events late (the CPU's skid).
 *
 * A CPU is late by time. In branches that is many, as it is to be enough for the
 * densest code; so where branches are counted, a third event is a hint in
 * instructions. Both are allowed to be early, none is to be late.
 */
#ifndef LOCKSTEP_PMC_H
#define LOCKSTEP_PMC_H

#include <linux/types.h>

struct perf_event;

/**
 * struct lockstep_pmc - the counter of one vCPU
 * @kind:   enum lockstep_counter; LOCKSTEP_COUNTER_STOPS: there is none
 * @margin: events that an alarm may come late, and then some
 * @guide_margin: instructions that the guide may come late, and then some
 * @count:  counts
 * @alarm:  overflows
 * @guide:  likewise, by instructions; NULL: those are what is counted, or there is none
 */
struct lockstep_pmc {
	u32 kind;
	u32 margin;
	u32 guide_margin;
	struct perf_event *count;
	struct perf_event *alarm;
	struct perf_event *guide;
};

int lockstep_pmc_init(void);
const char *lockstep_pmc_name(void);
u32 lockstep_pmc_skid(void);
u32 lockstep_pmc_margin(void);
void lockstep_pmc_create(struct lockstep_pmc *pmc, const char *name);
void lockstep_pmc_destroy(struct lockstep_pmc *pmc);
int lockstep_pmc_read(const struct lockstep_pmc *pmc, u64 *value);
int lockstep_pmc_guide_read(const struct lockstep_pmc *pmc, u64 *value);
int lockstep_pmc_alarm_set(struct perf_event *alarm, u64 events);
void lockstep_pmc_alarms_clear(struct lockstep_pmc *pmc);

#endif
