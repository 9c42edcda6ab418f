// SPDX-License-Identifier: GPL-2.0
/*
 * Random failover histories in virtual time, held to the promises of
 * lockstepd_sim.h; with everything mended at their end, nobody is left hanging.
 *
 * Sources: selftests/unit/lockstepd_sim.c selftests/unit/lockstepd_sim_module.c
 * Sources: selftests/unit/lockstepd_sim_arbiter.c selftests/unit/lockstepd_sim_history.c
 * Sources: daemon/lockstepd/guest.c daemon/lockstepd/failover.c daemon/lockstepd/pair.c
 * Sources: daemon/lockstepd/flow.c daemon/lockstepd/contest.c daemon/lockstepd/status.c
 * Sources: daemon/lockstepd/info.c daemon/lockstepd/protocol.c daemon/arbiter/record.c
 * Sources: daemon/arbiter/backend.c daemon/common/bytes.c daemon/common/uuid.c daemon/common/file.c daemon/common/json.c
 * Sources: daemon/common/log.c daemon/transport/wire.c kmod/state.c
 *
 * LOCKSTEP_SEED runs one history, LOCKSTEP_HISTORIES sets how many there are;
 * with LOCKSTEP_LONG there are many, from a random seed on, which is printed.
 * SIM_TRACE prints every event.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

#include <cmocka.h>

#include "lockstepd_sim.h"

static void history(uint64_t seed, bool hostile)
{
	struct sim s;

	sim_init(&s, seed);
	sim_history(&s, hostile);
	sim_expect_settled(&s);
	sim_exit(&s);
}

static void histories(bool hostile, uint64_t usual)
{
	const char *one = getenv("LOCKSTEP_SEED"), *many = getenv("LOCKSTEP_HISTORIES");
	bool campaign = getenv("LOCKSTEP_LONG") && *getenv("LOCKSTEP_LONG");
	uint64_t n = campaign ? 10 * usual : usual, first = 1, i;

	if (one) {
		history(strtoull(one, NULL, 0), hostile);
		return;
	}
	if (many)
		n = strtoull(many, NULL, 0);
	/* others each time */
	if (campaign && getrandom(&first, 4, 0) != 4)
		fail_msg("no random seed");
	print_message("histories of seeds %" PRIu64 " to %" PRIu64 "\n", first, first + n - 1);
	for (i = first; i < first + n; i++)
		history(i, hostile);
}

static void test_random_histories(void **state)
{
	(void)state;
	histories(false, 150);
}

/* Peers who say what is not so: the promises hold, and later all is well again. */
static void test_hostile_peers(void **state)
{
	(void)state;
	histories(true, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_histories),
		cmocka_unit_test(test_hostile_peers),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("lockstepd histories", tests, NULL, NULL);
}
