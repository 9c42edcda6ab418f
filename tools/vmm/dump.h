/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The canonical dump of a guest: equal guests give equal files
 *
 * "LSDUMP01", then sections: name (16 bytes, NUL-padded), length (le64), bytes.
 * In this order: regs (struct kvm_regs), sregs, fpu, debugregs, msrs (le32
 * number, le64 value), events, devices, disks (le64 digest each), memory.
 */
#ifndef VMM_DUMP_H
#define VMM_DUMP_H

#include <stdint.h>

struct vmm;
struct vmm_state;

/* xxh64 of the vCPU's sections. 0 or -errno. */
int vmm_dump_digest_vcpu(struct vmm *vmm, uint64_t *digest);

/**
 * vmm_dump_write - write it
 * @path:   replaced if it exists; complete or not there at all
 * @disks:  digest of each disk, @n_disks of them
 *
 * Return: 0 or -errno.
 */
int vmm_dump_write(struct vmm *vmm, const char *path, const uint64_t *disks, unsigned int n_disks);

#endif
