// SPDX-License-Identifier: GPL-2.0
/*
 * The codec of records and batches (kmod/record.c), as the module runs it
 *
 * Sources: kmod/record.c selftests/unit/fuzz.c
 *
 * LOCKSTEP_SEED repeats a run, LOCKSTEP_FUZZ sets the fuzzers' rounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fuzz.h"
#include "kmod/record.h"

#define ROUNDS		20000
#define RECORD_MAX	((size_t)LOCKSTEP_LONG_MAX)

/* A copy that ends where the memory ends: a sanitizer sees any read behind it. */
static u8 *exact(const u8 *bytes, size_t len)
{
	u8 *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	return copy;
}

static int get(const u8 *bytes, size_t len, struct lockstep_rec *rec)
{
	u8 *copy = exact(bytes, len);
	int ret = lockstep_record_get(copy, len, rec);

	/* the payload is compared by those who ask with the original bytes */
	rec->payload = rec->payload ? bytes + (rec->payload - copy) : NULL;
	free(copy);
	return ret;
}

static u8 payload_bytes[LOCKSTEP_PAYLOAD_MAX];

static const u8 long_types[] = {
	LOCKSTEP_RECORD_INPUT, LOCKSTEP_RECORD_OUTPUT, LOCKSTEP_RECORD_DIGEST,
	LOCKSTEP_RECORD_CONTROL, LOCKSTEP_RECORD_WALL, LOCKSTEP_RECORD_FORCED,
};

/* A valid long record; its payload is in payload_bytes. */
static struct lockstep_rec long_record(u8 type, u32 input_len)
{
	struct lockstep_rec rec = {
		.type = type,
		.payload = payload_bytes,
		.pos = { .count = fuzz_random(), .rip = fuzz_random(), .rcx = fuzz_random() },
		.digest = fuzz_random(),
	};
	u32 i;

	switch (type) {
	case LOCKSTEP_RECORD_INPUT:
		rec.unit = (u8)fuzz_below(LOCKSTEP_UNITS);
		rec.kind = (u16)fuzz_random();
		rec.len = input_len;
		break;
	case LOCKSTEP_RECORD_OUTPUT:
		rec.unit = (u8)fuzz_below(LOCKSTEP_STREAMS);
		rec.len = sizeof(struct lockstep_output_rec);
		break;
	case LOCKSTEP_RECORD_DIGEST:
		rec.len = LOCKSTEP_DIGESTS * sizeof(u64);
		break;
	case LOCKSTEP_RECORD_WALL:
		rec.len = sizeof(u64);
		break;
	case LOCKSTEP_RECORD_FORCED:
		rec.len = sizeof(struct lockstep_forced_rec);
		break;
	default:	/* LOCKSTEP_RECORD_CONTROL */
		rec.kind = LOCKSTEP_CONTROL_POWEROFF;
	}
	for (i = 0; i < rec.len; i++)
		payload_bytes[i] = (u8)fuzz_random();
	if (type == LOCKSTEP_RECORD_OUTPUT)
		memset(payload_bytes + offsetof(struct lockstep_output_rec, reserved), 0, 4);
	return rec;
}

static size_t short_put(u8 *buf, u8 type, u64 delta)
{
	return lockstep_record_short_put(buf, type, delta);
}

static size_t long_put(u8 *buf, const struct lockstep_rec *rec)
{
	lockstep_record_long_put(buf, rec);
	return sizeof(struct lockstep_record) + rec->len;
}

/* Any valid record at @buf (RECORD_MAX bytes); returns its size. */
static size_t any_put(u8 *buf, u32 input_max)
{
	struct lockstep_rec rec;

	if (fuzz_below(2))
		return short_put(buf, (u8)(LOCKSTEP_RECORD_TSC + fuzz_below(3)), fuzz_random() >> fuzz_below(64));
	rec = long_record(long_types[fuzz_below(sizeof(long_types))], (u32)fuzz_below(input_max + 1));
	return long_put(buf, &rec);
}

static void check_same(const struct lockstep_rec *want, const struct lockstep_rec *got)
{
	assert_int_equal(want->type, got->type);
	assert_int_equal(want->unit, got->unit);
	assert_int_equal(want->kind, got->kind);
	assert_int_equal(want->len, got->len);
	assert_memory_equal(&want->pos, &got->pos, sizeof(want->pos));
	assert_true(want->digest == got->digest);
	if (want->len)
		assert_memory_equal(want->payload, got->payload, want->len);
}

/* ---- short records ---- */

