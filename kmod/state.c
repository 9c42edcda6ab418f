// SPDX-License-Identifier: GPL-2.0
/* The state table, see state.h and docs/states.md. */
#include "state.h"

#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/kernel.h>
#else
#include <errno.h>
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#endif

#define S(x)	LOCKSTEP_STATE_##x
#define E(x)	LOCKSTEP_EVENT_##x
#define RULE(state, n, g, v, ...)					\
	[S(state)] = {							\
		.name = n, .gate = LOCKSTEP_GATE_RULE_##g,		\
		.vcpu = LOCKSTEP_VCPU_##v, __VA_ARGS__			\
	}

static const struct lockstep_state_rule rules[] = {
	RULE(FREE, "free", LATCH, PARK),
	RULE(SOLO, "solo", OPEN, RUN),
	RULE(SYNC_SRC, "sync-source", OPEN, RUN),
	RULE(SYNC_DST, "sync-target", DROP, PARK),
	RULE(PROTECTED_P, "protected-primary", ACKED, LOG, .logs = true),
	RULE(PROTECTED_B, "protected-backup", DROP, REPLAY, .acks = true),
	RULE(SUSPECT_P, "suspect-primary", LATCH, PARK, .logs = true),
	RULE(SUSPECT_B, "suspect-backup", DROP, REPLAY, .acks = true),
	RULE(CONTEST_P, "contest-primary", LATCH, PARK, .logs = true),
	RULE(CONTEST_B, "contest-backup", DROP, REPLAY),
	RULE(LIVE, "live", OPEN, RUN),
	RULE(SWITCHING, "switching", ACKED, PARK, .logs = true),
	RULE(STOPPING, "stopping", ACKED, PARK, .logs = true),
	RULE(STOPPED_B, "stopped-backup", DROP, PARK, .acks = true),
	RULE(ORPHAN_P, "orphan-primary", LATCH, PARK, .logs = true),
	RULE(ORPHAN_B, "orphan-backup", DROP, PARK),
	RULE(DIVERGED, "diverged", DROP, PARK),
	RULE(HALTED, "halted", DROP, PARK, .over = true),
};

static const char *const events[] = {
	[E(NONE)] = "none",
	[E(COLD_WON)] = "cold-won",
	[E(OFFERED)] = "offered",
	[E(BACKUP_FOUND)] = "backup-found",
	[E(VERIFIED)] = "verified",
	[E(READY)] = "ready",
	[E(ACTIVATE)] = "activate",
	[E(PEER_LOST)] = "peer-lost",
	[E(SILENCE)] = "silence",
	[E(HEARD)] = "heard",
	[E(TIMEOUT)] = "timeout",
	[E(PEER_FAILED)] = "peer-failed",
	[E(PEER_OTHER)] = "peer-other",
	[E(WON)] = "won",
	[E(LOST)] = "lost",
	[E(REFUSED)] = "refused",
	[E(CLOSED)] = "closed",
	[E(PEER_WON)] = "peer-won",
	[E(RESUME)] = "resume",
	[E(CONTEST)] = "contest",
	[E(SWITCH)] = "switch",
	[E(RELEASE)] = "release",
	[E(DAEMON_LOST)] = "daemon-lost",
	[E(DIVERGED)] = "diverged",
	[E(POWEROFF)] = "poweroff",
	[E(VMM_GONE)] = "vmm-gone",
	[E(WENT_LIVE)] = "went-live",
};

/*
 * A transition to the same state is listed where the event is expected and is
 * handled without a change.  VMM_GONE is not here: it ends the object in every
 * state.
 */
