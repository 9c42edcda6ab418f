/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Keys taken from what a map emits, each with the same chance: range points are made
 * of them.
 */
#ifndef LOCKSTEP_MR_SAMPLE_H
#define LOCKSTEP_MR_SAMPLE_H

#include <stdint.h>

#include "lockstep/mapreduce.h"

struct mr_task;

/**
 * struct mr_sample - a reservoir
 * @keys: those taken, each allocated
 * @nr: how many
 * @max: how many at most
 * @seen: keys seen
 * @random: state of the generator
 */
struct mr_sample {
	struct mr_bytes *keys;
	uint32_t nr;
	uint32_t max;
	uint64_t seen;
	uint64_t random;
};

/* 0 or -ENOMEM. */
int mr_sample_add(struct mr_sample *sample, struct mr_bytes key);

/* Have the map of @task see parts of its split. 0, or the -errno with which the attempt has failed. */
int mr_sample_run(struct mr_task *task);

#endif
