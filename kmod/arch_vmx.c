// SPDX-License-Identifier: GPL-2.0
/*
 * VMX: clock reads, registers and checks of a vCPU of kvm-intel
 *
 * It has run in an emulator only, never on an Intel CPU, and says so at load.
 * docs/vmx.md has what was compared with KVM's source and the processor manual.
 *
 * RDTSC and RDTSCP exit by "RDTSC exiting" in the primary processor-based controls.
 * KVM keeps a shadow of the controls in loaded_vmcs and writes them only when the
 * shadow differs, so both are changed. #GP by CR4.TSD and #UD (RDTSCP not enabled
 * in the secondary controls) are taken before the exit.
 *
 * A VMCS field can be read and written only while the VMCS is current: in both
 * hooks (KVM's preemption notifier makes it so again after a schedule), or between
 * vcpu_load() and vcpu_put(). RIP, RSP and RFLAGS are cached lazily.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kvm_host.h>
#include <linux/module.h>
#include <asm/vmx.h>

#include "arch.h"
#include "kvm_offsets.h"

static const struct lockstep_arch_field vmx_fields[] = LOCKSTEP_VMX_FIELDS;

DEFINE_STATIC_CALL_NULL(vmx_cache_reg, void (struct kvm_vcpu *, enum kvm_reg));
DEFINE_STATIC_CALL_NULL(vmx_uret_slot, int (u32));

static int vmx_tsc_aux_slot = -1;

static void *vmx_field(const struct kvm_vcpu *vcpu, size_t offset)
{
	return (char *)vcpu + offset;
}

/*
 * A reboot takes VMX away from under running guests, and #UD is what is left of
 * these instructions then; KVM forgives it, too.
 */
