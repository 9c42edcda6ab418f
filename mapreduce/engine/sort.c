// SPDX-License-Identifier: GPL-2.0
/*
 * Sorting pairs by key.
 *
 * Bytewise: by radix on eight bytes of the key at a time, from its start, until few
 * are left, which are then inserted. An order of the user's own: by merging.
 */
#include "engine/sort.h"

#include <stdbool.h>

#define FEW		24	/* these are inserted */
#define RADIX_DEPTH	256	/* keys that are equal for so long are compared as wholes */

struct sort {
	const char *base;
	int (*compare)(struct mr_bytes a, struct mr_bytes b);	/* NULL: bytewise, after the prefix */
	size_t depth;						/* of the prefix */
};

static void radix(const struct sort *s, struct mr_ref *refs, struct mr_ref *scratch, size_t n, int shift);

static struct mr_bytes ref_key(const struct sort *s, const struct mr_ref *ref)
{
	const struct mr_pair *pair = mr_ref_pair(s->base, ref);

	return (struct mr_bytes){ pair->data, pair->key_len };
}

static bool less(const struct sort *s, const struct mr_ref *a, const struct mr_ref *b)
{
	if (s->compare)
		return s->compare(ref_key(s, a), ref_key(s, b)) < 0;
	if (a->prefix != b->prefix)
		return a->prefix < b->prefix;
	return mr_key_compare(ref_key(s, a), ref_key(s, b)) < 0;
}

static void insertion(const struct sort *s, struct mr_ref *refs, size_t n)
{
	struct mr_ref moving;
	size_t i, j;

	for (i = 1; i < n; i++) {
		if (!less(s, &refs[i], &refs[i - 1]))
			continue;
		moving = refs[i];
		for (j = i; j && less(s, &moving, &refs[j - 1]); j--)
			refs[j] = refs[j - 1];
		refs[j] = moving;
	}
}

static void merge(const struct sort *s, struct mr_ref *to, const struct mr_ref *a, const struct mr_ref *a_end,
		  const struct mr_ref *b, const struct mr_ref *b_end)
{
	while (a < a_end && b < b_end)
		*to++ = less(s, b, a) ? *b++ : *a++;
	memcpy(to, a, (size_t)(a_end - a) * sizeof(*a));
	to += a_end - a;
	memcpy(to, b, (size_t)(b_end - b) * sizeof(*b));
}

static void merge_sort(const struct sort *s, struct mr_ref *refs, struct mr_ref *scratch, size_t n)
{
	size_t half = n / 2;

	if (n <= FEW) {
		insertion(s, refs, n);
		return;
	}
	merge_sort(s, refs, scratch, half);
	merge_sort(s, refs + half, scratch + half, n - half);
	if (!less(s, &refs[half], &refs[half - 1]))
		return;
	memcpy(scratch, refs, half * sizeof(*refs));
	/* never overtakes what is still to be read of the upper half */
	merge(s, refs, scratch, scratch + half, refs + half, refs + n);
}

/* How much of a key lies behind the depth, as far as the prefix can tell: 0 to 8, or 9 for more. */
static size_t rest(const struct sort *s, const struct mr_ref *ref)
{
	size_t len = mr_ref_pair(s->base, ref)->key_len;

	len = len > s->depth ? len - s->depth : 0;
	return len > 8 ? 9 : len;
}

/* All prefixes are equal: the shorter keys come first, then the longer ones by their next bytes. */
static void equal_prefixes(const struct sort *s, struct mr_ref *refs, struct mr_ref *scratch, size_t n)
{
	const struct sort deeper = { s->base, NULL, s->depth + 8 };
	size_t count[10] = { 0 }, at[10], i, first;
	const struct mr_pair *pair;

	for (i = 0; i < n; i++)
		count[rest(s, &refs[i])]++;
	if (count[rest(s, &refs[0])] != n) {
		at[0] = 0;
		for (i = 1; i < 10; i++)
			at[i] = at[i - 1] + count[i - 1];
		for (i = 0; i < n; i++)
			scratch[at[rest(s, &refs[i])]++] = refs[i];
		memcpy(refs, scratch, n * sizeof(*refs));
	}
	first = n - count[9];
	if (count[9] < 2)
		return;
	if (deeper.depth > RADIX_DEPTH) {
		merge_sort(s, refs + first, scratch, count[9]);
		return;
	}
	for (i = first; i < n; i++) {
		pair = mr_ref_pair(s->base, &refs[i]);
		refs[i].prefix = mr_key_prefix(pair->data, pair->key_len, deeper.depth);
	}
	radix(&deeper, refs + first, scratch, count[9], 56);
}

/* Sort by the byte of the prefix at @shift and those below it; all above are equal. */
static void radix(const struct sort *s, struct mr_ref *refs, struct mr_ref *scratch, size_t n, int shift)
{
	size_t count[256], at[256], i;

	for (;; shift -= 8) {
		if (n <= FEW) {
			insertion(s, refs, n);
			return;
		}
		if (shift < 0) {
			equal_prefixes(s, refs, scratch, n);
			return;
		}
		memset(count, 0, sizeof(count));
		for (i = 0; i < n; i++)
			count[(refs[i].prefix >> shift) & 0xff]++;
		if (count[(refs[0].prefix >> shift) & 0xff] != n)
			break;
	}
	at[0] = 0;
	for (i = 1; i < 256; i++)
		at[i] = at[i - 1] + count[i - 1];
	for (i = 0; i < n; i++)
		scratch[at[(refs[i].prefix >> shift) & 0xff]++] = refs[i];
	memcpy(refs, scratch, n * sizeof(*refs));
	for (i = 0; i < 256; i++)
		if (count[i] > 1)
			radix(s, refs + at[i] - count[i], scratch, count[i], shift - 8);
}

void mr_sort(const char *base, struct mr_ref *refs, struct mr_ref *scratch, size_t n,
	     int (*compare)(struct mr_bytes a, struct mr_bytes b))
{
	const struct sort s = { base, compare, 0 };

	if (compare)
		merge_sort(&s, refs, scratch, n);
	else
		radix(&s, refs, scratch, n, 56);
}
