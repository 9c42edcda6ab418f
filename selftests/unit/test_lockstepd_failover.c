// SPDX-License-Identifier: GPL-2.0
/*
 * Whole failover histories in virtual time: two cores of lockstepd, two fake
 * modules with the real state table, an arbiter, and everything that may break
 * between them. lockstepd_sim.h has the promises that every step is held to.
 *
 * Sources: selftests/unit/lockstepd_sim.c selftests/unit/lockstepd_sim_module.c
 * Sources: selftests/unit/lockstepd_sim_arbiter.c
 * Sources: daemon/lockstepd/guest.c daemon/lockstepd/failover.c daemon/lockstepd/pair.c
 * Sources: daemon/lockstepd/flow.c daemon/lockstepd/contest.c daemon/lockstepd/status.c
 * Sources: daemon/lockstepd/info.c daemon/lockstepd/protocol.c daemon/arbiter/record.c
 * Sources: daemon/arbiter/backend.c daemon/common/bytes.c daemon/common/uuid.c daemon/common/file.c daemon/common/json.c
 * Sources: daemon/common/log.c daemon/transport/wire.c kmod/state.c
 *
 * SIM_TRACE prints every event.
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
#include <json-c/json.h>

#include "kmod/state.h"
#include "lockstepd_sim.h"

#define S(x)	LOCKSTEP_STATE_##x
#define GONE	SIM_GONE

/* Longest time a failover may take after mere silence, in ms of virtual time. */
#define FAILOVER_MS	(1000 * 3 / 2 + 500 * 3 / 2 + 200)

#define STUCK_MS	60000

static void test_pair_primary_first(void **state)
{
	struct sim s;

	(void)state;
	sim_pair(&s);
	assert_int_equal(sim_guest(&s, SIM_A)->info.generation, 2);
	assert_int_equal(s.alarms, 0);
	sim_exit(&s);
}

static void test_pair_twin_first(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, 2);
	sim_attach(&s, SIM_B, true);
	sim_run(&s, 5000);
	sim_expect(&s, SIM_B, S(FREE));
	sim_attach(&s, SIM_A, false);
	sim_wait(&s, SIM_A, S(PROTECTED_P), 3000);
	sim_run(&s, 10000);
	sim_expect(&s, SIM_B, S(PROTECTED_B));
	sim_exit(&s);
}

static void test_waits_at_the_barrier_alone(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, 3);
	sim_attach(&s, SIM_A, false);
	sim_run(&s, 20000);
	sim_expect(&s, SIM_A, S(SOLO));
	assert_false(sim_guest(&s, SIM_A)->started);
	sim_exit(&s);
}

static void test_primary_host_dies(void **state)
{
	struct sim s;
	unsigned int took;

	(void)state;
	sim_pair(&s);
	sim_host_kill(&s, SIM_A);
	took = sim_wait(&s, SIM_B, S(SOLO), FAILOVER_MS);
	printf("# detection and failover: %u ms of virtual time\n", took);
	sim_run(&s, 1000);
	sim_expect(&s, SIM_B, S(SOLO));
	assert_true(sim_guest(&s, SIM_B)->released > sim_guest(&s, SIM_B)->base);
	sim_exit(&s);
}

static void test_backup_host_dies(void **state)
{
	struct sim s;

	(void)state;
	sim_pair(&s);
	sim_host_kill(&s, SIM_B);
	sim_wait(&s, SIM_A, S(SOLO), FAILOVER_MS);
	sim_exit(&s);
}

static void test_vmm_dies(void **state)
{
	struct sim s;

	(void)state;
	sim_pair(&s);
	sim_vmm_kill(&s, SIM_A);
	sim_wait(&s, SIM_B, S(SOLO), 100);
	sim_exit(&s);

	sim_pair(&s);
	sim_vmm_kill(&s, SIM_B);
	sim_wait(&s, SIM_A, S(SOLO), 100);
	sim_exit(&s);
}

