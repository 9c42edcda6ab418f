/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The scheduler: which worker does which task, again and again until all are done.
 *
 * A pure state machine. It does no I/O and reads no clock: events and the time go
 * in, decisions come out of mr_sched_next(). So it runs the same in a coordinator,
 * in tests and in a simulation in virtual time.
 *
 * Tasks are numbered from 0 within their kind; kinds come into play as they are
 * given tasks, and reduces once all maps are done (config->overlap: nearly done).
 *
 * Who gets what
 * -------------
 * 1. a task that nobody runs, for a map rather one whose split is on the worker's
 *    node;
 * 2. a task whose last attempt began at least timeout_ns ago, the oldest first:
 *    whether its worker is silent or only slow can't be told;
 * 3. config->backup: one of the last running tasks that has taken longer than most.
 *
 * The attempts that were given up in 2 and 3 run on; the first to finish wins, the
 * others are cancelled.
 *
 * Failures
 * --------
 * What user code did (a crash, an error) counts against attempts_max. After the
 * second failure at one record it may be skipped (skip_max): it is then part of
 * every later grant. A lost worker never counts. Failures of inputs and nodes are
 * limited too, so that a full disk ends a job instead of turning for ever; after
 * each, the task and the worker rest for a while that doubles.
 *
 * State: a few words for each task and worker, nothing for pairs of map and reduce.
 */
#ifndef LOCKSTEP_MR_SCHED_H
#define LOCKSTEP_MR_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MR_NONE			UINT32_MAX	/* no task, worker, node */

#define MR_INPUT_FAILURES_MAX	3	/* of a task's input */
#define MR_SYSTEM_FAILURES_MAX	8	/* of nodes, on one task */
#define MR_FETCH_FAILURES_MAX	3	/* of a map's output, then it is made again */
#define MR_REST_MIN_NS		(100 * 1000000ull)
#define MR_REST_MAX_NS		(5000 * 1000000ull)

/* What the scheduler schedules; numbered as in rpc/mr.proto. */
enum mr_kind {
	MR_KIND_MAP	= 0,
	MR_KIND_REDUCE	= 1,
	MR_KIND_CHECK	= 2,	/* never here: see coordinator/job.h */
	MR_KIND_STAT	= 3,
	MR_KIND_SAMPLE	= 4,
	__MR_KIND_LAST,
	MR_KIND_MAX	= __MR_KIND_LAST - 1
};

/**
 * struct mr_sched_config - rules
 * @timeout_ns: see 2. above
 * @attempts_max: user code's failures of a task that end the job; 0: no limit
 * @skip_max: records that may be skipped in the whole job
 * @backup: see 3. above
 * @overlap: reduces begin, on half of the workers, when 95 % of maps are done and
 *	none is idle
 */
struct mr_sched_config {
	uint64_t timeout_ns;
	uint32_t attempts_max;
	uint32_t skip_max;
	bool backup;
	bool overlap;
};

enum mr_decision_type {
	MR_DECISION_GRANT	= 0,	/* worker: run the attempt */
	MR_DECISION_CANCEL	= 1,	/* worker: what you run is not wanted any more */
	MR_DECISION_FAIL	= 2,	/* the job: the task has failed too often */
};

/**
 * struct mr_decision - what is to be done
 * @type: what
 * @kind: of the task
 * @task: number
 * @attempt: number of the attempt within the task
 * @worker: who; MR_NONE for MR_DECISION_FAIL
 */
struct mr_decision {
	enum mr_decision_type type;
	enum mr_kind kind;
	uint32_t task;
	uint32_t attempt;
	uint32_t worker;
};

/* Whose fault a failure was, as far as it matters here. */
enum mr_fault {
	MR_FAULT_NONE	= 0,	/* cancelled, or a map's output could not be fetched */
	MR_FAULT_USER	= 1,
	MR_FAULT_INPUT	= 2,
	MR_FAULT_SYSTEM	= 3,
};

struct mr_sched;

