// SPDX-License-Identifier: GPL-2.0
#include "reporter.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define COUNTER_PREFIX	"reporter:counter:"
#define STATUS_PREFIX	"reporter:status:"

int mr_number_parse(const char *text, size_t len, int64_t *out)
{
	bool negative = false;
	int64_t n = 0;

	while (len && isspace((unsigned char)*text)) {
		text++;
		len--;
	}
	while (len && isspace((unsigned char)text[len - 1]))
		len--;
	if (len && (*text == '-' || *text == '+')) {
		negative = *text == '-';
		text++;
		len--;
	}
	if (!len)
		return -EINVAL;
	for (; len; text++, len--) {
		int digit = *text - '0';

		if (digit < 0 || digit > 9)
			return -EINVAL;
		/* downwards: the range has one more number below zero than above */
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_sub_overflow(n, digit, &n))
			return -ERANGE;
	}
	if (!negative && n == INT64_MIN)
		return -ERANGE;
	*out = negative ? n : -n;
	return 0;
}

static bool starts_with(const char *line, size_t len, const char *prefix)
{
	size_t n = strlen(prefix);

	return len >= n && !memcmp(line, prefix, n);
}

/* A name up to a comma: printable, and short enough. */
static bool name_take(const char **p, const char *end, char *out)
{
	const char *comma = memchr(*p, ',', end - *p);
	size_t len, i;

	if (!comma)
		return false;
	len = comma - *p;
	if (!len || len > MR_NAME_MAX)
		return false;
	for (i = 0; i < len; i++)
		if (iscntrl((unsigned char)(*p)[i]))
			return false;
	memcpy(out, *p, len);
	out[len] = '\0';
	*p = comma + 1;
	return true;
}

void mr_report_parse(const char *line, size_t len, struct mr_report *report)
{
	const char *p, *end = line + len;

	report->kind = MR_REPORT_NONE;
	if (starts_with(line, len, COUNTER_PREFIX)) {
		p = line + strlen(COUNTER_PREFIX);
		if (name_take(&p, end, report->group) && name_take(&p, end, report->name) &&
		    !mr_number_parse(p, end - p, &report->amount))
			report->kind = MR_REPORT_COUNTER;
	} else if (starts_with(line, len, STATUS_PREFIX)) {
		p = line + strlen(STATUS_PREFIX);
		report->status = (struct mr_bytes){ p, end - p };
		report->kind = MR_REPORT_STATUS;
	}
}
