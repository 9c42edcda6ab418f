/* SPDX-License-Identifier: GPL-2.0 */
/*
 * MapReduce, as far as this daemon has to do with it: it keeps one process alive.
 *
 * That process, mrnode (mapreduce/node/), has connections, user and priority of its
 * own. Nothing of MapReduce runs in this daemon, so that no job, however large or
 * broken, can hold up a guest's log. It is killed when this daemon ends, and its
 * children with it; started again it takes up its jobs from their journals.
 */
#ifndef LOCKSTEPD_MAPREDUCE_H
#define LOCKSTEPD_MAPREDUCE_H

#include "lockstepd/config.h"

struct event_base;
struct json_object;
struct lockstepd_mapreduce;

/**
 * lockstepd_mapreduce_create() - start mrnode and keep it running
 * @base: loop
 * @config: the configuration's file, which mrnode reads too; outlives this
 * @cfg: what stands in it; outlives this
 * @out: receives it
 *
 * A program that can't be started is told in the log, and tried again.
 *
 * Return: 0 or -ENOMEM.
 */
int lockstepd_mapreduce_create(struct event_base *base, const char *config,
			       const struct lockstepd_config *cfg,
			       struct lockstepd_mapreduce **out);

/** lockstepd_mapreduce_destroy() - end it */
void lockstepd_mapreduce_destroy(struct lockstepd_mapreduce *m);

/** lockstepd_mapreduce_status() - {pid, starts}; a new object or NULL */
struct json_object *lockstepd_mapreduce_status(const struct lockstepd_mapreduce *m);

#endif
