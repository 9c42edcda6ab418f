// SPDX-License-Identifier: GPL-2.0
/* Nodes of a cluster in one process, for tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/clock.h"
#include "transport/keys.h"
#include "transport_fixture.h"

static void trace(struct fx_node *n, char c)
{
	if (n->trace_len < sizeof(n->trace) - 1)
		n->trace[n->trace_len++] = c;
}

static struct fx_node *node_of(struct lockstep_peer *peer)
{
	return lockstep_transport_user(lockstep_peer_transport(peer));
}

static void on_peer_state(struct lockstep_peer *peer, enum lockstep_plane plane, bool up,
			  const struct lockstep_link_info *info)
{
	struct fx_node *n = node_of(peer);

	if (up) {
		n->ups[plane]++;
		n->incarnation = info->incarnation;
	} else {
		n->downs[plane]++;
		n->last_error = info->error;
		snprintf(n->last_reason, sizeof(n->last_reason), "%s", info->reason);
	}
	if (plane == LOCKSTEP_PLANE_LOG)
		trace(n, up ? 'U' : 'D');
}

static void on_peer_message(struct lockstep_peer *peer, const struct lockstep_msg *msg,
			    const void *data, size_t len)
{
	struct fx_node *n = node_of(peer);

	if (n->on_message) {
		n->on_message(n, peer, msg, data, len);
		return;
	}
	n->messages++;
	if (msg->id != n->last_id + 1)
		n->misordered++;
	n->last_id = msg->id;
	if (!fx_check(data, len, msg->id))
		n->corrupt++;
}

static void on_peer_writable(struct lockstep_peer *peer)
{
	node_of(peer)->writable++;
}

static void on_stream_open(struct lockstep_peer *peer, struct lockstep_stream *stream,
			   uint32_t kind, const void *data, size_t len)
{
	struct fx_node *n = node_of(peer);

	if (n->on_stream)
		n->on_stream(n, stream, kind, data, len);
}

static size_t on_heartbeat_fill(struct lockstep_peer *peer, void *buf, size_t size)
{
	return (size_t)snprintf(buf, size, "i am %s", node_of(peer)->name);
}

static void on_heartbeat(struct lockstep_peer *peer, const struct lockstep_heartbeat_info *info)
{
	struct fx_node *n = node_of(peer);

	n->beats++;
	if (info->rtt_ns)
		n->last_rtt = info->rtt_ns;
	n->peer_heard_ns = info->peer_heard_ns;
	memcpy(n->beat_text, info->payload, info->len);
	n->beat_text[info->len] = '\0';
	trace(n, 'B');
}

static void on_silence(struct lockstep_peer *peer, uint64_t silent_ns, unsigned int count)
{
	struct fx_node *n = node_of(peer);

	(void)silent_ns;
	(void)count;
	n->silences++;
	trace(n, 'S');
}

static void on_heard(struct lockstep_peer *peer, uint64_t silent_ns)
{
	struct fx_node *n = node_of(peer);

	(void)silent_ns;
	n->heard++;
	trace(n, 'H');
}

static void on_loop_gap(struct lockstep_transport *t, uint64_t gap_ns)
{
	struct fx_node *n = lockstep_transport_user(t);

	(void)gap_ns;
	n->gaps++;
	trace(n, 'G');
}

static void on_connect_failed(struct lockstep_peer *peer, enum lockstep_plane plane,
			      const struct lockstep_link_info *info)
{
	struct fx_node *n = node_of(peer);

	(void)plane;
	n->failures++;
	n->last_error = info->error;
	snprintf(n->last_reason, sizeof(n->last_reason), "%s", info->reason);
}

static void on_refused(struct lockstep_transport *t, const char *address, const char *node,
		       int error, const char *reason)
{
	struct fx_node *n = lockstep_transport_user(t);

	(void)address;
	(void)error;
	n->refused++;
	snprintf(n->refused_node, sizeof(n->refused_node), "%s", node ? node : "");
	snprintf(n->refused_reason, sizeof(n->refused_reason), "%s", reason);
}

const struct lockstep_transport_ops fx_ops = {
	.peer_state	= on_peer_state,
	.peer_message	= on_peer_message,
	.peer_writable	= on_peer_writable,
	.stream_open	= on_stream_open,
	.heartbeat_fill	= on_heartbeat_fill,
	.heartbeat	= on_heartbeat,
	.silence	= on_silence,
	.heard		= on_heard,
	.loop_gap	= on_loop_gap,
	.connect_failed	= on_connect_failed,
	.refused	= on_refused,
};

char *fx_keys(const struct fx *fx, const char *node, char *path)
{
	snprintf(path, PATH_MAX, "%.3000s/%s", fx->dir, node);
	return path;
}

void fx_issue(struct fx *fx, const char *node)
{
	char ca[PATH_MAX], out[PATH_MAX];

	fx_keys(fx, "ca", ca);
	if (lockstep_keys_issue(ca, node, fx_keys(fx, node, out)))
		fail_msg("%s", lockstep_keys_strerror());
}

void fx_init(struct fx *fx)
{
	const char *tmp = getenv("TMPDIR");
	char path[PATH_MAX];

	snprintf(fx->dir, sizeof(fx->dir), "%s/lockstep-unit.XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(fx->dir));
	assert_int_equal(lockstep_keys_init(fx_keys(fx, "ca", path), FX_CLUSTER), 0);
	fx_issue(fx, "a");
	fx_issue(fx, "b");
	fx_issue(fx, "c");
	fx_issue(fx, "arbiter");
	fx->base = lockstep_loop_create();
	assert_non_null(fx->base);
}

void fx_exit(struct fx *fx)
{
	char cmd[PATH_MAX + 16];

	event_base_free(fx->base);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", fx->dir);
	assert_int_equal(system(cmd), 0);
}

static struct lockstep_transport *alive[FX_NODES_MAX];

static void remember(struct lockstep_transport *t)
{
	size_t i;

	for (i = 0; i < FX_NODES_MAX; i++) {
		if (!alive[i]) {
			alive[i] = t;
			return;
		}
	}
	fail_msg("more than %d nodes", FX_NODES_MAX);
}

static void destroy(struct lockstep_transport *t)
{
	size_t i;

	for (i = 0; i < FX_NODES_MAX; i++) {
		if (alive[i] == t)
			alive[i] = NULL;
	}
	lockstep_transport_destroy(t);
}

int fx_sweep(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < FX_NODES_MAX; i++) {
		if (alive[i])
			destroy(alive[i]);
	}
	return 0;
}

void fx_node_init(struct fx_node *n, struct fx *fx, const char *name,
		  const struct lockstep_transport_config *cfg)
{
	struct lockstep_transport_config c = { 0 };
	char keys[PATH_MAX], err[512] = "";

	memset(n, 0, sizeof(*n));
	n->fx = fx;
	n->name = name;
	if (cfg)
		c = *cfg;
	c.cluster = FX_CLUSTER;
	c.node = name;
	if (!c.keys_dir)
		c.keys_dir = fx_keys(fx, name, keys);
	if (lockstep_transport_create(fx->base, &c, &fx_ops, n, err, sizeof(err), &n->t))
		fail_msg("%s", err);
	remember(n->t);
	assert_int_equal(lockstep_transport_listen(n->t, "127.0.0.1:0", n->address), 0);
}

void fx_node_exit(struct fx_node *n)
{
	destroy(n->t);
	n->t = NULL;
}

void fx_add_peer(struct fx_node *a, const char *name, const char *address)
{
	struct lockstep_peer_config cfg = { .node = name, .log_address = address };

	assert_int_equal(lockstep_peer_add(a->t, &cfg, NULL, NULL), 0);
}

void fx_connect(struct fx_node *a, struct fx_node *b)
{
	fx_add_peer(a, b->name, b->address);
	fx_add_peer(b, a->name, a->address);
}

uint64_t fx_now_ms(void)
{
	return lockstep_clock_ns() / LOCKSTEP_NSEC_PER_MSEC;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

/* One turn of the loop; returns at the latest after 20 ms, so that time-outs work. */
void fx_turn(struct fx *fx)
{
	struct timeval tv = { .tv_usec = 20000 };

	event_base_once(fx->base, -1, EV_TIMEOUT, on_wake, NULL, &tv);
	event_base_loop(fx->base, EVLOOP_ONCE);
}

