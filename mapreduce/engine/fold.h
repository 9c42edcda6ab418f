/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Reducers of streaming jobs that need no command. They also combine in the map.
 *
 *	@sum	sum of the values of a key; a line without TAB counts as 1
 *	@count	lines of a key, whatever their values
 *	@min @max	least and greatest value of a key
 *	@uniq	each key once
 *	@aggregate	as Hadoop's "aggregate": the key says how, as LongValueSum:KEY;
 *		LongValueMin, LongValueMax, DoubleValueSum, StringValueMin, StringValueMax
 *
 * Numbers are decimal 64-bit integers. On the way from map to reduce a value is held
 * in a form that is merged in place.
 */
#ifndef LOCKSTEP_MR_FOLD_H
#define LOCKSTEP_MR_FOLD_H

#include <stdbool.h>
#include <stddef.h>

#include "lockstep/mapreduce.h"

#define MR_FOLD_SIZE	8	/* bytes of a number's held form */

/**
 * struct mr_fold - one of them
 * @name: its name, as a reducer
 * @op: what it does
 */
struct mr_fold {
	const char *name;
	int op;
};

/**
 * mr_fold_find() - a fold by its name
 * @name: "@sum", ..., or Hadoop's "aggregate"; NULL is allowed
 *
 * Return: the fold, or NULL: it is no such name.
 */
const struct mr_fold *mr_fold_find(const char *name);

/**
 * mr_fold_hold() - bring a value into its held form
 * @fold: fold
 * @task: for errors
 * @key: key
 * @value: text
 * @present: there was a TAB, and so a value
 * @number: room for a number
 * @held: receives the form: @number or @value
 *
 * Return: 0 or -EINVAL, told.
 */
int mr_fold_hold(const struct mr_fold *fold, struct mr_task *task, struct mr_bytes key,
		 struct mr_bytes value, bool present, char number[MR_FOLD_SIZE],
		 struct mr_bytes *held);

/**
 * mr_fold_merge() - merge a held value into another
 * @fold: fold
 * @task: for errors and memory
 * @key: key
 * @into: held value, as in struct mr_app's combine
 * @value: another one
 *
 * Return: 0 or -errno, told.
 */
int mr_fold_merge(const struct mr_fold *fold, struct mr_task *task, struct mr_bytes key,
		  struct mr_bytes *into, struct mr_bytes value);

/**
 * mr_fold_emit() - give out a key's line
 * @fold: fold
 * @task: attempt
 * @key: key
 * @held: all its values, merged
 *
 * Return: as mr_emit().
 */
int mr_fold_emit(const struct mr_fold *fold, struct mr_task *task, struct mr_bytes key,
		 struct mr_bytes held);

#endif
