/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Transport between nodes: messages, streams, heartbeats, services.
 *
 * What is carried
 * ---------------
 * A *peer* is another node named in the configuration. Each pair of peers keeps
 * two TLS 1.3 connections, called planes:
 *
 *   LOG	messages: small, prompt, in order (log records, acks, control)
 *   BULK	streams: large, flow-controlled (clone, disks, shuffle)
 *
 * and sends each other UDP heartbeats. A *service* is a plain request/response
 * connection on a third plane with a node that need not be a peer.
 *
 * Who may speak
 * -------------
 * Both sides present certificates of the cluster's CA (keys.h). The name a peer
 * goes by is the name in its certificate, never the one it claims: an inbound
 * connection whose certificate names no configured peer is refused and
 * reported, and so is an outbound one that reaches another node than the one
 * dialled. Certificates do not expire by the wall clock: no decision here hangs
 * on it. A node is shut out by removing it from its peers' configuration.
 * Unix-domain sockets, for services only, carry no TLS and no cluster's name; they
 * take connections from the same user or root.
 *
 * Who dials
 * ---------
 * The node whose name sorts lower (strcmp) dials both planes and retries for
 * ever, with a pause that doubles from LOCKSTEP_BACKOFF_MIN_MS to
 * LOCKSTEP_BACKOFF_MAX_MS, with jitter. The other one accepts; a newly accepted
 * connection replaces one that still looked alive (DOWN is reported before UP).
 *
 * Ordering and delivery
 * ---------------------
 * Messages to one peer arrive in the order of sending, each at most once, whole
 * or not at all. When the plane goes down, what was queued or under way is lost
 * and *nothing is sent again*: upper layers resume by their own sequence
 * numbers. Bytes of one stream arrive in order, exactly once, until it is
 * closed or reset; streams do not survive their connection. There is no order
 * between messages and streams, between streams, nor with heartbeats.
 *
 * Messages queued in one callback leave together at the end of that turn of the
 * loop; lockstep_peer_flush() sends at once.
 *
 * Back-pressure
 * -------------
 * lockstep_peer_send() queues. Above the high-water mark it still accepts but
 * returns 1; at the limit it returns -ENOBUFS and queues nothing. peer_writable
 * is called once the queue has fallen to the low-water mark after either.
 * A receiver that can't keep up pauses the plane with
 * lockstep_peer_receive_pause(), and TCP carries that to the sender. Streams
 * have credit windows each, so that one slow reader does not stop the others.
 *
 * Time
 * ----
 * CLOCK_BOOTTIME only. Whenever the loop itself was away for more than half the
 * shortest silence time-out (SIGSTOP, a paused host, a blocking call), loop_gap
 * is called before anything else, then the sockets are drained, then all
 * silence timing starts afresh. No silence is ever reported for time in which
 * this process was not running.
 *
 * Threads
 * -------
 * A transport, and all that hangs on it, belongs to the thread that runs its
 * event base: functions are called, and callbacks made, only there. The single
 * exception is lockstep_transport_call(). Several transports may live in one
 * process, on different bases. Bulk that can use up a processor belongs on a
 * transport and a thread of its own, at a lower priority: on a shared one a log
 * message waits for at most one bulk callback, but the thread itself then has to
 * wait for its turn among others (transport-bench, and --split, show both).
 *
 * Callbacks
 * ---------
 * No function but lockstep_transport_enter() calls back before it returns; callbacks come from the loop. In a
 * callback everything is allowed but lockstep_transport_destroy(). Data handed
 * to a callback is borrowed and dies with its return. Any op may be NULL. A
 * callback that takes long delays everything, heartbeats included: see Time.
 * Create the base with lockstep_loop_create(): it gives heartbeats and messages
 * precedence over bulk; work per turn and plane is bounded.
 *
 * Errors
 * ------
 * Functions return 0 or a negative errno. Nothing here exits or aborts; memory
 * that can't be had closes the connection concerned with -ENOMEM.
 */
#ifndef LOCKSTEP_TRANSPORT_H
#define LOCKSTEP_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "common/uuid.h"

