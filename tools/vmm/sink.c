// SPDX-License-Identifier: GPL-2.0
/*
 * The host's end of a byte stream
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "config.h"
#include "sink.h"

#define WRITE_MAX	512U	/* as much as a pipe or terminal that polls ready takes without blocking */
#define ESCAPE		0x01	/* Ctrl-A */

/**
 * struct vmm_sink - end of a stream
 * @in, @out:   descriptors, -1: none; the same one for a socket
 * @listener:   of a socket
 * @readable:   event on @in, NULL when it can't be polled
 * @writable:   event on @out
 * @want_read:  the stream has room
 * @escaped:    Ctrl-A was typed
 * @terminal:   settings to restore, if @raw
 */
struct vmm_sink {
	const struct vmm_sink_config *config;
	const struct vmm_sink_ops *ops;
	void *opaque;
	struct event_base *base;
	int in;
	int out;
	int listener;
	struct event *accepting;
	struct event *readable;
	struct event *writable;
	bool want_read;
	bool escaped;
	bool raw;
	struct termios terminal;
};

static void on_ready(evutil_socket_t fd, short what, void *opaque)
{
	struct vmm_sink *sink = opaque;

	(void)fd;
	(void)what;
	sink->ops->ready(sink->opaque);
}

static void free_event(struct event **event)
{
	if (*event)
		event_free(*event);
	*event = NULL;
}

/* Descriptors that can't be polled (files) are always ready and need no events. */
static void watch(struct vmm_sink *sink)
{
	if (sink->in >= 0) {
		sink->readable = event_new(sink->base, sink->in, EV_READ, on_ready, sink);
		if (sink->readable && sink->want_read && event_add(sink->readable, NULL))
			free_event(&sink->readable);
	}
	if (sink->out >= 0)
		sink->writable = event_new(sink->base, sink->out, EV_WRITE, on_ready, sink);
}

static void unwatch(struct vmm_sink *sink)
{
	free_event(&sink->readable);
	free_event(&sink->writable);
}

static void drop_client(struct vmm_sink *sink)
{
	unwatch(sink);
	if (sink->in >= 0)
		close(sink->in);
	sink->in = -1;
	sink->out = -1;
}

static void on_accept(evutil_socket_t fd, short what, void *opaque)
{
	struct vmm_sink *sink = opaque;
	int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (client < 0)
		return;
	/* The last one to come has the line: a client that hangs can't keep others out. */
	drop_client(sink);
	sink->in = client;
	sink->out = client;
	watch(sink);
	sink->ops->ready(sink->opaque);
}

static int open_unix(struct vmm_sink *sink)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *path = sink->config->path;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path));
	sink->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (sink->listener < 0)
		return -errno;
	unlink(path);
	if (bind(sink->listener, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(sink->listener, 1))
		return -errno;
	sink->accepting = event_new(sink->base, sink->listener, EV_READ | EV_PERSIST, on_accept,
				    sink);
	return sink->accepting && !event_add(sink->accepting, NULL) ? 0 : -ENOMEM;
}

static int open_stdio(struct vmm_sink *sink)
{
	struct termios raw;

	sink->in = STDIN_FILENO;
	sink->out = STDOUT_FILENO;
	if (isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &sink->terminal)) {
		raw = sink->terminal;
		cfmakeraw(&raw);
		raw.c_oflag |= OPOST;	/* the guest's newlines are the terminal's */
		sink->raw = !tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	watch(sink);
	return 0;
}

static int open_file(struct vmm_sink *sink)
{
	sink->out = open(sink->config->path,
			 O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC, 0600);
	if (sink->out < 0)
		return -errno;
	watch(sink);
	return 0;
}

int vmm_sink_create(struct vmm_sink **sinkp, struct event_base *base,
		    const struct vmm_sink_config *config, const struct vmm_sink_ops *ops,
		    void *opaque)
{
	struct vmm_sink *sink = calloc(1, sizeof(*sink));
	int err = 0;

	if (!sink)
		return -ENOMEM;
	*sink = (struct vmm_sink){
		.config = config, .ops = ops, .opaque = opaque, .base = base,
		.in = -1, .out = -1, .listener = -1,
	};
	if (config->kind == VMM_SINK_STDIO)
		err = open_stdio(sink);
	else if (config->kind == VMM_SINK_FILE)
		err = open_file(sink);
	else if (config->kind == VMM_SINK_UNIX)
		err = open_unix(sink);
	if (err) {
		fprintf(stderr, "lockstep-vmm: %s: %s\n", config->path ? config->path : "stream",
			strerror(-err));
		vmm_sink_destroy(sink);
		return err;
	}
	*sinkp = sink;
	return 0;
}

void vmm_sink_destroy(struct vmm_sink *sink)
{
	if (!sink)
		return;
	free_event(&sink->accepting);
	unwatch(sink);
	if (sink->raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &sink->terminal);
	if (sink->listener >= 0) {
		close(sink->listener);
		unlink(sink->config->path);
	}
	if (sink->out > STDERR_FILENO)
		close(sink->out);
	free(sink);
}

size_t vmm_sink_write(struct vmm_sink *sink, const void *data, size_t len)
{
	struct pollfd pollfd = { .fd = sink->out, .events = POLLOUT };
	ssize_t n;

	if (sink->out < 0)
		return len;
	if (poll(&pollfd, 1, 0) != 1 || !(pollfd.revents & (POLLOUT | POLLERR | POLLHUP)))
		goto later;
	do {
		n = send(sink->out, data, len < WRITE_MAX ? len : WRITE_MAX,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == ENOTSOCK)
			n = write(sink->out, data, len < WRITE_MAX ? len : WRITE_MAX);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return (size_t)n;
	if (errno == EAGAIN)
		goto later;
	/* Nobody is there any more: a line without a listener loses its bytes. */
	if (sink->listener >= 0)
		drop_client(sink);
	return len;
later:
	if (sink->writable)
		event_add(sink->writable, NULL);
	return 0;
}

/* Take the escape sequence out of what was typed; the bytes that are left. */
static size_t unescape(struct vmm_sink *sink, uint8_t *data, size_t len)
{
	size_t kept = 0;

	for (size_t i = 0; i < len; i++) {
		if (sink->escaped) {
			sink->escaped = false;
			if (data[i] == 'x') {
				sink->ops->quit(sink->opaque);
				continue;
			}
			data[kept++] = data[i];
		} else if (data[i] == ESCAPE) {
			sink->escaped = true;
		} else {
			data[kept++] = data[i];
		}
	}
	return kept;
}

size_t vmm_sink_read(struct vmm_sink *sink, void *data, size_t len)
{
	struct pollfd pollfd = { .fd = sink->in, .events = POLLIN };
	ssize_t n;

	/* Polled first: standard input is shared with others and stays blocking. */
	if (sink->in < 0 || poll(&pollfd, 1, 0) != 1)
		return 0;
	n = read(sink->in, data, len);
	if (n > 0)
		return sink->raw ? unescape(sink, data, (size_t)n) : (size_t)n;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	/* End of input. A socket's client is gone with it, standard output stays. */
	if (sink->listener >= 0) {
		drop_client(sink);
	} else {
		free_event(&sink->readable);
		sink->in = -1;
	}
	return 0;
}

void vmm_sink_listen(struct vmm_sink *sink, bool listen)
{
	sink->want_read = listen;
	if (!sink->readable)
		return;
	if (listen)
		event_add(sink->readable, NULL);
	else
		event_del(sink->readable);
}