static void test_link_cut(void **state)
{
	struct sim s;
	int a, b;

	(void)state;
	sim_pair(&s);
	sim_cut(&s, true);
	sim_run(&s, 5000);
	a = sim_state(&s, SIM_A);
	b = sim_state(&s, SIM_B);
	/* on mere silence the primary is first */
	assert_int_equal(a, S(SOLO));
	assert_int_equal(b, GONE);
	assert_true(s.store.gen[2].won);
	sim_exit(&s);
}

static void test_link_cut_one_way(void **state)
{
	struct sim s;
	int way;

	(void)state;
	for (way = 0; way < SIM_HOSTS; way++) {
		sim_pair(&s);
		s.cut[way] = true;
		sim_run(&s, 8000);
		assert_true((sim_state(&s, SIM_A) == S(SOLO)) != (sim_state(&s, SIM_B) == S(SOLO)));
		sim_exit(&s);
	}
}

/* Heartbeats come through, the log does not: it counts what is acknowledged. */
static void test_log_hangs(void **state)
{
	struct sim s;

	(void)state;
	sim_pair(&s);
	s.hang = true;
	sim_wait(&s, SIM_A, S(SOLO), FAILOVER_MS);
	sim_wait(&s, SIM_B, GONE, 1000);
	sim_exit(&s);
}

static void test_link_cut_arbiter_from_one(void **state)
{
	struct sim s;
	int host;

	(void)state;
	for (host = 0; host < SIM_HOSTS; host++) {
		int away = host == SIM_A ? SIM_B : SIM_A;

		sim_pair(&s);
		sim_cut(&s, true);
		s.host[away].arbiter_reachable = false;
		sim_run(&s, 10000);
		sim_expect(&s, host, S(SOLO));
		sim_expect(&s, away, away == SIM_A ? S(CONTEST_P) : S(CONTEST_B));
		s.host[away].arbiter_reachable = true;
		sim_run(&s, 5000);
		sim_expect(&s, host, S(SOLO));
		sim_expect(&s, away, GONE);
		sim_exit(&s);
	}
}

static void test_link_cut_no_arbiter(void **state)
{
	uint64_t out;
	unsigned int alarms;
	struct sim s;

	(void)state;
	sim_pair(&s);
	sim_cut(&s, true);
	s.host[SIM_A].arbiter_reachable = false;
	s.host[SIM_B].arbiter_reachable = false;
	sim_run(&s, 3000);
	out = sim_guest(&s, SIM_A)->released;
	alarms = s.alarms;
	sim_run(&s, 60000);
	sim_expect(&s, SIM_A, S(CONTEST_P));
	sim_expect(&s, SIM_B, S(CONTEST_B));
	assert_int_equal(sim_guest(&s, SIM_A)->released, out);
	assert_int_equal(sim_guest(&s, SIM_B)->released, 0);
	/* and it is told again and again */
	assert_true(s.alarms > alarms + 10);
	/* hearing each other again ends no contest */
	sim_cut(&s, false);
	sim_run(&s, 5000);
	sim_expect(&s, SIM_A, S(CONTEST_P));
	s.host[SIM_B].arbiter_reachable = true;
	sim_wait(&s, SIM_B, S(SOLO), 5000);
	s.host[SIM_A].arbiter_reachable = true;
	sim_wait(&s, SIM_A, GONE, 5000);
	sim_exit(&s);
}

static void test_claim_reply_lost(void **state)
{
	struct sim s;

	(void)state;
	sim_pair(&s);
	s.host[SIM_B].arbiter_lost_reply = true;
	sim_host_kill(&s, SIM_A);
	sim_run(&s, 6000);
	sim_expect(&s, SIM_B, S(CONTEST_B));
	assert_true(s.store.gen[2].won);
	s.host[SIM_B].arbiter_lost_reply = false;
	sim_wait(&s, SIM_B, S(SOLO), 4000);
	sim_exit(&s);
}

static void test_daemon_restarts(void **state)
{
	struct sim s;
	int host;

	(void)state;
	for (host = 0; host < SIM_HOSTS; host++) {
		sim_pair(&s);
		sim_daemon_kill(&s, host);
		sim_expect(&s, host, host == SIM_A ? S(ORPHAN_P) : S(ORPHAN_B));
		sim_run(&s, 200);
		sim_daemon_start(&s, host);
		sim_run(&s, 2000);
		sim_expect_protected(&s);
		sim_exit(&s);
	}
}