struct event_base;
struct evbuffer;
struct json_object;

struct lockstep_transport;
struct lockstep_peer;
struct lockstep_stream;
struct lockstep_conn;

/* Protocol versions this library speaks. */
#define LOCKSTEP_PROTO_MIN		1
#define LOCKSTEP_PROTO_MAX		1

/* Limits and defaults; values outside MIN..MAX are -ERANGE. */
#define LOCKSTEP_NODE_NAME_MAX		63	/* characters of a node name */
#define LOCKSTEP_SERVICE_NAME_MAX	63
#define LOCKSTEP_MSG_MAX		(1024 * 1024)	/* bytes of a message */
#define LOCKSTEP_STREAM_OPEN_MAX	1024	/* bytes that go with an open */
#define LOCKSTEP_HEARTBEAT_MAX		256	/* bytes a heartbeat carries */
#define LOCKSTEP_ADDR_STRLEN		108	/* "[v6]:port" or "unix:path", with the zero */

#define LOCKSTEP_SILENCE_MS_MIN		100
#define LOCKSTEP_SILENCE_MS_DEF		1000
#define LOCKSTEP_SILENCE_MS_MAX		600000

#define LOCKSTEP_HEARTBEAT_MS_MIN	10
#define LOCKSTEP_HEARTBEAT_MS_DEF	100
#define LOCKSTEP_HEARTBEAT_MS_MAX	10000

#define LOCKSTEP_BACKOFF_MIN_MS		50
#define LOCKSTEP_BACKOFF_MAX_MS		2000

#define LOCKSTEP_CONNECT_MS_MIN		100	/* TCP, TLS and HELLO together */
#define LOCKSTEP_CONNECT_MS_DEF		5000
#define LOCKSTEP_CONNECT_MS_MAX		120000

#define LOCKSTEP_STALL_MS_MIN		1000	/* data unacknowledged by TCP */
#define LOCKSTEP_STALL_MS_DEF		10000
#define LOCKSTEP_STALL_MS_MAX		600000

#define LOCKSTEP_QUEUE_MIN		(64 * 1024ULL)
#define LOCKSTEP_QUEUE_DEF		(64 * 1024 * 1024ULL)
#define LOCKSTEP_QUEUE_MAX		(4096 * 1024 * 1024ULL)

#define LOCKSTEP_WINDOW_MIN		(64 * 1024)	/* credit of one stream */
#define LOCKSTEP_WINDOW_DEF		(1024 * 1024)
#define LOCKSTEP_WINDOW_MAX		(64 * 1024 * 1024)

enum lockstep_plane {
	LOCKSTEP_PLANE_LOG	= 1,
	LOCKSTEP_PLANE_BULK	= 2,
	LOCKSTEP_PLANE_SERVICE	= 3,
	__LOCKSTEP_PLANE_LAST,
	LOCKSTEP_PLANE_MAX	= __LOCKSTEP_PLANE_LAST - 1
};

/**
 * struct lockstep_msg - what goes with a message; all of it is the upper layer's
 * @channel: who within the node it is for (a guest, a job)
 * @kind: what it is
 * @id: sequence number or request id
 */
struct lockstep_msg {
	uint32_t channel;
	uint32_t kind;
	uint64_t id;
};

/**
 * struct lockstep_link_info - particulars of a plane that went up or down
 * @error: 0 when up; when down, why: -ECONNRESET, -ETIMEDOUT, -EPROTO, ...
 * @reason: the same in words, never NULL
 * @boot_id: the peer's boot (up only)
 * @incarnation: minted by the peer's transport when it was created, so that a
 *	restarted daemon can be told from a reconnect (up only)
 * @address: remote address as text
 * @version: protocol version agreed on
 */
struct lockstep_link_info {
	int error;
	const char *reason;
	struct lockstep_uuid boot_id;
	struct lockstep_uuid incarnation;
	const char *address;
	unsigned int version;
};

