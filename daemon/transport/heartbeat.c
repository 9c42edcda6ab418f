// SPDX-License-Identifier: GPL-2.0
/*
 * UDP heartbeats.
 *
 * Keys come out of the TLS session of LOG, by an exporter, and outlive it: a
 * broken TCP connection does not silence the heartbeats. With each new session
 * there is a new key. Either side may learn of a session's end, or of its
 * success, before the other; so a key is accepted as soon as it exists, and used
 * for sending once the other side's HELLO has proven that it has it too. Two
 * older keys stay acceptable. Sequence numbers under a key must rise.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/bytes.h"
#include "transport/internal.h"

#define EXPORT_LABEL	"EXPORTER-lockstep-heartbeat"
#define EXPORT_SIZE	(8 + 2 * LOCKSTEP_BEAT_KEY)
#define DATAGRAMS_PER_TURN 64
#define RTT_SHIFT	3		/* weight of a new measurement: 1/8 */
#define RTT_SANE_NS	(60 * LOCKSTEP_NSEC_PER_SEC)

/* --- keys ---------------------------------------------------------------- */

int lockstep_beats_add_key(struct lockstep_peer *peer, struct lockstep_conn *conn)
{
	struct lockstep_beat_key *keys = peer->beats.keys;
	struct lockstep_beat_key key = { 0 };
	uint8_t secret[EXPORT_SIZE];
	struct lockstep_reader r;
	int err;

	err = conn->io->export_key(conn, EXPORT_LABEL, secret, sizeof(secret));
	if (err)
		return err;
	lockstep_reader_init(&r, secret, sizeof(secret));
	key.id = lockstep_read_u64(&r) | 1;		/* 0 is "unused" */
	/* First the dialler's direction, then the other. */
	lockstep_read_bytes(&r, conn->outbound ? key.send : key.recv, LOCKSTEP_BEAT_KEY);
	lockstep_read_bytes(&r, conn->outbound ? key.recv : key.send, LOCKSTEP_BEAT_KEY);
	memmove(&keys[1], &keys[0], sizeof(keys[0]) * (LOCKSTEP_BEAT_KEYS - 1));
	keys[0] = key;
	explicit_bzero(secret, sizeof(secret));
	explicit_bzero(&key, sizeof(key));
	return 0;
}

void lockstep_beats_use_key(struct lockstep_peer *peer, struct lockstep_conn *conn)
{
	struct lockstep_beats *b = &peer->beats;
	uint64_t now = lockstep_clock_ns();

	b->send_id = b->keys[0].id;
	b->udp = conn->remote.udp_port ? lockstep_udp_for(conn) : NULL;
	b->to = conn->remote_addr;
	lockstep_addr_set_port(&b->to, conn->remote.udp_port);
	if (b->udp && lockstep_addr_fit(&b->to, b->udp->addr.sa.ss_family))
		b->udp = NULL;
	/* A rebooted peer's clock has nothing to do with its old one. */
	b->echo_ns = 0;
	if (!b->heard_ns) {
		b->heard_ns = now;
		b->last_ns = now;
	}
	lockstep_beats_send(peer, now);
}

static struct lockstep_beat_key *peer_key(struct lockstep_peer *peer, uint64_t id)
{
	unsigned int i;

	for (i = 0; id && i < LOCKSTEP_BEAT_KEYS; i++) {
		if (peer->beats.keys[i].id == id)
			return &peer->beats.keys[i];
	}
	return NULL;
}

static struct lockstep_beat_key *find_key(struct lockstep_transport *t, uint64_t id,
					  struct lockstep_peer **owner)
{
	struct lockstep_beat_key *key;
	struct lockstep_peer *peer;

	TAILQ_FOREACH(peer, &t->peers, all) {
		if (peer->removed)
			continue;
		key = peer_key(peer, id);
		if (key) {
			*owner = peer;
			return key;
		}
	}
	return NULL;
}

/* --- sending ------------------------------------------------------------- */

void lockstep_beats_send(struct lockstep_peer *peer, uint64_t now)
{
	struct lockstep_transport *t = peer->t;
	struct lockstep_beats *b = &peer->beats;
	struct lockstep_beat_key *key = peer_key(peer, b->send_id);
	uint8_t payload[LOCKSTEP_HEARTBEAT_MAX], out[LOCKSTEP_BEAT_MAX];
	struct lockstep_beat beat = { .payload = payload };
	int len;

	if (!key || !b->udp)
		return;
	if (t->ops->heartbeat_fill)
		beat.len = t->ops->heartbeat_fill(peer, payload, sizeof(payload));
	beat.key_id = key->id;
	beat.seq = ++key->send_seq;
	beat.sent_ns = now;
	beat.echo_ns = b->echo_ns;
	/* one that came in the same turn of the loop may be newer than the turn's time */
	beat.held_ns = b->echo_ns && now > b->echo_at_ns ? now - b->echo_at_ns : 0;
	len = lockstep_beat_encode(&beat, key->send, out);
	/* A heartbeat that can't be sent is a lost one; the next one follows soon. */
	if (len > 0 && sendto(b->udp->fd, out, (size_t)len, MSG_DONTWAIT,
			      (const struct sockaddr *)&b->to.sa, b->to.len) == len)
		b->sent++;
}