static unsigned long vmx_read(unsigned long field)
{
	unsigned long value = 0;

	asm volatile("1: vmread %1, %0\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b) : "+r" (value) : "r" (field) : "cc");
	return value;
}

static void vmx_write(unsigned long field, unsigned long value)
{
	asm volatile("1: vmwrite %1, %0\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b) : : "r" (field), "rm" (value) : "cc");
}

/* On Hyper-V, KVM keeps the VMCS in plain memory instead; the key's name has changed. */
static bool vmx_is_enlightened(void)
{
	struct static_key *key = (void *)lockstep_hook_symbol("enable_evmcs") ?:
				 (void *)lockstep_hook_symbol("__kvm_is_using_evmcs");

	return key && static_key_enabled(key);
}

/*
 * Without unrestricted guests KVM emulates the guest's real mode, RDTSC included,
 * which then shows the host's clock.
 */
static int vmx_cpu_check(void)
{
	const bool *unrestricted = (void *)lockstep_hook_symbol("enable_unrestricted_guest");
	u32 allowed_0, allowed_1;

	if (!unrestricted || !READ_ONCE(*unrestricted)) {
		pr_err("KVM runs without EPT or unrestricted guests: it would emulate clock reads itself; modprobe kvm-intel with ept=1 unrestricted_guest=1, or use a CPU that has them\n");
		return -EOPNOTSUPP;
	}
	if (vmx_is_enlightened()) {
		pr_err("KVM uses Hyper-V's enlightened VMCS: modprobe kvm-intel with enlightened_vmcs=0\n");
		return -EOPNOTSUPP;
	}
	if (rdmsr_safe(MSR_IA32_VMX_PROCBASED_CTLS, &allowed_0, &allowed_1) ||
	    !(allowed_1 & CPU_BASED_RDTSC_EXITING)) {
		pr_err("this CPU has no RDTSC exiting: clock reads can't be answered; no remedy but another CPU\n");
		return -EOPNOTSUPP;
	}
	return 0;
}

static int vmx_check(void)
{
	unsigned long cache_reg, uret_slot;
	struct static_call_key *key;

	if (vmx_cpu_check() || lockstep_arch_fields_check(vmx_fields, ARRAY_SIZE(vmx_fields)))
		return -EOPNOTSUPP;
	key = (void *)lockstep_hook_symbol("__SCK__kvm_x86_cache_reg");
	cache_reg = key ? (unsigned long)READ_ONCE(key->func) : 0;
	uret_slot = lockstep_hook_symbol("kvm_find_user_return_msr");
	if (!cache_reg || !uret_slot) {
		pr_err("KVM of this kernel lacks cache_reg or kvm_find_user_return_msr: lockstep does not know it\n");
		return -EOPNOTSUPP;
	}
	__static_call_update(&STATIC_CALL_KEY(vmx_cache_reg),
			     STATIC_CALL_TRAMP_ADDR(vmx_cache_reg), (void *)cache_reg);
	__static_call_update(&STATIC_CALL_KEY(vmx_uret_slot),
			     STATIC_CALL_TRAMP_ADDR(vmx_uret_slot), (void *)uret_slot);
	vmx_tsc_aux_slot = static_call(vmx_uret_slot)(MSR_TSC_AUX);
	pr_info("VMX has only run in an emulator, never on an Intel CPU: docs/vmx.md\n");
	return 0;
}

/* Bus locks and notify windows exit where the CPU happens to notice, to user space. */
static int vmx_vcpu_check(struct lockstep_vcpu *lv)
{
	const struct kvm_arch *arch = &lv->vcpu->kvm->arch;
	const char *why = NULL;

	if (!arch->pause_in_guest)
		why = "PAUSE is intercepted; enable KVM_X86_DISABLE_EXITS_PAUSE before the vCPU is created";
	else if (arch->bus_lock_detection_enabled)
		why = "bus locks exit (KVM_CAP_X86_BUS_LOCK_EXIT)";
	else if (arch->notify_vmexit_flags & KVM_X86_NOTIFY_VMEXIT_ENABLED)
		why = "notify windows exit (KVM_CAP_X86_NOTIFY_VMEXIT)";
	if (!why)
		return 0;
	pr_warn("a guest of process %d can't be protected: %s\n", task_tgid_nr(current), why);
	return -EOPNOTSUPP;
}

static void vmx_exec_control(struct kvm_vcpu *vcpu, u32 set, u32 clear)
{
	char *loaded = *(char **)vmx_field(vcpu, LOCKSTEP_VCPU_VMX_LOADED_VMCS);
	u32 *shadow = (u32 *)(loaded + LOCKSTEP_LOADED_VMCS_CONTROLS_SHADOW +
			      LOCKSTEP_VMCS_CONTROLS_SHADOW_EXEC);
	u32 value = (*shadow | set) & ~clear;

	if (value == *shadow)
		return;
	vmx_write(CPU_BASED_VM_EXEC_CONTROL, value);
	*shadow = value;
}

static void vmx_vcpu_enter(struct lockstep_vcpu *lv)
{
	vmx_exec_control(lv->vcpu, CPU_BASED_RDTSC_EXITING, 0);
	lv->cpuid_read = true;
}

static void vmx_vcpu_detach(struct lockstep_vcpu *lv)
{
	if (!lv->cpuid_read)
		return;		/* it never ran here */
	static_call(lockstep_kvm_vcpu_load)(lv->vcpu);
	vmx_exec_control(lv->vcpu, 0, CPU_BASED_RDTSC_EXITING);
	static_call(lockstep_kvm_vcpu_put)(lv->vcpu);
}

static enum lockstep_tsc_exit vmx_tsc_exit(struct lockstep_vcpu *lv)
{
	/* Bits above the reason (failed entry, enclave, ...): not a plain exit. */
	switch (*(u32 *)vmx_field(lv->vcpu, LOCKSTEP_VCPU_VMX_EXIT_REASON)) {
	case EXIT_REASON_RDTSC:
		return LOCKSTEP_TSC_RDTSC;
	case EXIT_REASON_RDTSCP:
		return LOCKSTEP_TSC_RDTSCP;
	default:
		return LOCKSTEP_TSC_NONE;
	}
}

static enum lockstep_tsc_exit vmx_tsc_fast(struct lockstep_vcpu *lv)
{
	enum lockstep_tsc_exit which = vmx_tsc_exit(lv);

	if (which != LOCKSTEP_TSC_NONE &&
	    (!vmx_read(VM_EXIT_INSTRUCTION_LEN) ||
	     static_call(lockstep_kvm_rflags)(lv->vcpu) & X86_EFLAGS_TF))
		return LOCKSTEP_TSC_NONE;
	return which;
}

/* RAX, RCX and RDX are in KVM's array, never in the VMCS. */
static void vmx_tsc_answer(struct lockstep_vcpu *lv, enum lockstep_tsc_exit which, u64 value)
{
	struct kvm_vcpu *vcpu = lv->vcpu;
	unsigned long *regs = vcpu->arch.regs;
	u64 aux = 0;

	regs[VCPU_REGS_RAX] = lower_32_bits(value);
	regs[VCPU_REGS_RDX] = upper_32_bits(value);
	if (which != LOCKSTEP_TSC_RDTSCP)
		return;
	if (vmx_tsc_aux_slot >= 0)
		aux = *(u64 *)vmx_field(vcpu, LOCKSTEP_VCPU_VMX_GUEST_URET_MSRS +
					vmx_tsc_aux_slot * LOCKSTEP_VMX_URET_MSR_SIZE +
					LOCKSTEP_VMX_URET_MSR_DATA);
	regs[VCPU_REGS_RCX] = lower_32_bits(aux);
}

/* kvm-intel's skip takes the length from the VMCS and does not emulate here: it
 * may be used with interrupts off as well.
 */
static int vmx_tsc_skip(struct lockstep_vcpu *lv)
{
	return static_call(lockstep_kvm_skip)(lv->vcpu);
}

static void vmx_tsc_finish(struct lockstep_vcpu *lv, enum lockstep_tsc_exit which, u64 value)
{
	vmx_tsc_answer(lv, which, value);
	vmx_tsc_skip(lv);
}

static unsigned long vmx_cached_reg(struct kvm_vcpu *vcpu, enum kvm_reg reg)
{
	if (!(vcpu->arch.regs_avail & BIT(reg)))
		static_call(vmx_cache_reg)(vcpu, reg);
	return vcpu->arch.regs[reg];
}

static void vmx_regs_get(struct lockstep_vcpu *lv, struct lockstep_regs *regs)
{
	struct kvm_vcpu *vcpu = lv->vcpu;
	bool load = static_call(lockstep_kvm_running_vcpu)() != vcpu;

	if (load)
		static_call(lockstep_kvm_vcpu_load)(vcpu);
	vmx_cached_reg(vcpu, VCPU_REGS_RSP);
	regs->rip = vmx_cached_reg(vcpu, VCPU_REGS_RIP);
	regs->rflags = static_call(lockstep_kvm_rflags)(vcpu);
	BUILD_BUG_ON(VCPU_REGS_RIP != ARRAY_SIZE(regs->gpr));
	memcpy(regs->gpr, vcpu->arch.regs, sizeof(regs->gpr));
	if (load)
		static_call(lockstep_kvm_vcpu_put)(vcpu);
}

static bool vmx_clean_boundary(struct lockstep_vcpu *lv)
{
	struct kvm_vcpu *vcpu = lv->vcpu;
	bool load = static_call(lockstep_kvm_running_vcpu)() != vcpu;
	unsigned long shadow, event;

	if (load)
		static_call(lockstep_kvm_vcpu_load)(vcpu);
	shadow = vmx_read(GUEST_INTERRUPTIBILITY_INFO) &
		 (GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS);
	event = (vmx_read(VM_ENTRY_INTR_INFO_FIELD) & INTR_INFO_VALID_MASK) |
		vmx_read(GUEST_PENDING_DBG_EXCEPTIONS);
	if (load)
		static_call(lockstep_kvm_vcpu_put)(vcpu);
	return lockstep_arch_vcpu_idle(vcpu) && !shadow && !event;
}

const struct lockstep_arch_ops lockstep_vmx_ops = {
	.name = "VMX",
	.module = "kvm_intel",
	.check = vmx_check,
	.vcpu_check = vmx_vcpu_check,
	.vcpu_enter = vmx_vcpu_enter,
	.vcpu_detach = vmx_vcpu_detach,
	.tsc_exit = vmx_tsc_exit,
	.tsc_fast = vmx_tsc_fast,
	.tsc_answer = vmx_tsc_answer,
	.tsc_finish = vmx_tsc_finish,
	.tsc_skip = vmx_tsc_skip,
	.regs_get = vmx_regs_get,
	.clean_boundary = vmx_clean_boundary,
};
