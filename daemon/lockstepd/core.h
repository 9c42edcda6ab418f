/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The daemon's judgement, without the world around it
 *
 * The module holds the state of each guest. This part learns of states, of what
 * peers say, of heartbeats and of time, and does what each state asks for: it
 * reports events to the module, speaks to the peer, asks the arbiter. All it
 * needs from outside is behind struct lockstep_core_ops and the arbiter's
 * interface, so that tests run whole failover histories in virtual time.
 *
 * It is level-triggered: after anything that may have changed a guest, its state
 * is read from the module and the work of that state is looked at again
 * (lockstep_guest_settle()). A lost or late notification changes nothing but
 * the time.
 *
 *	guest.c		guests, their life in here
 *	failover.c	state -> what is done in it; detection
 *	pair.c		how a pair forms, and finds itself again
 *	flow.c	log and acks on their way
 *	contest.c	what is asked of the arbiter
 *	status.c	all of it for people
 */
#ifndef LOCKSTEPD_CORE_H
#define LOCKSTEPD_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "arbiter/backend.h"
#include "common/clock.h"
#include "common/uuid.h"
#include "lockstepd/info.h"
#include "lockstepd/protocol.h"

struct json_object;
struct lockstep_core;
struct lockstep_guest;
struct lockstep_node;
struct lockstep_contest_op;

#define LOCKSTEP_ALARM_NS	(5 * LOCKSTEP_NSEC_PER_SEC)	/* an alarm repeats so often */
#define LOCKSTEP_FULL_NS	(60 * LOCKSTEP_NSEC_PER_SEC)	/* so does that of a full log */
#define LOCKSTEP_ANNOUNCE_NS	(2 * LOCKSTEP_NSEC_PER_SEC)	/* looking for the other half */
#define LOCKSTEP_PAIR_NS	(15 * LOCKSTEP_NSEC_PER_SEC)	/* patience with forming a pair */
#define LOCKSTEP_HALT_NS	(5 * LOCKSTEP_NSEC_PER_SEC)	/* patience with a VMM that is over */
#define LOCKSTEP_PROBE_NS	(2 * LOCKSTEP_NSEC_PER_SEC)	/* the arbiter is looked at so often */
#define LOCKSTEP_RETRY_MIN_NS	(100 * LOCKSTEP_NSEC_PER_MSEC)	/* of an arbiter's UNKNOWN */
#define LOCKSTEP_RETRY_MAX_NS	(2 * LOCKSTEP_NSEC_PER_SEC)
#define LOCKSTEP_FEED_MAX	(32U << 20)	/* bytes of log that wait for a twin's module */

/**
 * struct lockstep_core_ops - the world
 *
 * @now: CLOCK_BOOTTIME, ns
 * @get: read a guest from the module; -ENODEV: it is gone
 * @bind: take a guest; -EBUSY: another daemon has it
 * @alive: this daemon lives
 * @event: report an event; as lockstep_netlink_event()
 * @feed: log for a twin; as LOCKSTEP_CMD_FEED
 * @acked: the backup's ack for a primary; as LOCKSTEP_CMD_ACKED
 * @rewind: have the log sent again; as LOCKSTEP_CMD_REWIND
 * @send: a message to a peer; -ENOTCONN, -ENOBUFS, ...: not sent
 * @receive_pause: stop or go on taking messages from a peer
 * @kill: end a VMM that does not end by itself
 * @attached: a guest was attached and is served from now on; may be NULL
 */
struct lockstep_core_ops {
	uint64_t (*now)(void *user);
	int (*get)(void *user, uint32_t id, struct lockstep_guest_info *info);
	int (*bind)(void *user, uint32_t id);
	int (*alive)(void *user, uint32_t id);
	int (*event)(void *user, uint32_t id, unsigned int event, uint64_t generation,
		     const struct lockstep_uuid *peer);
	int (*feed)(void *user, uint32_t id, uint64_t generation, const struct lockstep_uuid *peer,
		    const void *batch, size_t len);
	int (*acked)(void *user, uint32_t id, uint64_t generation,
		     const struct lockstep_uuid *peer, const struct lockstep_ack *ack);
	int (*rewind)(void *user, uint32_t id, uint64_t lsn);
	int (*send)(void *user, struct lockstep_node *node, const struct lockstep_message *m);
	void (*receive_pause)(void *user, struct lockstep_node *node, bool pause);
	void (*kill)(void *user, uint32_t pid);
	void (*attached)(void *user, struct lockstep_guest *g);
};

