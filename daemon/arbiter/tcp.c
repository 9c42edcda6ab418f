// SPDX-License-Identifier: GPL-2.0
/* Back end "tcp": requests to a lockstep-arbiter. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "arbiter/backend.h"
#include "arbiter/wire.h"
#include "common/clock.h"

/* All entries of one LIST, gathered over its pages. */
struct listing {
	struct lockstep_arbiter_entry *entries;
	size_t count;
	size_t size;
};

/**
 * struct request - a request under way
 * @all: link in tcp->requests
 * @tcp: back end
 * @op: enum lockstep_arbiter_op
 * @id: of the message that waits for a reply
 * @sent: its first byte may have left
 * @lost: its connection is no more
 * @sent_ns: when it was handed to the connection
 * @timer: time limit
 * @done: callback, by kind of request
 * @list_done: callback of LIST
 * @probe_done: callback of PROBE
 * @arg: for the callback
 * @prefix: LIST: what is asked for
 * @listing: LIST: what came so far
 * @data: encoded request
 * @len: its length
 */
struct request {
	TAILQ_ENTRY(request) all;
	struct tcp *tcp;
	uint32_t op;
	uint64_t id;
	bool sent;
	bool lost;
	uint64_t sent_ns;
	struct event *timer;
	lockstep_arbiter_done *done;
	lockstep_arbiter_list_done *list_done;
	lockstep_arbiter_probe_done *probe_done;
	void *arg;
	char prefix[LOCKSTEP_ARBITER_KEY_MAX];
	struct listing listing;
	uint8_t data[LOCKSTEP_ARBITER_REQUEST_MAX];
	size_t len;
};

/**
 * struct tcp - the back end
 * @base: interface
 * @t: transport
 * @node: name the arbiter must have
 * @address: where it is
 * @conn: connection, or NULL
 * @heard_ns: when @conn came up or last gave an answer
 * @last_id: of the last message
 * @requests: under way
 * @busy: requests are being failed: it must not be freed
 * @destroyed: it is to be freed after that
 */
struct tcp {
	struct lockstep_arbiter base;
	struct lockstep_transport *t;
	char node[LOCKSTEP_NODE_NAME_MAX + 1];
	char address[256];
	struct lockstep_conn *conn;
	uint64_t heard_ns;
	uint64_t last_id;
	TAILQ_HEAD(, request) requests;
	bool busy;
	bool destroyed;
};

/* --- requests ------------------------------------------------------------ */

static void listing_free(struct listing *l)
{
	size_t i;

	for (i = 0; i < l->count; i++)
		free((void *)l->entries[i].key);	/* holds the value too */
	free(l->entries);
}

static void request_free(struct request *rq)
{
	TAILQ_REMOVE(&rq->tcp->requests, rq, all);
	if (rq->timer)
		event_free(rq->timer);
	listing_free(&rq->listing);
	free(rq);
}

/* Call back and free. The callback may destroy the back end: touch it no more. */
static void request_finish(struct request *rq, const struct lockstep_arbiter_answer *answer,
			   const struct lockstep_arbiter_info *info)
{
	bool ok = answer->result == LOCKSTEP_ARBITER_OK;
	struct request copy = *rq;

	/* The listing belongs to the copy while the callback looks at it. */
	memset(&rq->listing, 0, sizeof(rq->listing));
	request_free(rq);
	if (copy.done)
		copy.done(answer, copy.arg);
	else if (copy.list_done)
		copy.list_done(answer, ok ? copy.listing.entries : NULL,
			       ok ? copy.listing.count : 0, copy.arg);
	else if (copy.probe_done)
		copy.probe_done(answer, ok ? info : NULL, copy.arg);
	listing_free(&copy.listing);
}

static void request_unknown(struct request *rq, const char *detail)
{
	struct lockstep_arbiter_answer answer = {
		.result = LOCKSTEP_ARBITER_UNKNOWN,
		.maybe_done = rq->sent,
		.detail = detail,
	};

	request_finish(rq, &answer, NULL);
}

static void request_send(struct request *rq)
{
	struct lockstep_msg msg = {
		.channel = LOCKSTEP_ARBITER_CHANNEL,
		.kind = rq->op,
		.id = rq->id,
	};
	struct iovec iov = { .iov_base = rq->data, .iov_len = rq->len };

	/* What can't be queued now stays unsent, and runs into its time limit. */
	if (lockstep_conn_send(rq->tcp->conn, &msg, &iov, 1) < 0)
		return;
	rq->sent = true;
	rq->sent_ns = lockstep_clock_ns();
}

