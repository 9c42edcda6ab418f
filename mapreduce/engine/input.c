// SPDX-License-Identifier: GPL-2.0
/* A map's input, read through a window of memory. */
#include "engine/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/progress.h"

#define WINDOW	((size_t)1 << 20)

/* Kept from one attempt to the next: fresh memory costs a page fault for each page. */
static char *kept;
static size_t kept_cap;

int mr_input_fail(struct mr_input *input, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(input->fault, sizeof(input->fault), format, args);
	va_end(args);
	return err;
}

static uint64_t mtime_ns(const struct stat *stat)
{
	return (uint64_t)stat->st_mtim.tv_sec * 1000000000u + (uint64_t)stat->st_mtim.tv_nsec;
}

static int check_file(struct mr_input *input, const struct mr_attempt *attempt)
{
	uint64_t size;

	if (fstat(input->fd, &input->stat) < 0)
		return mr_input_fail(input, -errno, "stat: %s", strerror(errno));
	if (!S_ISREG(input->stat.st_mode))
		return mr_input_fail(input, S_ISDIR(input->stat.st_mode) ? -EISDIR : -EINVAL, "not a regular file");
	size = (uint64_t)input->stat.st_size;
	if (attempt->size != UINT64_MAX && attempt->size != size)
		return mr_input_fail(input, -ESTALE, "%llu bytes long, but it had %llu when the job began",
				     (unsigned long long)size, (unsigned long long)attempt->size);
	if (attempt->mtime_ns && attempt->mtime_ns != mtime_ns(&input->stat))
		return mr_input_fail(input, -ESTALE, "modified since the job began");
	if (attempt->offset > size)
		return mr_input_fail(input, -ESTALE, "%llu bytes long, but the split begins at %llu",
				     (unsigned long long)size, (unsigned long long)attempt->offset);
	input->start = attempt->offset;
	input->end = attempt->len > size - attempt->offset ? size : attempt->offset + attempt->len;
	return 0;
}

int mr_input_open(struct mr_input *input, const struct mr_attempt *attempt)
{
	int ret;

	memset(input, 0, sizeof(*input));
	input->path = attempt->path;
	input->max = attempt->memory / 4 + 1;	/* a line and its newline */
	/* O_NONBLOCK: a FIFO is refused, not waited for */
	input->fd = open(input->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (input->fd < 0)
		return mr_input_fail(input, -errno, "%s", strerror(errno));
	ret = check_file(input, attempt);
	if (ret) {
		close(input->fd);
		return ret;
	}
	input->window = kept;
	input->cap = kept_cap;
	return 0;
}

int mr_input_verify(struct mr_input *input)
{
	struct stat now;

	if (fstat(input->fd, &now) < 0)
		return mr_input_fail(input, -errno, "stat: %s", strerror(errno));
	if (now.st_size != input->stat.st_size || mtime_ns(&now) != mtime_ns(&input->stat))
		return mr_input_fail(input, -ESTALE, "changed while it was read");
	return 0;
}

void mr_input_close(struct mr_input *input)
{
	close(input->fd);
	if (input->cap > 4 * WINDOW) {	/* one huge record is no reason to keep so much */
		free(input->window);
		input->window = NULL;
		input->cap = 0;
	}
	kept = input->window;
	kept_cap = input->cap;
}

size_t mr_input_record_max(const struct mr_input *input)
{
	return input->max - 1 < MR_RECORD_MAX ? input->max - 1 : MR_RECORD_MAX;
}

/* Have room for @len bytes; what the window holds stays. */
static int grow_window(struct mr_input *input, size_t len)
{
	size_t cap = input->cap ? input->cap : WINDOW;
	char *window;

	while (cap < len)
		cap *= 2;
	if (cap == input->cap)
		return 0;
	window = realloc(input->window, cap);
	if (!window)
		return mr_input_fail(input, -ENOMEM, "no memory for a record of %zu bytes", len);
	input->window = window;
	input->cap = cap;
	return 0;
}

/* Read on behind what the window holds, until it has @len bytes or the file ends. */
static int fill_window(struct mr_input *input, size_t len)
{
	ssize_t n;

	while (input->len < len) {
		n = pread(input->fd, input->window + input->len, input->cap - input->len,
			  (off_t)(input->at + input->len));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return mr_input_fail(input, -errno, "read at %llu: %s",
					     (unsigned long long)(input->at + input->len), strerror(errno));
		if (!n && input->at + input->len < (uint64_t)input->stat.st_size)
			return mr_input_fail(input, -ESTALE, "shrank to %llu bytes while it was read",
					     (unsigned long long)(input->at + input->len));
		if (!n)
			break;
		input->len += (size_t)n;
		mr_progress_bytes((uint64_t)n);
	}
	return 0;
}

int64_t mr_input_at(struct mr_input *input, uint64_t offset, size_t len, const void **data)
{
	uint64_t size = (uint64_t)input->stat.st_size;
	size_t keep = 0;
	int ret;

	if (offset >= size) {
		*data = "";
		return 0;
	}
	if (len > size - offset)
		len = size - offset;
	if (offset < input->at || offset + len > input->at + input->len) {
		if (len > input->max)
			return mr_input_fail(input, -EMSGSIZE,
					     "%zu bytes wanted at once, memory allows %zu: give the job more memory",
					     len, input->max);
		if (offset >= input->at && offset < input->at + input->len)
			keep = input->at + input->len - offset;
		if (keep)
			memmove(input->window, input->window + (offset - input->at), keep);
		input->at = offset;
		input->len = keep;
		ret = grow_window(input, len);
		if (!ret)
			ret = fill_window(input, len);
		if (ret)
			return ret;
		/* bytes that were appended after the file was opened are not the job's */
		if (input->at + input->len > size)
			input->len = size - input->at;
	}
	*data = input->window + (offset - input->at);
	return (int64_t)len;
}

uint64_t mr_input_start(const struct mr_input *input)
{
	return input->start;
}

uint64_t mr_input_end(const struct mr_input *input)
{
	return input->end;
}

uint64_t mr_input_size(const struct mr_input *input)
{
	return (uint64_t)input->stat.st_size;
}
