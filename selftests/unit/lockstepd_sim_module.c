// SPDX-License-Identifier: GPL-2.0
/*
 * Two hosts in virtual time: the fake module of a host. States, and the
 * conditions on events, are those of kmod/state.c and kmod/event.c.
 */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kmod/state.h"
#include "lockstepd_sim_impl.h"

#define NTF_NS		(SIM_MS / 10)
#define BATCH_BYTES	4096
#define ROOM		(1 << 20)

static uint8_t pattern(uint64_t lsn)
{
	return (uint8_t)(lsn * 131 + (lsn >> 8) * 17);
}

static struct sim_guest *find(struct sim_host *h, uint32_t id)
{
	int i;

	for (i = 0; i < SIM_GUESTS; i++)
		if (h->guest[i].used && h->guest[i].info.id == id)
			return &h->guest[i];
	return NULL;
}

static const struct lockstep_state_rule *rule(const struct sim_guest *g)
{
	return lockstep_state_rule(g->info.state);
}

/* --- notifications -------------------------------------------------------- */

static void state_arrives(struct sim *s, struct sim_event *e)
{
	struct sim_host *h = &s->host[e->host];
	struct lockstep_guest_info info;

	if (!h->daemon || e->epoch != h->epoch)
		return;
	memcpy(&info, e->data, sizeof(info));
	lockstep_core_state(&h->core, &info);
}

static void state_tell(struct sim_host *h, struct sim_guest *g, uint32_t flags)
{
	/* multicast is on a socket of its own: late against everything else */
	struct sim_event *e = sim_event_add(h->sim, NTF_NS + sim_rand(h->sim) % SIM_MS, h->index,
					    state_arrives, sizeof(g->info));

	g->info.flags |= flags;
	memcpy(e->data, &g->info, sizeof(g->info));
	g->info.flags &= ~flags;
}

static void log_arrives(struct sim *s, struct sim_event *e)
{
	struct sim_host *h = &s->host[e->host];
	uint64_t head[4];

	if (!h->daemon || e->epoch != h->epoch)
		return;
	memcpy(head, e->data, sizeof(head));
	lockstep_core_log(&h->core, (uint32_t)head[0], head[1],
			  (const struct lockstep_uuid *)(e->data + 16), e->data + 32, e->len - 32);
}

static void ack_arrives(struct sim *s, struct sim_event *e)
{
	struct sim_host *h = &s->host[e->host];
	uint64_t head[2];

	if (!h->daemon || e->epoch != h->epoch)
		return;
	memcpy(head, e->data, sizeof(head));
	lockstep_core_ack(&h->core, (uint32_t)head[0], head[1],
			  (const struct lockstep_uuid *)(e->data + 16),
			  (const struct lockstep_ack *)(e->data + 32));
}

static uint8_t *unicast(struct sim_host *h, struct sim_guest *g, sim_event_fn *fn, size_t len)
{
	struct sim_event *e = sim_event_add(h->sim, NTF_NS, h->index, fn, 32 + len);
	uint64_t head[2] = { g->info.id, g->info.generation };

	memcpy(e->data, head, sizeof(head));
	memcpy(e->data + 16, g->info.instance.b, 16);
	return e->data + 32;
}

static void ack_tell(struct sim_host *h, struct sim_guest *g)
{
	struct lockstep_ack ack = {
		.lsn = htole64(g->head),
		.executed = htole64(g->tail),
		.room = htole64(g->room - (g->head - g->tail)),
	};

	memcpy(unicast(h, g, ack_arrives, sizeof(ack)), &ack, sizeof(ack));
}

static void log_tell(struct sim_host *h, struct sim_guest *g)
{
	/* as the module: what is acknowledged is not sent again, whatever a rewind asked for */
	if (g->sent < g->tail)
		g->sent = g->tail;
	while (g->bound && rule(g)->logs && g->sent < g->head) {
		uint64_t n = g->head - g->sent < BATCH_BYTES ? g->head - g->sent : BATCH_BYTES, i;
		struct lockstep_batch batch = {
			.magic = htole32(LOCKSTEP_BATCH_MAGIC),
			.version = htole16(LOCKSTEP_ABI_VERSION),
			.len = htole32((uint32_t)n),
			.lsn = htole64(g->sent),
		};
		uint8_t *p = unicast(h, g, log_arrives, sizeof(batch) + n);

		memcpy(p, &batch, sizeof(batch));
		for (i = 0; i < n; i++)
			p[sizeof(batch) + i] = pattern(g->sent + i);
		g->sent += n;
	}
}