/* --- receiving ----------------------------------------------------------- */

static void measure_rtt(struct lockstep_beats *b, const struct lockstep_beat *beat,
			uint64_t now, struct lockstep_heartbeat_info *info)
{
	uint64_t rtt;

	info->peer_heard = beat->echo_ns != 0;
	info->peer_heard_ns = beat->held_ns;
	if (!beat->echo_ns || beat->echo_ns > now || beat->held_ns > now - beat->echo_ns)
		return;
	rtt = now - beat->echo_ns - beat->held_ns;
	if (rtt > RTT_SANE_NS)
		return;
	info->rtt_ns = rtt ? rtt : 1;
	b->rtt_ns = b->rtt_ns ? b->rtt_ns - (b->rtt_ns >> RTT_SHIFT) + (rtt >> RTT_SHIFT) : rtt;
}

static void accept_beat(struct lockstep_peer *peer, const struct lockstep_beat *beat)
{
	const struct lockstep_transport_ops *ops = peer->t->ops;
	struct lockstep_heartbeat_info info = { .payload = beat->payload, .len = beat->len };
	struct lockstep_beats *b = &peer->beats;
	uint64_t now = lockstep_clock_ns();
	uint64_t silent = now - b->last_ns;
	bool was_silent = b->silent;

	measure_rtt(b, beat, now, &info);
	b->received++;
	b->heard_ns = now;
	b->last_ns = now;
	b->count = 0;
	b->silent = false;
	b->echo_ns = beat->sent_ns;
	b->echo_at_ns = now;
	if (was_silent && ops->heard)
		ops->heard(peer, silent);
	if (!peer->removed && ops->heartbeat)
		ops->heartbeat(peer, &info);
}

static void refuse(struct lockstep_transport *t, const struct lockstep_addr *from,
		   const char *reason)
{
	char address[LOCKSTEP_ADDR_STRLEN];

	if (t->ops->refused)
		t->ops->refused(t, lockstep_addr_format(from, address), NULL, -EBADMSG, reason);
}

/* No key of ours: a stranger's, unless a peer still has one of a session before. */
static void refuse_unknown(struct lockstep_transport *t, const struct lockstep_addr *from)
{
	struct lockstep_peer *peer;

	TAILQ_FOREACH(peer, &t->peers, all) {
		if (!peer->removed && !lockstep_peer_is_up(peer, LOCKSTEP_PLANE_LOG))
			return;
	}
	refuse(t, from, "a datagram that is no heartbeat of a peer");
}

/* One that was sent before comes from the network too, which may double and delay them. */
static void refuse_old(struct lockstep_peer *peer, const struct lockstep_addr *from)
{
	char there[LOCKSTEP_ADDR_STRLEN], here[LOCKSTEP_ADDR_STRLEN];

	peer->beats.rejected++;
	if (strcmp(lockstep_addr_format(&peer->beats.to, there), lockstep_addr_format(from, here)))
		refuse(peer->t, from, "a heartbeat that a peer had sent before, from elsewhere");
}

static void take_datagram(struct lockstep_transport *t, const struct lockstep_addr *from,
			  const uint8_t *data, size_t len)
{
	struct lockstep_beat_key *key = NULL;
	struct lockstep_peer *peer;
	struct lockstep_beat beat;
	uint64_t id;

	if (!lockstep_beat_key_id(data, len, &id))
		key = find_key(t, id, &peer);
	if (!key) {
		refuse_unknown(t, from);
	} else if (lockstep_beat_decode(data, len, key->recv, &beat)) {
		peer->beats.rejected++;
		refuse(t, from, "a heartbeat that was altered");
	} else if (beat.seq <= key->recv_seq) {
		refuse_old(peer, from);
	} else {
		key->recv_seq = beat.seq;
		accept_beat(peer, &beat);
	}
}

