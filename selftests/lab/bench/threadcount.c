// SPDX-License-Identifier: GPL-2.0
/*
 * threadcount - instructions of a thread while standard input is open
 *
 *   threadcount TID
 *
 * Prints "ready"; at the end of input "ALL GUEST": instructions that retired meanwhile,
 * and how many of them the thread's guest executed. AMD's event 0xC0.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RETIRED	0xc0

static int count_open(pid_t tid, int guest_only)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_RAW,
		.size = sizeof(attr),
		.config = RETIRED,
		.pinned = 1,
		.exclude_host = guest_only,
	};

	return (int)syscall(SYS_perf_event_open, &attr, tid, -1, -1, 0);
}

static int count_read(int fd, uint64_t *value)
{
	return read(fd, value, sizeof(*value)) == sizeof(*value) ? 0 : -1;
}

int main(int argc, char **argv)
{
	uint64_t all_before, guest_before, all, guest;
	int fd_all, fd_guest;
	char byte;

	if (argc != 2) {
		fprintf(stderr, "usage: threadcount TID\n");
		return 2;
	}
	fd_all = count_open(atoi(argv[1]), 0);
	fd_guest = count_open(atoi(argv[1]), 1);
	if (fd_all < 0 || fd_guest < 0) {
		fprintf(stderr, "threadcount: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	if (count_read(fd_all, &all_before) || count_read(fd_guest, &guest_before))
		return 1;
	puts("ready");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	if (count_read(fd_all, &all) || count_read(fd_guest, &guest)) {
		fprintf(stderr, "threadcount: no counter was free\n");
		return 1;
	}
	printf("%llu %llu\n", (unsigned long long)(all - all_before),
	       (unsigned long long)(guest - guest_before));
	return 0;
}
