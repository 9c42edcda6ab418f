// SPDX-License-Identifier: GPL-2.0
/*
 * Starts, in virtual time: when a guest may begin, and where. lockstepd_sim.h has the
 * promises that every step is held to.
 *
 * Sources: selftests/unit/lockstepd_sim.c selftests/unit/lockstepd_sim_module.c
 * Sources: selftests/unit/lockstepd_sim_arbiter.c
 * Sources: daemon/lockstepd/guest.c daemon/lockstepd/failover.c daemon/lockstepd/pair.c
 * Sources: daemon/lockstepd/flow.c daemon/lockstepd/contest.c daemon/lockstepd/status.c
 * Sources: daemon/lockstepd/info.c daemon/lockstepd/protocol.c daemon/arbiter/record.c
 * Sources: daemon/arbiter/backend.c daemon/common/bytes.c daemon/common/uuid.c daemon/common/file.c daemon/common/json.c
 * Sources: daemon/common/log.c daemon/transport/wire.c kmod/state.c
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
#define GONE	SIM_GONE

/* Longest time a failover may take after mere silence, in ms of virtual time. */
#define FAILOVER_MS	(1000 * 3 / 2 + 500 * 3 / 2 + 200)

static void test_cold_start_after_crash(void **state)
{
	struct sim s;

	(void)state;
	sim_pair(&s);
	sim_host_kill(&s, SIM_A);
	sim_host_kill(&s, SIM_B);
	sim_host_boot(&s, SIM_A);
	sim_attach(&s, SIM_A, false);
	sim_run(&s, 10000);
	sim_expect(&s, SIM_A, S(FREE));
	assert_string_equal(s.last_alarm, "guest.refused");
	assert_int_equal(lockstep_core_force(&s.host[SIM_A].core, "nobody"), -ENOENT);
	assert_int_equal(lockstep_core_force(&s.host[SIM_A].core, "web"), 0);
	sim_wait(&s, SIM_A, S(SOLO), 1000);
	assert_true(s.store.gen[3].record.forced);
	assert_int_equal(lockstep_core_force(&s.host[SIM_A].core, "web"), -EBUSY);
	/* whoever was in generation 2 can't come back */
	assert_true(s.store.gen[2].won);
	sim_exit(&s);
}

/* After a failover and a power-off, only the survivor's disks hold what the guest has written. */
static void after_a_failover(struct sim *s)
{
	sim_pair(s);
	sim_host_kill(s, SIM_A);
	sim_wait(s, SIM_B, S(SOLO), FAILOVER_MS);
	sim_poweroff(s, SIM_B);
	sim_wait(s, SIM_B, GONE, 1000);
	assert_true(s->store.gen[2].closed);
	sim_host_boot(s, SIM_A);
}

static void test_stale_disks_are_refused(void **state)
{
	struct sim s;

	(void)state;
	after_a_failover(&s);
	sim_attach(&s, SIM_A, false);
	sim_attach(&s, SIM_B, true);
	sim_run(&s, 10000);
	sim_expect(&s, SIM_A, S(FREE));
	sim_expect(&s, SIM_B, S(FREE));
	assert_string_equal(s.last_alarm, "guest.refused");
	assert_false(s.store.gen[3].open);
	/* an operator may know better: the right ones were copied here */
	assert_int_equal(lockstep_core_force(&s.host[SIM_A].core, "web"), 0);
	sim_wait(&s, SIM_A, S(PROTECTED_P), 4000);
	/* nothing was taken from anybody: the generation before had ended */
	assert_false(s.store.gen[3].record.forced);
	sim_exit(&s);
}

static void test_survivor_starts_again(void **state)
{
	struct sim s;

	(void)state;
	after_a_failover(&s);
	sim_attach(&s, SIM_B, false);
	sim_attach(&s, SIM_A, true);
	sim_wait(&s, SIM_B, S(PROTECTED_P), 4000);
	/* both have it all again */
	sim_poweroff(&s, SIM_B);
	sim_wait(&s, SIM_B, GONE, 1000);
	sim_wait(&s, SIM_A, GONE, 1000);
	sim_attach(&s, SIM_A, false);
	sim_wait(&s, SIM_A, S(SOLO), 1000);
	sim_exit(&s);
}

/*
 * A generation that was opened with a backup, and given up before it began: the one it names
 * as backup has no part in it, least of all its disks.
 */
static void test_unbegun_generation(void **state)
{
	struct sim s;

	(void)state;
	after_a_failover(&s);
	s.host[SIM_A].arbiter_reachable = false;	/* it can't say READY */
	sim_attach(&s, SIM_B, false);
	sim_attach(&s, SIM_A, true);
	while (!s.store.gen[4].open)
		sim_run(&s, 1);
	sim_vmm_kill(&s, SIM_A);
	sim_wait(&s, SIM_B, S(SOLO), 1000);
	assert_int_equal(lockstep_core_release(&s.host[SIM_B].core, "web"), 0);
	sim_wait(&s, SIM_B, GONE, 1000);
	assert_true(s.store.gen[4].closed);
	s.host[SIM_A].arbiter_reachable = true;
	sim_attach(&s, SIM_A, false);
	sim_run(&s, 10000);
	sim_expect(&s, SIM_A, S(FREE));
	assert_string_equal(s.last_alarm, "guest.refused");
	sim_attach(&s, SIM_B, false);
	sim_wait(&s, SIM_B, S(SOLO), 1000);
	sim_exit(&s);
}

static void arch_set(struct sim *s, int host, const char *arch)
{
	struct lockstep_traits t = { 0 };

	lockstep_traits_add(&t, "arch", arch);
	lockstep_core_traits_set(&s->host[host].core, &t);
}

/* Where nothing is counted only this tells an Intel host from an AMD one. */
static void test_other_cpu_is_refused(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, 1);
	arch_set(&s, SIM_A, "SVM");
	sim_run(&s, 1000);
	arch_set(&s, SIM_B, "VMX");	/* its module comes later, and is told of */
	sim_attach(&s, SIM_A, false);
	sim_attach(&s, SIM_B, true);
	sim_run(&s, 10000);
	sim_expect(&s, SIM_A, S(SOLO));
	sim_expect(&s, SIM_B, S(FREE));
	assert_string_equal(s.last_alarm, "guest.mismatch");
	assert_false(s.store.gen[2].open);
	/* told anew on each connection */
	arch_set(&s, SIM_B, "SVM");
	sim_link_reset(&s);
	sim_wait(&s, SIM_A, S(PROTECTED_P), 10000);
	sim_exit(&s);
}

static void test_no_arbiter_no_start(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, 7);
	s.host[SIM_A].arbiter_reachable = false;
	sim_attach(&s, SIM_A, false);
	sim_run(&s, 10000);
	sim_expect(&s, SIM_A, S(FREE));
	assert_true(s.alarms > 0);
	s.host[SIM_A].arbiter_reachable = true;
	sim_wait(&s, SIM_A, S(SOLO), 5000);
	sim_exit(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cold_start_after_crash),
		cmocka_unit_test(test_stale_disks_are_refused),
		cmocka_unit_test(test_survivor_starts_again),
		cmocka_unit_test(test_unbegun_generation),
		cmocka_unit_test(test_other_cpu_is_refused),
		cmocka_unit_test(test_no_arbiter_no_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
