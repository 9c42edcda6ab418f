// SPDX-License-Identifier: GPL-2.0
/* One grant, on the task thread: run, tell, publish. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "engine/runindex.h"
#include "rpc/failpoint.h"
#include "worker/remote.h"
#include "worker/work_impl.h"

/* What one grant needs for a while. */
struct task {
	struct mr_work *work;
	struct mr_job_info *info;
	const Mr__Grant *grant;
	Mr__AttemptId id;
	struct mr_attempt attempt;
	struct mr_result result;
	struct mr_region *regions;
	struct mr_remote remote;
	struct mr_option *options;
	Mr__AttemptId **bad_runs;	/* of runs that can't be read */
	size_t nr_bad;
	bool here;			/* a region of another node can't be kept on this one */
};

static bool output_of_map(const struct task *t)
{
	return t->attempt.map && !t->attempt.reduces;
}

/* ---- telling ---- */

static void totals_fill(const struct mr_result *r, Mr__Totals *totals)
{
	mr__totals__init(totals);
	totals->in_bytes = r->in_bytes;
	totals->in_records = r->in_records;
	totals->out_bytes = r->out_bytes;
	totals->out_records = r->out_records;
	totals->skipped = r->skipped;
}

/* One allocation, to be freed. */
static Mr__Counter **counters_make(const struct mr_result *r)
{
	Mr__Counter **list = calloc(r->nr_counters + 1, sizeof(Mr__Counter *) + sizeof(Mr__Counter));
	Mr__Counter *of = (Mr__Counter *)(list + r->nr_counters + 1);
	size_t i;

	for (i = 0; list && i < r->nr_counters; i++) {
		mr__counter__init(&of[i]);
		of[i].group = r->counters[i].group;
		of[i].name = r->counters[i].name;
		of[i].value = r->counters[i].value;
		list[i] = &of[i];
	}
	return list;
}

static void say_failed(struct task *t, int error, enum mr_blame blame, const char *message)
{
	char log[MR_RPC_LOG_MAX], text[MR_ERROR_MAX];
	Mr__Failed m = MR__FAILED__INIT;

	mr_log_tail(&t->work->log, log, sizeof(log));
	snprintf(text, sizeof(text), "%s", *message ? message : strerror(-error));
	m.id = &t->id;
	m.error = error < 0 ? error : -EIO;
	m.blame = blame;
	m.message = text;
	m.log = log;
	if (blame == MR_BLAME_USER && t->result.record != UINT64_MAX) {
		m.user_code = true;
		m.record = t->result.record;
	}
	m.bad_runs = t->bad_runs;
	m.n_bad_runs = t->nr_bad;
	mr_link_say(t->work, MR_RPC(FAILED, failed, &m));
}

/* A map's run: tell where it is, and keep it if it is wanted. */
static void finish_run(struct task *t)
{
	Mr__Run run = MR__RUN__INIT;
	Mr__Done done = MR__DONE__INIT;
	Mr__Have have = MR__HAVE__INIT;
	Mr__Counter **counters;
	char name[MR_RUN_NAME_MAX], *path = NULL;
	Mr__Totals totals;
	int err;

	mr_run_name(t->id.number, t->id.attempt, t->id.epoch, name);
	counters = counters_make(&t->result);
	err = !counters || asprintf(&path, "%s/%s", t->info->keep.dir, name) < 0 ? -ENOMEM : 0;
	if (!err)
		err = mr_runindex_append(t->result.path, t->result.regions, t->result.nr_regions, &run.index);
	if (!err && rename(t->result.path, path))
		err = -errno;
	if (err) {
		mr_result_discard(&t->result);
		say_failed(t, err, MR_BLAME_SYSTEM, "");
		goto out_free;
	}
	totals_fill(&t->result, &totals);
	run.id = &t->id;
	run.node = (char *)t->work->config->node;
	run.path = path;
	run.bytes = run.index;
	done.id = &t->id;
	done.run = &run;
	done.totals = &totals;
	done.counters = counters;
	done.n_counters = t->result.nr_counters;
	have.run = &run;
	have.totals = &totals;
	have.counters = counters;
	have.n_counters = done.n_counters;
	mr_failpoint("map-made");
	if (mr_link_say(t->work, MR_RPC(DONE, done, &done)) == MR_ANSWER_ACK) {
		pthread_mutex_lock(&t->work->lock);
		err = mr_keep_add(&t->info->keep, &have);
		pthread_mutex_unlock(&t->work->lock);
	} else {
		unlink(path);
	}
	mr_failpoint("map-done");
out_free:
	free(counters);
	free(path);
}