/**
 * struct lockstep_core_config - how this node judges
 * @node: its name
 * @boot_id: its boot
 * @silence_ns: a peer not heard, or not acknowledging, for so long is suspect
 * @confirm_ns: and is given up after so long again
 * @backup_percent: a backup waits longer than a primary: of both, in percent
 * @resume_ns: how long an orphaned guest waits for its other half
 * @stuck_ns: a backup that has log and executes none for so long is given up
 * @arbiter_ms: time limit of one request to the arbiter
 * @arbiter_same_host: take an arbiter that shares a host with a guest (tests)
 * @compress: send the log compressed to who takes it so
 */
struct lockstep_core_config {
	char node[LOCKSTEP_NODE_NAME_MAX + 1];
	struct lockstep_uuid boot_id;
	uint64_t silence_ns;
	uint64_t confirm_ns;
	unsigned int backup_percent;
	uint64_t resume_ns;
	uint64_t stuck_ns;
	unsigned int arbiter_ms;
	bool arbiter_same_host;
	bool compress;
};

/**
 * struct lockstep_node - another node that may hold other halves
 * @name: its name
 * @user: the world's
 * @up: messages can be sent
 * @boot_id: its boot, while up
 * @synced: it has told of all its guests since it is up
 * @lz4: it takes the log compressed
 * @heard_ns: last heartbeat
 * @turn: which guest the next heartbeat begins with
 * @traits: what its host is like, as it said while up
 * @feed_bytes: log from it that waits for twins' modules
 * @paused: it was stopped for that
 */
struct lockstep_node {
	TAILQ_ENTRY(lockstep_node) entry;
	struct lockstep_core *core;
	char name[LOCKSTEP_NODE_NAME_MAX + 1];
	void *user;
	bool up;
	struct lockstep_uuid boot_id;
	bool synced;
	bool lz4;
	uint64_t heard_ns;
	unsigned int turn;
	struct lockstep_traits traits;
	size_t feed_bytes;
	bool paused;
};

/**
 * struct lockstep_arbiter_view - what is known of the arbiter
 * @store: its store, nil until it answered once
 * @node: its name
 * @boot_id: boot of its host
 * @reachable: the last probe was answered
 * @rejected: it may not be used: why; NULL: it may
 * @rtt_ns: of the last probe
 * @probing: a probe is under way
 * @next_ns: time of the next probe
 * @alarm_ns: when it was last complained of
 */
struct lockstep_arbiter_view {
	struct lockstep_uuid store;
	char node[LOCKSTEP_NODE_NAME_MAX + 1];
	struct lockstep_uuid boot_id;
	bool reachable;
	const char *rejected;
	uint64_t rtt_ns;
	bool probing;
	uint64_t next_ns;
	uint64_t alarm_ns;
};

/**
 * struct lockstep_core - all guests of this host
 * @requests: under way at the arbiter, with or without a guest that waits
 * @arbiter: back end, or NULL without one; is destroyed before the core
 * @view: what is known of it
 * @traits: what this host is like
 * @tick_ns: last lockstep_core_tick()
 */
struct lockstep_core {
	const struct lockstep_core_ops *ops;
	void *user;
	struct lockstep_core_config cfg;
	TAILQ_HEAD(, lockstep_guest) guests;
	TAILQ_HEAD(, lockstep_node) nodes;
	LIST_HEAD(, lockstep_contest_op) requests;
	struct lockstep_arbiter *arbiter;
	struct lockstep_arbiter_view view;
	struct lockstep_traits traits;
	uint64_t tick_ns;
};

/* A batch that waits for room in the twin's module. */
struct lockstep_feed {
	STAILQ_ENTRY(lockstep_feed) entry;
	struct lockstep_node *node;
	uint64_t generation;
	size_t len;
	uint64_t batch[];	/* aligned for its head */
};

/**
 * struct lockstep_flow - log and acks of one guest
 * @synced: primary: the backup's position is known, log may flow
 * @next: primary: LSN the backup expects
 * @end: primary: LSN behind what was sent
 * @acked: primary: LSN the backup holds
 * @executed: primary: LSN the backup has executed
 * @queue: twin: batches for which its module had no room
 * @queued: bytes in there
 * @ack_due: twin: @ack is to be sent
 * @ack: twin: the newest from its module
 * @hole_ns: twin: when the primary was last asked to send again
 */
struct lockstep_flow {
	bool synced;
	uint64_t next;
	uint64_t end;
	uint64_t acked;
	uint64_t executed;
	STAILQ_HEAD(lockstep_feeds, lockstep_feed) queue;
	size_t queued;
	bool ack_due;
	struct lockstep_ack ack;
	uint64_t hole_ns;
};

