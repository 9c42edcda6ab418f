/* SPDX-License-Identifier: GPL-2.0 */
/* Damaging good bytes at random, repeatably. */
#ifndef SELFTESTS_FUZZ_H
#define SELFTESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Seed the generator from LOCKSTEP_SEED, or at random; prints what repeats the run. */
void fuzz_seed(void);
uint64_t fuzz_random(void);
uint64_t fuzz_below(uint64_t limit);

/* Number of rounds: LOCKSTEP_FUZZ, or @def, times 20 in a campaign (LOCKSTEP_LONG). */
unsigned int fuzz_rounds(unsigned int def);

/**
 * fuzz_one() - hand a damaged copy to a decoder
 * @good: bytes to damage
 * @len: how many
 * @fn: decoder; its data is heap memory of exactly the length it is told
 */
void fuzz_one(const uint8_t *good, size_t len, void (*fn)(const uint8_t *data, size_t len));

#endif
