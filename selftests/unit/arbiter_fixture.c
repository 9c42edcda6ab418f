// SPDX-License-Identifier: GPL-2.0
/* Requests to an arbiter's back end and their answers, for tests. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "arbiter_fixture.h"
#include "common/clock.h"
#include "fuzz.h"

struct event_base *afx_base;
static unsigned int guests;

uint64_t afx_now_ms(void)
{
	return lockstep_clock_ns() / 1000000;
}

static void turn(void)
{
	struct timeval tv = { .tv_usec = 20000 };

	event_base_loopexit(afx_base, &tv);
	event_base_loop(afx_base, EVLOOP_ONCE);
}

void afx_wait(const bool *done)
{
	uint64_t end = afx_now_ms() + AFX_PATIENCE_MS;

	while (!*done) {
		if (afx_now_ms() > end)
			fail_msg("no answer came");
		turn();
	}
}

void afx_run_ms(unsigned int ms)
{
	uint64_t end = afx_now_ms() + ms;

	while (afx_now_ms() < end)
		turn();
}

/* --- requests ------------------------------------------------------------- */

static void on_done(const struct lockstep_arbiter_answer *answer, void *arg)
{
	struct afx_answer *an = arg;

	assert_false(an->done);
	assert_non_null(answer->detail);
	an->done = true;
	an->result = answer->result;
	an->refusal = answer->refusal;
	an->maybe_done = answer->maybe_done;
	an->store = answer->store;
	an->len = answer->len;
	if (answer->len)
		memcpy(an->value, answer->value, answer->len);
	snprintf(an->detail, sizeof(an->detail), "%s", answer->detail);
}

static void on_list(const struct lockstep_arbiter_answer *answer,
		    const struct lockstep_arbiter_entry *entries, size_t count, void *arg)
{
	struct lockstep_arbiter_key key, last = { .generation = 0 };
	struct afx_answer *an = arg;
	size_t i;

	on_done(answer, arg);
	an->count = count;
	for (i = 0; i < count; i++) {
		assert_int_equal(lockstep_arbiter_key_parse(entries[i].key, &key), 0);
		assert_true(entries[i].len > 0);
		/* oldest generation first */
		if (i && lockstep_uuid_equal(&key.vm, &last.vm))
			assert_true(key.generation >= last.generation);
		last = key;
	}
}

static void on_probe(const struct lockstep_arbiter_answer *answer,
		     const struct lockstep_arbiter_info *info, void *arg)
{
	struct afx_answer *an = arg;

	on_done(answer, arg);
	if (info) {
		an->info = *info;
		an->has_info = true;
		assert_string_equal(info->node, "arbiter");
	}
}

struct lockstep_arbiter_member afx_member(const char *node, uint8_t instance)
{
	struct lockstep_arbiter_member m = { 0 };

	strcpy(m.node, node);
	m.boot_id.b[0] = (uint8_t)node[0];
	m.instance.b[0] = instance;
	return m;
}

struct lockstep_uuid afx_guest(void)
{
	struct lockstep_uuid vm = { { 0 } };

	guests++;
	memcpy(vm.b, &guests, sizeof(guests));
	vm.b[15] = 1;
	return vm;
}

struct lockstep_arbiter_open afx_open_of(const struct lockstep_uuid *store, uint64_t g,
					 uint8_t winner, uint8_t i, uint8_t k)
{
	struct lockstep_arbiter_open o = {
		.generation = g,
		.store = *store,
		.members = { afx_member("a", i), afx_member("b", k) },
		.nmembers = k ? 2 : 1,
	};

	o.winner.b[0] = winner;
	if (!k)
		memset(&o.members[1], 0, sizeof(o.members[1]));
	return o;
}

void afx_claim_start(struct lockstep_arbiter *arb, const struct lockstep_uuid *vm, uint64_t g,
		     const char *node, uint8_t instance, unsigned int ms, struct afx_answer *an)
{
	struct lockstep_arbiter_mark m = {
		.generation = g, .by = afx_member(node, instance), .reason = "silence",
	};

	memset(an, 0, sizeof(*an));
	assert_int_equal(lockstep_arbiter_claim(arb, vm, &m, ms, on_done, an), 0);
	assert_false(an->done);			/* never before it returned */
}

