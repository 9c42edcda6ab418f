/* SPDX-License-Identifier: GPL-2.0 */
/*
 * I/O ports, as the guest accesses them
 *
 * @size is 1, 2 or 4; ports wrap at 64 Ki.  Claiming ports is in device.h.
 */
#ifndef VMM_PIO_H
#define VMM_PIO_H

#include <stdint.h>

struct vmm;

uint32_t vmm_pio_in(struct vmm *vmm, uint16_t port, uint8_t size);
void vmm_pio_out(struct vmm *vmm, uint16_t port, uint8_t size, uint32_t value);

#endif