static uint64_t inode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) ? 0 : (uint64_t)st.st_ino;
}

static void say_published(struct task *t, const char *path, int err)
{
	Mr__Done m = MR__DONE__INIT;
	Mr__Totals totals;

	totals_fill(&t->result, &totals);
	m.id = &t->id;
	m.totals = &totals;
	m.published = !err;
	m.winner_inode = err ? inode_of(path) : t->result.inode;
	/* A second output, in another folder than the first: it goes. */
	if (mr_link_say(t->work, MR_RPC(DONE, done, &m)) == MR_ANSWER_DISCARD && !err &&
	    inode_of(path) == t->result.inode)
		unlink(path);
}

static void finish_output(struct task *t)
{
	const char *dir = t->work->config->output_dir;
	Mr__Commit m = MR__COMMIT__INIT;
	Mr__Counter **counters = counters_make(&t->result);
	char *path = NULL;
	int err;

	m.id = &t->id;
	m.path = t->result.path;
	m.inode = t->result.inode;
	m.size = t->result.size;
	m.checksum = t->result.checksum;
	m.counters = counters;
	m.n_counters = counters ? t->result.nr_counters : 0;
	mr_failpoint("output-made");
	if (!counters || mr_link_say(t->work, MR_RPC(COMMIT, commit, &m)) != MR_ANSWER_PUBLISH) {
		mr_result_discard(&t->result);
		goto out_free;
	}
	mr_failpoint("output-committed");
	if (asprintf(&path, "%s/%s", dir, t->work->publish) < 0)
		goto out_free;
	err = mr_output_publish(dir, t->result.path, t->work->publish, t->result.inode);
	mr_failpoint("output-published");
	if (err)
		mr_result_discard(&t->result);
	if (err && err != -EEXIST)
		say_failed(t, err, MR_BLAME_SYSTEM, "the output can't be given its name");
	else
		say_published(t, path, err);
	mr_failpoint("output-done");
out_free:
	free(path);
	free(counters);
}

/* ---- reduces ---- */

static bool bad_run(struct task *t, const Mr__Run *run)
{
	if (!t->bad_runs)
		t->bad_runs = calloc(MR_RPC_RUNS_MAX, sizeof(Mr__AttemptId *));
	if (!t->bad_runs || t->nr_bad == MR_RPC_RUNS_MAX)
		return false;
	t->bad_runs[t->nr_bad++] = run->id;
	return true;
}

static int find_region(struct task *t, const Mr__Run *run, struct mr_region *region, char *err, size_t errlen)
{
	int ret;

	if (mr_remote_is(t->work, run)) {
		pthread_mutex_lock(&t->work->lock);
		ret = mr_remote_take(&t->remote, run->id->number, region, err, errlen);
		pthread_mutex_unlock(&t->work->lock);
		t->here = ret && ret != -EREMOTEIO;
		return ret;
	}
	ret = mr_runindex_read(run->path, run->index, run->id->number, t->id.number, region);
	if (ret) {
		snprintf(err, errlen, "output of map %u, %s: %s", run->id->number, run->path, strerror(-ret));
		return ret;
	}
	region->path = strdup(run->path);
	return region->path ? 0 : -ENOMEM;
}

/* Wait until all maps are done, or an output of one is lost. False: the attempt is not wanted any more. */
static bool await_runs(struct task *t)
{
	struct mr_work *w = t->work;
	bool wanted;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		mr_remote_ask(&t->remote);
		if (w->have_runs == w->nr_runs || t->remote.failed || w->cancelled || w->over)
			break;
		pthread_cond_wait(&w->changed, &w->lock);
	}
	wanted = !w->cancelled && !w->over;
	/* From here on runs do not change. */
	w->running = wanted;
	pthread_mutex_unlock(&w->lock);
	return wanted;
}

/* What is known to be lost is told before all maps are done. */
static bool some_lost(struct task *t)
{
	struct mr_work *w = t->work;
	char err[MR_ERROR_MAX] = "";
	struct mr_region region;
	bool lost;
	uint32_t i;

	pthread_mutex_lock(&w->lock);
	for (i = 0; i < w->nr_runs && t->remote.failed; i++)
		if (w->runs[i] && mr_remote_failed(&t->remote, i) &&
		    (mr_remote_take(&t->remote, i, &region, err, sizeof(err)) != -EREMOTEIO ||
		     !bad_run(t, w->runs[i])))
			break;
	lost = t->remote.failed;
	pthread_mutex_unlock(&w->lock);
	if (lost)
		say_failed(t, -EIO, t->nr_bad ? MR_BLAME_REGION : MR_BLAME_SYSTEM, err);
	return lost;
}

