/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-console with one port (hvc0 of a Linux guest)
 *
 * What the guest writes is a byte stream of outputs; what arrives from outside
 * is an input, kept in the device until the guest has given it buffers.
 */
#ifndef VMM_VIRTIO_CONSOLE_H
#define VMM_VIRTIO_CONSOLE_H

#include "config.h"
#include "device.h"

struct pci_bus;

#define CONSOLE_INPUT_BYTES	4096	/* kept until the guest takes them */

/**
 * virtio_console_create - the guest's virtio console
 * @bus: where it is plugged in
 * @sink: where its bytes go to and come from
 *
 * Registers the device with @vmm, which destroys it. Returns 0 or -errno.
 */
int virtio_console_create(struct vmm *vmm, struct pci_bus *bus,
			  const struct vmm_sink_config *sink);

#endif
