/* SPDX-License-Identifier: GPL-2.0 */
/* The vCPU's thread: the parts that hooks and ioctls share. */
#ifndef LOCKSTEP_VCPU_H
#define LOCKSTEP_VCPU_H

#include "guest.h"

int lockstep_vcpu_clock_log(struct lockstep_guest *guest, u8 type, u64 *ns, bool *stop);
bool lockstep_vcpu_is_wanted(const struct lockstep_guest *guest);
int lockstep_vcpu_park(struct lockstep_guest *guest);
int lockstep_vcpu_wait_unparked(struct lockstep_guest *guest);
int lockstep_vcpu_room_wait(struct lockstep_guest *guest, u32 len);
void lockstep_vcpu_throttle(struct lockstep_guest *guest);

#endif
