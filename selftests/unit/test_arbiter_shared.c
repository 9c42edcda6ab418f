// SPDX-License-Identifier: GPL-2.0
/*
 * The arbiter's back end "file", a thread over a shared folder: requests, races,
 * storage that hangs, folders that are lost, replaced or put back from a copy.
 *
 * LOCKSTEP_SEED repeats what is random.
 *
 * Sources: daemon/arbiter/backend.c daemon/arbiter/client.c daemon/arbiter/folder.c daemon/arbiter/image.c
 * Sources: daemon/arbiter/record.c daemon/arbiter/rules.c daemon/arbiter/shared.c
 * Sources: daemon/arbiter/wire.c daemon/transport daemon/common
 * Sources: selftests/unit/arbiter_fixture.c selftests/unit/folder_fixture.c
 * Sources: selftests/unit/fuzz.c
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "arbiter/shared.h"
#include "arbiter_fixture.h"
#include "common/log.h"
#include "folder_fixture.h"
#include "fuzz.h"

#define MS	10000

static struct lockstep_arbiter *arb_a, *arb_b;

/* Where a's thread stops until something is written to hold[1]. */
static _Atomic int hang_at = -1;
static _Atomic int hanging;
static int hold[2];
static _Atomic unsigned int jitter;	/* 0, or where the waits of both begin */

static void jitter_wait(void)
{
	unsigned int n = jitter += 0x9e3779b9U;

	n = (n ^ n >> 15) * 0x85ebca6bU;
	usleep((n ^ n >> 13) % 64);
}

/* Called on the threads of both; @arg is a's only. */
static int on_step(unsigned int step, void *arg)
{
	char c;

	if (jitter)
		jitter_wait();
	if (!arg || (int)step != hang_at)
		return 0;
	hanging = 1;
	while (read(hold[0], &c, 1) != 1)
		;
	hanging = 0;
	return 0;
}

static struct lockstep_arbiter *backend(const char *node)
{
	struct lockstep_arbiter_file_config cfg = {
		.loop = afx_base, .name = "arbiter", .node = node, .dir = ffx_dir,
		.boot_id = { { 9 } }, .step = on_step, .arg = node[0] == 'a' ? hold : NULL,
	};
	struct lockstep_arbiter *arb;

	assert_int_equal(lockstep_arbiter_file_create(&cfg, &arb), 0);
	assert_string_equal(arb->ops->name, "file");
	return arb;
}

static int group_setup(void **state)
{
	(void)state;
	lockstep_log_init("test", LOCKSTEP_LOG_ERR, false);
	fuzz_seed();
	afx_base = event_base_new();
	return afx_base && !pipe(hold) ? ffx_init() : -1;
}

static int group_teardown(void **state)
{
	(void)state;
	ffx_exit();
	event_base_free(afx_base);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	ffx_next();
	arb_a = backend("a");
	arb_b = backend("b");
	hang_at = -1;
	jitter = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	hang_at = -1;
	if (hanging)
		assert_int_equal(write(hold[1], "x", 1), 1);
	if (arb_a)
		arb_a->ops->destroy(arb_a);
	if (arb_b)
		arb_b->ops->destroy(arb_b);
	return 0;
}

/* --- through the interface -------------------------------------------------- */

static void test_rules(void **state)
{
	struct afx_answer an;

	(void)state;
	afx_check_rules(arb_a, arb_b);
	an = afx_probe(arb_b, MS);
	assert_true(an.has_info);
	/* It is on this host: lockstepd refuses that by the boot. */
	assert_int_equal(an.info.boot_id.b[0], 9);
}

static void test_races(void **state)
{
	(void)state;
	jitter = (unsigned int)fuzz_random() | 1;
	afx_check_races(arb_a, arb_b, 1000);
	afx_check_close_races(arb_a, arb_b, 300);
}

/* --- storage that hangs ------------------------------------------------------- */

static void until(_Atomic int *what, int value)
{
	uint64_t end = afx_now_ms() + AFX_PATIENCE_MS;

	while (*what != value) {
		if (afx_now_ms() > end)
			fail_msg("a thread is not where it should be");
		afx_run_ms(2);
	}
}

/* a hangs before a step; b goes on meanwhile; then a gets through after all. */
static void hang(int step)
{
	bool made = step > LOCKSTEP_FOLDER_LINK;
	struct lockstep_uuid vm = afx_formed(arb_b);
	struct afx_answer x, y, queued;
	uint64_t begin = afx_now_ms();

	hang_at = step;
	afx_claim_start(arb_a, &vm, 1, "a", 1, 100, &x);
	until(&hanging, 1);
	afx_claim_start(arb_a, &vm, 1, "a", 1, 100, &queued);
	afx_wait(&x.done);
	afx_wait(&queued.done);
	/* The loop went on, and the limit was kept. */
	assert_true(afx_now_ms() - begin < 5000);
	assert_int_equal(x.result, LOCKSTEP_ARBITER_UNKNOWN);
	assert_int_equal(x.maybe_done, made);
	assert_int_equal(queued.result, LOCKSTEP_ARBITER_UNKNOWN);
	assert_false(queued.maybe_done);
	y = afx_claim(arb_b, &vm, 1, "b", 2, MS);
	assert_int_equal(y.result, made ? LOCKSTEP_ARBITER_LOST : LOCKSTEP_ARBITER_WON);
	hang_at = -1;
	assert_int_equal(write(hold[1], "x", 1), 1);
	/* What came too late is not reported; asking again tells. */
	x = afx_claim(arb_a, &vm, 1, "a", 1, MS);
	assert_int_equal(x.result, made ? LOCKSTEP_ARBITER_WON : LOCKSTEP_ARBITER_LOST);
	y = afx_claim(arb_b, &vm, 1, "b", 2, MS);
	assert_int_equal(y.result, made ? LOCKSTEP_ARBITER_LOST : LOCKSTEP_ARBITER_WON);
}

