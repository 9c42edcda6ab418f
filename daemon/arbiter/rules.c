// SPDX-License-Identifier: GPL-2.0
/* The rules by which generations are formed, won, closed and pruned. */
#include "arbiter/rules.h"

#include <string.h>

static int verdict(struct lockstep_verdict *v, enum lockstep_arbiter_result result,
		   const struct lockstep_store_record *existing, const char *detail)
{
	v->result = result;
	v->refusal = LOCKSTEP_REFUSAL_NONE;
	v->existing = existing;
	v->detail = detail;
	return 0;
}

static int refuse(struct lockstep_verdict *v, enum lockstep_arbiter_refusal refusal,
		  const char *detail)
{
	v->result = LOCKSTEP_ARBITER_REFUSED;
	v->refusal = refusal;
	v->existing = NULL;
	v->detail = detail;
	return 0;
}

void lockstep_rules_refuse(struct lockstep_verdict *v, enum lockstep_arbiter_refusal refusal,
			   const char *detail)
{
	refuse(v, refusal, detail);
}

const struct lockstep_store_record *
lockstep_rules_find(const struct lockstep_rules_guest *g, uint64_t generation,
		    enum lockstep_record_kind kind)
{
	size_t i = g->count;

	/* What is asked for is among the newest, which are at the end. */
	while (i-- && g->records[i].key.generation >= generation) {
		if (g->records[i].key.generation == generation && g->records[i].key.kind == kind)
			return &g->records[i];
	}
	return NULL;
}

uint64_t lockstep_rules_newest(const struct lockstep_rules_guest *g)
{
	size_t i = g->count;

	while (i--) {
		if (g->records[i].key.kind == LOCKSTEP_RECORD_OPEN)
			return g->records[i].key.generation;
	}
	return 0;
}

static bool mark_of(const struct lockstep_store_record *rec, struct lockstep_arbiter_mark *m)
{
	return rec && !lockstep_arbiter_mark_decode(rec->value, rec->len, m);
}

static void put(struct lockstep_rules_change *c, const struct lockstep_arbiter_key *key,
		const void *value, size_t len)
{
	struct lockstep_store_record *rec = &c->puts[c->nputs++];

	rec->key = *key;
	rec->len = (uint16_t)len;
	memcpy(rec->value, value, len);
}

/* May generation key->generation be formed by this record? Not forced. */
static int check_chain(const struct lockstep_rules_guest *g, const struct lockstep_arbiter_key *key,
		       const struct lockstep_arbiter_open *o, struct lockstep_verdict *v)
{
	uint64_t newest = lockstep_rules_newest(g);
	struct lockstep_arbiter_mark won;

	if (key->generation != newest + 1)
		return refuse(v, LOCKSTEP_REFUSAL_CHAIN,
			      "generation does not follow the newest one known here");
	if (!newest || lockstep_rules_find(g, newest, LOCKSTEP_RECORD_CLOSED)) {
		if (!lockstep_uuid_is_nil(&o->winner))
			return refuse(v, LOCKSTEP_REFUSAL_CHAIN,
				      "a winner is named, but none is alive before this generation");
		return verdict(v, LOCKSTEP_ARBITER_OK, NULL, "");
	}
	if (!mark_of(lockstep_rules_find(g, newest, LOCKSTEP_RECORD_WON), &won))
		return refuse(v, LOCKSTEP_REFUSAL_CHAIN,
			      "generation before was neither won nor closed");
	if (!lockstep_uuid_equal(&won.by.instance, &o->winner) ||
	    !lockstep_uuid_equal(&won.by.instance, &o->members[0].instance))
		return refuse(v, LOCKSTEP_REFUSAL_CHAIN,
			      "not formed by the winner of the generation before");
	return verdict(v, LOCKSTEP_ARBITER_OK, NULL, "");
}

/*
 * An operator's --force. The newest generation known must not be won later by
 * somebody else; older ones were ended when the next was formed.
 */
static int put_forced(const struct lockstep_rules_guest *g,
		      const struct lockstep_rules_request *rq,
		      const struct lockstep_arbiter_open *o, struct lockstep_rules_change *c)
{
	struct lockstep_arbiter_key won_key = rq->key;
	struct lockstep_arbiter_mark won = { .by = o->members[0], .reason = "forced" };
	uint8_t buf[LOCKSTEP_ARBITER_VALUE_MAX];
	int n;

	c->forced = true;
	won_key.generation = lockstep_rules_newest(g);
	won_key.kind = LOCKSTEP_RECORD_WON;
	won.generation = won_key.generation;
	if (won_key.generation &&
	    !lockstep_rules_find(g, won_key.generation, LOCKSTEP_RECORD_WON) &&
	    !lockstep_rules_find(g, won_key.generation, LOCKSTEP_RECORD_CLOSED)) {
		n = lockstep_arbiter_mark_encode(&won, buf, sizeof(buf));
		if (n < 0)
			return n;
		put(c, &won_key, buf, (size_t)n);
	}
	put(c, &rq->key, rq->value, rq->len);
	return 0;
}

