// SPDX-License-Identifier: GPL-2.0
/* Regions that workers of this node want from other nodes (shuffle/client.h). */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "node/node.h"
#include "shuffle/client.h"
#include "shuffle/fetch.h"

/**
 * struct taking - one region under way
 * @id: the worker's
 * @path: where to
 */
struct taking {
	TAILQ_ENTRY(taking) entry;
	struct mr_intake *intake;
	struct mr_fetch *fetch;
	uint64_t id;
	char path[PATH_MAX];
};

/* A worker's connection. */
struct mr_intake {
	TAILQ_ENTRY(mr_intake) entry;
	struct mr_node *node;
	struct lockstep_conn *conn;
	TAILQ_HEAD(, taking) takings;
};

/* A connection's user stays the node: it may be over before it was up. */
static struct mr_intake *intake_of(struct lockstep_conn *conn)
{
	struct mr_node *node = lockstep_conn_user(conn);
	struct mr_intake *in;

	TAILQ_FOREACH(in, &node->intakes, entry)
		if (in->conn == conn)
			return in;
	return NULL;
}

static void taking_free(struct taking *t)
{
	TAILQ_REMOVE(&t->intake->takings, t, entry);
	free(t);
}

static void send(struct mr_intake *in, uint32_t kind, uint64_t id, const uint8_t *data, int len)
{
	const struct lockstep_msg msg = { .kind = kind, .id = id };
	const struct iovec iov = { .iov_base = (void *)data, .iov_len = (size_t)len };

	if (len < 0 || lockstep_conn_send(in->conn, &msg, &iov, 1) < 0)
		lockstep_conn_close(in->conn);
}

static void send_failed(struct mr_intake *in, uint64_t id, enum mr_fetch_fault fault,
			const char *text)
{
	uint8_t buf[MR_SHUFFLE_MESSAGE_MAX];

	send(in, MR_SHUFFLE_FAILED, id, buf, mr_shuffle_failed_encode(fault, text, buf));
}

static void on_fetched(void *user, enum mr_fetch_fault fault, const struct mr_head *head,
		       const char *text)
{
	uint8_t buf[MR_SHUFFLE_MESSAGE_MAX];
	struct taking *t = user;

	if (fault) {
		lockstep_info("a region from %s", text);
		send_failed(t->intake, t->id, fault, text);
	} else {
		send(t->intake, MR_SHUFFLE_GOT, t->id, buf,
		     mr_shuffle_got_encode(head, t->path, buf));
	}
	taking_free(t);
}

static int take(struct mr_intake *in, struct mr_peer *from, const char *dir, uint64_t id,
		const struct mr_region_request *request)
{
	struct taking *t = calloc(1, sizeof(*t));
	uint8_t bytes[MR_REQUEST_MAX];
	struct mr_fetch_config config = {
		.kind = MR_STREAM_REGION, .request = bytes, .checked = true, .max = UINT64_MAX,
		.done = on_fetched, .user = t,
	};
	static uint64_t serial;
	int ret;

	if (!t)
		return -ENOMEM;
	t->intake = in;
	t->id = id;
	TAILQ_INSERT_TAIL(&in->takings, t, entry);
	ret = snprintf(t->path, sizeof(t->path), "%s/fetched-%" PRIu64, dir, ++serial);
	ret = ret >= (int)sizeof(t->path) ? -ENAMETOOLONG : mr_region_request_encode(request, bytes);
	if (ret >= 0) {
		config.request_len = (size_t)ret;
		config.path = t->path;
		ret = mr_fetch_begin(from->fetcher, &config, &t->fetch);
	}
	if (ret)
		taking_free(t);
	return ret;
}

static void on_message(struct lockstep_conn *conn, const struct lockstep_msg *msg,
		       const void *data, size_t len)
{
	struct mr_intake *in = intake_of(conn);
	char node[LOCKSTEP_NODE_NAME_MAX + 1];
	struct mr_region_request request;
	struct mr_peer *from;
	const char *dir;
	int ret;

	if (!in)
		return;
	if (msg->kind != MR_SHUFFLE_FETCH ||
	    mr_shuffle_fetch_decode(data, len, node, sizeof(node), &request)) {
		lockstep_conn_close(conn);
		return;
	}
	from = mr_peer_find(in->node, node);
	dir = mr_share_dir(in->node, request.job);
	if (!dir) {
		send_failed(in, msg->id, MR_FETCH_HERE, "the job is over here");
	} else if (!from || !from->fetcher) {
		send_failed(in, msg->id, MR_FETCH_THERE, "no such node");
	} else {
		ret = take(in, from, dir, msg->id, &request);
		if (ret)
			send_failed(in, msg->id, MR_FETCH_HERE, strerror(-ret));
	}
}

static int on_accept(void *user, const char *node, const char *address)
{
	(void)user;
	(void)address;
	return strcmp(node, "local") ? -EACCES : 0;
}

static void on_up(struct lockstep_conn *conn)
{
	struct mr_intake *in = calloc(1, sizeof(*in));

	if (!in) {
		lockstep_conn_close(conn);
		return;
	}
	in->node = lockstep_conn_user(conn);
	in->conn = conn;
	TAILQ_INIT(&in->takings);
	TAILQ_INSERT_TAIL(&in->node->intakes, in, entry);
}

static void intake_free(struct mr_intake *in)
{
	struct taking *t;

	while ((t = TAILQ_FIRST(&in->takings))) {
		mr_fetch_cancel(t->fetch);
		taking_free(t);
	}
	TAILQ_REMOVE(&in->node->intakes, in, entry);
	free(in);
}

static void on_closed(struct lockstep_conn *conn, int error, const char *reason)
{
	struct mr_intake *in = intake_of(conn);

	(void)error;
	(void)reason;
	if (in)
		intake_free(in);
}

static const struct lockstep_service_ops intake_ops = {
	.accept = on_accept,
	.up = on_up,
	.message = on_message,
	.closed = on_closed,
};

int mr_intake_serve(struct mr_node *node)
{
	return lockstep_transport_serve(node->transport, MR_SHUFFLE_SERVICE, &intake_ops, node);
}

void mr_intakes_destroy(struct mr_node *node)
{
	struct mr_intake *in;

	while ((in = TAILQ_FIRST(&node->intakes)))
		intake_free(in);
}
