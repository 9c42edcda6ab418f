/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The memory in which pairs are collected, sorted and merged.
 *
 * There is one in a process. It keeps its pages from one attempt to the next, as a
 * page fault costs more than what is done with the page. Each of its spans is
 * reserved as large as the whole; together they use no more than the whole.
 */
#ifndef LOCKSTEP_MR_ARENA_H
#define LOCKSTEP_MR_ARENA_H

#include <stdbool.h>
#include <stddef.h>

enum mr_span {
	MR_SPAN_DATA	= 0,	/* pairs; buffers of a merge */
	MR_SPAN_REFS	= 1,	/* references to be sorted */
	MR_SPAN_SCRATCH	= 2,	/* of the sort */
	MR_SPAN_SLOTS	= 3,	/* of the hash table */
	__MR_SPAN_LAST,
	MR_SPAN_MAX	= __MR_SPAN_LAST - 1
};

/**
 * struct mr_arena - the arena
 * @size: bytes that all spans may use together
 * @base: of each span; aligned to pages
 * @touched: bytes of each span that may have pages
 */
struct mr_arena {
	size_t size;
	char *base[__MR_SPAN_LAST];
	size_t touched[__MR_SPAN_LAST];
};

/**
 * mr_arena_get() - the arena, for the attempt that begins
 * @size: bytes
 *
 * Return: the arena, or NULL without memory.
 */
struct mr_arena *mr_arena_get(size_t size);

/**
 * mr_arena_fit() - may the spans use so much?
 * @arena: arena
 * @used: bytes of each span from its start
 *
 * Pages that are not asked for are given back when there would be too many.
 *
 * Return: false when it is too much.
 */
bool mr_arena_fit(struct mr_arena *arena, const size_t used[__MR_SPAN_LAST]);

#endif
