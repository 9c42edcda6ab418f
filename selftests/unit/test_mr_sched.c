// SPDX-License-Identifier: GPL-2.0
/*
 * The scheduler's rules, one by one, and whole jobs by chance.
 *
 * Sources: mapreduce/coordinator/sched.c selftests/unit/fuzz.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/sched.h"
#include "fuzz.h"

#define SEC	1000000000ull
#define TIMEOUT	(10 * SEC)

static struct mr_sched *sched(struct mr_sched_config config, uint32_t maps, uint32_t reduces)
{
	struct mr_sched *s;

	config.timeout_ns = TIMEOUT;
	assert_int_equal(mr_sched_create(&config, &s), 0);
	assert_int_equal(mr_sched_add_tasks(s, MR_KIND_MAP, maps), 0);
	assert_int_equal(mr_sched_add_tasks(s, MR_KIND_REDUCE, reduces), 0);
	return s;
}

static uint32_t worker(struct mr_sched *s, uint32_t node, uint64_t now)
{
	uint32_t w;

	assert_int_equal(mr_sched_worker_add(s, node, &w), 0);
	mr_sched_worker_ready(s, w, now);
	return w;
}

static void expect(struct mr_sched *s, uint64_t now, enum mr_decision_type type, enum mr_kind kind, uint32_t task,
		   uint32_t who)
{
	struct mr_decision d;

	assert_true(mr_sched_next(s, now, &d));
	assert_int_equal(d.type, type);
	assert_int_equal(d.kind, kind);
	assert_int_equal(d.task, task);
	assert_int_equal(d.worker, who);
}

static void expect_nothing(struct mr_sched *s, uint64_t now)
{
	struct mr_decision d;

	assert_false(mr_sched_next(s, now, &d));
}

static void finish(struct mr_sched *s, enum mr_kind kind, uint32_t task, uint32_t who, uint64_t now)
{
	assert_true(mr_sched_done(s, kind, task, who, now));
	mr_sched_worker_ready(s, who, now);
}

static void test_order(void **state)
{
	struct mr_sched *s = sched((struct mr_sched_config) { 0 }, 2, 1);
	uint32_t a = worker(s, 0, 0), b = worker(s, 0, 0);

	(void)state;
	expect(s, 0, MR_DECISION_GRANT, MR_KIND_MAP, 0, a);
	expect(s, 0, MR_DECISION_GRANT, MR_KIND_MAP, 1, b);
	expect_nothing(s, 0);
	finish(s, MR_KIND_MAP, 0, a, SEC);
	/* Reduces wait for all maps. */
	expect_nothing(s, SEC);
	finish(s, MR_KIND_MAP, 1, b, SEC);
	expect(s, SEC, MR_DECISION_GRANT, MR_KIND_REDUCE, 0, a);
	expect_nothing(s, SEC);
	finish(s, MR_KIND_REDUCE, 0, a, 2 * SEC);
	assert_true(mr_sched_all_done(s, MR_KIND_REDUCE));
	assert_false(mr_sched_done(s, MR_KIND_REDUCE, 0, b, 2 * SEC));
	mr_sched_destroy(s);
}

static void test_timeout(void **state)
{
	struct mr_sched *s = sched((struct mr_sched_config) { 0 }, 3, 0);
	uint32_t a = worker(s, 0, 0), b;

	(void)state;
	expect(s, 0, MR_DECISION_GRANT, MR_KIND_MAP, 0, a);
	b = worker(s, 0, 0);
	/* Fresh ones first, however late it is. */
	expect(s, TIMEOUT * 2, MR_DECISION_GRANT, MR_KIND_MAP, 1, b);
	finish(s, MR_KIND_MAP, 1, b, TIMEOUT * 2);
	expect(s, TIMEOUT * 2, MR_DECISION_GRANT, MR_KIND_MAP, 2, b);
	finish(s, MR_KIND_MAP, 2, b, TIMEOUT * 2);
	expect(s, TIMEOUT * 2, MR_DECISION_GRANT, MR_KIND_MAP, 0, b);
	expect_nothing(s, TIMEOUT * 2);
	/* The second one wins, the first is cancelled. */
	finish(s, MR_KIND_MAP, 0, b, TIMEOUT * 2);
	expect(s, TIMEOUT * 2, MR_DECISION_CANCEL, MR_KIND_MAP, 0, a);
	expect_nothing(s, TIMEOUT * 2);
	mr_sched_destroy(s);
}

