// SPDX-License-Identifier: GPL-2.0
/*
 * A machine without KVM, for tests of the ISA devices
 */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm_rig.h"
#include "vmm/pic.h"
#include "vmm/pio.h"
#include "vmm/session.h"
#include "vmm/state.h"

/* ---- what the devices ask of the machine ---- */

static struct rig *rig_of(const struct vmm *vmm)
{
	return vmm->session_data;
}

int vmm_device_add(struct vmm *vmm, struct vmm_device *dev)
{
	if (dev->unit < VMM_UNITS)
		vmm->units[dev->unit] = dev;
	vmm->devices[vmm->n_devices++] = dev;
	return 0;
}

void vmm_say(const struct vmm *vmm, const char *format, ...)
{
	(void)format;
	rig_of(vmm)->said++;
}

void vmm_end(struct vmm *vmm, enum vmm_ending ending)
{
	if (!vmm->ending)
		vmm->ending = ending;
}

int vmm_stream_open(struct vmm *vmm, uint32_t stream, const struct vmm_sink_config *sink,
		    enum vmm_unit unit)
{
	(void)vmm;
	(void)sink;
	assert_int_equal(stream, LOCKSTEP_STREAM_SERIAL);
	assert_int_equal(unit, VMM_UNIT_SERIAL);
	return 0;
}

void vmm_stream_room(struct vmm *vmm, uint32_t stream, uint32_t room, uint32_t taken)
{
	assert_int_equal(stream, LOCKSTEP_STREAM_SERIAL);
	rig_of(vmm)->room = room;
	rig_of(vmm)->taken += taken;
}

int vmm_output_bytes(struct vmm *vmm, uint32_t stream, const void *data, uint32_t len)
{
	struct rig *rig = rig_of(vmm);

	assert_int_equal(stream, LOCKSTEP_STREAM_SERIAL);
	assert_true(rig->n_out + len <= RIG_ROOM);
	memcpy(rig->out + rig->n_out, data, len);
	rig->n_out += len;
	return 0;
}

/* ---- session ---- */

static int rig_clock(struct vmm *vmm, uint32_t kind, uint32_t flags, uint64_t *ns)
{
	struct rig *rig = rig_of(vmm);

	assert_int_equal(flags, 0);
	*ns = kind == LOCKSTEP_CLOCK_WALL ? rig->wall : rig->now;
	assert_true(rig->n_clocks < RIG_ROOM);
	if (rig->primary) {
		if (rig->n_clocks >= rig->primary->n_clocks)
			return -EILSEQ;
		*ns = rig->primary->clocks[rig->n_clocks];
	}
	rig->clocks[rig->n_clocks++] = *ns;
	return 0;
}

static const struct vmm_session_ops rig_session = {
	.name = "rig",
	.virtual_tsc = true,
	.clock = rig_clock,
};

/* ---- the rig ---- */

struct rig *rig_new(struct rig *primary)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	rig->vmm = calloc(1, sizeof(*rig->vmm));
	assert_non_null(rig->vmm);
	rig->primary = primary;
	rig->now = 1000000000;
	rig->wall = 1700000000ULL * 1000000000;
	rig->vmm->session = &rig_session;
	rig->vmm->session_data = rig;
	for (unsigned int i = 0; i < VMM_UNITS; i++)
		rig->vmm->timers[i].ns = VMM_NEVER;
	assert_int_equal(vmm_pic_create(rig->vmm), 0);
	return rig;
}

void rig_exit(struct rig *rig)
{
	struct vmm *vmm = rig->vmm;

	while (vmm->n_devices) {
		struct vmm_device *dev = vmm->devices[--vmm->n_devices];

		dev->ops->destroy(dev);
	}
	free(vmm);
	free(rig);
}

uint8_t rig_in(struct rig *rig, uint16_t port)
{
	return (uint8_t)vmm_pio_in(rig->vmm, port, 1);
}

void rig_out(struct rig *rig, uint16_t port, uint8_t value)
{
	vmm_pio_out(rig->vmm, port, 1, value);
}

void rig_pic_init(struct rig *rig)
{
	static const struct {
		uint16_t port;
		uint8_t value;
	} writes[] = {
		{ 0x20, 0x11 }, { 0x21, 0x30 }, { 0x21, 0x04 }, { 0x21, 0x01 },
		{ 0xa0, 0x11 }, { 0xa1, 0x38 }, { 0xa1, 0x02 }, { 0xa1, 0x01 },
		{ 0x21, 0x00 }, { 0xa1, 0x00 },
	};

	for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++)
		rig_out(rig, writes[i].port, writes[i].value);
}

int rig_interrupt(struct rig *rig)
{
	uint8_t vector;

	if (!vmm_pic_pending(rig->vmm))
		return -1;
	vector = vmm_pic_ack(rig->vmm);
	if (vector >= 0x38)
		rig_out(rig, 0xa0, 0x20);
	rig_out(rig, 0x20, 0x20);
	return vector - 0x30;
}

int rig_apply(struct rig *rig, enum vmm_unit unit, uint16_t kind, const void *data, uint32_t len)
{
	struct vmm_timer *timer = &rig->vmm->timers[unit];

	if (timer->kind == kind && timer->ns != VMM_NEVER)
		timer->ns = VMM_NEVER;
	return rig->vmm->units[unit]->ops->apply(rig->vmm->units[unit], kind, data, len);
}

unsigned int rig_pass(struct rig *rig, uint64_t to)
{
	unsigned int count = 0;

	while (vmm_timers_next(rig->vmm) <= to) {
		for (unsigned int i = 0; i < VMM_UNITS; i++) {
			struct vmm_timer *timer = &rig->vmm->timers[i];
			uint64_t payload;

			if (timer->ns > to || timer->ns != vmm_timers_next(rig->vmm))
				continue;
			rig->wall += timer->ns - rig->now;
			rig->now = timer->ns;
			payload = htole64(rig->now);
			assert_int_equal(rig_apply(rig, i, timer->kind, &payload, 8), 0);
			count++;
			break;
		}
	}
	rig->wall += to - rig->now;
	rig->now = to;
	return count;
}

uint8_t *rig_save(struct rig *rig, size_t *len)
{
	struct vmm_state state;

	vmm_state_init(&state);
	for (unsigned int i = 0; i < rig->vmm->n_devices; i++)
		assert_int_equal(rig->vmm->devices[i]->ops->save(rig->vmm->devices[i], &state), 0);
	*len = state.len;
	return state.data;
}

int rig_load(struct rig *rig, const void *data, size_t len)
{
	struct vmm_state state;
	int err = 0;

	vmm_state_init_read(&state, data, len);
	for (unsigned int i = 0; i < rig->vmm->n_devices && !err; i++)
		err = rig->vmm->devices[i]->ops->load(rig->vmm->devices[i], &state);
	return err ? err : vmm_state_end(&state);
}
