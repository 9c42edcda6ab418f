// SPDX-License-Identifier: GPL-2.0
/*
 * A journal that was cut off or damaged gives a prefix of its frames, or an error;
 * never anything else.
 *
 * Sources: mapreduce/coordinator/journal.c daemon/common
 * Sources: build/mapreduce/gen/rpc/journal.pb-c.c build/mapreduce/gen/rpc/mr.pb-c.c
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

#include "common/file.h"
#include "coordinator/journal.h"

#define FRAMES	4
#define RECORDS	3	/* of a frame */

static char dir[] = "/dev/shm/mr-journal-XXXXXX";	/* thousands of files are made durable */
static char path[64];

/* Records are numbered by their epochs. */
static int count(const Mr__Record *record, void *arg)
{
	uint64_t *n = arg;

	assert_int_equal(record->of_case, MR__RECORD__OF_EPOCH);
	assert_int_equal(record->epoch->epoch, *n);
	++*n;
	return 0;
}

static void add(struct mr_journal *j, uint64_t n)
{
	Mr__JournalEpoch epoch = MR__JOURNAL_EPOCH__INIT;
	Mr__Record record = MR__RECORD__INIT;

	epoch.epoch = n;
	record.of_case = MR__RECORD__OF_EPOCH;
	record.epoch = &epoch;
	mr_journal_add(j, &record);
}

static char *make(size_t *size, size_t *ends)
{
	struct mr_journal *j;
	unsigned int i;
	char *data;

	unlink(path);
	assert_int_equal(mr_journal_create(path, &j), 0);
	for (i = 0; i < FRAMES * RECORDS; i++) {
		add(j, i);
		if (i % RECORDS != RECORDS - 1)
			continue;
		assert_int_equal(mr_journal_sync(j), 0);
		assert_int_equal(lockstep_file_read(path, 1 << 20, &data, &ends[i / RECORDS]), 0);
		if (i + 1 < FRAMES * RECORDS)
			free(data);
	}
	mr_journal_close(j);
	*size = ends[FRAMES - 1];
	return data;
}

/* Read what is there; 0 and the number of records, or -errno. */
static int load(const char *data, size_t size, uint64_t *n)
{
	struct mr_journal *j;
	char err[512];
	int ret;

	*n = 0;
	assert_int_equal(lockstep_file_replace(path, data, size, 0600), 0);
	ret = mr_journal_open(path, count, n, err, sizeof(err), &j);
	if (ret)
		return ret;
	/* It goes on from there. */
	add(j, *n);
	assert_int_equal(mr_journal_sync(j), 0);
	mr_journal_close(j);
	*n = 0;
	assert_int_equal(mr_journal_open(path, count, n, err, sizeof(err), &j), 0);
	mr_journal_close(j);
	--*n;
	return 0;
}

static void test_cut(void **state)
{
	size_t size, ends[FRAMES], len, whole;
	char *data = make(&size, ends);
	uint64_t n;

	(void)state;
	for (len = 0; len <= size; len++) {
		assert_int_equal(load(data, len, &n), 0);
		for (whole = 0; whole < FRAMES && ends[whole] <= len; whole++)
			;
		assert_int_equal(n, whole * RECORDS);
	}
	free(data);
}

/* Blocks that were allocated and never written. */
static void test_zeros(void **state)
{
	size_t size, ends[FRAMES];
	char *data = make(&size, ends);
	char *more = calloc(1, size + 5000);
	uint64_t n;

	(void)state;
	memcpy(more, data, size);
	assert_int_equal(load(more, size + 5000, &n), 0);
	assert_int_equal(n, FRAMES * RECORDS);
	free(more);
	free(data);
}

static void test_flipped(void **state)
{
	size_t size, ends[FRAMES], i;
	char *data = make(&size, ends);
	unsigned int bit;
	uint64_t n;
	int ret;

	(void)state;
	for (i = 0; i < size; i++) {
		for (bit = 0; bit < 8; bit += 7) {
			data[i] ^= (char)(1 << bit);
			ret = load(data, size, &n);
			data[i] ^= (char)(1 << bit);
			/* The payload of the last frame may have been under way when the power went. */
			if (i >= ends[FRAMES - 2] + MR_JOURNAL_HEAD && !ret)
				assert_int_equal(n, (FRAMES - 1) * RECORDS);
			else
				assert_int_equal(ret, -EUCLEAN);
		}
	}
	free(data);
}

/* Frames that were exchanged. */
static void test_order(void **state)
{
	size_t size, ends[FRAMES], len;
	char *data = make(&size, ends);
	char *other = malloc(size);
	uint64_t n;

	(void)state;
	len = ends[1] - ends[0];
	assert_int_equal(ends[2] - ends[1], len);
	memcpy(other, data, size);
	memcpy(other + ends[0], data + ends[1], len);
	memcpy(other + ends[1], data + ends[0], len);
	assert_int_equal(load(other, size, &n), -EUCLEAN);
	free(other);
	free(data);
}

static void test_exclusive(void **state)
{
	struct mr_journal *j, *again;
	char err[512];
	uint64_t n = 0;

	(void)state;
	unlink(path);
	assert_int_equal(mr_journal_create(path, &j), 0);
	assert_int_equal(mr_journal_create(path, &again), -EEXIST);
	assert_int_equal(mr_journal_open(path, count, &n, err, sizeof(err), &again), -EBUSY);
	mr_journal_close(j);
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/journal", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_zeros),
		cmocka_unit_test(test_flipped),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_exclusive),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
