// SPDX-License-Identifier: GPL-2.0
/* Peers: two planes each, dialled by the lower name, made again when they break. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "transport/internal.h"

/* --- upcalls of the connections ------------------------------------------ */

static struct lockstep_link *link_of(struct lockstep_conn *conn)
{
	return &conn->peer->links[conn->plane];
}

static void link_info(const struct lockstep_conn *conn, int error, const char *reason,
		      struct lockstep_link_info *info)
{
	memset(info, 0, sizeof(*info));
	info->error = error;
	info->reason = reason;
	info->boot_id = conn->remote.boot_id;
	info->incarnation = conn->remote.incarnation;
	info->address = conn->address;
	info->version = conn->version;
}

/* Dialler: the key has to be there before the other side can use it. */
static void link_established(struct lockstep_conn *conn)
{
	int err;

	if (conn->plane != LOCKSTEP_PLANE_LOG)
		return;
	err = lockstep_beats_add_key(conn->peer, conn);
	if (err)
		lockstep_conn_fail(conn, err, "can't derive a key for heartbeats");
}

static int link_hello(struct lockstep_conn *conn)
{
	(void)conn;
	return 0;
}

static void link_up(struct lockstep_conn *conn)
{
	struct lockstep_peer *peer = conn->peer;
	struct lockstep_link *link = link_of(conn);
	struct lockstep_link_info info;

	link->up = true;
	link->backoff_ms = LOCKSTEP_BACKOFF_MIN_MS;
	if (conn->plane == LOCKSTEP_PLANE_LOG)
		lockstep_beats_use_key(peer, conn);
	else
		lockstep_stream_up(peer);
	if (peer->removed || !peer->t->ops->peer_state)
		return;
	link_info(conn, 0, "up", &info);
	peer->t->ops->peer_state(peer, (enum lockstep_plane)conn->plane, true, &info);
}

static int link_frame(struct lockstep_conn *conn, const struct lockstep_frame *f,
		      const uint8_t *payload)
{
	struct lockstep_msg msg = { .channel = f->channel, .kind = f->kind, .id = f->id };
	struct lockstep_peer *peer = conn->peer;

	if (conn->plane == LOCKSTEP_PLANE_BULK)
		return lockstep_stream_frame(peer, f, payload);
	if (f->type != LOCKSTEP_FRAME_MSG) {
		lockstep_conn_explain(conn, "frame of type %u on LOG", f->type);
		return -EPROTO;
	}
	if (!peer->removed && peer->t->ops->peer_message)
		peer->t->ops->peer_message(peer, &msg, payload, f->length);
	return 0;
}

static void link_drained(struct lockstep_conn *conn)
{
	struct lockstep_peer *peer = conn->peer;

	if (conn->plane == LOCKSTEP_PLANE_BULK)
		lockstep_stream_pump(peer);
	else if (!peer->removed && peer->t->ops->peer_writable)
		peer->t->ops->peer_writable(peer);
}

/* Not before so long; in milliseconds, between half and all of the pause. */
static uint64_t next_pause(struct lockstep_link *link)
{
	unsigned int pause = link->backoff_ms;
	uint32_t r = 0;

	link->backoff_ms = pause * 2 > LOCKSTEP_BACKOFF_MAX_MS ?
			   LOCKSTEP_BACKOFF_MAX_MS : pause * 2;
	/* Without randomness all dial at the same time, which is only impolite. */
	if (getrandom(&r, sizeof(r), GRND_NONBLOCK) != sizeof(r))
		r = 0;
	return pause / 2 + r % (pause / 2 + 1);
}

static void link_closed(struct lockstep_conn *conn, int error, const char *reason)
{
	struct lockstep_peer *peer = conn->peer;
	struct lockstep_link *link = link_of(conn);
	const struct lockstep_transport_ops *ops = peer->t->ops;
	struct lockstep_link_info info;
	bool was_up = link->up;

	/* A peer that says goodbye without an error is gone all the same. */
	if (!error)
		error = -ECONNRESET;
	link->conn = NULL;
	link->up = false;
	link->next_dial_ns = lockstep_clock_ns() + next_pause(link) * LOCKSTEP_NSEC_PER_MSEC;
	if (conn->plane == LOCKSTEP_PLANE_BULK && was_up)
		lockstep_stream_down(peer, -ECONNRESET);
	if (peer->removed) {
		lockstep_transport_sweep(peer->t);
		return;
	}
	link_info(conn, error, reason, &info);
	if (was_up && ops->peer_state)
		ops->peer_state(peer, (enum lockstep_plane)conn->plane, false, &info);
	else if (!was_up && ops->connect_failed)
		ops->connect_failed(peer, (enum lockstep_plane)conn->plane, &info);
}

static const struct lockstep_conn_owner link_owner = {
	.established	= link_established,
	.hello		= link_hello,
	.up		= link_up,
	.frame		= link_frame,
	.drained	= link_drained,
	.closed		= link_closed,
};

