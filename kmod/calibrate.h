/* SPDX-License-Identifier: GPL-2.0 */
/* A look at the CPU's counter before guests rely on it. */
#ifndef LOCKSTEP_CALIBRATE_H
#define LOCKSTEP_CALIBRATE_H

#include <linux/types.h>

struct perf_event;

typedef int (*lockstep_counter_read_fn)(struct perf_event *event, u64 *value, u64 *enabled,
					u64 *running);

int lockstep_calibrate(u64 config, unsigned int per_round, lockstep_counter_read_fn read,
		       u32 *skid);

#endif
