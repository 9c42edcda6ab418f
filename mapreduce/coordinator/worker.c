// SPDX-License-Identifier: GPL-2.0
/* Connected workers: what they ask and tell, and what they are told. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/clock.h"
#include "common/log.h"
#include "coordinator/job_impl.h"
#include "coordinator/text.h"
#include "transport/transport.h"

struct mr_worker *mr_worker_find(struct mr_job *job, uint32_t slot)
{
	struct mr_worker *w = slot < job->nr_slots ? job->slots[slot] : NULL;

	return w;
}

void mr_worker_send(struct mr_worker *w, const Mr__Message *msg)
{
	int err = mr_rpc_send(w->conn, msg);

	/* It will dial again. */
	if (err < 0) {
		lockstep_warn("worker %s: can't be told: %s", w->name, strerror(-err));
		lockstep_conn_close(w->conn);
	}
}

static const char *folder_path(const struct mr_worker *w)
{
	return w->job->folders[w->folder].path;
}

static const char *node_name(const struct mr_worker *w)
{
	return w->job->nodes[w->node];
}

/* ---- answers that wait for the journal ---- */

static void answer(struct mr_worker *w, const Mr__Message *msg)
{
	struct mr_answer *a = calloc(1, sizeof(*a));

	if (a)
		a->msg = mr_rpc_copy(&msg->base);
	if (!a || !a->msg) {
		free(a);
		lockstep_conn_close(w->conn);
		return;
	}
	a->worker = w;
	STAILQ_INSERT_TAIL(&w->job->answers, a, all);
	event_active(w->job->sync, EV_TIMEOUT, 1);
}

void mr_worker_answers(struct mr_job *job)
{
	struct mr_answer *a;

	while ((a = STAILQ_FIRST(&job->answers))) {
		STAILQ_REMOVE_HEAD(&job->answers, all);
		if (a->worker)
			mr_worker_send(a->worker, a->msg);
		mr_rpc_free(a->msg);
		free(a);
	}
}

static void answer_ack(struct mr_worker *w, Mr__AttemptId *id)
{
	Mr__Ack ack = MR__ACK__INIT;

	ack.id = id;
	answer(w, MR_RPC(ACK, ack, &ack));
}

static void answer_discard(struct mr_worker *w, Mr__AttemptId *id)
{
	Mr__Discard discard = MR__DISCARD__INIT;

	discard.id = id;
	answer(w, MR_RPC(DISCARD, discard, &discard));
}

/* ---- life ---- */

static char *text_copy(const char *s)
{
	char *copy = *s ? strdup(s) : NULL;

	return copy ? mr_text_clean(copy) : NULL;
}

static int adopt_app(struct mr_job *job, const Mr__Hello *hello, char *reason, size_t len)
{
	Mr__JournalApp record = MR__JOURNAL_APP__INIT;

	if (job->app) {
		if (job->app_hash == hello->app_hash && !strcmp(job->app, hello->app))
			return 0;
		snprintf(reason, len, "the job runs another application, or another build of it: %s, not %s; start the worker with the same file as the others",
			 job->app, hello->app);
		return -EINVAL;
	}
	job->app = strdup(hello->app);
	if (!job->app)
		return -ENOMEM;
	job->app_hash = hello->app_hash;
	job->whole = hello->whole;
	record.name = job->app;
	record.hash = job->app_hash;
	record.whole = job->whole;
	mr_replay_add(job, MR_RECORD(APP, app, &record));
	return 0;
}

static int add_slot(struct mr_job *job, struct mr_worker *w)
{
	struct mr_worker **slots;
	uint32_t n;
	int err;

	err = mr_sched_worker_add(job->sched, w->node, &w->slot);
	if (err)
		return err;
	if (w->slot >= job->nr_slots) {
		n = (w->slot + 1) * 2;
		slots = realloc(job->slots, n * sizeof(struct mr_worker *));
		if (!slots) {
			mr_sched_worker_gone(job->sched, w->slot, lockstep_clock_ns());
			return -ENOMEM;
		}
		memset(slots + job->nr_slots, 0, (n - job->nr_slots) * sizeof(struct mr_worker *));
		job->slots = slots;
		job->nr_slots = n;
	}
	job->slots[w->slot] = w;
	return 0;
}

