/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which partition a key goes to.
 *
 * By default the high half of the key's XXH3-64, scaled to R: it depends on nothing
 * but the key and R, so all attempts of all maps agree.
 */
#ifndef LOCKSTEP_MR_PARTITION_H
#define LOCKSTEP_MR_PARTITION_H

#include "engine/task.h"

/* How this attempt's keys are told apart; @points are the attempt's range_points. */
struct mr_partitioner {
	struct mr_task *task;
	uint32_t partitions;
	bool range;
	const struct mr_bytes *points;
};

/* 0, or the -errno with which the attempt has failed: options that don't fit. */
int mr_partitioner_init(struct mr_partitioner *p, struct mr_task *task);

/**
 * mr_partition() - which partition
 * @p: partitioner
 * @key: key
 * @part: receives it
 *
 * Return: 0, or the -errno with which the attempt has failed.
 */
int mr_partition(const struct mr_partitioner *p, struct mr_bytes key, uint32_t *part);

#endif
