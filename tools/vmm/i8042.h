/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The i8042 keyboard controller (ports 0x60, 0x64) with nothing plugged in
 *
 * It passes its self-test and resets the machine.  The guest ends with it:
 * "reboot=k" is a reset through here.
 */
#ifndef VMM_I8042_H
#define VMM_I8042_H

struct vmm;

/* 0 or -errno */
int vmm_i8042_create(struct vmm *vmm);

#endif
