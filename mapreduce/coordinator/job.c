// SPDX-License-Identifier: GPL-2.0
#include "coordinator/job.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/event.h>

#include "common/clock.h"
#include "coordinator/job_impl.h"
#include "coordinator/text.h"
#include "rpc/failpoint.h"

#define BULK_PRIORITY	2	/* of the loop: after messages */

void mr_job_event(struct mr_job *job, const char *name, const char *format, ...)
{
	struct mr_event *e = &job->events[job->nr_events++ % MR_JOB_EVENTS];
	va_list ap;

	e->ms = (lockstep_clock_ns() - job->began_ns) / LOCKSTEP_NSEC_PER_MSEC;
	snprintf(e->name, sizeof(e->name), "%s", name);
	va_start(ap, format);
	vsnprintf(e->text, sizeof(e->text), format, ap);
	va_end(ap);
	mr_text_clean(e->text);
}

/* ---- the end ---- */

static void on_over(evutil_socket_t fd, short what, void *arg)
{
	struct mr_job *job = arg;

	(void)fd;
	(void)what;
	if (job->ops && job->ops->ended)
		job->ops->ended(job, job->user);
}

static void end_workers(struct mr_job *job)
{
	struct mr_worker *w;

	TAILQ_FOREACH(w, &job->workers, all)
		mr_worker_end(w);
}

void mr_job_end(struct mr_job *job, enum mr_job_state state, const char *format, ...)
{
	Mr__JournalEnd record = MR__JOURNAL_END__INIT;
	uint64_t now = lockstep_clock_ns();
	va_list ap;
	int err;

	if (job->state != MR_JOB_RUNNING)
		return;
	job->state = state;
	va_start(ap, format);
	vsnprintf(job->reason, sizeof(job->reason), format, ap);
	va_end(ap);
	mr_text_clean(job->reason);
	record.state = state;
	record.reason = job->reason;
	mr_replay_add(job, MR_RECORD(END, end, &record));
	err = job->journal ? mr_journal_sync(job->journal) : 0;
	if (err && state == MR_JOB_SUCCEEDED) {
		job->state = MR_JOB_FAILED;
		snprintf(job->reason, sizeof(job->reason), "the journal can't be written: %s", strerror(-err));
	}
	if (!err)
		mr_worker_answers(job);
	job->ended_ns = now;
	job->times[job->phase].ended_ns = now;
	job->phase = MR_PHASE_END;
	mr_sched_stop(job->sched);
	mr_job_event(job, "end", "%s", job->state == MR_JOB_SUCCEEDED ? "succeeded" : job->reason);
	end_workers(job);
	event_active(job->over, EV_TIMEOUT, 1);
}

void mr_job_kill(struct mr_job *job, const char *reason)
{
	mr_job_end(job, MR_JOB_KILLED, "%s", reason);
}

/* ---- phases ---- */

static void enter(struct mr_job *job, enum mr_phase phase)
{
	uint64_t now = lockstep_clock_ns();
	static const char * const names[] = { "stat", "sample", "map", "reduce", "end" };

	if (job->phase == phase && job->times[phase].began_ns)
		return;
	if (job->phase != phase && job->times[job->phase].began_ns)
		job->times[job->phase].ended_ns = now;
	if (!job->times[phase].began_ns)
		job->times[phase].began_ns = now;
	job->times[phase].ended_ns = 0;
	job->phase = phase;
	mr_job_event(job, "phase", "%s", names[phase]);
}

static int plan_ready(struct mr_job *job)
{
	Mr__JournalPlan record = MR__JOURNAL_PLAN__INIT;
	int err;

	err = mr_plan_start(job);
	if (err)
		return err;
	record.split = job->split;
	record.maps = job->nr_maps;
	mr_replay_add(job, MR_RECORD(PLAN, plan, &record));
	enter(job, MR_PHASE_MAP);
	/* Before the first map: what is done under another plan could not be told from it. */
	return job->journal ? mr_journal_sync(job->journal) : 0;
}

static int advance_plan(struct mr_job *job)
{
	int err;

	if (job->phase == MR_PHASE_STAT) {
		if (!mr_sched_all_done(job->sched, MR_KIND_STAT))
			return 0;
		err = mr_plan_splits(job);
		if (err)
			return err;
		if (!job->range)
			return plan_ready(job);
		enter(job, MR_PHASE_SAMPLE);
		return mr_plan_samples(job);
	}
	if (!mr_sched_all_done(job->sched, MR_KIND_SAMPLE))
		return 0;
	err = mr_plan_points(job);
	return err ? err : plan_ready(job);
}

void mr_job_advance(struct mr_job *job)
{
	int err = 0;

	if (job->state != MR_JOB_RUNNING)
		return;
	if (!job->planned)
		err = advance_plan(job);
	if (err) {
		mr_job_end(job, MR_JOB_FAILED, "the job can't be planned: %s", strerror(-err));
		return;
	}
	if (!job->planned)
		return;
	enter(job, mr_sched_all_done(job->sched, MR_KIND_MAP) ? MR_PHASE_REDUCE : MR_PHASE_MAP);
	if (mr_sched_all_done(job->sched, job->reduces ? MR_KIND_REDUCE : MR_KIND_MAP))
		mr_job_end(job, MR_JOB_SUCCEEDED, "%s", "");
}

