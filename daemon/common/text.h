/* SPDX-License-Identifier: GPL-2.0 */
/* Values as people read them. */
#ifndef LOCKSTEP_COMMON_TEXT_H
#define LOCKSTEP_COMMON_TEXT_H

#include <stddef.h>
#include <stdint.h>

/**
 * lockstep_text_bytes() - "1.5 MiB"
 * @n: bytes
 * @out: receives the text
 * @size: room in @out, at least 16
 *
 * Return: @out.
 */
char *lockstep_text_bytes(uint64_t n, char *out, size_t size);

#endif
