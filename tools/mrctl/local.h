/* SPDX-License-Identifier: GPL-2.0 */
/* A job on this machine alone: a coordinator in this process, worker processes, a socket between them. */
#ifndef LOCKSTEP_MRCTL_LOCAL_H
#define LOCKSTEP_MRCTL_LOCAL_H

#include <stdbool.h>

struct json_object;
struct mrctl_spec;

/* What coordinator and workers call themselves. */
#define MRCTL_CLUSTER	"mapreduce"
#define MRCTL_NODE	"local"

/**
 * struct mrctl_local - how to run it
 * @spec: job; @spec->reduces and @spec->memory are settled
 * @workers: processes
 * @temporary: private folder for the socket and run files
 * @journal: file, or NULL
 * @resume: carry on from @journal
 * @http: address of the status page, or NULL
 * @quiet: show no progress
 */
struct mrctl_local {
	const struct mrctl_spec *spec;
	unsigned int workers;
	const char *temporary;
	const char *journal;
	bool resume;
	const char *http;
	bool quiet;
};

/* Can the application be loaded? MRCTL_OK, or an exit status, told. */
int mrctl_local_check(const char *app);

/**
 * mrctl_local_run() - run it to its end
 * @local: how
 * @status: receives its last status, NULL if it never began
 *
 * A first SIGINT or SIGTERM kills the job, a second one does not wait for its workers.
 *
 * Return: exit status; failures are told.
 */
int mrctl_local_run(const struct mrctl_local *local, struct json_object **status);

#endif
