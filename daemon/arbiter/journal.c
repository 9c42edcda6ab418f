// SPDX-License-Identifier: GPL-2.0
/* The arbiter's journal: an append-only file of fixed records. */
#include "arbiter/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "common/bytes.h"
#include "common/file.h"
#include "common/log.h"

#define JOURNAL_VERSION	1
#define SUM_AT		(LOCKSTEP_JOURNAL_SIZE - 8)
#define HEAD_SIZE	24
#define APPEND_MAX	2	/* records of one append: so many may be zeros */

_Static_assert(HEAD_SIZE + LOCKSTEP_ARBITER_KEY_MAX + LOCKSTEP_ARBITER_VALUE_MAX <= SUM_AT,
	       "the longest key and value fit into a sector");

static uint64_t record_encode(const struct lockstep_journal_record *rec, uint64_t seq,
			      uint64_t prev, uint8_t *out)
{
	struct lockstep_writer w;
	uint64_t sum;

	memset(out, 0, LOCKSTEP_JOURNAL_SIZE);
	lockstep_writer_init(&w, out, SUM_AT);
	lockstep_write_u32(&w, LOCKSTEP_JOURNAL_MAGIC);
	lockstep_write_u8(&w, JOURNAL_VERSION);
	lockstep_write_u8(&w, (uint8_t)rec->type);
	lockstep_write_u16(&w, (uint16_t)strlen(rec->key));
	lockstep_write_u16(&w, (uint16_t)rec->len);
	lockstep_write_u16(&w, 0);
	lockstep_write_u32(&w, 0);
	lockstep_write_u64(&w, seq);
	lockstep_write_bytes(&w, rec->key, strlen(rec->key));
	lockstep_write_bytes(&w, rec->value, rec->len);
	sum = XXH64(out, SUM_AT, prev);
	lockstep_writer_init(&w, out + SUM_AT, 8);
	lockstep_write_u64(&w, sum);
	return sum;
}

/* 0, or -EUCLEAN with what is wrong in *why. */
static int record_decode(const uint8_t *in, uint64_t seq, uint64_t *sum,
			 struct lockstep_journal_record *rec, const char **why)
{
	struct lockstep_reader r;
	uint16_t keylen, vallen;
	uint8_t version, type;
	uint64_t stored;

	lockstep_reader_init(&r, in + SUM_AT, 8);
	stored = lockstep_read_u64(&r);
	lockstep_reader_init(&r, in, SUM_AT);
	*why = "it is no record";
	if (lockstep_read_u32(&r) != LOCKSTEP_JOURNAL_MAGIC)
		return -EUCLEAN;
	*why = "its checksum is wrong";
	if (XXH64(in, SUM_AT, *sum) != stored)
		return -EUCLEAN;
	version = lockstep_read_u8(&r);
	type = lockstep_read_u8(&r);
	keylen = lockstep_read_u16(&r);
	vallen = lockstep_read_u16(&r);
	lockstep_read_u16(&r);
	lockstep_read_u32(&r);
	*why = "it was written by another version of lockstep-arbiter";
	if (version != JOURNAL_VERSION || !type || type > LOCKSTEP_JOURNAL_TYPE_MAX)
		return -EUCLEAN;
	*why = "its contents are out of range";
	if (lockstep_read_u64(&r) != seq || keylen > LOCKSTEP_ARBITER_KEY_MAX ||
	    vallen > LOCKSTEP_ARBITER_VALUE_MAX)
		return -EUCLEAN;
	memset(rec, 0, sizeof(*rec));
	rec->type = (enum lockstep_journal_type)type;
	rec->len = vallen;
	lockstep_read_bytes(&r, rec->key, keylen);
	lockstep_read_bytes(&r, rec->value, vallen);
	if (strlen(rec->key) != keylen)
		return -EUCLEAN;
	*sum = stored;
	return 0;
}

/* Whole records in the file, without a tail that was never finished. */
static uint64_t whole_records(const uint8_t *data, size_t size)
{
	uint64_t n = size / LOCKSTEP_JOURNAL_SIZE;
	unsigned int zeros = 0;

	while (n && zeros < APPEND_MAX &&
	       lockstep_bytes_are_zero(data + (n - 1) * LOCKSTEP_JOURNAL_SIZE, LOCKSTEP_JOURNAL_SIZE)) {
		n--;
		zeros++;
	}
	return n;
}

static int read_records(struct lockstep_journal *j, const uint8_t *data, uint64_t count,
			lockstep_journal_fn *fn, void *arg, char *err, size_t errlen)
{
	struct lockstep_journal_record rec;
	const char *why;
	uint64_t i;
	int ret;

	for (i = 0; i < count; i++) {
		ret = record_decode(data + i * LOCKSTEP_JOURNAL_SIZE, i + 1, &j->sum, &rec, &why);
		if (!ret) {
			why = "it contradicts the records before it";
			ret = fn(&rec, arg);
		}
		if (ret) {
			snprintf(err, errlen, "%s/journal is damaged at byte %" PRIu64 " (record %" PRIu64 " of %" PRIu64 ": %s). Starting with part of it could let two instances of a guest win; restore a copy of the folder and run \"lockstep-arbiter restore\", or begin a new store in an empty folder",
				 j->dir, i * LOCKSTEP_JOURNAL_SIZE, i + 1, count, why);
			return ret == -ENOMEM ? ret : -EUCLEAN;
		}
		j->seq = i + 1;
	}
	return 0;
}

