/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Log files: the batches of one guest, as declared in linux/lockstep.h
 *
 * A file is written by a single process; what is in it up to the last whole
 * batch can be used even if the writer died.  Readers trust nothing of it.
 */
#ifndef LOCKSTEP_LOGFILE_H
#define LOCKSTEP_LOGFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <linux/lockstep.h>

#include "common/uuid.h"

/**
 * struct lockstep_logfile - an open log file
 * @file:     stdio
 * @uuid:     the guest's identity
 * @instance: the primary that made the log
 * @lsn:      of the next batch
 * @closed:   reading: the closing batch was seen
 * @batch:    reading: the last batch, with its records
 */
struct lockstep_logfile {
	FILE *file;
	struct lockstep_uuid uuid;
	struct lockstep_uuid instance;
	uint64_t lsn;
	bool closed;
	union {
		struct lockstep_batch head;
		uint8_t bytes[sizeof(struct lockstep_batch) + LOCKSTEP_BATCH_MAX];
	} batch;
};

int lockstep_logfile_create(struct lockstep_logfile *lf, const char *path,
			    const struct lockstep_uuid *uuid,
			    const struct lockstep_uuid *instance);
int lockstep_logfile_append(struct lockstep_logfile *lf, const void *batch, size_t len);
int lockstep_logfile_close(struct lockstep_logfile *lf);

int lockstep_logfile_open(struct lockstep_logfile *lf, const char *path);
int lockstep_logfile_next(struct lockstep_logfile *lf);
void lockstep_logfile_end(struct lockstep_logfile *lf);

#endif
