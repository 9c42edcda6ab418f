// SPDX-License-Identifier: GPL-2.0
/* Reading runs; their format stands in run.h. Nothing in them is trusted. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "engine/block.h"
#include "engine/progress.h"
#include "engine/run.h"

/* All of @len bytes at @pos; fewer: the file is not what it was. */
static int read_at(const struct mr_run_reader *r, char *to, size_t len, uint64_t pos)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = pread(r->fd, to + done, len - done, (off_t)(pos + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -EBADMSG;
		done += (size_t)n;
	}
	return 0;
}

int mr_run_open(struct mr_run_reader *r, int fd, const struct mr_region *region)
{
	char *t = r->trailer;
	int ret;

	memset(r, 0, sizeof(*r));
	r->fd = fd;
	r->region = region;
	r->pos = region->offset;
	r->left = region->records;
	r->raw_left = region->raw_len;
	if (region->len < MR_RUN_HEADER || region->len > INT64_MAX || region->offset > INT64_MAX - region->len)
		return -EBADMSG;
	r->end_pos = region->offset + region->len - MR_RUN_HEADER;
	ret = read_at(r, t, MR_RUN_HEADER, r->end_pos);
	if (ret)
		return ret;
	r->codec = mr_get_u32(t + 4);
	r->longest = mr_get_u32(t + 8);
	if (mr_get_u32(t) != MR_RUN_MAGIC || mr_get_u32(t + 12) != (uint32_t)XXH3_64bits(t, 12) ||
	    r->codec > MR_CODEC_MAX || r->longest > MR_RUN_BLOCK_MAX)
		return -EBADMSG;
	return 0;
}

/* Buffers begin at cache lines. */
static size_t align(size_t len)
{
	return (len + 63) & ~(size_t)63;
}

/* On disk a block is never longer than raw. */
size_t mr_run_room(const struct mr_run_reader *r)
{
	return align(sizeof(*r->hash)) + align(r->longest) * (r->codec ? 2 : 1);
}

void mr_run_set_room(struct mr_run_reader *r, char *room)
{
	r->hash = (XXH3_state_t *)room;
	XXH3_INITSTATE(r->hash);
	XXH3_64bits_reset(r->hash);
	r->raw = room + align(sizeof(*r->hash));
	r->disk = r->codec ? r->raw + align(r->longest) : NULL;
	r->next = r->raw;
	r->end = r->raw;
}

/* Is the whole region what its maker says? 0 or -EBADMSG. */
static int verify_region(struct mr_run_reader *r)
{
	XXH3_64bits_update(r->hash, r->trailer, MR_RUN_HEADER);
	return !r->left && !r->raw_left && XXH3_64bits_digest(r->hash) == r->region->checksum ? 0 : -EBADMSG;
}

/* 1: there is a block; 0: that was the last. */
static int read_block(struct mr_run_reader *r)
{
	char *to = r->codec ? r->disk : r->raw, h[MR_RUN_HEADER];
	uint32_t raw_len, len;
	int ret;

	if (r->pos == r->end_pos)
		return verify_region(r);
	if (r->end_pos - r->pos < MR_RUN_HEADER)
		return -EBADMSG;
	ret = read_at(r, h, sizeof(h), r->pos);
	if (ret)
		return ret;
	raw_len = mr_get_u32(h);
	len = mr_get_u32(h + 4);
	if (!raw_len || raw_len > r->longest || raw_len > r->raw_left || len > raw_len ||
	    (!r->codec && len != raw_len) || len > r->end_pos - r->pos - MR_RUN_HEADER)
		return -EBADMSG;
	ret = read_at(r, to, len, r->pos + MR_RUN_HEADER);
	if (ret)
		return ret;
	if (mr_get_u64(h + 8) != mr_block_checksum(to, raw_len, len))
		return -EBADMSG;
	XXH3_64bits_update(r->hash, h, MR_RUN_HEADER);
	XXH3_64bits_update(r->hash, to, len);
	ret = r->codec ? mr_block_unpack(r->codec, r->raw, raw_len, to, len) : 0;
	if (ret)
		return ret;
	mr_progress_bytes(MR_RUN_HEADER + len);
	r->pos += MR_RUN_HEADER + len;
	r->raw_left -= raw_len;
	r->next = r->raw;
	r->end = r->raw + raw_len;
	r->key.data = NULL;
	return 1;
}

/* NULL: it does not end, or is too large. */
static const char *get_varint(const char *p, const char *end, uint64_t *value)
{
	unsigned int shift;
	uint64_t v = 0;

	for (shift = 0; shift < 35 && p < end; shift += 7) {
		v |= (uint64_t)(*p & 0x7f) << shift;
		if (!(*p++ & 0x80)) {
			*value = v;
			return p;
		}
	}
	return NULL;
}

int mr_run_next(struct mr_run_reader *r)
{
	uint64_t key_len, value_len;
	const char *p;
	int ret;

	if (r->next == r->end) {
		ret = read_block(r);
		if (ret <= 0)
			return ret;
	}
	p = get_varint(r->next, r->end, &key_len);
	p = p ? get_varint(p, r->end, &value_len) : NULL;
	if (!p || !r->left)
		return -EBADMSG;
	r->same = !key_len;
	if (r->same && !r->key.data)	/* the first of a block has its key */
		return -EBADMSG;
	key_len -= !r->same;
	if (key_len > (uint64_t)(r->end - p) || value_len > (uint64_t)(r->end - p) - key_len)
		return -EBADMSG;
	if (!r->same) {
		r->key.data = p;
		r->key.len = key_len;
		p += key_len;
	}
	r->value.data = p;
	r->value.len = value_len;
	r->next = p + value_len;
	r->left--;
	return 1;
}
