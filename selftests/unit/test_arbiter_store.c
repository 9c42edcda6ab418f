// SPDX-License-Identifier: GPL-2.0
/*
 * The arbiter's records, rules and journal: who may form, win, close and prune
 * a generation; what a journal survives and what it refuses.
 *
 * LOCKSTEP_SEED repeats what is random, LOCKSTEP_FUZZ sets rounds.
 *
 * Sources: daemon/arbiter/store.c daemon/arbiter/rules.c daemon/arbiter/journal.c
 * Sources: daemon/arbiter/record.c
 * Sources: daemon/transport/wire.c daemon/common selftests/unit/fuzz.c
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "arbiter/journal.h"
#include "arbiter/store.h"
#include "common/file.h"
#include "common/log.h"
#include "fuzz.h"

static char dir[32];
static struct lockstep_store *store;
static const struct lockstep_uuid vm = { { 0x11 } };
static unsigned int folder;

static char *store_dir(void)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%u", dir, folder);
	return path;
}

static char *journal_path(void)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%u/journal", dir, folder);
	return path;
}

static void reopen(void)
{
	char err[1024];

	lockstep_store_close(store);
	if (lockstep_store_open(store_dir(), &store, err, sizeof(err)))
		fail_msg("%s", err);
}

static int group_setup(void **state)
{
	(void)state;
	lockstep_log_init("test", LOCKSTEP_LOG_ERR, false);
	fuzz_seed();
	strcpy(dir, "/tmp/lockstep-unit.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int group_teardown(void **state)
{
	char cmd[64];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	return system(cmd);
}

static int setup(void **state)
{
	(void)state;
	folder++;
	store = NULL;
	reopen();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	lockstep_store_close(store);
	store = NULL;
	return 0;
}

/* --- requests ------------------------------------------------------------ */

static struct lockstep_arbiter_member member(const char *node, uint8_t instance)
{
	struct lockstep_arbiter_member m = { 0 };

	strcpy(m.node, node);
	m.boot_id.b[0] = (uint8_t)node[0];
	m.instance.b[0] = instance;
	return m;
}

/* Generation of a's instance @i and b's instance @k; none if @k is 0. */
static struct lockstep_arbiter_open open_of(uint64_t g, uint8_t winner, uint8_t i, uint8_t k)
{
	struct lockstep_arbiter_open o = {
		.generation = g,
		.store = *lockstep_store_uuid(store),
		.members = { member("a", i), member("b", k) },
		.nmembers = k ? 2 : 1,
	};

	o.winner.b[0] = winner;
	return o;
}

static const char *key_of(uint64_t g, enum lockstep_record_kind kind)
{
	static char text[LOCKSTEP_ARBITER_KEY_MAX];
	struct lockstep_arbiter_key key = { vm, g, kind };

	return lockstep_arbiter_key_format(&key, text);
}

static struct lockstep_verdict verdict;

static enum lockstep_arbiter_result do_open_as(const char *node,
					       const struct lockstep_arbiter_open *o)
{
	uint8_t buf[LOCKSTEP_ARBITER_VALUE_MAX];
	int len = lockstep_arbiter_open_encode(o, buf, sizeof(buf));

	assert_true(len > 0);
	assert_int_equal(lockstep_store_create(store, node,
					       key_of(o->generation, LOCKSTEP_RECORD_OPEN), buf,
					       (size_t)len, &verdict), 0);
	return verdict.result;
}

static enum lockstep_arbiter_result do_open(uint64_t g, uint8_t winner, uint8_t i, uint8_t k)
{
	struct lockstep_arbiter_open o = open_of(g, winner, i, k);

	return do_open_as("a", &o);
}

