// SPDX-License-Identifier: GPL-2.0
/* The network thread: the connection with the coordinator. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/clock.h"
#include "coordinator/server.h"
#include "shuffle/client.h"
#include "transport/transport.h"
#include "worker/work_impl.h"

#define REDIAL_MS	20
#define GRACE_MS	1000	/* for user code to return, after the job's end */

static const struct lockstep_service_ops ops;

/* ---- the end ---- */

static void over(struct mr_work *w, int result, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void over(struct mr_work *w, int result, const char *format, ...)
{
	struct timeval tv = { GRACE_MS / 1000, GRACE_MS % 1000 * 1000 };
	va_list ap;

	pthread_mutex_lock(&w->lock);
	if (!w->over) {
		w->over = true;
		w->result = result;
		va_start(ap, format);
		vsnprintf(w->reason, sizeof(w->reason), format, ap);
		va_end(ap);
		mr_attempt_cancel();
		event_add(w->grace, &tv);
	}
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
	event_del(w->retry);
}

/* User code does not return: the process ends without it. */
static void on_grace(evutil_socket_t fd, short what, void *arg)
{
	struct mr_work *w = arg;
	struct mr_job_info *info;

	(void)fd;
	(void)what;
	mr_log_pass(&w->log);
	mr_keep_sweep(w->config->output_dir);
	SLIST_FOREACH(info, &w->infos, all)
		mr_keep_exit(&info->keep);
	if (w->result)
		dprintf(w->log.real, "mrworker: %s\n", w->reason);
	_exit(w->result ? 1 : 0);
}

/* ---- sending ---- */

void mr_link_send(struct mr_work *w, const Mr__Message *msg)
{
	int err;

	if (!w->conn || !w->welcomed)
		return;
	err = mr_rpc_send(w->conn, msg);
	if (err < 0)
		lockstep_conn_close(w->conn);
}

static void send_said(void *arg)
{
	struct mr_work *w = arg;
	static const struct lockstep_msg head;
	struct iovec iov;

	pthread_mutex_lock(&w->lock);
	iov.iov_base = w->said;
	iov.iov_len = w->said_len;
	if (w->said && w->conn && w->welcomed && lockstep_conn_send(w->conn, &head, &iov, 1) < 0)
		lockstep_conn_close(w->conn);
	pthread_mutex_unlock(&w->lock);
}

static void send_ready(void *arg)
{
	struct mr_work *w = arg;
	Mr__Ready ready = MR__READY__INIT;
	bool idle;

	pthread_mutex_lock(&w->lock);
	idle = w->idle && !w->grant && !w->over;
	pthread_mutex_unlock(&w->lock);
	if (idle)
		mr_link_send(w, MR_RPC(READY, ready, &ready));
}

void mr_link_idle(struct mr_work *w)
{
	lockstep_transport_call(w->transport, send_ready, w);
}

static void forget_said(struct mr_work *w)
{
	free(w->said);
	w->said = NULL;
}

enum mr_answer_kind mr_link_say(struct mr_work *w, const Mr__Message *msg)
{
	enum mr_answer_kind answer;
	size_t len;

	if (mr_rpc_check(msg))
		return MR_ANSWER_DISCARD;
	len = mr__message__get_packed_size(msg);
	pthread_mutex_lock(&w->lock);
	w->said = w->reconnected ? NULL : malloc(len + 1);
	if (w->said) {
		w->said_len = len;
		mr__message__pack(msg, w->said);
		w->answer = MR_ANSWER_NONE;
		lockstep_transport_call(w->transport, send_said, w);
		while (w->said && !w->over)
			pthread_cond_wait(&w->changed, &w->lock);
		answer = w->over && w->said ? MR_ANSWER_NONE : w->answer;
	} else {
		answer = MR_ANSWER_DISCARD;
	}
	pthread_mutex_unlock(&w->lock);
	return answer;
}

/* ---- what the coordinator says ---- */

static void say_have(struct mr_work *w)
{
	size_t i;

	pthread_mutex_lock(&w->lock);
	for (i = 0; i < w->info->keep.nr; i++)
		mr_link_send(w, MR_RPC(HAVE, have, w->info->keep.have[i]));
	pthread_mutex_unlock(&w->lock);
}

/* Another job: what was done for the old one is of no use. */
static void change_job(struct mr_work *w, const Mr__Welcome *m)
{
	struct mr_job_info *info = mr_job_info_create(w, m);

	if (!info) {
		over(w, -EIO, "%s: no folder for run files can be made there: %s", w->config->work_dir, strerror(errno));
		return;
	}
	SLIST_INSERT_HEAD(&w->infos, info, all);
	pthread_mutex_lock(&w->lock);
	w->info = info;
	if (w->busy) {
		w->reconnected = true;
		w->cancelled = true;
		mr_attempt_cancel();
	}
	w->answer = MR_ANSWER_DISCARD;
	forget_said(w);
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static void on_welcome(struct mr_work *w, const Mr__Welcome *m)
{
	struct timeval tv = { m->heartbeat_ms / 1000, m->heartbeat_ms % 1000 * 1000 };
	bool same = w->info && !strcmp(w->info->welcome->job, m->job);

	w->welcomed = true;
	w->lost_ns = 0;
	event_add(w->beat, &tv);
	if (!same)
		change_job(w, m);
	else
		say_have(w);
	send_said(w);
	send_ready(w);
}

static bool is_current(const struct mr_work *w, const Mr__AttemptId *id)
{
	return w->busy && id->kind == w->current.kind && id->number == w->current.number &&
	       id->attempt == w->current.attempt && id->epoch == w->current.epoch;
}

static void runs_clear(struct mr_work *w)
{
	uint32_t i;

	for (i = 0; i < w->nr_runs; i++) {
		if (w->runs[i])
			mr__run__free_unpacked(w->runs[i], NULL);
	}
	free(w->runs);
	w->runs = NULL;
	w->nr_runs = 0;
	w->have_runs = 0;
}

static int on_grant(struct mr_work *w, Mr__Message *msg)
{
	const Mr__Grant *m = msg->grant;

	if (w->grant || w->busy || !w->info)
		return -EPROTO;
	runs_clear(w);
	if (m->id->kind == MR__KIND__REDUCE) {
		w->runs = calloc(m->maps + 1ull, sizeof(Mr__Run *));
		if (!w->runs)
			return -ENOMEM;
		w->nr_runs = m->maps;
	}
	w->current = *m->id;
	w->busy = true;
	w->cancelled = false;
	w->idle = false;
	w->grant = msg;
	return 1;
}

/* A run that comes again is where the map's output is from now on. */
static int on_runs(struct mr_work *w, Mr__Runs *m)
{
	size_t i;

	if (!is_current(w, m->id) || w->current.kind != MR__KIND__REDUCE)
		return 0;
	for (i = 0; i < m->n_runs; i++) {
		uint32_t map = m->runs[i]->id->number;

		if (map >= w->nr_runs)
			return -EPROTO;
		/* While the engine reads them they stay as they are. */
		if (w->running)
			continue;
		if (w->runs[map])
			mr__run__free_unpacked(w->runs[map], NULL);
		else
			w->have_runs++;
		w->runs[map] = m->runs[i];
		m->runs[i] = NULL;
	}
	/* Those taken are no longer the message's. */
	for (i = 0; i < m->n_runs; i++) {
		while (m->n_runs > i && !m->runs[i])
			m->runs[i] = m->runs[--m->n_runs];
	}
	return 0;
}

static void on_answer(struct mr_work *w, const Mr__AttemptId *id, enum mr_answer_kind answer, const char *name)
{
	if (!is_current(w, id))
		return;
	w->answer = answer;
	snprintf(w->publish, sizeof(w->publish), "%s", name);
	forget_said(w);
	mr_gasp_heard(w);
}

static int dispatch(struct mr_work *w, Mr__Message *msg)
{
	switch (msg->of_case) {
	case MR__MESSAGE__OF_GRANT:
		return on_grant(w, msg);
	case MR__MESSAGE__OF_RUNS:
		return on_runs(w, msg->runs);
	case MR__MESSAGE__OF_POINTS:
		return w->info ? mr_job_info_points(w->info, msg->points) : -EPROTO;
	case MR__MESSAGE__OF_PUBLISH:
		on_answer(w, msg->publish->id, MR_ANSWER_PUBLISH, msg->publish->name);
		return 0;
	case MR__MESSAGE__OF_DISCARD:
		on_answer(w, msg->discard->id, MR_ANSWER_DISCARD, "");
		return 0;
	case MR__MESSAGE__OF_ACK:
		on_answer(w, msg->ack->id, MR_ANSWER_ACK, "");
		return 0;
	case MR__MESSAGE__OF_CANCEL:
		if (is_current(w, msg->cancel->id)) {
			w->cancelled = true;
			mr_attempt_cancel();
		}
		return 0;
	default:
		return -EPROTO;
	}
}

static void on_message(struct lockstep_conn *conn, const struct lockstep_msg *head, const void *data, size_t len)
{
	struct mr_work *w = lockstep_conn_user(conn);
	Mr__Message *msg;
	int err;

	(void)head;
	err = mr_rpc_decode(data, len, &msg);
	if (err) {
		lockstep_conn_close(conn);
		return;
	}
	if (msg->of_case == MR__MESSAGE__OF_WELCOME) {
		on_welcome(w, msg->welcome);
	} else if (msg->of_case == MR__MESSAGE__OF_REFUSE) {
		over(w, -EPERM, "refused: %s", msg->refuse->reason);
	} else if (msg->of_case == MR__MESSAGE__OF_END) {
		over(w, msg->end->ok ? 0 : -ECANCELED, "the job ended without success: %s", msg->end->reason);
	} else {
		pthread_mutex_lock(&w->lock);
		err = dispatch(w, msg);
		pthread_cond_broadcast(&w->changed);
		pthread_mutex_unlock(&w->lock);
		if (err > 0)
			msg = NULL;
		if (err < 0)
			lockstep_conn_close(conn);
	}
	mr_rpc_free(msg);
}

/* ---- the connection ---- */

static void on_up(struct lockstep_conn *conn)
{
	struct mr_work *w = lockstep_conn_user(conn);
	const struct mr_work_config *c = w->config;
	Mr__Hello m = MR__HELLO__INIT;
	int err;

	m.version = MR_RPC_VERSION;
	m.worker = w->name;
	m.node = (char *)c->node;
	m.work_dir = (char *)c->work_dir;
	m.output_dir = (char *)c->output_dir;
	m.app = (char *)c->app->name;
	m.app_hash = c->app_hash;
	m.whole = c->app->reader && c->app->reader->whole;
	m.job = (char *)(c->job ? c->job : "");
	err = mr_rpc_send(conn, MR_RPC(HELLO, hello, &m));
	if (err < 0)
		over(w, err, "the coordinator can't be greeted: %s", strerror(-err));
}

static void retry(struct mr_work *w)
{
	struct timeval tv = { 0, REDIAL_MS * 1000 };
	uint64_t now = lockstep_clock_ns();

	if (w->over)
		return;
	if (!w->lost_ns)
		w->lost_ns = now;
	if (now - w->lost_ns >= w->config->retry_ms * LOCKSTEP_NSEC_PER_MSEC) {
		over(w, -ETIMEDOUT, w->info ? "the coordinator at %s is gone, and was not back within %u s" :
		     "no coordinator at %s within %u s", w->config->address, w->config->retry_ms / 1000);
		return;
	}
	event_add(w->retry, &tv);
}

static void on_closed(struct lockstep_conn *conn, int error, const char *reason)
{
	struct mr_work *w = lockstep_conn_user(conn);

	(void)error;
	(void)reason;
	w->conn = NULL;
	w->welcomed = false;
	event_del(w->beat);
	retry(w);
}

static const struct lockstep_service_ops ops = {
	.up		= on_up,
	.message	= on_message,
	.closed		= on_closed,
};

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct mr_work *w = arg;
	const char *service = w->config->service ? w->config->service : MR_SERVICE;

	(void)fd;
	(void)what;
	if (lockstep_transport_dial(w->transport, service, w->config->peer, w->config->address, &ops, w, &w->conn)) {
		w->conn = NULL;
		retry(w);
	}
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
	struct mr_work *w = arg;
	Mr__Heartbeat m = MR__HEARTBEAT__INIT;
	struct mr_progress progress;
	Mr__AttemptId id;
	bool busy;

	(void)fd;
	(void)what;
	pthread_mutex_lock(&w->lock);
	id = w->current;
	busy = w->busy;
	/* The engine may not have begun when it was cancelled. */
	if (w->running && w->cancelled)
		mr_attempt_cancel();
	pthread_mutex_unlock(&w->lock);
	if (!busy)
		return;
	mr_log_pass(&w->log);
	mr_attempt_progress(&progress);
	m.id = &id;
	m.in_bytes = progress.in_bytes;
	m.in_total = progress.in_total;
	m.records = progress.records;
	m.status = progress.status;
	mr_link_send(w, MR_RPC(HEARTBEAT, heartbeat, &m));
}

/* ---- the thread ---- */

static void *thread(void *arg)
{
	struct mr_work *w = arg;
	sigset_t all;

	/* Crashes of user code are the task thread's; the process's signals may go there too. */
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGABRT);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	event_base_loop(w->base, EVLOOP_NO_EXIT_ON_EMPTY);
	return NULL;
}

