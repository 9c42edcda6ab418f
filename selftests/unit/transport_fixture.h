/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Nodes of a cluster in one process, for tests: keys in a temporary folder,
 * transports on one loop, all upcalls counted and traced.
 */
#ifndef SELFTESTS_TRANSPORT_FIXTURE_H
#define SELFTESTS_TRANSPORT_FIXTURE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/transport.h"

#define FX_CLUSTER	"test"
#define FX_NODES_MAX	64	/* that live at the same time */
#define FX_PATIENCE_MS	20000	/* a condition that does not come true by then never will */

struct event_base;

/* Temporary folder with a CA and keys of nodes a, b, c and arbiter. */
struct fx {
	char dir[PATH_MAX];
	struct event_base *base;
};

/**
 * struct fx_node - a node under test
 * @fx: fixture
 * @name: node name
 * @t: transport
 * @address: where it listens
 * @ups: times a plane went up
 * @downs: times a plane went down
 * @last_error: of the last down or failed connect
 * @last_reason: in words
 * @failures: failed connects
 * @refused: inbound connections turned away
 * @refused_node: name of the last one
 * @refused_reason: why
 * @messages: messages received
 * @misordered: messages whose id was not the one after the last
 * @corrupt: messages whose bytes were not those of fx_fill()
 * @last_id: id of the last one
 * @writable: peer_writable calls
 * @beats: heartbeats
 * @last_rtt: of the last one that had it
 * @peer_heard_ns: what the last one said: age of ours that the peer had
 * @beat_text: payload of the last one
 * @silences: silence calls
 * @heard: heard calls
 * @gaps: loop_gap calls
 * @trace: one letter for each: U up, D down, G gap, S silence, H heard, B beat
 * @trace_len: how many
 * @incarnation: of the peer, from the last up
 * @on_message: instead of checking ids
 * @on_stream: takes streams
 */
struct fx_node {
	struct fx *fx;
	const char *name;
	struct lockstep_transport *t;
	char address[LOCKSTEP_ADDR_STRLEN];
	unsigned int ups[4];
	unsigned int downs[4];
	int last_error;
	char last_reason[256];
	unsigned int failures;
	unsigned int refused;
	char refused_node[64];
	char refused_reason[256];
	uint64_t messages;
	uint64_t misordered;
	uint64_t corrupt;
	uint64_t last_id;
	unsigned int writable;
	unsigned int beats;
	uint64_t last_rtt;
	uint64_t peer_heard_ns;
	char beat_text[LOCKSTEP_HEARTBEAT_MAX + 1];
	unsigned int silences;
	unsigned int heard;
	unsigned int gaps;
	char trace[4096];
	size_t trace_len;
	struct lockstep_uuid incarnation;
	void (*on_message)(struct fx_node *n, struct lockstep_peer *peer,
			   const struct lockstep_msg *msg, const void *data, size_t len);
	void (*on_stream)(struct fx_node *n, struct lockstep_stream *stream, uint32_t kind,
			  const void *data, size_t len);
};

void fx_init(struct fx *fx);
void fx_exit(struct fx *fx);

/* Folder of a node's keys. */
char *fx_keys(const struct fx *fx, const char *node, char *path);

/* Issue keys for one more node. */
void fx_issue(struct fx *fx, const char *node);

/* Make a node that listens on loopback; @cfg may be NULL, names are filled in. */
void fx_node_init(struct fx_node *n, struct fx *fx, const char *name,
		  const struct lockstep_transport_config *cfg);
void fx_node_exit(struct fx_node *n);

/*
 * Teardown of each test: destroys what a failed test left on the loop, so that
 * the tests behind it fail or pass by themselves.
 */
int fx_sweep(void **state);

/* Make @b a peer of @a and the other way round. */
void fx_connect(struct fx_node *a, struct fx_node *b);
void fx_add_peer(struct fx_node *a, const char *name, const char *address);

/* Run the loop until a condition holds; false when it does not in FX_PATIENCE_MS. */
bool fx_run_until(struct fx *fx, bool (*cond)(void *arg), void *arg);
/* Run the loop for a time. */
void fx_run_ms(struct fx *fx, unsigned int ms);

/* Run until an expression holds, or fail the test. */
#define fx_wait(fx, expr) do {							\
	uint64_t fx_end_ = fx_now_ms() + FX_PATIENCE_MS;			\
	while (!(expr)) {							\
		if (fx_now_ms() > fx_end_)					\
			fail_msg("never came true: %s", #expr);			\
		fx_turn(fx);							\
	}									\
} while (0)

uint64_t fx_now_ms(void);
void fx_turn(struct fx *fx);

struct lockstep_peer *fx_peer(struct fx_node *n, const char *name);
bool fx_up(struct fx_node *n, const char *peer);

/* A message whose bytes follow from its id and length. */
int fx_send(struct fx_node *n, const char *peer, uint64_t id, size_t len);
void fx_fill(uint8_t *buf, size_t len, uint64_t seed);
bool fx_check(const uint8_t *buf, size_t len, uint64_t seed);

extern const struct lockstep_transport_ops fx_ops;

#endif