/**
 * struct lockstep_contest - what goes on with the arbiter for one guest
 * @op: request under way, or NULL
 * @next_ns: not before
 * @backoff_ns: pause after the next UNKNOWN
 * @listed: COLD, CLOSE: the generations are known; @generation is what to make
 * @generation: see @listed; SYNC_SRC: which to open; SYNC_DST: which to verify
 * @forced: COLD: over a generation that did not end
 * @winner: COLD: instance that won the generation before, or nil
 * @opened: `open` of @generation is ours
 * @taken: SYNC_SRC, CLOSE: @generation was opened with a backup that is gone: win it first
 * @verify: SYNC_DST: the primary says that @generation is open
 * @refused: the arbiter's, or our own, no: an operator is needed
 * @alarm_ns: when it was last complained of
 */
struct lockstep_contest {
	struct lockstep_contest_op *op;
	uint64_t next_ns;
	uint64_t backoff_ns;
	bool listed;
	uint64_t generation;
	bool forced;
	struct lockstep_uuid winner;
	bool opened;
	bool taken;
	bool verify;
	bool refused;
	uint64_t alarm_ns;
};

/**
 * struct lockstep_guest - one instance on this host
 * @info: as last read from the module
 * @state: state that was acted upon; differs from @info only inside settle()
 * @since_ns: when it was entered
 * @settling: settle() is on the stack
 * @foreign: another daemon is bound
 * @gone: detached: only waits to be freed
 * @force: an operator's word that no other instance lives
 * @release: an operator's word that it shall end
 * @node: where the other half is, or NULL
 * @heard_ns: the peer instance was last heard
 * @progress_ns: acks moved, or nothing was outstanding
 * @executed_ns: the backup executed log, or had none to execute
 * @suspect_ns: when the present suspicion began
 * @hello_seen: the peer instance said HELLO since its node is up
 * @other_seen: another instance said HELLO in its place
 * @closed_seen: the primary said CLOSED
 * @peer_state: what heartbeats last said of the peer instance
 * @peer_stops: the same
 * @alive_ns: when the module was last told that we live
 * @announce_ns: when HELLO was last broadcast
 * @look_ns: STOPPED_B, DIVERGED: when the arbiter was last looked at
 * @rate_ns: time of the sample for @log_bps
 * @rate_lsn: LSN of that sample
 * @log_bps: bits of log per second
 * @full: times it had waited for room in its log when that was last told
 * @full_ns: when that was; 0: never
 * @killed: its VMM was sent SIGKILL
 * @reason: why the contest, for the claim
 * @note: what it waits for, or why it is unprotected; for people
 */
struct lockstep_guest {
	TAILQ_ENTRY(lockstep_guest) entry;
	struct lockstep_core *core;
	struct lockstep_guest_info info;
	uint32_t state;
	uint64_t since_ns;
	bool settling;
	bool foreign;
	bool gone;
	bool force;
	bool release;
	struct lockstep_node *node;
	uint64_t heard_ns;
	uint64_t progress_ns;
	uint64_t executed_ns;
	uint64_t suspect_ns;
	bool hello_seen;
	bool other_seen;
	bool closed_seen;
	uint32_t peer_state;
	uint64_t peer_stops;
	uint64_t alive_ns;
	uint64_t announce_ns;
	uint64_t look_ns;
	uint64_t rate_ns;
	uint64_t rate_lsn;
	uint64_t log_bps;
	uint64_t full;
	uint64_t full_ns;
	bool killed;
	char reason[LOCKSTEP_ARBITER_REASON_MAX + 1];
	char note[320];
	struct lockstep_flow flow;
	struct lockstep_contest contest;
};

/* --- the core, for the world (guest.c) ----------------------------------- */

void lockstep_core_init(struct lockstep_core *core, const struct lockstep_core_config *cfg,
			const struct lockstep_core_ops *ops, void *user,
			struct lockstep_arbiter *arbiter);
void lockstep_core_exit(struct lockstep_core *core);

/**
 * lockstep_core_node_add() - another node
 * @core: core
 * @name: its name
 * @user: the world's
 *
 * Return: the node, freed with the core, or NULL without memory.
 */
struct lockstep_node *lockstep_core_node_add(struct lockstep_core *core, const char *name,
					     void *user);

