// SPDX-License-Identifier: GPL-2.0
/* Bounds-checked little-endian readers and writers. */
#include "common/bytes.h"

#include <string.h>

bool lockstep_bytes_are_zero(const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len--) {
		if (*p++)
			return false;
	}
	return true;
}

void lockstep_reader_init(struct lockstep_reader *r, const void *data, size_t len)
{
	r->pos = data;
	r->left = len;
	r->bad = false;
}

const void *lockstep_read_span(struct lockstep_reader *r, size_t len)
{
	const void *span = r->pos;

	if (r->bad || len > r->left) {
		r->bad = true;
		return NULL;
	}
	r->pos += len;
	r->left -= len;
	return span;
}

/* Little-endian value of n <= 8 bytes. */
static uint64_t read_le(struct lockstep_reader *r, unsigned int n)
{
	const uint8_t *p = lockstep_read_span(r, n);
	uint64_t v = 0;

	if (!p)
		return 0;
	while (n--)
		v = v << 8 | p[n];
	return v;
}

uint8_t lockstep_read_u8(struct lockstep_reader *r)
{
	return (uint8_t)read_le(r, 1);
}

uint16_t lockstep_read_u16(struct lockstep_reader *r)
{
	return (uint16_t)read_le(r, 2);
}

uint32_t lockstep_read_u32(struct lockstep_reader *r)
{
	return (uint32_t)read_le(r, 4);
}

uint64_t lockstep_read_u64(struct lockstep_reader *r)
{
	return read_le(r, 8);
}

void lockstep_read_bytes(struct lockstep_reader *r, void *out, size_t len)
{
	const void *p = lockstep_read_span(r, len);

	if (p)
		memcpy(out, p, len);
	else
		memset(out, 0, len);
}

void lockstep_read_str(struct lockstep_reader *r, char *out, size_t size)
{
	size_t len = lockstep_read_u8(r);
	const char *p = lockstep_read_span(r, len);

	out[0] = '\0';
	if (!p)
		return;
	if (len >= size || memchr(p, '\0', len)) {
		r->bad = true;
		return;
	}
	memcpy(out, p, len);
	out[len] = '\0';
}

void lockstep_writer_init(struct lockstep_writer *w, void *buf, size_t size)
{
	w->buf = buf;
	w->len = 0;
	w->size = size;
	w->bad = false;
}

void lockstep_write_bytes(struct lockstep_writer *w, const void *data, size_t len)
{
	if (w->bad || len > w->size - w->len) {
		w->bad = true;
		return;
	}
	if (len)
		memcpy(w->buf + w->len, data, len);
	w->len += len;
}

static void write_le(struct lockstep_writer *w, uint64_t v, unsigned int n)
{
	uint8_t b[8];
	unsigned int i;

	for (i = 0; i < n; i++, v >>= 8)
		b[i] = (uint8_t)v;
	lockstep_write_bytes(w, b, n);
}

void lockstep_write_u8(struct lockstep_writer *w, uint8_t v)
{
	write_le(w, v, 1);
}

void lockstep_write_u16(struct lockstep_writer *w, uint16_t v)
{
	write_le(w, v, 2);
}

void lockstep_write_u32(struct lockstep_writer *w, uint32_t v)
{
	write_le(w, v, 4);
}

void lockstep_write_u64(struct lockstep_writer *w, uint64_t v)
{
	write_le(w, v, 8);
}

void lockstep_write_str(struct lockstep_writer *w, const char *s)
{
	size_t len = strlen(s);

	if (len > UINT8_MAX) {
		w->bad = true;
		return;
	}
	lockstep_write_u8(w, (uint8_t)len);
	lockstep_write_bytes(w, s, len);
}
