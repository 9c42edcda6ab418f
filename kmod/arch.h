/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between SVM and VMX
 *
 * All contact with the insides of kvm-amd and kvm-intel is in arch_svm.c and
 * arch_vmx.c, one struct lockstep_arch_ops each. Others call the functions
 * below, on a vCPU of their own (struct lockstep_vcpu, hook.h).
 */
#ifndef _LOCKSTEP_ARCH_H
#define _LOCKSTEP_ARCH_H

#include <linux/static_call.h>
#include <linux/types.h>

#include "hook.h"

/**
 * struct lockstep_regs - general registers, in the order digests use
 * @gpr:    RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8..R15 (x86's numbering)
 * @rip:    the instruction about to run
 * @rflags: as the guest sees them
 */
struct lockstep_regs {
	u64 gpr[16];
	u64 rip;
	u64 rflags;
};

enum lockstep_tsc_exit {
	LOCKSTEP_TSC_NONE = 0,
	LOCKSTEP_TSC_RDTSC,
	LOCKSTEP_TSC_RDTSCP,
};

/**
 * struct lockstep_step - how the next entry is to end early
 * @rip:  the instruction to stop before, by a breakpoint
 * @pass: the vCPU is before it already and shall go past it once
 * @rep:  it is a REP that the vCPU is in, to be stopped in: run it with a smaller RCX
 *	  to its end, then put it back
 * @rcx:  @rep: RCX to stop at, smaller than what it is
 * @iret: it is at an IRET: stop behind it, wherever that is
 */
struct lockstep_step {
	u64 rip;
	bool pass;
	bool rep;
	u64 rcx;
	bool iret;
};

/**
 * enum lockstep_step_exit - how an entry with a step ended
 * @LOCKSTEP_STEP_NONE: by itself: the exit is KVM's
 * @LOCKSTEP_STEP_BREAK: at the breakpoint
 * @LOCKSTEP_STEP_REP: the vCPU is in the REP, with the RCX wanted; the instruction has
 *	retired once more than in the guest's life
 * @LOCKSTEP_STEP_EVENT: an exception would have shown the guest the smaller RCX: it did
 *	not happen yet, enter again without @rep
 * @LOCKSTEP_STEP_IRET: an IRET comes, which could load RF and so take the guest past the
 *	breakpoint: it did not happen yet, enter again with @iret
 */
enum lockstep_step_exit {
	LOCKSTEP_STEP_NONE = 0,
	LOCKSTEP_STEP_BREAK,
	LOCKSTEP_STEP_REP,
	LOCKSTEP_STEP_EVENT,
	LOCKSTEP_STEP_IRET,
};

/**
 * struct lockstep_arch_ops - one vendor's side of the module
 *
 * The contract of each is at the function of that name below.
 */
struct lockstep_arch_ops {
	const char *name;
	const char *module;

	int (*check)(void);
	int (*vcpu_check)(struct lockstep_vcpu *lv);
	void (*vcpu_enter)(struct lockstep_vcpu *lv);
	void (*vcpu_detach)(struct lockstep_vcpu *lv);
	enum lockstep_tsc_exit (*tsc_exit)(struct lockstep_vcpu *lv);
	enum lockstep_tsc_exit (*tsc_fast)(struct lockstep_vcpu *lv);
	void (*tsc_answer)(struct lockstep_vcpu *lv, enum lockstep_tsc_exit which, u64 value);
	void (*tsc_finish)(struct lockstep_vcpu *lv, enum lockstep_tsc_exit which, u64 value);
	int (*tsc_skip)(struct lockstep_vcpu *lv);
	void (*regs_get)(struct lockstep_vcpu *lv, struct lockstep_regs *regs);
	bool (*clean_boundary)(struct lockstep_vcpu *lv);
	bool (*debug_free)(struct lockstep_vcpu *lv);
	bool (*event_queued)(struct lockstep_vcpu *lv);
	void (*resume_flag_clear)(struct lockstep_vcpu *lv);
	void (*step_enter)(struct lockstep_vcpu *lv, const struct lockstep_step *step);
	enum lockstep_step_exit (*step_exit)(struct lockstep_vcpu *lv,
					     const struct lockstep_step *step);
};

extern const struct lockstep_arch_ops lockstep_svm_ops;
extern const struct lockstep_arch_ops lockstep_vmx_ops;

int lockstep_arch_init(const char *kvm_module);
const char *lockstep_arch_name(void);

/**
 * struct lockstep_arch_field - a field of one of KVM's private structures
 * @structure: name of the structure
 * @field:     name of the field, NULL: the size of the structure
 * @offset:    where the module was built to find it, bytes (or the size)
 */
struct lockstep_arch_field {
	const char *structure;
	const char *field;
	u32 offset;
};

/* For the vendors' check: compare with the running kernel's type information. */
int lockstep_arch_fields_check(const struct lockstep_arch_field *fields, size_t n);
/* For the vendors' clean_boundary: what both have in common. */
bool lockstep_arch_vcpu_idle(const struct kvm_vcpu *vcpu);

DECLARE_STATIC_CALL(lockstep_arch_vcpu_enter, void (struct lockstep_vcpu *));
DECLARE_STATIC_CALL(lockstep_arch_tsc_exit,
		    enum lockstep_tsc_exit (struct lockstep_vcpu *));