static enum lockstep_arbiter_result do_mark(bool claim, uint64_t g, const char *asker,
					    const struct lockstep_arbiter_member *by)
{
	struct lockstep_arbiter_mark m = { .generation = g, .by = *by, .reason = "test" };
	uint8_t buf[LOCKSTEP_ARBITER_VALUE_MAX];
	int len = lockstep_arbiter_mark_encode(&m, buf, sizeof(buf));

	assert_true(len > 0);
	if (claim)
		assert_int_equal(lockstep_store_claim(store, asker,
						      key_of(g, LOCKSTEP_RECORD_WON), buf,
						      (size_t)len, &verdict), 0);
	else
		assert_int_equal(lockstep_store_create(store, asker,
						       key_of(g, LOCKSTEP_RECORD_CLOSED), buf,
						       (size_t)len, &verdict), 0);
	return verdict.result;
}

static enum lockstep_arbiter_result do_claim(uint64_t g, const char *node, uint8_t instance)
{
	struct lockstep_arbiter_member m = member(node, instance);

	return do_mark(true, g, node, &m);
}

static enum lockstep_arbiter_result do_close(uint64_t g, const char *node, uint8_t instance)
{
	struct lockstep_arbiter_member m = member(node, instance);

	return do_mark(false, g, node, &m);
}

#define assert_ok(call)		assert_int_equal(call, LOCKSTEP_ARBITER_OK)
#define assert_won(call)	assert_int_equal(call, LOCKSTEP_ARBITER_WON)
#define assert_lost(call)	assert_int_equal(call, LOCKSTEP_ARBITER_LOST)
#define assert_refused(call, why) do {						\
	assert_int_equal(call, LOCKSTEP_ARBITER_REFUSED);			\
	assert_int_equal(verdict.refusal, LOCKSTEP_REFUSAL_##why);		\
} while (0)

static uint8_t winner_of(uint64_t g)
{
	struct lockstep_arbiter_key key = { vm, g, LOCKSTEP_RECORD_WON };
	const struct lockstep_store_record *rec = lockstep_store_get(store, &key);
	struct lockstep_arbiter_mark m;

	if (!rec)
		return 0;
	assert_int_equal(lockstep_arbiter_mark_decode(rec->value, rec->len, &m), 0);
	return m.by.instance.b[0];
}

/* --- records ------------------------------------------------------------- */

static void test_keys(void **state)
{
	static const char * const bad[] = {
		"", "vm/", "vm/11000000-0000-0000-0000-000000000000/0/open",
		"vm/11000000-0000-0000-0000-000000000000/01/open",
		"vm/11000000-0000-0000-0000-000000000000/+1/open",
		"vm/11000000-0000-0000-0000-000000000000/1/opens",
		"vm/11000000-0000-0000-0000-000000000000/1/",
		"vm/1100000A-0000-0000-0000-000000000000/1/open",
		"vm/11000000-0000-0000-0000-000000000000/18446744073709551616/open",
		"xm/11000000-0000-0000-0000-000000000000/1/open",
		"vm/11000000-0000-0000-0000-000000000000",
	};
	struct lockstep_arbiter_key key = { vm, UINT64_MAX, LOCKSTEP_RECORD_CLOSED }, out;
	char text[LOCKSTEP_ARBITER_KEY_MAX];
	size_t i;

	(void)state;
	lockstep_arbiter_key_format(&key, text);
	assert_string_equal(text, "vm/11000000-0000-0000-0000-000000000000/18446744073709551615/closed");
	assert_int_equal(lockstep_arbiter_key_parse(text, &out), 0);
	assert_true(out.generation == UINT64_MAX && out.kind == LOCKSTEP_RECORD_CLOSED);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(lockstep_arbiter_key_parse(bad[i], &out), -EINVAL);
}

static void check_open(const uint8_t *data, size_t len)
{
	uint8_t again[LOCKSTEP_ARBITER_VALUE_MAX];
	struct lockstep_arbiter_open o;

	if (lockstep_arbiter_open_decode(data, len, &o))
		return;
	/* One encoding for each content: identity of bytes is identity. */
	assert_int_equal(lockstep_arbiter_open_encode(&o, again, sizeof(again)), len);
	assert_memory_equal(again, data, len);
}

