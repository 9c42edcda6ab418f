// SPDX-License-Identifier: GPL-2.0
/* The arbiter's service: requests in, verdicts of the store out. */
#include "arbiter/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "arbiter/wire.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"

/* A request being answered. */
struct request {
	struct lockstep_arbiter_server *srv;
	struct lockstep_conn *conn;
	const struct lockstep_msg *msg;
	struct lockstep_reader in;
	struct lockstep_writer out;
};

static void begin_reply(struct request *rq, enum lockstep_arbiter_result result,
			enum lockstep_arbiter_refusal refusal, const char *detail)
{
	struct lockstep_arbiter_reply reply = {
		.result = result,
		.refusal = refusal,
		.store = *lockstep_store_uuid(rq->srv->store),
	};

	snprintf(reply.detail, sizeof(reply.detail), "%s", detail);
	lockstep_arbiter_write_reply(&rq->out, &reply);
}

static int malformed(struct request *rq)
{
	begin_reply(rq, LOCKSTEP_ARBITER_REFUSED, LOCKSTEP_REFUSAL_MALFORMED, "malformed request");
	lockstep_arbiter_write_blob(&rq->out, NULL, 0);
	return 0;
}

static void write_verdict(struct request *rq, const struct lockstep_verdict *v)
{
	begin_reply(rq, v->result, v->refusal, v->detail);
	if (v->existing)
		lockstep_arbiter_write_blob(&rq->out, v->existing->value, v->existing->len);
	else
		lockstep_arbiter_write_blob(&rq->out, NULL, 0);
}

/* Claims are what people ask for afterwards. */
static void report_claim(struct request *rq, const char *key, const struct lockstep_verdict *v)
{
	struct json_object *o = json_object_new_object();

	if (o) {
		lockstep_json_add_str(o, "node", lockstep_conn_node(rq->conn));
		lockstep_json_add_str(o, "key", key);
		lockstep_json_add_str(o, "result", lockstep_arbiter_result_name(v->result));
		lockstep_json_add_str(o, "refusal", lockstep_arbiter_refusal_name(v->refusal));
		lockstep_json_add_str(o, "detail", v->detail);
	}
	lockstep_event_emit("arbiter.claim", o);
}

static int do_create_or_claim(struct request *rq)
{
	const char *node = lockstep_conn_node(rq->conn);
	char key[LOCKSTEP_ARBITER_KEY_MAX];
	struct lockstep_verdict v;
	const void *value;
	size_t len;
	int err;

	lockstep_read_str(&rq->in, key, sizeof(key));
	value = lockstep_arbiter_read_blob(&rq->in, &len);
	if (!lockstep_reader_done(&rq->in))
		return malformed(rq);
	if (rq->msg->kind == LOCKSTEP_ARBITER_CLAIM) {
		err = lockstep_store_claim(rq->srv->store, node, key, value, len, &v);
		if (!err)
			report_claim(rq, key, &v);
	} else {
		err = lockstep_store_create(rq->srv->store, node, key, value, len, &v);
	}
	if (!err)
		write_verdict(rq, &v);
	return err;
}

static int do_get(struct request *rq)
{
	char text[LOCKSTEP_ARBITER_KEY_MAX];
	struct lockstep_arbiter_key key;
	struct lockstep_verdict v = {
		.result = LOCKSTEP_ARBITER_ABSENT,
		.detail = "no such record",
	};

	lockstep_read_str(&rq->in, text, sizeof(text));
	if (!lockstep_reader_done(&rq->in) || lockstep_arbiter_key_parse(text, &key))
		return malformed(rq);
	v.existing = lockstep_store_get(rq->srv->store, &key);
	if (v.existing) {
		v.result = LOCKSTEP_ARBITER_OK;
		v.detail = "found";
	}
	write_verdict(rq, &v);
	return 0;
}

/* A page of keys that begin with a prefix; they need not stand side by side. */
static int do_list(struct request *rq)
{
	char prefix[LOCKSTEP_ARBITER_KEY_MAX], after[LOCKSTEP_ARBITER_KEY_MAX];
	char text[LOCKSTEP_ARBITER_KEY_MAX];
	const struct lockstep_store_record *rec;
	struct lockstep_arbiter_key key;
	size_t count_at;
	unsigned int count = 0;
	bool more = false;

	lockstep_read_str(&rq->in, prefix, sizeof(prefix));
	lockstep_read_str(&rq->in, after, sizeof(after));
	if (!lockstep_reader_done(&rq->in) ||
	    (after[0] && lockstep_arbiter_key_parse(after, &key)))
		return malformed(rq);
	begin_reply(rq, LOCKSTEP_ARBITER_OK, LOCKSTEP_REFUSAL_NONE, "listed");
	count_at = rq->out.len;
	lockstep_write_u8(&rq->out, 0);
	lockstep_write_u16(&rq->out, 0);
	rec = lockstep_store_next(rq->srv->store, after[0] ? &key : NULL);
	for (; rec; rec = lockstep_store_next(rq->srv->store, &rec->key)) {
		lockstep_arbiter_key_format(&rec->key, text);
		if (strncmp(text, prefix, strlen(prefix)))
			continue;
		if (count == LOCKSTEP_ARBITER_PAGE) {
			more = true;
			break;
		}
		lockstep_write_str(&rq->out, text);
		lockstep_arbiter_write_blob(&rq->out, rec->value, rec->len);
		count++;
	}
	rq->out.buf[count_at] = more;
	rq->out.buf[count_at + 1] = (uint8_t)count;
	rq->out.buf[count_at + 2] = (uint8_t)(count >> 8);
	return 0;
}

