// SPDX-License-Identifier: GPL-2.0
/*
 * Streams: many on one BULK connection, each with credit of its own.
 *
 * A stream with bytes and credit stands in its peer's ready queue. Whenever the
 * connection has room, the first one sends one chunk and goes to the end: they
 * share the connection evenly, and little is queued behind the one buffer all
 * of them, and their credit, go through.
 *
 * A stream is over when both sides have finished or one has reset it. It then
 * leaves the table (late frames for it are dropped) and closed is called: at
 * once where the loop found out, from the closing list where the upper layer
 * did.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "transport/internal.h"

#define CONN_HIGH	(128 * 1024)	/* no more chunks are queued above it */
#define CONN_LOW	(64 * 1024)	/* and again at it */

/**
 * struct lockstep_stream - a stream
 * @hash: link in peer->streams, or in transport->closing
 * @turn: link in peer->ready
 * @peer: peer
 * @ops: upcalls; NULL until the upper layer takes it
 * @user: upper layer's
 * @id: odd: opened by the dialler
 * @ready: it is in peer->ready
 * @over: it is out of the table
 * @wants_room: the upper layer got -EAGAIN
 * @finished: the upper layer wrote its last byte
 * @fin_sent: the peer was told
 * @remote_fin: the peer wrote its last byte
 * @error: for closed
 * @out: bytes not yet on the connection
 * @send_credit: bytes the peer takes
 * @recv_credit: bytes the peer may send
 * @unconsumed: bytes delivered and not yet consumed
 * @grant: consumed bytes the peer was not told of
 * @deadline_ns: time without progress allowed; 0: any
 * @progress_ns: when it last made some
 */
struct lockstep_stream {
	TAILQ_ENTRY(lockstep_stream) hash;
	TAILQ_ENTRY(lockstep_stream) turn;
	struct lockstep_peer *peer;
	const struct lockstep_stream_ops *ops;
	void *user;
	uint32_t id;
	bool ready;
	bool over;
	bool wants_room;
	bool finished;
	bool fin_sent;
	bool remote_fin;
	int error;
	struct evbuffer *out;
	uint64_t send_credit;
	uint64_t recv_credit;
	uint64_t unconsumed;
	uint64_t grant;
	uint64_t deadline_ns;
	uint64_t progress_ns;
};

static struct lockstep_conn *bulk_conn(struct lockstep_peer *peer)
{
	return peer->links[LOCKSTEP_PLANE_BULK].conn;
}

static struct lockstep_stream_list *bucket(struct lockstep_peer *peer, uint32_t id)
{
	return &peer->streams[id / 2 % LOCKSTEP_STREAM_BUCKETS];
}

static struct lockstep_stream *stream_find(struct lockstep_peer *peer, uint32_t id)
{
	struct lockstep_stream *s;

	TAILQ_FOREACH(s, bucket(peer, id), hash) {
		if (s->id == id)
			return s;
	}
	return NULL;
}

static struct lockstep_stream *stream_new(struct lockstep_peer *peer, uint32_t id,
					  uint64_t send_credit)
{
	struct lockstep_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->out = evbuffer_new();
	if (!s->out) {
		free(s);
		return NULL;
	}
	s->peer = peer;
	s->id = id;
	s->send_credit = send_credit;
	s->recv_credit = peer->t->window;
	s->progress_ns = lockstep_clock_ns();
	TAILQ_INSERT_TAIL(bucket(peer, id), s, hash);
	peer->nstreams++;
	return s;
}

static void stream_free(struct lockstep_stream *s)
{
	s->peer->nstreams--;
	evbuffer_free(s->out);
	free(s);
}

/* Take it out of the table: the peer's frames don't find it any more. */
static void stream_end(struct lockstep_stream *s, int error)
{
	s->over = true;
	s->error = error;
	if (s->ready)
		TAILQ_REMOVE(&s->peer->ready, s, turn);
	s->ready = false;
	TAILQ_REMOVE(bucket(s->peer, s->id), s, hash);
}

/* Tell the upper layer that a stream which has ended is over, and free it. */
static void stream_close(struct lockstep_stream *s)
{
	if (s->ops && s->ops->closed)
		s->ops->closed(s, s->error);
	stream_free(s);
}

/* --- sending ------------------------------------------------------------- */

/* A frame without payload, or with little. A full queue breaks the connection. */
static void send_control(struct lockstep_peer *peer, struct lockstep_frame *f,
			 const void *data, size_t len)
{
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	struct lockstep_conn *conn = bulk_conn(peer);
	int err;

	if (!conn)
		return;
	err = lockstep_conn_queue(conn, f, &iov, 1);
	if (err < 0 && err != -ENOTCONN)
		lockstep_conn_fail(conn, err, "can't queue a stream's control frame");
}