static void test_hangs(void **state)
{
	int step;

	(void)state;
	for (step = 0; step < LOCKSTEP_FOLDER_DONE; step++)
		hang(step);
}

/* A claim that was given up does not come about when the storage is back. */
static void test_given_up(void **state)
{
	struct lockstep_uuid vm = afx_formed(arb_a);
	struct afx_answer x;

	(void)state;
	hang_at = LOCKSTEP_FOLDER_LINK;
	x = afx_claim(arb_a, &vm, 1, "a", 1, 100);
	assert_int_equal(x.result, LOCKSTEP_ARBITER_UNKNOWN);
	assert_false(x.maybe_done);
	until(&hanging, 1);
	hang_at = -1;
	assert_int_equal(write(hold[1], "x", 1), 1);
	assert_true(afx_probe(arb_a, MS).has_info);	/* behind it in the queue */
	assert_int_equal(afx_get(arb_b, &vm, 1, LOCKSTEP_RECORD_WON, MS).result,
			 LOCKSTEP_ARBITER_ABSENT);
}

/* Destroyed while its thread hangs: it returns, and nobody is called any more. */
static void test_destroy_hanging(void **state)
{
	struct lockstep_uuid vm = afx_formed(arb_a);
	struct afx_answer x, y;

	(void)state;
	hang_at = LOCKSTEP_FOLDER_BACK;
	afx_claim_start(arb_a, &vm, 1, "a", 1, MS, &x);
	afx_claim_start(arb_a, &vm, 1, "a", 1, MS, &y);
	until(&hanging, 1);
	arb_a->ops->destroy(arb_a);
	arb_a = NULL;
	hang_at = -1;
	assert_int_equal(write(hold[1], "x", 1), 1);
	until(&hanging, 0);
	afx_run_ms(50);
	assert_false(x.done);
	assert_false(y.done);
	assert_int_equal(afx_claim(arb_b, &vm, 1, "b", 2, MS).result, LOCKSTEP_ARBITER_LOST);
}

/* Without any help of the code: open() of a FIFO waits for a writer. */
static void test_open_hangs(void **state)
{
	struct lockstep_uuid vm = afx_guest(), other = afx_formed(arb_b);
	char text[LOCKSTEP_UUID_STRLEN + 1];
	struct afx_answer an;
	int fd;

	(void)state;
	ffx_run("mkdir %s/%s", ffx_dir, lockstep_uuid_format(&vm, text));
	assert_int_equal(mkfifo(ffx_entry(&vm, 1), 0600), 0);
	an = afx_get(arb_a, &vm, 1, LOCKSTEP_RECORD_WON, 100);
	assert_int_equal(an.result, LOCKSTEP_ARBITER_UNKNOWN);
	an = afx_claim(arb_a, &other, 1, "a", 1, 100);
	assert_int_equal(an.result, LOCKSTEP_ARBITER_UNKNOWN);
	assert_false(an.maybe_done);
	assert_int_equal(afx_claim(arb_b, &other, 1, "b", 2, MS).result, LOCKSTEP_ARBITER_WON);
	fd = open(ffx_entry(&vm, 1), O_WRONLY | O_NONBLOCK);
	assert_true(fd >= 0);
	unlink(ffx_entry(&vm, 1));
	close(fd);
	assert_int_equal(afx_claim(arb_a, &other, 1, "a", 1, MS).result, LOCKSTEP_ARBITER_LOST);
	assert_int_equal(afx_get(arb_a, &vm, 1, LOCKSTEP_RECORD_WON, MS).result,
			 LOCKSTEP_ARBITER_ABSENT);
}

/* --- another folder than it was ------------------------------------------------ */

static void assert_refused(struct lockstep_arbiter *arb, const struct lockstep_uuid *vm)
{
	struct afx_answer an = afx_claim(arb, vm, 1, arb == arb_a ? "a" : "b",
					 arb == arb_a ? 1 : 2, MS);

	if (an.result != LOCKSTEP_ARBITER_REFUSED)
		fail_msg("%s: %s", lockstep_arbiter_result_name(an.result), an.detail);
	assert_int_equal(an.refusal, LOCKSTEP_REFUSAL_OTHER_STORE);
}

