/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The worker processes of a job that runs on this machine alone.
 *
 * One that ends before the job does, because user code crashed it, is started anew.
 * What they write to standard error comes as lines.
 */
#ifndef LOCKSTEP_MRCTL_CREW_H
#define LOCKSTEP_MRCTL_CREW_H

#include <stddef.h>
#include <stdint.h>

struct event_base;
struct mrctl_crew;

/**
 * struct mrctl_crew_config - who works; all of it is borrowed
 * @address: where the coordinator listens
 * @app: application
 * @work_dir: for run files
 * @output_dir: for outputs
 * @workers: how many
 * @line: a line of a worker's standard error
 * @useless: workers end again and again at once; @status as of waitpid(2)
 * @empty: all have ended, after mrctl_crew_dismiss()
 * @user: passed to them
 */
struct mrctl_crew_config {
	const char *address;
	const char *app;
	const char *work_dir;
	const char *output_dir;
	unsigned int workers;
	void (*line)(const char *line, void *user);
	void (*useless)(int status, void *user);
	void (*empty)(void *user);
	void *user;
};

/* Start them. 0 or -errno. */
int mrctl_crew_create(struct event_base *base, const struct mrctl_crew_config *config,
		      struct mrctl_crew **crew);

/* The job is over: they end by themselves, or are killed @ms milliseconds later. */
void mrctl_crew_dismiss(struct mrctl_crew *crew, unsigned int ms);

/* Kill all that live, wait for them, forget them. NULL is allowed. */
void mrctl_crew_destroy(struct mrctl_crew *crew);

#endif