static void test_not_before(void **state)
{
	struct mr_sched *s = sched((struct mr_sched_config) { 0 }, 1, 0);
	uint32_t a = worker(s, 0, 5), b;

	(void)state;
	expect(s, 5, MR_DECISION_GRANT, MR_KIND_MAP, 0, a);
	b = worker(s, 0, 6);
	expect_nothing(s, TIMEOUT + 4);
	assert_int_equal(mr_sched_deadline(s, TIMEOUT + 4), TIMEOUT + 5);
	expect(s, TIMEOUT + 5, MR_DECISION_GRANT, MR_KIND_MAP, 0, b);
	/* A third one only after another time-out. */
	worker(s, 0, TIMEOUT + 6);
	expect_nothing(s, TIMEOUT * 2 + 4);
	mr_sched_destroy(s);
}

static void test_gone(void **state)
{
	struct mr_sched *s = sched((struct mr_sched_config) { 0 }, 1, 0);
	uint32_t a = worker(s, 0, 0), b;

	(void)state;
	expect(s, 0, MR_DECISION_GRANT, MR_KIND_MAP, 0, a);
	b = worker(s, 0, 1);
	expect_nothing(s, 1);
	mr_sched_worker_gone(s, a, 2);
	expect(s, 2, MR_DECISION_GRANT, MR_KIND_MAP, 0, b);
	mr_sched_destroy(s);
}

static void test_locality(void **state)
{
	struct mr_sched *s = sched((struct mr_sched_config) { 0 }, 4, 0);
	uint32_t a, b;

	(void)state;
	mr_sched_prefer(s, 2, 7);
	mr_sched_prefer(s, 0, 8);
	a = worker(s, 7, 0);
	expect(s, 0, MR_DECISION_GRANT, MR_KIND_MAP, 2, a);
	b = worker(s, 9, 0);
	/* Without one of its own any will do. */
	expect(s, 0, MR_DECISION_GRANT, MR_KIND_MAP, 1, b);
	mr_sched_worker_gone(s, a, 1);
	a = worker(s, 7, 1);
	expect(s, 1, MR_DECISION_GRANT, MR_KIND_MAP, 2, a);
	mr_sched_destroy(s);
}

static void test_backup(void **state)
{
	struct mr_sched *s = sched((struct mr_sched_config) { .backup = true }, 2, 0);
	struct mr_sched *off = sched((struct mr_sched_config) { 0 }, 2, 0);
	struct mr_sched *both[] = { s, off };
	uint32_t a = 0, b = 0;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		a = worker(both[i], 0, 0);
		b = worker(both[i], 0, 0);
		expect(both[i], 0, MR_DECISION_GRANT, MR_KIND_MAP, 0, a);
		expect(both[i], 0, MR_DECISION_GRANT, MR_KIND_MAP, 1, b);
		finish(both[i], MR_KIND_MAP, 0, a, 2 * SEC);
		expect_nothing(both[i], 2 * SEC);
	}
	/* Half as long again as the mean. */
	assert_int_equal(mr_sched_deadline(s, 2 * SEC), 3 * SEC);
	assert_int_equal(mr_sched_deadline(off, 2 * SEC), TIMEOUT);
	expect_nothing(off, 3 * SEC);
	expect(s, 3 * SEC, MR_DECISION_GRANT, MR_KIND_MAP, 1, a);
	finish(s, MR_KIND_MAP, 1, a, 4 * SEC);
	expect(s, 4 * SEC, MR_DECISION_CANCEL, MR_KIND_MAP, 1, b);
	mr_sched_destroy(s);
	mr_sched_destroy(off);
}