static void send_reset(struct lockstep_peer *peer, uint32_t id, int code)
{
	struct lockstep_frame f = {
		.type = LOCKSTEP_FRAME_STREAM_RESET,
		.channel = id,
		.kind = code > 0 ? (uint32_t)code : ECANCELED,
	};

	send_control(peer, &f, NULL, 0);
}

static bool has_work(const struct lockstep_stream *s)
{
	if (evbuffer_get_length(s->out))
		return s->send_credit > 0;
	return s->finished && !s->fin_sent;
}

static void make_ready(struct lockstep_stream *s)
{
	struct lockstep_conn *conn = bulk_conn(s->peer);

	if (s->over || !has_work(s) || !conn)
		return;
	if (!s->ready) {
		TAILQ_INSERT_TAIL(&s->peer->ready, s, turn);
		s->ready = true;
	}
	lockstep_conn_want_room(conn);
}

/* One chunk, or FIN. 0, or -errno when the connection failed. */
static int send_turn(struct lockstep_stream *s, struct lockstep_conn *conn)
{
	struct lockstep_frame f = { .type = LOCKSTEP_FRAME_STREAM_DATA, .channel = s->id };
	size_t len = evbuffer_get_length(s->out);
	int err;

	if (len > LOCKSTEP_STREAM_CHUNK)
		len = LOCKSTEP_STREAM_CHUNK;
	if (len > s->send_credit)
		len = s->send_credit;
	if (len) {
		err = lockstep_conn_queue_buffer(conn, &f, s->out, len);
		if (err)
			return err;
		s->send_credit -= len;
		s->progress_ns = conn->t->alive_ns;
	}
	if (!evbuffer_get_length(s->out) && s->finished && !s->fin_sent) {
		f.type = LOCKSTEP_FRAME_STREAM_FIN;
		send_control(s->peer, &f, NULL, 0);
		s->fin_sent = true;
	}
	return 0;
}

void lockstep_stream_pump(struct lockstep_peer *peer)
{
	struct lockstep_conn *conn = bulk_conn(peer);
	struct lockstep_stream *s;

	while (conn && conn->state == LOCKSTEP_CONN_UP && (s = TAILQ_FIRST(&peer->ready))) {
		if (lockstep_conn_queued(conn) >= CONN_HIGH) {
			lockstep_conn_want_room(conn);
			return;
		}
		TAILQ_REMOVE(&peer->ready, s, turn);
		s->ready = false;
		if (send_turn(s, conn)) {
			lockstep_conn_fail(conn, -ENOMEM, "no memory to send");
			return;
		}
		if (s->fin_sent && s->remote_fin) {
			stream_end(s, 0);
			stream_close(s);
		} else {
			if (has_work(s)) {
				TAILQ_INSERT_TAIL(&peer->ready, s, turn);
				s->ready = true;
			}
			if (s->wants_room && evbuffer_get_length(s->out) < peer->t->window / 2) {
				s->wants_room = false;
				if (s->ops && s->ops->writable)
					s->ops->writable(s);
			}
		}
		conn = bulk_conn(peer);
	}
}

/* --- receiving ----------------------------------------------------------- */

static int bad_frame(struct lockstep_peer *peer, const char *what)
{
	lockstep_conn_explain(bulk_conn(peer), "stream: %s", what);
	return -EPROTO;
}

/* Was this id ever a stream? If so, frames for it are merely late. */
static bool id_was_used(const struct lockstep_peer *peer, uint32_t id)
{
	bool ours = (id & 1) == (peer->dials ? 1 : 0);

	return id && (ours ? id < peer->next_stream : id <= peer->last_remote);
}

static int frame_open(struct lockstep_peer *peer, const struct lockstep_frame *f,
		      const uint8_t *payload)
{
	const struct lockstep_transport_ops *ops = peer->t->ops;
	struct lockstep_stream *s;
	uint32_t id = f->channel;

	if ((id & 1) == (peer->dials ? 1 : 0) || id <= peer->last_remote)
		return bad_frame(peer, "opened with an id that is not the peer's next");
	if (f->id < LOCKSTEP_WINDOW_MIN || f->id > LOCKSTEP_WINDOW_MAX)
		return bad_frame(peer, "opened with a credit out of range");
	peer->last_remote = id;
	if (peer->nstreams >= LOCKSTEP_STREAMS_MAX) {
		send_reset(peer, id, EMFILE);
		return 0;
	}
	s = stream_new(peer, id, f->id);
	if (!s) {
		send_reset(peer, id, ENOMEM);
		return 0;
	}
	if (!peer->removed && ops->stream_open)
		ops->stream_open(peer, s, f->kind, payload, f->length);
	if (!s->over && !s->ops) {
		send_reset(peer, id, EOPNOTSUPP);
		stream_end(s, -EOPNOTSUPP);
		stream_close(s);
	}
	return 0;
}

