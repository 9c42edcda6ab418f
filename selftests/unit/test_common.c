// SPDX-License-Identifier: GPL-2.0
/*
 * The small shared pieces of the daemons: cursors, UUIDs, files, configuration.
 *
 * Sources: daemon/common
 */
#include <errno.h>
#include <limits.h>
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

#include "common/bytes.h"
#include "common/config.h"
#include "common/file.h"
#include "common/json.h"
#include "common/log.h"
#include "common/uuid.h"

static void test_cursor(void **state)
{
	struct lockstep_writer w;
	struct lockstep_reader r;
	uint8_t buf[64];
	char text[8];

	(void)state;
	lockstep_writer_init(&w, buf, sizeof(buf));
	lockstep_write_u8(&w, 0x12);
	lockstep_write_u16(&w, 0x1234);
	lockstep_write_u32(&w, 0x12345678);
	lockstep_write_u64(&w, 0x123456789abcdef0ULL);
	lockstep_write_str(&w, "seven77");
	assert_true(lockstep_writer_ok(&w));
	assert_int_equal(w.len, 1 + 2 + 4 + 8 + 8);
	assert_int_equal(buf[1], 0x34);		/* little-endian */

	lockstep_reader_init(&r, buf, w.len);
	assert_int_equal(lockstep_read_u8(&r), 0x12);
	assert_int_equal(lockstep_read_u16(&r), 0x1234);
	assert_int_equal(lockstep_read_u32(&r), 0x12345678);
	assert_true(lockstep_read_u64(&r) == 0x123456789abcdef0ULL);
	assert_false(lockstep_reader_done(&r));
	lockstep_read_str(&r, text, sizeof(text));
	assert_string_equal(text, "seven77");
	assert_true(lockstep_reader_done(&r));
}

/* Once bad, always bad: nothing after the end is ever read as something. */
static void test_cursor_ends(void **state)
{
	static const uint8_t data[] = { 1, 2, 3, 4, 5 };
	static const uint8_t zero_inside[] = { 3, 'a', 0, 'b' };
	struct lockstep_reader r;
	struct lockstep_writer w;
	uint8_t out[8], buf[4];
	char text[4];

	(void)state;
	lockstep_reader_init(&r, data, sizeof(data));
	assert_int_equal(lockstep_read_u32(&r), 0x04030201);
	assert_int_equal(lockstep_read_u32(&r), 0);
	assert_false(lockstep_reader_ok(&r));
	assert_int_equal(lockstep_read_u8(&r), 0);
	assert_null(lockstep_read_span(&r, 1));
	memset(out, 9, sizeof(out));
	lockstep_read_bytes(&r, out, sizeof(out));
	assert_int_equal(out[0], 0);

	lockstep_reader_init(&r, "\5abcde", 6);
	lockstep_read_str(&r, text, sizeof(text));	/* longer than there is room */
	assert_false(lockstep_reader_ok(&r));
	lockstep_reader_init(&r, zero_inside, sizeof(zero_inside));
	lockstep_read_str(&r, text, sizeof(text));
	assert_false(lockstep_reader_ok(&r));

	lockstep_writer_init(&w, buf, sizeof(buf));
	lockstep_write_u16(&w, 1);
	lockstep_write_u32(&w, 2);
	assert_false(lockstep_writer_ok(&w));
	lockstep_write_u8(&w, 3);
	assert_false(lockstep_writer_ok(&w));
}

static void test_uuid(void **state)
{
	static const char text[] = "01234567-89ab-cdef-0123-456789abcdef";
	static const char * const bad[] = {
		"", "01234567-89ab-cdef-0123-456789abcde", "01234567-89ab-cdef-0123-456789abcdef0",
		"0123456789ab-cdef-0123-456789abcdef--", "g1234567-89ab-cdef-0123-456789abcdef",
	};
	struct lockstep_uuid a, b;
	char out[LOCKSTEP_UUID_STRLEN + 1];
	size_t i;

	(void)state;
	assert_int_equal(lockstep_uuid_parse(text, &a), 0);
	assert_string_equal(lockstep_uuid_format(&a, out), text);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(lockstep_uuid_parse(bad[i], &b), -EINVAL);
	assert_int_equal(lockstep_uuid_random(&a), 0);
	assert_int_equal(lockstep_uuid_random(&b), 0);
	assert_false(lockstep_uuid_equal(&a, &b));
	assert_false(lockstep_uuid_is_nil(&a));
	assert_int_equal(a.b[6] >> 4, 4);
	memset(&a, 0, sizeof(a));
	assert_true(lockstep_uuid_is_nil(&a));
	assert_int_equal(lockstep_uuid_boot_id(&a), 0);
	assert_int_equal(lockstep_uuid_boot_id(&b), 0);
	assert_true(lockstep_uuid_equal(&a, &b));
}

static char folder[32];

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/lockstep-unit.XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	char cmd[64];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", folder);
	return system(cmd);
}