static void welcome(struct mr_worker *w)
{
	struct mr_job *job = w->job;
	Mr__Welcome m = MR__WELCOME__INIT;
	Mr__Option *options = calloc(job->nr_options + 1, sizeof(*options));
	Mr__Option **list = calloc(job->nr_options + 1, sizeof(Mr__Option *));
	size_t i;

	for (i = 0; options && list && i < job->nr_options; i++) {
		mr__option__init(&options[i]);
		options[i].name = (char *)job->options[i].name;
		options[i].value = (char *)job->options[i].value;
		list[i] = &options[i];
	}
	m.epoch = job->epoch;
	m.job = job->id;
	m.reduces = job->reduces;
	m.memory = job->memory;
	m.codec = job->codec;
	m.options = list;
	m.n_options = job->nr_options;
	m.heartbeat_ms = job->task_timeout_ms / 4 < 1000 ? job->task_timeout_ms / 4 : 1000;
	if (options && list)
		mr_worker_send(w, MR_RPC(WELCOME, welcome, &m));
	else
		lockstep_conn_close(w->conn);
	free(options);
	free(list);
}

int mr_worker_create(struct mr_job *job, struct lockstep_conn *conn, const Mr__Hello *hello, char *reason,
		     size_t len, struct mr_worker **worker)
{
	struct mr_worker *w;
	int err;

	if (hello->version != MR_RPC_VERSION) {
		snprintf(reason, len, "the coordinator speaks version %d of the protocol, the worker %u", MR_RPC_VERSION,
			 hello->version);
		return -EPROTO;
	}
	err = adopt_app(job, hello, reason, len);
	if (err)
		return err;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	snprintf(reason, len, "out of memory");
	w->job = job;
	w->conn = conn;
	w->name = text_copy(hello->worker);
	w->node = mr_job_node(job, hello->node);
	w->heard_ns = lockstep_clock_ns();
	err = !w->name || w->node == MR_NONE ? -ENOMEM : mr_folder_find(job, w->node, hello->output_dir, &w->folder);
	if (!err)
		err = add_slot(job, w);
	if (err) {
		free(w->name);
		free(w);
		return err;
	}
	TAILQ_INSERT_TAIL(&job->workers, w, all);
	mr_job_event(job, "worker.up", "%s", w->name);
	welcome(w);
	*worker = w;
	return 0;
}

void mr_worker_destroy(struct mr_worker *w)
{
	struct mr_job *job = w->job;
	struct mr_answer *a;
	enum mr_kind kind;
	uint32_t task, attempt;

	if (job->state == MR_JOB_RUNNING) {
		if (mr_sched_running(job->sched, w->slot, &kind, &task, &attempt))
			mr_job_event(job, "worker.lost", "%s, at %s %u", w->name, mr_kind_name((Mr__Kind)kind), task);
		else
			mr_job_event(job, "worker.gone", "%s", w->name);
	}
	STAILQ_FOREACH(a, &job->answers, all) {
		if (a->worker == w)
			a->worker = NULL;
	}
	TAILQ_REMOVE(&job->workers, w, all);
	job->slots[w->slot] = NULL;
	mr_sched_worker_gone(job->sched, w->slot, lockstep_clock_ns());
	mr_folder_left(w);
	free(w->name);
	free(w);
	mr_job_kick(job);
}

/* ---- what workers tell ---- */

static bool number_ok(const struct mr_job *job, const Mr__AttemptId *id)
{
	switch (id->kind) {
	case MR__KIND__MAP:
		return job->planned && id->number < job->nr_maps;
	case MR__KIND__REDUCE:
		return job->planned && id->number < job->reduces;
	case MR__KIND__STAT:
		return id->number < job->nr_inputs;
	case MR__KIND__SAMPLE:
		return id->number < job->nr_samples;
	default:
		return id->number < job->nr_folders;
	}
}

/* Is it what the worker was granted, by this coordinator? */
static bool is_current(const struct mr_worker *w, const Mr__AttemptId *id)
{
	uint32_t task, attempt;
	enum mr_kind kind;

	return mr_sched_running(w->job->sched, w->slot, &kind, &task, &attempt) && (Mr__Kind)kind == id->kind &&
	       task == id->number && attempt == id->attempt && id->epoch == w->job->epoch;
}

