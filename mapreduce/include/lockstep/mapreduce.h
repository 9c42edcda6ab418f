/* SPDX-License-Identifier: GPL-2.0 */
/*
 * MapReduce: what an application is made of.
 *
 * An application is a shared object that exports one symbol, `mr_app`:
 *
 *	#include <lockstep/mapreduce.h>
 *
 *	static int map(struct mr_task *task, const struct mr_record *record)
 *	{
 *		...
 *		return mr_emit(task, word, len, "1", 1);
 *	}
 *
 *	const struct mr_app mr_app = {
 *		MR_APP_HEADER("wc"),
 *		.map = map,
 *		.reduce = reduce,
 *	};
 *
 * built with: cc -O2 -shared -fPIC -o wc.so wc.c
 *
 * The functions declared here are the worker's; they are bound when it loads
 * the object. An application that lacks a symbol, or was built for another ABI,
 * is refused before its job starts.
 *
 * The model (Dean and Ghemawat 2004, sections 2 and 4)
 * -----------------------------------------------------
 * Every input is cut into splits; map is called for each record of a split and
 * emits pairs; each pair goes to one of R partitions by its key. Reduce is
 * called once for each different key of a partition, in the order of keys, with
 * all its values in the order of (map task, emission). What reduce emits is
 * written to the partition's output. A task may run several times, at once or
 * after a failure: the output is as if each ran once if map and reduce depend
 * on nothing but what they are given, and combine is associative and
 * commutative.
 *
 * Threads: an attempt runs all its callbacks on one thread of a process that
 * runs one attempt at a time. State kept in static variables outlives the
 * attempt; init() begins anew.
 *
 * Errors: a callback returns 0, or a negative errno after mr_error(): the
 * attempt fails, with the record named. A crash or exit() in it counts as such
 * a failure.
 */
#ifndef LOCKSTEP_MAPREDUCE_H
#define LOCKSTEP_MAPREDUCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Changes whenever something here changes its meaning or its layout. */
#define MR_ABI_VERSION		1

#define MR_KEY_MAX		(16u << 20)	/* bytes of a key */
#define MR_VALUE_MAX		(64u << 20)	/* bytes of a value */
#define MR_RECORD_MAX		(64u << 20)	/* bytes of an input record */
#define MR_NAME_MAX		63		/* characters of a counter's group or name */
#define MR_COUNTERS_MAX		1024		/* different counters of a job */

struct mr_task;
struct mr_values;
struct mr_input;
struct mr_output;

/**
 * struct mr_bytes - bytes that belong to someone else
 * @data: first of them; not zero-terminated
 * @len: how many
 */
struct mr_bytes {
	const void *data;
	size_t len;
};

/**
 * struct mr_record - one input record
 * @key: by the line reader, nothing; by the file reader, the file's name
 * @value: by the line reader, a line without its newline
 * @offset: where it begins in the file, in bytes
 *
 * Borrowed until map returns.
 */
struct mr_record {
	struct mr_bytes key;
	struct mr_bytes value;
	uint64_t offset;
};

/**
 * struct mr_reader - how an input is taken apart
 * @name: for messages
 * @whole: an input is one split, whatever its size
 * @open: begin a split; *@state is the reader's own. 0 or -errno
 * @next: 1 and a record, 0 at the split's end, or -errno. A record belongs to
 *	the split in which it begins. The record is valid until the next call
 * @close: end a split that @open has begun, also after a failure
 */
struct mr_reader {
	const char *name;
	bool whole;
	int (*open)(struct mr_task *task, struct mr_input *input, void **state);
	int (*next)(struct mr_input *input, void *state, struct mr_record *record);
	void (*close)(struct mr_input *input, void *state);
};

/**
 * struct mr_writer - how an output is put together
 * @name: for messages
 * @open: begin an output; *@state is the writer's own. 0 or -errno
 * @write: one emitted pair. 0 or -errno
 * @close: finish an output that @open has begun; @commit: false when the attempt
 *	has failed and what was written is thrown away. 0 or -errno
 */
struct mr_writer {
	const char *name;
	int (*open)(struct mr_task *task, struct mr_output *output, void **state);
	int (*write)(struct mr_output *output, void *state, struct mr_bytes key, struct mr_bytes value);
	int (*close)(struct mr_output *output, void *state, bool commit);
};

/* Readers and writers that every worker has. */
extern const struct mr_reader mr_reader_lines;	/* the default: lines end with \n */
extern const struct mr_reader mr_reader_file;	/* one record: the whole file */
extern const struct mr_reader mr_reader_fixed;	/* records of option record.size bytes (100), no separator */
extern const struct mr_writer mr_writer_text;	/* the default: "key value\n"; option output.separator (" ") */
extern const struct mr_writer mr_writer_raw;	/* key and value, nothing between or behind */

