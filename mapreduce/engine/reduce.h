/* SPDX-License-Identifier: GPL-2.0 */
/* What a reduce does with its regions. */
#ifndef LOCKSTEP_MR_REDUCE_H
#define LOCKSTEP_MR_REDUCE_H

#include "engine/task.h"

/* 0, or the -errno with which the attempt has failed. */
int mr_reduce_run(struct mr_task *task);

#endif
