// SPDX-License-Identifier: GPL-2.0
/* Files that have no final name yet. */
#include "engine/tempfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int mr_tempfile_unnamed(const char *dir)
{
	char *path;
	int fd;

	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
	if (fd >= 0)
		return fd;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
		return -errno;
	/* a file system that knows no such thing */
	if (asprintf(&path, "%s/.mr-spill-XXXXXX", dir) < 0)
		return -ENOMEM;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	else
		unlink(path);
	free(path);
	return fd;
}

int mr_tempfile_create(const char *dir, const char *name, char **path)
{
	int fd, err;

	if (asprintf(path, "%s/%s", dir, name) < 0)
		return -ENOMEM;
	do {
		fd = open(*path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	} while (fd < 0 && errno == EEXIST && unlink(*path) == 0);
	if (fd >= 0)
		return fd;
	err = -errno;
	free(*path);
	*path = NULL;
	return err;
}
