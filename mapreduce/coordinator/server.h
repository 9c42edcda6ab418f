/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Workers' connections: the service "mapreduce" on a transport.
 *
 * A worker's Hello names the job it works for; without a name it is the first one.
 */
#ifndef LOCKSTEP_MR_SERVER_H
#define LOCKSTEP_MR_SERVER_H

struct lockstep_transport;
struct mr_job;
struct mr_server;

#define MR_SERVICE	"mapreduce"

/**
 * mr_server_create() - offer the service
 * @transport: where; it outlives the server
 * @server: receives it
 *
 * One on a transport, for good: the service can't be withdrawn.
 *
 * Return: 0 or -errno.
 */
int mr_server_create(struct lockstep_transport *transport, struct mr_server **server);

/* Only after its transport was destroyed. */
void mr_server_destroy(struct mr_server *server);

/* Let workers find a job. 0 or -ENOMEM. */
int mr_server_add(struct mr_server *server, struct mr_job *job);

/* No more of it; connections of its workers are closed. */
void mr_server_remove(struct mr_server *server, struct mr_job *job);

/* Connections of workers that are still open: 0 once all have been told of the end. */
unsigned int mr_server_workers(const struct mr_server *server);

#endif
