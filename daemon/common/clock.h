/* SPDX-License-Identifier: GPL-2.0 */
/* The one clock decisions are taken on: it counts suspend and ignores date -s. */
#ifndef LOCKSTEP_COMMON_CLOCK_H
#define LOCKSTEP_COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

#define LOCKSTEP_NSEC_PER_SEC	1000000000ULL
#define LOCKSTEP_NSEC_PER_MSEC	1000000ULL

/** lockstep_clock_ns() - CLOCK_BOOTTIME in nanoseconds */
static inline uint64_t lockstep_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * LOCKSTEP_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

#endif
