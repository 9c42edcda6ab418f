// SPDX-License-Identifier: GPL-2.0
/* Log files, see logfile.h. */
#include "logfile.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "kmod/record.h"

struct file_head {
	char magic[8];
	__le32 version;
	__le32 reserved;
	uint8_t uuid[LOCKSTEP_UUID_LEN];
	uint8_t instance[LOCKSTEP_UUID_LEN];
};

/**
 * lockstep_logfile_create() - begin a log file
 * @lf: to fill; ended by lockstep_logfile_close()
 * @path: must not exist
 * @uuid: of the guest
 * @instance: of the primary
 *
 * Return: 0 or -errno (-EEXIST: an old log is not overwritten).
 */
int lockstep_logfile_create(struct lockstep_logfile *lf, const char *path,
			    const struct lockstep_uuid *uuid,
			    const struct lockstep_uuid *instance)
{
	struct file_head head = { .version = htole32(LOCKSTEP_ABI_VERSION) };

	memset(lf, 0, sizeof(*lf));
	memcpy(head.magic, LOCKSTEP_FILE_MAGIC, sizeof(head.magic));
	memcpy(head.uuid, uuid->b, sizeof(head.uuid));
	memcpy(head.instance, instance->b, sizeof(head.instance));
	lf->uuid = *uuid;
	lf->instance = *instance;
	lf->file = fopen(path, "wbxe");
	if (!lf->file)
		return -errno;
	if (fwrite(&head, sizeof(head), 1, lf->file) != 1) {
		lockstep_logfile_end(lf);
		return -EIO;
	}
	return 0;
}

/**
 * lockstep_logfile_append() - write one batch; it is with the kernel on return
 * @lf: created
 * @batch: whole
 * @len: its bytes
 *
 * Return: 0; -EBADMSG when it does not follow what was written; -EIO.
 */
int lockstep_logfile_append(struct lockstep_logfile *lf, const void *batch, size_t len)
{
	const struct lockstep_batch *head = batch;

	if (lockstep_batch_check(batch, len) || le64toh(head->lsn) != lf->lsn)
		return -EBADMSG;
	if (fwrite(batch, len, 1, lf->file) != 1 || fflush(lf->file))
		return -EIO;
	lf->lsn += le32toh(head->len);
	return 0;
}

/**
 * lockstep_logfile_close() - mark the log as whole, make it durable, close it
 * @lf: created
 *
 * Return: 0 or -EIO.
 */
int lockstep_logfile_close(struct lockstep_logfile *lf)
{
	struct lockstep_batch last = {
		.magic = htole32(LOCKSTEP_BATCH_MAGIC),
		.version = htole16(LOCKSTEP_ABI_VERSION),
		.lsn = htole64(lf->lsn),
		.horizon = htole64(~0ULL),
	};
	int ret;

	lockstep_batch_seal(&last);
	ret = lockstep_logfile_append(lf, &last, sizeof(last));
	if (!ret && fsync(fileno(lf->file)))
		ret = -EIO;
	lockstep_logfile_end(lf);
	return ret;
}

/**
 * lockstep_logfile_open() - begin to read
 * @lf: to fill; ended by lockstep_logfile_end()
 * @path: file
 *
 * Return: 0; -EBADMSG: no log file; -EPROTO: of another version; -errno.
 */
int lockstep_logfile_open(struct lockstep_logfile *lf, const char *path)
{
	struct file_head head;
	int ret = 0;

	memset(lf, 0, sizeof(*lf));
	lf->file = fopen(path, "rbe");
	if (!lf->file)
		return -errno;
	if (fread(&head, sizeof(head), 1, lf->file) != 1 ||
	    memcmp(head.magic, LOCKSTEP_FILE_MAGIC, sizeof(head.magic)))
		ret = -EBADMSG;
	else if (le32toh(head.version) != LOCKSTEP_ABI_VERSION)
		ret = -EPROTO;
	if (ret) {
		lockstep_logfile_end(lf);
		return ret;
	}
	memcpy(lf->uuid.b, head.uuid, sizeof(head.uuid));
	memcpy(lf->instance.b, head.instance, sizeof(head.instance));
	return 0;
}

/**
 * lockstep_logfile_next() - read the next batch to lf->batch
 * @lf: opened
 *
 * Return: its bytes; 0 at the end (lf->closed tells a whole log from one cut
 * short); -EBADMSG when it is harmed; -EPROTO: another version.
 */
int lockstep_logfile_next(struct lockstep_logfile *lf)
{
	struct lockstep_batch *head = &lf->batch.head;
	size_t len;
	int ret;

	if (lf->closed || fread(head, sizeof(*head), 1, lf->file) != 1)
		return 0;
	len = le32toh(head->len);
	if (len > LOCKSTEP_BATCH_MAX)
		return -EBADMSG;
	if (len && fread(head + 1, len, 1, lf->file) != 1)
		return 0;
	ret = lockstep_batch_check(head, sizeof(*head) + len);
	if (ret)
		return ret;
	if (le64toh(head->lsn) != lf->lsn)
		return -EBADMSG;
	lf->lsn += len;
	lf->closed = !len && le64toh(head->horizon) == ~0ULL;
	return sizeof(*head) + len;
}

/**
 * lockstep_logfile_end() - close the file
 * @lf: opened or created
 */
void lockstep_logfile_end(struct lockstep_logfile *lf)
{
	if (lf->file)
		fclose(lf->file);
	lf->file = NULL;
}
