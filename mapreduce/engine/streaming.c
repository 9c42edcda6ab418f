// SPDX-License-Identifier: GPL-2.0
#include "streaming.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "fold.h"
#include "reporter.h"

#define BLOCK		(256u << 10)	/* bytes of lines given to map at once */
#define FEED		(64u << 10)	/* bytes collected for a reducer */
#define TAIL		256		/* last bytes of standard error, for messages */
#define ENV_EXTRA	16		/* variables of an attempt, at most */
#define KEY_FIELDS_MAX	64

/**
 * struct streaming - the running attempt
 * @task: attempt
 * @command: what runs, for messages; NULL: nothing does
 * @child: it
 * @fold: instead of a reducer
 * @final: lines go to the output
 * @key_fields: fields of the key
 * @feed: lines for the reducer, not yet given
 * @feed_len: bytes of them
 * @tail: last lines of standard error
 * @tail_len: bytes of them
 */
static struct streaming {
	struct mr_task *task;
	const char *command;
	struct mr_child *child;
	const struct mr_fold *fold;
	bool final;
	unsigned int key_fields;
	char feed[FEED];
	size_t feed_len;
	char tail[TAIL];
	size_t tail_len;
} job;

/* --- lines of the commands -------------------------------------------------- */

/* The key ends before the TAB behind its last field; @len: there is none. */
static size_t key_length(const char *line, size_t len)
{
	const char *p = line, *tab;
	unsigned int i;

	for (i = 1; (tab = memchr(p, '\t', line + len - p)); i++) {
		if (i == job.key_fields)
			return tab - line;
		p = tab + 1;
	}
	return len;
}

/* A line on its way out is a value without key, since a key has the smaller limit. */
static int line_output(void *arg, const char *line, size_t len)
{
	struct mr_bytes key, held;
	char number[MR_FOLD_SIZE];
	size_t key_len;
	int ret;

	(void)arg;
	if (job.final)
		return mr_emit(job.task, "", 0, line, len);
	key_len = key_length(line, len);
	if (!job.fold)
		return mr_emit(job.task, line, key_len, line + key_len, len - key_len);
	key = (struct mr_bytes){ line, key_len };
	held = (struct mr_bytes){ line + key_len, 0 };
	if (key_len < len)
		held = (struct mr_bytes){ line + key_len + 1, len - key_len - 1 };
	ret = mr_fold_hold(job.fold, job.task, key, held, key_len < len, number, &held);
	return ret ? ret : mr_emit(job.task, line, key_len, held.data, held.len);
}

static void tail_add(const char *line, size_t len)
{
	if (len > TAIL - 1) {
		line += len - (TAIL - 1);
		len = TAIL - 1;
	}
	if (job.tail_len + len + 1 > TAIL) {
		size_t drop = job.tail_len + len + 1 - TAIL;

		memmove(job.tail, job.tail + drop, job.tail_len - drop);
		job.tail_len -= drop;
	}
	memcpy(job.tail + job.tail_len, line, len);
	job.tail_len += len;
	job.tail[job.tail_len++] = '\n';
}

static int line_error(void *arg, const char *line, size_t len)
{
	struct mr_report report;

	(void)arg;
	mr_report_parse(line, len, &report);
	switch (report.kind) {
	case MR_REPORT_COUNTER:
		mr_counter_add(job.task, report.group, report.name, report.amount);
		break;
	case MR_REPORT_STATUS:
		mr_status_set(job.task, "%.*s", (int)report.status.len,
			      (const char *)report.status.data);
		break;
	case MR_REPORT_NONE:
		tail_add(line, len);
		fprintf(stderr, "%.*s\n", (int)len, line);
		break;
	}
	return 0;
}

static const struct mr_child_ops ops = { .output = line_output, .error = line_error };

/* --- the command's environment ---------------------------------------------- */

struct env {
	char **vars;
	size_t nr;
	size_t room;
	char *made[ENV_EXTRA];
	size_t nr_made;
};

static int env_add(struct env *env, char *var)
{
	if (env->nr + 1 >= env->room) {
		size_t room = env->room ? env->room * 2 : 64;
		char **vars = realloc(env->vars, room * sizeof(*vars));

		if (!vars)
			return -ENOMEM;
		env->vars = vars;
		env->room = room;
	}
	env->vars[env->nr++] = var;
	env->vars[env->nr] = NULL;
	return 0;
}