/* --- replies ------------------------------------------------------------- */

static int take_info(struct lockstep_reader *r, struct lockstep_arbiter_info *info, char *node)
{
	lockstep_read_str(r, node, LOCKSTEP_NODE_NAME_MAX + 1);
	info->node = node;
	lockstep_read_bytes(r, info->boot_id.b, sizeof(info->boot_id.b));
	info->records = lockstep_read_u64(r);
	lockstep_read_u64(r);
	lockstep_read_u64(r);
	return lockstep_reader_done(r) ? 0 : -EPROTO;
}

static int listing_add(struct listing *l, const char *key, const void *value, size_t len)
{
	size_t keylen = strlen(key) + 1;
	struct lockstep_arbiter_entry *entries;
	char *copy;

	if (l->count == l->size) {
		entries = reallocarray(l->entries, l->size ? 2 * l->size : 64, sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		l->entries = entries;
		l->size = l->size ? 2 * l->size : 64;
	}
	copy = malloc(keylen + len);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, key, keylen);
	if (len)
		memcpy(copy + keylen, value, len);
	l->entries[l->count].key = copy;
	l->entries[l->count].value = copy + keylen;
	l->entries[l->count].len = len;
	l->count++;
	return 0;
}

static void encode_list(struct request *rq, const char *after)
{
	struct lockstep_writer w;

	lockstep_writer_init(&w, rq->data, sizeof(rq->data));
	lockstep_write_str(&w, rq->prefix);
	lockstep_write_str(&w, after);
	rq->len = w.len;
}

/* A page. 1 if there is another one, and it was asked for. */
static int take_page(struct request *rq, struct lockstep_reader *r)
{
	char key[LOCKSTEP_ARBITER_KEY_MAX] = "";
	unsigned int count, i;
	const void *value;
	uint8_t more;
	size_t len;
	int err;

	more = lockstep_read_u8(r);
	count = lockstep_read_u16(r);
	for (i = 0; i < count; i++) {
		lockstep_read_str(r, key, sizeof(key));
		value = lockstep_arbiter_read_blob(r, &len);
		if (!lockstep_reader_ok(r))
			return -EPROTO;
		err = listing_add(&rq->listing, key, value, len);
		if (err)
			return err;
	}
	if (!lockstep_reader_done(r) || (more && !count))
		return -EPROTO;
	if (!more)
		return 0;
	encode_list(rq, key);
	rq->id = ++rq->tcp->last_id;
	request_send(rq);
	return 1;
}

/* 0 if the request was answered, 1 if it goes on, -errno for nonsense. */
static int take_reply(struct request *rq, const void *data, size_t len)
{
	struct lockstep_arbiter_answer answer = { 0 };
	struct lockstep_arbiter_info info = { 0 };
	struct lockstep_arbiter_reply reply;
	char node[LOCKSTEP_NODE_NAME_MAX + 1];
	struct lockstep_reader r;
	int ret = 0;

	lockstep_reader_init(&r, data, len);
	ret = lockstep_arbiter_read_reply(&r, &reply);
	if (ret)
		return ret;
	answer.result = reply.result;
	answer.refusal = reply.refusal;
	answer.store = reply.store;
	answer.detail = reply.detail;
	if (reply.result == LOCKSTEP_ARBITER_REFUSED) {
		/* Nothing of interest follows a refusal. */
	} else if (rq->op == LOCKSTEP_ARBITER_STATUS) {
		info.store = reply.store;
		info.rtt_ns = lockstep_clock_ns() - rq->sent_ns;
		ret = take_info(&r, &info, node);
	} else if (rq->op == LOCKSTEP_ARBITER_LIST) {
		ret = take_page(rq, &r);
	} else if (rq->op != LOCKSTEP_ARBITER_PRUNE) {
		answer.value = lockstep_arbiter_read_blob(&r, &answer.len);
		if (!lockstep_reader_done(&r))
			ret = -EPROTO;
		if (!answer.len)
			answer.value = NULL;
	}
	if (!ret)
		request_finish(rq, &answer, &info);
	return ret;
}