/* Has the task fail @times; the job's end is expected with the last one, or not at all. */
static void failures(enum mr_fault fault, uint32_t attempts_max, unsigned int times, bool ends)
{
	struct mr_sched *s = sched((struct mr_sched_config) { .attempts_max = attempts_max }, 1, 0);
	uint32_t a = worker(s, 0, 0);
	struct mr_decision d;
	uint64_t now = 0;
	unsigned int i;

	for (i = 0; i < times; i++) {
		now += MR_REST_MAX_NS;
		assert_true(mr_sched_next(s, now, &d));
		assert_int_equal(d.type, MR_DECISION_GRANT);
		assert_int_equal(d.attempt, i);
		mr_sched_failed(s, a, fault, i, now);
		mr_sched_worker_ready(s, a, now);
	}
	now += MR_REST_MAX_NS;
	assert_true(mr_sched_next(s, now, &d));
	assert_int_equal(d.type, ends ? MR_DECISION_FAIL : MR_DECISION_GRANT);
	mr_sched_destroy(s);
}

static void test_limits(void **state)
{
	(void)state;
	failures(MR_FAULT_USER, 4, 4, true);
	failures(MR_FAULT_USER, 4, 3, false);
	failures(MR_FAULT_USER, 0, 100, false);
	failures(MR_FAULT_NONE, 1, 100, false);
	failures(MR_FAULT_INPUT, 0, MR_INPUT_FAILURES_MAX, true);
	failures(MR_FAULT_SYSTEM, 0, MR_SYSTEM_FAILURES_MAX, true);
	failures(MR_FAULT_SYSTEM, 0, MR_SYSTEM_FAILURES_MAX - 1, false);
}

static void test_skip(void **state)
{
	struct mr_sched *s = sched((struct mr_sched_config) { .attempts_max = 3, .skip_max = 1 }, 1, 0);
	uint32_t a = worker(s, 0, 0);

	(void)state;
	expect(s, 0, MR_DECISION_GRANT, MR_KIND_MAP, 0, a);
	assert_false(mr_sched_failed(s, a, MR_FAULT_USER, 17, 0));
	mr_sched_worker_ready(s, a, 0);
	expect(s, SEC, MR_DECISION_GRANT, MR_KIND_MAP, 0, a);
	assert_true(mr_sched_failed(s, a, MR_FAULT_USER, 17, SEC));
	/* One is allowed in the job; failures begin to count anew. */
	mr_sched_worker_ready(s, a, SEC);
	expect(s, 2 * SEC, MR_DECISION_GRANT, MR_KIND_MAP, 0, a);
	assert_false(mr_sched_failed(s, a, MR_FAULT_USER, 30, 2 * SEC));
	mr_sched_worker_ready(s, a, 2 * SEC);
	expect(s, 3 * SEC, MR_DECISION_GRANT, MR_KIND_MAP, 0, a);
	assert_false(mr_sched_failed(s, a, MR_FAULT_USER, 30, 3 * SEC));
	mr_sched_destroy(s);
}

static void test_commit(void **state)
{
	struct mr_sched *s = sched((struct mr_sched_config) { 0 }, 1, 0);
	uint32_t a = worker(s, 0, 0), b, c;

	(void)state;
	expect(s, 0, MR_DECISION_GRANT, MR_KIND_MAP, 0, a);
	b = worker(s, 0, 0);
	expect(s, TIMEOUT, MR_DECISION_GRANT, MR_KIND_MAP, 0, b);
	assert_true(mr_sched_commit(s, MR_KIND_MAP, 0, a, TIMEOUT));
	assert_true(mr_sched_commit(s, MR_KIND_MAP, 0, a, TIMEOUT));
	assert_false(mr_sched_commit(s, MR_KIND_MAP, 0, b, TIMEOUT + 1));
	/* It has had its time, or is gone. */
	assert_true(mr_sched_commit(s, MR_KIND_MAP, 0, b, TIMEOUT * 2));
	mr_sched_worker_gone(s, b, TIMEOUT * 2);
	c = worker(s, 0, TIMEOUT * 2);
	assert_true(mr_sched_commit(s, MR_KIND_MAP, 0, c, TIMEOUT * 2 + 1));
	assert_true(mr_sched_done(s, MR_KIND_MAP, 0, c, TIMEOUT * 2 + 2));
	assert_false(mr_sched_commit(s, MR_KIND_MAP, 0, a, TIMEOUT * 9));
	mr_sched_destroy(s);
}

