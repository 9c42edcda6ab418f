// SPDX-License-Identifier: GPL-2.0
/* mrctl's requests, see control.h. */
#include "node/control.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>

#include "common/file.h"
#include "common/json.h"
#include "common/log.h"
#include "node/node.h"
#include "node/relay.h"
#include "node/spec.h"
#include "node/store.h"

/**
 * struct mr_client_conn - a connection of mrctl's, or of another node's on its behalf
 * @relay: its requests go elsewhere
 * @submitting: data is to come
 * @spec_left: bytes of the spec to come
 * @text: those that came
 * @spec: once it is complete
 * @file: which of its files is being received
 * @fd: that file, or -1
 * @file_left: bytes of it to come
 * @path: where it is written
 */
struct mr_client_conn {
	TAILQ_ENTRY(mr_client_conn) entry;
	struct mr_node *node;
	struct lockstep_conn *conn;
	struct mr_relay *relay;
	bool submitting;
	uint64_t spec_left;
	struct evbuffer *text;
	struct json_object *spec;
	size_t file;
	int fd;
	uint64_t file_left;
	char path[PATH_MAX];
};

static struct mr_client_conn *client_of(struct lockstep_conn *conn)
{
	struct mr_node *node = lockstep_conn_user(conn);
	struct mr_client_conn *c;

	TAILQ_FOREACH(c, &node->clients, entry)
		if (c->conn == conn)
			return c;
	return NULL;
}

/* --- answers -------------------------------------------------------------------- */

static void answer(struct mr_client_conn *c, struct json_object *o)
{
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							 JSON_C_TO_STRING_NOSLASHESCAPE);
	size_t left = text ? strlen(text) : 0;
	struct lockstep_msg msg = { 0 };
	struct iovec iov;
	int ret;

	do {
		iov.iov_base = (void *)text;
		iov.iov_len = left < MR_CONTROL_PIECE ? left : MR_CONTROL_PIECE;
		text += iov.iov_len;
		left -= iov.iov_len;
		msg.kind = left ? MR_CONTROL_ANSWER : MR_CONTROL_END;
		ret = lockstep_conn_send(c->conn, &msg, &iov, 1);
	} while (left && ret >= 0);
	if (ret < 0)
		lockstep_conn_close(c->conn);
	json_object_put(o);
}

static struct json_object *ok_new(void)
{
	struct json_object *o = json_object_new_object();

	lockstep_json_add_bool(o, "ok", true);
	return o;
}

static void answer_error(struct mr_client_conn *c, int error, const char *text)
{
	struct json_object *o = json_object_new_object();

	lockstep_json_add_bool(o, "ok", false);
	lockstep_json_add_str(o, "error", text);
	if (error == -ENOENT)
		lockstep_json_add_bool(o, "missing", true);
	if (error == -ENOTCONN)
		lockstep_json_add_bool(o, "away", true);
	answer(c, o);
}

static void answer_result(struct mr_client_conn *c, int ret, const char *job, const char *already,
			  const char *err)
{
	char text[256];

	if (!ret) {
		answer(c, ok_new());
		return;
	}
	if (ret == -ENOENT)
		snprintf(text, sizeof(text), "there is no job %s", job);
	else if (ret == -EALREADY)
		snprintf(text, sizeof(text), "job %s %s", job, already);
	else
		snprintf(text, sizeof(text), "%s", *err ? err : strerror(-ret));
	answer_error(c, ret, text);
}

/* --- commands ------------------------------------------------------------------- */

static void do_list(struct mr_client_conn *c, struct json_object *request)
{
	struct json_object *o = ok_new();

	(void)request;
	json_object_object_add(o, "jobs", mr_homes_list(c->node));
	answer(c, o);
}

static void do_status(struct mr_client_conn *c, struct json_object *request)
{
	const char *job = mr_json_str(request, "job", "");
	struct json_object *status = mr_home_status(c->node, job), *o;

	if (!status) {
		answer_result(c, -ENOENT, job, "", "");
		return;
	}
	o = ok_new();
	json_object_object_add(o, "status", status);
	answer(c, o);
}

static void do_kill(struct mr_client_conn *c, struct json_object *request)
{
	const char *job = mr_json_str(request, "job", "");

	answer_result(c, mr_home_kill(c->node, job), job, "is over already", "");
}

static void do_resume(struct mr_client_conn *c, struct json_object *request)
{
	const char *job = mr_json_str(request, "job", "");
	char err[512] = "";
	int ret = mr_home_resume(c->node, job, err, sizeof(err));

	answer_result(c, ret, job, "runs, or has succeeded", err);
}

