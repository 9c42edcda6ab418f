/* SPDX-License-Identifier: GPL-2.0 */
/* An output under its temporary name. */
#ifndef LOCKSTEP_MR_OUTPUT_H
#define LOCKSTEP_MR_OUTPUT_H

#include <xxhash.h>

#include "engine/task.h"

/**
 * struct mr_output - an output
 * @task: attempt; its result names the file
 * @fd: file
 * @buf: bytes to be written
 * @len: how many
 * @size: bytes written
 * @hash: of them
 */
struct mr_output {
	struct mr_task *task;
	int fd;
	char *buf;
	size_t len;
	uint64_t size;
	XXH3_state_t *hash;
};

/* 0, or the -errno with which the attempt has failed. */
int mr_output_open(struct mr_output *output, struct mr_task *task);

/**
 * mr_output_close() - have the output complete and durable, or give it up
 * @output: output that was opened
 * @commit: fsync it and tell inode, size and checksum in the task's result
 *
 * Return: 0, or the -errno with which the attempt has failed.
 */
int mr_output_close(struct mr_output *output, bool commit);

#endif
