// SPDX-License-Identifier: GPL-2.0
#include "local.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>
#include <json-c/json.h>

#include "common/file.h"
#include "coordinator/job.h"
#include "coordinator/server.h"
#include "crew.h"
#include "http/http.h"
#include "mrctl.h"
#include "progress.h"
#include "spec.h"
#include "transport/transport.h"

#define DISMISS_MS	2000	/* for workers to end by themselves */
#define FAILURES_SHOWN	5
#define ERROR_MAX	512

struct running {
	const struct mrctl_local *local;
	struct event_base *base;
	struct lockstep_transport *transport;
	struct mr_server *server;
	struct mr_job *job;
	struct mr_http *http;
	struct mrctl_crew *crew;
	struct mrctl_progress progress;
	struct event *tick;
	struct event *signals[2];
	unsigned int interrupts;
	unsigned int failures;
	char address[128];
};

/* --- what happens ----------------------------------------------------------- */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct running *r = arg;
	struct json_object *status = mr_job_status(r->job);

	(void)fd;
	(void)what;
	mrctl_progress_show(&r->progress, status);
	json_object_put(status);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	struct running *r = arg;
	char reason[64];

	(void)what;
	if (r->interrupts++) {
		event_base_loopbreak(r->base);
		return;
	}
	snprintf(reason, sizeof(reason), "interrupted by %s", number == SIGINT ? "Ctrl-C" : "SIGTERM");
	mr_job_kill(r->job, reason);
}

static void on_ended(struct mr_job *job, void *arg)
{
	struct running *r = arg;

	(void)job;
	mrctl_crew_dismiss(r->crew, DISMISS_MS);
}

static void on_failure(struct mr_job *job, const char *line, void *arg)
{
	struct running *r = arg;

	(void)job;
	if (++r->failures <= FAILURES_SHOWN)
		mrctl_progress_print(&r->progress, "mrctl: %s", line);
	if (r->failures == FAILURES_SHOWN)
		mrctl_progress_print(&r->progress, "mrctl: further failures are not shown");
}

static void on_line(const char *line, void *arg)
{
	struct running *r = arg;

	mrctl_progress_print(&r->progress, "%s", line);
}

static void on_useless(int status, void *arg)
{
	struct running *r = arg;
	char reason[128];

	if (WIFSIGNALED(status))
		snprintf(reason, sizeof(reason), "workers are killed by signal %d as soon as they start",
			 WTERMSIG(status));
	else
		snprintf(reason, sizeof(reason), "workers end with status %d as soon as they start",
			 WEXITSTATUS(status));
	mr_job_kill(r->job, reason);
}

static void on_empty(void *arg)
{
	struct running *r = arg;

	event_base_loopbreak(r->base);
}

static const struct mr_job_ops job_ops = { .ended = on_ended, .failure = on_failure };

static struct json_object *http_job(void *arg, size_t i)
{
	struct running *r = arg;

	return i ? NULL : mr_job_status(r->job);
}

/* --- making it all ---------------------------------------------------------- */

static int transport_make(struct running *r)
{
	struct lockstep_transport_config config = { .cluster = MRCTL_CLUSTER, .node = MRCTL_NODE };
	char err[ERROR_MAX] = "";
	int ret;

	r->base = lockstep_loop_create();
	if (!r->base)
		return -ENOMEM;
	ret = lockstep_transport_create(r->base, &config, NULL, NULL, err, sizeof(err), &r->transport);
	if (!ret)
		ret = mr_server_create(r->transport, &r->server);
	if (!ret)
		ret = lockstep_transport_listen(r->transport, r->address, NULL);
	if (ret)
		mrctl_fail(0, "no socket for workers at %s: %s", r->address, *err ? err : strerror(-ret));
	return ret;
}

static int job_make(struct running *r)
{
	struct mr_job_config config;
	char err[ERROR_MAX] = "";
	int ret = mrctl_spec_config(r->local->spec, &config);

	if (ret)
		return ret;
	config.memory = r->local->spec->memory / r->local->workers;
	config.journal = r->local->journal;
	config.resume = r->local->resume;
	ret = mr_job_create(r->base, &config, &job_ops, r, err, sizeof(err), &r->job);
	free((void *)config.inputs);
	free((void *)config.options);
	if (ret)
		mrctl_fail(0, "%s", *err ? err : strerror(-ret));
	return ret ? ret : mr_server_add(r->server, r->job);
}

