// SPDX-License-Identifier: GPL-2.0
/* Inverted index: lines "word files file,file,...", the files in order. */
#include "set.h"
#include "word.h"

static int map(struct mr_task *task, const struct mr_record *record)
{
	return word_map(task, record->value, set_emit);
}

const struct mr_app mr_app = {
	MR_APP_HEADER("indexer"),
	.init = word_init,
	.map = map,
	.combine = set_combine,
	.reduce = set_reduce,
};