static void map_done(struct mr_worker *w, const Mr__Run *run, const Mr__Totals *totals,
		     Mr__Counter * const *counters, size_t nr_counters)
{
	struct mr_job *job = w->job;
	uint32_t number = run->id->number;

	if (mr_map_set(job, number, w->node, run, totals, counters, nr_counters)) {
		lockstep_conn_close(w->conn);
		return;
	}
	mr_sched_done(job->sched, MR_KIND_MAP, number, w->slot, lockstep_clock_ns());
	mr_grant_run(job, number);
}

/* Is it the output of its map that reduces read? */
static bool is_run(const struct mr_worker *w, const Mr__Run *run)
{
	const struct mr_map *map = &w->job->maps[run->id->number];

	return map->run.path && map->run.node == w->node && !strcmp(map->run.path, run->path);
}

static int on_have(struct mr_worker *w, const Mr__Have *m)
{
	struct mr_job *job = w->job;

	if (!job->reduces || !number_ok(job, m->run->id))
		return job->planned ? -EPROTO : 0;
	if (!mr_sched_is_done(job->sched, MR_KIND_MAP, m->run->id->number))
		map_done(w, m->run, m->totals, m->counters, m->n_counters);
	return 0;
}

static int on_commit(struct mr_worker *w, Mr__Commit *m)
{
	struct mr_job *job = w->job;
	Mr__JournalCommit record = MR__JOURNAL_COMMIT__INIT;
	Mr__Publish publish = MR__PUBLISH__INIT;
	char name[32];

	if (!mr_job_has_outputs(job, m->id->kind) || !number_ok(job, m->id))
		return -EPROTO;
	if (!mr_sched_commit(job->sched, (enum mr_kind)m->id->kind, m->id->number, w->slot, lockstep_clock_ns())) {
		answer_discard(w, m->id);
		return 0;
	}
	if (mr_out_commit(job, node_name(w), folder_path(w), m))
		return -ENOMEM;
	mr_out_name(m->id->number, name, sizeof(name));
	record.node = (char *)node_name(w);
	record.dir = (char *)folder_path(w);
	record.name = name;
	record.commit = m;
	mr_replay_add(job, MR_RECORD(COMMIT, commit, &record));
	publish.id = m->id;
	publish.name = name;
	answer(w, MR_RPC(PUBLISH, publish, &publish));
	return 0;
}

/* An output has its final name, or was found to have it already. */
static int output_done(struct mr_worker *w, const Mr__Done *m)
{
	struct mr_job *job = w->job;
	Mr__JournalDone record = MR__JOURNAL_DONE__INIT;
	const struct mr_out *out = &job->outs[m->id->number];
	int err;

	if (mr_sched_is_done(job->sched, (enum mr_kind)m->id->kind, m->id->number)) {
		/* Late. In another folder than the winner's it is a second output: the worker removes it. */
		if (m->published && (out->winner->commit->inode != m->winner_inode ||
				     strcmp(out->winner->dir, folder_path(w)) || strcmp(out->winner->node, node_name(w))))
			answer_discard(w, m->id);
		else
			answer_ack(w, m->id);
		return 0;
	}
	err = mr_out_done(job, m->id->number, node_name(w), folder_path(w), m->winner_inode, m->totals);
	if (err == -ENOENT) {
		answer_ack(w, m->id);
		mr_job_end(job, MR_JOB_FAILED, "%s/mr-out-%u exists, and this job did not make it: was it put there while the job ran?",
			   folder_path(w), m->id->number);
		return 0;
	}
	if (err)
		return err;
	record.kind = m->id->kind;
	record.number = m->id->number;
	record.node = (char *)node_name(w);
	record.dir = (char *)folder_path(w);
	record.inode = m->winner_inode;
	record.totals = m->totals;
	mr_replay_add(job, MR_RECORD(DONE, done, &record));
	mr_sched_done(job->sched, (enum mr_kind)m->id->kind, m->id->number, w->slot, lockstep_clock_ns());
	answer_ack(w, m->id);
	return 0;
}

