/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A worker: takes attempts from a coordinator and runs them, one at a time.
 *
 * User code runs on the calling thread. A second one, made here, has the connection:
 * heartbeats go on whatever user code does, and when the job ends while user code
 * does not return, the process ends without it.
 */
#ifndef LOCKSTEP_MR_WORK_H
#define LOCKSTEP_MR_WORK_H

#include <stddef.h>
#include <stdint.h>

#include "engine/attempt.h"
#include "rpc/mr.pb-c.h"

struct lockstep_transport_config;

#define MR_WORK_RETRY_MS_DEF	10000u

/**
 * struct mr_work_config - what makes a worker; all of it is the caller's
 * @app: application
 * @app_hash: of its file
 * @transport: how to reach the coordinator
 * @address: where it is, as for lockstep_transport_dial()
 * @peer: its node's name, or NULL
 * @job: which job; NULL: the only one there
 * @node: name of this node: where files are that this worker can open itself
 * @work_dir: absolute; run files go into a folder of their own there
 * @output_dir: absolute; outputs go there
 * @retry_ms: how long to dial when the coordinator is not there
 * @service: what to dial there; NULL: MR_SERVICE
 * @shuffle: where this node's mrnode brings regions of other nodes, as @address; NULL:
 *	all runs can be opened here
 * @shuffle_job: the job's name there
 */
struct mr_work_config {
	const struct mr_app *app;
	uint64_t app_hash;
	const struct lockstep_transport_config *transport;
	const char *address;
	const char *peer;
	const char *job;
	const char *node;
	const char *work_dir;
	const char *output_dir;
	uint32_t retry_ms;
	const char *service;
	const char *shuffle;
	const char *shuffle_job;
};

/**
 * mr_work_run() - be a worker until the job is over
 * @config: what kind
 * @err: receives why it ended, when it did not end well
 * @errlen: size of @err
 *
 * Once in the life of a process: it takes over signals of crashes, and exit().
 *
 * Return: 0: the job is done; -ECANCELED: it failed or was killed; -EPERM: the
 * coordinator refused this worker; -ETIMEDOUT: no coordinator for @retry_ms; -errno.
 */
int mr_work_run(const struct mr_work_config *config, char *err, size_t errlen);

#endif
