// SPDX-License-Identifier: GPL-2.0
/* Readers that every worker has: lines, whole files, records of a fixed size. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/input.h"
#include "engine/task.h"

/* What is asked for at once: small enough for the cache. */
#define CHUNK	((size_t)256 << 10)

/**
 * struct cursor - where a reader is
 * @pos: offset of the next record
 * @data: bytes at @pos
 * @len: how many there are
 * @size: of a record; fixed reader
 */
struct cursor {
	uint64_t pos;
	const char *data;
	size_t len;
	size_t size;
};

static int cursor_open(void **state, uint64_t pos)
{
	struct cursor *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->pos = pos;
	*state = c;
	return 0;
}

static void cursor_close(struct mr_input *input, void *state)
{
	(void)input;
	free(state);
}

/* Have @want bytes at the cursor, fewer at the file's end. */
static int cursor_fill(struct mr_input *input, struct cursor *c, size_t want)
{
	const void *data;
	int64_t n = mr_input_at(input, c->pos, want, &data);

	if (n < 0)
		return (int)n;
	c->data = data;
	c->len = (size_t)n;
	return 0;
}

static void cursor_advance(struct cursor *c, size_t len)
{
	c->pos += len;
	c->data += len;
	c->len -= len;
}

/* The first line of a split begins behind the first newline at or after start - 1. */
static int lines_open(struct mr_task *task, struct mr_input *input, void **state)
{
	uint64_t start = mr_input_start(input);
	struct cursor *c;
	const char *nl;
	int ret;

	(void)task;
	ret = cursor_open(state, start ? start - 1 : 0);
	c = *state;
	while (!ret && start && c->pos < mr_input_end(input)) {
		ret = cursor_fill(input, c, CHUNK);
		nl = ret ? NULL : memchr(c->data, '\n', c->len);
		if (!ret)
			cursor_advance(c, nl ? (size_t)(nl - c->data) + 1 : c->len);
		if (nl)
			break;
	}
	if (ret)
		free(c);
	return ret;
}

/* The whole line is not in the window yet: its length is *@line then. */
static int lines_extend(struct mr_input *input, struct cursor *c, size_t *line)
{
	size_t max = mr_input_record_max(input), want = CHUNK, seen = 0;
	const char *nl;
	int ret;

	for (;;) {
		ret = cursor_fill(input, c, want);
		if (ret)
			return ret;
		nl = memchr(c->data + seen, '\n', c->len - seen);
		*line = nl ? (size_t)(nl - c->data) : c->len;
		if (nl && *line <= max)
			return 0;
		if (!nl && c->len < want && *line <= max)	/* the file's last, without a newline */
			return 0;
		if (*line > max || want > max)
			return mr_input_fail(input, -EMSGSIZE, "the line at byte %llu is longer than %zu bytes%s",
					     (unsigned long long)c->pos, max,
					     max < MR_RECORD_MAX ? ": give the job more memory" : "");
		seen = c->len;
		want = want * 2 < max ? want * 2 : max + 1;
	}
}

static int lines_next(struct mr_input *input, void *state, struct mr_record *record)
{
	struct cursor *c = state;
	const char *nl;
	size_t line;
	int ret;

	if (c->pos >= mr_input_end(input))
		return 0;
	nl = c->len ? memchr(c->data, '\n', c->len) : NULL;
	line = nl ? (size_t)(nl - c->data) : 0;
	if (!nl) {
		ret = lines_extend(input, c, &line);
		if (ret)
			return ret;
	}
	record->value.data = c->data;
	record->value.len = line;
	record->offset = c->pos;
	cursor_advance(c, line < c->len ? line + 1 : line);
	return 1;
}

static int file_open(struct mr_task *task, struct mr_input *input, void **state)
{
	(void)task;
	(void)input;
	return cursor_open(state, 0);
}

static int file_next(struct mr_input *input, void *state, struct mr_record *record)
{
	uint64_t size = mr_input_size(input);
	struct cursor *c = state;
	int ret;

	if (c->size)	/* it was given out */
		return 0;
	c->size = 1;
	if (size > mr_input_record_max(input))
		return mr_input_fail(input, -EMSGSIZE, "%llu bytes long: a whole file may have %zu%s",
				     (unsigned long long)size, mr_input_record_max(input),
				     mr_input_record_max(input) < MR_RECORD_MAX ? " with this memory" : "");
	ret = cursor_fill(input, c, size);
	if (ret)
		return ret;
	record->key.data = input->path;
	record->key.len = strlen(input->path);
	record->value.data = c->data;
	record->value.len = c->len;
	record->offset = 0;
	return 1;
}

static int fixed_open(struct mr_task *task, struct mr_input *input, void **state)
{
	const char *text = mr_task_option(task, "record.size");
	unsigned long size = 100;
	uint64_t start = mr_input_start(input);
	char *end = NULL;
	int ret;

	if (text)
		size = strtoul(text, &end, 10);
	if (!size || size > mr_input_record_max(input) || (text && (*end || *text < '0' || *text > '9')))
		return mr_error(task, "option record.size=%s: 1 to %zu bytes", text, mr_input_record_max(input));
	if (mr_input_size(input) % size)
		return mr_input_fail(input, -EINVAL, "%llu bytes are no whole number of records of %lu",
				     (unsigned long long)mr_input_size(input), size);
	ret = cursor_open(state, (start + size - 1) / size * size);
	if (!ret)
		((struct cursor *)*state)->size = size;
	return ret;
}

static int fixed_next(struct mr_input *input, void *state, struct mr_record *record)
{
	struct cursor *c = state;
	int ret;

	if (c->pos >= mr_input_end(input))
		return 0;
	if (c->len < c->size) {
		ret = cursor_fill(input, c, c->size > CHUNK ? c->size : CHUNK);
		if (ret)
			return ret;
	}
	record->value.data = c->data;
	record->value.len = c->size;
	record->offset = c->pos;
	cursor_advance(c, c->size);
	return 1;
}

const struct mr_reader mr_reader_lines = {
	.name = "lines",
	.open = lines_open,
	.next = lines_next,
	.close = cursor_close,
};

const struct mr_reader mr_reader_file = {
	.name = "file",
	.whole = true,
	.open = file_open,
	.next = file_next,
	.close = cursor_close,
};

const struct mr_reader mr_reader_fixed = {
	.name = "fixed",
	.open = fixed_open,
	.next = fixed_next,
	.close = cursor_close,
};
