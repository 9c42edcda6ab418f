// SPDX-License-Identifier: GPL-2.0
/*
 * The 8254 timer and port 0x61
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pit.h"
#include "state.h"
#include "vmm.h"

#define PIT_HZ		1193182U
#define NS_PER_S	1000000000U
#define PIT_IRQ		0
#define PIT_TICK	1	/* the one kind of input: channel 0 has reached its count */

enum access { ACCESS_LOW = 1, ACCESS_HIGH = 2, ACCESS_BOTH = 3 };

/**
 * struct channel - one counter
 * @start:     virtual time at which @count was loaded
 * @count:     1..65536
 * @mode:      0..5
 * @access:    enum access: which bytes reads and writes carry
 * @gate:      the gate input
 * @have_low:  the low byte of a count is written, the high one is not
 * @low:       that byte
 * @high_next: the next unlatched read gives the high byte
 * @latched:   bytes of @latch not yet read
 * @have_status: @status is latched
 */
struct channel {
	uint64_t start;
	uint32_t count;
	uint16_t latch;
	uint8_t mode;
	uint8_t access;
	uint8_t low;
	uint8_t latched;
	uint8_t status;
	bool gate;
	bool have_low;
	bool high_next;
	bool have_status;
};

struct pit {
	struct vmm_device dev;
	struct channel channels[3];
	uint64_t due;		/* virtual time of the next tick of channel 0, VMM_NEVER: none */
	uint8_t port61;		/* bits 0 and 1 as written */
	bool refresh;		/* bit 4 of port 0x61 toggles at each read */
};

static uint64_t ticks_of(const struct channel *ch, uint64_t now)
{
	if (now < ch->start)
		return 0;
	return (uint64_t)((__uint128_t)(now - ch->start) * PIT_HZ / NS_PER_S);
}

static uint64_t ns_of(uint64_t ticks)
{
	return (uint64_t)(((__uint128_t)ticks * NS_PER_S + PIT_HZ - 1) / PIT_HZ);
}

static uint16_t counter(const struct channel *ch, uint64_t now)
{
	uint64_t ticks = ticks_of(ch, now);

	switch (ch->mode) {
	case 2:
		return (uint16_t)(ch->count - ticks % ch->count);
	case 3:
		return (uint16_t)(ch->count - 2 * ticks % ch->count);
	default:
		return (uint16_t)(ch->count - ticks);
	}
}

static bool output(const struct channel *ch, uint64_t now)
{
	uint64_t ticks = ticks_of(ch, now);

	switch (ch->mode) {
	case 0:
	case 1:
		return ticks >= ch->count;
	case 2:
		return ticks % ch->count != ch->count - 1;
	case 3:
		return ticks % ch->count < (ch->count + 1) / 2;
	default:
		return ticks != ch->count;
	}
}

static void set_due(struct pit *pit, uint64_t due)
{
	pit->due = due;
	vmm_timer_set(pit->dev.vmm, VMM_UNIT_PIT, PIT_TICK, due);
}

static void load_count(struct pit *pit, struct channel *ch, uint16_t value)
{
	ch->count = value ? value : 65536;
	ch->start = vmm_clock_virtual(pit->dev.vmm);
	if (ch != pit->channels)
		return;
	/* Modes 1 and 5 wait for an edge of the gate, and that of channel 0 is tied. */
	set_due(pit, ch->mode == 1 || ch->mode == 5 ? VMM_NEVER : ch->start + ns_of(ch->count));
}

static void latch_count(struct pit *pit, struct channel *ch)
{
	if (ch->latched)
		return;
	ch->latch = counter(ch, vmm_clock_virtual(pit->dev.vmm));
	ch->latched = ch->access == ACCESS_BOTH ? 2 : 1;
}

static void read_back(struct pit *pit, uint8_t value)
{
	for (unsigned int i = 0; i < 3; i++) {
		struct channel *ch = &pit->channels[i];

		if (!(value & 2U << i))
			continue;
		if (!(value & 0x20))
			latch_count(pit, ch);
		if (!(value & 0x10) && !ch->have_status) {
			bool level = output(ch, vmm_clock_virtual(pit->dev.vmm));

			ch->status = (uint8_t)(level << 7 | ch->access << 4 | ch->mode << 1);
			ch->have_status = true;
		}
	}
}

