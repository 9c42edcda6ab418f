// SPDX-License-Identifier: GPL-2.0
/* A job's journal: begun, added to, and made a job of again. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/clock.h"
#include "coordinator/job_impl.h"

#define INPUTS_OF_RECORD	256
#define HOLD_NS			(1000 * LOCKSTEP_NSEC_PER_MSEC)	/* workers dial again within it */

void mr_replay_add(struct mr_job *job, const Mr__Record *record)
{
	if (!job->journal)
		return;
	mr_journal_add(job->journal, record);
	event_active(job->sync, EV_TIMEOUT, 1);
}

static bool wants_range(const struct mr_job *job)
{
	size_t i;

	for (i = 0; i < job->nr_options; i++) {
		if (!strcmp(job->options[i].name, "partition"))
			return !strcmp(job->options[i].value, "range") && job->reduces > 1;
	}
	return false;
}

static int add_input(struct mr_job *job, const char *path, const char *node)
{
	struct mr_input_file *input = &job->inputs[job->nr_inputs];

	input->path = strdup(path);
	input->node = node && *node ? mr_job_node(job, node) : MR_NONE;
	if (!input->path)
		return -ENOMEM;
	job->nr_inputs++;
	return 0;
}

static int add_option(struct mr_job *job, const char *name, const char *value)
{
	struct mr_option *o = &job->options[job->nr_options];

	o->name = strdup(name);
	o->value = strdup(value);
	job->nr_options++;
	return o->name && o->value ? 0 : -ENOMEM;
}

static int options_check(const struct mr_job_config *c, char *err, size_t errlen)
{
	size_t i, bytes = 0;

	for (i = 0; i < c->nr_options; i++) {
		if (strlen(c->options[i].name) > MR_RPC_NAME_MAX) {
			snprintf(err, errlen, "option name %.40s... is longer than %u characters", c->options[i].name,
				 MR_RPC_NAME_MAX);
			return -EINVAL;
		}
		bytes += strlen(c->options[i].name) + strlen(c->options[i].value);
	}
	if (c->nr_options <= MR_RPC_OPTIONS_MAX && bytes <= MR_RPC_OPTIONS_BYTES)
		return 0;
	snprintf(err, errlen, "too many options, or too long ones: at most %u and %u bytes", MR_RPC_OPTIONS_MAX,
		 MR_RPC_OPTIONS_BYTES);
	return -EINVAL;
}

static void record_inputs(struct mr_job *job)
{
	Mr__JournalInput of[INPUTS_OF_RECORD], *list[INPUTS_OF_RECORD];
	Mr__JournalInputs page = MR__JOURNAL_INPUTS__INIT;
	uint32_t i;

	page.inputs = list;
	for (i = 0; i < job->nr_inputs; i++) {
		Mr__JournalInput *in = &of[page.n_inputs];

		mr__journal_input__init(in);
		in->path = job->inputs[i].path;
		if (job->inputs[i].node != MR_NONE)
			in->node = job->nodes[job->inputs[i].node];
		list[page.n_inputs++] = in;
		if (page.n_inputs < INPUTS_OF_RECORD && i + 1 < job->nr_inputs)
			continue;
		mr_replay_add(job, MR_RECORD(INPUTS, inputs, &page));
		page.n_inputs = 0;
	}
}

