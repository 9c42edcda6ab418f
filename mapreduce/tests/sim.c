// SPDX-License-Identifier: GPL-2.0
/*
 * The real scheduler in virtual time: a job, with and without workers that are killed.
 *
 *	sim [WORKERS MAPS REDUCES PERCENT-KILLED [SEED]]
 *
 * As in the paper's section 5.4 (200 of 1,746 workers, +5 % of time): a third of the
 * way through, the processes of some workers are killed; what they ran and the outputs
 * of their maps are lost; new ones are started on the same machines a few seconds later,
 * or, in a second run, never.
 *
 * A map takes 5 to 15 s, every thousandth ten times that (a straggler); a reduce
 * 20 to 40 s from the end of the last map, the first third of it fetching: what is lost
 * meanwhile it has to wait for.
 *
 * The state of a coordinator is measured with all that it keeps for each map and output,
 * not only the scheduler's.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "coordinator/job_impl.h"

#define SEC	1000000000ull
#define COUNTERS	8	/* of a task */

enum what {
	FINISH,
	KILL,
	RESTART,
	LOOK,		/* the scheduler's own deadline */
};

struct event {
	uint64_t at;
	enum what what;
	uint32_t node;
	uint64_t grant;		/* FINISH: of which grant */
};

struct machine {
	uint32_t slot;
	bool up;
	bool busy;
	bool waiting;		/* a reduce, for maps */
	uint64_t grant;
	uint64_t fetched;	/* a reduce: until when it fetches */
	struct mr_decision d;
};

struct sim {
	struct mr_sched *sched;
	uint64_t now;
	uint64_t random;
	uint32_t workers;
	uint32_t *node_of;	/* slot -> machine */
	struct machine *machines;
	struct event *heap;
	size_t nr;
	size_t room;
	uint64_t grants;
	uint64_t wasted;	/* grants beyond one for each task */
	uint64_t cpu_ns;
	uint64_t look_at;
};

static void *must(void *p)
{
	if (!p) {
		fputs("sim: out of memory\n", stderr);
		exit(1);
	}
	return p;
}

static uint64_t chance(struct sim *sim, uint64_t n)
{
	sim->random ^= sim->random << 13;
	sim->random ^= sim->random >> 7;
	sim->random ^= sim->random << 17;
	return sim->random % n;
}

/* ---- events ---- */

static void push(struct sim *sim, struct event e)
{
	size_t i = sim->nr++;

	if (sim->nr > sim->room) {
		sim->room = sim->nr * 2;
		sim->heap = must(realloc(sim->heap, sim->room * sizeof(e)));
	}
	for (; i && sim->heap[(i - 1) / 2].at > e.at; i = (i - 1) / 2)
		sim->heap[i] = sim->heap[(i - 1) / 2];
	sim->heap[i] = e;
}

static struct event pop(struct sim *sim)
{
	struct event first = sim->heap[0], last = sim->heap[--sim->nr];
	size_t i = 0, child;

	while ((child = i * 2 + 1) < sim->nr) {
		if (child + 1 < sim->nr && sim->heap[child + 1].at < sim->heap[child].at)
			child++;
		if (sim->heap[child].at >= last.at)
			break;
		sim->heap[i] = sim->heap[child];
		i = child;
	}
	sim->heap[i] = last;
	return first;
}

static uint64_t cpu(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * SEC + (uint64_t)ts.tv_nsec;
}

/* ---- tasks ---- */

static uint64_t map_ns(struct sim *sim)
{
	uint64_t ns = 5 * SEC + chance(sim, 10 * SEC);

	return chance(sim, 1000) ? ns : ns * 10;
}

static void begin_reduce(struct sim *sim, struct machine *m, uint32_t node)
{
	uint64_t ns = 20 * SEC + chance(sim, 20 * SEC);

	m->waiting = !mr_sched_all_done(sim->sched, MR_KIND_MAP);
	m->grant = ++sim->grants;
	if (m->waiting)
		return;
	m->fetched = sim->now + ns / 3;
	push(sim, (struct event) { sim->now + ns, FINISH, node, m->grant });
}

static void decide(struct sim *sim)
{
	struct mr_decision d;
	struct machine *m;
	uint64_t deadline, began = cpu();

	while (mr_sched_next(sim->sched, sim->now, &d)) {
		sim->cpu_ns += cpu() - began;
		m = &sim->machines[sim->node_of[d.worker]];
		if (d.type == MR_DECISION_CANCEL) {
			m->grant = ++sim->grants;
			m->busy = m->waiting = false;
			mr_sched_dropped(sim->sched, m->slot, sim->now);
			mr_sched_worker_ready(sim->sched, m->slot, sim->now);
			sim->wasted++;
		} else {
			m->busy = true;
			m->d = d;
			if (d.kind == MR_KIND_REDUCE) {
				begin_reduce(sim, m, sim->node_of[d.worker]);
			} else {
				m->grant = ++sim->grants;
				push(sim, (struct event) { sim->now + map_ns(sim), FINISH, sim->node_of[d.worker], m->grant });
			}
		}
		began = cpu();
	}
	deadline = mr_sched_deadline(sim->sched, sim->now);
	sim->cpu_ns += cpu() - began;
	if (deadline != UINT64_MAX && (sim->look_at <= sim->now || deadline < sim->look_at)) {
		sim->look_at = deadline > sim->now ? deadline : sim->now + 1;
		push(sim, (struct event) { sim->look_at, LOOK, 0, 0 });
	}
}