static void check_mark(const uint8_t *data, size_t len)
{
	uint8_t again[LOCKSTEP_ARBITER_VALUE_MAX];
	struct lockstep_arbiter_mark m;

	if (lockstep_arbiter_mark_decode(data, len, &m))
		return;
	assert_int_equal(lockstep_arbiter_mark_encode(&m, again, sizeof(again)), len);
	assert_memory_equal(again, data, len);
}

static void test_values_fuzz(void **state)
{
	struct lockstep_arbiter_open o = open_of(3, 1, 1, 2), out;
	struct lockstep_arbiter_mark m = { .generation = 3, .by = member("b", 2), .reason = "x" };
	uint8_t open_bytes[LOCKSTEP_ARBITER_VALUE_MAX], mark_bytes[LOCKSTEP_ARBITER_VALUE_MAX];
	int open_len, mark_len;
	unsigned int i;

	(void)state;
	/* The longest names fit. */
	memset(o.members[0].node, 'a', LOCKSTEP_NODE_NAME_MAX);
	memset(o.members[1].node, 'b', LOCKSTEP_NODE_NAME_MAX);
	o.members[0].node[LOCKSTEP_NODE_NAME_MAX] = '\0';
	o.members[1].node[LOCKSTEP_NODE_NAME_MAX] = '\0';
	open_len = lockstep_arbiter_open_encode(&o, open_bytes, sizeof(open_bytes));
	assert_true(open_len > 0);
	assert_int_equal(lockstep_arbiter_open_decode(open_bytes, (size_t)open_len, &out), 0);
	assert_string_equal(out.members[1].node, o.members[1].node);
	mark_len = lockstep_arbiter_mark_encode(&m, mark_bytes, sizeof(mark_bytes));
	assert_true(mark_len > 0);
	for (i = 0; i < fuzz_rounds(50000); i++) {
		fuzz_one(open_bytes, (size_t)open_len, check_open);
		fuzz_one(mark_bytes, (size_t)mark_len, check_mark);
	}
	/* Both members the same instance makes no sense. */
	o.members[1].instance = o.members[0].instance;
	assert_int_equal(lockstep_arbiter_open_encode(&o, open_bytes, sizeof(open_bytes)), -EINVAL);
}

/* --- rules --------------------------------------------------------------- */

static void test_one_winner(void **state)
{
	(void)state;
	assert_refused(do_claim(1, "a", 1), NO_OPEN);
	assert_ok(do_open(1, 0, 1, 2));
	assert_refused(do_claim(1, "a", 3), NOT_MEMBER);	/* rebooted: another instance */
	assert_refused(do_claim(1, "c", 1), NOT_MEMBER);
	assert_refused(do_claim(1, "b", 1), NOT_MEMBER);	/* a's instance */
	assert_won(do_claim(1, "b", 2));
	assert_lost(do_claim(1, "a", 1));
	assert_int_equal(verdict.existing->key.generation, 1);
	/* Asked again after a time-out: still its own. */
	assert_won(do_claim(1, "b", 2));
	assert_int_equal(winner_of(1), 2);
	reopen();
	assert_lost(do_claim(1, "a", 1));
	assert_won(do_claim(1, "b", 2));
}

static void test_nobody_speaks_for_another(void **state)
{
	struct lockstep_arbiter_member m = member("a", 1);
	struct lockstep_arbiter_open o;

	(void)state;
	assert_ok(do_open(1, 0, 1, 2));
	assert_refused(do_mark(true, 1, "b", &m), NOT_MEMBER);
	m.boot_id.b[0] ^= 1;
	assert_refused(do_mark(true, 1, "a", &m), NOT_MEMBER);
	/* Another node, with instance and boot of a member: all three must fit. */
	m = member("a", 1);
	strcpy(m.node, "c");
	assert_refused(do_mark(true, 1, "c", &m), NOT_MEMBER);
	/* Nor does an outsider form a generation. */
	folder++;
	reopen();
	o = open_of(1, 0, 1, 2);
	assert_int_equal(do_open_as("c", &o), LOCKSTEP_ARBITER_REFUSED);
	assert_int_equal(verdict.refusal, LOCKSTEP_REFUSAL_NOT_MEMBER);
	assert_ok(do_open_as("b", &o));
	/* After it was won by b, a member of the same name but another instance. */
	assert_won(do_claim(1, "b", 2));
	m = member("b", 9);
	assert_lost(do_mark(true, 1, "b", &m));
}

