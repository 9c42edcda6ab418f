// SPDX-License-Identifier: GPL-2.0
#include "coordinator/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/log.h"
#include "coordinator/job_impl.h"
#include "transport/transport.h"

/* A connection; its worker once it said Hello. */
struct peer {
	TAILQ_ENTRY(peer) all;
	struct mr_server *server;
	struct lockstep_conn *conn;
	struct mr_worker *worker;
};

struct entry {
	TAILQ_ENTRY(entry) all;
	struct mr_job *job;
};

struct mr_server {
	TAILQ_HEAD(, entry) jobs;
	TAILQ_HEAD(, peer) peers;
	unsigned int nr_peers;
	struct peer none;	/* user of connections that are not up: no worker */
};

static struct mr_job *find_job(struct mr_server *server, const char *id)
{
	struct entry *e;

	TAILQ_FOREACH(e, &server->jobs, all) {
		if (!*id || !strcmp(e->job->id, id))
			return e->job;
	}
	return NULL;
}

static void refuse(struct peer *peer, const char *reason)
{
	Mr__Refuse m = MR__REFUSE__INIT;

	m.reason = (char *)reason;
	mr_rpc_send(peer->conn, MR_RPC(REFUSE, refuse, &m));
	lockstep_conn_close(peer->conn);
}

static void on_hello(struct peer *peer, const Mr__Hello *hello)
{
	struct mr_job *job = find_job(peer->server, hello->job);
	char reason[MR_RPC_TEXT_MAX] = "";
	Mr__End end = MR__END__INIT;
	int err;

	if (!job) {
		refuse(peer, "there is no such job here");
		return;
	}
	if (job->state != MR_JOB_RUNNING) {
		end.ok = job->state == MR_JOB_SUCCEEDED;
		end.reason = job->reason;
		mr_rpc_send(peer->conn, MR_RPC(END, end, &end));
		return;
	}
	err = mr_worker_create(job, peer->conn, hello, reason, sizeof(reason), &peer->worker);
	if (err) {
		lockstep_notice("worker %s refused: %s", hello->worker, *reason ? reason : strerror(-err));
		mr_job_event(job, "worker.refused", "%s: %.100s", hello->worker, reason);
		refuse(peer, *reason ? reason : strerror(-err));
	}
}

static void on_up(struct lockstep_conn *conn)
{
	struct mr_server *server = ((struct peer *)lockstep_conn_user(conn))->server;
	struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer) {
		lockstep_conn_close(conn);
		return;
	}
	peer->server = server;
	peer->conn = conn;
	TAILQ_INSERT_TAIL(&server->peers, peer, all);
	server->nr_peers++;
	lockstep_conn_set_user(conn, peer);
}

static void on_message(struct lockstep_conn *conn, const struct lockstep_msg *head, const void *data, size_t len)
{
	struct peer *peer = lockstep_conn_user(conn);
	Mr__Message *msg;
	int err;

	(void)head;
	if (peer == &peer->server->none)
		return;
	err = mr_rpc_decode(data, len, &msg);
	if (!err) {
		if (peer->worker)
			err = mr_worker_message(peer->worker, msg);
		else if (msg->of_case == MR__MESSAGE__OF_HELLO)
			on_hello(peer, msg->hello);
		else
			err = -EPROTO;
		mr_rpc_free(msg);
	}
	if (!err)
		return;
	lockstep_warn("worker %s: connection closed, a message made no sense: %s",
		      peer->worker ? peer->worker->name : "?", strerror(-err));
	lockstep_conn_close(conn);
}

static void on_closed(struct lockstep_conn *conn, int error, const char *reason)
{
	struct peer *peer = lockstep_conn_user(conn);
	struct mr_server *server = peer->server;

	(void)error;
	(void)reason;
	if (peer == &server->none)
		return;
	if (peer->worker)
		mr_worker_destroy(peer->worker);
	TAILQ_REMOVE(&server->peers, peer, all);
	server->nr_peers--;
	free(peer);
}

static const struct lockstep_service_ops ops = {
	.up		= on_up,
	.message	= on_message,
	.closed		= on_closed,
};

int mr_server_create(struct lockstep_transport *transport, struct mr_server **out)
{
	struct mr_server *server = calloc(1, sizeof(*server));
	int err;

	if (!server)
		return -ENOMEM;
	TAILQ_INIT(&server->jobs);
	TAILQ_INIT(&server->peers);
	server->none.server = server;
	err = lockstep_transport_serve(transport, MR_SERVICE, &ops, &server->none);
	if (err) {
		free(server);
		return err;
	}
	*out = server;
	return 0;
}

void mr_server_destroy(struct mr_server *server)
{
	struct entry *e;
	struct peer *peer;

	if (!server)
		return;
	while ((peer = TAILQ_FIRST(&server->peers))) {
		TAILQ_REMOVE(&server->peers, peer, all);
		free(peer);
	}
	while ((e = TAILQ_FIRST(&server->jobs))) {
		TAILQ_REMOVE(&server->jobs, e, all);
		free(e);
	}
	free(server);
}

int mr_server_add(struct mr_server *server, struct mr_job *job)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->job = job;
	TAILQ_INSERT_TAIL(&server->jobs, e, all);
	return 0;
}

void mr_server_remove(struct mr_server *server, struct mr_job *job)
{
	struct peer *peer;
	struct entry *e;

	TAILQ_FOREACH(e, &server->jobs, all) {
		if (e->job == job)
			break;
	}
	if (!e)
		return;
	TAILQ_REMOVE(&server->jobs, e, all);
	free(e);
	TAILQ_FOREACH(peer, &server->peers, all) {
		if (!peer->worker || peer->worker->job != job)
			continue;
		mr_worker_destroy(peer->worker);
		peer->worker = NULL;
		lockstep_conn_close(peer->conn);
	}
}

unsigned int mr_server_workers(const struct mr_server *server)
{
	return server->nr_peers;
}
