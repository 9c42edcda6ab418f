// SPDX-License-Identifier: GPL-2.0
/*
 * What the daemon does in each state of the module, as one table (docs/states.md
 * has the states themselves), and how it tells that the other half is lost.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "common/log.h"
#include "kmod/state.h"
#include "lockstepd/core.h"

#define ORPHAN_HELLO_NS	(300 * LOCKSTEP_NSEC_PER_MSEC)
#define SWITCH_NS	(10 * LOCKSTEP_NSEC_PER_SEC)	/* patience with a planned switch */
#define SWITCH_SAY_NS	(500 * LOCKSTEP_NSEC_PER_MSEC)

static void reason_set(struct lockstep_guest *g, const char *reason)
{
	snprintf(g->reason, sizeof(g->reason), "%s", reason);
}

/* An event with what led to it and what can be done. */
static void tell(const struct lockstep_guest *g, const char *name, const char *remedy)
{
	struct json_object *o = lockstep_guest_event_json(g);

	if (o) {
		if (g->reason[0])
			lockstep_json_add_str(o, "reason", g->reason);
		lockstep_json_add_str(o, "remedy", remedy);
	}
	lockstep_event_emit(name, o);
}

static uint64_t since(const struct lockstep_guest *g)
{
	return lockstep_guest_now(g) - g->since_ns;
}

/* --- detection ------------------------------------------------------------ */

static bool outstanding(const struct lockstep_guest *g)
{
	return lockstep_state_rule(g->state)->logs && g->flow.end > g->flow.acked;
}

/* A backup waits longer: on mere silence the primary is the one to go on. */
static uint64_t patience(const struct lockstep_guest *g, uint64_t ns)
{
	if (lockstep_state_rule(g->state)->logs)
		return ns;
	return ns / 100 * g->core->cfg.backup_percent;
}

/* Its host and daemon are well, but its VMM stands still: stopped, or waiting for a disk. */
static bool is_stuck(const struct lockstep_guest *g)
{
	return lockstep_state_rule(g->state)->logs && g->flow.end > g->flow.executed &&
	       lockstep_guest_now(g) - g->executed_ns >= g->core->cfg.stuck_ns;
}

static void detect_silence(struct lockstep_guest *g)
{
	uint64_t now = lockstep_guest_now(g), limit = patience(g, g->core->cfg.silence_ns);

	if (is_stuck(g)) {
		lockstep_failover_lost(g, LOCKSTEP_EVENT_PEER_FAILED,
				       "the backup's VMM does not get on");
		return;
	}
	if (now - g->heard_ns >= limit)
		reason_set(g, "silence");
	else if (outstanding(g) && now - g->progress_ns >= limit)
		reason_set(g, "no acknowledgements");
	else
		return;
	lockstep_guest_event(g, LOCKSTEP_EVENT_SILENCE, g->info.generation, NULL);
}

/* Time in which this daemon did not run does not count: lockstep_failover_gap(). */
static void detect_end(struct lockstep_guest *g)
{
	uint64_t now = lockstep_guest_now(g);

	if (g->heard_ns > g->suspect_ns &&
	    (!outstanding(g) || g->progress_ns > g->suspect_ns)) {
		lockstep_guest_event(g, LOCKSTEP_EVENT_HEARD, g->info.generation, &g->info.peer);
		return;
	}
	if (now - g->suspect_ns < patience(g, g->core->cfg.confirm_ns))
		return;
	lockstep_guest_event(g, LOCKSTEP_EVENT_TIMEOUT, g->info.generation, NULL);
}

void lockstep_failover_heard(struct lockstep_guest *g)
{
	g->heard_ns = lockstep_guest_now(g);
}

void lockstep_failover_restart(struct lockstep_guest *g)
{
	uint64_t now = lockstep_guest_now(g);

	g->heard_ns = now;
	g->progress_ns = now;
	g->executed_ns = now;
	g->suspect_ns = now;
	if (g->state == LOCKSTEP_STATE_ORPHAN_P || g->state == LOCKSTEP_STATE_ORPHAN_B)
		g->since_ns = now;
}

