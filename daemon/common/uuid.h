/* SPDX-License-Identifier: GPL-2.0 */
/* UUIDs: guests, instances, stores, boot ids. */
#ifndef LOCKSTEP_COMMON_UUID_H
#define LOCKSTEP_COMMON_UUID_H

#include <stdbool.h>
#include <stdint.h>

#define LOCKSTEP_UUID_SIZE	16	/* bytes */
#define LOCKSTEP_UUID_STRLEN	36	/* characters, without the final zero */

/**
 * struct lockstep_uuid - a UUID in the byte order of its text form
 * @b: the bytes; all zero means "none"
 */
struct lockstep_uuid {
	uint8_t b[LOCKSTEP_UUID_SIZE];
};

/**
 * lockstep_uuid_random() - mint a version 4 UUID
 * @u: receives it
 *
 * Return: 0, or -errno when the kernel gives no randomness.
 */
int lockstep_uuid_random(struct lockstep_uuid *u);

/**
 * lockstep_uuid_parse() - read the 36-character lower or upper case form
 * @s: text, exactly 36 characters
 * @u: receives the UUID
 *
 * Return: 0 or -EINVAL.
 */
int lockstep_uuid_parse(const char *s, struct lockstep_uuid *u);

/**
 * lockstep_uuid_format() - write the lower case text form
 * @u: UUID
 * @s: room for LOCKSTEP_UUID_STRLEN + 1 characters
 *
 * Return: @s.
 */
char *lockstep_uuid_format(const struct lockstep_uuid *u, char *s);

bool lockstep_uuid_equal(const struct lockstep_uuid *a, const struct lockstep_uuid *b);
bool lockstep_uuid_is_nil(const struct lockstep_uuid *u);

/**
 * lockstep_uuid_boot_id() - this boot of this host
 * @u: receives /proc/sys/kernel/random/boot_id
 *
 * Return: 0 or -errno.
 */
int lockstep_uuid_boot_id(struct lockstep_uuid *u);

#endif