static void test_both_daemons_restart(void **state)
{
	struct sim s;

	(void)state;
	sim_pair(&s);
	sim_daemon_kill(&s, SIM_A);
	sim_daemon_kill(&s, SIM_B);
	sim_run(&s, 10000);
	sim_daemon_start(&s, SIM_B);
	sim_daemon_start(&s, SIM_A);
	sim_run(&s, 2000);
	sim_expect(&s, SIM_A, S(PROTECTED_P));
	sim_expect(&s, SIM_B, S(PROTECTED_B));
	sim_exit(&s);
}

static void test_daemon_stays_away(void **state)
{
	struct sim s;

	(void)state;
	sim_pair(&s);
	sim_daemon_kill(&s, SIM_A);
	sim_wait(&s, SIM_B, S(SOLO), FAILOVER_MS);
	sim_daemon_start(&s, SIM_A);
	sim_wait(&s, SIM_A, GONE, 5000);
	sim_expect(&s, SIM_B, S(SOLO));
	sim_exit(&s);

	sim_pair(&s);
	sim_daemon_kill(&s, SIM_B);
	sim_wait(&s, SIM_A, S(SOLO), FAILOVER_MS);
	sim_daemon_start(&s, SIM_B);
	sim_wait(&s, SIM_B, GONE, 5000);
	sim_expect(&s, SIM_A, S(SOLO));
	sim_exit(&s);
}

/* The daemon of the backup dies, and then its primary's host. */
static void test_backup_daemon_then_primary(void **state)
{
	struct sim s;

	(void)state;
	sim_pair(&s);
	sim_daemon_kill(&s, SIM_B);
	sim_run(&s, 300);
	sim_host_kill(&s, SIM_A);
	sim_run(&s, 300);
	sim_daemon_start(&s, SIM_B);
	sim_wait(&s, SIM_B, S(SOLO), 6000);
	sim_exit(&s);
}

static void test_frozen_host(void **state)
{
	struct sim s;
	int host;

	(void)state;
	for (host = 0; host < SIM_HOSTS; host++) {
		sim_pair(&s);
		sim_host_freeze(&s, host, 6000);
		sim_wait(&s, host == SIM_A ? SIM_B : SIM_A, S(SOLO), FAILOVER_MS);
		sim_run(&s, 8000);
		sim_expect(&s, host, GONE);
		sim_exit(&s);
	}
}

static void test_short_freeze_is_forgiven(void **state)
{
	struct sim s;
	int host;

	(void)state;
	for (host = 0; host < SIM_HOSTS; host++) {
		sim_pair(&s);
		sim_host_freeze(&s, host, 700);
		sim_run(&s, 700);
		/* a primary that was away keeps its outputs until it hears its backup */
		if (host == SIM_A)
			sim_wait(&s, SIM_A, S(SUSPECT_P), 20);
		sim_run(&s, 4000);
		sim_expect(&s, SIM_A, S(PROTECTED_P));
		sim_expect(&s, SIM_B, S(PROTECTED_B));
		sim_exit(&s);
	}
}

static void test_divergence(void **state)
{
	struct sim s;

	(void)state;
	sim_pair(&s);
	sim_guest(&s, SIM_B)->diverge_at = sim_guest(&s, SIM_B)->tail + 1000;
	sim_wait(&s, SIM_A, S(SOLO), 200);
	sim_wait(&s, SIM_B, GONE, 3000);
	assert_true(s.alarms > 0);
	sim_exit(&s);
}

/* A twin that differs in what it has not executed yet never claims. */
static void test_divergence_in_the_backlog(void **state)
{
	struct sim s;
	struct sim_guest *twin;

	(void)state;
	sim_pair(&s);
	twin = sim_guest(&s, SIM_B);
	twin->rate = 10;
	sim_run(&s, 1000);
	twin->diverge_at = twin->tail + 20000;
	assert_true(twin->diverge_at < twin->head);
	sim_host_kill(&s, SIM_A);
	sim_run(&s, 20000);
	sim_expect(&s, SIM_B, S(DIVERGED));
	assert_false(s.store.gen[2].won);
	sim_exit(&s);
}

