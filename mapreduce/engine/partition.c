// SPDX-License-Identifier: GPL-2.0
/* Which partition a key goes to. */
#include "engine/partition.h"

#include <errno.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "engine/sort.h"

int mr_partitioner_init(struct mr_partitioner *p, struct mr_task *task)
{
	const char *option = mr_task_option(task, "partition");

	p->task = task;
	p->partitions = task->attempt->reduces;
	p->points = task->attempt->range_points;
	p->range = false;
	if (!option || strcmp(option, "hash") == 0 || task->app->partition)
		return 0;
	if (strcmp(option, "range") != 0)
		return mr_task_fail(task, MR_BLAME_USER, -EINVAL, "option partition=%s: hash or range", option);
	if (!p->points && p->partitions > 1)
		return mr_task_fail(task, MR_BLAME_SYSTEM, -EINVAL, "option partition=range, but nothing was sampled");
	p->range = true;
	return 0;
}

/* The first partition whose upper point is above the key. */
static uint32_t range(const struct mr_partitioner *p, struct mr_bytes key)
{
	int (*compare)(struct mr_bytes a, struct mr_bytes b) = p->task->app->compare;
	uint32_t low = 0, high = p->partitions - 1, mid;

	if (!compare)
		compare = mr_key_compare;
	while (low < high) {
		mid = low + (high - low) / 2;
		if (compare(p->points[mid], key) > 0)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

int mr_partition(const struct mr_partitioner *p, struct mr_bytes key, uint32_t *part)
{
	if (p->task->app->partition) {
		*part = p->task->app->partition(p->task, key, p->partitions);
		if (*part >= p->partitions)
			return mr_task_fail(p->task, MR_BLAME_USER, -ERANGE, "partition gave %u of %u", *part,
					    p->partitions);
		return 0;
	}
	if (p->partitions == 1)
		*part = 0;
	else if (p->range)
		*part = range(p, key);
	else
		*part = (uint32_t)((XXH3_64bits(key.data, key.len) >> 32) * p->partitions >> 32);
	return 0;
}
