// SPDX-License-Identifier: GPL-2.0
/*
 * Counts words: lines "word count".
 *
 * A word is a run of ASCII letters, as long as it goes; upper and lower case differ.
 */
#include <stdio.h>
#include <string.h>

#include <lockstep/mapreduce.h>

static bool letter[256];

static int init(struct mr_task *task)
{
	int c;

	(void)task;
	for (c = 'a'; c <= 'z'; c++)
		letter[c] = letter[c - 'a' + 'A'] = true;
	return 0;
}

static int map(struct mr_task *task, const struct mr_record *record)
{
	const unsigned char *p = record->value.data, *end = p + record->value.len, *word;
	const uint64_t one = 1;
	int ret;

	for (;;) {
		while (p < end && !letter[*p])
			p++;
		if (p == end)
			return 0;
		word = p;
		while (p < end && letter[*p])
			p++;
		ret = mr_emit(task, word, (size_t)(p - word), &one, sizeof(one));
		if (ret)
			return ret;
	}
}

static int combine(struct mr_task *task, struct mr_bytes key, struct mr_bytes *into, struct mr_bytes value)
{
	uint64_t sum, n;

	(void)task;
	(void)key;
	memcpy(&sum, into->data, sizeof(sum));
	memcpy(&n, value.data, sizeof(n));
	sum += n;
	memcpy((void *)into->data, &sum, sizeof(sum));
	return 0;
}

static int reduce(struct mr_task *task, struct mr_bytes key, struct mr_values *values)
{
	uint64_t sum = 0, n;
	struct mr_bytes value;
	char text[24];
	int ret, len;

	while ((ret = mr_values_next(values, &value)) > 0) {
		memcpy(&n, value.data, sizeof(n));
		sum += n;
	}
	if (ret < 0)
		return ret;
	len = snprintf(text, sizeof(text), "%llu", (unsigned long long)sum);
	return mr_emit(task, key.data, key.len, text, (size_t)len);
}

const struct mr_app mr_app = {
	MR_APP_HEADER("wc"),
	.init = init,
	.map = map,
	.combine = combine,
	.reduce = reduce,
};
