// SPDX-License-Identifier: GPL-2.0
/*
 * Simulates a large job in virtual time, with the coordinator's own scheduler and
 * its own state of maps and outputs.
 *
 *	mr-sim [--workers N] [--maps N] [--reduces N] [--killed PERCENT] [--seed N]
 *
 * The same job runs three times: undisturbed; with a part of the workers killed
 * half way through the maps, as processes (they come back, with their maps'
 * outputs); and with the same ones lost with their machines' disks: their maps are
 * made again, as in the paper's experiment. Prints the time each took, the
 * scheduler's processor time and the memory of its state.
 *
 * Durations: maps 4 to 6 s, reduces 80 to 120 s, and one task in 1,000 is a straggler
 * that takes four times as long. Workers that are killed are back 5 s later.
 */
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "coordinator/job_impl.h"

#define SECOND		1000000000ull
#define MAP_NS		(4 * SECOND)
#define MAP_SPREAD_NS	(2 * SECOND)
#define REDUCE_NS	(80 * SECOND)
#define REDUCE_SPREAD_NS (40 * SECOND)
#define STRAGGLERS	1000
#define STRAGGLE	4
#define RESTART_NS	(5 * SECOND)
#define CANCEL_NS	(SECOND / 100)
#define TIMEOUT_NS	(600 * SECOND)

enum loss { LOSS_NONE, LOSS_PROCESS, LOSS_MACHINE };

struct setup {
	uint32_t workers;
	uint32_t maps;
	uint32_t reduces;
	uint32_t killed;	/* percent */
	uint64_t seed;
};

enum what { EVENT_FINISH, EVENT_READY, EVENT_RETURN };

struct event_at {
	uint64_t when;
	enum what what;
	uint32_t machine;
	uint32_t life;		/* of its worker: others' events are void */
};

/* A machine runs one worker. */
struct machine {
	uint32_t slot;		/* MR_NONE: down */
	uint32_t life;
};

struct sim {
	const struct setup *setup;
	struct mr_job job;	/* only what holds maps and outputs */
	struct mr_sched *sched;
	struct machine *machines;
	uint32_t *machine_of;	/* by slot */
	struct event_at *heap;
	size_t nr_events;
	size_t room;
	uint64_t now;
	uint64_t cpu_ns;
	uint64_t calls;
	uint64_t began_cpu;
	uint64_t maps_run;
};

static void *allocate(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p) {
		fputs("mr-sim: out of memory\n", stderr);
		exit(1);
	}
	return p;
}

/* Chance hangs on the attempt alone, so that runs can be compared. */
static uint64_t chance(const struct sim *s, const struct mr_decision *d)
{
	uint64_t x = s->setup->seed << 56 ^ (uint64_t)d->kind << 52 ^ (uint64_t)d->attempt << 40 ^ d->task;

	x += 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* ---- the scheduler's processor time ---- */

static uint64_t cpu_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
}

static void enter(struct sim *s)
{
	s->began_cpu = cpu_now();
}

static void leave(struct sim *s)
{
	s->cpu_ns += cpu_now() - s->began_cpu;
	s->calls++;
}

/* ---- events: a heap, the earliest first ---- */

static void event_push(struct sim *s, uint64_t when, enum what what, uint32_t machine)
{
	size_t i = s->nr_events++;
	struct event_at e = { when, what, machine, s->machines[machine].life };

	if (s->nr_events > s->room) {
		s->room = s->room ? s->room * 2 : 1024;
		s->heap = realloc(s->heap, s->room * sizeof(*s->heap));
		if (!s->heap)
			exit(1);
	}
	for (; i && s->heap[(i - 1) / 2].when > when; i = (i - 1) / 2)
		s->heap[i] = s->heap[(i - 1) / 2];
	s->heap[i] = e;
}

static struct event_at event_pop(struct sim *s)
{
	struct event_at first = s->heap[0], last = s->heap[--s->nr_events];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < s->nr_events) {
		if (child + 1 < s->nr_events && s->heap[child + 1].when < s->heap[child].when)
			child++;
		if (last.when <= s->heap[child].when)
			break;
		s->heap[i] = s->heap[child];
		i = child;
	}
	s->heap[i] = last;
	return first;
}

/* ---- workers ---- */

static void worker_start(struct sim *s, uint32_t m)
{
	uint32_t slot;

	enter(s);
	if (mr_sched_worker_add(s->sched, m, &slot))
		exit(1);
	mr_sched_worker_ready(s->sched, slot, s->now);
	leave(s);
	s->machines[m].slot = slot;
	s->machine_of[slot] = m;
}