struct afx_answer afx_claim(struct lockstep_arbiter *arb, const struct lockstep_uuid *vm,
			    uint64_t g, const char *node, uint8_t instance, unsigned int ms)
{
	struct afx_answer an;

	afx_claim_start(arb, vm, g, node, instance, ms, &an);
	afx_wait(&an.done);
	return an;
}

void afx_open_start(struct lockstep_arbiter *arb, const struct lockstep_uuid *vm,
		    const struct lockstep_arbiter_open *o, unsigned int ms, struct afx_answer *an)
{
	memset(an, 0, sizeof(*an));
	assert_int_equal(lockstep_arbiter_create_open(arb, vm, o, ms, on_done, an), 0);
	assert_false(an->done);			/* never before it returned */
}

struct afx_answer afx_open(struct lockstep_arbiter *arb, const struct lockstep_uuid *vm,
			   const struct lockstep_arbiter_open *o, unsigned int ms)
{
	struct afx_answer an;

	afx_open_start(arb, vm, o, ms, &an);
	afx_wait(&an.done);
	return an;
}

static void close_start(struct lockstep_arbiter *arb, const struct lockstep_uuid *vm, uint64_t g,
			const char *node, uint8_t instance, unsigned int ms,
			struct afx_answer *an)
{
	struct lockstep_arbiter_mark m = {
		.generation = g, .by = afx_member(node, instance), .reason = "power-off",
	};

	memset(an, 0, sizeof(*an));
	assert_int_equal(lockstep_arbiter_create_closed(arb, vm, &m, ms, on_done, an), 0);
}

struct afx_answer afx_close(struct lockstep_arbiter *arb, const struct lockstep_uuid *vm,
			    uint64_t g, const char *node, uint8_t instance, unsigned int ms)
{
	struct afx_answer an;

	close_start(arb, vm, g, node, instance, ms, &an);
	afx_wait(&an.done);
	return an;
}

struct afx_answer afx_get(struct lockstep_arbiter *arb, const struct lockstep_uuid *vm, uint64_t g,
			  enum lockstep_record_kind kind, unsigned int ms)
{
	struct lockstep_arbiter_key key = { *vm, g, kind };
	struct afx_answer an = { 0 };

	assert_int_equal(lockstep_arbiter_get(arb, &key, ms, on_done, &an), 0);
	afx_wait(&an.done);
	return an;
}

struct afx_answer afx_list(struct lockstep_arbiter *arb, const struct lockstep_uuid *vm,
			   unsigned int ms)
{
	struct afx_answer an = { 0 };

	assert_int_equal(arb->ops->list(arb, vm, ms, on_list, &an), 0);
	afx_wait(&an.done);
	return an;
}

struct afx_answer afx_prune(struct lockstep_arbiter *arb, const struct lockstep_uuid *vm,
			    uint64_t below, unsigned int ms)
{
	struct afx_answer an = { 0 };

	assert_int_equal(arb->ops->prune(arb, vm, below, ms, on_done, &an), 0);
	afx_wait(&an.done);
	return an;
}

struct afx_answer afx_probe(struct lockstep_arbiter *arb, unsigned int ms)
{
	struct afx_answer an = { 0 };

	assert_int_equal(arb->ops->probe(arb, ms, on_probe, &an), 0);
	afx_wait(&an.done);
	return an;
}

struct lockstep_uuid afx_formed(struct lockstep_arbiter *arb)
{
	struct lockstep_arbiter_open o;
	struct lockstep_uuid vm = afx_guest();
	struct afx_answer an;

	an = afx_probe(arb, 10000);
	if (!an.has_info)
		fail_msg("no probe: %s", an.detail);
	o = afx_open_of(&an.info.store, 1, 0, 1, 2);
	an = afx_open(arb, &vm, &o, 10000);
	if (an.result != LOCKSTEP_ARBITER_OK)
		fail_msg("not formed: %s", an.detail);
	return vm;
}

