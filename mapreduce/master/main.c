// SPDX-License-Identifier: GPL-2.0
/* mrmaster: a coordinator of one job as a plain process. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/json.h"
#include "common/log.h"
#include "coordinator/server.h"
#include "http/http.h"
#include "master/arguments.h"
#include "rpc/failpoint.h"
#include "transport/transport.h"

#define FAREWELL_MS	1000	/* for workers to hear of the end */
#define FAREWELL_STEP	10
#define LIFE_MIN_MS	200	/* for workers that were started together with us */

struct master {
	struct mr_arguments args;
	struct event_base *base;
	struct lockstep_transport *transport;
	struct mr_server *server;
	struct mr_job *job;
	struct mr_http *http;
	struct event *farewell;
	struct event *signals[2];
	unsigned int waited_ms;
	uint64_t early_ns;
};

/* Workers leave when they hear of the end; one that is stopped will find it in its socket. */
static void on_farewell(evutil_socket_t fd, short what, void *arg)
{
	struct timeval tv = { 0, FAREWELL_STEP * 1000 };
	struct master *m = arg;

	(void)fd;
	(void)what;
	if ((!mr_server_workers(m->server) && lockstep_clock_ns() >= m->early_ns) || m->waited_ms >= FAREWELL_MS) {
		event_base_loopbreak(m->base);
		return;
	}
	m->waited_ms += FAREWELL_STEP;
	event_add(m->farewell, &tv);
}

static void report(struct master *m)
{
	struct json_object *status = mr_job_status(m->job);
	const char *text;
	int err;

	text = status ? json_object_to_json_string_ext(status, JSON_C_TO_STRING_PRETTY) : "";
	err = lockstep_file_replace(m->args.report, text, strlen(text), 0644);
	if (err)
		fprintf(stderr, "mrmaster: --report %s: %s\n", m->args.report, strerror(-err));
	json_object_put(status);
}

static void on_ended(struct mr_job *job, void *user)
{
	struct master *m = user;

	if (mr_job_state(job) != MR_JOB_SUCCEEDED)
		fprintf(stderr, "mrmaster: the job failed: %s\n", mr_job_reason(job));
	if (m->args.report)
		report(m);
	mr_failpoint("ended");
	event_active(m->farewell, EV_TIMEOUT, 1);
}

static void on_failure(struct mr_job *job, const char *line, void *user)
{
	struct master *m = user;

	(void)job;
	if (!m->args.quiet)
		fprintf(stderr, "mrmaster: %s\n", line);
}

static const struct mr_job_ops job_ops = {
	.ended		= on_ended,
	.failure	= on_failure,
};

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct master *m = arg;

	(void)what;
	mr_job_kill(m->job, sig == SIGINT ? "interrupted" : "terminated");
}

static int listen_at(struct master *m, char *err, size_t errlen)
{
	char address[LOCKSTEP_ADDR_STRLEN];
	int ret = -ENAMETOOLONG;

	if (snprintf(address, sizeof(address), "unix:%s", m->args.socket) < (int)sizeof(address))
		ret = lockstep_transport_listen(m->transport, address, NULL);
	if (ret)
		snprintf(err, errlen, "socket %s: %s", m->args.socket,
			 ret == -EADDRINUSE ? "another process listens there" : strerror(-ret));
	return ret;
}

static struct json_object *http_job(void *user, size_t i)
{
	struct master *m = user;

	return i ? NULL : mr_job_status(m->job);
}

static int serve_http(struct master *m, char *err, size_t errlen)
{
	int ret;

	if (!m->args.http)
		return 0;
	ret = mr_http_create(m->base, m->args.http, http_job, m, err, errlen, &m->http);
	if (!ret)
		fprintf(stderr, "mrmaster: status at %s\n", mr_http_url(m->http));
	return ret;
}

static int watch_signals(struct master *m)
{
	static const int numbers[] = { SIGINT, SIGTERM };
	unsigned int i;

	for (i = 0; i < 2; i++) {
		m->signals[i] = evsignal_new(m->base, numbers[i], on_signal, m);
		if (!m->signals[i] || event_add(m->signals[i], NULL))
			return -ENOMEM;
	}
	return 0;
}

static int start(struct master *m, char *err, size_t errlen)
{
	struct lockstep_transport_config transport = { .cluster = "mapreduce", .node = "local" };
	int ret;

	m->early_ns = lockstep_clock_ns() + LIFE_MIN_MS * LOCKSTEP_NSEC_PER_MSEC;
	m->base = lockstep_loop_create();
	if (!m->base)
		return -ENOMEM;
	m->farewell = event_new(m->base, -1, 0, on_farewell, m);
	if (!m->farewell)
		return -ENOMEM;
	ret = lockstep_transport_create(m->base, &transport, NULL, m, err, errlen, &m->transport);
	if (!ret)
		ret = mr_server_create(m->transport, &m->server);
	if (!ret)
		ret = mr_job_create(m->base, &m->args.job, &job_ops, m, err, errlen, &m->job);
	if (!ret)
		ret = mr_server_add(m->server, m->job);
	if (!ret)
		ret = serve_http(m, err, errlen);
	/* Workers come as soon as there is a socket. */
	if (!ret)
		ret = listen_at(m, err, errlen);
	return ret ? ret : watch_signals(m);
}

static void stop(struct master *m)
{
	unsigned int i;

	mr_http_destroy(m->http);
	if (m->job)
		mr_server_remove(m->server, m->job);
	mr_job_destroy(m->job);
	lockstep_transport_destroy(m->transport);
	mr_server_destroy(m->server);
	for (i = 0; i < 2; i++) {
		if (m->signals[i])
			event_free(m->signals[i]);
	}
	if (m->farewell)
		event_free(m->farewell);
	if (m->base)
		event_base_free(m->base);
}

int main(int argc, char **argv)
{
	struct master m = { 0 };
	char err[1024] = "out of memory";
	int ret;

	lockstep_log_init("mrmaster", LOCKSTEP_LOG_WARN, false);
	ret = mr_arguments_parse(&m.args, argc, argv);
	if (ret) {
		mr_arguments_exit(&m.args);
		return ret > 0 ? 0 : 2;
	}
	ret = start(&m, err, sizeof(err));
	if (ret) {
		fprintf(stderr, "mrmaster: %s\n", err);
		ret = 1;
	} else {
		event_base_dispatch(m.base);
		ret = mr_job_state(m.job) == MR_JOB_SUCCEEDED ? 0 : 1;
	}
	stop(&m);
	mr_arguments_exit(&m.args);
	return ret;
}
