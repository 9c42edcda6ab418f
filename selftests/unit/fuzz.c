// SPDX-License-Identifier: GPL-2.0
/* Damaging good bytes at random, repeatably. */
#include "fuzz.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define LONGER	20		/* times as many rounds in a campaign */

static uint64_t rng = 1;

void fuzz_seed(void)
{
	const char *env = getenv("LOCKSTEP_SEED"), *rounds = getenv("LOCKSTEP_FUZZ");

	if (env)
		rng = strtoull(env, NULL, 0);
	else if (getrandom(&rng, sizeof(rng), 0) != sizeof(rng))
		abort();
	printf("# again: LOCKSTEP_SEED=0x%llx%s%s%s %s\n", (unsigned long long)rng,
	       getenv("LOCKSTEP_LONG") ? " LOCKSTEP_LONG=1" : "",
	       rounds ? " LOCKSTEP_FUZZ=" : "", rounds ? rounds : "", program_invocation_name);
	fflush(stdout);
	if (!rng)
		rng = 1;
}

uint64_t fuzz_random(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng * 0x2545f4914f6cdd1dULL;
}

uint64_t fuzz_below(uint64_t limit)
{
	return fuzz_random() % limit;
}

unsigned int fuzz_rounds(unsigned int def)
{
	const char *env = getenv("LOCKSTEP_FUZZ");

	if (env)
		return (unsigned int)strtoul(env, NULL, 0);
	return getenv("LOCKSTEP_LONG") ? LONGER * def : def;
}

/* Values that break bounds more often than random ones do. */
static uint8_t odd_byte(void)
{
	static const uint8_t odd[] = { 0, 1, 0x7f, 0x80, 0xfe, 0xff };
	uint64_t r = fuzz_random();

	return r & 1 ? odd[(r >> 8) % sizeof(odd)] : (uint8_t)(r >> 8);
}

void fuzz_one(const uint8_t *good, size_t len, void (*fn)(const uint8_t *data, size_t len))
{
	size_t n = len, i;
	uint8_t *data;

	/* Cut short, or made longer, one time in four each. */
	switch (fuzz_random() % 4) {
	case 0:
		n = fuzz_random() % (len + 1);
		break;
	case 1:
		n = len + fuzz_random() % 64;
		break;
	}
	data = malloc(n ? n : 1);
	if (!data)
		abort();
	memcpy(data, good, n < len ? n : len);
	for (i = len; i < n; i++)
		data[i] = odd_byte();
	for (i = fuzz_random() % 4; i && n; i--)
		data[fuzz_random() % n] = odd_byte();
	fn(data, n);
	free(data);
}
