// SPDX-License-Identifier: GPL-2.0
/*
 * A failpoint on every edge of the state table, in virtual time: at each transition,
 * just before it and just after it, the host loses power, the daemon or the VMM is
 * killed, the link breaks, the arbiter's answers get lost. The promises of
 * lockstepd_sim.h hold throughout, and in the end nobody is left hanging, and the guest
 * lives unless the last good copy of it was killed.
 *
 * Sources: selftests/unit/lockstepd_sim.c selftests/unit/lockstepd_sim_module.c
 * Sources: selftests/unit/lockstepd_sim_arbiter.c selftests/unit/lockstepd_sim_history.c
 * Sources: daemon/lockstepd/guest.c daemon/lockstepd/failover.c daemon/lockstepd/pair.c
 * Sources: daemon/lockstepd/flow.c daemon/lockstepd/contest.c daemon/lockstepd/status.c
 * Sources: daemon/lockstepd/info.c daemon/lockstepd/protocol.c daemon/arbiter/record.c
 * Sources: daemon/arbiter/backend.c daemon/common/bytes.c daemon/common/uuid.c daemon/common/file.c daemon/common/json.c
 * Sources: daemon/common/log.c daemon/transport/wire.c kmod/state.c
 *
 * LOCKSTEP_EDGE="STATE EVENT before|after FAULT CASE" runs one, as a failure prints it, and
 * SIM_TRACE prints its events. LOCKSTEP_LONG runs each in more cases.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kmod/state.h"
#include "lockstepd_sim.h"

#define S(x)	LOCKSTEP_STATE_##x
#define E(x)	LOCKSTEP_EVENT_##x

#define STATES	__LOCKSTEP_STATE_LAST
#define EVENTS	__LOCKSTEP_EVENT_LAST

static const char *const faults[SIM_FAULTS] = {
	[SIM_FAULT_HOST] = "host",
	[SIM_FAULT_DAEMON] = "daemon",
	[SIM_FAULT_VMM] = "vmm",
	[SIM_FAULT_LINK] = "link",
	[SIM_FAULT_RESET] = "reset",
	[SIM_FAULT_ARBITER] = "arbiter",
};

/* --- what is broken into -------------------------------------------------- */

/*
 * Scripts lead to the rows of the table. A failpoint may end any of them early: no
 * guest, daemon or state in them is taken for granted.
 */

#define PAIR_MS		3000	/* until a pair is protected */

static void pair(struct sim *s)
{
	sim_attach(s, SIM_A, false);
	sim_run(s, 200);
	sim_attach(s, SIM_B, true);
	sim_run(s, PAIR_MS);
}

static void until(struct sim *s, int host, int state, unsigned int ms)
{
	while (ms-- && sim_state(s, host) != state)
		sim_run(s, 1);
}

static void until_closed(struct sim *s, unsigned int ms)
{
	while (ms-- && !s->store.gen[2].closed)
		sim_run(s, 1);
}

static void ask_switch(struct sim *s)
{
	if (s->host[SIM_A].daemon)
		lockstep_core_switch(&s->host[SIM_A].core, "web");
}

static void release(struct sim *s, int host)
{
	if (s->host[host].daemon)
		lockstep_core_release(&s->host[host].core, "web");
}

static void poweroff(struct sim *s)
{
	struct sim_guest *g = sim_guest(s, SIM_A);

	if (g && (g->info.state == S(PROTECTED_P) || g->info.state == S(SOLO)))
		sim_poweroff(s, SIM_A);
}

/* The twin falls behind: by @ms of its own time, at a quarter of its primary's speed. */
static void fall_behind(struct sim *s, unsigned int ms)
{
	if (sim_guest(s, SIM_B))
		sim_guest(s, SIM_B)->rate = 50;
	sim_run(s, ms / 3);
}

static void vmm_kill(struct sim *s, int host)
{
	if (sim_guest(s, host))
		sim_vmm_kill(s, host);
}

/* Away and back at once, with an empty instance. */
static void reboot(struct sim *s, int host)
{
	sim_host_kill(s, host);
	sim_run(s, 100);
	sim_host_boot(s, host);
	sim_attach(s, host, host == SIM_B);
	sim_run(s, 1000);
}

static void forms(struct sim *s)
{
	sim_attach(s, SIM_A, false);
	sim_attach(s, SIM_B, true);
	until(s, SIM_A, S(SYNC_SRC), 1000);
}

