/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A job's journal: an append-only file of records (rpc/journal.proto).
 *
 * Records are gathered and written as one frame by mr_journal_sync(), which returns
 * once they are on disk; nothing that depends on them is sent before.
 *
 *	frame:	magic u32, bytes of payload u32, number u64, checksum of payload u64,
 *		checksum of these u64; payload: for each record its length u32 and itself
 *
 * Checksums are XXH64, seeded with the payload's of the frame before, so that no
 * frame can stand in another's place. A crash can leave the last frame unfinished:
 * it was never answered for and is cut off. Any other damage is an error.
 */
#ifndef LOCKSTEP_MR_JOURNAL_H
#define LOCKSTEP_MR_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "rpc/journal.pb-c.h"

#define MR_JOURNAL_VERSION	1
#define MR_JOURNAL_MAGIC	0x314a524du	/* "MRJ1" */
#define MR_JOURNAL_HEAD		32	/* bytes before a frame's payload */

struct mr_journal;

/* Takes a record; -errno stops the reading. */
typedef int mr_journal_fn(const Mr__Record *record, void *arg);

/**
 * mr_journal_create() - begin a journal
 * @path: file, which must not exist
 * @journal: receives it
 *
 * Return: 0, -EEXIST or another -errno.
 */
int mr_journal_create(const char *path, struct mr_journal **journal);

/**
 * mr_journal_open() - read a journal and go on with it
 * @path: file
 * @fn: called for each record
 * @arg: passed to it
 * @err: receives cause and remedy
 * @errlen: size of @err
 * @journal: receives it
 *
 * Return: 0, -EBUSY (another coordinator has it), -EUCLEAN (damaged), what @fn
 * returned, or another -errno.
 */
int mr_journal_open(const char *path, mr_journal_fn *fn, void *arg, char *err, size_t errlen,
		    struct mr_journal **journal);

void mr_journal_close(struct mr_journal *j);

/* Add a record to the next frame; if that fails, mr_journal_sync() says so. */
void mr_journal_add(struct mr_journal *j, const Mr__Record *record);

/* Have all records that were added on disk. After a failure nothing is taken any more. 0 or -errno. */
int mr_journal_sync(struct mr_journal *j);

#endif
