// SPDX-License-Identifier: GPL-2.0
/* Requests to mrnode, see ask.h. */
#include "ask.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "common/json.h"
#include "mrctl.h"
#include "node/control.h"
#include "transport/transport.h"

/**
 * struct asking - a request under way
 * @request: its text
 * @upload: what follows, or NULL
 * @sent: bytes of the spec that were sent
 * @path: file that is being sent
 * @fd: that file, or -1
 * @answer: bytes of the answer
 * @done: all of it came
 * @error: why it could not be asked
 */
struct asking {
	struct event_base *base;
	struct lockstep_conn *conn;
	const char *request;
	const struct mrctl_upload *upload;
	size_t sent;
	size_t path;
	int fd;
	struct evbuffer *answer;
	bool done;
	int error;
	char reason[256];
};

/* 0: sent; 1: sent, and wait; -errno: not sent */
static int tell(struct asking *a, uint32_t kind, const void *data, size_t len)
{
	const struct lockstep_msg msg = { .kind = kind };
	const struct iovec iov = { .iov_base = (void *)data, .iov_len = len };

	return lockstep_conn_send(a->conn, &msg, &iov, 1);
}

static void give_up(struct asking *a, int error, const char *what)
{
	a->error = error;
	snprintf(a->reason, sizeof(a->reason), "%s: %s", what, strerror(-error));
	lockstep_conn_close(a->conn);
}

/* A piece of the files; 1: wait, 0: go on, -1: there is nothing more. */
static int file_piece(struct asking *a)
{
	static char piece[MR_CONTROL_PIECE];
	const char *path;
	ssize_t n;
	int ret;

	if (a->path == a->upload->nr_paths)
		return -1;
	path = a->upload->paths[a->path];
	if (a->fd < 0)
		a->fd = open(path, O_RDONLY | O_CLOEXEC);
	n = a->fd < 0 ? -1 : read(a->fd, piece, sizeof(piece));
	if (n < 0) {
		give_up(a, -errno, path);
		return -1;
	}
	if (!n) {
		close(a->fd);
		a->fd = -1;
		a->path++;
		return 0;
	}
	ret = tell(a, MR_CONTROL_DATA, piece, (size_t)n);
	if (ret < 0)
		give_up(a, ret, path);
	return ret;
}

static void upload(struct lockstep_conn *conn)
{
	struct asking *a = lockstep_conn_user(conn);
	size_t left;
	int ret = 0;

	if (!a->upload || a->error)
		return;
	left = strlen(a->upload->spec) - a->sent;
	while (left && !ret) {
		size_t n = left < MR_CONTROL_PIECE ? left : MR_CONTROL_PIECE;

		ret = tell(a, MR_CONTROL_DATA, a->upload->spec + a->sent, n);
		if (ret < 0) {
			give_up(a, ret, "the job's description");
			return;
		}
		a->sent += n;
		left -= n;
	}
	while (!ret)
		ret = file_piece(a);
}

static void on_up(struct lockstep_conn *conn)
{
	struct asking *a = lockstep_conn_user(conn);

	if (tell(a, MR_CONTROL_REQUEST, a->request, strlen(a->request)) < 0)
		give_up(a, -EMSGSIZE, "the request");
	else
		upload(conn);
}

static void on_message(struct lockstep_conn *conn, const struct lockstep_msg *msg,
		       const void *data, size_t len)
{
	struct asking *a = lockstep_conn_user(conn);

	evbuffer_add(a->answer, data, len);
	if (msg->kind != MR_CONTROL_END)
		return;
	a->done = true;
	lockstep_conn_close(conn);
}

static void on_closed(struct lockstep_conn *conn, int error, const char *reason)
{
	struct asking *a = lockstep_conn_user(conn);

	if (!a->error) {
		a->error = error ? error : -ECONNRESET;
		snprintf(a->reason, sizeof(a->reason), "%s", reason);
	}
	event_base_loopbreak(a->base);
}

static const struct lockstep_service_ops ask_ops = {
	.up = on_up,
	.message = on_message,
	.writable = upload,
	.closed = on_closed,
};

/* Run the request; its answer is in @a->answer when @a->done. */
static int run(struct asking *a, const char *socket)
{
	struct lockstep_transport_config tc = { .cluster = "local", .node = "local" };
	struct lockstep_transport *t = NULL;
	char address[LOCKSTEP_ADDR_STRLEN];
	int ret;

	if (snprintf(address, sizeof(address), "unix:%s", socket) >= (int)sizeof(address))
		return -ENAMETOOLONG;
	a->base = lockstep_loop_create();
	a->answer = evbuffer_new();
	ret = a->base && a->answer ? 0 : -ENOMEM;
	if (!ret)
		ret = lockstep_transport_create(a->base, &tc, NULL, NULL, a->reason,
						sizeof(a->reason), &t);
	if (!ret)
		ret = lockstep_transport_dial(t, MR_CONTROL_SERVICE, NULL, address, &ask_ops, a,
					      &a->conn);
	if (!ret)
		event_base_dispatch(a->base);
	lockstep_transport_destroy(t);
	if (a->base)
		event_base_free(a->base);
	if (a->fd >= 0)
		close(a->fd);
	return ret;
}

static bool is_set(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_get_boolean(v);
}

/* The answer in @out, or why there is none in @a->reason. */
static int judge(struct asking *a, struct json_object **out)
{
	struct json_object *o, *v;
	int ret;
	char *text;

	evbuffer_add(a->answer, "", 1);
	text = (char *)evbuffer_pullup(a->answer, -1);
	o = text ? json_tokener_parse(text) : NULL;
	if (is_set(o, "ok")) {
		*out = o;
		return MRCTL_OK;
	}
	ret = is_set(o, "missing") ? MRCTL_USAGE : is_set(o, "away") ? MRCTL_NOBODY : MRCTL_FAILED;
	snprintf(a->reason, sizeof(a->reason), "%s", json_object_object_get_ex(o, "error", &v) ?
		 json_object_get_string(v) : "the answer can't be understood: is mrnode of the same version?");
	json_object_put(o);
	return ret;
}

int mrctl_ask(const char *socket, struct json_object *request, const struct mrctl_upload *up,
	      bool tell, struct json_object **answer)
{
	struct asking a = { .upload = up, .fd = -1 };
	bool judged;
	int ret;

	a.request = json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN);
	ret = run(&a, socket);
	json_object_put(request);
	judged = !ret && a.done;
	if (ret)
		snprintf(a.reason, sizeof(a.reason), "%s", strerror(-ret));
	ret = judged ? judge(&a, answer) : MRCTL_NOBODY;
	if (ret && tell && judged)
		mrctl_fail(ret, "%s", a.reason);
	else if (ret && tell)
		mrctl_fail(ret, "nobody answers at %s: %s; does lockstepd run here, with a section [mapreduce]?",
			   socket, a.reason);
	if (a.answer)
		evbuffer_free(a.answer);
	return ret;
}
