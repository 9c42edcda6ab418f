/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A worker's side of the shuffle: it has no keys and asks its own node's process.
 *
 * Service MR_SHUFFLE_SERVICE on that process's Unix socket; id in struct lockstep_msg
 * is the worker's:
 *
 *	MR_SHUFFLE_FETCH	-> str node; a region request (wire.h)
 *	MR_SHUFFLE_GOT		<- a head (wire.h); u16 length and characters of the path
 *	MR_SHUFFLE_FAILED	<- u8 enum mr_fetch_fault; str cause
 *
 * The file is then the worker's, which removes it. What is asked for and not yet
 * answered is dropped when the connection ends.
 *
 * Threads: as the transport.
 */
#ifndef LOCKSTEP_MR_CLIENT_H
#define LOCKSTEP_MR_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "shuffle/fetch.h"
#include "shuffle/wire.h"

struct lockstep_transport;
struct mr_client;

#define MR_SHUFFLE_SERVICE	"shuffle"
#define MR_VIA_PREFIX		"via-"	/* of the service that leads to a node's coordinators */

/* Kinds of messages; never renumber. */
enum mr_shuffle_message {
	MR_SHUFFLE_FETCH	= 1,
	MR_SHUFFLE_GOT		= 2,
	MR_SHUFFLE_FAILED	= 3,
};

/**
 * typedef mr_client_done - how a fetch went
 * @user: as given
 * @fault: whose fault; MR_FETCH_HERE also when this node's process can't be reached
 * @path: the region's file, which holds nothing else; NULL after a failure
 * @head: about it
 * @text: cause in words
 */
typedef void mr_client_done(void *user, enum mr_fetch_fault fault, const char *path,
			    const struct mr_head *head, const char *text);

/**
 * mr_client_create() - get ready; it dials when something is wanted
 * @t: transport
 * @address: the node's Unix socket, "unix:PATH"
 * @out: receives the client
 *
 * Return: 0 or -ENOMEM.
 */
int mr_client_create(struct lockstep_transport *t, const char *address, struct mr_client **out);

/* After the transport was destroyed; no callback. NULL is allowed. */
void mr_client_destroy(struct mr_client *client);

/**
 * mr_client_fetch() - have a region of another node fetched
 * @client: client
 * @node: the node that has it
 * @request: which
 * @done: called once, from the loop, unless mr_client_cancel() comes before
 * @user: passed to it
 *
 * Return: 0 or -errno.
 */
int mr_client_fetch(struct mr_client *client, const char *node,
		    const struct mr_region_request *request, mr_client_done *done, void *user);

/* No callback to @user any more; files that still come are removed. */
void mr_client_cancel(struct mr_client *client, void *user);

/* --- both sides of the socket ----------------------------------------------------- */

#define MR_SHUFFLE_MESSAGE_MAX	8192

/* Bytes of a message, or -EINVAL; @buf: MR_SHUFFLE_MESSAGE_MAX bytes. */
int mr_shuffle_fetch_encode(const char *node, const struct mr_region_request *request, uint8_t *buf);
int mr_shuffle_got_encode(const struct mr_head *head, const char *path, uint8_t *buf);
int mr_shuffle_failed_encode(enum mr_fetch_fault fault, const char *text, uint8_t *buf);
/* 0 or -EINVAL. @node: above LOCKSTEP_NODE_NAME_MAX bytes; @path: PATH_MAX; @text: 256. */
int mr_shuffle_fetch_decode(const void *data, size_t len, char *node, size_t size,
			    struct mr_region_request *request);
int mr_shuffle_got_decode(const void *data, size_t len, struct mr_head *head, char *path);
int mr_shuffle_failed_decode(const void *data, size_t len, enum mr_fetch_fault *fault, char *text);

#endif