/* Put back from a copy, it is refused, also by a daemon that never saw it before. */
static void test_copy(void **state)
{
	struct lockstep_uuid vm = afx_formed(arb_a);
	struct lockstep_folder *f;
	struct afx_answer an;

	(void)state;
	ffx_run("cp -a %s %s.old", ffx_dir, ffx_dir);
	assert_int_equal(afx_claim(arb_a, &vm, 1, "a", 1, MS).result, LOCKSTEP_ARBITER_WON);
	ffx_run("mv %s %s.new && mv %s.old %s", ffx_dir, ffx_dir, ffx_dir, ffx_dir);
	assert_refused(arb_b, &vm);
	f = ffx_folder("b");
	assert_int_equal(ffx_claim(f, &vm, 1, "b", 2), 1);
	assert_non_null(strstr(lockstep_folder_detail(f), "restore"));
	lockstep_folder_close(f);
	assert_int_equal(afx_probe(arb_b, MS).result, LOCKSTEP_ARBITER_REFUSED);

	/* An operator says so: it serves again, and old generations are nobody's. */
	ffx_mint(true);
	an = afx_probe(arb_b, MS);
	assert_true(an.has_info);
	assert_refused(arb_b, &vm);
	assert_refused(arb_a, &vm);
	vm = afx_formed(arb_b);
	assert_int_equal(afx_claim(arb_b, &vm, 1, "b", 2, MS).result, LOCKSTEP_ARBITER_WON);
}

/* A snapshot of the storage has the same inodes: what was seen before tells. */
static void test_rolled_back(void **state)
{
	struct lockstep_uuid vm = afx_formed(arb_a);
	struct lockstep_folder *f;
	char kept[256];

	(void)state;
	assert_int_equal(afx_claim(arb_a, &vm, 1, "a", 1, MS).result, LOCKSTEP_ARBITER_WON);
	assert_int_equal(afx_claim(arb_b, &vm, 1, "b", 2, MS).result, LOCKSTEP_ARBITER_LOST);
	snprintf(kept, sizeof(kept), "%s/kept", ffx_top);
	assert_int_equal(rename(ffx_entry(&vm, 2), kept), 0);
	assert_refused(arb_b, &vm);
	/* Another record where one was. */
	f = ffx_folder("b");
	assert_int_equal(ffx_claim(f, &vm, 1, "b", 2), 0);
	assert_int_equal(ffx_verdict.result, LOCKSTEP_ARBITER_WON);
	lockstep_folder_close(f);
	assert_refused(arb_b, &vm);
	assert_refused(arb_a, &vm);
	assert_int_equal(unlink(ffx_entry(&vm, 2)), 0);
	assert_int_equal(rename(kept, ffx_entry(&vm, 2)), 0);
	assert_int_equal(afx_claim(arb_b, &vm, 1, "b", 2, MS).result, LOCKSTEP_ARBITER_LOST);
}

/* Nothing is mounted there: for who saw the store it is gone; nobody makes a new one. */
static void test_lost(void **state)
{
	struct lockstep_uuid vm = afx_formed(arb_a);
	struct lockstep_folder *f;

	(void)state;
	ffx_run("mv %s %s.away && mkdir %s", ffx_dir, ffx_dir, ffx_dir);
	assert_refused(arb_a, &vm);
	f = ffx_folder("b");
	assert_int_equal(ffx_claim(f, &vm, 1, "b", 2), -ENOENT);
	assert_int_equal(lockstep_folder_mint(f, true), -ENOENT);
	ffx_run("rmdir %s", ffx_dir);
	assert_int_equal(afx_claim(arb_a, &vm, 1, "a", 1, MS).result, LOCKSTEP_ARBITER_UNKNOWN);
	/* Another store there: another UUID, so old generations are not known. */
	ffx_run("mkdir %s", ffx_dir);
	ffx_mint(false);
	assert_int_equal(lockstep_folder_mint(f, false), -EEXIST);
	assert_int_equal(afx_claim(arb_a, &vm, 1, "a", 1, MS).refusal, LOCKSTEP_REFUSAL_NO_OPEN);
	ffx_run("rm -r %s && mv %s.away %s", ffx_dir, ffx_dir, ffx_dir);
	assert_int_equal(afx_claim(arb_a, &vm, 1, "a", 1, MS).result, LOCKSTEP_ARBITER_WON);
	lockstep_folder_close(f);
}

/* After a restore an older identity is refused, be its inode right or not. */
static void test_identity_goes_back(void **state)
{
	struct lockstep_uuid vm = afx_formed(arb_a);
	char path[256];

	(void)state;
	ffx_mint(true);
	assert_refused(arb_a, &vm);
	snprintf(path, sizeof(path), "%s/identity.2", ffx_dir);
	assert_int_equal(unlink(path), 0);
	assert_refused(arb_a, &vm);
	assert_int_equal(afx_probe(arb_a, MS).result, LOCKSTEP_ARBITER_REFUSED);
}

int main(void)
{
#define t(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		t(test_rules),
		t(test_races),
		t(test_hangs),
		t(test_given_up),
		t(test_destroy_hanging),
		t(test_open_hangs),
		t(test_copy),
		t(test_rolled_back),
		t(test_lost),
		t(test_identity_goes_back),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
