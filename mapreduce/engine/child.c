// SPDX-License-Identifier: GPL-2.0
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lockstep/mapreduce.h"

#define PIPE_SIZE	(1 << 20)	/* bytes, as much as an ordinary user may have */
#define OUTPUT_ROOM	(1u << 20)	/* buffer of lines, to begin with */
#define ERROR_ROOM	(16u << 10)	/* longer lines of standard error are cut */

/**
 * struct lines - a pipe that is read line by line
 * @fd: our end; -1 after its end
 * @buf: bytes read
 * @len: of them, those not yet given out
 * @room: size of @buf
 * @max: a longer line is an error; 0: it comes in pieces
 * @take: what takes a line
 */
struct lines {
	int fd;
	char *buf;
	size_t len;
	size_t room;
	size_t max;
	int (*take)(void *arg, const char *line, size_t len);
};

struct mr_child {
	pid_t pid;
	int pidfd;		/* -1 once it was waited for */
	int in;			/* -1 once it reads no more, or nothing is left to say */
	struct lines out;
	struct lines err;
	void *arg;
};

static void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* --- lines ------------------------------------------------------------------ */

static int lines_init(struct lines *lines, size_t room, size_t max,
		      int (*take)(void *arg, const char *line, size_t len))
{
	lines->buf = malloc(room);
	if (!lines->buf)
		return -ENOMEM;
	lines->room = room;
	lines->max = max;
	lines->take = take;
	return 0;
}

/* Give out the whole lines; what follows them moves to the front. */
static int lines_give(struct lines *lines, size_t fresh, void *arg)
{
	char *p = lines->buf, *end = lines->buf + lines->len, *search = end - fresh, *newline;
	int ret = 0;

	while (!ret && (newline = memchr(search, '\n', end - search))) {
		ret = lines->take(arg, p, newline - p);
		p = search = newline + 1;
	}
	lines->len = end - p;
	memmove(lines->buf, p, lines->len);
	return ret;
}

/* No newline in a full buffer. */
static int lines_full(struct lines *lines, void *arg)
{
	char *buf;
	int ret;

	if (!lines->max) {
		ret = lines->take(arg, lines->buf, lines->len);
		lines->len = 0;
		return ret;
	}
	if (lines->len >= lines->max)
		return -EMSGSIZE;
	buf = realloc(lines->buf, lines->room * 2);
	if (!buf)
		return -ENOMEM;
	lines->buf = buf;
	lines->room *= 2;
	return 0;
}

