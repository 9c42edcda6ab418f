// SPDX-License-Identifier: GPL-2.0
/* Services: request and response with nodes that need not be peers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "transport/internal.h"

static void service_up(struct lockstep_conn *conn)
{
	if (conn->service_ops->up)
		conn->service_ops->up(conn);
}

static int service_hello(struct lockstep_conn *conn)
{
	(void)conn;
	return 0;
}

static int service_frame(struct lockstep_conn *conn, const struct lockstep_frame *f,
			 const uint8_t *payload)
{
	struct lockstep_msg msg = { .channel = f->channel, .kind = f->kind, .id = f->id };

	if (f->type != LOCKSTEP_FRAME_MSG) {
		lockstep_conn_explain(conn, "frame of type %u on a service", f->type);
		return -EPROTO;
	}
	if (conn->service_ops->message)
		conn->service_ops->message(conn, &msg, payload, f->length);
	return 0;
}

static void service_drained(struct lockstep_conn *conn)
{
	if (conn->service_ops->writable)
		conn->service_ops->writable(conn);
}

static void service_closed(struct lockstep_conn *conn, int error, const char *reason)
{
	if (conn->service_ops->closed)
		conn->service_ops->closed(conn, error, reason);
}

static const struct lockstep_conn_owner service_owner = {
	.hello		= service_hello,
	.up		= service_up,
	.frame		= service_frame,
	.drained	= service_drained,
	.closed		= service_closed,
};

static struct lockstep_service *service_find(struct lockstep_transport *t, const char *name)
{
	struct lockstep_service *s;

	TAILQ_FOREACH(s, &t->services, all) {
		if (!strcmp(s->name, name))
			return s;
	}
	return NULL;
}

int lockstep_service_adopt(struct lockstep_conn *conn)
{
	struct lockstep_service *s = service_find(conn->t, conn->service);
	int err;

	if (!s) {
		lockstep_conn_explain(conn, "there is no service \"%s\" here", conn->service);
		return -ENOENT;
	}
	if (s->ops->accept) {
		err = s->ops->accept(s->user, conn->node, conn->address);
		if (err) {
			lockstep_conn_explain(conn, "service \"%s\" is not for node \"%s\"",
					      conn->service, conn->node);
			return err;
		}
	}
	lockstep_conn_set_plane(conn, LOCKSTEP_PLANE_SERVICE);
	conn->owner = &service_owner;
	conn->service_ops = s->ops;
	conn->user = s->user;
	return 0;
}

int lockstep_transport_serve(struct lockstep_transport *t, const char *service,
			     const struct lockstep_service_ops *ops, void *user)
{
	struct lockstep_service *s;

	if (!service || !*service || strlen(service) > LOCKSTEP_SERVICE_NAME_MAX)
		return -EINVAL;
	if (service_find(t, service))
		return -EEXIST;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	strcpy(s->name, service);
	s->ops = ops;
	s->user = user;
	TAILQ_INSERT_TAIL(&t->services, s, all);
	return 0;
}

int lockstep_transport_dial(struct lockstep_transport *t, const char *service,
			    const char *node, const char *address,
			    const struct lockstep_service_ops *ops, void *user,
			    struct lockstep_conn **out)
{
	struct lockstep_conn *conn;
	struct lockstep_addr addr;
	int err;

	if (!service || !*service || strlen(service) > LOCKSTEP_SERVICE_NAME_MAX)
		return -EINVAL;
	if (node && !lockstep_node_name_valid(node))
		return -EINVAL;
	err = lockstep_addr_parse(address, false, &addr);
	if (err)
		return err;
	err = lockstep_conn_dial(t, &addr, LOCKSTEP_PLANE_SERVICE, &service_owner, &conn);
	if (err)
		return err;
	strcpy(conn->service, service);
	if (node)
		strcpy(conn->expect_node, node);
	conn->service_ops = ops;
	conn->user = user;
	*out = conn;
	return 0;
}

int lockstep_conn_send(struct lockstep_conn *conn, const struct lockstep_msg *msg,
		       const struct iovec *iov, int iovcnt)
{
	struct lockstep_frame f = {
		.type = LOCKSTEP_FRAME_MSG,
		.channel = msg->channel,
		.kind = msg->kind,
		.id = msg->id,
	};

	return lockstep_conn_queue(conn, &f, iov, iovcnt);
}

void lockstep_conn_close(struct lockstep_conn *conn)
{
	lockstep_conn_bye(conn, 0, "done");
}

void *lockstep_conn_user(const struct lockstep_conn *conn)
{
	return conn->user;
}

void lockstep_conn_set_user(struct lockstep_conn *conn, void *user)
{
	conn->user = user;
}

const char *lockstep_conn_node(const struct lockstep_conn *conn)
{
	return conn->node;
}

const char *lockstep_conn_address(const struct lockstep_conn *conn)
{
	return conn->address;
}

const struct lockstep_uuid *lockstep_conn_boot_id(const struct lockstep_conn *conn)
{
	return &conn->remote.boot_id;
}

bool lockstep_conn_is_up(const struct lockstep_conn *conn)
{
	return conn->state == LOCKSTEP_CONN_UP;
}
