// SPDX-License-Identifier: GPL-2.0
/* Guests of this host and their life in the daemon, see core.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/log.h"
#include "kmod/state.h"
#include "lockstepd/core.h"

#define ALIVE_DIVISOR	4	/* of the module's patience with a daemon */
#define RATE_NS		LOCKSTEP_NSEC_PER_SEC

void lockstep_core_init(struct lockstep_core *core, const struct lockstep_core_config *cfg,
			const struct lockstep_core_ops *ops, void *user,
			struct lockstep_arbiter *arbiter)
{
	memset(core, 0, sizeof(*core));
	core->cfg = *cfg;
	core->ops = ops;
	core->user = user;
	core->arbiter = arbiter;
	TAILQ_INIT(&core->guests);
	TAILQ_INIT(&core->nodes);
	LIST_INIT(&core->requests);
	core->tick_ns = ops->now(user);
}

static void guest_free(struct lockstep_guest *g)
{
	lockstep_contest_forget(g);
	lockstep_flow_end(g);
	TAILQ_REMOVE(&g->core->guests, g, entry);
	free(g);
}

void lockstep_core_exit(struct lockstep_core *core)
{
	struct lockstep_guest *g;
	struct lockstep_node *node;

	while ((g = TAILQ_FIRST(&core->guests)))
		guest_free(g);
	lockstep_contest_exit(core);
	while ((node = TAILQ_FIRST(&core->nodes))) {
		TAILQ_REMOVE(&core->nodes, node, entry);
		free(node);
	}
}

struct lockstep_node *lockstep_core_node_add(struct lockstep_core *core, const char *name,
					     void *user)
{
	struct lockstep_node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->core = core;
	node->user = user;
	snprintf(node->name, sizeof(node->name), "%s", name);
	TAILQ_INSERT_TAIL(&core->nodes, node, entry);
	return node;
}

static struct lockstep_guest *find_id(struct lockstep_core *core, uint32_t id)
{
	struct lockstep_guest *g;

	TAILQ_FOREACH(g, &core->guests, entry)
		if (g->info.id == id && !g->gone)
			return g;
	return NULL;
}

struct lockstep_guest *lockstep_core_guest_find(struct lockstep_core *core, const char *name)
{
	struct lockstep_guest *g;

	TAILQ_FOREACH(g, &core->guests, entry)
		if (!g->gone && !strcmp(g->info.name, name))
			return g;
	return NULL;
}

struct json_object *lockstep_guest_event_json(const struct lockstep_guest *g)
{
	struct json_object *o = json_object_new_object();

	if (!o)
		return NULL;
	lockstep_json_add_str(o, "guest", g->info.name);
	lockstep_json_add_uuid(o, "instance", &g->info.instance);
	lockstep_json_add_str(o, "state", lockstep_state_name(g->info.state));
	lockstep_json_add_u64(o, "generation", g->info.generation);
	return o;
}

void lockstep_guest_note(struct lockstep_guest *g, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(g->note, sizeof(g->note), fmt, ap);
	va_end(ap);
}

void lockstep_guest_alarm(struct lockstep_guest *g, const char *name, const char *fmt, ...)
{
	uint64_t now = lockstep_guest_now(g);
	struct json_object *o;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(g->note, sizeof(g->note), fmt, ap);
	va_end(ap);
	if (g->contest.alarm_ns && now - g->contest.alarm_ns < LOCKSTEP_ALARM_NS)
		return;
	g->contest.alarm_ns = now;
	o = lockstep_guest_event_json(g);
	if (o)
		lockstep_json_add_str(o, "detail", g->note);
	lockstep_event_emit(name, o);
}

struct lockstep_message lockstep_guest_message(const struct lockstep_guest *g,
					       enum lockstep_message_type type,
					       uint64_t generation)
{
	struct lockstep_message m;

	memset(&m, 0, sizeof(m));
	m.type = type;
	m.guest = g->info.uuid;
	m.generation = generation;
	m.from = g->info.instance;
	m.to = g->info.peer;
	return m;
}

int lockstep_guest_send(struct lockstep_guest *g, enum lockstep_message_type type,
			uint64_t generation)
{
	struct lockstep_message m = lockstep_guest_message(g, type, generation);

	if (!g->node)
		return -ENOTCONN;
	return g->core->ops->send(g->core->user, g->node, &m);
}

int lockstep_guest_refresh(struct lockstep_guest *g)
{
	struct lockstep_guest_info info;
	int ret;

	if (g->gone)
		return -ENODEV;
	ret = g->core->ops->get(g->core->user, g->info.id, &info);
	if (ret == -ENODEV)
		g->gone = true;		/* its notification is on the way */
	if (ret)
		return ret;
	g->info = info;
	return 0;
}

