// SPDX-License-Identifier: GPL-2.0
/*
 * Attempts that fail, are cancelled, or meet a limit: whose fault it is, what is said,
 * and that nothing is left.
 *
 * Sources: mapreduce/engine daemon/common/file.c daemon/common/bytes.c
 * Sources: selftests/unit/mr_fixture.c
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "mr_fixture.h"

/* Run and expect a failure that leaves no file; its message must have @words. */
static void expect(const struct mr_attempt *attempt, int err, enum mr_blame blame, const char *words)
{
	struct mr_result result;

	assert_int_equal(mr_attempt_run(attempt, &result), err);
	assert_int_equal(result.error, err);
	assert_int_equal(result.blame, blame);
	if (!strstr(result.message, words))
		fail_msg("\"%s\" is not in: %s", words, result.message);
	assert_null(result.path);
	assert_null(result.regions);
	mr_result_exit(&result);
}

static int map_line(struct mr_task *task, const struct mr_record *record)
{
	return mr_emit(task, record->value.data, record->value.len, "", 0);
}

static const struct mr_app lines = { MR_APP_HEADER("lines"), .map = map_line };

/* ---- cancel, progress ---- */

static int map_cancelling(struct mr_task *task, const struct mr_record *record)
{
	struct mr_progress progress;

	mr_attempt_progress(&progress);
	assert_true(progress.user);
	assert_int_equal(progress.records, record->offset / 2 + 1);
	assert_int_equal(progress.in_total, 10);
	assert_int_equal(progress.in_bytes, 10);
	if (record->offset == 4)
		mr_attempt_cancel();
	assert_true(record->offset <= 4);
	mr_status_set(task, "line %d, %0200d", (int)progress.records, 0);
	mr_attempt_progress(&progress);
	assert_int_equal(strlen(progress.status), sizeof(progress.status) - 1);
	assert_memory_equal(progress.status, "line ", 5);
	return map_line(task, record);
}

static void test_cancel(void **state)
{
	static const struct mr_app app = { MR_APP_HEADER("cancel"), .map = map_cancelling };
	struct mr_attempt attempt = mr_fx_attempt(&app, true, 0, 2);
	struct mr_progress progress;
	struct mr_result result;

	(void)state;
	mr_fx_input("a\nb\nc\nd\ne\n", 10);
	attempt.size = 10;
	expect(&attempt, -ECANCELED, MR_BLAME_CANCEL, "cancelled");
	attempt.reduces = 0;
	expect(&attempt, -ECANCELED, MR_BLAME_CANCEL, "cancelled");
	mr_attempt_progress(&progress);
	assert_false(progress.user);
	/* the next one is not */
	attempt.app = &lines;
	assert_int_equal(mr_attempt_run(&attempt, &result), 0);
	mr_result_discard(&result);
	mr_result_exit(&result);
}

/* ---- limits ---- */

/* A line as long as memory allows is one; one byte more is none, and its place is told. */
static void test_line_limit(void **state)
{
	struct mr_attempt attempt = mr_fx_attempt(&lines, true, 0, 0);
	const size_t max = MR_MEMORY_MIN / 4;
	char *text = malloc(max + 8);
	struct mr_result result;

	(void)state;
	memset(text, 'x', max + 8);
	memcpy(text, "a\n", 2);
	text[2 + max] = '\n';
	mr_fx_input(text, max + 3);
	assert_int_equal(mr_attempt_run(&attempt, &result), 0);
	assert_int_equal(result.in_records, 2);
	assert_int_equal(result.size, 3 + max + 2);
	mr_result_discard(&result);
	mr_result_exit(&result);
	text[2 + max] = 'x';
	mr_fx_input(text, max + 3);
	expect(&attempt, -EMSGSIZE, MR_BLAME_INPUT, "the line at byte 2 is longer than");
	text[3 + max] = '\n';
	mr_fx_input(text, max + 4);
	expect(&attempt, -EMSGSIZE, MR_BLAME_INPUT, "more memory");
	free(text);
}

static int map_fixed(struct mr_task *task, const struct mr_record *record)
{
	assert_int_equal(record->value.len, 4);
	assert_int_equal(record->offset % 4, 0);
	return mr_emit(task, record->value.data, 4, "", 0);
}

