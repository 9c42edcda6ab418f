// SPDX-License-Identifier: GPL-2.0
/*
 * Messages: what is in bounds passes, what is not does not, and damage is survived.
 *
 * Sources: mapreduce/rpc/check.c build/mapreduce/gen/rpc/mr.pb-c.c selftests/unit/fuzz.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fuzz.h"
#include "transport/transport.h"

/* Nothing is sent here. */
int lockstep_conn_send(struct lockstep_conn *conn, const struct lockstep_msg *msg, const struct iovec *iov,
		       int iovcnt)
{
	(void)conn;
	(void)msg;
	(void)iov;
	return iovcnt;
}

#include "mapreduce/rpc/rpc.c"

static Mr__AttemptId id = MR__ATTEMPT_ID__INIT;
static Mr__AttemptId *ids[] = { &id, &id };

static uint8_t *encode(const Mr__Message *msg, size_t *len)
{
	uint8_t *data;

	*len = mr__message__get_packed_size(msg);
	data = malloc(*len + 1);
	assert_non_null(data);
	mr__message__pack(msg, data);
	return data;
}

static int through(const Mr__Message *msg)
{
	Mr__Message *got = NULL;
	size_t len;
	uint8_t *data = encode(msg, &len);
	int err = mr_rpc_decode(data, len, &got);

	assert_int_equal(err, mr_rpc_check(msg));
	if (!err)
		assert_int_equal(got->of_case, msg->of_case);
	mr_rpc_free(got);
	free(data);
	return err;
}

static Mr__Hello hello(void)
{
	Mr__Hello m = MR__HELLO__INIT;

	m.worker = (char *)"a:1:2";
	m.node = (char *)"a";
	m.work_dir = (char *)"/w";
	m.output_dir = (char *)"/o";
	m.app = (char *)"wc";
	return m;
}

static void test_hello(void **state)
{
	char long_name[MR_RPC_NAME_MAX + 2];
	Mr__Hello m = hello();

	(void)state;
	assert_int_equal(through(MR_RPC(HELLO, hello, &m)), 0);
	m.output_dir = (char *)"relative";
	assert_int_equal(through(MR_RPC(HELLO, hello, &m)), -EINVAL);
	m = hello();
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = 0;
	m.worker = long_name;
	assert_int_equal(through(MR_RPC(HELLO, hello, &m)), -EINVAL);
	long_name[MR_RPC_NAME_MAX] = 0;
	assert_int_equal(through(MR_RPC(HELLO, hello, &m)), 0);
}

static void test_publish(void **state)
{
	static const char * const bad[] = { "", ".", "..", ".mr-x", "a/b", "/a" };
	Mr__Publish m = MR__PUBLISH__INIT;
	unsigned int i;

	(void)state;
	m.id = &id;
	m.name = (char *)"mr-out-0";
	assert_int_equal(through(MR_RPC(PUBLISH, publish, &m)), 0);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		m.name = (char *)bad[i];
		assert_int_equal(through(MR_RPC(PUBLISH, publish, &m)), -EINVAL);
	}
	m.name = (char *)"mr-out-0";
	m.id = NULL;
	assert_int_equal(through(MR_RPC(PUBLISH, publish, &m)), -EINVAL);
}

static void test_runs(void **state)
{
	Mr__Run run = MR__RUN__INIT, *list[MR_RPC_RUNS_MAX + 1];
	Mr__Runs m = MR__RUNS__INIT;
	unsigned int i;

	(void)state;
	run.id = &id;
	run.node = (char *)"a";
	run.path = (char *)"/run";
	for (i = 0; i <= MR_RPC_RUNS_MAX; i++)
		list[i] = &run;
	m.id = &id;
	m.runs = list;
	m.n_runs = MR_RPC_RUNS_MAX;
	assert_int_equal(through(MR_RPC(RUNS, runs, &m)), 0);
	m.n_runs++;
	assert_int_equal(through(MR_RPC(RUNS, runs, &m)), -EINVAL);
	m.n_runs = 1;
	run.path = (char *)"run";
	assert_int_equal(through(MR_RPC(RUNS, runs, &m)), -EINVAL);
}

static void test_nothing(void **state)
{
	Mr__Message empty = MR__MESSAGE__INIT;

	(void)state;
	assert_int_equal(through(&empty), -EINVAL);
}

/* ---- damage ---- */

static void decode(const uint8_t *data, size_t len)
{
	Mr__Message *msg;

	if (mr_rpc_decode(data, len, &msg))
		return;
	/* What was taken can be sent on. */
	assert_int_equal(mr_rpc_check(msg), 0);
	assert_true(mr__message__get_packed_size(msg) > 0);
	mr_rpc_free(msg);
}

static void damage(const Mr__Message *msg)
{
	size_t len;
	uint8_t *data = encode(msg, &len);
	unsigned int i;

	for (i = 0; i < fuzz_rounds(3000); i++)
		fuzz_one(data, len, decode);
	free(data);
}

static void test_damage(void **state)
{
	Mr__Counter counter = MR__COUNTER__INIT;
	Mr__Counter *counters[2];
	ProtobufCBinaryData keys[] = { { 3, (uint8_t *)"abc" }, { 0, NULL } };
	uint64_t skip[] = { 1, 70000, UINT64_MAX };
	Mr__Run run = MR__RUN__INIT;
	Mr__Run *runs[2];
	Mr__Grant grant = MR__GRANT__INIT;
	Mr__Failed failed = MR__FAILED__INIT;
	Mr__Totals totals = MR__TOTALS__INIT;
	Mr__Done done = MR__DONE__INIT;
	Mr__Runs page = MR__RUNS__INIT;
	Mr__Hello first = hello();

	(void)state;
	fuzz_seed();
	runs[0] = runs[1] = &run;
	counters[0] = counters[1] = &counter;
	counter.group = (char *)"group";
	counter.name = (char *)"name";
	run.id = &id;
	run.node = (char *)"node";
	run.path = (char *)"/a/run";
	grant.id = done.id = failed.id = page.id = &id;
	grant.path = (char *)"input";
	grant.skip = skip;
	grant.n_skip = 3;
	done.run = &run;
	done.totals = &totals;
	done.counters = counters;
	done.n_counters = 2;
	done.keys = keys;
	done.n_keys = 2;
	failed.message = (char *)"why";
	failed.log = (char *)"line\n";
	failed.bad_runs = ids;
	failed.n_bad_runs = 2;
	page.runs = runs;
	page.n_runs = 2;
	damage(MR_RPC(HELLO, hello, &first));
	damage(MR_RPC(GRANT, grant, &grant));
	damage(MR_RPC(DONE, done, &done));
	damage(MR_RPC(FAILED, failed, &failed));
	damage(MR_RPC(RUNS, runs, &page));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_publish),
		cmocka_unit_test(test_runs),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