static void test_slow_twin_drains_before_it_claims(void **state)
{
	struct sim s;
	struct sim_guest *twin;
	uint64_t head;

	(void)state;
	sim_pair(&s);
	twin = sim_guest(&s, SIM_B);
	twin->rate = 50;
	sim_run(&s, 2000);
	sim_host_kill(&s, SIM_A);
	sim_wait(&s, SIM_B, S(CONTEST_B), FAILOVER_MS);
	head = twin->head;
	assert_true(twin->tail + 10000 < head);
	sim_run(&s, 50);
	assert_false(s.store.gen[2].won);
	sim_wait(&s, SIM_B, S(SOLO), 20000);
	assert_true(twin->base == head);
	sim_exit(&s);
}

/* Its VMM is stopped, or hangs: log is acknowledged, and none is executed. */
static void test_backup_is_stuck(void **state)
{
	struct sim s;

	(void)state;
	sim_pair(&s);
	sim_guest(&s, SIM_B)->rate = 0;
	sim_run(&s, STUCK_MS - 5000);
	sim_expect(&s, SIM_A, S(PROTECTED_P));
	sim_wait(&s, SIM_A, S(SOLO), 10000);
	sim_wait(&s, SIM_B, GONE, 30000);
	sim_exit(&s);
}

/* One that gets on, however slowly, or has nothing to do, is not stuck. */
static void test_slow_or_idle_is_not_stuck(void **state)
{
	struct sim s;

	(void)state;
	sim_pair(&s);
	sim_guest(&s, SIM_B)->rate = 1;
	sim_run(&s, 2 * STUCK_MS);
	sim_guest(&s, SIM_B)->rate = 200;
	sim_run(&s, 1000);
	sim_guest(&s, SIM_A)->rate = 0;
	sim_run(&s, 2 * STUCK_MS);
	sim_guest(&s, SIM_A)->rate = 200;
	sim_run(&s, 1000);
	sim_expect(&s, SIM_A, S(PROTECTED_P));
	sim_expect(&s, SIM_B, S(PROTECTED_B));
	sim_exit(&s);
}

static void test_poweroff(void **state)
{
	struct sim s;

	(void)state;
	sim_pair(&s);
	sim_poweroff(&s, SIM_A);
	sim_wait(&s, SIM_A, GONE, 1000);
	sim_wait(&s, SIM_B, GONE, 1000);
	assert_true(s.store.gen[2].closed);
	assert_false(s.store.gen[2].won);
	/* and it starts again without force */
	sim_attach(&s, SIM_A, false);
	sim_attach(&s, SIM_B, true);
	sim_wait(&s, SIM_A, S(PROTECTED_P), 4000);
	assert_int_equal(sim_guest(&s, SIM_A)->info.generation, 4);
	sim_exit(&s);
}

/* The backup can't ask the arbiter: the primary's word is enough. */
static void test_poweroff_told(void **state)
{
	struct sim s;

	(void)state;
	sim_pair(&s);
	s.host[SIM_B].arbiter_reachable = false;
	sim_poweroff(&s, SIM_A);
	sim_wait(&s, SIM_B, GONE, 1000);
	sim_exit(&s);
}

static void test_poweroff_alone(void **state)
{
	struct sim s;

	(void)state;
	sim_pair(&s);
	sim_host_kill(&s, SIM_B);
	sim_wait(&s, SIM_A, S(SOLO), FAILOVER_MS);
	sim_poweroff(&s, SIM_A);
	sim_wait(&s, SIM_A, GONE, 1000);
	assert_true(s.store.gen[2].closed);
	sim_exit(&s);
}

/* The primary closes the generation and is gone before it can say so. */
static void test_poweroff_unheard(void **state)
{
	struct sim s;
	unsigned int i;

	(void)state;
	sim_pair(&s);
	sim_poweroff(&s, SIM_A);
	for (i = 0; i < 1000 && !s.store.gen[2].closed; i++)
		sim_run(&s, 1);
	assert_true(s.store.gen[2].closed);
	sim_host_kill(&s, SIM_A);
	sim_cut(&s, true);
	sim_wait(&s, SIM_B, GONE, 8000);
	assert_false(s.store.gen[2].won);
	sim_exit(&s);
}

