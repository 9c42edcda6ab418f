// SPDX-License-Identifier: GPL-2.0
/*
 * Random failover histories in virtual time, held to the promises of
 * lockstepd_sim.h; with everything mended at their end, nobody is left hanging.
 *
 * Sources: selftests/unit/lockstepd_sim.c selftests/unit/lockstepd_sim_module.c
 * Sources: selftests/unit/lockstepd_sim_arbiter.c
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

#define S(x)	LOCKSTEP_STATE_##x
#define GONE	SIM_GONE

static void misfortune(struct sim *s)
{
	int host = (int)(sim_rand(s) % SIM_HOSTS);

	switch (sim_rand(s) % 16) {
	case 0:
		sim_cut(s, true);
		break;
	case 1:
		s->cut[host] = true;
		break;
	case 2:
		sim_link_reset(s);
		break;
	case 3:
		sim_host_freeze(s, host, (unsigned int)(sim_rand(s) % 5000));
		break;
	case 4:
		sim_daemon_kill(s, host);
		break;
	case 5:
		s->host[host].arbiter_reachable = false;
		break;
	case 6:
		s->host[host].arbiter_lost_reply = true;
		break;
	case 7:
		if (sim_rand(s) % 4)
			break;
		sim_host_kill(s, host);
		if (sim_rand(s) % 2)
			sim_host_boot(s, host);
		break;
	case 8:
		if (sim_guest(s, host) && sim_rand(s) % 4 == 0)
			sim_vmm_kill(s, host);
		break;
	case 9:
		if (sim_guest(s, SIM_B))
			sim_guest(s, SIM_B)->rate = 20 + sim_rand(s) % 400;
		break;
	case 10:
		if (sim_rand(s) % 8 == 0 && sim_state(s, SIM_A) == S(PROTECTED_P))
			sim_poweroff(s, SIM_A);
		break;
	case 11:
		s->hang = true;
		break;
	case 12:
		s->lose += (unsigned int)(sim_rand(s) % 20);
		break;
	case 13:
		/* a link or a twin that is too slow: the log fills */
		if (sim_guest(s, host))
			sim_guest(s, host)->room = 2048 + sim_rand(s) % 8192;
		break;
	case 14:
		/* its daemon reads late, but lives */
		s->host[host].stalled_ns = s->now + sim_rand(s) % 3000 * SIM_MS;
		break;
	default:
		if (sim_rand(s) % 8 == 0 && sim_guest(s, SIM_B))
			sim_guest(s, SIM_B)->diverge_at = 1 + sim_rand(s) % (1 << 20);
		break;
	}
}

static void repair(struct sim *s)
{
	int i;

	sim_cut(s, false);
	s->hang = false;
	s->lose = 0;
	for (i = 0; i < SIM_HOSTS; i++) {
		s->host[i].arbiter_reachable = true;
		s->host[i].arbiter_lost_reply = false;
		sim_daemon_start(s, i);
		/* a slow twin takes its time, which is not what is looked for here */
		if (sim_guest(s, i))
			sim_guest(s, i)->rate = 400;
	}
}

/* With everything mended, nobody may be left hanging in between. */
static void expect_settled(struct sim *s, uint64_t seed)
{
	int i;

	for (i = 0; i < SIM_HOSTS; i++) {
		switch (sim_state(s, i)) {
		case GONE:
		case S(FREE):
		case S(SOLO):
		case S(SYNC_SRC):
		case S(SYNC_DST):
		case S(PROTECTED_P):
		case S(PROTECTED_B):
			break;
		case S(DIVERGED):
			/* its primary is gone for good: nobody will win, an operator decides */
			if (!s->store.gen[sim_guest(s, i)->info.generation].won)
				break;
			/* fallthrough */
		default:
			fail_msg("LOCKSTEP_SEED=%" PRIu64 ": host %c stays %s", seed, 'a' + i,
				 sim_state_name(sim_state(s, i)));
		}
	}
	if ((sim_state(s, SIM_A) == S(PROTECTED_P)) != (sim_state(s, SIM_B) == S(PROTECTED_B)))
		fail_msg("LOCKSTEP_SEED=%" PRIu64 ": half a pair: %s and %s", seed,
			 sim_state_name(sim_state(s, SIM_A)), sim_state_name(sim_state(s, SIM_B)));
}

static void lies(struct sim *s)
{
	int n;

	for (n = (int)(sim_rand(s) % 30); n; n--) {
		sim_lie(s, (int)(sim_rand(s) % SIM_HOSTS));
		sim_run(s, (unsigned int)(sim_rand(s) % 20));
	}
}

static void history(uint64_t seed, bool hostile)
{
	struct sim s;
	int i, n;

	sim_init(&s, seed);
	sim_attach(&s, SIM_A, false);
	sim_run(&s, (unsigned int)(sim_rand(&s) % 300));
	sim_attach(&s, SIM_B, true);
	sim_run(&s, (unsigned int)(sim_rand(&s) % 1500));
	n = 1 + (int)(sim_rand(&s) % 8);
	for (i = 0; i < n; i++) {
		if (hostile)
			lies(&s);
		if (!hostile || sim_rand(&s) % 2)
			misfortune(&s);
		sim_run(&s, (unsigned int)(sim_rand(&s) % 2500));
		if (sim_rand(&s) % 3 == 0)
			repair(&s);
	}
	repair(&s);
	sim_run(&s, 40000);
	expect_settled(&s, seed);
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
