// SPDX-License-Identifier: GPL-2.0
/* A job as JSON; what it holds stands in job.h. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/json.h"
#include "coordinator/job_impl.h"

static void add_int(struct json_object *o, const char *key, int64_t value)
{
	json_object_object_add(o, key, json_object_new_int64(value));
}

static struct json_object *add_array(struct json_object *o, const char *key)
{
	struct json_object *array = json_object_new_array();

	json_object_object_add(o, key, array);
	return array;
}

static struct json_object *append(struct json_object *array)
{
	struct json_object *o = json_object_new_object();

	json_object_array_add(array, o);
	return o;
}

static void add_attempt(struct json_object *o, Mr__Kind kind, uint32_t number, uint32_t attempt, uint64_t epoch)
{
	lockstep_json_add_str(o, "kind", mr_kind_name(kind));
	lockstep_json_add_u64(o, "number", number);
	lockstep_json_add_u64(o, "attempt", attempt);
	lockstep_json_add_u64(o, "epoch", epoch);
}

static void add_phase(const struct mr_job *job, struct json_object *phases, enum mr_phase phase, enum mr_kind kind,
		      uint64_t now)
{
	const struct mr_phase_time *t = &job->times[phase];
	const Mr__Totals *sum = NULL;
	struct json_object *o;
	struct mr_sched_count n;
	uint64_t ms = 0;

	mr_sched_count(job->sched, kind, &n);
	if (!t->began_ns && !n.total)
		return;
	o = append(phases);
	lockstep_json_add_str(o, "name", mr_kind_name((Mr__Kind)kind));
	lockstep_json_add_u64(o, "tasks", n.total);
	lockstep_json_add_u64(o, "idle", n.idle);
	lockstep_json_add_u64(o, "running", n.running);
	lockstep_json_add_u64(o, "done", n.done);
	if (t->began_ns) {
		ms = ((t->ended_ns ? t->ended_ns : now) - t->began_ns) / LOCKSTEP_NSEC_PER_MSEC;
		lockstep_json_add_u64(o, "began_ms", (t->began_ns - job->began_ns) / LOCKSTEP_NSEC_PER_MSEC);
		lockstep_json_add_u64(o, "elapsed_ms", ms);
	}
	if (kind == MR_KIND_MAP || kind == MR_KIND_REDUCE)
		sum = &job->sums[kind];
	if (!sum)
		return;
	lockstep_json_add_u64(o, "in_bytes", sum->in_bytes);
	lockstep_json_add_u64(o, "in_records", sum->in_records);
	lockstep_json_add_u64(o, "out_bytes", sum->out_bytes);
	lockstep_json_add_u64(o, "out_records", sum->out_records);
	lockstep_json_add_u64(o, "skipped", sum->skipped);
	if (ms) {
		lockstep_json_add_u64(o, "in_rate", sum->in_bytes * 1000 / ms);
		lockstep_json_add_u64(o, "out_rate", sum->out_bytes * 1000 / ms);
	}
}

static void add_worker(const struct mr_job *job, struct json_object *workers, const struct mr_worker *w, uint64_t now)
{
	bool silent = now - w->heard_ns > job->task_timeout_ms * LOCKSTEP_NSEC_PER_MSEC;
	struct json_object *o = append(workers);
	uint32_t number, attempt;
	enum mr_kind kind;
	bool runs;

	runs = mr_sched_running(job->sched, w->slot, &kind, &number, &attempt);
	lockstep_json_add_str(o, "name", w->name);
	lockstep_json_add_str(o, "node", job->nodes[w->node]);
	lockstep_json_add_str(o, "output_dir", job->folders[w->folder].path);
	lockstep_json_add_str(o, "state", !runs ? "idle" : silent ? "silent" : "running");
	lockstep_json_add_u64(o, "heard_ms", (now - w->heard_ns) / LOCKSTEP_NSEC_PER_MSEC);
	lockstep_json_add_u64(o, "done", w->done);
	lockstep_json_add_u64(o, "failed", w->failed);
	if (!runs)
		return;
	json_object_object_add(o, "attempt", json_object_new_object());
	json_object_object_get_ex(o, "attempt", &o);
	add_attempt(o, (Mr__Kind)kind, number, attempt, job->epoch);
	lockstep_json_add_u64(o, "ms", (now - w->granted_ns) / LOCKSTEP_NSEC_PER_MSEC);
	lockstep_json_add_u64(o, "in_bytes", w->in_bytes);
	lockstep_json_add_u64(o, "in_total", w->in_total);
	lockstep_json_add_u64(o, "records", w->records);
	lockstep_json_add_str(o, "status", w->status);
}

static void add_failure(const struct mr_job *job, struct json_object *failures, const struct mr_failure *f)
{
	struct json_object *o = append(failures);

	lockstep_json_add_u64(o, "ms", f->ms);
	add_attempt(o, f->kind, f->number, f->attempt, f->epoch);
	lockstep_json_add_str(o, "worker", f->worker);
	lockstep_json_add_str(o, "node", job->nodes[f->node]);
	lockstep_json_add_str(o, "blame", f->blame);
	add_int(o, "error", f->error);
	lockstep_json_add_str(o, "message", f->message ? f->message : "");
	if (f->user_code)
		lockstep_json_add_u64(o, "record", f->record);
	lockstep_json_add_bool(o, "user_code", f->user_code);
	lockstep_json_add_str(o, "log", f->log ? f->log : "");
}

/* The first ones, then the last ones, in the order in which they came. */
static void add_failures(const struct mr_job *job, struct json_object *status)
{
	struct json_object *failures = add_array(status, "failures");
	const uint64_t half = MR_JOB_FAILURES / 2;
	uint64_t i;

	for (i = 0; i < job->nr_failures && i < half; i++)
		add_failure(job, failures, &job->failures[mr_failure_slot(i)]);
	if (job->nr_failures > 2 * half)
		i = job->nr_failures - half;
	for (; i < job->nr_failures; i++)
		add_failure(job, failures, &job->failures[mr_failure_slot(i)]);
}

