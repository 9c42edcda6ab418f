/* SPDX-License-Identifier: GPL-2.0 */
/* Files that have no final name yet. */
#ifndef LOCKSTEP_MR_TEMPFILE_H
#define LOCKSTEP_MR_TEMPFILE_H

#include "engine/attempt.h"

/* A file in @dir without a name: it is gone when the process ends. The descriptor, or -errno. */
int mr_tempfile_unnamed(const char *dir);

/**
 * mr_tempfile_create() - create a file whose name is an attempt's own
 * @dir: folder
 * @name: name; a file that has it was left by a process that is gone, and is replaced
 * @path: receives the path, to be freed
 *
 * Return: its descriptor, or -errno.
 */
int mr_tempfile_create(const char *dir, const char *name, char **path);

#endif