/* Read once. 1: there may be more; 0: not now, or never (then ->fd is -1); or -errno. */
static int lines_read(struct lines *lines, void *arg)
{
	ssize_t n;
	int ret;

	if (lines->fd < 0)
		return 0;
	if (lines->len == lines->room) {
		ret = lines_full(lines, arg);
		if (ret)
			return ret;
	}
	do {
		n = read(lines->fd, lines->buf + lines->len, lines->room - lines->len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (!n) {
		fd_close(&lines->fd);
		/* a last line without its newline */
		ret = lines->len ? lines->take(arg, lines->buf, lines->len) : 0;
		lines->len = 0;
		return ret;
	}
	lines->len += n;
	ret = lines_give(lines, n, arg);
	return ret ? ret : 1;
}

/* --- the process ------------------------------------------------------------ */

/* In the child, which shares our memory until it executes the shell. */
static void child_exec(const int *fds, const char *dir, char *const *argv, char *const *env)
{
	sigset_t none;
	int i;

	for (i = 0; i < 3; i++)
		if (dup2(fds[i], i) < 0)
			_exit(126);
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (!dir || !chdir(dir))
		execve(argv[0], argv, env);
	_exit(126);
}

/*
 * vfork(): copying the page tables of a worker that holds its full memory, and the
 * faults afterwards, would cost more than a small task.
 */
static int spawn(struct mr_child *child, const int *fds, const char *command, const char *dir,
		 char *const *env)
{
	char *const argv[] = { "/bin/sh", "-c", (char *)command, NULL };
	sigset_t all, before;
	int error;

	/* no handler of ours may run in the child */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	child->pid = vfork();
	if (!child->pid)
		child_exec(fds, dir, argv, env);
	error = child->pid < 0 ? errno : 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		return -error;
	child->pidfd = pidfd_open(child->pid, 0);
	return child->pidfd < 0 ? -errno : 0;
}

/* A pipe: ours does not block, theirs goes to the child. A small one works too. */
static int pipe_make(bool ours_writes, int *ours, int *theirs)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	*ours = fds[ours_writes];
	/* not 0, 1 or 2, whatever this process was started with */
	*theirs = fcntl(fds[!ours_writes], F_DUPFD_CLOEXEC, 3);
	close(fds[!ours_writes]);
	fcntl(*ours, F_SETPIPE_SZ, PIPE_SIZE);
	return *theirs < 0 || fcntl(*ours, F_SETFL, O_NONBLOCK) ? -errno : 0;
}

int mr_child_start(const char *command, const char *dir, char *const *env,
		   const struct mr_child_ops *ops, void *arg, struct mr_child **out)
{
	struct mr_child *child = calloc(1, sizeof(*child));
	int theirs[3] = { -1, -1, -1 }, ret, i;

	if (!child)
		return -ENOMEM;
	child->arg = arg;
	child->in = child->out.fd = child->err.fd = child->pidfd = -1;
	ret = lines_init(&child->out, OUTPUT_ROOM, MR_RECORD_MAX, ops->output);
	if (!ret)
		ret = lines_init(&child->err, ERROR_ROOM, 0, ops->error);
	if (!ret)
		ret = pipe_make(true, &child->in, &theirs[0]);
	if (!ret)
		ret = pipe_make(false, &child->out.fd, &theirs[1]);
	if (!ret)
		ret = pipe_make(false, &child->err.fd, &theirs[2]);
	if (!ret)
		ret = spawn(child, theirs, command, dir, env);
	for (i = 0; i < 3; i++)
		fd_close(&theirs[i]);
	if (ret) {
		mr_child_destroy(child);
		return ret;
	}
	*out = child;
	return 0;
}

/* Wait until something can be done; take what there is. @ended: it has ended. */
static int serve(struct mr_child *child, bool *ended)
{
	struct pollfd fds[] = {
		{ .fd = child->in, .events = POLLOUT },
		{ .fd = child->out.fd, .events = POLLIN },
		{ .fd = child->err.fd, .events = POLLIN },
		{ .fd = ended ? child->pidfd : -1, .events = POLLIN },
	};
	int ret = 0;

	if (poll(fds, sizeof(fds) / sizeof(fds[0]), -1) < 0)
		return errno == EINTR ? 0 : -errno;
	if (fds[1].revents)
		ret = lines_read(&child->out, child->arg);
	if (ret >= 0 && fds[2].revents)
		ret = lines_read(&child->err, child->arg);
	if (ended)
		*ended = fds[3].revents;
	return ret < 0 ? ret : 0;
}

int mr_child_feed(struct mr_child *child, const void *data, size_t len)
{
	int ret = 0;

	while (!ret && len && child->in >= 0) {
		ssize_t n = write(child->in, data, len);

		if (n > 0) {
			data = (const char *)data + n;
			len -= n;
		} else if (errno == EAGAIN) {
			ret = serve(child, NULL);
		} else if (errno == EPIPE) {
			fd_close(&child->in);
		} else if (errno != EINTR) {
			ret = -errno;
		}
	}
	return ret;
}

int mr_child_finish(struct mr_child *child, int *status)
{
	bool ended = false;
	int ret = 0;

	fd_close(&child->in);
	/* output may come from a grandchild after the shell's end, as in a pipeline */
	while (!ret && (child->out.fd >= 0 || !ended)) {
		ret = serve(child, ended ? NULL : &ended);
		if (ended)
			fd_close(&child->pidfd);
	}
	/* what a process in the background may still write to standard error is not waited for */
	while (!ret && lines_read(&child->err, child->arg) > 0)
		;
	if (ret)
		return ret;
	if (waitpid(child->pid, status, 0) < 0)
		return -errno;
	child->pid = 0;
	return 0;
}

void mr_child_destroy(struct mr_child *child)
{
	if (!child)
		return;
	fd_close(&child->in);
	fd_close(&child->out.fd);
	fd_close(&child->err.fd);
	fd_close(&child->pidfd);
	if (child->pid > 0) {
		kill(-child->pid, SIGKILL);
		kill(child->pid, SIGKILL);
		waitpid(child->pid, NULL, 0);
	}
	free(child->out.buf);
	free(child->err.buf);
	free(child);
}