static void add_outputs(const struct mr_job *job, struct json_object *status)
{
	struct json_object *outputs = add_array(status, "outputs");
	char name[32], sum[20], path[PATH_MAX + 32];
	struct json_object *o;
	uint32_t i;

	for (i = 0; i < job->nr_outs; i++) {
		const struct mr_commit *c = job->outs[i].winner;

		if (!c)
			continue;
		o = append(outputs);
		mr_out_name(i, name, sizeof(name));
		snprintf(path, sizeof(path), "%s/%s", c->dir, name);
		snprintf(sum, sizeof(sum), "%016" PRIx64, c->commit->checksum);
		lockstep_json_add_u64(o, "number", i);
		lockstep_json_add_str(o, "name", name);
		lockstep_json_add_str(o, "node", c->node);
		lockstep_json_add_str(o, "path", path);
		lockstep_json_add_u64(o, "attempt", c->commit->id->attempt);
		lockstep_json_add_u64(o, "epoch", c->commit->id->epoch);
		lockstep_json_add_u64(o, "size", c->commit->size);
		lockstep_json_add_str(o, "checksum", sum);
	}
}

static void add_events(const struct mr_job *job, struct json_object *status)
{
	struct json_object *events = add_array(status, "events");
	uint64_t i = job->nr_events > MR_JOB_EVENTS ? job->nr_events - MR_JOB_EVENTS : 0;
	struct json_object *o;

	for (; i < job->nr_events; i++) {
		const struct mr_event *e = &job->events[i % MR_JOB_EVENTS];

		o = append(events);
		lockstep_json_add_u64(o, "ms", e->ms);
		lockstep_json_add_str(o, "event", e->name);
		lockstep_json_add_str(o, "text", e->text);
	}
}

static void add_skipped(const struct mr_job *job, struct json_object *status)
{
	struct json_object *skipped = add_array(status, "skipped");
	struct json_object *o;
	uint32_t i;

	for (i = 0; i < job->nr_skipped && i < MR_JOB_FAILURES; i++) {
		o = append(skipped);
		lockstep_json_add_str(o, "kind", mr_kind_name(job->skipped[i].kind));
		lockstep_json_add_u64(o, "number", job->skipped[i].number);
		lockstep_json_add_u64(o, "record", job->skipped[i].record);
	}
}

static void add_head(const struct mr_job *job, struct json_object *o, uint64_t now)
{
	static const char * const states[] = { "running", "succeeded", "failed", "killed" };
	static const char * const phases[] = { "stat", "sample", "map", "reduce", "end" };
	bool check = job->phase == MR_PHASE_STAT && !job->granted && !mr_job_folders_checked(job);

	lockstep_json_add_str(o, "id", job->id);
	lockstep_json_add_str(o, "name", job->name);
	lockstep_json_add_u64(o, "epoch", job->epoch);
	if (job->app)
		lockstep_json_add_str(o, "app", job->app);
	lockstep_json_add_u64(o, "reduces", job->reduces);
	lockstep_json_add_u64(o, "memory", job->memory);
	lockstep_json_add_u64(o, "inputs", job->nr_inputs);
	lockstep_json_add_u64(o, "maps", job->nr_maps);
	lockstep_json_add_str(o, "state", states[job->state]);
	lockstep_json_add_str(o, "phase", check ? "check" : phases[job->phase]);
	if (*job->reason)
		lockstep_json_add_str(o, "reason", job->reason);
	lockstep_json_add_u64(o, "began", job->began_real);
	lockstep_json_add_u64(o, "elapsed_ms",
			      ((job->ended_ns ? job->ended_ns : now) - job->began_ns) / LOCKSTEP_NSEC_PER_MSEC);
}

struct json_object *mr_job_status(const struct mr_job *job)
{
	struct json_object *o = json_object_new_object();
	uint64_t now = lockstep_clock_ns();
	const struct mr_worker *w;
	struct json_object *array;

	if (!o)
		return NULL;
	add_head(job, o, now);
	array = add_array(o, "phases");
	add_phase(job, array, MR_PHASE_STAT, MR_KIND_STAT, now);
	add_phase(job, array, MR_PHASE_SAMPLE, MR_KIND_SAMPLE, now);
	add_phase(job, array, MR_PHASE_MAP, MR_KIND_MAP, now);
	if (job->reduces)
		add_phase(job, array, MR_PHASE_REDUCE, MR_KIND_REDUCE, now);
	array = add_array(o, "workers");
	TAILQ_FOREACH(w, &job->workers, all)
		add_worker(job, array, w, now);
	lockstep_json_add_u64(o, "failed_attempts", job->nr_failures);
	add_failures(job, o);
	json_object_object_add(o, "counters", mr_tallies_status(&job->counters));
	add_skipped(job, o);
	add_outputs(job, o);
	add_events(job, o);
	json_object_object_add(o, "scheduler", json_object_new_object());
	json_object_object_get_ex(o, "scheduler", &array);
	lockstep_json_add_u64(array, "bytes", mr_sched_memory(job->sched));
	return o;
}