int mr_link_start(struct mr_work *w, char *err, size_t errlen)
{
	int ret;

	w->base = lockstep_loop_create();
	if (!w->base)
		return -ENOMEM;
	ret = lockstep_transport_create(w->base, w->config->transport, NULL, w, err, errlen, &w->transport);
	if (ret)
		return ret;
	if (w->config->shuffle)
		ret = mr_client_create(w->transport, w->config->shuffle, &w->client);
	if (ret)
		return ret;
	w->retry = event_new(w->base, -1, 0, on_retry, w);
	w->beat = event_new(w->base, -1, EV_PERSIST, on_beat, w);
	w->grace = event_new(w->base, -1, 0, on_grace, w);
	if (!w->retry || !w->beat || !w->grace)
		return -ENOMEM;
	ret = mr_gasp_init(w);
	if (ret)
		return ret;
	event_active(w->retry, EV_TIMEOUT, 1);
	return -pthread_create(&w->thread, NULL, thread, w);
}

static void stop(void *arg)
{
	struct mr_work *w = arg;

	event_base_loopbreak(w->base);
}

/* The task thread has returned: the process ends soon. */
void mr_link_stop(struct mr_work *w)
{
	lockstep_transport_call(w->transport, stop, w);
	pthread_join(w->thread, NULL);
	event_free(w->retry);
	event_free(w->beat);
	event_free(w->grace);
	event_free(w->gasp);
	lockstep_transport_destroy(w->transport);
	mr_client_destroy(w->client);
	event_base_free(w->base);
	runs_clear(w);
	forget_said(w);
	mr_rpc_free(w->grant);
}
