/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The engine: runs one attempt of a map or a reduce in this process.
 *
 * It knows files and user code; it knows no coordinator and no network. What it
 * is told stands in struct mr_attempt, what it made in struct mr_result.
 *
 *	map:	read split -> user's map -> collect (hash table when there is a combiner,
 *		arena and sort when not) -> spill sorted runs -> merge -> one run file with
 *		R regions, each checksummed
 *	reduce:	R's regions of all maps -> (merge passes) -> user's reduce -> temporary
 *		output, fsynced; published by mr_output_publish()
 *
 * Memory of the engine (not of user code) stays within attempt->memory.
 *
 * Files
 * -----
 * Everything it makes lies in attempt->work_dir, or has a temporary name in
 * attempt->output_dir that begins with "." and so never matches mr-out-*. A failed
 * attempt removes what it made; so does mr_result_discard().
 *
 * Threads: one attempt at a time in a process, on one thread. mr_attempt_cancel()
 * and mr_attempt_progress() may be called from any other.
 */
#ifndef LOCKSTEP_MR_ATTEMPT_H
#define LOCKSTEP_MR_ATTEMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lockstep/mapreduce.h"

#define MR_MEMORY_MIN		(16ull << 20)
#define MR_MEMORY_DEF		(256ull << 20)
#define MR_REDUCES_MAX		100000u
#define MR_ERROR_MAX		512
#define MR_SAMPLE_KEY_MAX	4096u

/**
 * struct mr_region - one partition's pairs of one map, sorted
 * @path: run file that holds it
 * @map: number of the map: the order of equal keys
 * @offset: first byte in the file
 * @len: bytes, as they lie on disk (compressed, if they are)
 * @raw_len: bytes of pairs
 * @records: pairs
 * @checksum: XXH3-64 of the bytes on disk
 */
struct mr_region {
	const char *path;
	uint32_t map;
	uint64_t offset;
	uint64_t len;
	uint64_t raw_len;
	uint64_t records;
	uint64_t checksum;
};

/* How runs are kept: on disk and on the wire. */
enum mr_codec {
	MR_CODEC_NONE	= 0,
	MR_CODEC_LZ4	= 1,
	MR_CODEC_ZSTD	= 2,
	__MR_CODEC_LAST,
	MR_CODEC_MAX	= __MR_CODEC_LAST - 1
};

struct mr_option {
	const char *name;
	const char *value;
};

/**
 * struct mr_attempt - what is to be done; all of it is the caller's
 * @app: the application
 * @map: a map; else a reduce
 * @number: which, from 0
 * @attempt: attempt's number within the task
 * @epoch: of the coordinator that granted it; with @attempt it names temporary files
 * @reduces: R; 0: maps write outputs themselves
 * @memory: bound of the engine's memory, bytes
 * @codec: how a map's run file is kept
 * @options: the job's -D options
 * @nr_options: how many
 * @range_points: R - 1 keys in order, for partition=range; NULL otherwise
 * @work_dir: where run files and spills go
 * @output_dir: where outputs go
 * @path: map: the input
 * @offset: map: the split's first byte
 * @len: map: its length; UINT64_MAX: to the file's end
 * @size: map: what the whole file must be long; UINT64_MAX: not known
 * @mtime_ns: map: when it must have been modified last; 0: not known
 * @skip: map: numbers of records to skip, ascending (map); of keys (reduce)
 * @nr_skip: how many
 * @regions: reduce: what to merge, ascending by map
 * @nr_regions: how many
 */
struct mr_attempt {
	const struct mr_app *app;
	bool map;
	uint32_t number;
	uint32_t attempt;
	uint64_t epoch;
	uint32_t reduces;
	uint64_t memory;
	enum mr_codec codec;
	const struct mr_option *options;
	size_t nr_options;
	const struct mr_bytes *range_points;
	const char *work_dir;
	const char *output_dir;
	const char *path;
	uint64_t offset;
	uint64_t len;
	uint64_t size;
	uint64_t mtime_ns;
	const uint64_t *skip;
	size_t nr_skip;
	const struct mr_region *regions;
	size_t nr_regions;
};

struct mr_counter {
	char group[MR_NAME_MAX + 1];
	char name[MR_NAME_MAX + 1];
	int64_t value;
};

/* Whose fault a failure is: it decides what is done next. */
enum mr_blame {
	MR_BLAME_NONE	= 0,	/* it went well */
	MR_BLAME_USER	= 1,	/* user code said so, or broke a limit: the record is named */
	MR_BLAME_INPUT	= 2,	/* input missing, unreadable, changed */
	MR_BLAME_REGION	= 3,	/* a map's run file is missing or corrupt: @bad_map */
	MR_BLAME_SYSTEM	= 4,	/* disk full, no memory, ... of this node */
	MR_BLAME_CANCEL	= 5,	/* mr_attempt_cancel() */
	__MR_BLAME_LAST,
	MR_BLAME_MAX	= __MR_BLAME_LAST - 1
};

