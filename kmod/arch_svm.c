// SPDX-License-Identifier: GPL-2.0
/*
 * SVM: clock reads, registers and checks of a vCPU of kvm-amd
 *
 * RDTSC and RDTSCP exit because their bits are set in the VMCB's intercepts. The
 * exit comes only if the guest may execute them: #GP by CR4.TSD and #UD are taken
 * before (the manual's table of intercept priorities; KVM's own emulator sorts both
 * as "post exception", and QEMU checks in that order). So an answer is always
 * right, with one exception: SVM has no "this guest has no RDTSCP". KVM intercepts
 * it for such a guest to raise #UD, and that exit stays KVM's.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kvm_host.h>
#include <linux/module.h>
#include <asm/debugreg.h>
#include <asm/svm.h>

#include "arch.h"
#include "kvm_offsets.h"

/* struct vcpu_svm { struct kvm_vcpu vcpu; struct vmcb *vmcb; ... } */
static_assert(LOCKSTEP_VCPU_SVM_VMCB == ALIGN(sizeof(struct kvm_vcpu), 8),
	      "kernel headers and kvm-amd.ko are not of the same kernel");

static const struct lockstep_arch_field svm_fields[] = LOCKSTEP_SVM_FIELDS;

/* Bits of vmcb->control.clean and .nested_ctl; KVM has them in a private header. */
#define SVM_CLEAN_INTERCEPTS	BIT(0)
#define SVM_CLEAN_DR		BIT(6)
#define SVM_NESTED_SEV		BIT(1)

#define CPUID_EXTENDED		0x80000001
#define CPUID_EXTENDED_RDTSCP	BIT(27)		/* of EDX */

static struct vmcb *svm_vmcb(const struct kvm_vcpu *vcpu)
{
	return *(struct vmcb **)((char *)vcpu + LOCKSTEP_VCPU_SVM_VMCB);
}

static u32 *svm_intercept(struct vmcb *vmcb, int bit)
{
	return &vmcb->control.intercepts[bit / 32];
}

/* False if it was set already: KVM recomputes intercepts only now and then. */
static bool svm_intercept_set(struct vmcb *vmcb, int bit)
{
	u32 *word = svm_intercept(vmcb, bit);
	u32 mask = BIT(bit % 32);

	if (*word & mask)
		return false;
	*word |= mask;
	return true;
}

static void svm_intercept_clear(struct vmcb *vmcb, int bit)
{
	*svm_intercept(vmcb, bit) &= ~BIT(bit % 32);
}

static int svm_check(void)
{
	if (!boot_cpu_has(X86_FEATURE_NRIPS)) {
		pr_err("this CPU does not save the next RIP on exits (NRIPS): clock reads can't be answered without decoding the guest's code; no remedy but another CPU (in a VM: expose nrip-save)\n");
		return -EOPNOTSUPP;
	}
	return lockstep_arch_fields_check(svm_fields, ARRAY_SIZE(svm_fields));
}

static int svm_vcpu_check(struct lockstep_vcpu *lv)
{
	struct vmcb *vmcb = svm_vmcb(lv->vcpu);
	const char *why = NULL;

	if (vmcb->control.nested_ctl & SVM_NESTED_SEV)
		why = "its memory is encrypted (SEV)";
	else if (*svm_intercept(vmcb, INTERCEPT_PAUSE) & BIT(INTERCEPT_PAUSE % 32))
		why = "PAUSE is intercepted; enable KVM_X86_DISABLE_EXITS_PAUSE before the vCPU is created";
	if (!why)
		return 0;
	pr_warn("a guest of process %d can't be protected: %s\n", task_tgid_nr(current), why);
	return -EOPNOTSUPP;
}

/* CPUID can't change any more once the vCPU has run: looked at once. */
static void svm_cpuid_read(struct lockstep_vcpu *lv)
{
	const struct kvm_vcpu_arch *arch = &lv->vcpu->arch;
	int i;

	for (i = 0; i < arch->cpuid_nent; i++)
		if (arch->cpuid_entries[i].function == CPUID_EXTENDED)
			lv->rdtscp = arch->cpuid_entries[i].edx & CPUID_EXTENDED_RDTSCP;
	lv->cpuid_read = true;
}

