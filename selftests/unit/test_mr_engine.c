// SPDX-License-Identifier: GPL-2.0
/*
 * The engine: attempts on random inputs against a plain sort of the same pairs.
 *
 * LOCKSTEP_SEED repeats a run, LOCKSTEP_FUZZ sets the rounds.
 *
 * Sources: mapreduce/engine daemon/common/file.c daemon/common/bytes.c
 * Sources: selftests/unit/mr_fixture.c selftests/unit/fuzz.c
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fuzz.h"
#include "mr_fixture.h"

#define MAPS_MAX	64

/**
 * struct job - maps of one input, and their reduces
 * @maps: results of the maps
 * @nr: maps
 */
struct job {
	struct mr_result maps[MAPS_MAX];
	uint32_t nr;
};

static void run_maps(struct job *job, const struct mr_attempt *like, uint64_t size, uint64_t split)
{
	struct mr_attempt attempt = *like;
	uint64_t at;

	job->nr = 0;
	for (at = 0; !at || at < size; at += split) {
		assert_true(job->nr < MAPS_MAX);
		attempt.number = job->nr;
		attempt.offset = at;
		attempt.len = size - at < split ? size - at : split;
		attempt.size = size;
		if (mr_attempt_run(&attempt, &job->maps[job->nr]))
			fail_msg("%s", job->maps[job->nr].message);
		job->nr++;
	}
}

/* Reduce @r into the text of its output. */
static char *run_reduce(const struct job *job, const struct mr_attempt *like, uint32_t r, size_t *len)
{
	struct mr_region regions[MAPS_MAX];
	struct mr_attempt attempt = *like;
	struct mr_result result;
	char *text;
	uint32_t m;

	for (m = 0; m < job->nr; m++)
		regions[m] = job->maps[m].regions[r];
	attempt.map = false;
	attempt.number = r;
	attempt.regions = regions;
	attempt.nr_regions = job->nr;
	if (mr_attempt_run(&attempt, &result))
		fail_msg("%s", result.message);
	text = mr_fx_read(result.path, len);
	assert_int_equal(*len, result.size);
	mr_result_discard(&result);
	mr_result_exit(&result);
	return text;
}

static void end_job(struct job *job)
{
	uint32_t m;

	for (m = 0; m < job->nr; m++) {
		mr_result_discard(&job->maps[m]);
		mr_result_exit(&job->maps[m]);
	}
}

/* ---- applications ---- */

static int map_line(struct mr_task *task, const struct mr_record *record)
{
	const char *line = record->value.data, *tab = memchr(line, '\t', record->value.len);
	size_t key = tab ? (size_t)(tab - line) : record->value.len;

	return mr_emit(task, line, key, tab ? tab + 1 : "", tab ? record->value.len - key - 1 : 0);
}

static const struct mr_app lines = { MR_APP_HEADER("lines"), .map = map_line };

/* Values are numbers of one byte each, and combined become longer and longer lists, in order. */
static int combine_sorted(struct mr_task *task, struct mr_bytes key, struct mr_bytes *into, struct mr_bytes value)
{
	const char *a = into->data, *b = value.data;
	size_t i, j, n = into->len + value.len;
	char *merged = malloc(n + 1);
	int ret;

	(void)key;
	assert_non_null(merged);
	for (i = 0, j = 0; i + j < n;) {
		if (j == value.len || (i < into->len && a[i] <= b[j])) {
			merged[i + j] = a[i];
			i++;
		} else {
			merged[i + j] = b[j];
			j++;
		}
	}
	ret = mr_value_set(task, into, merged, n);
	free(merged);
	return ret;
}

static int reduce_combined(struct mr_task *task, struct mr_bytes key, struct mr_values *values)
{
	struct mr_bytes all = { malloc(1 << 20), 0 }, value;
	size_t counts[256] = { 0 }, i;
	int c, ret;

	while ((ret = mr_values_next(values, &value)) > 0)
		for (i = 0; i < value.len; i++)
			counts[((const unsigned char *)value.data)[i]]++;
	for (c = 0; c < 256; c++) {
		memset((char *)all.data + all.len, c, counts[c]);
		all.len += counts[c];
	}
	if (!ret)
		ret = mr_emit(task, key.data, key.len, all.data, all.len);
	free((void *)all.data);
	return ret;
}