static int env_set(struct env *env, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int env_set(struct env *env, const char *format, ...)
{
	va_list args;
	char *var;
	int n;

	if (env->nr_made == ENV_EXTRA)
		return -E2BIG;
	va_start(args, format);
	n = vasprintf(&var, format, args);
	va_end(args);
	if (n < 0)
		return -ENOMEM;
	env->made[env->nr_made++] = var;
	return env_add(env, var);
}

static void env_exit(struct env *env)
{
	while (env->nr_made)
		free(env->made[--env->nr_made]);
	free(env->vars);
}

/* The names that Hadoop's users know, old and new. */
static int env_attempt(struct env *env, struct mr_task *task)
{
	bool map = mr_task_is_map(task);
	const char *path = mr_task_path(task);
	unsigned int number = mr_task_number(task), attempt = mr_task_attempt(task);
	char kind = map ? 'm' : 'r';
	int ret;

	ret = env_set(env, "mapreduce_task_id=task_%c_%06u", kind, number);
	if (!ret)
		ret = env_set(env, "mapreduce_task_attempt_id=attempt_%c_%06u_%u", kind, number, attempt);
	if (!ret)
		ret = env_set(env, "mapreduce_task_partition=%u", number);
	if (!ret)
		ret = env_set(env, "mapreduce_task_ismap=%s", map ? "true" : "false");
	if (!ret)
		ret = env_set(env, "mapreduce_job_reduces=%u", mr_task_partitions(task));
	if (!ret)
		ret = env_set(env, "mapred_task_id=attempt_%c_%06u_%u", kind, number, attempt);
	if (!ret && path)
		ret = env_set(env, "map_input_file=%s", path);
	if (!ret && path)
		ret = env_set(env, "mapreduce_map_input_file=%s", path);
	return ret;
}

/* @more: NAME=VALUE lines; they win over what was inherited. */
static int env_make(struct env *env, struct mr_task *task, char *more)
{
	char *var, *save = NULL;
	int ret = env_attempt(env, task);
	size_t i, own;

	for (var = more ? strtok_r(more, "\n", &save) : NULL; var && !ret;
	     var = strtok_r(NULL, "\n", &save))
		ret = env_add(env, var);
	own = env->nr;
	for (i = 0; environ[i] && !ret; i++) {
		size_t len = strcspn(environ[i], "=") + 1, j;

		for (j = 0; j < own; j++)
			if (!strncmp(env->vars[j], environ[i], len))
				break;
		if (j == own)
			ret = env_add(env, environ[i]);
	}
	return ret;
}

/* --- begin and end of an attempt -------------------------------------------- */

static int command_start(struct mr_task *task)
{
	const char *text = mr_task_option(task, "streaming.env");
	char *more = text ? strdup(text) : NULL;
	struct env env = { 0 };
	int ret;

	/* a command that stops reading is no reason to die */
	signal(SIGPIPE, SIG_IGN);
	ret = env_make(&env, task, more);
	if (!ret)
		ret = mr_child_start(job.command, mr_task_option(task, "streaming.dir"), env.vars,
				     &ops, NULL, &job.child);
	if (ret)
		ret = mr_error(task, "'%s' can't be started: %s", job.command, strerror(-ret));
	env_exit(&env);
	free(more);
	return ret;
}

static int key_fields_get(struct mr_task *task)
{
	const char *text = mr_task_option(task, "stream.num.map.output.key.fields");
	int64_t n = 1;

	if (text && (mr_number_parse(text, strlen(text), &n) || n < 1 || n > KEY_FIELDS_MAX))
		return mr_error(task, "stream.num.map.output.key.fields=%s: must be 1 to %d", text,
				KEY_FIELDS_MAX);
	job.key_fields = n;
	return 0;
}

static int streaming_init(struct mr_task *task)
{
	bool map = mr_task_is_map(task);
	const char *reducer = mr_task_option(task, "streaming.reducer");
	int ret;

	/* an attempt that failed between two calls has left its child */
	mr_child_destroy(job.child);
	job.child = NULL;
	job.task = task;
	job.feed_len = 0;
	job.tail_len = 0;
	job.final = !map || !mr_task_partitions(task);
	job.fold = mr_fold_find(reducer);
	if (reducer && *reducer == '@' && !job.fold)
		return mr_error(task, "no reducer '%s'; there are @sum @count @min @max @uniq @aggregate",
				reducer);
	ret = key_fields_get(task);
	if (ret)
		return ret;
	job.command = map ? mr_task_option(task, "streaming.mapper") : job.fold ? NULL : reducer;
	if (job.command && !*job.command)
		job.command = NULL;
	return job.command ? command_start(task) : 0;
}

/* Say how a command ended; @status as of waitpid(2). */
static int command_failed(struct mr_task *task, int status)
{
	const char *map = mr_task_is_map(task) ? "mapper" : "reducer";
	char how[64];

	while (job.tail_len && isspace((unsigned char)job.tail[job.tail_len - 1]))
		job.tail_len--;
	if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), "was killed by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(how, sizeof(how), "ended with status %d%s", WEXITSTATUS(status),
			 WEXITSTATUS(status) == 127 ? " (command not found)" : "");
	return mr_error(task, "%s '%.160s' %s%s%.*s", map, job.command, how,
			job.tail_len ? "; the last it wrote: " : "", (int)job.tail_len, job.tail);
}

