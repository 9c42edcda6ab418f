/* SPDX-License-Identifier: GPL-2.0 */
/* The arbiter's service: requests in, verdicts of the store out. */
#ifndef LOCKSTEP_ARBITER_SERVER_H
#define LOCKSTEP_ARBITER_SERVER_H

#include <stdint.h>

#include "arbiter/store.h"
#include "transport/transport.h"

/**
 * struct lockstep_arbiter_server - a store offered on a transport
 * @t: transport
 * @store: store
 * @started_ns: when it began
 * @requests: answered so far
 * @failed: -errno of a journal that failed; the loop was stopped
 */
struct lockstep_arbiter_server {
	struct lockstep_transport *t;
	struct lockstep_store *store;
	uint64_t started_ns;
	uint64_t requests;
	int failed;
};

/**
 * lockstep_arbiter_server_init() - offer a store
 * @srv: server; must stay until the transport is destroyed
 * @t: transport
 * @store: store
 *
 * When the journal fails the request is not answered, @failed is set and the
 * loop is broken off: the process has to end and read the journal anew.
 *
 * Return: 0 or -errno.
 */
int lockstep_arbiter_server_init(struct lockstep_arbiter_server *srv,
				 struct lockstep_transport *t, struct lockstep_store *store);

#endif
