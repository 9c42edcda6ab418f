/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One framed connection: a socket, what encrypts it, and its HELLO.
 *
 * State only ever moves down this list:
 *
 *	CONNECTING	TCP connects (outbound only)
 *	HANDSHAKE	TLS proves who both sides are
 *	HELLO		dialler has sent HELLO; the other side answers HELLO or REFUSE
 *	UP		frames flow
 *	CLOSING		BYE is queued; frames that come are dropped
 *	FAILED		nothing moves any more; closed() will be called by the loop
 *
 * A connection has one owner: whoever dialled it, or the acceptor until its
 * HELLO tells which peer or service it is for. A connection is freed in
 * exactly one place, right after its owner's closed(): never while one of its
 * own handlers is on the stack. Failing it only marks it.
 */
#ifndef LOCKSTEP_TRANSPORT_CONN_H
#define LOCKSTEP_TRANSPORT_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "transport/addr.h"
#include "transport/transport.h"
#include "transport/wire.h"

struct evbuffer;
struct event;
struct ssl_st;

enum lockstep_conn_state {
	LOCKSTEP_CONN_CONNECTING	= 1,
	LOCKSTEP_CONN_HANDSHAKE,
	LOCKSTEP_CONN_HELLO,
	LOCKSTEP_CONN_UP,
	LOCKSTEP_CONN_CLOSING,
	LOCKSTEP_CONN_FAILED,
	__LOCKSTEP_CONN_LAST,
	LOCKSTEP_CONN_MAX		= __LOCKSTEP_CONN_LAST - 1
};

/**
 * struct lockstep_conn_io - how bytes go through a socket
 * @name: "tls" or "plain"
 * @init: attach to conn->fd; 0 or -errno
 * @handshake: go on proving identities; 0 when done and conn->node is set, or
 *	-EAGAIN. Sets conn->want_write when it waits to write
 * @read: as read(2): bytes, 0 at an orderly end, -EAGAIN or -errno
 * @write: as write(2): bytes, -EAGAIN or -errno. A write that gave -EAGAIN is
 *	repeated with the same bytes at its front
 * @pending: bytes wait inside, which the socket does not show as readable
 * @export_key: secret both sides derive from the session; 0 or -errno
 * @release: detach; conn->fd stays
 *
 * On failure, @init, @handshake, @read and @write explain in conn->reason.
 */
struct lockstep_conn_io {
	const char *name;
	int (*init)(struct lockstep_conn *conn);
	int (*handshake)(struct lockstep_conn *conn);
	ssize_t (*read)(struct lockstep_conn *conn, void *buf, size_t len);
	ssize_t (*write)(struct lockstep_conn *conn, const void *buf, size_t len);
	bool (*pending)(struct lockstep_conn *conn);
	int (*export_key)(struct lockstep_conn *conn, const char *label, void *out, size_t len);
	void (*release)(struct lockstep_conn *conn);
};

extern const struct lockstep_conn_io lockstep_conn_tls;
extern const struct lockstep_conn_io lockstep_conn_plain;

/**
 * struct lockstep_conn_owner - upcalls, all from the loop
 * @established: TLS is up, HELLO not yet sent (dialler only); may be NULL
 * @hello: the other side's HELLO; @conn->remote holds it. 0, or -errno to refuse
 *	with conn->reason. May hand the connection to another owner
 * @up: it is UP
 * @frame: a frame came while UP. 0, or -errno to fail with conn->reason
 * @drained: the queue fell to conn->low
 * @closed: over; freed when it returns
 */
struct lockstep_conn_owner {
	void (*established)(struct lockstep_conn *conn);
	int (*hello)(struct lockstep_conn *conn);
	void (*up)(struct lockstep_conn *conn);
	int (*frame)(struct lockstep_conn *conn, const struct lockstep_frame *f,
		     const uint8_t *payload);
	void (*drained)(struct lockstep_conn *conn);
	void (*closed)(struct lockstep_conn *conn, int error, const char *reason);
};

/**
 * struct lockstep_conn - a connection
 * @all: link in transport->conns
 * @t: transport
 * @io: how bytes go through
 * @ssl: TLS session, for @io
 * @owner: upcalls
 * @peer: peer it belongs to, or NULL
 * @service_ops: service it belongs to, or NULL
 * @user: upper layer's, SERVICE plane
 * @state: see above
 * @plane: what it is for; 0 for an inbound one before its HELLO
 * @outbound: this side dialled
 * @paused: frames are not delivered
 * @want_write: @io waits for the socket to be writable
 * @wants_room: someone waits for drained(), which is called once and clears it
 * @rx_more: bytes may wait in @in or in @io, which the socket does not show
 * @fd: socket
 * @read_ev: socket readable
 * @write_ev: socket writable
 * @kick_ev: to do something from the loop: flush, parse on, report failure
 * @in: bytes received and not yet handed over
 * @in_len: how many
 * @in_size: room in @in
 * @out: bytes to send, encoded
 * @out_retry: length of the write that gave -EAGAIN
 * @high: send() says 1 above it
 * @low: drained() at or below it
 * @limit: send() refuses above it
 * @read_budget: bytes read in one turn of the loop
 * @write_budget: bytes written in one turn of the loop
 * @deadline_ns: when setting up, or closing, has taken too long; 0: none
 * @remote_addr: the other side
 * @address: its text
 * @expect_node: name the other side must have; "": any
 * @node: name the other side has proven
 * @service: service asked for (outbound)
 * @remote: its HELLO
 * @version: version agreed on
 * @error: why it failed
 * @reason: in words
 * @tx_bytes: payload bytes handed to @io
 * @rx_bytes: bytes got from @io
 * @tx_records: writes since keys were changed
 */
