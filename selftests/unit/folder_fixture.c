// SPDX-License-Identifier: GPL-2.0
/* An arbiter's folder in a temporary one, for tests. */
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

#include "arbiter_fixture.h"
#include "folder_fixture.h"

char ffx_top[64], ffx_dir[96];
struct lockstep_verdict ffx_verdict;
static unsigned int number;

int ffx_init(void)
{
	/* Memory where there is some: it is not the disk that is tested. */
	strcpy(ffx_top, access("/dev/shm", W_OK) ? "/tmp/lockstep-unit.XXXXXX" :
	       "/dev/shm/lockstep-unit.XXXXXX");
	return mkdtemp(ffx_top) ? 0 : -1;
}

void ffx_exit(void)
{
	ffx_run("rm -rf '%s'", ffx_top);
}

void ffx_next(void)
{
	snprintf(ffx_dir, sizeof(ffx_dir), "%s/%u", ffx_top, ++number);
	assert_int_equal(mkdir(ffx_dir, 0700), 0);
	ffx_mint(false);
}

void ffx_run(const char *fmt, ...)
{
	char cmd[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	assert_int_equal(system(cmd), 0);
}

struct lockstep_folder *ffx_folder(const char *node)
{
	struct lockstep_folder *f;

	assert_int_equal(lockstep_folder_open(ffx_dir, node, NULL, NULL, &f), 0);
	return f;
}

void ffx_mint(bool restore)
{
	struct lockstep_folder *f = ffx_folder("operator");
	int ret = lockstep_folder_mint(f, restore);

	if (ret)
		fail_msg("%s", lockstep_folder_detail(f));
	lockstep_folder_close(f);
}

int ffx_put(struct lockstep_folder *f, enum lockstep_rules_op op, const char *node,
	       const struct lockstep_arbiter_key *key, const void *value, int len, uint64_t below)
{
	struct lockstep_rules_request rq = {
		.op = op, .node = node, .key = *key, .value = value, .len = (size_t)len,
		.below = below,
	};

	return lockstep_folder_request(f, &rq, &ffx_verdict);
}

int ffx_claim(struct lockstep_folder *f, const struct lockstep_uuid *vm, uint64_t g,
		 const char *node, uint8_t instance)
{
	struct lockstep_arbiter_mark m = { .generation = g, .by = afx_member(node, instance) };
	struct lockstep_arbiter_key key = { *vm, g, LOCKSTEP_RECORD_WON };
	uint8_t buf[LOCKSTEP_ARBITER_VALUE_MAX];

	return ffx_put(f, LOCKSTEP_RULES_CLAIM, node, &key, buf,
		   lockstep_arbiter_mark_encode(&m, buf, sizeof(buf)), 0);
}

int ffx_form(struct lockstep_folder *f, const struct lockstep_uuid *vm)
{
	struct lockstep_arbiter_key key = { *vm, 1, LOCKSTEP_RECORD_OPEN };
	uint8_t buf[LOCKSTEP_ARBITER_VALUE_MAX];
	struct lockstep_arbiter_open o;

	assert_int_equal(lockstep_folder_identity(f), 0);
	o = afx_open_of(lockstep_folder_store(f), 1, 0, 1, 2);
	return ffx_put(f, LOCKSTEP_RULES_CREATE, "a", &key, buf,
		   lockstep_arbiter_open_encode(&o, buf, sizeof(buf)), 0);
}

char *ffx_entry(const struct lockstep_uuid *vm, unsigned int seq)
{
	static char path[256];
	char text[LOCKSTEP_UUID_STRLEN + 1];

	snprintf(path, sizeof(path), "%s/%s/%u", ffx_dir, lockstep_uuid_format(vm, text), seq);
	return path;
}