/* --- making connections -------------------------------------------------- */

/* An inbound connection proved to be this peer's. */
int lockstep_peer_adopt(struct lockstep_peer *peer, struct lockstep_conn *conn)
{
	enum lockstep_plane plane = (enum lockstep_plane)conn->remote.plane;
	struct lockstep_link *link = &peer->links[plane];
	int err;

	if (peer->dials) {
		lockstep_conn_explain(conn, "node \"%s\" dials node \"%s\", not the other way round",
				      peer->t->node, peer->name);
		return -EPROTO;
	}
	/* The peer has given its old connection up, or it would not dial. */
	if (link->conn) {
		lockstep_conn_fail(link->conn, -ECONNABORTED, "replaced by a new connection");
		lockstep_conn_finish(link->conn);
	}
	if (peer->removed) {
		lockstep_conn_explain(conn, "node \"%s\" was just removed", conn->node);
		return -EACCES;
	}
	if (plane == LOCKSTEP_PLANE_LOG) {
		err = lockstep_beats_add_key(peer, conn);
		if (err) {
			lockstep_conn_explain(conn, "can't derive a key for heartbeats");
			return err;
		}
	}
	lockstep_conn_set_plane(conn, plane);
	conn->owner = &link_owner;
	conn->peer = peer;
	link->conn = conn;
	if (plane == LOCKSTEP_PLANE_LOG)
		lockstep_conn_pause(conn, peer->paused);
	return 0;
}

static void dial_link(struct lockstep_peer *peer, enum lockstep_plane plane, uint64_t now)
{
	struct lockstep_link *link = &peer->links[plane];
	int err;

	if (link->conn || now < link->next_dial_ns)
		return;
	err = lockstep_conn_dial(peer->t, &link->addr, plane, &link_owner, &link->conn);
	if (err) {
		link->next_dial_ns = now + next_pause(link) * LOCKSTEP_NSEC_PER_MSEC;
		return;
	}
	link->conn->peer = peer;
	strcpy(link->conn->expect_node, peer->name);
	if (plane == LOCKSTEP_PLANE_LOG)
		lockstep_conn_pause(link->conn, peer->paused);
}

void lockstep_peer_tick(struct lockstep_peer *peer, uint64_t now)
{
	if (!peer->dials)
		return;
	dial_link(peer, LOCKSTEP_PLANE_LOG, now);
	dial_link(peer, LOCKSTEP_PLANE_BULK, now);
}

/* --- life ---------------------------------------------------------------- */

static int peer_addresses(struct lockstep_peer *peer, const struct lockstep_peer_config *cfg)
{
	const char *texts[LOCKSTEP_PLANE_BULK + 1] = {
		[LOCKSTEP_PLANE_LOG] = cfg->log_address,
		[LOCKSTEP_PLANE_BULK] = cfg->bulk_address ? cfg->bulk_address : cfg->log_address,
	};
	struct lockstep_link *link;
	int plane, err;

	for (plane = LOCKSTEP_PLANE_LOG; plane <= LOCKSTEP_PLANE_BULK; plane++) {
		link = &peer->links[plane];
		link->backoff_ms = LOCKSTEP_BACKOFF_MIN_MS;
		if (!texts[plane]) {
			if (peer->dials)
				return -EINVAL;
			continue;
		}
		err = lockstep_addr_parse(texts[plane], false, &link->addr);
		if (err)
			return err;
		if (lockstep_addr_is_unix(&link->addr))
			return -EINVAL;
	}
	return 0;
}

int lockstep_peer_add(struct lockstep_transport *t, const struct lockstep_peer_config *cfg,
		      void *user, struct lockstep_peer **out)
{
	struct lockstep_peer *peer;
	unsigned int i;
	int err;

	if (!t->ssl_ctx)
		return -EOPNOTSUPP;
	if (!lockstep_node_name_valid(cfg->node) || !strcmp(cfg->node, t->node))
		return -EINVAL;
	if (lockstep_peer_find(t, cfg->node))
		return -EEXIST;
	peer = calloc(1, sizeof(*peer));
	if (!peer)
		return -ENOMEM;
	peer->t = t;
	peer->user = user;
	strcpy(peer->name, cfg->node);
	peer->dials = strcmp(t->node, cfg->node) < 0;
	for (i = 0; i < LOCKSTEP_STREAM_BUCKETS; i++)
		TAILQ_INIT(&peer->streams[i]);
	TAILQ_INIT(&peer->ready);
	err = peer_addresses(peer, cfg);
	if (!err)
		err = lockstep_peer_set_silence(peer, cfg->silence_ms ? cfg->silence_ms :
						t->silence_ms);
	if (err) {
		free(peer);
		return err;
	}
	TAILQ_INSERT_TAIL(&t->peers, peer, all);
	lockstep_tick_set_gap(t);
	lockstep_transport_sweep(t);	/* which dials */
	if (out)
		*out = peer;
	return 0;
}

