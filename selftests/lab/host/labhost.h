/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PID 1 of a lab host: verdict on the second serial port, watch on the kernel
 * log, and an agent that runs commands for the harness outside.
 */
#ifndef LABHOST_H
#define LABHOST_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Frames on the agent port, both ways, little-endian: header, then @len bytes.
 * The harness chooses @id; all frames about one command carry it.
 */
struct lab_frame {
	uint32_t id;
	uint32_t type;
	uint32_t len;
} __attribute__((packed));

/**
 * enum lab_type - what a frame says
 * @LAB_EXEC:	in: run the payload with /bin/sh -c, in a session of its own
 * @LAB_STDIN:	in: bytes for its standard input; no payload closes it
 * @LAB_SIGNAL:	in: one byte, a signal for the command's session
 * @LAB_FINISH:	in: last checks, verdict, power off
 * @LAB_READY:	out: the host is up
 * @LAB_STDOUT:	out: bytes it wrote
 * @LAB_STDERR:	out: bytes it wrote
 * @LAB_EXIT:	out: two bytes, exit status and signal; last frame of this @id
 */
enum lab_type {
	LAB_EXEC = 1,
	LAB_STDIN = 2,
	LAB_SIGNAL = 3,
	LAB_FINISH = 4,
	LAB_READY = 16,
	LAB_STDOUT = 17,
	LAB_STDERR = 18,
	LAB_EXIT = 19,
};

#define LAB_FRAME_MAX	65536	/* bytes of payload in one frame */

/* verdict.c */
int verdict_init(const char *tty);
void verdict_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void verdict_give(void);

/* kmsg.c */
int kmsg_init(const char *patterns, const char *allowed);
int kmsg_fd(void);
void kmsg_copy_to(int fd);
void kmsg_drain(void);

/* agent.c */
void agent_init(int port);
void agent_ready(void);
bool agent_wants_input(void);
int agent_input(void);
void agent_output(void);
void agent_reap(pid_t pid, int status);
int agent_pollfds(struct pollfd *fds, int max);
bool agent_finish_asked(void);

/* util.c */
int write_all(int fd, const void *buf, size_t len);
int run_wait(const char *path, const char *arg);
int virtio_port_open(const char *name);

#endif
