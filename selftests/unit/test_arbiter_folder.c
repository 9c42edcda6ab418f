// SPDX-License-Identifier: GPL-2.0
/*
 * The arbiter's store in a shared folder: the verdicts of the journal's store,
 * kill -9 before each step, storage that errs, damage.
 *
 * LOCKSTEP_SEED repeats what is random, LOCKSTEP_FUZZ sets rounds.
 *
 * Sources: daemon/arbiter/folder.c daemon/arbiter/image.c daemon/arbiter/journal.c
 * Sources: daemon/arbiter/record.c daemon/arbiter/rules.c daemon/arbiter/store.c
 * Sources: daemon/transport/wire.c daemon/common
 * Sources: selftests/unit/arbiter_fixture.c selftests/unit/folder_fixture.c
 * Sources: selftests/unit/fuzz.c daemon/arbiter/backend.c
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "arbiter/store.h"
#include "arbiter_fixture.h"
#include "common/log.h"
#include "folder_fixture.h"
#include "fuzz.h"

static struct lockstep_folder *fa, *fb;

static int group_setup(void **state)
{
	(void)state;
	lockstep_log_init("test", LOCKSTEP_LOG_ERR, false);
	fuzz_seed();
	return ffx_init();
}

static int group_teardown(void **state)
{
	(void)state;
	ffx_exit();
	return 0;
}

static int setup(void **state)
{
	(void)state;
	ffx_next();
	fa = ffx_folder("a");
	fb = ffx_folder("b");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	lockstep_folder_close(fa);
	lockstep_folder_close(fb);
	return 0;
}

/* --- the same as the journal's store ---------------------------------------- */

struct request {
	enum lockstep_rules_op op;
	const char *node;
	struct lockstep_arbiter_key key;
	struct lockstep_arbiter_open open;
	struct lockstep_arbiter_mark mark;
	uint64_t below;
};

/* Few values each, so that many requests are close to being right. */
static void random_request(struct request *rq, uint64_t newest)
{
	static const char * const nodes[] = { "a", "b", "c" };
	uint64_t r = fuzz_random();
	uint64_t g = newest + (r >> 8) % 3;

	memset(rq, 0, sizeof(*rq));
	rq->op = r % 16 < 7 ? LOCKSTEP_RULES_CREATE : r % 16 < 14 ? LOCKSTEP_RULES_CLAIM :
		 LOCKSTEP_RULES_PRUNE;
	rq->node = nodes[(r >> 16) % 8 ? (r >> 20) & 1 : 2];
	rq->key.vm.b[0] = 1 + ((r >> 24) & 1);
	rq->key.generation = g ? g : 1;
	rq->below = rq->key.generation - (r >> 28) % 3;
	rq->key.kind = rq->op == LOCKSTEP_RULES_CLAIM ? LOCKSTEP_RECORD_WON :
		       (r >> 32) % 3 ? LOCKSTEP_RECORD_OPEN : LOCKSTEP_RECORD_CLOSED;
	rq->open = afx_open_of(&rq->key.vm, rq->key.generation, (r >> 36) % 3,
			       1 + ((r >> 40) & 1), (r >> 44) & 1 ? 3 : 0);
	rq->open.forced = !((r >> 48) % 8);
	rq->mark.generation = rq->key.generation;
	rq->mark.by = afx_member(rq->node, (r >> 52) % 4);
}

static int encode(const struct request *rq, const struct lockstep_uuid *store, uint8_t *buf)
{
	struct lockstep_arbiter_open o = rq->open;

	if (rq->key.kind != LOCKSTEP_RECORD_OPEN)
		return lockstep_arbiter_mark_encode(&rq->mark, buf, LOCKSTEP_ARBITER_VALUE_MAX);
	o.store = *store;
	return lockstep_arbiter_open_encode(&o, buf, LOCKSTEP_ARBITER_VALUE_MAX);
}

static void ask_store(struct lockstep_store *s, const struct request *rq,
		      struct lockstep_verdict *v)
{
	uint8_t buf[LOCKSTEP_ARBITER_VALUE_MAX];
	char key[LOCKSTEP_ARBITER_KEY_MAX];
	int len = encode(rq, lockstep_store_uuid(s), buf), ret;

	lockstep_arbiter_key_format(&rq->key, key);
	if (rq->op == LOCKSTEP_RULES_PRUNE)
		ret = lockstep_store_prune(s, rq->node, &rq->key.vm, rq->below, v);
	else if (rq->op == LOCKSTEP_RULES_CLAIM)
		ret = lockstep_store_claim(s, rq->node, key, buf, (size_t)len, v);
	else
		ret = lockstep_store_create(s, rq->node, key, buf, (size_t)len, v);
	assert_int_equal(ret, 0);
}