/* All regions; several that are missing are told at once, so that their maps are redone together. */
static bool gather(struct task *t)
{
	struct mr_work *w = t->work;
	char err[MR_ERROR_MAX] = "", one[MR_ERROR_MAX] = "";
	uint32_t i;
	int ret, first = 0;

	t->regions = calloc(w->nr_runs + 1ull, sizeof(*t->regions));
	if (!t->regions) {
		say_failed(t, -ENOMEM, MR_BLAME_SYSTEM, "");
		return false;
	}
	for (i = 0; i < w->nr_runs; i++) {
		struct mr_region *region = &t->regions[t->attempt.nr_regions];

		region->path = NULL;
		ret = find_region(t, w->runs[i], region, one, sizeof(one));
		if (!ret && region->records) {
			t->attempt.nr_regions++;
			continue;
		}
		free((void *)region->path);
		region->path = NULL;
		if (ret && !first) {
			first = ret;
			strcpy(err, one);
		}
		if (ret && (t->here || !bad_run(t, w->runs[i])))
			break;
	}
	t->attempt.regions = t->regions;
	if (first)
		say_failed(t, first, w->cancelled ? MR_BLAME_CANCEL : t->here ? MR_BLAME_SYSTEM : MR_BLAME_REGION,
			   err);
	return !first;
}

/* False: there is nothing to reduce; why was told. */
static bool collect(struct task *t)
{
	if (mr_remote_init(&t->remote, t->work, t->id.number, t->info->keep.dir)) {
		say_failed(t, -ENOMEM, MR_BLAME_SYSTEM, "");
		return false;
	}
	return await_runs(t) && !some_lost(t) && gather(t);
}

static void regions_free(struct task *t)
{
	size_t i;

	for (i = 0; t->regions && i < t->attempt.nr_regions; i++) {
		const char *path = t->regions[i].path;

		/* What was fetched from elsewhere was for this attempt only. */
		if (mr_remote_is(t->work, t->work->runs[t->regions[i].map]))
			unlink(path);
		free((void *)path);
	}
	pthread_mutex_lock(&t->work->lock);
	mr_remote_exit(&t->remote);
	pthread_mutex_unlock(&t->work->lock);
	free(t->regions);
	free(t->bad_runs);
}

/* ---- kinds ---- */

static void attempt_fill(struct task *t)
{
	const Mr__Welcome *job = t->info->welcome;
	const Mr__Grant *g = t->grant;

	t->attempt = (struct mr_attempt) {
		.app = t->work->config->app,
		.map = t->id.kind != MR__KIND__REDUCE,
		.number = t->id.number,
		.attempt = t->id.attempt,
		.epoch = t->id.epoch,
		.reduces = job->reduces,
		.memory = job->memory,
		.codec = (enum mr_codec)job->codec,
		.options = t->info->options,
		.nr_options = job->n_options,
		.range_points = t->info->points,
		.work_dir = t->info->keep.dir,
		.output_dir = t->work->config->output_dir,
		.path = *g->path ? g->path : NULL,
		.offset = g->offset,
		.len = g->len,
		.size = g->size,
		.mtime_ns = g->mtime_ns,
		.skip = g->skip,
		.nr_skip = g->n_skip,
	};
}

/* The engine runs: a crash from here on is told. */
static bool engine_begin(struct task *t)
{
	struct mr_work *w = t->work;
	bool wanted;

	mr_log_begin(&w->log);
	pthread_mutex_lock(&w->lock);
	wanted = !w->cancelled && !w->over;
	w->running = wanted;
	pthread_mutex_unlock(&w->lock);
	return wanted;
}

static void engine_end(struct task *t)
{
	pthread_mutex_lock(&t->work->lock);
	t->work->running = false;
	pthread_mutex_unlock(&t->work->lock);
	mr_log_end(&t->work->log);
}

static void bad_map(struct task *t)
{
	struct mr_work *w = t->work;

	if (t->result.blame == MR_BLAME_REGION && w->runs && t->result.bad_map < w->nr_runs)
		bad_run(t, w->runs[t->result.bad_map]);
}