/* Power-off with a backup that is lost before it acknowledged it. */
static void test_poweroff_and_backup_lost(void **state)
{
	struct sim s;

	(void)state;
	sim_pair(&s);
	sim_host_kill(&s, SIM_B);
	sim_poweroff(&s, SIM_A);
	sim_wait(&s, SIM_A, GONE, 5000);
	assert_true(s.store.gen[2].closed);
	sim_exit(&s);
}

static void test_backup_reboots_quickly(void **state)
{
	struct sim s;

	(void)state;
	sim_pair(&s);
	sim_host_kill(&s, SIM_B);
	sim_run(&s, 300);
	sim_host_boot(&s, SIM_B);
	sim_attach(&s, SIM_B, true);
	sim_run(&s, 200);
	/* an empty instance under the same node's name is not the backup */
	sim_wait(&s, SIM_A, S(SOLO), 600);
	sim_run(&s, 3000);
	sim_expect(&s, SIM_B, S(FREE));
	sim_exit(&s);
}

static void test_backup_replaced_before_start(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, 5);
	sim_attach(&s, SIM_A, false);
	sim_attach(&s, SIM_B, true);
	while (!s.store.gen[2].open)
		sim_run(&s, 1);
	sim_vmm_kill(&s, SIM_B);
	sim_run(&s, 500);
	sim_expect(&s, SIM_A, S(SOLO));
	/* generation 2 names a dead backup: it is won, and 3 is formed */
	sim_attach(&s, SIM_B, true);
	sim_wait(&s, SIM_A, S(PROTECTED_P), 4000);
	assert_true(s.store.gen[2].won);
	assert_int_equal(sim_guest(&s, SIM_A)->info.generation, 3);
	sim_exit(&s);
}

/* The twin believes the arbiter, not the primary. */
static void test_open_names_another(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, 8);
	sim_attach(&s, SIM_A, false);
	sim_attach(&s, SIM_B, true);
	while (!s.store.gen[2].open)
		sim_run(&s, 1);
	s.store.gen[2].record.members[1].instance.b[0] ^= 1;
	sim_run(&s, 2000);
	sim_expect(&s, SIM_B, S(SYNC_DST));
	sim_expect(&s, SIM_A, S(SYNC_SRC));
	sim_exit(&s);
}

/* Nothing begins that the twin has not seen with the arbiter. */
static void test_activate_unverified(void **state)
{
	struct lockstep_message m = { .type = LOCKSTEP_MESSAGE_ACTIVATE };
	struct sim s;

	(void)state;
	sim_init(&s, 9);
	s.host[SIM_B].arbiter_reachable = false;
	sim_attach(&s, SIM_A, false);
	sim_attach(&s, SIM_B, true);
	while (!s.store.gen[2].open)
		sim_run(&s, 1);
	sim_run(&s, 100);
	m.guest = s.vm;
	m.generation = 2;
	m.from = sim_guest(&s, SIM_A)->info.instance;
	m.to = sim_guest(&s, SIM_B)->info.instance;
	lockstep_core_message(&s.host[SIM_B].core, s.host[SIM_B].node, &m);
	sim_expect(&s, SIM_B, S(SYNC_DST));
	sim_exit(&s);
}

static void test_two_arbiters(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, 6);
	s.host[SIM_B].store = &s.other_store;
	sim_attach(&s, SIM_A, false);
	sim_attach(&s, SIM_B, true);
	sim_run(&s, 60000);
	assert_true(sim_state(&s, SIM_A) == S(SOLO) || sim_state(&s, SIM_A) == S(SYNC_SRC));
	assert_true(sim_state(&s, SIM_B) == S(FREE) || sim_state(&s, SIM_B) == S(SYNC_DST));
	assert_true(s.alarms > 0);
	sim_exit(&s);
}

/* A store that was restored knows nothing of what was opened: claims fail. */
static void test_restored_arbiter(void **state)
{
	struct sim s;

	(void)state;
	sim_pair(&s);
	s.host[SIM_A].store = &s.other_store;
	s.host[SIM_B].store = &s.other_store;
	sim_host_kill(&s, SIM_A);
	sim_run(&s, 10000);
	sim_expect(&s, SIM_B, S(CONTEST_B));
	sim_exit(&s);
}