int mr_sched_create(const struct mr_sched_config *config, struct mr_sched **sched);
void mr_sched_destroy(struct mr_sched *s);

/* ---- tasks ---- */

/* Give a kind its tasks, once; all are idle. 0 or -ENOMEM. */
int mr_sched_add_tasks(struct mr_sched *s, enum mr_kind kind, uint32_t count);

/* A map's split is on a node; before the map is granted. */
void mr_sched_prefer(struct mr_sched *s, uint32_t map, uint32_t node);

/* A task is done already: what a journal says of the coordinator before. */
void mr_sched_restore_done(struct mr_sched *s, enum mr_kind kind, uint32_t task, uint32_t node);

/* So many records are skipped already, likewise. */
void mr_sched_restore_skipped(struct mr_sched *s, uint32_t records);

/* Nobody gets anything any more. */
void mr_sched_stop(struct mr_sched *s);

/* ---- workers ---- */

/* A worker on a node (any small number) came. 0 or -ENOMEM; *worker names it until it is gone. */
int mr_sched_worker_add(struct mr_sched *s, uint32_t node, uint32_t *worker);

/* It is gone; what it ran is lost. Outputs of its maps are on its node, and stay. */
void mr_sched_worker_gone(struct mr_sched *s, uint32_t worker, uint64_t now);

/* It runs nothing and wants something. */
void mr_sched_worker_ready(struct mr_sched *s, uint32_t worker, uint64_t now);

/* A node is gone with all map outputs on it. */
void mr_sched_node_lost(struct mr_sched *s, uint32_t node, uint64_t now);

/* ---- attempts ---- */

/*
 * May the worker publish its output of a task? False: another has done, or is
 * doing so and has had less than timeout_ns.
 */
bool mr_sched_commit(struct mr_sched *s, enum mr_kind kind, uint32_t task, uint32_t worker, uint64_t now);

/*
 * A task is complete, made by a worker, which need not have been granted it (by this
 * coordinator). The others who run it are cancelled. False: it was complete already.
 */
bool mr_sched_done(struct mr_sched *s, enum mr_kind kind, uint32_t task, uint32_t worker, uint64_t now);

/**
 * mr_sched_failed() - what the worker was granted failed
 * @s: scheduler
 * @worker: worker; it runs nothing now, and says ready when it is
 * @fault: whose
 * @record: MR_FAULT_USER: where; UINT64_MAX if not known
 * @now: time
 *
 * Return: true: @record is to be skipped from now on.
 */
bool mr_sched_failed(struct mr_sched *s, uint32_t worker, enum mr_fault fault, uint64_t record, uint64_t now);

/* The worker gave up, or finished in vain, what it was granted. */
void mr_sched_dropped(struct mr_sched *s, uint32_t worker, uint64_t now);

/* A map's output could not be fetched. True: it was the third time, the map is idle again. */
bool mr_sched_fetch_failed(struct mr_sched *s, uint32_t map, uint64_t now);

/* ---- decisions ---- */

/* The next decision, if there is one: ask again until false. */
bool mr_sched_next(struct mr_sched *s, uint64_t now, struct mr_decision *decision);

/* When to ask again though nothing happened; UINT64_MAX: never. */
uint64_t mr_sched_deadline(const struct mr_sched *s, uint64_t now);

/* ---- state ---- */

struct mr_sched_count {
	uint32_t total;
	uint32_t idle;
	uint32_t running;
	uint32_t done;
};

void mr_sched_count(const struct mr_sched *s, enum mr_kind kind, struct mr_sched_count *count);
bool mr_sched_all_done(const struct mr_sched *s, enum mr_kind kind);
bool mr_sched_is_done(const struct mr_sched *s, enum mr_kind kind, uint32_t task);

/* What a worker runs. False: nothing. */
bool mr_sched_running(const struct mr_sched *s, uint32_t worker, enum mr_kind *kind, uint32_t *task,
		      uint32_t *attempt);

/* Bytes of memory. */
size_t mr_sched_memory(const struct mr_sched *s);

#endif