static size_t uleb_size(u64 v)
{
	size_t n = 1;

	while (v >>= 7)
		n++;
	return n;
}

static void check_short(u8 type, u64 delta)
{
	u8 buf[LOCKSTEP_SHORT_MAX];
	struct lockstep_rec rec;
	size_t n = short_put(buf, type, delta), i;

	assert_int_equal(n, 1 + uleb_size(delta));
	assert_int_equal(get(buf, n, &rec), 0);
	assert_int_equal(rec.type, type);
	assert_int_equal(rec.size, n);
	assert_true(rec.delta == delta);
	for (i = 0; i < n; i++)
		assert_int_equal(get(buf, i, &rec), -EAGAIN);
}

static void short_round_trip(void **state)
{
	unsigned int bit, i;
	u8 type;

	(void)state;
	for (type = LOCKSTEP_RECORD_TSC; type < __LOCKSTEP_RECORD_SHORT_LAST; type++) {
		for (bit = 0; bit < 64; bit++) {
			check_short(type, 1ULL << bit);
			check_short(type, (1ULL << bit) - 1);
			check_short(type, (1ULL << bit) + 1);
		}
		check_short(type, ~0ULL);
		for (i = 0; i < ROUNDS; i++)
			check_short(type, fuzz_random() >> fuzz_below(64));
	}
}

static void short_too_long(void **state)
{
	u8 buf[LOCKSTEP_SHORT_MAX + 1];
	struct lockstep_rec rec;

	(void)state;
	/* ten bytes of value hold 70 bits: the tenth may only be 0 or 1 */
	memset(buf, 0xff, sizeof(buf));
	buf[0] = LOCKSTEP_RECORD_TSC;
	buf[10] = 0x01;
	assert_int_equal(get(buf, 11, &rec), 0);
	assert_true(rec.delta == ~0ULL);
	buf[10] = 0x02;
	assert_int_equal(get(buf, 11, &rec), -EBADMSG);
	buf[10] = 0x81;
	buf[11] = 0x00;
	assert_int_equal(get(buf, 12, &rec), -EBADMSG);
}

/* ---- long records ---- */

static void long_round_trip(void **state)
{
	static const u32 lens[] = { 0, 1, 7, 8, 1514, LOCKSTEP_PAYLOAD_MAX - 1,
				    LOCKSTEP_PAYLOAD_MAX };
	struct lockstep_rec want, got;
	u8 *buf = malloc(RECORD_MAX);
	size_t size, i, j, cut;

	(void)state;
	assert_non_null(buf);
	for (i = 0; i < sizeof(long_types); i++) {
		for (j = 0; j < sizeof(lens) / sizeof(lens[0]); j++) {
			want = long_record(long_types[i], lens[j]);
			size = long_put(buf, &want);
			assert_int_equal(get(buf, size, &got), 0);
			assert_int_equal(got.size, size);
			check_same(&want, &got);
			/* cut at every byte of the head, then at some of the payload */
			for (cut = 0; cut < size; cut += cut < 64 ? 1 : 1 + fuzz_below(97))
				assert_int_equal(get(buf, cut, &got), -EAGAIN);
			assert_int_equal(get(buf, size - 1, &got), -EAGAIN);
		}
	}
	free(buf);
}

static void unknown_types(void **state)
{
	u8 buf[RECORD_MAX];
	struct lockstep_rec rec;
	unsigned int type;

	(void)state;
	for (type = 0; type < 256; type++) {
		bool is_long = type >= LOCKSTEP_RECORD_INPUT && type < __LOCKSTEP_RECORD_LAST;
		bool is_short = type >= LOCKSTEP_RECORD_TSC && type <= LOCKSTEP_RECORD_CLOCK;

		memset(buf, 0, sizeof(buf));
		buf[0] = (u8)type;
		assert_int_equal(lockstep_record_is_short((u8)type), is_short);
		if (!is_long && !is_short)
			assert_int_equal(get(buf, sizeof(buf), &rec), -EBADMSG);
		else
			assert_int_not_equal(get(buf, 1, &rec), -EBADMSG);
	}
}

static int head_get(u8 type, unsigned int unit, u32 len)
{
	struct lockstep_record head = {
		.type = type, .unit = (u8)unit, .len = cpu_to_le32(len),
	};
	struct lockstep_rec rec;

	/* only the head is there: what can't be is refused before the rest comes */
	return get((const u8 *)&head, sizeof(head), &rec);
}

