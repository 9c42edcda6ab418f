// SPDX-License-Identifier: GPL-2.0
/* UUIDs: guests, instances, stores, boot ids. */
#include "common/uuid.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/file.h"

int lockstep_uuid_random(struct lockstep_uuid *u)
{
	ssize_t n;

	do {
		n = getrandom(u->b, sizeof(u->b), 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n != sizeof(u->b))
		return -EIO;
	u->b[6] = (uint8_t)((u->b[6] & 0x0f) | 0x40);
	u->b[8] = (uint8_t)((u->b[8] & 0x3f) | 0x80);
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool dash_after(unsigned int byte)
{
	return byte == 3 || byte == 5 || byte == 7 || byte == 9;
}

int lockstep_uuid_parse(const char *s, struct lockstep_uuid *u)
{
	struct lockstep_uuid out;
	unsigned int i;
	int hi, lo;

	for (i = 0; i < LOCKSTEP_UUID_SIZE; i++) {
		hi = hex_digit(s[0]);
		if (hi < 0)
			return -EINVAL;
		lo = hex_digit(s[1]);
		if (lo < 0)
			return -EINVAL;
		out.b[i] = (uint8_t)(hi << 4 | lo);
		s += 2;
		if (dash_after(i) && *s++ != '-')
			return -EINVAL;
	}
	if (*s)
		return -EINVAL;
	*u = out;
	return 0;
}

char *lockstep_uuid_format(const struct lockstep_uuid *u, char *s)
{
	static const char digits[] = "0123456789abcdef";
	char *p = s;
	unsigned int i;

	for (i = 0; i < LOCKSTEP_UUID_SIZE; i++) {
		*p++ = digits[u->b[i] >> 4];
		*p++ = digits[u->b[i] & 15];
		if (dash_after(i))
			*p++ = '-';
	}
	*p = '\0';
	return s;
}

bool lockstep_uuid_equal(const struct lockstep_uuid *a, const struct lockstep_uuid *b)
{
	return !memcmp(a->b, b->b, sizeof(a->b));
}

bool lockstep_uuid_is_nil(const struct lockstep_uuid *u)
{
	static const struct lockstep_uuid nil;

	return lockstep_uuid_equal(u, &nil);
}

int lockstep_uuid_boot_id(struct lockstep_uuid *u)
{
	char *text;
	size_t len;
	int err;

	err = lockstep_file_read("/proc/sys/kernel/random/boot_id", 64, &text, &len);
	if (err)
		return err;
	if (len && text[len - 1] == '\n')
		text[len - 1] = '\0';
	err = lockstep_uuid_parse(text, u);
	free(text);
	return err;
}
