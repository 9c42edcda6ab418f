// SPDX-License-Identifier: GPL-2.0
/*
 * Messages between lockstepd: every kind survives the way through bytes, and
 * no bytes a peer may send are read out of bounds or taken for what they aren't.
 *
 * Sources: daemon/lockstepd/protocol.c daemon/common/bytes.c daemon/common/uuid.c
 * Sources: daemon/common/file.c daemon/transport/wire.c kmod/record.c selftests/unit/fuzz.c
 *
 * LOCKSTEP_SEED repeats a run of the fuzzer, LOCKSTEP_FUZZ sets its rounds.
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

#include "common/uuid.h"
#include "fuzz.h"
#include "kmod/record.h"
#include "lockstepd/protocol.h"

static struct lockstep_uuid uuid_of(uint8_t b)
{
	struct lockstep_uuid u;

	memset(u.b, b, sizeof(u.b));
	return u;
}

/* As many as there may be, as long as they may be. */
static void traits_fill(struct lockstep_traits *t)
{
	char name[LOCKSTEP_TRAIT_NAME_MAX + 10], value[LOCKSTEP_TRAIT_MAX + 10];

	memset(name, 'z', sizeof(name));
	memset(value, '~', sizeof(value));
	name[sizeof(name) - 1] = '\0';
	value[sizeof(value) - 1] = '\0';
	do {
		name[0] = (char)('a' + t->n);
		lockstep_traits_add(t, name, value);
	} while (t->n < LOCKSTEP_TRAITS_MAX);
}

static struct lockstep_message message_of(enum lockstep_message_type type)
{
	struct lockstep_message m;

	memset(&m, 0, sizeof(m));
	m.type = type;
	m.guest = uuid_of(1);
	m.generation = 7;
	m.from = uuid_of(2);
	m.to = uuid_of(3);
	switch (type) {
	case LOCKSTEP_MESSAGE_HELLO:
		strcpy(m.hello.name, "web.1");
		strcpy(m.hello.node, "node-a");
		m.hello.abi = LOCKSTEP_ABI_VERSION;
		m.hello.counter = LOCKSTEP_COUNTER_BRANCHES;
		m.hello.state = LOCKSTEP_STATE_SUSPECT_B;
		m.hello.flags = LOCKSTEP_HELLO_TWIN | LOCKSTEP_HELLO_ANSWER;
		m.hello.lsn = 0x123456789abcdef0;
		m.hello.peer = uuid_of(4);
		m.hello.boot_id = uuid_of(5);
		break;
	case LOCKSTEP_MESSAGE_ACK:
		m.ack.lsn = 1ULL << 40;
		m.ack.executed = 99;
		m.ack.clock = ~0ULL;
		m.ack.released[0] = 5;
		m.ack.released[LOCKSTEP_STREAMS - 1] = 6;
		m.ack.room = 8 << 20;
		break;
	case LOCKSTEP_MESSAGE_LOG_LZ4:
		m.log.size = sizeof(struct lockstep_batch);
		break;
	case LOCKSTEP_MESSAGE_REWIND:
		m.lsn = ~0ULL - 1;
		break;
	case LOCKSTEP_MESSAGE_DIVERGED:
		m.divergence.reason = LOCKSTEP_DIVERGENCE_OUTPUT;
		m.divergence.pos.count = 3;
		m.divergence.pos.rip = 0xffffffff81000000;
		m.divergence.pos.rcx = 17;
		m.divergence.lsn = 4711;
		m.divergence.expected = 1;
		m.divergence.found = 2;
		break;
	case LOCKSTEP_MESSAGE_SYNC:
	case LOCKSTEP_MESSAGE_BYE:
	case LOCKSTEP_MESSAGE_START:
	case LOCKSTEP_MESSAGE_RESULT:
	case LOCKSTEP_MESSAGE_TRAITS:
		memset(&m.guest, 0, sizeof(m.guest));
		memset(&m.from, 0, sizeof(m.from));
		memset(&m.to, 0, sizeof(m.to));
		m.generation = 0;
		break;
	default:
		break;
	}
	switch (type) {
	case LOCKSTEP_MESSAGE_FAILED:
	case LOCKSTEP_MESSAGE_START:
	case LOCKSTEP_MESSAGE_RESULT:
		m.request = 0xdeadbeef;
		m.error = ENOENT;
		memset(m.text, 'x', LOCKSTEPD_TEXT_MAX);
		break;
	case LOCKSTEP_MESSAGE_TRAITS:
		traits_fill(&m.traits);
		break;
	default:
		break;
	}
	return m;
}

