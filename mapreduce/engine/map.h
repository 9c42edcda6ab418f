/* SPDX-License-Identifier: GPL-2.0 */
/* What a map does with its split. */
#ifndef LOCKSTEP_MR_MAP_H
#define LOCKSTEP_MR_MAP_H

#include "engine/task.h"

/* 0, or the -errno with which the attempt has failed. */
int mr_map_run(struct mr_task *task);

#endif
