/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The built-in application "streaming": commands as map and reduce.
 *
 * Options of the job (-D name=value):
 *
 *	streaming.mapper	command that reads lines of the input and writes lines
 *				KEY [TAB VALUE]; none: the lines themselves
 *	streaming.reducer	command that reads those lines, sorted by key; or a fold
 *				("@sum", fold.h); none: they are the output
 *	streaming.dir		where commands run; none: where the worker was started
 *	streaming.env		NAME=VALUE lines, added to their environment
 *	stream.num.map.output.key.fields
 *				fields, divided by TAB, that make the key (1)
 *	stream.non.zero.exit.is.failure
 *				"false": only signals are failures
 *
 * A line goes from mapper to reducer, and from reducer to output, byte by byte as it
 * was written. Commands are started once for each attempt, by /bin/sh. They get the
 * environment variables of Hadoop (streaming.c has the list) and may speak on
 * standard error as reporter.h says; what else they write there is the attempt's.
 */
#ifndef LOCKSTEP_MR_STREAMING_H
#define LOCKSTEP_MR_STREAMING_H

#include "lockstep/mapreduce.h"

/* "streaming": any job. */
extern const struct mr_app mr_streaming;

/* "streaming-fold": the same for jobs whose reducer is a fold: maps combine. */
extern const struct mr_app mr_streaming_fold;

/**
 * mr_streaming_name() - which of them serves a job best
 * @reducer: the job's streaming.reducer, or NULL
 *
 * Return: name for mr_app_load().
 */
const char *mr_streaming_name(const char *reducer);

#endif
