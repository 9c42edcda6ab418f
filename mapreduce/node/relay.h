/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Two service connections tied together: each message of one goes to the other, the
 * end of one is the end of both.
 *
 * Workers reach the coordinator of a job elsewhere so: they dial the service
 * "via-NODE" at their own node's socket, and it dials "mapreduce" there, over TLS.
 */
#ifndef LOCKSTEP_MR_RELAY_H
#define LOCKSTEP_MR_RELAY_H

#include <stddef.h>

struct lockstep_conn;
struct lockstep_msg;
struct mr_peer;

/**
 * mr_relay_begin() - dial a service elsewhere and tie it to a connection
 * @near: connection that is up; its message and closed upcalls are to call
 *	mr_relay_message() and mr_relay_closed()
 * @far: the node
 * @service: what to dial there
 *
 * Return: the relay, which lives until both have closed, or NULL: close @near.
 */
struct mr_relay *mr_relay_begin(struct lockstep_conn *near, struct mr_peer *far,
				const char *service);

/* A message came on the near side. */
void mr_relay_message(struct mr_relay *relay, const struct lockstep_msg *msg, const void *data,
		      size_t len);

/* The near side is over. */
void mr_relay_closed(struct mr_relay *relay);

#endif