static void script_release(struct sim *s)
{
	sim_attach(s, SIM_A, false);
	sim_run(s, 500);
	release(s, SIM_A);
	sim_run(s, 500);
	sim_attach(s, SIM_B, true);
	sim_run(s, 500);
	release(s, SIM_B);
}

static void script_twin_goes_while_forming(struct sim *s)
{
	forms(s);
	vmm_kill(s, SIM_B);
}

static void script_daemon_goes_while_forming(struct sim *s)
{
	forms(s);
	sim_daemon_kill(s, SIM_A);
	sim_run(s, 500);
}

static void script_twins_daemon_goes_while_forming(struct sim *s)
{
	forms(s);
	sim_daemon_kill(s, SIM_B);
	sim_run(s, 500);
}

static void script_link_goes_while_forming(struct sim *s)
{
	forms(s);
	sim_link_reset(s);
}

/* One that does not wait for its backup. */
static void script_poweroff_while_forming(struct sim *s)
{
	forms(s);
	if (sim_state(s, SIM_A) != S(SYNC_SRC))
		return;
	sim_guest(s, SIM_A)->info.flags &= ~LOCKSTEP_FLAG_WAIT;
	sim_poweroff(s, SIM_A);
}

static void script_switch(struct sim *s)
{
	pair(s);
	ask_switch(s);
}

static void script_switch_too_slow(struct sim *s)
{
	pair(s);
	if (sim_guest(s, SIM_B))
		sim_guest(s, SIM_B)->rate = 1;
	sim_run(s, 1000);
	ask_switch(s);
}

static void script_switch_claim_hangs(struct sim *s)
{
	pair(s);
	ask_switch(s);
	s->host[SIM_B].arbiter_reachable = false;
	sim_run(s, 12000);
}

static void script_switch_message_late(struct sim *s)
{
	unsigned int ms = 1000;

	pair(s);
	ask_switch(s);
	while (ms-- && sim_guest(s, SIM_A) && !(sim_guest(s, SIM_A)->info.flags & LOCKSTEP_FLAG_DRAINED))
		sim_run(s, 1);
	s->cut[SIM_B] = true;
	until(s, SIM_B, S(SUSPECT_B), 2000);
	s->cut[SIM_B] = false;
}

static void script_switch_link_cut(struct sim *s)
{
	pair(s);
	fall_behind(s, 3000);
	ask_switch(s);
	sim_cut(s, true);
	sim_run(s, 5000);
}

static void script_switch_twin_dies(struct sim *s)
{
	pair(s);
	fall_behind(s, 3000);
	ask_switch(s);
	vmm_kill(s, SIM_B);
}

static void script_switch_twin_reboots(struct sim *s)
{
	pair(s);
	fall_behind(s, 3000);
	ask_switch(s);
	reboot(s, SIM_B);
}

static void script_switch_daemon_dies(struct sim *s)
{
	pair(s);
	fall_behind(s, 3000);
	ask_switch(s);
	sim_daemon_kill(s, SIM_A);
	sim_run(s, 500);
}

static void script_poweroff(struct sim *s)
{
	pair(s);
	poweroff(s);
}

static void script_poweroff_alone(struct sim *s)
{
	pair(s);
	sim_host_kill(s, SIM_B);
	until(s, SIM_A, S(SOLO), 5000);
	poweroff(s);
}

static void script_poweroff_twin_dies(struct sim *s)
{
	pair(s);
	fall_behind(s, 3000);
	poweroff(s);
	until(s, SIM_A, S(STOPPING), 100);
	vmm_kill(s, SIM_B);
}

static void script_poweroff_twin_lost(struct sim *s)
{
	pair(s);
	sim_host_kill(s, SIM_B);
	poweroff(s);
}

static void script_poweroff_twin_reboots(struct sim *s)
{
	pair(s);
	fall_behind(s, 3000);
	poweroff(s);
	until(s, SIM_A, S(STOPPING), 100);
	reboot(s, SIM_B);
}

static void script_poweroff_suspected(struct sim *s)
{
	pair(s);
	fall_behind(s, 1700);
	poweroff(s);
	until(s, SIM_A, S(STOPPING), 100);
	sim_run(s, 50);
	sim_cut(s, true);
	sim_run(s, 5000);
}

static void script_poweroff_drained(struct sim *s)
{
	pair(s);
	fall_behind(s, 6000);
	poweroff(s);
	until(s, SIM_A, S(STOPPING), 100);
	sim_run(s, 50);
	sim_host_kill(s, SIM_A);
}