/* The VMM does not end when it is told to: it is killed. */
static void test_halted_vmm_is_killed(void **state)
{
	struct sim s;

	(void)state;
	sim_pair(&s);
	sim_guest(&s, SIM_B)->vmm_dead = true;	/* its VMM hangs */
	sim_guest(&s, SIM_B)->diverge_at = 1;
	sim_wait(&s, SIM_B, S(HALTED), 3000);
	sim_run(&s, 3000);
	sim_expect(&s, SIM_B, S(HALTED));
	sim_wait(&s, SIM_B, GONE, 4000);
	sim_exit(&s);
}

static void test_status(void **state)
{
	struct json_object *o, *guests, *g, *v, *arbiter;
	struct sim s;

	(void)state;
	sim_pair(&s);
	sim_run(&s, 3000);
	o = lockstep_core_status(&s.host[SIM_A].core);
	assert_non_null(o);
	assert_true(json_object_object_get_ex(o, "guests", &guests));
	assert_int_equal(json_object_array_length(guests), 1);
	g = json_object_array_get_idx(guests, 0);
	assert_true(json_object_object_get_ex(g, "state", &v));
	assert_string_equal(json_object_get_string(v), "protected-primary");
	assert_true(json_object_object_get_ex(g, "peer_node", &v));
	assert_string_equal(json_object_get_string(v), "b");
	assert_true(json_object_object_get_ex(g, "log_bps", &v));
	/* 200 bytes a millisecond */
	assert_in_range(json_object_get_int64(v), 1500000, 1700000);
	/* a third host: neither of these two */
	assert_true(json_object_object_get_ex(o, "arbiter", &arbiter));
	assert_true(json_object_object_get_ex(arbiter, "boot_id", &v));
	assert_string_equal(json_object_get_string(v), "99999999-9999-9999-9999-999999999999");
	json_object_put(o);
	sim_exit(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pair_primary_first),
		cmocka_unit_test(test_pair_twin_first),
		cmocka_unit_test(test_waits_at_the_barrier_alone),
		cmocka_unit_test(test_primary_host_dies),
		cmocka_unit_test(test_backup_host_dies),
		cmocka_unit_test(test_vmm_dies),
		cmocka_unit_test(test_link_cut),
		cmocka_unit_test(test_link_cut_one_way),
		cmocka_unit_test(test_log_hangs),
		cmocka_unit_test(test_link_cut_arbiter_from_one),
		cmocka_unit_test(test_link_cut_no_arbiter),
		cmocka_unit_test(test_claim_reply_lost),
		cmocka_unit_test(test_daemon_restarts),
		cmocka_unit_test(test_both_daemons_restart),
		cmocka_unit_test(test_daemon_stays_away),
		cmocka_unit_test(test_backup_daemon_then_primary),
		cmocka_unit_test(test_frozen_host),
		cmocka_unit_test(test_short_freeze_is_forgiven),
		cmocka_unit_test(test_divergence),
		cmocka_unit_test(test_divergence_in_the_backlog),
		cmocka_unit_test(test_slow_twin_drains_before_it_claims),
		cmocka_unit_test(test_backup_is_stuck),
		cmocka_unit_test(test_slow_or_idle_is_not_stuck),
		cmocka_unit_test(test_poweroff),
		cmocka_unit_test(test_poweroff_told),
		cmocka_unit_test(test_poweroff_alone),
		cmocka_unit_test(test_poweroff_unheard),
		cmocka_unit_test(test_poweroff_and_backup_lost),
		cmocka_unit_test(test_backup_reboots_quickly),
		cmocka_unit_test(test_backup_replaced_before_start),
		cmocka_unit_test(test_open_names_another),
		cmocka_unit_test(test_activate_unverified),
		cmocka_unit_test(test_two_arbiters),
		cmocka_unit_test(test_restored_arbiter),
		cmocka_unit_test(test_halted_vmm_is_killed),
		cmocka_unit_test(test_status),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("lockstepd failover", tests, NULL, NULL);
}
