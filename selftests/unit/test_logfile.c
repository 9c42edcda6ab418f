// SPDX-License-Identifier: GPL-2.0
/*
 * Log files of lockstep-log: what was written is read back; cut short at any
 * byte they are good as far as they go; harmed ones are refused.
 *
 * Sources: tools/log/logfile.c tools/log/dump.c tools/log/common.c kmod/record.c
 * Sources: kmod/state.c daemon/lockstepd/netlink.c daemon/lockstepd/info.c daemon/common
 * Sources: selftests/unit/fuzz.c
 *
 * LOCKSTEP_SEED repeats a run of the fuzzer, LOCKSTEP_FUZZ sets its rounds.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fuzz.h"
#include "kmod/record.h"
#include "log/log.h"
#include "log/logfile.h"

#define BATCHES	20

static char path[] = "/tmp/lockstep-log-XXXXXX";
static const struct lockstep_uuid uuid = { { 1, 2, 3 } }, instance = { { 4, 5, 6 } };
static struct lockstep_logfile lf;

/* A batch of clock records, n of them, and long ones, half of them. */
static size_t batch_make(uint8_t *buf, uint64_t lsn, unsigned int n)
{
	struct lockstep_batch head = {
		.magic = htole32(LOCKSTEP_BATCH_MAGIC),
		.version = htole16(LOCKSTEP_ABI_VERSION),
		.lsn = htole64(lsn),
		.horizon = htole64(lsn),
	};
	static const uint8_t payload[8] = { 1 };
	struct lockstep_rec rec = { .len = sizeof(payload), .payload = payload };
	size_t len = 0;
	unsigned int i;

	for (i = 0; i < n; i++)
		len += lockstep_record_short_put(buf + sizeof(head) + len, LOCKSTEP_RECORD_TSC,
						 1000 + i);
	for (i = 0; i < n / 2; i++, len += sizeof(struct lockstep_record) + rec.len) {
		rec.type = i % 2 ? LOCKSTEP_RECORD_INPUT : LOCKSTEP_RECORD_WALL;
		lockstep_record_long_put(buf + sizeof(head) + len, &rec);
	}
	head.len = htole32((uint32_t)len);
	memcpy(buf, &head, sizeof(head));
	lockstep_batch_seal((struct lockstep_batch *)buf);
	return sizeof(head) + len;
}

/* A whole file of BATCHES batches and the closing one; its bytes. */
static uint8_t *file_make(size_t *len)
{
	uint8_t buf[4096] __attribute__((aligned(8))), *all;
	uint64_t lsn = 0;
	FILE *f;
	int i;

	unlink(path);
	assert_int_equal(lockstep_logfile_create(&lf, path, &uuid, &instance), 0);
	for (i = 0; i < BATCHES; i++) {
		size_t n = batch_make(buf, lsn, (unsigned int)i);

		assert_int_equal(lockstep_logfile_append(&lf, buf, n), 0);
		lsn += n - sizeof(struct lockstep_batch);
	}
	assert_int_equal(lockstep_logfile_close(&lf), 0);
	f = fopen(path, "rb");
	assert_non_null(f);
	all = malloc(65536);
	assert_non_null(all);
	*len = fread(all, 1, 65536, f);
	fclose(f);
	return all;
}

static void file_write(const uint8_t *data, size_t len)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	fclose(f);
}

/* Read to the end: batches seen, or -errno. */
static int read_all(bool *closed)
{
	int n = 0, ret;

	ret = lockstep_logfile_open(&lf, path);
	if (ret)
		return ret;
	while ((ret = lockstep_logfile_next(&lf)) > 0)
		n++;
	*closed = lf.closed;
	lockstep_logfile_end(&lf);
	return ret ? ret : n;
}

static void test_whole(void **state)
{
	bool closed;
	size_t len;

	(void)state;
	free(file_make(&len));
	assert_int_equal(read_all(&closed), BATCHES + 1);
	assert_true(closed);
	assert_memory_equal(lf.uuid.b, uuid.b, 16);
	assert_memory_equal(lf.instance.b, instance.b, 16);
}

static void test_never_overwritten(void **state)
{
	size_t len;

	(void)state;
	free(file_make(&len));
	assert_int_equal(lockstep_logfile_create(&lf, path, &uuid, &instance), -EEXIST);
}

static void test_append_refuses(void **state)
{
	uint8_t buf[4096] __attribute__((aligned(8)));
	size_t n;

	(void)state;
	unlink(path);
	assert_int_equal(lockstep_logfile_create(&lf, path, &uuid, &instance), 0);
	n = batch_make(buf, 8, 3);	/* not the LSN that follows */
	assert_int_equal(lockstep_logfile_append(&lf, buf, n), -EBADMSG);
	n = batch_make(buf, 0, 3);
	assert_int_equal(lockstep_logfile_append(&lf, buf, n - 1), -EBADMSG);
	buf[n - 1] ^= 1;
	assert_int_equal(lockstep_logfile_append(&lf, buf, n), -EBADMSG);
	lockstep_logfile_end(&lf);
}

