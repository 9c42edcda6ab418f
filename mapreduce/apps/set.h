/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Applications that collect names for a key: a value is a set of names, each ended by
 * a zero byte, in order. Reduce writes "key number name,name,...".
 */
#ifndef SET_H
#define SET_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lockstep/mapreduce.h>

/**
 * struct set - a set being made
 * @names: names
 * @len: bytes of them
 * @cap: room
 */
struct set {
	char *names;
	size_t len;
	size_t cap;
};

static int set_append(struct set *set, const char *name, size_t len)
{
	char *larger;

	if (set->len + len > set->cap) {
		larger = realloc(set->names, 2 * (set->len + len));
		if (!larger)
			return -ENOMEM;
		set->names = larger;
		set->cap = 2 * (set->len + len);
	}
	memcpy(set->names + set->len, name, len);
	set->len += len;
	return 0;
}

static int set_merge(struct set *to, struct mr_bytes left, struct mr_bytes right)
{
	const char *a = left.data, *a_end = a + left.len, *b = right.data, *b_end = b + right.len;
	size_t len;
	int cmp, ret = 0;

	to->len = 0;
	while (!ret && (a < a_end || b < b_end)) {
		cmp = a == a_end ? 1 : b == b_end ? -1 : strcmp(a, b);
		len = strlen(cmp <= 0 ? a : b) + 1;
		ret = set_append(to, cmp <= 0 ? a : b, len);
		a += cmp <= 0 ? len : 0;
		b += cmp >= 0 ? len : 0;
	}
	return ret;
}

static int set_emit(struct mr_task *task, const void *key, size_t len)
{
	const char *name = mr_task_path(task);

	return mr_emit(task, key, len, name, strlen(name) + 1);
}

static int set_combine(struct mr_task *task, struct mr_bytes key, struct mr_bytes *into, struct mr_bytes value)
{
	struct set merged = { 0 };
	int ret;

	(void)key;
	/* most often: the same file again */
	if (into->len == value.len && memcmp(into->data, value.data, value.len) == 0)
		return 0;
	ret = set_merge(&merged, *into, value);
	if (!ret)
		ret = mr_value_set(task, into, merged.names, merged.len);
	free(merged.names);
	return ret;
}

static int set_write(struct mr_task *task, struct mr_bytes key, const struct set *set)
{
	char number[24], *text;
	size_t names = 0, i;
	int len, ret;

	for (i = 0; i < set->len; i++)
		names += !set->names[i];
	len = snprintf(number, sizeof(number), "%zu ", names);
	text = malloc((size_t)len + set->len);
	if (!text)
		return -ENOMEM;
	memcpy(text, number, (size_t)len);
	for (i = 0; i < set->len; i++)
		text[(size_t)len + i] = set->names[i] ? set->names[i] : ',';
	ret = mr_emit(task, key.data, key.len, text, (size_t)len + set->len - 1);
	free(text);
	return ret;
}

static int set_reduce(struct mr_task *task, struct mr_bytes key, struct mr_values *values)
{
	struct set set = { 0 }, merged = { 0 }, spare;
	struct mr_bytes value;
	int ret;

	while ((ret = mr_values_next(values, &value)) > 0) {
		ret = set_merge(&merged, (struct mr_bytes){ set.names, set.len }, value);
		if (ret)
			break;
		spare = set;
		set = merged;
		merged = spare;
	}
	if (!ret)
		ret = set_write(task, key, &set);
	free(set.names);
	free(merged.names);
	return ret;
}

#endif
