// SPDX-License-Identifier: GPL-2.0
/* An output under its temporary name, and how it gets its final one. */
#include "engine/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "engine/tempfile.h"

#define BUFFER	((size_t)256 << 10)

static char buffer[BUFFER];	/* there is one output at a time */

static int fail(struct mr_output *output, int err)
{
	return mr_task_fail(output->task, MR_BLAME_SYSTEM, err, "write %s: %s", output->task->result->path,
			    strerror(-err));
}

int mr_output_open(struct mr_output *output, struct mr_task *task)
{
	const struct mr_attempt *attempt = task->attempt;
	char name[80];

	memset(output, 0, sizeof(*output));
	output->task = task;
	output->buf = buffer;
	output->hash = XXH3_createState();
	if (!output->hash)
		return mr_task_fail(task, MR_BLAME_SYSTEM, -ENOMEM, "no memory for the output");
	XXH3_64bits_reset(output->hash);
	/* with the process: epochs and attempts of another job may be the same */
	snprintf(name, sizeof(name), ".mr-tmp-%c%u-%u-%llu-%d", attempt->map ? 'm' : 'r', attempt->number,
		 attempt->attempt, (unsigned long long)attempt->epoch, getpid());
	output->fd = mr_tempfile_create(attempt->output_dir, name, &task->result->path);
	if (output->fd < 0) {
		XXH3_freeState(output->hash);
		return mr_task_fail(task, MR_BLAME_SYSTEM, output->fd, "output in %s: %s", attempt->output_dir,
				    strerror(-output->fd));
	}
	return 0;
}

static int write_through(struct mr_output *output, const void *data, size_t len)
{
	int ret = lockstep_file_write_all(output->fd, data, len);

	if (ret)
		return fail(output, ret);
	XXH3_64bits_update(output->hash, data, len);
	output->size += len;
	return 0;
}

static int flush(struct mr_output *output)
{
	int ret = output->len ? write_through(output, output->buf, output->len) : 0;

	output->len = 0;
	return ret;
}

int mr_output_write(struct mr_output *output, const void *data, size_t len)
{
	int ret;

	if (__builtin_expect(len > BUFFER - output->len, 0)) {
		ret = flush(output);
		if (ret)
			return ret;
		if (len > BUFFER)
			return write_through(output, data, len);
	}
	memcpy(output->buf + output->len, data, len);
	output->len += len;
	return 0;
}

static int commit_file(struct mr_output *output)
{
	struct mr_result *result = output->task->result;
	struct stat st;
	int ret = flush(output);

	if (ret)
		return ret;
	if (fsync(output->fd) < 0 || fstat(output->fd, &st) < 0)
		return fail(output, -errno);
	result->inode = (uint64_t)st.st_ino;
	result->size = output->size;
	result->out_bytes = output->size;
	result->checksum = XXH3_64bits_digest(output->hash);
	return 0;
}

int mr_output_close(struct mr_output *output, bool commit)
{
	int ret = commit ? commit_file(output) : 0;

	if (close(output->fd) < 0 && commit && !ret)
		ret = fail(output, -errno);
	XXH3_freeState(output->hash);
	return ret;
}

/* Is @path the file with that inode? 1, 0 or -errno. */
static int is_inode(const char *path, uint64_t inode)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return -errno;
	return (uint64_t)st.st_ino == inode;
}

/* Give it the name, if nothing has it. A file system without hard links renames. */
static int link_name(const char *temporary, const char *path)
{
	if (link(temporary, path) == 0)
		return 0;
	if (errno != EPERM && errno != EOPNOTSUPP && errno != EMLINK)
		return -errno;
	return renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) < 0 ? -errno : 0;
}

int mr_output_publish(const char *dir, const char *temporary, const char *name, uint64_t inode)
{
	char *path;
	int ret, ours;

	if (asprintf(&path, "%s/%s", dir, name) < 0)
		return -ENOMEM;
	ret = link_name(temporary, path);
	if (ret == -EEXIST || ret == -ENOENT) {	/* another's, or ours from before a crash */
		ours = is_inode(path, inode);
		if (ours > 0)
			ret = 0;
		else if (ours < 0 && ours != -ENOENT)
			ret = ours;
		else if (!ours)
			ret = -EEXIST;
	}
	if (!ret && unlink(temporary) < 0 && errno != ENOENT)
		ret = -errno;
	if (!ret)
		ret = lockstep_file_sync_dir(dir);
	free(path);
	return ret;
}
