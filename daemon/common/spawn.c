// SPDX-License-Identifier: GPL-2.0
/* Starting a program, see spawn.h. */
#include "common/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"

/* What makes this process prompt, and the last to be killed, is not for its child. */
static void be_ordinary(int priority)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	setpriority(PRIO_PROCESS, 0, priority);
	if (fd >= 0) {
		if (write(fd, "0", 1) != 1)
			lockstep_debug("oom_score_adj is not set");
		close(fd);
	}
}

/* Child: become the program. What fails is told through the pipe, which exec closes. */
static void __attribute__((noreturn)) child(const struct lockstep_spawn *s, pid_t parent,
					    int pipe_fd)
{
	sigset_t none;
	int err, null;

	setsid();
	be_ordinary(s->nice);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (s->tied && prctl(PR_SET_PDEATHSIG, SIGKILL))
		goto fail;
	if (s->tied && getppid() != parent)
		_exit(127);
	null = open("/dev/null", O_RDWR);
	if (null < 0 || dup2(null, 0) < 0)
		goto fail;
	if (s->out >= 0 && (dup2(s->out, 1) < 0 || dup2(s->out, 2) < 0))
		goto fail;
	if (s->dir && chdir(s->dir))
		goto fail;
	execvp(s->args[0], s->args);
fail:
	err = errno;
	if (write(pipe_fd, &err, sizeof(err)) < 0)
		_exit(126);
	_exit(127);
}

pid_t lockstep_spawn(const struct lockstep_spawn *s)
{
	pid_t pid, self = getpid();
	int fds[2], err = 0;
	ssize_t n;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid == 0)
		child(s, self, fds[1]);
	err = errno;
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return -err;
	}
	/* closed by exec: no news is good news */
	do {
		n = read(fds[0], &err, sizeof(err));
	} while (n < 0 && errno == EINTR);
	close(fds[0]);
	if (n == (ssize_t)sizeof(err)) {
		waitpid(pid, NULL, 0);
		return -err;
	}
	return pid;
}
