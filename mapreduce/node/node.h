/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A node's share of MapReduce: one process, kept alive by lockstepd.
 *
 *	mrctl --control.c-- jobs.c (coordinators of jobs submitted here)
 *	                       |  announce: which jobs run
 *	                    peers.c ====== other nodes
 *	                       |
 *	                    share.c (a job's files and workers here) -- mrworker ...
 *	                       relay.c: workers' messages to a coordinator elsewhere
 *	                       intake.c: regions that workers want from other nodes
 *
 * A job belongs to the node it was submitted to, its *home*: the coordinator runs in
 * that node's process, its folder lies there, and its name, NODE.NUMBER, says so.
 * Every other node learns of it from what the home announces, again and again: who
 * was away, or restarted, misses nothing. A job that its home no longer announces is
 * over.
 *
 * The process has keys; workers, which run users' code, have none: they speak to it
 * over a Unix socket, and it speaks to other nodes. It gives up root's rights once it
 * has read the keys and its memory can't be looked into by those who run as the same
 * user.
 *
 * Nothing here is kept in memory only: a process that is killed takes up its jobs
 * from their journals when it is started again.
 *
 * Threads: one loop.
 */
#ifndef LOCKSTEP_MR_NODE_H
#define LOCKSTEP_MR_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lockstepd/config.h"
#include "shuffle/serve.h"
#include "shuffle/wire.h"
#include "transport/refusal.h"
#include "transport/transport.h"

struct event;
struct event_base;
struct json_object;
struct mr_client_conn;
struct mr_fetcher;
struct mr_home;
struct mr_http;
struct mr_intake;
struct mr_relay;
struct mr_server;
struct mr_share;

#define MR_NODE_CHANNEL		2	/* of struct lockstep_msg, between nodes */
#define MR_NODE_SOCKET		"node.sock"	/* in [mapreduce] run */
#define MR_NODE_TICK_MS		100
#define MR_NODE_ANNOUNCE_NS	(2000 * 1000000ULL)

/**
 * struct mr_peer - another node, or this one
 * @name: its name
 * @address: where it is dialled for a job's workers; of this node: its Unix socket
 * @peer: the transport's; NULL: this node
 * @fetcher: fetches from it; NULL: this node
 * @up: announcements can be sent
 * @lost: it was silent for too long, and jobs were told
 * @down_ns: since when it is not up
 * @incarnation: of its process, since it was first connected
 */
struct mr_peer {
	TAILQ_ENTRY(mr_peer) entry;
	struct mr_node *node;
	char name[LOCKSTEP_NODE_NAME_MAX + 1];
	char address[LOCKSTEP_ADDR_STRLEN];
	struct lockstep_peer *peer;
	struct mr_fetcher *fetcher;
	bool up;
	bool lost;
	uint64_t down_ns;
	struct lockstep_uuid incarnation;
};

/**
 * struct mr_node - all of it
 * @base: loop
 * @cfg: configuration
 * @name: this node's
 * @transport: to all nodes, and to workers and mrctl on this one
 * @server: coordinators' connections
 * @http: status page of jobs submitted here, or NULL
 * @serve: regions and files that others fetch here
 * @peers: all nodes, this one first
 * @homes: jobs submitted here, newest first
 * @shares: jobs that run here
 * @relays: workers' connections to coordinators elsewhere
 * @intakes: workers' connections for regions
 * @clients: mrctl's connections
 * @tick: timer
 * @announce_ns: when jobs were last announced; 0: at once
 * @next_number: of the next job
 * @refusals: strangers that were told of
 * @removed: folders that are being removed, for their names
 */
struct mr_node {
	struct event_base *base;
	struct lockstepd_config cfg;
	char name[LOCKSTEP_NODE_NAME_MAX + 1];
	char cluster[LOCKSTEP_NODE_NAME_MAX + 1];
	struct lockstep_transport *transport;
	struct mr_server *server;
	struct mr_http *http;
	struct mr_serve serve;
	TAILQ_HEAD(, mr_peer) peers;
	TAILQ_HEAD(mr_home_head, mr_home) homes;
	TAILQ_HEAD(, mr_share) shares;
	TAILQ_HEAD(, mr_relay) relays;
	TAILQ_HEAD(, mr_intake) intakes;
	TAILQ_HEAD(, mr_client_conn) clients;
	struct event *tick;
	struct event *chld;
	struct event *term;
	struct event *intr;
	uint64_t announce_ns;
	uint64_t next_number;
	struct lockstep_refusals refusals;
	uint64_t removed;
};

/* --- peers.c ---------------------------------------------------------------- */

extern const struct lockstep_transport_ops mr_node_transport_ops;

int mr_peers_create(struct mr_node *node, char *err, size_t errlen);
void mr_peers_destroy(struct mr_node *node);
struct mr_peer *mr_peer_find(struct mr_node *node, const char *name);
/** mr_peers_tick() - who has been away too long; announce when it is time */
void mr_peers_tick(struct mr_node *node, uint64_t now);

/* --- jobs.c: jobs whose home this is ------------------------------------------ */

/** mr_homes_load() - take up what lies in the state folder */
int mr_homes_load(struct mr_node *node, char *err, size_t errlen);
void mr_homes_destroy(struct mr_node *node);
void mr_homes_tick(struct mr_node *node);
void mr_homes_node_lost(struct mr_node *node, const char *name);
/** mr_homes_announce() - [share, ...] of jobs that run; a new array or NULL */
struct json_object *mr_homes_announce(struct mr_node *node);
/** mr_homes_list() - [{job, name, state, ...}], newest first; a new array or NULL */
struct json_object *mr_homes_list(struct mr_node *node);

/**
 * mr_home_submit() - a new job
 * @node: node
 * @spec: as in spec.h; checked here, and kept
 * @name: receives its name, MR_JOB_NAME_MAX + 1 bytes
 * @err: receives cause and remedy
 * @errlen: its size
 *
 * Return: 0 or -errno.
 */
int mr_home_submit(struct mr_node *node, struct json_object *spec, char *name, char *err,
		   size_t errlen);
/** mr_home_status() - as mr_job_status(), with the job's name; a new object, or NULL: no such job */
struct json_object *mr_home_status(struct mr_node *node, const char *name);
/** mr_home_status_at() - status of the @i'th job, newest first; a new object or NULL */
struct json_object *mr_home_status_at(struct mr_node *node, size_t i);
/* End a running job. 0, -ENOENT, -EALREADY. */
int mr_home_kill(struct mr_node *node, const char *name);
/* Carry on with one that failed or was killed. 0, -ENOENT, -EALREADY (it runs or succeeded), -errno. */
int mr_home_resume(struct mr_node *node, const char *name, char *err, size_t errlen);

/* --- share.c: what runs here of any job ----------------------------------------- */

/**
 * mr_shares_sync() - a node told of its jobs
 * @node: node
 * @home: who told
 * @jobs: all that run, [share, ...]
 */
void mr_shares_sync(struct mr_node *node, struct mr_peer *home, struct json_object *jobs);
void mr_shares_tick(struct mr_node *node, uint64_t now);
/** mr_shares_reap() - children ended */
void mr_shares_reap(struct mr_node *node);
void mr_shares_destroy(struct mr_node *node);
/** mr_shares_clear() - remove what an earlier process left in the work folder */
int mr_shares_clear(struct mr_node *node);
/** mr_share_dir() - work folder of a job here; NULL: there is no such job */
const char *mr_share_dir(struct mr_node *node, const char *job);
/** mr_share_run_find() - folder of a run file that was made here; @dir: PATH_MAX bytes. 0 or -errno */
int mr_share_run_find(struct mr_node *node, const struct mr_region_request *request, char *dir);

/* --- relay.c, intake.c, control.c: services ------------------------------------- */

/** mr_relay_serve() - offer "via-NODE" for each node */
int mr_relay_serve(struct mr_node *node);
void mr_relays_destroy(struct mr_node *node);
/** mr_relays_break() - a node is lost: what waits on connections to it shall not wait */
void mr_relays_break(struct mr_node *node, const char *name);

int mr_intake_serve(struct mr_node *node);
void mr_intakes_destroy(struct mr_node *node);

int mr_control_serve(struct mr_node *node);
void mr_control_destroy(struct mr_node *node);

#endif
