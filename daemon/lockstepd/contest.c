// SPDX-License-Identifier: GPL-2.0
/*
 * What is asked of the arbiter, and what its answers mean.
 *
 * Which request is due follows from the guest's state and from what earlier
 * answers left in struct lockstep_contest, so a request whose answer never came
 * is simply due again: repeating is always right (backend.h).  One is under way
 * per guest at a time.  Once a claim may have left, only its answer ends the
 * contest.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/log.h"
#include "lockstepd/core.h"

#define LOOK_NS		LOCKSTEP_NSEC_PER_SEC		/* between looks at a record */
#define DRAIN_NS	(5 * LOCKSTEP_NSEC_PER_SEC)	/* what a twin takes to drain, if its VMM is well */
#define REFUSED_NS	LOCKSTEP_ALARM_NS		/* a refused claim is made again */

enum op_kind {
	OP_NONE = 0,
	OP_COLD_LIST,		/* which generations are there? */
	OP_COLD_OPEN,
	OP_COLD_CLAIM,
	OP_OPEN,		/* form the generation of the pair */
	OP_TAKE,		/* win one that was formed with a backup that is gone */
	OP_VERIFY,		/* twin: what does `open` say? */
	OP_CLAIM,
	OP_CLOSE_LIST,
	OP_CLOSE,
	OP_LOOK_CLOSED,		/* did the primary power off in order? */
	OP_LOOK_WON,		/* it can't claim: did the primary go on? */
};

struct lockstep_contest_op {
	LIST_ENTRY(lockstep_contest_op) entry;
	struct lockstep_guest *g;	/* NULL: nobody waits for the answer any more */
	enum op_kind kind;
};

/* --- what is due ---------------------------------------------------------- */

static bool may_form(struct lockstep_guest *g)
{
	const struct lockstep_arbiter_view *view = &g->core->view;

	if (!g->core->arbiter)
		lockstep_guest_alarm(g, "arbiter.missing",
				     "no arbiter is configured: add an [arbiter] section to lockstepd.conf");
	else if (view->rejected)
		lockstep_guest_alarm(g, "arbiter.rejected", "the arbiter can't be used: %s",
				     view->rejected);
	else if (lockstep_uuid_is_nil(&view->store))
		lockstep_guest_alarm(g, "arbiter.unreachable", "the arbiter can't be reached: see that it runs, and the way to it");
	return g->core->arbiter && !view->rejected && !lockstep_uuid_is_nil(&view->store);
}

static enum op_kind due_free(struct lockstep_guest *g)
{
	if (lockstep_guest_is_twin(g) || g->contest.refused || !may_form(g))
		return OP_NONE;
	if (!g->contest.listed)
		return OP_COLD_LIST;
	return g->contest.opened ? OP_COLD_CLAIM : OP_COLD_OPEN;
}

static enum op_kind due_close(const struct lockstep_contest *c)
{
	if (!c->listed)
		return OP_CLOSE_LIST;
	return c->taken ? OP_TAKE : OP_CLOSE;
}

static enum op_kind due(struct lockstep_guest *g)
{
	const struct lockstep_contest *c = &g->contest;
	bool drained = g->info.flags & LOCKSTEP_FLAG_DRAINED;

	switch (g->state) {
	case LOCKSTEP_STATE_FREE:
		return due_free(g);
	case LOCKSTEP_STATE_SYNC_SRC:
		if (c->opened || !may_form(g))
			return OP_NONE;
		return c->taken ? OP_TAKE : OP_OPEN;
	case LOCKSTEP_STATE_SYNC_DST:
		return c->verify && !c->opened ? OP_VERIFY : OP_NONE;
	case LOCKSTEP_STATE_CONTEST_P:
		return OP_CLAIM;
	case LOCKSTEP_STATE_CONTEST_B:
		/* only a twin that has executed all it acknowledged may claim: a stuck one never */
		if (drained)
			return OP_CLAIM;
		return lockstep_guest_now(g) - g->since_ns < DRAIN_NS ? OP_NONE : OP_LOOK_WON;
	case LOCKSTEP_STATE_SOLO:
		/* an operator takes back what waits at the start barrier */
		return g->release ? due_close(c) : OP_NONE;
	case LOCKSTEP_STATE_STOPPING:
		return drained ? due_close(c) : OP_NONE;
	case LOCKSTEP_STATE_STOPPED_B:
	case LOCKSTEP_STATE_ORPHAN_B:
		return g->info.flags & LOCKSTEP_FLAG_POWEROFF ? OP_LOOK_CLOSED : OP_NONE;
	case LOCKSTEP_STATE_DIVERGED:
		return OP_LOOK_WON;
	default:
		return OP_NONE;
	}
}