bool fx_run_until(struct fx *fx, bool (*cond)(void *arg), void *arg)
{
	uint64_t end = fx_now_ms() + FX_PATIENCE_MS;

	while (!cond(arg)) {
		if (fx_now_ms() > end)
			return false;
		fx_turn(fx);
	}
	return true;
}

void fx_run_ms(struct fx *fx, unsigned int ms)
{
	uint64_t end = fx_now_ms() + ms;

	while (fx_now_ms() < end)
		fx_turn(fx);
}

struct lockstep_peer *fx_peer(struct fx_node *n, const char *name)
{
	struct lockstep_peer *peer = lockstep_peer_find(n->t, name);

	assert_non_null(peer);
	return peer;
}

bool fx_up(struct fx_node *n, const char *peer)
{
	return lockstep_peer_is_up(fx_peer(n, peer), LOCKSTEP_PLANE_LOG) &&
	       lockstep_peer_is_up(fx_peer(n, peer), LOCKSTEP_PLANE_BULK);
}

void fx_fill(uint8_t *buf, size_t len, uint64_t seed)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15ULL + 1;
	size_t i;

	for (i = 0; i < len; i++) {
		if (!(i & 7)) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
		}
		buf[i] = (uint8_t)(x >> (8 * (i & 7)));
	}
}

bool fx_check(const uint8_t *buf, size_t len, uint64_t seed)
{
	uint8_t *want = malloc(len + 1);
	bool same;

	assert_non_null(want);
	fx_fill(want, len, seed);
	same = !len || !memcmp(buf, want, len);
	free(want);
	return same;
}

int fx_send(struct fx_node *n, const char *peer, uint64_t id, size_t len)
{
	struct lockstep_msg msg = { .channel = 7, .kind = 3, .id = id };
	uint8_t *buf = malloc(len + 1);
	struct iovec iov[2];
	int ret;

	assert_non_null(buf);
	fx_fill(buf, len, id);
	/* In two parts, as users do who have a header of their own. */
	iov[0].iov_base = buf;
	iov[0].iov_len = len / 3;
	iov[1].iov_base = buf + len / 3;
	iov[1].iov_len = len - len / 3;
	ret = lockstep_peer_send(fx_peer(n, peer), &msg, iov, 2);
	free(buf);
	return ret;
}