static int record_job(struct mr_job *job, const struct mr_job_config *c)
{
	Mr__JournalEpoch epoch = MR__JOURNAL_EPOCH__INIT;
	Mr__JournalJob head = MR__JOURNAL_JOB__INIT;
	Mr__Option *options, **list;
	size_t i;

	options = calloc(job->nr_options + 1, sizeof(*options));
	list = calloc(job->nr_options + 1, sizeof(*list));
	for (i = 0; options && list && i < job->nr_options; i++) {
		mr__option__init(&options[i]);
		options[i].name = (char *)job->options[i].name;
		options[i].value = (char *)job->options[i].value;
		list[i] = &options[i];
	}
	if (options && list) {
		head.version = MR_JOURNAL_VERSION;
		head.id = job->id;
		head.name = job->name;
		head.reduces = job->reduces;
		head.memory = job->memory;
		head.codec = job->codec;
		head.split = job->split;
		head.skip_max = c->skip_max;
		head.inputs = job->nr_inputs;
		head.options = list;
		head.n_options = job->nr_options;
		mr_replay_add(job, MR_RECORD(JOB, job, &head));
		record_inputs(job);
		epoch.epoch = job->epoch;
		mr_replay_add(job, MR_RECORD(EPOCH, epoch, &epoch));
	}
	i = options && list;
	free(options);
	free(list);
	return i ? 0 : -ENOMEM;
}

static int job_fill(struct mr_job *job, const struct mr_job_config *c)
{
	struct lockstep_uuid uuid;
	size_t i;
	int err;

	err = lockstep_uuid_random(&uuid);
	if (err)
		return err;
	lockstep_uuid_format(&uuid, job->id);
	job->epoch = 1;
	job->name = strdup(c->name ? c->name : "");
	job->reduces = c->reduces;
	job->memory = c->memory ? c->memory : MR_MEMORY_DEF;
	job->codec = c->codec;
	job->split = c->split;
	job->inputs = calloc(c->nr_inputs, sizeof(*job->inputs));
	job->options = calloc(c->nr_options + 1, sizeof(*job->options));
	if (!job->name || !job->inputs || !job->options)
		return -ENOMEM;
	for (i = 0; !err && i < c->nr_inputs; i++)
		err = add_input(job, c->inputs[i].path, c->inputs[i].node);
	for (i = 0; !err && i < c->nr_options; i++)
		err = add_option(job, c->options[i].name, c->options[i].value);
	return err;
}

int mr_replay_create(struct mr_job *job, const struct mr_job_config *c, char *err, size_t errlen)
{
	int ret;

	ret = options_check(c, err, errlen);
	if (!ret)
		ret = job_fill(job, c);
	if (ret)
		return ret;
	job->range = wants_range(job);
	ret = mr_sched_add_tasks(job->sched, MR_KIND_STAT, job->nr_inputs);
	if (ret || !c->journal)
		return ret;
	ret = mr_journal_create(c->journal, &job->journal);
	if (ret == -EEXIST)
		snprintf(err, errlen, "journal %s exists: carry on with --resume, or remove it", c->journal);
	else if (ret)
		snprintf(err, errlen, "journal %s can't be made: %s", c->journal, strerror(-ret));
	if (ret)
		return ret;
	ret = record_job(job, c);
	if (!ret)
		ret = mr_journal_sync(job->journal);
	if (ret)
		snprintf(err, errlen, "journal %s can't be written: %s", c->journal, strerror(-ret));
	return ret;
}

/* ---- reading ---- */

static int replay_job(struct mr_job *job, const Mr__JournalJob *m)
{
	size_t i;
	int err = 0;

	if (job->name || m->version != MR_JOURNAL_VERSION || m->reduces > MR_REDUCES_MAX ||
	    !m->inputs || m->inputs > MR_INPUTS_MAX || m->codec > MR_CODEC_MAX || m->memory < MR_MEMORY_MIN ||
	    strlen(m->id) != LOCKSTEP_UUID_STRLEN || strchr(m->id, '/'))
		return -EUCLEAN;
	strcpy(job->id, m->id);
	job->name = strdup(m->name);
	job->reduces = m->reduces;
	job->memory = m->memory;
	job->codec = m->codec;
	job->split = m->split;
	job->inputs = calloc(m->inputs, sizeof(*job->inputs));
	job->options = calloc(m->n_options + 1, sizeof(*job->options));
	if (!job->name || !job->inputs || !job->options)
		return -ENOMEM;
	for (i = 0; !err && i < m->n_options; i++)
		err = add_option(job, m->options[i]->name, m->options[i]->value);
	job->range = wants_range(job);
	job->inputs_room = m->inputs;
	return err;
}