static int events_make(struct running *r)
{
	struct timeval tv = { .tv_usec = MRCTL_PROGRESS_MS * 1000 };
	char err[ERROR_MAX] = "";
	int ret;

	r->tick = event_new(r->base, -1, EV_PERSIST, on_tick, r);
	r->signals[0] = evsignal_new(r->base, SIGINT, on_signal, r);
	r->signals[1] = evsignal_new(r->base, SIGTERM, on_signal, r);
	if (!r->tick || !r->signals[0] || !r->signals[1] || event_add(r->tick, &tv) ||
	    event_add(r->signals[0], NULL) || event_add(r->signals[1], NULL))
		return -ENOMEM;
	if (!r->local->http)
		return 0;
	ret = mr_http_create(r->base, r->local->http, http_job, r, err, sizeof(err), &r->http);
	if (ret)
		mrctl_fail(0, "%s", err);
	else
		mrctl_progress_print(&r->progress, "mrctl: status at %s", mr_http_url(r->http));
	return ret;
}

static int crew_make(struct running *r, const char *output)
{
	struct mrctl_crew_config config = {
		.address = r->address, .app = r->local->spec->app,
		.work_dir = r->local->temporary, .output_dir = output, .workers = r->local->workers,
		.line = on_line, .useless = on_useless, .empty = on_empty, .user = r,
	};
	int ret = mrctl_crew_create(r->base, &config, &r->crew);

	if (ret)
		mrctl_fail(0, "workers can't be started: %s", strerror(-ret));
	return ret;
}

static int exit_of(const struct mr_job *job)
{
	switch (mr_job_state(job)) {
	case MR_JOB_SUCCEEDED:
		return MRCTL_OK;
	case MR_JOB_KILLED:
		return MRCTL_KILLED;
	default:
		return MRCTL_FAILED;
	}
}

static void running_exit(struct running *r)
{
	mrctl_crew_destroy(r->crew);
	mr_http_destroy(r->http);
	if (r->job)
		mr_server_remove(r->server, r->job);
	lockstep_transport_destroy(r->transport);
	if (r->job)
		mr_job_destroy(r->job);
	if (r->server)
		mr_server_destroy(r->server);
	if (r->tick)
		event_free(r->tick);
	if (r->signals[0])
		event_free(r->signals[0]);
	if (r->signals[1])
		event_free(r->signals[1]);
	if (r->base)
		event_base_free(r->base);
}

/* The output folder as an absolute path, malloc'ed; made if need be. */
static char *output_make(const char *dir, bool *made)
{
	struct stat st;
	char *path = NULL;
	int ret;

	*made = stat(dir, &st);
	ret = lockstep_file_mkdir(dir, 0777);
	if (!ret)
		path = realpath(dir, NULL);
	if (!path)
		mrctl_fail(0, "output folder %s: %s", dir, strerror(ret ? -ret : errno));
	return path;
}

int mrctl_local_check(const char *app)
{
	/* in a process of its own: what an object does when it is loaded is no business of ours */
	const struct mr_app *loaded;
	char error[MR_ERROR_MAX];
	int status;
	pid_t pid = fork();

	if (!pid) {
		int ret = mr_app_load(app, error, sizeof(error), &loaded, NULL);

		if (ret)
			mrctl_fail(0, "%s", error);
		_exit(ret ? MRCTL_USAGE : MRCTL_OK);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return mrctl_fail(MRCTL_FAILED, "no process can be made: %s", strerror(errno));
	if (WIFSIGNALED(status))
		return mrctl_fail(MRCTL_USAGE, "%s crashes when it is loaded: signal %d", app, WTERMSIG(status));
	return WEXITSTATUS(status);
}

int mrctl_local_run(const struct mrctl_local *local, struct json_object **status)
{
	struct running r = { .local = local };
	int code = MRCTL_FAILED, ret;
	char *output;
	bool made = false;

	*status = NULL;
	mrctl_progress_init(&r.progress, local->quiet);
	output = output_make(local->spec->output, &made);
	snprintf(r.address, sizeof(r.address), "unix:%s/socket", local->temporary);
	ret = output ? transport_make(&r) : -errno;
	if (!ret)
		ret = job_make(&r);
	if (!ret)
		ret = events_make(&r);
	if (!ret)
		ret = crew_make(&r, output);
	if (!ret) {
		event_base_dispatch(r.base);
		*status = mr_job_status(r.job);
		mrctl_crew_destroy(r.crew);
		r.crew = NULL;
		mrctl_progress_end(&r.progress, *status);
		code = exit_of(r.job);
	}
	running_exit(&r);
	/* no empty folder of a job that made nothing */
	if (code && made && output)
		rmdir(output);
	free(output);
	return code;
}
