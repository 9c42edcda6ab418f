// SPDX-License-Identifier: GPL-2.0
/*
 * Runs: what was written is read back, with every codec; what was damaged is noticed.
 *
 * LOCKSTEP_SEED repeats a run, LOCKSTEP_FUZZ sets the fuzzer's rounds.
 *
 * Sources: mapreduce/engine/run_read.c mapreduce/engine/run_write.c mapreduce/engine/block.c
 * Sources: mapreduce/engine/progress.c selftests/unit/fuzz.c
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "fuzz.h"
#include "engine/run.h"

#define PAIRS	2000

struct pairs {
	struct mr_bytes key[PAIRS];
	struct mr_bytes value[PAIRS];
	uint32_t nr;
};

static struct mr_bytes random_bytes(size_t len)
{
	char *data = malloc(len + 1);
	size_t i;

	assert_non_null(data);
	for (i = 0; i < len; i++)
		data[i] = (char)(fuzz_random() % 4);	/* compresses */
	return (struct mr_bytes){ data, len };
}

/* Many short ones, some long, often the same key again. */
static void random_pairs(struct pairs *pairs, uint32_t nr)
{
	uint32_t i;

	pairs->nr = nr;
	for (i = 0; i < nr; i++) {
		size_t long_key = fuzz_random() % 100 ? 20 : 100000;

		if (i && fuzz_random() % 2) {
			pairs->key[i] = random_bytes(pairs->key[i - 1].len);
			memcpy((void *)pairs->key[i].data, pairs->key[i - 1].data, pairs->key[i].len);
		} else {
			pairs->key[i] = random_bytes(fuzz_random() % long_key);
		}
		pairs->value[i] = random_bytes(fuzz_random() % (fuzz_random() % 200 ? 30 : 300000));
	}
}

static void free_pairs(struct pairs *pairs)
{
	uint32_t i;

	for (i = 0; i < pairs->nr; i++) {
		free((void *)pairs->key[i].data);
		free((void *)pairs->value[i].data);
	}
}

static void write_region(struct mr_run_writer *w, const struct pairs *pairs, struct mr_region *region)
{
	uint32_t i;

	mr_run_region_begin(w, 7);
	for (i = 0; i < pairs->nr; i++)
		assert_int_equal(mr_run_write(w, pairs->key[i], pairs->value[i]), 0);
	assert_int_equal(mr_run_region_end(w, region), 0);
}

static char *open_region(struct mr_run_reader *r, int fd, const struct mr_region *region)
{
	char *room;

	if (mr_run_open(r, fd, region))
		return NULL;
	room = aligned_alloc(64, mr_run_room(r));
	assert_non_null(room);
	mr_run_set_room(r, room);
	return room;
}

static void assert_region(int fd, const struct mr_region *region, const struct pairs *pairs)
{
	struct mr_run_reader r = { 0 };
	char *room;
	uint32_t i;

	assert_int_equal(region->records, pairs->nr);
	if (!pairs->nr) {
		assert_int_equal(region->len, 0);
		return;
	}
	room = open_region(&r, fd, region);
	assert_non_null(room);
	for (i = 0; i < pairs->nr; i++) {
		assert_int_equal(mr_run_next(&r), 1);
		assert_int_equal(r.key.len, pairs->key[i].len);
		assert_memory_equal(r.key.data, pairs->key[i].data, r.key.len);
		assert_int_equal(r.value.len, pairs->value[i].len);
		assert_memory_equal(r.value.data, pairs->value[i].data, r.value.len);
		if (r.same)
			assert_true(i && pairs->key[i - 1].len == r.key.len);
	}
	assert_int_equal(mr_run_next(&r), 0);
	free(room);
}

