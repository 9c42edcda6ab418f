// SPDX-License-Identifier: GPL-2.0
/* What an application's callbacks know as struct mr_task: the attempt that runs. */
#include "engine/task.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/collect.h"
#include "engine/progress.h"
#include "engine/sample.h"

void mr_task_init(struct mr_task *task, const struct mr_attempt *attempt, struct mr_result *result)
{
	memset(task, 0, sizeof(*task));
	task->attempt = attempt;
	task->app = attempt->app;
	task->result = result;
	task->writer = attempt->app->writer ? attempt->app->writer : &mr_writer_text;
}

void mr_task_exit(struct mr_task *task)
{
	mr_counters_exit(&task->counters);
	free(task->value);
}

/* The place where it failed, for people. */
static void describe(const struct mr_task *task, char *text, size_t size)
{
	const struct mr_attempt *attempt = task->attempt;
	unsigned long long number = mr_progress_records() - 1;
	size_t i, n;

	if (attempt->map && task->record) {
		snprintf(text, size, "map %u, %s, record %llu at byte %llu", attempt->number, attempt->path, number,
			 (unsigned long long)task->record->offset);
		return;
	}
	if (attempt->map) {
		snprintf(text, size, "map %u, %s", attempt->number, attempt->path);
		return;
	}
	n = (size_t)snprintf(text, size, "reduce %u", attempt->number);
	if (!task->in_reduce)
		return;
	n += (size_t)snprintf(text + n, size - n, ", key %llu \"", number);
	for (i = 0; i < task->group.len && i < 64; i++) {
		const unsigned char c = ((const unsigned char *)task->group.data)[i];

		n += (size_t)snprintf(text + n, size - n, c < ' ' || c > '~' ? "\\x%02x" : "%c", c);
	}
	snprintf(text + n, size - n, i < task->group.len ? "...\"" : "\"");
}

int mr_task_fail(struct mr_task *task, enum mr_blame blame, int err, const char *format, ...)
{
	struct mr_result *result = task->result;
	uint64_t records = mr_progress_records();
	char where[MR_ERROR_MAX], why[MR_ERROR_MAX];
	int fits;
	va_list args;

	if (result->error)
		return result->error;
	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	result->error = err;
	result->blame = blame;
	result->record = records ? records - 1 : 0;
	describe(task, where, sizeof(where));
	fits = snprintf(result->message, sizeof(result->message), "%s: %s", where, why);
	if (fits >= (int)sizeof(result->message))
		strcpy(result->message + sizeof(result->message) - 4, "...");
	return err;
}

int mr_task_user(struct mr_task *task, const char *callback, int ret)
{
	if (task->result->error)
		return task->result->error;
	if (!ret)
		return 0;
	if (task->said[0])
		return mr_task_fail(task, MR_BLAME_USER, ret < 0 ? ret : -EINVAL, "%s", task->said);
	if (ret > 0)
		return mr_task_fail(task, MR_BLAME_USER, -EINVAL, "%s returned %d, neither 0 nor an error", callback, ret);
	return mr_task_fail(task, MR_BLAME_USER, ret, "%s returned: %s", callback, strerror(-ret));
}

int mr_task_combine(struct mr_task *task, struct mr_bytes key, struct mr_bytes *into, size_t cap,
		    struct mr_bytes value)
{
	int ret;

	task->into_cap = cap;
	ret = task->app->combine(task, key, into, value);
	if (ret || task->result->error)
		return mr_task_user(task, "combine", ret);
	if (into->len > MR_VALUE_MAX || key.len + into->len > mr_task_pair_max(task))
		return mr_task_fail(task, MR_BLAME_USER, -EMSGSIZE,
				    "combine made a value of %zu bytes, too long for memory of %llu", into->len,
				    (unsigned long long)task->attempt->memory);
	return 0;
}

