// SPDX-License-Identifier: GPL-2.0
/* The module: the core's operations over netlink, and finding it at all. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/json.h"
#include "common/log.h"
#include "lockstepd/daemon.h"
#include "lockstepd/netlink.h"

#define READ_BUDGET	64	/* messages of one turn of the loop */
#define LOOK_NS		LOCKSTEP_NSEC_PER_SEC
#define GUESTS_MAX	1024

/* --- operations of the core ----------------------------------------------- */

static uint64_t op_now(void *user)
{
	(void)user;
	return lockstep_clock_ns();
}

static int op_get(void *user, uint32_t id, struct lockstep_guest_info *info)
{
	struct lockstepd *d = user;

	return d->nl ? lockstep_netlink_get(d->nl, id, NULL, info) : -ENODEV;
}

static int op_bind(void *user, uint32_t id)
{
	struct lockstepd *d = user;

	return d->nl ? lockstep_netlink_bind(d->nl, id) : -ENODEV;
}

static int op_alive(void *user, uint32_t id)
{
	struct lockstepd *d = user;

	return d->nl ? lockstep_netlink_alive(d->nl, id) : -ENODEV;
}

static int op_event(void *user, uint32_t id, unsigned int event, uint64_t generation,
		    const struct lockstep_uuid *peer)
{
	struct lockstepd *d = user;

	return d->nl ? lockstep_netlink_event(d->nl, id, event, generation, peer, NULL) : -ENODEV;
}

static int op_feed(void *user, uint32_t id, uint64_t generation,
		   const struct lockstep_uuid *peer, const void *batch, size_t len)
{
	struct lockstepd *d = user;

	return d->nl ? lockstep_netlink_feed(d->nl, id, generation, peer, batch, len) : -ENODEV;
}

static int op_acked(void *user, uint32_t id, uint64_t generation,
		    const struct lockstep_uuid *peer, const struct lockstep_ack *ack)
{
	struct lockstepd *d = user;

	return d->nl ? lockstep_netlink_acked(d->nl, id, generation, peer, ack) : -ENODEV;
}

static int op_rewind(void *user, uint32_t id, uint64_t lsn)
{
	struct lockstepd *d = user;

	return d->nl ? lockstep_netlink_rewind(d->nl, id, lsn) : -ENODEV;
}

static void op_kill(void *user, uint32_t pid)
{
	(void)user;
	if (pid > 1)
		kill((pid_t)pid, SIGKILL);
}

static void op_attached(void *user, struct lockstep_guest *g)
{
	lockstepd_control_attached(user, g);
}

const struct lockstep_core_ops lockstepd_core_ops = {
	.now = op_now,
	.get = op_get,
	.bind = op_bind,
	.alive = op_alive,
	.event = op_event,
	.feed = op_feed,
	.acked = op_acked,
	.rewind = op_rewind,
	.send = lockstepd_peer_send,
	.receive_pause = lockstepd_peer_receive_pause,
	.kill = op_kill,
	.attached = op_attached,
};

/* --- upcalls of netlink --------------------------------------------------- */

static void on_log(void *user, uint32_t id, uint64_t generation,
		   const struct lockstep_uuid *instance, const void *batch, size_t len)
{
	struct lockstepd *d = user;

	lockstep_core_log(&d->core, id, generation, instance, batch, len);
}

static void on_ack(void *user, uint32_t id, uint64_t generation,
		   const struct lockstep_uuid *instance, const struct lockstep_ack *ack)
{
	struct lockstepd *d = user;

	lockstep_core_ack(&d->core, id, generation, instance, ack);
}

static void on_state(void *user, const struct lockstep_guest_info *info)
{
	struct lockstepd *d = user;

	lockstep_core_state(&d->core, info);
}

static const struct lockstep_netlink_ops netlink_ops = {
	.log = on_log,
	.ack = on_ack,
	.state = on_state,
};

/* --- loop ----------------------------------------------------------------- */

void lockstepd_module_kick(struct lockstepd *d)
{
	/* a module that failed to answer was closed by a command's upcall: no event */
	if (d->nl && lockstep_netlink_pending(d->nl))
		event_active(d->data_event, EV_READ, 0);
}

void lockstepd_module_throttle(struct lockstepd *d)
{
	if (!d->data_event)
		return;
	if (d->congested)
		event_del(d->data_event);
	else
		event_add(d->data_event, NULL);
}

