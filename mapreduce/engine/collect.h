/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a map emits: collected, sorted, spilled, and in the end one run file.
 *
 * With a combiner each key is held once, in a hash table; without, all pairs are
 * held. When memory is full what is held is sorted and spilled to a file without a
 * name, as one run of R regions; in the end the spills are merged.
 */
#ifndef LOCKSTEP_MR_COLLECT_H
#define LOCKSTEP_MR_COLLECT_H

#include "engine/arena.h"
#include "engine/partition.h"
#include "engine/task.h"

#define MR_ARENA_MAX	(16ull << 30)

/**
 * struct mr_collect - a map's pairs
 * @task: attempt
 * @partitioner: partitioner
 * @arena: where they lie
 * @data: bytes of pairs
 * @data_mark: bytes that @data may reach before the arena is asked
 * @refs: references, when there is no combiner: how many
 * @refs_mark: how many there may be before the arena is asked
 * @slots: hash table, when there is one: high half the hash, low half 1 + place in
 *	units of 8 bytes; 0: empty
 * @nr_slots: a power of two
 * @filled: slots in use
 * @spill_fd: file of the spills, or -1
 * @spill_pos: its length
 * @spilled: regions: R of the first spill, R of the next, ...
 * @nr_spills: spills
 */
struct mr_collect {
	struct mr_task *task;
	struct mr_partitioner partitioner;
	struct mr_arena *arena;
	size_t data;
	size_t data_mark;
	size_t refs;
	size_t refs_mark;
	uint64_t *slots;
	size_t nr_slots;
	size_t filled;
	int spill_fd;
	uint64_t spill_pos;
	struct mr_region *spilled;
	size_t nr_spills;
};

/* All of these return 0, or the -errno with which the attempt has failed. */
int mr_collect_init(struct mr_collect *c, struct mr_task *task);
int mr_collect_add(struct mr_collect *c, struct mr_bytes key, struct mr_bytes value);

/* Make the run file, named in the task's result. */
int mr_collect_finish(struct mr_collect *c);

void mr_collect_exit(struct mr_collect *c);

/*
 * The arena's share of attempt->memory: the rest is the input's window and what is being
 * written. References have 32 bits for a place, in units of 8 bytes.
 */
static inline size_t mr_arena_size(const struct mr_attempt *attempt)
{
	uint64_t share = attempt->memory / 16 * 9;

	return share < MR_ARENA_MAX ? share : MR_ARENA_MAX;
}

#endif
