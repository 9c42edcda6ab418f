/* SPDX-License-Identifier: GPL-2.0 */
/* /sys/kernel/lockstep: defaults, and a folder per guest (docs/ABI-sysfs.md). */
#ifndef LOCKSTEP_SYSFS_H
#define LOCKSTEP_SYSFS_H

#include "guest.h"

int lockstep_sysfs_init(void);
void lockstep_sysfs_exit(void);
void lockstep_sysfs_guest_init(struct lockstep_guest *guest);
int lockstep_sysfs_guest_add(struct lockstep_guest *guest);
void lockstep_sysfs_guest_del(struct lockstep_guest *guest);

u32 lockstep_log_size_default(void);
u32 lockstep_lag_limit_default(void);

#endif