static bool names_node(const struct lockstep_arbiter_open *o, const char *node)
{
	unsigned int i;

	for (i = 0; i < o->nmembers; i++) {
		if (!strcmp(o->members[i].node, node))
			return true;
	}
	return false;
}

static int create_open(const struct lockstep_rules_guest *g,
		       const struct lockstep_rules_request *rq, struct lockstep_verdict *v,
		       struct lockstep_rules_change *c)
{
	const struct lockstep_arbiter_key *key = &rq->key;
	const struct lockstep_store_record *old;
	struct lockstep_arbiter_open o;
	int err;

	if (lockstep_arbiter_open_decode(rq->value, rq->len, &o) || o.generation != key->generation)
		return refuse(v, LOCKSTEP_REFUSAL_MALFORMED, "malformed open record");
	if (!names_node(&o, rq->node))
		return refuse(v, LOCKSTEP_REFUSAL_NOT_MEMBER,
			      "a generation is formed by one of its members");
	old = lockstep_rules_find(g, key->generation, LOCKSTEP_RECORD_OPEN);
	if (old && old->len == rq->len && !memcmp(old->value, rq->value, rq->len))
		return verdict(v, LOCKSTEP_ARBITER_OK, old, "formed before, by this request");
	if (!lockstep_uuid_equal(&o.store, g->store))
		return refuse(v, LOCKSTEP_REFUSAL_OTHER_STORE,
			      "names another store: this one is another arbiter's, or was restored");
	if (old)
		return verdict(v, LOCKSTEP_ARBITER_LOST, old, "generation was formed by another");
	if (key->generation < g->floor)
		return refuse(v, LOCKSTEP_REFUSAL_PRUNED, "generation is long over");
	if (g->full)
		return refuse(v, LOCKSTEP_REFUSAL_FULL, "store is full: prune old generations");
	if (o.forced) {
		if (key->generation <= lockstep_rules_newest(g))
			return refuse(v, LOCKSTEP_REFUSAL_CHAIN,
				      "a forced generation must be above every one known");
		err = put_forced(g, rq, &o, c);
		return err ? err : verdict(v, LOCKSTEP_ARBITER_OK, NULL, "formed");
	}
	check_chain(g, key, &o, v);
	if (v->result != LOCKSTEP_ARBITER_OK)
		return 0;
	put(c, key, rq->value, rq->len);
	return verdict(v, LOCKSTEP_ARBITER_OK, NULL, "formed");
}

/*
 * The open record of a mark's generation, if it names who asks exactly.
 * 0 with v->result OK, or a refusal.
 */
static int check_member(const struct lockstep_rules_guest *g, const char *node,
			const struct lockstep_arbiter_key *key,
			const struct lockstep_arbiter_mark *m, struct lockstep_verdict *v)
{
	const struct lockstep_store_record *rec;
	struct lockstep_arbiter_open o;
	int i;

	if (key->generation < g->floor)
		return refuse(v, LOCKSTEP_REFUSAL_PRUNED, "generation is long over");
	rec = lockstep_rules_find(g, key->generation, LOCKSTEP_RECORD_OPEN);
	if (!rec || lockstep_arbiter_open_decode(rec->value, rec->len, &o))
		return refuse(v, LOCKSTEP_REFUSAL_NO_OPEN,
			      "generation was never formed with this store");
	if (!lockstep_uuid_equal(&o.store, g->store))
		return refuse(v, LOCKSTEP_REFUSAL_OTHER_STORE,
			      "generation was formed before this store was restored");
	i = lockstep_arbiter_open_member(&o, &m->by.instance);
	if (i < 0 || strcmp(o.members[i].node, m->by.node) ||
	    !lockstep_uuid_equal(&o.members[i].boot_id, &m->by.boot_id))
		return refuse(v, LOCKSTEP_REFUSAL_NOT_MEMBER,
			      "instance, node and boot are not those of a member");
	if (strcmp(m->by.node, node))
		return refuse(v, LOCKSTEP_REFUSAL_NOT_MEMBER,
			      "a node can't speak for another one");
	return verdict(v, LOCKSTEP_ARBITER_OK, NULL, "");
}

static int create_closed(const struct lockstep_rules_guest *g,
			 const struct lockstep_rules_request *rq, struct lockstep_verdict *v,
			 struct lockstep_rules_change *c)
{
	const struct lockstep_arbiter_key *key = &rq->key;
	const struct lockstep_store_record *old, *won;
	struct lockstep_arbiter_mark m, other;