/* --- states --------------------------------------------------------------- */

static bool drained(struct sim_guest *g)
{
	if (g->info.flags & LOCKSTEP_FLAG_DRAINED)
		return false;
	switch (g->info.state) {
	case LOCKSTEP_STATE_CONTEST_B:
		if (g->tail != g->head)
			return false;
		break;
	case LOCKSTEP_STATE_STOPPING:
	case LOCKSTEP_STATE_SWITCHING:
		if (g->executed != g->head || g->released != g->head)
			return false;
		break;
	default:
		return false;
	}
	g->info.flags |= LOCKSTEP_FLAG_DRAINED;
	return true;
}

static void enter(struct sim_host *h, struct sim_guest *g, uint32_t old)
{
	g->info.flags &= ~LOCKSTEP_FLAG_DRAINED;
	switch (g->info.state) {
	case LOCKSTEP_STATE_CONTEST_P:
	case LOCKSTEP_STATE_CONTEST_B:
		g->info.flags |= LOCKSTEP_FLAG_CLAIMED;
		break;
	case LOCKSTEP_STATE_SOLO:
	case LOCKSTEP_STATE_LIVE:
		g->info.flags &= ~LOCKSTEP_FLAG_CLAIMED;
		g->executed = g->head;
		if (g->info.state == LOCKSTEP_STATE_LIVE)
			g->base = g->head;
		else
			g->tail = g->head;
		g->over_ns = h->sim->now;
		break;
	case LOCKSTEP_STATE_STOPPING:
		if (old == LOCKSTEP_STATE_SOLO || old == LOCKSTEP_STATE_SYNC_SRC) {
			g->tail = g->head;
			g->executed = g->head;
		}
		break;
	case LOCKSTEP_STATE_HALTED:
		g->over_ns = h->sim->now;
		break;
	default:
		break;
	}
	drained(g);
	state_tell(h, g, 0);
}

static int check(const struct sim_guest *g, unsigned int event, uint64_t generation,
		 const struct lockstep_uuid *peer)
{
	bool is_peer = peer && lockstep_uuid_equal(peer, &g->info.peer);
	bool twin = g->info.flags & LOCKSTEP_FLAG_TWIN;

	switch (event) {
	case LOCKSTEP_EVENT_COLD_WON:
		return twin ? -EINVAL : generation > g->info.generation ? 0 : -ESTALE;
	case LOCKSTEP_EVENT_OFFERED:
		return peer && twin && !g->started ? 0 : -EINVAL;
	case LOCKSTEP_EVENT_BACKUP_FOUND:
		return g->started ? -EOPNOTSUPP : peer ? 0 : -EINVAL;
	case LOCKSTEP_EVENT_READY:
		if (g->started)
			return -EOPNOTSUPP;
		return is_peer && generation > g->info.generation ? 0 : -ESTALE;
	case LOCKSTEP_EVENT_ACTIVATE:
		return is_peer && generation > g->info.generation ? 0 : -ESTALE;
	default:
		if (generation && generation != g->info.generation)
			return -ESTALE;
		return !peer || is_peer ? 0 : -ESTALE;
	}
}

/* Does something break here?  What it is comes once the host's present step is over. */
static bool failpoint(struct sim_host *h, const struct sim_guest *g, uint32_t state,
		      unsigned int event, bool after)
{
	struct sim_failpoint *f = &h->sim->failpoint;

	if (!f->armed || f->after != after || f->state != state || f->event != event)
		return false;
	f->armed = false;
	f->hit = true;
	f->host = h->index;
	f->id = g->info.id;
	f->activated = h->sim->made_edge[LOCKSTEP_STATE_SYNC_DST][LOCKSTEP_EVENT_ACTIVATE];
	h->broken = f->fault == SIM_FAULT_HOST || f->fault == SIM_FAULT_DAEMON;
	return true;
}

