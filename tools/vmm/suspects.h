/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Byte ranges of a disk whose content is not known: a write to them has failed
 *
 * The set may grow beyond what was added when it has no room left, and never
 * forgets anything that was not written since.
 */
#ifndef VMM_SUSPECTS_H
#define VMM_SUSPECTS_H

#include <stdbool.h>
#include <stdint.h>

#define SUSPECTS_MAX	64

struct suspect_range {
	uint64_t from;
	uint64_t to;	/* first byte behind */
};

struct suspects {
	unsigned int count;
	struct suspect_range ranges[SUSPECTS_MAX];
};

/* A write to [from, to) failed. */
void suspects_add(struct suspects *set, uint64_t from, uint64_t to);

/* A write to [from, to) succeeded. */
void suspects_remove(struct suspects *set, uint64_t from, uint64_t to);

bool suspects_overlap(const struct suspects *set, uint64_t from, uint64_t to);

#endif
