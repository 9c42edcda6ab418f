/* SPDX-License-Identifier: GPL-2.0 */
/* What people see of a job: how far it is, and how it ended. All of it goes to standard error. */
#ifndef LOCKSTEP_MRCTL_PROGRESS_H
#define LOCKSTEP_MRCTL_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MRCTL_PROGRESS_MS	200	/* between two calls of mrctl_progress_show() */
#define MRCTL_TEXT_MAX		32	/* of mrctl_time_text() */

struct json_object;

/**
 * struct mrctl_progress - what was shown
 * @quiet: nothing is but failures
 * @terminal: a status line that changes, instead of lines
 * @line: a status line stands there
 * @shown_ms: when it was shown
 */
struct mrctl_progress {
	bool quiet;
	bool terminal;
	bool line;
	uint64_t shown_ms;
};

void mrctl_progress_init(struct mrctl_progress *progress, bool quiet);

/* Show how far a job is (coordinator/job.h, Status), if it is time. */
void mrctl_progress_show(struct mrctl_progress *progress, struct json_object *status);

/* A line of text, above the status line. */
void mrctl_progress_print(struct mrctl_progress *progress, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* How it ended: outputs and counters, or why it failed and what the task that failed first wrote. */
void mrctl_progress_end(struct mrctl_progress *progress, struct json_object *status);

/* "3.2 s"; MRCTL_TEXT_MAX characters. Return @out. */
char *mrctl_time_text(uint64_t ms, char *out);

/* Fields of JSON; a missing one is NULL, "" or 0. */
struct json_object *mrctl_field(struct json_object *o, const char *key);
const char *mrctl_text(struct json_object *o, const char *key);
uint64_t mrctl_number(struct json_object *o, const char *key);

#endif
