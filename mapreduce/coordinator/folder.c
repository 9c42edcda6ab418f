// SPDX-License-Identifier: GPL-2.0
/* Folders that outputs are written to: none is used before it was checked for old ones. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "coordinator/job_impl.h"

int mr_folder_find(struct mr_job *job, uint32_t node, const char *path, uint32_t *folder)
{
	struct mr_folder *folders;
	uint32_t i;

	for (i = 0; i < job->nr_folders; i++) {
		if (job->folders[i].node == node && !strcmp(job->folders[i].path, path)) {
			*folder = i;
			return 0;
		}
	}
	folders = realloc(job->folders, (i + 1) * sizeof(*folders));
	if (!folders)
		return -ENOMEM;
	job->folders = folders;
	folders[i] = (struct mr_folder) { .node = node, .path = strdup(path) };
	if (!folders[i].path)
		return -ENOMEM;
	job->nr_folders++;
	*folder = i;
	return 0;
}

static void grant_check(struct mr_worker *w)
{
	Mr__AttemptId id = MR__ATTEMPT_ID__INIT;
	Mr__Grant m = MR__GRANT__INIT;

	id.kind = MR__KIND__CHECK;
	id.number = w->folder;
	id.epoch = w->job->epoch;
	m.id = &id;
	m.path = (char *)"";
	m.force = w->job->force;
	w->checking = true;
	mr_worker_send(w, MR_RPC(GRANT, grant, &m));
}

/*
 * A worker is idle. Nothing is granted in a folder that was not checked for old outputs.
 * One that removes them does so alone, and nobody takes its place while it is there:
 * it might remove outputs of this job, later.
 */
void mr_folder_ready(struct mr_worker *w)
{
	struct mr_folder *folder = &w->job->folders[w->folder];

	w->waiting = false;
	if (folder->checked) {
		mr_sched_worker_ready(w->job->sched, w->slot, lockstep_clock_ns());
	} else if (w->job->force && folder->checker && folder->checker != w) {
		w->waiting = true;
	} else {
		folder->checker = w;
		grant_check(w);
	}
}

void mr_folder_checked(struct mr_worker *w)
{
	struct mr_job *job = w->job;
	struct mr_folder *folder = &job->folders[w->folder];
	Mr__JournalChecked record = MR__JOURNAL_CHECKED__INIT;
	struct mr_worker *other;

	w->checking = false;
	if (folder->checked)
		return;
	folder->checked = true;
	folder->checker = NULL;
	record.node = job->nodes[folder->node];
	record.dir = folder->path;
	mr_replay_add(job, MR_RECORD(CHECKED, checked, &record));
	TAILQ_FOREACH(other, &job->workers, all) {
		if (other->waiting && other->folder == w->folder)
			mr_folder_ready(other);
	}
}

void mr_folder_failed(struct mr_worker *w, const Mr__Failed *m)
{
	struct mr_job *job = w->job;
	struct mr_folder *folder = &job->folders[w->folder];

	w->checking = false;
	if (folder->checker == w)
		folder->checker = NULL;
	/* An output of this job, found by a check that began before it was made. */
	if (folder->checked)
		return;
	if (!job->granted) {
		mr_job_end(job, MR_JOB_FAILED, "%s", m->message);
		return;
	}
	mr_job_event(job, "worker.refused", "%s: %.100s", w->name, m->message);
	mr_worker_end(w);
}

/* A worker is gone: if it was the one who checks, another one does. */
void mr_folder_left(struct mr_worker *w)
{
	struct mr_folder *folder = &w->job->folders[w->folder];
	struct mr_worker *other;

	if (folder->checker != w)
		return;
	folder->checker = NULL;
	TAILQ_FOREACH(other, &w->job->workers, all) {
		if (other->waiting && other->folder == w->folder) {
			mr_folder_ready(other);
			return;
		}
	}
}

bool mr_job_folders_checked(const struct mr_job *job)
{
	uint32_t i;

	for (i = 0; i < job->nr_folders; i++) {
		if (job->folders[i].checked)
			return true;
	}
	return false;
}
