/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Starting VMMs. A VMM runs in a session of its own and outlives this daemon;
 * while the daemon lives it is told how the VMM ends.
 */
#ifndef LOCKSTEPD_LAUNCH_H
#define LOCKSTEPD_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>

#include "lockstepd/config.h"
#include "lockstepd/definition.h"

struct event_base;
struct lockstepd_launcher;

/**
 * typedef lockstepd_launched - how a start went
 * @error: 0: the guest is attached; else -errno
 * @text: the same in words
 * @arg: as given
 */
typedef void lockstepd_launched(int error, const char *text, void *arg);

/**
 * lockstepd_launcher_create() - ready to start VMMs
 * @base: loop
 * @cfg: where things are; outlives the launcher
 * @out: receives it
 *
 * Return: 0 or -errno.
 */
int lockstepd_launcher_create(struct event_base *base, const struct lockstepd_config *cfg,
			      struct lockstepd_launcher **out);
/** lockstepd_launcher_destroy() - VMMs go on; no callback any more */
void lockstepd_launcher_destroy(struct lockstepd_launcher *l);

/**
 * lockstepd_launch() - start the VMM of a guest
 * @l: launcher
 * @name: guest
 * @twin: as a twin
 * @def: receives the definition without its arguments; may be NULL
 * @done: called once, from the loop, if 0 is returned: when the guest attached,
 *	its VMM ended, or after a time limit
 * @arg: passed through
 * @err: receives a message with cause and remedy
 * @errlen: its size
 *
 * Return: 0 or -errno.
 */
int lockstepd_launch(struct lockstepd_launcher *l, const char *name, bool twin,
		     struct lockstepd_definition *def, lockstepd_launched *done, void *arg,
		     char *err, size_t errlen);

/** lockstepd_launch_attached() - a guest of that name attached */
void lockstepd_launch_attached(struct lockstepd_launcher *l, const char *name);

#endif