/* Recorded, and then nobody is left to say so, and nobody to ask. */
static void script_poweroff_unheard(struct sim *s)
{
	pair(s);
	poweroff(s);
	until(s, SIM_B, S(STOPPED_B), 500);
	s->host[SIM_B].arbiter_reachable = false;
	s->cut[SIM_B] = true;
	until_closed(s, 1000);
	sim_host_kill(s, SIM_A);
	sim_run(s, 12000);
}

/* Executed by the twin, and the primary can't record it. */
static void stopped(struct sim *s)
{
	pair(s);
	s->host[SIM_A].arbiter_reachable = false;
	poweroff(s);
	until(s, SIM_B, S(STOPPED_B), 500);
}

static void script_stopped_primary_dies(struct sim *s)
{
	stopped(s);
	vmm_kill(s, SIM_A);
}

static void script_stopped_primary_reboots(struct sim *s)
{
	stopped(s);
	reboot(s, SIM_A);
}

static void script_stopped_daemon_dies(struct sim *s)
{
	stopped(s);
	sim_daemon_kill(s, SIM_B);
	sim_run(s, 500);
}

/* One side hears nothing; the guest is idle, so that the other side misses no ack. */
static void deaf(struct sim *s, int host, int suspect)
{
	if (sim_guest(s, SIM_A))
		sim_guest(s, SIM_A)->rate = 0;
	sim_run(s, 100);
	s->cut[host] = true;
	until(s, host, suspect, 2000);
}

static void script_short_cut(struct sim *s)
{
	pair(s);
	sim_cut(s, true);
	until(s, SIM_A, S(SUSPECT_P), 2000);
	sim_cut(s, false);
	sim_run(s, 2000);
	deaf(s, SIM_B, S(SUSPECT_B));
	s->cut[SIM_B] = false;
	sim_run(s, 2000);
	sim_host_freeze(s, SIM_A, 700);
}

static void script_suspected_backup_fails(struct sim *s)
{
	pair(s);
	deaf(s, SIM_A, S(SUSPECT_P));
	vmm_kill(s, SIM_B);
	s->cut[SIM_A] = false;
}

static void script_suspected_primary_fails(struct sim *s)
{
	pair(s);
	deaf(s, SIM_B, S(SUSPECT_B));
	vmm_kill(s, SIM_A);
	s->cut[SIM_B] = false;
}

static void script_long_cut(struct sim *s)
{
	pair(s);
	sim_cut(s, true);
	sim_run(s, 5000);
}

static void script_primary_dies(struct sim *s)
{
	pair(s);
	sim_host_kill(s, SIM_A);
}

static void script_backup_dies(struct sim *s)
{
	pair(s);
	sim_host_kill(s, SIM_B);
}

static void script_vmm_dies(struct sim *s)
{
	pair(s);
	vmm_kill(s, SIM_A);
}

static void script_twins_vmm_dies(struct sim *s)
{
	pair(s);
	vmm_kill(s, SIM_B);
}

static void script_primary_reboots(struct sim *s)
{
	pair(s);
	reboot(s, SIM_A);
}

static void script_backup_reboots(struct sim *s)
{
	pair(s);
	reboot(s, SIM_B);
}

/* Suspected already, and then another one answers. */
static void reboot_late(struct sim *s, int host, int other, int suspect)
{
	pair(s);
	sim_host_kill(s, host);
	until(s, other, suspect, 3000);
	sim_host_boot(s, host);
	sim_attach(s, host, host == SIM_B);
	sim_run(s, 1000);
}

static void script_primary_reboots_late(struct sim *s)
{
	reboot_late(s, SIM_A, SIM_B, S(SUSPECT_B));
}

static void script_backup_reboots_late(struct sim *s)
{
	reboot_late(s, SIM_B, SIM_A, S(SUSPECT_P));
}

static void script_daemons(struct sim *s)
{
	int host;

	pair(s);
	for (host = 0; host < SIM_HOSTS; host++) {
		sim_daemon_kill(s, host);
		sim_run(s, 200);
		sim_daemon_start(s, host);
		sim_run(s, 2000);
	}
}

/* While it is not heard, too; and for too long. */
static void script_daemons_late(struct sim *s)
{
	pair(s);
	sim_cut(s, true);
	until(s, SIM_A, S(SUSPECT_P), 2000);
	sim_daemon_kill(s, SIM_A);
	until(s, SIM_B, S(SUSPECT_B), 2000);
	sim_daemon_kill(s, SIM_B);
	sim_cut(s, false);
	sim_run(s, 300);
	sim_daemon_start(s, SIM_B);
	sim_run(s, 5000);
}