static void run_attempt(struct task *t)
{
	int err = -ECANCELED;

	attempt_fill(t);
	if (!t->attempt.map && !collect(t))
		goto out;
	t->result.record = UINT64_MAX;
	if (engine_begin(t)) {
		mr_failpoint(t->attempt.map ? "map-begin" : "reduce-begin");
		err = mr_attempt_run(&t->attempt, &t->result);
	}
	engine_end(t);
	if (err) {
		bad_map(t);
		say_failed(t, err, t->result.blame == MR_BLAME_NONE ? MR_BLAME_CANCEL : t->result.blame,
			   t->result.message);
	} else if (!t->attempt.map || output_of_map(t)) {
		finish_output(t);
	} else {
		finish_run(t);
	}
	mr_result_exit(&t->result);
out:
	if (!t->attempt.map)
		regions_free(t);
}

static void run_check(struct task *t)
{
	const struct mr_work_config *c = t->work->config;
	Mr__Done m = MR__DONE__INIT;
	char err[MR_ERROR_MAX] = "";
	int ret;

	ret = mr_keep_check(c->output_dir, c->work_dir, t->info->welcome->job, t->grant->force, err, sizeof(err));
	if (ret) {
		say_failed(t, ret, MR_BLAME_INPUT, err);
		return;
	}
	mr_failpoint("checked");
	m.id = &t->id;
	mr_link_say(t->work, MR_RPC(DONE, done, &m));
}

static void run_stat(struct task *t)
{
	Mr__Done m = MR__DONE__INIT;
	char text[MR_ERROR_MAX];
	struct stat st;
	int fd, err = 0;

	/* A pipe without a writer must not keep us. */
	fd = open(t->grant->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st))
		err = -errno;
	else if (S_ISDIR(st.st_mode))
		err = -EISDIR;
	else if (!S_ISREG(st.st_mode))
		err = -EINVAL;
	if (fd >= 0)
		close(fd);
	if (err) {
		snprintf(text, sizeof(text), "input %.400s: %s", t->grant->path,
			 err == -EINVAL ? "is not a regular file" : strerror(-err));
		say_failed(t, err, MR_BLAME_INPUT, text);
		return;
	}
	mr_failpoint("stat");
	m.id = &t->id;
	m.size = (uint64_t)st.st_size;
	m.mtime_ns = (uint64_t)st.st_mtim.tv_sec * LOCKSTEP_NSEC_PER_SEC + (uint64_t)st.st_mtim.tv_nsec;
	mr_link_say(t->work, MR_RPC(DONE, done, &m));
}

static void run_sample(struct task *t)
{
	const struct mr_bytes *keys = NULL;
	Mr__Done m = MR__DONE__INIT;
	ProtobufCBinaryData *list;
	size_t i, bytes = 0, nr = 0;
	int err = -ECANCELED;

	attempt_fill(t);
	t->result.record = UINT64_MAX;
	if (engine_begin(t))
		err = mr_attempt_sample(&t->attempt, t->grant->keys, &t->result, &keys, &nr);
	engine_end(t);
	list = calloc(nr + 1, sizeof(*list));
	if (err || !list) {
		say_failed(t, err, t->result.blame == MR_BLAME_NONE ? MR_BLAME_CANCEL : t->result.blame, t->result.message);
		goto out;
	}
	m.id = &t->id;
	m.keys = list;
	/* A point need not be a whole key. */
	for (i = 0; i < nr && m.n_keys < MR_RPC_KEYS_MAX; i++) {
		size_t len = keys[i].len < MR_RPC_KEY_MAX ? keys[i].len : MR_RPC_KEY_MAX;

		if (bytes + len > MR_RPC_KEYS_BYTES)
			break;
		bytes += len;
		list[m.n_keys].data = (uint8_t *)keys[i].data;
		list[m.n_keys++].len = len;
	}
	mr_failpoint("sampled");
	mr_link_say(t->work, MR_RPC(DONE, done, &m));
out:
	free(list);
	mr_result_exit(&t->result);
}

void mr_work_task(struct mr_work *w, struct mr_job_info *info, const Mr__Grant *grant)
{
	struct task t = { .work = w, .info = info, .grant = grant, .id = *grant->id };

	switch (grant->id->kind) {
	case MR__KIND__MAP:
	case MR__KIND__REDUCE:
		run_attempt(&t);
		break;
	case MR__KIND__CHECK:
		run_check(&t);
		break;
	case MR__KIND__STAT:
		run_stat(&t);
		break;
	case MR__KIND__SAMPLE:
		run_sample(&t);
		break;
	default:
		break;
	}
}
