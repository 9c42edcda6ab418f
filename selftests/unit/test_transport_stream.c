// SPDX-License-Identifier: GPL-2.0
/*
 * Streams over loopback: flow control, sharing, ends, resets, deadlines.
 *
 * LOCKSTEP_SEED repeats what is random.
 *
 * tls.c is included, for its limit of records.
 *
 * Sources: daemon/transport/addr.c daemon/transport/conn.c daemon/transport/heartbeat.c
 * Sources: daemon/transport/keys.c daemon/transport/listen.c daemon/transport/peer.c
 * Sources: daemon/transport/plain.c daemon/transport/service.c daemon/transport/stream.c
 * Sources: daemon/transport/tick.c daemon/transport/transport.c daemon/transport/wire.c
 * Sources: daemon/common
 * Sources: selftests/unit/transport_fixture.c selftests/unit/fuzz.c
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/buffer.h>

/* Keys are changed every few records, so that it happens in these tests. */
#define RECORDS_PER_KEY 16
#include "transport/tls.c"

#include "fuzz.h"
#include "transport_fixture.h"

static struct fx fx;
static struct fx_node a, b;

/* One end of a stream: what it sends and what it got. */
struct end {
	struct lockstep_stream *s;
	uint64_t seed;
	size_t to_send;
	size_t sent;
	size_t got;
	bool corrupt;
	bool hold;		/* does not consume */
	bool finished;
	bool closed;
	int error;
	unsigned int writable;
};

static uint8_t *pattern;	/* what every stream carries, at its offset */
#define PATTERN	(8 * 1024 * 1024)

static void push(struct end *e)
{
	size_t n;
	int err;

	while (e->sent < e->to_send) {
		n = 1 + fuzz_random() % 200000;
		if (n > e->to_send - e->sent)
			n = e->to_send - e->sent;
		err = lockstep_stream_write(e->s, pattern + e->sent, n);
		if (err == -EAGAIN)
			return;
		assert_int_equal(err, 0);
		e->sent += n;
	}
	if (e->to_send)
		lockstep_stream_finish(e->s);
}

static void on_data(struct lockstep_stream *s, const void *data, size_t len)
{
	struct end *e = lockstep_stream_user(s);

	if (e->got + len > PATTERN || memcmp(pattern + e->got, data, len))
		e->corrupt = true;
	e->got += len;
	if (!e->hold)
		lockstep_stream_consumed(s, len);
}

static void on_finished(struct lockstep_stream *s)
{
	struct end *e = lockstep_stream_user(s);

	assert_false(e->finished);
	e->finished = true;
}

static void on_writable(struct lockstep_stream *s)
{
	struct end *e = lockstep_stream_user(s);

	e->writable++;
	push(e);
}

static void on_closed(struct lockstep_stream *s, int error)
{
	struct end *e = lockstep_stream_user(s);

	assert_false(e->closed);
	e->closed = true;
	e->error = error;
	e->s = NULL;
}

static const struct lockstep_stream_ops ops = {
	.data		= on_data,
	.finished	= on_finished,
	.writable	= on_writable,
	.closed		= on_closed,
};

#define ENDS	64
static struct end far[ENDS];
static unsigned int nfar;

/* The far side takes what comes; it answers with nothing but an end. */
static void take_stream(struct fx_node *n, struct lockstep_stream *s, uint32_t kind,
			const void *data, size_t len)
{
	struct end *e;

	(void)n;
	if (kind == 13)
		return;		/* left without ops: refused */
	assert_true(kind < ENDS);
	assert_int_equal(len, sizeof(e->seed));
	e = &far[kind];
	memset(e, 0, sizeof(*e));
	e->s = s;
	memcpy(&e->seed, data, sizeof(e->seed));
	lockstep_stream_set_ops(s, &ops, e);
	if (kind != 7)
		lockstep_stream_finish(s);
	nfar++;
}

