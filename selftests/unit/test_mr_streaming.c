// SPDX-License-Identifier: GPL-2.0
/*
 * Commands as map and reduce: pipes that fill, commands that stop reading or fail,
 * what they say on standard error, blocks of lines at any boundary, folds.
 *
 * The engine is played by this test: it keeps what is emitted.
 *
 * LOCKSTEP_SEED repeats a run of the fuzzer, LOCKSTEP_FUZZ sets its rounds.
 *
 * Sources: mapreduce/engine/child.c mapreduce/engine/reporter.c mapreduce/engine/fold.c
 * Sources: mapreduce/engine/streaming.c selftests/unit/fuzz.c
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
#include "mapreduce/engine/fold.h"
#include "mapreduce/engine/reporter.h"
#include "mapreduce/engine/streaming.h"

/* --- the engine, as far as it is needed ------------------------------------- */

struct text {
	char *data;
	size_t len;
	size_t room;
};

struct mr_task {
	bool map;
	uint32_t partitions;
	const char *options[16];	/* name, value, ..., NULL */
	struct text emitted;		/* KEY|VALUE\n */
	char counters[256];
	char status[128];
	char error[512];
};

struct mr_values {
	struct mr_bytes key;
	const char *const *values;
};

struct mr_input {
	const char *data;
	uint64_t size;
	uint64_t start;
	uint64_t end;
	char *lent;
};

struct mr_output {
	struct text text;
};

static void text_add(struct text *text, const void *data, size_t len)
{
	if (text->len + len + 1 > text->room) {
		text->room = (text->len + len + 1) * 2;
		text->data = realloc(text->data, text->room);
		assert_non_null(text->data);
	}
	if (len)
		memcpy(text->data + text->len, data, len);
	text->len += len;
	text->data[text->len] = '\0';
}

int mr_emit(struct mr_task *task, const void *key, size_t key_len, const void *value, size_t value_len)
{
	if (key_len > MR_KEY_MAX || value_len > MR_VALUE_MAX)
		return -EMSGSIZE;
	text_add(&task->emitted, key, key_len);
	text_add(&task->emitted, "|", 1);
	text_add(&task->emitted, value, value_len);
	text_add(&task->emitted, "\n", 1);
	return 0;
}

int mr_values_next(struct mr_values *values, struct mr_bytes *value)
{
	if (!*values->values)
		return 0;
	*value = (struct mr_bytes){ *values->values, strlen(*values->values) };
	values->values++;
	return 1;
}

struct mr_bytes mr_values_key(const struct mr_values *values)
{
	return values->key;
}

int mr_value_set(struct mr_task *task, struct mr_bytes *into, const void *data, size_t len)
{
	static char copy[64];

	(void)task;
	assert_true(len <= sizeof(copy));
	memmove(copy, data, len);
	*into = (struct mr_bytes){ copy, len };
	return 0;
}

void mr_counter_add(struct mr_task *task, const char *group, const char *name, int64_t n)
{
	size_t len = strlen(task->counters);

	snprintf(task->counters + len, sizeof(task->counters) - len, "%s.%s=%lld;", group, name,
		 (long long)n);
}

void mr_status_set(struct mr_task *task, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(task->status, sizeof(task->status), format, args);
	va_end(args);
}

int mr_error(struct mr_task *task, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(task->error, sizeof(task->error), format, args);
	va_end(args);
	return -EINVAL;
}

bool mr_task_is_map(const struct mr_task *task)
{
	return task->map;
}

uint32_t mr_task_number(const struct mr_task *task)
{
	(void)task;
	return 7;
}

uint32_t mr_task_attempt(const struct mr_task *task)
{
	(void)task;
	return 2;
}

uint32_t mr_task_partitions(const struct mr_task *task)
{
	return task->partitions;
}

const char *mr_task_path(const struct mr_task *task)
{
	return task->map ? "in/some.txt" : NULL;
}

const char *mr_task_option(const struct mr_task *task, const char *name)
{
	size_t i;

	for (i = 0; task->options[i]; i += 2)
		if (!strcmp(task->options[i], name))
			return task->options[i + 1];
	return NULL;
}

/* Exactly what was asked for, on a heap that finds a reader's overrun. */
int64_t mr_input_at(struct mr_input *input, uint64_t offset, size_t len, const void **data)
{
	size_t n = offset >= input->size ? 0 :
		   input->size - offset < len ? input->size - offset : len;

	free(input->lent);
	input->lent = malloc(n ? n : 1);
	assert_non_null(input->lent);
	memcpy(input->lent, input->data + (n ? offset : 0), n);
	*data = input->lent;
	return n;
}

