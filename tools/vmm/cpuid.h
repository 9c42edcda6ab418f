/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What CPUID shows to every guest, on every host
 *
 * One table (cpuid.c), the same on both hosts of a pair whatever they are.  A
 * host that lacks a bit of it is refused.
 */
#ifndef VMM_CPUID_H
#define VMM_CPUID_H

#include <stdint.h>
#include <linux/kvm.h>

struct vmm;

#define VMM_CPUID_LEAVES	16

/* Fill in the leaves, in order; returns their number. */
unsigned int vmm_cpuid_table(struct kvm_cpuid_entry2 *leaves);

/* xxh64 of the table, for the twin to compare. */
uint64_t vmm_cpuid_digest(void);

/**
 * vmm_cpuid_set - check that this host can show the table, and give it to the vCPU
 *
 * Return: 0; -EOPNOTSUPP after a message that names every missing bit; -errno of KVM.
 */
int vmm_cpuid_set(struct vmm *vmm);

#endif
