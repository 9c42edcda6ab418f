// SPDX-License-Identifier: GPL-2.0
/*
 * Wire format of the transport: what is written is read back, and no bytes
 * whatever are read out of bounds or taken for what they aren't.
 *
 * LOCKSTEP_SEED repeats a run of the fuzzer, LOCKSTEP_FUZZ sets its rounds.
 *
 * Sources: daemon/transport/wire.c daemon/common
 * Sources: selftests/unit/fuzz.c
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fuzz.h"
#include "transport/wire.h"

static void test_frame_round_trip(void **state)
{
	struct lockstep_frame in, out = { 0 };
	uint8_t buf[LOCKSTEP_FRAME_HDR];
	unsigned int type;

	(void)state;
	for (type = LOCKSTEP_FRAME_HELLO; type <= LOCKSTEP_FRAME_TYPE_MAX; type++) {
		memset(&in, 0, sizeof(in));
		memset(&out, 0, sizeof(out));
		in.type = (uint8_t)type;
		in.channel = 0x11223344;
		in.kind = 0x55667788;
		in.id = 0x0102030405060708ULL;
		lockstep_frame_encode(&in, buf);
		assert_int_equal(lockstep_frame_decode(buf, &out), 0);
		assert_memory_equal(&in, &out, sizeof(in));
	}
}

/* The bytes are the contract: another implementation must be able to rely on them. */
static void test_frame_bytes(void **state)
{
	static const uint8_t want[LOCKSTEP_FRAME_HDR] = {
		'L', 'S', 'F', '1', 1, 4, 0, 0, 0x10, 0, 0, 0, 7, 0, 0, 0,
		3, 0, 0, 0, 0, 0, 0, 0, 0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,
	};
	struct lockstep_frame f = {
		.type = LOCKSTEP_FRAME_MSG, .length = 16, .channel = 7, .kind = 3,
		.id = 0x0102030405060708ULL,
	};
	uint8_t buf[LOCKSTEP_FRAME_HDR];

	(void)state;
	lockstep_frame_encode(&f, buf);
	assert_memory_equal(buf, want, sizeof(want));
}

static void test_frame_refused(void **state)
{
	struct lockstep_frame f = { .type = LOCKSTEP_FRAME_MSG }, out;
	uint8_t good[LOCKSTEP_FRAME_HDR], bad[LOCKSTEP_FRAME_HDR];

	(void)state;
	lockstep_frame_encode(&f, good);
#define spoil(at, value) do { memcpy(bad, good, sizeof(bad)); bad[at] = (value); } while (0)
	spoil(0, 'X');
	assert_int_equal(lockstep_frame_decode(bad, &out), -EPROTO);
	spoil(4, 2);
	assert_int_equal(lockstep_frame_decode(bad, &out), -EPROTONOSUPPORT);
	spoil(5, 0);
	assert_int_equal(lockstep_frame_decode(bad, &out), -EPROTO);
	spoil(5, LOCKSTEP_FRAME_TYPE_MAX + 1);
	assert_int_equal(lockstep_frame_decode(bad, &out), -EPROTO);
	spoil(6, 1);
	assert_int_equal(lockstep_frame_decode(bad, &out), -EPROTO);
	spoil(20, 1);
	assert_int_equal(lockstep_frame_decode(bad, &out), -EPROTO);
	/* One byte more than a message may have. */
	spoil(8, 1);
	bad[10] = 0x10;
	assert_int_equal(lockstep_frame_decode(bad, &out), -EMSGSIZE);
	/* Frames without payload have none. */
	spoil(5, LOCKSTEP_FRAME_STREAM_FIN);
	bad[8] = 1;
	assert_int_equal(lockstep_frame_decode(bad, &out), -EMSGSIZE);
}

static struct lockstep_hello sample_hello(void)
{
	struct lockstep_hello h = {
		.version_min = 1, .version_max = 1, .plane = LOCKSTEP_PLANE_SERVICE,
		.udp_port = 7471, .window = LOCKSTEP_WINDOW_DEF,
		.cluster = "c", .node = "node-1", .service = "arbiter",
	};

	memset(h.boot_id.b, 0xb0, sizeof(h.boot_id.b));
	memset(h.incarnation.b, 0x1c, sizeof(h.incarnation.b));
	return h;
}

