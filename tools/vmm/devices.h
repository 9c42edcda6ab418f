/* SPDX-License-Identifier: GPL-2.0 */
/*
 * All devices of the machine
 */
#ifndef VMM_DEVICES_H
#define VMM_DEVICES_H

#include <stdint.h>

struct vmm;
struct vmm_state;

/* Make them, in the order of the table in devices.c. 0 or -errno after a message. */
int vmm_devices_create(struct vmm *vmm);
void vmm_devices_destroy(struct vmm *vmm);

/* Apply one input to the device of its unit. 0, or -errno: foreign data that makes no sense. */
int vmm_devices_apply(struct vmm *vmm, uint16_t unit, uint16_t kind, const void *data,
		      uint32_t len);

/* This twin is live: tell every device. */
void vmm_devices_go_live(struct vmm *vmm);

/* State of all devices, timers and streams, one after the other. 0 or -errno. */
int vmm_devices_save(struct vmm *vmm, struct vmm_state *state);
int vmm_devices_load(struct vmm *vmm, struct vmm_state *state);

/* xxh64 of what vmm_devices_save() gives. */
int vmm_devices_digest(struct vmm *vmm, uint64_t *digest);

#endif
