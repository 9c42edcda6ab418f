// SPDX-License-Identifier: GPL-2.0
#include "coordinator/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "common/bytes.h"
#include "common/file.h"

#define SUM_AT		(MR_JOURNAL_HEAD - 8)

struct mr_journal {
	int fd;
	int error;		/* of a write that failed */
	uint64_t seq;
	uint64_t sum;
	uint8_t *frame;		/* head and payload of the next one */
	size_t len;		/* of its payload */
	size_t room;
};

static int sync_folder(const char *path)
{
	char copy[PATH_MAX];

	if (strlen(path) >= sizeof(copy))
		return -ENAMETOOLONG;
	strcpy(copy, path);
	return lockstep_file_sync_dir(dirname(copy));
}

static int journal_new(const char *path, int flags, struct mr_journal **journal)
{
	struct mr_journal *j = calloc(1, sizeof(*j));
	int err;

	if (!j)
		return -ENOMEM;
	j->fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC | flags, 0644);
	if (j->fd < 0) {
		err = -errno;
		goto out_free;
	}
	if (flock(j->fd, LOCK_EX | LOCK_NB)) {
		err = errno == EWOULDBLOCK ? -EBUSY : -errno;
		goto out_close;
	}
	*journal = j;
	return 0;
out_close:
	close(j->fd);
out_free:
	free(j);
	return err;
}

int mr_journal_create(const char *path, struct mr_journal **journal)
{
	int err;

	err = journal_new(path, O_CREAT | O_EXCL, journal);
	if (err)
		return err;
	err = sync_folder(path);
	if (err)
		mr_journal_close(*journal);
	return err;
}

void mr_journal_close(struct mr_journal *j)
{
	if (!j)
		return;
	close(j->fd);
	free(j->frame);
	free(j);
}

void mr_journal_add(struct mr_journal *j, const Mr__Record *record)
{
	size_t len = mr__record__get_packed_size(record);
	size_t need = MR_JOURNAL_HEAD + j->len + 4 + len;
	struct lockstep_writer w;
	uint8_t *frame;

	if (need > j->room) {
		frame = realloc(j->frame, need * 2);
		if (!frame) {
			j->error = -ENOMEM;
			return;
		}
		j->frame = frame;
		j->room = need * 2;
	}
	lockstep_writer_init(&w, j->frame + MR_JOURNAL_HEAD + j->len, 4);
	lockstep_write_u32(&w, (uint32_t)len);
	mr__record__pack(record, j->frame + MR_JOURNAL_HEAD + j->len + 4);
	j->len += 4 + len;
}

int mr_journal_sync(struct mr_journal *j)
{
	struct lockstep_writer w;
	uint64_t sum;

	if (j->error || !j->len)
		return j->error;
	sum = XXH64(j->frame + MR_JOURNAL_HEAD, j->len, j->sum);
	lockstep_writer_init(&w, j->frame, MR_JOURNAL_HEAD);
	lockstep_write_u32(&w, MR_JOURNAL_MAGIC);
	lockstep_write_u32(&w, (uint32_t)j->len);
	lockstep_write_u64(&w, j->seq + 1);
	lockstep_write_u64(&w, sum);
	lockstep_write_u64(&w, XXH64(j->frame, SUM_AT, j->sum));
	j->error = lockstep_file_write_all(j->fd, j->frame, MR_JOURNAL_HEAD + j->len);
	if (!j->error && fdatasync(j->fd))
		j->error = -errno;
	if (j->error)
		return j->error;
	j->seq++;
	j->sum = sum;
	j->len = 0;
	return 0;
}

static int read_payload(const uint8_t *data, size_t len, mr_journal_fn *fn, void *arg)
{
	struct lockstep_reader r;
	Mr__Record *record;
	const void *span;
	uint32_t n;
	int err;

	lockstep_reader_init(&r, data, len);
	while (r.left) {
		n = lockstep_read_u32(&r);
		span = lockstep_read_span(&r, n);
		if (!lockstep_reader_ok(&r))
			return -EUCLEAN;
		record = mr__record__unpack(NULL, n, span);
		if (!record)
			return -EUCLEAN;
		err = fn(record, arg);
		mr__record__free_unpacked(record, NULL);
		if (err)
			return err;
	}
	return 0;
}

/*
 * One frame. Return: its length; 0: what is here was never finished; or -errno.
 * What lies behind an unfinished frame was never written, so it is the last one.
 */
static int64_t read_frame(struct mr_journal *j, const uint8_t *data, size_t left, mr_journal_fn *fn, void *arg)
{
	struct lockstep_reader r;
	uint64_t seq, sum, head;
	uint32_t magic, len;
	int err;

	if (left < MR_JOURNAL_HEAD || lockstep_bytes_are_zero(data, left))
		return 0;
	lockstep_reader_init(&r, data, MR_JOURNAL_HEAD);
	magic = lockstep_read_u32(&r);
	len = lockstep_read_u32(&r);
	seq = lockstep_read_u64(&r);
	sum = lockstep_read_u64(&r);
	head = lockstep_read_u64(&r);
	if (magic != MR_JOURNAL_MAGIC || seq != j->seq + 1 || head != XXH64(data, SUM_AT, j->sum))
		return -EUCLEAN;
	if (len > left - MR_JOURNAL_HEAD)
		return 0;
	if (sum != XXH64(data + MR_JOURNAL_HEAD, len, j->sum))
		return len == left - MR_JOURNAL_HEAD ? 0 : -EUCLEAN;
	err = read_payload(data + MR_JOURNAL_HEAD, len, fn, arg);
	if (err)
		return err;
	j->seq = seq;
	j->sum = sum;
	return MR_JOURNAL_HEAD + (int64_t)len;
}

int mr_journal_open(const char *path, mr_journal_fn *fn, void *arg, char *err, size_t errlen,
		    struct mr_journal **journal)
{
	struct mr_journal *j;
	size_t size, at = 0;
	struct stat st;
	int64_t n = 0;
	char *data;
	int ret;

	ret = journal_new(path, 0, &j);
	if (ret) {
		snprintf(err, errlen, "journal %s: %s", path,
			 ret == -EBUSY ? "another coordinator has it" : strerror(-ret));
		return ret;
	}
	ret = fstat(j->fd, &st) ? -errno : lockstep_file_read(path, (size_t)st.st_size, &data, &size);
	if (ret) {
		snprintf(err, errlen, "journal %s can't be read: %s", path, strerror(-ret));
		goto out_close;
	}
	while (at < size && (n = read_frame(j, (const uint8_t *)data + at, size - at, fn, arg)) > 0)
		at += (size_t)n;
	free(data);
	if (n < 0) {
		ret = (int)n;
		snprintf(err, errlen, "journal %s is damaged at byte %zu, or not this job's: %s; begin anew without --resume and with another journal",
			 path, at, strerror(-ret));
		goto out_close;
	}
	if (at < size && (ftruncate(j->fd, (off_t)at) || fdatasync(j->fd))) {
		ret = -errno;
		snprintf(err, errlen, "journal %s: its unfinished end can't be cut off: %s", path, strerror(-ret));
		goto out_close;
	}
	*journal = j;
	return 0;
out_close:
	mr_journal_close(j);
	return ret;
}