static void do_nodes(struct mr_client_conn *c, struct json_object *request)
{
	struct json_object *o = ok_new(), *nodes = json_object_new_array(), *one;
	struct mr_peer *p;

	(void)request;
	TAILQ_FOREACH(p, &c->node->peers, entry) {
		one = json_object_new_object();
		lockstep_json_add_str(one, "node", p->name);
		lockstep_json_add_bool(one, "up", !p->peer || p->up);
		json_object_array_add(nodes, one);
	}
	json_object_object_add(o, "nodes", nodes);
	answer(c, o);
}

/* --- submit --------------------------------------------------------------------- */

static void submit_reset(struct mr_client_conn *c)
{
	if (c->fd >= 0) {
		close(c->fd);
		unlink(c->path);
	}
	c->fd = -1;
	json_object_put(c->spec);
	c->spec = NULL;
	evbuffer_drain(c->text, evbuffer_get_length(c->text));
	c->submitting = false;
}

static void submit_failed(struct mr_client_conn *c, int error, const char *text)
{
	answer_error(c, error, text);
	lockstep_conn_close(c->conn);	/* what else it sends has no place */
	submit_reset(c);
}

static void do_submit(struct mr_client_conn *c, struct json_object *request)
{
	c->spec_left = mr_json_u64(request, "spec_bytes", 0);
	c->submitting = true;
	c->file = 0;
	if (!c->spec_left || c->spec_left > MR_SPEC_MAX)
		submit_failed(c, -EINVAL, "the job's description is empty, or too long");
}

static void submit_end(struct mr_client_conn *c)
{
	char name[MR_JOB_NAME_MAX + 1], err[512] = "";
	struct json_object *o;
	int ret;

	ret = mr_home_submit(c->node, c->spec, name, err, sizeof(err));
	if (ret) {
		submit_failed(c, ret, err[0] ? err : strerror(-ret));
		return;
	}
	o = ok_new();
	lockstep_json_add_str(o, "job", name);
	answer(c, o);
	submit_reset(c);
}

static int file_done(struct mr_client_conn *c)
{
	struct json_object *file = mr_json_at(c->spec, "files", c->file);
	uint8_t content[MR_CONTENT_SIZE];

	close(c->fd);
	c->fd = -1;
	c->file++;
	mr_content_parse(mr_json_str(file, "sha256", ""), content);
	return mr_store_add(c->node, c->path, content);
}

/* The next file that has bytes to come, or the end; empty ones are made on the way. */
static void files_next(struct mr_client_conn *c)
{
	struct json_object *file;
	int ret = 0;

	while (!ret && c->file < mr_json_len(c->spec, "files")) {
		file = mr_json_at(c->spec, "files", c->file);
		c->file_left = mr_json_u64(file, "size", 0);
		mr_store_temporary(c->node, c->path);
		c->fd = open(c->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		ret = c->fd < 0 ? -errno : 0;
		if (!ret && c->file_left)
			return;
		if (!ret)
			ret = file_done(c);
	}
	if (ret)
		submit_failed(c, ret, ret == -EILSEQ ? "a file changed while it was sent" : strerror(-ret));
	else
		submit_end(c);
}

static size_t spec_data(struct mr_client_conn *c, const void *data, size_t len)
{
	size_t n = len < c->spec_left ? len : (size_t)c->spec_left;
	char err[256], *text;

	evbuffer_add(c->text, data, n);
	c->spec_left -= n;
	if (c->spec_left)
		return n;
	evbuffer_add(c->text, "", 1);
	text = (char *)evbuffer_pullup(c->text, -1);
	c->spec = text ? json_tokener_parse(text) : NULL;
	evbuffer_drain(c->text, evbuffer_get_length(c->text));
	if (mr_spec_check(c->spec, err, sizeof(err)))
		submit_failed(c, -EINVAL, err);
	else
		files_next(c);
	return n;
}

static size_t file_data(struct mr_client_conn *c, const void *data, size_t len)
{
	size_t n = len < c->file_left ? len : (size_t)c->file_left;
	int ret = lockstep_file_write_all(c->fd, data, n);

	c->file_left -= n;
	if (!ret && !c->file_left)
		ret = file_done(c);
	if (ret)
		submit_failed(c, ret, ret == -EILSEQ ? "a file changed while it was sent" : strerror(-ret));
	else if (c->fd < 0)
		files_next(c);
	return n;
}

static void data_got(struct mr_client_conn *c, const uint8_t *data, size_t len)
{
	size_t n;

	while (len && c->submitting) {
		n = c->spec_left ? spec_data(c, data, len) : file_data(c, data, len);
		data += n;
		len -= n;
	}
}

/* --- connections ---------------------------------------------------------------- */

static const struct command {
	const char *name;
	void (*run)(struct mr_client_conn *c, struct json_object *request);
} commands[] = {
	{ "submit", do_submit },
	{ "list", do_list },
	{ "status", do_status },
	{ "kill", do_kill },
	{ "resume", do_resume },
	{ "nodes", do_nodes },
};

/* Where a request has to go; NULL: nowhere. */
static struct mr_peer *target(struct mr_client_conn *c, struct json_object *request)
{
	const char *job = mr_json_str(request, "job", ""), *node = mr_json_str(request, "node", "");
	char home[MR_JOB_NAME_MAX + 1] = "";

	if (*job && mr_job_name_valid(job)) {
		mr_job_name_home(job, home, sizeof(home));
		node = home;
	}
	return *node ? mr_peer_find(c->node, node) : TAILQ_FIRST(&c->node->peers);
}

static void request_run(struct mr_client_conn *c, const struct lockstep_msg *msg, const void *data,
			size_t len, struct json_object *request)
{
	struct mr_peer *to = target(c, request);
	char text[128];
	size_t i;

	if (!to) {
		answer_error(c, -ENOENT, "no such node in the cluster: lockstepd.conf names all");
		return;
	}
	if (to->peer && !to->up) {
		snprintf(text, sizeof(text), "node %s is not connected", to->name);
		answer_error(c, -ENOTCONN, text);
		return;
	}
	/* only one who came from this node is led on, and only once */
	if (to->peer && !strcmp(lockstep_conn_node(c->conn), "local")) {
		c->relay = mr_relay_begin(c->conn, to, MR_CONTROL_SERVICE);
		if (c->relay)
			mr_relay_message(c->relay, msg, data, len);
		else
			lockstep_conn_close(c->conn);
		return;
	}
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, mr_json_str(request, "command", ""))) {
			commands[i].run(c, request);
			return;
		}
	answer_error(c, -EINVAL, "no such command");
}

