// SPDX-License-Identifier: GPL-2.0
/* One framed connection: a socket, what encrypts it, and its HELLO. */
#include "transport/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "transport/internal.h"

#define WRITE_CHUNK	16384	/* one TLS record */

/*
 * What one turn of the loop may move. BULK gets little, so that a log message
 * or a heartbeat never waits longer than that takes.
 */
static const struct {
	size_t in_size;
	size_t read_budget;
	size_t write_budget;
	int prio;
	int tos;
} plane_traits[] = {
	[0]			 = {  8192,   65536,   65536, LOCKSTEP_PRIO_LOG,  0 },
	[LOCKSTEP_PLANE_LOG]	 = { 65536, 1048576, 1048576, LOCKSTEP_PRIO_LOG,
				     IPTOS_LOWDELAY },
	[LOCKSTEP_PLANE_BULK]	 = { 131072,  65536,   65536, LOCKSTEP_PRIO_BULK,
				     IPTOS_THROUGHPUT },
	[LOCKSTEP_PLANE_SERVICE] = { 16384,  262144,  262144, LOCKSTEP_PRIO_LOG,  0 },
};

/* Unsent bytes the kernel takes of BULK: what waits here can still be ordered. */
#define BULK_NOTSENT	(256 * 1024)

#define KEEPALIVE_IDLE_S	2
#define KEEPALIVE_INTERVAL_S	1

const char *lockstep_conn_state_name(enum lockstep_conn_state state)
{
	static const char * const names[] = {
		[LOCKSTEP_CONN_CONNECTING]	= "connecting",
		[LOCKSTEP_CONN_HANDSHAKE]	= "handshake",
		[LOCKSTEP_CONN_HELLO]		= "hello",
		[LOCKSTEP_CONN_UP]		= "up",
		[LOCKSTEP_CONN_CLOSING]		= "closing",
		[LOCKSTEP_CONN_FAILED]		= "failed",
	};

	return state > LOCKSTEP_CONN_MAX || !names[state] ? "?" : names[state];
}

void lockstep_conn_explain(struct lockstep_conn *conn, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(conn->reason, sizeof(conn->reason), fmt, ap);
	va_end(ap);
}

void lockstep_conn_fail(struct lockstep_conn *conn, int error, const char *fmt, ...)
{
	va_list ap;

	if (conn->state == LOCKSTEP_CONN_FAILED)
		return;
	conn->state = LOCKSTEP_CONN_FAILED;
	conn->error = error;
	if (fmt) {
		va_start(ap, fmt);
		vsnprintf(conn->reason, sizeof(conn->reason), fmt, ap);
		va_end(ap);
	} else if (!conn->reason[0]) {
		lockstep_conn_explain(conn, "%s", strerror(-error));
	}
	event_del(conn->read_ev);
	event_del(conn->write_ev);
	event_active(conn->kick_ev, EV_TIMEOUT, 0);
}

void lockstep_conn_free(struct lockstep_conn *conn)
{
	TAILQ_REMOVE(&conn->t->conns, conn, all);
	conn->io->release(conn);
	if (conn->read_ev)
		event_free(conn->read_ev);
	if (conn->write_ev)
		event_free(conn->write_ev);
	if (conn->kick_ev)
		event_free(conn->kick_ev);
	if (conn->out)
		evbuffer_free(conn->out);
	free(conn->in);
	if (conn->fd >= 0)
		close(conn->fd);
	free(conn);
}

void lockstep_conn_finish(struct lockstep_conn *conn)
{
	conn->owner->closed(conn, conn->error, conn->reason);
	lockstep_conn_free(conn);
}

/* --- sending ------------------------------------------------------------- */

size_t lockstep_conn_queued(const struct lockstep_conn *conn)
{
	return evbuffer_get_length(conn->out);
}

static bool conn_is_live(const struct lockstep_conn *conn)
{
	return conn->state >= LOCKSTEP_CONN_HELLO && conn->state <= LOCKSTEP_CONN_CLOSING;
}

/* How much to offer to one write: a whole record where there is that much. */
static size_t next_write(struct lockstep_conn *conn)
{
	size_t len = evbuffer_get_length(conn->out);

	if (conn->out_retry)
		return conn->out_retry;
	return len < WRITE_CHUNK ? len : WRITE_CHUNK;
}

