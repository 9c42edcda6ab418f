/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Bounds-checked little-endian readers and writers.
 *
 * Every byte that comes from a peer or from a file is taken apart with these.
 * A cursor that once ran out of room stays bad: code reads a whole structure
 * and tests lockstep_reader_ok() once, at its end. Values read from a bad
 * cursor are zero and pointers are NULL.
 */
#ifndef LOCKSTEP_COMMON_BYTES_H
#define LOCKSTEP_COMMON_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Nothing but zeros? */
bool lockstep_bytes_are_zero(const void *data, size_t len);

/**
 * struct lockstep_reader - a cursor over bytes that are not trusted
 * @pos: next byte to read
 * @left: bytes not yet read
 * @bad: a read went past the end, or found a string that is none
 */
struct lockstep_reader {
	const uint8_t *pos;
	size_t left;
	bool bad;
};

/**
 * struct lockstep_writer - a cursor over a buffer being filled
 * @buf: start of the buffer
 * @len: bytes written
 * @size: room in @buf
 * @bad: a write did not fit; @len is then meaningless
 */
struct lockstep_writer {
	uint8_t *buf;
	size_t len;
	size_t size;
	bool bad;
};

void lockstep_reader_init(struct lockstep_reader *r, const void *data, size_t len);
uint8_t lockstep_read_u8(struct lockstep_reader *r);
uint16_t lockstep_read_u16(struct lockstep_reader *r);
uint32_t lockstep_read_u32(struct lockstep_reader *r);
uint64_t lockstep_read_u64(struct lockstep_reader *r);

/**
 * lockstep_read_bytes() - copy @len bytes out
 * @r: cursor
 * @out: receives the bytes; zeroed when the cursor is or turns bad
 * @len: bytes to copy
 */
void lockstep_read_bytes(struct lockstep_reader *r, void *out, size_t len);

/**
 * lockstep_read_span() - take @len bytes without copying
 * @r: cursor
 * @len: bytes to skip
 *
 * Return: pointer into the data the cursor was made for, or NULL.
 */
const void *lockstep_read_span(struct lockstep_reader *r, size_t len);

/**
 * lockstep_read_str() - copy a string written by lockstep_write_str()
 * @r: cursor
 * @out: receives the string with its terminating zero
 * @size: room in @out; a longer string, or one with a zero inside, is bad
 */
void lockstep_read_str(struct lockstep_reader *r, char *out, size_t size);

/** lockstep_reader_ok() - nothing read so far was out of bounds */
static inline bool lockstep_reader_ok(const struct lockstep_reader *r)
{
	return !r->bad;
}

/** lockstep_reader_done() - all was in bounds and nothing is left over */
static inline bool lockstep_reader_done(const struct lockstep_reader *r)
{
	return !r->bad && !r->left;
}

void lockstep_writer_init(struct lockstep_writer *w, void *buf, size_t size);
void lockstep_write_u8(struct lockstep_writer *w, uint8_t v);
void lockstep_write_u16(struct lockstep_writer *w, uint16_t v);
void lockstep_write_u32(struct lockstep_writer *w, uint32_t v);
void lockstep_write_u64(struct lockstep_writer *w, uint64_t v);
void lockstep_write_bytes(struct lockstep_writer *w, const void *data, size_t len);

/**
 * lockstep_write_str() - write a one-byte length and the characters
 * @w: cursor
 * @s: string of at most 255 characters; a longer one makes the cursor bad
 */
void lockstep_write_str(struct lockstep_writer *w, const char *s);

/** lockstep_writer_ok() - everything written so far fitted */
static inline bool lockstep_writer_ok(const struct lockstep_writer *w)
{
	return !w->bad;
}

#endif
