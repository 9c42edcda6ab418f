/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The shuffle's server: answers streams of wire.h out of files.
 *
 * Bytes are read as the stream has room, a piece at a time, and go to the TLS layer
 * without being copied on the way. They are read, not mapped: a run file that its
 * owner cuts short must give an error and no SIGBUS. TLS is in this process, so
 * there is no sendfile(2) to be had.
 */
#ifndef LOCKSTEP_MR_SERVE_H
#define LOCKSTEP_MR_SERVE_H

#include <stddef.h>
#include <stdint.h>

#include <sys/queue.h>

struct lockstep_stream;
struct mr_answer;
struct mr_region_request;

#define MR_SERVE_MAX	1024	/* answers under way; files are open for each */

/**
 * struct mr_serve - all answers of a transport
 * @answers: under way
 * @count: how many
 * @bytes: of files, sent so far
 */
struct mr_serve {
	TAILQ_HEAD(, mr_answer) answers;
	unsigned int count;
	uint64_t bytes;
};

void mr_serve_init(struct mr_serve *serve);
/* After the transport was destroyed, or with all its streams closed. */
void mr_serve_exit(struct mr_serve *serve);

/**
 * mr_serve_region() - answer a request for a region
 * @serve: answers
 * @stream: stream that was opened; from its transport's stream_open only
 * @dir: work folder of the job, where its run files are
 * @request: what is asked
 *
 * The stream is answered, or reset with the cause.
 */
void mr_serve_region(struct mr_serve *serve, struct lockstep_stream *stream, const char *dir,
		     const struct mr_region_request *request);

/**
 * mr_serve_file() - answer with a whole file
 * @serve: answers
 * @stream: as above
 * @path: file, of whatever name this side gave it
 */
void mr_serve_file(struct mr_serve *serve, struct lockstep_stream *stream, const char *path);

#endif