static void test_lost_outputs(void **state)
{
	struct mr_sched *s = sched((struct mr_sched_config) { 0 }, 2, 1);
	uint32_t a = worker(s, 1, 0), b = worker(s, 2, 0);
	unsigned int i;

	(void)state;
	expect(s, 0, MR_DECISION_GRANT, MR_KIND_MAP, 0, a);
	expect(s, 0, MR_DECISION_GRANT, MR_KIND_MAP, 1, b);
	finish(s, MR_KIND_MAP, 0, a, 1);
	finish(s, MR_KIND_MAP, 1, b, 1);
	expect(s, 1, MR_DECISION_GRANT, MR_KIND_REDUCE, 0, a);
	mr_sched_node_lost(s, 2, 2);
	assert_true(mr_sched_is_done(s, MR_KIND_MAP, 0));
	assert_false(mr_sched_is_done(s, MR_KIND_MAP, 1));
	expect(s, 2, MR_DECISION_GRANT, MR_KIND_MAP, 1, b);
	finish(s, MR_KIND_MAP, 1, b, 3);
	for (i = 1; i < MR_FETCH_FAILURES_MAX; i++)
		assert_false(mr_sched_fetch_failed(s, 0, 4));
	assert_true(mr_sched_fetch_failed(s, 0, 4));
	expect(s, 4, MR_DECISION_GRANT, MR_KIND_MAP, 0, b);
	finish(s, MR_KIND_MAP, 0, b, 5);
	finish(s, MR_KIND_REDUCE, 0, a, 6);
	/* Nobody needs them any more. */
	mr_sched_node_lost(s, 2, 7);
	assert_true(mr_sched_all_done(s, MR_KIND_MAP));
	mr_sched_destroy(s);
}

/* Reduces that wait for maps leave room for one that is lost. */
static void test_overlap(void **state)
{
	struct mr_sched *s = sched((struct mr_sched_config) { .overlap = true }, 20, 2);
	uint32_t w[2], i;
	struct mr_decision d;

	(void)state;
	w[0] = worker(s, 0, 0);
	for (i = 0; i < 19; i++) {
		expect(s, 0, MR_DECISION_GRANT, MR_KIND_MAP, i, w[0]);
		finish(s, MR_KIND_MAP, i, w[0], 0);
	}
	expect(s, 0, MR_DECISION_GRANT, MR_KIND_MAP, 19, w[0]);
	w[1] = worker(s, 0, 0);
	expect(s, 0, MR_DECISION_GRANT, MR_KIND_REDUCE, 0, w[1]);
	mr_sched_worker_gone(s, w[0], 1);
	expect(s, 1, MR_DECISION_CANCEL, MR_KIND_REDUCE, 0, w[1]);
	expect_nothing(s, 1);
	mr_sched_failed(s, w[1], MR_FAULT_NONE, 0, 1);
	mr_sched_worker_ready(s, w[1], 1);
	expect(s, 1, MR_DECISION_GRANT, MR_KIND_MAP, 19, w[1]);
	finish(s, MR_KIND_MAP, 19, w[1], 2);
	assert_true(mr_sched_next(s, 2, &d));
	assert_int_equal(d.kind, MR_KIND_REDUCE);
	mr_sched_destroy(s);
}

/* ---- whole jobs by chance ---- */

#define WORKERS		8

struct model {
	struct mr_sched *s;
	uint64_t now;
	bool up[WORKERS];
	uint32_t slot[WORKERS];
	bool busy[WORKERS];
	bool cancelled[WORKERS];
	struct mr_decision has[WORKERS];
	uint32_t done[2];
};