static void hostile_heads(void **state)
{
	(void)state;
	assert_int_equal(head_get(LOCKSTEP_RECORD_INPUT, 0, 0), 0);
	assert_int_equal(head_get(LOCKSTEP_RECORD_INPUT, LOCKSTEP_UNITS - 1, 1), -EAGAIN);
	assert_int_equal(head_get(LOCKSTEP_RECORD_INPUT, LOCKSTEP_UNITS, 1), -EBADMSG);
	assert_int_equal(head_get(LOCKSTEP_RECORD_INPUT, 0, LOCKSTEP_PAYLOAD_MAX), -EAGAIN);
	assert_int_equal(head_get(LOCKSTEP_RECORD_INPUT, 0, LOCKSTEP_PAYLOAD_MAX + 1), -EBADMSG);
	assert_int_equal(head_get(LOCKSTEP_RECORD_INPUT, 0, UINT32_MAX), -EBADMSG);
	assert_int_equal(head_get(LOCKSTEP_RECORD_INPUT, 0,
				  UINT32_MAX - sizeof(struct lockstep_record) + 1), -EBADMSG);
	assert_int_equal(head_get(LOCKSTEP_RECORD_OUTPUT, LOCKSTEP_STREAMS - 1, 24), -EAGAIN);
	assert_int_equal(head_get(LOCKSTEP_RECORD_OUTPUT, LOCKSTEP_STREAMS, 24), -EBADMSG);
	assert_int_equal(head_get(LOCKSTEP_RECORD_OUTPUT, 0, 23), -EBADMSG);
	assert_int_equal(head_get(LOCKSTEP_RECORD_OUTPUT, 0, 25), -EBADMSG);
	assert_int_equal(head_get(LOCKSTEP_RECORD_DIGEST, 0, 0), -EBADMSG);
	assert_int_equal(head_get(LOCKSTEP_RECORD_DIGEST, 0, LOCKSTEP_DIGESTS * 8), -EAGAIN);
	assert_int_equal(head_get(LOCKSTEP_RECORD_CONTROL, 0, 1), -EBADMSG);
	assert_int_equal(head_get(LOCKSTEP_RECORD_WALL, 0, 8), -EAGAIN);
	assert_int_equal(head_get(LOCKSTEP_RECORD_WALL, 0, 9), -EBADMSG);
	assert_int_equal(head_get(LOCKSTEP_RECORD_FORCED, 0, 16), -EAGAIN);
	assert_int_equal(head_get(LOCKSTEP_RECORD_FORCED, 0, 8), -EBADMSG);
	assert_int_equal(head_get(LOCKSTEP_RECORD_FORCED, 0, 17), -EBADMSG);
}

/* A field that its kind of record does not use is a place for what nobody looks at. */
static void unused_fields(void **state)
{
	struct lockstep_rec rec, got;
	u8 buf[RECORD_MAX];
	size_t i, size;

	(void)state;
	for (i = 0; i < sizeof(long_types); i++) {
		if (long_types[i] == LOCKSTEP_RECORD_INPUT)
			continue;
		rec = long_record(long_types[i], 0);
		if (long_types[i] != LOCKSTEP_RECORD_CONTROL) {
			rec.kind = 0x100;
			size = long_put(buf, &rec);
			assert_int_equal(get(buf, size, &got), -EBADMSG);
			rec.kind = 0;
		}
		if (long_types[i] != LOCKSTEP_RECORD_OUTPUT) {
			rec.unit = 1;
			size = long_put(buf, &rec);
			assert_int_equal(get(buf, size, &got), -EBADMSG);
			continue;
		}
		size = long_put(buf, &rec);
		buf[size - 1] = 1;	/* @reserved */
		assert_int_equal(get(buf, size, &got), -EBADMSG);
	}
}

/* ---- runs of records ---- */

static void fit_boundaries(void **state)
{
	size_t total = 0, end[64], n = 0, max, want, i;
	u8 *buf = malloc(64 * RECORD_MAX);

	(void)state;
	assert_non_null(buf);
	while (n < 64) {
		total += any_put(buf + total, 200);
		end[n++] = total;
	}
	for (max = 0; max <= total + 1; max++) {
		want = 0;
		for (i = 0; i < n; i++)
			if (end[i] <= max)
				want = end[i];
		assert_int_equal(lockstep_record_fit(buf, total, max), want);
	}
	/* bytes that are no record: nothing from there on */
	buf[end[9]] = 0xee;
	assert_int_equal(lockstep_record_fit(buf, total, total - 1), end[9]);
	assert_int_equal(lockstep_record_fit(buf, 0, 100), 0);
	free(buf);
}

/* ---- batches ---- */

