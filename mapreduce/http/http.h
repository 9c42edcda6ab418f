/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Jobs over HTTP: a page for people, JSON for programs, metrics for Prometheus.
 *
 *	GET /			the page
 *	GET /api/jobs		array of jobs, as in coordinator/job.h (Status), without
 *				workers, failures, skipped, outputs and events
 *	GET /api/jobs/ID	one job; without outputs, and failures without their log
 *	GET /api/jobs/ID/outputs	its outputs
 *	GET /api/jobs/ID/log/N	standard error of failures[N], as text
 *	GET /metrics		Prometheus' text format (metrics.h)
 *
 * Nothing can be changed. Names and texts that users made leave escaped, and the
 * page's policy runs no other script than its own. Who listens on a loopback address
 * is asked by that name only: another site's page can't have its own name resolve to
 * it and read.
 *
 * Threads: everything on the thread of the event base.
 */
#ifndef LOCKSTEP_MR_HTTP_H
#define LOCKSTEP_MR_HTTP_H

#include <stddef.h>

struct event_base;
struct json_object;
struct mr_http;

/**
 * mr_http_create() - serve
 * @base: loop
 * @address: "PORT" (on 127.0.0.1), "HOST:PORT", "[V6]:PORT" or "*:PORT"; port 0
 *	picks one
 * @job: status of the @i-th job, from 0, as a new reference; NULL: there are no more
 * @user: passed to it
 * @err: receives cause and remedy
 * @errlen: size of @err
 * @http: receives the server
 *
 * Return: 0 or -errno.
 */
int mr_http_create(struct event_base *base, const char *address,
		   struct json_object *(*job)(void *user, size_t i), void *user, char *err, size_t errlen,
		   struct mr_http **http);

/* Close all connections. NULL is allowed. */
void mr_http_destroy(struct mr_http *http);

/* Where it is: "http://127.0.0.1:8080/". */
const char *mr_http_url(const struct mr_http *http);

#endif