uint64_t mr_input_start(const struct mr_input *input)
{
	return input->start;
}

uint64_t mr_input_end(const struct mr_input *input)
{
	return input->end;
}

uint64_t mr_input_size(const struct mr_input *input)
{
	return input->size;
}

int mr_output_write(struct mr_output *output, const void *data, size_t len)
{
	text_add(&output->text, data, len);
	return 0;
}

/* --- running it ------------------------------------------------------------- */

static int map_run(struct mr_task *task, const char *input, size_t len, size_t block)
{
	int ret = mr_streaming.init(task);
	size_t at;

	for (at = 0; at < len && !ret; at += block) {
		struct mr_record record = {
			.value = { input + at, len - at < block ? len - at : block },
		};

		ret = mr_streaming.map(task, &record);
	}
	return ret ? ret : mr_streaming.exit(task);
}

static void map_equals(struct mr_task *task, const char *input, const char *want)
{
	task->map = true;
	assert_int_equal(map_run(task, input, strlen(input), strlen(input)), 0);
	assert_string_equal(task->emitted.data ? task->emitted.data : "", want);
	free(task->emitted.data);
}

static void test_key_ends_at_first_tab(void **state)
{
	struct mr_task task = { .partitions = 3, .options = { "streaming.mapper", "cat" } };
	struct mr_task two = { .partitions = 3, .options = { "stream.num.map.output.key.fields", "2" } };

	(void)state;
	map_equals(&task, "a\tb\tc\nkey\nempty\t\n\tx\n\nlast", "a|\tb\tc\nkey|\nempty|\t\n|\tx\n|\nlast|\n");
	map_equals(&two, "a\tb\tc\nkey\tv\nk\n", "a\tb|\tc\nkey\tv|\nk|\n");
}

static void test_map_only_keeps_lines(void **state)
{
	struct mr_task task = { .options = { "streaming.mapper", "tr a-z A-Z | sed s/B/-/" } };
	struct mr_output output = { { 0 } };

	(void)state;
	map_equals(&task, "a\tb\nc\n", "|A\t-\n|C\n");
	mr_streaming.writer->write(&output, NULL, (struct mr_bytes){ "", 0 }, (struct mr_bytes){ "A\t-", 3 });
	mr_streaming.writer->write(&output, NULL, (struct mr_bytes){ "k", 1 }, (struct mr_bytes){ "\tv", 2 });
	assert_string_equal(output.text.data, "A\t-\nk\tv\n");
	free(output.text.data);
}

/* More than any pipe holds, both ways and on standard error, before it reads and after. */
static void test_full_pipes(void **state)
{
	const size_t len = 8 << 20;
	static const char *const mappers[] = {
		"cat",
		"tee /dev/stderr 2>/dev/null",
		"head -c 4194304 /dev/zero | tr '\\0' '\\n' | sed s/^/xxxxxxx/; cat",
		"cat; yes 1234567 | head -c 4194304",
		"yes reporter:counter:g,n,1 | head -n 200000 >&2; cat",
	};
	char *input = malloc(len);
	size_t i;

	(void)state;
	assert_non_null(input);
	for (i = 0; i < len; i++)
		input[i] = i % 8 == 7 ? '\n' : 'a' + i % 23;
	for (i = 0; i < sizeof(mappers) / sizeof(mappers[0]); i++) {
		struct mr_task task = {
			.map = true, .partitions = 1, .options = { "streaming.mapper", mappers[i] },
		};

		assert_int_equal(map_run(&task, input, len, 1000000), 0);
		assert_true(task.emitted.len >= len + len / 8);
		if (i == 0 || i == 4)
			assert_int_equal(task.emitted.len, len + len / 8);
		free(task.emitted.data);
	}
	free(input);
}

static void test_mapper_that_stops_reading(void **state)
{
	struct mr_task task = { .partitions = 1, .options = { "streaming.mapper", "head -n 1" } };
	struct mr_task none = { .partitions = 1, .options = { "streaming.mapper", "exec <&-; sleep 0.1; echo end" } };
	char *input = malloc((4 << 20) + 1);

	(void)state;
	assert_non_null(input);
	memset(input, 'x', 4 << 20);
	memcpy(input, "first\n", 6);
	input[4 << 20] = '\0';
	map_equals(&task, input, "first|\n");
	map_equals(&none, input, "end|\n");
	free(input);
}

