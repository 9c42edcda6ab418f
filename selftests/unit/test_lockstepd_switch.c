// SPDX-License-Identifier: GPL-2.0
/*
 * Planned switches in virtual time: the backup goes live on request, nothing is
 * lost or said twice, and whatever breaks meanwhile, the guest lives on one host.
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
#include <string.h>

#include <cmocka.h>

#include "lockstepd_sim.h"

#define S(x)	LOCKSTEP_STATE_##x
#define GONE	SIM_GONE

#define PATIENCE_MS	10000	/* of the primary with its switch */

static int ask(struct sim *s, int host)
{
	return lockstep_core_switch(&s->host[host].core, "web");
}

/* A switch has begun. */
static void begin(struct sim *s)
{
	sim_pair(s);
	assert_int_equal(ask(s, SIM_A), 0);
	sim_expect(s, SIM_A, S(SWITCHING));
}

static void test_no_loss_and_no_duplicates(void **state)
{
	unsigned int ms;
	uint64_t out;
	struct sim s;

	(void)state;
	begin(&s);
	ms = sim_wait(&s, SIM_B, S(LIVE), 500);
	print_message("# live %u ms after it was asked for\n", ms);
	/* all that was made has left, and the backup begins behind it */
	out = sim_guest(&s, SIM_A)->released;
	assert_true(out == sim_guest(&s, SIM_A)->head);
	assert_true(out == sim_guest(&s, SIM_B)->base);
	sim_wait(&s, SIM_A, GONE, 500);
	sim_wait(&s, SIM_B, S(SOLO), 500);
	assert_string_equal(s.store.gen[2].winner.reason, "planned switch");
	sim_exit(&s);
}

static void test_refused(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, 3);
	assert_int_equal(ask(&s, SIM_A), -ENOENT);
	sim_attach(&s, SIM_A, false);
	sim_run(&s, 500);
	assert_int_equal(ask(&s, SIM_A), -EBUSY);
	sim_exit(&s);

	sim_pair(&s);
	assert_int_equal(ask(&s, SIM_B), -EREMOTE);
	s.host[SIM_A].arbiter_reachable = false;
	sim_run(&s, 3000);
	assert_int_equal(ask(&s, SIM_A), -EHOSTUNREACH);
	sim_expect(&s, SIM_A, S(PROTECTED_P));
	sim_exit(&s);
}

/* It goes on where it is, protected as before. */
static void goes_on(struct sim *s)
{
	uint64_t out;

	sim_wait(s, SIM_A, S(PROTECTED_P), PATIENCE_MS + 100);
	sim_expect(s, SIM_B, S(PROTECTED_B));
	assert_true(s->alarms > 0);
	assert_false(s->store.gen[2].won);
	sim_guest(s, SIM_B)->rate = 400;
	out = sim_guest(s, SIM_A)->released;
	sim_run(s, 5000);
	assert_true(sim_guest(s, SIM_A)->released > out + 1000);
}

static void test_twin_does_not_catch_up(void **state)
{
	struct sim s;

	(void)state;
	sim_pair(&s);
	sim_guest(&s, SIM_B)->rate = 1;
	sim_run(&s, 1000);
	assert_int_equal(ask(&s, SIM_A), 0);
	goes_on(&s);
	sim_exit(&s);
}

static void test_backup_can_not_ask(void **state)
{
	struct sim s;

	(void)state;
	sim_pair(&s);
	s.host[SIM_B].arbiter_reachable = false;
	sim_run(&s, 3000);
	s.alarms = 0;
	assert_int_equal(ask(&s, SIM_A), 0);
	goes_on(&s);
	sim_exit(&s);
}

/* It has begun to claim, and gets no answer: the primary asks, too, in the end. */
static void test_claim_hangs(void **state)
{
	struct sim s;

	(void)state;
	begin(&s);
	s.host[SIM_B].arbiter_reachable = false;
	sim_run(&s, PATIENCE_MS - 1000);
	sim_expect(&s, SIM_A, S(SWITCHING));
	sim_expect(&s, SIM_B, S(CONTEST_B));
	sim_wait(&s, SIM_A, S(SOLO), 2000);
	s.host[SIM_B].arbiter_reachable = true;
	sim_wait(&s, SIM_B, GONE, 5000);
	sim_exit(&s);
}

static void test_backup_dies(void **state)
{
	struct sim s;

	(void)state;
	begin(&s);
	sim_host_kill(&s, SIM_B);
	sim_wait(&s, SIM_A, S(SOLO), 3000);
	sim_exit(&s);
}

static void test_primary_dies(void **state)
{
	struct sim s;

	(void)state;
	begin(&s);
	sim_host_kill(&s, SIM_A);
	sim_wait(&s, SIM_B, S(SOLO), 4000);
	sim_exit(&s);
}

static void test_daemon_of_the_primary_dies(void **state)
{
	struct sim s;

	(void)state;
	begin(&s);
	sim_wait(&s, SIM_B, S(CONTEST_B), 500);
	sim_daemon_kill(&s, SIM_A);
	sim_expect(&s, SIM_A, S(ORPHAN_P));
	sim_wait(&s, SIM_B, S(SOLO), 500);
	sim_daemon_start(&s, SIM_A);
	sim_wait(&s, SIM_A, GONE, 5000);
	sim_exit(&s);
}

/* The message is lost with its connection, and said again. */
static void test_link_breaks(void **state)
{
	struct sim s;

	(void)state;
	begin(&s);
	sim_link_reset(&s);
	sim_wait(&s, SIM_B, S(SOLO), 2000);
	sim_wait(&s, SIM_A, GONE, 2000);
	sim_exit(&s);
}

/* It was switching; then it can't hear anybody, and the usual detection takes over. */
static void test_link_is_cut(void **state)
{
	struct sim s;

	(void)state;
	begin(&s);
	sim_cut(&s, true);
	sim_wait(&s, SIM_A, S(SUSPECT_P), 1200);
	sim_wait(&s, SIM_A, S(SOLO), 2000);
	sim_wait(&s, SIM_B, GONE, 3000);
	sim_exit(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_loss_and_no_duplicates),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_twin_does_not_catch_up),
		cmocka_unit_test(test_backup_can_not_ask),
		cmocka_unit_test(test_claim_hangs),
		cmocka_unit_test(test_backup_dies),
		cmocka_unit_test(test_primary_dies),
		cmocka_unit_test(test_daemon_of_the_primary_dies),
		cmocka_unit_test(test_link_breaks),
		cmocka_unit_test(test_link_is_cut),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("lockstepd switch", tests, NULL, NULL);
}
