// SPDX-License-Identifier: GPL-2.0
/*
 * Sorts records of a fixed size by their first bytes, as TeraSort does.
 *
 * Options: record.size (100), sort.key: bytes of the key (10), partition=range: the
 * outputs, one after the other, are all records in order.
 */
#include <stdlib.h>

#include <lockstep/mapreduce.h>

static size_t key_len;

static int init(struct mr_task *task)
{
	const char *text = mr_task_option(task, "sort.key");
	char *end;

	key_len = text ? strtoul(text, &end, 10) : 10;
	if (text && (*end || *text < '0' || *text > '9'))
		return mr_error(task, "option sort.key=%s is no number of bytes", text);
	return 0;
}

static int map(struct mr_task *task, const struct mr_record *record)
{
	size_t len = key_len < record->value.len ? key_len : record->value.len;
	const char *data = record->value.data;

	return mr_emit(task, data, len, data + len, record->value.len - len);
}

const struct mr_app mr_app = {
	MR_APP_HEADER("sort"),
	.init = init,
	.map = map,
	.reader = &mr_reader_fixed,
	.writer = &mr_writer_raw,
};