/* --- what every back end does --------------------------------------------- */

#define MS	10000

static uint8_t winner(struct lockstep_arbiter *arb, const struct lockstep_uuid *vm, uint64_t g)
{
	struct afx_answer an = afx_get(arb, vm, g, LOCKSTEP_RECORD_WON, MS);
	struct lockstep_arbiter_mark m;

	if (an.result == LOCKSTEP_ARBITER_ABSENT)
		return 0;
	assert_int_equal(an.result, LOCKSTEP_ARBITER_OK);
	assert_int_equal(lockstep_arbiter_mark_decode(an.value, an.len, &m), 0);
	return m.by.instance.b[0];
}

static void check_chain(struct lockstep_arbiter *a, struct lockstep_arbiter *b,
			const struct lockstep_uuid *vm, const struct lockstep_uuid *store)
{
	struct lockstep_arbiter_open o = afx_open_of(store, 2, 1, 1, 3);
	struct afx_answer an;
	uint64_t g;

	an = afx_open(a, vm, &o, MS);		/* by the loser of 1 */
	assert_int_equal(an.refusal, LOCKSTEP_REFUSAL_CHAIN);
	o = afx_open_of(store, 2, 2, 0, 0);
	o.members[0] = afx_member("b", 2);
	an = afx_open(b, vm, &o, MS);
	assert_int_equal(an.result, LOCKSTEP_ARBITER_OK);
	an = afx_open(b, vm, &o, MS);		/* asked again */
	assert_int_equal(an.result, LOCKSTEP_ARBITER_OK);
	an = afx_claim(b, vm, 2, "b", 2, MS);
	assert_int_equal(an.result, LOCKSTEP_ARBITER_WON);
	an = afx_close(b, vm, 2, "b", 2, MS);
	assert_int_equal(an.result, LOCKSTEP_ARBITER_OK);
	/* Cold start by a; an operator's on top of it, which ends it. */
	o = afx_open_of(store, 3, 0, 5, 6);
	assert_int_equal(afx_open(a, vm, &o, MS).result, LOCKSTEP_ARBITER_OK);
	o = afx_open_of(store, 4, 0, 7, 0);
	o.forced = true;
	assert_int_equal(afx_open(a, vm, &o, MS).result, LOCKSTEP_ARBITER_OK);
	an = afx_claim(b, vm, 3, "b", 6, MS);
	assert_int_equal(an.result, LOCKSTEP_ARBITER_LOST);
	assert_int_equal(winner(b, vm, 3), 7);
	assert_int_equal(afx_claim(a, vm, 4, "a", 7, MS).result, LOCKSTEP_ARBITER_WON);
	assert_int_equal(afx_list(b, vm, MS).count, 9);

	/* b is no member of the newest; nor may the two newest go. */
	assert_int_equal(afx_prune(b, vm, 3, MS).refusal, LOCKSTEP_REFUSAL_NOT_MEMBER);
	assert_int_equal(afx_prune(a, vm, 4, MS).refusal, LOCKSTEP_REFUSAL_KEPT);
	for (g = 0; g < 2; g++)
		assert_int_equal(afx_prune(a, vm, 3, MS).result, LOCKSTEP_ARBITER_OK);
	assert_int_equal(afx_list(b, vm, MS).count, 4);
	assert_int_equal(afx_claim(a, vm, 1, "a", 1, MS).refusal, LOCKSTEP_REFUSAL_PRUNED);
	o = afx_open_of(store, 1, 0, 1, 2);
	assert_int_equal(afx_open(a, vm, &o, MS).refusal, LOCKSTEP_REFUSAL_PRUNED);
	assert_int_equal(winner(b, vm, 4), 7);
}

