// SPDX-License-Identifier: GPL-2.0
#include "fold.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reporter.h"

#define NUMBER_MAX	64	/* characters of a floating-point number */
#define SHOWN		40	/* bytes of a value that messages show */

enum fold_op {
	FOLD_SUM,
	FOLD_COUNT,
	FOLD_MIN,
	FOLD_MAX,
	FOLD_UNIQ,
	FOLD_DOUBLE_SUM,
	FOLD_STRING_MIN,
	FOLD_STRING_MAX,
	FOLD_BY_KEY,	/* each key says */
};

static const struct mr_fold folds[] = {
	{ "@sum", FOLD_SUM },
	{ "@count", FOLD_COUNT },
	{ "@min", FOLD_MIN },
	{ "@max", FOLD_MAX },
	{ "@uniq", FOLD_UNIQ },
	{ "@aggregate", FOLD_BY_KEY },
	{ "aggregate", FOLD_BY_KEY },
};

/* What keys of @aggregate begin with. */
static const struct {
	const char *prefix;
	size_t len;
	enum fold_op op;
} kinds[] = {
#define KIND(name, op)	{ name ":", sizeof(name), op }
	KIND("LongValueSum", FOLD_SUM),
	KIND("LongValueMin", FOLD_MIN),
	KIND("LongValueMax", FOLD_MAX),
	KIND("DoubleValueSum", FOLD_DOUBLE_SUM),
	KIND("StringValueMin", FOLD_STRING_MIN),
	KIND("StringValueMax", FOLD_STRING_MAX),
};

const struct mr_fold *mr_fold_find(const char *name)
{
	size_t i;

	for (i = 0; name && i < sizeof(folds) / sizeof(folds[0]); i++)
		if (!strcmp(folds[i].name, name))
			return &folds[i];
	return NULL;
}

/* What is done with this key; @skip: bytes of the key that say so. -EINVAL: nothing is. */
static int op_of(const struct mr_fold *fold, struct mr_bytes key, size_t *skip)
{
	size_t i;

	*skip = 0;
	if (fold->op != FOLD_BY_KEY)
		return fold->op;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (key.len >= kinds[i].len && !memcmp(key.data, kinds[i].prefix, kinds[i].len)) {
			*skip = kinds[i].len;
			return kinds[i].op;
		}
	}
	return -EINVAL;
}

static int shown(size_t len)
{
	return len < SHOWN ? (int)len : SHOWN;
}

static int not_a_number(struct mr_task *task, struct mr_bytes key, struct mr_bytes value)
{
	return mr_error(task, "value '%.*s' of key '%.*s' is no number, or out of range",
			shown(value.len), (const char *)value.data,
			shown(key.len), (const char *)key.data);
}

static int double_parse(struct mr_bytes value, double *out)
{
	char text[NUMBER_MAX + 1], *end;

	if (!value.len || value.len > NUMBER_MAX)
		return -EINVAL;
	memcpy(text, value.data, value.len);
	text[value.len] = '\0';
	*out = strtod(text, &end);
	return end == text || *end || !isfinite(*out) ? -EINVAL : 0;
}

int mr_fold_hold(const struct mr_fold *fold, struct mr_task *task, struct mr_bytes key,
		 struct mr_bytes value, bool present, char number[MR_FOLD_SIZE],
		 struct mr_bytes *held)
{
	int64_t n = 1;
	double d;
	size_t skip;
	int op = op_of(fold, key, &skip);