int lockstep_guest_event(struct lockstep_guest *g, unsigned int event, uint64_t generation,
			 const struct lockstep_uuid *peer)
{
	int ret;

	if (g->gone || g->foreign)
		return -ENODEV;
	ret = g->core->ops->event(g->core->user, g->info.id, event, generation, peer);
	if (ret)
		lockstep_notice("%s: %s in state %s: %s", g->info.name,
				lockstep_event_name(event), lockstep_state_name(g->info.state),
				strerror(-ret));
	lockstep_guest_refresh(g);
	lockstep_guest_settle(g);
	return ret;
}

static void state_tell(struct lockstep_guest *g, uint32_t old)
{
	struct json_object *o = lockstep_guest_event_json(g), *d;

	if (!o)
		return;
	lockstep_json_add_str(o, "old", lockstep_state_name(old));
	lockstep_json_add_str(o, "role", lockstep_guest_role(&g->info));
	if (g->reason[0])
		lockstep_json_add_str(o, "reason", g->reason);
	d = lockstep_divergence_json(&g->info.divergence);
	if (d)
		json_object_object_add(o, "divergence", d);
	lockstep_event_emit("guest.state", o);
}

void lockstep_guest_settle(struct lockstep_guest *g)
{
	uint32_t old;

	if (g->settling || g->foreign)
		return;
	g->settling = true;
	do {
		old = g->state;
		if (old != g->info.state) {
			g->state = g->info.state;
			g->since_ns = lockstep_guest_now(g);
			state_tell(g, old);
			lockstep_failover_enter(g, old);
		}
		if (!g->gone)
			lockstep_failover_work(g);
	} while (!g->gone && g->state != g->info.state);
	g->settling = false;
}

/* Take a guest, or find that another daemon has it. */
static bool guest_bind(struct lockstep_guest *g)
{
	int ret = g->core->ops->bind(g->core->user, g->info.id);

	g->alive_ns = lockstep_guest_now(g);
	if (!ret && g->foreign)
		lockstep_notice("%s: taken over from another daemon", g->info.name);
	else if (ret && !g->foreign)
		lockstep_warn("%s: can't be served: %s", g->info.name,
			      ret == -EBUSY ? "another daemon is bound to it" : strerror(-ret));
	g->foreign = ret != 0;
	return !ret;
}

static void guest_start(struct lockstep_guest *g)
{
	struct json_object *o = lockstep_guest_event_json(g);

	if (o)
		lockstep_json_add_str(o, "role", lockstep_guest_role(&g->info));
	lockstep_event_emit("guest.bound", o);
	lockstep_guest_refresh(g);
	/* whatever state it is in was entered before our time */
	g->state = g->info.state;
	g->since_ns = lockstep_guest_now(g);
	lockstep_failover_restart(g);
	g->settling = true;
	lockstep_failover_enter(g, g->state);
	g->settling = false;
	lockstep_guest_settle(g);
}

static void guest_new(struct lockstep_core *core, const struct lockstep_guest_info *info)
{
	struct lockstep_guest *g = calloc(1, sizeof(*g));

	if (!g) {
		lockstep_err("%s: no memory to serve it", info->name);
		return;
	}
	g->core = core;
	g->info = *info;
	g->info.flags &= ~(LOCKSTEP_FLAG_NEW | LOCKSTEP_FLAG_GONE);
	STAILQ_INIT(&g->flow.queue);
	TAILQ_INSERT_TAIL(&core->guests, g, entry);
	if (guest_bind(g))
		guest_start(g);
	if (core->ops->attached)
		core->ops->attached(core->user, g);
}

static void guest_gone(struct lockstep_guest *g)
{
	struct json_object *o = lockstep_guest_event_json(g);
	bool failed = lockstep_failover_paired(g->state) ||
		      g->state == LOCKSTEP_STATE_SYNC_SRC || g->state == LOCKSTEP_STATE_SYNC_DST;

	if (!g->foreign) {
		if (failed)
			lockstep_guest_send(g, LOCKSTEP_MESSAGE_FAILED,
					    g->info.generation ? g->info.generation : 1);
		if (o)
			lockstep_json_add_bool(o, "failed",
					       failed || g->state == LOCKSTEP_STATE_SOLO);
		lockstep_event_emit("guest.gone", o);
	} else {
		json_object_put(o);
	}
	guest_free(g);
}

