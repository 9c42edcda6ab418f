/* SPDX-License-Identifier: GPL-2.0 */
/* Structures the files of the transport share; not for others. */
#ifndef LOCKSTEP_TRANSPORT_INTERNAL_H
#define LOCKSTEP_TRANSPORT_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/uuid.h"
#include "transport/addr.h"
#include "transport/conn.h"
#include "transport/transport.h"
#include "transport/wire.h"

struct event;
struct event_base;
struct ssl_ctx_st;

/* Like TAILQ_FOREACH, for bodies that remove @var. */
#define LOCKSTEP_FOREACH_SAFE(var, head, field, next)				\
	for ((var) = TAILQ_FIRST(head);						\
	     (var) && ((next) = TAILQ_NEXT(var, field), 1); (var) = (next))

/* Priorities of lockstep_loop_create(), cut to what the base has. */
enum {
	LOCKSTEP_PRIO_BEAT	= 0,
	LOCKSTEP_PRIO_LOG	= 1,
	LOCKSTEP_PRIO_BULK	= 2,
	LOCKSTEP_PRIO_COUNT	= 3,
};

#define LOCKSTEP_STREAM_BUCKETS	256
#define LOCKSTEP_STREAMS_MAX	4096	/* of one peer */
#define LOCKSTEP_PENDING_MAX	128	/* inbound connections before their HELLO */
#define LOCKSTEP_BEAT_KEYS	3	/* heartbeat keys a peer may use: see heartbeat.c */

TAILQ_HEAD(lockstep_conn_list, lockstep_conn);
TAILQ_HEAD(lockstep_peer_list, lockstep_peer);
TAILQ_HEAD(lockstep_stream_list, lockstep_stream);

/**
 * struct lockstep_beat_key - key of the heartbeats of one LOG connection
 * @id: on the wire; 0: unused slot
 * @send: what we sign with
 * @recv: what the peer signs with
 * @send_seq: last sequence number used
 * @recv_seq: last one accepted
 */
struct lockstep_beat_key {
	uint64_t id;
	uint8_t send[LOCKSTEP_BEAT_KEY];
	uint8_t recv[LOCKSTEP_BEAT_KEY];
	uint64_t send_seq;
	uint64_t recv_seq;
};

/**
 * struct lockstep_beats - heartbeat state of a peer
 * @keys: newest first; all are accepted
 * @send_id: id of the one used for sending; 0: none yet
 * @udp: socket they go through; NULL: there is none, or the peer has none
 * @to: where they go
 * @silence_ns: time-out
 * @heard_ns: when it was last heard, or timing began; 0: timing has not begun
 * @count: time-outs reported since
 * @last_ns: when it was really heard
 * @silent: silence was reported and it was not heard since
 * @echo_ns: the peer's clock in its last heartbeat
 * @echo_at_ns: when that came
 * @rtt_ns: smoothed
 * @sent: heartbeats sent
 * @received: heartbeats accepted
 * @rejected: datagrams with one of its keys that were not authentic or not new
 */
struct lockstep_beats {
	struct lockstep_beat_key keys[LOCKSTEP_BEAT_KEYS];
	uint64_t send_id;
	struct lockstep_udp *udp;
	struct lockstep_addr to;
	uint64_t silence_ns;
	uint64_t heard_ns;
	unsigned int count;
	uint64_t last_ns;
	bool silent;
	uint64_t echo_ns;
	uint64_t echo_at_ns;
	uint64_t rtt_ns;
	uint64_t sent;
	uint64_t received;
	uint64_t rejected;
};

/**
 * struct lockstep_link - one plane of a peer
 * @conn: connection under way or up, or NULL
 * @up: UP was reported
 * @addr: where to dial
 * @next_dial_ns: not before
 * @backoff_ms: pause after the next failure
 */
struct lockstep_link {
	struct lockstep_conn *conn;
	bool up;
	struct lockstep_addr addr;
	uint64_t next_dial_ns;
	unsigned int backoff_ms;
};