static void fails(const char *mapper, const char *option, const char *value, const char *why)
{
	struct mr_task task = {
		.map = true, .partitions = 1,
		.options = { "streaming.mapper", mapper, option, value },
	};

	assert_int_equal(map_run(&task, "a\n", 2, 2), -EINVAL);
	if (!strstr(task.error, why))
		fail_msg("error is '%s', wanted '%s'", task.error, why);
	free(task.emitted.data);
}

static void test_failures_say_why(void **state)
{
	struct mr_task lenient = {
		.partitions = 1,
		.options = { "streaming.mapper", "cat; exit 3", "stream.non.zero.exit.is.failure", "false" },
	};

	(void)state;
	fails("cat >&2; echo bad luck >&2; exit 3", NULL, NULL,
	      "mapper 'cat >&2; echo bad luck >&2; exit 3' ended with status 3; the last it wrote: a\nbad luck");
	fails("kill -SEGV $$", NULL, NULL, "was killed by signal 11");
	fails("lockstep-no-such-command", NULL, NULL, "command not found");
	fails("cat", "streaming.dir", "/nonexistent", "ended with status 126");
	fails("cat", "stream.num.map.output.key.fields", "0", "must be 1 to");
	fails("cat", "streaming.reducer", "@sun", "no reducer '@sun'");
	fails("printf 'k\\tx1\\n'", "streaming.reducer", "@sum", "value 'x1' of key 'k' is no number");
	fails("echo foo:bar", "streaming.reducer", "aggregate", "key 'foo:bar' names no aggregator");
	map_equals(&lenient, "a\n", "a|\n");
}

static void test_environment(void **state)
{
	struct mr_task task = {
		.partitions = 4,
		.options = {
			"streaming.mapper",
			"echo $mapreduce_task_id $mapreduce_task_attempt_id $mapreduce_task_partition"
			" $mapreduce_task_ismap $mapreduce_job_reduces $map_input_file $COLOUR $HOME; pwd",
			"streaming.env", "COLOUR=dark red\nHOME=nowhere",
			"streaming.dir", "/usr",
		},
	};

	(void)state;
	map_equals(&task, "", "task_m_000007 attempt_m_000007_2 7 true 4 in/some.txt dark red nowhere|\n/usr|\n");
}

static void test_reports(void **state)
{
	struct mr_task task = {
		.partitions = 1,
		.options = {
			"streaming.mapper",
			"(echo reporter:counter:g,n,2; echo reporter:status:half done;"
			" echo reporter:counter:g,n,-1; printf reporter:counter:last,one,5) >&2; cat",
		},
	};

	(void)state;
	map_equals(&task, "a\n", "a|\n");
	assert_string_equal(task.counters, "g.n=2;g.n=-1;last.one=5;");
	assert_string_equal(task.status, "half done");
}

static void reduce_key(struct mr_task *task, const char *key, const char *const *values)
{
	struct mr_values v = { { key, strlen(key) }, values };

	assert_int_equal(mr_streaming.reduce(task, v.key, &v), 0);
}

static void test_reducer(void **state)
{
	static const char *const a[] = { "\t1", "\t2", NULL }, *const b[] = { "", NULL };
	struct mr_task task = { .partitions = 1, .options = { "streaming.reducer", "uniq -c | sed 's/^ *//'" } };
	struct mr_task same = { .partitions = 1 };

	(void)state;
	assert_int_equal(mr_streaming.init(&task), 0);
	reduce_key(&task, "a", a);
	reduce_key(&task, "b", b);
	reduce_key(&task, "b", b);
	assert_int_equal(mr_streaming.exit(&task), 0);
	assert_string_equal(task.emitted.data, "|1 a\t1\n|1 a\t2\n|2 b\n");
	free(task.emitted.data);

	assert_int_equal(mr_streaming.init(&same), 0);
	reduce_key(&same, "a", a);
	reduce_key(&same, "b", b);
	assert_int_equal(mr_streaming.exit(&same), 0);
	assert_string_equal(same.emitted.data, "a|\t1\na|\t2\nb|\n");
	free(same.emitted.data);
}

/* An attempt that ends without exit() leaves nothing to the next one. */
static void test_abandoned_attempt(void **state)
{
	struct mr_task lost = { .map = true, .partitions = 1, .options = { "streaming.mapper", "cat; sleep 1000" } };
	struct mr_task next = { .partitions = 1, .options = { "streaming.mapper", "cat" } };
	struct mr_record record = { .value = { "lost\n", 5 } };

	(void)state;
	assert_int_equal(mr_streaming.init(&lost), 0);
	assert_int_equal(mr_streaming.map(&lost, &record), 0);
	map_equals(&next, "a\n", "a|\n");
	free(lost.emitted.data);
}

