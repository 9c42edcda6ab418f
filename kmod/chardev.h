/* SPDX-License-Identifier: GPL-2.0 */
/* /dev/lockstep: the VMM's door. */
#ifndef LOCKSTEP_CHARDEV_H
#define LOCKSTEP_CHARDEV_H

int lockstep_chardev_init(void);
void lockstep_chardev_exit(void);

#endif
