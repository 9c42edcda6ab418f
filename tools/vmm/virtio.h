/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio devices over legacy PCI (virtio 0.9.5): what they have in common
 *
 * A device is a struct virtio_device embedded in its own structure, first.  This
 * part keeps the registers behind the I/O BAR, the queues and the interrupt; the
 * device sees doorbells, resets and reads of its configuration bytes.  A queue
 * that breaks the rules stops the device (nothing is taken from its queues and
 * nothing put there) until the guest resets it; the status register then shows
 * VIRTIO_CONFIG_S_NEEDS_RESET.
 *
 * vCPU thread only.
 */
#ifndef VMM_VIRTIO_H
#define VMM_VIRTIO_H

#include <stdbool.h>
#include <stdint.h>

#include "device.h"
#include "pci.h"
#include "virtqueue.h"

#define VIRTIO_QUEUES_MAX	2

struct virtio_device;

/**
 * struct virtio_ops - what differs between devices
 * @config_in: one byte of the device's configuration; 0 behind its end
 * @config_out: the guest writes one; may be NULL
 * @doorbell: the guest has notified @queue
 * @forget: requests of @queue that are in flight are not the guest's any more: the queue is reset
 *	    or set up anew; may be NULL
 * @status: the guest has written the status register, 0 (reset) included; may be NULL
 */
struct virtio_ops {
	uint8_t (*config_in)(struct virtio_device *vd, unsigned int offset);
	void (*config_out)(struct virtio_device *vd, unsigned int offset, uint8_t value);
	void (*doorbell)(struct virtio_device *vd, unsigned int queue);
	void (*forget)(struct virtio_device *vd, unsigned int queue);
	void (*status)(struct virtio_device *vd);
};

/**
 * struct virtio_type - what a kind of device is to the guest and to the VMM
 * @id: virtio device id (1: network, 2: block, ...)
 * @pci_device: transitional PCI device id, 0x1000..0x103f
 * @class_code: PCI class, 24 bits
 * @queue_count: 1..VIRTIO_QUEUES_MAX
 * @queue_size: entries of each queue, a power of two up to VIRTQUEUE_SIZE_MAX
 */
struct virtio_type {
	uint16_t id;
	uint16_t pci_device;
	uint32_t class_code;
	uint8_t queue_count;
	uint16_t queue_size;
	const struct virtio_ops *ops;
	const struct vmm_device_ops *device_ops;
};

/**
 * struct virtio_device - one device
 * @offered: feature bits the guest may accept
 * @accepted: those it has
 * @status: status register
 * @isr: interrupt status register
 * @broken: a queue broke the rules
 * @reported: that was said once
 */
struct virtio_device {
	struct vmm_device dev;
	const struct virtio_type *type;
	struct pci_function pci;
	uint32_t offered;
	uint32_t accepted;
	uint16_t queue_select;
	uint8_t status;
	uint8_t isr;
	bool broken;
	bool reported;
	struct virtqueue queues[VIRTIO_QUEUES_MAX];
};

/**
 * virtio_init - plug the device into the bus
 * @vd: zeroed device
 * @offered: feature bits
 *
 * The caller then registers &vd->dev with vmm_device_add(). Returns 0 or -errno.
 */
int virtio_init(struct virtio_device *vd, struct vmm *vmm, struct pci_bus *bus,
		const struct virtio_type *type, enum vmm_unit unit, uint32_t offered);

static inline struct virtio_device *virtio_from_device(struct vmm_device *dev)
{
	/* First member, by the contract above. */
	return (struct virtio_device *)dev;
}

/* Has the guest's driver said that it is ready (and has nothing broken since)? */
bool virtio_is_running(const struct virtio_device *vd);

/* Stop the device: @queue broke the rules, as @what says. */
void virtio_break(struct virtio_device *vd, unsigned int queue, const char *what);

/* Take the next request of @queue: true, or false when there is none or the device is stopped. */
bool virtio_pop(struct virtio_device *vd, unsigned int queue, struct virtqueue_chain *chain);

/* Undo the last virtio_pop() of @queue. */
void virtio_unpop(struct virtio_device *vd, unsigned int queue);

/* Give a request back and interrupt if the guest wants that. */
void virtio_push(struct virtio_device *vd, unsigned int queue, uint16_t head, uint32_t len);

/* Registers, queues and PCI function; the device appends its own. Errors stick to @state. */
void virtio_save(const struct virtio_device *vd, struct vmm_state *state);
void virtio_load(struct virtio_device *vd, struct vmm_state *state);

#endif