static void diverge(struct sim *s, unsigned int ms)
{
	if (sim_guest(s, SIM_B))
		sim_guest(s, SIM_B)->diverge_at = sim_guest(s, SIM_B)->tail +
						  ms * sim_guest(s, SIM_B)->rate;
}

static void script_divergence(struct sim *s)
{
	pair(s);
	diverge(s, 5);
}

static void script_divergence_suspected(struct sim *s)
{
	pair(s);
	fall_behind(s, 9000);
	diverge(s, 1900);
	sim_cut(s, true);
	sim_run(s, 5000);
}

static void script_divergence_drained(struct sim *s)
{
	pair(s);
	fall_behind(s, 9000);
	diverge(s, 2800);
	sim_host_kill(s, SIM_A);
	sim_run(s, 6000);
	release(s, SIM_B);
}

static void script_store_is_another(struct sim *s)
{
	pair(s);
	s->host[SIM_A].store = &s->other_store;
	s->host[SIM_B].store = &s->other_store;
	sim_cut(s, true);
	sim_run(s, 5000);
	s->host[SIM_A].store = &s->store;
	s->host[SIM_B].store = &s->store;
}

static void (*const scripts[])(struct sim *s) = {
	script_switch, script_poweroff, script_short_cut, script_long_cut, script_daemons,
	script_suspected_backup_fails, script_suspected_primary_fails,
	script_primary_dies, script_backup_dies, script_vmm_dies, script_twins_vmm_dies,
	script_divergence, script_release,
	script_twin_goes_while_forming, script_daemon_goes_while_forming,
	script_twins_daemon_goes_while_forming, script_link_goes_while_forming,
	script_poweroff_while_forming,
	script_switch_too_slow, script_switch_claim_hangs, script_switch_message_late,
	script_switch_link_cut, script_switch_twin_dies, script_switch_twin_reboots,
	script_switch_daemon_dies,
	script_poweroff_alone, script_poweroff_twin_dies, script_poweroff_twin_lost,
	script_poweroff_twin_reboots, script_poweroff_suspected, script_poweroff_drained,
	script_poweroff_unheard, script_stopped_primary_dies, script_stopped_primary_reboots,
	script_stopped_daemon_dies,
	script_primary_reboots, script_backup_reboots, script_primary_reboots_late,
	script_backup_reboots_late, script_daemons_late,
	script_divergence_suspected, script_divergence_drained, script_store_is_another,
};

#define SCRIPTS	(sizeof(scripts) / sizeof(scripts[0]))
#define CASES	(SCRIPTS + 200)	/* behind them: random histories, in the long form */

static void play(struct sim *s, unsigned int number)
{
	if (number >= SCRIPTS) {
		sim_history(s, false);
		return;
	}
	scripts[number](s);
	sim_run(s, 15000);
	sim_repair(s);
	sim_run(s, 12000);
}

/* --- what must hold in the end -------------------------------------------- */

static bool lives(struct sim *s)
{
	int host, state;

	for (host = 0; host < SIM_HOSTS; host++) {
		state = sim_state(s, host);
		if (state == (int)S(SOLO) || state == (int)S(PROTECTED_P))
			return true;
	}
	return false;
}

/* Is it gone in order, or with the last copy of it that could live? */
static bool may_be_gone(const struct sim *s)
{
	const struct sim_generation *g;
	unsigned int i;

	if (!s->failpoint.activated || (s->killed[SIM_A] && s->killed[SIM_B]))
		return true;
	if (s->made_edge[S(PROTECTED_B)][E(DIVERGED)] || s->made_edge[S(SUSPECT_B)][E(DIVERGED)] ||
	    s->made_edge[S(CONTEST_B)][E(DIVERGED)])
		return s->killed[SIM_A];
	for (i = 0; i < SIM_GENERATIONS; i++) {
		g = &s->store.gen[i];
		if (g->closed || (g->won && i > 1 &&
				  s->killed[g->winner.by.node[0] == 'a' ? SIM_A : SIM_B]))
			return true;
	}
	return false;
}