/**
 * struct lockstep_heartbeat_info - one heartbeat that was authentic and new
 * @payload: what the peer's heartbeat_fill wrote
 * @len: its length, at most LOCKSTEP_HEARTBEAT_MAX
 * @rtt_ns: round trip measured by this heartbeat, 0 if it could not be
 * @peer_heard: the peer has heard one of our heartbeats under this key
 * @peer_heard_ns: age of the last one it had when it sent this; large while
 *	heartbeats flow in = only one direction of the link works
 */
struct lockstep_heartbeat_info {
	const void *payload;
	size_t len;
	uint64_t rtt_ns;
	bool peer_heard;
	uint64_t peer_heard_ns;
};

/**
 * struct lockstep_transport_ops - upcalls
 *
 * @peer_state: a plane went up (info->error == 0) or down. Strictly alternating
 *	for each plane, beginning with up. Failed attempts to connect are not
 *	reported here but as connect_failed. On down, all streams of a BULK plane
 *	were closed before.
 * @peer_message: a message arrived on LOG.
 * @peer_writable: see Back-pressure.
 * @stream_open: the peer opened a stream. Set its ops here, or reset it; a
 *	stream left without ops is reset.
 * @heartbeat_fill: write the payload of the next heartbeat; returns its length.
 * @heartbeat: a heartbeat came.
 * @silence: nothing was heard for silent_ns; called when the time-out ends and
 *	again after each further one, with count 1, 2, ... It begins to run when
 *	the LOG plane first comes up and goes on while it is down.
 * @heard: the peer is heard again after silence was reported; called before
 *	that heartbeat is delivered.
 * @loop_gap: see Time.
 * @connect_failed: an attempt to connect failed (and will be made again).
 * @refused: an inbound connection was turned away: no or a wrong certificate,
 *	unknown node, wrong version, unknown service, or too many that say nothing;
 *	or a datagram that is no heartbeat. @node is the name in its certificate, or
 *	NULL. A stranger can make as many of these calls as it likes: refusal.h.
 */
struct lockstep_transport_ops {
	void (*peer_state)(struct lockstep_peer *peer, enum lockstep_plane plane, bool up,
			   const struct lockstep_link_info *info);
	void (*peer_message)(struct lockstep_peer *peer, const struct lockstep_msg *msg,
			     const void *data, size_t len);
	void (*peer_writable)(struct lockstep_peer *peer);
	void (*stream_open)(struct lockstep_peer *peer, struct lockstep_stream *stream,
			    uint32_t kind, const void *data, size_t len);
	size_t (*heartbeat_fill)(struct lockstep_peer *peer, void *buf, size_t size);
	void (*heartbeat)(struct lockstep_peer *peer,
			  const struct lockstep_heartbeat_info *info);
	void (*silence)(struct lockstep_peer *peer, uint64_t silent_ns, unsigned int count);
	void (*heard)(struct lockstep_peer *peer, uint64_t silent_ns);
	void (*loop_gap)(struct lockstep_transport *t, uint64_t gap_ns);
	void (*connect_failed)(struct lockstep_peer *peer, enum lockstep_plane plane,
			       const struct lockstep_link_info *info);
	void (*refused)(struct lockstep_transport *t, const char *address, const char *node,
			int error, const char *reason);
};

/**
 * struct lockstep_transport_config - how to make a transport
 * @cluster: cluster name; HELLOs of another cluster are refused
 * @node: this node's name; must be the one in its certificate. Lower-case
 *	letters, digits, '.', '-', '_'; begins and ends with a letter or digit
 * @keys_dir: folder with ca.crt, node.crt, node.key; NULL: no network, only
 *	services on Unix-domain sockets
 * @heartbeat_ms: interval of heartbeats, 0 for the default; at most a quarter
 *	of @silence_ms
 * @silence_ms: silence time-out of peers that set none of their own, or 0
 * @connect_ms: time limit for a connection to come up, or 0
 * @stall_ms: a connection whose data TCP can't deliver for so long is closed, or 0
 * @queue_max: limit of bytes queued to one peer's LOG plane, or 0; the marks
 *	are at 1/2 (high) and 1/4 (low) of it
 * @window: receive credit of each stream, in bytes, or 0
 *
 * All strings are copied.
 */
