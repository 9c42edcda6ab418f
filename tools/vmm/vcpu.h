/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The VM and its vCPU, as KVM has them
 */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H

#include <stdbool.h>
#include <stdint.h>

struct vmm;
struct vmm_state;

/**
 * vmm_vm_create - open KVM and make the VM
 *
 * No in-kernel irqchip, no PMU, no paravirtual features, PAUSE not intercepted, MSRs filtered.
 *
 * Return: 0, or -errno after a message.
 */
int vmm_vm_create(struct vmm *vmm);

/* Make the vCPU of the calling thread, with the CPUID table. 0 or -errno after a message. */
int vmm_vcpu_create(struct vmm *vmm);

/* Both of them, in whatever state of creation. */
void vmm_vm_destroy(struct vmm *vmm);

/* TSC frequency the guest sees when it is not intercepted. */
uint32_t vmm_vcpu_tsc_khz(const struct vmm *vmm);

/**
 * vmm_vcpu_run - one KVM_RUN
 *
 * Return: 0: a stop, -EINTR, or another -errno after a message.
 */
int vmm_vcpu_run(struct vmm *vmm);

/**
 * vmm_vcpu_complete - have KVM finish the instruction that stopped, and run nothing
 *
 * KVM takes user space's answer (a port's value, an MSR's) when it is called the
 * next time, and that may raise an exception: #GP for an MSR that is not there, #DB
 * under TF. The exception goes first, and KVM forgets all that is queued once an
 * entry is over: an interrupt raised before the completion would be lost, its line
 * in service for ever.
 *
 * Return: -EINTR: done, the vCPU is between instructions; 0: the instruction has
 * stopped again (a string goes on), which is to be served; or another -errno after
 * a message.
 */
int vmm_vcpu_complete(struct vmm *vmm);

/* Raise the interrupt that waits, or ask for a window to raise it in. */
void vmm_vcpu_inject(struct vmm *vmm);

/* Is nothing of the last instruction still to be completed by the next KVM_RUN? */
bool vmm_vcpu_clean(const struct vmm *vmm);

/* The parts of the vCPU's state, each appended in a canonical form. 0 or -errno. */
int vmm_vcpu_save_regs(struct vmm *vmm, struct vmm_state *state);
int vmm_vcpu_save_sregs(struct vmm *vmm, struct vmm_state *state);
int vmm_vcpu_save_fpu(struct vmm *vmm, struct vmm_state *state);
int vmm_vcpu_save_debug(struct vmm *vmm, struct vmm_state *state);
int vmm_vcpu_save_events(struct vmm *vmm, struct vmm_state *state);

#endif