/* Write until the socket or the budget is full; marks failures. */
static void conn_write(struct lockstep_conn *conn, size_t budget)
{
	unsigned char *data;
	size_t len, sent = 0;
	ssize_t n;

	while ((len = next_write(conn))) {
		if (sent >= budget) {
			event_add(conn->write_ev, NULL);
			return;
		}
		data = evbuffer_pullup(conn->out, (ssize_t)len);
		if (!data) {
			lockstep_conn_fail(conn, -ENOMEM, "no memory to send");
			return;
		}
		n = conn->io->write(conn, data, len);
		if (n == -EAGAIN) {
			conn->out_retry = len;
			if (conn->want_write)
				event_add(conn->write_ev, NULL);
			return;
		}
		if (n < 0) {
			lockstep_conn_fail(conn, (int)n, NULL);
			return;
		}
		conn->out_retry = 0;
		evbuffer_drain(conn->out, (size_t)n);
		conn->tx_bytes += (uint64_t)n;
		sent += (size_t)n;
	}
	if (conn->state == LOCKSTEP_CONN_CLOSING)
		lockstep_conn_fail(conn, conn->error, NULL);
}

void lockstep_conn_flush(struct lockstep_conn *conn)
{
	if (conn_is_live(conn))
		conn_write(conn, SIZE_MAX);
}

/* From the loop: write, and tell who waits for room. */
static void conn_send(struct lockstep_conn *conn)
{
	if (!conn_is_live(conn))
		return;
	conn_write(conn, conn->write_budget);
	if (conn->state == LOCKSTEP_CONN_UP && conn->wants_room &&
	    lockstep_conn_queued(conn) <= conn->low) {
		conn->wants_room = false;
		if (conn->owner->drained)
			conn->owner->drained(conn);
	}
}

static int queue_frame(struct lockstep_conn *conn, struct lockstep_frame *f,
		       const struct iovec *iov, int iovcnt)
{
	uint8_t *p;
	struct evbuffer_iovec vec;
	size_t total = LOCKSTEP_FRAME_HDR + f->length;
	int i;

	if (evbuffer_reserve_space(conn->out, (ssize_t)total, &vec, 1) != 1)
		return -ENOMEM;
	p = vec.iov_base;
	lockstep_frame_encode(f, p);
	p += LOCKSTEP_FRAME_HDR;
	for (i = 0; i < iovcnt; i++) {
		if (iov[i].iov_len)
			memcpy(p, iov[i].iov_base, iov[i].iov_len);
		p += iov[i].iov_len;
	}
	vec.iov_len = total;
	if (evbuffer_commit_space(conn->out, &vec, 1))
		return -ENOMEM;
	event_active(conn->kick_ev, EV_TIMEOUT, 0);
	return 0;
}

int lockstep_conn_queue(struct lockstep_conn *conn, struct lockstep_frame *f,
			const struct iovec *iov, int iovcnt)
{
	size_t len = 0, queued;
	int i, err;

	if (conn->state != LOCKSTEP_CONN_UP)
		return -ENOTCONN;
	for (i = 0; i < iovcnt; i++) {
		if (iov[i].iov_len > LOCKSTEP_FRAME_MAX - len)
			return -EMSGSIZE;
		len += iov[i].iov_len;
	}
	f->length = (uint32_t)len;
	queued = lockstep_conn_queued(conn);
	if (queued + LOCKSTEP_FRAME_HDR + len > conn->limit) {
		conn->wants_room = true;
		return -ENOBUFS;
	}
	err = queue_frame(conn, f, iov, iovcnt);
	if (err)
		return err;
	if (lockstep_conn_queued(conn) <= conn->high)
		return 0;
	conn->wants_room = true;
	return 1;
}

int lockstep_conn_queue_buffer(struct lockstep_conn *conn, struct lockstep_frame *f,
			       struct evbuffer *buf, size_t len)
{
	uint8_t head[LOCKSTEP_FRAME_HDR];

	f->length = (uint32_t)len;
	lockstep_frame_encode(f, head);
	/* Make sure of the room first: half a frame can't be taken back. */
	if (evbuffer_expand(conn->out, sizeof(head)) ||
	    evbuffer_add(conn->out, head, sizeof(head)))
		return -ENOMEM;
	if (evbuffer_remove_buffer(buf, conn->out, len) != (int)len) {
		lockstep_conn_fail(conn, -ENOMEM, "no memory to send");
		return -ENOMEM;
	}
	event_active(conn->kick_ev, EV_TIMEOUT, 0);
	return 0;
}

void lockstep_conn_want_room(struct lockstep_conn *conn)
{
	conn->wants_room = true;
	event_active(conn->kick_ev, EV_TIMEOUT, 0);
}