/**
 * struct mr_result - what was made
 * @error: 0 or -errno
 * @blame: whose fault
 * @message: why, where, which record
 * @record: number of the record (map) or key (reduce) that user code was at, from 0
 * @bad_map: map whose region could not be read
 * @path: map: the run file; output: the temporary file. NULL: none
 * @regions: map: R regions of @path
 * @nr_regions: how many
 * @inode: output: of the temporary file
 * @size: output: its length
 * @checksum: output: XXH3-64 of its content
 * @keys: sample: the keys
 * @nr_keys: how many
 * @counters: the attempt's
 * @nr_counters: how many
 * @skipped: records skipped
 * @in_bytes: read
 * @in_records: records, or pairs
 * @out_bytes: written
 * @out_records: pairs emitted
 */
struct mr_result {
	int error;
	enum mr_blame blame;
	char message[MR_ERROR_MAX];
	uint64_t record;
	uint32_t bad_map;
	char *path;
	struct mr_region *regions;
	uint32_t nr_regions;
	uint64_t inode;
	uint64_t size;
	uint64_t checksum;
	struct mr_bytes *keys;
	size_t nr_keys;
	struct mr_counter *counters;
	size_t nr_counters;
	uint64_t skipped;
	uint64_t in_bytes;
	uint64_t in_records;
	uint64_t out_bytes;
	uint64_t out_records;
};

/**
 * mr_attempt_run() - run it
 * @attempt: what to do
 * @result: receives what was made; for mr_result_exit(), also after a failure
 *
 * Return: @result->error.
 */
int mr_attempt_run(const struct mr_attempt *attempt, struct mr_result *result);

/**
 * mr_attempt_sample() - some of the keys that a map would emit
 * @attempt: the map; @attempt->reduces and @attempt->range_points do not matter
 * @max: how many keys at most; they are taken from all over the split, those longer
 *	than MR_SAMPLE_KEY_MAX left out
 * @result: receives errors as from mr_attempt_run(); owns the keys
 * @keys: receives the keys, in no order
 * @nr: receives how many
 *
 * It makes no files.
 *
 * Return: @result->error.
 */
int mr_attempt_sample(const struct mr_attempt *attempt, uint32_t max, struct mr_result *result,
		      const struct mr_bytes **keys, size_t *nr);

/* Free what a result holds; the files stay. */
void mr_result_exit(struct mr_result *result);

/* Remove the files a result names (an attempt that lost, a job that ended). */
void mr_result_discard(const struct mr_result *result);

/* From any thread: have the running attempt fail soon with -ECANCELED. */
void mr_attempt_cancel(void);

/**
 * struct mr_progress - how far the running attempt is
 * @in_bytes: read so far
 * @in_total: to be read, as far as known
 * @records: records or keys begun: @records - 1 is the one user code is at
 * @user: user code is running: a crash now is its
 * @status: what mr_status_set() was told
 */
struct mr_progress {
	uint64_t in_bytes;
	uint64_t in_total;
	uint64_t records;
	bool user;
	char status[128];
};

/* From any thread, and from a signal handler. */
void mr_attempt_progress(struct mr_progress *progress);

/**
 * mr_output_publish() - give an output its final name, once
 * @dir: folder of the output
 * @temporary: result->path
 * @name: final name, "mr-out-<r>"
 * @inode: result->inode
 *
 * link(2), so that an existing output is never replaced; then the temporary name is
 * removed and the folder fsynced. Made again after a crash it finds its own inode
 * and succeeds.
 *
 * Return: 0: this attempt's output has the name; -EEXIST: another's has; or -errno.
 */
int mr_output_publish(const char *dir, const char *temporary, const char *name, uint64_t inode);

/**
 * mr_app_load() - load an application
 * @path: shared object, or the name of an application that every worker has:
 *	"streaming", "streaming-fold" (engine/streaming.h)
 * @error: receives cause and remedy
 * @error_len: size of @error
 * @app: receives the application, which stays loaded to the end of the process
 * @hash: receives XXH3-64 of the file, of the name of a built-in one; may be NULL
 *
 * Return: 0; -ENOENT; -ENOEXEC (no shared object, symbol missing); -EPROTO (other
 * ABI, or an impossible combination of callbacks); or another -errno.
 */
int mr_app_load(const char *path, char *error, size_t error_len, const struct mr_app **app, uint64_t *hash);

#endif
