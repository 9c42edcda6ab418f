// SPDX-License-Identifier: GPL-2.0
/*
 * What a node takes from others: descriptions of jobs, shares, files by content.
 *
 * Sources: mapreduce/node/spec.c mapreduce/node/store.c mapreduce/shuffle/wire.c
 * Sources: daemon/common daemon/transport/wire.c
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

#include "common/file.h"
#include "common/json.h"
#include "node/node.h"
#include "node/spec.h"
#include "node/store.h"

#define SHA	"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"	/* of abc */
#define GOOD	"\"app\":\"wc.so\",\"files\":[{\"name\":\"wc.so\",\"size\":3,\"sha256\":\"" SHA "\"}]," \
		"\"output\":\"/out\""

static char dir[64];

static int check(const char *text, char *err, size_t errlen)
{
	struct json_object *spec = json_tokener_parse(text);
	int ret = mr_spec_check(spec, err, errlen);

	json_object_put(spec);
	return ret;
}

static void test_spec_refused(void **state)
{
	static const struct {
		const char *text;
		const char *words;
	} cases[] = {
		{ "[]", "no object" },
		{ "nonsense", "no object" },
		{ "{" GOOD "}", "no input" },
		{ "{" GOOD ",\"inputs\":[]}", "no input" },
		{ "{" GOOD ",\"inputs\":[3]}", "no absolute path" },
		{ "{" GOOD ",\"inputs\":[\"in\"]}", "no absolute path" },
		{ "{" GOOD ",\"inputs\":[\"/in\"],\"reduces\":100001}", "reduces: from 0" },
		{ "{" GOOD ",\"inputs\":[\"/in\"],\"memory\":1}", "memory: from" },
		{ "{" GOOD ",\"inputs\":[\"/in\"],\"codec\":\"gzip\"}", "codec is" },
		{ "{" GOOD ",\"inputs\":[\"/in\"],\"options\":[]}", "options are no object" },
		{ "{" GOOD ",\"inputs\":[\"/in\"],\"options\":{\"a\":1}}", "no text" },
		{ "{\"app\":\"x.so\",\"output\":\"/o\",\"inputs\":[\"/in\"]}", "not among the files" },
		{ "{\"app\":\"streaming\",\"output\":\"o\",\"inputs\":[\"/in\"]}", "no absolute path" },
		{ "{\"app\":\"streaming\",\"output\":\"/o\",\"inputs\":[\"/in\"],\"files\":[{\"name\":\"../x\",\"size\":1,\"sha256\":\"" SHA "\"}]}",
		  "no proper name" },
		{ "{\"app\":\"streaming\",\"output\":\"/o\",\"inputs\":[\"/in\"],\"files\":[{\"name\":\"a\\u0000b\",\"size\":1,\"sha256\":\"" SHA "\"}]}",
		  "no proper name" },
		{ "{\"app\":\"streaming\",\"output\":\"/o\",\"inputs\":[\"/in\"],\"files\":[{\"name\":\"x\",\"size\":1,\"sha256\":\"../../etc\"}]}",
		  "no proper name" },
	};
	char err[512];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		err[0] = '\0';
		assert_int_equal(check(cases[i].text, err, sizeof(err)), -EINVAL);
		if (!strstr(err, cases[i].words))
			fail_msg("%s: '%s' does not say '%s'", cases[i].text, err, cases[i].words);
	}
}

static void test_spec_config(void **state)
{
	struct json_object *spec = json_tokener_parse(
		"{" GOOD ",\"inputs\":[\"/a\",\"b:/c:/d\",\"/x:/y\",\"B!:/z\"],\"reduces\":7,"
		"\"codec\":\"zstd\",\"options\":{\"k\":\"v\"},\"backup\":false}");
	struct mr_job_config config;
	char err[512] = "";

	(void)state;
	assert_int_equal(mr_spec_check(spec, err, sizeof(err)), 0);
	assert_int_equal(mr_spec_config(spec, &config), 0);
	assert_int_equal(config.nr_inputs, 4);
	assert_null(config.inputs[0].node);
	assert_string_equal(config.inputs[1].node, "b");
	assert_string_equal(config.inputs[1].path, "/c:/d");
	assert_string_equal(config.inputs[2].path, "/x:/y");
	assert_null(config.inputs[3].node);
	assert_int_equal(config.reduces, 7);
	assert_int_equal(config.codec, MR_CODEC_ZSTD);
	assert_int_equal(config.nr_options, 1);
	assert_string_equal(config.options[0].value, "v");
	assert_false(config.backup);
	mr_spec_config_exit(&config);
	json_object_put(spec);
}

static void test_share(void **state)
{
	struct json_object *spec = json_tokener_parse("{" GOOD ",\"inputs\":[\"/a\"]}"), *share;

	(void)state;
	share = mr_spec_share(spec, "a.3", "some-id");
	assert_true(mr_share_check(share));
	assert_false(json_object_object_get_ex(share, "inputs", NULL));
	lockstep_json_add_str(share, "job", "../a.3");
	assert_false(mr_share_check(share));
	lockstep_json_add_str(share, "job", "a.3");
	assert_true(mr_share_check(share));
	lockstep_json_add_str(share, "output", "relative");
	assert_false(mr_share_check(share));
	json_object_put(share);
	json_object_put(spec);
	assert_false(mr_share_check(NULL));
}

static void store_put(struct mr_node *node, const char *text, const uint8_t *content, int expected)
{
	char path[PATH_MAX];

	mr_store_temporary(node, path);
	assert_int_equal(lockstep_file_replace(path, text, strlen(text), 0600), 0);
	assert_int_equal(mr_store_add(node, path, content), expected);
	assert_int_equal(access(path, F_OK), -1);
}

static void test_store(void **state)
{
	struct mr_node node = { 0 };
	char path[PATH_MAX], kept[PATH_MAX], *data;
	uint8_t content[MR_CONTENT_SIZE];
	struct stat st;
	size_t len;

	(void)state;
	snprintf(node.cfg.mr.state, sizeof(node.cfg.mr.state), "%s", dir);
	snprintf(path, sizeof(path), "%s/copy", dir);
	assert_int_equal(mr_store_open(&node), 0);
	assert_int_equal(mr_content_parse(SHA, content), 0);
	assert_int_equal(mr_content_parse("BA" SHA, content), -EINVAL);
	assert_int_equal(mr_store_place(&node, content, path, false), -ENOENT);
	store_put(&node, "abd", content, -EILSEQ);
	assert_false(mr_store_has(&node, content));
	store_put(&node, "abc", content, 0);
	assert_true(mr_store_has(&node, content));
	assert_int_equal(mr_store_place(&node, content, path, true), 0);
	assert_int_equal(lockstep_file_read(path, 10, &data, &len), 0);
	assert_string_equal(data, "abc");
	free(data);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_mode & 0100);
	/* it is never written over */
	assert_int_equal(mr_store_place(&node, content, path, true), -EEXIST);
	unlink(path);
	/* somebody changed what is kept: it is not used, and is gone */
	mr_store_path(&node, content, kept);
	assert_int_equal(lockstep_file_replace(kept, "xyz", 3, 0600), 0);
	assert_int_equal(mr_store_place(&node, content, path, true), -EILSEQ);
	assert_int_equal(access(path, F_OK), -1);
	assert_false(mr_store_has(&node, content));
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/mr-node-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char cmd[128];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	return system(cmd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spec_refused),
		cmocka_unit_test(test_spec_config),
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_store),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
