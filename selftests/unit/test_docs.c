// SPDX-License-Identifier: GPL-2.0
/*
 * The documented interfaces are those of the code: docs/ABI-sysfs.md names the
 * files of kmod/sysfs.c, docs/ABI-netlink.md what the uapi header declares.
 */
#include <ctype.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define NAMES	256
#define NAME	96

struct names {
	char name[NAMES][NAME];
	int n;
};

/* Where a file of the project is. */
static const char *path_of(const char *name)
{
	static const char here[] = __FILE__;	/* compiled by its full path */
	const char *end = strstr(here, "/selftests/");
	static char path[4096];

	assert_non_null(end);
	snprintf(path, sizeof(path), "%.*s/%s", (int)(end - here), here, name);
	return path;
}

static char *path_read(const char *path)
{
	size_t size;
	FILE *file;
	char *text;

	file = fopen(path, "r");
	if (!file)
		fail_msg("cannot open %s", path);
	fseek(file, 0, SEEK_END);
	size = (size_t)ftell(file);
	rewind(file);
	text = calloc(1, size + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, size, file), size);
	fclose(file);
	return text;
}

static char *file_read(const char *name)
{
	return path_read(path_of(name));
}

static bool has(const struct names *names, const char *name)
{
	int i;

	for (i = 0; i < names->n; i++)
		if (!strcmp(names->name[i], name))
			return true;
	return false;
}

static void add(struct names *names, const char *prefix, const char *name, size_t len)
{
	char whole[NAME];

	assert_true(names->n < NAMES && strlen(prefix) + len < NAME);
	snprintf(whole, sizeof(whole), "%s%.*s", prefix, (int)len, name);
	if (!has(names, whole))
		strcpy(names->name[names->n++], whole);
}

static size_t word_length(const char *p)
{
	size_t n = 0;

	while (isalnum((unsigned char)p[n]) || p[n] == '_')
		n++;
	return n;
}

/* Adds the word behind each @mark that @end follows. */
static void collect(struct names *names, const char *text, const char *mark, const char *end,
		    const char *prefix)
{
	const char *p = text;
	size_t len;

	while ((p = strstr(p, mark))) {
		p += strlen(mark);
		len = word_length(p);
		if (len && !strncmp(p + len, end, strlen(end)))
			add(names, prefix, p, len);
	}
}

/* What one side has and the other has not; how many. */
static int report(const struct names *here, const struct names *there, const char *say)
{
	int i, missing = 0;

	for (i = 0; i < here->n; i++) {
		if (has(there, here->name[i]))
			continue;
		print_message("# %s: %s\n", here->name[i], say);
		missing++;
	}
	return missing;
}

static void check_equal(const struct names *doc, const struct names *code, int at_least)
{
	int wrong = report(doc, code, "documented, but not in the code") +
		    report(code, doc, "in the code, but not documented");

	assert_true(code->n >= at_least);
	assert_int_equal(wrong, 0);
}

/* ---- sysfs ---- */

#define ROOT	"/sys/kernel/lockstep/"
#define GUEST	ROOT "<guest>/"
#define PARAMS	"/sys/module/lockstep/parameters/"

/* Parameters of the module, by what follows their names. */
static void parameters(struct names *names, const char *mode_end)
{
	static const char *const marks[] = { "module_param(", "module_param_named(", "module_param_cb(" };
	size_t i, k;
	char *text;
	const char *p, *end;
	glob_t files;

	assert_int_equal(glob(path_of("kmod/*.c"), 0, NULL, &files), 0);
	for (i = 0; i < files.gl_pathc; i++) {
		text = path_read(files.gl_pathv[i]);
		for (k = 0; k < sizeof(marks) / sizeof(marks[0]); k++)
			for (p = text; (p = strstr(p, marks[k])); p = end) {
				p += strlen(marks[k]);
				end = strchr(p, ';');
				assert_non_null(end);
				if (!strncmp(end - strlen(mode_end), mode_end, strlen(mode_end)))
					add(names, PARAMS, p, word_length(p));
			}
		free(text);
	}
	globfree(&files);
}

static void sysfs_is_documented(void **state)
{
	static struct names doc, code;
	char *text = file_read("kmod/sysfs.c"), *line, *save = NULL;

	(void)state;
	collect(&code, text, "__ATTR(", ",", ROOT);
	collect(&code, text, "\nGUEST_RO(", ")", GUEST);
	collect(&code, text, "\nGUEST_RW(", ")", GUEST);
	collect(&code, text, ".attr = { .name = \"", "\", .mode", GUEST);
	collect(&code, text, "COUNTER(\"", "\",", GUEST "counters/");
	free(text);
	parameters(&code, ")");
	text = file_read("docs/ABI-sysfs.md");
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (!strncmp(line, "What:\t\t", 7))
			add(&doc, "", line + 7, strlen(line + 7));
	free(text);
	check_equal(&doc, &code, 35);
}

