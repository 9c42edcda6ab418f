// SPDX-License-Identifier: GPL-2.0
/* What a map does with its split. */
#include "engine/map.h"

#include <errno.h>
#include <string.h>

#include "engine/input.h"
#include "engine/progress.h"

static int fail_reader(struct mr_task *task, struct mr_input *input, const struct mr_reader *reader, int err)
{
	if (input->fault[0])
		return mr_task_fail(task, err == -ENOMEM ? MR_BLAME_SYSTEM : MR_BLAME_INPUT, err, "%s", input->fault);
	if (task->said[0])
		return mr_task_fail(task, MR_BLAME_USER, err, "%s", task->said);
	return mr_task_fail(task, MR_BLAME_INPUT, err, "reader %s: %s", reader->name, strerror(-err));
}

static int map_records(struct mr_task *task, struct mr_input *input, const struct mr_reader *reader, void *state)
{
	const struct mr_attempt *attempt = task->attempt;
	int (*map)(struct mr_task *task, const struct mr_record *record) = task->app->map;
	struct mr_record record = { 0 };
	size_t skip = 0;
	int ret = 0, more;

	while (!ret && (more = reader->next(input, state, &record)) != 0) {
		if (more < 0)
			return fail_reader(task, input, reader, more);
		if (__builtin_expect(mr_progress_cancelled(), 0))
			return mr_task_fail(task, MR_BLAME_CANCEL, -ECANCELED, "cancelled");
		mr_progress_record();
		task->result->in_records++;
		if (skip < attempt->nr_skip && attempt->skip[skip] == mr_progress_records() - 1) {
			skip++;
			task->result->skipped++;
			continue;
		}
		task->record = &record;
		mr_progress_user(true);
		ret = map(task, &record);
		mr_progress_user(false);
		if (ret || task->result->error)
			ret = mr_task_user(task, "map", ret);
		task->record = NULL;
	}
	return ret;
}

int mr_map_run(struct mr_task *task)
{
	const struct mr_reader *reader = task->app->reader ? task->app->reader : &mr_reader_lines;
	struct mr_input input;
	void *state = NULL;
	int ret;

	ret = mr_input_open(&input, task->attempt);
	if (ret)
		return mr_task_fail(task, MR_BLAME_INPUT, ret, "%s", input.fault);
	ret = reader->open ? reader->open(task, &input, &state) : 0;
	if (ret) {
		ret = fail_reader(task, &input, reader, ret);
		goto close_input;
	}
	task->result->in_bytes = input.end - input.start;
	ret = map_records(task, &input, reader, state);
	if (reader->close)
		reader->close(&input, state);
	if (!ret && mr_input_verify(&input))
		ret = mr_task_fail(task, MR_BLAME_INPUT, -ESTALE, "%s", input.fault);
close_input:
	mr_input_close(&input);
	return ret;
}
