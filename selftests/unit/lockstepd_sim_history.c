// SPDX-License-Identifier: GPL-2.0
/* Two hosts in virtual time: random histories, and what holds at their end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lockstepd_sim.h"

#define S(x)	LOCKSTEP_STATE_##x
#define GONE	SIM_GONE

static void misfortune(struct sim *s)
{
	int host = (int)(sim_rand(s) % SIM_HOSTS);

	switch (sim_rand(s) % 17) {
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
	case 15:
		if (s->host[SIM_A].daemon)
			lockstep_core_switch(&s->host[SIM_A].core, "web");
		break;
	default:
		if (sim_rand(s) % 8 == 0 && sim_guest(s, SIM_B))
			sim_guest(s, SIM_B)->diverge_at = 1 + sim_rand(s) % (1 << 20);
		break;
	}
}

void sim_repair(struct sim *s)
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
void sim_expect_settled(struct sim *s)
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
			fail_msg("%s: host %c stays %s", s->repeat, 'a' + i,
				 sim_state_name(sim_state(s, i)));
		}
	}
	if ((sim_state(s, SIM_A) == S(PROTECTED_P)) != (sim_state(s, SIM_B) == S(PROTECTED_B)))
		fail_msg("%s: half a pair: %s and %s", s->repeat,
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

void sim_history(struct sim *s, bool hostile)
{
	int i, n;

	sim_attach(s, SIM_A, false);
	sim_run(s, (unsigned int)(sim_rand(s) % 300));
	sim_attach(s, SIM_B, true);
	sim_run(s, (unsigned int)(sim_rand(s) % 1500));
	n = 1 + (int)(sim_rand(s) % 8);
	for (i = 0; i < n; i++) {
		if (hostile)
			lies(s);
		if (!hostile || sim_rand(s) % 2)
			misfortune(s);
		sim_run(s, (unsigned int)(sim_rand(s) % 2500));
		if (sim_rand(s) % 3 == 0)
			sim_repair(s);
	}
	sim_repair(s);
	sim_run(s, 40000);
}
