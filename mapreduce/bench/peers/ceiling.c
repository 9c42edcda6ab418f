// SPDX-License-Identifier: GPL-2.0
/*
 * ceiling FILE: counts words as the application wc does, in one thread and with
 * nothing but that: mapped file, hash table, sort, lines "word count".
 *
 * What an engine that keeps nothing, survives nothing and splits nothing could reach.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct entry {
	const char *word;
	uint32_t len;
	uint32_t hash;
	uint64_t count;
};

static struct entry *table;
static size_t slots = 1 << 16, filled;

static void grow(void)
{
	struct entry *old = table;
	size_t i, at, n = slots;

	slots *= 2;
	table = calloc(slots, sizeof(*table));
	if (!table)
		exit(1);
	for (i = 0; i < n; i++) {
		if (!old[i].word)
			continue;
		for (at = old[i].hash & (slots - 1); table[at].word; at = (at + 1) & (slots - 1))
			;
		table[at] = old[i];
	}
	free(old);
}

static void count(const char *word, uint32_t len, uint32_t hash)
{
	size_t at;

	for (at = hash & (slots - 1); table[at].word; at = (at + 1) & (slots - 1)) {
		if (table[at].hash == hash && table[at].len == len && memcmp(table[at].word, word, len) == 0) {
			table[at].count++;
			return;
		}
	}
	table[at] = (struct entry){ word, len, hash, 1 };
	if (++filled > slots / 2)
		grow();
}

static int compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int cmp = memcmp(x->word, y->word, x->len < y->len ? x->len : y->len);

	return cmp ? cmp : (x->len > y->len) - (x->len < y->len);
}

static void count_words(const char *p, const char *end)
{
	unsigned char letter[256] = { 0 };
	const char *word;
	uint32_t hash;
	int c;

	for (c = 'a'; c <= 'z'; c++)
		letter[c] = letter[c - 32] = 1;
	while (p < end) {
		while (p < end && !letter[(unsigned char)*p])
			p++;
		for (word = p, hash = 2166136261u; p < end && letter[(unsigned char)*p]; p++)
			hash = (hash ^ (unsigned char)*p) * 16777619u;
		if (p > word)
			count(word, (uint32_t)(p - word), hash ^ hash >> 15);
	}
}

int main(int argc, char **argv)
{
	struct stat st;
	const char *data;
	size_t i, n = 0;
	int fd;

	fd = argc == 2 ? open(argv[1], O_RDONLY) : -1;
	if (fd < 0 || fstat(fd, &st) < 0)
		return 1;
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	table = calloc(slots, sizeof(*table));
	if (data == MAP_FAILED || !table)
		return 1;
	count_words(data, data + st.st_size);
	for (i = 0; i < slots; i++)
		if (table[i].word)
			table[n++] = table[i];
	qsort(table, n, sizeof(*table), compare);
	for (i = 0; i < n; i++)
		printf("%.*s %llu\n", (int)table[i].len, table[i].word, (unsigned long long)table[i].count);
	return fflush(stdout) ? 1 : 0;
}