/* A batch of clock records, sealed. */
static size_t batch_make(uint8_t *buf, uint64_t lsn, unsigned int records)
{
	struct lockstep_batch head = {
		.magic = htole32(LOCKSTEP_BATCH_MAGIC),
		.version = htole16(LOCKSTEP_ABI_VERSION),
		.lsn = htole64(lsn),
	};
	unsigned int n = 0;

	while (records--)
		n += lockstep_record_short_put(buf + sizeof(head) + n, LOCKSTEP_RECORD_TSC, 1000000);
	head.len = htole32(n);
	memcpy(buf, &head, sizeof(head));
	lockstep_batch_seal((struct lockstep_batch *)buf);
	return sizeof(head) + n;
}

/* Bytes of a whole message, a LOG with its batch behind the head. */
static size_t whole(enum lockstep_message_type type, uint8_t *buf, size_t size)
{
	struct lockstep_message m = message_of(type);
	uint8_t batch[1024] __attribute__((aligned(8))), room[LOCKSTEPD_BATCH_MAX];
	int n;

	if (lockstep_message_carries_log(type)) {
		m.type = LOCKSTEP_MESSAGE_LOG;
		m.log.data = batch;
		m.log.len = batch_make(batch, 4096, type == LOCKSTEP_MESSAGE_LOG ? 1 : 100);
		if (type == LOCKSTEP_MESSAGE_LOG_LZ4)
			lockstep_log_pack(&m, room);
		assert_int_equal(m.type, type);
	}
	n = lockstep_message_encode(&m, buf, size);
	assert_true(n > 0);
	if (lockstep_message_carries_log(type)) {
		assert_true(n + m.log.len <= size);
		memcpy(buf + n, m.log.data, m.log.len);
		n += (int)m.log.len;
	}
	return (size_t)n;
}

static void test_round_trip(void **state)
{
	uint8_t buf[2048];
	unsigned int type;

	(void)state;
	for (type = LOCKSTEP_MESSAGE_HELLO; type <= LOCKSTEP_MESSAGE_MAX; type++) {
		struct lockstep_message want = message_of(type), got;
		size_t n = whole(type, buf, sizeof(buf));

		assert_true(n <= LOCKSTEPD_MESSAGE_MAX);
		assert_int_equal(lockstep_message_decode(buf, n, &got), 0);
		if (lockstep_message_carries_log(type)) {
			assert_ptr_equal((const uint8_t *)got.log.data + got.log.len, buf + n);
			got.log = want.log;
		}
		assert_memory_equal(&got, &want, sizeof(got));
		assert_string_not_equal(lockstep_message_name(type), "?");
	}
	assert_string_equal(lockstep_message_name(0), "?");
	assert_string_equal(lockstep_message_name(__LOCKSTEP_MESSAGE_LAST), "?");
}

/* Unpack to where a byte more would be seen by ASan; as lockstep_log_unpack(). */
static int unpack_exactly(struct lockstep_message *m)
{
	uint8_t *room = malloc(m->log.size);
	uint64_t lsn, end;
	int ret;

	assert_non_null(room);
	ret = lockstep_log_unpack(m, room);
	if (!ret) {
		assert_int_equal(m->type, LOCKSTEP_MESSAGE_LOG);
		assert_int_equal(lockstep_batch_extent(m->log.data, m->log.len, &lsn, &end), 0);
	}
	free(room);
	return ret;
}

/* As a receiver does: that a compressed LOG is whole shows when it is unpacked. */
static int take(const uint8_t *buf, size_t n, struct lockstep_message *m)
{
	int ret = lockstep_message_decode(buf, n, m);

	return !ret && m->type == LOCKSTEP_MESSAGE_LOG_LZ4 ? unpack_exactly(m) : ret;
}

static void test_no_prefix_and_no_tail(void **state)
{
	uint8_t buf[2048];
	struct lockstep_message m;
	unsigned int type;
	size_t n, i;

	(void)state;
	for (type = LOCKSTEP_MESSAGE_HELLO; type <= LOCKSTEP_MESSAGE_MAX; type++) {
		n = whole(type, buf, sizeof(buf));
		for (i = 0; i < n; i++)
			assert_int_equal(take(buf, i, &m), -EBADMSG);
		buf[n] = 0;
		assert_int_equal(take(buf, n + 1, &m), -EBADMSG);
	}
}

