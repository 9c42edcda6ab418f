// SPDX-License-Identifier: GPL-2.0
/* A transport's life, its status, and calls from other threads. */
#include "transport/transport.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/json.h"
#include "transport/internal.h"

static void on_sigpipe(int sig)
{
	(void)sig;
}

struct event_base *lockstep_loop_create(void)
{
	struct sigaction old, sa = { .sa_handler = on_sigpipe, .sa_flags = SA_RESTART };
	struct event_base *base = NULL;
	struct event_config *cfg;

	/* A handler, not SIG_IGN: programs that we execute get the default back. */
	if (!sigaction(SIGPIPE, NULL, &old) && old.sa_handler == SIG_DFL)
		sigaction(SIGPIPE, &sa, NULL);
	cfg = event_config_new();
	if (!cfg)
		return NULL;
	/* After each bulk callback look whether something more urgent has come. */
	if (!event_config_set_max_dispatch_interval(cfg, NULL, 1, LOCKSTEP_PRIO_BULK))
		base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	if (base && event_base_priority_init(base, LOCKSTEP_PRIO_COUNT)) {
		event_base_free(base);
		return NULL;
	}
	return base;
}

int lockstep_event_prio(struct lockstep_transport *t, int prio)
{
	int n = event_base_get_npriorities(t->base);

	return prio < n ? prio : n - 1;
}

/* Free what the upper layer let go of, dial new peers: in a turn of its own. */
static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct lockstep_transport *t = arg;
	struct lockstep_peer *peer, *next;

	(void)fd;
	(void)what;
	lockstep_tick_enter(t);
	lockstep_stream_reap(t);
	LOCKSTEP_FOREACH_SAFE(peer, &t->peers, all, next) {
		if (!peer->removed)
			lockstep_peer_tick(peer, t->alive_ns);
		else if (lockstep_peer_reap(peer))
			lockstep_peer_free(peer);
	}
}

void lockstep_transport_sweep(struct lockstep_transport *t)
{
	event_active(t->sweep_ev, EV_TIMEOUT, 0);
}

/* --- calls from other threads -------------------------------------------- */

static void on_call(evutil_socket_t fd, short what, void *arg)
{
	struct lockstep_transport *t = arg;
	struct lockstep_call *call;
	uint64_t n;

	(void)what;
	if (read(fd, &n, sizeof(n)) < 0 && errno == EAGAIN)
		return;
	lockstep_tick_enter(t);
	for (;;) {
		pthread_mutex_lock(&t->call_lock);
		call = TAILQ_FIRST(&t->calls);
		if (call)
			TAILQ_REMOVE(&t->calls, call, all);
		pthread_mutex_unlock(&t->call_lock);
		if (!call)
			return;
		call->fn(call->arg);
		free(call);
	}
}

int lockstep_transport_call(struct lockstep_transport *t, void (*fn)(void *arg), void *arg)
{
	struct lockstep_call *call = malloc(sizeof(*call));
	uint64_t one = 1;

	if (!call)
		return -ENOMEM;
	call->fn = fn;
	call->arg = arg;
	pthread_mutex_lock(&t->call_lock);
	TAILQ_INSERT_TAIL(&t->calls, call, all);
	pthread_mutex_unlock(&t->call_lock);
	/* Fails only when the counter is full, and then the loop is awake. */
	if (write(t->call_fd, &one, sizeof(one)) < 0)
		return 0;
	return 0;
}

static int calls_init(struct lockstep_transport *t)
{
	t->call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (t->call_fd < 0)
		return -errno;
	t->call_ev = event_new(t->base, t->call_fd, EV_READ | EV_PERSIST, on_call, t);
	if (!t->call_ev || event_add(t->call_ev, NULL))
		return -ENOMEM;
	return 0;
}

static void calls_exit(struct lockstep_transport *t)
{
	struct lockstep_call *call;

	if (t->call_ev)
		event_free(t->call_ev);
	if (t->call_fd >= 0)
		close(t->call_fd);
	while ((call = TAILQ_FIRST(&t->calls))) {
		TAILQ_REMOVE(&t->calls, call, all);
		free(call);
	}
	pthread_mutex_destroy(&t->call_lock);
}

/* --- life ---------------------------------------------------------------- */

/* Value, or its default if 0; *err is set when it is out of range. */
static uint64_t setting(uint64_t value, uint64_t def, uint64_t min, uint64_t max,
			const char *name, char *msg, size_t msglen, int *err)
{
	if (!value)
		value = def;
	if (value < min || value > max) {
		snprintf(msg, msglen, "%s is %llu, not %llu to %llu", name,
			 (unsigned long long)value, (unsigned long long)min,
			 (unsigned long long)max);
		*err = -ERANGE;
	}
	return value;
}

