/* SPDX-License-Identifier: GPL-2.0 */
/* What mrmaster is told on its command line. */
#ifndef LOCKSTEP_MR_ARGUMENTS_H
#define LOCKSTEP_MR_ARGUMENTS_H

#include "coordinator/job.h"

struct mr_arguments {
	struct mr_job_config job;
	const char *socket;
	const char *report;
	const char *http;
	bool quiet;
};

/* 0; 1: help was asked for, and given; -EINVAL: told to standard error; -ENOMEM */
int mr_arguments_parse(struct mr_arguments *a, int argc, char **argv);

void mr_arguments_exit(struct mr_arguments *a);

#endif