struct lockstep_transport_config {
	const char *cluster;
	const char *node;
	const char *keys_dir;
	unsigned int heartbeat_ms;
	unsigned int silence_ms;
	unsigned int connect_ms;
	unsigned int stall_ms;
	uint64_t queue_max;
	uint32_t window;
};

/**
 * lockstep_loop_create() - an event base with priorities for a transport
 *
 * Also gives SIGPIPE, if it has its default action, a handler that does nothing.
 * Priority 0 is heartbeats', 1 (libevent's default for new events here) is
 * messages', 2 is bulk's.
 *
 * Return: the base, freed by the caller with event_base_free() after the
 * transports on it, or NULL.
 */
struct event_base *lockstep_loop_create(void);

/**
 * lockstep_transport_create() - make a transport
 * @base: loop it lives on; outlives the transport
 * @cfg: configuration, copied
 * @ops: upcalls; the structure is borrowed until destroy; may be NULL
 * @user: for lockstep_transport_user()
 * @err: receives a message with cause and remedy on failure; may be NULL if 0
 * @errlen: size of @err
 * @out: receives the transport
 *
 * Return: 0; -EINVAL or -ERANGE for the configuration; -EKEYREJECTED for
 * certificates that don't fit; other -errno.
 */
int lockstep_transport_create(struct event_base *base,
			      const struct lockstep_transport_config *cfg,
			      const struct lockstep_transport_ops *ops, void *user,
			      char *err, size_t errlen, struct lockstep_transport **out);

/**
 * lockstep_transport_destroy() - close everything, without callbacks
 * @t: transport, or NULL; all its peers, streams and connections go with it
 */
void lockstep_transport_destroy(struct lockstep_transport *t);

struct event_base *lockstep_transport_base(const struct lockstep_transport *t);
void *lockstep_transport_user(const struct lockstep_transport *t);
const char *lockstep_transport_node(const struct lockstep_transport *t);
const struct lockstep_uuid *lockstep_transport_boot_id(const struct lockstep_transport *t);
const struct lockstep_uuid *lockstep_transport_incarnation(const struct lockstep_transport *t);

/**
 * lockstep_transport_listen() - accept connections
 * @t: transport
 * @address: "host:port", "[v6]:port", "*:port" or "unix:path"; port 0 picks one.
 *	Names are resolved now, which may block
 * @bound: receives the address bound, LOCKSTEP_ADDR_STRLEN; may be NULL
 *
 * May be called for several addresses. Network addresses get a UDP socket for
 * heartbeats on the same port number. Where a peer is reached from an address
 * not listened on, a UDP socket of its own is made for it.
 * An existing Unix socket at the path is replaced if nothing listens there.
 *
 * Return: 0 or -errno.
 */
int lockstep_transport_listen(struct lockstep_transport *t, const char *address, char *bound);

/**
 * lockstep_transport_call() - run a function on the loop; from any thread
 * @t: transport, which must not be destroyed meanwhile
 * @fn: function, called in the order of calls
 * @arg: passed through
 *
 * Return: 0 or -ENOMEM. Calls not yet made at destroy are dropped.
 */
int lockstep_transport_call(struct lockstep_transport *t, void (*fn)(void *arg), void *arg);

/**
 * lockstep_transport_enter() - look for a gap of the loop now
 * @t: transport
 *
 * The transport does this at the beginning of each handler of its own. Other
 * handlers on the same loop that act on what they find (module, VMM) call it
 * first: after a gap loop_gap is then made before they act. The one function
 * that calls back before it returns; it costs a reading of the clock.
 */
void lockstep_transport_enter(struct lockstep_transport *t);

/**
 * lockstep_transport_status() - state of everything, for status commands
 * @t: transport
 *
 * Return: a new object {node, cluster, listen[], peers[{name, planes, queued,
 * rtt_ns, silent_ns, streams, ...}], loop_gaps}, or NULL.
 */