static void svm_vcpu_enter(struct lockstep_vcpu *lv)
{
	struct vmcb *vmcb = svm_vmcb(lv->vcpu);
	bool changed;

	if (unlikely(!lv->cpuid_read))
		svm_cpuid_read(lv);
	changed = svm_intercept_set(vmcb, INTERCEPT_RDTSC);
	changed |= svm_intercept_set(vmcb, INTERCEPT_RDTSCP);
	if (unlikely(changed))
		vmcb->control.clean &= ~SVM_CLEAN_INTERCEPTS;
}

static void svm_vcpu_detach(struct lockstep_vcpu *lv)
{
	struct vmcb *vmcb = svm_vmcb(lv->vcpu);

	if (!lv->cpuid_read)
		return;		/* it never ran here */
	svm_intercept_clear(vmcb, INTERCEPT_RDTSC);
	if (lv->rdtscp)
		svm_intercept_clear(vmcb, INTERCEPT_RDTSCP);
	vmcb->control.clean &= ~SVM_CLEAN_INTERCEPTS;
}

static enum lockstep_tsc_exit svm_tsc_exit(struct lockstep_vcpu *lv)
{
	switch (svm_vmcb(lv->vcpu)->control.exit_code) {
	case SVM_EXIT_RDTSC:
		return LOCKSTEP_TSC_RDTSC;
	case SVM_EXIT_RDTSCP:
		return lv->rdtscp ? LOCKSTEP_TSC_RDTSCP : LOCKSTEP_TSC_NONE;
	default:
		return LOCKSTEP_TSC_NONE;
	}
}

static enum lockstep_tsc_exit svm_tsc_fast(struct lockstep_vcpu *lv)
{
	const struct vmcb *vmcb = svm_vmcb(lv->vcpu);

	if (!vmcb->control.next_rip || vmcb->save.rflags & X86_EFLAGS_TF)
		return LOCKSTEP_TSC_NONE;
	return svm_tsc_exit(lv);
}

static void svm_tsc_answer(struct lockstep_vcpu *lv, enum lockstep_tsc_exit which, u64 value)
{
	struct kvm_vcpu *vcpu = lv->vcpu;
	unsigned long *regs = vcpu->arch.regs;

	regs[VCPU_REGS_RAX] = lower_32_bits(value);
	regs[VCPU_REGS_RDX] = upper_32_bits(value);
	if (which == LOCKSTEP_TSC_RDTSCP)
		regs[VCPU_REGS_RCX] = lower_32_bits(*(u64 *)((char *)vcpu +
							     LOCKSTEP_VCPU_SVM_TSC_AUX));
}

/*
 * An instruction that completes clears RF; KVM's skip on SVM does not, which would
 * let the guest miss a breakpoint on the next one. Cleared in both ways to skip:
 * the other host may take the other one.
 */
static void svm_flag_clear(struct kvm_vcpu *vcpu)
{
	svm_vmcb(vcpu)->save.rflags &= ~X86_EFLAGS_RF;
}

/* As KVM's skip_emulated_instruction() with a next RIP, and without its look at
 * the PMU, which protected guests don't have. KVM writes RIP to the VMCB at every entry.
 */
static void svm_tsc_finish(struct lockstep_vcpu *lv, enum lockstep_tsc_exit which, u64 value)
{
	struct kvm_vcpu *vcpu = lv->vcpu;
	struct vmcb *vmcb = svm_vmcb(vcpu);

	svm_tsc_answer(lv, which, value);
	vcpu->arch.regs[VCPU_REGS_RIP] = vmcb->control.next_rip;
	vmcb->control.int_state &= ~SVM_INTERRUPT_SHADOW_MASK;
	svm_flag_clear(vcpu);
}

static int svm_tsc_skip(struct lockstep_vcpu *lv)
{
	int ret = static_call(lockstep_kvm_skip)(lv->vcpu);

	svm_flag_clear(lv->vcpu);
	return ret;
}

/* All of it is in memory whether the vCPU is loaded or not. */
static void svm_regs_get(struct lockstep_vcpu *lv, struct lockstep_regs *regs)
{
	const struct kvm_vcpu *vcpu = lv->vcpu;

	BUILD_BUG_ON(VCPU_REGS_RIP != ARRAY_SIZE(regs->gpr));
	memcpy(regs->gpr, vcpu->arch.regs, sizeof(regs->gpr));
	regs->rip = vcpu->arch.regs[VCPU_REGS_RIP];
	regs->rflags = svm_vmcb(vcpu)->save.rflags;
}