void afx_check_rules(struct lockstep_arbiter *a, struct lockstep_arbiter *b)
{
	struct lockstep_uuid vm = afx_formed(a), other = afx_guest();
	struct lockstep_arbiter_open o;
	struct lockstep_arbiter_mark m;
	struct lockstep_uuid store;
	struct afx_answer an;

	an = afx_get(b, &vm, 1, LOCKSTEP_RECORD_OPEN, MS);
	assert_int_equal(an.result, LOCKSTEP_ARBITER_OK);
	store = an.store;
	assert_false(lockstep_uuid_is_nil(&store));
	assert_int_equal(lockstep_arbiter_open_decode(an.value, an.len, &o), 0);
	assert_string_equal(o.members[1].node, "b");
	assert_int_equal(winner(a, &vm, 1), 0);
	assert_int_equal(afx_get(a, &other, 1, LOCKSTEP_RECORD_OPEN, MS).result,
			 LOCKSTEP_ARBITER_ABSENT);
	assert_int_equal(afx_claim(a, &other, 1, "a", 1, MS).refusal, LOCKSTEP_REFUSAL_NO_OPEN);
	assert_int_equal(afx_claim(a, &vm, 1, "a", 9, MS).refusal, LOCKSTEP_REFUSAL_NOT_MEMBER);
	assert_int_equal(afx_claim(a, &vm, 1, "b", 2, MS).refusal, LOCKSTEP_REFUSAL_NOT_MEMBER);
	an = afx_claim(b, &vm, 1, "b", 2, MS);
	assert_int_equal(an.result, LOCKSTEP_ARBITER_WON);
	assert_true(lockstep_uuid_equal(&an.store, &store));
	assert_int_equal(afx_claim(b, &vm, 1, "b", 2, MS).result, LOCKSTEP_ARBITER_WON);
	an = afx_claim(a, &vm, 1, "a", 1, MS);
	assert_int_equal(an.result, LOCKSTEP_ARBITER_LOST);
	assert_int_equal(lockstep_arbiter_mark_decode(an.value, an.len, &m), 0);
	assert_int_equal(m.by.instance.b[0], 2);
	an = afx_close(a, &vm, 1, "a", 1, MS);
	assert_int_equal(an.result, LOCKSTEP_ARBITER_LOST);
	/* Made for another store: this one was replaced, or that one never was it. */
	o = afx_open_of(&vm, 1, 0, 1, 2);
	assert_int_equal(afx_open(a, &other, &o, MS).refusal, LOCKSTEP_REFUSAL_OTHER_STORE);
	check_chain(a, b, &vm, &store);

	/* A guest that was powered off is nobody's to win. */
	vm = afx_formed(b);
	assert_int_equal(afx_close(a, &vm, 1, "a", 1, MS).result, LOCKSTEP_ARBITER_OK);
	assert_int_equal(afx_claim(b, &vm, 1, "b", 2, MS).refusal, LOCKSTEP_REFUSAL_CLOSED);
	an = afx_list(a, NULL, MS);
	assert_int_equal(an.result, LOCKSTEP_ARBITER_OK);
	assert_true(an.count >= 6);
	assert_int_equal(lockstep_arbiter_get(a, &(struct lockstep_arbiter_key){ vm, 1,
				     LOCKSTEP_RECORD_OPEN }, 1, on_done, &an), -ERANGE);
}

void afx_check_races(struct lockstep_arbiter *a, struct lockstep_arbiter *b, unsigned int n)
{
	unsigned int i, wins_a = 0;
	struct lockstep_uuid vm;
	struct afx_answer x, y;

	for (i = 0; i < n; i++) {
		vm = afx_formed(fuzz_random() & 1 ? a : b);
		if (fuzz_random() & 1) {
			afx_claim_start(a, &vm, 1, "a", 1, MS, &x);
			afx_claim_start(b, &vm, 1, "b", 2, MS, &y);
		} else {
			afx_claim_start(b, &vm, 1, "b", 2, MS, &y);
			afx_claim_start(a, &vm, 1, "a", 1, MS, &x);
		}
		afx_wait(&x.done);
		afx_wait(&y.done);
		assert_true(x.result == LOCKSTEP_ARBITER_WON || x.result == LOCKSTEP_ARBITER_LOST);
		assert_true(y.result == LOCKSTEP_ARBITER_WON || y.result == LOCKSTEP_ARBITER_LOST);
		assert_true((x.result == LOCKSTEP_ARBITER_WON) !=
			    (y.result == LOCKSTEP_ARBITER_WON));
		assert_int_equal(winner(i & 1 ? a : b, &vm, 1),
				 x.result == LOCKSTEP_ARBITER_WON ? 1 : 2);
		wins_a += x.result == LOCKSTEP_ARBITER_WON;
	}
	print_message("# a won %u of %u\n", wins_a, n);
}