struct json_object *lockstep_transport_status(struct lockstep_transport *t);

/* --- peers --------------------------------------------------------------- */

/**
 * struct lockstep_peer_config - a peer
 * @node: its name
 * @log_address: where its LOG plane is dialled; may be NULL on the side that
 *	does not dial
 * @bulk_address: the same for BULK; NULL: as @log_address
 * @silence_ms: its own silence time-out, 0 for the transport's
 */
struct lockstep_peer_config {
	const char *node;
	const char *log_address;
	const char *bulk_address;
	unsigned int silence_ms;
};

/**
 * lockstep_peer_add() - begin to keep up connections with a node
 * @t: transport
 * @cfg: the peer; strings are copied, names resolved now, which may block
 * @user: for lockstep_peer_user()
 * @out: receives the peer; may be NULL
 *
 * Return: 0; -EEXIST; -EINVAL (own name, bad name, no address though this side
 * dials); -EOPNOTSUPP without keys; other -errno.
 */
int lockstep_peer_add(struct lockstep_transport *t, const struct lockstep_peer_config *cfg,
		      void *user, struct lockstep_peer **out);

/**
 * lockstep_peer_remove() - close its connections and forget it
 * @peer: peer; not to be used any more. No peer_state callback is made; its
 *	streams get their closed callback, from the loop, before it is freed.
 */
void lockstep_peer_remove(struct lockstep_peer *peer);

struct lockstep_peer *lockstep_peer_find(struct lockstep_transport *t, const char *node);
struct lockstep_transport *lockstep_peer_transport(const struct lockstep_peer *peer);
void *lockstep_peer_user(const struct lockstep_peer *peer);
void lockstep_peer_set_user(struct lockstep_peer *peer, void *user);
const char *lockstep_peer_name(const struct lockstep_peer *peer);
bool lockstep_peer_is_up(const struct lockstep_peer *peer, enum lockstep_plane plane);

/** lockstep_peer_queued() - bytes queued on LOG and not yet taken by the kernel */
size_t lockstep_peer_queued(const struct lockstep_peer *peer);

/** lockstep_peer_rtt_ns() - smoothed round trip of heartbeats, 0 if unknown */
uint64_t lockstep_peer_rtt_ns(const struct lockstep_peer *peer);

/** lockstep_peer_silent_ns() - time since it was heard, or timing started afresh */
uint64_t lockstep_peer_silent_ns(const struct lockstep_peer *peer);

/**
 * lockstep_peer_set_silence() - change its silence time-out; timing starts afresh
 * @peer: peer
 * @ms: LOCKSTEP_SILENCE_MS_MIN..MAX and at least four heartbeat intervals
 *
 * Return: 0 or -ERANGE.
 */
int lockstep_peer_set_silence(struct lockstep_peer *peer, unsigned int ms);

/**
 * lockstep_peer_send() - queue a message on LOG
 * @peer: peer
 * @msg: channel, kind, id
 * @iov: parts of the payload, copied
 * @iovcnt: how many parts
 *
 * Return: 0; 1 if queued but the queue is above its high-water mark; -ENOTCONN
 * if the plane is down; -EMSGSIZE above LOCKSTEP_MSG_MAX; -ENOBUFS at the limit
 * of the queue; -ENOMEM. Negative: nothing was queued.
 */
int lockstep_peer_send(struct lockstep_peer *peer, const struct lockstep_msg *msg,
		       const struct iovec *iov, int iovcnt);

/**
 * lockstep_peer_flush() - hand what is queued to the kernel now
 * @peer: peer
 *
 * Never calls back: an error met is reported from the loop.
 */
void lockstep_peer_flush(struct lockstep_peer *peer);

/**
 * lockstep_peer_receive_pause() - stop or go on delivering messages of LOG
 * @peer: peer
 * @pause: true to stop: no message comes after this returned
 *
 * Survives reconnects. A connection that breaks is noticed late while paused.
 */
void lockstep_peer_receive_pause(struct lockstep_peer *peer, bool pause);

