// SPDX-License-Identifier: GPL-2.0
/* Two hosts in virtual time, see lockstepd_sim.h: time, hosts, links. */
#include "lockstepd_sim.h"

#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <json-c/json.h>

#include "common/log.h"
#include "kmod/state.h"
#include "lockstepd_sim_impl.h"

#define STEP_NS		SIM_MS
#define TICK_NS		(10 * SIM_MS)
#define BEAT_NS		(100 * SIM_MS)
#define REDIAL_NS	(200 * SIM_MS)

uint64_t sim_rand(struct sim *s)
{
	s->rng ^= s->rng << 13;
	s->rng ^= s->rng >> 7;
	s->rng ^= s->rng << 17;
	return s->rng;
}

/* --- events of the world -------------------------------------------------- */

static struct sim_event *event_create(struct sim *s, uint64_t delay, int host, sim_event_fn *fn,
				      size_t len)
{
	struct sim_event *e = calloc(1, sizeof(*e) + len);

	assert_non_null(e);
	e->at = s->now + delay;
	e->host = host;
	e->epoch = s->host[host].epoch;
	e->link_epoch = s->link_epoch;
	e->fn = fn;
	e->len = len;
	return e;
}

/* Events of the same time keep their order. */
static void event_insert(struct sim *s, struct sim_event *e)
{
	struct sim_event *at;

	TAILQ_FOREACH_REVERSE(at, &s->events, sim_events, entry)
		if (at->at <= e->at)
			break;
	if (at)
		TAILQ_INSERT_AFTER(&s->events, at, e, entry);
	else
		TAILQ_INSERT_HEAD(&s->events, e, entry);
}

/* Requests under way hold memory that their answer frees, or its drop(). */
static void events_free(struct sim_events *events)
{
	struct sim_event *e;

	while ((e = TAILQ_FIRST(events))) {
		TAILQ_REMOVE(events, e, entry);
		if (e->drop)
			e->drop(e);
		free(e);
	}
}

struct sim_event *sim_event_add(struct sim *s, uint64_t delay, int host, sim_event_fn *fn,
				size_t len)
{
	struct sim_event *e = event_create(s, delay, host, fn, len);

	event_insert(s, e);
	return e;
}

static void event_run(struct sim *s, struct sim_event *e)
{
	struct sim_host *h = &s->host[e->host];

	TAILQ_REMOVE(&s->events, e, entry);
	if (h->thaw_ns > s->now && !h->dead) {
		/* a host that does not run gets it when it does */
		e->at = h->thaw_ns;
		event_insert(s, e);
		return;
	}
	e->fn(s, e);
	free(e);
}

/* --- the link between the daemons ----------------------------------------- */

static int other(int host)
{
	return host == SIM_A ? SIM_B : SIM_A;
}

/* TCP keeps it until the way is free; so does a receiver that paused, or reads late. */
static uint64_t inbox_wait(const struct sim *s, const struct sim_host *h)
{
	if (s->cut[h->index] || s->hang || h->paused)
		return 10 * SIM_MS;
	return h->stalled_ns > s->now ? h->stalled_ns - s->now : 0;
}

static void message_arrives(struct sim *s, struct sim_host *h, const struct sim_event *e)
{
	struct lockstep_message m;

	assert_int_equal(lockstep_message_decode(e->data, e->len, &m), 0);
	if (s->lose && lockstep_message_carries_log(m.type)) {
		s->lose--;
		return;
	}
	lockstep_core_message(&h->core, h->node, &m);
}

/* The oldest message, if it has come; each brings a look at the inbox along. */
static void inbox_look(struct sim *s, struct sim_event *look)
{
	struct sim_host *h = &s->host[look->host];
	struct sim_event *e = TAILQ_FIRST(&h->inbox);
	bool meant;
	uint64_t wait;

	if (!e || e->at > s->now)
		return;
	meant = h->daemon && h->link && e->epoch == h->epoch && e->link_epoch == s->link_epoch;
	wait = meant ? inbox_wait(s, h) : 0;
	if (wait && h->look_ns > s->now)
		return;
	h->look_ns = s->now + wait;
	sim_event_add(s, wait, h->index, inbox_look, 0);
	if (wait)
		return;
	TAILQ_REMOVE(&h->inbox, e, entry);
	if (meant)
		message_arrives(s, h, e);
	free(e);
}