static int guest_event(struct sim_host *h, struct sim_guest *g, unsigned int event,
		       uint64_t generation, const struct lockstep_uuid *peer)
{
	uint32_t old = g->info.state;
	int next = lockstep_state_next(old, event), ret;

	if (next < 0)
		return next;
	ret = check(g, event, generation, peer);
	if (ret)
		return ret;
	if (failpoint(h, g, old, event, false))
		return -EIO;
	if (event == LOCKSTEP_EVENT_OFFERED || event == LOCKSTEP_EVENT_BACKUP_FOUND)
		g->info.peer = *peer;
	if (event == LOCKSTEP_EVENT_COLD_WON || event == LOCKSTEP_EVENT_READY ||
	    event == LOCKSTEP_EVENT_ACTIVATE)
		g->info.generation = generation;
	if (event == LOCKSTEP_EVENT_POWEROFF)
		g->info.flags |= LOCKSTEP_FLAG_POWEROFF;
	g->info.old_state = old;
	g->info.event = event;
	g->info.state = (uint32_t)next;
	h->sim->made_edge[old][event] = true;
	failpoint(h, g, old, event, true);
	enter(h, g, old);
	return 0;
}

int sim_module_get(void *user, uint32_t id, struct lockstep_guest_info *info)
{
	struct sim_guest *g = find(user, id);

	if (((struct sim_host *)user)->broken)
		return -EIO;
	if (!g)
		return -ENODEV;
	g->info.bound = g->bound;
	g->info.stats[LOCKSTEP_S_LSN] = g->head;
	g->info.stats[LOCKSTEP_S_ACKED] = g->tail;
	g->info.stats[LOCKSTEP_S_EXECUTED] = g->tail;
	g->info.stats[LOCKSTEP_S_STOPS] = g->started ? 1 + g->tail : 0;
	*info = g->info;
	return 0;
}

int sim_module_bind(void *user, uint32_t id)
{
	struct sim_host *h = user;
	struct sim_guest *g = find(h, id);

	if (!g)
		return -ENODEV;
	if (g->bound)
		return -EBUSY;
	g->bound = true;
	g->alive_ns = h->sim->now;
	return 0;
}

/* Every command of the daemon shows that it lives. */
static struct sim_guest *find_bound(struct sim_host *h, uint32_t id, int *ret)
{
	struct sim_guest *g = find(h, id);

	*ret = h->broken ? -EIO : !g ? -ENODEV : g->bound ? 0 : -EPERM;
	if (*ret)
		return NULL;
	g->alive_ns = h->sim->now;
	return g;
}

int sim_module_alive(void *user, uint32_t id)
{
	int ret;

	find_bound(user, id, &ret);
	return ret;
}

int sim_module_event(void *user, uint32_t id, unsigned int event, uint64_t generation,
		     const struct lockstep_uuid *peer)
{
	int ret;
	struct sim_guest *g = find_bound(user, id, &ret);

	if (!g)
		return ret;
	if (event >= LOCKSTEP_EVENT_DAEMON_LOST)
		fail_msg("the daemon reports event %s, which is the module's own",
			 lockstep_event_name(event));
	return guest_event(user, g, event, generation, peer);
}

static bool from_peer(const struct sim_guest *g, uint64_t generation,
		      const struct lockstep_uuid *peer)
{
	return generation == g->info.generation && lockstep_uuid_equal(peer, &g->info.peer);
}

int sim_module_feed(void *user, uint32_t id, uint64_t generation,
		    const struct lockstep_uuid *peer, const void *data, size_t len)
{
	const struct lockstep_batch *batch = data;
	uint64_t lsn, end, i;
	int ret;
	struct sim_guest *g = find_bound(user, id, &ret);

	if (!g)
		return ret;
	if (lockstep_batch_extent(data, len, &lsn, &end))
		return -EBADMSG;
	if (!rule(g)->acks || !from_peer(g, generation, peer))
		return -ESTALE;
	if (lsn > g->head)
		return -ERANGE;
	if (end > g->head && end - g->tail > g->room) {
		ack_tell(user, g);	/* as the module: it lives */
		return -EAGAIN;
	}
	for (i = g->head; i < end; i++)
		if (((const uint8_t *)(batch + 1))[i - lsn] != pattern(i))
			fail_msg("the twin was fed another byte than was logged at %llu",
				 (unsigned long long)i);
	if (end > g->head)
		g->head = end;
	ack_tell(user, g);
	return 0;
}

