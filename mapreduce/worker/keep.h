/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Files of a worker: its maps' run files, kept to the end of the job, and names in
 * the folder of outputs.
 *
 * They are in WORK_DIR/.mr-work-JOB/PID.START, locked while the process lives: what
 * a dead worker left is removed by the last of the job, or by the next job's first.
 * It stays during the job: reduces read it.
 */
#ifndef LOCKSTEP_MR_KEEP_H
#define LOCKSTEP_MR_KEEP_H

#include <stdbool.h>
#include <stddef.h>

#include "rpc/mr.pb-c.h"

#define MR_KEEP_PREFIX	".mr-work-"

/**
 * struct mr_keep - what is kept for one job
 * @dir: folder of run files
 * @job_dir: the folder above
 * @lock_fd: on @dir
 * @have: an entry for each run kept
 * @nr: how many
 */
struct mr_keep {
	char *dir;
	char *job_dir;
	int lock_fd;
	Mr__Have **have;
	size_t nr;
};

/* Make the folders. 0 or -errno. */
int mr_keep_init(struct mr_keep *keep, const char *work_dir, const char *job);

/* Remove all that is kept, and what dead workers of the job have left. */
void mr_keep_exit(struct mr_keep *keep);

/* Keep a run; copies @have. 0 or -ENOMEM. */
int mr_keep_add(struct mr_keep *keep, const Mr__Have *have);

/**
 * mr_keep_check() - make a folder ready for outputs
 * @output_dir: folder
 * @work_dir: where leftovers of older jobs are looked for
 * @job: this one's files stay
 * @force: remove old outputs; else they are an error
 * @err: receives cause and remedy
 * @errlen: size of @err
 *
 * Return: 0, -EEXIST: there are old outputs; or -errno.
 */
int mr_keep_check(const char *output_dir, const char *work_dir, const char *job, bool force, char *err,
		  size_t errlen);

/* Remove temporary outputs of this process, and of dead ones. */
void mr_keep_sweep(const char *output_dir);

#endif
