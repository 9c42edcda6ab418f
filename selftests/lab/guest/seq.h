/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sequence protocol: a TCP session in which a lost, doubled, changed or
 * reordered byte cannot go unnoticed. The client numbers its records from 0;
 * the service answers each, in order, with its number and a hash over all bytes
 * of the session so far. Fields are little-endian.
 */
#ifndef LAB_SEQ_H
#define LAB_SEQ_H

#include <stddef.h>
#include <stdint.h>

#define SEQ_PORT		7001
#define SEQ_RECORD_MAGIC	0x71657351u
#define SEQ_REPLY_MAGIC		0x70657251u
#define SEQ_LEN_MAX		65536u	/* bytes of payload in a record or a reply */

/**
 * struct seq_record - what the client sends, followed by @len bytes
 * @magic:	SEQ_RECORD_MAGIC
 * @len:	bytes that follow, at most SEQ_LEN_MAX
 * @reply_len:	bytes wanted after the reply, at most SEQ_LEN_MAX
 * @reserved:	0
 * @seq:	number of the record in its session
 */
struct seq_record {
	uint32_t magic;
	uint32_t len;
	uint32_t reply_len;
	uint32_t reserved;
	uint64_t seq;
};

/**
 * struct seq_reply - the service's answer, followed by @len bytes
 * @magic:	SEQ_REPLY_MAGIC
 * @len:	bytes that follow: what the record asked for
 * @seq:	the service's own count of the records of this session, from 0
 * @hash:	seq_hash() over all bytes received in this session
 * @guest_ns:	the service's CLOCK_MONOTONIC, which must never go back
 */
struct seq_reply {
	uint32_t magic;
	uint32_t len;
	uint64_t seq;
	uint64_t hash;
	uint64_t guest_ns;
};

#define SEQ_HASH_START	0xcbf29ce484222325ull

/* FNV-1a, over 64 bits. */
static inline uint64_t seq_hash(uint64_t h, const void *data, size_t len)
{
	const unsigned char *p = data;

	while (len--)
		h = (h ^ *p++) * 0x100000001b3ull;
	return h;
}

/* Payload of record or reply @seq: both ends can make it, and it differs from one to the next. */
static inline void seq_fill(unsigned char *to, size_t len, uint64_t seq, unsigned int salt)
{
	uint64_t x = (seq + 1) * 0x9e3779b97f4a7c15ull + salt;

	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		to[i] = x;
	}
}

#endif