static void finish(struct sim *sim, uint32_t node)
{
	struct machine *m = &sim->machines[node];
	uint64_t began = cpu();
	uint32_t i;

	m->busy = false;
	mr_sched_done(sim->sched, m->d.kind, m->d.task, m->slot, sim->now);
	mr_sched_worker_ready(sim->sched, m->slot, sim->now);
	sim->cpu_ns += cpu() - began;
	if (m->d.kind != MR_KIND_MAP || !mr_sched_all_done(sim->sched, MR_KIND_MAP))
		return;
	for (i = 0; i < sim->workers; i++) {
		if (sim->machines[i].up && sim->machines[i].busy && sim->machines[i].waiting)
			begin_reduce(sim, &sim->machines[i], i);
	}
}

static void come(struct sim *sim, uint32_t node)
{
	struct machine *m = &sim->machines[node];

	if (mr_sched_worker_add(sim->sched, node, &m->slot))
		must(NULL);
	m->up = true;
	m->busy = m->waiting = false;
	sim->node_of[m->slot] = node;
	mr_sched_worker_ready(sim->sched, m->slot, sim->now);
}

static void kill_node(struct sim *sim, uint32_t node)
{
	struct machine *m = &sim->machines[node];
	uint64_t began = cpu();
	uint32_t i;

	if (!m->up)
		return;
	m->up = false;
	m->grant = ++sim->grants;
	mr_sched_worker_gone(sim->sched, m->slot, sim->now);
	mr_sched_node_lost(sim->sched, node, sim->now);
	sim->cpu_ns += cpu() - began;
	/* Who was still fetching waits for the lost maps. */
	for (i = 0; i < sim->workers && !mr_sched_all_done(sim->sched, MR_KIND_MAP); i++) {
		struct machine *r = &sim->machines[i];

		if (r->up && r->busy && !r->waiting && r->d.kind == MR_KIND_REDUCE && r->fetched > sim->now) {
			r->waiting = true;
			r->grant = ++sim->grants;
		}
	}
}

/* ---- a run ---- */

struct shape {
	uint32_t workers;
	uint32_t maps;
	uint32_t reduces;
	uint32_t kills;
	uint64_t kill_at;
	bool restart;
	uint64_t seed;
};

struct outcome {
	uint64_t ns;
	uint64_t cpu_ns;
	uint64_t wasted;
	uint64_t grants;
	size_t bytes;
};

static void sim_init(struct sim *sim, const struct shape *shape)
{
	struct mr_sched_config config = { .timeout_ns = 600 * SEC, .backup = true, .overlap = true, .attempts_max = 4 };
	uint32_t i;

	*sim = (struct sim) { .random = shape->seed * 2 + 1, .workers = shape->workers };
	sim->machines = must(calloc(shape->workers, sizeof(*sim->machines)));
	sim->node_of = must(calloc(shape->workers * 4, sizeof(*sim->node_of)));
	if (mr_sched_create(&config, &sim->sched) || mr_sched_add_tasks(sim->sched, MR_KIND_MAP, shape->maps) ||
	    mr_sched_add_tasks(sim->sched, MR_KIND_REDUCE, shape->reduces))
		must(NULL);
	for (i = 0; i < shape->maps; i++)
		mr_sched_prefer(sim->sched, i, (uint32_t)chance(sim, shape->workers));
	for (i = 0; i < shape->workers; i++)
		come(sim, i);
	for (i = 0; i < shape->kills; i++) {
		uint64_t at = shape->kill_at + chance(sim, 10 * SEC);
		uint32_t node = (uint32_t)((uint64_t)shape->workers * i / shape->kills);

		push(sim, (struct event) { at, KILL, node, 0 });
		if (shape->restart)
			push(sim, (struct event) { at + 5 * SEC, RESTART, node, 0 });
	}
}

static void run(const struct shape *shape, struct outcome *outcome)
{
	struct event e;
	struct sim sim;

	sim_init(&sim, shape);
	decide(&sim);
	while (!mr_sched_all_done(sim.sched, MR_KIND_REDUCE)) {
		if (!sim.nr) {
			fputs("sim: nothing more happens, and the job is not done\n", stderr);
			exit(1);
		}
		e = pop(&sim);
		sim.now = e.at;
		if (e.what == FINISH && sim.machines[e.node].grant == e.grant)
			finish(&sim, e.node);
		else if (e.what == KILL)
			kill_node(&sim, e.node);
		else if (e.what == RESTART)
			come(&sim, e.node);
		else if (e.what != LOOK)
			continue;
		decide(&sim);
	}
	outcome->ns = sim.now;
	outcome->cpu_ns = sim.cpu_ns;
	outcome->grants = sim.grants;
	outcome->wasted = sim.wasted;
	outcome->bytes = mr_sched_memory(sim.sched);
	mr_sched_destroy(sim.sched);
	free(sim.machines);
	free(sim.node_of);
	free(sim.heap);
}

