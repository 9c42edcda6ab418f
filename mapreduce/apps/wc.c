// SPDX-License-Identifier: GPL-2.0
/* Counts words: lines "word count". */
#include "sum.h"
#include "word.h"

static int map(struct mr_task *task, const struct mr_record *record)
{
	return word_map(task, record->value, sum_emit);
}

const struct mr_app mr_app = {
	MR_APP_HEADER("wc"),
	.init = word_init,
	.map = map,
	.combine = sum_combine,
	.reduce = sum_reduce,
};