#define HEAD	sizeof(struct lockstep_batch)

/* A sealed batch of about @len bytes of records; *@size: of all of it. */
static struct lockstep_batch *batch_new(size_t len, size_t *size)
{
	struct lockstep_batch *batch = calloc(1, HEAD + LOCKSTEP_BATCH_MAX + RECORD_MAX);
	u8 *records = (u8 *)(batch + 1);
	size_t n = 0;

	assert_non_null(batch);
	while (n < len)
		n += any_put(records + n, 300);
	while (n > LOCKSTEP_BATCH_MAX)
		n = lockstep_record_fit(records, n, LOCKSTEP_BATCH_MAX);
	batch->magic = cpu_to_le32(LOCKSTEP_BATCH_MAGIC);
	batch->version = cpu_to_le16(LOCKSTEP_ABI_VERSION);
	batch->counter = cpu_to_le16(LOCKSTEP_COUNTER_STOPS);
	batch->len = cpu_to_le32((u32)n);
	batch->lsn = cpu_to_le64(fuzz_random() >> 8);
	batch->horizon = cpu_to_le64(fuzz_random());
	batch->clock = cpu_to_le64(fuzz_random());
	batch->released[0] = cpu_to_le64(fuzz_random());
	lockstep_batch_seal(batch);
	*size = HEAD + n;
	return batch;
}

static int batch_check(const void *batch, size_t size)
{
	u8 *copy = exact(batch, size);
	int ret = lockstep_batch_check(copy, size);

	free(copy);
	return ret;
}

static int batch_check_resealed(struct lockstep_batch *batch, size_t size)
{
	lockstep_batch_seal(batch);
	return batch_check(batch, size);
}

static void batch_round_trip(void **state)
{
	static const size_t lens[] = { 0, 1, 500, LOCKSTEP_BATCH_MAX };
	struct lockstep_batch *batch;
	size_t size, i, cut;

	(void)state;
	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		batch = batch_new(lens[i], &size);
		assert_int_equal(batch_check(batch, size), 0);
		for (cut = 0; cut < size; cut += cut < 700 ? 1 : 1 + fuzz_below(500))
			assert_int_equal(batch_check(batch, cut), -EBADMSG);
		assert_int_equal(batch_check(batch, size + 1), -EBADMSG);
		free(batch);
	}
}

static void batch_every_bit(void **state)
{
	struct lockstep_batch *batch;
	size_t size, bit;
	int ret;

	(void)state;
	batch = batch_new(200, &size);
	for (bit = 0; bit < size * 8; bit++) {
		((u8 *)batch)[bit / 8] ^= (u8)(1U << (bit % 8));
		ret = batch_check(batch, size);
		assert_true(ret == -EBADMSG || ret == -EPROTO);
		((u8 *)batch)[bit / 8] ^= (u8)(1U << (bit % 8));
	}
	assert_int_equal(batch_check(batch, size), 0);
	free(batch);
}

/* A peer can seal what it likes: the fields are checked too. */
static void batch_hostile(void **state)
{
	struct lockstep_batch *batch, good;
	size_t size;
	u32 len;

	(void)state;
	batch = batch_new(500, &size);
	good = *batch;
	len = le32_to_cpu(batch->len);

	batch->version = cpu_to_le16(LOCKSTEP_ABI_VERSION + 1);
	assert_int_equal(batch_check_resealed(batch, size), -EPROTO);
	*batch = good;
	batch->magic ^= cpu_to_le32(1);
	assert_int_equal(batch_check_resealed(batch, size), -EBADMSG);
	*batch = good;
	batch->reserved = cpu_to_le32(1);
	assert_int_equal(batch_check_resealed(batch, size), -EBADMSG);
	*batch = good;
	batch->counter = cpu_to_le16(LOCKSTEP_COUNTER_BRANCHES + 1);
	assert_int_equal(batch_check_resealed(batch, size), -EBADMSG);
	*batch = good;
	batch->lsn = cpu_to_le64(~0ULL - len + 1);
	assert_int_equal(batch_check_resealed(batch, size), -EBADMSG);
	batch->lsn = cpu_to_le64(~0ULL - len);
	assert_int_equal(batch_check_resealed(batch, size), 0);
	*batch = good;
	batch->len = cpu_to_le32(len - 1);	/* half a record at its end */
	assert_int_equal(batch_check_resealed(batch, size - 1), -EBADMSG);
	*batch = good;
	((u8 *)(batch + 1))[0] = 0;		/* no record at its start */
	assert_int_equal(batch_check_resealed(batch, size), -EBADMSG);
	free(batch);
}