static int replay_inputs(struct mr_job *job, const Mr__JournalInputs *m)
{
	size_t i;
	int err = 0;

	for (i = 0; !err && i < m->n_inputs; i++) {
		if (job->nr_inputs >= job->inputs_room)
			return -EUCLEAN;
		err = add_input(job, m->inputs[i]->path, m->inputs[i]->node);
	}
	return err;
}

static int replay_app(struct mr_job *job, const Mr__JournalApp *m)
{
	free(job->app);
	job->app = strdup(m->name);
	job->app_hash = m->hash;
	job->whole = m->whole;
	return job->app ? 0 : -ENOMEM;
}

static int replay_checked(struct mr_job *job, const Mr__JournalChecked *m)
{
	struct mr_folder *folders = realloc(job->folders, (job->nr_folders + 1) * sizeof(*folders));
	uint32_t node = mr_job_node(job, m->node);

	if (folders)
		job->folders = folders;
	if (!folders || node == MR_NONE)
		return -ENOMEM;
	folders[job->nr_folders] = (struct mr_folder) { .node = node, .path = strdup(m->dir), .checked = true };
	if (!folders[job->nr_folders].path)
		return -ENOMEM;
	job->nr_folders++;
	return 0;
}

static int replay_points(struct mr_job *job, const Mr__Points *m)
{
	size_t i;
	int err = 0;

	if (!job->keys)
		job->keys = calloc(m->total + 1ull, sizeof(*job->keys));
	if (!job->keys)
		return -ENOMEM;
	if (m->first != job->nr_keys || m->total != job->reduces - 1 || m->n_keys > m->total - m->first)
		return -EUCLEAN;
	for (i = 0; !err && i < m->n_keys; i++)
		err = mr_plan_key(job, m->keys[i].data, m->keys[i].len);
	return err;
}

static int replay_plan(struct mr_job *job, const Mr__JournalPlan *m)
{
	int err;

	if (job->planned || !m->split)
		return -EUCLEAN;
	job->split = m->split;
	err = mr_plan_splits(job);
	if (!err && job->nr_maps != m->maps)
		return -EUCLEAN;
	return err ? err : mr_plan_start(job);
}

static bool number_ok(const struct mr_job *job, Mr__Kind kind, uint32_t number)
{
	if (!job->planned)
		return false;
	if (kind == MR__KIND__MAP)
		return number < job->nr_maps;
	return kind == MR__KIND__REDUCE && number < job->reduces;
}

static int replay_done(struct mr_job *job, const Mr__JournalDone *m)
{
	int err;

	if (!number_ok(job, m->kind, m->number) || !mr_job_has_outputs(job, m->kind))
		return -EUCLEAN;
	err = mr_out_done(job, m->number, m->node, m->dir, m->inode, m->totals);
	if (err)
		return err == -ENOENT ? -EUCLEAN : err;
	mr_sched_restore_done(job->sched, (enum mr_kind)m->kind, m->number,
			      mr_job_node(job, job->outs[m->number].winner->node));
	return 0;
}

static int replay_commit(struct mr_job *job, const Mr__JournalCommit *m)
{
	const Mr__Commit *c = m->commit;

	if (!c || !c->id || !number_ok(job, c->id->kind, c->id->number) || !mr_job_has_outputs(job, c->id->kind))
		return -EUCLEAN;
	return mr_out_commit(job, m->node, m->dir, c);
}

static int replay_skip(struct mr_job *job, const Mr__JournalSkip *m)
{
	if (!number_ok(job, m->kind, m->number))
		return -EUCLEAN;
	mr_sched_restore_skipped(job->sched, 1);
	return mr_skip_add(job, m->kind, m->number, m->record);
}

