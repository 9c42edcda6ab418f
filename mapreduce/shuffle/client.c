// SPDX-License-Identifier: GPL-2.0
/* A worker's side of the shuffle, see client.h. */
#include "shuffle/client.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "common/bytes.h"
#include "transport/transport.h"

/**
 * struct wanted - a region that was asked for
 * @id: of the message
 * @len: of @data
 * @sent: the message is with the node
 * @data: the message
 */
struct wanted {
	TAILQ_ENTRY(wanted) entry;
	uint64_t id;
	mr_client_done *done;
	void *user;
	bool sent;
	size_t len;
	uint8_t data[];
};

struct mr_client {
	struct lockstep_transport *t;
	char address[LOCKSTEP_ADDR_STRLEN];
	struct lockstep_conn *conn;
	TAILQ_HEAD(, wanted) wanted;
	uint64_t next_id;
};

/* --- messages ------------------------------------------------------------------- */

int mr_shuffle_fetch_encode(const char *node, const struct mr_region_request *request, uint8_t *buf)
{
	struct lockstep_writer w;
	int n;

	lockstep_writer_init(&w, buf, MR_SHUFFLE_MESSAGE_MAX - MR_REQUEST_MAX);
	lockstep_write_str(&w, node);
	if (!lockstep_writer_ok(&w))
		return -EINVAL;
	n = mr_region_request_encode(request, buf + w.len);
	return n < 0 ? n : (int)w.len + n;
}

int mr_shuffle_fetch_decode(const void *data, size_t len, char *node, size_t size,
			    struct mr_region_request *request)
{
	struct lockstep_reader r;

	lockstep_reader_init(&r, data, len);
	lockstep_read_str(&r, node, size);
	if (!lockstep_reader_ok(&r))
		return -EINVAL;
	return mr_region_request_decode(r.pos, r.left, request);
}

int mr_shuffle_got_encode(const struct mr_head *head, const char *path, uint8_t *buf)
{
	struct lockstep_writer w;
	uint8_t bytes[MR_HEAD_SIZE];

	lockstep_writer_init(&w, buf, MR_SHUFFLE_MESSAGE_MAX);
	mr_head_encode(head, bytes);
	lockstep_write_bytes(&w, bytes, sizeof(bytes));
	lockstep_write_u16(&w, (uint16_t)strlen(path));
	lockstep_write_bytes(&w, path, strlen(path));
	return lockstep_writer_ok(&w) && strlen(path) < PATH_MAX ? (int)w.len : -EINVAL;
}

int mr_shuffle_got_decode(const void *data, size_t len, struct mr_head *head, char *path)
{
	struct lockstep_reader r;
	uint8_t bytes[MR_HEAD_SIZE];
	uint16_t n;

	lockstep_reader_init(&r, data, len);
	lockstep_read_bytes(&r, bytes, sizeof(bytes));
	n = lockstep_read_u16(&r);
	if (n >= PATH_MAX)
		return -EINVAL;
	lockstep_read_bytes(&r, path, n);
	path[n] = '\0';
	mr_head_decode(bytes, head);
	return lockstep_reader_done(&r) && strlen(path) == n ? 0 : -EINVAL;
}

int mr_shuffle_failed_encode(enum mr_fetch_fault fault, const char *text, uint8_t *buf)
{
	char some[256];
	struct lockstep_writer w;

	snprintf(some, sizeof(some), "%s", text);
	lockstep_writer_init(&w, buf, MR_SHUFFLE_MESSAGE_MAX);
	lockstep_write_u8(&w, (uint8_t)fault);
	lockstep_write_str(&w, some);
	return (int)w.len;
}

int mr_shuffle_failed_decode(const void *data, size_t len, enum mr_fetch_fault *fault, char *text)
{
	struct lockstep_reader r;
	uint8_t value;

	lockstep_reader_init(&r, data, len);
	value = lockstep_read_u8(&r);
	lockstep_read_str(&r, text, 256);
	if (!lockstep_reader_done(&r) || value < MR_FETCH_THERE || value > MR_FETCH_HERE)
		return -EINVAL;
	*fault = (enum mr_fetch_fault)value;
	return 0;
}

/* --- asking --------------------------------------------------------------------- */

static void wanted_end(struct mr_client *client, struct wanted *w, enum mr_fetch_fault fault,
		       const char *path, const struct mr_head *head, const char *text)
{
	TAILQ_REMOVE(&client->wanted, w, entry);
	if (w->done)
		w->done(w->user, fault, path, head, text);
	else if (path)
		unlink(path);
	free(w);
}

