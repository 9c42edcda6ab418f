/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Two hosts and an arbiter in virtual time, to run the daemon's core in.
 *
 * Each host has a fake module, whose states come from the module's own table
 * (kmod/state.c), and a core as lockstepd runs it. Messages go through their
 * encoding. What the guest puts out is its log: each byte of log released to the
 * outside is an output.
 *
 * After every millisecond the promises are checked: never two instances that
 * put out freely; what an old primary released is held by the survivor; a twin
 * consumes the log without hole or change.
 */
#ifndef LOCKSTEPD_SIM_H
#define LOCKSTEPD_SIM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lockstepd/core.h"

#define SIM_GONE	(-1)
#define SIM_MS		LOCKSTEP_NSEC_PER_MSEC
#define SIM_GUESTS	4	/* of one host, ever */
#define SIM_GENERATIONS	16

enum { SIM_A = 0, SIM_B = 1, SIM_HOSTS = 2 };

/* A guest in the fake module of a host. */
struct sim_guest {
	bool used;
	bool bound;
	bool started;
	bool vmm_dead;
	uint64_t alive_ns;
	struct lockstep_guest_info info;
	uint64_t head;		/* end of the log */
	uint64_t tail;		/* twin: consumed; primary: acknowledged */
	uint64_t executed;	/* primary: consumed by the twin, as acknowledged */
	uint64_t sent;
	uint64_t released;	/* outputs up to here are in the outside world */
	uint64_t base;		/* live twin: it puts out from here */
	uint64_t poweroff_lsn;	/* 0: none */
	uint64_t over_ns;	/* HALTED or LIVE since */
	uint64_t diverge_at;	/* LSN, 0: never */
	uint64_t rate;		/* bytes made or consumed per ms */
	uint64_t room;		/* bytes its log takes */
};

/* One generation in the arbiter's store. */
struct sim_generation {
	bool open;
	bool won;
	bool closed;
	struct lockstep_arbiter_open record;
	struct lockstep_arbiter_mark winner;
};

struct sim_store {
	struct lockstep_uuid uuid;
	struct sim_generation gen[SIM_GENERATIONS];
};

struct sim_event;
TAILQ_HEAD(sim_events, sim_event);

struct sim_host {
	struct sim *sim;
	int index;
	bool dead;		/* no power */
	uint64_t thaw_ns;	/* frozen until then */
	bool daemon;		/* lockstepd runs */
	bool broken;		/* a failpoint was hit: nothing comes of what it does */
	unsigned int epoch;	/* of the daemon: what was meant for another is dropped */
	bool arbiter_reachable;
	bool arbiter_lost_reply; /* requests arrive, answers do not */
	struct lockstep_arbiter arbiter;
	struct sim_store *store;
	struct lockstep_core core;
	struct lockstep_node *node;
	struct lockstep_uuid boot_id;
	bool link;		/* what its daemon believes of the LOG plane */
	bool paused;
	uint64_t pauses;
	uint64_t stalled_ns;	/* messages to it wait until then */
	struct sim_events inbox; /* messages on their way to it, in order */
	uint64_t look_ns;	/* when the inbox is looked at again */
	uint64_t tick_ns;
	uint64_t beat_ns;
	uint32_t next_id;
	struct sim_guest guest[SIM_GUESTS];
};

/* What breaks at a failpoint, at the host where it is hit. */
enum sim_fault {
	SIM_FAULT_HOST,		/* loses power */
	SIM_FAULT_DAEMON,	/* is killed, and started again */
	SIM_FAULT_VMM,		/* is killed */
	SIM_FAULT_LINK,		/* is cut for longer than detection takes */
	SIM_FAULT_RESET,	/* the connection breaks, and is made again */
	SIM_FAULT_ARBITER,	/* its answers are lost for a while */
	SIM_FAULTS
};

/**
 * struct sim_failpoint - a transition of a module at which something breaks, once
 * @armed: it has not been hit
 * @after: when the transition is made and nobody knows; else instead of it
 * @state: from there
 * @event: by this
 * @fault: what breaks
 * @hit: it was
 * @host: where
 * @id: which guest
 * @activated: a twin had been activated by then
 */
struct sim_failpoint {
	bool armed;
	bool after;
	uint32_t state;
	uint32_t event;
	enum sim_fault fault;
	bool hit;
	int host;
	uint32_t id;
	bool activated;
};

struct sim {
	uint64_t now;
	uint64_t seed;
	uint64_t rng;
	uint64_t seq;
	struct sim_events events;
	struct sim_host host[SIM_HOSTS];
	struct sim_store store;
	struct sim_store other_store;
	bool cut[SIM_HOSTS];	/* nothing arrives at this host from the other */
	bool hang;		/* messages stand still, heartbeats come through */
	unsigned int lose;	/* so many LOG messages are lost on the way */
	bool link_up;		/* the LOG plane */
	uint64_t link_next_ns;	/* when it is dialled again */
	unsigned int link_epoch;
	struct lockstep_uuid vm;
	uint64_t made;		/* bytes of log of the pair's generation */
	unsigned int alarms;	/* events that an operator would see */
	char last_alarm[64];
	bool trace;
	char repeat[160];	/* how to repeat this run; for those who tell of a failure */
	struct sim_failpoint failpoint;
	bool made_edge[__LOCKSTEP_STATE_LAST][__LOCKSTEP_EVENT_LAST];	/* transitions */
	bool killed[SIM_HOSTS];	/* a VMM was killed there, with its host or alone */
};

void sim_init(struct sim *s, uint64_t seed);
void sim_exit(struct sim *s);
/* Let time pass; fails the test when a promise is broken. */
void sim_run(struct sim *s, unsigned int ms);
uint64_t sim_rand(struct sim *s);

/* Start a VMM; it attaches, with the start barrier on a primary. */
struct sim_guest *sim_attach(struct sim *s, int host, bool twin);
void sim_vmm_kill(struct sim *s, int host);
void sim_poweroff(struct sim *s, int host);
/* The newest guest of a host, or NULL. */
struct sim_guest *sim_guest(struct sim *s, int host);
/* Its state, or SIM_GONE without one. */
int sim_state(struct sim *s, int host);

/* A protected pair: primary on a, backup on b, some log under way. Inits the sim. */
void sim_pair(struct sim *s);
const char *sim_state_name(int state);
/* The test fails if a host's newest guest is in another state. */
void sim_expect(struct sim *s, int host, int want);
/* The test fails if a and b are not primary and backup, or no log comes to the backup. */
void sim_expect_protected(struct sim *s);
/* Wait until it is in a state; how long it took, in ms. */
unsigned int sim_wait(struct sim *s, int host, int want, unsigned int ms);

void sim_host_kill(struct sim *s, int host);
void sim_host_boot(struct sim *s, int host);
void sim_host_freeze(struct sim *s, int host, unsigned int ms);
void sim_daemon_kill(struct sim *s, int host);
void sim_daemon_start(struct sim *s, int host);
void sim_link_reset(struct sim *s);
/* A host's daemon is told something that the other never said. */
void sim_lie(struct sim *s, int host);
/* Both directions between the hosts. */
void sim_cut(struct sim *s, bool cut);

/*
 * A random history, by the seed of sim_init(), up to where all is mended, with peers who
 * lie or not (lockstepd_sim_history.c).
 */
void sim_history(struct sim *s, bool hostile);
/* Mend everything. */
void sim_repair(struct sim *s);
/* The test fails if anybody is left hanging in between; all has been mended for a while. */
void sim_expect_settled(struct sim *s);

#endif
