/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PCI bus 0 behind configuration mechanism 1 (ports 0xcf8 and 0xcfc)
 *
 * A host bridge in slot 0 and up to 31 functions with one I/O BAR each.  As a
 * BIOS would, the bus has assigned every BAR, enabled I/O decoding and written
 * the PIC line of each function into PCI_INTERRUPT_LINE: the guest needs
 * neither ACPI nor a PIRQ table ("acpi=off noapic pci=conf1").  The guest may
 * move a BAR; the bridge forwards I/O from PCI_WINDOW_BASE up.
 *
 * INTx goes straight to a fixed PIC line.  The lines are level-triggered and
 * shared: pci_bus_level_irqs() says which bits the ELCR has to show.
 *
 * vCPU thread only (or before it runs).
 */
#ifndef VMM_PCI_H
#define VMM_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "device.h"

struct pci_bus;

#define PCI_SLOTS		32
#define PCI_CONFIG_BYTES	256
#define PCI_WINDOW_BASE		0x1000	/* lowest port of a BAR that is decoded */

/**
 * struct pci_bar_ops - what answers behind the I/O BAR
 * @in:  read @size (1, 2, 4) bytes at @offset of the BAR
 * @out: write them
 *
 * offset + size never exceeds the BAR.
 */
struct pci_bar_ops {
	uint32_t (*in)(void *opaque, uint16_t offset, uint8_t size);
	void (*out)(void *opaque, uint16_t offset, uint8_t size, uint32_t value);
};

/**
 * struct pci_ids - identity of a function
 * @class_code: 24 bits: class, subclass, programming interface
 */
struct pci_ids {
	uint16_t vendor;
	uint16_t device;
	uint16_t subsystem_vendor;
	uint16_t subsystem;
	uint32_t class_code;
	uint8_t revision;
};

/**
 * struct pci_function - one function of the bus; embedded in the device that owns it
 * @config:   configuration space as the guest reads it
 * @writable: bits of it that the guest can write
 * @bar_size: bytes behind the I/O BAR, a power of two from 4 to 256
 * @asserted: the device drives INTA#
 */
struct pci_function {
	struct pci_bus *bus;
	const struct pci_bar_ops *ops;
	void *opaque;
	uint8_t config[PCI_CONFIG_BYTES];
	uint8_t writable[PCI_CONFIG_BYTES];
	uint16_t bar_size;
	uint8_t slot;
	uint8_t irq;
	bool asserted;
};

/**
 * pci_bus_create - make the bus with its host bridge and claim its ports
 * @vmm: owner; the bus is registered with it as a device, which it destroys
 * @busp: out: the bus
 *
 * Claims ports 0xcf8..0xcff and PCI_WINDOW_BASE..0xffff. Returns 0 or -errno.
 */
int pci_bus_create(struct vmm *vmm, struct pci_bus **busp);

/**
 * pci_bus_level_irqs - PIC lines of the bus
 *
 * Bit n: line n is level-triggered, as the ELCR (ports 0x4d0, 0x4d1) has to show.
 */
uint16_t pci_bus_level_irqs(void);

/**
 * pci_function_add - plug a function into the next free slot
 * @bus: bus
 * @fn: the function; memory of the caller, which outlives the bus
 * @ids: identity
 * @bar_size: bytes of its I/O BAR, a power of two from 4 to 256
 * @ops: what answers behind the BAR
 * @opaque: for @ops
 *
 * Assigns BAR and interrupt line. Slots are given in the order of the calls,
 * which therefore has to be the same on both hosts. Returns 0, -EINVAL, or
 * -ENOSPC when all slots are taken.
 */
int pci_function_add(struct pci_bus *bus, struct pci_function *fn, const struct pci_ids *ids,
		     uint16_t bar_size, const struct pci_bar_ops *ops, void *opaque);

/* INTA# of the function, as the device drives it. */
void pci_function_irq(struct pci_function *fn, bool asserted);

/*
 * Configuration space of one function. Loading does not touch the PIC, whose own
 * state has the level of its lines. Errors stick to @state; -EINVAL: of another function.
 */
void pci_function_save(const struct pci_function *fn, struct vmm_state *state);
void pci_function_load(struct pci_function *fn, struct vmm_state *state);

#endif
