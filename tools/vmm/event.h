/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Inputs that wait, and the sleep of a halted vCPU
 *
 * Posting (vmm_event_post() of device.h) and vmm_wake() are for any thread, the
 * rest for the vCPU's.
 */
#ifndef VMM_EVENT_H
#define VMM_EVENT_H

#include <stdbool.h>
#include <stdint.h>

struct vmm;

#define VMM_EVENTS_MAX	4096

struct vmm_event {
	struct vmm_event *next;
	uint16_t unit;
	uint16_t kind;
	uint32_t len;
	uint8_t data[];
};

/* 0 or -errno */
int vmm_events_create(struct vmm *vmm);
void vmm_events_destroy(struct vmm *vmm);
/* Threads of devices may still post, but nothing comes of it, and the session may go. */
void vmm_events_close(struct vmm *vmm);

/* The one that waits longest, or NULL; it stays until it is dropped. */
const struct vmm_event *vmm_events_first(struct vmm *vmm);
void vmm_events_drop(struct vmm *vmm);

/* Sleep until an event is posted, vmm_wake() is called, or @ns have passed (VMM_NEVER: no limit). */
void vmm_events_sleep(struct vmm *vmm, uint64_t ns);

/* Have vmm_events_sleep() return, now or when it is called next. */
void vmm_wake(struct vmm *vmm);

#endif
