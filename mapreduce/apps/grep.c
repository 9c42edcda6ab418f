// SPDX-License-Identifier: GPL-2.0
/*
 * Distributed grep: lines "file line", those of a file in their order.
 *
 * Options: grep.pattern, an extended regular expression; with output.separator=: it is
 * what "grep -HE" prints.
 */
#include <regex.h>
#include <string.h>

#include <lockstep/mapreduce.h>

static regex_t pattern;
static bool compiled;

static int init(struct mr_task *task)
{
	const char *text = mr_task_option(task, "grep.pattern");
	char why[128];
	int ret;

	if (!mr_task_is_map(task))
		return 0;
	if (!text)
		return mr_error(task, "option grep.pattern is missing: -D grep.pattern=EXPRESSION");
	if (compiled)
		regfree(&pattern);
	ret = regcomp(&pattern, text, REG_EXTENDED | REG_NOSUB);
	compiled = !ret;
	if (!ret)
		return 0;
	regerror(ret, &pattern, why, sizeof(why));
	return mr_error(task, "option grep.pattern=%s: %s", text, why);
}

static int map(struct mr_task *task, const struct mr_record *record)
{
	regmatch_t where = { .rm_so = 0, .rm_eo = (regoff_t)record->value.len };
	const char *path = mr_task_path(task);

	/* with REG_STARTEND a line need not end with a zero byte, and may contain some */
	if (regexec(&pattern, record->value.len ? record->value.data : "", 1, &where, REG_STARTEND))
		return 0;
	return mr_emit(task, path, strlen(path), record->value.data, record->value.len);
}

const struct mr_app mr_app = {
	MR_APP_HEADER("grep"),
	.init = init,
	.map = map,
};