struct lockstep_conn {
	TAILQ_ENTRY(lockstep_conn) all;
	struct lockstep_transport *t;
	const struct lockstep_conn_io *io;
	struct ssl_st *ssl;
	const struct lockstep_conn_owner *owner;
	struct lockstep_peer *peer;
	const struct lockstep_service_ops *service_ops;
	void *user;
	enum lockstep_conn_state state;
	uint8_t plane;
	bool outbound;
	bool paused;
	bool want_write;
	bool wants_room;
	bool rx_more;
	int fd;
	struct event *read_ev;
	struct event *write_ev;
	struct event *kick_ev;
	uint8_t *in;
	size_t in_len;
	size_t in_size;
	struct evbuffer *out;
	size_t out_retry;
	size_t high;
	size_t low;
	size_t limit;
	size_t read_budget;
	size_t write_budget;
	uint64_t deadline_ns;
	struct lockstep_addr remote_addr;
	char address[LOCKSTEP_ADDR_STRLEN];
	char expect_node[LOCKSTEP_NODE_NAME_MAX + 1];
	char node[LOCKSTEP_NODE_NAME_MAX + 1];
	char service[LOCKSTEP_SERVICE_NAME_MAX + 1];
	struct lockstep_hello remote;
	unsigned int version;
	int error;
	char reason[LOCKSTEP_REASON_MAX + 1];
	uint64_t tx_bytes;
	uint64_t rx_bytes;
	uint64_t tx_records;
};

/**
 * lockstep_conn_dial() - begin an outbound connection
 * @t: transport
 * @addr: where to
 * @plane: what for
 * @owner: upcalls
 * @out: receives it
 *
 * The caller fills in peer or service, service_ops, user and expect_node
 * before it returns to the loop.
 *
 * Return: 0 or -errno. Failure to connect is told by closed().
 */
int lockstep_conn_dial(struct lockstep_transport *t, const struct lockstep_addr *addr,
		       enum lockstep_plane plane, const struct lockstep_conn_owner *owner,
		       struct lockstep_conn **out);

/**
 * lockstep_conn_accept() - take over an inbound socket
 * @t: transport
 * @fd: socket, owned by this call from here on
 * @addr: the other side
 * @owner: upcalls
 *
 * Return: 0 or -errno.
 */
int lockstep_conn_accept(struct lockstep_transport *t, int fd,
			 const struct lockstep_addr *addr,
			 const struct lockstep_conn_owner *owner);

/**
 * lockstep_conn_set_plane() - set priority, socket options and budgets
 * @conn: connection
 * @plane: its plane
 */
void lockstep_conn_set_plane(struct lockstep_conn *conn, enum lockstep_plane plane);

/**
 * lockstep_conn_queue() - queue a frame
 * @conn: connection that is UP (or sends its HELLO)
 * @f: header; length is filled in
 * @iov: parts of the payload, copied
 * @iovcnt: how many
 *
 * Return: as lockstep_peer_send().
 */
int lockstep_conn_queue(struct lockstep_conn *conn, struct lockstep_frame *f,
			const struct iovec *iov, int iovcnt);

/**
 * lockstep_conn_queue_buffer() - queue a frame, moving its payload
 * @conn: connection that is UP
 * @f: header; length is filled in
 * @buf: payload is its first @len bytes, which are removed
 * @len: how many
 *
 * Return: 0 or -ENOMEM.
 */
int lockstep_conn_queue_buffer(struct lockstep_conn *conn, struct lockstep_frame *f,
			       struct evbuffer *buf, size_t len);

/** lockstep_conn_queued() - bytes queued */
size_t lockstep_conn_queued(const struct lockstep_conn *conn);

/** lockstep_conn_flush() - write now what the socket takes; marks failures */
void lockstep_conn_flush(struct lockstep_conn *conn);

/** lockstep_conn_want_room() - have drained() called, by the loop, once there is room */
void lockstep_conn_want_room(struct lockstep_conn *conn);

/** lockstep_conn_pause() - stop or go on delivering frames */
void lockstep_conn_pause(struct lockstep_conn *conn, bool pause);

/**
 * lockstep_conn_fail() - mark it failed; the loop will report and free it
 * @conn: connection; the first failure counts
 * @error: negative errno
 * @fmt: why; NULL keeps conn->reason
 */
void lockstep_conn_fail(struct lockstep_conn *conn, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * lockstep_conn_bye() - close in order: send what is queued and BYE first
 * @conn: connection
 * @error: positive errno for the other side
 * @reason: words for it
 */
void lockstep_conn_bye(struct lockstep_conn *conn, int error, const char *reason);

/** lockstep_conn_finish() - report a failed connection now and free it */
void lockstep_conn_finish(struct lockstep_conn *conn);

/** lockstep_conn_free() - free it without a word */
void lockstep_conn_free(struct lockstep_conn *conn);

/** lockstep_conn_explain() - set conn->reason */
void lockstep_conn_explain(struct lockstep_conn *conn, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

const char *lockstep_conn_state_name(enum lockstep_conn_state state);

#endif
