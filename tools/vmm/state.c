// SPDX-License-Identifier: GPL-2.0
/*
 * A buffer of device state
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

void vmm_state_init(struct vmm_state *state)
{
	memset(state, 0, sizeof(*state));
}

void vmm_state_init_read(struct vmm_state *state, const void *data, size_t len)
{
	memset(state, 0, sizeof(*state));
	/* Borrowed: room stays 0, so nothing here writes to it or frees it. */
	state->data = (uint8_t *)data;
	state->len = len;
}

void vmm_state_exit(struct vmm_state *state)
{
	if (state->room)
		free(state->data);
	memset(state, 0, sizeof(*state));
}

void vmm_state_fail(struct vmm_state *state, int error)
{
	if (!state->error)
		state->error = error;
}

int vmm_state_error(const struct vmm_state *state)
{
	return state->error;
}

int vmm_state_end(const struct vmm_state *state)
{
	if (state->error)
		return state->error;
	return state->at == state->len ? 0 : -EINVAL;
}

static int make_room(struct vmm_state *state, size_t len)
{
	size_t room = state->room ? state->room : 256;
	uint8_t *data;

	if (state->error)
		return state->error;
	if (state->data && !state->room)
		return -EINVAL;	/* opened for reading */
	if (len > VMM_STATE_MAX - state->len)
		return -E2BIG;
	while (room < state->len + len)
		room *= 2;
	if (room == state->room)
		return 0;
	data = realloc(state->data, room);
	if (!data)
		return -ENOMEM;
	state->data = data;
	state->room = room;
	return 0;
}

void vmm_state_put(struct vmm_state *state, const void *data, size_t len)
{
	int err = make_room(state, len);

	if (err) {
		vmm_state_fail(state, err);
		return;
	}
	if (len)
		memcpy(state->data + state->len, data, len);
	state->len += len;
}

void vmm_state_put_u8(struct vmm_state *state, uint8_t value)
{
	vmm_state_put(state, &value, sizeof(value));
}

void vmm_state_put_u16(struct vmm_state *state, uint16_t value)
{
	value = htole16(value);
	vmm_state_put(state, &value, sizeof(value));
}

void vmm_state_put_u32(struct vmm_state *state, uint32_t value)
{
	value = htole32(value);
	vmm_state_put(state, &value, sizeof(value));
}

void vmm_state_put_u64(struct vmm_state *state, uint64_t value)
{
	value = htole64(value);
	vmm_state_put(state, &value, sizeof(value));
}

void vmm_state_put_bool(struct vmm_state *state, bool value)
{
	vmm_state_put_u8(state, value);
}

void vmm_state_get(struct vmm_state *state, void *data, size_t len)
{
	if (!state->error && len > state->len - state->at)
		state->error = -EINVAL;
	if (state->error) {
		memset(data, 0, len);
		return;
	}
	if (len)
		memcpy(data, state->data + state->at, len);
	state->at += len;
}

uint8_t vmm_state_get_u8(struct vmm_state *state)
{
	uint8_t value;

	vmm_state_get(state, &value, sizeof(value));
	return value;
}

uint16_t vmm_state_get_u16(struct vmm_state *state)
{
	uint16_t value;

	vmm_state_get(state, &value, sizeof(value));
	return le16toh(value);
}

uint32_t vmm_state_get_u32(struct vmm_state *state)
{
	uint32_t value;

	vmm_state_get(state, &value, sizeof(value));
	return le32toh(value);
}

uint64_t vmm_state_get_u64(struct vmm_state *state)
{
	uint64_t value;

	vmm_state_get(state, &value, sizeof(value));
	return le64toh(value);
}

bool vmm_state_get_bool(struct vmm_state *state)
{
	uint8_t value = vmm_state_get_u8(state);

	if (value > 1)
		vmm_state_fail(state, -EINVAL);
	return value == 1;
}

uint32_t vmm_state_get_max(struct vmm_state *state, uint32_t max)
{
	uint32_t value = vmm_state_get_u32(state);

	if (value > max) {
		vmm_state_fail(state, -EINVAL);
		return 0;
	}
	return value;
}