/**
 * struct lockstep_peer - a peer
 * @all: link in transport->peers
 * @t: transport
 * @user: upper layer's
 * @name: node name
 * @dials: this side dials
 * @removed: lockstep_peer_remove() was called: no upcalls, freed by the loop
 * @paused: LOG is not delivered
 * @links: by plane; LOG and BULK are used
 * @beats: heartbeats
 * @streams: all streams, by id
 * @nstreams: how many
 * @ready: streams with bytes and credit, in turn
 * @next_stream: id of the next stream opened here
 * @last_remote: highest id the peer has opened
 */
struct lockstep_peer {
	TAILQ_ENTRY(lockstep_peer) all;
	struct lockstep_transport *t;
	void *user;
	char name[LOCKSTEP_NODE_NAME_MAX + 1];
	bool dials;
	bool removed;
	bool paused;
	struct lockstep_link links[LOCKSTEP_PLANE_BULK + 1];
	struct lockstep_beats beats;
	struct lockstep_stream_list streams[LOCKSTEP_STREAM_BUCKETS];
	unsigned int nstreams;
	struct lockstep_stream_list ready;
	uint64_t next_stream;
	uint32_t last_remote;
};

/* A listening address: its TCP (or Unix) socket and its UDP socket. */
struct lockstep_listener {
	TAILQ_ENTRY(lockstep_listener) all;
	struct lockstep_transport *t;
	struct lockstep_addr addr;
	int fd;
	bool resting;	/* out of descriptors: until the next tick */
	struct event *ev;
};

/* A UDP socket for heartbeats. */
struct lockstep_udp {
	TAILQ_ENTRY(lockstep_udp) all;
	struct lockstep_transport *t;
	int fd;
	struct lockstep_addr addr;
	struct event *ev;
};

struct lockstep_service {
	TAILQ_ENTRY(lockstep_service) all;
	char name[LOCKSTEP_SERVICE_NAME_MAX + 1];
	const struct lockstep_service_ops *ops;
	void *user;
};

/* A function to run on the loop. */
struct lockstep_call {
	TAILQ_ENTRY(lockstep_call) all;
	void (*fn)(void *arg);
	void *arg;
};

/**
 * struct lockstep_transport - a transport
 * @base: loop
 * @ops: upcalls, never NULL
 * @user: upper layer's
 * @cluster: cluster name
 * @node: this node
 * @boot_id: this boot
 * @incarnation: of this transport
 * @ssl_ctx: keys, or NULL
 * @beat_ns: interval of the tick and of heartbeats
 * @silence_ms: default time-out of peers
 * @connect_ns: limit for setting up
 * @stall_ms: TCP_USER_TIMEOUT
 * @queue_max: limit of a LOG queue
 * @window: receive credit of streams
 * @alive_ns: when a handler last began
 * @gap_ns: absence that counts as a gap
 * @drain_until_ns: draining after a gap, at most until then; 0: not draining
 * @gaps: how many
 * @tick_fd: timerfd on CLOCK_BOOTTIME
 * @tick_ev: its event
 * @sweep_ev: from the loop: free removed peers, close reset streams
 * @drained_ev: runs when nothing more urgent is left
 * @call_fd: eventfd of lockstep_transport_call()
 * @call_ev: its event
 * @call_lock: protects @calls
 * @calls: functions to run
 * @conns: all connections
 * @pending: inbound ones without owner yet
 * @peers: all peers, removed ones too until they are freed
 * @closing: streams whose closed callback is due
 * @listeners: listening sockets
 * @udps: UDP sockets
 * @services: services offered
 */