static void stat_done(struct mr_worker *w, const Mr__Done *m)
{
	struct mr_job *job = w->job;
	Mr__JournalSize record = MR__JOURNAL_SIZE__INIT;
	struct mr_input_file *input = &job->inputs[m->id->number];

	if (!mr_sched_done(job->sched, MR_KIND_STAT, m->id->number, w->slot, lockstep_clock_ns()))
		return;
	input->size = m->size;
	input->mtime_ns = m->mtime_ns;
	input->known = true;
	record.input = m->id->number;
	record.size = m->size;
	record.mtime_ns = m->mtime_ns;
	mr_replay_add(job, MR_RECORD(SIZE, size, &record));
}

static int sample_done(struct mr_worker *w, const Mr__Done *m)
{
	size_t i;

	if (m->n_keys > MR_SAMPLE_KEYS)
		return -EPROTO;
	if (!mr_sched_done(w->job->sched, MR_KIND_SAMPLE, m->id->number, w->slot, lockstep_clock_ns()))
		return 0;
	for (i = 0; i < m->n_keys; i++) {
		if (mr_plan_key(w->job, m->keys[i].data, m->keys[i].len))
			return -ENOMEM;
	}
	return 0;
}

/* A map has made its run. */
static int run_done(struct mr_worker *w, const Mr__Done *m)
{
	if (!m->run || m->run->id->number != m->id->number)
		return -EPROTO;
	if (!mr_sched_is_done(w->job->sched, MR_KIND_MAP, m->id->number))
		map_done(w, m->run, m->totals, m->counters, m->n_counters);
	/* Its own run may be the one that counts: an answer was lost with a connection. */
	if (is_run(w, m->run))
		answer_ack(w, m->id);
	else
		answer_discard(w, m->id);
	return 0;
}

/* Of what was before maps and reduces, only this coordinator's own grants matter. */
static bool is_stale(const struct mr_worker *w, const Mr__AttemptId *id)
{
	return id->epoch != w->job->epoch && (id->kind != MR__KIND__MAP && id->kind != MR__KIND__REDUCE);
}

static int on_done(struct mr_worker *w, const Mr__Done *m)
{
	struct mr_job *job = w->job;
	int err = 0;

	if (is_stale(w, m->id)) {
		answer_ack(w, m->id);
		return 0;
	}
	if (!number_ok(job, m->id))
		return -EPROTO;
	w->done++;
	if (mr_job_has_outputs(job, m->id->kind))
		return output_done(w, m);
	if (m->id->kind == MR__KIND__MAP)
		return run_done(w, m);
	if (m->id->kind == MR__KIND__CHECK) {
		mr_folder_checked(w);
	} else if (m->id->kind == MR__KIND__STAT) {
		stat_done(w, m);
	} else if (m->id->kind == MR__KIND__SAMPLE) {
		/* After the points were chosen, late samples are of no use. */
		err = job->planned ? 0 : sample_done(w, m);
	}
	answer_ack(w, m->id);
	return err;
}

/* ---- failures ---- */

static void note_failure(struct mr_worker *w, const Mr__Failed *m)
{
	static const char * const blames[] = { "none", "user", "input", "region", "system", "cancel" };
	struct mr_job *job = w->job;
	struct mr_failure *f = &job->failures[mr_failure_slot(job->nr_failures++)];
	char line[2 * MR_RPC_TEXT_MAX], record[64] = "";

	free(f->worker);
	free(f->message);
	free(f->log);
	*f = (struct mr_failure) {
		.ms = (lockstep_clock_ns() - job->began_ns) / LOCKSTEP_NSEC_PER_MSEC,
		.kind = m->id->kind, .number = m->id->number, .attempt = m->id->attempt, .epoch = m->id->epoch,
		.worker = strdup(w->name), .node = w->node, .blame = blames[m->blame], .error = m->error,
		.message = text_copy(m->message), .record = m->record, .user_code = m->user_code,
		.log = text_copy(m->log),
	};
	if (m->user_code && m->dying)
		snprintf(record, sizeof(record), ", %s %llu", m->id->kind == MR__KIND__MAP ? "record" : "key",
			 (unsigned long long)m->record);
	snprintf(line, sizeof(line), "%s %u, attempt %u on %s%s: %s", mr_kind_name(m->id->kind), m->id->number,
		 m->id->attempt, w->name, record, m->message);
	mr_job_event(job, "attempt.failed", "%.150s", line);
	if (job->ops && job->ops->failure)
		job->ops->failure(job, line, job->user);
}

