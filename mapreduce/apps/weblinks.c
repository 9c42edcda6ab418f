// SPDX-License-Identifier: GPL-2.0
/*
 * Reverse web-link graph: lines "target pages page,page,...", the pages in order.
 *
 * Each input is a page, named by its path; a link is what stands in href="...".
 */
#include "set.h"

static int map(struct mr_task *task, const struct mr_record *record)
{
	static const char href[] = "href=\"";
	const char *p = record->value.data, *end = p + record->value.len, *quote;
	int ret;

	while (p < end && (p = memmem(p, (size_t)(end - p), href, sizeof(href) - 1)) != NULL) {
		p += sizeof(href) - 1;
		quote = memchr(p, '"', (size_t)(end - p));
		if (!quote)
			break;
		if (quote > p && !memchr(p, '\n', (size_t)(quote - p))) {
			ret = set_emit(task, p, (size_t)(quote - p));
			if (ret)
				return ret;
		}
		p = quote + 1;
	}
	return 0;
}

const struct mr_app mr_app = {
	MR_APP_HEADER("weblinks"),
	.map = map,
	.combine = set_combine,
	.reduce = set_reduce,
	.reader = &mr_reader_file,
};