/* --- requests ------------------------------------------------------------- */

static struct lockstep_arbiter_member member_of(const struct lockstep_guest *g)
{
	struct lockstep_arbiter_member m;

	memset(&m, 0, sizeof(m));
	snprintf(m.node, sizeof(m.node), "%s", g->core->cfg.node);
	m.boot_id = g->core->cfg.boot_id;
	m.instance = g->info.instance;
	return m;
}

static struct lockstep_arbiter_mark mark_of(const struct lockstep_guest *g, uint64_t generation,
					    const char *reason)
{
	struct lockstep_arbiter_mark m;

	memset(&m, 0, sizeof(m));
	m.generation = generation;
	m.by = member_of(g);
	snprintf(m.reason, sizeof(m.reason), "%s", reason);
	return m;
}

static struct lockstep_arbiter_open open_of(const struct lockstep_guest *g)
{
	struct lockstep_arbiter_open o;

	memset(&o, 0, sizeof(o));
	o.generation = g->contest.generation;
	o.store = g->core->view.store;
	o.members[0] = member_of(g);
	o.nmembers = 1;
	if (g->state != LOCKSTEP_STATE_SYNC_SRC) {
		o.winner = g->contest.winner;
		o.forced = g->contest.forced;
		return o;
	}
	o.winner = g->info.instance;
	snprintf(o.members[1].node, sizeof(o.members[1].node), "%s", g->node->name);
	o.members[1].boot_id = g->node->boot_id;
	o.members[1].instance = g->info.peer;
	o.nmembers = 2;
	return o;
}

static void answered(const struct lockstep_arbiter_answer *answer, void *arg);
static void listed(const struct lockstep_arbiter_answer *answer,
		   const struct lockstep_arbiter_entry *entries, size_t count, void *arg);

static int get_start(struct lockstep_guest *g, uint64_t generation,
		     enum lockstep_record_kind kind, struct lockstep_contest_op *op)
{
	struct lockstep_arbiter_key key = {
		.vm = g->info.uuid, .generation = generation, .kind = kind,
	};
	struct lockstep_arbiter *a = g->core->arbiter;

	return lockstep_arbiter_get(a, &key, g->core->cfg.arbiter_ms, answered, op);
}

static int claim_start(struct lockstep_guest *g, uint64_t generation, const char *reason,
		       struct lockstep_contest_op *op)
{
	struct lockstep_arbiter_mark mark = mark_of(g, generation, reason);
	struct lockstep_arbiter *a = g->core->arbiter;

	return lockstep_arbiter_claim(a, &g->info.uuid, &mark, g->core->cfg.arbiter_ms, answered, op);
}

static int open_start(struct lockstep_guest *g, struct lockstep_contest_op *op)
{
	struct lockstep_arbiter_open open = open_of(g);
	struct lockstep_arbiter *a = g->core->arbiter;

	return lockstep_arbiter_create_open(a, &g->info.uuid, &open, g->core->cfg.arbiter_ms, answered, op);
}

static int close_start(struct lockstep_guest *g, struct lockstep_contest_op *op)
{
	struct lockstep_arbiter_mark mark = mark_of(g, g->contest.generation, "power-off");
	struct lockstep_arbiter *a = g->core->arbiter;

	return lockstep_arbiter_create_closed(a, &g->info.uuid, &mark, g->core->cfg.arbiter_ms, answered,
				     op);
}