static void worker_kill(struct sim *s, uint32_t m, enum loss loss)
{
	enter(s);
	mr_sched_worker_gone(s->sched, s->machines[m].slot, s->now);
	if (loss == LOSS_MACHINE)
		mr_sched_node_lost(s->sched, m, s->now);
	leave(s);
	s->machines[m].slot = MR_NONE;
	s->machines[m].life++;
	event_push(s, s->now + RESTART_NS, EVENT_RETURN, m);
}

/* What a coordinator keeps of a map: with its path, totals and three counters. */
static void map_keep(struct sim *s, uint32_t map, uint32_t attempt)
{
	static Mr__Counter counters[3], *list[3] = { &counters[0], &counters[1], &counters[2] };
	static char * const names[] = { "records", "words", "bad" };
	Mr__AttemptId id = MR__ATTEMPT_ID__INIT;
	Mr__Totals totals = MR__TOTALS__INIT;
	Mr__Run run = MR__RUN__INIT;
	char path[128];
	unsigned int i;

	for (i = 0; i < 3; i++) {
		mr__counter__init(&counters[i]);
		counters[i].group = (char *)"application";
		counters[i].name = names[i];
		counters[i].value = map;
	}
	snprintf(path, sizeof(path), "/var/lib/lockstep/mapreduce/0123456789abcdef0123456789abcdef/run-%u-%u-1", map,
		 attempt);
	id.number = map;
	id.attempt = attempt;
	id.epoch = 1;
	run.id = &id;
	run.path = path;
	if (mr_map_set(&s->job, map, 0, &run, &totals, list, 3))
		exit(1);
}

static void finish(struct sim *s, uint32_t m)
{
	uint32_t slot = s->machines[m].slot, task, attempt;
	enum mr_kind kind;

	if (!mr_sched_running(s->sched, slot, &kind, &task, &attempt))
		return;
	enter(s);
	if (mr_sched_done(s->sched, kind, task, slot, s->now) && kind == MR_KIND_MAP) {
		leave(s);
		map_keep(s, task, attempt);
		enter(s);
	}
	mr_sched_worker_ready(s->sched, slot, s->now);
	leave(s);
}

static uint64_t duration(const struct sim *s, const struct mr_decision *d)
{
	uint64_t x = chance(s, d);
	uint64_t ns = d->kind == MR_KIND_MAP ? MAP_NS + x % MAP_SPREAD_NS : REDUCE_NS + x % REDUCE_SPREAD_NS;

	return (x >> 40) % STRAGGLERS ? ns : ns * STRAGGLE;
}

static void decide(struct sim *s)
{
	struct mr_decision d;
	bool more;

	for (;;) {
		enter(s);
		more = mr_sched_next(s->sched, s->now, &d);
		leave(s);
		if (!more)
			return;
		if (d.type == MR_DECISION_FAIL) {
			fputs("mr-sim: the job failed\n", stderr);
			exit(1);
		}
		if (d.type == MR_DECISION_CANCEL) {
			/* What it ran is void. */
			s->machines[s->machine_of[d.worker]].life++;
			event_push(s, s->now + CANCEL_NS, EVENT_READY, s->machine_of[d.worker]);
			continue;
		}
		s->maps_run += d.kind == MR_KIND_MAP;
		event_push(s, s->now + duration(s, &d), EVENT_FINISH, s->machine_of[d.worker]);
	}
}

static void happen(struct sim *s, const struct event_at *e)
{
	if (e->life != s->machines[e->machine].life)
		return;
	switch (e->what) {
	case EVENT_FINISH:
		finish(s, e->machine);
		break;
	case EVENT_READY:
		enter(s);
		mr_sched_worker_ready(s->sched, s->machines[e->machine].slot, s->now);
		leave(s);
		break;
	case EVENT_RETURN:
		worker_start(s, e->machine);
		break;
	}
}

/* ---- a run ---- */

static void sim_init(struct sim *s, const struct setup *setup)
{
	struct mr_sched_config rules = { .timeout_ns = TIMEOUT_NS, .backup = true };
	uint32_t i;

	memset(s, 0, sizeof(*s));
	s->setup = setup;
	s->machines = allocate(setup->workers, sizeof(*s->machines));
	s->machine_of = allocate(setup->workers * 4ull + 64, sizeof(*s->machine_of));
	s->job.reduces = setup->reduces;
	s->job.maps = allocate(setup->maps, sizeof(*s->job.maps));
	s->job.nr_maps = setup->maps;
	s->job.outs = allocate(setup->reduces, sizeof(*s->job.outs));
	mr__totals__init(&s->job.sums[0]);
	mr__totals__init(&s->job.sums[1]);
	if (mr_sched_create(&rules, &s->sched) || mr_sched_add_tasks(s->sched, MR_KIND_MAP, setup->maps) ||
	    mr_sched_add_tasks(s->sched, MR_KIND_REDUCE, setup->reduces))
		exit(1);
	for (i = 0; i < setup->maps; i++)
		mr_sched_prefer(s->sched, i, i % setup->workers);
	for (i = 0; i < setup->workers; i++)
		worker_start(s, i);
}