/* What happened in the world. Data is borrowed. */
void lockstep_core_state(struct lockstep_core *core, const struct lockstep_guest_info *info);
void lockstep_core_log(struct lockstep_core *core, uint32_t id, uint64_t generation,
		       const struct lockstep_uuid *instance, const void *batch, size_t len);
void lockstep_core_ack(struct lockstep_core *core, uint32_t id, uint64_t generation,
		       const struct lockstep_uuid *instance, const struct lockstep_ack *ack);
/** lockstep_core_acks_flush() - send what lockstep_core_ack() gathered */
void lockstep_core_acks_flush(struct lockstep_core *core);
/** lockstep_core_writable() - a peer's queue that was full has room again */
void lockstep_core_writable(struct lockstep_core *core, struct lockstep_node *node);
void lockstep_core_node_up(struct lockstep_core *core, struct lockstep_node *node,
			   const struct lockstep_uuid *boot_id);
void lockstep_core_node_down(struct lockstep_core *core, struct lockstep_node *node);
/** lockstep_core_traits_set() - what this host is like; the peers are told if that is new */
void lockstep_core_traits_set(struct lockstep_core *core, const struct lockstep_traits *traits);
void lockstep_core_message(struct lockstep_core *core, struct lockstep_node *node,
			   const struct lockstep_message *m);
void lockstep_core_heartbeat(struct lockstep_core *core, struct lockstep_node *node,
			     const struct lockstep_fact *facts, size_t n);
/** lockstep_core_facts() - what our next heartbeat to a node says; returns how many facts */
size_t lockstep_core_facts(struct lockstep_core *core, struct lockstep_node *node,
			   struct lockstep_fact *facts, size_t max);
/** lockstep_core_tick() - time passed; to be called at least every 50 ms */
void lockstep_core_tick(struct lockstep_core *core);
/** lockstep_core_gap() - this process did not run for that long */
void lockstep_core_gap(struct lockstep_core *core, uint64_t gap_ns);
/**
 * lockstep_core_guests_check() - all guests were read again: which are gone?
 * @core: core
 * @ids: guests that exist
 * @n: how many
 */
void lockstep_core_guests_check(struct lockstep_core *core, const uint32_t *ids, size_t n);

/**
 * lockstep_core_force() - an operator says that no other instance of a guest lives
 * @core: core
 * @name: guest, attached here
 *
 * Return: 0, -ENOENT, or -EBUSY when it does not wait for that.
 */
int lockstep_core_force(struct lockstep_core *core, const char *name);

/**
 * lockstep_core_release() - give up an instance that does not run
 * @core: core
 * @name: guest, attached here
 *
 * One that waits, for its other half or for an operator, or that diverged, ends;
 * a generation that was opened for it, and never ran, is won and closed before.
 *
 * Return: 0; -ENOENT; -EBUSY: it runs, or follows one that does: it is to be
 * powered off from inside.
 */
int lockstep_core_release(struct lockstep_core *core, const char *name);

/**
 * lockstep_core_switch() - planned switch: the backup is to go live instead
 * @core: core
 * @name: guest, whose protected primary is here
 *
 * The guest stops until all it has put out is released and executed on the other
 * side; then the backup claims the generation. Whatever fails, the guest goes on,
 * on one of both hosts.
 *
 * Return: 0: it has begun; -ENOENT; -EREMOTE: its primary is on the other host;
 * -EBUSY: it is not protected now; -EHOSTUNREACH: the arbiter can't be reached.
 */
int lockstep_core_switch(struct lockstep_core *core, const char *name);

struct lockstep_guest *lockstep_core_guest_find(struct lockstep_core *core, const char *name);

/* --- one guest (guest.c) -------------------------------------------------- */

/**
 * lockstep_guest_settle() - act upon the state the guest is in
 * @g: guest
 *
 * Calls enter for a new state and then its work, until nothing moves any more.
 * May be called from anywhere, also from inside itself.
 */
void lockstep_guest_settle(struct lockstep_guest *g);

/** lockstep_guest_refresh() - read it from the module; sets gone; 0 or -errno */
int lockstep_guest_refresh(struct lockstep_guest *g);

/**
 * lockstep_guest_event() - report an event to the module and read the guest again
 * @g: guest
 * @event: enum lockstep_event
 * @generation: 0: not said
 * @peer: NULL: not said
 *
 * Return: 0 or -errno, as the module gives it.
 */
int lockstep_guest_event(struct lockstep_guest *g, unsigned int event, uint64_t generation,
			 const struct lockstep_uuid *peer);

/** lockstep_guest_send() - a message about it to its other half; 0 or -errno */
int lockstep_guest_send(struct lockstep_guest *g, enum lockstep_message_type type,
			uint64_t generation);
