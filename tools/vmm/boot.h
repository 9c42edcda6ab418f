/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The x86 Linux boot protocol: bzImage and initrd, entered in 32-bit protected mode
 */
#ifndef VMM_BOOT_H
#define VMM_BOOT_H

#include <stddef.h>
#include <stdint.h>

struct vmm;

#define VMM_SEED_LEN	32

/**
 * vmm_boot_load - put kernel, initrd, parameters and seed into guest memory
 * @cmdline: of the kernel
 * @seed:    VMM_SEED_LEN bytes for the guest's random pool
 *
 * Return: 0, or -errno after a message that names the file and what is wrong with it.
 */
int vmm_boot_load(struct vmm *vmm, const char *cmdline, const uint8_t *seed);

/* Point the vCPU at the kernel. 0 or -errno after a message. */
int vmm_boot_registers(struct vmm *vmm);

/* The command line: what this machine needs, then what the user appends. 0 or -E2BIG after a message. */
int vmm_boot_cmdline(struct vmm *vmm, char *cmdline, size_t size);

#endif