void lockstep_failover_gap(struct lockstep_guest *g)
{
	lockstep_failover_restart(g);
	if (g->state != LOCKSTEP_STATE_PROTECTED_P)
		return;
	/* the peer may have given us up meanwhile: latched until it is heard */
	reason_set(g, "this daemon did not run");
	lockstep_guest_event(g, LOCKSTEP_EVENT_SILENCE, g->info.generation, NULL);
}

void lockstep_failover_lost(struct lockstep_guest *g, unsigned int event, const char *reason)
{
	switch (g->state) {
	case LOCKSTEP_STATE_SYNC_SRC:
	case LOCKSTEP_STATE_SYNC_DST:
		event = LOCKSTEP_EVENT_PEER_LOST;
		break;
	case LOCKSTEP_STATE_ORPHAN_P:
	case LOCKSTEP_STATE_ORPHAN_B:
		event = LOCKSTEP_EVENT_CONTEST;
		break;
	case LOCKSTEP_STATE_STOPPING:
		if (g->info.flags & LOCKSTEP_FLAG_DRAINED)
			return;		/* `closed` is on its way: it decides */
		break;
	case LOCKSTEP_STATE_PROTECTED_P:
	case LOCKSTEP_STATE_PROTECTED_B:
	case LOCKSTEP_STATE_SUSPECT_P:
	case LOCKSTEP_STATE_SUSPECT_B:
	case LOCKSTEP_STATE_SWITCHING:
	case LOCKSTEP_STATE_STOPPED_B:
		break;
	default:
		return;
	}
	/*
	 * A primary that powered off in order is meant to be gone. That is its word: who
	 * has not come to the power-off himself asks the arbiter.
	 */
	if (g->closed_seen && g->state == LOCKSTEP_STATE_STOPPED_B)
		return;
	reason_set(g, reason);
	lockstep_guest_event(g, event, 0, NULL);
}

/* --- on entry ------------------------------------------------------------- */

static void enter_free(struct lockstep_guest *g, uint32_t old)
{
	(void)old;
	lockstep_flow_end(g);
	g->node = NULL;
	if (lockstep_guest_is_twin(g))
		lockstep_guest_note(g, "waits for its primary");
	else
		lockstep_guest_note(g, "asks the arbiter");
	lockstep_pair_announce(g);
}

static void enter_solo(struct lockstep_guest *g, uint32_t old)
{
	(void)old;
	lockstep_flow_end(g);
	g->node = NULL;
	if (lockstep_guest_is_fresh(g)) {
		lockstep_guest_note(g, "waits for its backup");
		lockstep_pair_announce(g);
		return;
	}
	lockstep_guest_note(g, "unprotected: no backup (cloning not available yet)");
	tell(g, "guest.unprotected",
	     "it runs without a backup: mend the other host, then power the guest off and start it again here");
}

static void enter_sync_src(struct lockstep_guest *g, uint32_t old)
{
	(void)old;
	g->contest.generation = g->info.generation + 1;
	lockstep_guest_note(g, "backup found on %s", g->node ? g->node->name : "?");
}

static void enter_sync_dst(struct lockstep_guest *g, uint32_t old)
{
	(void)old;
	lockstep_guest_note(g, "primary found on %s", g->node ? g->node->name : "?");
	if (g->node)
		lockstep_pair_hello(g, g->node, 0);
}

static void enter_protected(struct lockstep_guest *g, uint32_t old)
{
	lockstep_guest_note(g, "protected");
	switch (old) {
	case LOCKSTEP_STATE_SYNC_SRC:
		lockstep_failover_restart(g);
		lockstep_flow_begin(g, g->info.stats[LOCKSTEP_S_ACKED]);
		lockstep_guest_send(g, LOCKSTEP_MESSAGE_ACTIVATE, g->info.generation);
		break;
	case LOCKSTEP_STATE_SYNC_DST:
		lockstep_failover_restart(g);
		break;
	case LOCKSTEP_STATE_SWITCHING:
		lockstep_guest_note(g, "protected; no switch: %s", g->reason);
		reason_set(g, "");
		return;
	default:		/* as it was: suspicion was wrong, or the daemon is back */
		reason_set(g, "");
		return;
	}
	reason_set(g, "");
	lockstep_event_emit("guest.protected", lockstep_guest_event_json(g));
}

