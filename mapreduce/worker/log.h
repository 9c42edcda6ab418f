/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Standard error of an attempt: passed on as it comes, its end kept for the
 * coordinator.
 *
 * While an attempt runs, descriptor 2 is a file in memory, which user code can write
 * without a reader. Written by the task thread, passed on by any.
 */
#ifndef LOCKSTEP_MR_LOG_H
#define LOCKSTEP_MR_LOG_H

#include <pthread.h>
#include <stddef.h>
#include <sys/types.h>

struct mr_log {
	pthread_mutex_t lock;
	int fd;			/* the file in memory */
	int real;		/* the process's standard error */
	off_t passed;		/* so much of it was passed on */
};

int mr_log_init(struct mr_log *log);
void mr_log_begin(struct mr_log *log);	/* an attempt begins */
void mr_log_end(struct mr_log *log);
void mr_log_pass(struct mr_log *log);	/* pass on what is new */

/* The last of it as text, at most @size - 1 bytes. */
void mr_log_tail(struct mr_log *log, char *text, size_t size);

#endif