/* Whatever is asked: verdicts are those of a lockstep-arbiter. */
static void test_same_as_store(void **state)
{
	unsigned int i, counts[LOCKSTEP_ARBITER_RESULT_MAX + 1] = { 0 };
	uint8_t buf[LOCKSTEP_ARBITER_VALUE_MAX];
	const struct lockstep_image *im;
	struct lockstep_verdict v;
	struct lockstep_store *s;
	char path[128], err[256];
	struct request rq;
	uint64_t newest = 0;
	int len;

	(void)state;
	snprintf(path, sizeof(path), "%s.store", ffx_dir);
	assert_int_equal(lockstep_store_open(path, &s, err, sizeof(err)), 0);
	assert_int_equal(lockstep_folder_identity(fa), 0);
	for (i = 0; i < fuzz_rounds(4000); i++) {
		random_request(&rq, newest);
		len = encode(&rq, lockstep_folder_store(fa), buf);
		if (len < 0)
			continue;
		ask_store(s, &rq, &v);
		if (ffx_put(fuzz_random() & 1 ? fa : fb, rq.op, rq.node, &rq.key, buf, len, rq.below))
			fail_msg("%s; %s", lockstep_folder_detail(fa), lockstep_folder_detail(fb));
		assert_int_equal(ffx_verdict.result, v.result);
		assert_int_equal(ffx_verdict.refusal, v.refusal);
		assert_string_equal(ffx_verdict.detail, v.detail);
		assert_int_equal(!ffx_verdict.existing, !v.existing);
		if (v.existing)
			assert_true(v.existing->key.generation ==
				    ffx_verdict.existing->key.generation &&
				    v.existing->key.kind == ffx_verdict.existing->key.kind);
		counts[v.result]++;
		assert_int_equal(lockstep_folder_load(fb, &rq.key.vm, &im), 0);
		newest = im->count ? im->records[im->count - 1].key.generation : 0;
	}
	print_message("# ok %u, won %u, lost %u, refused %u\n", counts[LOCKSTEP_ARBITER_OK],
		      counts[LOCKSTEP_ARBITER_WON], counts[LOCKSTEP_ARBITER_LOST],
		      counts[LOCKSTEP_ARBITER_REFUSED]);
	assert_true(counts[LOCKSTEP_ARBITER_OK] && counts[LOCKSTEP_ARBITER_WON] &&
		    counts[LOCKSTEP_ARBITER_LOST] && counts[LOCKSTEP_ARBITER_REFUSED]);
	lockstep_store_close(s);
}

/* Generations that nobody prunes do not fill the image up. */
static void test_never_full(void **state)
{
	uint8_t buf[LOCKSTEP_ARBITER_VALUE_MAX];
	struct lockstep_uuid vm = afx_guest();
	struct lockstep_arbiter_open o;
	const struct lockstep_image *im;
	uint64_t g;

	(void)state;
	assert_int_equal(ffx_form(fa, &vm), 0);
	for (g = 1; g < 60; g++) {
		struct lockstep_arbiter_key key = { vm, g + 1, LOCKSTEP_RECORD_OPEN };

		assert_int_equal(ffx_claim(fa, &vm, g, "a", 1), 0);
		assert_int_equal(ffx_verdict.result, LOCKSTEP_ARBITER_WON);
		o = afx_open_of(lockstep_folder_store(fa), g + 1, 1, 1, 2);
		assert_int_equal(ffx_put(fa, LOCKSTEP_RULES_CREATE, "a", &key, buf,
				     lockstep_arbiter_open_encode(&o, buf, sizeof(buf)), 0), 0);
		assert_int_equal(ffx_verdict.result, LOCKSTEP_ARBITER_OK);
	}
	assert_int_equal(lockstep_folder_load(fb, &vm, &im), 0);
	assert_true(im->floor > 1 && im->count > 2);
	assert_int_equal(ffx_claim(fb, &vm, 59, "b", 2), 0);
	assert_int_equal(ffx_verdict.result, LOCKSTEP_ARBITER_LOST);
}

/* --- kill -9 ---------------------------------------------------------------- */

static int die_at(unsigned int step, void *arg)
{
	if ((int)step == *(int *)arg)
		kill(getpid(), SIGKILL);
	return 0;
}