static void test_encode_refuses_nonsense(void **state)
{
	uint8_t buf[LOCKSTEPD_MESSAGE_MAX];
	struct lockstep_message m;
	size_t size;
	int n;

	(void)state;
	m = message_of(LOCKSTEP_MESSAGE_READY);
	m.generation = 0;
	assert_int_equal(lockstep_message_encode(&m, buf, sizeof(buf)), -EINVAL);
	m = message_of(LOCKSTEP_MESSAGE_READY);
	memset(&m.to, 0, sizeof(m.to));
	assert_int_equal(lockstep_message_encode(&m, buf, sizeof(buf)), -EINVAL);
	m = message_of(LOCKSTEP_MESSAGE_BYE);
	m.guest = uuid_of(1);
	assert_int_equal(lockstep_message_encode(&m, buf, sizeof(buf)), -EINVAL);
	m = message_of(LOCKSTEP_MESSAGE_HELLO);
	strcpy(m.hello.name, "../etc");
	assert_int_equal(lockstep_message_encode(&m, buf, sizeof(buf)), -EINVAL);
	m = message_of(LOCKSTEP_MESSAGE_HELLO);
	m.type = 99;
	assert_int_equal(lockstep_message_encode(&m, buf, sizeof(buf)), -EINVAL);

	m = message_of(LOCKSTEP_MESSAGE_RESULT);
	n = lockstep_message_encode(&m, buf, sizeof(buf));
	assert_true(n > 0);
	for (size = 0; size < (size_t)n; size++)
		assert_int_equal(lockstep_message_encode(&m, buf, size), -ENOSPC);
}

static void test_decode_refuses_values(void **state)
{
	uint8_t buf[2048];
	struct lockstep_message m;
	size_t n;

	(void)state;
	n = whole(LOCKSTEP_MESSAGE_SYNC, buf, sizeof(buf));
	buf[0] = LOCKSTEPD_VERSION + 1;
	assert_int_equal(lockstep_message_decode(buf, n, &m), -EPROTONOSUPPORT);
	n = whole(LOCKSTEP_MESSAGE_SYNC, buf, sizeof(buf));
	buf[2] = __LOCKSTEP_MESSAGE_LAST;
	assert_int_equal(lockstep_message_decode(buf, n, &m), -EBADMSG);

	/* a name with a slash, a state that is none: 64 bytes of head, 1 of length */
	n = whole(LOCKSTEP_MESSAGE_HELLO, buf, sizeof(buf));
	buf[65] = '/';
	assert_int_equal(lockstep_message_decode(buf, n, &m), -EBADMSG);
	n = whole(LOCKSTEP_MESSAGE_HELLO, buf, sizeof(buf));
	buf[64 + 6 + 7 + 4] = LOCKSTEP_STATE_MAX + 1;
	assert_int_equal(lockstep_message_decode(buf, n, &m), -EBADMSG);
}

static void test_traits(void **state)
{
	struct lockstep_traits t = { 0 };
	uint8_t buf[LOCKSTEPD_MESSAGE_MAX];
	struct lockstep_message m;
	size_t n;

	(void)state;
	lockstep_traits_add(&t, "cpu", "a\033[2Jb");
	lockstep_traits_add(&t, "arch", "SVM");
	assert_string_equal(lockstep_traits_find(&t, "cpu"), "a?[2Jb");
	assert_string_equal(lockstep_traits_find(&t, "arch"), "SVM");
	assert_null(lockstep_traits_find(&t, "ar"));
	traits_fill(&t);
	lockstep_traits_add(&t, "more", "than there is room for");
	assert_int_equal(t.n, LOCKSTEP_TRAITS_MAX);
	assert_null(lockstep_traits_find(&t, "more"));

	/* behind 64 bytes of head: u16 how many, then a byte of length, a name, another, a value */
	n = whole(LOCKSTEP_MESSAGE_TRAITS, buf, sizeof(buf));
	assert_int_equal(lockstep_message_decode(buf, n, &m), 0);
	buf[64]++;
	assert_int_equal(lockstep_message_decode(buf, n, &m), -EBADMSG);
	buf[64] -= 2;
	assert_int_equal(lockstep_message_decode(buf, n, &m), -EBADMSG);
	buf[64]++;
	buf[64 + 3] = 'Z';
	assert_int_equal(lockstep_message_decode(buf, n, &m), -EBADMSG);
	buf[64 + 3] = 'a';
	buf[64 + 3 + LOCKSTEP_TRAIT_NAME_MAX + 1] = '\n';
	assert_int_equal(lockstep_message_decode(buf, n, &m), -EBADMSG);
	buf[64 + 3 + LOCKSTEP_TRAIT_NAME_MAX + 1] = ' ';
	assert_int_equal(lockstep_message_decode(buf, n, &m), 0);
}

