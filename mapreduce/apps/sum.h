/* SPDX-License-Identifier: GPL-2.0 */
/* Applications that count: values are uint64_t of this machine, and are added up. */
#ifndef SUM_H
#define SUM_H

#include <stdio.h>
#include <string.h>

#include <lockstep/mapreduce.h>

static int sum_emit(struct mr_task *task, const void *key, size_t len)
{
	const uint64_t one = 1;

	return mr_emit(task, key, len, &one, sizeof(one));
}

static int sum_combine(struct mr_task *task, struct mr_bytes key, struct mr_bytes *into, struct mr_bytes value)
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

static int sum_reduce(struct mr_task *task, struct mr_bytes key, struct mr_values *values)
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

#endif