/* One run with one failpoint; false: it was not hit. */
static bool run(const struct sim_failpoint *f, unsigned int number)
{
	struct sim s;
	bool hit;

	sim_init(&s, number);
	snprintf(s.repeat, sizeof(s.repeat), "LOCKSTEP_EDGE=\"%s %s %s %s %u\"",
		 lockstep_state_name(f->state), lockstep_event_name(f->event),
		 f->after ? "after" : "before", faults[f->fault], number);
	s.failpoint = *f;
	s.failpoint.armed = true;
	play(&s, number);
	hit = s.failpoint.hit;
	sim_expect_settled(&s);
	if (hit && !lives(&s) && !may_be_gone(&s))
		fail_msg("%s: nobody lives: %s and %s", s.repeat,
			 sim_state_name(sim_state(&s, SIM_A)), sim_state_name(sim_state(&s, SIM_B)));
	sim_exit(&s);
	return hit;
}

/* --- all of them ---------------------------------------------------------- */

static bool reached[CASES][STATES][EVENTS];

static void look(unsigned int cases)
{
	struct sim s;
	unsigned int i;

	for (i = 0; i < cases; i++) {
		sim_init(&s, i);
		play(&s, i);
		memcpy(reached[i], s.made_edge, sizeof(reached[i]));
		sim_exit(&s);
	}
}

/*
 * Rows that the module takes from any daemon, and ours does not use: it learns in a
 * contest by its own claim who won, tries to record a power-off until it is told that it
 * is, and a diverged twin that its primary won.
 */
static bool is_spare(unsigned int state, unsigned int event)
{
	static const unsigned char spare[][2] = {
		{ S(CONTEST_P), E(CLOSED) }, { S(CONTEST_P), E(PEER_WON) }, { S(CONTEST_B), E(PEER_WON) },
		{ S(STOPPING), E(LOST) }, { S(STOPPING), E(PEER_WON) },
		{ S(DIVERGED), E(LOST) }, { S(DIVERGED), E(CLOSED) },
	};
	size_t i;

	for (i = 0; i < sizeof(spare) / sizeof(spare[0]); i++)
		if (spare[i][0] == state && spare[i][1] == event)
			return true;
	return false;
}

static unsigned int edge_runs(unsigned int state, unsigned int event, unsigned int cases)
{
	struct sim_failpoint f = { .state = state, .event = event };
	unsigned int i, n = 0, runs = 0, k;

	for (i = 0; i < CASES && n < cases; i++) {
		if (!reached[i][state][event])
			continue;
		n++;
		for (k = 0; k < 2 * SIM_FAULTS; k++) {
			f.after = k & 1;
			f.fault = k / 2;
			if (!run(&f, i))
				fail_msg("%s %s is not hit in case %u as it was before",
					 lockstep_state_name(state), lockstep_event_name(event), i);
			runs++;
		}
	}
	if (!n && !is_spare(state, event))
		fail_msg("%s %s is a row of the table, and nothing comes that way",
			 lockstep_state_name(state), lockstep_event_name(event));
	if (n && is_spare(state, event))
		fail_msg("%s %s is said to be a spare row of the table, and is used",
			 lockstep_state_name(state), lockstep_event_name(event));
	return runs;
}

/* LOCKSTEP_EDGE of the environment. */
static void run_one(const char *text)
{
	char state[32], event[32], when[16], fault[16];
	struct sim_failpoint f = { 0 };
	unsigned int number;

	assert_int_equal(sscanf(text, "%31s %31s %15s %15s %u", state, event, when, fault, &number), 5);
	while (f.state < STATES && strcmp(lockstep_state_name(f.state), state))
		f.state++;
	while (f.event < EVENTS && strcmp(lockstep_event_name(f.event), event))
		f.event++;
	while (f.fault < SIM_FAULTS && strcmp(faults[f.fault], fault))
		f.fault++;
	f.after = !strcmp(when, "after");
	assert_true(f.state < STATES && f.event < EVENTS && f.fault < SIM_FAULTS && number < CASES);
	assert_true(run(&f, number));
}

static void test_every_edge(void **state)
{
	bool campaign = getenv("LOCKSTEP_LONG") && *getenv("LOCKSTEP_LONG");
	unsigned int cases = 1, s, e, edges = 0, runs = 0;
	const char *one = getenv("LOCKSTEP_EDGE");

	(void)state;
	if (one) {
		run_one(one);
		return;
	}
	if (campaign)
		cases = 8;
	look(campaign ? CASES : SCRIPTS);
	for (s = 0; s < STATES; s++) {
		for (e = 0; e < EVENTS; e++) {
			if (lockstep_state_next(s, e) < 0)
				continue;
			edges++;
			runs += edge_runs(s, e, cases);
		}
	}
	print_message("# %u edges, %u runs with a failpoint\n", edges, runs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_edge),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("lockstepd edges", tests, NULL, NULL);
}