/* ---- decisions ---- */

static void fail(struct mr_job *job, const struct mr_decision *d)
{
	const char *message = "no message";
	uint64_t i, last = 0;

	/* Its last failure says why. */
	for (i = 0; i < job->nr_failures && i < MR_JOB_FAILURES; i++) {
		const struct mr_failure *f = &job->failures[i];

		if (f->kind == (Mr__Kind)d->kind && f->number == d->task && f->ms >= last && f->message) {
			message = f->message;
			last = f->ms;
		}
	}
	mr_job_end(job, MR_JOB_FAILED, "%s %u failed too often: %s", mr_kind_name((Mr__Kind)d->kind), d->task,
		   message);
}

static void arm(struct mr_job *job, uint64_t when, uint64_t now)
{
	uint64_t ns = when > now ? when - now : 0;
	struct timeval tv;

	if (when == UINT64_MAX) {
		event_del(job->timer);
		return;
	}
	/* Rounded up: never before the time. */
	ns += 999;
	tv.tv_sec = (time_t)(ns / LOCKSTEP_NSEC_PER_SEC);
	tv.tv_usec = (suseconds_t)(ns % LOCKSTEP_NSEC_PER_SEC / 1000);
	event_add(job->timer, &tv);
}

void mr_job_kick(struct mr_job *job)
{
	uint64_t now = lockstep_clock_ns();
	struct mr_decision d;
	struct mr_worker *w;

	if (job->state != MR_JOB_RUNNING)
		return;
	if (job->hold_until > now) {
		arm(job, job->hold_until, now);
		return;
	}
	while (job->state == MR_JOB_RUNNING && mr_sched_next(job->sched, now, &d)) {
		w = d.type == MR_DECISION_FAIL ? NULL : mr_worker_find(job, d.worker);
		if (d.type == MR_DECISION_FAIL)
			fail(job, &d);
		else if (w && d.type == MR_DECISION_GRANT)
			mr_worker_grant(w, &d);
		else if (w)
			mr_worker_cancel(w, &d);
	}
	if (job->state == MR_JOB_RUNNING)
		arm(job, mr_sched_deadline(job->sched, now), now);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	mr_job_kick(arg);
}

/* All records of this turn of the loop go to disk at once. */
static void on_sync(evutil_socket_t fd, short what, void *arg)
{
	struct mr_job *job = arg;
	int err;

	(void)fd;
	(void)what;
	mr_failpoint("journal-unsynced");
	err = job->journal ? mr_journal_sync(job->journal) : 0;
	mr_failpoint("journal-synced");
	if (err)
		mr_job_end(job, MR_JOB_FAILED, "the journal can't be written: %s", strerror(-err));
	else
		mr_worker_answers(job);
}

void mr_job_node_lost(struct mr_job *job, const char *node)
{
	uint32_t i;

	for (i = 0; i < job->nr_nodes; i++) {
		if (!strcmp(job->nodes[i], node) && job->planned)
			mr_sched_node_lost(job->sched, i, lockstep_clock_ns());
	}
	mr_job_event(job, "node.lost", "%s", node);
	mr_job_advance(job);
	mr_job_kick(job);
}

uint32_t mr_job_node(struct mr_job *job, const char *name)
{
	char **nodes;
	uint32_t i;

	for (i = 0; i < job->nr_nodes; i++) {
		if (!strcmp(job->nodes[i], name))
			return i;
	}
	nodes = realloc(job->nodes, (i + 1) * sizeof(*nodes));
	if (!nodes)
		return MR_NONE;
	job->nodes = nodes;
	nodes[i] = strdup(name);
	if (!nodes[i])
		return MR_NONE;
	job->nr_nodes++;
	return i;
}

/* ---- life ---- */

static int config_check(const struct mr_job_config *c, char *err, size_t errlen)
{
	size_t i;

	if ((!c->nr_inputs && !c->resume) || c->nr_inputs > MR_INPUTS_MAX) {
		snprintf(err, errlen, "a job needs at least one input, and at most %u", MR_INPUTS_MAX);
		return -EINVAL;
	}
	for (i = 0; i < c->nr_inputs; i++) {
		if (!*c->inputs[i].path || strlen(c->inputs[i].path) > MR_RPC_PATH_MAX) {
			snprintf(err, errlen, "input %zu: a path has 1 to %u characters", i, MR_RPC_PATH_MAX);
			return -EINVAL;
		}
	}
	if (c->reduces > MR_REDUCES_MAX) {
		snprintf(err, errlen, "%u reduces; at most %u are possible", c->reduces, MR_REDUCES_MAX);
		return -ERANGE;
	}
	if ((c->memory && c->memory < MR_MEMORY_MIN) ||
	    (c->split && (c->split < MR_SPLIT_MIN || c->split > MR_SPLIT_MAX)) ||
	    (c->task_timeout_ms && (c->task_timeout_ms < MR_TASK_TIMEOUT_MS_MIN ||
				    c->task_timeout_ms > MR_TASK_TIMEOUT_MS_MAX))) {
		snprintf(err, errlen, "memory (from %llu bytes), split (%llu to %llu bytes) or time-out (%u to %u ms) is out of range",
			 MR_MEMORY_MIN, MR_SPLIT_MIN, MR_SPLIT_MAX, MR_TASK_TIMEOUT_MS_MIN, MR_TASK_TIMEOUT_MS_MAX);
		return -ERANGE;
	}
	return 0;
}

