/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The arbiter's store: records of guests' generations and the rules by which
 * they are made (backend.h), over a journal.
 *
 * Nothing is changed in memory before it is durable, so whatever can be read
 * here survives a power failure. Not thread-safe.
 */
#ifndef LOCKSTEP_ARBITER_STORE_H
#define LOCKSTEP_ARBITER_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arbiter/rules.h"

#define LOCKSTEP_STORE_RECORDS_MAX	1000000

struct lockstep_store;

/**
 * lockstep_store_open() - open a store, minting one in an empty folder
 * @dir: folder
 * @out: receives it
 * @err: receives a message with cause and remedy on failure
 * @errlen: its size
 *
 * Return: 0 or as lockstep_journal_open().
 */
int lockstep_store_open(const char *dir, struct lockstep_store **out, char *err, size_t errlen);

/** lockstep_store_close() - close it; NULL is allowed */
void lockstep_store_close(struct lockstep_store *s);

/**
 * lockstep_store_restore() - give it a new UUID: it may be an old copy
 * @s: store
 *
 * Generations opened before can't be claimed any more.
 *
 * Return: 0 or -errno.
 */
int lockstep_store_restore(struct lockstep_store *s);

/*
 * Requests. @node is the authenticated name of who asks. Each returns 0 with
 * the verdict, or -errno when the journal failed: the process must then end
 * without answering.
 */
int lockstep_store_create(struct lockstep_store *s, const char *node, const char *key,
			  const void *value, size_t len, struct lockstep_verdict *v);
int lockstep_store_claim(struct lockstep_store *s, const char *node, const char *key,
			 const void *value, size_t len, struct lockstep_verdict *v);
int lockstep_store_prune(struct lockstep_store *s, const char *node,
			 const struct lockstep_uuid *vm, uint64_t below,
			 struct lockstep_verdict *v);

/** lockstep_store_get() - find a record; NULL if there is none */
const struct lockstep_store_record *lockstep_store_get(struct lockstep_store *s,
						       const struct lockstep_arbiter_key *key);

/**
 * lockstep_store_next() - walk over all records, guests in order of their UUID,
 * generations oldest first
 * @s: store
 * @after: key to go on behind, which need not exist; NULL to begin
 *
 * Return: the next record or NULL.
 */
const struct lockstep_store_record *lockstep_store_next(struct lockstep_store *s,
							const struct lockstep_arbiter_key *after);

const struct lockstep_uuid *lockstep_store_uuid(const struct lockstep_store *s);
uint64_t lockstep_store_records(const struct lockstep_store *s);
uint64_t lockstep_store_journal_bytes(const struct lockstep_store *s);

#endif