static const struct mr_app combining = {
	MR_APP_HEADER("combining"), .map = map_line, .combine = combine_sorted, .reduce = reduce_combined,
};

static int compare_backwards(struct mr_bytes a, struct mr_bytes b)
{
	int cmp = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);

	return cmp ? -cmp : (a.len < b.len) - (a.len > b.len);
}

static const struct mr_app backwards = {
	MR_APP_HEADER("backwards"), .map = map_line, .compare = compare_backwards,
};

/* ---- the oracle: the lines, sorted by key, equal ones as they came ---- */

static int (*oracle_compare)(struct mr_bytes a, struct mr_bytes b);

static int forwards(struct mr_bytes a, struct mr_bytes b)
{
	return -compare_backwards(a, b);
}

static int compare_lines(const void *a, const void *b)
{
	const char *x = *(char *const *)a, *y = *(char *const *)b;
	int cmp = oracle_compare((struct mr_bytes){ x, strcspn(x, "\t\n") }, (struct mr_bytes){ y, strcspn(y, "\t\n") });

	return cmp ? cmp : (x > y) - (x < y);	/* in the input's order */
}

/* @text, sorted, with each line's tab made a blank. */
static char *sorted_lines(const char *text, size_t len)
{
	size_t nr = 0, i, n = 0;
	const char **starts = calloc(len + 1, sizeof(*starts));
	char *out = malloc(len + 1), *tab;

	for (i = 0; i < len; i += strcspn(text + i, "\n") + 1)
		starts[nr++] = text + i;
	qsort(starts, nr, sizeof(*starts), compare_lines);
	for (i = 0; i < nr; i++) {
		size_t line = strcspn(starts[i], "\n") + 1;

		memcpy(out + n, starts[i], line);
		tab = memchr(out + n, '\t', line);
		assert_non_null(tab);
		*tab = ' ';
		n += line;
	}
	free(starts);
	return out;
}

/* Lines "key \t number": few or many keys, short or long. */
static char *random_lines(size_t len, uint64_t keys, size_t key_max)
{
	char *text = malloc(len + key_max + 64);
	size_t n = 0, i, key;
	uint64_t k;

	while (n < len) {
		k = fuzz_random() % keys;
		key = k * 2654435761u % key_max + 1;
		for (i = 0; i < key; i++)
			text[n + i] = (char)('a' + (k >> (i % 6 * 4)) % 16);
		n += key;
		n += (size_t)sprintf(text + n, "\t%llu\n", (unsigned long long)(fuzz_random() % 100000));
	}
	text[n] = '\0';
	return text;
}

/* One reduce gives all lines in the oracle's order, so also equal keys by map and emission. */
static void check_sorted(const struct mr_app *app, const char *text, uint64_t split, enum mr_codec codec)
{
	struct mr_attempt like = mr_fx_attempt(app, true, 0, 1);
	size_t len = strlen(text), got_len;
	struct job job;
	char *want, *got;

	like.codec = codec;
	oracle_compare = app->compare ? app->compare : forwards;
	want = sorted_lines(text, len);
	mr_fx_input(text, len);
	run_maps(&job, &like, len, split);
	got = run_reduce(&job, &like, 0, &got_len);
	assert_int_equal(got_len, len);
	assert_true(memcmp(got, want, len) == 0);
	end_job(&job);
	free(want);
	free(got);
}

static void test_sort(void **state)
{
	unsigned int i, rounds = fuzz_rounds(12);

	(void)state;
	fuzz_seed();
	for (i = 0; i < rounds; i++) {
		size_t len = 1 + fuzz_random() % 300000;
		char *text = random_lines(len, 1 + fuzz_random() % 3000, i % 3 ? 12 : 400);

		check_sorted(i % 2 ? &lines : &backwards, text, 20000 + fuzz_random() % 100000, i % __MR_CODEC_LAST);
		free(text);
	}
}

/* More than fits into memory: spills, and several of them. */
static void test_spill(void **state)
{
	char *text;

	(void)state;
	fuzz_seed();
	text = random_lines(12 << 20, 100000, 12);
	check_sorted(&lines, text, 12 << 20, MR_CODEC_LZ4);
	free(text);
	text = random_lines(24 << 20, 50, 900);	/* few keys: the merge meets the same key in all spills */
	check_sorted(&lines, text, 24 << 20, MR_CODEC_NONE);
	free(text);
}