static void enter_suspect(struct lockstep_guest *g, uint32_t old)
{
	(void)old;
	g->suspect_ns = lockstep_guest_now(g);
	lockstep_guest_note(g, "suspects its other half: %s", g->reason);
}

static void enter_contest(struct lockstep_guest *g, uint32_t old)
{
	(void)old;
	lockstep_flow_end(g);
	lockstep_guest_note(g, "claims generation %llu: %s",
			    (unsigned long long)g->info.generation, g->reason);
}

static void enter_live(struct lockstep_guest *g, uint32_t old)
{
	(void)old;
	lockstep_guest_note(g, "goes live");
	lockstep_event_emit("guest.live", lockstep_guest_event_json(g));
}

static void enter_switching(struct lockstep_guest *g, uint32_t old)
{
	(void)old;
	g->announce_ns = 0;
	lockstep_guest_note(g, "hands over to %s", g->node ? g->node->name : "?");
}

static void enter_stopping(struct lockstep_guest *g, uint32_t old)
{
	(void)old;
	lockstep_guest_note(g, "powers off");
}

static void enter_orphan(struct lockstep_guest *g, uint32_t old)
{
	(void)old;
	g->flow.synced = false;
	g->announce_ns = 0;
	lockstep_guest_note(g, "waits for its other half to resume");
}

static void enter_diverged(struct lockstep_guest *g, uint32_t old)
{
	struct lockstep_message m = lockstep_guest_message(g, LOCKSTEP_MESSAGE_DIVERGED,
							   g->info.generation);
	struct json_object *o = lockstep_guest_event_json(g), *d;

	(void)old;
	lockstep_flow_end(g);
	m.divergence = g->info.divergence;
	if (g->node)
		g->core->ops->send(g->core->user, g->node, &m);
	lockstep_guest_note(g, "diverged: %s at count %llu",
			    lockstep_divergence_name(g->info.divergence.reason),
			    (unsigned long long)g->info.divergence.pos.count);
	d = lockstep_divergence_json(&g->info.divergence);
	if (o && d)
		json_object_object_add(o, "divergence", d);
	lockstep_event_emit("guest.diverged", o);
}

static void enter_halted(struct lockstep_guest *g, uint32_t old)
{
	bool closed = old == LOCKSTEP_STATE_STOPPING || old == LOCKSTEP_STATE_STOPPED_B;

	lockstep_flow_end(g);
	lockstep_guest_note(g, closed ? "powered off" : "halted: this instance is over");
	if (closed)
		lockstep_event_emit("guest.closed", lockstep_guest_event_json(g));
	else
		tell(g, "guest.halted",
		     "the other half goes on; its disks are the right ones: copy them before a start here");
}

/* --- as long as it lasts -------------------------------------------------- */

static void work_free(struct lockstep_guest *g)
{
	if (!lockstep_guest_is_twin(g))
		lockstep_contest_run(g);
	else if (lockstep_guest_now(g) - g->announce_ns >= LOCKSTEP_ANNOUNCE_NS)
		lockstep_pair_announce(g);
}

static void work_solo(struct lockstep_guest *g)
{
	lockstep_contest_run(g);
	if (g->release || g->state != LOCKSTEP_STATE_SOLO)
		return;
	if (lockstep_guest_is_fresh(g) &&
	    lockstep_guest_now(g) - g->announce_ns >= LOCKSTEP_ANNOUNCE_NS)
		lockstep_pair_announce(g);
}

