/* SPDX-License-Identifier: GPL-2.0 */
/* The bytes of a run's blocks: little-endian numbers, checksum, compression. */
#ifndef LOCKSTEP_MR_BLOCK_H
#define LOCKSTEP_MR_BLOCK_H

#include <endian.h>
#include <string.h>

#include "engine/attempt.h"

static inline void mr_put_u32(char *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void mr_put_u64(char *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

static inline uint32_t mr_get_u32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t mr_get_u64(const char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

/* Checksum of a block's @len bytes on disk and of its two lengths. */
uint64_t mr_block_checksum(const char *data, uint32_t raw_len, uint32_t len);

/* Room that mr_block_pack() needs for @raw_len bytes. */
size_t mr_block_bound(enum mr_codec codec, size_t raw_len);

/**
 * mr_block_pack() - compress
 * @codec: not MR_CODEC_NONE
 * @to: room for mr_block_bound()
 * @raw: bytes
 * @raw_len: how many
 *
 * Return: bytes at @to; @raw_len when they are @raw as it was, being no shorter
 * compressed.
 */
size_t mr_block_pack(enum mr_codec codec, char *to, const char *raw, size_t raw_len);

/**
 * mr_block_unpack() - the reverse, of bytes that are not trusted
 * @codec: not MR_CODEC_NONE
 * @raw: room for @raw_len
 * @raw_len: what there must be
 * @from: bytes
 * @len: how many
 *
 * Return: 0 or -EBADMSG.
 */
int mr_block_unpack(enum mr_codec codec, char *raw, size_t raw_len, const char *from, size_t len);

#endif