static void test_fixed_records(void **state)
{
	static const struct mr_app app = {
		MR_APP_HEADER("fixed"), .map = map_fixed, .reader = &mr_reader_fixed, .writer = &mr_writer_raw,
	};
	struct mr_attempt attempt = mr_fx_attempt(&app, true, 0, 0);
	struct mr_option option = { "record.size", "4" };
	struct mr_result result;
	uint64_t cut, seen;

	(void)state;
	attempt.options = &option;
	attempt.nr_options = 1;
	mr_fx_input("aaaabbbbcccc", 12);
	for (cut = 0; cut <= 12; cut++) {	/* each record once, wherever the splits meet */
		attempt.offset = 0;
		attempt.len = cut;
		assert_int_equal(mr_attempt_run(&attempt, &result), 0);
		seen = result.size;
		mr_result_discard(&result);
		mr_result_exit(&result);
		attempt.offset = cut;
		attempt.len = UINT64_MAX;
		assert_int_equal(mr_attempt_run(&attempt, &result), 0);
		assert_int_equal(seen + result.size, 12);
		mr_result_discard(&result);
		mr_result_exit(&result);
	}
	attempt.offset = 0;
	option.value = "5";
	expect(&attempt, -EINVAL, MR_BLAME_INPUT, "no whole number of records");
	option.value = "0";
	expect(&attempt, -EINVAL, MR_BLAME_USER, "record.size=0");
	option.value = "4x";
	expect(&attempt, -EINVAL, MR_BLAME_USER, "record.size=4x");
}

static int map_counting(struct mr_task *task, const struct mr_record *record)
{
	char name[80];
	int i;

	(void)record;
	for (i = 0; i <= MR_COUNTERS_MAX; i++) {
		snprintf(name, sizeof(name), "%d", i);
		mr_counter_add(task, "many", name, i);
	}
	return 0;
}

static int map_long_name(struct mr_task *task, const struct mr_record *record)
{
	char name[MR_NAME_MAX + 2] = "";

	(void)record;
	memset(name, 'n', MR_NAME_MAX);
	mr_counter_add(task, name, name, 1);
	name[MR_NAME_MAX] = 'n';
	mr_counter_add(task, "group", name, 1);
	return 0;
}

static void test_counters(void **state)
{
	static const struct mr_app many = { MR_APP_HEADER("many"), .map = map_counting };
	static const struct mr_app longer = { MR_APP_HEADER("longer"), .map = map_long_name };
	struct mr_attempt attempt = mr_fx_attempt(&many, true, 0, 1);

	(void)state;
	mr_fx_input("a\n", 2);
	expect(&attempt, -E2BIG, MR_BLAME_USER, "\"1024\" is one more than 1024");
	attempt.app = &longer;
	expect(&attempt, -ENAMETOOLONG, MR_BLAME_USER, "record 0 at byte 0: counter \"group\"");
}

/* ---- user code ---- */

static uint32_t partition_beyond(struct mr_task *task, struct mr_bytes key, uint32_t partitions)
{
	(void)task;
	return key.len == 2 ? partitions : 0;
}

static int map_positive(struct mr_task *task, const struct mr_record *record)
{
	(void)task;
	(void)record;
	return 7;
}

static int map_huge(struct mr_task *task, const struct mr_record *record)
{
	(void)record;
	mr_emit(task, "", MR_KEY_MAX + 1, "", 0);
	return 0;	/* what it returns does not help */
}

static int init_failing(struct mr_task *task)
{
	return mr_error(task, "no %s today", "luck");
}

static void test_user_errors(void **state)
{
	static const struct mr_app beyond = {
		MR_APP_HEADER("beyond"), .map = map_line, .partition = partition_beyond,
	};
	static const struct mr_app positive = { MR_APP_HEADER("positive"), .map = map_positive };
	static const struct mr_app huge = { MR_APP_HEADER("huge"), .map = map_huge };
	static const struct mr_app luckless = { MR_APP_HEADER("luckless"), .init = init_failing, .map = map_line };
	const struct mr_option range = { "partition", "range" }, odd = { "partition", "odd" };
	struct mr_attempt attempt = mr_fx_attempt(&beyond, true, 0, 3);

	(void)state;
	mr_fx_input("a\nbb\n", 5);
	expect(&attempt, -ERANGE, MR_BLAME_USER, "record 1 at byte 2: partition gave 3 of 3");
	attempt.app = &positive;
	expect(&attempt, -EINVAL, MR_BLAME_USER, "map returned 7");
	attempt.app = &huge;
	expect(&attempt, -EMSGSIZE, MR_BLAME_USER, "emitted a key of 16777217 bytes");
	attempt.app = &luckless;
	expect(&attempt, -EINVAL, MR_BLAME_USER, "no luck today");
	attempt.app = &lines;
	attempt.nr_options = 1;
	attempt.options = &range;
	expect(&attempt, -EINVAL, MR_BLAME_SYSTEM, "nothing was sampled");
	attempt.options = &odd;
	expect(&attempt, -EINVAL, MR_BLAME_USER, "partition=odd");
	attempt.nr_options = 0;
	attempt.memory = MR_MEMORY_MIN - 1;
	expect(&attempt, -EINVAL, MR_BLAME_SYSTEM, "at least");
}

static int reduce_picky(struct mr_task *task, struct mr_bytes key, struct mr_values *values)
{
	struct mr_bytes value;
	int ret;

	if (key.len == 3)
		return mr_error(task, "no such key");
	ret = mr_values_next(values, &value);	/* one only: the others are skipped */
	return ret < 0 ? ret : mr_emit(task, key.data, key.len, "1", 1);
}

