/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A map's input, read through a window of memory.
 *
 * It is read, not mapped: a file that shrinks while it is read is an error, not a
 * SIGBUS in user code.
 */
#ifndef LOCKSTEP_MR_INPUT_H
#define LOCKSTEP_MR_INPUT_H

#include <sys/stat.h>

#include "engine/attempt.h"

/**
 * struct mr_input - an input
 * @path: for messages
 * @fd: file
 * @stat: what it was when it was opened
 * @start: first byte of the split
 * @end: byte behind its last
 * @window: bytes that were read, from @at on
 * @at: offset of them
 * @len: how many
 * @cap: room in the window
 * @max: largest window
 * @fault: what went wrong, for the message; "" for nothing
 */
struct mr_input {
	const char *path;
	int fd;
	struct stat stat;
	uint64_t start;
	uint64_t end;
	char *window;
	uint64_t at;
	size_t len;
	size_t cap;
	size_t max;
	char fault[160];
};

/**
 * mr_input_open() - open a split
 * @input: input
 * @attempt: says which, and what its size and time must be
 *
 * Return: 0, or -errno with @input->fault saying what.
 */
int mr_input_open(struct mr_input *input, const struct mr_attempt *attempt);

/* Is the file still what was opened? 0, or -ESTALE and @input->fault. */
int mr_input_verify(struct mr_input *input);

void mr_input_close(struct mr_input *input);

/* Largest record that a window of @input may hold. */
size_t mr_input_record_max(const struct mr_input *input);

/* Say what is wrong with the input. Returns @err. */
int mr_input_fail(struct mr_input *input, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
