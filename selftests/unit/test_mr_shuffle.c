// SPDX-License-Identifier: GPL-2.0
/*
 * The shuffle between two nodes over loopback: what arrives is what was there, and
 * what is missing, damaged, not to be had or not for others fails as it should.
 *
 * LOCKSTEP_SEED repeats what is random.
 *
 * Sources: daemon/transport daemon/common mapreduce/shuffle mapreduce/engine/runindex.c
 * Sources: selftests/unit/transport_fixture.c selftests/unit/fuzz.c
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <xxhash.h>

#include "common/file.h"
#include "engine/attempt.h"
#include "engine/runindex.h"
#include "fuzz.h"
#include "shuffle/client.h"
#include "shuffle/fetch.h"
#include "shuffle/serve.h"
#include "transport_fixture.h"

#define REDUCES		5
#define REGION_MAX	(3 << 20)
#define DEADLINE_MS	1000
#define JOB		"a.7"

static struct fx fx;
static struct fx_node a, b;
static struct mr_serve server;
static struct mr_fetcher *fetcher;
static char served[PATH_MAX];	/* a's work folder of the job */
static uint8_t *bytes[REDUCES];
static struct mr_region regions[REDUCES];
static uint64_t run_index;
static unsigned int asked;	/* streams that a got */

struct outcome {
	unsigned int calls;
	enum mr_fetch_fault fault;
	struct mr_head head;
	char text[256];
};

static void serve(struct fx_node *n, struct lockstep_stream *stream, uint32_t kind,
		  const void *data, size_t len)
{
	struct mr_region_request request;
	uint8_t content[MR_CONTENT_SIZE];
	char path[PATH_MAX + 32];

	(void)n;
	asked++;
	if (kind == MR_STREAM_REGION && !mr_region_request_decode(data, len, &request) &&
	    !strcmp(request.job, JOB)) {
		mr_serve_region(&server, stream, served, &request);
	} else if (kind == MR_STREAM_FILE && !mr_file_request_decode(data, len, content)) {
		snprintf(path, sizeof(path), "%s/file-%u", served, content[0]);
		mr_serve_file(&server, stream, path);
	} else {
		lockstep_stream_reset(stream, ENOENT);
	}
}