static int apply_config(struct lockstep_transport *t,
			const struct lockstep_transport_config *cfg, char *msg, size_t msglen)
{
	uint64_t beat_ms;
	int err = 0;

	if (!lockstep_node_name_valid(cfg->node) || !lockstep_node_name_valid(cfg->cluster)) {
		snprintf(msg, msglen, "node name \"%s\" or cluster name \"%s\" is not 1 to %d lower-case letters, digits, '.', '-', '_'",
			 cfg->node ? cfg->node : "", cfg->cluster ? cfg->cluster : "",
			 LOCKSTEP_NODE_NAME_MAX);
		return -EINVAL;
	}
	strcpy(t->node, cfg->node);
	strcpy(t->cluster, cfg->cluster);
	beat_ms = setting(cfg->heartbeat_ms, LOCKSTEP_HEARTBEAT_MS_DEF, LOCKSTEP_HEARTBEAT_MS_MIN,
			  LOCKSTEP_HEARTBEAT_MS_MAX, "heartbeat", msg, msglen, &err);
	t->beat_ns = beat_ms * LOCKSTEP_NSEC_PER_MSEC;
	t->silence_ms = (unsigned int)setting(cfg->silence_ms, LOCKSTEP_SILENCE_MS_DEF,
					      LOCKSTEP_SILENCE_MS_MIN, LOCKSTEP_SILENCE_MS_MAX,
					      "silence time-out", msg, msglen, &err);
	t->connect_ns = LOCKSTEP_NSEC_PER_MSEC *
		setting(cfg->connect_ms, LOCKSTEP_CONNECT_MS_DEF, LOCKSTEP_CONNECT_MS_MIN,
			LOCKSTEP_CONNECT_MS_MAX, "connect time limit", msg, msglen, &err);
	t->stall_ms = (unsigned int)setting(cfg->stall_ms, LOCKSTEP_STALL_MS_DEF,
					    LOCKSTEP_STALL_MS_MIN, LOCKSTEP_STALL_MS_MAX,
					    "stall time limit", msg, msglen, &err);
	t->queue_max = setting(cfg->queue_max, LOCKSTEP_QUEUE_DEF, LOCKSTEP_QUEUE_MIN,
			       LOCKSTEP_QUEUE_MAX, "queue limit", msg, msglen, &err);
	t->window = (uint32_t)setting(cfg->window, LOCKSTEP_WINDOW_DEF, LOCKSTEP_WINDOW_MIN,
				      LOCKSTEP_WINDOW_MAX, "stream window", msg, msglen, &err);
	if (!err && t->silence_ms < 4 * beat_ms) {
		snprintf(msg, msglen, "silence time-out of %u ms is less than four heartbeats of %llu ms",
			 t->silence_ms, (unsigned long long)beat_ms);
		err = -ERANGE;
	}
	return err;
}

static int init_parts(struct lockstep_transport *t, const char *keys_dir, char *msg, size_t msglen)
{
	int err;

	err = lockstep_uuid_boot_id(&t->boot_id);
	if (!err)
		err = lockstep_uuid_random(&t->incarnation);
	if (!err && keys_dir) {
		err = lockstep_tls_init(t, keys_dir, msg, msglen);
		if (err)
			return err;
	}
	if (!err) {
		t->sweep_ev = event_new(t->base, -1, 0, on_sweep, t);
		err = t->sweep_ev ? lockstep_tick_init(t) : -ENOMEM;
	}
	if (!err)
		err = calls_init(t);
	if (err)
		snprintf(msg, msglen, "can't make the transport: %s", strerror(-err));
	return err;
}

int lockstep_transport_create(struct event_base *base,
			      const struct lockstep_transport_config *cfg,
			      const struct lockstep_transport_ops *ops, void *user,
			      char *err, size_t errlen, struct lockstep_transport **out)
{
	static const struct lockstep_transport_ops no_ops;
	struct lockstep_transport *t;
	int ret;

	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->base = base;
	t->ops = ops ? ops : &no_ops;
	t->user = user;
	t->tick_fd = -1;
	t->call_fd = -1;
	pthread_mutex_init(&t->call_lock, NULL);
	TAILQ_INIT(&t->calls);
	TAILQ_INIT(&t->conns);
	TAILQ_INIT(&t->peers);
	TAILQ_INIT(&t->closing);
	TAILQ_INIT(&t->listeners);
	TAILQ_INIT(&t->udps);
	TAILQ_INIT(&t->services);

	ret = apply_config(t, cfg, err, errlen);
	if (!ret)
		ret = init_parts(t, cfg->keys_dir, err, errlen);
	if (ret) {
		lockstep_transport_destroy(t);
		return ret;
	}
	*out = t;
	return 0;
}

