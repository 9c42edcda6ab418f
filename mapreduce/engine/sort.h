/* SPDX-License-Identifier: GPL-2.0 */
/* Pairs in memory, and sorting them by key. */
#ifndef LOCKSTEP_MR_SORT_H
#define LOCKSTEP_MR_SORT_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lockstep/mapreduce.h"

/**
 * struct mr_pair - a pair in the arena, at a multiple of 8
 * @key_len: bytes of @data
 * @value_len: bytes behind the key
 * @value_cap: room for the value
 * @part: its partition; MR_PAIR_DEAD: no pair any more
 * @data: key, value
 */
struct mr_pair {
	uint32_t key_len;
	uint32_t value_len;
	uint32_t value_cap;
	uint32_t part;
	char data[];
};

#define MR_PAIR_DEAD	UINT32_MAX

/**
 * struct mr_ref - what is moved about instead of a pair
 * @prefix: first bytes of its key as a number: see mr_key_prefix()
 * @at: where it lies, in units of 8 bytes
 * @part: its partition
 */
struct mr_ref {
	uint64_t prefix;
	uint32_t at;
	uint32_t part;
};

static inline struct mr_pair *mr_ref_pair(const char *base, const struct mr_ref *ref)
{
	return (struct mr_pair *)(base + 8 * (size_t)ref->at);
}

/* Bytes of a pair in the arena. */
static inline size_t mr_pair_size(size_t key_len, size_t value_cap)
{
	return (sizeof(struct mr_pair) + key_len + value_cap + 7) & ~(size_t)7;
}

/* Eight bytes of a key from @depth on, zeros behind its end: as numbers they have the order of keys. */
static inline uint64_t mr_key_prefix(const char *key, size_t len, size_t depth)
{
	uint64_t prefix = 0;

	if (len >= depth + 8)
		memcpy(&prefix, key + depth, 8);
	else if (len > depth)
		memcpy(&prefix, key + depth, len - depth);
	return be64toh(prefix);
}

/* The bytewise order: a key comes before those that go on where it ends. */
static inline int mr_key_compare(struct mr_bytes a, struct mr_bytes b)
{
	int cmp = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);

	return cmp ? cmp : (a.len > b.len) - (a.len < b.len);
}

/**
 * mr_sort() - sort by key; equal keys stay in their order
 * @base: of the arena's data
 * @refs: what is sorted, all of one partition, prefixes made with depth 0
 * @scratch: as much room again
 * @n: how many
 * @compare: order of keys, NULL for bytewise
 */
void mr_sort(const char *base, struct mr_ref *refs, struct mr_ref *scratch, size_t n,
	     int (*compare)(struct mr_bytes a, struct mr_bytes b));

#endif