static bool svm_clean_boundary(struct lockstep_vcpu *lv)
{
	const struct vmcb *vmcb = svm_vmcb(lv->vcpu);

	return lockstep_arch_vcpu_idle(lv->vcpu) &&
	       !(vmcb->control.event_inj & SVM_EVTINJ_VALID) &&
	       !(vmcb->control.int_state & SVM_INTERRUPT_SHADOW_MASK);
}

/* ---- steps: manual vol. 2, 13.1 (debug registers), 15.5 (VMRUN: DR6 and DR7 from the VMCB) ---- */

#define DR7_BREAKS(n)	(DR7_FIXED_1 | (DR_LOCAL_ENABLE_MASK & (BIT(2 * (n)) - 1)))
#define DR7_DETECT	BIT(13)
#define DR7_ACCESS(n)	((DR_RW_READ << (DR_CONTROL_SHIFT + (n) * DR_CONTROL_SIZE)) | BIT(2 * (n)))
#define DR7_ANY		(DR_GLOBAL_ENABLE_MASK | DR_LOCAL_ENABLE_MASK | DR7_DETECT)

/* A REP is two bytes long, or up to five with prefixes: so many places may follow it. */
#define REP_LEN_MIN	2
#define REP_LENS	4

static bool svm_debug_free(struct lockstep_vcpu *lv)
{
	const struct kvm_vcpu_arch *arch = &lv->vcpu->arch;

	return !arch->switch_db_regs && !(arch->dr7 & DR7_ANY) &&
	       !(svm_vmcb(lv->vcpu)->save.rflags & X86_EFLAGS_TF);
}

static bool svm_event_queued(struct lockstep_vcpu *lv)
{
	return svm_vmcb(lv->vcpu)->control.event_inj & SVM_EVTINJ_VALID;
}

static void svm_resume_flag_clear(struct lockstep_vcpu *lv)
{
	svm_flag_clear(lv->vcpu);
}

/* Attributes of segments as the VMCB has them: manual vol. 2, 15.5. */
#define SVM_SEGMENT_LONG	BIT(9)
#define SVM_SEGMENT_BIG		BIT(10)

/* Linear address of the top of the stack. */
static unsigned long svm_stack(struct lockstep_vcpu *lv)
{
	const struct vmcb_save_area *save = &svm_vmcb(lv->vcpu)->save;
	unsigned long sp = lv->vcpu->arch.regs[VCPU_REGS_RSP];

	if (save->efer & EFER_LMA && save->cs.attrib & SVM_SEGMENT_LONG)
		return sp;
	return (u32)(save->ss.base + (save->ss.attrib & SVM_SEGMENT_BIG ? (u32)sp : (u16)sp));
}

/*
 * An IRET may load RF, as a fault's handler returns, and the breakpoint is not taken
 * where it returns to. So IRET exits; then it runs with a watchpoint on what it reads, whose
 * trap comes behind it. One that faults leaves its handler unwatched until the next exit.
 */
static void svm_iret_watch(struct lockstep_vcpu *lv, const struct lockstep_step *step)
{
	struct vmcb *vmcb = svm_vmcb(lv->vcpu);

	if (step->iret) {
		set_debugreg(svm_stack(lv), 1);
		vmcb->save.dr7 |= DR7_ACCESS(1);
		lv->iret = false;
		return;
	}
	lv->iret = svm_intercept_set(vmcb, INTERCEPT_IRET);
	if (lv->iret)
		vmcb->control.clean &= ~SVM_CLEAN_INTERCEPTS;
}

/*
 * Breakpoints: DR0 to DR3 are the host's registers, which KVM leaves alone as long as
 * the guest uses none (debug_free), and which the host has no use for with its DR7 off
 * (KVM restores them when the host has breakpoints of its own). #DB exits always: KVM
 * intercepts it against guests that would hang the CPU.
 */