static int frame_data(struct lockstep_stream *s, const struct lockstep_frame *f,
		      const uint8_t *payload)
{
	if (s->remote_fin)
		return bad_frame(s->peer, "data after its end");
	if (f->length > s->recv_credit)
		return bad_frame(s->peer, "more data than there was credit for");
	s->recv_credit -= f->length;
	s->unconsumed += f->length;
	s->progress_ns = s->peer->t->alive_ns;
	if (f->length && s->ops->data)
		s->ops->data(s, payload, f->length);
	return 0;
}

static int frame_credit(struct lockstep_stream *s, const struct lockstep_frame *f)
{
	if (f->id > LOCKSTEP_WINDOW_MAX || s->send_credit + f->id > LOCKSTEP_WINDOW_MAX)
		return bad_frame(s->peer, "more credit than the largest window");
	s->send_credit += f->id;
	s->progress_ns = s->peer->t->alive_ns;
	make_ready(s);
	return 0;
}

static int frame_fin(struct lockstep_stream *s)
{
	if (s->remote_fin)
		return bad_frame(s->peer, "ended twice");
	s->remote_fin = true;
	s->progress_ns = s->peer->t->alive_ns;
	if (s->ops->finished)
		s->ops->finished(s);
	if (!s->over && s->fin_sent) {
		stream_end(s, 0);
		stream_close(s);
	}
	return 0;
}

int lockstep_stream_frame(struct lockstep_peer *peer, const struct lockstep_frame *f,
			  const uint8_t *payload)
{
	struct lockstep_stream *s;

	if (f->type == LOCKSTEP_FRAME_STREAM_OPEN)
		return frame_open(peer, f, payload);
	if (f->type == LOCKSTEP_FRAME_MSG)
		return bad_frame(peer, "message on BULK");
	s = stream_find(peer, f->channel);
	if (!s)
		return id_was_used(peer, f->channel) ? 0 :
		       bad_frame(peer, "frame for a stream that never was");
	switch (f->type) {
	case LOCKSTEP_FRAME_STREAM_DATA:
		return frame_data(s, f, payload);
	case LOCKSTEP_FRAME_STREAM_CREDIT:
		return frame_credit(s, f);
	case LOCKSTEP_FRAME_STREAM_FIN:
		return frame_fin(s);
	case LOCKSTEP_FRAME_STREAM_RESET:
		stream_end(s, f->kind && f->kind < 4096 ? -(int)f->kind : -ECANCELED);
		stream_close(s);
		return 0;
	default:
		return bad_frame(peer, "unexpected frame");
	}
}

/* --- life ---------------------------------------------------------------- */

void lockstep_stream_up(struct lockstep_peer *peer)
{
	bulk_conn(peer)->low = CONN_LOW;
	peer->next_stream = peer->dials ? 1 : 2;
	peer->last_remote = 0;
}

void lockstep_stream_down(struct lockstep_peer *peer, int error)
{
	struct lockstep_stream *s;
	unsigned int i;

	for (i = 0; i < LOCKSTEP_STREAM_BUCKETS; i++) {
		while ((s = TAILQ_FIRST(&peer->streams[i]))) {
			stream_end(s, error);
			stream_close(s);
		}
	}
	/* Those that the upper layer had reset are over before the plane is. */
	lockstep_stream_reap(peer->t);
}

void lockstep_stream_reap(struct lockstep_transport *t)
{
	struct lockstep_stream *s;

	while ((s = TAILQ_FIRST(&t->closing))) {
		TAILQ_REMOVE(&t->closing, s, hash);
		stream_close(s);
	}
}

void lockstep_stream_free_all(struct lockstep_peer *peer)
{
	struct lockstep_stream *s, *next;
	unsigned int i;

	for (i = 0; i < LOCKSTEP_STREAM_BUCKETS; i++) {
		while ((s = TAILQ_FIRST(&peer->streams[i]))) {
			stream_end(s, 0);
			stream_free(s);
		}
	}
	LOCKSTEP_FOREACH_SAFE(s, &peer->t->closing, hash, next) {
		if (s->peer != peer)
			continue;
		TAILQ_REMOVE(&peer->t->closing, s, hash);
		stream_free(s);
	}
}

void lockstep_stream_tick(struct lockstep_peer *peer, uint64_t now)
{
	struct lockstep_stream *s, *next;
	unsigned int i;

	if (!peer->nstreams)
		return;
	for (i = 0; i < LOCKSTEP_STREAM_BUCKETS; i++) {
		LOCKSTEP_FOREACH_SAFE(s, &peer->streams[i], hash, next) {
			if (!s->deadline_ns || now < s->progress_ns + s->deadline_ns)
				continue;
			lockstep_stream_reset(s, ETIMEDOUT);
			s->error = -ETIMEDOUT;
		}
	}
}

