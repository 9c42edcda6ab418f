/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The host side of a network device: a tap, and a thread that reads it
 *
 * Where live and the guest receives, each frame read is posted as an input; all
 * others are dropped, so that the tap of a twin never fills.  When the guest is
 * behind by TAP_PENDING_MAX frames the thread stops reading, and the tap's own
 * queue drops, as a slow network card would have it.
 */
#ifndef VMM_TAP_H
#define VMM_TAP_H

#include <stdbool.h>
#include <stdint.h>

#include "device.h"

/* Kinds of input. Never renumber. */
#define TAP_KIND_FRAME		1	/* a frame, without any header in front */

#define TAP_FRAME_MIN		14	/* an Ethernet header */
#define TAP_FRAME_MAX		16384	/* LOCKSTEP_PAYLOAD_MAX */
#define TAP_PENDING_MAX		256	/* frames posted and not applied */

#define TAP_ANNOUNCEMENTS	5
#define TAP_ANNOUNCE_FIRST_MS	50	/* from the first to the second; then 50 ms more each */

struct tap;

/**
 * tap_attach - open the tap of this name; it has to exist already or is made
 * @vmm: for messages
 *
 * Frames are plain (no packet information, no virtio header, no offloads).
 * Returns its file descriptor, or -errno after a message.
 */
int tap_attach(struct vmm *vmm, const char *name);

/**
 * tap_create - start reading
 * @fd: gives one frame at a read and takes one at a write; taken over, also on failure
 * @unit: frames are posted as inputs of it
 *
 * Returns 0 or -errno.
 */
int tap_create(struct vmm *vmm, int fd, enum vmm_unit unit, struct tap **tapp);
void tap_destroy(struct tap *tap);

/* All below: vCPU thread. */

/* Are inputs of this side real, and is the guest's driver there to take them? */
void tap_set(struct tap *tap, bool live, bool receiving);

/* One frame that was posted has been applied. */
void tap_applied(struct tap *tap);

/*
 * Between these calls no announcement is sent: the log of an output and its frame
 * follow each other with nothing between.
 */
void tap_hold(struct tap *tap);
void tap_unhold(struct tap *tap);

/* Send one frame; held. What the tap refuses is lost, as on a network, and is said once. */
void tap_send(struct tap *tap, const void *frame, uint32_t len);

/**
 * tap_announce - tell the network where this MAC is now
 *
 * Sends a reverse ARP request at once and TAP_ANNOUNCEMENTS - 1 more from the thread. They are no
 * outputs of the guest. Not held.
 */
void tap_announce(struct tap *tap, const uint8_t mac[6]);

#endif