DECLARE_STATIC_CALL(lockstep_arch_tsc_fast,
		    enum lockstep_tsc_exit (struct lockstep_vcpu *));
DECLARE_STATIC_CALL(lockstep_arch_tsc_answer,
		    void (struct lockstep_vcpu *, enum lockstep_tsc_exit, u64));
DECLARE_STATIC_CALL(lockstep_arch_tsc_finish,
		    void (struct lockstep_vcpu *, enum lockstep_tsc_exit, u64));
DECLARE_STATIC_CALL(lockstep_arch_regs_get,
		    void (struct lockstep_vcpu *, struct lockstep_regs *));

/**
 * lockstep_arch_vcpu_check() - can this vCPU be replicated?
 * @lv: the vCPU, its mutex held, not in KVM_RUN
 *
 * Return: 0, or -EOPNOTSUPP after a warning that says why
 */
int lockstep_arch_vcpu_check(struct lockstep_vcpu *lv);

/**
 * lockstep_arch_vcpu_detach() - take back what vcpu_enter changed
 * @lv: the vCPU, its mutex held, not in KVM_RUN; after lockstep_hook_del()
 */
void lockstep_arch_vcpu_detach(struct lockstep_vcpu *lv);

/* Before entries (lockstep_vcpu_run(), interrupts off): have RDTSC and RDTSCP exit.
 * KVM may undo it where it handles an exit or a request, so not between two entries.
 */
static inline void lockstep_arch_vcpu_enter(struct lockstep_vcpu *lv)
{
	static_call(lockstep_arch_vcpu_enter)(lv);
}

/* What the exit just taken is; valid while fastpath is EXIT_FASTPATH_NONE, in
 * lockstep_vcpu_run() behind the entry and in lockstep_vcpu_exit(). The guest was
 * allowed to read the clock: #GP (CR4.TSD) and #UD come before the exit.
 */
static inline enum lockstep_tsc_exit lockstep_arch_tsc_exit(struct lockstep_vcpu *lv)
{
	return static_call(lockstep_arch_tsc_exit)(lv);
}

/* The same, if tsc_finish may be used for it: its length is known, no single step. */
static inline enum lockstep_tsc_exit lockstep_arch_tsc_fast(struct lockstep_vcpu *lv)
{
	return static_call(lockstep_arch_tsc_fast)(lv);
}

/* Give the guest its value: RAX, RDX, and RCX (TSC_AUX) for RDTSCP. */
static inline void lockstep_arch_tsc_answer(struct lockstep_vcpu *lv,
					    enum lockstep_tsc_exit which, u64 value)
{
	static_call(lockstep_arch_tsc_answer)(lv, which, value);
}

/* tsc_answer, and past the instruction, interrupts off, for what tsc_fast said. Leaves
 * the same state as lockstep_arch_tsc_skip().
 */
static inline void lockstep_arch_tsc_finish(struct lockstep_vcpu *lv,
					    enum lockstep_tsc_exit which, u64 value)
{
	static_call(lockstep_arch_tsc_finish)(lv, which, value);
}

/**
 * lockstep_arch_tsc_skip() - go past the instruction by KVM's own means
 * @lv: the vCPU, in lockstep_vcpu_exit(), behind lockstep_hook_exit_orig() with
 *	EXIT_FASTPATH_EXIT_HANDLED
 *
 * May emulate and may sleep; raises the guest's single-step trap.
 *
 * Return: as handle_exit: 1 go on, 0 leave to user space (exit_reason is set)
 */
int lockstep_arch_tsc_skip(struct lockstep_vcpu *lv);

/* General registers, rip, rflags. On the vCPU's thread in either hook, or from
 * elsewhere with vcpu->mutex held (may sleep then). PIO and MMIO have to be
 * completed before (KVM_RUN with immediate_exit), see clean_boundary.
 */
static inline void lockstep_arch_regs_get(struct lockstep_vcpu *lv, struct lockstep_regs *regs)
{
	static_call(lockstep_arch_regs_get)(lv, regs);
}

/**
 * lockstep_arch_clean_boundary() - is the vCPU between two instructions?
 * @lv: the vCPU, as for lockstep_arch_regs_get()
 *
 * Return: true if no event is injected or pending, no instruction is half
 * done and no interrupt shadow is on: a place that the other host has as well
 */
bool lockstep_arch_clean_boundary(struct lockstep_vcpu *lv);

/* Is stepping implemented for this vendor? The functions below need it. */
bool lockstep_arch_can_step(void);

/* Does the guest leave debug registers and TF alone, so that breakpoints are ours?
 * In either hook, or with vcpu->mutex held.
 */
bool lockstep_arch_debug_free(struct lockstep_vcpu *lv);

/* In lockstep_vcpu_run(), before the entry: will it begin with an event's delivery? */
bool lockstep_arch_event_queued(struct lockstep_vcpu *lv);

/* Clear RF, which tells whether a REP was interrupted: that is not the same on both sides. */
void lockstep_arch_resume_flag_clear(struct lockstep_vcpu *lv);

/* In lockstep_vcpu_run(), around one entry; afterwards nothing of it is left. */
void lockstep_arch_step_enter(struct lockstep_vcpu *lv, const struct lockstep_step *step);
enum lockstep_step_exit lockstep_arch_step_exit(struct lockstep_vcpu *lv,
						const struct lockstep_step *step);

#endif /* _LOCKSTEP_ARCH_H */
