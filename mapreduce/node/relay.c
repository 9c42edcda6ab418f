// SPDX-License-Identifier: GPL-2.0
/* Two service connections tied together, see relay.h. */
#include "node/relay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "coordinator/server.h"
#include "node/node.h"
#include "shuffle/client.h"

#define WAITING_MAX	(4u << 20)	/* bytes that wait until the far side is up */

/* A message that came before the far side was up. */
struct waiting {
	STAILQ_ENTRY(waiting) entry;
	struct lockstep_msg msg;
	size_t len;
	uint8_t data[];
};

/**
 * struct mr_relay - a pair
 * @near: here; NULL once closed
 * @far: there; NULL once closed
 * @to: where that is
 * @waiting: messages for the far side
 * @bytes: in there
 */
struct mr_relay {
	TAILQ_ENTRY(mr_relay) entry;
	struct mr_node *node;
	struct lockstep_conn *near;
	struct lockstep_conn *far;
	struct mr_peer *to;
	STAILQ_HEAD(, waiting) waiting;
	size_t bytes;
};

static void relay_put(struct mr_relay *r)
{
	struct waiting *w;

	if (r->near || r->far)
		return;
	while ((w = STAILQ_FIRST(&r->waiting))) {
		STAILQ_REMOVE_HEAD(&r->waiting, entry);
		free(w);
	}
	TAILQ_REMOVE(&r->node->relays, r, entry);
	free(r);
}

static int pass(struct lockstep_conn *to, const struct lockstep_msg *msg, const void *data,
		size_t len)
{
	const struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	int ret = lockstep_conn_send(to, msg, &iov, 1);

	return ret < 0 ? ret : 0;
}

/* A message that can't be passed on must not be missed unnoticed: both ends go. */
static void relay_close(struct mr_relay *r)
{
	if (r->near)
		lockstep_conn_close(r->near);
	if (r->far)
		lockstep_conn_close(r->far);
}

static int keep(struct mr_relay *r, const struct lockstep_msg *msg, const void *data, size_t len)
{
	struct waiting *w;

	if (r->bytes + len > WAITING_MAX)
		return -ENOBUFS;
	w = malloc(sizeof(*w) + len);
	if (!w)
		return -ENOMEM;
	w->msg = *msg;
	w->len = len;
	memcpy(w->data, data, len);
	r->bytes += len;
	STAILQ_INSERT_TAIL(&r->waiting, w, entry);
	return 0;
}

void mr_relay_message(struct mr_relay *r, const struct lockstep_msg *msg, const void *data,
		      size_t len)
{
	int ret;

	if (!r->far)
		return;		/* closed, and so is this side soon */
	if (lockstep_conn_is_up(r->far))
		ret = pass(r->far, msg, data, len);
	else
		ret = keep(r, msg, data, len);
	if (ret)
		relay_close(r);
}

void mr_relay_closed(struct mr_relay *r)
{
	r->near = NULL;
	if (r->far)
		lockstep_conn_close(r->far);
	relay_put(r);
}

/* --- the far side --------------------------------------------------------------- */

static void far_up(struct lockstep_conn *conn)
{
	struct mr_relay *r = lockstep_conn_user(conn);
	struct waiting *w;
	int ret = 0;

	while (!ret && (w = STAILQ_FIRST(&r->waiting))) {
		ret = pass(conn, &w->msg, w->data, w->len);
		STAILQ_REMOVE_HEAD(&r->waiting, entry);
		r->bytes -= w->len;
		free(w);
	}
	if (ret)
		relay_close(r);
}

static void far_message(struct lockstep_conn *conn, const struct lockstep_msg *msg,
			const void *data, size_t len)
{
	struct mr_relay *r = lockstep_conn_user(conn);

	if (r->near && pass(r->near, msg, data, len))
		relay_close(r);
}

static void far_closed(struct lockstep_conn *conn, int error, const char *reason)
{
	struct mr_relay *r = lockstep_conn_user(conn);

	if (error)
		lockstep_debug("connection to %s: %s", r->to->name, reason);
	r->far = NULL;
	if (r->near)
		lockstep_conn_close(r->near);
	relay_put(r);
}

static const struct lockstep_service_ops far_ops = {
	.up = far_up,
	.message = far_message,
	.closed = far_closed,
};

struct mr_relay *mr_relay_begin(struct lockstep_conn *near, struct mr_peer *far,
				const char *service)
{
	struct mr_relay *r = calloc(1, sizeof(*r));
	int ret;

	if (!r)
		return NULL;
	r->node = far->node;
	r->near = near;
	r->to = far;
	STAILQ_INIT(&r->waiting);
	ret = lockstep_transport_dial(far->node->transport, service,
				      far->peer ? far->name : NULL, far->address, &far_ops, r,
				      &r->far);
	if (ret) {
		lockstep_warn("%s at %s can't be dialled: %s", far->name, far->address,
			      strerror(-ret));
		free(r);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&far->node->relays, r, entry);
	return r;
}

/* --- workers -------------------------------------------------------------------- */

static int near_accept(void *user, const char *node, const char *address)
{
	(void)user;
	(void)address;
	return strcmp(node, "local") ? -EACCES : 0;
}

/* A connection's user stays the node it leads to: it may be over before it was up. */
static struct mr_relay *relay_of(struct lockstep_conn *conn)
{
	struct mr_peer *to = lockstep_conn_user(conn);
	struct mr_relay *r;

	TAILQ_FOREACH(r, &to->node->relays, entry)
		if (r->near == conn)
			return r;
	return NULL;
}

static void near_up(struct lockstep_conn *conn)
{
	if (!mr_relay_begin(conn, lockstep_conn_user(conn), MR_SERVICE))
		lockstep_conn_close(conn);
}

static void near_message(struct lockstep_conn *conn, const struct lockstep_msg *msg,
			 const void *data, size_t len)
{
	struct mr_relay *r = relay_of(conn);

	if (r)
		mr_relay_message(r, msg, data, len);
}

static void near_closed(struct lockstep_conn *conn, int error, const char *reason)
{
	struct mr_relay *r = relay_of(conn);

	(void)error;
	(void)reason;
	if (r)
		mr_relay_closed(r);
}

static const struct lockstep_service_ops near_ops = {
	.accept = near_accept,
	.up = near_up,
	.message = near_message,
	.closed = near_closed,
};

int mr_relay_serve(struct mr_node *node)
{
	char service[sizeof(MR_VIA_PREFIX) + LOCKSTEP_NODE_NAME_MAX];
	struct mr_peer *p;
	int ret = 0;

	TAILQ_FOREACH(p, &node->peers, entry) {
		snprintf(service, sizeof(service), MR_VIA_PREFIX "%s", p->name);
		ret = lockstep_transport_serve(node->transport, service, &near_ops, p);
		if (ret)
			break;
	}
	return ret;
}

void mr_relays_break(struct mr_node *node, const char *name)
{
	struct mr_relay *r;

	TAILQ_FOREACH(r, &node->relays, entry)
		if (!strcmp(r->to->name, name))
			relay_close(r);
}

/* After the transport: no callback comes any more. */
void mr_relays_destroy(struct mr_node *node)
{
	struct mr_relay *r, *next;

	for (r = TAILQ_FIRST(&node->relays); r; r = next) {
		next = TAILQ_NEXT(r, entry);
		r->near = NULL;
		r->far = NULL;
		relay_put(r);
	}
}
