/* SPDX-License-Identifier: GPL-2.0 */
/* The running daemon: the core and the world around it. */
#ifndef LOCKSTEPD_DAEMON_H
#define LOCKSTEPD_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

#include "lockstepd/config.h"
#include "lockstepd/core.h"
#include "transport/refusal.h"

#define LOCKSTEPD_VERSION_TEXT	"1.0"

struct event;
struct event_base;
struct json_object;
struct lockstep_netlink;
struct lockstep_peer;
struct lockstep_transport;
struct lockstep_transport_ops;
struct lockstepd_control;
struct lockstepd_launcher;
struct lockstepd_mapreduce;

/**
 * struct lockstepd - all of it; belongs to the thread of the loop
 * @cfg: configuration
 * @base: loop
 * @node: this node's name, from its certificate
 * @cluster: the cluster's, likewise
 * @transport: to peers and arbiter
 * @arbiter: back end, or NULL
 * @core: judgement
 * @nl: the module, or NULL while it is not loaded
 * @data_event: log and acks from the module
 * @events_event: state changes from the module
 * @tick: timer of the core
 * @module_ns: when the module was last looked for
 * @lasting: what this host is like as long as it runs
 * @congested: nodes whose queue is full: the module's log is not read
 * @launcher: VMMs
 * @mapreduce: the process that carries this node's share of MapReduce, or NULL
 * @control: the socket for lockstepctl
 * @refusals: strangers that were told of
 * @stopping: a signal came
 */
struct lockstepd {
	struct lockstepd_config cfg;
	struct event_base *base;
	char node[LOCKSTEP_NODE_NAME_MAX + 1];
	char cluster[LOCKSTEP_NODE_NAME_MAX + 1];
	struct lockstep_transport *transport;
	struct lockstep_arbiter *arbiter;
	struct lockstep_core core;
	struct lockstep_netlink *nl;
	struct event *data_event;
	struct event *events_event;
	struct event *tick;
	uint64_t module_ns;
	struct lockstep_traits lasting;
	unsigned int congested;
	struct lockstepd_launcher *launcher;
	struct lockstepd_mapreduce *mapreduce;
	struct lockstepd_control *control;
	struct lockstep_refusals refusals;
	bool stopping;
};

/* --- peers.c: the core's node <-> the transport's peer -------------------- */

extern const struct lockstep_transport_ops lockstepd_transport_ops;

/** lockstepd_peers_add() - all peers of the configuration; 0 or -errno, with a message */
int lockstepd_peers_add(struct lockstepd *d, char *err, size_t errlen);
/** lockstepd_peers_free() - what is kept for them */
void lockstepd_peers_free(struct lockstepd *d);
int lockstepd_peer_send(void *user, struct lockstep_node *node, const struct lockstep_message *m);
void lockstepd_peer_receive_pause(void *user, struct lockstep_node *node, bool pause);
/** lockstepd_peers_bye() - tell all that this daemon ends in order */
void lockstepd_peers_bye(struct lockstepd *d);

/**
 * lockstepd_peer_start() - have a peer start the other half of a guest
 * @d: daemon
 * @node: peer
 * @name: guest
 * @done: called once, if 0 is returned
 * @arg: passed through
 *
 * Return: 0; -ENOTCONN: it is not connected, and will be asked when it is (@done is not
 * called); -ENOENT: no such peer; -errno.
 */
int lockstepd_peer_start(struct lockstepd *d, const char *node, const char *name,
			 void (*done)(int error, const char *text, void *arg), void *arg);

/* --- module.c: the core's operations on the module ------------------------ */

extern const struct lockstep_core_ops lockstepd_core_ops;

/** lockstepd_module_look() - find the module, or notice that it is gone */
void lockstepd_module_look(struct lockstepd *d);
void lockstepd_module_close(struct lockstepd *d);
/** lockstepd_module_kick() - hand out what commands left behind, at the loop's next turn */
void lockstepd_module_kick(struct lockstepd *d);
/** lockstepd_module_throttle() - read the log, or leave it in the module */
void lockstepd_module_throttle(struct lockstepd *d);

/* --- traits.c ------------------------------------------------------------- */

/** lockstepd_traits_look() - tell the core what this host is like now */
void lockstepd_traits_look(struct lockstepd *d);

/* --- control.c ------------------------------------------------------------ */

int lockstepd_control_create(struct lockstepd *d, char *err, size_t errlen);
void lockstepd_control_destroy(struct lockstepd *d);
/** lockstepd_control_attached() - a guest was attached */
void lockstepd_control_attached(struct lockstepd *d, struct lockstep_guest *g);

#endif