/* (RW) is said of the files that can be written, and of no others. */
static void sysfs_modes_are_documented(void **state)
{
	static struct names doc, code;
	char *text = file_read("kmod/sysfs.c"), *line, *save = NULL, *what = NULL;
	const char *p;

	(void)state;
	collect(&code, text, "\nGUEST_RW(", ")", GUEST);
	collect(&code, text, ".attr = { .name = \"", "\", .mode = 0644", GUEST);
	for (p = text; (p = strstr(p, "__ATTR(")); p++)
		if (!strncmp(p + 7 + word_length(p + 7), ", 0644", 6))
			add(&code, ROOT, p + 7, word_length(p + 7));
	free(text);
	parameters(&code, "0644)");
	text = file_read("docs/ABI-sysfs.md");
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (!strncmp(line, "What:\t\t", 7))
			what = line + 7;
		else if (what && strstr(line, "\t\t(RW) "))
			add(&doc, "", what, strlen(what));
	}
	free(text);
	check_equal(&doc, &code, 4);
}

/* ---- netlink ---- */

/* Enumerators "\t@prefixNAME = " of the header, without the prefix. */
static void declared(struct names *names, const char *header, const char *prefix, const char *say)
{
	char mark[NAME];

	snprintf(mark, sizeof(mark), "\t%s", prefix);
	collect(names, header, mark, " = ", say);
}

/*
 * Names in backquotes in the first column of the tables below a heading; several
 * may share a row.
 */
static void listed(struct names *names, const char *doc, const char *heading, const char *say)
{
	const char *p = strstr(doc, heading), *end, *bar, *q;

	assert_non_null(p);
	p += strlen(heading);
	end = strstr(p, "\n#");
	if (!end)
		end = p + strlen(p);
	while ((p = strstr(p, "\n| `")) && p < end) {
		bar = strchr(p + 3, '|');
		for (q = p; (q = strchr(q, '`')) && q < bar; q += word_length(q + 1) + 2)
			add(names, say, q + 1, word_length(q + 1));
		p = bar;
	}
}

static void netlink_is_documented(void **state)
{
	static struct names doc, code;
	char *header = file_read("include/uapi/linux/lockstep.h");
	char *text = file_read("docs/ABI-netlink.md");

	(void)state;
	declared(&code, header, "LOCKSTEP_CMD_", "command ");
	declared(&code, header, "LOCKSTEP_A_", "attribute ");
	declared(&code, header, "LOCKSTEP_D_", "divergence D_");
	declared(&code, header, "LOCKSTEP_S_", "statistic S_");
	collect(&code, header, "#define LOCKSTEP_FLAG_", "\t", "flag ");
	/* number 0 of each is nothing that is sent */
	assert_true(has(&code, "attribute ID"));
	add(&doc, "command ", "UNSPEC", 6);
	add(&doc, "attribute ", "UNSPEC", 6);
	add(&doc, "divergence D_", "UNSPEC", 6);
	add(&doc, "statistic S_", "UNSPEC", 6);
	add(&code, "command ", "UNSPEC", 6);
	add(&code, "attribute ", "UNSPEC", 6);
	add(&code, "divergence D_", "UNSPEC", 6);
	add(&code, "statistic S_", "UNSPEC", 6);
	listed(&doc, text, "\n## Commands\n", "command ");
	listed(&doc, text, "\n## Attributes\n", "attribute ");
	listed(&doc, text, "\n### Flags\n", "flag ");
	listed(&doc, text, "\n### Divergence\n", "divergence ");
	listed(&doc, text, "\n### Statistics\n", "statistic ");
	free(text);
	free(header);
	check_equal(&doc, &code, 70);
}

/* The second column of the statistics names the files of the same values. */
static void statistics_are_the_counters(void **state)
{
	static struct names doc, code;
	char *text = file_read("kmod/sysfs.c");
	const char *p, *end;

	(void)state;
	for (p = text; (p = strstr(p, "\tCOUNTER(\"")); p = end) {
		p += strlen("\tCOUNTER(\"");
		end = strchr(p, ')');
		/* name", STAT */
		add(&code, "", p, (size_t)(end - p));
	}
	free(text);
	text = file_read("docs/ABI-netlink.md");
	for (p = strstr(text, "\n### Statistics\n"); p && (p = strstr(p, "| `S_")); p++) {
		const char *file = strchr(p + 3, '|') + 3;
		char pair[2 * NAME];

		if (strncmp(file - 1, "`", 1))
			continue;
		snprintf(pair, sizeof(pair), "%.*s\", %.*s", (int)word_length(file), file,
			 (int)word_length(p + 5), p + 5);
		add(&doc, "", pair, strlen(pair));
	}
	free(text);
	check_equal(&doc, &code, 24);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sysfs_is_documented),
		cmocka_unit_test(sysfs_modes_are_documented),
		cmocka_unit_test(netlink_is_documented),
		cmocka_unit_test(statistics_are_the_counters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
