// SPDX-License-Identifier: GPL-2.0
/* What the scheduler decided, made into messages. */
#include <stdlib.h>

#include "common/clock.h"
#include "coordinator/job_impl.h"

static void send_points(struct mr_worker *w)
{
	struct mr_job *job = w->job;
	ProtobufCBinaryData keys[128];
	Mr__Points page = MR__POINTS__INIT;
	uint32_t i;

	if (!job->range || w->points)
		return;
	w->points = true;
	page.total = job->nr_keys;
	page.keys = keys;
	for (i = 0; i < job->nr_keys; i++) {
		keys[page.n_keys].data = (uint8_t *)job->keys[i].data;
		keys[page.n_keys++].len = job->keys[i].len;
		if (page.n_keys < 128 && i + 1 < job->nr_keys)
			continue;
		mr_worker_send(w, MR_RPC(POINTS, points, &page));
		page.first += page.n_keys;
		page.n_keys = 0;
	}
}

static void run_fill(const struct mr_job *job, uint32_t number, Mr__AttemptId *id, Mr__Run *run)
{
	const struct mr_map *map = &job->maps[number];

	mr__attempt_id__init(id);
	id->number = number;
	id->attempt = map->run.attempt;
	id->epoch = map->run.epoch;
	mr__run__init(run);
	run->id = id;
	run->node = job->nodes[map->run.node];
	run->path = map->run.path;
	run->index = map->run.index;
	run->bytes = map->run.bytes;
}

/* Where the outputs of the maps [first, last) are, as far as they are done. */
static void send_runs(struct mr_worker *w, Mr__AttemptId *id, uint32_t first, uint32_t last)
{
	Mr__AttemptId ids[MR_RPC_RUNS_MAX];
	Mr__Run runs[MR_RPC_RUNS_MAX], *list[MR_RPC_RUNS_MAX];
	Mr__Runs page = MR__RUNS__INIT;
	uint32_t i;

	page.id = id;
	page.runs = list;
	for (i = first; i < last; i++) {
		if (!mr_sched_is_done(w->job->sched, MR_KIND_MAP, i))
			continue;
		run_fill(w->job, i, &ids[page.n_runs], &runs[page.n_runs]);
		list[page.n_runs] = &runs[page.n_runs];
		if (++page.n_runs < MR_RPC_RUNS_MAX)
			continue;
		mr_worker_send(w, MR_RPC(RUNS, runs, &page));
		page.n_runs = 0;
	}
	if (page.n_runs)
		mr_worker_send(w, MR_RPC(RUNS, runs, &page));
}

static void id_fill(const struct mr_job *job, const struct mr_decision *d, Mr__AttemptId *id)
{
	mr__attempt_id__init(id);
	id->kind = (Mr__Kind)d->kind;
	id->number = d->task;
	id->attempt = d->attempt;
	id->epoch = job->epoch;
}

void mr_worker_grant(struct mr_worker *w, const struct mr_decision *d)
{
	struct mr_job *job = w->job;
	const struct mr_input_file *input = NULL;
	const struct mr_skips *skips = NULL;
	const struct mr_map *map = NULL;
	Mr__Grant m = MR__GRANT__INIT;
	Mr__AttemptId id;

	id_fill(job, d, &id);
	m.id = &id;
	m.len = MR_RPC_WHOLE;
	m.size = MR_RPC_WHOLE;
	if (d->kind == MR_KIND_STAT)
		input = &job->inputs[d->task];
	if (d->kind == MR_KIND_MAP || d->kind == MR_KIND_SAMPLE) {
		map = &job->maps[d->kind == MR_KIND_MAP ? d->task : job->samples[d->task]];
		input = &job->inputs[map->input];
		m.offset = map->offset;
		m.len = map->len;
		m.size = input->size;
		m.mtime_ns = input->mtime_ns;
		m.keys = MR_SAMPLE_KEYS;
		skips = &map->skips;
	}
	m.path = input ? input->path : (char *)"";
	if (d->kind == MR_KIND_REDUCE) {
		m.maps = job->nr_maps;
		skips = &job->outs[d->task].skips;
	}
	if (skips) {
		m.skip = skips->records;
		m.n_skip = skips->nr;
	}
	job->granted = job->granted || d->kind == MR_KIND_MAP || d->kind == MR_KIND_REDUCE;
	w->granted_ns = lockstep_clock_ns();
	w->in_bytes = 0;
	w->in_total = 0;
	w->records = 0;
	w->status[0] = 0;
	if (d->kind == MR_KIND_MAP)
		send_points(w);
	mr_worker_send(w, MR_RPC(GRANT, grant, &m));
	if (d->kind == MR_KIND_REDUCE)
		send_runs(w, &id, 0, job->nr_maps);
}

/* A map is done: reduces that run already wait for it. */
void mr_grant_run(struct mr_job *job, uint32_t number)
{
	struct mr_decision d = { .type = MR_DECISION_GRANT };
	struct mr_worker *w;
	Mr__AttemptId id;

	TAILQ_FOREACH(w, &job->workers, all) {
		if (!mr_sched_running(job->sched, w->slot, &d.kind, &d.task, &d.attempt) || d.kind != MR_KIND_REDUCE)
			continue;
		id_fill(job, &d, &id);
		send_runs(w, &id, number, number + 1);
	}
}

void mr_worker_cancel(struct mr_worker *w, const struct mr_decision *d)
{
	Mr__Cancel m = MR__CANCEL__INIT;
	Mr__AttemptId id;

	id_fill(w->job, d, &id);
	m.id = &id;
	mr_worker_send(w, MR_RPC(CANCEL, cancel, &m));
}

void mr_worker_end(struct mr_worker *w)
{
	Mr__End m = MR__END__INIT;

	if (w->ended)
		return;
	w->ended = true;
	m.ok = w->job->state == MR_JOB_SUCCEEDED;
	m.reason = w->job->reason;
	mr_worker_send(w, MR_RPC(END, end, &m));
}
