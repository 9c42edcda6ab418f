// SPDX-License-Identifier: GPL-2.0
/* What a reduce does with its regions. */
#include "engine/reduce.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/merge.h"
#include "engine/progress.h"

/**
 * struct mr_values - the values of one key
 * @merge: gives the pairs; its current one is the last given, or @ahead
 * @group: the key, copied
 * @cap: room for it
 * @ahead: the current pair was not given yet
 * @over: there are no more for this key
 * @end: there are no more pairs at all
 */
struct mr_values {
	struct mr_merge merge;
	struct mr_bytes group;
	size_t cap;
	bool ahead;
	bool over;
	bool end;
};

/* Does the current pair belong to the key being reduced? */
static bool in_group(const struct mr_values *v)
{
	const struct mr_app *app = v->merge.task->app;

	if (app->group)
		return app->group(v->group, v->merge.key) == 0;
	if (app->compare)
		return app->compare(v->group, v->merge.key) == 0;
	return v->group.len == v->merge.key.len && memcmp(v->group.data, v->merge.key.data, v->group.len) == 0;
}

int mr_values_next(struct mr_values *v, struct mr_bytes *value)
{
	int ret;

	if (v->over)
		return 0;
	if (!v->ahead) {
		ret = mr_merge_next(&v->merge);
		if (ret <= 0) {
			v->over = true;
			v->end = true;
			return ret;
		}
		if (!v->merge.same && !in_group(v)) {
			v->over = true;
			v->ahead = true;
			return 0;
		}
	}
	v->ahead = false;
	*value = v->merge.value;
	return 1;
}

struct mr_bytes mr_values_key(const struct mr_values *v)
{
	/* the current pair is the next key's already, or none */
	return v->over ? v->group : v->merge.key;
}

/* Begin with the key of the current pair. */
static int begin_group(struct mr_values *v)
{
	size_t len = v->merge.key.len, cap = len + len / 2 + 64;
	char *larger;

	if (len > v->cap) {
		larger = realloc((void *)v->group.data, cap);
		if (!larger)
			return mr_task_fail(v->merge.task, MR_BLAME_SYSTEM, -ENOMEM, "no memory for a key");
		v->group.data = larger;
		v->cap = cap;
	}
	if (len)
		memcpy((void *)v->group.data, v->merge.key.data, len);
	v->group.len = len;
	v->ahead = true;
	v->over = false;
	return 0;
}

/* Without a reduce function. */
static int write_values(struct mr_task *task, struct mr_values *v)
{
	struct mr_bytes value, key;
	int ret = 0, more;

	while (!ret && (more = mr_values_next(v, &value)) != 0) {
		if (more < 0)
			return more;
		key = mr_values_key(v);
		ret = mr_emit(task, key.data, key.len, value.data, value.len);
	}
	return ret;
}

static int reduce_group(struct mr_task *task, struct mr_values *v)
{
	int ret;

	task->group = v->group;
	task->in_reduce = true;
	if (task->app->reduce) {
		mr_progress_user(true);
		ret = task->app->reduce(task, v->group, v);
		mr_progress_user(false);
	} else {
		ret = write_values(task, v);
	}
	if (ret || task->result->error)
		ret = mr_task_user(task, "reduce", ret);
	task->in_reduce = false;
	return ret;
}

static int reduce_groups(struct mr_task *task, struct mr_values *v)
{
	const struct mr_attempt *attempt = task->attempt;
	struct mr_bytes ignored;
	size_t skip = 0;
	int ret;

	ret = mr_merge_next(&v->merge);
	v->end = ret <= 0;
	while (!v->end && ret >= 0) {
		ret = begin_group(v);
		if (ret)
			break;
		mr_progress_record();
		if (skip < attempt->nr_skip && attempt->skip[skip] == mr_progress_records() - 1) {
			skip++;
			task->result->skipped++;
		} else {
			ret = reduce_group(task, v);
			if (ret)
				break;
		}
		do {	/* what was not asked for */
			ret = mr_values_next(v, &ignored);
		} while (ret > 0);
	}
	return ret < 0 ? ret : 0;
}

int mr_reduce_run(struct mr_task *task)
{
	const struct mr_attempt *attempt = task->attempt;
	struct mr_values v;
	int ret;

	memset(&v, 0, sizeof(v));
	ret = mr_merge_init(&v.merge, task, attempt->regions, attempt->nr_regions, -1, 0);
	if (!ret)
		ret = reduce_groups(task, &v);
	task->result->in_records = v.merge.pairs;
	mr_merge_exit(&v.merge);
	free((void *)v.group.data);
	return ret;
}
