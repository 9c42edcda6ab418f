// SPDX-License-Identifier: GPL-2.0
/* See chance.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "chance.h"

/*
 * Seed from LOCKSTEP_SEED, or anew; says how to run @test (fixture.test) again.
 * What depends on when threads run is only likely to come again.
 */
void chance_init(struct chance *chance, const char *test)
{
	const char *seed = getenv("LOCKSTEP_SEED");

	if (seed)
		chance->state = strtoull(seed, NULL, 0);
	else if (getrandom(&chance->state, sizeof(chance->state), 0) != sizeof(chance->state))
		abort();
	printf("# %s again: LOCKSTEP_SEED=0x%llx%s %s\n", test, (unsigned long long)chance->state,
	       chance_is_long() ? " LOCKSTEP_LONG=1" : "", program_invocation_name);
	fflush(stdout);
}

/* splitmix64 */
static uint64_t next(struct chance *chance)
{
	uint64_t z = chance->state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

uint32_t chance_below(struct chance *chance, uint32_t limit)
{
	return (uint32_t)(next(chance) >> 32) % limit;
}

void chance_fill(struct chance *chance, void *data, size_t len)
{
	uint8_t *byte = data;

	while (len--)
		*byte++ = next(chance);
}

/* Is this a campaign (make check-long)? */
bool chance_is_long(void)
{
	return getenv("LOCKSTEP_LONG");
}

/* How much of something: what the environment says, or as much as is usual. */
unsigned int chance_setting(const char *name, unsigned int usual, unsigned int when_long)
{
	const char *value = getenv(name);

	if (value)
		return strtoul(value, NULL, 0);
	return chance_is_long() ? when_long : usual;
}