static void test_cut_short(void **state)
{
	size_t len, i;
	uint8_t *all = file_make(&len);
	int before = 0;
	bool closed;

	(void)state;
	for (i = 0; i < len; i++) {
		int n;

		file_write(all, i);
		closed = false;
		n = read_all(&closed);
		assert_false(closed);
		if (i < 48) {
			assert_int_equal(n, -EBADMSG);
			continue;
		}
		/* never an error, never less than with fewer bytes */
		assert_in_range(n, before, BATCHES);
		before = n;
	}
	assert_int_equal(before, BATCHES);
	free(all);
}

static void test_other_files(void **state)
{
	size_t len;
	uint8_t *all = file_make(&len);
	bool closed;

	(void)state;
	all[8]++;
	file_write(all, len);
	assert_int_equal(read_all(&closed), -EPROTO);
	all[0]++;
	file_write(all, len);
	assert_int_equal(read_all(&closed), -EBADMSG);
	unlink(path);
	assert_int_equal(read_all(&closed), -ENOENT);
	free(all);
}

static void test_fuzz(void **state)
{
	unsigned int round, rounds = fuzz_rounds(3000);
	size_t len;
	uint8_t *all = file_make(&len), *copy = malloc(len);

	(void)state;
	assert_non_null(copy);
	for (round = 0; round < rounds; round++) {
		/* behind the head: identities are not checked */
		size_t at = 48 + fuzz_below(len - 48);
		bool closed = false;
		int n;

		memcpy(copy, all, len);
		copy[at] ^= (uint8_t)(1 + fuzz_below(255));
		file_write(copy, len);
		n = read_all(&closed);
		/* whatever is harmed, it is seen: as that, or as an early end */
		if (n >= 0 && closed)
			fail_msg("byte %zu changed unnoticed", at);
	}
	free(copy);
	free(all);
}

/* Damage in the records of one batch, which is sealed again as a hostile peer would. */
static void damage_sealed(uint8_t *all, size_t len, unsigned int which)
{
	uint8_t buf[4096] __attribute__((aligned(8)));
	struct lockstep_batch *batch = (struct lockstep_batch *)buf;
	size_t at, size, i;

	for (at = 48; at < len; at += size) {
		memcpy(batch, all + at, sizeof(*batch));
		size = sizeof(*batch) + le32toh(batch->len);
		if (which-- || !batch->len)
			continue;
		memcpy(buf, all + at, size);
		for (i = 1 + fuzz_below(3); i; i--)
			buf[sizeof(*batch) + fuzz_below(size - sizeof(*batch))] =
				(uint8_t)fuzz_random();
		lockstep_batch_seal(batch);
		memcpy(all + at, buf, size);
	}
}

/* lockstep-log with a file that nobody wrote: it shows what it can and says how it ends. */
static void test_fuzz_dump(void **state)
{
	struct lockstep_log_options opt = { .path = path };
	unsigned int round, rounds = fuzz_rounds(1000), ends[LOG_SHORT + 1] = { 0 };
	int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY);
	size_t len;
	uint8_t *all = file_make(&len), *copy = malloc(len);
	int ret;

	(void)state;
	assert_non_null(copy);
	fflush(stdout);
	for (round = 0; round < rounds; round++) {
		memcpy(copy, all, len);
		damage_sealed(copy, len, (unsigned int)fuzz_below(BATCHES));
		file_write(copy, fuzz_below(4) ? len : fuzz_below(len));
		opt.json = fuzz_below(2);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		ret = fuzz_below(2) ? lockstep_log_dump(&opt) : lockstep_log_stats(&opt);
		fflush(stdout);
		dup2(out, STDOUT_FILENO);
		dup2(err, STDERR_FILENO);
		assert_in_range(ret, 0, LOG_SHORT);
		ends[ret]++;
	}
	close(out);
	close(err);
	close(null);
	printf("# %u files: %u whole, %u short, %u harmed\n", rounds, ends[0], ends[LOG_SHORT],
	       ends[LOG_ERROR]);
	assert_true(ends[0] && ends[LOG_SHORT] && ends[LOG_ERROR]);
	free(copy);
	free(all);
}

static int setup(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_never_overwritten),
		cmocka_unit_test(test_append_refuses),
		cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_other_files),
		cmocka_unit_test(test_fuzz),
		cmocka_unit_test(test_fuzz_dump),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	fuzz_seed();
	return cmocka_run_group_tests_name("logfile", tests, setup, teardown);
}
