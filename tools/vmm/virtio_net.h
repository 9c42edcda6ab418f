/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-net on a tap
 *
 * No offloads and no control queue: each frame that the guest sends is copied at
 * its doorbell and is one output, named by its number from 1; each frame that it
 * gets is one input, copied into its next buffer when it is applied, or dropped
 * when there is none that fits.
 *
 * On a twin frames sent are kept until the primary is known to have sent them.
 */
#ifndef VMM_VIRTIO_NET_H
#define VMM_VIRTIO_NET_H

#include "config.h"
#include "device.h"

struct pci_bus;

/**
 * virtio_net_create - the guest's network device
 * @bus: where it is plugged in
 * @config: name of the tap and the MAC the guest sees
 *
 * Registers the device with @vmm, which destroys it. Returns 0 or -errno after a message on stderr.
 */
int virtio_net_create(struct vmm *vmm, struct pci_bus *bus, const struct vmm_net_config *config);

/*
 * The same on a file descriptor that gives and takes one frame at a time; it is
 * taken over, also on failure.
 */
int virtio_net_create_fd(struct vmm *vmm, struct pci_bus *bus, int fd, const uint8_t mac[6]);

#endif