/**
 * struct mr_app - an application
 * @abi: MR_ABI_VERSION
 * @size: sizeof(struct mr_app) when it was built
 * @name: its name
 * @init: begin an attempt, of a map or a reduce (mr_task_is_map()). May be NULL
 * @exit: finish an attempt that went well so far; may emit. May be NULL
 * @map: one record
 * @reduce: one key and its values. NULL: pairs are written as they are, in order
 * @combine: merge one more value of a key into the value held in *@into: either
 *	change its bytes in place, leaving the length, or give it others with
 *	mr_value_set(). Called in maps while pairs are collected, and when runs are
 *	merged; must be associative and commutative. What reduce gets is merged
 *	values, one or more for a key. NULL: values are kept apart
 * @partition: which of @partitions a key goes to. NULL: by a hash of the key; with
 *	option partition=range, by points sampled from the input (output r holds
 *	smaller keys than output r + 1)
 * @compare: order of keys, as memcmp(). NULL: bytewise
 * @group: do two keys, neighbours in the order, belong to one call of reduce? 0 if
 *	so. NULL: if @compare says 0. With @compare and @partition this is a secondary
 *	sort: mr_values_key() tells each value's own key. Not with @combine
 * @reader: NULL: mr_reader_lines
 * @writer: NULL: mr_writer_text
 */
struct mr_app {
	uint32_t abi;
	uint32_t size;
	const char *name;
	int (*init)(struct mr_task *task);
	int (*exit)(struct mr_task *task);
	int (*map)(struct mr_task *task, const struct mr_record *record);
	int (*reduce)(struct mr_task *task, struct mr_bytes key, struct mr_values *values);
	int (*combine)(struct mr_task *task, struct mr_bytes key, struct mr_bytes *into, struct mr_bytes value);
	uint32_t (*partition)(struct mr_task *task, struct mr_bytes key, uint32_t partitions);
	int (*compare)(struct mr_bytes a, struct mr_bytes b);
	int (*group)(struct mr_bytes a, struct mr_bytes b);
	const struct mr_reader *reader;
	const struct mr_writer *writer;
};

#define MR_APP_HEADER(app_name)	.abi = MR_ABI_VERSION, .size = sizeof(struct mr_app), .name = (app_name)

/* What an application exports. */
extern const struct mr_app mr_app;

/* ---- in map, reduce, exit ---- */

/**
 * mr_emit() - give out a pair
 * @task: the attempt
 * @key: bytes, copied; at most MR_KEY_MAX
 * @key_len: how many
 * @value: bytes, copied; at most MR_VALUE_MAX
 * @value_len: how many
 *
 * Return: 0, -EMSGSIZE for a key or value above its limit, or another -errno
 * (disk full, ...). The attempt has then failed already, whatever the callback
 * returns.
 */
int mr_emit(struct mr_task *task, const void *key, size_t key_len, const void *value, size_t value_len);

/**
 * mr_values_next() - the next value of the key that is being reduced
 * @values: as reduce got it
 * @value: receives it, valid until the next call
 *
 * Values come from disk as they are asked for: there may be more than fit into
 * memory. Those not asked for are skipped.
 *
 * Return: 1, 0 when there are no more, or -errno.
 */
int mr_values_next(struct mr_values *values, struct mr_bytes *value);

/* The key of the value last returned; with a group function it may differ from reduce's. */
struct mr_bytes mr_values_key(const struct mr_values *values);

/**
 * mr_value_set() - in combine: give a value other bytes
 * @task: the attempt
 * @into: the value
 * @data: bytes, copied; may be a part of *@into
 * @len: how many
 *
 * Return: 0 or -ENOMEM.
 */
int mr_value_set(struct mr_task *task, struct mr_bytes *into, const void *data, size_t len);

/**
 * mr_counter_add() - count
 * @task: the attempt
 * @group: at most MR_NAME_MAX characters
 * @name: likewise
 * @n: may be negative
 *
 * Counters of a job are the sums over the attempts whose output counts: exactly
 * one for each task, whatever was repeated.
 */
void mr_counter_add(struct mr_task *task, const char *group, const char *name, int64_t n);

/* A line that status commands show for this attempt. */
void mr_status_set(struct mr_task *task, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Say why a callback is about to fail. Returns -EINVAL, for "return mr_error(...)". */
int mr_error(struct mr_task *task, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- about the attempt ---- */

bool mr_task_is_map(const struct mr_task *task);
uint32_t mr_task_number(const struct mr_task *task);		/* of the map or the reduce, from 0 */
uint32_t mr_task_attempt(const struct mr_task *task);		/* from 0 */
uint32_t mr_task_partitions(const struct mr_task *task);	/* R; 0 for a job without reduces */
const char *mr_task_path(const struct mr_task *task);		/* input of a map, NULL in a reduce */
const char *mr_task_option(const struct mr_task *task, const char *name);	/* the job's -D name=value, or NULL */

/* ---- for readers and writers ---- */

/**
 * mr_input_at() - bytes of the input
 * @input: input
 * @offset: from the start of the file; may lie outside the split
 * @len: bytes wanted
 * @data: receives a pointer, valid until the next call
 *
 * Return: how many there are, fewer than @len only at the file's end, or -errno.
 */
int64_t mr_input_at(struct mr_input *input, uint64_t offset, size_t len, const void **data);

uint64_t mr_input_start(const struct mr_input *input);		/* first byte of the split */
uint64_t mr_input_end(const struct mr_input *input);		/* the byte behind its last one */
uint64_t mr_input_size(const struct mr_input *input);		/* of the whole file */

/* Append to the output. 0 or -errno. */
int mr_output_write(struct mr_output *output, const void *data, size_t len);

#endif
