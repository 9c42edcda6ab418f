// SPDX-License-Identifier: GPL-2.0
/* How the two halves of a guest find each other, and find each other again. */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "common/log.h"
#include "kmod/state.h"
#include "lockstepd/core.h"

int lockstep_pair_hello(struct lockstep_guest *g, struct lockstep_node *node, unsigned int flags)
{
	struct lockstep_message m;

	if (!node->up || g->foreign || lockstep_guest_refresh(g))
		return -ENOTCONN;
	m = lockstep_guest_message(g, LOCKSTEP_MESSAGE_HELLO, g->info.generation);
	memset(&m.to, 0, sizeof(m.to));
	snprintf(m.hello.name, sizeof(m.hello.name), "%s", g->info.name);
	snprintf(m.hello.node, sizeof(m.hello.node), "%s", g->core->cfg.node);
	m.hello.abi = LOCKSTEP_ABI_VERSION;
	m.hello.counter = (uint16_t)g->info.counter;
	m.hello.state = g->info.state;
	m.hello.flags = flags | LOCKSTEP_HELLO_LZ4;
	if (lockstep_guest_is_twin(g))
		m.hello.flags |= LOCKSTEP_HELLO_TWIN;
	if (lockstep_guest_is_fresh(g))
		m.hello.flags |= LOCKSTEP_HELLO_FRESH;
	m.hello.lsn = lockstep_state_rule(g->info.state)->logs ?
		      g->info.stats[LOCKSTEP_S_ACKED] : g->info.stats[LOCKSTEP_S_LSN];
	m.hello.peer = g->info.peer;
	m.hello.boot_id = g->core->cfg.boot_id;
	return g->core->ops->send(g->core->user, node, &m);
}

void lockstep_pair_announce(struct lockstep_guest *g)
{
	struct lockstep_node *node;

	g->announce_ns = lockstep_guest_now(g);
	TAILQ_FOREACH(node, &g->core->nodes, entry)
		lockstep_pair_hello(g, node, 0);
}

/* Can these two be halves of one guest at all? Says so if not. */
static bool fits(struct lockstep_guest *g, const struct lockstep_node *node,
		 const struct lockstep_hello *h)
{
	const char *there = lockstep_traits_find(&node->traits, "arch");
	const char *here = lockstep_traits_find(&g->core->traits, "arch");

	if (h->abi != LOCKSTEP_ABI_VERSION)
		lockstep_guest_alarm(g, "guest.mismatch",
				     "%s has module ABI %u, this host has %u: install the same version on both",
				     node->name, h->abi, LOCKSTEP_ABI_VERSION);
	else if (h->counter != g->info.counter)
		lockstep_guest_alarm(g, "guest.mismatch",
				     "%s counts positions by %u, this host by %u: both hosts need the same kind of CPU",
				     node->name, h->counter, g->info.counter);
	else if (there && here && strcmp(there, here))
		lockstep_guest_alarm(g, "guest.mismatch",
				     "%s has a CPU with %s, this host one with %s: both hosts need the same kind of CPU",
				     node->name, there, here);
	else
		return true;
	return false;
}

/* Primary, alone and at its start: a twin is there. */
static void twin_found(struct lockstep_guest *g, struct lockstep_node *node,
		       const struct lockstep_message *m)
{
	if (g->release || !lockstep_guest_is_fresh(g) || !(m->hello.flags & LOCKSTEP_HELLO_FRESH) ||
	    !fits(g, node, &m->hello))
		return;
	if (m->hello.state == LOCKSTEP_STATE_FREE) {
		lockstep_pair_hello(g, node, 0);	/* it will take the offer */
		return;
	}
	if (m->hello.state != LOCKSTEP_STATE_SYNC_DST ||
	    !lockstep_uuid_equal(&m->hello.peer, &g->info.instance))
		return;
	g->node = node;
	lockstep_failover_restart(g);
	lockstep_guest_event(g, LOCKSTEP_EVENT_BACKUP_FOUND, 0, &m->from);
}

/* Twin, not taken: a primary is there. */
static void primary_found(struct lockstep_guest *g, struct lockstep_node *node,
			  const struct lockstep_message *m)
{
	if (m->hello.state != LOCKSTEP_STATE_SOLO && m->hello.state != LOCKSTEP_STATE_SYNC_SRC)
		return;
	if (!(m->hello.flags & LOCKSTEP_HELLO_FRESH)) {
		lockstep_guest_note(g, "its primary on %s runs already (cloning not available yet)",
				    node->name);
		return;
	}
	if (!fits(g, node, &m->hello))
		return;
	g->node = node;
	lockstep_failover_restart(g);
	lockstep_guest_event(g, LOCKSTEP_EVENT_OFFERED, 0, &m->from);
}