static void test_hello(void **state)
{
	struct lockstep_hello in = sample_hello(), out;
	uint8_t buf[LOCKSTEP_HELLO_MAX + 8];
	size_t len, i;

	(void)state;
	len = lockstep_hello_encode(&in, buf);
	assert_int_equal(lockstep_hello_decode(buf, len, &out), 0);
	assert_memory_equal(&in, &out, sizeof(in));
	/* A newer version may say more. */
	assert_int_equal(lockstep_hello_decode(buf, len + 8, &out), 0);
	for (i = 0; i < len; i++)
		assert_int_equal(lockstep_hello_decode(buf, i, &out), -EPROTO);

	memset(in.node, 'n', LOCKSTEP_NODE_NAME_MAX);
	memset(in.cluster, 'c', LOCKSTEP_NODE_NAME_MAX);
	memset(in.service, 's', LOCKSTEP_SERVICE_NAME_MAX);
	in.node[LOCKSTEP_NODE_NAME_MAX] = in.cluster[LOCKSTEP_NODE_NAME_MAX] = '\0';
	in.service[LOCKSTEP_SERVICE_NAME_MAX] = '\0';
	len = lockstep_hello_encode(&in, buf);
	assert_true(len <= LOCKSTEP_HELLO_MAX);
	assert_int_equal(lockstep_hello_decode(buf, len, &out), 0);
	assert_string_equal(out.service, in.service);
}

static void test_hello_refused(void **state)
{
	struct lockstep_hello in, out;
	uint8_t buf[LOCKSTEP_HELLO_MAX];

	(void)state;
#define refused(change) do {							\
	in = sample_hello();							\
	change;									\
	assert_int_equal(lockstep_hello_decode(buf,				\
		lockstep_hello_encode(&in, buf), &out), -EPROTO);		\
} while (0)
	refused(in.version_min = 2);
	refused(in.plane = 0);
	refused(in.plane = LOCKSTEP_PLANE_MAX + 1);
	refused(in.plane = LOCKSTEP_PLANE_LOG);		/* with a service */
	refused(in.service[0] = '\0');
	refused(in.node[0] = '\0');
	refused(strcpy(in.node, "Node"));
	refused(strcpy(in.cluster, "-c"));
	refused(in.window = LOCKSTEP_WINDOW_MIN - 1);
	refused(in.window = LOCKSTEP_WINDOW_MAX + 1);
}

static void test_hello_version(void **state)
{
	struct lockstep_hello h = { .version_min = 1, .version_max = 9 };

	(void)state;
	assert_int_equal(lockstep_hello_version(&h), LOCKSTEP_PROTO_MAX);
	h.version_min = LOCKSTEP_PROTO_MAX + 1;
	assert_int_equal(lockstep_hello_version(&h), -EPROTONOSUPPORT);
	h.version_min = h.version_max = LOCKSTEP_PROTO_MIN - 1;
	assert_int_equal(lockstep_hello_version(&h), -EPROTONOSUPPORT);
}

static void test_node_names(void **state)
{
	static const char * const good[] = { "a", "node-1", "x.y_z", "0", "1a" };
	static const char * const bad[] = { "", "A", "-a", "a-", ".a", "a b", "a/b", "a*", "\xc3\xa4" };
	char name[LOCKSTEP_NODE_NAME_MAX + 2];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(lockstep_node_name_valid(good[i]));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(lockstep_node_name_valid(bad[i]));
	assert_false(lockstep_node_name_valid(NULL));
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_false(lockstep_node_name_valid(name));
	name[LOCKSTEP_NODE_NAME_MAX] = '\0';
	assert_true(lockstep_node_name_valid(name));
}

static void test_beat(void **state)
{
	uint8_t key[LOCKSTEP_BEAT_KEY] = { 1, 2, 3 }, other[LOCKSTEP_BEAT_KEY] = { 1, 2, 4 };
	uint8_t payload[LOCKSTEP_HEARTBEAT_MAX + 1], buf[LOCKSTEP_BEAT_MAX + 1];
	struct lockstep_beat in = {
		.key_id = 5, .seq = 6, .sent_ns = 7, .echo_ns = 8, .held_ns = 9,
		.payload = payload, .len = LOCKSTEP_HEARTBEAT_MAX,
	}, out;
	uint64_t id;
	int len, i;

	(void)state;
	memset(payload, 0x5a, sizeof(payload));
	len = lockstep_beat_encode(&in, key, buf);
	assert_int_equal(len, LOCKSTEP_BEAT_MAX);
	assert_int_equal(lockstep_beat_key_id(buf, (size_t)len, &id), 0);
	assert_int_equal(id, 5);
	assert_int_equal(lockstep_beat_decode(buf, (size_t)len, key, &out), 0);
	assert_int_equal(out.seq, 6);
	assert_int_equal(out.sent_ns, 7);
	assert_int_equal(out.echo_ns, 8);
	assert_int_equal(out.held_ns, 9);
	assert_int_equal(out.len, LOCKSTEP_HEARTBEAT_MAX);
	assert_memory_equal(out.payload, payload, out.len);

	assert_int_equal(lockstep_beat_decode(buf, (size_t)len, other, &out), -EBADMSG);
	/* Every single byte counts, also the reserved ones. */
	for (i = 0; i < len; i++) {
		buf[i] ^= 0x40;
		assert_int_not_equal(lockstep_beat_decode(buf, (size_t)len, key, &out), 0);
		buf[i] ^= 0x40;
	}
	for (i = 0; i < len; i++)
		assert_int_not_equal(lockstep_beat_decode(buf, (size_t)i, key, &out), 0);
	assert_int_not_equal(lockstep_beat_decode(buf, (size_t)len + 1, key, &out), 0);

	in.len = LOCKSTEP_HEARTBEAT_MAX + 1;
	assert_int_equal(lockstep_beat_encode(&in, key, buf), -EMSGSIZE);
	in.len = 0;
	len = lockstep_beat_encode(&in, key, buf);
	assert_int_equal(lockstep_beat_decode(buf, (size_t)len, key, &out), 0);
	assert_int_equal(out.len, 0);
}