static void test_chain(void **state)
{
	(void)state;
	assert_refused(do_open(2, 0, 1, 2), CHAIN);		/* the first is 1 */
	assert_refused(do_open(1, 7, 1, 2), CHAIN);		/* nobody won before it */
	assert_ok(do_open(1, 0, 1, 2));
	assert_ok(do_open(1, 0, 1, 2));				/* asked again */
	assert_lost(do_open(1, 0, 1, 3));			/* formed differently */
	assert_refused(do_open(2, 1, 1, 3), CHAIN);		/* 1 has no winner yet */
	assert_won(do_claim(1, "a", 1));
	assert_refused(do_open(2, 2, 2, 3), CHAIN);		/* by the loser */
	assert_refused(do_open(2, 1, 3, 2), CHAIN);		/* winner is not its primary */
	assert_refused(do_open(3, 1, 1, 3), CHAIN);		/* one left out */
	assert_ok(do_open(2, 1, 1, 3));
	assert_lost(do_open(2, 1, 1, 4));
	/* The backup of 2 wins it, and forms 3 alone, then 4 with somebody. */
	assert_won(do_claim(2, "b", 3));
	assert_int_equal(winner_of(2), 3);
}

static void test_solo_generation(void **state)
{
	(void)state;
	assert_ok(do_open(1, 0, 1, 0));
	assert_refused(do_claim(1, "b", 2), NOT_MEMBER);
	assert_won(do_claim(1, "a", 1));
	assert_ok(do_open(2, 1, 1, 2));
}

static void test_closed(void **state)
{
	(void)state;
	assert_refused(do_close(1, "a", 1), NO_OPEN);
	assert_ok(do_open(1, 0, 1, 2));
	assert_refused(do_close(1, "a", 9), NOT_MEMBER);
	assert_ok(do_close(1, "a", 1));
	assert_ok(do_close(1, "a", 1));
	assert_lost(do_close(1, "b", 2));
	/* A backup that did not see it may not live on. */
	assert_refused(do_claim(1, "b", 2), CLOSED);
	assert_refused(do_claim(1, "a", 1), CLOSED);
	/* Cold start: either node, new instances, nobody's heir. */
	assert_refused(do_open(2, 1, 5, 0), CHAIN);
	assert_ok(do_open(2, 0, 5, 0));
	assert_lost(do_open(2, 0, 6, 0));
	assert_won(do_claim(2, "a", 5));
	/* Won, then powered off by the winner only. */
	assert_ok(do_open(3, 5, 5, 6));
	assert_won(do_claim(3, "b", 6));
	assert_lost(do_close(3, "a", 5));
	assert_int_equal(verdict.existing->key.kind, LOCKSTEP_RECORD_WON);
	assert_refused(do_close(2, "a", 5), CHAIN);
	assert_ok(do_close(3, "b", 6));
	assert_won(do_claim(3, "b", 6));		/* that it won stays true */
}

static void test_forced(void **state)
{
	struct lockstep_arbiter_open o;

	(void)state;
	assert_ok(do_open(1, 0, 1, 2));
	/* Both hosts are gone; an operator starts it again. */
	o = open_of(2, 0, 7, 0);
	o.forced = true;
	o.generation = 1;
	assert_lost(do_open_as("a", &o));		/* what exists stays */
	o.generation = 3;				/* above any number known */
	assert_ok(do_open_as("a", &o));
	/* And the old members can't win what they were in. */
	assert_lost(do_claim(1, "b", 2));
	assert_lost(do_claim(1, "a", 1));
	assert_int_equal(winner_of(1), 7);
	assert_refused(do_open(2, 7, 7, 0), CHAIN);
	assert_won(do_claim(3, "a", 7));
	reopen();
	assert_lost(do_claim(1, "b", 2));
	assert_won(do_claim(3, "a", 7));
}