/* Either side while the pair forms. */
static void forming(struct lockstep_guest *g, struct lockstep_node *node,
		    const struct lockstep_message *m)
{
	bool same = lockstep_uuid_equal(&m->from, &g->info.peer);

	if (g->node != node)
		return;
	if (!same) {
		lockstep_failover_lost(g, LOCKSTEP_EVENT_PEER_LOST, "another instance took its place");
	} else if (g->state == LOCKSTEP_STATE_SYNC_DST) {
		if (m->hello.state == LOCKSTEP_STATE_SOLO)
			lockstep_pair_hello(g, node, 0);	/* it has not heard of us */
		else if (m->hello.state != LOCKSTEP_STATE_SYNC_SRC)
			lockstep_failover_lost(g, LOCKSTEP_EVENT_PEER_LOST, "it went on alone");
	} else if (m->hello.state == LOCKSTEP_STATE_FREE) {
		lockstep_failover_lost(g, LOCKSTEP_EVENT_PEER_LOST, "the backup gave up");
	}
}

static bool state_fits(const struct lockstep_guest *g, uint32_t peer_state)
{
	bool primary = lockstep_state_rule(g->state)->logs;

	switch (peer_state) {
	case LOCKSTEP_STATE_PROTECTED_B:
	case LOCKSTEP_STATE_SUSPECT_B:
	case LOCKSTEP_STATE_ORPHAN_B:
	case LOCKSTEP_STATE_STOPPED_B:
		return primary;
	case LOCKSTEP_STATE_PROTECTED_P:
	case LOCKSTEP_STATE_SUSPECT_P:
	case LOCKSTEP_STATE_ORPHAN_P:
	case LOCKSTEP_STATE_SWITCHING:
	case LOCKSTEP_STATE_STOPPING:
		return !primary;
	default:
		return false;
	}
}

/* Primary: the same backup instance is there again and tells what it has. */
static void backup_resumes(struct lockstep_guest *g, const struct lockstep_message *m)
{
	if (m->hello.lsn < g->info.stats[LOCKSTEP_S_ACKED]) {
		lockstep_failover_lost(g, LOCKSTEP_EVENT_PEER_OTHER,
				       "the backup lost log that it had acknowledged");
		return;
	}
	if (g->state == LOCKSTEP_STATE_ORPHAN_P &&
	    lockstep_guest_event(g, LOCKSTEP_EVENT_RESUME, g->info.generation, &m->from))
		return;
	if (lockstep_flow_resume(g, m->hello.lsn))
		lockstep_failover_lost(g, LOCKSTEP_EVENT_PEER_OTHER,
				       "the backup lacks log that is not held any more");
}

/* Backup: the same primary instance is there again. */
static void primary_resumes(struct lockstep_guest *g, struct lockstep_node *node,
			    const struct lockstep_message *m)
{
	if (m->hello.lsn > g->info.stats[LOCKSTEP_S_LSN]) {
		lockstep_failover_lost(g, LOCKSTEP_EVENT_PEER_OTHER,
				       "the primary counts on log that is not here");
		return;
	}
	/* powered off already: there is nothing to go on with, see work_orphan() */
	if (g->state != LOCKSTEP_STATE_ORPHAN_B || g->info.flags & LOCKSTEP_FLAG_POWEROFF)
		return;
	if (!lockstep_guest_event(g, LOCKSTEP_EVENT_RESUME, g->info.generation, &m->from))
		lockstep_pair_hello(g, node, 0);	/* what came meanwhile is missing */
}

static void paired(struct lockstep_guest *g, struct lockstep_node *node,
		   const struct lockstep_message *m)
{
	if (!lockstep_uuid_equal(&m->from, &g->info.peer)) {
		/* the old one may be there too: SYNC tells */
		if (node == g->node)
			g->other_seen = true;
		return;
	}
	g->node = node;
	g->hello_seen = true;
	lockstep_failover_heard(g);
	if (lockstep_guest_refresh(g))
		return;
	if (!state_fits(g, m->hello.state) || m->generation != g->info.generation ||
	    !lockstep_uuid_equal(&m->hello.peer, &g->info.instance)) {
		lockstep_failover_lost(g, LOCKSTEP_EVENT_PEER_FAILED, "the other half left the pair");
		return;
	}
	if (lockstep_state_rule(g->state)->logs)
		backup_resumes(g, m);
	else
		primary_resumes(g, node, m);
}

static void hello_to(struct lockstep_guest *g, struct lockstep_node *node,
		     const struct lockstep_message *m)
{
	bool twin = m->hello.flags & LOCKSTEP_HELLO_TWIN;

	if (lockstep_failover_paired(g->state)) {
		paired(g, node, m);
		return;
	}
	switch (g->state) {
	case LOCKSTEP_STATE_SOLO:
		if (twin)
			twin_found(g, node, m);
		break;
	case LOCKSTEP_STATE_FREE:
		if (!twin && lockstep_guest_is_twin(g))
			primary_found(g, node, m);
		break;
	case LOCKSTEP_STATE_SYNC_SRC:
	case LOCKSTEP_STATE_SYNC_DST:
		forming(g, node, m);
		/* free again: this may be the one to pair with */
		if (g->state == LOCKSTEP_STATE_FREE && !twin)
			primary_found(g, node, m);
		break;
	default:
		break;
	}
}

