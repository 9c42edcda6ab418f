// SPDX-License-Identifier: GPL-2.0
/*
 * The i8042 keyboard controller with nothing plugged in
 */
#include <errno.h>
#include <stdlib.h>

#include "i8042.h"
#include "state.h"
#include "vmm.h"

#define STATUS_FULL	0x01	/* a byte waits at port 0x60 */
#define STATUS_SELFTEST	0x04
#define STATUS_UNLOCKED	0x10

#define CMD_READ_CTR	0x20
#define CMD_WRITE_CTR	0x60
#define CMD_SELFTEST	0xaa
#define CMD_TEST_KBD	0xab
#define CMD_WRITE_OUT	0xd1
#define CMD_LOOP_KBD	0xd2
#define CMD_LOOP_AUX	0xd3
#define CMD_SEND_AUX	0xd4
#define CMD_RESET	0xfe

#define CTR_DEFAULT	0x30	/* both ports off */

struct i8042 {
	struct vmm_device dev;
	bool full;
	uint8_t out;
	uint8_t command;	/* whose data byte comes next, or 0 */
	uint8_t control;
};

static void reply(struct i8042 *kbc, uint8_t value)
{
	kbc->out = value;
	kbc->full = true;
}

static void write_command(struct i8042 *kbc, uint8_t value)
{
	kbc->command = 0;
	switch (value) {
	case CMD_READ_CTR:
		reply(kbc, kbc->control);
		break;
	case CMD_SELFTEST:
		reply(kbc, 0x55);
		break;
	case CMD_TEST_KBD:
		reply(kbc, 0);
		break;
	case CMD_WRITE_CTR:
	case CMD_WRITE_OUT:
	case CMD_LOOP_KBD:
	case CMD_LOOP_AUX:
	case CMD_SEND_AUX:
		kbc->command = value;
		break;
	case CMD_RESET:
		vmm_end(kbc->dev.vmm, VMM_END_RESET);
		break;
	}
}

static void write_data(struct i8042 *kbc, uint8_t value)
{
	if (kbc->command == CMD_WRITE_CTR)
		kbc->control = value;
	else if (kbc->command == CMD_WRITE_OUT && !(value & 1))
		vmm_end(kbc->dev.vmm, VMM_END_RESET);	/* the output port drives the reset line */
	else if (kbc->command == CMD_LOOP_KBD)
		reply(kbc, value);
	kbc->command = 0;
}

static void i8042_out(void *opaque, uint16_t port, uint8_t size, uint32_t value)
{
	(void)size;
	if (port & 4)
		write_command(opaque, (uint8_t)value);
	else
		write_data(opaque, (uint8_t)value);
}

static uint32_t i8042_in(void *opaque, uint16_t port, uint8_t size)
{
	struct i8042 *kbc = opaque;

	(void)size;
	if (port & 4)
		return STATUS_UNLOCKED | STATUS_SELFTEST | (kbc->full ? STATUS_FULL : 0);
	kbc->full = false;
	return kbc->out;
}

static int i8042_save(struct vmm_device *dev, struct vmm_state *state)
{
	struct i8042 *kbc = (struct i8042 *)dev;

	vmm_state_put_bool(state, kbc->full);
	vmm_state_put_u8(state, kbc->out);
	vmm_state_put_u8(state, kbc->command);
	vmm_state_put_u8(state, kbc->control);
	return vmm_state_error(state);
}

static int i8042_load(struct vmm_device *dev, struct vmm_state *state)
{
	struct i8042 *kbc = (struct i8042 *)dev;

	kbc->full = vmm_state_get_bool(state);
	kbc->out = vmm_state_get_u8(state);
	kbc->command = vmm_state_get_u8(state);
	kbc->control = vmm_state_get_u8(state);
	return vmm_state_error(state);
}

static void i8042_destroy(struct vmm_device *dev)
{
	free(dev);
}

static const struct vmm_pio_ops i8042_ports = { .width = 1, .in = i8042_in, .out = i8042_out };

static const struct vmm_device_ops i8042_ops = {
	.name = "i8042",
	.save = i8042_save,
	.load = i8042_load,
	.destroy = i8042_destroy,
};

int vmm_i8042_create(struct vmm *vmm)
{
	struct i8042 *kbc = calloc(1, sizeof(*kbc));
	int err;

	if (!kbc)
		return -ENOMEM;
	kbc->dev = (struct vmm_device){ .ops = &i8042_ops, .vmm = vmm, .unit = VMM_UNIT_NONE };
	kbc->control = CTR_DEFAULT;
	err = vmm_device_add(vmm, &kbc->dev);
	if (err) {
		free(kbc);
		return err;
	}
	err = vmm_pio_add(vmm, 0x60, 1, &i8042_ports, kbc);
	return err ? err : vmm_pio_add(vmm, 0x64, 1, &i8042_ports, kbc);
}