static const struct {
	unsigned char from, event, to;
} table[] = {
	{ S(FREE),		E(COLD_WON),	 S(SOLO) },
	{ S(FREE),		E(OFFERED),	 S(SYNC_DST) },
	{ S(FREE),		E(RELEASE),	 S(HALTED) },

	{ S(SOLO),		E(BACKUP_FOUND), S(SYNC_SRC) },
	{ S(SOLO),		E(POWEROFF),	 S(STOPPING) },
	{ S(SOLO),		E(RELEASE),	 S(HALTED) },

	{ S(SYNC_SRC),		E(READY),	 S(PROTECTED_P) },
	{ S(SYNC_SRC),		E(PEER_LOST),	 S(SOLO) },
	{ S(SYNC_SRC),		E(DAEMON_LOST),	 S(SOLO) },
	{ S(SYNC_SRC),		E(POWEROFF),	 S(STOPPING) },

	{ S(SYNC_DST),		E(VERIFIED),	 S(SYNC_DST) },
	{ S(SYNC_DST),		E(ACTIVATE),	 S(PROTECTED_B) },
	{ S(SYNC_DST),		E(PEER_LOST),	 S(FREE) },
	{ S(SYNC_DST),		E(DAEMON_LOST),	 S(FREE) },

	{ S(PROTECTED_P),	E(SILENCE),	 S(SUSPECT_P) },
	{ S(PROTECTED_P),	E(PEER_FAILED),	 S(CONTEST_P) },
	{ S(PROTECTED_P),	E(PEER_OTHER),	 S(CONTEST_P) },
	{ S(PROTECTED_P),	E(SWITCH),	 S(SWITCHING) },
	{ S(PROTECTED_P),	E(POWEROFF),	 S(STOPPING) },
	{ S(PROTECTED_P),	E(DAEMON_LOST),	 S(ORPHAN_P) },

	{ S(PROTECTED_B),	E(SILENCE),	 S(SUSPECT_B) },
	{ S(PROTECTED_B),	E(PEER_FAILED),	 S(CONTEST_B) },
	{ S(PROTECTED_B),	E(PEER_OTHER),	 S(CONTEST_B) },
	{ S(PROTECTED_B),	E(SWITCH),	 S(CONTEST_B) },
	{ S(PROTECTED_B),	E(DIVERGED),	 S(DIVERGED) },
	{ S(PROTECTED_B),	E(POWEROFF),	 S(STOPPED_B) },
	{ S(PROTECTED_B),	E(DAEMON_LOST),	 S(ORPHAN_B) },

	{ S(SUSPECT_P),		E(HEARD),	 S(PROTECTED_P) },
	{ S(SUSPECT_P),		E(TIMEOUT),	 S(CONTEST_P) },
	{ S(SUSPECT_P),		E(PEER_FAILED),	 S(CONTEST_P) },
	{ S(SUSPECT_P),		E(PEER_OTHER),	 S(CONTEST_P) },
	{ S(SUSPECT_P),		E(DAEMON_LOST),	 S(ORPHAN_P) },

	{ S(SUSPECT_B),		E(HEARD),	 S(PROTECTED_B) },
	{ S(SUSPECT_B),		E(TIMEOUT),	 S(CONTEST_B) },
	{ S(SUSPECT_B),		E(PEER_FAILED),	 S(CONTEST_B) },
	{ S(SUSPECT_B),		E(PEER_OTHER),	 S(CONTEST_B) },
	{ S(SUSPECT_B),		E(SWITCH),	 S(CONTEST_B) },
	{ S(SUSPECT_B),		E(DIVERGED),	 S(DIVERGED) },
	{ S(SUSPECT_B),		E(POWEROFF),	 S(STOPPED_B) },
	{ S(SUSPECT_B),		E(DAEMON_LOST),	 S(ORPHAN_B) },

	/* once a claim may have left, only the arbiter's word counts */
	{ S(CONTEST_P),		E(WON),		 S(SOLO) },
	{ S(CONTEST_P),		E(LOST),	 S(HALTED) },
	{ S(CONTEST_P),		E(PEER_WON),	 S(HALTED) },
	{ S(CONTEST_P),		E(CLOSED),	 S(HALTED) },
	{ S(CONTEST_P),		E(REFUSED),	 S(CONTEST_P) },

	{ S(CONTEST_B),		E(WON),		 S(LIVE) },
	{ S(CONTEST_B),		E(LOST),	 S(HALTED) },
	{ S(CONTEST_B),		E(PEER_WON),	 S(HALTED) },
	{ S(CONTEST_B),		E(CLOSED),	 S(HALTED) },
	{ S(CONTEST_B),		E(REFUSED),	 S(CONTEST_B) },
	{ S(CONTEST_B),		E(DIVERGED),	 S(DIVERGED) },
	{ S(CONTEST_B),		E(POWEROFF),	 S(CONTEST_B) },

	{ S(LIVE),		E(WENT_LIVE),	 S(SOLO) },

	/* given up, or handed over: the claim tells */
	{ S(SWITCHING),		E(RESUME),	 S(PROTECTED_P) },
	{ S(SWITCHING),		E(SILENCE),	 S(SUSPECT_P) },
	{ S(SWITCHING),		E(TIMEOUT),	 S(CONTEST_P) },
	{ S(SWITCHING),		E(PEER_FAILED),	 S(CONTEST_P) },
	{ S(SWITCHING),		E(PEER_OTHER),	 S(CONTEST_P) },
	{ S(SWITCHING),		E(DAEMON_LOST),	 S(ORPHAN_P) },

	{ S(STOPPING),		E(CLOSED),	 S(HALTED) },
	{ S(STOPPING),		E(LOST),	 S(HALTED) },
	{ S(STOPPING),		E(PEER_WON),	 S(HALTED) },
	{ S(STOPPING),		E(SILENCE),	 S(CONTEST_P) },
	{ S(STOPPING),		E(PEER_FAILED),	 S(CONTEST_P) },
	{ S(STOPPING),		E(PEER_OTHER),	 S(CONTEST_P) },

	{ S(STOPPED_B),		E(CLOSED),	 S(HALTED) },
	{ S(STOPPED_B),		E(SILENCE),	 S(CONTEST_B) },
	{ S(STOPPED_B),		E(PEER_FAILED),	 S(CONTEST_B) },
	{ S(STOPPED_B),		E(PEER_OTHER),	 S(CONTEST_B) },
	{ S(STOPPED_B),		E(DAEMON_LOST),	 S(ORPHAN_B) },

	{ S(ORPHAN_P),		E(RESUME),	 S(PROTECTED_P) },
	{ S(ORPHAN_P),		E(CONTEST),	 S(CONTEST_P) },
	{ S(ORPHAN_B),		E(RESUME),	 S(PROTECTED_B) },
	{ S(ORPHAN_B),		E(CONTEST),	 S(CONTEST_B) },

	{ S(DIVERGED),		E(CLOSED),	 S(HALTED) },
	{ S(DIVERGED),		E(PEER_WON),	 S(HALTED) },
	{ S(DIVERGED),		E(LOST),	 S(HALTED) },
	{ S(DIVERGED),		E(RELEASE),	 S(HALTED) },
};

/**
 * lockstep_state_rule - what holds in a state
 * @state: enum lockstep_state; out of range is FREE
 */
const struct lockstep_state_rule *lockstep_state_rule(unsigned int state)
{
	return &rules[state < ARRAY_SIZE(rules) ? state : LOCKSTEP_STATE_FREE];
}

/**
 * lockstep_state_name - a state's name
 * @state: enum lockstep_state, or anything ("?")
 */
const char *lockstep_state_name(unsigned int state)
{
	return state < ARRAY_SIZE(rules) ? rules[state].name : "?";
}

/**
 * lockstep_event_name - an event's name
 * @event: enum lockstep_event, or anything ("?")
 */
const char *lockstep_event_name(unsigned int event)
{
	return event < ARRAY_SIZE(events) && events[event] ? events[event] : "?";
}

/**
 * lockstep_state_next - where an event leads
 * @state: enum lockstep_state
 * @event: enum lockstep_event
 *
 * Returns the next state (which may be the same), or -ENOENT for a pair that is
 * not listed: it changes nothing.
 */
int lockstep_state_next(unsigned int state, unsigned int event)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].from == state && table[i].event == event)
			return table[i].to;
	return -ENOENT;
}
