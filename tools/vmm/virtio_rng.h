/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-rng: entropy of the host, through the log
 *
 * A doorbell has the host draw random bytes, which come back as an input: the
 * twin gets the primary's.
 */
#ifndef VMM_VIRTIO_RNG_H
#define VMM_VIRTIO_RNG_H

#include "device.h"

struct pci_bus;

/* Kinds of input. Never renumber. */
#define RNG_KIND_DATA	1	/* le64 number of the request, bytes */

#define RNG_BYTES_MAX	256	/* of one request; a guest that wants more asks again */

/* Registers the device with @vmm, which destroys it. Returns 0 or -errno. */
int virtio_rng_create(struct vmm *vmm, struct pci_bus *bus);

#endif
