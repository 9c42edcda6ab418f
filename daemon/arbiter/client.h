/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What back ends have in common that judge requests themselves: the interface
 * of backend.h on the side of the daemon, time limits on the other.
 */
#ifndef LOCKSTEP_ARBITER_CLIENT_H
#define LOCKSTEP_ARBITER_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "arbiter/backend.h"
#include "arbiter/rules.h"

struct event;
struct event_base;
struct lockstep_client;

enum lockstep_query_op {
	LOCKSTEP_QUERY_CHANGE	= 1,	/* rq */
	LOCKSTEP_QUERY_GET	= 2,	/* rq.key */
	LOCKSTEP_QUERY_LIST	= 3,	/* rq.key.vm; nil: all */
	LOCKSTEP_QUERY_PROBE	= 4,
	LOCKSTEP_QUERY_RESTORE	= 5,	/* a new UUID; not every back end has it */
};

/**
 * struct lockstep_query - a request under way
 * @entry: link in the client
 * @client: back end
 * @op: enum lockstep_query_op
 * @rq: what is asked for; its value is @value
 * @value: room for it
 * @begin_ns: when it was made
 * @ms: time limit
 * @priv: the back end's
 */
struct lockstep_query {
	TAILQ_ENTRY(lockstep_query) entry;
	struct lockstep_client *client;
	enum lockstep_query_op op;
	struct lockstep_rules_request rq;
	uint8_t value[LOCKSTEP_ARBITER_VALUE_MAX];
	uint64_t begin_ns;
	unsigned int ms;
	void *priv;
	/* private to client.c */
	struct event *timer;
	lockstep_arbiter_done *done;
	lockstep_arbiter_list_done *list_done;
	lockstep_arbiter_probe_done *probe_done;
	void *arg;
};

/**
 * struct lockstep_client_ops - what the back end does
 *
 * @start: begin a query. 0: lockstep_query_finish() is called later, never from
 *	in here; -errno: not begun
 * @cancel: nobody waits any more; drop @priv. True: it may have taken effect
 * @destroy: free the back end, which has no query any more; it may be called
 *	from a callback of lockstep_query_finish()
 */
struct lockstep_client_ops {
	int (*start)(struct lockstep_query *q);
	bool (*cancel)(struct lockstep_query *q);
	void (*destroy)(struct lockstep_client *client);
};

/**
 * struct lockstep_client - first member of such a back end
 * @base: interface
 * @ops: back end
 * @loop: the daemon's
 * @node: this node
 * @queries: under way
 */
struct lockstep_client {
	struct lockstep_arbiter base;
	const struct lockstep_client_ops *ops;
	struct event_base *loop;
	char node[LOCKSTEP_NODE_NAME_MAX + 1];
	TAILQ_HEAD(, lockstep_query) queries;
};

/**
 * lockstep_client_init() - fill in a client
 * @client: client
 * @kind: operations, made with LOCKSTEP_CLIENT_KIND()
 * @ops: back end
 * @loop: the daemon's; outlives it
 * @node: this node
 *
 * Return: 0 or -EINVAL.
 */
int lockstep_client_init(struct lockstep_client *client, const struct lockstep_arbiter_ops *kind,
			 const struct lockstep_client_ops *ops, struct event_base *loop,
			 const char *node);

/**
 * lockstep_query_finish() - call back and free a query
 * @q: query; its @priv is nobody's any more
 * @answer: outcome
 * @entries: of LIST
 * @count: how many
 * @info: of PROBE
 *
 * The callback may destroy the back end: touch it no more.
 */
void lockstep_query_finish(struct lockstep_query *q, const struct lockstep_arbiter_answer *answer,
			   const struct lockstep_arbiter_entry *entries, size_t count,
			   const struct lockstep_arbiter_info *info);

int lockstep_client_put(struct lockstep_arbiter *a, const struct lockstep_arbiter_key *key,
			const void *value, size_t len, unsigned int ms,
			lockstep_arbiter_done *done, void *arg);
int lockstep_client_get(struct lockstep_arbiter *a, const struct lockstep_arbiter_key *key,
			unsigned int ms, lockstep_arbiter_done *done, void *arg);
int lockstep_client_list(struct lockstep_arbiter *a, const struct lockstep_uuid *vm,
			 unsigned int ms, lockstep_arbiter_list_done *done, void *arg);
int lockstep_client_prune(struct lockstep_arbiter *a, const struct lockstep_uuid *vm,
			  uint64_t below, unsigned int ms, lockstep_arbiter_done *done, void *arg);
int lockstep_client_probe(struct lockstep_arbiter *a, unsigned int ms,
			  lockstep_arbiter_probe_done *done, void *arg);
int lockstep_client_restore(struct lockstep_arbiter *a, unsigned int ms,
			    lockstep_arbiter_done *done, void *arg);
void lockstep_client_destroy(struct lockstep_arbiter *a);

#define LOCKSTEP_CLIENT_KIND(kind)				\
	{							\
		.name		= (kind),			\
		.put		= lockstep_client_put,		\
		.get		= lockstep_client_get,		\
		.list		= lockstep_client_list,		\
		.prune		= lockstep_client_prune,	\
		.probe		= lockstep_client_probe,	\
		.destroy	= lockstep_client_destroy,	\
	}

#endif
