/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The shuffle's bytes between nodes.
 *
 * Who wants something opens a stream on the BULK plane (transport.h) of kind
 * enum mr_stream, with a request in its open. The answer is a head of MR_HEAD_SIZE
 * bytes, then head.len bytes, then the stream's end. What can't be served is reset
 * with an errno value: ENOENT (no such job, attempt, file), EBADMSG (what is there
 * is damaged), EINVAL (no request), EMFILE (too many at once: ask again).
 *
 * A request names a job, an attempt and a partition, or a file by its content; never
 * a path. All numbers are little-endian:
 *
 *	region	u8 version; str job; u32 map; u32 attempt; u64 epoch; u64 index; u32 reduce
 *	file	u8 version; u8 sha256[32]
 *	head	u64 len; u64 raw_len; u64 records; u64 checksum
 *
 * str is a length byte and characters. A file's head has 0 for all but len.
 */
#ifndef LOCKSTEP_MR_WIRE_H
#define LOCKSTEP_MR_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MR_WIRE_VERSION		1
#define MR_HEAD_SIZE		32	/* bytes */
#define MR_REQUEST_MAX		256	/* bytes that any request fits into */
#define MR_JOB_NAME_MAX		79	/* characters of a job's name: NODE.NUMBER */
#define MR_CONTENT_SIZE		32	/* bytes of a SHA-256 */

/**
 * enum mr_stream - kinds of streams; never renumber
 * @MR_STREAM_REGION: a partition of a map's run file
 * @MR_STREAM_FILE: a file that belongs to a job
 */
enum mr_stream {
	MR_STREAM_REGION	= 1,
	MR_STREAM_FILE		= 2,
};

/**
 * struct mr_region_request - which region
 * @job: the job's name in the cluster
 * @map: number of the map
 * @attempt: which attempt of it
 * @epoch: that attempt's
 * @index: where in the run file its index is
 * @reduce: the partition
 */
struct mr_region_request {
	char job[MR_JOB_NAME_MAX + 1];
	uint32_t map;
	uint32_t attempt;
	uint64_t epoch;
	uint64_t index;
	uint32_t reduce;
};

/**
 * struct mr_head - what follows
 * @len: bytes
 * @raw_len: region: bytes of pairs
 * @records: region: pairs
 * @checksum: region: XXH3-64 of the bytes
 */
struct mr_head {
	uint64_t len;
	uint64_t raw_len;
	uint64_t records;
	uint64_t checksum;
};

/**
 * mr_job_name_valid() - may this be a job's name?
 * @name: text
 *
 * NODE.NUMBER: it is a file name too, and so has no '/' and begins with no dot.
 */
bool mr_job_name_valid(const char *name);

/**
 * mr_job_name_home() - the node that runs a job's coordinator
 * @name: a valid name
 * @node: receives the node's name
 * @size: its size, above LOCKSTEP_NODE_NAME_MAX
 */
void mr_job_name_home(const char *name, char *node, size_t size);

/* Bytes written to @buf, of MR_REQUEST_MAX, or -EINVAL for a name that is none. */
int mr_region_request_encode(const struct mr_region_request *request, uint8_t *buf);
/* 0, or -EINVAL for bytes that are no request. */
int mr_region_request_decode(const void *data, size_t len, struct mr_region_request *request);

size_t mr_file_request_encode(const uint8_t *content, uint8_t *buf);
int mr_file_request_decode(const void *data, size_t len, uint8_t *content);

void mr_head_encode(const struct mr_head *head, uint8_t *buf);
void mr_head_decode(const uint8_t *buf, struct mr_head *head);

#endif
