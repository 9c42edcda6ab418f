// SPDX-License-Identifier: GPL-2.0
/* The counters of one attempt. */
#include "engine/counters.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SLOTS	(2 * MR_COUNTERS_MAX)

int mr_counters_add(struct mr_counters *counters, const char *group, const char *name, int64_t n)
{
	size_t group_len = strnlen(group, MR_NAME_MAX + 1), name_len = strnlen(name, MR_NAME_MAX + 1);
	struct mr_counter *c;
	size_t slot;

	if (!group_len || !name_len || group_len > MR_NAME_MAX || name_len > MR_NAME_MAX)
		return -ENAMETOOLONG;
	slot = (XXH3_64bits(group, group_len) + 3 * XXH3_64bits(name, name_len)) % SLOTS;
	for (; counters->slots[slot]; slot = (slot + 1) % SLOTS) {
		c = &counters->list[counters->slots[slot] - 1];
		if (strcmp(c->group, group) == 0 && strcmp(c->name, name) == 0) {
			c->value = (int64_t)((uint64_t)c->value + (uint64_t)n);
			return 0;
		}
	}
	if (counters->nr == MR_COUNTERS_MAX)
		return -E2BIG;
	if (!counters->list)
		counters->list = calloc(MR_COUNTERS_MAX, sizeof(*counters->list));
	if (!counters->list)
		return -ENOMEM;
	c = &counters->list[counters->nr++];
	memcpy(c->group, group, group_len);
	memcpy(c->name, name, name_len);
	c->value = n;
	counters->slots[slot] = (uint16_t)counters->nr;
	return 0;
}

void mr_counters_exit(struct mr_counters *counters)
{
	free(counters->list);
}
