/* SPDX-License-Identifier: GPL-2.0 */
/* How inputs are cut into splits: which bytes a map's number means. */
#ifndef LOCKSTEP_MR_SPLIT_H
#define LOCKSTEP_MR_SPLIT_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/job.h"

#define MR_SPLITS_WANTED	16	/* enough for a few workers to end at about the same time */

/* Bytes of a split when the job does not say; @total: bytes of all inputs. */
static inline uint64_t mr_split_choose(uint64_t total)
{
	uint64_t split = total / MR_SPLITS_WANTED;

	if (split < MR_SPLIT_DEF_MIN)
		return MR_SPLIT_DEF_MIN;
	return split > MR_SPLIT_DEF_MAX ? MR_SPLIT_DEF_MAX : split;
}

/* Splits of a file of @size bytes. */
static inline uint64_t mr_split_count(uint64_t size, uint64_t split, bool whole)
{
	return whole || !size ? 1 : (size + split - 1) / split;
}

/*
 * Where split @k of @n begins; split @n begins at the end. They are of one size, so
 * that no worker is left with a crumb at the end.
 */
static inline uint64_t mr_split_offset(uint64_t size, uint64_t n, uint64_t k)
{
	/* size * k / n, which may not fit */
	return size / n * k + size % n * k / n;
}

#endif