static void bad_run(struct mr_job *job, const Mr__AttemptId *id)
{
	const struct mr_map *map;

	if (!number_ok(job, id))
		return;
	map = &job->maps[id->number];
	/* It may have been made again meanwhile. */
	if (map->run.attempt != id->attempt || map->run.epoch != id->epoch)
		return;
	if (mr_sched_fetch_failed(job->sched, id->number, lockstep_clock_ns()))
		mr_job_event(job, "map.redo", "map %u: its output can't be read", id->number);
}

static int on_failed(struct mr_worker *w, Mr__Failed *m)
{
	static const enum mr_fault faults[] = {
		[MR_BLAME_USER] = MR_FAULT_USER, [MR_BLAME_INPUT] = MR_FAULT_INPUT, [MR_BLAME_SYSTEM] = MR_FAULT_SYSTEM,
		[MR_BLAME_MAX] = MR_FAULT_NONE,
	};
	struct mr_job *job = w->job;
	Mr__JournalSkip record = MR__JOURNAL_SKIP__INIT;
	size_t i;

	if (is_stale(w, m->id)) {
		answer_ack(w, m->id);
		return 0;
	}
	if (!number_ok(job, m->id))
		return -EPROTO;
	if (m->blame != MR_BLAME_CANCEL) {
		w->failed++;
		note_failure(w, m);
	}
	if (m->id->kind == MR__KIND__CHECK) {
		mr_folder_failed(w, m);
		answer_ack(w, m->id);
		return 0;
	}
	for (i = 0; m->blame == MR_BLAME_REGION && i < m->n_bad_runs; i++)
		bad_run(job, m->bad_runs[i]);
	if (is_current(w, m->id) &&
	    mr_sched_failed(job->sched, w->slot, faults[m->blame], m->user_code ? m->record : UINT64_MAX,
			    lockstep_clock_ns()) &&
	    !mr_skip_add(job, m->id->kind, m->id->number, m->record)) {
		record.kind = m->id->kind;
		record.number = m->id->number;
		record.record = m->record;
		mr_replay_add(job, MR_RECORD(SKIP, skip, &record));
		mr_job_event(job, "record.skip", "%s %u: record %llu is skipped from now on", mr_kind_name(m->id->kind),
			     m->id->number, (unsigned long long)m->record);
	}
	answer_ack(w, m->id);
	return 0;
}

static int on_heartbeat(struct mr_worker *w, const Mr__Heartbeat *m)
{
	w->in_bytes = m->in_bytes;
	w->in_total = m->in_total;
	w->records = m->records;
	snprintf(w->status, sizeof(w->status), "%s", m->status);
	mr_text_clean(w->status);
	return 0;
}

static int dispatch(struct mr_worker *w, const Mr__Message *msg)
{
	switch (msg->of_case) {
	case MR__MESSAGE__OF_HAVE:
		return on_have(w, msg->have);
	case MR__MESSAGE__OF_READY:
		mr_folder_ready(w);
		return 0;
	case MR__MESSAGE__OF_HEARTBEAT:
		return on_heartbeat(w, msg->heartbeat);
	case MR__MESSAGE__OF_COMMIT:
		return on_commit(w, msg->commit);
	case MR__MESSAGE__OF_DONE:
		return on_done(w, msg->done);
	case MR__MESSAGE__OF_FAILED:
		return on_failed(w, msg->failed);
	default:
		return -EPROTO;
	}
}

int mr_worker_message(struct mr_worker *w, const Mr__Message *msg)
{
	struct mr_job *job = w->job;
	int err;

	w->heard_ns = lockstep_clock_ns();
	if (job->state != MR_JOB_RUNNING)
		return 0;
	err = dispatch(w, msg);
	if (err)
		return err;
	mr_job_advance(job);
	mr_job_kick(job);
	return 0;
}
