/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The definition of a guest on this host: <definitions>/<name>.conf
 *
 *	[guest]
 *	uuid = 6f1c...		the same on both hosts
 *	peer = b		node whose daemon starts the other half
 *	wait = yes		do not run before it is protected
 *
 *	[vmm]
 *	kernel = /boot/vmlinuz	every key is an option of lockstep-vmm(8):
 *	disk = /srv/web.img	--kernel, --disk, ...; may be repeated
 *	rng = yes		an option without a value; "no": not given
 */
#ifndef LOCKSTEPD_DEFINITION_H
#define LOCKSTEPD_DEFINITION_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/lockstep.h>

#include "lockstepd/config.h"

#define LOCKSTEPD_ARGS_MAX	64	/* of a VMM's command line */

/**
 * struct lockstepd_definition - a guest as this host would start it
 * @name: its name
 * @uuid: as text
 * @peer: node of the other half, or empty
 * @wait: see above
 * @args: command line of the VMM but for its role; malloc'ed strings
 * @nargs: how many; args[nargs] is NULL
 */
struct lockstepd_definition {
	char name[LOCKSTEP_NAME_MAX];
	char uuid[LOCKSTEP_UUID_STRLEN + 1];
	char peer[LOCKSTEP_NODE_NAME_MAX + 1];
	bool wait;
	char *args[LOCKSTEPD_ARGS_MAX + 8];
	unsigned int nargs;
};

/**
 * lockstepd_definition_read() - read a guest's definition and make its command line
 * @cfg: where things are
 * @name: guest
 * @twin: it is started as a twin
 * @def: receives it; lockstepd_definition_exit() frees
 * @err: receives a message with cause and remedy
 * @errlen: its size
 *
 * Return: 0 or -errno; then there is nothing to free.
 */
int lockstepd_definition_read(const struct lockstepd_config *cfg, const char *name, bool twin,
			      struct lockstepd_definition *def, char *err, size_t errlen);
void lockstepd_definition_exit(struct lockstepd_definition *def);

/** lockstepd_vmm_socket() - path of the control socket of a guest's VMM */
void lockstepd_vmm_socket(const char *run, const char *name, char *out, size_t size);

#endif
