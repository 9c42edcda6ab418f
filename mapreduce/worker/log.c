// SPDX-License-Identifier: GPL-2.0
#include "worker/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"

#define KEEP	(64 << 10)	/* bytes that stay in memory */

int mr_log_init(struct mr_log *log)
{
	pthread_mutex_init(&log->lock, NULL);
	log->passed = 0;
	log->real = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	if (log->real < 0)
		return -errno;
	log->fd = memfd_create("stderr", MFD_CLOEXEC);
	if (log->fd < 0 || fcntl(log->fd, F_SETFL, O_APPEND) < 0)
		return -errno;
	return 0;
}

void mr_log_pass(struct mr_log *log)
{
	char buf[4096];
	struct stat st;
	ssize_t n;

	pthread_mutex_lock(&log->lock);
	while ((n = pread(log->fd, buf, sizeof(buf), log->passed)) > 0) {
		log->passed += n;
		lockstep_file_write_all(log->real, buf, (size_t)n);
	}
	if (!fstat(log->fd, &st) && st.st_size > KEEP)
		fallocate(log->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, st.st_size - KEEP);
	pthread_mutex_unlock(&log->lock);
}

void mr_log_begin(struct mr_log *log)
{
	fflush(stderr);
	pthread_mutex_lock(&log->lock);
	/* Without a descriptor for it, standard error is just not kept. */
	if (!ftruncate(log->fd, 0))
		log->passed = 0;
	dup2(log->fd, STDERR_FILENO);
	pthread_mutex_unlock(&log->lock);
}

void mr_log_end(struct mr_log *log)
{
	fflush(stderr);
	mr_log_pass(log);
	dup2(log->real, STDERR_FILENO);
}

void mr_log_tail(struct mr_log *log, char *text, size_t size)
{
	struct stat st;
	off_t at = 0;
	ssize_t n;

	text[0] = 0;
	if (fstat(log->fd, &st))
		return;
	if ((size_t)st.st_size > size - 1)
		at = st.st_size - (off_t)(size - 1);
	n = pread(log->fd, text, size - 1, at);
	if (n < 0)
		n = 0;
	text[n] = 0;
	/* A zero byte would end it early. */
	for (; n; n--) {
		if (!text[n - 1])
			text[n - 1] = '?';
	}
}