void lockstep_pair_hello_got(struct lockstep_core *core, struct lockstep_node *node,
			     const struct lockstep_message *m)
{
	struct lockstep_guest *g;

	/* the name in its certificate, not what it calls itself */
	if (strcmp(m->hello.node, node->name)) {
		lockstep_warn("peer %s calls itself %s: ignored", node->name, m->hello.node);
		return;
	}
	node->lz4 = m->hello.flags & LOCKSTEP_HELLO_LZ4;
	TAILQ_FOREACH(g, &core->guests, entry) {
		if (g->gone || g->foreign || !lockstep_uuid_equal(&g->info.uuid, &m->guest))
			continue;
		hello_to(g, node, m);
		if (m->hello.flags & LOCKSTEP_HELLO_ANSWER)
			lockstep_pair_hello(g, node, 0);
	}
}

void lockstep_pair_sync_got(struct lockstep_core *core, struct lockstep_node *node)
{
	struct lockstep_guest *g;

	node->synced = true;
	TAILQ_FOREACH(g, &core->guests, entry) {
		if (g->gone || g->foreign || g->node != node || g->hello_seen ||
		    !lockstep_failover_paired(g->state))
			continue;
		lockstep_failover_lost(g, g->other_seen ? LOCKSTEP_EVENT_PEER_OTHER :
						     LOCKSTEP_EVENT_PEER_FAILED,
				       g->other_seen ? "another instance took its place" :
						       "the other half is gone");
	}
}

static void opened_got(struct lockstep_guest *g, const struct lockstep_message *m)
{
	if (g->state != LOCKSTEP_STATE_SYNC_DST)
		return;
	g->contest.generation = m->generation;
	g->contest.verify = true;
	lockstep_guest_settle(g);
}

void lockstep_pair_verified(struct lockstep_guest *g, uint64_t generation)
{
	if (lockstep_guest_event(g, LOCKSTEP_EVENT_VERIFIED, 0, &g->info.peer))
		return;
	if (lockstep_guest_send(g, LOCKSTEP_MESSAGE_READY, generation) < 0)
		lockstep_failover_lost(g, LOCKSTEP_EVENT_PEER_LOST, "link lost");
}

static void ready_got(struct lockstep_guest *g, const struct lockstep_message *m)
{
	if (g->state != LOCKSTEP_STATE_SYNC_SRC || !g->contest.opened ||
	    m->generation != g->contest.generation)
		return;
	lockstep_guest_event(g, LOCKSTEP_EVENT_READY, m->generation, &m->from);
}

static void activate_got(struct lockstep_guest *g, const struct lockstep_message *m)
{
	/* only what was verified with the arbiter begins */
	if (g->state != LOCKSTEP_STATE_SYNC_DST || !g->contest.opened ||
	    m->generation != g->contest.generation)
		return;
	lockstep_guest_event(g, LOCKSTEP_EVENT_ACTIVATE, m->generation, &m->from);
}

static void diverged_got(struct lockstep_guest *g, const struct lockstep_message *m)
{
	struct json_object *o, *d;

	if (!lockstep_state_rule(g->state)->logs)
		return;
	o = lockstep_guest_event_json(g);
	d = lockstep_divergence_json(&m->divergence);
	if (o && d)
		json_object_object_add(o, "divergence", d);
	else
		json_object_put(d);
	lockstep_event_emit("guest.backup-diverged", o);
	lockstep_failover_lost(g, LOCKSTEP_EVENT_PEER_FAILED, "the backup diverged");
}

static void switch_got(struct lockstep_guest *g)
{
	const struct lockstep_arbiter_view *view = &g->core->view;

	if (!lockstep_state_rule(g->state)->acks)
		return;
	/* the primary goes on if nothing comes of it */
	if (!view->reachable || view->rejected)
		lockstep_guest_alarm(g, "guest.switch-refused",
				     "asked to take over, but the arbiter can't be %s from this host",
				     view->rejected ? "used" : "reached");
	else
		lockstep_failover_lost(g, LOCKSTEP_EVENT_SWITCH, "planned switch");
}

void lockstep_pair_message(struct lockstep_guest *g, const struct lockstep_message *m)
{
	bool same = m->generation == g->info.generation;

	switch (m->type) {
	case LOCKSTEP_MESSAGE_OPENED:
		opened_got(g, m);
		break;
	case LOCKSTEP_MESSAGE_READY:
		ready_got(g, m);
		break;
	case LOCKSTEP_MESSAGE_ACTIVATE:
		activate_got(g, m);
		break;
	case LOCKSTEP_MESSAGE_FAILED:
		lockstep_failover_lost(g, LOCKSTEP_EVENT_PEER_FAILED, "the other half's VMM is gone");
		break;
	case LOCKSTEP_MESSAGE_DIVERGED:
		if (same)
			diverged_got(g, m);
		break;
	case LOCKSTEP_MESSAGE_SWITCH:
		if (same)
			switch_got(g);
		break;
	case LOCKSTEP_MESSAGE_CLOSED:
		if (same && !lockstep_state_rule(g->state)->logs) {
			g->closed_seen = true;
			lockstep_guest_settle(g);
		}
		break;
	default:
		break;
	}
}