static unsigned int by_slot(const struct model *m, uint32_t slot)
{
	unsigned int i;

	for (i = 0; i < WORKERS; i++) {
		if (m->up[i] && m->slot[i] == slot)
			return i;
	}
	fail_msg("a decision for worker %u, who is not there", slot);
	return 0;
}

static void decide(struct model *m)
{
	struct mr_decision d;
	unsigned int i;

	while (mr_sched_next(m->s, m->now, &d)) {
		assert_int_not_equal(d.type, MR_DECISION_FAIL);
		i = by_slot(m, d.worker);
		if (d.type == MR_DECISION_CANCEL) {
			assert_true(m->busy[i]);
			m->cancelled[i] = true;
			continue;
		}
		assert_false(m->busy[i]);
		assert_false(mr_sched_is_done(m->s, d.kind, d.task));
		m->busy[i] = true;
		m->cancelled[i] = false;
		m->has[i] = d;
	}
}

static void step(struct model *m)
{
	unsigned int i = (unsigned int)(fuzz_random() % WORKERS), what = (unsigned int)(fuzz_random() % 100);
	enum mr_fault faults[] = { MR_FAULT_NONE, MR_FAULT_USER };

	m->now += fuzz_random() % SEC;
	if (!m->up[i]) {
		assert_int_equal(mr_sched_worker_add(m->s, i % 3, &m->slot[i]), 0);
		m->up[i] = true;
		m->busy[i] = false;
		mr_sched_worker_ready(m->s, m->slot[i], m->now);
	} else if (what < 5) {
		mr_sched_worker_gone(m->s, m->slot[i], m->now);
		m->up[i] = false;
	} else if (m->busy[i] && what < 15) {
		mr_sched_failed(m->s, m->slot[i], faults[what & 1], UINT64_MAX, m->now);
		mr_sched_worker_ready(m->s, m->slot[i], m->now);
		m->busy[i] = false;
	} else if (m->busy[i] && what < 70) {
		if (mr_sched_commit(m->s, m->has[i].kind, m->has[i].task, m->slot[i], m->now))
			mr_sched_done(m->s, m->has[i].kind, m->has[i].task, m->slot[i], m->now);
		mr_sched_worker_ready(m->s, m->slot[i], m->now);
		m->busy[i] = false;
	} else if (what == 99) {
		mr_sched_node_lost(m->s, i % 3, m->now);
	}
}

static void check(struct model *m)
{
	struct mr_sched_count n;
	unsigned int i, k, idle = 0;

	for (k = 0; k < 2; k++) {
		mr_sched_count(m->s, k, &n);
		assert_int_equal(n.total, n.idle + n.running + n.done);
	}
	for (i = 0; i < WORKERS; i++)
		idle += m->up[i] && !m->busy[i];
	/* Nobody idles for ever while there is something to do. */
	if (idle && !mr_sched_all_done(m->s, MR_KIND_REDUCE))
		assert_true(mr_sched_deadline(m->s, m->now) != UINT64_MAX);
}

static void test_chance(void **state)
{
	unsigned int round, steps;

	(void)state;
	fuzz_seed();
	for (round = 0; round < fuzz_rounds(300); round++) {
		struct mr_sched_config config = {
			.backup = fuzz_random() & 1, .overlap = fuzz_random() & 1, .timeout_ns = TIMEOUT,
		};
		struct model m = { 0 };

		m.s = sched(config, 1 + (uint32_t)(fuzz_random() % 50), 1 + (uint32_t)(fuzz_random() % 10));
		for (steps = 0; !mr_sched_all_done(m.s, MR_KIND_REDUCE); steps++) {
			assert_true(steps < 100000);
			step(&m);
			decide(&m);
			check(&m);
		}
		mr_sched_destroy(m.s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_not_before),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_locality),
		cmocka_unit_test(test_backup),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_skip),
		cmocka_unit_test(test_commit),
		cmocka_unit_test(test_lost_outputs),
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_chance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