/* ---- memory ---- */

static size_t resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	size_t total, pages = 0;

	if (!f || fscanf(f, "%zu %zu", &total, &pages) != 2)
		pages = 0;
	if (f)
		fclose(f);
	return pages * 4096;
}

/* What a job keeps besides the scheduler: for each map its split, run, totals and counters; for each output its commit. */
static size_t job_bytes(const struct shape *shape)
{
	struct mr_job *job = must(calloc(1, sizeof(*job)));
	char path[] = "/var/lib/lockstep/mr/.mr-work-01234567-89ab-cdef-0123-456789abcdef/12345.123456789012345/run-123456-0-1";
	Mr__Counter counter = MR__COUNTER__INIT, *counters[COUNTERS];
	Mr__AttemptId id = MR__ATTEMPT_ID__INIT;
	Mr__Commit commit = MR__COMMIT__INIT;
	Mr__Totals totals = MR__TOTALS__INIT;
	Mr__Run made = MR__RUN__INIT;
	size_t before = resident();
	char names[COUNTERS][16];
	Mr__Counter of[COUNTERS];
	uint32_t i;

	for (i = 0; i < COUNTERS; i++) {
		snprintf(names[i], sizeof(names[i]), "counter %u", i);
		of[i] = counter;
		of[i].group = (char *)"group";
		of[i].name = names[i];
		counters[i] = &of[i];
	}
	job->nr_maps = shape->maps;
	job->reduces = job->nr_outs = shape->reduces;
	job->maps = must(calloc(shape->maps, sizeof(*job->maps)));
	job->outs = must(calloc(shape->reduces, sizeof(*job->outs)));
	made.id = &id;
	made.path = path;
	for (i = 0; i < shape->maps; i++) {
		if (mr_map_set(job, i, 0, &made, &totals, counters, COUNTERS))
			must(NULL);
	}
	commit.id = &id;
	commit.path = path;
	commit.counters = counters;
	commit.n_counters = COUNTERS;
	for (i = 0; i < shape->reduces; i++) {
		id.number = i;
		if (mr_out_commit(job, "node", "/data/out", &commit) ||
		    mr_out_done(job, i, "node", "/data/out", 0, &totals))
			must(NULL);
	}
	before = resident() - before;
	for (i = 0; i < shape->maps; i++)
		mr_map_exit(&job->maps[i]);
	for (i = 0; i < shape->reduces; i++)
		mr_out_exit(&job->outs[i]);
	mr_tallies_exit(&job->counters);
	free(job->maps);
	free(job->outs);
	free(job);
	return before;
}

static void tell(const char *name, const struct outcome *o, const struct outcome *base)
{
	printf("%s: %.1f s (%+.1f %%), grants %" PRIu64 ", cancelled %" PRIu64 ", scheduler %.2f s of CPU\n", name,
	       (double)o->ns / SEC, 100.0 * ((double)o->ns / (double)base->ns - 1), o->grants, o->wasted,
	       (double)o->cpu_ns / SEC);
}

int main(int argc, char **argv)
{
	struct shape shape = { .workers = 2000, .maps = 200000, .reduces = 5000, .seed = 1 };
	struct outcome base, restarted, gone;
	unsigned long percent = 11;
	size_t bytes;

	if (argc >= 5) {
		shape.workers = (uint32_t)strtoul(argv[1], NULL, 10);
		shape.maps = (uint32_t)strtoul(argv[2], NULL, 10);
		shape.reduces = (uint32_t)strtoul(argv[3], NULL, 10);
		percent = strtoul(argv[4], NULL, 10);
	}
	if (argc > 5)
		shape.seed = strtoull(argv[5], NULL, 10);
	bytes = job_bytes(&shape);
	run(&shape, &base);
	shape.kills = (uint32_t)(shape.workers * percent / 100);
	shape.kill_at = base.ns / 3;
	shape.restart = true;
	run(&shape, &restarted);
	shape.restart = false;
	run(&shape, &gone);
	printf("workers %u, maps %u, reduces %u, killed %u, seed %" PRIu64 "\n", shape.workers, shape.maps,
	       shape.reduces, shape.kills, shape.seed);
	tell("undisturbed", &base, &base);
	tell("killed and started again", &restarted, &base);
	tell("killed for good", &gone, &base);
	printf("state: scheduler %.1f MB, job %.1f MB\n", (double)restarted.bytes / 1e6, (double)bytes / 1e6);
	return 0;
}
