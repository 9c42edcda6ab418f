// SPDX-License-Identifier: GPL-2.0
/*
 * The 16550A serial port
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "serial.h"
#include "state.h"
#include "vmm.h"

#define SERIAL_BASE	0x3f8
#define SERIAL_IRQ	4
#define RX_SIZE		1024U

enum { REG_DATA, REG_IER, REG_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCRATCH };

#define IER_RX		0x01
#define IER_TX		0x02
#define IER_LINE	0x04
#define IIR_NONE	0x01
#define IIR_TX		0x02
#define IIR_RX		0x04
#define IIR_LINE	0x06
#define IIR_FIFO	0xc0
#define FCR_ENABLE	0x01
#define FCR_CLEAR_RX	0x02
#define FCR_KEPT	0xc9	/* bits that stay: enable, DMA mode, trigger level */
#define LCR_DLAB	0x80
#define MCR_LOOP	0x10
#define LSR_DATA	0x01
#define LSR_OVERRUN	0x02
#define LSR_TX_EMPTY	0x60
#define MSR_READY	0xb0	/* carrier, data set ready, clear to send */

/**
 * struct serial - the port
 * @tx_raised: the transmitter has become empty and nobody has seen it yet
 * @overrun:   a received byte found no room
 * @rx:        received bytes, @rx_count of them from @rx_first on
 */
struct serial {
	struct vmm_device dev;
	uint8_t ier;
	uint8_t fcr;
	uint8_t lcr;
	uint8_t mcr;
	uint8_t scratch;
	uint8_t divisor[2];
	bool tx_raised;
	bool overrun;
	uint32_t rx_first;
	uint32_t rx_count;
	uint8_t rx[RX_SIZE];
};

static uint8_t interrupt_id(const struct serial *serial)
{
	if (serial->ier & IER_LINE && serial->overrun)
		return IIR_LINE;
	if (serial->ier & IER_RX && serial->rx_count)
		return IIR_RX;
	if (serial->ier & IER_TX && serial->tx_raised)
		return IIR_TX;
	return IIR_NONE;
}

static void update_irq(struct serial *serial)
{
	vmm_irq_set(serial->dev.vmm, SERIAL_IRQ, interrupt_id(serial) != IIR_NONE);
}

static void receive(struct serial *serial, uint8_t byte)
{
	if (serial->rx_count == RX_SIZE) {
		serial->overrun = true;
		return;
	}
	serial->rx[(serial->rx_first + serial->rx_count++) % RX_SIZE] = byte;
}

static void tell_room(struct serial *serial, uint32_t taken)
{
	vmm_stream_room(serial->dev.vmm, LOCKSTEP_STREAM_SERIAL, RX_SIZE - serial->rx_count, taken);
}

static void write_data(struct serial *serial, uint8_t value)
{
	if (serial->lcr & LCR_DLAB) {
		serial->divisor[0] = value;
		return;
	}
	if (serial->mcr & MCR_LOOP)
		receive(serial, value);
	else
		vmm_output_bytes(serial->dev.vmm, LOCKSTEP_STREAM_SERIAL, &value, 1);
	/* Full, then empty again: an edge on the interrupt line. */
	serial->tx_raised = false;
	update_irq(serial);
	serial->tx_raised = true;
}

static void serial_out(void *opaque, uint16_t port, uint8_t size, uint32_t value32)
{
	struct serial *serial = opaque;
	uint8_t value = (uint8_t)value32;

	(void)size;
	switch (port & 7) {
	case REG_DATA:
		write_data(serial, value);
		break;
	case REG_IER:
		if (serial->lcr & LCR_DLAB) {
			serial->divisor[1] = value;
			break;
		}
		/* Enabling the transmitter's interrupt while it is empty raises it. */
		if (value & IER_TX && !(serial->ier & IER_TX))
			serial->tx_raised = true;
		serial->ier = value & 15;
		break;
	case REG_IIR:
		if (value & FCR_CLEAR_RX || (value ^ serial->fcr) & FCR_ENABLE) {
			serial->rx_count = 0;
			tell_room(serial, 0);
		}
		serial->fcr = value & FCR_KEPT;
		break;
	case REG_LCR:
		serial->lcr = value;
		break;
	case REG_MCR:
		serial->mcr = value & 0x1f;
		break;
	case REG_SCRATCH:
		serial->scratch = value;
		break;
	}
	update_irq(serial);
}

static uint8_t read_data(struct serial *serial)
{
	uint8_t value;

	if (serial->lcr & LCR_DLAB)
		return serial->divisor[0];
	if (!serial->rx_count)
		return 0;
	value = serial->rx[serial->rx_first];
	serial->rx_first = (serial->rx_first + 1) % RX_SIZE;
	serial->rx_count--;
	tell_room(serial, 0);
	return value;
}

