/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The shuffle's client: brings regions and files of another node into local files.
 *
 * A fetch is tried up to MR_FETCH_TRIES times, with a pause that doubles; a checksum
 * that is wrong, an answer with an error, and a stream without progress for the
 * deadline count as one each. While the BULK plane to the node is down it waits, for
 * as long as the deadline, and then counts as failed for good.
 *
 * At most MR_FETCH_MAX run at once with one node, others wait for their turn in order.
 *
 * Threads: as the transport.
 */
#ifndef LOCKSTEP_MR_FETCH_H
#define LOCKSTEP_MR_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shuffle/wire.h"

struct lockstep_peer;
struct mr_fetch;
struct mr_fetcher;

#define MR_FETCH_TRIES		3
#define MR_FETCH_MAX		8	/* streams at once with one node */
#define MR_FETCH_PAUSE_MS	100	/* before the second try */

/**
 * enum mr_fetch_fault - whose fault a failure is
 * @MR_FETCH_GOOD: none
 * @MR_FETCH_THERE: the other node's, or that of the way to it
 * @MR_FETCH_HERE: this node's: it can't write the file
 */
enum mr_fetch_fault {
	MR_FETCH_GOOD	= 0,
	MR_FETCH_THERE	= 1,
	MR_FETCH_HERE	= 2,
};

/**
 * struct mr_fetch_config - what is wanted; strings and bytes are copied
 * @kind: enum mr_stream
 * @request: encoded request
 * @request_len: its length
 * @checked: compare the head's checksum
 * @max: more bytes than that are a failure
 * @path: file to make; an existing one is replaced
 * @done: called once, from the loop, unless cancelled; the fetch is gone when it
 *	returns. After a failure there is no file. @text: cause in words
 * @user: passed to it
 */
struct mr_fetch_config {
	enum mr_stream kind;
	const void *request;
	size_t request_len;
	bool checked;
	uint64_t max;
	const char *path;
	void (*done)(void *user, enum mr_fetch_fault fault, const struct mr_head *head,
		     const char *text);
	void *user;
};

/**
 * mr_fetcher_create() - what keeps fetches from one node in order
 * @peer: that node; outlives it
 * @deadline_ms: see above
 * @out: receives it
 *
 * Return: 0 or -ENOMEM.
 */
int mr_fetcher_create(struct lockstep_peer *peer, unsigned int deadline_ms,
		      struct mr_fetcher **out);

/* Forget all fetches, without callbacks. Before the transport is destroyed. */
void mr_fetcher_destroy(struct mr_fetcher *fetcher);

/* From peer_state: the BULK plane came up. */
void mr_fetcher_up(struct mr_fetcher *fetcher);

/**
 * mr_fetch_begin() - fetch something
 * @fetcher: of the node that has it
 * @config: what
 * @out: receives the fetch, for mr_fetch_cancel(); may be NULL
 *
 * Return: 0; -EMSGSIZE; -ENOMEM.
 */
int mr_fetch_begin(struct mr_fetcher *fetcher, const struct mr_fetch_config *config,
		   struct mr_fetch **out);

/* Stop it: no callback, no file. */
void mr_fetch_cancel(struct mr_fetch *fetch);

/* Bytes of heads and content that this process has fetched. */
uint64_t mr_fetch_bytes(void);

#endif
