// SPDX-License-Identifier: GPL-2.0
/* Unix-domain sockets: the kernel says who the other side is. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/internal.h"

static int plain_error(struct lockstep_conn *conn, int error)
{
	lockstep_conn_explain(conn, "%s", strerror(error));
	return -error;
}

static int plain_init(struct lockstep_conn *conn)
{
	if (!lockstep_addr_is_unix(&conn->remote_addr)) {
		lockstep_conn_explain(conn, "connections over a network need keys");
		return -EOPNOTSUPP;
	}
	return 0;
}

static int plain_handshake(struct lockstep_conn *conn)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(conn->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return plain_error(conn, errno);
	/* root dials whom it likes: the folder of the socket says whose it is */
	if (cred.uid && cred.uid != geteuid() && !(conn->outbound && !geteuid())) {
		lockstep_conn_explain(conn, "user %u is neither root nor this process's user",
				      cred.uid);
		return -EACCES;
	}
	strcpy(conn->node, "local");
	return 0;
}

static ssize_t plain_read(struct lockstep_conn *conn, void *buf, size_t len)
{
	ssize_t n;

	do {
		n = recv(conn->fd, buf, len, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return -EAGAIN;
	return plain_error(conn, errno);
}

static ssize_t plain_write(struct lockstep_conn *conn, const void *buf, size_t len)
{
	ssize_t n;

	conn->want_write = false;
	do {
		n = send(conn->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == EWOULDBLOCK) {
		conn->want_write = true;
		return -EAGAIN;
	}
	/* The other side is gone, but what it said last is still to be read; its end follows. */
	if (errno == EPIPE)
		return (ssize_t)len;
	return plain_error(conn, errno);
}

static bool plain_pending(struct lockstep_conn *conn)
{
	(void)conn;
	return false;
}

static int plain_export_key(struct lockstep_conn *conn, const char *label, void *out, size_t len)
{
	(void)conn;
	(void)label;
	memset(out, 0, len);
	return -EOPNOTSUPP;	/* there is no secret to derive one from */
}

static void plain_release(struct lockstep_conn *conn)
{
	(void)conn;
}

const struct lockstep_conn_io lockstep_conn_plain = {
	.name		= "plain",
	.init		= plain_init,
	.handshake	= plain_handshake,
	.read		= plain_read,
	.write		= plain_write,
	.pending	= plain_pending,
	.export_key	= plain_export_key,
	.release	= plain_release,
};
