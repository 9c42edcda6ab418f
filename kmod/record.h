/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The codec of log records and batches
 *
 * Pure functions without state, the same source in the module and in user
 * space (tools/log, unit tests, fuzzers).  The layout is declared in the uapi
 * header.
 */
#ifndef LOCKSTEP_RECORD_H
#define LOCKSTEP_RECORD_H

#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/types.h>
#include <asm/byteorder.h>
#include <linux/lockstep.h>
#else
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/lockstep.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
#define cpu_to_le16(x)	htole16(x)
#define cpu_to_le32(x)	htole32(x)
#define cpu_to_le64(x)	htole64(x)
#define le16_to_cpu(x)	le16toh(x)
#define le32_to_cpu(x)	le32toh(x)
#define le64_to_cpu(x)	le64toh(x)
#endif

#define LOCKSTEP_SHORT_MAX	11	/* bytes of the longest short record */
#define LOCKSTEP_LONG_MAX	(sizeof(struct lockstep_record) + LOCKSTEP_PAYLOAD_MAX)

/**
 * struct lockstep_rec - one decoded record
 * @type:    enum lockstep_record_type
 * @unit:    long: device or stream
 * @kind:    long: what of it
 * @size:    bytes of the whole record in the log
 * @len:     long: bytes of payload
 * @payload: long: inside the decoded buffer
 * @delta:   short: clock difference, ns
 * @pos:     long: position
 * @digest:  long: digest of the registers there
 */
struct lockstep_rec {
	u8 type;
	u8 unit;
	u16 kind;
	u32 size;
	u32 len;
	const u8 *payload;
	u64 delta;
	struct lockstep_pos pos;
	u64 digest;
};

static inline bool lockstep_record_is_short(u8 type)
{
	return type >= LOCKSTEP_RECORD_TSC && type < __LOCKSTEP_RECORD_SHORT_LAST;
}

/**
 * lockstep_record_short_put - encode a clock record
 * @buf:   room for LOCKSTEP_SHORT_MAX bytes
 * @type:  a short type
 * @delta: clock difference, ns
 *
 * Returns the number of bytes written.
 */
static inline unsigned int lockstep_record_short_put(u8 *buf, u8 type, u64 delta)
{
	unsigned int n = 0;

	buf[n++] = type;
	while (delta >= 0x80) {
		buf[n++] = (u8)delta | 0x80;
		delta >>= 7;
	}
	buf[n++] = (u8)delta;
	return n;
}

void lockstep_record_long_put(u8 *buf, const struct lockstep_rec *rec);
int lockstep_record_get(const u8 *buf, size_t avail, struct lockstep_rec *rec);
size_t lockstep_record_fit(const u8 *buf, size_t avail, size_t max);

void lockstep_batch_seal(struct lockstep_batch *batch);
int lockstep_batch_check(const void *data, size_t len);

#endif
