/* SPDX-License-Identifier: GPL-2.0 */
/* A twin follows the log: consuming records, comparing what is here with them. */
#ifndef LOCKSTEP_REPLAY_H
#define LOCKSTEP_REPLAY_H

#include "guest.h"

/**
 * enum lockstep_replay - how a look at the log ended; negative: -errno
 * @LOCKSTEP_REPLAY_RECORD: there is a record
 * @LOCKSTEP_REPLAY_AHEAD: no record, and none will come for this place
 * @LOCKSTEP_REPLAY_LIVE: this side lives now
 */
enum lockstep_replay {
	LOCKSTEP_REPLAY_RECORD = 0,
	LOCKSTEP_REPLAY_AHEAD = 1,
	LOCKSTEP_REPLAY_LIVE = 2,
};

void lockstep_replay_here(struct lockstep_guest *guest, struct lockstep_rec *rec);
int lockstep_replay_wait(struct lockstep_guest *guest, struct lockstep_rec *rec, bool may_pass);
int lockstep_replay_match(struct lockstep_guest *guest, const struct lockstep_rec *rec);
int lockstep_replay_expect(struct lockstep_guest *guest, u8 type, struct lockstep_rec *rec);
void lockstep_replay_pop(struct lockstep_guest *guest, const struct lockstep_rec *rec);
int lockstep_replay_clock(struct lockstep_guest *guest, u64 *ns, bool *stop);
bool lockstep_replay_stalls(struct lockstep_guest *guest);
int lockstep_diverge(struct lockstep_guest *guest, u32 reason, u64 expected, u64 found);

static inline bool lockstep_mode_lives(u8 mode)
{
	return mode == LOCKSTEP_VCPU_RUN || mode == LOCKSTEP_VCPU_LOG;
}

#endif
