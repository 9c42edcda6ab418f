// SPDX-License-Identifier: GPL-2.0
/*
 * Host files: whole reads and writes, and the digest of a disk's content
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "file.h"

#define DIGEST_BLOCK	65536U

int vmm_file_read(int fd, void *data, size_t len, off_t at)
{
	while (len) {
		ssize_t n = pread(fd, data, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -EIO;
		data = (char *)data + n;
		len -= (size_t)n;
		at += n;
	}
	return 0;
}

int vmm_file_write(int fd, const void *data, size_t len, off_t at)
{
	while (len) {
		ssize_t n = pwrite(fd, data, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data = (const char *)data + n;
		len -= (size_t)n;
		at += n;
	}
	return 0;
}

struct progress {
	const char *name;
	uint64_t size;
	time_t next;
	bool shown;
};

static time_t seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static void show_progress(struct progress *progress, uint64_t done)
{
	time_t now = seconds();

	if (now < progress->next)
		return;
	fprintf(stderr, "lockstep-vmm: reading %s: %u %%\n", progress->name,
		(unsigned int)(done * 100 / progress->size));
	progress->next = now + 2;
	progress->shown = true;
}

/*
 * The next byte at or behind @at that may be data.  Where the file system can't
 * tell, everything is data.
 */
static uint64_t next_data(int fd, uint64_t at, uint64_t size)
{
	off_t data = lseek(fd, (off_t)at, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? size : at;
	return (uint64_t)data;
}

/* Blocks of zeroes add nothing, so that a hole is skipped without a read. */
int vmm_file_digest(int fd, uint64_t size, const char *name, uint64_t *digest)
{
	struct progress progress = { .name = name, .size = size, .next = seconds() + 1 };
	static const uint8_t zero[DIGEST_BLOCK];
	uint64_t sum = 0, at = 0;
	uint8_t *block;
	int err = 0;

	block = malloc(DIGEST_BLOCK);
	if (!block)
		return -ENOMEM;
	while (at < size) {
		uint64_t data = next_data(fd, at, size);
		uint64_t want;

		at = data - data % DIGEST_BLOCK;
		if (at >= size)
			break;
		want = size - at < DIGEST_BLOCK ? size - at : DIGEST_BLOCK;
		err = vmm_file_read(fd, block, want, (off_t)at);
		if (err)
			break;
		if (memcmp(block, zero, want))
			sum += XXH64(block, want, at / DIGEST_BLOCK);
		at += want;
		show_progress(&progress, at);
	}
	if (progress.shown)
		fprintf(stderr, "lockstep-vmm: reading %s: %s\n", name, err ? strerror(-err) : "done");
	free(block);
	*digest = sum;
	return err;
}