static int op_start(struct lockstep_guest *g, struct lockstep_contest_op *op)
{
	struct lockstep_arbiter *a = g->core->arbiter;
	struct lockstep_contest *c = &g->contest;

	switch (op->kind) {
	case OP_COLD_LIST:
	case OP_CLOSE_LIST:
		return a->ops->list(a, &g->info.uuid, g->core->cfg.arbiter_ms, listed, op);
	case OP_COLD_OPEN:
	case OP_OPEN:
		return open_start(g, op);
	case OP_COLD_CLAIM:
		return claim_start(g, c->generation, c->forced ? "forced start" : "start", op);
	case OP_TAKE:
		return claim_start(g, c->generation, "its backup is gone", op);
	case OP_CLAIM:
		return claim_start(g, g->info.generation,
				   g->reason[0] ? g->reason : "contest", op);
	case OP_VERIFY:
		return get_start(g, c->generation, LOCKSTEP_RECORD_OPEN, op);
	case OP_CLOSE:
		return close_start(g, op);
	case OP_LOOK_CLOSED:
		return get_start(g, g->info.generation, LOCKSTEP_RECORD_CLOSED, op);
	case OP_LOOK_WON:
		return get_start(g, g->info.generation, LOCKSTEP_RECORD_WON, op);
	default:
		return -EINVAL;
	}
}

static void retry_later(struct lockstep_guest *g)
{
	struct lockstep_contest *c = &g->contest;

	if (!c->backoff_ns)
		c->backoff_ns = LOCKSTEP_RETRY_MIN_NS;
	c->next_ns = lockstep_guest_now(g) + c->backoff_ns;
	c->backoff_ns *= 2;
	if (c->backoff_ns > LOCKSTEP_RETRY_MAX_NS)
		c->backoff_ns = LOCKSTEP_RETRY_MAX_NS;
}

static void op_free(struct lockstep_contest_op *op)
{
	LIST_REMOVE(op, entry);
	free(op);
}

void lockstep_contest_exit(struct lockstep_core *core)
{
	struct lockstep_contest_op *op;

	while ((op = LIST_FIRST(&core->requests)))
		op_free(op);
}

void lockstep_contest_run(struct lockstep_guest *g)
{
	struct lockstep_contest *c = &g->contest;
	enum op_kind kind;
	int ret;

	if (c->op || lockstep_guest_now(g) < c->next_ns)
		return;
	kind = due(g);
	if (kind == OP_NONE)
		return;
	if (!g->core->arbiter) {
		lockstep_guest_alarm(g, "arbiter.missing",
				     "no arbiter is configured: add an [arbiter] section to lockstepd.conf");
		return;
	}
	c->op = calloc(1, sizeof(*c->op));
	if (!c->op)
		return;
	c->op->g = g;
	c->op->kind = kind;
	LIST_INSERT_HEAD(&g->core->requests, c->op, entry);
	ret = op_start(g, c->op);
	if (!ret)
		return;
	lockstep_err("%s: the arbiter can't be asked: %s", g->info.name, strerror(-ret));
	op_free(c->op);
	c->op = NULL;
	retry_later(g);
}

void lockstep_contest_forget(struct lockstep_guest *g)
{
	if (g->contest.op)
		g->contest.op->g = NULL;
	g->contest.op = NULL;
}

void lockstep_contest_reset(struct lockstep_guest *g)
{
	lockstep_contest_forget(g);
	memset(&g->contest, 0, sizeof(g->contest));
}

/* --- answers -------------------------------------------------------------- */

static void prune_done(const struct lockstep_arbiter_answer *answer, void *arg)
{
	(void)answer;
	(void)arg;
}

/* Two generations stay: the one that runs and the one that made it. */
static void prune(struct lockstep_guest *g, uint64_t generation)
{
	struct lockstep_arbiter *a = g->core->arbiter;

	if (generation > 2)
		a->ops->prune(a, &g->info.uuid, generation - 1, g->core->cfg.arbiter_ms,
			      prune_done, NULL);
}

static void refuse(struct lockstep_guest *g, const char *why)
{
	g->contest.refused = true;
	g->contest.alarm_ns = 0;
	lockstep_guest_alarm(g, "guest.refused", "%s", why);
}

