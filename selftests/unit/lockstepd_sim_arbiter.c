// SPDX-License-Identifier: GPL-2.0
/*
 * Two hosts in virtual time: an arbiter with the rules of backend.h. A request
 * takes effect half-way through its time; it, or only its answer, may be lost.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lockstepd_sim_impl.h"

#define TRIP_NS		(2 * SIM_MS)
#define LIST_MAX	(3 * SIM_GENERATIONS)

enum request_kind { REQ_OPEN, REQ_CLOSE, REQ_CLAIM, REQ_GET, REQ_LIST, REQ_PRUNE, REQ_PROBE };

/* A request under way; its address is what events carry. */
struct request {
	enum request_kind kind;
	struct sim_host *host;
	unsigned int epoch;
	struct lockstep_arbiter_open open;
	struct lockstep_arbiter_mark mark;
	struct lockstep_arbiter_key key;
	lockstep_arbiter_done *done;
	lockstep_arbiter_list_done *list_done;
	lockstep_arbiter_probe_done *probe_done;
	void *arg;
	struct lockstep_arbiter_answer answer;
	uint8_t value[LOCKSTEP_ARBITER_VALUE_MAX];
};

static struct request *request_of(const struct sim_event *e)
{
	struct request *r;

	memcpy(&r, e->data, sizeof(r));
	return r;
}

static void request_drop(struct sim_event *e)
{
	free(request_of(e));
}

static void pass_on(struct sim *s, struct request *r, uint64_t delay, sim_event_fn *fn)
{
	struct sim_event *e = sim_event_add(s, delay, r->host->index, fn, sizeof(r));

	memcpy(e->data, &r, sizeof(r));
	e->drop = request_drop;
}

/* --- the store ------------------------------------------------------------ */

static void value_open(struct request *r, const struct lockstep_arbiter_open *o)
{
	int n = lockstep_arbiter_open_encode(o, r->value, sizeof(r->value));

	assert_true(n > 0);
	r->answer.value = r->value;
	r->answer.len = (size_t)n;
}

static void value_mark(struct request *r, const struct lockstep_arbiter_mark *m)
{
	int n = lockstep_arbiter_mark_encode(m, r->value, sizeof(r->value));

	assert_true(n > 0);
	r->answer.value = r->value;
	r->answer.len = (size_t)n;
}

static void refuse(struct request *r, enum lockstep_arbiter_refusal why, const char *detail)
{
	r->answer.result = LOCKSTEP_ARBITER_REFUSED;
	r->answer.refusal = why;
	r->answer.detail = detail;
}

static void do_open(struct sim_store *store, struct request *r)
{
	uint64_t n = r->open.generation;
	struct sim_generation *g = &store->gen[n], *before = &store->gen[n - 1];

	assert_true(n > 0 && n < SIM_GENERATIONS);
	if (g->open) {
		r->answer.result = memcmp(&g->record, &r->open, sizeof(r->open)) ?
				   LOCKSTEP_ARBITER_LOST : LOCKSTEP_ARBITER_OK;
		value_open(r, &g->record);
		return;
	}
	if (!lockstep_uuid_equal(&r->open.store, &store->uuid)) {
		refuse(r, LOCKSTEP_REFUSAL_OTHER_STORE, "other store");
		return;
	}
	if (n > 1 && !before->open) {
		refuse(r, LOCKSTEP_REFUSAL_CHAIN, "no such chain");
		return;
	}
	if (n > 1 && r->open.forced && !before->won && !before->closed) {
		before->won = true;
		before->winner.generation = n - 1;
		before->winner.by = r->open.members[0];
		strcpy(before->winner.reason, "forced");
	} else if (n > 1 && !r->open.forced && !before->closed &&
		   (!before->won ||
		    !lockstep_uuid_equal(&before->winner.by.instance, &r->open.winner) ||
		    !lockstep_uuid_equal(&r->open.members[0].instance, &r->open.winner))) {
		refuse(r, LOCKSTEP_REFUSAL_CHAIN, "not formed by the winner");
		return;
	}
	g->open = true;
	g->record = r->open;
	r->answer.result = LOCKSTEP_ARBITER_OK;
}

static bool is_member(const struct sim_generation *g, const struct lockstep_arbiter_member *by)
{
	int i = lockstep_arbiter_open_member(&g->record, &by->instance);

	return i >= 0 && lockstep_uuid_equal(&g->record.members[i].boot_id, &by->boot_id);
}

