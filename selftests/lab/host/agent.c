// SPDX-License-Identifier: GPL-2.0
/*
 * The agent: runs commands for the harness, any number at once, over one
 * virtio port. Reading from the port stops while a command does not take its
 * input, so nothing is buffered without a bound; such a command holds up the
 * others, which a lab can live with.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "labhost.h"

#define COMMANDS_MAX	64

enum { IN, OUT, ERR, NR_PIPES };

struct command {
	uint32_t id;
	pid_t pid;		/* 0: the slot is free */
	int fd[NR_PIPES];	/* our ends, -1 when closed */
};

static struct command commands[COMMANDS_MAX];
static int port = -1;
static bool finish;

static struct lab_frame head;	/* of the frame that is being read */
static size_t head_len;		/* bytes of @head that are there */
static char payload[LAB_FRAME_MAX + 1];
static size_t payload_len;

static struct command *stalled;	/* whose input @payload is, from @stalled_at on */
static size_t stalled_at;

void agent_init(int port_fd)
{
	port = port_fd;
	signal(SIGPIPE, SIG_IGN);
}

bool agent_finish_asked(void)
{
	return finish;
}

static void frame_send(uint32_t id, uint32_t type, const void *data, size_t len)
{
	static char out[sizeof(struct lab_frame) + LAB_FRAME_MAX];
	struct lab_frame h = { .id = id, .type = type, .len = len };

	memcpy(out, &h, sizeof(h));
	if (len)
		memcpy(out + sizeof(h), data, len);
	if (write_all(port, out, sizeof(h) + len))
		verdict_fail("agent port: %s", strerror(errno));
}

void agent_ready(void)
{
	frame_send(0, LAB_READY, NULL, 0);
}

static void exit_send(uint32_t id, int status)
{
	uint8_t how[2] = { WIFEXITED(status) ? WEXITSTATUS(status) : 0,
			   WIFSIGNALED(status) ? WTERMSIG(status) : 0 };

	frame_send(id, LAB_EXIT, how, sizeof(how));
}

static struct command *command_find(uint32_t id)
{
	for (int i = 0; i < COMMANDS_MAX; i++)
		if (commands[i].pid && commands[i].id == id)
			return &commands[i];
	return NULL;
}

static void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void child(char *line, int pipes[NR_PIPES][2])
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setsid();
	dup2(pipes[IN][0], 0);
	dup2(pipes[OUT][1], 1);
	dup2(pipes[ERR][1], 2);
	execl("/bin/sh", "sh", "-c", line, NULL);
	_exit(127);
}

static int command_start(struct command *c, uint32_t id, char *line)
{
	int pipes[NR_PIPES][2];
	int made, ret = 0;

	for (made = 0; made < NR_PIPES; made++) {
		if (pipe2(pipes[made], O_CLOEXEC)) {
			ret = -errno;
			goto close_pipes;
		}
	}
	c->pid = fork();
	if (c->pid < 0) {
		ret = -errno;
		c->pid = 0;
		goto close_pipes;
	}
	if (!c->pid)
		child(line, pipes);
	c->id = id;
	for (int i = 0; i < NR_PIPES; i++) {
		int ours = i == IN ? 1 : 0;

		c->fd[i] = pipes[i][ours];
		close(pipes[i][!ours]);
		fcntl(c->fd[i], F_SETFL, O_NONBLOCK);
	}
	return 0;

close_pipes:
	while (made-- > 0) {
		close(pipes[made][0]);
		close(pipes[made][1]);
	}
	return ret;
}

static void exec_frame(void)
{
	struct command *c = NULL;
	int ret = -EBUSY;

	for (int i = 0; i < COMMANDS_MAX && !c; i++)
		if (!commands[i].pid)
			c = &commands[i];
	payload[payload_len] = '\0';
	if (c)
		ret = command_start(c, head.id, payload);
	if (ret) {
		char text[80];
		int n = snprintf(text, sizeof(text), "agent: cannot start: %s\n", strerror(-ret));

		frame_send(head.id, LAB_STDERR, text, n);
		exit_send(head.id, 126 << 8);
	}
}