int sim_module_acked(void *user, uint32_t id, uint64_t generation,
		     const struct lockstep_uuid *peer, const struct lockstep_ack *ack)
{
	struct sim_host *h = user;
	uint64_t lsn = le64toh(ack->lsn);
	int ret;
	struct sim_guest *g = find_bound(h, id, &ret);

	if (!g)
		return ret;
	if (!rule(g)->logs || g->info.state == LOCKSTEP_STATE_CONTEST_P ||
	    !from_peer(g, generation, peer))
		return -ESTALE;
	if (lsn > g->head)
		return -ERANGE;
	if (lsn > g->tail)
		g->tail = lsn;
	if (le64toh(ack->executed) > g->executed)
		g->executed = le64toh(ack->executed);
	if (drained(g))
		state_tell(h, g, 0);
	return 0;
}

int sim_module_rewind(void *user, uint32_t id, uint64_t lsn)
{
	int ret;
	struct sim_guest *g = find_bound(user, id, &ret);

	if (!g)
		return ret;
	if (lsn < g->tail || lsn > g->sent)
		return -ERANGE;
	g->sent = lsn;
	return 0;
}

void sim_module_unbind(struct sim_host *h)
{
	int i;

	for (i = 0; i < SIM_GUESTS; i++) {
		struct sim_guest *g = &h->guest[i];

		if (!g->used || !g->bound)
			continue;
		g->bound = false;
		guest_event(h, g, LOCKSTEP_EVENT_DAEMON_LOST, 0, NULL);
	}
}

/* --- VMMs ----------------------------------------------------------------- */

struct sim_guest *sim_guest(struct sim *s, int host)
{
	struct sim_guest *newest = NULL;
	int i;

	for (i = 0; i < SIM_GUESTS; i++) {
		struct sim_guest *g = &s->host[host].guest[i];

		if (g->used && (!newest || g->info.id > newest->info.id))
			newest = g;
	}
	return newest;
}

int sim_state(struct sim *s, int host)
{
	struct sim_guest *g = sim_guest(s, host);

	return g ? (int)g->info.state : -1;
}

struct sim_guest *sim_attach(struct sim *s, int host, bool twin)
{
	struct sim_host *h = &s->host[host];
	struct sim_guest *g = NULL;
	int i;

	for (i = 0; i < SIM_GUESTS && !g; i++)
		if (!h->guest[i].used)
			g = &h->guest[i];
	assert_non_null(g);
	memset(g, 0, sizeof(*g));
	g->used = true;
	g->info.id = ++h->next_id;
	g->info.vmm_pid = 1000 + g->info.id;
	g->info.uuid = s->vm;
	g->info.silence_ms = LOCKSTEP_DAEMON_SILENCE_MS;
	snprintf(g->info.name, sizeof(g->info.name), "web");
	for (i = 0; i < LOCKSTEP_UUID_SIZE; i++)
		g->info.instance.b[i] = (uint8_t)sim_rand(s);
	g->info.flags = twin ? LOCKSTEP_FLAG_TWIN : LOCKSTEP_FLAG_WAIT;
	g->rate = 200;
	g->room = ROOM;
	state_tell(h, g, LOCKSTEP_FLAG_NEW);
	return g;
}

static void guest_detach(struct sim_host *h, struct sim_guest *g)
{
	g->info.old_state = g->info.state;
	g->info.event = LOCKSTEP_EVENT_VMM_GONE;
	state_tell(h, g, LOCKSTEP_FLAG_GONE);
	g->used = false;
}

void sim_module_detach(struct sim_host *h, uint32_t id)
{
	struct sim_guest *g = find(h, id);

	if (!g)
		return;
	h->sim->killed[h->index] = true;
	guest_detach(h, g);
}

void sim_vmm_kill(struct sim *s, int host)
{
	struct sim_guest *g = sim_guest(s, host);

	assert_non_null(g);
	sim_module_detach(&s->host[host], g->info.id);
}

void sim_poweroff(struct sim *s, int host)
{
	struct sim_guest *g = sim_guest(s, host);

	assert_non_null(g);
	g->head += 1;
	g->poweroff_lsn = g->head;
	g->info.flags |= LOCKSTEP_FLAG_POWEROFF;
}