static void do_mark(struct sim_store *store, struct request *r)
{
	struct sim_generation *g = &store->gen[r->mark.generation];

	assert_true(r->mark.generation > 0 && r->mark.generation < SIM_GENERATIONS);
	if (!g->open) {
		refuse(r, LOCKSTEP_REFUSAL_NO_OPEN, "never formed");
		return;
	}
	if (!is_member(g, &r->mark.by)) {
		refuse(r, LOCKSTEP_REFUSAL_NOT_MEMBER, "not a member");
		return;
	}
	if (g->won) {
		bool same = lockstep_uuid_equal(&g->winner.by.instance, &r->mark.by.instance);

		if (r->kind == REQ_CLAIM || !same) {
			r->answer.result = same ? LOCKSTEP_ARBITER_WON : LOCKSTEP_ARBITER_LOST;
			value_mark(r, &g->winner);
			return;
		}
	}
	if (r->kind == REQ_CLOSE) {
		g->closed = true;
		r->answer.result = LOCKSTEP_ARBITER_OK;
		return;
	}
	if (g->closed) {
		refuse(r, LOCKSTEP_REFUSAL_CLOSED, "powered off");
		return;
	}
	g->won = true;
	g->winner = r->mark;
	r->answer.result = LOCKSTEP_ARBITER_WON;
	value_mark(r, &g->winner);
}

static void do_get(struct sim_store *store, struct request *r)
{
	struct sim_generation *g = &store->gen[r->key.generation % SIM_GENERATIONS];
	bool there = r->key.kind == LOCKSTEP_RECORD_OPEN ? g->open :
		     r->key.kind == LOCKSTEP_RECORD_WON ? g->won : g->closed;

	r->answer.result = there ? LOCKSTEP_ARBITER_OK : LOCKSTEP_ARBITER_ABSENT;
	if (there && r->key.kind == LOCKSTEP_RECORD_OPEN)
		value_open(r, &g->record);
	else if (there && r->key.kind == LOCKSTEP_RECORD_WON)
		value_mark(r, &g->winner);
}

static void request_answer(struct sim *s, struct sim_event *e);

static void request_arrives(struct sim *s, struct sim_event *e)
{
	struct request *r = request_of(e);

	if (!r->host->arbiter_reachable) {
		/* lost on the way: the time limit tells */
		r->answer.result = LOCKSTEP_ARBITER_UNKNOWN;
		pass_on(s, r, r->host->core.cfg.arbiter_ms * SIM_MS, request_answer);
		return;
	}
	switch (r->kind) {
	case REQ_OPEN:
		do_open(r->host->store, r);
		break;
	case REQ_CLOSE:
	case REQ_CLAIM:
		do_mark(r->host->store, r);
		break;
	case REQ_GET:
		do_get(r->host->store, r);
		break;
	default:
		r->answer.result = LOCKSTEP_ARBITER_OK;
		break;
	}
	r->answer.store = r->host->store->uuid;
	if (r->host->arbiter_lost_reply) {
		r->answer.result = LOCKSTEP_ARBITER_UNKNOWN;
		r->answer.maybe_done = true;
		pass_on(s, r, r->host->core.cfg.arbiter_ms * SIM_MS, request_answer);
		return;
	}
	pass_on(s, r, TRIP_NS, request_answer);
}

static void answer_list(struct request *r)
{
	static char keys[LIST_MAX][LOCKSTEP_ARBITER_KEY_MAX];
	static uint8_t values[LIST_MAX][LOCKSTEP_ARBITER_VALUE_MAX];
	struct lockstep_arbiter_entry entries[LIST_MAX];
	struct lockstep_arbiter_key key = r->key;
	size_t n = 0;
	int i, kind, len;

	for (i = 1; i < SIM_GENERATIONS; i++) {
		struct sim_generation *g = &r->host->store->gen[i];

		for (kind = LOCKSTEP_RECORD_OPEN; kind <= LOCKSTEP_RECORD_CLOSED; kind++) {
			if (!(kind == LOCKSTEP_RECORD_OPEN ? g->open :
			      kind == LOCKSTEP_RECORD_WON ? g->won : g->closed))
				continue;
			key.generation = (uint64_t)i;
			key.kind = (enum lockstep_record_kind)kind;
			entries[n].key = lockstep_arbiter_key_format(&key, keys[n]);
			len = kind == LOCKSTEP_RECORD_OPEN ?
			      lockstep_arbiter_open_encode(&g->record, values[n],
							   sizeof(values[n])) :
			      g->won ? lockstep_arbiter_mark_encode(&g->winner, values[n],
								    sizeof(values[n])) : 0;
			entries[n].value = values[n];
			entries[n].len = (size_t)len;
			n++;
		}
	}
	r->list_done(&r->answer, entries, n, r->arg);
}