/* Say why, as far as the socket takes it, and drop both connections. */
static void drop_links(struct lockstep_peer *peer, const char *reason)
{
	struct lockstep_conn *conn;
	int plane;

	for (plane = LOCKSTEP_PLANE_LOG; plane <= LOCKSTEP_PLANE_BULK; plane++) {
		conn = peer->links[plane].conn;
		if (!conn)
			continue;
		lockstep_conn_bye(conn, ECONNABORTED, reason);
		lockstep_conn_flush(conn);
		lockstep_conn_fail(conn, -ECONNABORTED, "%s", reason);
	}
}

void lockstep_peer_reset(struct lockstep_peer *peer, const char *reason)
{
	drop_links(peer, reason);
}

void lockstep_peer_remove(struct lockstep_peer *peer)
{
	if (peer->removed)
		return;
	drop_links(peer, "peer was removed from the configuration");
	peer->removed = true;
	lockstep_tick_set_gap(peer->t);
	lockstep_transport_sweep(peer->t);
}

/* Whether nothing holds a removed peer any more. */
bool lockstep_peer_reap(struct lockstep_peer *peer)
{
	if (peer->links[LOCKSTEP_PLANE_LOG].conn || peer->links[LOCKSTEP_PLANE_BULK].conn)
		return false;
	lockstep_stream_down(peer, -ECONNRESET);
	lockstep_stream_reap(peer->t);
	return !peer->nstreams;
}

void lockstep_peer_free(struct lockstep_peer *peer)
{
	TAILQ_REMOVE(&peer->t->peers, peer, all);
	/* Keys of heartbeats are in it. */
	explicit_bzero(peer, sizeof(*peer));
	free(peer);
}

/* --- the rest of the interface ------------------------------------------- */

struct lockstep_peer *lockstep_peer_find(struct lockstep_transport *t, const char *node)
{
	struct lockstep_peer *peer;

	TAILQ_FOREACH(peer, &t->peers, all) {
		if (!peer->removed && !strcmp(peer->name, node))
			return peer;
	}
	return NULL;
}

struct lockstep_transport *lockstep_peer_transport(const struct lockstep_peer *peer)
{
	return peer->t;
}

void *lockstep_peer_user(const struct lockstep_peer *peer)
{
	return peer->user;
}

void lockstep_peer_set_user(struct lockstep_peer *peer, void *user)
{
	peer->user = user;
}

const char *lockstep_peer_name(const struct lockstep_peer *peer)
{
	return peer->name;
}

static struct lockstep_conn *log_conn(const struct lockstep_peer *peer)
{
	return peer->links[LOCKSTEP_PLANE_LOG].conn;
}

bool lockstep_peer_is_up(const struct lockstep_peer *peer, enum lockstep_plane plane)
{
	const struct lockstep_link *link;

	if (plane != LOCKSTEP_PLANE_LOG && plane != LOCKSTEP_PLANE_BULK)
		return false;
	link = &peer->links[plane];
	return link->up && link->conn && link->conn->state == LOCKSTEP_CONN_UP;
}

size_t lockstep_peer_queued(const struct lockstep_peer *peer)
{
	return log_conn(peer) ? lockstep_conn_queued(log_conn(peer)) : 0;
}

uint64_t lockstep_peer_rtt_ns(const struct lockstep_peer *peer)
{
	return peer->beats.rtt_ns;
}

uint64_t lockstep_peer_silent_ns(const struct lockstep_peer *peer)
{
	return peer->beats.heard_ns ? lockstep_clock_ns() - peer->beats.heard_ns : 0;
}

int lockstep_peer_set_silence(struct lockstep_peer *peer, unsigned int ms)
{
	uint64_t ns = ms * LOCKSTEP_NSEC_PER_MSEC;

	if (ms < LOCKSTEP_SILENCE_MS_MIN || ms > LOCKSTEP_SILENCE_MS_MAX ||
	    ns < 4 * peer->t->beat_ns)
		return -ERANGE;
	peer->beats.silence_ns = ns;
	lockstep_beats_restart(peer, lockstep_clock_ns());
	lockstep_tick_set_gap(peer->t);
	return 0;
}

int lockstep_peer_send(struct lockstep_peer *peer, const struct lockstep_msg *msg,
		       const struct iovec *iov, int iovcnt)
{
	if (!lockstep_peer_is_up(peer, LOCKSTEP_PLANE_LOG))
		return -ENOTCONN;
	return lockstep_conn_send(log_conn(peer), msg, iov, iovcnt);
}

void lockstep_peer_flush(struct lockstep_peer *peer)
{
	if (lockstep_peer_is_up(peer, LOCKSTEP_PLANE_LOG))
		lockstep_conn_flush(log_conn(peer));
}

void lockstep_peer_receive_pause(struct lockstep_peer *peer, bool pause)
{
	peer->paused = pause;
	if (log_conn(peer))
		lockstep_conn_pause(log_conn(peer), pause);
}
