// SPDX-License-Identifier: GPL-2.0
/* Configuration files. */
#include "common/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The part of a line between white space; cuts the line at its end. */
static char *trim(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return s;
}

/* "[name argument]" with the brackets still on. */
static int parse_section(char *s, char *section, char *arg)
{
	size_t len = strlen(s);
	char *name, *space;

	if (len < 3 || s[len - 1] != ']')
		return -EINVAL;
	s[len - 1] = '\0';
	name = trim(s + 1);
	space = strpbrk(name, " \t");
	if (space)
		*space++ = '\0';
	if (!*name)
		return -EINVAL;
	strcpy(section, name);
	strcpy(arg, space ? trim(space) : "");
	return 0;
}

struct parser {
	struct lockstep_config_item item;
	char section[LOCKSTEP_CONFIG_LINE];
	char arg[LOCKSTEP_CONFIG_LINE];
	lockstep_config_fn *fn;
	void *fn_arg;
	char msg[512];
};

static int parse_line(struct parser *p, char *line)
{
	char *s = trim(line), *eq;

	if (!*s || *s == '#')
		return 0;
	if (*s == '[') {
		if (!parse_section(s, p->section, p->arg))
			return 0;
		snprintf(p->msg, sizeof(p->msg), "a section looks like [name] or [name argument]");
		return -EINVAL;
	}
	eq = strchr(s, '=');
	if (!eq || eq == s) {
		snprintf(p->msg, sizeof(p->msg), "expected \"key = value\"");
		return -EINVAL;
	}
	*eq = '\0';
	p->item.key = trim(s);
	p->item.value = trim(eq + 1);
	return p->fn(&p->item, p->fn_arg, p->msg, sizeof(p->msg));
}

/* Read one line without its newline; 1 if there was one, 0 at the end. */
static int next_line(FILE *f, char *line, size_t size, char *msg, size_t msglen)
{
	size_t len;

	if (!fgets(line, (int)size, f)) {
		if (!ferror(f))
			return 0;
		snprintf(msg, msglen, "can't be read");
		return -EIO;
	}
	len = strlen(line);
	if (len && line[len - 1] == '\n')
		return 1;
	if (len == size - 1) {
		snprintf(msg, msglen, "longer than %zu characters", size - 2);
		return -EINVAL;
	}
	if (!feof(f)) {		/* fgets() went on after a zero byte */
		snprintf(msg, msglen, "holds a zero byte: not a text file");
		return -EINVAL;
	}
	return 1;
}

int lockstep_config_read(const char *path, lockstep_config_fn *fn, void *arg,
			 char *err, size_t errlen)
{
	char line[LOCKSTEP_CONFIG_LINE + 2];
	struct parser p = { .fn = fn, .fn_arg = arg };
	FILE *f;
	int ret;

	f = fopen(path, "re");
	if (!f) {
		ret = -errno;
		snprintf(err, errlen, "%s: %s", path, strerror(-ret));
		return ret;
	}
	p.item.file = path;
	p.item.section = p.section;
	p.item.arg = p.arg;
	for (;;) {
		p.item.line++;
		ret = next_line(f, line, sizeof(line), p.msg, sizeof(p.msg));
		if (ret <= 0)
			break;
		ret = parse_line(&p, line);
		if (ret)
			break;
	}
	fclose(f);
	if (ret)
		snprintf(err, errlen, "%s:%u: %s", path, p.item.line,
			 p.msg[0] ? p.msg : strerror(-ret));
	return ret;
}

/* A number followed by nothing or by one of a table's suffixes. */
struct suffix {
	const char *text;
	uint64_t factor;
};

static int parse_scaled(const char *s, const struct suffix *table, uint64_t min,
			uint64_t max, uint64_t *out)
{
	unsigned long long n;
	uint64_t v;
	char *end;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	n = strtoull(s, &end, 10);
	if (errno == ERANGE)
		return -ERANGE;
	for (; table->text; table++) {
		if (!strcasecmp(end, table->text))
			break;
	}
	if (!table->text)
		return -EINVAL;
	if (__builtin_mul_overflow((uint64_t)n, table->factor, &v))
		return -ERANGE;
	if (v < min || v > max)
		return -ERANGE;
	*out = v;
	return 0;
}

int lockstep_config_u64(const char *s, uint64_t min, uint64_t max, uint64_t *out)
{
	static const struct suffix none[] = { { "", 1 }, { NULL, 0 } };

	return parse_scaled(s, none, min, max, out);
}

int lockstep_config_size(const char *s, uint64_t min, uint64_t max, uint64_t *out)
{
	static const struct suffix sizes[] = {
		{ "", 1 },
		{ "K", 1ULL << 10 }, { "M", 1ULL << 20 },
		{ "G", 1ULL << 30 }, { "T", 1ULL << 40 },
		{ NULL, 0 },
	};

	return parse_scaled(s, sizes, min, max, out);
}

int lockstep_config_msec(const char *s, uint64_t min, uint64_t max, uint64_t *out)
{
	static const struct suffix times[] = {
		{ "", 1 }, { "ms", 1 }, { "s", 1000 }, { "m", 60000 },
		{ NULL, 0 },
	};

	return parse_scaled(s, times, min, max, out);
}

int lockstep_config_bool(const char *s, bool *out)
{
	static const char * const yes[] = { "yes", "true", "on", "1" };
	static const char * const no[] = { "no", "false", "off", "0" };
	size_t i;

	for (i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		if (!strcasecmp(s, yes[i])) {
			*out = true;
			return 0;
		}
		if (!strcasecmp(s, no[i])) {
			*out = false;
			return 0;
		}
	}
	return -EINVAL;
}