/* --- folds ------------------------------------------------------------------ */

/* Hold each value, merge them all, give the line out. */
static void folds_to(const char *name, const char *key, const char *const *values, const char *want)
{
	const struct mr_fold *fold = mr_fold_find(name);
	struct mr_bytes k = { key, strlen(key) }, into = { 0 };
	struct mr_task task = { 0 };
	char number[2][MR_FOLD_SIZE];
	size_t i;

	assert_non_null(fold);
	for (i = 0; values[i]; i++) {
		struct mr_bytes value = { values[i], strlen(values[i]) }, held;

		assert_int_equal(mr_fold_hold(fold, &task, k, value, *values[i] != '!', number[!!i], &held), 0);
		if (!i)
			into = held;
		else
			assert_int_equal(mr_fold_merge(fold, &task, k, &into, held), 0);
	}
	assert_int_equal(mr_fold_emit(fold, &task, k, into), 0);
	assert_string_equal(task.emitted.data, want);
	free(task.emitted.data);
}

static void test_folds(void **state)
{
	static const char *const numbers[] = { "3", "-7", " 12 ", NULL };
	static const char *const none[] = { "!", "!", "!", NULL };
	static const char *const strings[] = { "pear", "apple", "zoo", "", NULL };
	static const char *const doubles[] = { "0.5", "1e2", NULL };

	(void)state;
	folds_to("@sum", "k", numbers, "k|\t8\n");
	folds_to("@sum", "k", none, "k|\t3\n");
	folds_to("@count", "k", strings, "k|\t4\n");
	folds_to("@min", "k", numbers, "k|\t-7\n");
	folds_to("@max", "k", numbers, "k|\t12\n");
	folds_to("@uniq", "k", strings, "k|\n");
	folds_to("aggregate", "LongValueSum:k", numbers, "k|\t8\n");
	folds_to("@aggregate", "LongValueMin:k", numbers, "k|\t-7\n");
	folds_to("aggregate", "LongValueMax:k", numbers, "k|\t12\n");
	folds_to("aggregate", "DoubleValueSum:k", doubles, "k|\t100.5\n");
	folds_to("aggregate", "StringValueMax:k", strings, "k|\tzoo\n");
	folds_to("aggregate", "StringValueMin:k", strings, "k|\t\n");
	assert_null(mr_fold_find("sum"));
	assert_null(mr_fold_find(NULL));
	assert_string_equal(mr_streaming_name("@sum"), "streaming-fold");
	assert_string_equal(mr_streaming_name("wc -l"), "streaming");
	assert_string_equal(mr_streaming_name(NULL), "streaming");
}

static void test_sum_overflow(void **state)
{
	const struct mr_fold *fold = mr_fold_find("@sum");
	int64_t a = INT64_MAX, b = 1;
	struct mr_bytes into = { &a, sizeof(a) };
	struct mr_task task = { 0 };

	(void)state;
	assert_int_equal(mr_fold_merge(fold, &task, (struct mr_bytes){ "k", 1 }, &into,
				       (struct mr_bytes){ &b, sizeof(b) }), -EINVAL);
	assert_string_equal(task.error, "the sum of key 'k' does not fit 64 bits");
}

static void test_numbers(void **state)
{
	static const struct {
		const char *text;
		int ret;
		int64_t n;
	} cases[] = {
		{ "0", 0, 0 }, { "-0", 0, 0 }, { "+5", 0, 5 }, { "\t 42\r", 0, 42 },
		{ "9223372036854775807", 0, INT64_MAX }, { "-9223372036854775808", 0, INT64_MIN },
		{ "9223372036854775808", -ERANGE, 0 }, { "-9223372036854775809", -ERANGE, 0 },
		{ "", -EINVAL, 0 }, { "-", -EINVAL, 0 }, { "1.5", -EINVAL, 0 }, { "0x1", -EINVAL, 0 },
		{ "1 2", -EINVAL, 0 }, { "--1", -EINVAL, 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t n = 0;

		assert_int_equal(mr_number_parse(cases[i].text, strlen(cases[i].text), &n), cases[i].ret);
		assert_int_equal(n, cases[i].n);
	}
}

/* --- standard error --------------------------------------------------------- */

static void test_malformed_reports(void **state)
{
	static const char *const ordinary[] = {
		"", "reporter:", "reporter:counter:", "reporter:counter:g,n", "reporter:counter:g,n,",
		"reporter:counter:,n,1", "reporter:counter:g,,1", "reporter:counter:g,n,1,2",
		"reporter:counter:g,n,x", "reporter:counter:g,n,9223372036854775808",
		"Reporter:counter:g,n,1", " reporter:status:x", "reporter:counter:g\x01,n,1",
		"reporter:counter:0123456789012345678901234567890123456789012345678901234567890123,n,1",
	};
	struct mr_report report;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(ordinary) / sizeof(ordinary[0]); i++) {
		mr_report_parse(ordinary[i], strlen(ordinary[i]), &report);
		assert_int_equal(report.kind, MR_REPORT_NONE);
	}
	mr_report_parse("reporter:counter:a b,c:d,-12", 28, &report);
	assert_int_equal(report.kind, MR_REPORT_COUNTER);
	assert_string_equal(report.group, "a b");
	assert_string_equal(report.name, "c:d");
	assert_int_equal(report.amount, -12);
}