static int op_send(void *user, struct lockstep_node *node, const struct lockstep_message *m)
{
	struct sim_host *h = user;
	struct sim *s = h->sim;
	size_t tail = lockstep_message_carries_log(m->type) ? m->log.len : 0;
	uint8_t buf[LOCKSTEPD_MESSAGE_MAX];
	struct sim_event *e;
	int n;

	(void)node;
	if (!h->link || h->broken)
		return -ENOTCONN;
	n = lockstep_message_encode(m, buf, sizeof(buf));
	if (n < 0)
		fail_msg("%s can't be encoded: %d", lockstep_message_name(m->type), n);
	e = event_create(s, SIM_MS / 2, other(h->index), NULL, (size_t)n + tail);
	memcpy(e->data, buf, (size_t)n);
	if (tail)
		memcpy(e->data + n, m->log.data, tail);
	TAILQ_INSERT_TAIL(&s->host[e->host].inbox, e, entry);
	sim_event_add(s, SIM_MS / 2, e->host, inbox_look, 0);
	return 0;
}

static void op_receive_pause(void *user, struct lockstep_node *node, bool pause)
{
	struct sim_host *h = user;

	(void)node;
	h->paused = pause;
	h->pauses += pause;
}

static bool runs(const struct sim *s, int host)
{
	const struct sim_host *h = &s->host[host];

	return h->daemon && !h->dead && h->thaw_ns <= s->now;
}

static void link_down(struct sim *s)
{
	int i;

	s->link_up = false;
	s->link_epoch++;
	s->link_next_ns = s->now + REDIAL_NS;
	for (i = 0; i < SIM_HOSTS; i++) {
		struct sim_host *h = &s->host[i];

		h->stalled_ns = 0;
		if (!h->link || !h->daemon || h->dead)
			continue;
		h->link = false;
		lockstep_core_node_down(&h->core, h->node);
	}
}

static void link_step(struct sim *s)
{
	bool possible = runs(s, SIM_A) && runs(s, SIM_B) && !s->cut[SIM_A] && !s->cut[SIM_B];
	int i;

	if (s->link_up || !possible || s->now < s->link_next_ns)
		return;
	s->link_up = true;
	s->link_epoch++;
	for (i = 0; i < SIM_HOSTS; i++) {
		s->host[i].link = true;
		s->host[i].stalled_ns = 0;
	}
	for (i = 0; i < SIM_HOSTS; i++)
		lockstep_core_node_up(&s->host[i].core, s->host[i].node,
				      &s->host[other(i)].boot_id);
}

void sim_link_reset(struct sim *s)
{
	link_down(s);
}

void sim_cut(struct sim *s, bool cut)
{
	s->cut[SIM_A] = cut;
	s->cut[SIM_B] = cut;
}

/* A message whose head may be right, about the newest guests of both. */
static struct lockstep_message lie_head(struct sim *s, int host)
{
	struct sim_guest *here = sim_guest(s, host), *there = sim_guest(s, other(host));
	struct lockstep_message m = {
		.type = 1 + sim_rand(s) % LOCKSTEP_MESSAGE_MAX,
		.guest = s->vm,
		.generation = 1 + sim_rand(s) % 4,
		.from = { { 0x1e } },
		.to = { { 0x1e } },
	};

	if (here) {
		m.to = here->info.instance;
		m.from = here->info.peer;
		if (sim_rand(s) % 4)
			m.generation = here->info.generation + sim_rand(s) % 2;
	}
	if (there && sim_rand(s) % 2)
		m.from = there->info.instance;
	return m;
}

static void lie_hello(struct sim *s, int host, struct lockstep_message *m)
{
	struct lockstep_hello *hello = &m->hello;

	strcpy(hello->name, "liar");
	strcpy(hello->node, s->host[host].node->name);
	hello->abi = LOCKSTEP_ABI_VERSION;
	hello->state = (uint32_t)(sim_rand(s) % (LOCKSTEP_STATE_MAX + 1));
	hello->flags = (uint32_t)(sim_rand(s) % 8);
	hello->lsn = sim_rand(s) >> sim_rand(s) % 64;
	hello->peer = m->to;
	hello->boot_id = s->host[other(host)].boot_id;
}

/*
 * Something the other daemon never said: any message in any state. But for one thing,
 * which no daemon can find out: that its peer holds log that it does not.
 */