/** lockstep_guest_message() - the head of such a message, filled in */
struct lockstep_message lockstep_guest_message(const struct lockstep_guest *g,
					       enum lockstep_message_type type,
					       uint64_t generation);
/** lockstep_guest_alarm() - an event that an operator must see, and a note; not too often */
void lockstep_guest_alarm(struct lockstep_guest *g, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** lockstep_guest_note() - what it waits for, for people */
void lockstep_guest_note(struct lockstep_guest *g, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/** lockstep_guest_event_json() - fields that each event about it has */
struct json_object *lockstep_guest_event_json(const struct lockstep_guest *g);

static inline uint64_t lockstep_guest_now(const struct lockstep_guest *g)
{
	return g->core->ops->now(g->core->user);
}

static inline bool lockstep_guest_is_twin(const struct lockstep_guest *g)
{
	return g->info.flags & LOCKSTEP_FLAG_TWIN;
}

/* Has it not executed anything yet? Only then it can be given a backup. */
static inline bool lockstep_guest_is_fresh(const struct lockstep_guest *g)
{
	return !g->info.stats[LOCKSTEP_S_STOPS] && !g->info.stats[LOCKSTEP_S_LSN] &&
	       (lockstep_guest_is_twin(g) || g->info.flags & LOCKSTEP_FLAG_WAIT);
}

/* --- failover.c ----------------------------------------------------------- */

void lockstep_failover_enter(struct lockstep_guest *g, uint32_t old);
void lockstep_failover_work(struct lockstep_guest *g);
/** lockstep_failover_paired() - does its state have another half that must be heard? */
bool lockstep_failover_paired(uint32_t state);
/** lockstep_failover_lost() - the other half is gone for sure: what that means now */
void lockstep_failover_lost(struct lockstep_guest *g, unsigned int event, const char *reason);
void lockstep_failover_heard(struct lockstep_guest *g);
/** lockstep_failover_restart() - all timing of it begins afresh */
void lockstep_failover_restart(struct lockstep_guest *g);
/** lockstep_failover_gap() - this daemon did not run for a while */
void lockstep_failover_gap(struct lockstep_guest *g);

/* --- pair.c --------------------------------------------------------------- */

int lockstep_pair_hello(struct lockstep_guest *g, struct lockstep_node *node, unsigned int flags);
void lockstep_pair_announce(struct lockstep_guest *g);
void lockstep_pair_hello_got(struct lockstep_core *core, struct lockstep_node *node,
			     const struct lockstep_message *m);
void lockstep_pair_sync_got(struct lockstep_core *core, struct lockstep_node *node);
void lockstep_pair_message(struct lockstep_guest *g, const struct lockstep_message *m);
/** lockstep_pair_verified() - twin: `open` was read and names both */
void lockstep_pair_verified(struct lockstep_guest *g, uint64_t generation);

/* --- flow.c ------------------------------------------------------------- */

void lockstep_flow_begin(struct lockstep_guest *g, uint64_t lsn);
void lockstep_flow_end(struct lockstep_guest *g);
void lockstep_flow_log(struct lockstep_guest *g, const void *batch, size_t len);
void lockstep_flow_ack(struct lockstep_guest *g, const struct lockstep_ack *ack);
void lockstep_flow_message(struct lockstep_guest *g, const struct lockstep_message *m);
void lockstep_flow_feed(struct lockstep_guest *g);
void lockstep_flow_ack_flush(struct lockstep_guest *g);
int lockstep_flow_resume(struct lockstep_guest *g, uint64_t lsn);

/* --- contest.c ------------------------------------------------------------ */

/** lockstep_contest_run() - begin the request that the guest's state asks for, if any */
void lockstep_contest_run(struct lockstep_guest *g);
/** lockstep_contest_reset() - a new state: forget what was prepared for the old one */
void lockstep_contest_reset(struct lockstep_guest *g);
/** lockstep_contest_forget() - the guest goes away; answers under way are ignored */
void lockstep_contest_forget(struct lockstep_guest *g);
/** lockstep_contest_exit() - free requests that will not be answered any more */
void lockstep_contest_exit(struct lockstep_core *core);
/** lockstep_contest_probe() - look at the arbiter, when it is time */
void lockstep_contest_probe(struct lockstep_core *core);

/* --- status.c ------------------------------------------------------------- */

/** lockstep_core_status() - everything; a new object or NULL */
struct json_object *lockstep_core_status(struct lockstep_core *core);

#endif