/**
 * lockstep_peer_reset() - drop both connections; they are made again
 * @peer: peer
 * @reason: for the peer's log and for info->reason here; error is -ECONNABORTED
 */
void lockstep_peer_reset(struct lockstep_peer *peer, const char *reason);

/* --- streams (BULK) ------------------------------------------------------ */

/**
 * struct lockstep_stream_ops - upcalls of one stream
 * @data: bytes arrived. They count against the credit of the sender until
 *	lockstep_stream_consumed() is called for them.
 * @finished: the peer wrote its last byte (it may still read).
 * @writable: the queue fell below half its limit after -EAGAIN.
 * @closed: the stream is over; always called, last, exactly once (but not by
 *	lockstep_transport_destroy). @error is 0 if both sides finished: all of
 *	the peer's bytes were delivered here (that it had all of ours, only its own
 *	answer can tell). Else why: -ECONNRESET (plane down),
 *	-ETIMEDOUT (deadline), -ECANCELED (reset here), or the peer's reset code
 *	as a negative errno. The stream is freed when it returns.
 */
struct lockstep_stream_ops {
	void (*data)(struct lockstep_stream *stream, const void *data, size_t len);
	void (*finished)(struct lockstep_stream *stream);
	void (*writable)(struct lockstep_stream *stream);
	void (*closed)(struct lockstep_stream *stream, int error);
};

/**
 * lockstep_stream_create() - open a stream to a peer
 * @peer: peer
 * @kind: what the upper layer makes of it
 * @data: bytes that go with the open
 * @len: at most LOCKSTEP_STREAM_OPEN_MAX
 * @ops: upcalls, borrowed until closed
 * @user: for lockstep_stream_user()
 * @out: receives the stream, valid until its closed callback returns
 *
 * Data may be written at once.
 *
 * Return: 0; -ENOTCONN if BULK is down; -EMSGSIZE; -EMFILE above 4096 streams
 * of one peer; -ENOMEM.
 */
int lockstep_stream_create(struct lockstep_peer *peer, uint32_t kind, const void *data,
			   size_t len, const struct lockstep_stream_ops *ops, void *user,
			   struct lockstep_stream **out);

/**
 * lockstep_stream_set_ops() - take a stream the peer opened, in stream_open; later,
 * change who gets its upcalls
 */
void lockstep_stream_set_ops(struct lockstep_stream *stream,
			     const struct lockstep_stream_ops *ops, void *user);

/**
 * lockstep_stream_write() - queue bytes, copied
 * @stream: stream
 * @data: bytes
 * @len: how many
 *
 * All or nothing: a queue below its limit (the window) takes the whole.
 *
 * Return: 0; -EAGAIN if the queue is full: wait for writable; -EPIPE after
 * finish or once it is closing; -EMSGSIZE above LOCKSTEP_WINDOW_MAX; -ENOMEM.
 */
int lockstep_stream_write(struct lockstep_stream *stream, const void *data, size_t len);

/**
 * lockstep_stream_write_buffer() - the same, moving the content of an evbuffer
 * @stream: stream
 * @buf: emptied on success. May hold file segments (evbuffer_add_file), whose
 *	pages are then read only as they are encrypted.
 *
 * Return: as lockstep_stream_write(); on failure @buf is untouched.
 */
int lockstep_stream_write_buffer(struct lockstep_stream *stream, struct evbuffer *buf);

/** lockstep_stream_finish() - no more bytes from this side */
int lockstep_stream_finish(struct lockstep_stream *stream);

/**
 * lockstep_stream_consumed() - give the sender credit back
 * @stream: stream
 * @len: bytes dealt with; the sum never exceeds what was delivered
 */
void lockstep_stream_consumed(struct lockstep_stream *stream, size_t len);

/**
 * lockstep_stream_reset() - abandon a stream, both directions
 * @stream: stream; its closed callback comes from the loop
 * @code: positive errno value that the peer gets; 0 counts as ECANCELED
 */
void lockstep_stream_reset(struct lockstep_stream *stream, int code);