void sim_lie(struct sim *s, int host)
{
	struct sim_guest *there = sim_guest(s, other(host));
	struct lockstep_batch batch = {
		.magic = htole32(sim_rand(s) % 2 ? LOCKSTEP_BATCH_MAGIC : 0),
		.version = htole16(LOCKSTEP_ABI_VERSION),
		.lsn = htole64(sim_rand(s) >> sim_rand(s) % 64),
	};
	struct sim_host *h = &s->host[host];
	struct lockstep_message m = lie_head(s, host);
	struct lockstep_fact fact = {
		.instance = m.from, .generation = m.generation, .stops = sim_rand(s),
		.state = (uint32_t)(sim_rand(s) % (LOCKSTEP_STATE_MAX + 1)),
	};

	if (!h->daemon || !h->link || h->thaw_ns > s->now)
		return;
	switch (m.type) {
	case LOCKSTEP_MESSAGE_HELLO:
		lie_hello(s, host, &m);
		break;
	case LOCKSTEP_MESSAGE_LOG:
		m.log.data = &batch;
		m.log.len = sizeof(batch);
		break;
	case LOCKSTEP_MESSAGE_ACK:
		m.ack.lsn = htole64(there ? sim_rand(s) % (there->head + 1) : 0);
		break;
	case LOCKSTEP_MESSAGE_REWIND:
		m.lsn = sim_rand(s) >> sim_rand(s) % 64;
		break;
	case LOCKSTEP_MESSAGE_DIVERGED:
		m.divergence.reason = LOCKSTEP_DIVERGENCE_OUTPUT;
		break;
	default:
		break;
	}
	lockstep_core_message(&h->core, h->node, &m);
	if (sim_rand(s) % 8 == 0)
		lockstep_core_heartbeat(&h->core, h->node, &fact, 1);
}

static void beat_arrives(struct sim *s, struct sim_event *e)
{
	struct sim_host *h = &s->host[e->host];
	struct lockstep_fact facts[LOCKSTEP_FACTS_MAX];
	int n;

	if (!h->daemon || s->cut[e->host])
		return;
	n = lockstep_facts_decode(e->data, e->len, facts);
	assert_true(n >= 0);
	lockstep_core_heartbeat(&h->core, h->node, facts, (size_t)n);
}

static void beat_send(struct sim *s, struct sim_host *h)
{
	struct lockstep_fact facts[LOCKSTEP_FACTS_MAX];
	uint8_t buf[LOCKSTEP_HEARTBEAT_MAX];
	struct sim_event *e;
	size_t n = lockstep_core_facts(&h->core, h->node, facts, LOCKSTEP_FACTS_MAX);
	int len = lockstep_facts_encode(facts, n, buf, sizeof(buf));

	assert_true(len > 0);
	/* datagrams are late by chance, lost by chance */
	if (sim_rand(s) % 50 == 0)
		return;
	e = sim_event_add(s, SIM_MS / 4 + sim_rand(s) % (3 * SIM_MS), other(h->index),
			  beat_arrives, (size_t)len);
	memcpy(e->data, buf, (size_t)len);
}

/* --- daemons and hosts ---------------------------------------------------- */

static uint64_t op_now(void *user)
{
	return ((struct sim_host *)user)->sim->now;
}

static void op_kill(void *user, uint32_t pid)
{
	(void)pid;
	sim_vmm_kill(((struct sim_host *)user)->sim, ((struct sim_host *)user)->index);
}

static const struct lockstep_core_ops core_ops = {
	.now = op_now,
	.get = sim_module_get,
	.bind = sim_module_bind,
	.alive = sim_module_alive,
	.event = sim_module_event,
	.feed = sim_module_feed,
	.acked = sim_module_acked,
	.rewind = sim_module_rewind,
	.send = op_send,
	.receive_pause = op_receive_pause,
	.kill = op_kill,
};

void sim_daemon_start(struct sim *s, int host)
{
	struct sim_host *h = &s->host[host];
	struct lockstep_core_config cfg = {
		.boot_id = h->boot_id,
		.silence_ns = 1000 * SIM_MS,
		.confirm_ns = 500 * SIM_MS,
		.backup_percent = 150,
		.resume_ns = 3000 * SIM_MS,
		.stuck_ns = 60000 * SIM_MS,
		.arbiter_ms = 500,
		.compress = s->seed & 1,
	};
	int i;

	if (h->daemon || h->dead)
		return;
	snprintf(cfg.node, sizeof(cfg.node), "%c", 'a' + host);
	h->epoch++;
	h->daemon = true;
	h->link = false;
	h->paused = false;
	h->tick_ns = s->now;
	h->beat_ns = s->now;
	lockstep_core_init(&h->core, &cfg, &core_ops, h, &h->arbiter);
	h->node = lockstep_core_node_add(&h->core, host == SIM_A ? "b" : "a", NULL);
	assert_non_null(h->node);
	for (i = 0; i < SIM_GUESTS; i++)
		if (h->guest[i].used)
			lockstep_core_state(&h->core, &h->guest[i].info);
}

