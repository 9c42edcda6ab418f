/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is kept of jobs that ran on this machine: a numbered folder for each in
 * $XDG_STATE_HOME/lockstep/jobs (~/.local/state/lockstep/jobs).
 *
 *	job.json	how it was begun: {argv[], cwd, workers, began, pid, temporary}
 *	journal		until it has succeeded: for mrctl resume
 *	status.json	how it ended
 *
 * The last MRCTL_KEPT_MAX are kept. A machine without a home keeps nothing.
 */
#ifndef LOCKSTEP_MRCTL_KEPT_H
#define LOCKSTEP_MRCTL_KEPT_H

#include <stddef.h>

#define MRCTL_KEPT_MAX	100
#define MRCTL_PATH_MAX	4096

struct json_object;

/**
 * mrctl_kept_create() - a folder for a new job
 * @number: receives its number, from 1
 *
 * Return: 0 or -errno.
 */
int mrctl_kept_create(unsigned int *number);

/* Path of a file of a job. @out: MRCTL_PATH_MAX characters. Returns @out, NULL without a home. */
char *mrctl_kept_path(unsigned int number, const char *file, char *out);

/* Read or replace one of its JSON files; NULL if there is none. 0 or -errno. */
struct json_object *mrctl_kept_read(unsigned int number, const char *file);
int mrctl_kept_write(unsigned int number, const char *file, struct json_object *o);

/* It succeeded: its journal is of no more use. */
void mrctl_kept_done(unsigned int number);

/* Keep nothing of it. */
void mrctl_kept_remove(unsigned int number);

/* Numbers of all, ascending; malloc'ed. Returns how many, or -errno. */
int mrctl_kept_list(unsigned int **numbers);

/* Remove a folder with all that is in it. */
void mrctl_tree_remove(const char *path);

#endif
