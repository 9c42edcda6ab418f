// SPDX-License-Identifier: GPL-2.0
/* Small things every part of PID 1 uses. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "labhost.h"

int write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0) {
			struct pollfd pfd = { .fd = fd, .events = POLLOUT };

			if (errno == EINTR)
				continue;
			if (errno != EAGAIN)
				return -errno;
			poll(&pfd, 1, -1);
			continue;
		}
		p += n;
		len -= n;
	}
	return 0;
}

/* Runs a program and waits for it; its exit status, or 128 + signal, or -errno. */
int run_wait(const char *path, const char *arg)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (!pid) {
		execl(path, path, arg, NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Ports have their names in sysfs only: there is no udev here to make links of them. */
int virtio_port_open(const char *name)
{
	DIR *dir = opendir("/sys/class/virtio-ports");
	struct dirent *de;
	int fd = -ENODEV;

	if (!dir)
		return -errno;
	while (fd == -ENODEV && (de = readdir(dir))) {
		char path[300], have[64] = "";
		FILE *f;

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", de->d_name);
		f = fopen(path, "r");
		if (!f)
			continue;
		if (fgets(have, sizeof(have), f))
			have[strcspn(have, "\n")] = '\0';
		fclose(f);
		if (strcmp(have, name))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", de->d_name);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			fd = -errno;
	}
	closedir(dir);
	return fd;
}
