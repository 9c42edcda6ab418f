// SPDX-License-Identifier: GPL-2.0
#include "coordinator/sched.h"

#include <errno.h>
#include <stdlib.h>

#include "coordinator/list.h"

#define BACKUP_MIN_NS	1000000000ull	/* a task that takes less is not worth a second attempt */
#define OVERLAP_PERCENT	95

enum task_state {
	TASK_IDLE	= 0,
	TASK_RESTING	= 1,	/* idle, but not before task.since */
	TASK_RUNNING	= 2,
	TASK_DONE	= 3,
};

enum worker_state {
	WORKER_FREE	= 0,	/* a slot without a worker */
	WORKER_BUSY	= 1,
	WORKER_IDLE	= 2,
	WORKER_RESTING	= 3,	/* idle, but not before worker.since */
};

struct task {
	uint64_t since;		/* running: its last grant; resting: until */
	uint64_t publish;	/* when publisher was allowed to */
	uint64_t bad_record;
	struct link all;	/* in the set's list of its state */
	struct link local;	/* idle: in its node's list */
	uint32_t node;		/* of its split */
	uint32_t where;		/* done: node of its output */
	uint32_t publisher;
	uint32_t runner;	/* first worker that runs it */
	uint32_t attempts;
	uint16_t user;		/* failures */
	uint16_t input;
	uint16_t system;
	uint8_t fetch;
	uint8_t bad;		/* failures at bad_record */
	uint8_t state;
};

struct worker {
	uint64_t since;		/* of its grant; resting: until */
	struct link all;	/* idle, resting, or to be cancelled */
	uint32_t node;
	uint32_t task;		/* what it was granted last, or MR_NONE */
	uint32_t attempt;
	uint32_t next_runner;	/* of the same task */
	uint16_t system;	/* failures in a row */
	uint8_t kind;
	uint8_t state;
	bool attached;		/* it is one of its task's runners */
	bool cancel;		/* it is in the list of cancels */
	bool yielding;		/* cancelled for an idle map's sake */
};

struct set {
	struct task *tasks;
	uint32_t count;
	uint32_t done;
	struct list idle;
	struct list resting;
	struct list running;	/* the longest since its last grant first */
	uint64_t took_ns;	/* of all that are done by their grantee */
	uint32_t took;
};

struct mr_sched {
	struct mr_sched_config config;
	struct set sets[MR_KIND_MAX + 1];
	struct worker *workers;
	uint32_t nr_workers;
	struct list idle;
	struct list resting;
	struct list cancels;
	struct list free;
	struct list *nodes;	/* idle maps with their split there */
	uint32_t nr_nodes;
	uint32_t skipped;
	uint32_t yielding;
	bool stopped;
	bool failed;
	struct mr_decision failure;
};

static const enum mr_kind order[] = { MR_KIND_STAT, MR_KIND_SAMPLE, MR_KIND_MAP, MR_KIND_REDUCE };

#define ORDER_COUNT	(sizeof(order) / sizeof(order[0]))

#define TASKS_ALL(set)		&(set)->tasks->all, sizeof(struct task)
#define TASKS_LOCAL(set)	&(set)->tasks->local, sizeof(struct task)
#define WORKERS_ALL(s)		&(s)->workers->all, sizeof(struct worker)

int mr_sched_create(const struct mr_sched_config *config, struct mr_sched **sched)
{
	struct mr_sched *s = calloc(1, sizeof(*s));
	unsigned int k;

	if (!s)
		return -ENOMEM;
	s->config = *config;
	for (k = 0; k <= MR_KIND_MAX; k++) {
		list_init(&s->sets[k].idle);
		list_init(&s->sets[k].resting);
		list_init(&s->sets[k].running);
	}
	list_init(&s->idle);
	list_init(&s->resting);
	list_init(&s->cancels);
	list_init(&s->free);
	*sched = s;
	return 0;
}

void mr_sched_destroy(struct mr_sched *s)
{
	unsigned int k;

	if (!s)
		return;
	for (k = 0; k <= MR_KIND_MAX; k++)
		free(s->sets[k].tasks);
	free(s->workers);
	free(s->nodes);
	free(s);
}

/* ---- tasks ---- */