static void write_control(struct pit *pit, uint8_t value)
{
	struct channel *ch;

	if (value >> 6 == 3) {
		read_back(pit, value);
		return;
	}
	ch = &pit->channels[value >> 6];
	if (!(value >> 4 & 3)) {
		latch_count(pit, ch);
		return;
	}
	ch->access = value >> 4 & 3;
	ch->mode = value >> 1 & 7;
	if (ch->mode > 5)
		ch->mode -= 4;
	ch->have_low = false;
	ch->high_next = false;
	ch->latched = 0;
	ch->have_status = false;
	if (ch == pit->channels)
		set_due(pit, VMM_NEVER);	/* it counts again when a count is written */
}

static void pit_out(void *opaque, uint16_t port, uint8_t size, uint32_t value32)
{
	struct pit *pit = opaque;
	uint8_t value = (uint8_t)value32;
	struct channel *ch;

	(void)size;
	if ((port & 3) == 3) {
		write_control(pit, value);
		return;
	}
	ch = &pit->channels[port & 3];
	if (ch->access == ACCESS_LOW) {
		load_count(pit, ch, value);
	} else if (ch->access == ACCESS_HIGH) {
		load_count(pit, ch, (uint16_t)(value << 8));
	} else if (!ch->have_low) {
		ch->low = value;
		ch->have_low = true;
	} else {
		ch->have_low = false;
		load_count(pit, ch, (uint16_t)(value << 8 | ch->low));
	}
}

static uint32_t pit_in(void *opaque, uint16_t port, uint8_t size)
{
	struct pit *pit = opaque;
	struct channel *ch;
	uint16_t value;

	(void)size;
	if ((port & 3) == 3)
		return 0xff;
	ch = &pit->channels[port & 3];
	if (ch->have_status) {
		ch->have_status = false;
		return ch->status;
	}
	if (ch->latched) {
		value = ch->latch;
		if (ch->access == ACCESS_HIGH || (ch->access == ACCESS_BOTH && ch->latched == 1))
			value >>= 8;
		ch->latched--;
		return value & 0xff;
	}
	value = counter(ch, vmm_clock_virtual(pit->dev.vmm));
	if (ch->access == ACCESS_BOTH)
		ch->high_next = !ch->high_next;
	if (ch->access == ACCESS_HIGH || (ch->access == ACCESS_BOTH && !ch->high_next))
		value >>= 8;
	return value & 0xff;
}

static void port61_out(void *opaque, uint16_t port, uint8_t size, uint32_t value)
{
	struct pit *pit = opaque;
	struct channel *ch = &pit->channels[2];

	(void)port;
	(void)size;
	if (value & 1 && !ch->gate)
		ch->start = vmm_clock_virtual(pit->dev.vmm);
	ch->gate = value & 1;
	pit->port61 = value & 3;
}

static uint32_t port61_in(void *opaque, uint16_t port, uint8_t size)
{
	struct pit *pit = opaque;
	bool level = output(&pit->channels[2], vmm_clock_virtual(pit->dev.vmm));

	(void)port;
	(void)size;
	pit->refresh = !pit->refresh;
	return pit->port61 | (uint32_t)pit->refresh << 4 | (uint32_t)level << 5;
}

static int pit_apply(struct vmm_device *dev, uint16_t kind, const void *data, uint32_t len)
{
	struct pit *pit = (struct pit *)dev;
	const struct channel *ch = &pit->channels[0];
	uint64_t now, period;

	if (kind != PIT_TICK || len != sizeof(now))
		return -EINVAL;
	memcpy(&now, data, sizeof(now));
	now = le64toh(now);
	if (ch->mode == 2 || ch->mode == 3) {
		period = ns_of(ch->count);
		pit->due += period;
		/* Behind by more than a period: one late tick and not a burst of them. */
		if (pit->due <= now)
			pit->due = now + period - (now - pit->due) % period;
		set_due(pit, pit->due);
	} else {
		pit->due = VMM_NEVER;
	}
	vmm_irq_set(dev->vmm, PIT_IRQ, false);
	vmm_irq_set(dev->vmm, PIT_IRQ, true);
	return 0;
}

