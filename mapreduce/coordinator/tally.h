/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counters of a job: sums over tasks, each counted once.
 *
 * What a task contributed is kept with it, so that it can be taken out again when
 * the task is made again.
 */
#ifndef LOCKSTEP_MR_TALLY_H
#define LOCKSTEP_MR_TALLY_H

#include <stdint.h>

#include "lockstep/mapreduce.h"
#include "rpc/mr.pb-c.h"

struct json_object;

/* What one task contributed. */
struct mr_tally {
	uint32_t nr;
	struct {
		uint32_t id;
		int64_t value;
	} __attribute__((packed)) of[];
};

struct mr_tallies {
	uint32_t nr;
	struct {
		char *group;
		char *name;
		int64_t sum;
	} of[MR_COUNTERS_MAX];
};

void mr_tallies_exit(struct mr_tallies *c);

/**
 * mr_tallies_replace() - count a task, instead of what it counted before
 * @c: the job's
 * @tally: the task's, NULL for none yet; changed
 * @list: the new ones; those beyond MR_COUNTERS_MAX of the job are left out
 * @nr: how many
 *
 * Return: 0 or -ENOMEM, with everything as before.
 */
int mr_tallies_replace(struct mr_tallies *c, struct mr_tally **tally, Mr__Counter * const *list, size_t nr);

/* A new object {group: {name: sum}}, or NULL. */
struct json_object *mr_tallies_status(const struct mr_tallies *c);

#endif