static void on_data(evutil_socket_t fd, short what, void *arg)
{
	struct lockstepd *d = arg;
	int ret = lockstep_netlink_read(d->nl, READ_BUDGET);

	(void)fd;
	(void)what;
	if (ret < 0)
		lockstep_err("reading the module's log: %s", strerror(-ret));
	lockstep_core_acks_flush(&d->core);
	lockstepd_module_kick(d);
}

/**
 * struct listing - a dump under way
 * @infos: guests seen; taken up only when the dump is over, as that runs commands
 * @n: how many
 */
struct listing {
	struct lockstep_guest_info *infos;
	size_t n;
};

static void list_add(const struct lockstep_guest_info *info, void *arg)
{
	struct listing *l = arg;

	if (l->n < GUESTS_MAX)
		l->infos[l->n++] = *info;
}

/* Read all guests: at the start, and when notifications were lost. */
static int guests_read(struct lockstepd *d)
{
	struct listing l = { 0 };
	uint32_t *ids;
	size_t i;
	int ret;

	l.infos = calloc(GUESTS_MAX, sizeof(*l.infos));
	ids = calloc(GUESTS_MAX, sizeof(*ids));
	ret = l.infos && ids ? lockstep_netlink_dump(d->nl, list_add, &l) : -ENOMEM;
	if (!ret) {
		for (i = 0; i < l.n; i++)
			ids[i] = l.infos[i].id;
		lockstep_core_guests_check(&d->core, ids, l.n);
		for (i = 0; i < l.n; i++)
			lockstep_core_state(&d->core, &l.infos[i]);
	}
	free(l.infos);
	free(ids);
	return ret;
}

static void on_events(evutil_socket_t fd, short what, void *arg)
{
	struct lockstepd *d = arg;
	int ret = lockstep_netlink_read_events(d->nl);

	(void)fd;
	(void)what;
	if (ret == -ENOBUFS) {
		lockstep_notice("state changes came too fast: reading all guests again");
		ret = guests_read(d);
	}
	if (ret < 0)
		lockstep_err("reading the module's events: %s", strerror(-ret));
	lockstepd_module_kick(d);
}

static void missing_tell(struct lockstepd *d, int error)
{
	static int told;

	if (told == error)
		return;
	told = error;
	if (error == -ENOENT && d->cfg.mr.enabled)
		lockstep_notice("the module is not loaded: this node does MapReduce only, and no guest can run on it; modprobe lockstep changes that at any time");
	else if (error == -ENOENT)
		lockstep_warn("the module is not loaded: modprobe lockstep (waiting for it)");
	else if (error)
		lockstep_err("the module can't be used: %s", strerror(-error));
}

static int module_open(struct lockstepd *d)
{
	int ret = lockstep_netlink_create(&netlink_ops, d, &d->nl);

	missing_tell(d, ret);
	if (ret)
		return ret;
	d->data_event = event_new(d->base, lockstep_netlink_data_fd(d->nl), EV_READ | EV_PERSIST,
				  on_data, d);
	d->events_event = event_new(d->base, lockstep_netlink_events_fd(d->nl),
				    EV_READ | EV_PERSIST, on_events, d);
	if (!d->data_event || !d->events_event || event_add(d->events_event, NULL)) {
		lockstepd_module_close(d);
		return -ENOMEM;
	}
	lockstepd_module_throttle(d);
	lockstep_info("the module is there");
	ret = guests_read(d);
	lockstepd_module_kick(d);
	return ret;
}

void lockstepd_module_close(struct lockstepd *d)
{
	if (d->data_event)
		event_free(d->data_event);
	if (d->events_event)
		event_free(d->events_event);
	d->data_event = NULL;
	d->events_event = NULL;
	lockstep_netlink_destroy(d->nl);
	d->nl = NULL;
}

static void count_one(const struct lockstep_guest_info *info, void *arg)
{
	(void)info;
	++*(unsigned int *)arg;
}

void lockstepd_module_look(struct lockstepd *d)
{
	uint64_t now = lockstep_clock_ns();
	unsigned int n = 0;

	if (now - d->module_ns < LOOK_NS)
		return;
	d->module_ns = now;
	lockstepd_traits_look(d);
	if (!d->nl) {
		module_open(d);
		return;
	}
	/* it can't go while guests are attached; without any it may be reloaded */
	if (TAILQ_EMPTY(&d->core.guests) && lockstep_netlink_dump(d->nl, count_one, &n)) {
		lockstep_info("the module is gone");
		lockstepd_module_close(d);
	}
}
