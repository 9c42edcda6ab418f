// SPDX-License-Identifier: GPL-2.0
/* Whole-file helpers whose result survives a power failure. */
#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int lockstep_file_write_all(int fd, const void *data, size_t len)
{
	const char *p = data;
	ssize_t n;

	while (len) {
		n = write(fd, p, len);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int lockstep_file_sync_dir(const char *dir)
{
	int fd, err = 0;

	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		err = -errno;
	close(fd);
	return err;
}

/* Fill an open temporary file and make it durable. */
static int fill_file(int fd, const void *data, size_t len, mode_t mode)
{
	int err;

	err = lockstep_file_write_all(fd, data, len);
	if (err)
		return err;
	if (fchmod(fd, mode) < 0)
		return -errno;
	if (fsync(fd) < 0)
		return -errno;
	return 0;
}

int lockstep_file_replace(const char *path, const void *data, size_t len, mode_t mode)
{
	char tmp[PATH_MAX], dir[PATH_MAX];
	int fd, err;

	if (snprintf(tmp, sizeof(tmp), "%s.XXXXXX", path) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	snprintf(dir, sizeof(dir), "%s", path);

	fd = mkostemp(tmp, O_CLOEXEC);	/* made with mode 0600 */
	if (fd < 0)
		return -errno;
	err = fill_file(fd, data, len, mode);
	if (close(fd) < 0 && !err)
		err = -errno;
	if (err)
		goto out_unlink;
	if (rename(tmp, path) < 0) {
		err = -errno;
		goto out_unlink;
	}
	return lockstep_file_sync_dir(dirname(dir));

out_unlink:
	unlink(tmp);
	return err;
}

int lockstep_file_read(const char *path, size_t max, char **data, size_t *len)
{
	size_t have = 0;
	ssize_t n;
	char *buf;
	int fd, err;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	buf = malloc(max + 2);
	if (!buf) {
		err = -ENOMEM;
		goto out_close;
	}
	/* One byte more than allowed tells a file that is too large. */
	while (have <= max) {
		n = read(fd, buf + have, max + 1 - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err = -errno;
			goto out_free;
		}
		if (!n)
			break;
		have += (size_t)n;
	}
	if (have > max) {
		err = -EFBIG;
		goto out_free;
	}
	buf[have] = '\0';
	*data = buf;
	*len = have;
	close(fd);
	return 0;

out_free:
	free(buf);
out_close:
	close(fd);
	return err;
}

static int make_one_dir(const char *dir, mode_t mode)
{
	struct stat st;

	if (!mkdir(dir, mode))
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (stat(dir, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int lockstep_file_mkdir(const char *dir, mode_t mode)
{
	char path[PATH_MAX];
	char *p;
	int err;

	if (!*dir)
		return -EINVAL;
	if (snprintf(path, sizeof(path), "%s", dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	for (p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		err = make_one_dir(path, 0755);
		*p = '/';
		if (err)
			return err;
	}
	return make_one_dir(path, mode);
}

int lockstep_file_opendir(const char *dir, mode_t mode, DIR **out)
{
	int err = lockstep_file_mkdir(dir, mode);

	if (err)
		return err;
	*out = opendir(dir);
	return *out ? 0 : -errno;
}
