/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Regions of maps that ran on other nodes: asked for as soon as the coordinator tells
 * where they are, while other maps still run.
 *
 * All of it is called on the task thread with the worker's lock held.
 */
#ifndef LOCKSTEP_MR_REMOTE_H
#define LOCKSTEP_MR_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/mr.pb-c.h"

struct mr_region;
struct mr_remote_one;
struct mr_work;

#define MR_REMOTE_MAX	64	/* asked for at once */

/**
 * struct mr_remote - those of one reduce
 * @work: worker
 * @reduce: partition
 * @dir: where files go
 * @ones: by map; NULL: not asked for
 * @nr: maps
 * @next: all below were asked for, or need not be
 * @asked: under way
 * @failed: so many can't be had
 */
struct mr_remote {
	struct mr_work *work;
	uint32_t reduce;
	const char *dir;
	struct mr_remote_one **ones;
	uint32_t nr;
	uint32_t next;
	uint32_t asked;
	uint32_t failed;
};

/* Once the reduce was granted. 0 or -ENOMEM. */
int mr_remote_init(struct mr_remote *remote, struct mr_work *work, uint32_t reduce, const char *dir);

/* Files that mr_remote_take() did not give out are removed. */
void mr_remote_exit(struct mr_remote *remote);

/* Is a run's file one of another node? */
bool mr_remote_is(const struct mr_work *work, const Mr__Run *run);

/* Ask for what is known by now; to be called whenever something changed. */
void mr_remote_ask(struct mr_remote *remote);

/* A map's region is not to be had from where its run is: then, and only then, true. */
bool mr_remote_failed(const struct mr_remote *remote, uint32_t map);

/**
 * mr_remote_take() - wait for a region
 * @remote: those of the reduce
 * @map: whose; all runs are known
 * @region: receives it; its path is malloc'ed, and the file the caller's
 * @err: receives why it can't be had
 * @errlen: its size
 *
 * Return: 0; -ECANCELED: the attempt is not wanted any more; -ENOSPC and the like, of
 * this node; -EREMOTEIO: the map must be made again.
 */
int mr_remote_take(struct mr_remote *remote, uint32_t map, struct mr_region *region, char *err, size_t errlen);

#endif