static void on_message(struct lockstep_conn *conn, const struct lockstep_msg *msg,
		       const void *data, size_t len)
{
	struct mr_client_conn *c = client_of(conn);
	struct json_tokener *tok;
	struct json_object *request;

	if (!c)
		return;
	if (c->relay) {
		mr_relay_message(c->relay, msg, data, len);
	} else if (msg->kind == MR_CONTROL_DATA) {
		data_got(c, data, len);
	} else if (msg->kind == MR_CONTROL_REQUEST && !c->submitting) {
		tok = json_tokener_new();
		request = tok ? json_tokener_parse_ex(tok, data, (int)len) : NULL;
		request_run(c, msg, data, len, request);
		json_object_put(request);
		if (tok)
			json_tokener_free(tok);
	} else {
		lockstep_conn_close(conn);
	}
}

static int on_accept(void *user, const char *name, const char *address)
{
	struct mr_node *node = user;

	(void)address;
	return !strcmp(name, "local") || mr_peer_find(node, name) ? 0 : -EACCES;
}

static void client_free(struct mr_client_conn *c)
{
	TAILQ_REMOVE(&c->node->clients, c, entry);
	if (c->text) {
		submit_reset(c);
		evbuffer_free(c->text);
	}
	free(c);
}

static void on_up(struct lockstep_conn *conn)
{
	struct mr_client_conn *c = calloc(1, sizeof(*c));

	if (!c) {
		lockstep_conn_close(conn);
		return;
	}
	c->node = lockstep_conn_user(conn);
	c->conn = conn;
	c->fd = -1;
	c->text = evbuffer_new();
	TAILQ_INSERT_TAIL(&c->node->clients, c, entry);
	if (!c->text)
		lockstep_conn_close(conn);
}

static void on_closed(struct lockstep_conn *conn, int error, const char *reason)
{
	struct mr_client_conn *c = client_of(conn);

	(void)error;
	(void)reason;
	if (!c)
		return;
	if (c->relay)
		mr_relay_closed(c->relay);
	client_free(c);
}

static const struct lockstep_service_ops control_ops = {
	.accept = on_accept,
	.up = on_up,
	.message = on_message,
	.closed = on_closed,
};

int mr_control_serve(struct mr_node *node)
{
	return lockstep_transport_serve(node->transport, MR_CONTROL_SERVICE, &control_ops, node);
}

void mr_control_destroy(struct mr_node *node)
{
	struct mr_client_conn *c;

	while ((c = TAILQ_FIRST(&node->clients)))
		client_free(c);
}
