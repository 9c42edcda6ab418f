/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Runs: sorted pairs on disk and on the wire.
 *
 * A run file is a row of regions, one for each partition. A region stands for
 * itself: it can be copied out of its file. All numbers are little-endian.
 *
 *	region	blocks
 *		u32 magic "MRR1", the last character being the version
 *		u32 codec of the blocks (enum mr_codec)
 *		u32 raw length of the longest block
 *		u32 low half of the XXH3-64 of the twelve bytes before
 *	block	u32 raw length
 *		u32 length on disk; the raw length: kept as it is, whatever the codec
 *		u64 XXH3-64 of the bytes on disk, with those two as its seed
 *		bytes: pairs, compressed with the codec
 *	pair	varint 0: the key of the pair before in this block, or 1 + the key's length
 *		varint length of the value
 *		the key, if it is not that of the pair before; the value
 *
 * A varint has seven bits in each byte, the lowest first, and the eighth set in all
 * but the last. A partition without pairs has no region: its length is 0.
 *
 * struct mr_region tells how many bytes and pairs a region has and has a checksum of
 * all of it; a reader verifies both at the end, and each block before it uses it.
 */
#ifndef LOCKSTEP_MR_RUN_H
#define LOCKSTEP_MR_RUN_H

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "engine/attempt.h"

#define MR_RUN_MAGIC		0x3152524du	/* "MRR1" */
#define MR_RUN_HEADER		16		/* bytes before a block's pairs, and behind a region's blocks */
#define MR_RUN_BLOCK		((size_t)64 << 10)	/* raw bytes after which a block ends */
#define MR_RUN_PAIR_HEADER	10		/* most that two lengths take */
#define MR_RUN_BLOCK_MAX	(MR_KEY_MAX + MR_VALUE_MAX + MR_RUN_PAIR_HEADER)

/* ---- writing ---- */

/**
 * struct mr_run_writer - writes regions one behind the other
 * @fd: file
 * @pos: offset in it at which @out will be written
 * @codec: of the blocks
 * @out: bytes to be written
 * @out_len: how many
 * @out_cap: room
 * @raw: pairs of the block that is being filled; it lies in @out when there is no codec
 * @raw_len: bytes of them
 * @raw_cap: room, with a codec
 * @key: offset in @raw of the last pair's key
 * @key_len: its length
 * @longest: raw length of the region's longest block
 * @region: what is being written
 * @hash: of the region so far
 */
struct mr_run_writer {
	int fd;
	uint64_t pos;
	enum mr_codec codec;
	char *out;
	size_t out_len;
	size_t out_cap;
	char *raw;
	size_t raw_len;
	size_t raw_cap;
	size_t key;
	size_t key_len;
	size_t longest;
	struct mr_region region;
	XXH3_state_t *hash;
};

/**
 * mr_run_writer_init() - begin
 * @w: writer
 * @fd: file, the caller's
 * @pos: where to write
 * @codec: of the blocks
 *
 * Return: 0 or -ENOMEM.
 */
int mr_run_writer_init(struct mr_run_writer *w, int fd, uint64_t pos, enum mr_codec codec);
void mr_run_writer_exit(struct mr_run_writer *w);

void mr_run_region_begin(struct mr_run_writer *w, uint32_t map);

/* Append a pair to the region. 0 or -errno. */
int mr_run_write(struct mr_run_writer *w, struct mr_bytes key, struct mr_bytes value);

/* End the region; all but its path is told in @region. 0 or -errno. */
int mr_run_region_end(struct mr_run_writer *w, struct mr_region *region);

/* Write what is left. 0 or -errno. */
int mr_run_flush(struct mr_run_writer *w);

/* ---- reading ---- */

/**
 * struct mr_run_reader - reads one region
 * @fd: file, the caller's
 * @region: what is read
 * @pos: offset in the file of the next block
 * @end_pos: of the trailer
 * @codec: of its blocks
 * @longest: raw length of its longest block
 * @trailer: of the region
 * @raw: room for a block
 * @disk: room for one as it lies on disk; NULL without codec
 * @next: next pair in the block
 * @end: end of the block
 * @key: of the pair last read
 * @value: of the pair last read
 * @same: its key is the one of the pair before
 * @left: pairs that must follow
 * @raw_left: bytes of pairs that must follow
 * @hash: of the region so far
 */
struct mr_run_reader {
	int fd;
	const struct mr_region *region;
	uint64_t pos;
	uint64_t end_pos;
	enum mr_codec codec;
	size_t longest;
	char trailer[MR_RUN_HEADER];
	char *raw;
	char *disk;
	const char *next;
	const char *end;
	struct mr_bytes key;
	struct mr_bytes value;
	bool same;
	uint64_t left;
	uint64_t raw_left;
	XXH3_state_t *hash;
};

/**
 * mr_run_open() - begin to read a region that is not empty
 * @r: reader
 * @fd: file that holds it
 * @region: region; must stay
 *
 * Return: 0, -EBADMSG: it is corrupt, or another -errno.
 */
int mr_run_open(struct mr_run_reader *r, int fd, const struct mr_region *region);

/* Bytes of memory that the reader needs, at a multiple of 64. */
size_t mr_run_room(const struct mr_run_reader *r);
void mr_run_set_room(struct mr_run_reader *r, char *room);

/**
 * mr_run_next() - read a pair
 * @r: reader
 *
 * Return: 1, and @r->key, @r->value, @r->same are valid until the next call; 0 at the
 * region's end, which was found sound; -EBADMSG: it is corrupt; or another -errno.
 */
int mr_run_next(struct mr_run_reader *r);

#endif
