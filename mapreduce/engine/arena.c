// SPDX-License-Identifier: GPL-2.0
/* The memory in which pairs are collected, sorted and merged. */
#include "engine/arena.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE	((size_t)2 << 20)

static struct mr_arena the_arena;
static char *mapping;
static size_t mapping_len;

struct mr_arena *mr_arena_get(size_t size)
{
	size_t each = (size + HUGE - 1) & ~(HUGE - 1);
	char *base;
	int i;

	if (mapping && the_arena.size == size)
		return &the_arena;
	if (mapping)
		munmap(mapping, mapping_len);
	mapping_len = each * __MR_SPAN_LAST + HUGE;
	mapping = mmap(NULL, mapping_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mapping == MAP_FAILED) {
		mapping = NULL;
		return NULL;
	}
	/* fewer faults; where there are no huge pages it goes on without */
	base = (char *)(((uintptr_t)mapping + HUGE - 1) & ~(uintptr_t)(HUGE - 1));
	madvise(base, each * __MR_SPAN_LAST, MADV_HUGEPAGE);
	memset(&the_arena, 0, sizeof(the_arena));
	the_arena.size = size;
	for (i = 0; i < __MR_SPAN_LAST; i++)
		the_arena.base[i] = base + i * each;
	return &the_arena;
}

bool mr_arena_fit(struct mr_arena *arena, const size_t used[__MR_SPAN_LAST])
{
	size_t sum = 0, pages = 0, keep;
	int i;

	for (i = 0; i < __MR_SPAN_LAST; i++) {
		if (used[i] > arena->size)
			return false;
		sum += used[i];
		pages += used[i] > arena->touched[i] ? used[i] : arena->touched[i];
	}
	if (sum > arena->size)
		return false;
	for (i = 0; i < __MR_SPAN_LAST; i++) {
		if (pages > arena->size && arena->touched[i] > used[i]) {
			keep = (used[i] + HUGE - 1) & ~(HUGE - 1);
			if (arena->touched[i] > keep)
				madvise(arena->base[i] + keep, arena->touched[i] - keep, MADV_DONTNEED);
			arena->touched[i] = used[i];
		} else if (used[i] > arena->touched[i]) {
			arena->touched[i] = used[i];
		}
	}
	return true;
}
