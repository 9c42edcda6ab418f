/* SPDX-License-Identifier: GPL-2.0 */
/* Random numbers that a printed seed repeats. */
#ifndef CHANCE_H
#define CHANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct chance - a row of numbers
 * @state: the next is made from it
 */
struct chance {
	uint64_t state;
};

void chance_init(struct chance *chance, const char *test);
uint32_t chance_below(struct chance *chance, uint32_t limit);
void chance_fill(struct chance *chance, void *data, size_t len);

bool chance_is_long(void);
unsigned int chance_setting(const char *name, unsigned int usual, unsigned int when_long);

#endif
