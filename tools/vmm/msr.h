/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What every MSR does, on every host
 *
 * One table (msr.c).  KVM's filter denies everything that it does not pass; a
 * denied access comes here and gets a fixed value, a logged clock, or #GP.
 */
#ifndef VMM_MSR_H
#define VMM_MSR_H

#include <stdbool.h>
#include <stdint.h>

struct vmm;
struct vmm_state;

/* Set the filter; before the vCPU is made. 0 or -errno after a message. */
int vmm_msr_filter(struct vmm *vmm);

/* xxh64 of the table, for the twin to compare. */
uint64_t vmm_msr_digest(void);

/* Serve KVM_EXIT_X86_RDMSR or KVM_EXIT_X86_WRMSR in vmm->run. */
void vmm_msr_exit(struct vmm *vmm, bool write);

/* Values a BIOS would have left: memory is write-back. 0 or -errno after a message. */
int vmm_msr_init(struct vmm *vmm);

/* Append number and value of each MSR that is state, in the order of the table. 0 or -errno. */
int vmm_msr_save(struct vmm *vmm, struct vmm_state *state);

#endif
