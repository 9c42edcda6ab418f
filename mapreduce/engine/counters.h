/* SPDX-License-Identifier: GPL-2.0 */
/* The counters of one attempt. */
#ifndef LOCKSTEP_MR_COUNTERS_H
#define LOCKSTEP_MR_COUNTERS_H

#include "engine/attempt.h"

/**
 * struct mr_counters - counters, found by a hash of their names
 * @list: in the order in which they were first counted
 * @nr: how many
 * @slots: 1 + index into @list, or 0
 */
struct mr_counters {
	struct mr_counter *list;
	size_t nr;
	uint16_t slots[2 * MR_COUNTERS_MAX];
};

/**
 * mr_counters_add() - count
 * @counters: counters, at first all zero
 * @group: group
 * @name: name
 * @n: summand; sums wrap
 *
 * Return: 0, -ENAMETOOLONG for an empty or too long group or name, -E2BIG for one
 * counter more than MR_COUNTERS_MAX, or -ENOMEM.
 */
int mr_counters_add(struct mr_counters *counters, const char *group, const char *name, int64_t n);

void mr_counters_exit(struct mr_counters *counters);

#endif
