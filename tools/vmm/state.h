/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A buffer of device state: grows by put, shrinks by get
 *
 * Values are little-endian and packed, in the order the device names them.  The
 * first error sticks: a device puts or gets everything and looks at
 * vmm_state_error() once, at the end.
 */
#ifndef VMM_STATE_H
#define VMM_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VMM_STATE_MAX	(64U << 20)	/* bytes; more than any device has */

/**
 * struct vmm_state - device state on its way out or in
 * @data:  the bytes (owned when made by put, borrowed after vmm_state_init_read())
 * @len:   bytes put, or bytes there are
 * @room:  bytes allocated, 0 when borrowed
 * @at:    bytes taken so far
 * @error: 0, or the first -errno
 */
struct vmm_state {
	uint8_t *data;
	size_t len;
	size_t room;
	size_t at;
	int error;
};

void vmm_state_init(struct vmm_state *state);
/* @data stays the caller's and must outlive @state. */
void vmm_state_init_read(struct vmm_state *state, const void *data, size_t len);
void vmm_state_exit(struct vmm_state *state);

void vmm_state_put(struct vmm_state *state, const void *data, size_t len);
void vmm_state_put_u8(struct vmm_state *state, uint8_t value);
void vmm_state_put_u16(struct vmm_state *state, uint16_t value);
void vmm_state_put_u32(struct vmm_state *state, uint32_t value);
void vmm_state_put_u64(struct vmm_state *state, uint64_t value);
void vmm_state_put_bool(struct vmm_state *state, bool value);

/* Past the end these give zeroes and set the error. */
void vmm_state_get(struct vmm_state *state, void *data, size_t len);
uint8_t vmm_state_get_u8(struct vmm_state *state);
uint16_t vmm_state_get_u16(struct vmm_state *state);
uint32_t vmm_state_get_u32(struct vmm_state *state);
uint64_t vmm_state_get_u64(struct vmm_state *state);
bool vmm_state_get_bool(struct vmm_state *state);	/* anything but 0 and 1 is an error */

/* As vmm_state_get_u32(), and an error above @max (for counts, indexes, modes). */
uint32_t vmm_state_get_max(struct vmm_state *state, uint32_t max);

/* Note an error of the caller's own, unless one is there already. */
void vmm_state_fail(struct vmm_state *state, int error);

/* 0, or the first -errno of any put or get: -ENOMEM, -E2BIG, -EINVAL. */
int vmm_state_error(const struct vmm_state *state);

/* As vmm_state_error(), and -EINVAL when bytes are left: for the end of a load. */
int vmm_state_end(const struct vmm_state *state);

#endif
