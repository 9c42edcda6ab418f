/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A job: its inputs, its tasks, its journal, its workers; from creation to its end.
 *
 *	check	no old output may lie in a worker's folder	(once for each folder)
 *	stat	how long is each input? -> splits		(a worker looks; the coordinator reads no input)
 *	sample	keys of some splits -> range points		(partition=range only)
 *	map, reduce
 *
 * Jobs are made with mr_job_create() and get their workers from a server
 * (coordinator/server.h), which offers them on a transport:
 *
 *	base = lockstep_loop_create();
 *	lockstep_transport_create(base, ...); lockstep_transport_listen(...);
 *	mr_server_create(transport, &server);
 *	mr_job_create(base, &config, &ops, user, err, sizeof(err), &job);
 *	mr_server_add(server, job);
 *	event_base_dispatch(base);		until ops.ended
 *
 * Threads: a job belongs to the thread that runs its base.
 *
 * Status
 * ------
 * mr_job_status() gives a new object; times are milliseconds since the job was
 * created here, sizes bytes, and what is not known is left out:
 *
 *	id, name, epoch, app, reduces, memory, inputs (how many), maps
 *	state		"running", "succeeded", "failed", "killed"
 *	phase		"check", "stat", "sample", "map", "reduce", "end"
 *	reason		why it failed
 *	began		seconds since 1970
 *	elapsed_ms
 *	phases[]	{name, tasks, idle, running, done, began_ms, elapsed_ms,
 *			 in_bytes, in_records, out_bytes, out_records, skipped,
 *			 in_rate, out_rate (bytes a second)}; those of tasks that are done
 *	workers[]	{name, node, output_dir, state ("idle", "running", "silent"),
 *			 heard_ms (ago), done, failed, attempt {kind, number, attempt, epoch,
 *			 ms (so far), in_bytes, in_total, records, status}}
 *	failed_attempts	how many
 *	failures[]	{ms, kind, number, attempt, epoch, worker, node, blame ("user", "input",
 *			 "region", "system", "lost"), error, message, record, user_code, log};
 *			 the first MR_JOB_FAILURES / 2 and the last
 *	counters	{group: {name: value}}, of tasks that are done
 *	skipped[]	{kind, number, record}; the first MR_JOB_FAILURES
 *	outputs[]	{number, name, node, path, attempt, epoch, size, checksum (hex)}: the manifest
 *	events[]	{ms, event, text}; the last MR_JOB_EVENTS
 *	scheduler	{bytes (of state)}
 */
#ifndef LOCKSTEP_MR_JOB_H
#define LOCKSTEP_MR_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/attempt.h"

struct event_base;
struct json_object;
struct mr_job;

#define MR_JOB_FAILURES		64	/* kept for status */
#define MR_JOB_EVENTS		256

#define MR_INPUTS_MAX		1000000u
#define MR_MAPS_MAX		2000000u
#define MR_SPLIT_MIN		(64ull << 10)
#define MR_SPLIT_DEF_MIN	(16ull << 20)
#define MR_SPLIT_DEF_MAX	(64ull << 20)
#define MR_SPLIT_MAX		(1ull << 40)
#define MR_TASK_TIMEOUT_MS_MIN	100u
#define MR_TASK_TIMEOUT_MS_DEF	10000u
#define MR_TASK_TIMEOUT_MS_MAX	86400000u

/**
 * struct mr_job_input - an input
 * @path: as workers open it; a relative one is relative to their folder
 * @node: that holds it, or NULL: maps of it prefer workers there
 */
struct mr_job_input {
	const char *path;
	const char *node;
};

/**
 * struct mr_job_config - what is to be done; all of it is copied
 * @name: for people
 * @inputs: inputs, at least one
 * @nr_inputs: how many
 * @reduces: R; 0: maps write the outputs
 * @memory: of an attempt's engine, bytes; 0: MR_MEMORY_DEF
 * @codec: of run files
 * @options: -D options
 * @nr_options: how many
 * @split: bytes of a split; 0: MR_SPLIT_DEF_MIN..MAX, so that there are about 16
 * @task_timeout_ms: an attempt that took so long is no longer waited for; 0: default
 * @attempts_max: attempts of a task that user code may fail; 0: no limit. Failures
 *	of input or node are always limited
 * @backup: second attempts of the last tasks, before any time-out
 * @overlap: reduces may begin when nearly all maps are done
 * @skip_max: bad records that may be skipped; 0: none
 * @force: old outputs are removed; else they make the job fail
 * @journal: file that a restarted coordinator carries on from; NULL: none
 * @resume: carry on from @journal, which must exist; else it must not
 */
struct mr_job_config {
	const char *name;
	const struct mr_job_input *inputs;
	size_t nr_inputs;
	uint32_t reduces;
	uint64_t memory;
	enum mr_codec codec;
	const struct mr_option *options;
	size_t nr_options;
	uint64_t split;
	uint32_t task_timeout_ms;
	uint32_t attempts_max;
	bool backup;
	bool overlap;
	uint32_t skip_max;
	bool force;
	const char *journal;
	bool resume;
};

/**
 * struct mr_job_ops - upcalls; any may be NULL
 * @ended: the job is over, once; workers have been told. From the loop
 * @failure: an attempt failed; @line says which, where and why
 */
struct mr_job_ops {
	void (*ended)(struct mr_job *job, void *user);
	void (*failure)(struct mr_job *job, const char *line, void *user);
};

/**
 * mr_job_create() - make a job; it runs as workers come
 * @base: loop
 * @config: what to do
 * @ops: upcalls, borrowed
 * @user: passed to them
 * @err: receives cause and remedy
 * @errlen: size of @err
 * @job: receives the job
 *
 * Return: 0; -EINVAL or -ERANGE for the configuration; -EEXIST (a journal without
 * @resume), -ENOENT, -EUCLEAN (a journal that is damaged, or another job's); -errno.
 */
int mr_job_create(struct event_base *base, const struct mr_job_config *config, const struct mr_job_ops *ops,
		  void *user, char *err, size_t errlen, struct mr_job **job);

/* Forget a job. Not from its upcalls; mr_server_remove() comes first. */
void mr_job_destroy(struct mr_job *job);

/* End a running job as killed; ended is called from the loop. */
void mr_job_kill(struct mr_job *job, const char *reason);

/* A node is gone with what it held: its attempts and map outputs are made again. */
void mr_job_node_lost(struct mr_job *job, const char *node);

enum mr_job_state {
	MR_JOB_RUNNING		= 0,
	MR_JOB_SUCCEEDED	= 1,
	MR_JOB_FAILED		= 2,
	MR_JOB_KILLED		= 3,
	__MR_JOB_STATE_LAST,
	MR_JOB_STATE_MAX	= __MR_JOB_STATE_LAST - 1
};

enum mr_job_state mr_job_state(const struct mr_job *job);
const char *mr_job_id(const struct mr_job *job);	/* a UUID */
const char *mr_job_reason(const struct mr_job *job);	/* why it failed, or "" */

/* See Status. NULL: no memory. */
struct json_object *mr_job_status(const struct mr_job *job);

#endif