static void svm_step_enter(struct lockstep_vcpu *lv, const struct lockstep_step *step)
{
	struct vmcb *vmcb = svm_vmcb(lv->vcpu);
	int i;

	lv->dr7 = vmcb->save.dr7;
	lv->resume = vmcb->save.rflags & X86_EFLAGS_RF;
	lv->exceptions = vmcb->control.intercepts[INTERCEPT_EXCEPTION];
	if (step->rep) {
		lv->vcpu->arch.regs[VCPU_REGS_RCX] -= step->rcx;
		for (i = 0; i < REP_LENS; i++)
			set_debugreg(step->rip + REP_LEN_MIN + i, i);
		vmcb->save.dr7 = DR7_BREAKS(REP_LENS);
		vmcb->control.intercepts[INTERCEPT_EXCEPTION] = ~0U;
		vmcb->control.clean &= ~SVM_CLEAN_INTERCEPTS;
	} else {
		set_debugreg(step->rip, 0);
		vmcb->save.dr7 = DR7_BREAKS(1);
		if (step->pass)
			vmcb->save.rflags |= X86_EFLAGS_RF;
		svm_iret_watch(lv, step);
	}
	vmcb->control.clean &= ~SVM_CLEAN_DR;
}

/* The REP has ended if the vCPU is not at it any more: nothing was delivered, and nothing behind it has run. */
static bool svm_rep_ended(struct lockstep_vcpu *lv, const struct lockstep_step *step)
{
	unsigned long *regs = lv->vcpu->arch.regs;
	bool ended = regs[VCPU_REGS_RIP] != step->rip;

	regs[VCPU_REGS_RIP] = step->rip;
	regs[VCPU_REGS_RCX] += step->rcx;
	return ended;
}

/*
 * Take back the RF of svm_step_enter() where it is still there: nothing was executed.
 * One that the guest has set stays: an interrupt whose delivery a nested page fault has
 * ended pushes it when it is delivered again.
 */
static void svm_pass_end(struct lockstep_vcpu *lv, const struct lockstep_step *step)
{
	if (step->pass && !step->rep && !lv->resume &&
	    lv->vcpu->arch.regs[VCPU_REGS_RIP] == step->rip)
		svm_flag_clear(lv->vcpu);
}

static enum lockstep_step_exit svm_step_exit(struct lockstep_vcpu *lv,
					     const struct lockstep_step *step)
{
	struct vmcb *vmcb = svm_vmcb(lv->vcpu);
	u32 code = vmcb->control.exit_code;
	u64 hit = 0;

	svm_pass_end(lv, step);
	vmcb->save.dr7 = lv->dr7;
	vmcb->control.clean &= ~SVM_CLEAN_DR;
	if (code == SVM_EXIT_EXCP_BASE + DB_VECTOR) {
		hit = vmcb->save.dr6 & DR_TRAP_BITS;
		vmcb->save.dr6 &= ~DR_TRAP_BITS;
	}
	if (!step->rep) {
		if (lv->iret) {
			svm_intercept_clear(vmcb, INTERCEPT_IRET);
			vmcb->control.clean &= ~SVM_CLEAN_INTERCEPTS;
			if (code == SVM_EXIT_IRET)
				return LOCKSTEP_STEP_IRET;
		}
		/* with a trap of the guest's own: that goes first, and this comes again */
		return hit && !(vmcb->save.dr6 & DR_STEP) ? LOCKSTEP_STEP_BREAK :
							    LOCKSTEP_STEP_NONE;
	}
	vmcb->control.intercepts[INTERCEPT_EXCEPTION] = lv->exceptions;
	vmcb->control.clean &= ~SVM_CLEAN_INTERCEPTS;
	if (svm_rep_ended(lv, step))
		return LOCKSTEP_STEP_REP;
	if (code >= SVM_EXIT_EXCP_BASE && code < SVM_EXIT_EXCP_BASE + 32 &&
	    !(lv->exceptions & BIT(code - SVM_EXIT_EXCP_BASE)))
		return LOCKSTEP_STEP_EVENT;
	return LOCKSTEP_STEP_NONE;
}

const struct lockstep_arch_ops lockstep_svm_ops = {
	.name = "SVM",
	.module = "kvm_amd",
	.check = svm_check,
	.vcpu_check = svm_vcpu_check,
	.vcpu_enter = svm_vcpu_enter,
	.vcpu_detach = svm_vcpu_detach,
	.tsc_exit = svm_tsc_exit,
	.tsc_fast = svm_tsc_fast,
	.tsc_answer = svm_tsc_answer,
	.tsc_finish = svm_tsc_finish,
	.tsc_skip = svm_tsc_skip,
	.regs_get = svm_regs_get,
	.clean_boundary = svm_clean_boundary,
	.debug_free = svm_debug_free,
	.event_queued = svm_event_queued,
	.resume_flag_clear = svm_resume_flag_clear,
	.step_enter = svm_step_enter,
	.step_exit = svm_step_exit,
};