static void on_message(struct lockstep_conn *conn, const struct lockstep_msg *msg,
		       const void *data, size_t len)
{
	struct tcp *tcp = lockstep_conn_user(conn);
	struct request *rq;

	if (!tcp)
		return;
	tcp->heard_ns = lockstep_clock_ns();
	TAILQ_FOREACH(rq, &tcp->requests, all) {
		if (rq->sent && rq->id == msg->id && rq->op == msg->kind)
			break;
	}
	/* Not found: an answer that came after its time limit. */
	if (rq && take_reply(rq, data, len) < 0)
		lockstep_conn_close(conn);
}

/* --- the connection ------------------------------------------------------ */

static void on_up(struct lockstep_conn *conn)
{
	struct tcp *tcp = lockstep_conn_user(conn);
	struct request *rq;

	if (!tcp)
		return;
	tcp->heard_ns = lockstep_clock_ns();
	TAILQ_FOREACH(rq, &tcp->requests, all)
		request_send(rq);
}

static struct request *first_lost(struct tcp *tcp)
{
	struct request *rq;

	TAILQ_FOREACH(rq, &tcp->requests, all) {
		if (rq->lost)
			return rq;
	}
	return NULL;
}

/*
 * Fail all requests of a connection that is no more. Callbacks may make new
 * ones, which are for the next connection, or destroy the back end, which then
 * is freed here.
 */
static void fail_all(struct tcp *tcp, const char *reason)
{
	struct request *rq;

	TAILQ_FOREACH(rq, &tcp->requests, all)
		rq->lost = true;
	tcp->busy = true;
	while ((rq = first_lost(tcp)))
		request_unknown(rq, reason);
	tcp->busy = false;
	if (tcp->destroyed)
		free(tcp);
}

static void on_closed(struct lockstep_conn *conn, int error, const char *reason)
{
	struct tcp *tcp = lockstep_conn_user(conn);

	(void)error;
	if (!tcp)
		return;
	tcp->conn = NULL;
	fail_all(tcp, reason);
}

static const struct lockstep_service_ops service_ops = {
	.up		= on_up,
	.message	= on_message,
	.closed		= on_closed,
};

/* Let go of a connection that does not answer; the next request dials again. */
static void abandon(struct tcp *tcp)
{
	struct lockstep_conn *conn = tcp->conn;

	if (!conn)
		return;
	tcp->conn = NULL;
	lockstep_conn_set_user(conn, NULL);
	lockstep_conn_close(conn);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct request *rq = arg;
	struct tcp *tcp = rq->tcp;

	(void)fd;
	(void)what;
	/* Not a word since: the connection, or its other end, is no good. */
	if (!rq->sent || tcp->heard_ns < rq->sent_ns) {
		abandon(tcp);
		fail_all(tcp, "no answer in time");
	} else {
		request_unknown(rq, "no answer in time");
	}
}

/* --- interface ----------------------------------------------------------- */

static struct request *request_new(struct tcp *tcp, uint32_t op, void *arg)
{
	struct request *rq = calloc(1, sizeof(*rq));

	if (!rq)
		return NULL;
	rq->tcp = tcp;
	rq->op = op;
	rq->id = ++tcp->last_id;
	rq->arg = arg;
	TAILQ_INSERT_TAIL(&tcp->requests, rq, all);
	return rq;
}

/* Send it, or dial so that it is sent. Frees it on failure. */
static int request_start(struct request *rq, unsigned int ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };
	struct tcp *tcp = rq->tcp;
	int err = -ERANGE;

	if (ms < LOCKSTEP_ARBITER_TIMEOUT_MS_MIN || ms > LOCKSTEP_ARBITER_TIMEOUT_MS_MAX)
		goto out_free;
	err = -ENOMEM;
	rq->timer = event_new(lockstep_transport_base(tcp->t), -1, 0, on_timeout, rq);
	if (!rq->timer || event_add(rq->timer, &tv))
		goto out_free;
	if (!tcp->conn) {
		err = lockstep_transport_dial(tcp->t, LOCKSTEP_ARBITER_SERVICE, tcp->node,
					      tcp->address, &service_ops, tcp, &tcp->conn);
		if (err)
			goto out_free;
	} else if (lockstep_conn_is_up(tcp->conn)) {
		request_send(rq);
	}
	return 0;

out_free:
	request_free(rq);
	return err;
}

