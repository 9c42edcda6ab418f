// SPDX-License-Identifier: GPL-2.0
#include "worker/keep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"

#define WORK	MR_KEEP_PREFIX
#define TMP	".mr-tmp-"
#define OUT	"mr-out-"

static bool begins(const char *name, const char *with)
{
	return !strncmp(name, with, strlen(with));
}

int mr_keep_init(struct mr_keep *keep, const char *work_dir, const char *job)
{
	int err;

	memset(keep, 0, sizeof(*keep));
	keep->lock_fd = -1;
	if (asprintf(&keep->job_dir, "%s/%s%s", work_dir, WORK, job) < 0)
		return -ENOMEM;
	if (asprintf(&keep->dir, "%s/%d.%llu", keep->job_dir, getpid(), (unsigned long long)lockstep_clock_ns()) < 0)
		return -ENOMEM;
	/* A worker that ends may remove the folder above in between. */
	do {
		err = lockstep_file_mkdir(keep->dir, 0755);
	} while (err == -ENOENT);
	if (err)
		return err;
	keep->lock_fd = open(keep->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (keep->lock_fd < 0 || flock(keep->lock_fd, LOCK_EX | LOCK_NB))
		return -errno;
	return 0;
}

/* Remove a folder of run files. */
static void remove_dir(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			unlinkat(dirfd(dir), e->d_name, 0);
	}
	if (dir)
		closedir(dir);
	rmdir(path);
}

/* Remove a job's folders whose workers are dead, and the job's own if it is empty then. */
static void remove_job(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	char *sub;
	int fd;

	while (dir && (e = readdir(dir))) {
		if (e->d_name[0] == '.' || asprintf(&sub, "%s/%s", path, e->d_name) < 0)
			continue;
		fd = open(sub, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB))
			remove_dir(sub);
		if (fd >= 0)
			close(fd);
		free(sub);
	}
	if (dir)
		closedir(dir);
	rmdir(path);
}

void mr_keep_exit(struct mr_keep *keep)
{
	size_t i;

	for (i = 0; i < keep->nr; i++)
		mr__have__free_unpacked(keep->have[i], NULL);
	free(keep->have);
	if (keep->dir)
		remove_dir(keep->dir);
	if (keep->lock_fd >= 0)
		close(keep->lock_fd);
	if (keep->job_dir)
		remove_job(keep->job_dir);
	free(keep->dir);
	free(keep->job_dir);
	memset(keep, 0, sizeof(*keep));
	keep->lock_fd = -1;
}

int mr_keep_add(struct mr_keep *keep, const Mr__Have *have)
{
	Mr__Have **list = realloc(keep->have, (keep->nr + 1) * sizeof(Mr__Have *));
	size_t len = mr__have__get_packed_size(have);
	uint8_t *buf;

	if (!list)
		return -ENOMEM;
	keep->have = list;
	buf = malloc(len + 1);
	if (!buf)
		return -ENOMEM;
	mr__have__pack(have, buf);
	list[keep->nr] = mr__have__unpack(NULL, len, buf);
	free(buf);
	if (!list[keep->nr])
		return -ENOMEM;
	keep->nr++;
	return 0;
}

static void sweep_work(const char *work_dir, const char *job)
{
	DIR *dir = opendir(work_dir);
	struct dirent *e;
	char *path;

	while (dir && (e = readdir(dir))) {
		if (!begins(e->d_name, WORK) || !strcmp(e->d_name + strlen(WORK), job) ||
		    asprintf(&path, "%s/%s", work_dir, e->d_name) < 0)
			continue;
		remove_job(path);
		free(path);
	}
	if (dir)
		closedir(dir);
}

/* Which process's is a temporary output? Its name ends with -PID.NUMBER. */
static pid_t owner(const char *name)
{
	const char *dash = strrchr(name, '-');

	return dash ? (pid_t)strtol(dash + 1, NULL, 10) : 0;
}

/* One that nobody has waited for yet is dead too. */
static bool is_dead(pid_t pid)
{
	char path[32], line[128] = "", *state;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (!f)
		return errno == ENOENT;
	state = fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
	fclose(f);
	return state && state[1] == ' ' && (state[2] == 'Z' || state[2] == 'X');
}

/*
 * Temporary outputs that lie here before the first task are of older jobs. Without
 * them a worker of one that wakes up now has nothing to give a final name to.
 */
int mr_keep_check(const char *output_dir, const char *work_dir, const char *job, bool force, char *err,
		  size_t errlen)
{
	DIR *dir = opendir(output_dir);
	struct dirent *e;
	int ret = 0;

	if (!dir) {
		ret = -errno;
		snprintf(err, errlen, "folder of outputs %s: %s", output_dir, strerror(-ret));
		return ret;
	}
	errno = 0;
	while (!ret && (e = readdir(dir))) {
		if (begins(e->d_name, TMP) && owner(e->d_name) != getpid()) {
			unlinkat(dirfd(dir), e->d_name, 0);
		} else if (begins(e->d_name, OUT) && !force) {
			ret = -EEXIST;
			snprintf(err, errlen, "%s/%s exists: an output of an earlier job; remove outputs first, or have them removed with --force",
				 output_dir, e->d_name);
		} else if (begins(e->d_name, OUT) && unlinkat(dirfd(dir), e->d_name, 0)) {
			ret = -errno;
			snprintf(err, errlen, "%s/%s can't be removed: %s", output_dir, e->d_name, strerror(-ret));
		}
	}
	closedir(dir);
	if (!ret)
		sweep_work(work_dir, job);
	if (!ret && force)
		ret = lockstep_file_sync_dir(output_dir);
	return ret;
}

void mr_keep_sweep(const char *output_dir)
{
	DIR *dir = opendir(output_dir);
	struct dirent *e;
	pid_t pid;

	while (dir && (e = readdir(dir))) {
		if (!begins(e->d_name, TMP))
			continue;
		pid = owner(e->d_name);
		if (pid == getpid() || (pid > 0 && is_dead(pid)))
			unlinkat(dirfd(dir), e->d_name, 0);
	}
	if (dir)
		closedir(dir);
}