void lockstep_stream_restart(struct lockstep_peer *peer, uint64_t now)
{
	struct lockstep_stream *s;
	unsigned int i;

	if (!peer->nstreams)
		return;
	for (i = 0; i < LOCKSTEP_STREAM_BUCKETS; i++) {
		TAILQ_FOREACH(s, &peer->streams[i], hash)
			s->progress_ns = now;
	}
}

/* --- interface ----------------------------------------------------------- */

int lockstep_stream_create(struct lockstep_peer *peer, uint32_t kind, const void *data,
			   size_t len, const struct lockstep_stream_ops *ops, void *user,
			   struct lockstep_stream **out)
{
	struct lockstep_frame f = {
		.type = LOCKSTEP_FRAME_STREAM_OPEN,
		.kind = kind,
		.id = peer->t->window,
	};
	struct lockstep_stream *s;

	if (peer->removed || !lockstep_peer_is_up(peer, LOCKSTEP_PLANE_BULK))
		return -ENOTCONN;
	if (len > LOCKSTEP_STREAM_OPEN_MAX)
		return -EMSGSIZE;
	if (peer->nstreams >= LOCKSTEP_STREAMS_MAX || peer->next_stream > UINT32_MAX)
		return -EMFILE;
	s = stream_new(peer, (uint32_t)peer->next_stream, bulk_conn(peer)->remote.window);
	if (!s)
		return -ENOMEM;
	peer->next_stream += 2;
	s->ops = ops;
	s->user = user;
	f.channel = s->id;
	send_control(peer, &f, data, len);
	*out = s;
	return 0;
}

void lockstep_stream_set_ops(struct lockstep_stream *stream,
			     const struct lockstep_stream_ops *ops, void *user)
{
	stream->ops = ops;
	stream->user = user;
}

/* May so many bytes be queued? */
static int check_write(struct lockstep_stream *s, size_t len)
{
	if (s->finished || s->over)
		return -EPIPE;
	if (len > LOCKSTEP_WINDOW_MAX)
		return -EMSGSIZE;
	if (evbuffer_get_length(s->out) >= s->peer->t->window) {
		s->wants_room = true;
		return -EAGAIN;
	}
	return 0;
}

int lockstep_stream_write(struct lockstep_stream *stream, const void *data, size_t len)
{
	int err;

	err = check_write(stream, len);
	if (err)
		return err;
	if (evbuffer_add(stream->out, data, len))
		return -ENOMEM;
	make_ready(stream);
	return 0;
}

int lockstep_stream_write_buffer(struct lockstep_stream *stream, struct evbuffer *buf)
{
	int err;

	err = check_write(stream, evbuffer_get_length(buf));
	if (err)
		return err;
	if (evbuffer_add_buffer(stream->out, buf))
		return -ENOMEM;
	make_ready(stream);
	return 0;
}

int lockstep_stream_finish(struct lockstep_stream *stream)
{
	if (stream->finished || stream->over)
		return -EPIPE;
	stream->finished = true;
	make_ready(stream);
	return 0;
}

void lockstep_stream_consumed(struct lockstep_stream *stream, size_t len)
{
	struct lockstep_frame f = {
		.type = LOCKSTEP_FRAME_STREAM_CREDIT,
		.channel = stream->id,
	};

	if (len > stream->unconsumed)
		len = stream->unconsumed;
	stream->unconsumed -= len;
	stream->grant += len;
	if (stream->over || stream->remote_fin || stream->grant < stream->peer->t->window / 4)
		return;
	f.id = stream->grant;
	stream->recv_credit += stream->grant;
	stream->grant = 0;
	send_control(stream->peer, &f, NULL, 0);
}

void lockstep_stream_reset(struct lockstep_stream *stream, int code)
{
	if (stream->over)
		return;
	send_reset(stream->peer, stream->id, code);
	stream_end(stream, -ECANCELED);
	TAILQ_INSERT_TAIL(&stream->peer->t->closing, stream, hash);
	lockstep_transport_sweep(stream->peer->t);
}

void lockstep_stream_set_deadline(struct lockstep_stream *stream, unsigned int ms)
{
	stream->deadline_ns = ms * LOCKSTEP_NSEC_PER_MSEC;
	stream->progress_ns = lockstep_clock_ns();
}

void *lockstep_stream_user(const struct lockstep_stream *stream)
{
	return stream->user;
}

struct lockstep_peer *lockstep_stream_peer(const struct lockstep_stream *stream)
{
	return stream->peer;
}

size_t lockstep_stream_queued(const struct lockstep_stream *stream)
{
	return evbuffer_get_length(stream->out);
}
