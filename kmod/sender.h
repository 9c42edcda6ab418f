/* SPDX-License-Identifier: GPL-2.0 */
/* The thread that drains a guest's log, or acks, to the daemon. */
#ifndef LOCKSTEP_SENDER_H
#define LOCKSTEP_SENDER_H

#include "guest.h"

int lockstep_sender_start(struct lockstep_guest *guest);
void lockstep_sender_stop(struct lockstep_guest *guest);
int lockstep_sender_rewind(struct lockstep_guest *guest, u64 lsn);
u64 lockstep_sender_released(const struct lockstep_guest *guest, unsigned int stream);
void lockstep_sender_released_look(struct lockstep_guest *guest);

/* Process context, no lock needed: send now what there is. */
static inline void lockstep_sender_flush(struct lockstep_guest *guest)
{
	WRITE_ONCE(guest->flush, true);
	wake_up_interruptible(&guest->send_wq);
}

#endif