static int open_end(struct fx_node *n, const char *peer, struct end *e, uint32_t kind,
		    size_t to_send)
{
	memset(e, 0, sizeof(*e));
	e->seed = 0x1234567890abcdefULL;
	e->to_send = to_send;
	return lockstep_stream_create(fx_peer(n, peer), kind, &e->seed, sizeof(e->seed), &ops, e,
				      &e->s);
}

static int setup(void **state)
{
	(void)state;
	fuzz_seed();
	fx_init(&fx);
	pattern = malloc(PATTERN);
	assert_non_null(pattern);
	fx_fill(pattern, PATTERN, 42);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(pattern);
	fx_exit(&fx);
	return 0;
}

static int pair(void **state)
{
	struct lockstep_transport_config cfg = { .window = 256 * 1024 };

	(void)state;
	fx_node_init(&a, &fx, "a", &cfg);
	fx_node_init(&b, &fx, "b", &cfg);
	a.on_stream = take_stream;
	b.on_stream = take_stream;
	fx_connect(&a, &b);
	fx_wait(&fx, fx_up(&a, "b") && fx_up(&b, "a"));
	nfar = 0;
	memset(far, 0, sizeof(far));
	return 0;
}

static int unpair(void **state)
{
	(void)state;
	fx_node_exit(&a);
	fx_node_exit(&b);
	return 0;
}

static void test_big(void **state)
{
	struct end e;

	(void)state;
	assert_int_equal(open_end(&a, "b", &e, 0, PATTERN), 0);
	push(&e);
	assert_true(e.sent < PATTERN);		/* it was held back */
	fx_wait(&fx, e.closed && far[0].closed);
	assert_int_equal(e.error, 0);
	assert_int_equal(far[0].error, 0);
	assert_true(far[0].finished && e.finished);
	assert_int_equal(far[0].got, PATTERN);
	assert_false(far[0].corrupt);
	assert_true(e.writable > 0);
	assert_true(far[0].seed == e.seed);
}

/* From the side that accepts connections too: ids don't collide. */
static void test_many_both_ways(void **state)
{
	struct end ends[40];
	unsigned int i;
	bool done;

	(void)state;
	for (i = 0; i < 40; i++) {
		if (i == 13 || i == 7) {
			memset(&ends[i], 0, sizeof(ends[i]));
			ends[i].closed = true;
			continue;
		}
		assert_int_equal(open_end(i & 1 ? &a : &b, i & 1 ? "b" : "a", &ends[i], i,
					  1 + fuzz_random() % 600000), 0);
		push(&ends[i]);
	}
	do {
		fx_turn(&fx);
		for (i = 0, done = true; i < 40; i++)
			done &= ends[i].closed && (!ends[i].to_send || far[i].closed);
	} while (!done);
	for (i = 0; i < 40; i++) {
		assert_int_equal(ends[i].error, 0);
		assert_int_equal(far[i].got, ends[i].to_send);
		assert_false(far[i].corrupt);
	}
}

/* A reader that does not read stops its own stream and no other. */
static void test_slow_reader(void **state)
{
	struct end slow, quick;

	(void)state;
	assert_int_equal(open_end(&a, "b", &slow, 1, PATTERN), 0);
	fx_wait(&fx, nfar == 1);
	far[1].hold = true;
	push(&slow);
	fx_wait(&fx, far[1].got == 256 * 1024);
	assert_int_equal(open_end(&a, "b", &quick, 2, PATTERN), 0);
	push(&quick);
	fx_wait(&fx, quick.closed && far[2].closed);
	assert_int_equal(far[2].got, PATTERN);
	/* Exactly the window came through, and not a byte more. */
	assert_int_equal(far[1].got, 256 * 1024);
	assert_false(slow.closed);
	/* Credit that is no multiple of a chunk is used up, and not exceeded. */
	lockstep_stream_consumed(far[1].s, 100001);
	fx_wait(&fx, far[1].got >= 256 * 1024 + 100001);
	fx_run_ms(&fx, 50);
	assert_int_equal(far[1].got, 256 * 1024 + 100001);
	assert_true(fx_up(&a, "b"));
	/* It goes on when it is read at last. */
	far[1].hold = false;
	lockstep_stream_consumed(far[1].s, 256 * 1024);
	fx_wait(&fx, slow.closed && far[1].closed);
	assert_int_equal(far[1].got, PATTERN);
	assert_false(far[1].corrupt);
}

