// SPDX-License-Identifier: GPL-2.0
/* What back ends have in common that judge requests themselves. */
#include "arbiter/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/clock.h"

static void query_free(struct lockstep_query *q)
{
	TAILQ_REMOVE(&q->client->queries, q, entry);
	if (q->timer)
		event_free(q->timer);
	free(q);
}

void lockstep_query_finish(struct lockstep_query *q, const struct lockstep_arbiter_answer *answer,
			   const struct lockstep_arbiter_entry *entries, size_t count,
			   const struct lockstep_arbiter_info *info)
{
	bool ok = answer->result == LOCKSTEP_ARBITER_OK;
	struct lockstep_query copy = *q;

	query_free(q);
	if (copy.done)
		copy.done(answer, copy.arg);
	else if (copy.list_done)
		copy.list_done(answer, ok ? entries : NULL, ok ? count : 0, copy.arg);
	else if (copy.probe_done)
		copy.probe_done(answer, ok ? info : NULL, copy.arg);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct lockstep_arbiter_answer answer = {
		.result = LOCKSTEP_ARBITER_UNKNOWN,
		.detail = "no answer in time",
	};
	struct lockstep_query *q = arg;

	(void)fd;
	(void)what;
	answer.maybe_done = q->client->ops->cancel(q);
	lockstep_query_finish(q, &answer, NULL, 0, NULL);
}

static struct lockstep_query *query_new(struct lockstep_arbiter *a, enum lockstep_query_op op,
					void *arg)
{
	struct lockstep_client *client = (struct lockstep_client *)a;
	struct lockstep_query *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->client = client;
	q->op = op;
	q->rq.node = client->node;
	q->begin_ns = lockstep_clock_ns();
	q->arg = arg;
	TAILQ_INSERT_TAIL(&client->queries, q, entry);
	return q;
}

/* Frees it on failure. */
static int query_start(struct lockstep_query *q, unsigned int ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };
	int err = -ERANGE;

	if (ms < LOCKSTEP_ARBITER_TIMEOUT_MS_MIN || ms > LOCKSTEP_ARBITER_TIMEOUT_MS_MAX)
		goto out_free;
	q->ms = ms;
	err = -ENOMEM;
	q->timer = event_new(q->client->loop, -1, 0, on_timeout, q);
	if (!q->timer || event_add(q->timer, &tv))
		goto out_free;
	err = q->client->ops->start(q);
	if (err)
		goto out_free;
	return 0;

out_free:
	query_free(q);
	return err;
}

int lockstep_client_put(struct lockstep_arbiter *a, const struct lockstep_arbiter_key *key,
			const void *value, size_t len, unsigned int ms,
			lockstep_arbiter_done *done, void *arg)
{
	struct lockstep_query *q = query_new(a, LOCKSTEP_QUERY_CHANGE, arg);

	if (!q)
		return -ENOMEM;
	q->done = done;
	q->rq.op = key->kind == LOCKSTEP_RECORD_WON ? LOCKSTEP_RULES_CLAIM : LOCKSTEP_RULES_CREATE;
	q->rq.key = *key;
	memcpy(q->value, value, len);
	q->rq.value = q->value;
	q->rq.len = len;
	return query_start(q, ms);
}

int lockstep_client_get(struct lockstep_arbiter *a, const struct lockstep_arbiter_key *key,
			unsigned int ms, lockstep_arbiter_done *done, void *arg)
{
	struct lockstep_query *q = query_new(a, LOCKSTEP_QUERY_GET, arg);

	if (!q)
		return -ENOMEM;
	q->done = done;
	q->rq.key = *key;
	return query_start(q, ms);
}

int lockstep_client_list(struct lockstep_arbiter *a, const struct lockstep_uuid *vm,
			 unsigned int ms, lockstep_arbiter_list_done *done, void *arg)
{
	struct lockstep_query *q = query_new(a, LOCKSTEP_QUERY_LIST, arg);

	if (!q)
		return -ENOMEM;
	q->list_done = done;
	if (vm)
		q->rq.key.vm = *vm;
	return query_start(q, ms);
}

int lockstep_client_prune(struct lockstep_arbiter *a, const struct lockstep_uuid *vm,
			  uint64_t below, unsigned int ms, lockstep_arbiter_done *done, void *arg)
{
	struct lockstep_query *q = query_new(a, LOCKSTEP_QUERY_CHANGE, arg);

	if (!q)
		return -ENOMEM;
	q->done = done;
	q->rq.op = LOCKSTEP_RULES_PRUNE;
	q->rq.key.vm = *vm;
	q->rq.below = below;
	return query_start(q, ms);
}

int lockstep_client_probe(struct lockstep_arbiter *a, unsigned int ms,
			  lockstep_arbiter_probe_done *done, void *arg)
{
	struct lockstep_query *q = query_new(a, LOCKSTEP_QUERY_PROBE, arg);

	if (!q)
		return -ENOMEM;
	q->probe_done = done;
	return query_start(q, ms);
}

int lockstep_client_restore(struct lockstep_arbiter *a, unsigned int ms,
			    lockstep_arbiter_done *done, void *arg)
{
	struct lockstep_query *q = query_new(a, LOCKSTEP_QUERY_RESTORE, arg);

	if (!q)
		return -ENOMEM;
	q->done = done;
	return query_start(q, ms);
}

void lockstep_client_destroy(struct lockstep_arbiter *a)
{
	struct lockstep_client *client = (struct lockstep_client *)a;
	struct lockstep_query *q;

	while ((q = TAILQ_FIRST(&client->queries))) {
		client->ops->cancel(q);
		query_free(q);
	}
	client->ops->destroy(client);
}

int lockstep_client_init(struct lockstep_client *client, const struct lockstep_arbiter_ops *kind,
			 const struct lockstep_client_ops *ops, struct event_base *loop,
			 const char *node)
{
	if (!lockstep_node_name_valid(node))
		return -EINVAL;
	client->base.ops = kind;
	client->ops = ops;
	client->loop = loop;
	strcpy(client->node, node);
	TAILQ_INIT(&client->queries);
	return 0;
}