static void primary_step(struct sim_host *h, struct sim_guest *g)
{
	bool open = rule(g)->gate == LOCKSTEP_GATE_RULE_OPEN;
	bool run = rule(g)->vcpu == LOCKSTEP_VCPU_LOG ||
		   (rule(g)->vcpu == LOCKSTEP_VCPU_RUN &&
		    (g->started || !(g->info.flags & LOCKSTEP_FLAG_WAIT)));

	if (run && g->info.flags & LOCKSTEP_FLAG_POWEROFF) {
		guest_event(h, g, LOCKSTEP_EVENT_POWEROFF, 0, NULL);
	} else if (run) {
		g->started = true;
		if (g->head - g->tail + g->rate <= g->room || open)
			g->head += g->rate;
		else
			g->info.stats[LOCKSTEP_S_LOG_FULL]++;
		if (open)
			g->tail = g->head;
	}
	log_tell(h, g);
	/* acknowledged, or not to be asked for: it leaves */
	if ((rule(g)->gate == LOCKSTEP_GATE_RULE_ACKED || open) && g->tail > g->released)
		g->released = g->tail;
	if (drained(g))
		state_tell(h, g, 0);
}

static void twin_step(struct sim_host *h, struct sim_guest *g)
{
	struct sim_guest *maker = sim_guest(h->sim, h->index == SIM_A ? SIM_B : SIM_A);
	uint64_t n = g->head - g->tail < g->rate ? g->head - g->tail : g->rate;

	if (rule(g)->vcpu != LOCKSTEP_VCPU_REPLAY)
		return;
	g->started = true;
	if (g->diverge_at && n && g->tail >= g->diverge_at) {
		g->info.divergence.reason = LOCKSTEP_DIVERGENCE_REGISTERS;
		g->info.divergence.lsn = g->tail;
		guest_event(h, g, LOCKSTEP_EVENT_DIVERGED, 0, NULL);
		return;
	}
	g->tail += n;
	if (n && rule(g)->acks && g->bound)
		ack_tell(h, g);
	if (maker && maker->poweroff_lsn)
		g->poweroff_lsn = maker->poweroff_lsn;
	if (g->poweroff_lsn && g->tail >= g->poweroff_lsn &&
	    !(g->info.flags & LOCKSTEP_FLAG_POWEROFF))
		guest_event(h, g, LOCKSTEP_EVENT_POWEROFF, 0, NULL);
	if (drained(g))
		state_tell(h, g, 0);
}

static void guest_step(struct sim_host *h, struct sim_guest *g)
{
	uint64_t now = h->sim->now;

	if (g->bound && now - g->alive_ns > g->info.silence_ms * SIM_MS)
		guest_event(h, g, LOCKSTEP_EVENT_DAEMON_LOST, 0, NULL);
	switch (g->info.state) {
	case LOCKSTEP_STATE_HALTED:
		if (now - g->over_ns > 5 * SIM_MS && !g->vmm_dead)
			guest_detach(h, g);
		return;
	case LOCKSTEP_STATE_LIVE:
		if (now - g->over_ns > 5 * SIM_MS)
			guest_event(h, g, LOCKSTEP_EVENT_WENT_LIVE, 0, NULL);
		return;
	default:
		break;
	}
	primary_step(h, g);
	twin_step(h, g);
}

void sim_module_step(struct sim_host *h)
{
	int i;

	for (i = 0; i < SIM_GUESTS; i++)
		if (h->guest[i].used)
			guest_step(h, &h->guest[i]);
}

/* --- promises ------------------------------------------------------------- */

static bool puts_out(const struct sim_guest *g)
{
	return g->used && rule(g)->gate == LOCKSTEP_GATE_RULE_OPEN && g->started;
}

void sim_promises_check(struct sim *s)
{
	struct sim_guest *live = NULL;
	int h, i;

	for (h = 0; h < SIM_HOSTS; h++) {
		for (i = 0; i < SIM_GUESTS; i++) {
			struct sim_guest *g = &s->host[h].guest[i];

			if (!puts_out(g))
				continue;
			if (live)
				fail_msg("%s: two instances put out: %s and %s", s->repeat,
					 lockstep_state_name(live->info.state),
					 lockstep_state_name(g->info.state));
			live = g;
		}
	}
	if (!live)
		return;
	for (h = 0; h < SIM_HOSTS; h++) {
		for (i = 0; i < SIM_GUESTS; i++) {
			struct sim_guest *g = &s->host[h].guest[i];

			if (g->used && g != live &&
			    g->info.generation == live->info.generation &&
			    live->info.flags & LOCKSTEP_FLAG_TWIN && g->released > live->base)
				fail_msg("%s: outputs up to %llu are outside, the survivor holds %llu",
					 s->repeat,
					 (unsigned long long)g->released,
					 (unsigned long long)live->base);
		}
	}
}