static void work_sync(struct lockstep_guest *g)
{
	/* without a node: found so by a new daemon, which knows of no agreement */
	if (!g->node || since(g) >= LOCKSTEP_PAIR_NS)
		lockstep_failover_lost(g, LOCKSTEP_EVENT_PEER_LOST, "the pair did not form in time");
	else
		lockstep_contest_run(g);
}

/* A backup that still follows has begun nothing: back to how it was. */
static void switch_end(struct lockstep_guest *g)
{
	bool drained = g->info.flags & LOCKSTEP_FLAG_DRAINED;
	bool follows = !drained || lockstep_state_rule(g->peer_state)->acks;

	reason_set(g, !drained ? "the backup did not catch up" : follows ?
		   "the backup refused: can its host reach the arbiter?" :
		   "the backup was asked to take over and does not");
	tell(g, "guest.switch-failed",
	     follows ? "it goes on here, protected: see the backup's host, and ask again" :
		       "the arbiter decides who goes on: see lockstepctl status on both hosts");
	lockstep_guest_event(g, follows ? LOCKSTEP_EVENT_RESUME : LOCKSTEP_EVENT_TIMEOUT,
			     g->info.generation, NULL);
}

static void work_switching(struct lockstep_guest *g)
{
	bool drained = g->info.flags & LOCKSTEP_FLAG_DRAINED;

	if (since(g) >= SWITCH_NS) {
		switch_end(g);
		return;
	}
	/* said again: a link that was made anew has lost it */
	if (drained && (!g->announce_ns ||
			lockstep_guest_now(g) - g->announce_ns >= SWITCH_SAY_NS)) {
		g->announce_ns = lockstep_guest_now(g);
		lockstep_guest_send(g, LOCKSTEP_MESSAGE_SWITCH, g->info.generation);
	}
	detect_silence(g);
}

static void work_stopping(struct lockstep_guest *g)
{
	if (g->info.flags & LOCKSTEP_FLAG_DRAINED)
		lockstep_contest_run(g);
	else
		detect_silence(g);
}

static void work_stopped_b(struct lockstep_guest *g)
{
	if (g->closed_seen) {
		lockstep_guest_event(g, LOCKSTEP_EVENT_CLOSED, g->info.generation, NULL);
		return;
	}
	lockstep_contest_run(g);
	/* powered off here: the arbiter knows better than silence what became of it */
	if (g->core->view.reachable && since(g) < 4 * g->core->cfg.silence_ns)
		return;
	detect_silence(g);
}

static void work_orphan(struct lockstep_guest *g)
{
	uint64_t now = lockstep_guest_now(g);
	struct lockstep_node *node;

	/* a power-off that was recorded is confirmed by the claim that is refused */
	lockstep_contest_run(g);
	if (g->closed_seen || since(g) >= g->core->cfg.resume_ns) {
		reason_set(g, "the daemon was away and the other half does not resume");
		lockstep_guest_event(g, LOCKSTEP_EVENT_CONTEST, 0, NULL);
		return;
	}
	if (now - g->announce_ns < ORPHAN_HELLO_NS)
		return;
	g->announce_ns = now;
	TAILQ_FOREACH(node, &g->core->nodes, entry)
		lockstep_pair_hello(g, node, LOCKSTEP_HELLO_ANSWER);
}

static void work_halted(struct lockstep_guest *g)
{
	if (g->killed || since(g) < LOCKSTEP_HALT_NS)
		return;
	g->killed = true;
	lockstep_warn("%s: its VMM does not end: killing process %u", g->info.name,
		      g->info.vmm_pid);
	g->core->ops->kill(g->core->user, g->info.vmm_pid);
}

/**
 * struct action - what the daemon does in a state
 * @enter: once, when it is entered or found at start
 * @work: whenever anything may have changed, and at every tick
 * @paired: another half belongs to this state
 */