void lockstep_core_state(struct lockstep_core *core, const struct lockstep_guest_info *info)
{
	struct lockstep_guest *g = find_id(core, info->id);

	if (info->flags & LOCKSTEP_FLAG_GONE) {
		/* one that was found gone before is not found by its number any more */
		TAILQ_FOREACH(g, &core->guests, entry)
			if (g->info.id == info->id)
				break;
		if (g)
			guest_gone(g);
		return;
	}
	if (!g) {
		guest_new(core, info);
		return;
	}
	if (g->foreign)
		return;
	/* what it says may be old news: the module's word of now counts */
	lockstep_guest_refresh(g);
	lockstep_guest_settle(g);
}

void lockstep_core_guests_check(struct lockstep_core *core, const uint32_t *ids, size_t n)
{
	struct lockstep_guest *g, *next;
	size_t i;

	for (g = TAILQ_FIRST(&core->guests); g; g = next) {
		next = TAILQ_NEXT(g, entry);
		for (i = 0; i < n && ids[i] != g->info.id; i++)
			;
		if (i == n)
			guest_gone(g);
	}
}

void lockstep_core_log(struct lockstep_core *core, uint32_t id, uint64_t generation,
		       const struct lockstep_uuid *instance, const void *batch, size_t len)
{
	struct lockstep_guest *g = find_id(core, id);

	if (g && !g->foreign && generation == g->info.generation &&
	    lockstep_uuid_equal(instance, &g->info.instance))
		lockstep_flow_log(g, batch, len);
}

void lockstep_core_ack(struct lockstep_core *core, uint32_t id, uint64_t generation,
		       const struct lockstep_uuid *instance, const struct lockstep_ack *ack)
{
	struct lockstep_guest *g = find_id(core, id);

	if (g && !g->foreign && generation == g->info.generation &&
	    lockstep_uuid_equal(instance, &g->info.instance))
		lockstep_flow_ack(g, ack);
}

void lockstep_core_acks_flush(struct lockstep_core *core)
{
	struct lockstep_guest *g;

	TAILQ_FOREACH(g, &core->guests, entry) {
		lockstep_flow_ack_flush(g);
		if (!g->gone && !g->foreign && g->flow.queued)
			lockstep_flow_feed(g);
	}
}

void lockstep_core_writable(struct lockstep_core *core, struct lockstep_node *node)
{
	struct lockstep_guest *g;

	TAILQ_FOREACH(g, &core->guests, entry)
		if (g->node == node && !g->gone && !g->flow.synced &&
		    lockstep_state_rule(g->state)->logs && g->hello_seen)
			lockstep_flow_resume(g, g->flow.next);
}

static void traits_send(struct lockstep_core *core, struct lockstep_node *node)
{
	struct lockstep_message m = { .type = LOCKSTEP_MESSAGE_TRAITS, .traits = core->traits };

	if (core->traits.n)
		core->ops->send(core->user, node, &m);
}

void lockstep_core_traits_set(struct lockstep_core *core, const struct lockstep_traits *traits)
{
	struct lockstep_node *node;

	if (!memcmp(&core->traits, traits, sizeof(*traits)))
		return;
	core->traits = *traits;
	TAILQ_FOREACH(node, &core->nodes, entry)
		if (node->up)
			traits_send(core, node);
}

void lockstep_core_node_up(struct lockstep_core *core, struct lockstep_node *node,
			   const struct lockstep_uuid *boot_id)
{
	struct lockstep_message sync = { .type = LOCKSTEP_MESSAGE_SYNC };
	struct lockstep_guest *g;

	node->up = true;
	node->synced = false;
	node->lz4 = false;
	node->boot_id = *boot_id;
	memset(&node->traits, 0, sizeof(node->traits));
	traits_send(core, node);
	TAILQ_FOREACH(g, &core->guests, entry) {
		if (g->node == node) {
			g->hello_seen = false;
			g->other_seen = false;
		}
		if (!g->gone && !g->foreign)
			lockstep_pair_hello(g, node, 0);
	}
	core->ops->send(core->user, node, &sync);
}

void lockstep_core_node_down(struct lockstep_core *core, struct lockstep_node *node)
{
	struct lockstep_guest *g;

	node->up = false;
	node->synced = false;
	TAILQ_FOREACH(g, &core->guests, entry) {
		if (g->node != node || g->gone)
			continue;
		g->flow.synced = false;
		g->hello_seen = false;
		if (g->state == LOCKSTEP_STATE_SYNC_SRC || g->state == LOCKSTEP_STATE_SYNC_DST)
			lockstep_failover_lost(g, LOCKSTEP_EVENT_PEER_LOST, "link lost");
	}
}