static void batch_too_big(void **state)
{
	struct lockstep_batch *batch = calloc(1, HEAD + LOCKSTEP_BATCH_MAX + 2);
	size_t i;

	(void)state;
	assert_non_null(batch);
	batch->magic = cpu_to_le32(LOCKSTEP_BATCH_MAGIC);
	batch->version = cpu_to_le16(LOCKSTEP_ABI_VERSION);
	for (i = 0; i <= LOCKSTEP_BATCH_MAX; i += 2)
		((u8 *)(batch + 1))[i] = LOCKSTEP_RECORD_CLOCK;	/* and a 0 */
	batch->len = cpu_to_le32(LOCKSTEP_BATCH_MAX);
	assert_int_equal(batch_check_resealed(batch, HEAD + LOCKSTEP_BATCH_MAX), 0);
	batch->len = cpu_to_le32(LOCKSTEP_BATCH_MAX + 2);
	assert_int_equal(batch_check_resealed(batch, HEAD + LOCKSTEP_BATCH_MAX + 2), -EBADMSG);
	free(batch);
}

/* ---- noise ---- */

static void damage(u8 *bytes, size_t len)
{
	size_t n = 1 + fuzz_below(8);

	while (n--)
		bytes[fuzz_below(len)] = fuzz_below(3) ? (u8)fuzz_random() : (u8)(1U << fuzz_below(8));
}

/* Whatever the bytes are: an answer of the three, and never beyond the buffer. */
static void check_any(const u8 *bytes, size_t len)
{
	u8 again[RECORD_MAX];
	struct lockstep_rec rec;
	int ret = get(bytes, len, &rec);

	assert_true(ret == 0 || ret == -EAGAIN || ret == -EBADMSG);
	if (ret)
		return;
	assert_in_range(rec.size, 2, len);
	if (lockstep_record_is_short(rec.type)) {
		assert_true(short_put(again, rec.type, rec.delta) <= rec.size);
		return;
	}
	assert_int_equal(rec.size, sizeof(struct lockstep_record) + rec.len);
	assert_ptr_equal(rec.payload, bytes + sizeof(struct lockstep_record));
	assert_int_equal(long_put(again, &rec), rec.size);
	assert_memory_equal(again, bytes, rec.size);
}

static void records_fuzzed(void **state)
{
	u8 *buf = malloc(RECORD_MAX);
	size_t size, i, j;

	(void)state;
	assert_non_null(buf);
	for (i = 0; i < fuzz_rounds(5 * ROUNDS); i++) {
		if (fuzz_below(4)) {
			size = any_put(buf, 100);
			damage(buf, size);
		} else {
			size = 1 + fuzz_below(120);
			for (j = 0; j < size; j++)
				buf[j] = (u8)fuzz_random();
			buf[0] %= __LOCKSTEP_RECORD_LAST + 1;
		}
		check_any(buf, size);
		check_any(buf, fuzz_below(size + 1));
	}
	free(buf);
}

static void batches_fuzzed(void **state)
{
	struct lockstep_batch *batch;
	struct lockstep_rec rec;
	size_t size, n, i, rounds = fuzz_rounds(ROUNDS), accepted = 0;

	(void)state;
	for (i = 0; i < rounds; i++) {
		batch = batch_new(fuzz_below(400), &size);
		if (size > HEAD)
			damage((u8 *)(batch + 1), size - HEAD);
		if (!batch_check_resealed(batch, size)) {
			accepted++;
			for (n = 0; n < size - HEAD; n += rec.size)
				assert_int_equal(lockstep_record_get((u8 *)(batch + 1) + n,
								     size - HEAD - n, &rec), 0);
			assert_int_equal(n, size - HEAD);
		}
		free(batch);
	}
	/* values may be damaged and still be values: both ends were seen */
	assert_in_range(accepted, 1, rounds - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_round_trip),
		cmocka_unit_test(short_too_long),
		cmocka_unit_test(long_round_trip),
		cmocka_unit_test(unknown_types),
		cmocka_unit_test(hostile_heads),
		cmocka_unit_test(unused_fields),
		cmocka_unit_test(fit_boundaries),
		cmocka_unit_test(batch_round_trip),
		cmocka_unit_test(batch_every_bit),
		cmocka_unit_test(batch_hostile),
		cmocka_unit_test(batch_too_big),
		cmocka_unit_test(records_fuzzed),
		cmocka_unit_test(batches_fuzzed),
	};

	fuzz_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