void sim_daemon_kill(struct sim *s, int host)
{
	struct sim_host *h = &s->host[host];

	if (!h->daemon)
		return;
	/* its peer sees the connection go, it does not */
	h->daemon = false;
	h->link = false;
	link_down(s);
	h->epoch++;
	lockstep_core_exit(&h->core);
	sim_module_unbind(h);
}

void sim_host_kill(struct sim *s, int host)
{
	struct sim_host *h = &s->host[host];

	if (h->dead)
		return;
	if (h->daemon)
		lockstep_core_exit(&h->core);
	h->daemon = false;
	h->dead = true;
	h->epoch++;
	h->link = false;
	s->killed[host] = true;
	memset(h->guest, 0, sizeof(h->guest));
	/* no reset comes from a host without power: the peer's plane just hangs */
}

void sim_host_boot(struct sim *s, int host)
{
	struct sim_host *h = &s->host[host];

	if (!h->dead)
		return;
	h->dead = false;
	h->thaw_ns = 0;
	h->boot_id.b[15]++;
	link_down(s);
	sim_daemon_start(s, host);
}

void sim_host_freeze(struct sim *s, int host, unsigned int ms)
{
	uint64_t thaw = s->now + ms * SIM_MS;

	if (thaw > s->host[host].thaw_ns)
		s->host[host].thaw_ns = thaw;
}

/* --- failpoints ----------------------------------------------------------- */

#define MEND_NS		(500 * SIM_MS)

static void daemon_again(struct sim *s, struct sim_event *e)
{
	sim_daemon_start(s, e->host);
}

static void link_again(struct sim *s, struct sim_event *e)
{
	(void)e;
	sim_cut(s, false);
}

static void arbiter_again(struct sim *s, struct sim_event *e)
{
	s->host[e->host].arbiter_lost_reply = false;
}

/* It was hit in the step of a host that is over now: what was to break breaks. */
static void failpoint_act(struct sim *s)
{
	struct sim_failpoint *f = &s->failpoint;

	if (!f->hit || f->host < 0)
		return;
	s->host[f->host].broken = false;
	switch (f->fault) {
	case SIM_FAULT_HOST:
		sim_host_kill(s, f->host);
		break;
	case SIM_FAULT_DAEMON:
		sim_daemon_kill(s, f->host);
		sim_event_add(s, MEND_NS, f->host, daemon_again, 0);
		break;
	case SIM_FAULT_VMM:
		sim_module_detach(&s->host[f->host], f->id);
		break;
	case SIM_FAULT_LINK:
		sim_cut(s, true);
		sim_event_add(s, 8 * MEND_NS, f->host, link_again, 0);
		break;
	case SIM_FAULT_RESET:
		link_down(s);
		break;
	default:
		s->host[f->host].arbiter_lost_reply = true;
		sim_event_add(s, 4 * MEND_NS, f->host, arbiter_again, 0);
		break;
	}
	f->host = -1;
}

/* --- alarms --------------------------------------------------------------- */

static void event_sink(struct json_object *event, void *arg)
{
	struct sim *s = arg;
	struct json_object *name;
	const char *text;

	if (!json_object_object_get_ex(event, "event", &name))
		return;
	text = json_object_get_string(name);
	if (s->trace)
		printf("# %8.3f %s\n", (double)s->now / 1e9, json_object_to_json_string(event));
	if (strcmp(text, "guest.state") && strcmp(text, "guest.bound") &&
	    strcmp(text, "guest.protected") && strcmp(text, "arbiter.reachable")) {
		s->alarms++;
		snprintf(s->last_alarm, sizeof(s->last_alarm), "%s", text);
	}
}

/* --- time ----------------------------------------------------------------- */

static void host_step(struct sim *s, struct sim_host *h)
{
	if (h->dead || h->thaw_ns > s->now)
		return;
	sim_module_step(h);
	if (!h->daemon)
		return;
	if (s->now >= h->beat_ns) {
		h->beat_ns = s->now + BEAT_NS;
		beat_send(s, h);
	}
	if (s->now >= h->tick_ns) {
		h->tick_ns = s->now + TICK_NS;
		lockstep_core_tick(&h->core);
	}
	lockstep_core_acks_flush(&h->core);
}