/* Gives as much input as the command takes now. */
static void stalled_push(void)
{
	struct command *c = stalled;

	while (c->fd[IN] >= 0 && stalled_at < payload_len) {
		ssize_t n = write(c->fd[IN], payload + stalled_at, payload_len - stalled_at);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			fd_close(&c->fd[IN]);	/* it does not read any more */
		else
			stalled_at += n;
	}
	stalled = NULL;
}

static void frame_handle(void)
{
	struct command *c = command_find(head.id);

	switch (head.type) {
	case LAB_EXEC:
		exec_frame();
		break;
	case LAB_STDIN:
		if (c && !payload_len) {
			fd_close(&c->fd[IN]);
		} else if (c) {
			stalled = c;
			stalled_at = 0;
			stalled_push();
		}
		break;
	case LAB_SIGNAL:
		if (c && payload_len)
			kill(-c->pid, payload[0]);
		break;
	case LAB_FINISH:
		finish = true;
		break;
	default:
		verdict_fail("agent: frame of unknown type %u", head.type);
	}
}

bool agent_wants_input(void)
{
	return !stalled;
}

/* Reads from the port once, handles the frame when it is whole. 0, or -errno when the port is of no more use. */
int agent_input(void)
{
	bool in_head = head_len < sizeof(head);
	char *to = in_head ? (char *)&head + head_len : payload + payload_len;
	size_t want = in_head ? sizeof(head) - head_len : head.len - payload_len;
	ssize_t n = want ? read(port, to, want) : 0;

	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	if (in_head)
		head_len += n;
	else
		payload_len += n;
	if (head_len == sizeof(head) && head.len > LAB_FRAME_MAX)
		return -EPROTO;
	if (head_len == sizeof(head) && payload_len == head.len) {
		size_t len = payload_len;

		frame_handle();
		head_len = 0;
		payload_len = stalled ? len : 0;
	}
	return 0;
}

static void output_copy(struct command *c, int which)
{
	static char buf[LAB_FRAME_MAX];
	ssize_t n;

	while (c->fd[which] >= 0) {
		n = read(c->fd[which], buf, sizeof(buf));
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			fd_close(&c->fd[which]);
		else
			frame_send(c->id, which == OUT ? LAB_STDOUT : LAB_STDERR, buf, n);
	}
}

/* Moves what can be moved of all commands; cheap where there is nothing. */
void agent_output(void)
{
	if (stalled) {
		stalled_push();
		if (!stalled)
			payload_len = 0;
	}
	for (int i = 0; i < COMMANDS_MAX; i++) {
		if (!commands[i].pid)
			continue;
		output_copy(&commands[i], OUT);
		output_copy(&commands[i], ERR);
	}
}

/* A command has ended. What it left running keeps its own files, but loses our pipes. */
void agent_reap(pid_t pid, int status)
{
	for (int i = 0; i < COMMANDS_MAX; i++) {
		struct command *c = &commands[i];

		if (c->pid != pid)
			continue;
		output_copy(c, OUT);
		output_copy(c, ERR);
		for (int k = 0; k < NR_PIPES; k++)
			fd_close(&c->fd[k]);
		if (stalled == c) {
			stalled = NULL;
			payload_len = 0;
		}
		c->pid = 0;
		exit_send(c->id, status);
	}
}

int agent_pollfds(struct pollfd *fds, int max)
{
	int n = 0;

	for (int i = 0; i < COMMANDS_MAX; i++) {
		struct command *c = &commands[i];

		for (int k = OUT; k < NR_PIPES && c->pid; k++)
			if (c->fd[k] >= 0 && n < max)
				fds[n++] = (struct pollfd){ .fd = c->fd[k], .events = POLLIN };
	}
	if (stalled && stalled->fd[IN] >= 0 && n < max)
		fds[n++] = (struct pollfd){ .fd = stalled->fd[IN], .events = POLLOUT };
	return n;
}
