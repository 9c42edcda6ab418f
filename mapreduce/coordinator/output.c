// SPDX-License-Identifier: GPL-2.0
/* What tasks leave behind: outputs and who won them, runs of maps, skipped records, totals. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/job_impl.h"

static void totals_add(Mr__Totals *sum, const Mr__Totals *t, bool out)
{
	uint64_t sign = out ? UINT64_MAX : 1;

	sum->in_bytes += sign * t->in_bytes;
	sum->in_records += sign * t->in_records;
	sum->out_bytes += sign * t->out_bytes;
	sum->out_records += sign * t->out_records;
	sum->skipped += sign * t->skipped;
}

/* A task's totals, instead of those it had. Without memory they are left out: they are for people. */
void mr_totals_replace(Mr__Totals *sum, Mr__Totals **old, const Mr__Totals *totals)
{
	if (*old)
		totals_add(sum, *old, true);
	else
		*old = malloc(sizeof(**old));
	if (!*old)
		return;
	mr__totals__init(*old);
	if (totals) {
		totals_add(*old, totals, false);
		totals_add(sum, totals, false);
	}
}

void mr_out_name(uint32_t number, char *name, size_t size)
{
	snprintf(name, size, "mr-out-%u", number);
}

static void commit_free(struct mr_commit *c)
{
	free(c->node);
	free(c->dir);
	if (c->commit)
		mr__commit__free_unpacked(c->commit, NULL);
	free(c);
}

static struct mr_commit *commit_find(struct mr_out *out, const char *node, const char *dir, uint64_t inode)
{
	struct mr_commit *c;

	SLIST_FOREACH(c, &out->commits, all) {
		if (c->commit->inode == inode && !strcmp(c->node, node) && !strcmp(c->dir, dir))
			return c;
	}
	return NULL;
}

/* Remember who is told to publish; the newest first, since an inode may be used again. */
int mr_out_commit(struct mr_job *job, const char *node, const char *dir, const Mr__Commit *commit)
{
	struct mr_commit *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->node = strdup(node);
	c->dir = strdup(dir);
	c->commit = mr_rpc_copy(&commit->base);
	if (!c->node || !c->dir || !c->commit) {
		commit_free(c);
		return -ENOMEM;
	}
	SLIST_INSERT_HEAD(&job->outs[commit->id->number].commits, c, all);
	return 0;
}

int mr_out_done(struct mr_job *job, uint32_t number, const char *node, const char *dir, uint64_t inode,
		const Mr__Totals *totals)
{
	struct mr_out *out = &job->outs[number];

	out->winner = commit_find(out, node, dir, inode);
	if (!out->winner)
		return -ENOENT;
	mr_totals_replace(&job->sums[job->reduces ? 1 : 0], &out->totals, totals);
	return mr_tallies_replace(&job->counters, &out->tally, out->winner->commit->counters,
				   out->winner->commit->n_counters);
}

void mr_out_exit(struct mr_out *out)
{
	struct mr_commit *c;

	while ((c = SLIST_FIRST(&out->commits))) {
		SLIST_REMOVE_HEAD(&out->commits, all);
		commit_free(c);
	}
	free(out->totals);
	free(out->tally);
	free(out->skips.records);
}

int mr_map_set(struct mr_job *job, uint32_t number, uint32_t node, const Mr__Run *run, const Mr__Totals *totals,
	       Mr__Counter * const *counters, size_t nr_counters)
{
	struct mr_map *map = &job->maps[number];
	char *path = strdup(run->path);
	int err;

	if (!path)
		return -ENOMEM;
	err = mr_tallies_replace(&job->counters, &map->tally, counters, nr_counters);
	if (err) {
		free(path);
		return err;
	}
	mr_totals_replace(&job->sums[0], &map->totals, totals);
	free(map->run.path);
	map->run.path = path;
	map->run.epoch = run->id->epoch;
	map->run.attempt = run->id->attempt;
	map->run.index = run->index;
	map->run.bytes = run->bytes;
	map->run.node = node;
	return 0;
}

void mr_map_exit(struct mr_map *map)
{
	free(map->run.path);
	free(map->totals);
	free(map->tally);
	free(map->skips.records);
}

int mr_skip_add(struct mr_job *job, Mr__Kind kind, uint32_t number, uint64_t record)
{
	struct mr_skips *skips = kind == MR__KIND__MAP ? &job->maps[number].skips : &job->outs[number].skips;
	uint64_t *records;
	uint32_t i;

	if (skips->nr >= MR_RPC_SKIP_MAX)
		return -E2BIG;
	records = realloc(skips->records, (skips->nr + 1) * sizeof(*records));
	if (!records)
		return -ENOMEM;
	skips->records = records;
	for (i = skips->nr; i && records[i - 1] > record; i--)
		records[i] = records[i - 1];
	records[i] = record;
	skips->nr++;
	if (job->nr_skipped < MR_JOB_FAILURES) {
		job->skipped[job->nr_skipped].kind = kind;
		job->skipped[job->nr_skipped].number = number;
		job->skipped[job->nr_skipped].record = record;
	}
	job->nr_skipped++;
	return 0;
}