/* The run file of map 3, attempt 1, epoch 9. */
static void run_make(void)
{
	char path[PATH_MAX + MR_RUN_NAME_MAX], name[MR_RUN_NAME_MAX];
	uint64_t at = 0;
	unsigned int i;
	int fd;

	mr_run_name(3, 1, 9, name);
	snprintf(path, sizeof(path), "%s/%s", served, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	for (i = 0; i < REDUCES; i++) {
		/* the first is empty */
		size_t len = i ? 1 + fuzz_random() % REGION_MAX : 0;

		bytes[i] = malloc(len + 1);
		fx_fill(bytes[i], len, i);
		assert_int_equal(lockstep_file_write_all(fd, bytes[i], len), 0);
		regions[i] = (struct mr_region) {
			.offset = at, .len = len, .raw_len = 2 * len, .records = i,
			.checksum = XXH3_64bits(bytes[i], len),
		};
		at += len;
	}
	close(fd);
	assert_int_equal(mr_runindex_append(path, regions, REDUCES, &run_index), 0);
}

static int setup(void **state)
{
	(void)state;
	fuzz_seed();
	fx_init(&fx);
	snprintf(served, sizeof(served), "%.4000s/served", fx.dir);
	assert_int_equal(mkdir(served, 0700), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fx_exit(&fx);
	return 0;
}

static int pair(void **state)
{
	struct lockstep_transport_config cfg = { .window = 256 * 1024 };

	(void)state;
	run_make();
	asked = 0;
	mr_serve_init(&server);
	fx_node_init(&a, &fx, "a", &cfg);
	fx_node_init(&b, &fx, "b", &cfg);
	a.on_stream = serve;
	fx_connect(&a, &b);
	fx_wait(&fx, fx_up(&a, "b") && fx_up(&b, "a"));
	assert_int_equal(mr_fetcher_create(fx_peer(&b, "a"), DEADLINE_MS, &fetcher), 0);
	return 0;
}

static int unpair(void **state)
{
	unsigned int i;

	(void)state;
	mr_fetcher_destroy(fetcher);
	fx_node_exit(&b);
	if (a.t)
		fx_node_exit(&a);
	mr_serve_exit(&server);
	for (i = 0; i < REDUCES; i++)
		free(bytes[i]);
	return 0;
}

static void on_done(void *user, enum mr_fetch_fault fault, const struct mr_head *head,
		    const char *text)
{
	struct outcome *o = user;

	o->calls++;
	o->fault = fault;
	o->head = *head;
	snprintf(o->text, sizeof(o->text), "%s", text);
}

static char *target(unsigned int n, char *path)
{
	snprintf(path, PATH_MAX, "%.4000s/got-%u", fx.dir, n);
	return path;
}

static struct mr_fetch *begin_as(const char *job, uint32_t attempt, uint32_t reduce,
				 const char *path, struct outcome *o)
{
	struct mr_region_request request = {
		.map = 3, .attempt = attempt, .epoch = 9, .index = run_index, .reduce = reduce,
	};
	uint8_t buf[MR_REQUEST_MAX];
	struct mr_fetch_config config = {
		.kind = MR_STREAM_REGION, .request = buf, .checked = true, .max = REGION_MAX,
		.path = path, .done = on_done, .user = o,
	};
	struct mr_fetch *f;

	snprintf(request.job, sizeof(request.job), "%s", job);
	config.request_len = (size_t)mr_region_request_encode(&request, buf);
	memset(o, 0, sizeof(*o));
	assert_int_equal(mr_fetch_begin(fetcher, &config, &f), 0);
	return f;
}

static void fetch_wait(uint32_t attempt, uint32_t reduce, struct outcome *o)
{
	char path[PATH_MAX];

	begin_as(JOB, attempt, reduce, target(reduce, path), o);
	fx_wait(&fx, o->calls);
	assert_int_equal(o->calls, 1);
	if (o->fault)
		assert_int_equal(access(path, F_OK), -1);
}

static void same(unsigned int n, uint32_t reduce)
{
	char path[PATH_MAX], *data;
	size_t len;

	assert_int_equal(lockstep_file_read(target(n, path), REGION_MAX, &data, &len), 0);
	assert_int_equal(len, regions[reduce].len);
	assert_memory_equal(data, bytes[reduce], len);
	free(data);
}

/* Change the run file at an offset, or cut it there. */
static void harm(off_t at, bool cut)
{
	char path[PATH_MAX + MR_RUN_NAME_MAX], name[MR_RUN_NAME_MAX];
	uint8_t byte;
	int fd;

	mr_run_name(3, 1, 9, name);
	snprintf(path, sizeof(path), "%s/%s", served, name);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	if (cut) {
		assert_int_equal(ftruncate(fd, at), 0);
	} else {
		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 1;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	close(fd);
}

static void test_names(void **state)
{
	static const char *const good[] = { "a.1", "node-3.lab.12", "x.999999999" };
	static const char *const bad[] = {
		"", "a", ".", "a.", ".1", "a.0", "a.01", "a.x", "a/b.1", "../a.1", "a.1/..", "A.1",
		"a.1234567890", "-a.1", "a..1", "a.1 ", "a.-1",
	};
	char node[MR_JOB_NAME_MAX + 1];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(mr_job_name_valid(good[i]));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (mr_job_name_valid(bad[i]))
			fail_msg("'%s' was taken for a job's name", bad[i]);
	mr_job_name_home("node-3.lab.12", node, sizeof(node));
	assert_string_equal(node, "node-3.lab");
}

static void decode_any(const uint8_t *data, size_t len)
{
	struct mr_region_request request;
	uint8_t content[MR_CONTENT_SIZE];

	if (!mr_region_request_decode(data, len, &request))
		assert_true(mr_job_name_valid(request.job) && !strchr(request.job, '/'));
	mr_file_request_decode(data, len, content);
}

static void decode_messages(const uint8_t *data, size_t len)
{
	char node[LOCKSTEP_NODE_NAME_MAX + 1], path[PATH_MAX], text[256];
	struct mr_region_request request;
	enum mr_fetch_fault fault;
	struct mr_head head;

	if (!mr_shuffle_fetch_decode(data, len, node, sizeof(node), &request))
		assert_true(mr_job_name_valid(request.job));
	if (!mr_shuffle_got_decode(data, len, &head, path))
		assert_true(strlen(path) < PATH_MAX);
	if (!mr_shuffle_failed_decode(data, len, &fault, text))
		assert_true(fault == MR_FETCH_THERE || fault == MR_FETCH_HERE);
}

/* What a worker and its node's process say to each other. */
static void test_messages(void **state)
{
	struct mr_region_request request = { .job = JOB, .map = 8, .epoch = 2 }, again;
	char node[LOCKSTEP_NODE_NAME_MAX + 1], path[PATH_MAX], text[256];
	struct mr_head head = { .len = 1, .records = 3 }, head_again;
	uint8_t buf[MR_SHUFFLE_MESSAGE_MAX];
	unsigned int i, rounds = fuzz_rounds(5000);
	enum mr_fetch_fault fault;
	int len;

	(void)state;
	len = mr_shuffle_fetch_encode("b", &request, buf);
	assert_int_equal(mr_shuffle_fetch_decode(buf, (size_t)len, node, sizeof(node), &again), 0);
	assert_string_equal(node, "b");
	assert_string_equal(again.job, JOB);
	assert_int_equal(again.map, 8);
	assert_int_equal(again.epoch, 2);
	assert_int_equal(again.index, 0);
	for (i = 0; i < rounds; i++)
		fuzz_one(buf, (size_t)len, decode_messages);
	len = mr_shuffle_got_encode(&head, "/some/path", buf);
	assert_int_equal(mr_shuffle_got_decode(buf, (size_t)len, &head_again, path), 0);
	assert_string_equal(path, "/some/path");
	assert_memory_equal(&head, &head_again, sizeof(head));
	for (i = 0; i < rounds; i++)
		fuzz_one(buf, (size_t)len, decode_messages);
	len = mr_shuffle_failed_encode(MR_FETCH_THERE, "why", buf);
	assert_int_equal(mr_shuffle_failed_decode(buf, (size_t)len, &fault, text), 0);
	assert_int_equal(fault, MR_FETCH_THERE);
	assert_string_equal(text, "why");
	for (i = 0; i < rounds; i++)
		fuzz_one(buf, (size_t)len, decode_messages);
	request.job[0] = '/';
	assert_true(mr_shuffle_fetch_encode("b", &request, buf) < 0);
}

static void test_damaged_requests(void **state)
{
	struct mr_region_request request = { .job = "node-b.41", .map = 1, .reduce = 2 };
	unsigned int i, rounds = fuzz_rounds(20000);
	uint8_t buf[MR_REQUEST_MAX];
	int len = mr_region_request_encode(&request, buf);

	(void)state;
	assert_true(len > 0);
	for (i = 0; i < rounds; i++)
		fuzz_one(buf, (size_t)len, decode_any);
}

static void test_regions(void **state)
{
	struct outcome o;
	uint32_t r;

	(void)state;
	for (r = 0; r < REDUCES; r++) {
		fetch_wait(1, r, &o);
		assert_int_equal(o.fault, MR_FETCH_GOOD);
		assert_int_equal(o.head.len, regions[r].len);
		assert_int_equal(o.head.raw_len, regions[r].raw_len);
		assert_int_equal(o.head.records, r);
		same(r, r);
	}
	assert_int_equal(asked, REDUCES);
}

#define MANY	100

static void test_many(void **state)
{
	static struct outcome o[MANY];
	char path[PATH_MAX];
	unsigned int i;

	(void)state;
	for (i = 0; i < MANY; i++)
		begin_as(JOB, 1, i % REDUCES, target(i, path), &o[i]);
	for (i = 0; i < MANY; i++) {
		fx_wait(&fx, o[i].calls);
		assert_int_equal(o[i].fault, MR_FETCH_GOOD);
		same(i, i % REDUCES);
	}
}

static void test_damage(void **state)
{
	struct outcome o;

	(void)state;
	harm((off_t)(regions[2].offset + regions[2].len / 2), false);
	fetch_wait(1, 2, &o);
	assert_int_equal(o.fault, MR_FETCH_THERE);
	assert_non_null(strstr(o.text, "checksum"));
	assert_int_equal(asked, MR_FETCH_TRIES);
	fetch_wait(1, 3, &o);
	assert_int_equal(o.fault, MR_FETCH_GOOD);
	/* an entry of the index that lies about where its region is */
	harm((off_t)(run_index + 3 * MR_RUNINDEX_ENTRY), false);
	fetch_wait(1, 3, &o);
	assert_int_equal(o.fault, MR_FETCH_THERE);
	assert_non_null(strstr(o.text, "damaged"));
}

static void test_missing(void **state)
{
	char path[PATH_MAX];
	struct outcome o;

	(void)state;
	fetch_wait(2, 1, &o);
	assert_int_equal(o.fault, MR_FETCH_THERE);
	assert_non_null(strstr(o.text, "not there"));
	assert_int_equal(asked, MR_FETCH_TRIES);
	fetch_wait(1, REDUCES, &o);
	assert_int_equal(o.fault, MR_FETCH_THERE);
	begin_as("a.8", 1, 1, target(1, path), &o);
	fx_wait(&fx, o.calls);
	assert_int_equal(o.fault, MR_FETCH_THERE);
	harm((off_t)(regions[4].offset + 1), true);
	fetch_wait(1, 4, &o);
	assert_int_equal(o.fault, MR_FETCH_THERE);
}

/* What is asked for by an attempt's name is never what a link points to. */
static void test_links(void **state)
{
	char path[PATH_MAX + MR_RUN_NAME_MAX], name[MR_RUN_NAME_MAX], real[MR_RUN_NAME_MAX];
	struct outcome o;

	(void)state;
	mr_run_name(3, 1, 9, real);
	mr_run_name(3, 5, 9, name);
	snprintf(path, sizeof(path), "%s/%s", served, name);
	assert_int_equal(symlink(real, path), 0);
	fetch_wait(5, 1, &o);
	assert_int_equal(o.fault, MR_FETCH_THERE);
}

static void test_own_disk(void **state)
{
	struct rlimit old, small;
	struct outcome o;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 0;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	fetch_wait(1, 1, &o);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(o.fault, MR_FETCH_HERE);
	begin_as(JOB, 1, 1, "/nowhere/at/all", &o);
	fx_wait(&fx, o.calls);
	assert_int_equal(o.fault, MR_FETCH_HERE);
}

static void test_node_gone(void **state)
{
	struct outcome o;
	uint64_t began;

	(void)state;
	fx_node_exit(&a);
	a.t = NULL;
	fx_wait(&fx, !fx_up(&b, "a"));
	began = fx_now_ms();
	fetch_wait(1, 1, &o);
	assert_int_equal(o.fault, MR_FETCH_THERE);
	assert_non_null(strstr(o.text, "not connected"));
	assert_true(fx_now_ms() - began >= DEADLINE_MS - 50);
}

/* A connection that breaks is one failed try. */
static void test_break(void **state)
{
	char path[PATH_MAX];
	struct outcome o;

	(void)state;
	begin_as(JOB, 1, 4, target(4, path), &o);
	fx_wait(&fx, asked);
	lockstep_peer_reset(fx_peer(&b, "a"), "test");
	fx_wait(&fx, o.calls);
	assert_int_equal(o.fault, MR_FETCH_GOOD);
	same(4, 4);
	assert_int_equal(asked, 2);
}

static void test_cancel(void **state)
{
	struct mr_fetch *f;
	char path[PATH_MAX];
	struct outcome o;

	(void)state;
	f = begin_as(JOB, 1, 4, target(4, path), &o);
	fx_wait(&fx, asked);
	mr_fetch_cancel(f);
	fx_run_ms(&fx, 50);
	assert_int_equal(o.calls, 0);
	assert_int_equal(access(path, F_OK), -1);
	fetch_wait(1, 1, &o);
	assert_int_equal(o.fault, MR_FETCH_GOOD);
}

static void test_file(void **state)
{
	uint8_t content[MR_CONTENT_SIZE] = { 7 }, buf[MR_REQUEST_MAX];
	char path[PATH_MAX], from[PATH_MAX + 16], *data;
	struct mr_fetch_config config = {
		.kind = MR_STREAM_FILE, .request = buf, .max = 4, .path = target(1, path),
		.done = on_done,
	};
	struct outcome o = { 0 };
	size_t len;

	(void)state;
	snprintf(from, sizeof(from), "%s/file-7", served);
	assert_int_equal(lockstep_file_replace(from, "abcd", 4, 0600), 0);
	config.request_len = mr_file_request_encode(content, buf);
	config.user = &o;
	assert_int_equal(mr_fetch_begin(fetcher, &config, NULL), 0);
	fx_wait(&fx, o.calls);
	assert_int_equal(o.fault, MR_FETCH_GOOD);
	assert_int_equal(lockstep_file_read(path, 10, &data, &len), 0);
	assert_string_equal(data, "abcd");
	free(data);
	/* longer than was said */
	config.max = 3;
	o.calls = 0;
	assert_int_equal(mr_fetch_begin(fetcher, &config, NULL), 0);
	fx_wait(&fx, o.calls);
	assert_int_equal(o.fault, MR_FETCH_THERE);
}

#define with_pair(t)	cmocka_unit_test_setup_teardown(t, pair, unpair)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_damaged_requests),
		cmocka_unit_test(test_messages),
		with_pair(test_regions),
		with_pair(test_many),
		with_pair(test_damage),
		with_pair(test_missing),
		with_pair(test_links),
		with_pair(test_own_disk),
		with_pair(test_node_gone),
		with_pair(test_break),
		with_pair(test_cancel),
		with_pair(test_file),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