static int emit_output(struct mr_task *task, struct mr_bytes key, struct mr_bytes value)
{
	int ret = task->writer->write(task->output, task->writer_state, key, value);

	return ret ? mr_task_fail(task, MR_BLAME_SYSTEM, ret, "writer %s: %s", task->writer->name, strerror(-ret)) : 0;
}

static int emit_sample(struct mr_task *task, struct mr_bytes key)
{
	int ret = mr_sample_add(task->sample, key);

	return ret ? mr_task_fail(task, MR_BLAME_SYSTEM, ret, "no memory for a sample") : 0;
}

int mr_emit(struct mr_task *task, const void *key, size_t key_len, const void *value, size_t value_len)
{
	/* nothing may be told as NULL, which memcpy() does not take */
	const struct mr_bytes k = { key_len ? key : "", key_len }, v = { value_len ? value : "", value_len };

	if (__builtin_expect(task->result->error, 0))
		return task->result->error;
	if (__builtin_expect(key_len > MR_KEY_MAX || value_len > MR_VALUE_MAX, 0))
		return mr_task_fail(task, MR_BLAME_USER, -EMSGSIZE,
				    "emitted a key of %zu bytes with a value of %zu: at most %u and %u are allowed",
				    key_len, value_len, MR_KEY_MAX, MR_VALUE_MAX);
	task->out_records++;
	if (task->collect)
		return mr_collect_add(task->collect, k, v);
	if (task->sample)
		return emit_sample(task, k);
	return emit_output(task, k, v);
}

int mr_value_set(struct mr_task *task, struct mr_bytes *into, const void *data, size_t len)
{
	size_t cap = len + len / 2 + 64;
	char *larger;

	if (len <= task->into_cap) {
		memmove((void *)into->data, data, len);
		into->len = len;
		return 0;
	}
	if (len > task->value_cap) {
		larger = malloc(cap);
		if (!larger)
			return -ENOMEM;
		memcpy(larger, data, len);
		free(task->value);
		task->value = larger;
		task->value_cap = cap;
	} else {
		memmove(task->value, data, len);
	}
	into->data = task->value;
	into->len = len;
	task->into_cap = task->value_cap;
	return 0;
}

void mr_counter_add(struct mr_task *task, const char *group, const char *name, int64_t n)
{
	int ret = mr_counters_add(&task->counters, group, name, n);

	if (ret == -ENAMETOOLONG)
		mr_task_fail(task, MR_BLAME_USER, ret, "counter \"%.80s\" \"%.80s\": names have 1 to %d characters",
			     group, name, MR_NAME_MAX);
	else if (ret == -E2BIG)
		mr_task_fail(task, MR_BLAME_USER, ret, "counter \"%s\" \"%s\" is one more than %d", group, name,
			     MR_COUNTERS_MAX);
	else if (ret)
		mr_task_fail(task, MR_BLAME_SYSTEM, ret, "no memory for counters");
}

void mr_status_set(struct mr_task *task, const char *format, ...)
{
	char text[sizeof(((struct mr_progress *)0)->status)];
	va_list args;

	(void)task;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	mr_progress_status(text);
}

int mr_error(struct mr_task *task, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(task->said, sizeof(task->said), format, args);
	va_end(args);
	return -EINVAL;
}

bool mr_task_is_map(const struct mr_task *task)
{
	return task->attempt->map;
}

uint32_t mr_task_number(const struct mr_task *task)
{
	return task->attempt->number;
}

uint32_t mr_task_attempt(const struct mr_task *task)
{
	return task->attempt->attempt;
}

uint32_t mr_task_partitions(const struct mr_task *task)
{
	return task->attempt->reduces;
}

const char *mr_task_path(const struct mr_task *task)
{
	return task->attempt->map ? task->attempt->path : NULL;
}

const char *mr_task_option(const struct mr_task *task, const char *name)
{
	size_t i;

	/* the last one counts, as with most commands */
	for (i = task->attempt->nr_options; i-- > 0;)
		if (strcmp(task->attempt->options[i].name, name) == 0)
			return task->attempt->options[i].value;
	return NULL;
}