static void test_prune(void **state)
{
	struct lockstep_arbiter_key key = { vm, 1, LOCKSTEP_RECORD_OPEN };
	uint64_t g, records;

	(void)state;
	assert_int_equal(lockstep_store_prune(store, "a", &vm, 1, &verdict), 0);
	assert_int_equal(verdict.refusal, LOCKSTEP_REFUSAL_NO_OPEN);
	for (g = 1; g <= 5; g++) {
		assert_ok(do_open(g, g > 1 ? 1 : 0, 1, (uint8_t)(10 + g)));
		assert_won(do_claim(g, "a", 1));
	}
	assert_int_equal(lockstep_store_prune(store, "c", &vm, 3, &verdict), 0);
	assert_int_equal(verdict.refusal, LOCKSTEP_REFUSAL_NOT_MEMBER);
	assert_int_equal(lockstep_store_prune(store, "a", &vm, 5, &verdict), 0);
	assert_int_equal(verdict.refusal, LOCKSTEP_REFUSAL_KEPT);
	records = lockstep_store_records(store);
	assert_int_equal(lockstep_store_prune(store, "a", &vm, 4, &verdict), 0);
	assert_int_equal(verdict.result, LOCKSTEP_ARBITER_OK);
	assert_int_equal(lockstep_store_records(store), records - 6);
	assert_null(lockstep_store_get(store, &key));
	for (g = 0; g < 2; g++) {
		/* Nobody wins a generation whose won was pruned, nor forms it again. */
		assert_refused(do_claim(1, "b", 11), PRUNED);
		assert_refused(do_open(1, 0, 1, 11), PRUNED);
		assert_refused(do_open(3, 1, 1, 11), PRUNED);
		assert_won(do_claim(4, "a", 1));
		assert_int_equal(lockstep_store_prune(store, "a", &vm, 2, &verdict), 0);
		assert_int_equal(verdict.result, LOCKSTEP_ARBITER_OK);
		assert_int_equal(lockstep_store_records(store), 4);
		reopen();
	}
}

static void test_restore(void **state)
{
	struct lockstep_uuid before = *lockstep_store_uuid(store);
	struct lockstep_arbiter_open o;

	(void)state;
	assert_ok(do_open(1, 0, 1, 2));
	o = open_of(1, 0, 1, 2);
	assert_int_equal(lockstep_store_restore(store), 0);
	assert_false(lockstep_uuid_equal(&before, lockstep_store_uuid(store)));
	assert_refused(do_claim(1, "a", 1), OTHER_STORE);
	assert_refused(do_close(1, "a", 1), OTHER_STORE);
	reopen();
	assert_false(lockstep_uuid_equal(&before, lockstep_store_uuid(store)));
	assert_refused(do_claim(1, "b", 2), OTHER_STORE);
	/* A record made for the store as it was is not taken any more. */
	o.generation = 2;
	o.forced = true;
	assert_int_equal(do_open_as("a", &o), LOCKSTEP_ARBITER_REFUSED);
	assert_int_equal(verdict.refusal, LOCKSTEP_REFUSAL_OTHER_STORE);
	o.store = *lockstep_store_uuid(store);
	assert_ok(do_open_as("a", &o));
	assert_won(do_claim(2, "a", 1));
}

static void test_malformed(void **state)
{
	uint8_t buf[LOCKSTEP_ARBITER_VALUE_MAX];
	struct lockstep_arbiter_open o = open_of(1, 0, 1, 2);
	int len = lockstep_arbiter_open_encode(&o, buf, sizeof(buf));

	(void)state;
	assert_int_equal(lockstep_store_create(store, "a", "vm/x/1/open", buf, (size_t)len,
					       &verdict), 0);
	assert_int_equal(verdict.refusal, LOCKSTEP_REFUSAL_MALFORMED);
	/* Another generation than the key's; won by CREATE; open by CLAIM. */
	assert_int_equal(lockstep_store_create(store, "a", key_of(2, LOCKSTEP_RECORD_OPEN), buf,
					       (size_t)len, &verdict), 0);
	assert_int_equal(verdict.refusal, LOCKSTEP_REFUSAL_MALFORMED);
	assert_int_equal(lockstep_store_create(store, "a", key_of(1, LOCKSTEP_RECORD_WON), buf,
					       (size_t)len, &verdict), 0);
	assert_int_equal(verdict.refusal, LOCKSTEP_REFUSAL_MALFORMED);
	assert_int_equal(lockstep_store_claim(store, "a", key_of(1, LOCKSTEP_RECORD_OPEN), buf,
					      (size_t)len, &verdict), 0);
	assert_int_equal(verdict.refusal, LOCKSTEP_REFUSAL_MALFORMED);
	assert_int_equal(lockstep_store_records(store), 0);
}