static void cold_opened(struct lockstep_guest *g, const struct lockstep_arbiter_answer *answer)
{
	if (answer->result == LOCKSTEP_ARBITER_OK) {
		g->contest.opened = true;
		return;
	}
	if (answer->result == LOCKSTEP_ARBITER_LOST) {
		refuse(g, "another host starts this guest at the same time");
		return;
	}
	refuse(g, answer->detail);
}

static void cold_claimed(struct lockstep_guest *g, const struct lockstep_arbiter_answer *answer)
{
	uint64_t generation = g->contest.generation;

	if (answer->result != LOCKSTEP_ARBITER_WON) {
		refuse(g, answer->result == LOCKSTEP_ARBITER_LOST ?
		       "another instance of this guest was started" : answer->detail);
		return;
	}
	g->force = false;
	if (!lockstep_guest_event(g, LOCKSTEP_EVENT_COLD_WON, generation, NULL))
		prune(g, generation);
}

static void pair_opened(struct lockstep_guest *g, const struct lockstep_arbiter_answer *answer)
{
	switch (answer->result) {
	case LOCKSTEP_ARBITER_OK:
		g->contest.opened = true;
		if (lockstep_guest_send(g, LOCKSTEP_MESSAGE_OPENED, g->contest.generation) < 0)
			lockstep_failover_lost(g, LOCKSTEP_EVENT_PEER_LOST, "link lost");
		break;
	case LOCKSTEP_ARBITER_LOST:
		g->contest.taken = true;
		break;
	default:
		lockstep_guest_alarm(g, "guest.refused", "generation %llu can't be opened: %s",
				     (unsigned long long)g->contest.generation, answer->detail);
		retry_later(g);
		break;
	}
}

static void taken(struct lockstep_guest *g, const struct lockstep_arbiter_answer *answer)
{
	if (answer->result == LOCKSTEP_ARBITER_WON) {
		if (g->state == LOCKSTEP_STATE_SYNC_SRC)
			g->contest.generation++;	/* else it is what is to be closed */
		g->contest.taken = false;
		return;
	}
	lockstep_guest_alarm(g, "guest.refused", "generation %llu is not ours: %s",
			     (unsigned long long)g->contest.generation, answer->detail);
	retry_later(g);
}

/* Twin: does `open`, as read over our own path, name us and the primary? */
static void verified(struct lockstep_guest *g, const struct lockstep_arbiter_answer *answer)
{
	uint64_t generation = g->contest.generation;
	struct lockstep_arbiter_open open;

	if (answer->result == LOCKSTEP_ARBITER_ABSENT) {
		lockstep_guest_alarm(g, "arbiter.other",
				     "generation %llu is not with this host's arbiter: do both hosts use the same one?",
				     (unsigned long long)generation);
		retry_later(g);
		return;
	}
	if (answer->result != LOCKSTEP_ARBITER_OK ||
	    lockstep_arbiter_open_decode(answer->value, answer->len, &open) ||
	    open.generation != generation || open.nmembers != 2 ||
	    !lockstep_uuid_equal(&open.store, &answer->store) ||
	    !lockstep_uuid_equal(&open.members[0].instance, &g->info.peer) ||
	    !lockstep_uuid_equal(&open.members[1].instance, &g->info.instance)) {
		lockstep_guest_alarm(g, "guest.refused",
				     "generation %llu does not name this pair: %s",
				     (unsigned long long)generation, answer->detail);
		retry_later(g);
		return;
	}
	g->contest.opened = true;
	lockstep_pair_verified(g, generation);
}

static void claimed(struct lockstep_guest *g, const struct lockstep_arbiter_answer *answer)
{
	uint64_t generation = g->info.generation;

	switch (answer->result) {
	case LOCKSTEP_ARBITER_WON:
		if (!lockstep_guest_event(g, LOCKSTEP_EVENT_WON, generation, NULL))
			prune(g, generation);
		return;
	case LOCKSTEP_ARBITER_LOST:
		lockstep_guest_event(g, LOCKSTEP_EVENT_LOST, generation, NULL);
		return;
	default:
		break;
	}
	if (answer->refusal == LOCKSTEP_REFUSAL_CLOSED &&
	    !lockstep_guest_event(g, LOCKSTEP_EVENT_CLOSED, generation, NULL))
		return;
	lockstep_guest_event(g, LOCKSTEP_EVENT_REFUSED, generation, NULL);
	lockstep_guest_alarm(g, "guest.refused",
			     "the arbiter refuses the claim of generation %llu (%s): nobody goes on without an operator. "
			     "lockstepctl stop --force %s on both hosts, then start --force where the disks are right",
			     (unsigned long long)generation, answer->detail, g->info.name);
	g->contest.next_ns = lockstep_guest_now(g) + REFUSED_NS;
}