static struct list *task_list(struct set *set, const struct task *t)
{
	switch ((enum task_state)t->state) {
	case TASK_IDLE:
		return &set->idle;
	case TASK_RESTING:
		return &set->resting;
	case TASK_RUNNING:
		return &set->running;
	case TASK_DONE:
		break;
	}
	return NULL;
}

static void task_leave(struct mr_sched *s, struct set *set, uint32_t task)
{
	struct task *t = &set->tasks[task];
	struct list *list = task_list(set, t);

	if (list)
		list_del(list, TASKS_ALL(set), task);
	else
		set->done--;
	if (t->state == TASK_IDLE && t->node != MR_NONE)
		list_del(&s->nodes[t->node], TASKS_LOCAL(set), task);
}

static void task_enter(struct mr_sched *s, struct set *set, uint32_t task, enum task_state state)
{
	struct task *t = &set->tasks[task];
	struct list *list;

	t->state = (uint8_t)state;
	list = task_list(set, t);
	if (list)
		list_add(list, TASKS_ALL(set), task);
	else
		set->done++;
	if (state == TASK_IDLE && t->node != MR_NONE)
		list_add(&s->nodes[t->node], TASKS_LOCAL(set), task);
}

static void task_move(struct mr_sched *s, struct set *set, uint32_t task, enum task_state state)
{
	task_leave(s, set, task);
	task_enter(s, set, task, state);
}

int mr_sched_add_tasks(struct mr_sched *s, enum mr_kind kind, uint32_t count)
{
	struct set *set = &s->sets[kind];
	uint32_t i;

	set->tasks = calloc(count ? count : 1, sizeof(*set->tasks));
	if (!set->tasks)
		return -ENOMEM;
	set->count = count;
	for (i = 0; i < count; i++) {
		struct task *t = &set->tasks[i];

		t->node = MR_NONE;
		t->where = MR_NONE;
		t->publisher = MR_NONE;
		t->runner = MR_NONE;
		task_enter(s, set, i, TASK_IDLE);
	}
	return 0;
}

