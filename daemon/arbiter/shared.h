/* SPDX-License-Identifier: GPL-2.0 */
/* Back end "file": a folder on storage that both hosts see. */
#ifndef LOCKSTEP_ARBITER_SHARED_H
#define LOCKSTEP_ARBITER_SHARED_H

#include "arbiter/backend.h"

struct event_base;

/**
 * struct lockstep_arbiter_file_config - where it is
 * @loop: the daemon's; outlives the back end
 * @name: of the arbiter, for people
 * @node: this node: who asks. There is nobody to check it
 * @boot_id: boot of this host, which a folder on a local disk shares
 * @dir: folder, an absolute path
 * @step: called before each enum lockstep_folder_step of a request, on a thread
 *	of the back end; or NULL. For tests
 * @arg: for @step
 */
struct lockstep_arbiter_file_config {
	struct event_base *loop;
	const char *name;
	const char *node;
	struct lockstep_uuid boot_id;
	const char *dir;
	int (*step)(unsigned int step, void *arg);
	void *arg;
};

/**
 * lockstep_arbiter_file_create() - use a folder as arbiter
 * @cfg: where it is; copied
 * @out: receives the back end; freed with (*out)->ops->destroy(*out)
 *
 * A thread does what may hang. When it does, requests run into their time limits,
 * one after the other; the thread stays with what it began, and what comes of it
 * is found by asking again. A request whose time is over before its link() does
 * not make it any more.
 *
 * Return: 0 or -errno.
 */
int lockstep_arbiter_file_create(const struct lockstep_arbiter_file_config *cfg,
				 struct lockstep_arbiter **out);

#endif