void sim_run(struct sim *s, unsigned int ms)
{
	uint64_t end = s->now + ms * SIM_MS;
	struct sim_event *e;
	int i;

	while (s->now < end) {
		uint64_t next = s->now + STEP_NS;

		while ((e = TAILQ_FIRST(&s->events)) && e->at <= next) {
			if (e->at > s->now)
				s->now = e->at;
			event_run(s, e);
			failpoint_act(s);
		}
		s->now = next;
		link_step(s);
		failpoint_act(s);
		for (i = 0; i < SIM_HOSTS; i++) {
			host_step(s, &s->host[i]);
			failpoint_act(s);
		}
		sim_promises_check(s);
	}
}

void sim_init(struct sim *s, uint64_t seed)
{
	int i;

	memset(s, 0, sizeof(*s));
	s->seed = seed;
	snprintf(s->repeat, sizeof(s->repeat), "LOCKSTEP_SEED=%llu", (unsigned long long)seed);
	s->rng = seed * 0x9e3779b97f4a7c15ULL + 1;
	s->now = 1000 * 1000 * SIM_MS;
	s->trace = getenv("SIM_TRACE");
	TAILQ_INIT(&s->events);
	for (i = 0; i < SIM_HOSTS; i++)
		TAILQ_INIT(&s->host[i].inbox);
	memset(s->vm.b, 0x77, sizeof(s->vm.b));
	memset(s->store.uuid.b, 0x55, sizeof(s->store.uuid.b));
	memset(s->other_store.uuid.b, 0x66, sizeof(s->other_store.uuid.b));
	lockstep_log_init("sim", getenv("SIM_TRACE") ? LOCKSTEP_LOG_NOTICE : 0, false);
	lockstep_event_subscribe(event_sink, s);
	for (i = 0; i < SIM_HOSTS; i++) {
		struct sim_host *h = &s->host[i];

		h->sim = s;
		h->index = i;
		h->store = &s->store;
		h->arbiter_reachable = true;
		h->arbiter.ops = &sim_arbiter_ops;
		memset(h->boot_id.b, 0x10 + i, sizeof(h->boot_id.b));
		sim_daemon_start(s, i);
	}
}

void sim_exit(struct sim *s)
{
	int i;

	lockstep_event_subscribe(NULL, NULL);
	for (i = 0; i < SIM_HOSTS; i++) {
		if (s->host[i].daemon)
			lockstep_core_exit(&s->host[i].core);
		events_free(&s->host[i].inbox);
	}
	events_free(&s->events);
}

/* --- for tests ------------------------------------------------------------ */

const char *sim_state_name(int state)
{
	return state == SIM_GONE ? "gone" : lockstep_state_name((unsigned int)state);
}

void sim_expect(struct sim *s, int host, int want)
{
	int got = sim_state(s, host);

	if (got != want)
		fail_msg("host %c is %s, wanted %s", 'a' + host, sim_state_name(got),
			 sim_state_name(want));
}

void sim_expect_protected(struct sim *s)
{
	uint64_t head;

	sim_expect(s, SIM_A, LOCKSTEP_STATE_PROTECTED_P);
	sim_expect(s, SIM_B, LOCKSTEP_STATE_PROTECTED_B);
	head = sim_guest(s, SIM_B)->head;
	sim_run(s, 100);
	assert_true(sim_guest(s, SIM_B)->head > head);
}

/* Wait until a host is in a state; how long it took, in ms. */
unsigned int sim_wait(struct sim *s, int host, int want, unsigned int ms)
{
	unsigned int i;

	for (i = 0; i < ms; i++) {
		if (sim_state(s, host) == want)
			return i;
		sim_run(s, 1);
	}
	fail_msg("host %c is %s after %u ms, wanted %s", 'a' + host,
		 sim_state_name(sim_state(s, host)), ms, sim_state_name(want));
	return 0;
}

/* A protected pair: primary on a, backup on b, some log under way. */
void sim_pair(struct sim *s)
{
	sim_init(s, 1);
	sim_attach(s, SIM_A, false);
	sim_run(s, 200);
	sim_attach(s, SIM_B, true);
	sim_wait(s, SIM_B, LOCKSTEP_STATE_PROTECTED_B, 3000);
	sim_run(s, 500);
	sim_expect(s, SIM_A, LOCKSTEP_STATE_PROTECTED_P);
	sim_expect(s, SIM_B, LOCKSTEP_STATE_PROTECTED_B);
	assert_true(sim_guest(s, SIM_B)->head > 50000);
	assert_true(sim_guest(s, SIM_A)->released > 50000);
	s->alarms = 0;
}