/* --- journal ------------------------------------------------------------- */

static void edit_journal(off_t at, const void *data, size_t len)
{
	FILE *f = fopen(journal_path(), "r+");

	assert_non_null(f);
	assert_int_equal(fseek(f, at, SEEK_SET), 0);
	assert_int_equal(fwrite(data, 1, len, f), len);
	fclose(f);
}

static off_t journal_size(void)
{
	struct stat st;

	assert_int_equal(stat(journal_path(), &st), 0);
	return st.st_size;
}

static void close_store(void)
{
	lockstep_store_close(store);
	store = NULL;
}

static void assert_damaged(const char *where)
{
	char err[1024];

	assert_int_equal(lockstep_store_open(store_dir(), &store, err, sizeof(err)), -EUCLEAN);
	if (!strstr(err, "damaged") || !strstr(err, where))
		fail_msg("message does not say where: %s", err);
	store = NULL;
}

/* An unfinished last record was never answered for: cut anywhere, it goes. */
static void test_truncated_tail(void **state)
{
	off_t full;
	int cut;

	(void)state;
	assert_ok(do_open(1, 0, 1, 2));
	full = journal_size();
	assert_int_equal(full, 2 * LOCKSTEP_JOURNAL_SIZE);
	for (cut = 1; cut < LOCKSTEP_JOURNAL_SIZE; cut += 51) {
		assert_won(do_claim(1, "a", 1));
		close_store();
		assert_int_equal(truncate(journal_path(), full + cut), 0);
		reopen();
		assert_int_equal(journal_size(), full);
		assert_int_equal(winner_of(1), 0);
	}
	/* What was before it is there, and the journal goes on. */
	assert_won(do_claim(1, "b", 2));
	reopen();
	assert_int_equal(winner_of(1), 2);
}

/* A file system may make a file longer before its bytes are there. */
static void test_zero_tail(void **state)
{
	off_t full;

	(void)state;
	assert_ok(do_open(1, 0, 1, 2));
	full = journal_size();
	close_store();
	assert_int_equal(truncate(journal_path(), full + 2 * LOCKSTEP_JOURNAL_SIZE), 0);
	reopen();
	assert_int_equal(journal_size(), full);
	assert_won(do_claim(1, "b", 2));
	close_store();
	/* Zeros in the middle are damage. */
	assert_int_equal(truncate(journal_path(), full + 4 * LOCKSTEP_JOURNAL_SIZE), 0);
	assert_damaged("byte 1536");
}