static int lock_journal(struct lockstep_journal *j, char *err, size_t errlen)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[PATH_MAX];
	int ret;

	if (snprintf(path, sizeof(path), "%s/lock", j->dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	j->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (j->lock_fd < 0) {
		ret = -errno;
		snprintf(err, errlen, "%s: %s", path, strerror(-ret));
		return ret;
	}
	if (fcntl(j->lock_fd, F_OFD_SETLK, &fl) < 0) {
		ret = errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
		snprintf(err, errlen, "%s: %s", path, ret == -EBUSY ?
			 "another lockstep-arbiter uses this store: stop it first" :
			 strerror(-ret));
		return ret;
	}
	return 0;
}

/* Open the file at its end, making it if need be; the name is made durable. */
static int open_file(struct lockstep_journal *j, const char *path)
{
	j->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (j->fd < 0)
		return -errno;
	return lockstep_file_sync_dir(j->dir);
}

static int read_file(struct lockstep_journal *j, const char *path, lockstep_journal_fn *fn,
		     void *arg, char *err, size_t errlen)
{
	uint64_t count;
	struct stat st;
	char *data;
	size_t len;
	int ret;

	if (fstat(j->fd, &st) < 0)
		return -errno;
	ret = lockstep_file_read(path, (size_t)st.st_size, &data, &len);
	if (ret)
		return ret;
	count = whole_records((uint8_t *)data, len);
	ret = read_records(j, (uint8_t *)data, count, fn, arg, err, errlen);
	free(data);
	if (ret || count * LOCKSTEP_JOURNAL_SIZE == len)
		return ret;
	lockstep_warn("%s: %zu bytes of a write that was never finished are cut off", path,
		      len - count * LOCKSTEP_JOURNAL_SIZE);
	if (ftruncate(j->fd, (off_t)(count * LOCKSTEP_JOURNAL_SIZE)) < 0 || fsync(j->fd) < 0)
		return -errno;
	return 0;
}

int lockstep_journal_open(struct lockstep_journal *j, const char *dir, lockstep_journal_fn *fn,
			  void *arg, char *err, size_t errlen)
{
	char path[PATH_MAX];
	int ret;

	memset(j, 0, sizeof(*j));
	j->fd = -1;
	j->lock_fd = -1;
	if (errlen)
		err[0] = '\0';
	j->dir = strdup(dir);
	if (!j->dir)
		return -ENOMEM;
	ret = -ENAMETOOLONG;
	if (snprintf(path, sizeof(path), "%s/journal", dir) >= (int)sizeof(path))
		goto out_close;
	ret = lockstep_file_mkdir(dir, 0700);
	if (ret)
		goto out_close;
	ret = lock_journal(j, err, errlen);
	if (ret)
		goto out_close;
	ret = open_file(j, path);
	if (ret)
		goto out_close;
	ret = read_file(j, path, fn, arg, err, errlen);
	if (ret)
		goto out_close;
	return 0;

out_close:
	if (errlen && !err[0])
		snprintf(err, errlen, "%s: %s", dir, strerror(-ret));
	lockstep_journal_close(j);
	return ret;
}

int lockstep_journal_append(struct lockstep_journal *j,
			    const struct lockstep_journal_record *recs, unsigned int count)
{
	uint8_t buf[APPEND_MAX * LOCKSTEP_JOURNAL_SIZE];
	uint64_t sum = j->sum;
	unsigned int i;
	int err;

	if (j->broken)
		return j->broken;
	if (!count || count > APPEND_MAX)
		return -EINVAL;
	for (i = 0; i < count; i++)
		sum = record_encode(&recs[i], j->seq + i + 1, sum, buf + i * LOCKSTEP_JOURNAL_SIZE);
	err = lockstep_file_write_all(j->fd, buf, count * LOCKSTEP_JOURNAL_SIZE);
	if (!err && fdatasync(j->fd) < 0)
		err = -errno;
	if (err) {
		/* Part of it may be on disk, and a second fsync would not tell. */
		j->broken = err;
		return err;
	}
	j->seq += count;
	j->sum = sum;
	return 0;
}

int lockstep_journal_rewrite(struct lockstep_journal *j,
			     const struct lockstep_journal_record *recs, size_t count)
{
	char path[PATH_MAX];
	uint64_t sum = 0;
	uint8_t *buf;
	size_t i;
	int fd, err;

	snprintf(path, sizeof(path), "%s/journal", j->dir);
	buf = malloc(count * LOCKSTEP_JOURNAL_SIZE);
	if (!buf)
		return -ENOMEM;
	for (i = 0; i < count; i++)
		sum = record_encode(&recs[i], i + 1, sum, buf + i * LOCKSTEP_JOURNAL_SIZE);
	err = lockstep_file_replace(path, buf, count * LOCKSTEP_JOURNAL_SIZE, 0600);
	free(buf);
	if (err)
		return err;
	/* From here on the old file has no name: the new one or nothing. */
	fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
	if (fd < 0) {
		j->broken = -errno;
		return j->broken;
	}
	close(j->fd);
	j->fd = fd;
	j->seq = count;
	j->sum = sum;
	return 0;
}

void lockstep_journal_close(struct lockstep_journal *j)
{
	if (j->fd >= 0)
		close(j->fd);
	if (j->lock_fd >= 0)
		close(j->lock_fd);
	j->fd = -1;
	j->lock_fd = -1;
	free(j->dir);
	j->dir = NULL;
}
