// SPDX-License-Identifier: GPL-2.0
#include "engine/runindex.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "common/bytes.h"
#include "common/file.h"
#include "engine/attempt.h"

#define SUM_AT	(MR_RUNINDEX_ENTRY - 8)

void mr_run_name(uint32_t map, uint32_t attempt, uint64_t epoch, char *name)
{
	snprintf(name, MR_RUN_NAME_MAX, "run-%u-%u-%llu", map, attempt, (unsigned long long)epoch);
}

static void entry_encode(const struct mr_region *region, uint32_t reduce, uint8_t *out)
{
	struct lockstep_writer w;

	lockstep_writer_init(&w, out, MR_RUNINDEX_ENTRY);
	lockstep_write_u64(&w, region->offset);
	lockstep_write_u64(&w, region->len);
	lockstep_write_u64(&w, region->raw_len);
	lockstep_write_u64(&w, region->records);
	lockstep_write_u64(&w, region->checksum);
	lockstep_write_u64(&w, XXH3_64bits_withSeed(out, SUM_AT, reduce));
}

int mr_runindex_append(const char *path, const struct mr_region *regions, uint32_t nr, uint64_t *offset)
{
	uint8_t *index;
	struct stat st;
	uint32_t i;
	int fd, err;

	index = malloc((size_t)nr * MR_RUNINDEX_ENTRY + 1);
	if (!index)
		return -ENOMEM;
	for (i = 0; i < nr; i++)
		entry_encode(&regions[i], i, index + (size_t)i * MR_RUNINDEX_ENTRY);
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0) {
		err = -errno;
		goto out_free;
	}
	if (fstat(fd, &st)) {
		err = -errno;
		goto out_close;
	}
	*offset = (uint64_t)st.st_size;
	err = lockstep_file_write_all(fd, index, (size_t)nr * MR_RUNINDEX_ENTRY);
out_close:
	close(fd);
out_free:
	free(index);
	return err;
}

int mr_runindex_read(const char *path, uint64_t offset, uint32_t map, uint32_t reduce, struct mr_region *region)
{
	uint8_t entry[MR_RUNINDEX_ENTRY];
	struct lockstep_reader r;
	ssize_t n;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	n = pread(fd, entry, sizeof(entry), (off_t)(offset + (uint64_t)reduce * MR_RUNINDEX_ENTRY));
	if (n < 0)
		n = -errno;
	close(fd);
	if (n < 0)
		return (int)n;
	if (n != sizeof(entry))
		return -EBADMSG;
	lockstep_reader_init(&r, entry, sizeof(entry));
	*region = (struct mr_region) { .path = path, .map = map };
	region->offset = lockstep_read_u64(&r);
	region->len = lockstep_read_u64(&r);
	region->raw_len = lockstep_read_u64(&r);
	region->records = lockstep_read_u64(&r);
	region->checksum = lockstep_read_u64(&r);
	if (lockstep_read_u64(&r) != XXH3_64bits_withSeed(entry, SUM_AT, reduce))
		return -EBADMSG;
	return 0;
}
