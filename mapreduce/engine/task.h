/* SPDX-License-Identifier: GPL-2.0 */
/* What an application's callbacks know as struct mr_task: the attempt that runs. */
#ifndef LOCKSTEP_MR_TASK_H
#define LOCKSTEP_MR_TASK_H

#include "engine/attempt.h"
#include "engine/counters.h"

struct mr_collect;
struct mr_sample;
struct mr_output;

/**
 * struct mr_task - the attempt that runs
 * @attempt: what it is to do
 * @app: attempt->app
 * @result: where an error goes
 * @writer: the application's, or the default one
 * @sample: takes keys that a map emits, and no pairs are made; or NULL
 * @collect: takes what a map emits; NULL when pairs go to @output
 * @output: takes what a reduce, or a map without reduces, emits
 * @writer_state: the writer's own, of @output
 * @counters: counters
 * @value: a value that a combiner made longer than its place: see mr_task_combine()
 * @value_cap: room in @value
 * @into_cap: room where the value now being combined lies
 * @said: what mr_error() was told, "" for nothing
 * @record: the one that map has; NULL outside
 * @group: the key that reduce has
 * @in_reduce: reduce has one
 * @out_records: pairs emitted
 */
struct mr_task {
	const struct mr_attempt *attempt;
	const struct mr_app *app;
	struct mr_result *result;
	const struct mr_writer *writer;
	struct mr_sample *sample;
	struct mr_collect *collect;
	struct mr_output *output;
	void *writer_state;
	struct mr_counters counters;
	char *value;
	size_t value_cap;
	size_t into_cap;
	char said[MR_ERROR_MAX];
	const struct mr_record *record;
	struct mr_bytes group;
	bool in_reduce;
	uint64_t out_records;
};

void mr_task_init(struct mr_task *task, const struct mr_attempt *attempt, struct mr_result *result);
void mr_task_exit(struct mr_task *task);

/**
 * mr_task_fail() - the attempt has failed; the first failure stays
 * @task: attempt
 * @blame: whose fault
 * @err: -errno
 * @format: why, without place and without errno's text
 *
 * Return: the -errno of the first failure.
 */
int mr_task_fail(struct mr_task *task, enum mr_blame blame, int err, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/**
 * mr_task_user() - judge what user code returned
 * @task: attempt
 * @callback: its name
 * @ret: what it returned
 *
 * Return: 0, or the -errno with which the attempt has failed.
 */
int mr_task_user(struct mr_task *task, const char *callback, int ret);

/**
 * mr_task_combine() - call the application's combiner
 * @task: attempt
 * @key: key of both
 * @into: the value that is held; may come to point to other bytes, valid until the
 *	next call
 * @cap: room where it lies
 * @value: one more
 *
 * Return: 0, or the -errno with which the attempt has failed.
 */
int mr_task_combine(struct mr_task *task, struct mr_bytes key, struct mr_bytes *into, size_t cap,
		    struct mr_bytes value);

/* Longest pair that runs may hold: several must fit into memory when they are merged. */
static inline size_t mr_task_pair_max(const struct mr_task *task)
{
	return task->attempt->memory / 12;
}

#endif
