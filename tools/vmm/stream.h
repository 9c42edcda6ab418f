/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Byte streams: the serial line and the console
 *
 * The device's side is in device.h.  Bytes the guest makes are gathered into
 * chunks at places that are the same on both hosts, logged or compared, and
 * handed to the sink by the host thread when they may leave.
 */
#ifndef VMM_STREAM_H
#define VMM_STREAM_H

#include <stdint.h>

struct vmm;
struct vmm_state;

/* Close what is gathered of all streams: at a halt, behind an input, at the end (vCPU thread). */
void vmm_streams_flush(struct vmm *vmm);

/* This twin is live: keep only what was not released, and let it go (vCPU thread). */
void vmm_streams_go_live(struct vmm *vmm);

/* Hand over what may leave, take in what there is room for (host thread). */
void vmm_streams_service(struct vmm *vmm);

/* What of the streams belongs to the guest's state: counts and the open chunks. 0 or -errno. */
int vmm_streams_save(struct vmm *vmm, struct vmm_state *state);
int vmm_streams_load(struct vmm *vmm, struct vmm_state *state);

/* The host thread has stopped: hand over the rest, for at most @ms milliseconds in all. */
void vmm_streams_finish(struct vmm *vmm, unsigned int ms);
void vmm_streams_destroy(struct vmm *vmm);

/**
 * struct vmm_stream_status - for "status"
 * @made:    bytes the guest made
 * @handed:  of those, handed over (or dropped, on a twin, as released by the primary)
 * @lost:    of those, dropped because the sink took nothing for too long
 */
struct vmm_stream_status {
	uint64_t made;
	uint64_t handed;
	uint64_t lost;
};

/* 0, or -ENOENT: no such stream (any thread). */
int vmm_stream_status(struct vmm *vmm, uint32_t stream, struct vmm_stream_status *status);

#endif
