/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The power-off port (0x604, as QEMU's): bit 13 of the 16-bit register, nothing else
 *
 * "outw 0x2000, 0x604", or the byte 0x20 to port 0x605, powers the guest off.
 * Stateless, so there is no device.
 */
#ifndef VMM_POWER_H
#define VMM_POWER_H

struct vmm;

/* 0 or -errno */
int vmm_power_create(struct vmm *vmm);

#endif