static void sim_exit(struct sim *s)
{
	uint32_t i;

	for (i = 0; i < s->job.nr_maps; i++)
		mr_map_exit(&s->job.maps[i]);
	free(s->job.maps);
	free(s->job.outs);
	mr_sched_destroy(s->sched);
	free(s->machines);
	free(s->machine_of);
	free(s->heap);
}

struct outcome {
	double seconds;
	double cpu;
	double megabytes;
	uint64_t calls;
	uint64_t maps_run;
};

static struct outcome run(const struct setup *setup, enum loss loss)
{
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
	uint32_t i, kill = loss == LOSS_NONE ? 0 : (uint32_t)((uint64_t)setup->workers * setup->killed / 100);
	struct mr_sched_count count;
	struct outcome out;
	struct event_at e;
	struct sim s;

	sim_init(&s, setup);
	decide(&s);
	while (!mr_sched_all_done(s.sched, MR_KIND_MAP) || !mr_sched_all_done(s.sched, MR_KIND_REDUCE)) {
		if (!s.nr_events) {
			fputs("mr-sim: nothing happens any more\n", stderr);
			exit(1);
		}
		e = event_pop(&s);
		s.now = e.when;
		happen(&s, &e);
		mr_sched_count(s.sched, MR_KIND_MAP, &count);
		if (kill && count.done >= setup->maps / 2) {
			/* Evenly over all machines; those that are down at the moment are dead already. */
			for (i = 0; i < kill; i++)
				worker_kill(&s, (uint32_t)((uint64_t)i * setup->workers / kill), loss);
			kill = 0;
		}
		decide(&s);
	}
	out = (struct outcome) {
		.seconds = (double)s.now / SECOND, .cpu = (double)s.cpu_ns / SECOND, .calls = s.calls,
		.maps_run = s.maps_run,
		.megabytes = (double)(mallinfo2().uordblks + mallinfo2().hblkhd - before -
				      s.room * sizeof(*s.heap)) / (1 << 20),
	};
	sim_exit(&s);
	mr_tallies_exit(&s.job.counters);
	return out;
}

static void print(const char *name, const struct outcome *o, const struct outcome *base)
{
	printf("%-34s %7.1f s %+6.1f %%  %8" PRIu64 " maps run  scheduler %5.2f s CPU (%4.2f us a call)  state %5.1f MB\n", name,
	       o->seconds, 100 * (o->seconds / base->seconds - 1), o->maps_run, o->cpu,
	       o->cpu * 1e6 / (double)o->calls, o->megabytes);
}

static int parse(struct setup *setup, int argc, char **argv)
{
	static const struct option options[] = {
		{ "workers", required_argument, NULL, 'w' },	{ "maps", required_argument, NULL, 'm' },
		{ "reduces", required_argument, NULL, 'r' },	{ "killed", required_argument, NULL, 'k' },
		{ "seed", required_argument, NULL, 's' },	{ NULL, 0, NULL, 0 }
	};
	uint32_t n;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		n = c == '?' ? 0 : (uint32_t)strtoul(optarg, NULL, 10);
		if (c == 'w')
			setup->workers = n;
		else if (c == 'm')
			setup->maps = n;
		else if (c == 'r')
			setup->reduces = n;
		else if (c == 'k')
			setup->killed = n;
		else if (c == 's')
			setup->seed = n;
		else
			return -1;
	}
	return optind == argc && setup->workers && setup->maps && setup->killed < 100 ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct setup setup = { .workers = 2000, .maps = 200000, .reduces = 5000, .killed = 11, .seed = 1 };
	struct outcome calm, killed, lost;

	if (parse(&setup, argc, argv)) {
		fputs("Usage: mr-sim [--workers N] [--maps N] [--reduces N] [--killed PERCENT] [--seed N]\n", stderr);
		return 2;
	}
	printf("%u workers, %u maps, %u reduces, %u %% of the workers killed, seed %" PRIu64 "\n", setup.workers,
	       setup.maps, setup.reduces, setup.killed, setup.seed);
	calm = run(&setup, LOSS_NONE);
	print("undisturbed", &calm, &calm);
	killed = run(&setup, LOSS_PROCESS);
	print("workers killed", &killed, &calm);
	lost = run(&setup, LOSS_MACHINE);
	print("killed, their maps' outputs lost", &lost, &calm);
	return 0;
}