static void fuzz_report(const uint8_t *data, size_t len)
{
	struct mr_report report;

	mr_report_parse((const char *)data, len, &report);
	if (report.kind == MR_REPORT_COUNTER) {
		assert_true(strlen(report.group) - 1 < MR_NAME_MAX);
		assert_true(strlen(report.name) - 1 < MR_NAME_MAX);
		assert_null(strchr(report.group, ','));
	} else if (report.kind == MR_REPORT_STATUS) {
		assert_true((const uint8_t *)report.status.data + report.status.len == data + len);
	}
}

static void test_fuzz_reports(void **state)
{
	static const char *const good[] = {
		"reporter:counter:some group,some name,-9223372036854775808",
		"reporter:status:at record 12345",
	};
	unsigned int i, n = fuzz_rounds(20000);

	(void)state;
	fuzz_seed();
	for (i = 0; i < n; i++)
		fuzz_one((const uint8_t *)good[i % 2], strlen(good[i % 2]), fuzz_report);
}

/* --- blocks ----------------------------------------------------------------- */

/* Whole lines that begin in the split, in blocks that end with one. */
static void split_read(struct mr_input *input, struct text *out)
{
	const struct mr_reader *reader = mr_streaming.reader;
	struct mr_record record;
	void *state;
	int ret;

	assert_int_equal(reader->open(NULL, input, &state), 0);
	while ((ret = reader->next(input, state, &record)) == 1) {
		const char *data = record.value.data;

		assert_true(record.value.len > 0);
		assert_true(record.offset < input->end && record.offset >= input->start);
		assert_true(data[record.value.len - 1] == '\n' ||
			    record.offset + record.value.len == input->size);
		text_add(out, data, record.value.len);
	}
	assert_int_equal(ret, 0);
	reader->close(input, state);
	free(input->lent);
	input->lent = NULL;
}

/* Splits at any place, lines of any length: each line comes once and in order. */
static void test_splits_make_the_file(void **state)
{
	unsigned int round, rounds = fuzz_rounds(300);

	(void)state;
	fuzz_seed();
	for (round = 0; round < rounds; round++) {
		size_t size = fuzz_random() % (round % 50 ? 200 : 2000000), i;
		uint64_t often = 1 + fuzz_random() % (round % 7 ? 20 : 700000);
		char *data = malloc(size + 1);
		struct mr_input input = { .data = data, .size = size };
		struct text out = { 0 };

		assert_non_null(data);
		for (i = 0; i < size; i++)
			data[i] = fuzz_random() % often ? 'a' + i % 26 : '\n';
		while (input.start < size) {
			input.end = input.start + 1 + fuzz_random() % (size - input.start);
			split_read(&input, &out);
			input.start = input.end;
		}
		assert_int_equal(out.len, size);
		if (size)
			assert_memory_equal(out.data, data, size);
		free(out.data);
		free(data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key_ends_at_first_tab),
		cmocka_unit_test(test_map_only_keeps_lines),
		cmocka_unit_test(test_full_pipes),
		cmocka_unit_test(test_mapper_that_stops_reading),
		cmocka_unit_test(test_failures_say_why),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_reports),
		cmocka_unit_test(test_reducer),
		cmocka_unit_test(test_abandoned_attempt),
		cmocka_unit_test(test_folds),
		cmocka_unit_test(test_sum_overflow),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_malformed_reports),
		cmocka_unit_test(test_fuzz_reports),
		cmocka_unit_test(test_splits_make_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
