/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Hooks into KVM: our part of a vCPU's run, and KVM's helpers
 *
 * The module replaces two of KVM's static calls (kvm_x86_vcpu_run and
 * kvm_x86_handle_exit). A vCPU that was given to lockstep_hook_add() passes
 * through lockstep_vcpu_run() and lockstep_vcpu_exit(), every other one through
 * a filter and on to KVM's own function by a tail call.
 *
 * Nothing here is linked against kvm.ko: newer kernels export these helpers to
 * kvm-amd and kvm-intel only, and a module that can't be loaded because KVM is
 * absent should say so itself. Symbols are looked up at load and called through
 * static calls of our own, that is by direct calls: no retpoline, and neither
 * IBT nor kCFI has a say about functions whose address KVM never took.
 */
#ifndef _LOCKSTEP_HOOK_H
#define _LOCKSTEP_HOOK_H

#include <linux/fs.h>
#include <linux/kvm_host.h>
#include <linux/static_call.h>

#include "compat.h"

/**
 * struct lockstep_vcpu - the hook's part of a guest, embedded in it
 * @node:   in the hash of our vCPUs
 * @vcpu:   KVM's vCPU; set by the owner before lockstep_hook_add(). The owner
 *	    holds a reference on the vCPU's file until after lockstep_hook_del()
 * @rdtscp: arch: the guest has RDTSCP. Valid once @cpuid_read
 * @cpuid_read: arch: the guest's CPUID was looked at (at its first entry here)
 * @dr7:    arch: the guest's, while a step has its place
 * @exceptions: arch: likewise, those that exit
 * @iret:   arch: likewise, IRET does not exit
 * @resume: arch: likewise, RF is set
 */
struct lockstep_vcpu {
	struct hlist_node node;
	struct kvm_vcpu *vcpu;
	bool rdtscp;
	bool cpuid_read;
	u64 dr7;
	u32 exceptions;
	bool iret;
	bool resume;
};

int lockstep_hook_init(void);
void lockstep_hook_exit(void);

int lockstep_hook_add(struct lockstep_vcpu *lv);
void lockstep_hook_del(struct lockstep_vcpu *lv);

/* Of files that user space handed in: NULL if it is not KVM's. The caller holds
 * a reference on @file as long as it uses the answer.
 */
struct kvm *lockstep_hook_vm_of_file(struct file *file);
struct kvm_vcpu *lockstep_hook_vcpu_of_file(struct file *file);

/*
 * Implemented by the owner of the vCPU (vcpu.c).
 *
 * lockstep_vcpu_run: interrupts off, inside KVM's entry loop: must not sleep,
 * nor use anything that may. Calls lockstep_hook_run_orig() once, or returns
 * EXIT_FASTPATH_EXIT_HANDLED without entering the guest. Only steps do that, or enter
 * more than once; they are not for VMX: there KVM takes the exit reason it finds
 * afterwards for this entry's, and an interrupt would be handled twice, or never.
 *
 * lockstep_vcpu_exit: on the vCPU's thread, in KVM_RUN, vcpu->mutex and
 * kvm->srcu held, may sleep (drop srcu around it). Calls lockstep_hook_exit_orig()
 * once. To consume an exit it passes EXIT_FASTPATH_EXIT_HANDLED there.
 * Returns as KVM's handle_exit: 1 go on, 0 back to user space, -errno.
 */
fastpath_t lockstep_vcpu_run(struct lockstep_vcpu *lv, u64 run_flags);
int lockstep_vcpu_exit(struct lockstep_vcpu *lv, fastpath_t fastpath);

DECLARE_STATIC_CALL(lockstep_orig_run, fastpath_t (struct kvm_vcpu *, u64));
DECLARE_STATIC_CALL(lockstep_orig_exit, int (struct kvm_vcpu *, fastpath_t));

/* KVM's own vcpu_run. @run_flags as given to lockstep_vcpu_run(), or with
 * KVM_RUN_FORCE_IMMEDIATE_EXIT: injects what is to be injected, runs nothing.
 */
static inline fastpath_t lockstep_hook_run_orig(struct kvm_vcpu *vcpu, u64 run_flags)
{
	return static_call(lockstep_orig_run)(vcpu, run_flags);
}

static inline int lockstep_hook_exit_orig(struct kvm_vcpu *vcpu, fastpath_t fastpath)
{
	return static_call(lockstep_orig_exit)(vcpu, fastpath);
}

/*
 * KVM's helpers. Each is there after lockstep_hook_init() has returned 0.
 */
DECLARE_STATIC_CALL(lockstep_kvm_vcpu_load, void (struct kvm_vcpu *));
DECLARE_STATIC_CALL(lockstep_kvm_vcpu_put, void (struct kvm_vcpu *));
DECLARE_STATIC_CALL(lockstep_kvm_vcpu_kick, void (struct kvm_vcpu *));
DECLARE_STATIC_CALL(lockstep_kvm_running_vcpu, struct kvm_vcpu *(void));
DECLARE_STATIC_CALL(lockstep_kvm_skip, int (struct kvm_vcpu *));
DECLARE_STATIC_CALL(lockstep_kvm_rflags, unsigned long (struct kvm_vcpu *));

/* Make a vCPU leave the guest, or not enter it; any context but NMI. */
static inline void lockstep_hook_kick(struct kvm_vcpu *vcpu)
{
	static_call(lockstep_kvm_vcpu_kick)(vcpu);
}

unsigned long lockstep_hook_symbol(const char *name);

#endif /* _LOCKSTEP_HOOK_H */