static void test_buffer_and_file(void **state)
{
	struct evbuffer *buf = evbuffer_new();
	FILE *f = tmpfile();
	struct end e;

	(void)state;
	assert_non_null(f);
	assert_int_equal(fwrite(pattern, 1, 300000, f), 300000);
	fflush(f);
	assert_int_equal(open_end(&b, "a", &e, 3, 0), 0);
	assert_int_equal(evbuffer_add_file(buf, dup(fileno(f)), 0, 300000), 0);
	assert_int_equal(lockstep_stream_write_buffer(e.s, buf), 0);
	assert_int_equal(evbuffer_get_length(buf), 0);
	evbuffer_add(buf, "x", 1);
	assert_int_equal(lockstep_stream_write_buffer(e.s, buf), -EAGAIN);
	assert_int_equal(evbuffer_get_length(buf), 1);
	assert_int_equal(lockstep_stream_finish(e.s), 0);
	assert_int_equal(lockstep_stream_write(e.s, "x", 1), -EPIPE);
	fx_wait(&fx, e.closed && far[3].closed);
	assert_int_equal(far[3].got, 300000);
	assert_false(far[3].corrupt);
	evbuffer_free(buf);
	fclose(f);
}

static void test_reset(void **state)
{
	struct end e, other;

	(void)state;
	assert_int_equal(open_end(&a, "b", &e, 4, PATTERN), 0);
	assert_int_equal(open_end(&a, "b", &other, 5, PATTERN), 0);
	push(&e);
	push(&other);
	fx_wait(&fx, far[4].got > 0);
	lockstep_stream_reset(e.s, ENOSPC);
	assert_false(e.closed);			/* not before the loop runs */
	fx_wait(&fx, e.closed && far[4].closed);
	assert_int_equal(e.error, -ECANCELED);
	assert_int_equal(far[4].error, -ENOSPC);
	fx_wait(&fx, other.closed && far[5].closed);
	assert_int_equal(far[5].got, PATTERN);
	/* From the receiving side, while data for it is under way. */
	assert_int_equal(open_end(&a, "b", &e, 6, PATTERN), 0);
	push(&e);
	fx_wait(&fx, far[6].got > 0);
	lockstep_stream_reset(far[6].s, EIO);
	fx_wait(&fx, e.closed);
	assert_int_equal(e.error, -EIO);
	fx_run_ms(&fx, 50);
	assert_true(fx_up(&a, "b"));		/* late frames did no harm */
}

static void test_refused_and_limits(void **state)
{
	static struct end many[LOCKSTEP_STREAMS_MAX + 1];
	uint8_t big[LOCKSTEP_STREAM_OPEN_MAX + 1] = { 0 };
	struct lockstep_stream *s;
	struct end e;
	unsigned int i;

	(void)state;
	assert_int_equal(open_end(&a, "b", &e, 13, 100), 0);
	fx_wait(&fx, e.closed);
	assert_int_equal(e.error, -EOPNOTSUPP);
	assert_int_equal(lockstep_stream_create(fx_peer(&a, "b"), 1, big, sizeof(big), &ops, &e,
						&s), -EMSGSIZE);
	for (i = 0; i < LOCKSTEP_STREAMS_MAX; i++)
		assert_int_equal(open_end(&a, "b", &many[i], 13, 0), 0);
	assert_int_equal(open_end(&a, "b", &many[i], 13, 0), -EMFILE);
	fx_wait(&fx, many[LOCKSTEP_STREAMS_MAX - 1].closed);
	assert_int_equal(open_end(&a, "b", &e, 8, 10), 0);
	push(&e);
	fx_wait(&fx, e.closed);
	assert_int_equal(e.error, 0);
}