static int nodes_reserve(struct mr_sched *s, uint32_t node)
{
	struct list *nodes;

	if (node < s->nr_nodes)
		return 0;
	nodes = realloc(s->nodes, (node + 1ull) * 2 * sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	s->nodes = nodes;
	for (; s->nr_nodes < (node + 1) * 2; s->nr_nodes++)
		list_init(&s->nodes[s->nr_nodes]);
	return 0;
}

void mr_sched_prefer(struct mr_sched *s, uint32_t map, uint32_t node)
{
	struct set *set = &s->sets[MR_KIND_MAP];
	struct task *t = &set->tasks[map];

	/* Without memory for it, the map just prefers nobody. */
	if (t->state != TASK_IDLE || nodes_reserve(s, node))
		return;
	task_leave(s, set, map);
	t->node = node;
	task_enter(s, set, map, TASK_IDLE);
}

void mr_sched_restore_done(struct mr_sched *s, enum mr_kind kind, uint32_t task, uint32_t node)
{
	struct set *set = &s->sets[kind];

	if (set->tasks[task].state == TASK_DONE)
		return;
	set->tasks[task].where = node;
	task_move(s, set, task, TASK_DONE);
}

void mr_sched_restore_skipped(struct mr_sched *s, uint32_t records)
{
	s->skipped += records;
}

void mr_sched_stop(struct mr_sched *s)
{
	s->stopped = true;
}

/* ---- workers ---- */

static void worker_leave(struct mr_sched *s, uint32_t worker)
{
	struct worker *w = &s->workers[worker];

	if (w->state == WORKER_IDLE)
		list_del(&s->idle, WORKERS_ALL(s), worker);
	else if (w->state == WORKER_RESTING)
		list_del(&s->resting, WORKERS_ALL(s), worker);
	else if (w->cancel)
		list_del(&s->cancels, WORKERS_ALL(s), worker);
	w->cancel = false;
	w->state = WORKER_BUSY;
}

static void worker_cancel(struct mr_sched *s, uint32_t worker)
{
	struct worker *w = &s->workers[worker];

	if (w->state != WORKER_BUSY || w->cancel)
		return;
	w->cancel = true;
	list_add(&s->cancels, WORKERS_ALL(s), worker);
}

/* It no longer is one of its task's runners; the task is idle, or rests until @until, if it was the last. */
static void worker_detach(struct mr_sched *s, uint32_t worker, uint64_t until, uint64_t now)
{
	struct worker *w = &s->workers[worker];
	struct set *set = &s->sets[w->kind];
	struct task *t;
	uint32_t *at;

	if (!w->attached)
		return;
	w->attached = false;
	t = &set->tasks[w->task];
	for (at = &t->runner; *at != worker; at = &s->workers[*at].next_runner)
		;
	*at = w->next_runner;
	if (t->state != TASK_RUNNING || t->runner != MR_NONE)
		return;
	task_leave(s, set, w->task);
	t->since = until;
	task_enter(s, set, w->task, until > now ? TASK_RESTING : TASK_IDLE);
}

static void worker_clear(struct mr_sched *s, uint32_t worker)
{
	struct worker *w = &s->workers[worker];

	if (w->yielding)
		s->yielding--;
	w->yielding = false;
	w->task = MR_NONE;
}

int mr_sched_worker_add(struct mr_sched *s, uint32_t node, uint32_t *worker)
{
	struct worker *workers;
	uint32_t i, n;
	int err;

	err = nodes_reserve(s, node);
	if (err)
		return err;
	if (!s->free.count) {
		n = s->nr_workers ? s->nr_workers * 2 : 16;
		workers = realloc(s->workers, n * sizeof(*workers));
		if (!workers)
			return -ENOMEM;
		s->workers = workers;
		for (i = s->nr_workers; i < n; i++) {
			s->workers[i] = (struct worker) { .state = WORKER_FREE };
			list_add(&s->free, WORKERS_ALL(s), i);
		}
		s->nr_workers = n;
	}
	i = s->free.head;
	list_del(&s->free, WORKERS_ALL(s), i);
	s->workers[i] = (struct worker) { .state = WORKER_BUSY, .node = node, .task = MR_NONE };
	*worker = i;
	return 0;
}

void mr_sched_worker_gone(struct mr_sched *s, uint32_t worker, uint64_t now)
{
	struct worker *w = &s->workers[worker];
	struct task *t;

	worker_leave(s, worker);
	worker_detach(s, worker, 0, now);
	if (w->task != MR_NONE) {
		t = &s->sets[w->kind].tasks[w->task];
		t->publisher = t->publisher == worker ? MR_NONE : t->publisher;
	}
	worker_clear(s, worker);
	w->state = WORKER_FREE;
	list_add(&s->free, WORKERS_ALL(s), worker);
}

void mr_sched_worker_ready(struct mr_sched *s, uint32_t worker, uint64_t now)
{
	struct worker *w = &s->workers[worker];

	worker_leave(s, worker);
	worker_detach(s, worker, 0, now);
	worker_clear(s, worker);
	w->state = w->system && w->since > now ? WORKER_RESTING : WORKER_IDLE;
	list_add(w->state == WORKER_IDLE ? &s->idle : &s->resting, WORKERS_ALL(s), worker);
}

static void map_redo(struct mr_sched *s, uint32_t map)
{
	struct set *set = &s->sets[MR_KIND_MAP];
	struct task *t = &set->tasks[map];

	t->where = MR_NONE;
	t->publisher = MR_NONE;
	t->fetch = 0;
	task_move(s, set, map, TASK_IDLE);
}

void mr_sched_node_lost(struct mr_sched *s, uint32_t node, uint64_t now)
{
	struct set *maps = &s->sets[MR_KIND_MAP];
	struct set *reduces = &s->sets[MR_KIND_REDUCE];
	uint32_t i;

	(void)now;
	/* Nobody needs them once all reduces are done; without reduces they are outputs. */
	if (reduces->done == reduces->count)
		return;
	for (i = 0; i < maps->count; i++) {
		if (maps->tasks[i].state == TASK_DONE && maps->tasks[i].where == node)
			map_redo(s, i);
	}
}

/* ---- attempts ---- */

bool mr_sched_commit(struct mr_sched *s, enum mr_kind kind, uint32_t task, uint32_t worker, uint64_t now)
{
	struct task *t = &s->sets[kind].tasks[task];

	if (t->state == TASK_DONE)
		return false;
	if (t->publisher != MR_NONE && t->publisher != worker && now - t->publish < s->config.timeout_ns)
		return false;
	t->publisher = worker;
	t->publish = now;
	/* It may not have been granted, after a restart: then it counts as if it had. */
	if (s->workers[worker].task == MR_NONE) {
		s->workers[worker].kind = (uint8_t)kind;
		s->workers[worker].task = task;
	}
	return true;
}

bool mr_sched_done(struct mr_sched *s, enum mr_kind kind, uint32_t task, uint32_t worker, uint64_t now)
{
	struct set *set = &s->sets[kind];
	struct task *t = &set->tasks[task];
	struct worker *w = &s->workers[worker];
	uint32_t i, next;

	if (t->state == TASK_DONE)
		return false;
	if (w->attached && w->kind == kind && w->task == task) {
		set->took_ns += now - w->since;
		set->took++;
	}
	w->system = 0;
	task_move(s, set, task, TASK_DONE);
	t->where = w->node;
	for (i = t->runner; i != MR_NONE; i = next) {
		next = s->workers[i].next_runner;
		worker_detach(s, i, 0, now);
		if (i != worker)
			worker_cancel(s, i);
	}
	return true;
}

static uint64_t rest_ns(unsigned int failures)
{
	uint64_t ns = MR_REST_MIN_NS;

	while (--failures && ns < MR_REST_MAX_NS)
		ns *= 2;
	return ns < MR_REST_MAX_NS ? ns : MR_REST_MAX_NS;
}

static void job_fail(struct mr_sched *s, enum mr_kind kind, uint32_t task)
{
	if (s->failed || s->stopped)
		return;
	s->failed = true;
	s->failure = (struct mr_decision) {
		.type = MR_DECISION_FAIL, .kind = kind, .task = task, .worker = MR_NONE,
	};
}

/* Return: the record is bad. */
static bool user_failed(struct mr_sched *s, struct task *t, uint64_t record)
{
	if (t->user < UINT16_MAX)
		t->user++;
	if (record == UINT64_MAX)
		return false;
	if (!t->bad || t->bad_record != record) {
		t->bad_record = record;
		t->bad = 0;
	}
	if (t->bad < 2)
		t->bad++;
	if (t->bad < 2 || s->skipped >= s->config.skip_max)
		return false;
	s->skipped++;
	t->bad = 0;
	t->user = 0;
	return true;
}

bool mr_sched_failed(struct mr_sched *s, uint32_t worker, enum mr_fault fault, uint64_t record, uint64_t now)
{
	struct worker *w = &s->workers[worker];
	enum mr_kind kind = w->kind;
	uint32_t task = w->task;
	uint64_t until = 0;
	bool skip = false;
	struct task *t;

	if (task == MR_NONE)
		return false;
	t = &s->sets[kind].tasks[task];
	if (t->publisher == worker)
		t->publisher = MR_NONE;
	if (t->state != TASK_DONE) {
		switch (fault) {
		case MR_FAULT_NONE:
			break;
		case MR_FAULT_USER:
			skip = user_failed(s, t, record);
			if (s->config.attempts_max && t->user >= s->config.attempts_max)
				job_fail(s, kind, task);
			if (t->user > 1)
				until = now + rest_ns(t->user - 1);
			break;
		case MR_FAULT_INPUT:
			if (++t->input >= MR_INPUT_FAILURES_MAX)
				job_fail(s, kind, task);
			until = now + rest_ns(t->input);
			break;
		case MR_FAULT_SYSTEM:
			if (++t->system >= MR_SYSTEM_FAILURES_MAX)
				job_fail(s, kind, task);
			until = now + rest_ns(t->system);
			break;
		}
	}
	worker_detach(s, worker, until, now);
	worker_clear(s, worker);
	if (fault == MR_FAULT_SYSTEM) {
		w->system++;
		w->since = now + rest_ns(w->system);
	}
	return skip;
}

void mr_sched_dropped(struct mr_sched *s, uint32_t worker, uint64_t now)
{
	mr_sched_failed(s, worker, MR_FAULT_NONE, 0, now);
}

bool mr_sched_fetch_failed(struct mr_sched *s, uint32_t map, uint64_t now)
{
	struct task *t = &s->sets[MR_KIND_MAP].tasks[map];

	(void)now;
	if (t->state != TASK_DONE || ++t->fetch < MR_FETCH_FAILURES_MAX)
		return false;
	map_redo(s, map);
	return true;
}

/* ---- decisions ---- */

static bool in_play(const struct mr_sched *s, enum mr_kind kind)
{
	const struct set *maps = &s->sets[MR_KIND_MAP];

	if (kind != MR_KIND_REDUCE || maps->done == maps->count)
		return true;
	/* Half of the workers stay free, for second attempts of the last maps. */
	return s->config.overlap && !maps->idle.count && !maps->resting.count &&
	       s->sets[kind].running.count < (s->nr_workers - s->free.count + 1) / 2 &&
	       (uint64_t)maps->done * 100 >= (uint64_t)maps->count * OVERLAP_PERCENT;
}

static void wake(struct mr_sched *s, uint64_t now)
{
	uint32_t i, next;
	unsigned int k;

	for (k = 0; k < ORDER_COUNT; k++) {
		struct set *set = &s->sets[order[k]];

		for (i = set->resting.head; i != MR_NONE; i = next) {
			next = set->tasks[i].all.next;
			if (set->tasks[i].since <= now)
				task_move(s, set, i, TASK_IDLE);
		}
	}
	for (i = s->resting.head; i != MR_NONE; i = next) {
		next = s->workers[i].all.next;
		if (s->workers[i].since > now)
			continue;
		worker_leave(s, i);
		s->workers[i].state = WORKER_IDLE;
		list_add(&s->idle, WORKERS_ALL(s), i);
	}
}

static uint64_t backup_after(const struct set *set)
{
	uint64_t mean = set->took ? set->took_ns / set->took : 0;

	return mean * 3 / 2 > BACKUP_MIN_NS ? mean * 3 / 2 : BACKUP_MIN_NS;
}

/* The first running task that nobody makes a backup of and that has run long enough. */
static uint32_t backup_pick(const struct mr_sched *s, const struct set *set, uint64_t now, uint64_t *when)
{
	uint64_t after = backup_after(set);
	uint32_t i;

	*when = UINT64_MAX;
	if (!s->config.backup || set->idle.count || set->resting.count || !set->took)
		return MR_NONE;
	for (i = set->running.head; i != MR_NONE; i = set->tasks[i].all.next) {
		const struct task *t = &set->tasks[i];

		if (s->workers[t->runner].next_runner != MR_NONE)
			continue;
		*when = t->since + after;
		return *when <= now ? i : MR_NONE;
	}
	return MR_NONE;
}

static uint32_t pick(const struct mr_sched *s, uint32_t node, uint64_t now, enum mr_kind *kind)
{
	const struct set *set;
	uint64_t when;
	uint32_t task;
	unsigned int k;

	for (k = 0; k < ORDER_COUNT; k++) {
		*kind = order[k];
		set = &s->sets[*kind];
		if (!set->idle.count || !in_play(s, *kind))
			continue;
		if (*kind == MR_KIND_MAP && s->nodes[node].count)
			return s->nodes[node].head;
		return set->idle.head;
	}
	for (k = 0; k < ORDER_COUNT; k++) {
		*kind = order[k];
		set = &s->sets[*kind];
		if (set->running.count && set->tasks[set->running.head].since + s->config.timeout_ns <= now)
			return set->running.head;
	}
	for (k = 0; k < ORDER_COUNT; k++) {
		*kind = order[k];
		task = backup_pick(s, &s->sets[*kind], now, &when);
		if (task != MR_NONE)
			return task;
	}
	return MR_NONE;
}

static void grant(struct mr_sched *s, uint32_t worker, enum mr_kind kind, uint32_t task, uint64_t now,
		  struct mr_decision *d)
{
	struct set *set = &s->sets[kind];
	struct task *t = &set->tasks[task];
	struct worker *w = &s->workers[worker];

	worker_leave(s, worker);
	task_move(s, set, task, TASK_RUNNING);
	t->since = now;
	w->since = now;
	w->kind = (uint8_t)kind;
	w->task = task;
	w->attempt = t->attempts++;
	w->attached = true;
	w->next_runner = t->runner;
	t->runner = worker;
	*d = (struct mr_decision) { MR_DECISION_GRANT, kind, task, w->attempt, worker };
}

/* Reduces that wait for a map must not keep all workers from running it. */
static void make_room(struct mr_sched *s, uint64_t now)
{
	struct set *maps = &s->sets[MR_KIND_MAP];
	struct set *reduces = &s->sets[MR_KIND_REDUCE];
	uint32_t worker;

	while (s->config.overlap && maps->idle.count > s->yielding && !maps->running.count && !s->idle.count &&
	       reduces->running.count) {
		worker = reduces->tasks[reduces->running.tail].runner;
		s->workers[worker].yielding = true;
		s->yielding++;
		worker_detach(s, worker, 0, now);
		worker_cancel(s, worker);
	}
}

bool mr_sched_next(struct mr_sched *s, uint64_t now, struct mr_decision *d)
{
	enum mr_kind kind;
	uint32_t worker, task;

	if (s->failed && !s->stopped) {
		*d = s->failure;
		s->stopped = true;
		return true;
	}
	if (s->stopped)
		return false;
	wake(s, now);
	make_room(s, now);
	if (s->cancels.count) {
		struct worker *w;

		worker = s->cancels.head;
		w = &s->workers[worker];
		list_del(&s->cancels, WORKERS_ALL(s), worker);
		w->cancel = false;
		*d = (struct mr_decision) { MR_DECISION_CANCEL, w->kind, w->task, w->attempt, worker };
		return true;
	}
	if (!s->idle.count)
		return false;
	worker = s->idle.head;
	/* What the first one can't get, nobody can. */
	task = pick(s, s->workers[worker].node, now, &kind);
	if (task == MR_NONE)
		return false;
	grant(s, worker, kind, task, now, d);
	return true;
}

uint64_t mr_sched_deadline(const struct mr_sched *s, uint64_t now)
{
	uint64_t when, first = UINT64_MAX;
	unsigned int k;
	uint32_t i;

	if (s->stopped)
		return first;
	for (i = s->resting.head; i != MR_NONE; i = s->workers[i].all.next)
		first = s->workers[i].since < first ? s->workers[i].since : first;
	if (!s->idle.count)
		return first;
	for (k = 0; k < ORDER_COUNT; k++) {
		const struct set *set = &s->sets[order[k]];

		for (i = set->resting.head; i != MR_NONE; i = set->tasks[i].all.next)
			first = set->tasks[i].since < first ? set->tasks[i].since : first;
		if (set->running.count) {
			when = set->tasks[set->running.head].since + s->config.timeout_ns;
			first = when < first ? when : first;
		}
		backup_pick(s, set, now, &when);
		first = when < first ? when : first;
	}
	return first;
}

/* ---- state ---- */

void mr_sched_count(const struct mr_sched *s, enum mr_kind kind, struct mr_sched_count *count)
{
	const struct set *set = &s->sets[kind];

	*count = (struct mr_sched_count) {
		.total = set->count,
		.idle = set->idle.count + set->resting.count,
		.running = set->running.count,
		.done = set->done,
	};
}

bool mr_sched_all_done(const struct mr_sched *s, enum mr_kind kind)
{
	return s->sets[kind].done == s->sets[kind].count;
}

bool mr_sched_is_done(const struct mr_sched *s, enum mr_kind kind, uint32_t task)
{
	return s->sets[kind].tasks[task].state == TASK_DONE;
}

bool mr_sched_running(const struct mr_sched *s, uint32_t worker, enum mr_kind *kind, uint32_t *task,
		      uint32_t *attempt)
{
	const struct worker *w = &s->workers[worker];

	if (w->task == MR_NONE)
		return false;
	*kind = w->kind;
	*task = w->task;
	*attempt = w->attempt;
	return true;
}

size_t mr_sched_memory(const struct mr_sched *s)
{
	size_t bytes = sizeof(*s) + s->nr_workers * sizeof(*s->workers) + s->nr_nodes * sizeof(*s->nodes);
	unsigned int k;

	for (k = 0; k <= MR_KIND_MAX; k++)
		bytes += s->sets[k].count * sizeof(struct task);
	return bytes;
}