static int replay_size(struct mr_job *job, const Mr__JournalSize *m)
{
	if (m->input >= job->nr_inputs)
		return -EUCLEAN;
	job->inputs[m->input].size = m->size;
	job->inputs[m->input].mtime_ns = m->mtime_ns;
	job->inputs[m->input].known = true;
	return 0;
}

static int replay(const Mr__Record *r, void *arg)
{
	struct mr_job *job = arg;

	if (!job->name && r->of_case != MR__RECORD__OF_JOB)
		return -EUCLEAN;
	switch (r->of_case) {
	case MR__RECORD__OF_JOB:
		return replay_job(job, r->job);
	case MR__RECORD__OF_INPUTS:
		return replay_inputs(job, r->inputs);
	case MR__RECORD__OF_EPOCH:
		job->epoch = r->epoch->epoch;
		return 0;
	case MR__RECORD__OF_APP:
		return replay_app(job, r->app);
	case MR__RECORD__OF_CHECKED:
		return replay_checked(job, r->checked);
	case MR__RECORD__OF_SIZE:
		return replay_size(job, r->size);
	case MR__RECORD__OF_POINTS:
		return replay_points(job, r->points);
	case MR__RECORD__OF_PLAN:
		return replay_plan(job, r->plan);
	case MR__RECORD__OF_SKIP:
		return replay_skip(job, r->skip);
	case MR__RECORD__OF_COMMIT:
		return replay_commit(job, r->commit);
	case MR__RECORD__OF_DONE:
		return replay_done(job, r->done);
	case MR__RECORD__OF_END:
		return 0;
	default:
		return -EUCLEAN;
	}
}

/* What is given again has to be the same; what is left out is taken from the journal. */
static int same_job(const struct mr_job *job, const struct mr_job_config *c, char *err, size_t errlen)
{
	size_t i;

	snprintf(err, errlen, "journal %s is of another job: its inputs or its number of reduces differ", c->journal);
	if (!job->name || job->nr_inputs != job->inputs_room)
		return -EUCLEAN;
	if (!c->nr_inputs)
		return 0;
	if (c->nr_inputs != job->nr_inputs || c->reduces != job->reduces)
		return -EUCLEAN;
	for (i = 0; i < c->nr_inputs; i++) {
		if (strcmp(c->inputs[i].path, job->inputs[i].path))
			return -EUCLEAN;
	}
	return 0;
}

int mr_replay_open(struct mr_job *job, const struct mr_job_config *c, char *err, size_t errlen)
{
	Mr__JournalEpoch epoch = MR__JOURNAL_EPOCH__INIT;
	uint32_t i;
	int ret;

	if (!c->journal) {
		snprintf(err, errlen, "without a journal there is nothing to resume");
		return -EINVAL;
	}
	ret = mr_journal_open(c->journal, replay, job, err, errlen, &job->journal);
	if (!ret)
		ret = same_job(job, c, err, errlen);
	if (ret)
		return ret;
	job->granted = job->planned;
	epoch.epoch = ++job->epoch;
	mr_replay_add(job, MR_RECORD(EPOCH, epoch, &epoch));
	ret = mr_journal_sync(job->journal);
	if (ret) {
		snprintf(err, errlen, "journal %s can't be written: %s", c->journal, strerror(-ret));
		return ret;
	}
	mr_job_event(job, "resume", "epoch %" PRIu64, job->epoch);
	job->hold_until = lockstep_clock_ns() + HOLD_NS;
	if (job->planned)
		return 0;
	ret = mr_sched_add_tasks(job->sched, MR_KIND_STAT, job->nr_inputs);
	for (i = 0; !ret && i < job->nr_inputs; i++) {
		if (job->inputs[i].known)
			mr_sched_restore_done(job->sched, MR_KIND_STAT, i, MR_NONE);
	}
	return ret;
}
