/* SPDX-License-Identifier: GPL-2.0 */
/* Strangers, as the daemons tell of them: an event each, but no flood of events. */
#ifndef LOCKSTEP_TRANSPORT_REFUSAL_H
#define LOCKSTEP_TRANSPORT_REFUSAL_H

#include <stdint.h>

/**
 * struct lockstep_refusals - what was told of late; begins as zeroes
 * @since_ns: when the present period began
 * @told: events in it
 * @untold: refusals since the last event
 */
struct lockstep_refusals {
	uint64_t since_ns;
	unsigned int told;
	uint64_t untold;
};

/**
 * lockstep_refusal_tell() - an event connection.refused, if there were not too many
 * @r: of this daemon
 * @address: where it came from
 * @node: name in its certificate, or NULL
 * @reason: why it was turned away
 *
 * The next event after some that were left out says how many.
 */
void lockstep_refusal_tell(struct lockstep_refusals *r, const char *address, const char *node,
			   const char *reason);

#endif