/* A process of node a that dies before a step of what it does. */
static void die(const struct lockstep_uuid *vm, int step, bool forms)
{
	struct lockstep_folder *f;
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (lockstep_folder_open(ffx_dir, "a", die_at, &step, &f))
			_exit(1);
		if (forms)
			ffx_form(f, vm);
		else
			ffx_claim(f, vm, 1, "a", 1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

static unsigned int leftovers(const struct lockstep_uuid *vm)
{
	char text[LOCKSTEP_UUID_STRLEN + 1], path[256];
	unsigned int n = 0;
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "%s/%s", ffx_dir, lockstep_uuid_format(vm, text));
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d)))
		n += e->d_name[0] == '.' && strlen(e->d_name) > 2;
	closedir(d);
	return n;
}

/* Who dies before link() has done nothing, who dies after it has won. */
static void test_killed(void **state)
{
	bool b_first, made;
	struct lockstep_uuid vm;
	int step;

	(void)state;
	for (step = 0; step < __LOCKSTEP_FOLDER_STEP_LAST; step++) {
		made = step > LOCKSTEP_FOLDER_LINK;
		for (b_first = false;; b_first = true) {
			vm = afx_guest();
			assert_int_equal(ffx_form(fb, &vm), 0);
			die(&vm, step, false);
			if (b_first) {
				assert_int_equal(ffx_claim(fb, &vm, 1, "b", 2), 0);
				assert_int_equal(ffx_verdict.result, made ? LOCKSTEP_ARBITER_LOST :
						 LOCKSTEP_ARBITER_WON);
			}
			/* The same instance, by a daemon that was started again. */
			assert_int_equal(ffx_claim(fa, &vm, 1, "a", 1), 0);
			assert_int_equal(ffx_verdict.result, made || !b_first ? LOCKSTEP_ARBITER_WON :
					 LOCKSTEP_ARBITER_LOST);
			assert_int_equal(ffx_claim(fb, &vm, 1, "b", 2), 0);
			assert_int_equal(ffx_verdict.result, made || !b_first ? LOCKSTEP_ARBITER_LOST :
					 LOCKSTEP_ARBITER_WON);
			assert_int_equal(leftovers(&vm), 0);
			if (b_first)
				break;
		}
		/* The first record, with its folder. */
		vm = afx_guest();
		die(&vm, step, true);
		assert_int_equal(ffx_claim(fb, &vm, 1, "b", 2), 0);
		assert_int_equal(ffx_verdict.result, made ? LOCKSTEP_ARBITER_WON :
				 LOCKSTEP_ARBITER_REFUSED);
		assert_int_equal(ffx_form(fa, &vm), 0);
		assert_int_equal(ffx_verdict.result, LOCKSTEP_ARBITER_OK);
	}
}

/* Whole daemons that are killed at any time, while another one claims too. */
static void test_killed_anytime(void **state)
{
	struct lockstep_folder *f;
	struct lockstep_uuid vm;
	unsigned int i, died = 0;
	int status, ours;
	pid_t pid;

	(void)state;
	for (i = 0; i < 200; i++) {
		vm = afx_guest();
		assert_int_equal(ffx_form(fb, &vm), 0);
		pid = fork();
		if (!pid) {
			if (lockstep_folder_open(ffx_dir, "a", NULL, NULL, &f) ||
			    ffx_claim(f, &vm, 1, "a", 1))
				_exit(2);
			_exit(ffx_verdict.result == LOCKSTEP_ARBITER_WON ? 0 : 1);
		}
		usleep((useconds_t)(fuzz_random() % 800));
		kill(pid, SIGKILL);
		assert_int_equal(ffx_claim(fb, &vm, 1, "b", 2), 0);
		ours = ffx_verdict.result == LOCKSTEP_ARBITER_WON;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		died += WIFSIGNALED(status);
		if (WIFEXITED(status))
			assert_int_equal(WEXITSTATUS(status), ours);
		assert_int_equal(ffx_claim(fa, &vm, 1, "a", 1), 0);
		assert_int_equal(ffx_verdict.result, ours ? LOCKSTEP_ARBITER_LOST :
				 LOCKSTEP_ARBITER_WON);
	}
	print_message("# %u of %u died on the way\n", died, i);
}

/* --- storage that errs -------------------------------------------------------- */

static int link_twice(unsigned int step, void *arg)
{
	char text[LOCKSTEP_UUID_STRLEN + 1];

	/* Of a request sent twice the second fails, of what the first did. */
	if (step == LOCKSTEP_FOLDER_LINK)
		ffx_run("cd %s/%s && ln .a.* 2", ffx_dir, lockstep_uuid_format(arg, text));
	return 0;
}