static void test_round_trip(void **state)
{
	static struct pairs pairs[4];
	static const uint32_t nr[4] = { 0, 1, PAIRS, 300 };
	struct mr_region regions[4];
	struct mr_run_writer w;
	enum mr_codec codec;
	int fd, i;

	(void)state;
	fuzz_seed();
	for (i = 0; i < 4; i++)
		random_pairs(&pairs[i], nr[i]);
	for (codec = MR_CODEC_NONE; codec < __MR_CODEC_LAST; codec++) {
		fd = memfd_create("run", MFD_CLOEXEC);
		assert_int_equal(mr_run_writer_init(&w, fd, 0, codec), 0);
		for (i = 0; i < 4; i++)
			write_region(&w, &pairs[i], &regions[i]);
		assert_int_equal(mr_run_flush(&w), 0);
		mr_run_writer_exit(&w);
		for (i = 0; i < 4; i++)
			assert_region(fd, &regions[i], &pairs[i]);
		if (codec)
			assert_true(regions[2].len < regions[2].raw_len);
		close(fd);
	}
	for (i = 0; i < 4; i++)
		free_pairs(&pairs[i]);
}

/* ---- damage ---- */

static struct mr_region whole;

/* Read all there is: 0 is only for what was written. */
static int read_all(int fd, const struct mr_region *region)
{
	struct mr_run_reader r = { 0 };
	char *room = open_region(&r, fd, region);
	int ret;

	if (!room)
		return -EBADMSG;
	do {
		ret = mr_run_next(&r);
	} while (ret > 0);
	free(room);
	return ret;
}

static const uint8_t *good;
static size_t good_len;

static void read_damaged(const uint8_t *data, size_t len)
{
	int fd = memfd_create("run", MFD_CLOEXEC), ret;

	assert_int_equal(write(fd, data, len), len);
	ret = read_all(fd, &whole);
	if (len >= good_len && memcmp(data, good, good_len) == 0)
		assert_int_equal(ret, 0);
	else
		assert_int_equal(ret, -EBADMSG);
	close(fd);
}

static void test_damaged(void **state)
{
	static struct pairs pairs;
	struct mr_run_writer w;
	unsigned int i, rounds = fuzz_rounds(3000);
	enum mr_codec codec;
	int fd;

	(void)state;
	fuzz_seed();
	for (codec = MR_CODEC_NONE; codec < __MR_CODEC_LAST; codec++) {
		fd = memfd_create("run", MFD_CLOEXEC);
		random_pairs(&pairs, 50);
		assert_int_equal(mr_run_writer_init(&w, fd, 0, codec), 0);
		write_region(&w, &pairs, &whole);
		assert_int_equal(mr_run_flush(&w), 0);
		mr_run_writer_exit(&w);
		good_len = whole.len;
		good = mmap(NULL, good_len, PROT_READ, MAP_SHARED, fd, 0);
		assert_ptr_not_equal(good, MAP_FAILED);
		for (i = 0; i < rounds; i++)
			fuzz_one(good, good_len, read_damaged);
		munmap((void *)good, good_len);
		free_pairs(&pairs);
		close(fd);
	}
}

/* A block whose checksums are right, but that a writer would not make, is refused too. */
static void test_crafted(void **state)
{
	static const uint8_t bodies[][8] = {
		{ 0, 0 },				/* the first pair has no key before it */
		{ 0x80, 0x80, 0x80, 0x80, 0x80, 0x80 },	/* a length without end */
		{ 5, 0, 'a' },				/* key beyond the block */
		{ 2, 0x7f, 'a' },			/* value beyond the block */
	};
	struct mr_run_writer w;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
		struct mr_region region;
		int fd = memfd_create("run", MFD_CLOEXEC);

		assert_int_equal(mr_run_writer_init(&w, fd, 0, MR_CODEC_NONE), 0);
		mr_run_region_begin(&w, 0);
		assert_int_equal(mr_run_write(&w, (struct mr_bytes){ "k", 1 }, (struct mr_bytes){ "vwxyz", 5 }), 0);
		memcpy(w.raw, bodies[i], sizeof(bodies[i]));
		assert_int_equal(mr_run_region_end(&w, &region), 0);
		assert_int_equal(mr_run_flush(&w), 0);
		mr_run_writer_exit(&w);
		assert_int_equal(read_all(fd, &region), -EBADMSG);
		close(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_crafted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
