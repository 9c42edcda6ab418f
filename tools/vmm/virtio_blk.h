/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-blk on a raw file
 *
 * A request is copied out of the guest at its doorbell, the bytes to be written
 * included, and executed by the disk's own thread.  What was read, the status
 * and the used ring reach the guest when the completion is applied: at its
 * position in the log, on a twin after its own disk has done the same.
 *
 * Requests that are refused for what they are (out of range, of unknown type, a
 * write to a read-only disk) depend on nothing outside and end at the doorbell.
 * When much is in flight the device takes no more; it goes on at a completion.
 */
#ifndef VMM_VIRTIO_BLK_H
#define VMM_VIRTIO_BLK_H

#include "config.h"
#include "device.h"

struct pci_bus;

/**
 * virtio_blk_create - a disk of the guest
 * @bus: where it is plugged in
 * @config: its file; the strings live as long as the device
 * @index: 0..VMM_DISKS_MAX - 1: unit VMM_UNIT_DISK0 + @index
 *
 * Registers the device with @vmm, which destroys it. Returns 0 or -errno after a message on stderr.
 */
int virtio_blk_create(struct vmm *vmm, struct pci_bus *bus, const struct vmm_disk_config *config,
		      unsigned int index);

#endif