static void take_datagrams(struct lockstep_udp *u)
{
	uint8_t buf[LOCKSTEP_BEAT_MAX + 1];
	struct lockstep_addr from;
	ssize_t n;
	int i;

	for (i = 0; i < DATAGRAMS_PER_TURN; i++) {
		from.len = sizeof(from.sa);
		n = recvfrom(u->fd, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&from.sa,
			     &from.len);
		if (n < 0 && errno == ECONNREFUSED)
			continue;	/* an ICMP answer to one of ours */
		if (n < 0)
			return;
		take_datagram(u->t, &from, buf, (size_t)n);
	}
}

static void on_datagram(evutil_socket_t fd, short what, void *arg)
{
	struct lockstep_udp *u = arg;

	(void)fd;
	(void)what;
	lockstep_tick_enter(u->t);
	take_datagrams(u);
}

/* Before silence is judged: what has come counts, though nobody read it yet. */
void lockstep_udp_drain(struct lockstep_transport *t)
{
	struct lockstep_udp *u;

	TAILQ_FOREACH(u, &t->udps, all)
		take_datagrams(u);
}

/* --- silence ------------------------------------------------------------- */

void lockstep_beats_check(struct lockstep_peer *peer, uint64_t now)
{
	struct lockstep_beats *b = &peer->beats;
	uint64_t silent = now - b->heard_ns;

	if (!b->heard_ns || now < b->heard_ns)
		return;
	if (silent < b->silence_ns * (b->count + 1))
		return;
	b->count++;
	b->silent = true;
	if (peer->t->ops->silence)
		peer->t->ops->silence(peer, silent, b->count);
}

void lockstep_beats_restart(struct lockstep_peer *peer, uint64_t now)
{
	struct lockstep_beats *b = &peer->beats;

	b->count = 0;
	if (b->heard_ns)
		b->heard_ns = now;
}

/* --- sockets ------------------------------------------------------------- */

int lockstep_udp_open(struct lockstep_transport *t, const struct lockstep_addr *addr)
{
	int err, zero = 0, tos = IPTOS_LOWDELAY, family = addr->sa.ss_family;
	struct lockstep_udp *u;

	u = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	u->t = t;
	u->fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (u->fd < 0) {
		err = -errno;
		goto out_free;
	}
	if (family == AF_INET6) {
		setsockopt(u->fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
		setsockopt(u->fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
	}
	setsockopt(u->fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
	u->addr.len = sizeof(u->addr.sa);
	if (bind(u->fd, (const struct sockaddr *)&addr->sa, addr->len) < 0 ||
	    getsockname(u->fd, (struct sockaddr *)&u->addr.sa, &u->addr.len) < 0) {
		err = -errno;
		goto out_close;
	}
	u->ev = event_new(t->base, u->fd, EV_READ | EV_PERSIST, on_datagram, u);
	if (!u->ev) {
		err = -ENOMEM;
		goto out_close;
	}
	event_priority_set(u->ev, lockstep_event_prio(t, LOCKSTEP_PRIO_BEAT));
	if (event_add(u->ev, NULL)) {
		err = -ENOMEM;
		goto out_event;
	}
	TAILQ_INSERT_TAIL(&t->udps, u, all);
	return 0;

out_event:
	event_free(u->ev);
out_close:
	close(u->fd);
out_free:
	free(u);
	return err;
}

static struct lockstep_udp *find_udp(struct lockstep_transport *t,
				     const struct lockstep_addr *local)
{
	struct lockstep_addr addr;
	struct lockstep_udp *u;

	TAILQ_FOREACH(u, &t->udps, all) {
		addr = *local;
		if (!lockstep_addr_fit(&addr, u->addr.sa.ss_family) &&
		    lockstep_addr_serves(&u->addr, &addr))
			return u;
	}
	return NULL;
}

/*
 * The socket for heartbeats beside a connection: one that gets what is sent to
 * the connection's own address, since that is where the other side sends. Made
 * if need be; NULL if that fails.
 */
struct lockstep_udp *lockstep_udp_for(struct lockstep_conn *conn)
{
	struct lockstep_transport *t = conn->t;
	struct lockstep_addr local = { .len = sizeof(local.sa) };
	struct lockstep_udp *u;

	if (getsockname(conn->fd, (struct sockaddr *)&local.sa, &local.len) < 0)
		return NULL;
	u = find_udp(t, &local);
	if (u)
		return u;
	lockstep_addr_set_port(&local, 0);
	return lockstep_udp_open(t, &local) ? NULL : find_udp(t, &local);
}

void lockstep_udp_exit(struct lockstep_transport *t)
{
	struct lockstep_udp *u;

	while ((u = TAILQ_FIRST(&t->udps))) {
		TAILQ_REMOVE(&t->udps, u, all);
		event_free(u->ev);
		close(u->fd);
		free(u);
	}
}
