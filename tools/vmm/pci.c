// SPDX-License-Identifier: GPL-2.0
/*
 * PCI bus 0 behind configuration mechanism 1
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "pci.h"
#include "state.h"

#define PORT_ADDRESS		0xcf8
#define PORT_DATA		0xcfc
#define ADDRESS_ENABLE		0x80000000u
/* Enable, bus, device, function, register: bits 30..24 and 1..0 read as zero. */
#define ADDRESS_BITS		0x80fffffcu

/* One BAR at most 256 bytes long for each slot, as the "BIOS" assigns them. */
#define BAR_STRIDE		0x100
#define BAR_MAX			256
#define BAR_MIN			4

/* No device of ours or of a stock kernel's probing sits on these PIC lines. */
static const uint8_t irq_lines[] = { 11, 10, 9, 5 };
#define IRQ_LINES	(sizeof(irq_lines) / sizeof(irq_lines[0]))
#define PIC_LINES	16

/*
 * An identity of QEMU's generic host bridge: kernels have no quirks for it,
 * and by its class they believe in configuration mechanism 1.
 */
static const struct pci_ids bridge_ids = {
	.vendor = 0x1b36,
	.device = 0x0008,
	.subsystem_vendor = 0x1af4,
	.subsystem = 0x1100,
	.class_code = 0x060000,
};

/**
 * struct pci_bus - the bus
 * @address:  what the guest wrote to port 0xcf8
 * @slots:    functions, NULL where none is plugged
 * @lines:    per PIC line, the slots that pull it (bit n: slot n)
 * @bridge:   slot 0
 */
struct pci_bus {
	struct vmm_device dev;
	uint32_t address;
	struct pci_function *slots[PCI_SLOTS];
	uint32_t lines[PIC_LINES];
	struct pci_function bridge;
};

static uint16_t config_get16(const struct pci_function *fn, unsigned int reg)
{
	return (uint16_t)(fn->config[reg] | fn->config[reg + 1] << 8);
}

static void config_put(uint8_t *bytes, unsigned int reg, uint32_t value, unsigned int size)
{
	for (unsigned int i = 0; i < size; i++)
		bytes[reg + i] = (uint8_t)(value >> (8 * i));
}

static uint32_t bar_base(const struct pci_function *fn)
{
	uint32_t low = config_get16(fn, PCI_BASE_ADDRESS_0);
	uint32_t high = config_get16(fn, PCI_BASE_ADDRESS_0 + 2);

	return (high << 16 | low) & ~(uint32_t)(fn->bar_size - 1);
}

