/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A shell command that is fed lines and whose lines are taken.
 *
 * Its three pipes are served together whenever one of them would block, so that
 * neither side ever waits for the other to read. It runs in a process group of
 * its own and dies with the thread that started it.
 */
#ifndef LOCKSTEP_MR_CHILD_H
#define LOCKSTEP_MR_CHILD_H

#include <stddef.h>

/**
 * struct mr_child_ops - what becomes of the child's lines
 * @output: a line of standard output, without its newline
 * @error: a line of standard error; a very long one comes in pieces
 *
 * Each returns 0, or -errno, which ends the child and is what the call that fed
 * it returns.
 */
struct mr_child_ops {
	int (*output)(void *arg, const char *line, size_t len);
	int (*error)(void *arg, const char *line, size_t len);
};

struct mr_child;

/**
 * mr_child_start() - start a command
 * @command: for /bin/sh -c
 * @dir: where it runs; NULL: here
 * @env: its whole environment, ended by NULL
 * @ops: for its lines, borrowed until it is destroyed
 * @arg: for @ops
 * @out: receives the child
 *
 * SIGPIPE must be ignored in the calling process; it is not in the child.
 *
 * Return: 0 or -errno.
 */
int mr_child_start(const char *command, const char *dir, char *const *env,
		   const struct mr_child_ops *ops, void *arg, struct mr_child **out);

/**
 * mr_child_feed() - give it bytes
 * @child: child
 * @data: bytes, for its standard input
 * @len: how many
 *
 * A child that reads no more is fed no more: what is left is dropped.
 *
 * Return: 0, -EMSGSIZE for a line of output above MR_RECORD_MAX, what an
 * operation returned, or another -errno.
 */
int mr_child_feed(struct mr_child *child, const void *data, size_t len);

/**
 * mr_child_finish() - end its input and wait for its end
 * @child: child
 * @status: receives what waitpid(2) says
 *
 * Return: as mr_child_feed(). Whether the child did well, only @status says.
 */
int mr_child_finish(struct mr_child *child, int *status);

/* Kill it, with its process group, if it lives; then free it. NULL is allowed. */
void mr_child_destroy(struct mr_child *child);

#endif
