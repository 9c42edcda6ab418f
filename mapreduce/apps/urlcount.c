// SPDX-License-Identifier: GPL-2.0
/*
 * URL access counts: lines "url count", from logs of web servers:
 *
 *	host - - [date] "GET url HTTP/1.1" status bytes
 *
 * What is no such line is counted as urlcount/malformed.
 */
#include "sum.h"

static int map(struct mr_task *task, const struct mr_record *record)
{
	const char *p = record->value.data, *end = p + record->value.len, *url = NULL;

	p = p < end ? memchr(p, '"', (size_t)(end - p)) : NULL;
	p = p ? memchr(p, ' ', (size_t)(end - p)) : NULL;
	if (p)
		for (url = ++p; p < end && *p != ' ' && *p != '"';)
			p++;
	if (!url || p == url || p == end) {
		mr_counter_add(task, "urlcount", "malformed", 1);
		return 0;
	}
	return sum_emit(task, url, (size_t)(p - url));
}

const struct mr_app mr_app = {
	MR_APP_HEADER("urlcount"),
	.map = map,
	.combine = sum_combine,
	.reduce = sum_reduce,
};
