/* SPDX-License-Identifier: GPL-2.0 */
/* Back end "etcd": an etcd cluster, through its JSON gateway. */
#ifndef LOCKSTEP_ARBITER_ETCD_H
#define LOCKSTEP_ARBITER_ETCD_H

#include "arbiter/backend.h"
#include "arbiter/http.h"

struct event_base;

/**
 * struct lockstep_arbiter_etcd_config - where it is
 * @loop: the daemon's; outlives the back end
 * @name: of the arbiter, for people
 * @node: this node: who asks. etcd does not check it
 * @boot_id: boot of this host
 * @http: endpoints and certificates
 */
struct lockstep_arbiter_etcd_config {
	struct event_base *loop;
	const char *name;
	const char *node;
	struct lockstep_uuid boot_id;
	struct lockstep_http_config http;
};

/**
 * lockstep_arbiter_etcd_create() - use an etcd cluster as arbiter
 * @cfg: where it is; copied
 * @out: receives the back end; freed with (*out)->ops->destroy(*out)
 * @err: receives a message with cause and remedy
 * @errlen: its size
 *
 * A request reads the guest, judges, and changes it in a transaction that holds
 * only if nothing was changed since; else it begins anew. Endpoints are tried in
 * turn, each for its share of the time. A transaction that was not answered may
 * be carried out until the guest is changed otherwise, so going on elsewhere is
 * as right as asking again.
 *
 * Return: 0 or -errno.
 */
int lockstep_arbiter_etcd_create(const struct lockstep_arbiter_etcd_config *cfg,
				 struct lockstep_arbiter **out, char *err, size_t errlen);

/**
 * lockstep_arbiter_etcd_restore() - give the store a new UUID: it may be an old copy
 * @a: back end made by lockstep_arbiter_etcd_create()
 * @ms: time limit
 * @done: called once, OK with the new UUID
 * @arg: for @done
 *
 * Return: 0 or -errno.
 */
int lockstep_arbiter_etcd_restore(struct lockstep_arbiter *a, unsigned int ms,
				  lockstep_arbiter_done *done, void *arg);

#endif
