// SPDX-License-Identifier: GPL-2.0
/* One attempt, from what it is told to what it has made. */
#include "engine/attempt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/collect.h"
#include "engine/map.h"
#include "engine/output.h"
#include "engine/progress.h"
#include "engine/reduce.h"
#include "engine/sample.h"
#include "engine/task.h"

static int run_records(struct mr_task *task)
{
	if (task->sample)
		return mr_sample_run(task);
	return task->attempt->map ? mr_map_run(task) : mr_reduce_run(task);
}

/* The user's init, the records or keys, the user's exit. */
static int run_user(struct mr_task *task)
{
	const struct mr_app *app = task->app;
	int ret = 0;

	if (app->init) {
		mr_progress_user(true);
		ret = mr_task_user(task, "init", app->init(task));
		mr_progress_user(false);
	}
	if (!ret)
		ret = run_records(task);
	if (!ret && app->exit) {
		mr_progress_user(true);
		ret = mr_task_user(task, "exit", app->exit(task));
		mr_progress_user(false);
	}
	return ret;
}

/* A map of a job with reduces. */
static int run_collecting(struct mr_task *task)
{
	struct mr_collect collect;
	int ret;

	ret = mr_collect_init(&collect, task);
	task->collect = &collect;
	if (!ret)
		ret = run_user(task);
	if (!ret)
		ret = mr_collect_finish(&collect);
	task->collect = NULL;
	mr_collect_exit(&collect);
	return ret;
}

/* A reduce, or a map of a job without. */
static int run_writing(struct mr_task *task)
{
	const struct mr_writer *writer = task->writer;
	struct mr_output output;
	int ret, closed;

	ret = mr_output_open(&output, task);
	if (ret)
		return ret;
	task->output = &output;
	ret = writer->open ? writer->open(task, &output, &task->writer_state) : 0;
	if (ret) {
		ret = mr_task_user(task, "the writer's open", ret);
		goto close_output;
	}
	ret = run_user(task);
	if (writer->close) {
		closed = writer->close(&output, task->writer_state, !ret);
		if (!ret && closed)
			ret = mr_task_user(task, "the writer's close", closed);
	}
close_output:
	closed = mr_output_close(&output, !ret);
	task->output = NULL;
	return ret ? ret : closed;
}

static uint64_t total_bytes(const struct mr_attempt *attempt)
{
	uint64_t sum = 0;
	size_t i;

	if (attempt->map)
		return attempt->len == UINT64_MAX && attempt->size != UINT64_MAX ? attempt->size : attempt->len;
	for (i = 0; i < attempt->nr_regions; i++)
		sum += attempt->regions[i].len;
	return sum;
}

static int check_attempt(struct mr_task *task)
{
	const struct mr_attempt *attempt = task->attempt;

	if (attempt->memory < MR_MEMORY_MIN)
		return mr_task_fail(task, MR_BLAME_SYSTEM, -EINVAL, "memory of %llu bytes: at least %llu are needed",
				    (unsigned long long)attempt->memory, MR_MEMORY_MIN);
	if (attempt->reduces > MR_REDUCES_MAX || (!attempt->map && attempt->number >= attempt->reduces))
		return mr_task_fail(task, MR_BLAME_SYSTEM, -EINVAL, "one of %u reduces", attempt->reduces);
	if (attempt->codec > MR_CODEC_MAX)
		return mr_task_fail(task, MR_BLAME_SYSTEM, -EINVAL, "codec %d is unknown", (int)attempt->codec);
	return 0;
}

int mr_attempt_run(const struct mr_attempt *attempt, struct mr_result *result)
{
	struct mr_task task;
	int ret;

	memset(result, 0, sizeof(*result));
	mr_progress_begin(total_bytes(attempt));
	mr_task_init(&task, attempt, result);
	ret = check_attempt(&task);
	if (!ret)
		ret = attempt->map && attempt->reduces ? run_collecting(&task) : run_writing(&task);
	result->out_records = task.out_records;
	if (!attempt->map)
		result->in_bytes = total_bytes(attempt);
	result->counters = task.counters.list;
	result->nr_counters = task.counters.nr;
	task.counters.list = NULL;
	mr_task_exit(&task);
	if (ret) {
		mr_result_discard(result);
		free(result->path);
		free(result->regions);
		result->path = NULL;
		result->regions = NULL;
		result->nr_regions = 0;
	}
	return result->error;
}

int mr_attempt_sample(const struct mr_attempt *attempt, uint32_t max, struct mr_result *result,
		      const struct mr_bytes **keys, size_t *nr)
{
	struct mr_sample sample = { .max = max, .random = attempt->number };
	struct mr_task task;

	memset(result, 0, sizeof(*result));
	mr_progress_begin(total_bytes(attempt));
	mr_task_init(&task, attempt, result);
	task.sample = &sample;
	sample.keys = calloc((size_t)max + 1, sizeof(*sample.keys));
	if (sample.keys)
		run_user(&task);
	else
		mr_task_fail(&task, MR_BLAME_SYSTEM, -ENOMEM, "no memory for a sample of %u keys", max);
	mr_task_exit(&task);
	result->keys = sample.keys;
	result->nr_keys = sample.nr;
	*keys = result->keys;
	*nr = result->nr_keys;
	return result->error;
}

void mr_result_exit(struct mr_result *result)
{
	size_t i;

	for (i = 0; i < result->nr_keys; i++)
		free((void *)result->keys[i].data);
	free(result->keys);
	free(result->path);
	free(result->regions);
	free(result->counters);
	memset(result, 0, sizeof(*result));
}

void mr_result_discard(const struct mr_result *result)
{
	if (result->path)
		unlink(result->path);
}