static void request_answer(struct sim *s, struct sim_event *e)
{
	struct request *r = request_of(e);
	struct lockstep_arbiter_info info = { .node = "arbiter" };

	(void)s;
	r->answer.detail = r->answer.detail ? r->answer.detail : "";
	/* after destroy there is no callback, and nobody who waits */
	if (!r->host->daemon || r->epoch != r->host->epoch) {
		free(r);
		return;
	}
	if (r->kind == REQ_LIST) {
		if (r->answer.result == LOCKSTEP_ARBITER_OK)
			answer_list(r);
		else
			r->list_done(&r->answer, NULL, 0, r->arg);
	} else if (r->kind == REQ_PROBE) {
		info.store = r->host->store->uuid;
		memset(info.boot_id.b, 0x99, sizeof(info.boot_id.b));
		r->probe_done(&r->answer, r->answer.result == LOCKSTEP_ARBITER_OK ? &info : NULL,
			      r->arg);
	} else {
		r->done(&r->answer, r->arg);
	}
	free(r);
}

/* --- the interface -------------------------------------------------------- */

static struct request *request_new(struct lockstep_arbiter *a, enum request_kind kind, void *arg)
{
	struct sim_host *h = (struct sim_host *)((char *)a - offsetof(struct sim_host, arbiter));
	struct request *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->kind = kind;
	r->host = h;
	r->epoch = h->epoch;
	r->arg = arg;
	pass_on(h->sim, r, TRIP_NS + sim_rand(h->sim) % TRIP_NS, request_arrives);
	return r;
}

static int arb_put(struct lockstep_arbiter *a, const struct lockstep_arbiter_key *key,
		   const void *value, size_t len, unsigned int ms, lockstep_arbiter_done *done,
		   void *arg)
{
	enum request_kind kind = key->kind == LOCKSTEP_RECORD_OPEN ? REQ_OPEN :
				 key->kind == LOCKSTEP_RECORD_WON ? REQ_CLAIM : REQ_CLOSE;
	struct request *r = request_new(a, kind, arg);

	(void)ms;
	if (kind == REQ_OPEN)
		assert_int_equal(lockstep_arbiter_open_decode(value, len, &r->open), 0);
	else
		assert_int_equal(lockstep_arbiter_mark_decode(value, len, &r->mark), 0);
	r->done = done;
	return 0;
}

static int arb_get(struct lockstep_arbiter *a, const struct lockstep_arbiter_key *key,
		   unsigned int ms, lockstep_arbiter_done *done, void *arg)
{
	struct request *r = request_new(a, REQ_GET, arg);

	(void)ms;
	r->key = *key;
	r->done = done;
	return 0;
}

static int arb_list(struct lockstep_arbiter *a, const struct lockstep_uuid *vm, unsigned int ms,
		    lockstep_arbiter_list_done *done, void *arg)
{
	struct request *r = request_new(a, REQ_LIST, arg);

	(void)ms;
	r->key.vm = *vm;
	r->list_done = done;
	return 0;
}

static int arb_prune(struct lockstep_arbiter *a, const struct lockstep_uuid *vm, uint64_t below,
		     unsigned int ms, lockstep_arbiter_done *done, void *arg)
{
	struct request *r = request_new(a, REQ_PRUNE, arg);

	(void)vm;
	(void)ms;
	(void)below;
	r->done = done;
	return 0;
}

static int arb_probe(struct lockstep_arbiter *a, unsigned int ms,
		     lockstep_arbiter_probe_done *done, void *arg)
{
	struct request *r = request_new(a, REQ_PROBE, arg);

	(void)ms;
	r->probe_done = done;
	return 0;
}

const struct lockstep_arbiter_ops sim_arbiter_ops = {
	.name = "simulated",
	.put = arb_put,
	.get = arb_get,
	.list = arb_list,
	.prune = arb_prune,
	.probe = arb_probe,
};
