/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Merging sorted regions: by a tree of losers, in several passes when there are more
 * than memory holds.
 *
 * Equal keys come in the order of the regions. A pass replaces neighbouring regions by
 * one, in a file without a name.
 */
#ifndef LOCKSTEP_MR_MERGE_H
#define LOCKSTEP_MR_MERGE_H

#include "engine/arena.h"
#include "engine/run.h"
#include "engine/task.h"

#define MR_MERGE_MAX	256	/* regions merged at once: descriptors are few */

/**
 * struct mr_merge - a merge
 * @task: attempt
 * @arena: holds the readers' buffers, from @arena_base on
 * @regions: what is left to be merged, those of a pass in its place
 * @nr_regions: how many
 * @spill_fd: file of regions that have no path, or -1
 * @spill_pos: its length
 * @own_spill: this merge has opened it
 * @readers: of the regions that are open
 * @prefix: of their keys
 * @nr: how many
 * @tree: losers of each match; [0] the winner
 * @begun: there is a winner
 * @same: its key is, in all bytes, the one given before
 * @key: of the pair last given
 * @value: of the pair last given
 * @pairs: given by mr_merge_next()
 */
struct mr_merge {
	struct mr_task *task;
	struct mr_arena *arena;
	struct mr_region *regions;
	size_t nr_regions;
	int spill_fd;
	uint64_t spill_pos;
	bool own_spill;
	struct mr_run_reader *readers;
	uint64_t *prefix;
	size_t nr;
	uint32_t tree[MR_MERGE_MAX];
	bool done[MR_MERGE_MAX];
	bool begun;
	bool same;
	struct mr_bytes key;
	struct mr_bytes value;
	uint64_t pairs;
};

/**
 * mr_merge_init() - begin, with all passes but the last
 * @m: merge
 * @task: attempt
 * @regions: what to merge, in the order of equal keys; one without path lies in @spill_fd
 * @nr: how many; empty ones are left out
 * @spill_fd: the caller's, or -1
 * @spill_pos: its length; @m->spill_pos afterwards
 *
 * Return: 0, or the -errno with which the attempt has failed; mr_merge_exit() in both cases.
 */
int mr_merge_init(struct mr_merge *m, struct mr_task *task, const struct mr_region *regions, size_t nr, int spill_fd,
		  uint64_t spill_pos);
void mr_merge_exit(struct mr_merge *m);

/**
 * mr_merge_next() - the next pair
 * @m: merge
 *
 * Return: 1, and @m->key, @m->value, @m->same are valid until the next call; 0 at the
 * end; or the -errno with which the attempt has failed.
 */
int mr_merge_next(struct mr_merge *m);

/**
 * mr_merge_write() - write all that is left as one region, combined if there is a combiner
 * @m: merge
 * @w: where to
 * @region: receives what was written
 *
 * Return: 0, or the -errno with which the attempt has failed.
 */
int mr_merge_write(struct mr_merge *m, struct mr_run_writer *w, struct mr_region *region);

#endif