static void test_plane_down(void **state)
{
	struct end e, f;

	(void)state;
	assert_int_equal(open_end(&a, "b", &e, 9, PATTERN), 0);
	assert_int_equal(open_end(&a, "b", &f, 10, PATTERN), 0);
	push(&e);
	push(&f);
	fx_wait(&fx, far[9].got > 0);
	lockstep_stream_reset(f.s, 0);
	lockstep_peer_reset(fx_peer(&a, "b"), "test");
	fx_wait(&fx, a.downs[LOCKSTEP_PLANE_BULK] && b.downs[LOCKSTEP_PLANE_BULK]);
	assert_true(e.closed && f.closed && far[9].closed);
	assert_int_equal(e.error, -ECONNRESET);
	assert_int_equal(f.error, -ECANCELED);
	assert_int_equal(open_end(&a, "b", &e, 9, 1), -ENOTCONN);
	fx_wait(&fx, fx_up(&a, "b"));
	assert_int_equal(open_end(&a, "b", &e, 9, 1), 0);
	push(&e);
	fx_wait(&fx, e.closed);
	assert_int_equal(e.error, 0);
}

static void test_deadline(void **state)
{
	uint64_t begin = fx_now_ms();
	struct end e;

	(void)state;
	assert_int_equal(open_end(&a, "b", &e, 7, PATTERN), 0);
	lockstep_stream_set_deadline(e.s, 300);
	fx_wait(&fx, nfar == 1);
	far[7].hold = true;
	push(&e);
	fx_wait(&fx, e.closed && far[7].closed);
	assert_int_equal(e.error, -ETIMEDOUT);
	assert_int_equal(far[7].error, -ETIMEDOUT);
	assert_true(fx_now_ms() - begin >= 300);
}

/* Peers removed with streams open: each is closed, once, and nothing leaks. */
static void test_remove(void **state)
{
	struct end e, f;

	(void)state;
	assert_int_equal(open_end(&a, "b", &e, 11, PATTERN), 0);
	assert_int_equal(open_end(&a, "b", &f, 12, PATTERN), 0);
	push(&e);
	push(&f);
	lockstep_stream_reset(f.s, 0);
	lockstep_peer_remove(fx_peer(&a, "b"));
	assert_false(e.closed);
	fx_wait(&fx, e.closed && f.closed);
	assert_int_equal(a.downs[LOCKSTEP_PLANE_BULK], 0);
}

/* Keys of TLS were changed many times by all that. */
static void test_keys_changed(void **state)
{
	struct end e;

	(void)state;
	assert_int_equal(open_end(&a, "b", &e, 0, PATTERN), 0);
	push(&e);
	fx_wait(&fx, e.closed && far[0].closed);
	assert_true(fx_peer(&a, "b")->links[LOCKSTEP_PLANE_BULK].conn->tx_bytes >= PATTERN);
	assert_true(fx_peer(&a, "b")->links[LOCKSTEP_PLANE_BULK].conn->tx_records <=
		    RECORDS_PER_KEY);
	assert_int_equal(far[0].got, PATTERN);
	assert_false(far[0].corrupt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_big, pair, unpair),
		cmocka_unit_test_setup_teardown(test_many_both_ways, pair, unpair),
		cmocka_unit_test_setup_teardown(test_slow_reader, pair, unpair),
		cmocka_unit_test_setup_teardown(test_buffer_and_file, pair, unpair),
		cmocka_unit_test_setup_teardown(test_reset, pair, unpair),
		cmocka_unit_test_setup_teardown(test_refused_and_limits, pair, unpair),
		cmocka_unit_test_setup_teardown(test_plane_down, pair, unpair),
		cmocka_unit_test_setup_teardown(test_deadline, pair, unpair),
		cmocka_unit_test_setup_teardown(test_remove, pair, unpair),
		cmocka_unit_test_setup_teardown(test_keys_changed, pair, unpair),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