static void queue_words(struct lockstep_conn *conn, uint8_t type, int error, const char *reason)
{
	struct lockstep_frame f = { .type = type, .kind = (uint32_t)error };
	struct iovec iov = { .iov_base = (void *)reason, .iov_len = strlen(reason) };

	if (iov.iov_len > LOCKSTEP_REASON_MAX)
		iov.iov_len = LOCKSTEP_REASON_MAX;
	f.length = (uint32_t)iov.iov_len;
	queue_frame(conn, &f, &iov, 1);
}

void lockstep_conn_bye(struct lockstep_conn *conn, int error, const char *reason)
{
	if (conn->state == LOCKSTEP_CONN_FAILED || conn->state == LOCKSTEP_CONN_CLOSING)
		return;
	if (conn->state != LOCKSTEP_CONN_UP) {
		lockstep_conn_fail(conn, -error, "%s", reason);
		return;
	}
	queue_words(conn, LOCKSTEP_FRAME_BYE, error, reason);
	conn->state = LOCKSTEP_CONN_CLOSING;
	conn->error = -error;
	lockstep_conn_explain(conn, "%s", reason);
	conn->deadline_ns = lockstep_clock_ns() + conn->t->connect_ns;
}

/* --- HELLO --------------------------------------------------------------- */

static int send_hello(struct lockstep_conn *conn)
{
	struct lockstep_transport *t = conn->t;
	struct lockstep_hello h = {
		.version_min = LOCKSTEP_PROTO_MIN,
		.version_max = LOCKSTEP_PROTO_MAX,
		.plane = conn->plane,
		.window = t->window,
		.boot_id = t->boot_id,
		.incarnation = t->incarnation,
	};
	struct lockstep_frame f = { .type = LOCKSTEP_FRAME_HELLO };
	uint8_t buf[LOCKSTEP_HELLO_MAX];
	struct iovec iov = { .iov_base = buf };
	struct lockstep_udp *udp;

	udp = conn->plane == LOCKSTEP_PLANE_LOG ? lockstep_udp_for(conn) : NULL;
	if (udp)
		h.udp_port = lockstep_addr_port(&udp->addr);
	strcpy(h.cluster, t->cluster);
	strcpy(h.node, t->node);
	strcpy(h.service, conn->service);
	iov.iov_len = lockstep_hello_encode(&h, buf);
	f.length = (uint32_t)iov.iov_len;
	return queue_frame(conn, &f, &iov, 1);
}

/* Text that came over the wire, made safe to print. */
static void copy_words(char *out, const uint8_t *data, size_t len)
{
	size_t i;

	for (i = 0; i < len && i < LOCKSTEP_REASON_MAX; i++)
		out[i] = data[i] >= ' ' && data[i] < 0x7f ? (char)data[i] : '?';
	out[i] = '\0';
}

static int remote_error(uint32_t kind)
{
	return kind && kind < 4096 ? -(int)kind : -ECONNABORTED;
}

static int check_hello(struct lockstep_conn *conn)
{
	const struct lockstep_hello *h = &conn->remote;
	int version;

	version = lockstep_hello_version(h);
	if (version < 0) {
		lockstep_conn_explain(conn, "node %s speaks protocol versions %u to %u, node %s %u to %u: update the older one",
				      h->node, h->version_min, h->version_max, conn->t->node,
				      LOCKSTEP_PROTO_MIN, LOCKSTEP_PROTO_MAX);
		return version;
	}
	conn->version = (unsigned int)version;
	/* on a Unix socket it is the user that counts */
	if (conn->io == &lockstep_conn_tls && strcmp(h->cluster, conn->t->cluster)) {
		lockstep_conn_explain(conn, "node is of cluster \"%s\", not \"%s\"",
				      h->cluster, conn->t->cluster);
		return -EKEYREJECTED;
	}
	if (conn->io == &lockstep_conn_tls && strcmp(h->node, conn->node)) {
		lockstep_conn_explain(conn, "calls itself \"%s\" with the certificate of \"%s\"",
				      h->node, conn->node);
		return -EKEYREJECTED;
	}
	if (conn->outbound && (h->plane != conn->plane || strcmp(h->service, conn->service))) {
		lockstep_conn_explain(conn, "answered for another plane or service");
		return -EPROTO;
	}
	return 0;
}