static void test_batch_extent(void **state)
{
	uint8_t buf[256] __attribute__((aligned(8)));
	struct lockstep_batch *head = (struct lockstep_batch *)buf;
	uint64_t lsn, end;
	size_t n = batch_make(buf, 4096, 1);

	(void)state;
	assert_int_equal(lockstep_batch_check(buf, n), 0);
	assert_int_equal(lockstep_batch_extent(buf, n, &lsn, &end), 0);
	assert_int_equal(lsn, 4096);
	assert_int_equal(end, 4096 + n - sizeof(*head));
	assert_int_equal(lockstep_batch_extent(buf, n - 1, &lsn, &end), -EBADMSG);
	head->lsn = htole64(~0ULL);
	assert_int_equal(lockstep_batch_extent(buf, n, &lsn, &end), -EBADMSG);
	head->lsn = 0;
	head->magic = 0;
	assert_int_equal(lockstep_batch_extent(buf, n, &lsn, &end), -EBADMSG);
}

static void test_facts(void **state)
{
	struct lockstep_fact in[LOCKSTEP_FACTS_MAX], out[LOCKSTEP_FACTS_MAX];
	uint8_t buf[LOCKSTEP_HEARTBEAT_MAX];
	size_t i;
	int n;

	(void)state;
	memset(in, 0, sizeof(in));
	for (i = 0; i < LOCKSTEP_FACTS_MAX; i++) {
		in[i].instance = uuid_of((uint8_t)i);
		in[i].generation = i << 33;
		in[i].stops = ~0ULL - i;
		in[i].state = (uint32_t)i % (LOCKSTEP_STATE_MAX + 1);
		in[i].flags = LOCKSTEP_FLAG_LOG_FULL;
	}
	n = lockstep_facts_encode(in, LOCKSTEP_FACTS_MAX, buf, sizeof(buf));
	assert_int_equal(n, LOCKSTEP_FACT_HEAD + LOCKSTEP_FACTS_MAX * LOCKSTEP_FACT_SIZE);
	assert_int_equal(lockstep_facts_decode(buf, (size_t)n, out), LOCKSTEP_FACTS_MAX);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(lockstep_facts_decode(buf, (size_t)n - 1, out), -EBADMSG);
	assert_int_equal(lockstep_facts_encode(in, LOCKSTEP_FACTS_MAX + 1, buf, sizeof(buf)),
			 -EINVAL);
	assert_int_equal(lockstep_facts_encode(in, 2, buf, LOCKSTEP_FACT_SIZE), -ENOSPC);
	assert_int_equal(lockstep_facts_encode(in, 0, buf, sizeof(buf)), LOCKSTEP_FACT_HEAD);
	assert_int_equal(lockstep_facts_decode(buf, LOCKSTEP_FACT_HEAD, out), 0);
	buf[2] = 255;
	assert_int_equal(lockstep_facts_decode(buf, sizeof(buf), out), -EBADMSG);
}

static struct lockstep_message log_of(uint8_t *batch, size_t len)
{
	struct lockstep_message m = message_of(LOCKSTEP_MESSAGE_LOG);

	m.log.data = batch;
	m.log.len = len;
	return m;
}

static void test_pack(void **state)
{
	static uint8_t batch[LOCKSTEPD_BATCH_MAX] __attribute__((aligned(8)));
	static uint8_t room[LOCKSTEPD_BATCH_MAX], back[LOCKSTEPD_BATCH_MAX];
	unsigned int records, i;

	(void)state;
	for (records = 1; records < LOCKSTEP_BATCH_MAX / 4; records += 1 + records / 3) {
		size_t len = batch_make(batch, 4096, records);
		struct lockstep_message m = log_of(batch, len);

		lockstep_log_pack(&m, room);
		assert_true(len < 128 || m.type == LOCKSTEP_MESSAGE_LOG_LZ4);
		if (m.type == LOCKSTEP_MESSAGE_LOG)
			continue;
		assert_true(m.log.len < len);
		assert_int_equal(m.log.size, len);
		assert_int_equal(lockstep_log_unpack(&m, back), 0);
		assert_int_equal(m.type, LOCKSTEP_MESSAGE_LOG);
		assert_int_equal(m.log.len, len);
		assert_memory_equal(m.log.data, batch, len);
	}
	/* what would not become smaller goes as it is */
	for (i = 0; i < sizeof(batch); i++)
		batch[i] = (uint8_t)fuzz_random();
	for (i = 0; i <= sizeof(batch); i += 1 + i / 3) {
		struct lockstep_message m = log_of(batch, i);

		lockstep_log_pack(&m, room);
		assert_int_equal(m.type, LOCKSTEP_MESSAGE_LOG);
		assert_ptr_equal(m.log.data, batch);
	}
}

