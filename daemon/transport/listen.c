// SPDX-License-Identifier: GPL-2.0
/* Listening sockets, and inbound connections until their HELLO says what for. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>

#include "transport/internal.h"

#define BACKLOG		128
#define ACCEPTS_PER_TURN 16

/* Closed before anybody took it. */
static void inbound_closed(struct lockstep_conn *conn, int error, const char *reason)
{
	struct lockstep_transport *t = conn->t;

	t->pending--;
	if (t->ops->refused)
		t->ops->refused(t, conn->address, conn->node[0] ? conn->node : NULL, error, reason);
}

static void cut_off(struct lockstep_transport *t, int sock, const struct lockstep_addr *from)
{
	char address[LOCKSTEP_ADDR_STRLEN];

	close(sock);
	if (t->ops->refused)
		t->ops->refused(t, lockstep_addr_format(from, address), NULL, -EBUSY,
				"too many connections that do not say who they are");
}

/* Find whom an inbound connection is for; it changes hands or is refused. */
static int inbound_hello(struct lockstep_conn *conn)
{
	struct lockstep_peer *peer;
	int err;

	if (conn->remote.plane == LOCKSTEP_PLANE_SERVICE) {
		err = lockstep_service_adopt(conn);
	} else if (conn->io != &lockstep_conn_tls) {
		lockstep_conn_explain(conn, "only services are offered on Unix sockets");
		err = -EOPNOTSUPP;
	} else {
		peer = lockstep_peer_find(conn->t, conn->node);
		if (peer) {
			err = lockstep_peer_adopt(peer, conn);
		} else {
			lockstep_conn_explain(conn, "node \"%s\" is not among the peers of \"%s\"",
					      conn->node, conn->t->node);
			err = -EACCES;
		}
	}
	if (!err)
		conn->t->pending--;
	return err;
}

static const struct lockstep_conn_owner inbound_owner = {
	.hello	= inbound_hello,
	.closed	= inbound_closed,
};

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct lockstep_listener *l = arg;
	struct lockstep_transport *t = l->t;
	struct lockstep_addr addr;
	int i, sock;

	(void)what;
	lockstep_tick_enter(t);
	for (i = 0; i < ACCEPTS_PER_TURN; i++) {
		memset(&addr, 0, sizeof(addr));
		addr.len = sizeof(addr.sa);
		sock = accept4(fd, (struct sockaddr *)&addr.sa, &addr.len,
			       SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (sock < 0) {
			/* The socket stays readable: look away, not to spin. */
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
				l->resting = true;
				event_del(l->ev);
			}
			return;
		}
		/* Strangers can't use up memory: they are cut off, nodes dial again. */
		if (t->pending >= LOCKSTEP_PENDING_MAX) {
			cut_off(t, sock, &addr);
			continue;
		}
		if (!lockstep_conn_accept(t, sock, &addr, &inbound_owner))
			t->pending++;
	}
}

/* From the tick: listen again after a shortage. */
void lockstep_listen_resume(struct lockstep_transport *t)
{
	struct lockstep_listener *l;

	TAILQ_FOREACH(l, &t->listeners, all) {
		if (l->resting && !event_add(l->ev, NULL))
			l->resting = false;
	}
}

/* A socket file whose server is gone is in the way of bind(). */
static void remove_stale_socket(const struct lockstep_addr *addr)
{
	const char *path = ((const struct sockaddr_un *)&addr->sa)->sun_path;
	struct stat st;
	int fd;

	if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)&addr->sa, addr->len) < 0 &&
	    errno == ECONNREFUSED)
		unlink(path);
	close(fd);
}

static int open_listener(const struct lockstep_addr *addr)
{
	int family = addr->sa.ss_family;
	int fd, one = 1, zero = 0, err;

	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (family == AF_UNIX)
		remove_stale_socket(addr);
	else
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, (const struct sockaddr *)&addr->sa, addr->len) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static void listener_free(struct lockstep_listener *l)
{
	if (l->ev)
		event_free(l->ev);
	if (l->fd >= 0) {
		close(l->fd);
		if (lockstep_addr_is_unix(&l->addr))
			unlink(((struct sockaddr_un *)&l->addr.sa)->sun_path);
	}
	free(l);
}

int lockstep_transport_listen(struct lockstep_transport *t, const char *address, char *bound)
{
	struct lockstep_listener *l;
	int err;

	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->t = t;
	l->fd = -1;
	err = lockstep_addr_parse(address, true, &l->addr);
	if (err)
		goto out_free;
	err = -EOPNOTSUPP;
	if (!lockstep_addr_is_unix(&l->addr) && !t->ssl_ctx)
		goto out_free;
	err = open_listener(&l->addr);
	if (err < 0)
		goto out_free;
	l->fd = err;
	if (!lockstep_addr_is_unix(&l->addr)) {
		err = -EIO;
		l->addr.len = sizeof(l->addr.sa);
		if (getsockname(l->fd, (struct sockaddr *)&l->addr.sa, &l->addr.len) < 0)
			goto out_free;
		err = lockstep_udp_open(t, &l->addr);
		if (err)
			goto out_free;
	}
	err = -ENOMEM;
	l->ev = event_new(t->base, l->fd, EV_READ | EV_PERSIST, on_accept, l);
	if (!l->ev || event_add(l->ev, NULL))
		goto out_free;
	TAILQ_INSERT_TAIL(&t->listeners, l, all);
	if (bound)
		lockstep_addr_format(&l->addr, bound);
	return 0;

out_free:
	listener_free(l);
	return err;
}

void lockstep_listen_exit(struct lockstep_transport *t)
{
	struct lockstep_listener *l;

	while ((l = TAILQ_FIRST(&t->listeners))) {
		TAILQ_REMOVE(&t->listeners, l, all);
		listener_free(l);
	}
}