static bool mark_is_by(const struct lockstep_arbiter_answer *answer,
		       const struct lockstep_uuid *instance)
{
	struct lockstep_arbiter_mark mark;

	return !lockstep_arbiter_mark_decode(answer->value, answer->len, &mark) &&
	       lockstep_uuid_equal(&mark.by.instance, instance);
}

static void closed(struct lockstep_guest *g, const struct lockstep_arbiter_answer *answer)
{
	if (answer->result == LOCKSTEP_ARBITER_OK ||
	    (answer->result == LOCKSTEP_ARBITER_LOST &&
	     mark_is_by(answer, &g->info.instance))) {
		if (g->state == LOCKSTEP_STATE_SOLO) {
			lockstep_guest_event(g, LOCKSTEP_EVENT_RELEASE, g->info.generation, NULL);
			return;
		}
		lockstep_guest_send(g, LOCKSTEP_MESSAGE_CLOSED, g->info.generation);
		lockstep_guest_event(g, LOCKSTEP_EVENT_CLOSED, g->info.generation, NULL);
		return;
	}
	/* somebody else ended the generation: let the arbiter say who */
	lockstep_guest_alarm(g, "guest.refused", "generation %llu can't be closed: %s",
			     (unsigned long long)g->contest.generation, answer->detail);
	retry_later(g);
	if (g->state == LOCKSTEP_STATE_STOPPING)
		lockstep_guest_event(g, LOCKSTEP_EVENT_SILENCE, g->info.generation, NULL);
}

static void looked(struct lockstep_guest *g, const struct lockstep_arbiter_answer *answer,
		   enum op_kind kind)
{
	g->contest.next_ns = lockstep_guest_now(g) + LOOK_NS;
	if (answer->result != LOCKSTEP_ARBITER_OK)
		return;
	if (kind == OP_LOOK_CLOSED)
		g->closed_seen = true;
	else if (!mark_is_by(answer, &g->info.instance))
		lockstep_guest_event(g, LOCKSTEP_EVENT_PEER_WON, g->info.generation, NULL);
}

/*
 * Takes the op's guest and frees the op. NULL when nobody waits or there was no
 * answer; the latter is asked again.
 */
static struct lockstep_guest *op_end(struct lockstep_contest_op *op,
				     const struct lockstep_arbiter_answer *answer)
{
	struct lockstep_guest *g = op->g;

	op_free(op);
	if (!g)
		return NULL;
	g->contest.op = NULL;
	if (answer->result != LOCKSTEP_ARBITER_UNKNOWN) {
		g->contest.backoff_ns = 0;
		return g;
	}
	lockstep_guest_alarm(g, "arbiter.unreachable",
			     "no answer from the arbiter (%s): see that it runs, and the way to it. The guest waits",
			     answer->detail);
	retry_later(g);
	return NULL;
}

static void answered(const struct lockstep_arbiter_answer *answer, void *arg)
{
	struct lockstep_contest_op *op = arg;
	enum op_kind kind = op->kind;
	struct lockstep_guest *g = op_end(op, answer);

	if (!g)
		return;
	switch (kind) {
	case OP_COLD_OPEN:
		cold_opened(g, answer);
		break;
	case OP_COLD_CLAIM:
		cold_claimed(g, answer);
		break;
	case OP_OPEN:
		pair_opened(g, answer);
		break;
	case OP_TAKE:
		taken(g, answer);
		break;
	case OP_VERIFY:
		verified(g, answer);
		break;
	case OP_CLAIM:
		claimed(g, answer);
		break;
	case OP_CLOSE:
		closed(g, answer);
		break;
	default:
		looked(g, answer, kind);
		break;
	}
	lockstep_guest_settle(g);
}