/* The guest a message is for: its other half said it, in its generation. */
static struct lockstep_guest *addressee(struct lockstep_core *core, struct lockstep_node *node,
					const struct lockstep_message *m)
{
	struct lockstep_guest *g;

	TAILQ_FOREACH(g, &core->guests, entry)
		if (!g->gone && !g->foreign && lockstep_uuid_equal(&g->info.uuid, &m->guest) &&
		    lockstep_uuid_equal(&g->info.instance, &m->to) &&
		    lockstep_uuid_equal(&g->info.peer, &m->from) && g->node == node)
			return g;
	return NULL;
}

void lockstep_core_message(struct lockstep_core *core, struct lockstep_node *node,
			   const struct lockstep_message *m)
{
	struct lockstep_guest *g;

	switch (m->type) {
	case LOCKSTEP_MESSAGE_HELLO:
		lockstep_pair_hello_got(core, node, m);
		return;
	case LOCKSTEP_MESSAGE_SYNC:
		lockstep_pair_sync_got(core, node);
		return;
	case LOCKSTEP_MESSAGE_TRAITS:
		node->traits = m->traits;
		return;
	default:
		break;
	}
	g = addressee(core, node, m);
	if (!g)
		return;
	lockstep_failover_heard(g);
	switch (m->type) {
	case LOCKSTEP_MESSAGE_LOG:
	case LOCKSTEP_MESSAGE_LOG_LZ4:
	case LOCKSTEP_MESSAGE_ACK:
	case LOCKSTEP_MESSAGE_REWIND:
		lockstep_flow_message(g, m);
		break;
	default:
		lockstep_pair_message(g, m);
		break;
	}
}

size_t lockstep_core_facts(struct lockstep_core *core, struct lockstep_node *node,
			   struct lockstep_fact *facts, size_t max)
{
	struct lockstep_guest *g;
	unsigned int all = 0, skip;
	size_t n = 0, round;

	TAILQ_FOREACH(g, &core->guests, entry)
		all++;
	if (!all)
		return 0;
	skip = node->turn % all;
	/* twice around: from the guest whose turn it is to the one before it */
	for (round = 0; round < 2; round++) {
		unsigned int i = 0;

		TAILQ_FOREACH(g, &core->guests, entry) {
			bool mine = round ? i < skip : i >= skip;

			i++;
			if (!mine || n == max || g->foreign || lockstep_guest_refresh(g))
				continue;
			facts[n].instance = g->info.instance;
			facts[n].generation = g->info.generation;
			facts[n].stops = g->info.stats[LOCKSTEP_S_STOPS];
			facts[n].state = g->info.state;
			facts[n].flags = g->info.flags;
			n++;
		}
	}
	node->turn = all > max ? skip + (unsigned int)n : 0;
	return n;
}

static void rate_sample(struct lockstep_guest *g, uint64_t now)
{
	uint64_t lsn = g->info.stats[LOCKSTEP_S_LSN];

	if (now - g->rate_ns < RATE_NS)
		return;
	if (g->rate_ns && lsn >= g->rate_lsn)
		g->log_bps = (uint64_t)((double)(lsn - g->rate_lsn) * 8.0 *
					(double)LOCKSTEP_NSEC_PER_SEC / (double)(now - g->rate_ns));
	g->rate_ns = now;
	g->rate_lsn = lsn;
}

/* Nothing is lost, but the guest stands still meanwhile: somebody may wonder why. */
static void log_full_tell(struct lockstep_guest *g, uint64_t now)
{
	uint64_t times = g->info.stats[LOCKSTEP_S_LOG_FULL];
	struct json_object *o;

	if (times == g->full || (g->full_ns && now - g->full_ns < LOCKSTEP_FULL_NS))
		return;
	o = lockstep_guest_event_json(g);
	if (o) {
		lockstep_json_add_u64(o, "times", times - g->full);
		lockstep_json_add_u64(o, "lag_bytes", g->info.stats[LOCKSTEP_S_LAG_BYTES]);
		lockstep_json_add_str(o, "reason",
				      "its log is full: the guest waits until the backup acknowledges some");
		lockstep_json_add_str(o, "remedy",
				      "see whether the log network is slow or the backup's host stands still; a larger log_size evens out short ones");
	}
	g->full = times;
	g->full_ns = now;
	lockstep_event_emit("guest.log-full", o);
}