static void test_link_twice(void **state)
{
	struct lockstep_uuid vm = afx_guest();
	struct lockstep_folder *f;

	(void)state;
	assert_int_equal(ffx_form(fa, &vm), 0);
	assert_int_equal(lockstep_folder_open(ffx_dir, "a", link_twice, &vm, &f), 0);
	assert_int_equal(ffx_claim(f, &vm, 1, "a", 1), 0);
	assert_int_equal(ffx_verdict.result, LOCKSTEP_ARBITER_WON);
	assert_string_equal(ffx_verdict.detail, "won");	/* not before: its own link() */
	assert_int_equal(ffx_claim(fb, &vm, 1, "b", 2), 0);
	assert_int_equal(ffx_verdict.result, LOCKSTEP_ARBITER_LOST);
	assert_int_not_equal(access(ffx_entry(&vm, 3), F_OK), 0);
	lockstep_folder_close(f);
}

static int fail_at(unsigned int step, void *arg)
{
	return (int)step == *(int *)arg ? -EIO : 0;
}

/* An error is no answer, and no record either unless link() was passed. */
static void test_errors(void **state)
{
	struct lockstep_folder *f;
	struct lockstep_uuid vm;
	int step;

	(void)state;
	for (step = 0; step < LOCKSTEP_FOLDER_DONE; step++) {
		vm = afx_guest();
		assert_int_equal(ffx_form(fb, &vm), 0);
		assert_int_equal(lockstep_folder_open(ffx_dir, "a", fail_at, &step, &f), 0);
		assert_int_equal(ffx_claim(f, &vm, 1, "a", 1), -EIO);
		assert_string_not_equal(lockstep_folder_detail(f), "");
		assert_int_equal(ffx_claim(fb, &vm, 1, "b", 2), 0);
		assert_int_equal(ffx_verdict.result, step > LOCKSTEP_FOLDER_LINK ?
				 LOCKSTEP_ARBITER_LOST : LOCKSTEP_ARBITER_WON);
		lockstep_folder_close(f);
	}
}

/* A record that does not check is no record, and is not skipped. */
static void test_damage(void **state)
{
	struct lockstep_uuid vm = afx_guest();
	struct stat st;
	uint8_t byte;
	off_t at;
	int fd, i;

	(void)state;
	assert_int_equal(ffx_form(fa, &vm), 0);
	assert_int_equal(ffx_claim(fa, &vm, 1, "a", 1), 0);
	fd = open(ffx_entry(&vm, 2), O_RDWR);
	assert_true(fd >= 0 && !fstat(fd, &st));
	for (i = 0; i < 100; i++) {
		at = (off_t)(fuzz_random() % (uint64_t)st.st_size);
		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= (uint8_t)(1 << i % 8);
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		assert_int_equal(ffx_claim(fb, &vm, 1, "b", 2), -EUCLEAN);
		byte ^= (uint8_t)(1 << i % 8);
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	close(fd);
	assert_int_equal(ffx_claim(fb, &vm, 1, "b", 2), 0);
	assert_int_equal(ffx_verdict.result, LOCKSTEP_ARBITER_LOST);
}

static void check_image(const uint8_t *data, size_t len)
{
	static struct lockstep_image im;

	if (!lockstep_image_decode(data, len, &im))
		assert_true(im.seq && im.count <= LOCKSTEP_IMAGE_RECORDS_MAX);
}

static void test_image_fuzz(void **state)
{
	static uint8_t buf[LOCKSTEP_IMAGE_SIZE_MAX];
	static struct lockstep_image im;
	struct lockstep_uuid vm = afx_guest();
	const struct lockstep_image *now;
	unsigned int i;
	size_t len;

	(void)state;
	assert_int_equal(ffx_form(fa, &vm), 0);
	assert_int_equal(lockstep_folder_load(fa, &vm, &now), 0);
	im = *now;
	len = lockstep_image_encode(&im, buf);
	assert_int_equal(lockstep_image_decode(buf, len, &im), 0);
	for (i = 0; i < fuzz_rounds(20000); i++)
		fuzz_one(buf, len, check_image);
}

int main(void)
{
#define t(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		t(test_same_as_store),
		t(test_never_full),
		t(test_killed),
		t(test_killed_anytime),
		t(test_link_twice),
		t(test_errors),
		t(test_damage),
		t(test_image_fuzz),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