/* --- lists ---------------------------------------------------------------- */

/* The newest generation of a guest, and how it ended. */
struct newest {
	uint64_t generation;
	bool has_open;
	bool has_won;
	bool closed;
	struct lockstep_arbiter_open open;
	struct lockstep_arbiter_mark won;
};

static void newest_find(const struct lockstep_uuid *vm,
			const struct lockstep_arbiter_entry *entries, size_t count,
			struct newest *n)
{
	struct lockstep_arbiter_key key;
	size_t i;

	memset(n, 0, sizeof(*n));
	for (i = 0; i < count; i++) {
		if (lockstep_arbiter_key_parse(entries[i].key, &key) ||
		    !lockstep_uuid_equal(&key.vm, vm) || key.generation < n->generation)
			continue;
		if (key.generation > n->generation) {
			memset(n, 0, sizeof(*n));
			n->generation = key.generation;
		}
		if (key.kind == LOCKSTEP_RECORD_CLOSED)
			n->closed = true;
		else if (key.kind == LOCKSTEP_RECORD_OPEN)
			n->has_open = !lockstep_arbiter_open_decode(entries[i].value,
								    entries[i].len, &n->open);
		else
			n->has_won = !lockstep_arbiter_mark_decode(entries[i].value,
								   entries[i].len, &n->won);
	}
}

static bool is_ours(const struct lockstep_guest *g, const struct newest *n)
{
	return n->has_open && lockstep_arbiter_open_member(&n->open, &g->info.instance) >= 0;
}

/*
 * The node that holds all the guest wrote when its last generation ended: the one that went
 * on alone. NULL: this one does, as a half of a pair that powered off together, or who does is
 * not on record.
 */
static const char *disks_elsewhere(const struct lockstep_guest *g, const struct newest *n)
{
	unsigned int i;

	if (n->has_won)
		return strcmp(n->won.by.node, g->core->cfg.node) ? n->won.by.node : NULL;
	if (!n->has_open)
		return NULL;
	for (i = 0; i < n->open.nmembers; i++)
		if (!strcmp(n->open.members[i].node, g->core->cfg.node))
			return NULL;
	return n->open.members[0].node;
}

/* The generation before has ended in order: may these disks follow it? */
static void cold_after_poweroff(struct lockstep_guest *g, const struct newest *n)
{
	struct lockstep_contest *c = &g->contest;
	const char *node = disks_elsewhere(g, n);

	if (!node || g->force)
		return;
	c->listed = false;
	c->refused = true;
	c->alarm_ns = 0;
	lockstep_guest_alarm(g, "guest.refused",
			     "generation %llu ended on %s, without this host: the disks here are behind. "
			     "Copy them from %s and start it there, or, if those here are the right ones: lockstepctl start --force %s",
			     (unsigned long long)n->generation, node, node, g->info.name);
}

static void cold_listed(struct lockstep_guest *g, const struct newest *n)
{
	struct lockstep_contest *c = &g->contest;

	memset(&c->winner, 0, sizeof(c->winner));
	c->forced = false;
	c->listed = true;
	if (is_ours(g, n) && !n->closed) {
		c->generation = n->generation;	/* we were here before a restart */
		c->forced = n->open.forced;
		c->opened = true;
		return;
	}
	c->generation = n->generation + 1;
	if (!n->generation)
		return;
	if (n->closed) {
		cold_after_poweroff(g, n);
		return;
	}
	if (g->force) {
		c->forced = true;
		return;
	}
	c->listed = false;
	c->refused = true;
	c->alarm_ns = 0;
	lockstep_guest_alarm(g, "guest.refused",
			     "generation %llu did not end with a power-off: another instance, with newer data, may live. "
			     "Start that one, or, if none does: lockstepctl start --force %s",
			     (unsigned long long)n->generation, g->info.name);
}