void lockstep_transport_destroy(struct lockstep_transport *t)
{
	struct lockstep_service *s;
	struct lockstep_peer *peer;
	struct lockstep_conn *conn;

	if (!t)
		return;
	lockstep_listen_exit(t);
	while ((conn = TAILQ_FIRST(&t->conns)))
		lockstep_conn_free(conn);
	while ((peer = TAILQ_FIRST(&t->peers))) {
		lockstep_stream_free_all(peer);
		lockstep_peer_free(peer);
	}
	while ((s = TAILQ_FIRST(&t->services))) {
		TAILQ_REMOVE(&t->services, s, all);
		free(s);
	}
	lockstep_udp_exit(t);
	calls_exit(t);
	lockstep_tick_exit(t);
	if (t->sweep_ev)
		event_free(t->sweep_ev);
	lockstep_tls_exit(t);
	free(t);
}

struct event_base *lockstep_transport_base(const struct lockstep_transport *t)
{
	return t->base;
}

void *lockstep_transport_user(const struct lockstep_transport *t)
{
	return t->user;
}

const char *lockstep_transport_node(const struct lockstep_transport *t)
{
	return t->node;
}

const struct lockstep_uuid *lockstep_transport_boot_id(const struct lockstep_transport *t)
{
	return &t->boot_id;
}

const struct lockstep_uuid *lockstep_transport_incarnation(const struct lockstep_transport *t)
{
	return &t->incarnation;
}

/* --- status -------------------------------------------------------------- */

static struct json_object *link_status(const struct lockstep_link *link)
{
	struct json_object *o = json_object_new_object();
	const struct lockstep_conn *conn = link->conn;

	if (!o)
		return NULL;
	lockstep_json_add_bool(o, "up", link->up);
	lockstep_json_add_str(o, "state", conn ? lockstep_conn_state_name(conn->state) : "down");
	if (conn) {
		lockstep_json_add_str(o, "address", conn->address);
		lockstep_json_add_u64(o, "queued", lockstep_conn_queued(conn));
		lockstep_json_add_u64(o, "tx_bytes", conn->tx_bytes);
		lockstep_json_add_u64(o, "rx_bytes", conn->rx_bytes);
	}
	return o;
}

static struct json_object *peer_status(const struct lockstep_peer *peer)
{
	struct json_object *o = json_object_new_object();
	const struct lockstep_conn *log = peer->links[LOCKSTEP_PLANE_LOG].conn;

	if (!o)
		return NULL;
	lockstep_json_add_str(o, "node", peer->name);
	lockstep_json_add_bool(o, "dials", peer->dials);
	json_object_object_add(o, "log", link_status(&peer->links[LOCKSTEP_PLANE_LOG]));
	json_object_object_add(o, "bulk", link_status(&peer->links[LOCKSTEP_PLANE_BULK]));
	if (log && log->state == LOCKSTEP_CONN_UP) {
		lockstep_json_add_uuid(o, "boot_id", &log->remote.boot_id);
		lockstep_json_add_uuid(o, "incarnation", &log->remote.incarnation);
	}
	lockstep_json_add_u64(o, "streams", peer->nstreams);
	lockstep_json_add_u64(o, "rtt_ns", peer->beats.rtt_ns);
	lockstep_json_add_u64(o, "silent_ns", lockstep_peer_silent_ns(peer));
	lockstep_json_add_u64(o, "silence_ms", peer->beats.silence_ns / LOCKSTEP_NSEC_PER_MSEC);
	lockstep_json_add_u64(o, "heartbeats_sent", peer->beats.sent);
	lockstep_json_add_u64(o, "heartbeats_received", peer->beats.received);
	lockstep_json_add_u64(o, "heartbeats_rejected", peer->beats.rejected);
	return o;
}

struct json_object *lockstep_transport_status(struct lockstep_transport *t)
{
	struct json_object *o = json_object_new_object();
	struct json_object *listen = json_object_new_array();
	struct json_object *peers = json_object_new_array();
	struct lockstep_listener *l;
	struct lockstep_peer *peer;
	char text[LOCKSTEP_ADDR_STRLEN];

	if (!o || !listen || !peers) {
		json_object_put(o);
		json_object_put(listen);
		json_object_put(peers);
		return NULL;
	}
	lockstep_json_add_str(o, "node", t->node);
	lockstep_json_add_str(o, "cluster", t->cluster);
	lockstep_json_add_uuid(o, "boot_id", &t->boot_id);
	lockstep_json_add_uuid(o, "incarnation", &t->incarnation);
	lockstep_json_add_u64(o, "heartbeat_ms", t->beat_ns / LOCKSTEP_NSEC_PER_MSEC);
	lockstep_json_add_u64(o, "loop_gaps", t->gaps);
	TAILQ_FOREACH(l, &t->listeners, all)
		json_object_array_add(listen, json_object_new_string(lockstep_addr_format(&l->addr, text)));
	json_object_object_add(o, "listen", listen);
	TAILQ_FOREACH(peer, &t->peers, all) {
		if (!peer->removed)
			json_object_array_add(peers, peer_status(peer));
	}
	json_object_object_add(o, "peers", peers);
	return o;
}
