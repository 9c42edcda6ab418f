// SPDX-License-Identifier: GPL-2.0
/*
 * The transport's clock: one timer on CLOCK_BOOTTIME does heartbeats, silence,
 * redialling and deadlines.
 *
 * Absence of the loop. Each handler begins with lockstep_tick_enter(), which
 * compares the clock with the handler before. The timer runs at least four times
 * in a silence time-out, so more than half of one between two handlers means
 * that this process did not run. Then loop_gap is reported, before the
 * handler does anything else, and timing is suspended until @drained_ev, at
 * the lowest priority, has run: libevent gets to it only once no message and no
 * heartbeat is left to be read. A peer that talks without pause can't put that
 * off for more than half a time-out.
 */
#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "transport/internal.h"

static void restart_timing(struct lockstep_transport *t, uint64_t now)
{
	struct lockstep_peer *peer;

	TAILQ_FOREACH(peer, &t->peers, all) {
		lockstep_beats_restart(peer, now);
		lockstep_stream_restart(peer, now);
	}
}

void lockstep_tick_enter(struct lockstep_transport *t)
{
	uint64_t now = lockstep_clock_ns();
	uint64_t gap = now - t->alive_ns;

	t->alive_ns = now;
	if (gap <= t->gap_ns)
		return;
	t->gaps++;
	t->drain_until_ns = now + t->gap_ns;
	restart_timing(t, now);
	event_active(t->drained_ev, EV_TIMEOUT, 0);
	if (t->ops->loop_gap)
		t->ops->loop_gap(t, gap);
}

void lockstep_transport_enter(struct lockstep_transport *t)
{
	lockstep_tick_enter(t);
}

static void end_draining(struct lockstep_transport *t, uint64_t now)
{
	if (!t->drain_until_ns)
		return;
	t->drain_until_ns = 0;
	restart_timing(t, now);
}

static void on_drained(evutil_socket_t fd, short what, void *arg)
{
	struct lockstep_transport *t = arg;

	(void)fd;
	(void)what;
	lockstep_tick_enter(t);
	end_draining(t, t->alive_ns);
}

static void check_deadlines(struct lockstep_transport *t, uint64_t now)
{
	struct lockstep_conn *conn;

	TAILQ_FOREACH(conn, &t->conns, all) {
		if (!conn->deadline_ns || now < conn->deadline_ns)
			continue;
		if (conn->state == LOCKSTEP_CONN_CLOSING)
			lockstep_conn_fail(conn, conn->error, NULL);
		else
			lockstep_conn_fail(conn, -ETIMEDOUT, "no answer (%s)",
					   lockstep_conn_state_name(conn->state));
	}
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct lockstep_transport *t = arg;
	struct lockstep_peer *peer, *next;
	uint64_t expirations, now;

	(void)what;
	/* Only says how often the timer ran out; the clock says more. */
	if (read(fd, &expirations, sizeof(expirations)) < 0 && errno == EAGAIN)
		return;
	lockstep_tick_enter(t);
	now = t->alive_ns;
	if (t->drain_until_ns && now >= t->drain_until_ns)
		end_draining(t, now);
	lockstep_udp_drain(t);
	lockstep_listen_resume(t);
	check_deadlines(t, now);
	LOCKSTEP_FOREACH_SAFE(peer, &t->peers, all, next) {
		if (!peer->removed)
			lockstep_peer_tick(peer, now);
		if (!peer->removed)
			lockstep_stream_tick(peer, now);
		if (!peer->removed)
			lockstep_beats_send(peer, now);
		if (!peer->removed && !t->drain_until_ns)
			lockstep_beats_check(peer, now);
	}
}

void lockstep_tick_set_gap(struct lockstep_transport *t)
{
	uint64_t shortest = t->silence_ms * LOCKSTEP_NSEC_PER_MSEC;
	struct lockstep_peer *peer;

	TAILQ_FOREACH(peer, &t->peers, all) {
		if (!peer->removed && peer->beats.silence_ns < shortest)
			shortest = peer->beats.silence_ns;
	}
	t->gap_ns = shortest / 2;
}

int lockstep_tick_init(struct lockstep_transport *t)
{
	struct itimerspec its;

	its.it_interval.tv_sec = (time_t)(t->beat_ns / LOCKSTEP_NSEC_PER_SEC);
	its.it_interval.tv_nsec = (long)(t->beat_ns % LOCKSTEP_NSEC_PER_SEC);
	its.it_value = its.it_interval;
	t->tick_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (t->tick_fd < 0)
		return -errno;
	if (timerfd_settime(t->tick_fd, 0, &its, NULL) < 0)
		return -errno;
	t->tick_ev = event_new(t->base, t->tick_fd, EV_READ | EV_PERSIST, on_tick, t);
	t->drained_ev = event_new(t->base, -1, 0, on_drained, t);
	if (!t->tick_ev || !t->drained_ev)
		return -ENOMEM;
	event_priority_set(t->tick_ev, lockstep_event_prio(t, LOCKSTEP_PRIO_BEAT));
	event_priority_set(t->drained_ev, lockstep_event_prio(t, LOCKSTEP_PRIO_BULK));
	if (event_add(t->tick_ev, NULL))
		return -ENOMEM;
	t->alive_ns = lockstep_clock_ns();
	lockstep_tick_set_gap(t);
	return 0;
}

void lockstep_tick_exit(struct lockstep_transport *t)
{
	if (t->tick_ev)
		event_free(t->tick_ev);
	if (t->drained_ev)
		event_free(t->drained_ev);
	if (t->tick_fd >= 0)
		close(t->tick_fd);
}