static int events_create(struct mr_job *job)
{
	job->timer = event_new(job->base, -1, 0, on_timer, job);
	job->sync = event_new(job->base, -1, 0, on_sync, job);
	job->over = event_new(job->base, -1, 0, on_over, job);
	if (!job->timer || !job->sync || !job->over)
		return -ENOMEM;
	event_priority_set(job->sync, BULK_PRIORITY);
	event_priority_set(job->over, BULK_PRIORITY);
	return 0;
}

static int sched_create(struct mr_job *job, const struct mr_job_config *c)
{
	struct mr_sched_config rules = {
		.timeout_ns = job->task_timeout_ms * LOCKSTEP_NSEC_PER_MSEC,
		.attempts_max = c->attempts_max,
		.skip_max = c->skip_max,
		.backup = c->backup,
		.overlap = c->overlap,
	};

	return mr_sched_create(&rules, &job->sched);
}

int mr_job_create(struct event_base *base, const struct mr_job_config *config, const struct mr_job_ops *ops,
		  void *user, char *err, size_t errlen, struct mr_job **out)
{
	struct mr_job *job;
	int ret;

	ret = config_check(config, err, errlen);
	if (ret)
		return ret;
	job = calloc(1, sizeof(*job));
	if (!job)
		return -ENOMEM;
	job->base = base;
	job->ops = ops;
	job->user = user;
	job->began_ns = lockstep_clock_ns();
	job->began_real = (uint64_t)time(NULL);
	job->task_timeout_ms = config->task_timeout_ms ? config->task_timeout_ms : MR_TASK_TIMEOUT_MS_DEF;
	job->force = config->force;
	TAILQ_INIT(&job->workers);
	STAILQ_INIT(&job->answers);
	mr__totals__init(&job->sums[0]);
	mr__totals__init(&job->sums[1]);
	snprintf(err, errlen, "out of memory");
	ret = events_create(job);
	if (!ret)
		ret = sched_create(job, config);
	if (!ret)
		ret = config->resume ? mr_replay_open(job, config, err, errlen) :
				       mr_replay_create(job, config, err, errlen);
	if (ret) {
		mr_job_destroy(job);
		return ret;
	}
	if (!job->planned)
		enter(job, MR_PHASE_STAT);
	mr_job_advance(job);
	*out = job;
	return 0;
}

static void state_free(struct mr_job *job)
{
	uint32_t i;

	for (i = 0; i < job->nr_maps; i++)
		mr_map_exit(&job->maps[i]);
	for (i = 0; job->outs && i < job->nr_outs; i++)
		mr_out_exit(&job->outs[i]);
	for (i = 0; i < job->nr_inputs; i++)
		free(job->inputs[i].path);
	for (i = 0; i < job->nr_options; i++) {
		free((char *)job->options[i].name);
		free((char *)job->options[i].value);
	}
	for (i = 0; i < job->nr_keys; i++)
		free((void *)job->keys[i].data);
	for (i = 0; i < job->nr_nodes; i++)
		free(job->nodes[i]);
	for (i = 0; i < job->nr_folders; i++)
		free(job->folders[i].path);
	for (i = 0; i < MR_JOB_FAILURES; i++) {
		free(job->failures[i].worker);
		free(job->failures[i].message);
		free(job->failures[i].log);
	}
}

void mr_job_destroy(struct mr_job *job)
{
	struct mr_worker *w;

	if (!job)
		return;
	while ((w = TAILQ_FIRST(&job->workers)))
		mr_worker_destroy(w);
	state_free(job);
	mr_tallies_exit(&job->counters);
	mr_journal_close(job->journal);
	mr_sched_destroy(job->sched);
	if (job->timer)
		event_free(job->timer);
	if (job->sync)
		event_free(job->sync);
	if (job->over)
		event_free(job->over);
	free(job->maps);
	free(job->outs);
	free(job->inputs);
	free(job->options);
	free(job->samples);
	free(job->keys);
	free(job->nodes);
	free(job->folders);
	free(job->slots);
	free(job->name);
	free(job->app);
	free(job);
}

enum mr_job_state mr_job_state(const struct mr_job *job)
{
	return job->state;
}

const char *mr_job_id(const struct mr_job *job)
{
	return job->id;
}

const char *mr_job_reason(const struct mr_job *job)
{
	return job->reason;
}
