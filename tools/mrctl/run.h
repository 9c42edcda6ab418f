/* SPDX-License-Identifier: GPL-2.0 */
/* mrctl run, for the commands that are another way to say it. */
#ifndef LOCKSTEP_MRCTL_RUN_H
#define LOCKSTEP_MRCTL_RUN_H

#include <stdbool.h>

#include "spec.h"

/**
 * struct mrctl_run - a job that runs here
 * @spec: what it is
 * @workers: processes; 0: one for each core
 * @work_dir: where its private folder is made
 * @http: address of the status page, or NULL
 * @json: print the last status
 * @quiet: show failures only
 * @resume: carry on from the journal of job @number
 * @number: what is kept of it has this number; 0: a new one
 * @temporary: its private folder, malloc'ed
 */
struct mrctl_run {
	struct mrctl_spec spec;
	unsigned int workers;
	const char *work_dir;
	const char *http;
	bool json;
	bool quiet;
	bool resume;
	unsigned int number;
	char *temporary;
};

void mrctl_run_init(struct mrctl_run *run);

/**
 * mrctl_run_line() - run what a command line says
 * @run: job, initialised; what the line does not say stays
 * @argc: as of "mrctl run": argv[0] is "run"
 * @argv: must stay until mrctl_run_exit()
 *
 * Return: exit status.
 */
int mrctl_run_line(struct mrctl_run *run, int argc, char **argv);

void mrctl_run_exit(struct mrctl_run *run);

#endif
