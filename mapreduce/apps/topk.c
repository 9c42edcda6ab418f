// SPDX-License-Identifier: GPL-2.0
/*
 * The k lines with the largest numbers, from lines "name number", such as wc makes.
 * They come to the first output, the largest first, and of equal ones the smaller name.
 *
 * Option: topk.k (10). What is no such line is counted as topk/malformed.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <lockstep/mapreduce.h>

/* A map gives out no more than it must: the number below which it has k already. */
static uint64_t *best;		/* a heap: the smallest is on top */
static size_t nr, k, given;

static int init(struct mr_task *task)
{
	const char *text = mr_task_option(task, "topk.k");
	char *end;

	k = text ? strtoul(text, &end, 10) : 10;
	if (!k || k > 1u << 20 || (text && *end))
		return mr_error(task, "option topk.k=%s: 1 to %u", text, 1u << 20);
	nr = given = 0;
	free(best);
	best = calloc(k, sizeof(*best));
	return best ? 0 : -ENOMEM;
}

/* Is @number among the k largest so far? */
static bool keep(uint64_t number)
{
	size_t at, child;

	if (nr < k) {
		for (at = nr++; at && best[(at - 1) / 2] > number; at = (at - 1) / 2)
			best[at] = best[(at - 1) / 2];
		best[at] = number;
		return true;
	}
	if (number <= best[0])
		return number == best[0];
	for (at = 0; (child = 2 * at + 1) < k; at = child) {
		if (child + 1 < k && best[child + 1] < best[child])
			child++;
		if (best[child] >= number)
			break;
		best[at] = best[child];
	}
	best[at] = number;
	return true;
}

static int map(struct mr_task *task, const struct mr_record *record)
{
	const char *line = record->value.data;
	const char *space = record->value.len ? memrchr(line, ' ', record->value.len) : NULL;
	size_t name_len = space ? (size_t)(space - line) : 0, i;
	uint64_t number = 0, order;
	char *key;
	int ret;

	for (i = name_len + 1; i < record->value.len && line[i] >= '0' && line[i] <= '9'; i++)
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, line[i] - '0', &number))
			break;
	if (!space || i != record->value.len || i == name_len + 1) {
		mr_counter_add(task, "topk", "malformed", 1);
		return 0;
	}
	if (!keep(number))
		return 0;
	key = malloc(sizeof(order) + name_len);
	if (!key)
		return -ENOMEM;
	order = htobe64(~number);
	memcpy(key, &order, sizeof(order));
	memcpy(key + sizeof(order), line, name_len);
	ret = mr_emit(task, key, sizeof(order) + name_len, space + 1, record->value.len - name_len - 1);
	free(key);
	return ret;
}

static uint32_t partition(struct mr_task *task, struct mr_bytes key, uint32_t partitions)
{
	(void)task;
	(void)key;
	(void)partitions;
	return 0;
}

static int reduce(struct mr_task *task, struct mr_bytes key, struct mr_values *values)
{
	const char *name = (const char *)key.data + sizeof(uint64_t);
	struct mr_bytes number;
	int ret = 0;

	while (given < k && (ret = mr_values_next(values, &number)) > 0) {
		given++;
		ret = mr_emit(task, name, key.len - sizeof(uint64_t), number.data, number.len);
		if (ret)
			break;
	}
	return ret;
}

const struct mr_app mr_app = {
	MR_APP_HEADER("topk"),
	.init = init,
	.map = map,
	.partition = partition,
	.reduce = reduce,
};