	*held = (struct mr_bytes){ number, MR_FOLD_SIZE };
	switch (op) {
	case FOLD_SUM:
		if (!present)
			break;
		/* fall through */
	case FOLD_MIN:
	case FOLD_MAX:
		if (mr_number_parse(value.data, value.len, &n))
			return not_a_number(task, key, value);
		break;
	case FOLD_COUNT:
		break;
	case FOLD_UNIQ:
		held->len = 0;
		return 0;
	case FOLD_DOUBLE_SUM:
		if (double_parse(value, &d))
			return not_a_number(task, key, value);
		memcpy(number, &d, sizeof(d));
		return 0;
	case FOLD_STRING_MIN:
	case FOLD_STRING_MAX:
		*held = value;
		return 0;
	default:
		return mr_error(task, "key '%.*s' names no aggregator; it must begin with LongValueSum:, LongValueMin:, LongValueMax:, DoubleValueSum:, StringValueMin: or StringValueMax:",
				shown(key.len), (const char *)key.data);
	}
	memcpy(number, &n, sizeof(n));
	return 0;
}

static int string_order(struct mr_bytes a, struct mr_bytes b)
{
	int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int merge_longs(struct mr_task *task, int op, struct mr_bytes key, int64_t *a, int64_t b)
{
	if (op == FOLD_MIN) {
		*a = b < *a ? b : *a;
	} else if (op == FOLD_MAX) {
		*a = b > *a ? b : *a;
	} else if (__builtin_add_overflow(*a, b, a)) {
		return mr_error(task, "the sum of key '%.*s' does not fit 64 bits",
				shown(key.len), (const char *)key.data);
	}
	return 0;
}

int mr_fold_merge(const struct mr_fold *fold, struct mr_task *task, struct mr_bytes key,
		  struct mr_bytes *into, struct mr_bytes value)
{
	size_t skip;
	int op = op_of(fold, key, &skip), order, ret;
	int64_t a, b;
	double x, y;

	switch (op) {
	case FOLD_UNIQ:
		return 0;
	case FOLD_STRING_MIN:
	case FOLD_STRING_MAX:
		order = string_order(value, *into);
		if (op == FOLD_STRING_MIN ? order < 0 : order > 0)
			return mr_value_set(task, into, value.data, value.len);
		return 0;
	}
	/* what comes back from disk is checked there; its form may still be another job's */
	if (into->len != MR_FOLD_SIZE || value.len != MR_FOLD_SIZE)
		return mr_error(task, "a merged value has %zu bytes", value.len);
	if (op == FOLD_DOUBLE_SUM) {
		memcpy(&x, into->data, sizeof(x));
		memcpy(&y, value.data, sizeof(y));
		x += y;
		memcpy((void *)into->data, &x, sizeof(x));
		return 0;
	}
	memcpy(&a, into->data, sizeof(a));
	memcpy(&b, value.data, sizeof(b));
	ret = merge_longs(task, op, key, &a, b);
	memcpy((void *)into->data, &a, sizeof(a));
	return ret;
}

int mr_fold_emit(const struct mr_fold *fold, struct mr_task *task, struct mr_bytes key,
		 struct mr_bytes held)
{
	char text[NUMBER_MAX + 2];
	size_t skip;
	int op = op_of(fold, key, &skip), len;
	int64_t n;
	double d;

	key.data = (const char *)key.data + skip;
	key.len -= skip;
	if (op == FOLD_UNIQ)
		return mr_emit(task, key.data, key.len, "", 0);
	if (op == FOLD_STRING_MIN || op == FOLD_STRING_MAX) {
		/* the TAB goes before it: one string of both */
		char *line = malloc(held.len + 1);
		int ret;

		if (!line)
			return -ENOMEM;
		line[0] = '\t';
		if (held.len)
			memcpy(line + 1, held.data, held.len);
		ret = mr_emit(task, key.data, key.len, line, held.len + 1);
		free(line);
		return ret;
	}
	if (held.len != MR_FOLD_SIZE)
		return mr_error(task, "a merged value has %zu bytes", held.len);
	if (op == FOLD_DOUBLE_SUM) {
		memcpy(&d, held.data, sizeof(d));
		len = snprintf(text, sizeof(text), "\t%.17g", d);
	} else {
		memcpy(&n, held.data, sizeof(n));
		len = snprintf(text, sizeof(text), "\t%" PRId64, n);
	}
	return mr_emit(task, key.data, key.len, text, len);
}
