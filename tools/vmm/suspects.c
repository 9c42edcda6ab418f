// SPDX-License-Identifier: GPL-2.0
/*
 * Byte ranges of a disk whose content is not known
 */
#include "suspects.h"

static bool overlap(const struct suspect_range *range, uint64_t from, uint64_t to)
{
	return range->from < to && from < range->to;
}

void suspects_add(struct suspects *set, uint64_t from, uint64_t to)
{
	if (from >= to)
		return;
	if (set->count < SUSPECTS_MAX) {
		set->ranges[set->count].from = from;
		set->ranges[set->count].to = to;
		set->count++;
		return;
	}
	/* No room: one range that covers them all. */
	for (unsigned int i = 0; i < set->count; i++) {
		if (set->ranges[i].from < from)
			from = set->ranges[i].from;
		if (set->ranges[i].to > to)
			to = set->ranges[i].to;
	}
	set->ranges[0].from = from;
	set->ranges[0].to = to;
	set->count = 1;
}

void suspects_remove(struct suspects *set, uint64_t from, uint64_t to)
{
	unsigned int i = 0;

	while (i < set->count) {
		struct suspect_range *range = &set->ranges[i];
		uint64_t end = range->to;

		if (!overlap(range, from, to)) {
			i++;
		} else if (from <= range->from && end <= to) {
			*range = set->ranges[--set->count];
		} else if (from <= range->from) {
			range->from = to;
			i++;
		} else if (end <= to) {
			range->to = from;
			i++;
		} else {
			/* A hole in the middle; with no room for two, all of it stays suspect. */
			if (set->count < SUSPECTS_MAX) {
				range->to = from;
				suspects_add(set, to, end);
			}
			i++;
		}
	}
}

bool suspects_overlap(const struct suspects *set, uint64_t from, uint64_t to)
{
	for (unsigned int i = 0; i < set->count; i++)
		if (overlap(&set->ranges[i], from, to))
			return true;
	return false;
}