/* ---- splits ---- */

/* Whatever the size of splits, each record comes once, in the order of the file. */
static void test_splits(void **state)
{
	struct mr_attempt like = mr_fx_attempt(&lines, true, 0, 1);
	unsigned int i, rounds = fuzz_rounds(12);

	(void)state;
	fuzz_seed();
	for (i = 0; i < rounds; i++) {
		size_t len = fuzz_random() % 2000, n, total = 0, records = 0, want;
		char *text = malloc(len + 1);
		struct job job;
		uint32_t m;

		for (n = 0; n < len; n++)
			text[n] = fuzz_random() % (1 + i) ? 'x' : '\n';
		mr_fx_input(text, len);
		for (n = 0, want = len && text[len - 1] != '\n'; n < len; n++)
			want += text[n] == '\n';
		run_maps(&job, &like, len, len / (1 + fuzz_random() % 15) + 1);
		for (m = 0; m < job.nr; m++) {
			records += job.maps[m].in_records;
			total += job.maps[m].regions[0].records;
		}
		assert_int_equal(records, want);
		assert_int_equal(total, want);
		end_job(&job);
		free(text);
	}
}

/* ---- combining ---- */

/* Values that grow while they are combined, in a table that spills. */
static void test_combine(void **state)
{
	struct mr_attempt like = mr_fx_attempt(&combining, true, 0, 3);
	size_t len, part, total = 0, n = 0, i;
	char *text, *got;
	struct job job;
	uint32_t r;

	(void)state;
	fuzz_seed();
	len = 6 << 20;
	text = malloc(len + 64);
	for (i = 0; n < len; i++) {
		uint64_t k = fuzz_random() % 200000;

		n += (size_t)sprintf(text + n, "%llu-with-some-length\t%c\n", (unsigned long long)k, 'a' + (int)(k % 26));
	}
	mr_fx_input(text, n);
	run_maps(&job, &like, n, n / 2 + 1);
	for (r = 0; r < 3; r++) {
		char *line, *rest;

		got = run_reduce(&job, &like, r, &part);
		for (line = strtok_r(got, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
			char *value = strchr(line, ' ') + 1;
			char letter = (char)('a' + strtoull(line, NULL, 10) % 26);

			assert_int_equal(strspn(value, (char[]){ letter, 0 }), strlen(value));
			total += strlen(value);
		}
		free(got);
	}
	assert_int_equal(total, i);
	end_job(&job);
	free(text);
}

/* ---- secondary sort ---- */

/* Keys "name/number": groups by name, each group's values by the number. */
static int group_by_name(struct mr_bytes a, struct mr_bytes b)
{
	const char *a_end = memchr(a.data, '/', a.len), *b_end = memchr(b.data, '/', b.len);
	size_t n = (size_t)(a_end - (const char *)a.data);

	return (size_t)(b_end - (const char *)b.data) != n || memcmp(a.data, b.data, n);
}

static uint32_t partition_by_name(struct mr_task *task, struct mr_bytes key, uint32_t partitions)
{
	(void)task;
	return ((const unsigned char *)key.data)[0] % partitions;
}

/* Every key that a group has, and never more than three: what is not asked for is skipped. */
static int reduce_first_three(struct mr_task *task, struct mr_bytes key, struct mr_values *values)
{
	struct mr_bytes value, own;
	int i, ret = 0;

	for (i = 0; i < 3 && (ret = mr_values_next(values, &value)) > 0; i++) {
		own = mr_values_key(values);
		assert_int_equal(((const char *)own.data)[0], ((const char *)key.data)[0]);
		ret = mr_emit(task, own.data, own.len, value.data, value.len);
		if (ret)
			return ret;
	}
	return ret < 0 ? ret : 0;
}

static const struct mr_app secondary = {
	MR_APP_HEADER("secondary"), .map = map_line, .reduce = reduce_first_three, .partition = partition_by_name,
	.group = group_by_name,
};

static void test_secondary_sort(void **state)
{
	static const char text[] = "b/5\tv\na/3\tx\nb/1\tu\na/1\ty\nb/9\tt\na/3\tz\nb/7\tw\nd/1\tq\n";
	struct mr_attempt like = mr_fx_attempt(&secondary, true, 0, 2);
	struct job job;
	size_t len;
	char *got;

	(void)state;
	mr_fx_input(text, sizeof(text) - 1);
	run_maps(&job, &like, sizeof(text) - 1, 13);
	got = run_reduce(&job, &like, 0, &len);
	assert_string_equal(got, "b/1 u\nb/5 v\nb/7 w\nd/1 q\n");
	free(got);
	got = run_reduce(&job, &like, 1, &len);
	assert_string_equal(got, "a/1 y\na/3 x\na/3 z\n");
	free(got);
	end_job(&job);
}

/* ---- samples ---- */

/* Keys come from all over the split, no more than asked for. */
static void test_sample(void **state)
{
	struct mr_attempt attempt = mr_fx_attempt(&lines, true, 0, 4);
	const struct mr_bytes *keys;
	struct mr_result result;
	size_t n = 0, nr, i, of[10] = { 0 };
	char *text = malloc(8 << 20);

	(void)state;
	for (i = 0; i < 400000; i++)	/* the first digit tells the tenth of the file */
		n += (size_t)sprintf(text + n, "%06zu\tvalue\n", i * 10 / 4);
	mr_fx_input(text, n);
	attempt.len = n;
	assert_int_equal(mr_attempt_sample(&attempt, 1000, &result, &keys, &nr), 0);
	assert_int_equal(nr, 1000);
	for (i = 0; i < nr; i++) {
		assert_int_equal(keys[i].len, 6);
		of[((const char *)keys[i].data)[0] - '0']++;
	}
	for (i = 0; i < 10; i++)
		assert_in_range(of[i], 30, 300);
	mr_result_exit(&result);
	free(text);
}

/* ---- limits, errors ---- */

/* Keys of nearly a mebibyte, more of them than the least memory holds; a longer one is refused. */
static void test_long_keys(void **state)
{
	struct mr_attempt attempt = mr_fx_attempt(&lines, true, 0, 1);
	const size_t key = (1 << 20) - 10;
	char *text = malloc(20 * ((size_t)1 << 20) + 64);
	struct mr_result result;
	size_t n = 0;
	int i;

	(void)state;
	for (i = 0; i < 20; i++) {
		memset(text + n, 'k', key);
		n += key;
		n += (size_t)sprintf(text + n, "%d\t%d\n", i * 7 % 10, i);
	}
	text[n] = '\0';
	check_sorted(&lines, text, n, MR_CODEC_ZSTD);
	memset(text, 'k', 2 * key);
	mr_fx_input(text, 2 * key);
	assert_int_equal(mr_attempt_run(&attempt, &result), -EMSGSIZE);
	assert_int_equal(result.blame, MR_BLAME_USER);
	assert_non_null(strstr(result.message, "more memory"));
	assert_null(result.path);
	mr_result_exit(&result);
	free(text);
}

static void test_bad_input(void **state)
{
	struct mr_attempt attempt = mr_fx_attempt(&lines, true, 0, 1);
	struct mr_result result;

	(void)state;
	attempt.path = "/nonexistent/input";
	assert_int_equal(mr_attempt_run(&attempt, &result), -ENOENT);
	assert_int_equal(result.blame, MR_BLAME_INPUT);
	mr_result_exit(&result);
	attempt.path = mr_fx_dir;
	assert_int_equal(mr_attempt_run(&attempt, &result), -EISDIR);
	mr_result_exit(&result);
	mr_fx_input("a\nb\n", 4);
	attempt.path = mr_fx_path;
	attempt.size = 5;
	assert_int_equal(mr_attempt_run(&attempt, &result), -ESTALE);
	assert_int_equal(result.blame, MR_BLAME_INPUT);
	mr_result_exit(&result);
}

static int map_picky(struct mr_task *task, const struct mr_record *record)
{
	mr_counter_add(task, "test", "seen", 1);
	if (record->value.len == 3 && memcmp(record->value.data, "bad", 3) == 0)
		return mr_error(task, "no such line, please");
	return map_line(task, record);
}

static const struct mr_app picky = { MR_APP_HEADER("picky"), .map = map_picky };

static void test_bad_record(void **state)
{
	struct mr_attempt attempt = mr_fx_attempt(&picky, true, 0, 2);
	const uint64_t skip[] = { 1, 3 };
	struct mr_result result;

	(void)state;
	mr_fx_input("a\nbad\nc\nbad\n", 12);
	assert_int_equal(mr_attempt_run(&attempt, &result), -EINVAL);
	assert_int_equal(result.blame, MR_BLAME_USER);
	assert_int_equal(result.record, 1);
	assert_non_null(strstr(result.message, "record 1 at byte 2: no such line, please"));
	mr_result_exit(&result);
	attempt.skip = skip;
	attempt.nr_skip = 2;
	assert_int_equal(mr_attempt_run(&attempt, &result), 0);
	assert_int_equal(result.skipped, 2);
	assert_int_equal(result.nr_counters, 1);
	assert_int_equal(result.counters[0].value, 2);
	mr_result_discard(&result);
	mr_result_exit(&result);
}

/* A map's run file that was damaged after it was made is blamed on that map; nothing is published. */
static void test_bad_region(void **state)
{
	struct mr_attempt like = mr_fx_attempt(&lines, true, 0, 1), reduce = mr_fx_attempt(&lines, false, 0, 1);
	struct mr_region regions[2];
	struct mr_result result;
	struct job job;
	int fd;

	(void)state;
	mr_fx_input("a\nb\nc\nd\n", 8);
	run_maps(&job, &like, 8, 4);
	regions[0] = job.maps[0].regions[0];
	regions[1] = job.maps[1].regions[0];
	fd = open(regions[1].path, O_WRONLY);
	assert_int_equal(pwrite(fd, "Z", 1, (off_t)regions[1].offset + 18), 1);
	close(fd);
	reduce.regions = regions;
	reduce.nr_regions = 2;
	assert_int_equal(mr_attempt_run(&reduce, &result), -EBADMSG);
	assert_int_equal(result.blame, MR_BLAME_REGION);
	assert_int_equal(result.bad_map, 1);
	assert_null(result.path);
	mr_result_exit(&result);
	end_job(&job);
}

/* ---- outputs ---- */

static void test_publish(void **state)
{
	struct mr_attempt attempt = mr_fx_attempt(&lines, true, 0, 0);
	struct mr_result first, late;
	char name[128], *text;
	size_t len;

	(void)state;
	mr_fx_input("a\tb\n", 4);
	assert_int_equal(mr_attempt_run(&attempt, &first), 0);
	attempt.attempt = 1;
	assert_int_equal(mr_attempt_run(&attempt, &late), 0);
	assert_string_not_equal(first.path, late.path);
	assert_int_equal(mr_output_publish(mr_fx_dir, first.path, "mr-out-m-0", first.inode), 0);
	/* again, as after a crash; and an attempt that comes late changes nothing */
	assert_int_equal(mr_output_publish(mr_fx_dir, first.path, "mr-out-m-0", first.inode), 0);
	assert_int_equal(mr_output_publish(mr_fx_dir, late.path, "mr-out-m-0", late.inode), -EEXIST);
	snprintf(name, sizeof(name), "%s/mr-out-m-0", mr_fx_dir);
	text = mr_fx_read(name, &len);
	assert_string_equal(text, "a b\n");
	free(text);
	unlink(name);
	mr_result_discard(&late);
	mr_result_exit(&first);
	mr_result_exit(&late);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sort, mr_fx_setup, mr_fx_teardown),
		cmocka_unit_test_setup_teardown(test_spill, mr_fx_setup, mr_fx_teardown),
		cmocka_unit_test_setup_teardown(test_splits, mr_fx_setup, mr_fx_teardown),
		cmocka_unit_test_setup_teardown(test_combine, mr_fx_setup, mr_fx_teardown),
		cmocka_unit_test_setup_teardown(test_secondary_sort, mr_fx_setup, mr_fx_teardown),
		cmocka_unit_test_setup_teardown(test_sample, mr_fx_setup, mr_fx_teardown),
		cmocka_unit_test_setup_teardown(test_long_keys, mr_fx_setup, mr_fx_teardown),
		cmocka_unit_test_setup_teardown(test_bad_input, mr_fx_setup, mr_fx_teardown),
		cmocka_unit_test_setup_teardown(test_bad_record, mr_fx_setup, mr_fx_teardown),
		cmocka_unit_test_setup_teardown(test_bad_region, mr_fx_setup, mr_fx_teardown),
		cmocka_unit_test_setup_teardown(test_publish, mr_fx_setup, mr_fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