/*
 * Damaged bytes: decoders must stay in bounds (the buffer is as long as the
 * data, so that ASan sees one byte beyond), and what they accept must hold what
 * they promise.
 */
static void fuzz_frame(const uint8_t *data, size_t len)
{
	struct lockstep_frame f, again;
	uint8_t buf[LOCKSTEP_FRAME_HDR];

	if (len < LOCKSTEP_FRAME_HDR || lockstep_frame_decode(data, &f))
		return;
	assert_true(f.length <= LOCKSTEP_FRAME_MAX);
	assert_in_range(f.type, LOCKSTEP_FRAME_HELLO, LOCKSTEP_FRAME_TYPE_MAX);
	lockstep_frame_encode(&f, buf);
	assert_int_equal(lockstep_frame_decode(buf, &again), 0);
	assert_memory_equal(buf, data, sizeof(buf));
}

static void fuzz_hello(const uint8_t *data, size_t len)
{
	struct lockstep_hello h, again;
	uint8_t buf[LOCKSTEP_HELLO_MAX];

	if (lockstep_hello_decode(data, len, &h))
		return;
	assert_true(lockstep_node_name_valid(h.node));
	assert_true(lockstep_node_name_valid(h.cluster));
	assert_int_equal(lockstep_hello_decode(buf, lockstep_hello_encode(&h, buf), &again), 0);
	assert_memory_equal(&h, &again, sizeof(h));
}

static void fuzz_beat(const uint8_t *data, size_t len)
{
	static const uint8_t key[LOCKSTEP_BEAT_KEY];
	static const uint8_t zeros[LOCKSTEP_HEARTBEAT_MAX];
	struct lockstep_beat b;

	if (lockstep_beat_decode(data, len, key, &b))
		return;
	/* Only the undamaged one can have come through. */
	assert_int_equal(b.len, 20);
	assert_memory_equal(b.payload, zeros, b.len);
}

static void test_fuzz(void **state)
{
	static const uint8_t key[LOCKSTEP_BEAT_KEY], zeros[LOCKSTEP_HEARTBEAT_MAX];
	struct lockstep_frame f = { .type = LOCKSTEP_FRAME_MSG, .length = 99 };
	struct lockstep_beat b = { .key_id = 1, .seq = 1, .payload = zeros, .len = 20 };
	struct lockstep_hello h = sample_hello();
	uint8_t frame[LOCKSTEP_FRAME_HDR], hello[LOCKSTEP_HELLO_MAX], beat[LOCKSTEP_BEAT_MAX];
	size_t hello_len = lockstep_hello_encode(&h, hello);
	int beat_len = lockstep_beat_encode(&b, key, beat);
	unsigned int i, rounds = fuzz_rounds(100000);

	(void)state;
	lockstep_frame_encode(&f, frame);
	fuzz_seed();
	for (i = 0; i < rounds; i++) {
		fuzz_one(frame, sizeof(frame), fuzz_frame);
		fuzz_one(hello, hello_len, fuzz_hello);
		if (i % 8 == 0)
			fuzz_one(beat, (size_t)beat_len, fuzz_beat);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frame_round_trip),
		cmocka_unit_test(test_frame_bytes),
		cmocka_unit_test(test_frame_refused),
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_hello_refused),
		cmocka_unit_test(test_hello_version),
		cmocka_unit_test(test_node_names),
		cmocka_unit_test(test_beat),
		cmocka_unit_test(test_fuzz),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
