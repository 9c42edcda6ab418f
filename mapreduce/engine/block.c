// SPDX-License-Identifier: GPL-2.0
/* The bytes of a run's blocks: checksum, compression. */
#include "engine/block.h"

#include <errno.h>
#include <lz4.h>
#include <xxhash.h>
#include <zstd.h>

uint64_t mr_block_checksum(const char *data, uint32_t raw_len, uint32_t len)
{
	return XXH3_64bits_withSeed(data, len, (uint64_t)raw_len << 32 | len);
}

size_t mr_block_bound(enum mr_codec codec, size_t raw_len)
{
	size_t bound = raw_len;

	if (codec == MR_CODEC_LZ4)
		bound = (size_t)LZ4_compressBound((int)raw_len);
	else if (codec == MR_CODEC_ZSTD)
		bound = ZSTD_compressBound(raw_len);
	return bound > raw_len ? bound : raw_len;
}

size_t mr_block_pack(enum mr_codec codec, char *to, const char *raw, size_t raw_len)
{
	size_t bound = mr_block_bound(codec, raw_len), len = 0;

	if (codec == MR_CODEC_LZ4)
		len = (size_t)LZ4_compress_default(raw, to, (int)raw_len, (int)bound);
	else
		len = ZSTD_compress(to, bound, raw, raw_len, 1);
	if (len && !ZSTD_isError(len) && len < raw_len)
		return len;
	memcpy(to, raw, raw_len);
	return raw_len;
}

int mr_block_unpack(enum mr_codec codec, char *raw, size_t raw_len, const char *from, size_t len)
{
	size_t got;

	if (len == raw_len) {
		memcpy(raw, from, len);
		return 0;
	}
	if (codec == MR_CODEC_LZ4) {
		int n = LZ4_decompress_safe(from, raw, (int)len, (int)raw_len);

		return n >= 0 && (size_t)n == raw_len ? 0 : -EBADMSG;
	}
	got = ZSTD_decompress(raw, raw_len, from, len);
	return !ZSTD_isError(got) && got == raw_len ? 0 : -EBADMSG;
}