static void send_all(struct mr_client *client)
{
	struct lockstep_msg msg = { .kind = MR_SHUFFLE_FETCH };
	struct iovec iov;
	struct wanted *w;

	TAILQ_FOREACH(w, &client->wanted, entry) {
		if (w->sent)
			continue;
		msg.id = w->id;
		iov.iov_base = w->data;
		iov.iov_len = w->len;
		if (lockstep_conn_send(client->conn, &msg, &iov, 1) < 0)
			return;		/* writable comes */
		w->sent = true;
	}
}

static void on_up(struct lockstep_conn *conn)
{
	send_all(lockstep_conn_user(conn));
}

static struct wanted *find(struct mr_client *client, uint64_t id)
{
	struct wanted *w;

	TAILQ_FOREACH(w, &client->wanted, entry)
		if (w->id == id)
			return w;
	return NULL;
}

static void on_message(struct lockstep_conn *conn, const struct lockstep_msg *msg,
		       const void *data, size_t len)
{
	struct mr_client *client = lockstep_conn_user(conn);
	struct wanted *w = find(client, msg->id);
	char path[PATH_MAX], text[256];
	enum mr_fetch_fault fault;
	struct mr_head head;

	if (!w)
		return;
	if (msg->kind == MR_SHUFFLE_GOT && !mr_shuffle_got_decode(data, len, &head, path))
		wanted_end(client, w, MR_FETCH_GOOD, path, &head, "fetched");
	else if (msg->kind == MR_SHUFFLE_FAILED &&
		 !mr_shuffle_failed_decode(data, len, &fault, text))
		wanted_end(client, w, fault, NULL, NULL, text);
	else
		lockstep_conn_close(conn);
}

static void on_closed(struct lockstep_conn *conn, int error, const char *reason)
{
	struct mr_client *client = lockstep_conn_user(conn);
	char text[256];
	struct wanted *w;

	(void)error;
	client->conn = NULL;
	snprintf(text, sizeof(text), "this node's mrnode: %s", reason);
	while ((w = TAILQ_FIRST(&client->wanted)))
		wanted_end(client, w, MR_FETCH_HERE, NULL, NULL, text);
}

static const struct lockstep_service_ops client_ops = {
	.up = on_up,
	.message = on_message,
	.writable = on_up,
	.closed = on_closed,
};

int mr_client_create(struct lockstep_transport *t, const char *address, struct mr_client **out)
{
	struct mr_client *client = calloc(1, sizeof(*client));

	if (!client)
		return -ENOMEM;
	client->t = t;
	snprintf(client->address, sizeof(client->address), "%s", address);
	TAILQ_INIT(&client->wanted);
	*out = client;
	return 0;
}

void mr_client_destroy(struct mr_client *client)
{
	struct wanted *w;

	if (!client)
		return;
	while ((w = TAILQ_FIRST(&client->wanted))) {
		TAILQ_REMOVE(&client->wanted, w, entry);
		free(w);
	}
	free(client);
}

int mr_client_fetch(struct mr_client *client, const char *node,
		    const struct mr_region_request *request, mr_client_done *done, void *user)
{
	uint8_t buf[MR_SHUFFLE_MESSAGE_MAX];
	int ret, len = mr_shuffle_fetch_encode(node, request, buf);
	struct wanted *w;

	if (len < 0)
		return len;
	w = malloc(sizeof(*w) + (size_t)len);
	if (!w)
		return -ENOMEM;
	*w = (struct wanted) { .id = ++client->next_id, .done = done, .user = user };
	w->len = (size_t)len;
	memcpy(w->data, buf, w->len);
	if (!client->conn) {
		ret = lockstep_transport_dial(client->t, MR_SHUFFLE_SERVICE, NULL, client->address,
					      &client_ops, client, &client->conn);
		if (ret) {
			free(w);
			return ret;
		}
	}
	TAILQ_INSERT_TAIL(&client->wanted, w, entry);
	if (lockstep_conn_is_up(client->conn))
		send_all(client);
	return 0;
}

void mr_client_cancel(struct mr_client *client, void *user)
{
	struct wanted *w;

	TAILQ_FOREACH(w, &client->wanted, entry)
		if (w->user == user)
			w->done = NULL;
}