struct lockstep_transport {
	struct event_base *base;
	const struct lockstep_transport_ops *ops;
	void *user;
	char cluster[LOCKSTEP_NODE_NAME_MAX + 1];
	char node[LOCKSTEP_NODE_NAME_MAX + 1];
	struct lockstep_uuid boot_id;
	struct lockstep_uuid incarnation;
	struct ssl_ctx_st *ssl_ctx;
	uint64_t beat_ns;
	unsigned int silence_ms;
	uint64_t connect_ns;
	unsigned int stall_ms;
	uint64_t queue_max;
	uint32_t window;
	uint64_t alive_ns;
	uint64_t gap_ns;
	uint64_t drain_until_ns;
	uint64_t gaps;
	int tick_fd;
	struct event *tick_ev;
	struct event *sweep_ev;
	struct event *drained_ev;
	int call_fd;
	struct event *call_ev;
	pthread_mutex_t call_lock;
	TAILQ_HEAD(, lockstep_call) calls;
	struct lockstep_conn_list conns;
	unsigned int pending;
	struct lockstep_peer_list peers;
	struct lockstep_stream_list closing;
	TAILQ_HEAD(, lockstep_listener) listeners;
	TAILQ_HEAD(, lockstep_udp) udps;
	TAILQ_HEAD(, lockstep_service) services;
};

/* keys.c: node and cluster name a certificate proves, or -EKEYREJECTED */
struct x509_st;
int lockstep_keys_names(struct x509_st *cert, char *node, char *cluster);

/* transport.c */
int lockstep_event_prio(struct lockstep_transport *t, int prio);
void lockstep_transport_sweep(struct lockstep_transport *t);

/* tick.c: every handler of the loop begins with enter */
int lockstep_tick_init(struct lockstep_transport *t);
void lockstep_tick_exit(struct lockstep_transport *t);
void lockstep_tick_enter(struct lockstep_transport *t);
void lockstep_tick_set_gap(struct lockstep_transport *t);

/* listen.c */
void lockstep_listen_resume(struct lockstep_transport *t);
void lockstep_listen_exit(struct lockstep_transport *t);

/* peer.c */
int lockstep_peer_adopt(struct lockstep_peer *peer, struct lockstep_conn *conn);
void lockstep_peer_tick(struct lockstep_peer *peer, uint64_t now);
void lockstep_peer_free(struct lockstep_peer *peer);
bool lockstep_peer_reap(struct lockstep_peer *peer);

/* service.c */
int lockstep_service_adopt(struct lockstep_conn *conn);

/* stream.c */
int lockstep_stream_frame(struct lockstep_peer *peer, const struct lockstep_frame *f,
			  const uint8_t *payload);
void lockstep_stream_up(struct lockstep_peer *peer);
void lockstep_stream_down(struct lockstep_peer *peer, int error);
void lockstep_stream_pump(struct lockstep_peer *peer);
void lockstep_stream_tick(struct lockstep_peer *peer, uint64_t now);
void lockstep_stream_restart(struct lockstep_peer *peer, uint64_t now);
void lockstep_stream_reap(struct lockstep_transport *t);
void lockstep_stream_free_all(struct lockstep_peer *peer);

/* heartbeat.c */
int lockstep_udp_open(struct lockstep_transport *t, const struct lockstep_addr *addr);
struct lockstep_udp *lockstep_udp_for(struct lockstep_conn *conn);
void lockstep_udp_drain(struct lockstep_transport *t);
void lockstep_udp_exit(struct lockstep_transport *t);
int lockstep_beats_add_key(struct lockstep_peer *peer, struct lockstep_conn *conn);
void lockstep_beats_use_key(struct lockstep_peer *peer, struct lockstep_conn *conn);
void lockstep_beats_send(struct lockstep_peer *peer, uint64_t now);
void lockstep_beats_check(struct lockstep_peer *peer, uint64_t now);
void lockstep_beats_restart(struct lockstep_peer *peer, uint64_t now);

/* tls.c */
int lockstep_tls_init(struct lockstep_transport *t, const char *keys_dir, char *err,
		      size_t errlen);
void lockstep_tls_exit(struct lockstep_transport *t);

#endif