/* Any flipped bit, also in the last record: it may have been answered for. */
static void test_damage_anywhere(void **state)
{
	char *good, *bad;
	char err[1024];
	size_t len, at;
	int i, ret;

	(void)state;
	assert_ok(do_open(1, 0, 1, 2));
	assert_won(do_claim(1, "a", 1));
	assert_ok(do_open(2, 1, 1, 3));
	close_store();
	assert_int_equal(lockstep_file_read(journal_path(), 1 << 20, &good, &len), 0);
	bad = malloc(len);
	assert_non_null(bad);
	for (i = 0; i < 300; i++) {
		memcpy(bad, good, len);
		at = fuzz_random() % len;
		bad[at] ^= (char)(1 << (fuzz_random() % 8));
		edit_journal(0, bad, len);
		ret = lockstep_store_open(store_dir(), &store, err, sizeof(err));
		assert_int_equal(ret, -EUCLEAN);
		store = NULL;
	}
	/* Records swapped, left out, or of another journal. */
	memcpy(bad, good, len);
	memcpy(bad + 512, good + 1024, 512);
	memcpy(bad + 1024, good + 512, 512);
	edit_journal(0, bad, len);
	assert_damaged("byte 512");
	memcpy(bad, good, len);
	memmove(bad + 512, good + 1024, len - 1024);
	edit_journal(0, bad, len);
	assert_int_equal(truncate(journal_path(), (off_t)len - 512), 0);
	assert_damaged("byte 512");
	/* And whole again it opens. */
	edit_journal(0, good, len);
	reopen();
	assert_int_equal(winner_of(1), 1);
	free(bad);
	free(good);
}

static void test_locked(void **state)
{
	struct lockstep_store *second;
	char err[1024];
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (!pid)
		_exit(lockstep_store_open(store_dir(), &second, err, sizeof(err)) == -EBUSY &&
		      strstr(err, "another lockstep-arbiter") ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Long use: the journal is written anew, and says the same. */
static void test_rewrite(void **state)
{
	uint64_t g, before;

	(void)state;
	for (g = 1; g <= 600; g++) {
		assert_ok(do_open(g, g > 1 ? 1 : 0, 1, 2));
		assert_won(do_claim(g, "a", 1));
		if (g > 3)
			assert_int_equal(lockstep_store_prune(store, "a", &vm, g - 2, &verdict), 0);
	}
	before = lockstep_store_journal_bytes(store);
	reopen();
	assert_true(lockstep_store_journal_bytes(store) < before / 100);
	assert_int_equal(journal_size(), lockstep_store_journal_bytes(store));
	assert_int_equal(lockstep_store_records(store), 6);
	assert_refused(do_claim(597, "b", 2), PRUNED);
	assert_lost(do_claim(600, "b", 2));
	assert_ok(do_open(601, 1, 1, 2));
	reopen();
	assert_int_equal(lockstep_store_records(store), 7);
}

/* Guests side by side, in order, walked over from anywhere. */
static void test_walk(void **state)
{
	const struct lockstep_store_record *rec = NULL;
	struct lockstep_arbiter_open o;
	struct lockstep_arbiter_key key, last = { 0 };
	uint8_t buf[LOCKSTEP_ARBITER_VALUE_MAX];
	char text[LOCKSTEP_ARBITER_KEY_MAX];
	unsigned int i, n = 0;
	int len;

	(void)state;
	for (i = 0; i < 200; i++) {
		memset(&key, 0, sizeof(key));
		key.vm.b[0] = (uint8_t)(i * 37);
		key.vm.b[1] = (uint8_t)(i + 1);
		key.generation = 1;
		key.kind = LOCKSTEP_RECORD_OPEN;
		o = open_of(1, 0, 1, 2);
		len = lockstep_arbiter_open_encode(&o, buf, sizeof(buf));
		assert_int_equal(lockstep_store_create(store, "a",
						       lockstep_arbiter_key_format(&key, text),
						       buf, (size_t)len, &verdict), 0);
		assert_int_equal(verdict.result, LOCKSTEP_ARBITER_OK);
	}
	reopen();
	while ((rec = lockstep_store_next(store, rec ? &last : NULL))) {
		assert_true(!n || memcmp(last.vm.b, rec->key.vm.b, 16) < 0);
		last = rec->key;
		n++;
	}
	assert_int_equal(n, 200);
}

int main(void)
{
#define t(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		t(test_keys),
		t(test_values_fuzz),
		t(test_one_winner),
		t(test_nobody_speaks_for_another),
		t(test_chain),
		t(test_solo_generation),
		t(test_closed),
		t(test_forced),
		t(test_prune),
		t(test_restore),
		t(test_malformed),
		t(test_truncated_tail),
		t(test_zero_tail),
		t(test_damage_anywhere),
		t(test_locked),
		t(test_rewrite),
		t(test_walk),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
