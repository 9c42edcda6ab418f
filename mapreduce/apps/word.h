/* SPDX-License-Identifier: GPL-2.0 */
/* A word is a run of ASCII letters, as long as it goes; upper and lower case differ. */
#ifndef WORD_H
#define WORD_H

#include <lockstep/mapreduce.h>

/* Which bytes are letters; filled by word_init(). */
static bool word_letter[256];

static int word_init(struct mr_task *task)
{
	int c;

	(void)task;
	for (c = 'a'; c <= 'z'; c++)
		word_letter[c] = word_letter[c - 'a' + 'A'] = true;
	return 0;
}

/* Emit each word of a record with @emit. */
static inline int word_map(struct mr_task *task, struct mr_bytes text,
			   int (*emit)(struct mr_task *task, const void *word, size_t len))
{
	const unsigned char *p = text.data, *end = p + text.len, *word;
	int ret;

	for (;;) {
		while (p < end && !word_letter[*p])
			p++;
		if (p == end)
			return 0;
		word = p;
		while (p < end && word_letter[*p])
			p++;
		ret = emit(task, word, (size_t)(p - word));
		if (ret)
			return ret;
	}
}

#endif
