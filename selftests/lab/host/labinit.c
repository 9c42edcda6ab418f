// SPDX-License-Identifier: GPL-2.0
/*
 * labinit - PID 1 of a lab host
 *
 * Mounts the usual, runs /lab/rc (modules, network), then serves the agent port
 * and watches the kernel log until the harness asks for the end. Then: leaks,
 * taint, the rest of the log, the verdict, power off.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "labhost.h"

#define KMEMLEAK	"/sys/kernel/debug/kmemleak"
#define LOCKDEP		"/proc/lockdep_stats"
/* Taints that say something broke: machine check, bad page, died, warned, soft lockup. */
#define BAD_TAINT	(1 << 4 | 1 << 5 | 1 << 7 | 1 << 9 | 1 << 14)

static void mounts(void)
{
	static const struct {
		const char *type, *dir;
	} m[] = {
		{ "proc", "/proc" }, { "sysfs", "/sys" }, { "devtmpfs", "/dev" },
		{ "tmpfs", "/run" }, { "debugfs", "/sys/kernel/debug" },
		{ "tracefs", "/sys/kernel/tracing" },
	};

	for (size_t i = 0; i < sizeof(m) / sizeof(m[0]); i++) {
		mkdir(m[i].dir, 0755);
		if (mount(m[i].type, m[i].dir, m[i].type, 0, NULL) && errno != EBUSY)
			verdict_fail("mount %s: %s", m[i].dir, strerror(errno));
	}
	mkdir("/dev/pts", 0755);
	mount("devpts", "/dev/pts", "devpts", 0, NULL);
	mkdir("/dev/shm", 0755);
	mount("tmpfs", "/dev/shm", "tmpfs", 0, NULL);
}

static int signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void reap(int sigfd)
{
	struct signalfd_siginfo si;
	int status;
	pid_t pid;

	while (read(sigfd, &si, sizeof(si)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		agent_reap(pid, status);
}

static void serve(int port, int sigfd)
{
	struct pollfd fds[200];

	while (!agent_finish_asked()) {
		int n = 3 + agent_pollfds(fds + 3, 190);
		int ret;

		fds[0] = (struct pollfd){ .fd = sigfd, .events = POLLIN };
		fds[1] = (struct pollfd){ .fd = kmsg_fd(), .events = POLLIN };
		fds[2] = (struct pollfd){ .fd = agent_wants_input() ? port : -1, .events = POLLIN };
		if (poll(fds, n, -1) < 0 && errno != EINTR) {
			verdict_fail("poll: %s", strerror(errno));
			return;
		}
		if (fds[1].revents)
			kmsg_drain();
		agent_output();
		if (fds[0].revents)
			reap(sigfd);
		if (!(fds[2].revents & (POLLIN | POLLHUP)))
			continue;
		ret = agent_input();
		if (ret) {
			verdict_fail("agent port: %s", strerror(-ret));
			return;
		}
	}
}

static void text_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		verdict_fail("%s: %s", path, strerror(errno));
	close(fd);
}

/* Leaks: only kernels with CONFIG_DEBUG_KMEMLEAK have the file. A second scan drops what was in flight at the first. */
static void leaks(void)
{
	char line[256];
	FILE *f;

	if (access(KMEMLEAK, F_OK))
		return;
	text_write(KMEMLEAK, "scan");
	sleep(5);	/* kmemleak leaves objects younger than five seconds out */
	text_write(KMEMLEAK, "scan");
	f = fopen(KMEMLEAK, "r");
	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "unreferenced object"))
			verdict_fail("kmemleak: %s", line);
	if (f)
		fclose(f);
}

/* Lockdep watches until its first report, or until it has no room left; only kernels that have it have the file. */
static void lockdep(void)
{
	FILE *f = fopen(LOCKDEP, "r");
	char line[256];
	int on = 0;

	if (!f)
		return;
	while (fgets(line, sizeof(line), f) && sscanf(line, " debug_locks: %d", &on) != 1)
		;
	if (!on)
		verdict_fail("lockdep has stopped watching");
	fclose(f);
}

static void taint(void)
{
	FILE *f = fopen("/proc/sys/kernel/tainted", "r");
	unsigned long t = 0;

	if (!f || fscanf(f, "%lu", &t) != 1)
		verdict_fail("cannot read the kernel's taint");
	else if (t & BAD_TAINT)
		verdict_fail("kernel is tainted: %lu", t);
	if (f)
		fclose(f);
}

int main(void)
{
	int port = -1, copy, sigfd, ret;

	if (getpid() != 1) {
		fprintf(stderr, "labinit: PID 1 of a lab host, not for use elsewhere\n");
		return 2;
	}
	mkdir("/dev", 0755);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	verdict_init("/dev/ttyS1");
	mounts();
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/root", 1);

	ret = run_wait("/lab/rc", NULL);
	if (ret)
		verdict_fail("/lab/rc ended with %d", ret);
	sigfd = signals();
	ret = kmsg_init("/lab/patterns.bad", "/lab/patterns.allowed");
	if (ret)
		verdict_fail("watch on the kernel log: %s", strerror(-ret));
	copy = virtio_port_open("lab.kmsg");
	if (copy >= 0)
		kmsg_copy_to(copy);
	kmsg_drain();

	port = virtio_port_open("lab.agent");
	if (port < 0) {
		verdict_fail("agent port: %s", strerror(-port));
	} else {
		agent_init(port);
		agent_ready();
		serve(port, sigfd);
	}
	leaks();
	lockdep();
	taint();
	kmsg_drain();
	verdict_give();
	sync();
	reboot(RB_POWER_OFF);
	return 1;
}