static bool status_bad(struct mr_task *task, int status)
{
	const char *strict = mr_task_option(task, "stream.non.zero.exit.is.failure");

	if (WIFEXITED(status))
		return WEXITSTATUS(status) && !(strict && !strcmp(strict, "false"));
	return true;
}

static int feed_flush(void)
{
	int ret = mr_child_feed(job.child, job.feed, job.feed_len);

	job.feed_len = 0;
	return ret;
}

static int streaming_exit(struct mr_task *task)
{
	int status = 0, ret;

	if (!job.child)
		return 0;
	ret = feed_flush();
	if (!ret)
		ret = mr_child_finish(job.child, &status);
	mr_child_destroy(job.child);
	job.child = NULL;
	if (!ret && status_bad(task, status))
		ret = command_failed(task, status);
	return ret;
}

/* A failed attempt gets no exit(). */
static int failed(int error)
{
	if (error == -EMSGSIZE)
		mr_error(job.task, "a line of '%.160s' is too long: above %u bytes of key or %u bytes in all",
			 job.command ? job.command : "the input", MR_KEY_MAX, MR_RECORD_MAX);
	mr_child_destroy(job.child);
	job.child = NULL;
	return error;
}

/* --- map and reduce --------------------------------------------------------- */

/* Without a mapper the lines are its output. */
static int lines_pass(const char *p, size_t len)
{
	const char *end = p + len;
	int ret = 0;

	while (!ret && p < end) {
		const char *newline = memchr(p, '\n', end - p);

		if (!newline)
			newline = end;
		ret = line_output(NULL, p, newline - p);
		p = newline + 1;
	}
	return ret;
}

static int streaming_map(struct mr_task *task, const struct mr_record *record)
{
	const char *data = record->value.data;
	size_t len = record->value.len;
	int ret;

	(void)task;
	if (!len)
		return 0;
	if (!job.child)
		return lines_pass(data, len);
	ret = mr_child_feed(job.child, data, len);
	/* the input's last line may lack it */
	if (!ret && data[len - 1] != '\n')
		ret = mr_child_feed(job.child, "\n", 1);
	return ret ? failed(ret) : 0;
}

static int feed_add(struct mr_bytes bytes)
{
	int ret = 0;

	if (job.feed_len + bytes.len > FEED)
		ret = feed_flush();
	if (ret)
		return ret;
	if (bytes.len > FEED)
		return mr_child_feed(job.child, bytes.data, bytes.len);
	if (bytes.len)
		memcpy(job.feed + job.feed_len, bytes.data, bytes.len);
	job.feed_len += bytes.len;
	return 0;
}

static int reduce_command(struct mr_values *values)
{
	static const struct mr_bytes newline = { "\n", 1 };
	struct mr_bytes value;
	int ret;

	while ((ret = mr_values_next(values, &value)) > 0) {
		ret = feed_add(mr_values_key(values));
		if (!ret)
			ret = feed_add(value);
		if (!ret)
			ret = feed_add(newline);
		if (ret)
			return failed(ret);
	}
	return ret;
}

/* The first value is copied: it lives only until the next one comes. */
static int reduce_fold(struct mr_task *task, struct mr_bytes key, struct mr_values *values)
{
	char number[MR_FOLD_SIZE];
	struct mr_bytes held = { number, 0 }, value;
	bool first = true;
	int ret;

	while ((ret = mr_values_next(values, &value)) > 0) {
		if (!first) {
			ret = mr_fold_merge(job.fold, task, key, &held, value);
		} else if (value.len <= sizeof(number)) {
			if (value.len)
				memcpy(number, value.data, value.len);
			held.len = value.len;
			ret = 0;
		} else {
			ret = mr_value_set(task, &held, value.data, value.len);
		}
		if (ret)
			return ret;
		first = false;
	}
	return ret < 0 ? ret : mr_fold_emit(job.fold, task, key, held);
}

