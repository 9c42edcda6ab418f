/* SPDX-License-Identifier: GPL-2.0 */
/* What the VMM may ask at a stop: the calls of /dev/lockstep on the vCPU's thread. */
#ifndef LOCKSTEP_STOP_H
#define LOCKSTEP_STOP_H

#include "guest.h"

int lockstep_stop_next(struct lockstep_guest *guest, struct lockstep_next *next);
int lockstep_stop_input(struct lockstep_guest *guest, const struct lockstep_input *input);
int lockstep_stop_clock(struct lockstep_guest *guest, struct lockstep_clock *clock);
int lockstep_stop_output(struct lockstep_guest *guest, struct lockstep_output *output);
int lockstep_stop_digest(struct lockstep_guest *guest, const struct lockstep_digest *digest);
int lockstep_stop_mismatch(struct lockstep_guest *guest, const struct lockstep_digest *digest);
int lockstep_stop_poweroff(struct lockstep_guest *guest);

#endif