static void test_unpack_refuses(void **state)
{
	static uint8_t batch[LOCKSTEPD_BATCH_MAX] __attribute__((aligned(8)));
	static uint8_t room[LOCKSTEPD_BATCH_MAX], buf[LOCKSTEPD_MESSAGE_MAX];
	size_t len = batch_make(batch, 0, LOCKSTEP_BATCH_MAX / 4), n;
	struct lockstep_message good = log_of(batch, len), m;

	(void)state;
	lockstep_log_pack(&good, room);
	assert_int_equal(good.type, LOCKSTEP_MESSAGE_LOG_LZ4);
	m = good;
	assert_int_equal(unpack_exactly(&m), 0);
	m = good;
	m.log.size--;		/* it would make more: a bomb */
	assert_int_equal(unpack_exactly(&m), -EBADMSG);
	m.log.size = sizeof(struct lockstep_batch);
	assert_int_equal(unpack_exactly(&m), -EBADMSG);
	m.log.size = (uint32_t)len + 1;		/* less */
	assert_int_equal(unpack_exactly(&m), -EBADMSG);
	m = good;
	m.log.len--;
	assert_int_equal(unpack_exactly(&m), -EBADMSG);
	batch[0] ^= 1;		/* a block, but no batch */
	m = log_of(batch, len);
	lockstep_log_pack(&m, room);
	assert_int_equal(unpack_exactly(&m), -EBADMSG);

	n = whole(LOCKSTEP_MESSAGE_LOG_LZ4, buf, sizeof(buf));
	assert_int_equal(lockstep_message_decode(buf, n, &m), 0);
	buf[64 + 2] = 1;	/* more than any batch has */
	assert_int_equal(lockstep_message_decode(buf, n, &m), -EBADMSG);
	memset(buf + 64, 0, 4);
	assert_int_equal(lockstep_message_decode(buf, n, &m), -EBADMSG);
	assert_int_equal(lockstep_message_decode(buf, 64 + 4, &m), -EBADMSG);
}

/*
 * Whole messages and their damaged copies; the sanitizers watch. What is accepted
 * must be a message that encodes again to what was taken (a LOG: but for its batch).
 */
static void fuzz_decode(const uint8_t *data, size_t len)
{
	struct lockstep_fact facts[LOCKSTEP_FACTS_MAX];
	uint8_t again[LOCKSTEPD_MESSAGE_MAX];
	struct lockstep_message m;
	size_t tail;
	int ret;

	lockstep_facts_decode(data, len, facts);
	if (lockstep_message_decode(data, len, &m))
		return;
	tail = lockstep_message_carries_log(m.type) ? m.log.len : 0;
	ret = lockstep_message_encode(&m, again, sizeof(again));
	if (ret < 0 || (size_t)ret != len - tail)
		fail_msg("%s decoded but encodes to %d of %zu bytes",
			 lockstep_message_name(m.type), ret, len - tail);
	if (m.type == LOCKSTEP_MESSAGE_LOG_LZ4)
		unpack_exactly(&m);
}

static void test_fuzz(void **state)
{
	unsigned int i, type, rounds = fuzz_rounds(200000);
	uint8_t buf[2048];
	size_t n;

	(void)state;
	for (i = 0; i < rounds; i++) {
		type = 1 + (unsigned int)fuzz_below(LOCKSTEP_MESSAGE_MAX);
		n = whole(type, buf, sizeof(buf));
		fuzz_one(buf, n, fuzz_decode);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_no_prefix_and_no_tail),
		cmocka_unit_test(test_encode_refuses_nonsense),
		cmocka_unit_test(test_decode_refuses_values),
		cmocka_unit_test(test_traits),
		cmocka_unit_test(test_batch_extent),
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_pack),
		cmocka_unit_test(test_unpack_refuses),
		cmocka_unit_test(test_fuzz),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	fuzz_seed();
	return cmocka_run_group_tests_name("lockstepd protocol", tests, NULL, NULL);
}