/* A key that reduce fails at is named, and can be skipped. */
static void test_bad_key(void **state)
{
	static const struct mr_app app = { MR_APP_HEADER("picky"), .map = map_line, .reduce = reduce_picky };
	struct mr_attempt attempt = mr_fx_attempt(&app, true, 0, 1), reduce = mr_fx_attempt(&app, false, 0, 1);
	struct mr_result map, result;
	const uint64_t skip = 1;
	size_t len;
	char *text;

	(void)state;
	mr_fx_input("z\nba\x01\na\nz\nba\x01\nz\n", 16);
	assert_int_equal(mr_attempt_run(&attempt, &map), 0);
	reduce.regions = map.regions;
	reduce.nr_regions = 1;
	expect(&reduce, -EINVAL, MR_BLAME_USER, "reduce 0, key 1 \"ba\\x01\": no such key");
	reduce.skip = &skip;
	reduce.nr_skip = 1;
	assert_int_equal(mr_attempt_run(&reduce, &result), 0);
	assert_int_equal(result.skipped, 1);
	text = mr_fx_read(result.path, &len);
	assert_string_equal(text, "a 1\nz 1\n");
	free(text);
	mr_result_discard(&result);
	mr_result_exit(&result);
	mr_result_discard(&map);
	mr_result_exit(&map);
}

/* ---- inputs that change, disks that are full ---- */

static int map_changing(struct mr_task *task, const struct mr_record *record)
{
	const char *how = mr_task_option(task, "how");

	if (record->offset == 0)
		assert_int_equal(truncate(mr_task_path(task), strcmp(how, "shrink") == 0 ? 1000 : 100 << 20), 0);
	return map_line(task, record);
}

static void test_changing_input(void **state)
{
	static const struct mr_app app = { MR_APP_HEADER("changing"), .map = map_changing };
	struct mr_attempt attempt = mr_fx_attempt(&app, true, 0, 1);
	struct mr_option how = { "how", "shrink" };
	const size_t len = 4 << 20;
	char *text = malloc(len);

	(void)state;
	memset(text, '\n', len);
	mr_fx_input(text, len);
	attempt.options = &how;
	attempt.nr_options = 1;
	expect(&attempt, -ESTALE, MR_BLAME_INPUT, "shrank to");
	mr_fx_input(text, len);
	how.value = "grow";
	expect(&attempt, -ESTALE, MR_BLAME_INPUT, "changed while it was read");
	free(text);
}

/* Spills, run files and outputs that can't be written. */
static void test_full_disk(void **state)
{
	struct mr_attempt attempt = mr_fx_attempt(&lines, true, 0, 2);
	const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY }, some = { 1 << 20, RLIM_INFINITY };
	const size_t line = 1000, n = 14000;
	char *text = malloc(line * n);
	size_t i;

	(void)state;
	for (i = 0; i < n; i++) {
		memset(text + i * line, 'k', line);
		snprintf(text + i * line, line, "%05zu", i);	/* different: equal keys are written once */
		text[i * line + 5] = 'k';
		text[i * line + line - 1] = '\n';
	}
	mr_fx_input(text, line * n);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &some), 0);
	expect(&attempt, -EFBIG, MR_BLAME_SYSTEM, "spill in");
	attempt.len = line * n / 4;
	expect(&attempt, -EFBIG, MR_BLAME_SYSTEM, "/run-0-0-0: ");
	attempt.reduces = 0;
	expect(&attempt, -EFBIG, MR_BLAME_SYSTEM, "/.mr-tmp-");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	attempt.work_dir = "/nonexistent";
	attempt.reduces = 1;
	expect(&attempt, -ENOENT, MR_BLAME_SYSTEM, "run file in /nonexistent");
	attempt.output_dir = "/nonexistent";
	attempt.reduces = 0;
	expect(&attempt, -ENOENT, MR_BLAME_SYSTEM, "output in /nonexistent");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cancel, mr_fx_setup, mr_fx_teardown),
		cmocka_unit_test_setup_teardown(test_line_limit, mr_fx_setup, mr_fx_teardown),
		cmocka_unit_test_setup_teardown(test_fixed_records, mr_fx_setup, mr_fx_teardown),
		cmocka_unit_test_setup_teardown(test_counters, mr_fx_setup, mr_fx_teardown),
		cmocka_unit_test_setup_teardown(test_user_errors, mr_fx_setup, mr_fx_teardown),
		cmocka_unit_test_setup_teardown(test_bad_key, mr_fx_setup, mr_fx_teardown),
		cmocka_unit_test_setup_teardown(test_changing_input, mr_fx_setup, mr_fx_teardown),
		cmocka_unit_test_setup_teardown(test_full_disk, mr_fx_setup, mr_fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