static const struct action {
	void (*enter)(struct lockstep_guest *g, uint32_t old);
	void (*work)(struct lockstep_guest *g);
	bool paired;
} actions[] = {
	[LOCKSTEP_STATE_FREE] = { enter_free, work_free, false },
	[LOCKSTEP_STATE_SOLO] = { enter_solo, work_solo, false },
	[LOCKSTEP_STATE_SYNC_SRC] = { enter_sync_src, work_sync, false },
	[LOCKSTEP_STATE_SYNC_DST] = { enter_sync_dst, work_sync, false },
	[LOCKSTEP_STATE_PROTECTED_P] = { enter_protected, detect_silence, true },
	[LOCKSTEP_STATE_PROTECTED_B] = { enter_protected, detect_silence, true },
	[LOCKSTEP_STATE_SUSPECT_P] = { enter_suspect, detect_end, true },
	[LOCKSTEP_STATE_SUSPECT_B] = { enter_suspect, detect_end, true },
	[LOCKSTEP_STATE_CONTEST_P] = { enter_contest, lockstep_contest_run, false },
	[LOCKSTEP_STATE_CONTEST_B] = { enter_contest, lockstep_contest_run, false },
	[LOCKSTEP_STATE_LIVE] = { enter_live, NULL, false },
	[LOCKSTEP_STATE_SWITCHING] = { enter_switching, work_switching, true },
	[LOCKSTEP_STATE_STOPPING] = { enter_stopping, work_stopping, true },
	[LOCKSTEP_STATE_STOPPED_B] = { enter_stopping, work_stopped_b, true },
	[LOCKSTEP_STATE_ORPHAN_P] = { enter_orphan, work_orphan, true },
	[LOCKSTEP_STATE_ORPHAN_B] = { enter_orphan, work_orphan, true },
	[LOCKSTEP_STATE_DIVERGED] = { enter_diverged, lockstep_contest_run, false },
	[LOCKSTEP_STATE_HALTED] = { enter_halted, work_halted, false },
};

bool lockstep_failover_paired(uint32_t state)
{
	return state <= LOCKSTEP_STATE_MAX && actions[state].paired;
}

void lockstep_failover_enter(struct lockstep_guest *g, uint32_t old)
{
	lockstep_contest_reset(g);
	if (actions[g->state].enter)
		actions[g->state].enter(g, old);
}

void lockstep_failover_work(struct lockstep_guest *g)
{
	if (actions[g->state].work)
		actions[g->state].work(g);
}

/* What a heartbeat says of our peer's instance. */
static void fact_take(struct lockstep_guest *g, const struct lockstep_fact *fact)
{
	bool same = fact->generation == g->info.generation;

	lockstep_failover_heard(g);
	g->peer_state = fact->state;
	g->peer_stops = fact->stops;
	if (!lockstep_failover_paired(g->state))
		return;
	/* it has left the pair: no use waiting. States of before it are old news. */
	switch (fact->state) {
	case LOCKSTEP_STATE_CONTEST_B:
		/* as it was asked to: its claim is not to be raced */
		if (g->state == LOCKSTEP_STATE_SWITCHING)
			break;
		/* fallthrough */
	case LOCKSTEP_STATE_CONTEST_P:
	case LOCKSTEP_STATE_LIVE:
	case LOCKSTEP_STATE_SOLO:
	case LOCKSTEP_STATE_DIVERGED:
		if (same)
			lockstep_failover_lost(g, LOCKSTEP_EVENT_PEER_FAILED,
					       "the other half left the pair");
		break;
	default:
		break;
	}
}

void lockstep_core_heartbeat(struct lockstep_core *core, struct lockstep_node *node,
			     const struct lockstep_fact *facts, size_t n)
{
	struct lockstep_guest *g;
	size_t i;

	node->heard_ns = core->ops->now(core->user);
	TAILQ_FOREACH(g, &core->guests, entry)
		for (i = 0; i < n; i++)
			if (!g->gone && !g->foreign && g->node == node &&
			    lockstep_uuid_equal(&g->info.peer, &facts[i].instance))
				fact_take(g, &facts[i]);
}