static char *in_folder(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void test_file(void **state)
{
	struct stat st;
	char *data, cmd[128];
	size_t len;

	(void)state;
	assert_int_equal(lockstep_file_replace(in_folder("f"), "one", 3, 0600), 0);
	assert_int_equal(lockstep_file_replace(in_folder("f"), "second", 6, 0640), 0);
	assert_int_equal(lockstep_file_read(in_folder("f"), 6, &data, &len), 0);
	assert_int_equal(len, 6);
	assert_string_equal(data, "second");
	free(data);
	assert_int_equal(stat(in_folder("f"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(lockstep_file_read(in_folder("f"), 5, &data, &len), -EFBIG);
	assert_int_equal(lockstep_file_read(in_folder("none"), 5, &data, &len), -ENOENT);
	assert_int_equal(lockstep_file_replace(in_folder("no/f"), "x", 1, 0600), -ENOENT);
	/* No temporary file stays behind. */
	snprintf(cmd, sizeof(cmd), "test $(ls -A '%s' | wc -l) = 1", folder);
	assert_int_equal(system(cmd), 0);

	assert_int_equal(lockstep_file_mkdir(in_folder("x/y/z"), 0700), 0);
	assert_int_equal(lockstep_file_mkdir(in_folder("x/y/z"), 0700), 0);
	assert_int_equal(stat(in_folder("x/y/z"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(lockstep_file_mkdir(in_folder("f/g"), 0700), -ENOTDIR);
}

static char seen[1024];

static int note_item(const struct lockstep_config_item *item, void *arg, char *err, size_t errlen)
{
	size_t at = strlen(seen);

	(void)arg;
	if (!strcmp(item->key, "bad")) {
		snprintf(err, errlen, "bad is not allowed: leave it out");
		return -EINVAL;
	}
	snprintf(seen + at, sizeof(seen) - at, "%u:%s:%s:%s=%s;", item->line, item->section,
		 item->arg, item->key, item->value);
	return 0;
}

static int read_config(const char *text, size_t len, char *err, size_t errlen)
{
	seen[0] = '\0';
	assert_int_equal(lockstep_file_replace(in_folder("c"), text, len, 0600), 0);
	return lockstep_config_read(in_folder("c"), note_item, NULL, err, errlen);
}

static void test_config(void **state)
{
	static const char good[] = "top = 1\n# note\n\n[node]\n  name =  a b \r\n[peer  b ]\r\n"
				   "address=1.2.3.4:5\nempty =";
	char err[512], line[LOCKSTEP_CONFIG_LINE + 64];

	(void)state;
	assert_int_equal(read_config(good, strlen(good), err, sizeof(err)), 0);
	assert_string_equal(seen, "1:::top=1;5:node::name=a b;7:peer:b:address=1.2.3.4:5;"
			    "8:peer:b:empty=;");

	assert_int_equal(read_config("a = 1\nnonsense\n", 15, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "/c:2: expected"));
	assert_int_equal(read_config("[x\n", 3, err, sizeof(err)), -EINVAL);
	assert_int_equal(read_config("= 1\n", 4, err, sizeof(err)), -EINVAL);
	assert_int_equal(read_config("a = 1\nbad = 2\n", 14, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "/c:2: bad is not allowed"));
	assert_int_equal(read_config("a = \0\n", 6, err, sizeof(err)), -EINVAL);
	memset(line, 'x', sizeof(line));
	line[1] = '=';
	line[LOCKSTEP_CONFIG_LINE + 32] = '\n';
	assert_int_equal(read_config(line, sizeof(line), err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "longer than"));
	assert_int_equal(lockstep_config_read(in_folder("absent"), note_item, NULL, err,
					      sizeof(err)), -ENOENT);
}

static void test_config_values(void **state)
{
	uint64_t v = 99;
	bool b;

	(void)state;
	assert_int_equal(lockstep_config_u64("7", 0, 10, &v), 0);
	assert_int_equal(v, 7);
	assert_int_equal(lockstep_config_u64("11", 0, 10, &v), -ERANGE);
	assert_int_equal(lockstep_config_u64("-1", 0, 10, &v), -EINVAL);
	assert_int_equal(lockstep_config_u64("1x", 0, 10, &v), -EINVAL);
	assert_int_equal(lockstep_config_u64("", 0, 10, &v), -EINVAL);
	assert_int_equal(lockstep_config_u64("99999999999999999999", 0, UINT64_MAX, &v), -ERANGE);
	assert_int_equal(v, 7);
	assert_int_equal(lockstep_config_size("2M", 0, UINT64_MAX, &v), 0);
	assert_int_equal(v, 2 << 20);
	assert_int_equal(lockstep_config_size("17179869184G", 0, UINT64_MAX, &v), -ERANGE);
	assert_int_equal(lockstep_config_msec("2s", 0, 5000, &v), 0);
	assert_int_equal(v, 2000);
	assert_int_equal(lockstep_config_msec("250ms", 0, 5000, &v), 0);
	assert_int_equal(v, 250);
	assert_int_equal(lockstep_config_msec("1m", 0, 5000, &v), -ERANGE);
	assert_int_equal(lockstep_config_bool("Yes", &b), 0);
	assert_true(b);
	assert_int_equal(lockstep_config_bool("off", &b), 0);
	assert_false(b);
	assert_int_equal(lockstep_config_bool("maybe", &b), -EINVAL);
}

static void keep_event(struct json_object *event, void *arg)
{
	*(struct json_object **)arg = json_object_get(event);
}

static void test_event(void **state)
{
	struct json_object *fields = json_object_new_object(), *got = NULL, *v;

	(void)state;
	lockstep_log_init("test", LOCKSTEP_LOG_WARN, false);
	lockstep_event_subscribe(keep_event, &got);
	lockstep_json_add_u64(fields, "n", UINT64_MAX);
	lockstep_event_emit("some.thing", fields);
	lockstep_event_subscribe(NULL, NULL);
	assert_non_null(got);
	assert_true(json_object_object_get_ex(got, "event", &v));
	assert_string_equal(json_object_get_string(v), "some.thing");
	assert_true(json_object_object_get_ex(got, "n", &v));
	assert_true(json_object_get_uint64(v) == UINT64_MAX);
	assert_true(json_object_object_get_ex(got, "time", NULL));
	assert_true(json_object_object_get_ex(got, "boottime_ns", NULL));
	json_object_put(got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cursor),
		cmocka_unit_test(test_cursor_ends),
		cmocka_unit_test(test_uuid),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_config_values),
		cmocka_unit_test(test_event),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
