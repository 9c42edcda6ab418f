// SPDX-License-Identifier: GPL-2.0
/*
 * threadcount - instructions of a thread while standard input is open, or of a program's
 * first thread from its start to its end
 *
 *   threadcount TID
 *   threadcount PROGRAM ARGUMENT...
 *
 * Prints "ready"; at the end "ALL GUEST": instructions that retired meanwhile, and how
 * many of them the thread's guest executed. AMD's event 0xC0. A program that fails prints
 * nothing.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define RETIRED	0xc0

static int count_open(pid_t tid, bool on_exec, bool guest_only)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_RAW,
		.size = sizeof(attr),
		.config = RETIRED,
		.pinned = 1,
		.disabled = on_exec,
		.enable_on_exec = on_exec,
		.exclude_host = guest_only,
	};

	return (int)syscall(SYS_perf_event_open, &attr, tid, -1, -1, 0);
}

static int count_read(int fd, uint64_t *value)
{
	return read(fd, value, sizeof(*value)) == sizeof(*value) ? 0 : -1;
}

/* A child that becomes @argv once @go is closed. */
static pid_t program_start(char **argv, int *go)
{
	int fds[2];
	pid_t pid;
	char byte;

	if (pipe(fds))
		return -1;
	pid = fork();
	if (!pid) {
		close(fds[1]);
		if (!read(fds[0], &byte, 1))
			execvp(argv[0], argv);
		fprintf(stderr, "threadcount: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	close(fds[0]);
	*go = fds[1];
	return pid;
}

/* Until the end of what is counted; its exit status. */
static int end_wait(pid_t program, int go)
{
	int status;
	char byte;

	if (!program) {
		while (read(0, &byte, 1) > 0)
			;
		return 0;
	}
	close(go);
	if (waitpid(program, &status, 0) != program || !WIFEXITED(status))
		return 1;
	return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	uint64_t all_before, guest_before, all, guest;
	int fd_all, fd_guest, ret, go = -1;
	pid_t tid, program = 0;
	char *end;

	if (argc < 2) {
		fprintf(stderr, "usage: threadcount TID | PROGRAM ARGUMENT...\n");
		return 2;
	}
	tid = strtol(argv[1], &end, 10);
	if (*end)
		tid = program = program_start(argv + 1, &go);
	fd_all = count_open(tid, program, false);
	fd_guest = count_open(tid, program, true);
	if (fd_all < 0 || fd_guest < 0) {
		fprintf(stderr, "threadcount: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	if (count_read(fd_all, &all_before) || count_read(fd_guest, &guest_before))
		return 1;
	puts("ready");
	fflush(stdout);
	ret = end_wait(program, go);
	if (ret)
		return ret;
	if (count_read(fd_all, &all) || count_read(fd_guest, &guest)) {
		fprintf(stderr, "threadcount: no counter was free\n");
		return 1;
	}
	printf("%llu %llu\n", (unsigned long long)(all - all_before),
	       (unsigned long long)(guest - guest_before));
	return 0;
}