/* Does the slot pull its line? */
static bool line_pulled(const struct pci_function *fn)
{
	return fn->asserted && !(config_get16(fn, PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE);
}

static void line_note(struct pci_function *fn)
{
	uint32_t bit = UINT32_C(1) << fn->slot;
	uint32_t *line = &fn->bus->lines[fn->irq];

	if (fn->asserted)
		fn->config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
	else
		fn->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
	*line = line_pulled(fn) ? *line | bit : *line & ~bit;
}

static void line_update(struct pci_function *fn)
{
	uint32_t *line = &fn->bus->lines[fn->irq];
	bool before = *line != 0;

	line_note(fn);
	if (before != (*line != 0))
		vmm_irq_set(fn->bus->dev.vmm, fn->irq, *line != 0);
}

void pci_function_irq(struct pci_function *fn, bool asserted)
{
	if (fn->asserted == asserted)
		return;
	fn->asserted = asserted;
	line_update(fn);
}

/* The function and register that a data port access means, or NULL. */
static struct pci_function *config_target(struct pci_bus *bus, uint16_t port, unsigned int *reg)
{
	uint32_t address = bus->address;

	if (!(address & ADDRESS_ENABLE) || (address >> 16 & 0xff) || (address >> 8 & 7))
		return NULL;
	*reg = (address & 0xfc) + (port & 3);
	return bus->slots[address >> 11 & 0x1f];
}

static uint32_t ones(uint8_t size)
{
	return size == 4 ? UINT32_MAX : (UINT32_C(1) << (8 * size)) - 1;
}

static uint32_t config_in(void *opaque, uint16_t port, uint8_t size)
{
	struct pci_bus *bus = opaque;
	struct pci_function *fn;
	uint32_t value = 0;
	unsigned int reg;

	if (port < PORT_DATA)
		return port == PORT_ADDRESS && size == 4 ? bus->address : ones(size);
	fn = config_target(bus, port, &reg);
	if (!fn || (port & 3) + size > 4)
		return ones(size);
	for (unsigned int i = 0; i < size; i++)
		value |= (uint32_t)fn->config[reg + i] << (8 * i);
	return value;
}

static void config_out(void *opaque, uint16_t port, uint8_t size, uint32_t value)
{
	struct pci_bus *bus = opaque;
	struct pci_function *fn;
	unsigned int reg;

	if (port < PORT_DATA) {
		/* A shorter access is to a device of the chipset, not to this register. */
		if (port == PORT_ADDRESS && size == 4)
			bus->address = value & ADDRESS_BITS;
		return;
	}
	fn = config_target(bus, port, &reg);
	if (!fn || (port & 3) + size > 4)
		return;
	for (unsigned int i = 0; i < size; i++) {
		uint8_t byte = (uint8_t)(value >> (8 * i));
		uint8_t mask = fn->writable[reg + i];

		fn->config[reg + i] = (uint8_t)((fn->config[reg + i] & ~mask) | (byte & mask));
	}
	line_update(fn);
}

static const struct vmm_pio_ops config_ops = {
	.in = config_in,
	.out = config_out,
};

/* The function whose BAR decodes all of the access; the lower slot wins an overlap. */
static struct pci_function *bar_target(struct pci_bus *bus, uint16_t port, uint8_t size,
				       uint16_t *offset)
{
	for (unsigned int slot = 0; slot < PCI_SLOTS; slot++) {
		struct pci_function *fn = bus->slots[slot];
		uint32_t base;

		if (!fn || !fn->bar_size || !(fn->config[PCI_COMMAND] & PCI_COMMAND_IO))
			continue;
		base = bar_base(fn);
		if (base < PCI_WINDOW_BASE || port < base || port + size > base + fn->bar_size)
			continue;
		*offset = (uint16_t)(port - base);
		return fn;
	}
	return NULL;
}

static uint32_t window_in(void *opaque, uint16_t port, uint8_t size)
{
	struct pci_bus *bus = opaque;
	struct pci_function *fn;
	uint16_t offset;

	fn = bar_target(bus, port, size, &offset);
	return fn ? fn->ops->in(fn->opaque, offset, size) & ones(size) : ones(size);
}

static void window_out(void *opaque, uint16_t port, uint8_t size, uint32_t value)
{
	struct pci_bus *bus = opaque;
	struct pci_function *fn;
	uint16_t offset;

	fn = bar_target(bus, port, size, &offset);
	if (fn)
		fn->ops->out(fn->opaque, offset, size, value & ones(size));
}

static const struct vmm_pio_ops window_ops = {
	.in = window_in,
	.out = window_out,
};

static void function_init(struct pci_function *fn, const struct pci_ids *ids)
{
	memset(fn->config, 0, sizeof(fn->config));
	memset(fn->writable, 0, sizeof(fn->writable));
	config_put(fn->config, PCI_VENDOR_ID, ids->vendor, 2);
	config_put(fn->config, PCI_DEVICE_ID, ids->device, 2);
	config_put(fn->config, PCI_CLASS_REVISION, ids->class_code << 8 | ids->revision, 4);
	config_put(fn->config, PCI_SUBSYSTEM_VENDOR_ID, ids->subsystem_vendor, 2);
	config_put(fn->config, PCI_SUBSYSTEM_ID, ids->subsystem, 2);
	config_put(fn->writable, PCI_COMMAND,
		   PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
		   PCI_COMMAND_INTX_DISABLE, 2);
	config_put(fn->writable, PCI_CACHE_LINE_SIZE, 0xffff, 2);
}

int pci_function_add(struct pci_bus *bus, struct pci_function *fn, const struct pci_ids *ids,
		     uint16_t bar_size, const struct pci_bar_ops *ops, void *opaque)
{
	unsigned int slot = 1;

	if (bar_size < BAR_MIN || bar_size > BAR_MAX || (bar_size & (bar_size - 1)))
		return -EINVAL;
	while (slot < PCI_SLOTS && bus->slots[slot])
		slot++;
	if (slot == PCI_SLOTS)
		return -ENOSPC;

	function_init(fn, ids);
	fn->bus = bus;
	fn->ops = ops;
	fn->opaque = opaque;
	fn->bar_size = bar_size;
	fn->slot = (uint8_t)slot;
	fn->irq = irq_lines[(slot - 1) % IRQ_LINES];
	fn->asserted = false;
	config_put(fn->config, PCI_BASE_ADDRESS_0,
		   (PCI_WINDOW_BASE + slot * BAR_STRIDE) | PCI_BASE_ADDRESS_SPACE_IO, 4);
	config_put(fn->writable, PCI_BASE_ADDRESS_0, ~(uint32_t)(bar_size - 1), 4);
	config_put(fn->config, PCI_COMMAND, PCI_COMMAND_IO, 2);
	fn->config[PCI_INTERRUPT_LINE] = fn->irq;
	fn->config[PCI_INTERRUPT_PIN] = 1;
	fn->writable[PCI_INTERRUPT_LINE] = 0xff;
	bus->slots[slot] = fn;
	return 0;
}

uint16_t pci_bus_level_irqs(void)
{
	uint16_t mask = 0;

	for (unsigned int i = 0; i < IRQ_LINES; i++)
		mask |= (uint16_t)(1u << irq_lines[i]);
	return mask;
}

void pci_function_save(const struct pci_function *fn, struct vmm_state *state)
{
	vmm_state_put_bool(state, fn->asserted);
	vmm_state_put(state, fn->config, sizeof(fn->config));
}

void pci_function_load(struct pci_function *fn, struct vmm_state *state)
{
	uint8_t config[PCI_CONFIG_BYTES];
	bool asserted;

	asserted = vmm_state_get_bool(state);
	vmm_state_get(state, config, sizeof(config));
	if (asserted && !fn->bar_size)
		vmm_state_fail(state, -EINVAL);
	/* The interrupt bit of the status follows from the rest. */
	config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
	fn->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
	for (unsigned int i = 0; i < PCI_CONFIG_BYTES; i++)
		if ((config[i] ^ fn->config[i]) & ~fn->writable[i])
			vmm_state_fail(state, -EINVAL);
	if (vmm_state_error(state))
		return;
	memcpy(fn->config, config, sizeof(config));
	fn->asserted = asserted;
	line_note(fn);
}

static int bus_save(struct vmm_device *dev, struct vmm_state *state)
{
	const struct pci_bus *bus = (struct pci_bus *)dev;

	vmm_state_put_u32(state, bus->address);
	pci_function_save(&bus->bridge, state);
	return vmm_state_error(state);
}

static int bus_load(struct vmm_device *dev, struct vmm_state *state)
{
	struct pci_bus *bus = (struct pci_bus *)dev;

	bus->address = vmm_state_get_u32(state) & ADDRESS_BITS;
	pci_function_load(&bus->bridge, state);
	return vmm_state_error(state);
}

static void bus_destroy(struct vmm_device *dev)
{
	free(dev);
}

static const struct vmm_device_ops bus_ops = {
	.name = "pci",
	.save = bus_save,
	.load = bus_load,
	.destroy = bus_destroy,
};

int pci_bus_create(struct vmm *vmm, struct pci_bus **busp)
{
	struct pci_bus *bus;
	int err;

	bus = calloc(1, sizeof(*bus));
	if (!bus)
		return -ENOMEM;
	bus->dev = (struct vmm_device){ .ops = &bus_ops, .vmm = vmm, .unit = VMM_UNIT_NONE };
	function_init(&bus->bridge, &bridge_ids);
	bus->bridge.bus = bus;
	bus->slots[0] = &bus->bridge;
	err = vmm_device_add(vmm, &bus->dev);
	if (err) {
		free(bus);
		return err;
	}
	err = vmm_pio_add(vmm, PORT_ADDRESS, 8, &config_ops, bus);
	if (!err)
		err = vmm_pio_add(vmm, PCI_WINDOW_BASE, 0x10000 - PCI_WINDOW_BASE, &window_ops, bus);
	if (!err)
		*busp = bus;
	return err;
}
