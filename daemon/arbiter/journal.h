/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The arbiter's journal: an append-only file of fixed records.
 *
 * Each record is one 512-byte sector, so that a power failure leaves it written
 * or not, never in part:
 *
 *	u32 magic	LOCKSTEP_JOURNAL_MAGIC
 *	u8  version	1
 *	u8  type	enum lockstep_journal_type
 *	u16 keylen	at most LOCKSTEP_ARBITER_KEY_MAX
 *	u16 vallen	at most LOCKSTEP_ARBITER_VALUE_MAX
 *	u16, u32	0
 *	u64 seq		from 1, without a hole
 *	key, value, zeros
 *	u64 xxh64	at byte 504: of all before, seeded with the xxh64 of the
 *			record before (0 for the first), so that none can be
 *			left out or moved
 *
 * A tail shorter than a record, or of zeros, was never answered for and is cut
 * off at start. Anything else that does not check is damage: the arbiter
 * refuses to start, for a lost "won" would let a second instance win.
 */
#ifndef LOCKSTEP_ARBITER_JOURNAL_H
#define LOCKSTEP_ARBITER_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "arbiter/record.h"

#define LOCKSTEP_JOURNAL_MAGIC	0x524a534cU	/* "LSJR" */
#define LOCKSTEP_JOURNAL_SIZE	512		/* bytes of a record */

/* Values are on disk: never renumber. */
enum lockstep_journal_type {
	LOCKSTEP_JOURNAL_STORE	= 1,	/* value: the store's UUID from here on */
	LOCKSTEP_JOURNAL_PUT	= 2,	/* key and value of a record */
	LOCKSTEP_JOURNAL_PRUNE	= 3,	/* key: "vm/<uuid>", value: u64 below */
	__LOCKSTEP_JOURNAL_LAST,
	LOCKSTEP_JOURNAL_TYPE_MAX = __LOCKSTEP_JOURNAL_LAST - 1
};

/**
 * struct lockstep_journal_record - a record, decoded
 * @type: enum lockstep_journal_type
 * @key: key with a zero behind it
 * @value: value
 * @len: its length
 */
struct lockstep_journal_record {
	enum lockstep_journal_type type;
	char key[LOCKSTEP_ARBITER_KEY_MAX + 1];
	uint8_t value[LOCKSTEP_ARBITER_VALUE_MAX];
	size_t len;
};

/**
 * struct lockstep_journal - an open journal
 * @dir: its folder
 * @fd: the file
 * @lock_fd: lock that keeps a second arbiter away
 * @seq: number of the last record
 * @sum: its xxh64
 * @broken: a write failed; what is on disk is not known any more
 */
struct lockstep_journal {
	char *dir;
	int fd;
	int lock_fd;
	uint64_t seq;
	uint64_t sum;
	int broken;
};

/**
 * typedef lockstep_journal_fn - takes a record found at open
 * @rec: record
 * @arg: as given to open
 *
 * Return: 0, or -errno to stop: the record makes no sense.
 */
typedef int lockstep_journal_fn(const struct lockstep_journal_record *rec, void *arg);

/**
 * lockstep_journal_open() - open or make a journal and read it
 * @j: receives it
 * @dir: folder, made if need be; holds "journal" and "lock"
 * @fn: called for each record
 * @arg: for @fn
 * @err: receives a message with cause and remedy on failure
 * @errlen: its size
 *
 * Return: 0; -EBUSY if another process has it open; -EUCLEAN for damage; other
 * -errno.
 */
int lockstep_journal_open(struct lockstep_journal *j, const char *dir, lockstep_journal_fn *fn,
			  void *arg, char *err, size_t errlen);

/**
 * lockstep_journal_append() - write records and make them durable
 * @j: journal
 * @recs: records
 * @count: 1 or 2; a power failure may leave only the first
 *
 * Return: 0, or -errno: the journal takes no more, for nobody knows what is on
 * disk. The process must end and read it anew.
 */
int lockstep_journal_append(struct lockstep_journal *j,
			    const struct lockstep_journal_record *recs, unsigned int count);

/**
 * lockstep_journal_rewrite() - replace the whole journal as one step
 * @j: journal
 * @recs: its new records
 * @count: how many
 *
 * Return: 0 or -errno (the old one is still there).
 */
int lockstep_journal_rewrite(struct lockstep_journal *j,
			     const struct lockstep_journal_record *recs, size_t count);

/** lockstep_journal_close() - close it, unlock it */
void lockstep_journal_close(struct lockstep_journal *j);

#endif