static void guest_tick(struct lockstep_guest *g, uint64_t now)
{
	uint64_t patience = g->info.silence_ms ? g->info.silence_ms : LOCKSTEP_DAEMON_SILENCE_MS;

	if (g->foreign) {
		if (now - g->alive_ns >= LOCKSTEP_NSEC_PER_SEC && guest_bind(g))
			guest_start(g);
		return;
	}
	if (now - g->alive_ns >= patience * LOCKSTEP_NSEC_PER_MSEC / ALIVE_DIVISOR) {
		g->alive_ns = now;
		g->core->ops->alive(g->core->user, g->info.id);
		lockstep_guest_refresh(g);
		rate_sample(g, now);
		log_full_tell(g, now);
	}
	lockstep_guest_settle(g);
}

void lockstep_core_tick(struct lockstep_core *core)
{
	uint64_t now = core->ops->now(core->user);
	struct lockstep_guest *g, *next;

	/* the loop's owner tells of gaps too, but who is late here must know at once */
	if (now - core->tick_ns > core->cfg.silence_ns / 2)
		lockstep_core_gap(core, now - core->tick_ns);
	core->tick_ns = now;
	lockstep_contest_probe(core);
	for (g = TAILQ_FIRST(&core->guests); g; g = next) {
		next = TAILQ_NEXT(g, entry);
		if (g->gone)
			guest_gone(g);
		else
			guest_tick(g, now);
	}
	lockstep_core_acks_flush(core);
}

void lockstep_core_gap(struct lockstep_core *core, uint64_t gap_ns)
{
	uint64_t now = core->ops->now(core->user);
	struct json_object *o = json_object_new_object();
	struct lockstep_guest *g;

	core->tick_ns = now;
	if (o) {
		lockstep_json_add_u64(o, "gap_ms", gap_ns / LOCKSTEP_NSEC_PER_MSEC);
		lockstep_json_add_str(o, "reason",
				      "this daemon did not run: its host was suspended or overloaded, or it was stopped");
	}
	lockstep_event_emit("daemon.gap", o);
	TAILQ_FOREACH(g, &core->guests, entry) {
		if (g->gone || g->foreign)
			continue;
		/* first restart the clocks, then look: not the other way around */
		lockstep_failover_restart(g);
		if (!lockstep_guest_refresh(g)) {
			lockstep_guest_settle(g);
			lockstep_failover_gap(g);
		}
	}
}

int lockstep_core_force(struct lockstep_core *core, const char *name)
{
	struct lockstep_guest *g = lockstep_core_guest_find(core, name);

	if (!g)
		return -ENOENT;
	if (g->state != LOCKSTEP_STATE_FREE || lockstep_guest_is_twin(g))
		return -EBUSY;
	g->force = true;
	g->contest.refused = false;
	g->contest.listed = false;
	g->contest.next_ns = 0;
	lockstep_event_emit("guest.forced", lockstep_guest_event_json(g));
	lockstep_guest_settle(g);
	return 0;
}

int lockstep_core_release(struct lockstep_core *core, const char *name)
{
	struct lockstep_guest *g = lockstep_core_guest_find(core, name);

	if (!g || g->foreign)
		return -ENOENT;
	switch (g->state) {
	case LOCKSTEP_STATE_FREE:
	case LOCKSTEP_STATE_DIVERGED:
		return lockstep_guest_event(g, LOCKSTEP_EVENT_RELEASE, 0, NULL);
	case LOCKSTEP_STATE_SOLO:
		if (!lockstep_guest_is_fresh(g))
			return -EBUSY;
		g->release = true;
		lockstep_guest_settle(g);
		return 0;
	default:
		return -EBUSY;
	}
}

int lockstep_core_switch(struct lockstep_core *core, const char *name)
{
	struct lockstep_guest *g = lockstep_core_guest_find(core, name);
	struct json_object *o;

	if (!g || g->foreign)
		return -ENOENT;
	if (g->state == LOCKSTEP_STATE_PROTECTED_B || g->state == LOCKSTEP_STATE_SUSPECT_B)
		return -EREMOTE;
	if (g->state != LOCKSTEP_STATE_PROTECTED_P || !g->node || !g->node->up)
		return -EBUSY;
	if (!core->view.reachable || core->view.rejected)
		return -EHOSTUNREACH;
	o = lockstep_guest_event_json(g);
	if (o)
		lockstep_json_add_str(o, "to", g->node->name);
	lockstep_event_emit("guest.switch", o);
	return lockstep_guest_event(g, LOCKSTEP_EVENT_SWITCH, g->info.generation, NULL);
}