/**
 * lockstep_stream_set_deadline() - limit the time without progress
 * @stream: stream
 * @ms: if for so long neither a byte came in nor a queued byte left, or credit
 *	for one came, the stream is reset with ETIMEDOUT. 0: no limit (default).
 *	Time in which only this side was idle, with nothing queued, counts too.
 */
void lockstep_stream_set_deadline(struct lockstep_stream *stream, unsigned int ms);

void *lockstep_stream_user(const struct lockstep_stream *stream);
struct lockstep_peer *lockstep_stream_peer(const struct lockstep_stream *stream);
size_t lockstep_stream_queued(const struct lockstep_stream *stream);

/* --- services ------------------------------------------------------------ */

/**
 * struct lockstep_service_ops - upcalls of service connections
 * @accept: (server) may node @node use it? 0, or -errno to refuse. A Unix
 *	socket's client has the node name "local".
 * @up: the connection is usable (both sides).
 * @message: a message arrived.
 * @writable: as peer_writable.
 * @closed: it is over, or never came up; always called, last, exactly once
 *	(but not by lockstep_transport_destroy). Freed when it returns.
 */
struct lockstep_service_ops {
	int (*accept)(void *user, const char *node, const char *address);
	void (*up)(struct lockstep_conn *conn);
	void (*message)(struct lockstep_conn *conn, const struct lockstep_msg *msg,
			const void *data, size_t len);
	void (*writable)(struct lockstep_conn *conn);
	void (*closed)(struct lockstep_conn *conn, int error, const char *reason);
};

/**
 * lockstep_transport_serve() - offer a service on all listening addresses
 * @t: transport
 * @service: its name, copied
 * @ops: upcalls, borrowed until destroy
 * @user: user pointer of new connections, and passed to accept
 *
 * Return: 0, -EEXIST, -EINVAL or -ENOMEM.
 */
int lockstep_transport_serve(struct lockstep_transport *t, const char *service,
			     const struct lockstep_service_ops *ops, void *user);

/**
 * lockstep_transport_dial() - connect to a service, once
 * @t: transport
 * @service: its name
 * @node: name the other side must have; NULL: any node of the cluster.
 *	Ignored on Unix sockets
 * @address: as for lockstep_transport_listen()
 * @ops: upcalls (accept is not used), borrowed until closed
 * @user: for lockstep_conn_user()
 * @out: receives the connection, valid until its closed callback returns
 *
 * Failure to connect is told by closed. There is no reconnect: dial again.
 *
 * Return: 0 or -errno (nothing was begun).
 */
int lockstep_transport_dial(struct lockstep_transport *t, const char *service,
			    const char *node, const char *address,
			    const struct lockstep_service_ops *ops, void *user,
			    struct lockstep_conn **out);

/** lockstep_conn_send() - as lockstep_peer_send(), on a service connection */
int lockstep_conn_send(struct lockstep_conn *conn, const struct lockstep_msg *msg,
		       const struct iovec *iov, int iovcnt);

/**
 * lockstep_conn_close() - end a service connection
 * @conn: connection; what is queued is still sent, for at most the connect
 *	time limit, then closed is called with error 0
 */
void lockstep_conn_close(struct lockstep_conn *conn);

void *lockstep_conn_user(const struct lockstep_conn *conn);
void lockstep_conn_set_user(struct lockstep_conn *conn, void *user);
/** lockstep_conn_node() - name in the other side's certificate, "local" on Unix sockets */
const char *lockstep_conn_node(const struct lockstep_conn *conn);
const char *lockstep_conn_address(const struct lockstep_conn *conn);
/** lockstep_conn_boot_id() - boot of the other side's host; valid once up */
const struct lockstep_uuid *lockstep_conn_boot_id(const struct lockstep_conn *conn);
bool lockstep_conn_is_up(const struct lockstep_conn *conn);

/**
 * lockstep_node_name_valid() - may this be a node name?
 * @name: text, or NULL
 */
bool lockstep_node_name_valid(const char *name);

#endif
