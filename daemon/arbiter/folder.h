/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The arbiter's store in a folder that both hosts see.
 *
 *	DIR/identity.N			UUID of the store; the highest N counts
 *	DIR/<guest's uuid>/<seq>	the guest after its change number seq
 *
 * Nobody owns the folder, and no lock is taken, for whoever holds one may die or
 * hang. A change is made by giving a file, complete and on disk, the next free
 * number with link(2), which fails if another one has it: then what it says is
 * looked at, and the request judged anew. So changes of a guest are in one order
 * for everybody, and each was judged on the one before it. Files are never
 * changed, renamed or removed: a request that hung for hours would otherwise find
 * a number free again that was taken before.
 *
 * A number that was taken is found again by its nonce, also when the answer to
 * link() was an error or came from a request sent twice (NFS).
 *
 * Calls block for as long as the storage does. Not thread-safe.
 */
#ifndef LOCKSTEP_ARBITER_FOLDER_H
#define LOCKSTEP_ARBITER_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arbiter/image.h"
#include "arbiter/rules.h"

/* What is done next. */
enum lockstep_folder_step {
	LOCKSTEP_FOLDER_READ	= 0,	/* look for the newest image */
	LOCKSTEP_FOLDER_CREATE	= 1,	/* a temporary file */
	LOCKSTEP_FOLDER_WRITE	= 2,
	LOCKSTEP_FOLDER_SYNC	= 3,
	LOCKSTEP_FOLDER_LINK	= 4,	/* the last step that leaves nothing behind */
	LOCKSTEP_FOLDER_BACK	= 5,	/* read back who has the number */
	LOCKSTEP_FOLDER_DURABLE	= 6,	/* fsync the folder */
	LOCKSTEP_FOLDER_DONE	= 7,
	__LOCKSTEP_FOLDER_STEP_LAST,
};

/**
 * typedef lockstep_folder_step_fn - called before each step
 * @step: enum lockstep_folder_step
 * @arg: as given
 *
 * Return: 0, or -errno to fail there.
 */
typedef int lockstep_folder_step_fn(unsigned int step, void *arg);

struct lockstep_folder;

/**
 * lockstep_folder_open() - use a folder
 * @dir: absolute path; it is not touched yet
 * @node: name of this node
 * @step: called before each step; may be NULL
 * @arg: for @step
 * @out: receives it
 *
 * Return: 0 or -errno.
 */
int lockstep_folder_open(const char *dir, const char *node, lockstep_folder_step_fn *step,
			 void *arg, struct lockstep_folder **out);

/** lockstep_folder_close() - forget it; NULL is allowed */
void lockstep_folder_close(struct lockstep_folder *f);

/*
 * Each of the following returns 0; 1 when the folder is refused: it is not, or
 * is an older copy of, what was seen before; or -errno when nothing is known.
 * Then lockstep_folder_detail() has it in words.
 */

/** lockstep_folder_identity() - see whether it is there; its UUID: lockstep_folder_store() */
int lockstep_folder_identity(struct lockstep_folder *f);

/**
 * lockstep_folder_load() - read a guest
 * @f: folder
 * @vm: guest
 * @im: receives it, until the next call; seq 0: it is not known
 */
int lockstep_folder_load(struct lockstep_folder *f, const struct lockstep_uuid *vm,
			 const struct lockstep_image **im);

/**
 * lockstep_folder_request() - judge a request, and make its change
 * @f: folder
 * @rq: request
 * @v: receives the verdict; its record is valid until the next call
 *
 * With -errno the change may have been made if the step LINK was passed.
 */
int lockstep_folder_request(struct lockstep_folder *f, const struct lockstep_rules_request *rq,
			    struct lockstep_verdict *v);

/**
 * lockstep_folder_guests() - all guests there are
 * @f: folder
 * @vms: receives an array for the caller to free; NULL if there is none
 * @count: receives its length
 */
int lockstep_folder_guests(struct lockstep_folder *f, struct lockstep_uuid **vms, size_t *count);

const char *lockstep_folder_detail(const struct lockstep_folder *f);
const struct lockstep_uuid *lockstep_folder_store(const struct lockstep_folder *f);

/**
 * lockstep_folder_is_local() - is it on a disk of this host only?
 * @f: folder
 *
 * Return: 1 or 0; -errno when it can't be told.
 */
int lockstep_folder_is_local(struct lockstep_folder *f);

/**
 * lockstep_folder_mint() - make the folder a store, or give it a new UUID
 * @f: folder, which must exist: it is not made, for it may be that nothing is mounted there
 * @restore: it is one, and may be an older copy; else it must be none yet
 *
 * Return: 0; -EEXIST: it is one; -ENOENT: it is none; other -errno.
 */
int lockstep_folder_mint(struct lockstep_folder *f, bool restore);

#endif