static int tcp_put(struct lockstep_arbiter *a, const struct lockstep_arbiter_key *key,
		   const void *value, size_t len, unsigned int ms, lockstep_arbiter_done *done,
		   void *arg)
{
	uint32_t op = key->kind == LOCKSTEP_RECORD_WON ? LOCKSTEP_ARBITER_CLAIM :
							 LOCKSTEP_ARBITER_CREATE;
	char text[LOCKSTEP_ARBITER_KEY_MAX];
	struct lockstep_writer w;
	struct request *rq;

	rq = request_new((struct tcp *)a, op, arg);
	if (!rq)
		return -ENOMEM;
	rq->done = done;
	lockstep_writer_init(&w, rq->data, sizeof(rq->data));
	lockstep_write_str(&w, lockstep_arbiter_key_format(key, text));
	lockstep_arbiter_write_blob(&w, value, len);
	rq->len = w.len;
	return request_start(rq, ms);
}

static int tcp_get(struct lockstep_arbiter *a, const struct lockstep_arbiter_key *key,
		   unsigned int ms, lockstep_arbiter_done *done, void *arg)
{
	char text[LOCKSTEP_ARBITER_KEY_MAX];
	struct lockstep_writer w;
	struct request *rq;

	rq = request_new((struct tcp *)a, LOCKSTEP_ARBITER_GET, arg);
	if (!rq)
		return -ENOMEM;
	rq->done = done;
	lockstep_writer_init(&w, rq->data, sizeof(rq->data));
	lockstep_write_str(&w, lockstep_arbiter_key_format(key, text));
	rq->len = w.len;
	return request_start(rq, ms);
}

static int tcp_list(struct lockstep_arbiter *a, const struct lockstep_uuid *vm, unsigned int ms,
		    lockstep_arbiter_list_done *done, void *arg)
{
	char text[LOCKSTEP_UUID_STRLEN + 1];
	struct request *rq;

	rq = request_new((struct tcp *)a, LOCKSTEP_ARBITER_LIST, arg);
	if (!rq)
		return -ENOMEM;
	rq->list_done = done;
	if (vm)
		snprintf(rq->prefix, sizeof(rq->prefix), "vm/%s/", lockstep_uuid_format(vm, text));
	else
		strcpy(rq->prefix, "vm/");
	encode_list(rq, "");
	return request_start(rq, ms);
}

static int tcp_prune(struct lockstep_arbiter *a, const struct lockstep_uuid *vm, uint64_t below,
		     unsigned int ms, lockstep_arbiter_done *done, void *arg)
{
	struct lockstep_writer w;
	struct request *rq;

	rq = request_new((struct tcp *)a, LOCKSTEP_ARBITER_PRUNE, arg);
	if (!rq)
		return -ENOMEM;
	rq->done = done;
	lockstep_writer_init(&w, rq->data, sizeof(rq->data));
	lockstep_write_bytes(&w, vm->b, sizeof(vm->b));
	lockstep_write_u64(&w, below);
	rq->len = w.len;
	return request_start(rq, ms);
}

static int tcp_probe(struct lockstep_arbiter *a, unsigned int ms,
		     lockstep_arbiter_probe_done *done, void *arg)
{
	struct request *rq = request_new((struct tcp *)a, LOCKSTEP_ARBITER_STATUS, arg);

	if (!rq)
		return -ENOMEM;
	rq->probe_done = done;
	return request_start(rq, ms);
}

static void tcp_destroy(struct lockstep_arbiter *a)
{
	struct tcp *tcp = (struct tcp *)a;
	struct request *rq;

	while ((rq = TAILQ_FIRST(&tcp->requests)))
		request_free(rq);
	abandon(tcp);
	if (tcp->busy)
		tcp->destroyed = true;
	else
		free(tcp);
}

static const struct lockstep_arbiter_ops tcp_ops = {
	.name		= "tcp",
	.put		= tcp_put,
	.get		= tcp_get,
	.list		= tcp_list,
	.prune		= tcp_prune,
	.probe		= tcp_probe,
	.destroy	= tcp_destroy,
};

int lockstep_arbiter_tcp_create(struct lockstep_transport *t, const char *node,
				const char *address, struct lockstep_arbiter **out)
{
	struct tcp *tcp;

	if ((node && !lockstep_node_name_valid(node)) || strlen(address) >= sizeof(tcp->address))
		return -EINVAL;
	tcp = calloc(1, sizeof(*tcp));
	if (!tcp)
		return -ENOMEM;
	tcp->base.ops = &tcp_ops;
	tcp->t = t;
	if (node)
		strcpy(tcp->node, node);
	strcpy(tcp->address, address);
	TAILQ_INIT(&tcp->requests);
	*out = &tcp->base;
	return 0;
}
