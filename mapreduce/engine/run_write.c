// SPDX-License-Identifier: GPL-2.0
/* Writing runs; their format stands in run.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/block.h"
#include "engine/run.h"

#define FLUSH	((size_t)256 << 10)	/* written at once */

/* Room for a block with a pair of @need bytes behind what is to be written. Called while no block is begun. */
static int make_room(struct mr_run_writer *w, size_t need)
{
	size_t raw = need > MR_RUN_BLOCK ? need : MR_RUN_BLOCK;
	size_t out = FLUSH + 2 * MR_RUN_HEADER + mr_block_bound(w->codec, raw);
	char *larger;

	if (out > w->out_cap) {
		larger = realloc(w->out, out);
		if (!larger)
			return -ENOMEM;
		w->out = larger;
		w->out_cap = out;
	}
	if (w->codec && raw > w->raw_cap) {
		larger = realloc(w->raw, raw);
		if (!larger)
			return -ENOMEM;
		w->raw = larger;
		w->raw_cap = raw;
	}
	if (!w->codec)
		w->raw = w->out + w->out_len + MR_RUN_HEADER;
	return 0;
}

int mr_run_writer_init(struct mr_run_writer *w, int fd, uint64_t pos, enum mr_codec codec)
{
	memset(w, 0, sizeof(*w));
	w->fd = fd;
	w->pos = pos;
	w->codec = codec;
	w->hash = XXH3_createState();
	return w->hash ? 0 : -ENOMEM;
}

void mr_run_writer_exit(struct mr_run_writer *w)
{
	if (w->codec)
		free(w->raw);
	free(w->out);
	XXH3_freeState(w->hash);
	memset(w, 0, sizeof(*w));
}

int mr_run_flush(struct mr_run_writer *w)
{
	size_t done = 0;
	ssize_t n;

	while (done < w->out_len) {
		n = pwrite(w->fd, w->out + done, w->out_len - done, (off_t)w->pos);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
		w->pos += (uint64_t)n;
	}
	w->out_len = 0;
	return 0;
}

void mr_run_region_begin(struct mr_run_writer *w, uint32_t map)
{
	memset(&w->region, 0, sizeof(w->region));
	w->region.map = map;
	w->region.offset = w->pos + w->out_len;
	w->longest = 0;
	w->raw_len = 0;
	XXH3_64bits_reset(w->hash);
}

/* The block's pairs are all there: put it behind what is to be written. */
static int end_block(struct mr_run_writer *w)
{
	char *h = w->out + w->out_len;
	size_t len = w->raw_len;

	if (!w->raw_len)
		return 0;
	if (w->codec)
		len = mr_block_pack(w->codec, h + MR_RUN_HEADER, w->raw, w->raw_len);
	mr_put_u32(h, (uint32_t)w->raw_len);
	mr_put_u32(h + 4, (uint32_t)len);
	mr_put_u64(h + 8, mr_block_checksum(h + MR_RUN_HEADER, (uint32_t)w->raw_len, (uint32_t)len));
	XXH3_64bits_update(w->hash, h, MR_RUN_HEADER + len);
	w->region.raw_len += w->raw_len;
	if (w->raw_len > w->longest)
		w->longest = w->raw_len;
	w->out_len += MR_RUN_HEADER + len;
	w->raw_len = 0;
	return w->out_len >= FLUSH ? mr_run_flush(w) : 0;
}

static char *put_varint(char *p, size_t n)
{
	for (; n >= 0x80; n >>= 7)
		*p++ = (char)(n | 0x80);
	*p++ = (char)n;
	return p;
}

int mr_run_write(struct mr_run_writer *w, struct mr_bytes key, struct mr_bytes value)
{
	size_t need = MR_RUN_PAIR_HEADER + key.len + value.len;
	bool same;
	char *p;
	int ret;

	if (w->raw_len && w->raw_len + need > MR_RUN_BLOCK) {
		ret = end_block(w);
		if (ret)
			return ret;
	}
	if (!w->raw_len) {
		ret = make_room(w, need);
		if (ret)
			return ret;
	}
	same = w->raw_len && key.len == w->key_len && memcmp(w->raw + w->key, key.data, key.len) == 0;
	p = put_varint(w->raw + w->raw_len, same ? 0 : key.len + 1);
	p = put_varint(p, value.len);
	if (!same) {
		w->key = (size_t)(p - w->raw);
		w->key_len = key.len;
		memcpy(p, key.data, key.len);
		p += key.len;
	}
	memcpy(p, value.data, value.len);
	w->raw_len = (size_t)(p - w->raw) + value.len;
	w->region.records++;
	return 0;
}

int mr_run_region_end(struct mr_run_writer *w, struct mr_region *region)
{
	int ret = end_block(w);
	char *t;

	if (ret)
		return ret;
	if (w->longest) {	/* there is room: a block of this region has come before */
		t = w->out + w->out_len;
		mr_put_u32(t, MR_RUN_MAGIC);
		mr_put_u32(t + 4, w->codec);
		mr_put_u32(t + 8, (uint32_t)w->longest);
		mr_put_u32(t + 12, (uint32_t)XXH3_64bits(t, 12));
		XXH3_64bits_update(w->hash, t, MR_RUN_HEADER);
		w->out_len += MR_RUN_HEADER;
		w->region.checksum = XXH3_64bits_digest(w->hash);
	}
	w->region.len = w->pos + w->out_len - w->region.offset;
	*region = w->region;
	return w->out_len >= FLUSH ? mr_run_flush(w) : 0;
}
