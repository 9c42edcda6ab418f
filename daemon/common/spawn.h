/* SPDX-License-Identifier: GPL-2.0 */
/* Starting a program, and knowing at once whether it could be started. */
#ifndef LOCKSTEP_COMMON_SPAWN_H
#define LOCKSTEP_COMMON_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

/**
 * struct lockstep_spawn - what is started, and how
 * @args: program, looked for in PATH, and its arguments; NULL-terminated
 * @dir: folder it runs in; NULL: this one
 * @out: file for standard output and error; -1: those of this process
 * @nice: its priority, whatever this process has; setting a lower number needs
 *	privilege and is left undone without
 * @tied: it is killed when this process ends, however that comes about. Only for
 *	a process whose main thread spawns
 *
 * It leads a session of its own, has /dev/null as standard input, no signal blocked,
 * and is neither preferred nor spared when memory runs out.
 */
struct lockstep_spawn {
	char *const *args;
	const char *dir;
	int out;
	int nice;
	bool tied;
};

/**
 * lockstep_spawn() - start it
 * @s: what
 *
 * Waits until the program has been loaded, which is short.
 *
 * Return: the process, for the caller to reap; or -errno of what could not be done.
 */
pid_t lockstep_spawn(const struct lockstep_spawn *s);

#endif
