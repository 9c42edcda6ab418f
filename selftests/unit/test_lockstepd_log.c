// SPDX-License-Identifier: GPL-2.0
/*
 * The log on its way in virtual time: connections that break, batches that are lost,
 * acknowledgements that overtake, logs that are full. The pair stays a pair.
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
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lockstepd_sim.h"

#define S(x)	LOCKSTEP_STATE_##x

static void test_link_reset_resumes(void **state)
{
	struct sim s;
	int i;

	(void)state;
	sim_pair(&s);
	for (i = 0; i < 20; i++) {
		sim_link_reset(&s);
		sim_run(&s, 300 + (unsigned int)(sim_rand(&s) % 400));
		sim_expect_protected(&s);
	}
	sim_exit(&s);
}

/* What is missing is asked for again. */
static void test_log_lost_on_the_way(void **state)
{
	struct sim s;
	int i;

	(void)state;
	sim_pair(&s);
	for (i = 0; i < 10; i++) {
		s.lose = 1 + (unsigned int)(sim_rand(&s) % 5);
		sim_run(&s, 400);
	}
	sim_expect(&s, SIM_A, S(PROTECTED_P));
	sim_expect(&s, SIM_B, S(PROTECTED_B));
	assert_true(sim_guest(&s, SIM_A)->head - sim_guest(&s, SIM_B)->head < 10000);
	sim_exit(&s);
}

/* The primary gets a message of its backup; the caller fills in the rest. */
static struct lockstep_message from_backup(struct sim *s, enum lockstep_message_type type)
{
	return (struct lockstep_message){
		.type = type,
		.guest = s->vm,
		.generation = 2,
		.from = sim_guest(s, SIM_B)->info.instance,
		.to = sim_guest(s, SIM_A)->info.instance,
	};
}

/* Asked for before what was acknowledged since: not what a backup has lost. */
static void test_late_rewind(void **state)
{
	struct lockstep_message m;
	struct sim s;

	(void)state;
	sim_pair(&s);
	m = from_backup(&s, LOCKSTEP_MESSAGE_REWIND);
	m.lsn = 1;
	lockstep_core_message(&s.host[SIM_A].core, s.host[SIM_A].node, &m);
	sim_run(&s, 1000);
	sim_expect(&s, SIM_A, S(PROTECTED_P));
	sim_exit(&s);
}

/* What was to be sent again is acknowledged before it is: the log goes on behind it. */
static void test_rewind_overtaken_by_ack(void **state)
{
	struct lockstep_message rewind, ack;
	struct sim s;
	uint64_t head;

	(void)state;
	sim_pair(&s);
	head = sim_guest(&s, SIM_B)->head;
	rewind = from_backup(&s, LOCKSTEP_MESSAGE_REWIND);
	rewind.lsn = sim_guest(&s, SIM_A)->tail;
	assert_true(rewind.lsn < head);		/* an ack is under way */
	ack = from_backup(&s, LOCKSTEP_MESSAGE_ACK);
	ack.ack.lsn = htole64(head);
	lockstep_core_message(&s.host[SIM_A].core, s.host[SIM_A].node, &rewind);
	lockstep_core_message(&s.host[SIM_A].core, s.host[SIM_A].node, &ack);
	sim_run(&s, 5000);
	sim_expect(&s, SIM_A, S(PROTECTED_P));
	sim_expect(&s, SIM_B, S(PROTECTED_B));
	assert_true(sim_guest(&s, SIM_B)->head > head + 1000);
	sim_exit(&s);
}

static void test_full_log_of_the_twin(void **state)
{
	struct sim s;
	struct sim_guest *twin;

	(void)state;
	sim_pair(&s);
	twin = sim_guest(&s, SIM_B);
	twin->room = 8192;
	twin->rate = 150;
	sim_run(&s, 20000);
	sim_expect(&s, SIM_A, S(PROTECTED_P));
	sim_expect(&s, SIM_B, S(PROTECTED_B));
	/* it follows at its own speed, without loss */
	assert_true(twin->tail > 20000 * 140);
	sim_exit(&s);
}

/* A backup that is too slow holds the guest up: nobody takes it for a failure, but it is told, now and then. */
static void test_full_log_of_the_primary(void **state)
{
	struct sim_guest *primary;
	struct sim s;

	(void)state;
	sim_pair(&s);
	primary = sim_guest(&s, SIM_A);
	primary->rate = 5000;
	primary->room = 8192;
	s.alarms = 0;
	sim_run(&s, 20000);
	sim_expect(&s, SIM_A, S(PROTECTED_P));
	sim_expect(&s, SIM_B, S(PROTECTED_B));
	assert_true(primary->info.stats[LOCKSTEP_S_LOG_FULL] > 0);
	assert_int_equal(s.alarms, 1);
	assert_string_equal(s.last_alarm, "guest.log-full");
	sim_run(&s, 60000);
	assert_int_equal(s.alarms, 2);
	sim_exit(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_link_reset_resumes),
		cmocka_unit_test(test_log_lost_on_the_way),
		cmocka_unit_test(test_late_rewind),
		cmocka_unit_test(test_rewind_overtaken_by_ack),
		cmocka_unit_test(test_full_log_of_the_twin),
		cmocka_unit_test(test_full_log_of_the_primary),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("lockstepd log", tests, NULL, NULL);
}