static int pit_save(struct vmm_device *dev, struct vmm_state *state)
{
	struct pit *pit = (struct pit *)dev;

	for (unsigned int i = 0; i < 3; i++) {
		const struct channel *ch = &pit->channels[i];

		vmm_state_put_u64(state, ch->start);
		vmm_state_put_u32(state, ch->count);
		vmm_state_put_u16(state, ch->latch);
		vmm_state_put_u8(state, ch->mode);
		vmm_state_put_u8(state, ch->access);
		vmm_state_put_u8(state, ch->low);
		vmm_state_put_u8(state, ch->latched);
		vmm_state_put_u8(state, ch->status);
		vmm_state_put_bool(state, ch->gate);
		vmm_state_put_bool(state, ch->have_low);
		vmm_state_put_bool(state, ch->high_next);
		vmm_state_put_bool(state, ch->have_status);
	}
	vmm_state_put_u64(state, pit->due);
	vmm_state_put_u8(state, pit->port61);
	vmm_state_put_bool(state, pit->refresh);
	return vmm_state_error(state);
}

static int pit_load(struct vmm_device *dev, struct vmm_state *state)
{
	struct pit *pit = (struct pit *)dev;

	for (unsigned int i = 0; i < 3; i++) {
		struct channel *ch = &pit->channels[i];

		ch->start = vmm_state_get_u64(state);
		ch->count = vmm_state_get_max(state, 65536);
		ch->latch = vmm_state_get_u16(state);
		ch->mode = vmm_state_get_u8(state);
		ch->access = vmm_state_get_u8(state);
		ch->low = vmm_state_get_u8(state);
		ch->latched = vmm_state_get_u8(state);
		ch->status = vmm_state_get_u8(state);
		ch->gate = vmm_state_get_bool(state);
		ch->have_low = vmm_state_get_bool(state);
		ch->high_next = vmm_state_get_bool(state);
		ch->have_status = vmm_state_get_bool(state);
		if (!ch->count || ch->mode > 5 || !ch->access || ch->access > ACCESS_BOTH ||
		    ch->latched > 2) {
			vmm_state_fail(state, -EINVAL);
			ch->count = 65536;	/* never divide by what was loaded */
		}
	}
	pit->due = vmm_state_get_u64(state);
	pit->port61 = vmm_state_get_u8(state) & 3;
	pit->refresh = vmm_state_get_bool(state);
	set_due(pit, pit->due);
	return vmm_state_error(state);
}

static void pit_destroy(struct vmm_device *dev)
{
	free(dev);
}

static const struct vmm_pio_ops pit_ports = { .width = 1, .in = pit_in, .out = pit_out };
static const struct vmm_pio_ops port61 = { .width = 1, .in = port61_in, .out = port61_out };

static const struct vmm_device_ops pit_ops = {
	.name = "pit",
	.apply = pit_apply,
	.save = pit_save,
	.load = pit_load,
	.destroy = pit_destroy,
};

int vmm_pit_create(struct vmm *vmm)
{
	struct pit *pit = calloc(1, sizeof(*pit));
	int err;

	if (!pit)
		return -ENOMEM;
	pit->dev = (struct vmm_device){ .ops = &pit_ops, .vmm = vmm, .unit = VMM_UNIT_PIT };
	for (unsigned int i = 0; i < 3; i++) {
		pit->channels[i].count = 65536;
		pit->channels[i].access = ACCESS_BOTH;
		pit->channels[i].gate = i < 2;
	}
	pit->due = VMM_NEVER;
	err = vmm_device_add(vmm, &pit->dev);
	if (err) {
		free(pit);
		return err;
	}
	err = vmm_pio_add(vmm, 0x40, 4, &pit_ports, pit);
	return err ? err : vmm_pio_add(vmm, 0x61, 1, &port61, pit);
}