/* First frame of the other side. */
static int hello_frame(struct lockstep_conn *conn, const struct lockstep_frame *f,
		       const uint8_t *payload)
{
	char words[LOCKSTEP_REASON_MAX + 1];
	int err;

	if (f->type == LOCKSTEP_FRAME_REFUSE && conn->outbound) {
		copy_words(words, payload, f->length);
		lockstep_conn_explain(conn, "refused: %s", words);
		return remote_error(f->kind);
	}
	if (f->type != LOCKSTEP_FRAME_HELLO ||
	    lockstep_hello_decode(payload, f->length, &conn->remote)) {
		lockstep_conn_explain(conn, "first frame is not a HELLO");
		return -EPROTO;
	}
	err = check_hello(conn);
	if (!err && !conn->outbound)
		strcpy(conn->service, conn->remote.service);
	if (!err)
		err = conn->owner->hello(conn);
	if (err) {
		if (!conn->outbound) {
			queue_words(conn, LOCKSTEP_FRAME_REFUSE, -err, conn->reason);
			lockstep_conn_flush(conn);
		}
		return err;
	}
	if (!conn->outbound) {
		err = send_hello(conn);
		if (err)
			return err;
	}
	conn->state = LOCKSTEP_CONN_UP;
	conn->deadline_ns = 0;
	conn->owner->up(conn);
	return 0;
}

/* --- receiving ----------------------------------------------------------- */

static int one_frame(struct lockstep_conn *conn, const struct lockstep_frame *f,
		     const uint8_t *payload)
{
	char words[LOCKSTEP_REASON_MAX + 1];

	if (conn->state == LOCKSTEP_CONN_HELLO)
		return hello_frame(conn, f, payload);
	switch (f->type) {
	case LOCKSTEP_FRAME_BYE:
		copy_words(words, payload, f->length);
		lockstep_conn_explain(conn, "closed by the other side: %s", words);
		lockstep_conn_fail(conn, f->kind ? remote_error(f->kind) : 0, NULL);
		return 0;
	case LOCKSTEP_FRAME_HELLO:
	case LOCKSTEP_FRAME_REFUSE:
		lockstep_conn_explain(conn, "HELLO or REFUSE in the middle");
		return -EPROTO;
	default:
		if (conn->state == LOCKSTEP_CONN_CLOSING)
			return 0;
		return conn->owner->frame(conn, f, payload);
	}
}

static int grow_input(struct lockstep_conn *conn, size_t need)
{
	uint8_t *in;

	if (need <= conn->in_size)
		return 0;
	in = realloc(conn->in, need);
	if (!in) {
		lockstep_conn_explain(conn, "no memory to receive");
		return -ENOMEM;
	}
	conn->in = in;
	conn->in_size = need;
	return 0;
}

/* Hand over all whole frames; make room for the rest of one that is not. */
static int parse_input(struct lockstep_conn *conn)
{
	struct lockstep_frame f;
	size_t pos = 0, left;
	int err = 0;

	while (!err && conn_is_live(conn) && !conn->paused) {
		left = conn->in_len - pos;
		if (left < LOCKSTEP_FRAME_HDR)
			break;
		err = lockstep_frame_decode(conn->in + pos, &f);
		if (err) {
			lockstep_conn_explain(conn, "malformed frame (%s)", strerror(-err));
			break;
		}
		if (left < LOCKSTEP_FRAME_HDR + f.length) {
			if (!pos)
				err = grow_input(conn, LOCKSTEP_FRAME_HDR + f.length);
			break;
		}
		err = one_frame(conn, &f, conn->in + pos + LOCKSTEP_FRAME_HDR);
		pos += LOCKSTEP_FRAME_HDR + f.length;
	}
	if (pos) {
		memmove(conn->in, conn->in + pos, conn->in_len - pos);
		conn->in_len -= pos;
	}
	return err;
}

static void conn_receive(struct lockstep_conn *conn)
{
	static const struct timeval at_once;
	size_t got = 0;
	ssize_t n;
	int err;

	conn->rx_more = false;
	for (;;) {
		err = parse_input(conn);
		if (err) {
			lockstep_conn_fail(conn, err, NULL);
			return;
		}
		if (!conn_is_live(conn) || conn->paused)
			return;
		if (got >= conn->read_budget) {
			/*
			 * In the next turn: made active, the event would run
			 * again in this one, and again, ahead of all others.
			 */
			conn->rx_more = true;
			event_add(conn->kick_ev, &at_once);
			return;
		}
		/* parse_input() left a gap behind the frames it handed over. */
		if (conn->in_len == conn->in_size) {
			err = grow_input(conn, 2 * conn->in_size);
			if (err) {
				lockstep_conn_fail(conn, err, NULL);
				return;
			}
		}
		n = conn->io->read(conn, conn->in + conn->in_len, conn->in_size - conn->in_len);
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			if (n)
				lockstep_conn_fail(conn, (int)n, NULL);
			else
				lockstep_conn_fail(conn, -ECONNRESET, "closed by the other side");
			return;
		}
		conn->in_len += (size_t)n;
		conn->rx_bytes += (uint64_t)n;
		got += (size_t)n;
	}
}

