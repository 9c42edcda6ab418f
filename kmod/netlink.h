/* SPDX-License-Identifier: GPL-2.0 */
/* The generic netlink family: what daemons ask, and what they are told. */
#ifndef LOCKSTEP_NETLINK_H
#define LOCKSTEP_NETLINK_H

#include "guest.h"

int lockstep_netlink_init(void);
void lockstep_netlink_exit(void);

void lockstep_netlink_state_send(struct lockstep_guest *guest, u32 old, u32 event, u32 flags);
int lockstep_netlink_log_send(struct lockstep_guest *guest, u32 portid, const void *batch,
			      size_t len);
int lockstep_netlink_ack_send(struct lockstep_guest *guest, u32 portid, bool wait);

#endif