static int streaming_reduce(struct mr_task *task, struct mr_bytes key, struct mr_values *values)
{
	struct mr_bytes value;
	int ret;

	if (job.fold)
		return reduce_fold(task, key, values);
	if (job.child)
		return reduce_command(values);
	while ((ret = mr_values_next(values, &value)) > 0) {
		key = mr_values_key(values);
		ret = mr_emit(task, key.data, key.len, value.data, value.len);
		if (ret)
			break;
	}
	return ret;
}

static int streaming_combine(struct mr_task *task, struct mr_bytes key, struct mr_bytes *into,
			     struct mr_bytes value)
{
	return mr_fold_merge(job.fold, task, key, into, value);
}

/* --- reader: blocks of whole lines ------------------------------------------ */

/* Where the first line that begins at or behind @offset begins. */
static int64_t line_begin(struct mr_input *input, uint64_t offset)
{
	uint64_t pos = offset ? offset - 1 : 0;
	const void *data;
	const char *newline;
	int64_t n;

	if (!offset)
		return 0;
	while ((n = mr_input_at(input, pos, BLOCK, &data)) > 0) {
		newline = memchr(data, '\n', n);
		if (newline)
			return pos + (newline - (const char *)data) + 1;
		pos += n;
	}
	return n < 0 ? n : (int64_t)pos;
}

static int blocks_open(struct mr_task *task, struct mr_input *input, void **state)
{
	uint64_t *next = malloc(sizeof(*next));
	int64_t pos;

	(void)task;
	if (!next)
		return -ENOMEM;
	pos = line_begin(input, mr_input_start(input));
	if (pos < 0) {
		free(next);
		return (int)pos;
	}
	*next = pos;
	*state = next;
	return 0;
}

/*
 * How many of @n bytes make whole lines that begin in the split, whose end is @left
 * bytes away. 0: the last line goes on behind them.
 */
static size_t block_length(const char *data, size_t n, uint64_t left)
{
	const char *newline;

	newline = n < left ? memrchr(data, '\n', n) : memchr(data + left - 1, '\n', n - left + 1);
	return newline ? newline - data + 1 : 0;
}

static int blocks_next(struct mr_input *input, void *state, struct mr_record *record)
{
	uint64_t *next = state, left;
	const void *data;
	size_t want, len;
	int64_t n;

	if (*next >= mr_input_end(input))
		return 0;
	left = mr_input_end(input) - *next;
	for (want = BLOCK; ; want *= 2) {
		n = mr_input_at(input, *next, want, &data);
		if (n <= 0)
			return (int)n;
		len = block_length(data, n, left);
		if (!len && (size_t)n < want)
			len = n;
		if (len)
			break;
		if (want >= MR_RECORD_MAX)
			return -EMSGSIZE;
	}
	record->key = (struct mr_bytes){ NULL, 0 };
	record->value = (struct mr_bytes){ data, len };
	record->offset = *next;
	*next += len;
	return 1;
}

static void blocks_close(struct mr_input *input, void *state)
{
	(void)input;
	free(state);
}

static const struct mr_reader blocks = {
	.name = "blocks of lines", .open = blocks_open, .next = blocks_next, .close = blocks_close,
};

/* --- writer: lines as they are ---------------------------------------------- */

static int lines_open(struct mr_task *task, struct mr_output *output, void **state)
{
	(void)task;
	(void)output;
	*state = NULL;
	return 0;
}

static int lines_write(struct mr_output *output, void *state, struct mr_bytes key,
		       struct mr_bytes value)
{
	int ret = 0;

	(void)state;
	if (key.len)
		ret = mr_output_write(output, key.data, key.len);
	if (!ret && value.len)
		ret = mr_output_write(output, value.data, value.len);
	return ret ? ret : mr_output_write(output, "\n", 1);
}

static int lines_close(struct mr_output *output, void *state, bool commit)
{
	(void)output;
	(void)state;
	(void)commit;
	return 0;
}

static const struct mr_writer lines = {
	.name = "lines", .open = lines_open, .write = lines_write, .close = lines_close,
};

/* --- the applications ------------------------------------------------------- */

const struct mr_app mr_streaming = {
	MR_APP_HEADER("streaming"),
	.init = streaming_init,
	.exit = streaming_exit,
	.map = streaming_map,
	.reduce = streaming_reduce,
	.reader = &blocks,
	.writer = &lines,
};

const struct mr_app mr_streaming_fold = {
	MR_APP_HEADER("streaming-fold"),
	.init = streaming_init,
	.exit = streaming_exit,
	.map = streaming_map,
	.reduce = streaming_reduce,
	.combine = streaming_combine,
	.reader = &blocks,
	.writer = &lines,
};

const char *mr_streaming_name(const char *reducer)
{
	return mr_fold_find(reducer) ? mr_streaming_fold.name : mr_streaming.name;
}