void lockstep_conn_pause(struct lockstep_conn *conn, bool pause)
{
	if (conn->paused == pause || conn->state == LOCKSTEP_CONN_FAILED)
		return;
	conn->paused = pause;
	if (pause) {
		event_del(conn->read_ev);
		return;
	}
	event_add(conn->read_ev, NULL);
	conn->rx_more = true;
	event_active(conn->kick_ev, EV_TIMEOUT, 0);
}

/* --- setting up ---------------------------------------------------------- */

static void set_option(int fd, int level, int option, int value)
{
	/* Options are improvements: a kernel without one still carries bytes. */
	(void)setsockopt(fd, level, option, &value, sizeof(value));
}

void lockstep_conn_set_plane(struct lockstep_conn *conn, enum lockstep_plane plane)
{
	int prio = lockstep_event_prio(conn->t, plane_traits[plane].prio);
	int family = conn->remote_addr.sa.ss_family;

	conn->plane = (uint8_t)plane;
	conn->read_budget = plane_traits[plane].read_budget;
	conn->write_budget = plane_traits[plane].write_budget;
	conn->limit = conn->t->queue_max;
	conn->high = conn->limit / 2;
	conn->low = conn->limit / 4;
	/* Without the room it is read in smaller pieces. */
	(void)grow_input(conn, plane_traits[plane].in_size);
	/* An active event keeps its priority: take the kick back for the change. */
	event_del(conn->kick_ev);
	event_priority_set(conn->kick_ev, prio);
	event_active(conn->kick_ev, EV_TIMEOUT, 0);
	event_priority_set(conn->read_ev, prio);
	event_priority_set(conn->write_ev, prio);
	if (family == AF_INET6)
		set_option(conn->fd, IPPROTO_IPV6, IPV6_TCLASS, plane_traits[plane].tos);
	if (family == AF_INET || family == AF_INET6)
		set_option(conn->fd, IPPROTO_IP, IP_TOS, plane_traits[plane].tos);
	if (plane == LOCKSTEP_PLANE_BULK)
		set_option(conn->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, BULK_NOTSENT);
}