/* In loop-back the modem's outputs are its inputs. */
static uint8_t modem_status(const struct serial *serial)
{
	uint8_t mcr = serial->mcr;

	if (!(mcr & MCR_LOOP))
		return MSR_READY;
	return (uint8_t)((mcr & 0x0c) << 4 | (mcr & 0x02) << 3 | (mcr & 0x01) << 5);
}

static uint32_t serial_in(void *opaque, uint16_t port, uint8_t size)
{
	struct serial *serial = opaque;
	uint8_t value = 0;

	(void)size;
	switch (port & 7) {
	case REG_DATA:
		value = read_data(serial);
		break;
	case REG_IER:
		value = serial->lcr & LCR_DLAB ? serial->divisor[1] : serial->ier;
		break;
	case REG_IIR:
		value = interrupt_id(serial);
		if (value == IIR_TX)
			serial->tx_raised = false;
		if (serial->fcr & FCR_ENABLE)
			value |= IIR_FIFO;
		break;
	case REG_LCR:
		value = serial->lcr;
		break;
	case REG_MCR:
		value = serial->mcr;
		break;
	case REG_LSR:
		value = LSR_TX_EMPTY | (serial->rx_count ? LSR_DATA : 0) |
			(serial->overrun ? LSR_OVERRUN : 0);
		serial->overrun = false;
		break;
	case REG_MSR:
		value = modem_status(serial);
		break;
	case REG_SCRATCH:
		value = serial->scratch;
		break;
	}
	update_irq(serial);
	return value;
}

static int serial_apply(struct vmm_device *dev, uint16_t kind, const void *data, uint32_t len)
{
	struct serial *serial = (struct serial *)dev;
	const uint8_t *bytes = data;

	if (kind != VMM_KIND_RECEIVE || !len)
		return -EINVAL;
	for (uint32_t i = 0; i < len; i++)
		receive(serial, bytes[i]);
	tell_room(serial, len);
	update_irq(serial);
	return 0;
}

static int serial_save(struct vmm_device *dev, struct vmm_state *state)
{
	struct serial *serial = (struct serial *)dev;

	vmm_state_put_u8(state, serial->ier);
	vmm_state_put_u8(state, serial->fcr);
	vmm_state_put_u8(state, serial->lcr);
	vmm_state_put_u8(state, serial->mcr);
	vmm_state_put_u8(state, serial->scratch);
	vmm_state_put(state, serial->divisor, sizeof(serial->divisor));
	vmm_state_put_bool(state, serial->tx_raised);
	vmm_state_put_bool(state, serial->overrun);
	vmm_state_put_u32(state, serial->rx_count);
	for (uint32_t i = 0; i < serial->rx_count; i++)
		vmm_state_put_u8(state, serial->rx[(serial->rx_first + i) % RX_SIZE]);
	return vmm_state_error(state);
}

static int serial_load(struct vmm_device *dev, struct vmm_state *state)
{
	struct serial *serial = (struct serial *)dev;

	serial->ier = vmm_state_get_u8(state) & 15;
	serial->fcr = vmm_state_get_u8(state) & FCR_KEPT;
	serial->lcr = vmm_state_get_u8(state);
	serial->mcr = vmm_state_get_u8(state) & 0x1f;
	serial->scratch = vmm_state_get_u8(state);
	vmm_state_get(state, serial->divisor, sizeof(serial->divisor));
	serial->tx_raised = vmm_state_get_bool(state);
	serial->overrun = vmm_state_get_bool(state);
	serial->rx_first = 0;
	serial->rx_count = vmm_state_get_max(state, RX_SIZE);
	vmm_state_get(state, serial->rx, serial->rx_count);
	tell_room(serial, 0);
	return vmm_state_error(state);
}

static void serial_destroy(struct vmm_device *dev)
{
	free(dev);
}

static const struct vmm_pio_ops serial_ports = { .width = 1, .in = serial_in, .out = serial_out };

static const struct vmm_device_ops serial_ops = {
	.name = "serial",
	.apply = serial_apply,
	.save = serial_save,
	.load = serial_load,
	.destroy = serial_destroy,
};

int vmm_serial_create(struct vmm *vmm)
{
	struct serial *serial = calloc(1, sizeof(*serial));
	int err;

	if (!serial)
		return -ENOMEM;
	serial->dev = (struct vmm_device){
		.ops = &serial_ops, .vmm = vmm, .unit = VMM_UNIT_SERIAL,
	};
	serial->tx_raised = true;
	err = vmm_device_add(vmm, &serial->dev);
	if (err) {
		free(serial);
		return err;
	}
	err = vmm_stream_open(vmm, LOCKSTEP_STREAM_SERIAL, &vmm->config.serial, VMM_UNIT_SERIAL);
	if (err)
		return err;
	tell_room(serial, 0);
	return vmm_pio_add(vmm, SERIAL_BASE, 8, &serial_ports, serial);
}
