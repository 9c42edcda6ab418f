// SPDX-License-Identifier: GPL-2.0
/* Sockets of lockstepd and of VMMs: a line asked, a line of JSON answered. */
#include "ctl.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/json.h"

#define LINE_MAX_BYTES	(4 << 20)	/* of an answer */

struct ctl_line {
	int fd;
	char *buf;
	size_t len;
	size_t size;
};

struct json_object *ctl_object(struct json_object *o, const char *key)
{
	struct json_object *v;

	return o && json_object_object_get_ex(o, key, &v) ? v : NULL;
}

const char *ctl_string(struct json_object *o, const char *key)
{
	struct json_object *v = ctl_object(o, key);

	return v && json_object_is_type(v, json_type_string) ? json_object_get_string(v) : NULL;
}

uint64_t ctl_number(struct json_object *o, const char *key)
{
	struct json_object *v = ctl_object(o, key);

	return v ? json_object_get_uint64(v) : 0;
}

bool ctl_bool(struct json_object *o, const char *key)
{
	struct json_object *v = ctl_object(o, key);

	return v && json_object_get_boolean(v);
}

int ctl_line_open(const char *path, struct ctl_line **out)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct ctl_line *line;
	int err;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	line = calloc(1, sizeof(*line));
	if (!line)
		return -ENOMEM;
	line->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (line->fd < 0 || connect(line->fd, (struct sockaddr *)&addr, sizeof(addr))) {
		err = errno;
		ctl_line_close(line);
		return -err;
	}
	*out = line;
	return 0;
}

void ctl_line_close(struct ctl_line *line)
{
	if (!line)
		return;
	if (line->fd >= 0)
		close(line->fd);
	free(line->buf);
	free(line);
}

int ctl_line_send(struct ctl_line *line, const char *text)
{
	char *whole;
	int n = asprintf(&whole, "%s\n", text), at, ret = 0;

	if (n < 0)
		return -ENOMEM;
	for (at = 0; at < n && !ret; ) {
		ssize_t sent = send(line->fd, whole + at, (size_t)(n - at), MSG_NOSIGNAL);

		if (sent >= 0)
			at += (int)sent;
		else if (errno != EINTR)
			ret = -errno;
	}
	free(whole);
	return ret;
}

/* A whole line that is there already, taken out of the buffer. */
static char *line_take(struct ctl_line *line)
{
	char *end = line->len ? memchr(line->buf, '\n', line->len) : NULL, *text;
	size_t n;

	if (!end)
		return NULL;
	n = (size_t)(end - line->buf);
	text = strndup(line->buf, n);
	line->len -= n + 1;
	memmove(line->buf, end + 1, line->len);
	return text;
}

static int more(struct ctl_line *line, int ms)
{
	struct pollfd pfd = { .fd = line->fd, .events = POLLIN };
	ssize_t n;
	char *buf;
	int ret;

	ret = poll(&pfd, 1, ms);
	if (ret < 0)
		return errno == EINTR ? 0 : -errno;
	if (!ret)
		return -ETIMEDOUT;
	if (line->size - line->len < 4096) {
		if (line->size >= LINE_MAX_BYTES)
			return -EMSGSIZE;
		buf = realloc(line->buf, line->size * 2 + 8192);
		if (!buf)
			return -ENOMEM;
		line->buf = buf;
		line->size = line->size * 2 + 8192;
	}
	n = recv(line->fd, line->buf + line->len, line->size - line->len, 0);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	line->len += (size_t)n;
	return n ? 0 : -EPIPE;
}

int ctl_line_read(struct ctl_line *line, int ms, struct json_object **out)
{
	uint64_t end = lockstep_clock_ns() + (uint64_t)(ms < 0 ? 0 : ms) * LOCKSTEP_NSEC_PER_MSEC;
	char *text;
	int ret = 0;

	while (!(text = line_take(line))) {
		uint64_t now = lockstep_clock_ns();
		int left = ms < 0 ? -1 :
			   now >= end ? 0 : (int)((end - now) / LOCKSTEP_NSEC_PER_MSEC) + 1;

		ret = more(line, left);
		if (ret)
			return ret;
	}
	*out = json_tokener_parse(text);
	free(text);
	return *out ? 0 : -EBADMSG;
}

static int ask(const char *path, const char *text, int ms, struct json_object **out)
{
	struct ctl_line *line;
	int ret = ctl_line_open(path, &line);

	if (ret)
		return ret;
	ret = ctl_line_send(line, text);
	if (!ret)
		ret = ctl_line_read(line, ms, out);
	ctl_line_close(line);
	return ret;
}

int ctl_daemon_ask(const struct ctl_options *opt, const char *command, const char *guest,
		   const char *const *flags, int ms, struct json_object **out)
{
	struct json_object *o = json_object_new_object();
	int ret;

	if (!o)
		return -ENOMEM;
	lockstep_json_add_str(o, "command", command);
	if (guest)
		lockstep_json_add_str(o, "guest", guest);
	for (; flags && *flags; flags++)
		lockstep_json_add_bool(o, *flags, true);
	ret = ask(opt->socket, json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN), ms, out);
	json_object_put(o);
	return ret;
}

int ctl_daemon_missing(const struct ctl_options *opt, int error)
{
	fprintf(stderr, "lockstepctl: lockstepd can't be asked at %s: %s%s\n", opt->socket,
		strerror(-error),
		error == -ENOENT || error == -ECONNREFUSED ?
		" (does it run? systemctl start lockstepd)" : "");
	return CTL_NOBODY;
}

int ctl_vmm_ask(const struct ctl_options *opt, const char *guest, const char *command, int ms,
		struct json_object **out)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s.vmm", opt->run, guest);
	return ask(path, command, ms, out);
}