static void close_listed(struct lockstep_guest *g, const struct newest *n)
{
	g->contest.listed = true;
	/*
	 * One that was opened with a backup, but never began, is ours to end too. It is won
	 * first: else the backup that it names would pass for one with the same disks.
	 */
	g->contest.generation = is_ours(g, n) ? n->generation : g->info.generation;
	g->contest.taken = g->contest.generation != g->info.generation;
}

static void listed(const struct lockstep_arbiter_answer *answer,
		   const struct lockstep_arbiter_entry *entries, size_t count, void *arg)
{
	struct lockstep_contest_op *op = arg;
	enum op_kind kind = op->kind;
	struct lockstep_guest *g = op_end(op, answer);
	struct newest n;

	if (!g)
		return;
	if (answer->result != LOCKSTEP_ARBITER_OK && answer->result != LOCKSTEP_ARBITER_ABSENT) {
		lockstep_guest_alarm(g, "guest.refused", "the arbiter refuses: %s",
				     answer->detail);
		retry_later(g);
		return;
	}
	newest_find(&g->info.uuid, entries, entries ? count : 0, &n);
	if (kind == OP_COLD_LIST)
		cold_listed(g, &n);
	else
		close_listed(g, &n);
	lockstep_guest_settle(g);
}

/* --- the arbiter itself --------------------------------------------------- */

static const char *reject_reason(struct lockstep_core *core,
				 const struct lockstep_arbiter_info *info)
{
	struct lockstep_node *node;

	if (core->cfg.arbiter_same_host)
		return NULL;
	if (lockstep_uuid_equal(&info->boot_id, &core->cfg.boot_id))
		return "it runs on this host, whose death it has to survive";
	TAILQ_FOREACH(node, &core->nodes, entry)
		if (node->up && lockstep_uuid_equal(&info->boot_id, &node->boot_id))
			return "it runs on a peer's host, whose death it has to survive";
	return NULL;
}

static void view_tell(struct lockstep_core *core, const char *name, const char *detail)
{
	struct json_object *o = json_object_new_object();

	if (o) {
		lockstep_json_add_str(o, "arbiter", core->view.node);
		lockstep_json_add_uuid(o, "store", &core->view.store);
		if (detail)
			lockstep_json_add_str(o, "detail", detail);
	}
	core->view.alarm_ns = core->ops->now(core->user);
	lockstep_event_emit(name, o);
}

static void probe_lost(struct lockstep_core *core, const char *detail)
{
	struct lockstep_arbiter_view *view = &core->view;
	uint64_t now = core->ops->now(core->user);
	bool was = view->reachable;

	view->reachable = false;
	if (was || !view->alarm_ns || now - view->alarm_ns >= 2 * LOCKSTEP_ALARM_NS)
		view_tell(core, "arbiter.unreachable", detail);
}

static void probed(const struct lockstep_arbiter_answer *answer,
		   const struct lockstep_arbiter_info *info, void *arg)
{
	struct lockstep_core *core = arg;
	struct lockstep_arbiter_view *view = &core->view;
	bool was = view->reachable, other;

	view->probing = false;
	if (answer->result != LOCKSTEP_ARBITER_OK || !info) {
		probe_lost(core, answer->detail);
		return;
	}
	other = !lockstep_uuid_is_nil(&view->store) &&
		!lockstep_uuid_equal(&view->store, &info->store);
	view->store = info->store;
	view->boot_id = info->boot_id;
	snprintf(view->node, sizeof(view->node), "%s", info->node);
	view->rtt_ns = info->rtt_ns;
	view->reachable = true;
	view->rejected = reject_reason(core, info);
	if (other)
		view_tell(core, "arbiter.other-store",
			  "the store was restored or replaced: claims of generations opened before are refused");
	else if (!was)
		view_tell(core, "arbiter.reachable", view->rejected);
}

void lockstep_contest_probe(struct lockstep_core *core)
{
	struct lockstep_arbiter_view *view = &core->view;
	uint64_t now = core->ops->now(core->user);

	if (!core->arbiter || view->probing || now < view->next_ns)
		return;
	view->next_ns = now + LOCKSTEP_PROBE_NS;
	view->probing = !core->arbiter->ops->probe(core->arbiter, core->cfg.arbiter_ms, probed,
						   core);
}
