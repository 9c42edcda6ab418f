// SPDX-License-Identifier: GPL-2.0
/* Keys taken from what a map emits. */
#include "engine/sample.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/attempt.h"
#include "engine/map.h"
#include "engine/task.h"

/* A split is looked at in so many places, in each of them so many bytes. */
#define PLACES		16u
#define PLACE_BYTES	((uint64_t)64 << 10)

/* splitmix64: the same attempt samples the same keys */
static uint64_t next_random(struct mr_sample *sample)
{
	uint64_t z = sample->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

int mr_sample_add(struct mr_sample *sample, struct mr_bytes key)
{
	uint64_t at = sample->seen;
	char *copy;

	if (key.len > MR_SAMPLE_KEY_MAX)
		return 0;
	sample->seen++;
	if (at >= sample->max) {	/* each of those seen stays with the same chance */
		at = next_random(sample) % sample->seen;
		if (at >= sample->max)
			return 0;
	}
	copy = malloc(key.len + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, key.data, key.len);
	if (at < sample->nr)
		free((void *)sample->keys[at].data);
	else
		sample->nr++;
	sample->keys[at].data = copy;
	sample->keys[at].len = key.len;
	return 0;
}

int mr_sample_run(struct mr_task *task)
{
	const struct mr_attempt *whole = task->attempt;
	const struct mr_reader *reader = whole->app->reader;
	uint64_t len = whole->len;
	struct mr_attempt part = *whole;
	unsigned int i;
	int ret = 0;

	if (len == UINT64_MAX && whole->size != UINT64_MAX && whole->size >= whole->offset)
		len = whole->size - whole->offset;
	if (len <= PLACES * PLACE_BYTES || len == UINT64_MAX || (reader && reader->whole))
		return mr_map_run(task);
	part.len = PLACE_BYTES;
	task->attempt = &part;
	for (i = 0; !ret && i < PLACES; i++) {
		part.offset = whole->offset + i * (len / PLACES);
		ret = mr_map_run(task);
	}
	task->attempt = whole;
	return ret;
}