static int do_prune(struct request *rq)
{
	struct lockstep_verdict v;
	struct lockstep_uuid vm;
	uint64_t below;
	int err;

	lockstep_read_bytes(&rq->in, vm.b, sizeof(vm.b));
	below = lockstep_read_u64(&rq->in);
	if (!lockstep_reader_done(&rq->in))
		return malformed(rq);
	err = lockstep_store_prune(rq->srv->store, lockstep_conn_node(rq->conn), &vm, below, &v);
	if (!err)
		begin_reply(rq, v.result, v.refusal, v.detail);
	return err;
}

static int do_status(struct request *rq)
{
	struct lockstep_arbiter_server *srv = rq->srv;

	if (!lockstep_reader_done(&rq->in))
		return malformed(rq);
	begin_reply(rq, LOCKSTEP_ARBITER_OK, LOCKSTEP_REFUSAL_NONE, "serving");
	lockstep_write_str(&rq->out, lockstep_transport_node(srv->t));
	lockstep_write_bytes(&rq->out, lockstep_transport_boot_id(srv->t)->b, LOCKSTEP_UUID_SIZE);
	lockstep_write_u64(&rq->out, lockstep_store_records(srv->store));
	lockstep_write_u64(&rq->out, lockstep_store_journal_bytes(srv->store));
	lockstep_write_u64(&rq->out, (lockstep_clock_ns() - srv->started_ns) /
			   LOCKSTEP_NSEC_PER_SEC);
	return 0;
}

static const struct {
	const char *name;
	int (*fn)(struct request *rq);
} operations[] = {
	[LOCKSTEP_ARBITER_CREATE]	= { "CREATE",	do_create_or_claim },
	[LOCKSTEP_ARBITER_CLAIM]	= { "CLAIM",	do_create_or_claim },
	[LOCKSTEP_ARBITER_GET]		= { "GET",	do_get },
	[LOCKSTEP_ARBITER_LIST]		= { "LIST",	do_list },
	[LOCKSTEP_ARBITER_PRUNE]	= { "PRUNE",	do_prune },
	[LOCKSTEP_ARBITER_STATUS]	= { "STATUS",	do_status },
};

/* The journal can't be trusted any more: answer nobody, end, read it anew. */
static void give_up(struct request *rq, int err)
{
	lockstep_err("%s failed: %s. Nothing was answered; the journal has to be read anew",
		     operations[rq->msg->kind].name, strerror(-err));
	rq->srv->failed = err;
	event_base_loopbreak(lockstep_transport_base(rq->srv->t));
}

static void on_message(struct lockstep_conn *conn, const struct lockstep_msg *msg,
		       const void *data, size_t len)
{
	struct lockstep_arbiter_server *srv = lockstep_conn_user(conn);
	struct request rq = { .srv = srv, .conn = conn, .msg = msg };
	struct lockstep_msg head = *msg;
	struct iovec iov;
	void *buf;
	int err;

	if (srv->failed)
		return;
	buf = malloc(LOCKSTEP_ARBITER_REPLY_MAX);
	if (!buf) {
		lockstep_conn_close(conn);
		return;
	}
	lockstep_reader_init(&rq.in, data, len);
	lockstep_writer_init(&rq.out, buf, LOCKSTEP_ARBITER_REPLY_MAX);
	if (msg->channel != LOCKSTEP_ARBITER_CHANNEL || !msg->kind ||
	    msg->kind > LOCKSTEP_ARBITER_OP_MAX || len > LOCKSTEP_ARBITER_REQUEST_MAX)
		err = malformed(&rq);
	else
		err = operations[msg->kind].fn(&rq);
	if (err) {
		give_up(&rq, err);
	} else {
		srv->requests++;
		iov.iov_base = rq.out.buf;
		iov.iov_len = rq.out.len;
		/* A client that does not read its replies does not get more. */
		if (lockstep_conn_send(conn, &head, &iov, 1) < 0)
			lockstep_conn_close(conn);
	}
	free(buf);
}

static const struct lockstep_service_ops service_ops = {
	.message = on_message,
};

int lockstep_arbiter_server_init(struct lockstep_arbiter_server *srv,
				 struct lockstep_transport *t, struct lockstep_store *store)
{
	memset(srv, 0, sizeof(*srv));
	srv->t = t;
	srv->store = store;
	srv->started_ns = lockstep_clock_ns();
	return lockstep_transport_serve(t, LOCKSTEP_ARBITER_SERVICE, &service_ops, srv);
}
