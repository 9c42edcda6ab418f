// SPDX-License-Identifier: GPL-2.0
/* From inputs to tasks: splits, samples, range points. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/job_impl.h"
#include "coordinator/split.h"

static uint64_t splits_of(const struct mr_job *job, const struct mr_input_file *input)
{
	return mr_split_count(input->size, job->split, job->whole);
}

static void choose_split(struct mr_job *job)
{
	uint64_t total = 0;
	uint32_t i;

	if (job->split)
		return;
	for (i = 0; i < job->nr_inputs; i++)
		total += job->inputs[i].size;
	job->split = mr_split_choose(total);
}

int mr_plan_splits(struct mr_job *job)
{
	uint64_t total = 0, n, k;
	uint32_t i, m = 0;

	choose_split(job);
	for (i = 0; i < job->nr_inputs; i++)
		total += splits_of(job, &job->inputs[i]);
	if (total > MR_MAPS_MAX) {
		mr_job_end(job, MR_JOB_FAILED, "the inputs make %llu splits; at most %u are possible: choose a larger split",
			   (unsigned long long)total, MR_MAPS_MAX);
		return -E2BIG;
	}
	job->maps = calloc(total, sizeof(*job->maps));
	job->nr_outs = job->reduces ? job->reduces : (uint32_t)total;
	job->outs = calloc(job->nr_outs, sizeof(*job->outs));
	if (!job->maps || !job->outs)
		return -ENOMEM;
	job->nr_maps = (uint32_t)total;
	for (i = 0; i < job->nr_inputs; i++) {
		const struct mr_input_file *input = &job->inputs[i];

		n = splits_of(job, input);
		for (k = 0; k < n; k++, m++) {
			struct mr_map *map = &job->maps[m];

			map->input = i;
			map->offset = mr_split_offset(input->size, n, k);
			map->len = mr_split_offset(input->size, n, k + 1) - map->offset;
		}
	}
	return 0;
}

/* Which splits are sampled: some, evenly over all. */
int mr_plan_samples(struct mr_job *job)
{
	uint32_t n = job->nr_maps < MR_SAMPLE_SPLITS ? job->nr_maps : MR_SAMPLE_SPLITS;
	uint32_t i;

	job->samples = calloc(n, sizeof(*job->samples));
	job->keys = calloc((size_t)n * MR_SAMPLE_KEYS, sizeof(*job->keys));
	if (!job->samples || !job->keys)
		return -ENOMEM;
	job->nr_samples = n;
	for (i = 0; i < n; i++)
		job->samples[i] = (uint32_t)((uint64_t)job->nr_maps * i / n);
	return mr_sched_add_tasks(job->sched, MR_KIND_SAMPLE, n);
}

int mr_plan_key(struct mr_job *job, const void *data, size_t len)
{
	void *copy = malloc(len ? len : 1);

	if (!copy)
		return -ENOMEM;
	if (len)
		memcpy(copy, data, len);
	job->keys[job->nr_keys].data = copy;
	job->keys[job->nr_keys++].len = len;
	return 0;
}

static int key_compare(const void *a, const void *b)
{
	const struct mr_bytes *x = a, *y = b;
	int c = memcmp(x->data, y->data, x->len < y->len ? x->len : y->len);

	if (c)
		return c;
	return x->len < y->len ? -1 : x->len > y->len;
}

static void record_points(struct mr_job *job)
{
	Mr__Points page = MR__POINTS__INIT;
	ProtobufCBinaryData keys[256];
	uint32_t i;

	page.total = job->nr_keys;
	page.keys = keys;
	for (i = 0; i < job->nr_keys; i++) {
		keys[page.n_keys].data = (uint8_t *)job->keys[i].data;
		keys[page.n_keys++].len = job->keys[i].len;
		if (page.n_keys < 256 && i + 1 < job->nr_keys)
			continue;
		mr_replay_add(job, MR_RECORD(POINTS, points, &page));
		page.first += page.n_keys;
		page.n_keys = 0;
	}
}

/* R - 1 of the sampled keys, at equal distances; fewer different ones leave outputs empty. */
int mr_plan_points(struct mr_job *job)
{
	uint32_t n = job->reduces - 1;
	struct mr_bytes *points;
	uint32_t i;

	points = calloc(n ? n : 1, sizeof(*points));
	if (!points)
		return -ENOMEM;
	if (job->nr_keys)
		qsort(job->keys, job->nr_keys, sizeof(*job->keys), key_compare);
	for (i = 0; i < n; i++) {
		struct mr_bytes key = { "", 0 };
		char *copy;

		if (job->nr_keys)
			key = job->keys[(uint64_t)job->nr_keys * (i + 1) / (n + 1)];
		copy = malloc(key.len + 1);
		if (!copy) {
			while (i--)
				free((void *)points[i].data);
			free(points);
			return -ENOMEM;
		}
		memcpy(copy, key.data, key.len);
		points[i] = (struct mr_bytes) { copy, key.len };
	}
	for (i = 0; i < job->nr_keys; i++)
		free((void *)job->keys[i].data);
	free(job->keys);
	job->keys = points;
	job->nr_keys = n;
	record_points(job);
	return 0;
}

int mr_plan_start(struct mr_job *job)
{
	uint32_t i;
	int err;

	err = mr_sched_add_tasks(job->sched, MR_KIND_MAP, job->nr_maps);
	if (!err)
		err = mr_sched_add_tasks(job->sched, MR_KIND_REDUCE, job->reduces);
	if (err)
		return err;
	for (i = 0; i < job->nr_maps; i++) {
		if (job->inputs[job->maps[i].input].node != MR_NONE)
			mr_sched_prefer(job->sched, i, job->inputs[job->maps[i].input].node);
	}
	job->planned = true;
	return 0;
}