static void set_tcp_options(struct lockstep_conn *conn)
{
	int stall = (int)conn->t->stall_ms;
	int probes = stall / 1000 / KEEPALIVE_INTERVAL_S;

	if (lockstep_addr_is_unix(&conn->remote_addr))
		return;
	set_option(conn->fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(conn->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, stall);
	set_option(conn->fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(conn->fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	set_option(conn->fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
	set_option(conn->fd, IPPROTO_TCP, TCP_KEEPCNT, probes < 1 ? 1 : probes);
}

static void begin_handshake(struct lockstep_conn *conn)
{
	int err;

	conn->state = LOCKSTEP_CONN_HANDSHAKE;
	set_tcp_options(conn);
	err = conn->io->init(conn);
	if (err) {
		lockstep_conn_fail(conn, err, NULL);
		return;
	}
	event_add(conn->read_ev, NULL);
	conn->rx_more = true;
	event_active(conn->kick_ev, EV_TIMEOUT, 0);
}

static void conn_handshake(struct lockstep_conn *conn)
{
	int err;

	err = conn->io->handshake(conn);
	if (err == -EAGAIN) {
		if (conn->want_write)
			event_add(conn->write_ev, NULL);
		return;
	}
	if (!err && conn->io == &lockstep_conn_tls && conn->expect_node[0] &&
	    strcmp(conn->node, conn->expect_node)) {
		lockstep_conn_explain(conn, "reached node \"%s\", not \"%s\": check the address",
				      conn->node, conn->expect_node);
		err = -EKEYREJECTED;
	}
	if (err) {
		lockstep_conn_fail(conn, err, NULL);
		return;
	}
	conn->state = LOCKSTEP_CONN_HELLO;
	if (conn->outbound) {
		if (conn->owner->established)
			conn->owner->established(conn);
		err = send_hello(conn);
		if (err) {
			lockstep_conn_fail(conn, err, NULL);
			return;
		}
	}
	/* The other side's HELLO may have come with the end of the handshake. */
	conn_receive(conn);
}

static void conn_connected(struct lockstep_conn *conn)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error)
		lockstep_conn_fail(conn, -error, "%s", strerror(error));
	else
		begin_handshake(conn);
}

/* --- events -------------------------------------------------------------- */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct lockstep_conn *conn = arg;

	(void)fd;
	(void)what;
	lockstep_tick_enter(conn->t);
	if (conn->state == LOCKSTEP_CONN_HANDSHAKE)
		conn_handshake(conn);
	else if (conn_is_live(conn))
		conn_receive(conn);
	/* A write may have waited for something to be read. */
	if (conn->out_retry && !conn->want_write)
		conn_send(conn);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct lockstep_conn *conn = arg;

	(void)fd;
	(void)what;
	lockstep_tick_enter(conn->t);
	if (conn->state == LOCKSTEP_CONN_CONNECTING)
		conn_connected(conn);
	else if (conn->state == LOCKSTEP_CONN_HANDSHAKE)
		conn_handshake(conn);
	else
		conn_send(conn);
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
	struct lockstep_conn *conn = arg;

	(void)fd;
	(void)what;
	lockstep_tick_enter(conn->t);
	if (conn->state == LOCKSTEP_CONN_HANDSHAKE)
		conn_handshake(conn);
	conn_send(conn);
	if (conn_is_live(conn) && conn->rx_more && !conn->paused)
		conn_receive(conn);
	if (conn->state == LOCKSTEP_CONN_FAILED)
		lockstep_conn_finish(conn);
}

static struct lockstep_conn *conn_create(struct lockstep_transport *t, int fd,
					 const struct lockstep_addr *addr,
					 const struct lockstep_conn_owner *owner)
{
	struct lockstep_conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return NULL;
	conn->t = t;
	conn->fd = -1;
	conn->io = lockstep_addr_is_unix(addr) ? &lockstep_conn_plain : &lockstep_conn_tls;
	conn->owner = owner;
	conn->remote_addr = *addr;
	lockstep_addr_format(addr, conn->address);
	conn->deadline_ns = lockstep_clock_ns() + t->connect_ns;
	TAILQ_INSERT_TAIL(&t->conns, conn, all);

	conn->read_ev = event_new(t->base, fd, EV_READ | EV_PERSIST, on_readable, conn);
	conn->write_ev = event_new(t->base, fd, EV_WRITE, on_writable, conn);
	conn->kick_ev = event_new(t->base, -1, 0, on_kick, conn);
	conn->out = evbuffer_new();
	conn->in_size = plane_traits[0].in_size;
	conn->in = malloc(conn->in_size);
	if (!conn->read_ev || !conn->write_ev || !conn->kick_ev || !conn->out || !conn->in) {
		lockstep_conn_free(conn);
		return NULL;
	}
	conn->fd = fd;
	return conn;
}

int lockstep_conn_dial(struct lockstep_transport *t, const struct lockstep_addr *addr,
		       enum lockstep_plane plane, const struct lockstep_conn_owner *owner,
		       struct lockstep_conn **out)
{
	struct lockstep_conn *conn;
	int fd, err;

	if (!lockstep_addr_is_unix(addr) && !t->ssl_ctx)
		return -EOPNOTSUPP;
	fd = socket(addr->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	conn = conn_create(t, fd, addr, owner);
	if (!conn) {
		close(fd);
		return -ENOMEM;
	}
	conn->outbound = true;
	conn->state = LOCKSTEP_CONN_CONNECTING;
	lockstep_conn_set_plane(conn, plane);
	if (!connect(fd, (const struct sockaddr *)&addr->sa, addr->len)) {
		begin_handshake(conn);
	} else if (errno == EINPROGRESS) {
		event_add(conn->write_ev, NULL);
	} else {
		err = errno;
		lockstep_conn_fail(conn, -err, "%s", strerror(err));
	}
	*out = conn;
	return 0;
}

int lockstep_conn_accept(struct lockstep_transport *t, int fd,
			 const struct lockstep_addr *addr,
			 const struct lockstep_conn_owner *owner)
{
	struct lockstep_conn *conn;

	conn = conn_create(t, fd, addr, owner);
	if (!conn) {
		close(fd);
		return -ENOMEM;
	}
	conn->state = LOCKSTEP_CONN_CONNECTING;
	conn->read_budget = plane_traits[0].read_budget;
	conn->write_budget = plane_traits[0].write_budget;
	begin_handshake(conn);
	return 0;
}