	if (lockstep_arbiter_mark_decode(rq->value, rq->len, &m) || m.generation != key->generation)
		return refuse(v, LOCKSTEP_REFUSAL_MALFORMED, "malformed closed record");
	check_member(g, rq->node, key, &m, v);
	if (v->result != LOCKSTEP_ARBITER_OK)
		return 0;
	old = lockstep_rules_find(g, key->generation, LOCKSTEP_RECORD_CLOSED);
	if (mark_of(old, &other)) {
		if (lockstep_uuid_equal(&other.by.instance, &m.by.instance))
			return verdict(v, LOCKSTEP_ARBITER_OK, old, "closed before");
		return verdict(v, LOCKSTEP_ARBITER_LOST, old, "closed by the other member");
	}
	won = lockstep_rules_find(g, key->generation, LOCKSTEP_RECORD_WON);
	if (mark_of(won, &other) && !lockstep_uuid_equal(&other.by.instance, &m.by.instance))
		return verdict(v, LOCKSTEP_ARBITER_LOST, won, "generation was won by another");
	if (key->generation != lockstep_rules_newest(g))
		return refuse(v, LOCKSTEP_REFUSAL_CHAIN, "a newer generation was formed");
	if (g->full)
		return refuse(v, LOCKSTEP_REFUSAL_FULL, "store is full: prune old generations");
	put(c, key, rq->value, rq->len);
	return verdict(v, LOCKSTEP_ARBITER_OK, NULL, "closed");
}

static int create(const struct lockstep_rules_guest *g, const struct lockstep_rules_request *rq,
		  struct lockstep_verdict *v, struct lockstep_rules_change *c)
{
	switch (rq->key.kind) {
	case LOCKSTEP_RECORD_OPEN:
		return create_open(g, rq, v, c);
	case LOCKSTEP_RECORD_CLOSED:
		return create_closed(g, rq, v, c);
	default:
		return refuse(v, LOCKSTEP_REFUSAL_MALFORMED, "a generation is won by CLAIM only");
	}
}

static int claim(const struct lockstep_rules_guest *g, const struct lockstep_rules_request *rq,
		 struct lockstep_verdict *v, struct lockstep_rules_change *c)
{
	const struct lockstep_arbiter_key *key = &rq->key;
	const struct lockstep_store_record *old;
	struct lockstep_arbiter_mark m, other;

	if (key->kind != LOCKSTEP_RECORD_WON ||
	    lockstep_arbiter_mark_decode(rq->value, rq->len, &m) ||
	    m.generation != key->generation)
		return refuse(v, LOCKSTEP_REFUSAL_MALFORMED, "malformed claim");
	old = lockstep_rules_find(g, key->generation, LOCKSTEP_RECORD_WON);
	if (mark_of(old, &other)) {
		if (lockstep_uuid_equal(&other.by.instance, &m.by.instance) &&
		    !strcmp(other.by.node, rq->node))
			return verdict(v, LOCKSTEP_ARBITER_WON, old, "won before");
		return verdict(v, LOCKSTEP_ARBITER_LOST, old, "won by another");
	}
	check_member(g, rq->node, key, &m, v);
	if (v->result != LOCKSTEP_ARBITER_OK)
		return 0;
	if (lockstep_rules_find(g, key->generation, LOCKSTEP_RECORD_CLOSED))
		return refuse(v, LOCKSTEP_REFUSAL_CLOSED,
			      "the guest was powered off in this generation");
	if (g->full)
		return refuse(v, LOCKSTEP_REFUSAL_FULL, "store is full: prune old generations");
	put(c, key, rq->value, rq->len);
	return verdict(v, LOCKSTEP_ARBITER_WON, NULL, "won");
}

static int prune(const struct lockstep_rules_guest *g, const struct lockstep_rules_request *rq,
		 struct lockstep_verdict *v, struct lockstep_rules_change *c)
{
	uint64_t newest = lockstep_rules_newest(g);
	const struct lockstep_store_record *rec;
	struct lockstep_arbiter_open o;

	rec = lockstep_rules_find(g, newest, LOCKSTEP_RECORD_OPEN);
	if (!rec || lockstep_arbiter_open_decode(rec->value, rec->len, &o))
		return refuse(v, LOCKSTEP_REFUSAL_NO_OPEN, "guest is not known");
	if (!names_node(&o, rq->node))
		return refuse(v, LOCKSTEP_REFUSAL_NOT_MEMBER,
			      "only members of the newest generation may prune");
	if (rq->below > newest - 1)
		return refuse(v, LOCKSTEP_REFUSAL_KEPT,
			      "the newest generation and the one before it stay");
	if (rq->below <= g->floor || rq->below <= 1)
		return verdict(v, LOCKSTEP_ARBITER_OK, NULL, "nothing to prune");
	c->below = rq->below;
	return verdict(v, LOCKSTEP_ARBITER_OK, NULL, "pruned");
}

int lockstep_rules_judge(const struct lockstep_rules_guest *g,
			 const struct lockstep_rules_request *rq, struct lockstep_verdict *v,
			 struct lockstep_rules_change *c)
{
	c->nputs = 0;
	c->below = 0;
	c->forced = false;
	switch (rq->op) {
	case LOCKSTEP_RULES_CREATE:
		return create(g, rq, v, c);
	case LOCKSTEP_RULES_CLAIM:
		return claim(g, rq, v, c);
	default:
		return prune(g, rq, v, c);
	}
}