/* Until there is an answer. */
struct afx_answer afx_claim_settled(struct lockstep_arbiter *arb, const struct lockstep_uuid *vm,
				    const char *node, uint8_t instance)
{
	struct afx_answer an;

	do {
		an = afx_claim(arb, vm, 1, node, instance, MS);
	} while (an.result == LOCKSTEP_ARBITER_UNKNOWN);
	return an;
}

static void same_answer(enum lockstep_arbiter_result first, enum lockstep_arbiter_result again)
{
	if (first != LOCKSTEP_ARBITER_UNKNOWN)
		assert_int_equal(first, again);
}

void afx_check_killed(struct lockstep_arbiter *a, struct lockstep_arbiter *b, unsigned int n,
		      void (*kill_it)(void), void (*start_it)(void))
{
	enum lockstep_arbiter_result first_x, first_y;
	unsigned int i, unknown = 0;
	struct lockstep_uuid vm;
	struct afx_answer x, y;
	uint64_t end;

	for (i = 0; i < n; i++) {
		vm = afx_formed(a);
		afx_probe(b, MS);		/* b is connected as well */
		afx_claim_start(a, &vm, 1, "a", 1, MS, &x);
		afx_claim_start(b, &vm, 1, "b", 2, MS, &y);
		/* From before the first byte to after the last one. */
		end = lockstep_clock_ns() + fuzz_random() % 25000000;
		while (lockstep_clock_ns() < end)
			event_base_loop(afx_base, EVLOOP_NONBLOCK);
		kill_it();
		afx_wait(&x.done);
		afx_wait(&y.done);
		first_x = x.result;
		first_y = y.result;
		unknown += first_x == LOCKSTEP_ARBITER_UNKNOWN;
		start_it();
		x = afx_claim_settled(a, &vm, "a", 1);
		y = afx_claim_settled(b, &vm, "b", 2);
		assert_true((x.result == LOCKSTEP_ARBITER_WON) !=
			    (y.result == LOCKSTEP_ARBITER_WON));
		same_answer(first_x, x.result);
		same_answer(first_y, y.result);
	}
	print_message("# %u of %u claims had no answer\n", unknown, i);
}

void afx_check_close_races(struct lockstep_arbiter *a, struct lockstep_arbiter *b, unsigned int n)
{
	unsigned int i, closed = 0;
	struct lockstep_uuid vm;
	struct afx_answer x, y;

	for (i = 0; i < n; i++) {
		vm = afx_formed(a);
		if (fuzz_random() & 1) {
			close_start(a, &vm, 1, "a", 1, MS, &x);
			afx_claim_start(b, &vm, 1, "b", 2, MS, &y);
		} else {
			afx_claim_start(b, &vm, 1, "b", 2, MS, &y);
			close_start(a, &vm, 1, "a", 1, MS, &x);
		}
		afx_wait(&x.done);
		afx_wait(&y.done);
		if (x.result == LOCKSTEP_ARBITER_OK) {
			assert_int_equal(y.refusal, LOCKSTEP_REFUSAL_CLOSED);
			closed++;
		} else {
			assert_int_equal(x.result, LOCKSTEP_ARBITER_LOST);
			assert_int_equal(y.result, LOCKSTEP_ARBITER_WON);
		}
		assert_int_equal(afx_list(a, &vm, MS).count, 2);
	}
	print_message("# %u of %u were closed\n", closed, n);
}
