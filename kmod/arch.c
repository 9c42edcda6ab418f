// SPDX-License-Identifier: GPL-2.0
/*
 * What SVM and VMX have in common: choice of the vendor, check of the layout of
 * KVM's private structures, checks of a vCPU
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/btf.h>
#include <linux/kvm_host.h>
#include <linux/module.h>
#include <linux/string.h>

#include "arch.h"

DEFINE_STATIC_CALL_NULL(lockstep_arch_vcpu_enter, void (struct lockstep_vcpu *));
DEFINE_STATIC_CALL_NULL(lockstep_arch_tsc_exit,
			enum lockstep_tsc_exit (struct lockstep_vcpu *));
DEFINE_STATIC_CALL_NULL(lockstep_arch_tsc_fast,
			enum lockstep_tsc_exit (struct lockstep_vcpu *));
DEFINE_STATIC_CALL_NULL(lockstep_arch_tsc_answer,
			void (struct lockstep_vcpu *, enum lockstep_tsc_exit, u64));
DEFINE_STATIC_CALL_NULL(lockstep_arch_tsc_finish,
			void (struct lockstep_vcpu *, enum lockstep_tsc_exit, u64));
DEFINE_STATIC_CALL_NULL(lockstep_arch_regs_get,
			void (struct lockstep_vcpu *, struct lockstep_regs *));

/* Not all of these are exported on every kernel. */
DEFINE_STATIC_CALL_NULL(arch_btf_find, s32 (const char *, u32, struct btf **));
DEFINE_STATIC_CALL_NULL(arch_btf_type, const struct btf_type *(const struct btf *, u32));
DEFINE_STATIC_CALL_NULL(arch_btf_name, const char *(const struct btf *, u32));
DEFINE_STATIC_CALL_NULL(arch_btf_put, void (struct btf *));

static const struct lockstep_arch_ops *ops;

static const struct lockstep_arch_ops * const vendors[] = {
	&lockstep_svm_ops,
	&lockstep_vmx_ops,
};

/* Byte offset of @field in @type (or its size), -1: no such field. */
static s64 field_find(const struct btf *btf, const struct btf_type *type, const char *field)
{
	const struct btf_member *member = (const void *)(type + 1);
	u32 i, bits;

	if (!field)
		return type->size;
	for (i = 0; i < btf_type_vlen(type); i++) {
		if (strcmp(static_call(arch_btf_name)(btf, member[i].name_off), field))
			continue;
		bits = btf_type_kflag(type) ? BTF_MEMBER_BIT_OFFSET(member[i].offset) :
					      member[i].offset;
		return bits / 8;
	}
	return -1;
}

static int field_check(const struct lockstep_arch_field *want)
{
	struct btf *btf = NULL;
	s64 found;
	s32 id;

	id = static_call(arch_btf_find)(want->structure, BTF_KIND_STRUCT, &btf);
	if (id <= 0) {
		pr_err("no type information about struct %s (%d): lockstep can't tell whether it fits this KVM; it needs a kernel with CONFIG_DEBUG_INFO_BTF_MODULES and unstripped KVM modules\n",
		       want->structure, id);
		return -EOPNOTSUPP;
	}
	found = field_find(btf, static_call(arch_btf_type)(btf, id), want->field);
	static_call(arch_btf_put)(btf);
	if (found == want->offset)
		return 0;
	pr_err("lockstep was built for another KVM: struct %s%s%s is %lld here, %u there; build it with the KVM modules of this kernel (make -C kmod clean all)\n",
	       want->structure, want->field ? "." : "", want->field ?: " (size)",
	       found, want->offset);
	return -EOPNOTSUPP;
}

/**
 * lockstep_arch_fields_check() - is KVM laid out as it was at build time?
 * @fields: what the module relies on
 * @n:      number of them
 *
 * Return: 0, or -EOPNOTSUPP after an error that says what differs
 */
int lockstep_arch_fields_check(const struct lockstep_arch_field *fields, size_t n)
{
	size_t i;
	int ret;

	for (i = 0; i < n; i++) {
		ret = field_check(&fields[i]);
		if (ret)
			return ret;
	}
	return 0;
}

static int btf_init(void)
{
	static const struct {
		const char *name;
		struct static_call_key *key;
		void *tramp;
	} calls[] = {
#define CALL(call, sym)	{ sym, &STATIC_CALL_KEY(call), STATIC_CALL_TRAMP_ADDR(call) }
		CALL(arch_btf_find, "bpf_find_btf_id"),
		CALL(arch_btf_type, "btf_type_by_id"),
		CALL(arch_btf_name, "btf_name_by_offset"),
		CALL(arch_btf_put, "btf_put"),
#undef CALL
	};
	unsigned long addr;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		addr = lockstep_hook_symbol(calls[i].name);
		if (!addr) {
			pr_err("this kernel has no %s: lockstep checks with it that it fits KVM; use a kernel with CONFIG_DEBUG_INFO_BTF\n",
			       calls[i].name);
			return -EOPNOTSUPP;
		}
		__static_call_update(calls[i].key, calls[i].tramp, (void *)addr);
	}
	return 0;
}

/**
 * lockstep_arch_init() - choose the vendor and check that it can be served
 * @kvm_module: kvm_amd or kvm_intel: whom KVM runs with; stays loaded
 *
 * Called by lockstep_hook_init() once symbols can be looked up, before anything
 * is hooked.
 *
 * Return: 0, or -EOPNOTSUPP after an error that says why
 */
int lockstep_arch_init(const char *kvm_module)
{
	size_t i;
	int ret;

	ret = btf_init();
	if (ret)
		return ret;
	for (i = 0; i < ARRAY_SIZE(vendors); i++)
		if (!strcmp(vendors[i]->module, kvm_module))
			break;
	if (i == ARRAY_SIZE(vendors)) {
		pr_err("lockstep has no part for %s\n", kvm_module);
		return -EOPNOTSUPP;
	}
	ret = vendors[i]->check();
	if (ret)
		return ret;

	ops = vendors[i];
	static_call_update(lockstep_arch_vcpu_enter, ops->vcpu_enter);
	static_call_update(lockstep_arch_tsc_exit, ops->tsc_exit);
	static_call_update(lockstep_arch_tsc_fast, ops->tsc_fast);
	static_call_update(lockstep_arch_tsc_answer, ops->tsc_answer);
	static_call_update(lockstep_arch_tsc_finish, ops->tsc_finish);
	static_call_update(lockstep_arch_regs_get, ops->regs_get);
	return 0;
}

/**
 * lockstep_arch_name() - "SVM" or "VMX"
 *
 * Return: the name of the vendor's extension, after lockstep_hook_init()
 */
const char *lockstep_arch_name(void)
{
	return ops->name;
}

int lockstep_arch_vcpu_check(struct lockstep_vcpu *lv)
{
	struct kvm_vcpu *vcpu = lv->vcpu;
	struct kvm *kvm = vcpu->kvm;
	const char *why = NULL;

	lockdep_assert_held(&vcpu->mutex);

	if (kvm->created_vcpus != 1)
		why = "it has more than one vCPU; only guests with one can be replicated";
	else if (lockstep_irqchip_in_kernel(kvm) || vcpu->arch.apic)
		why = "its interrupt controller is in the kernel (KVM_CREATE_IRQCHIP); interrupts have to come from the VMM";
	else if (vcpu->arch.guest_state_protected)
		why = "its registers are encrypted";
	else if (vcpu->arch.hflags & (HF_GUEST_MASK | HF_SMM_MASK))
		why = "it is in a nested guest or in system management mode";
	else if (vcpu->guest_debug)
		why = "it is being debugged (KVM_SET_GUEST_DEBUG)";
	if (!why)
		return ops->vcpu_check(lv);
	pr_warn("a guest of process %d can't be protected: %s\n", task_tgid_nr(current), why);
	return -EOPNOTSUPP;
}

void lockstep_arch_vcpu_detach(struct lockstep_vcpu *lv)
{
	lockdep_assert_held(&lv->vcpu->mutex);
	ops->vcpu_detach(lv);
}

int lockstep_arch_tsc_skip(struct lockstep_vcpu *lv)
{
	return ops->tsc_skip(lv);
}

bool lockstep_arch_clean_boundary(struct lockstep_vcpu *lv)
{
	return ops->clean_boundary(lv);
}

bool lockstep_arch_can_step(void)
{
	return ops->step_enter;
}

bool lockstep_arch_debug_free(struct lockstep_vcpu *lv)
{
	return ops->debug_free(lv);
}

bool lockstep_arch_event_queued(struct lockstep_vcpu *lv)
{
	return ops->event_queued(lv);
}

void lockstep_arch_resume_flag_clear(struct lockstep_vcpu *lv)
{
	ops->resume_flag_clear(lv);
}

void lockstep_arch_step_enter(struct lockstep_vcpu *lv, const struct lockstep_step *step)
{
	ops->step_enter(lv, step);
}

enum lockstep_step_exit lockstep_arch_step_exit(struct lockstep_vcpu *lv,
						const struct lockstep_step *step)
{
	return ops->step_exit(lv, step);
}

/**
 * lockstep_arch_vcpu_idle() - has KVM nothing left to do for this instruction?
 * @vcpu: the vCPU
 *
 * Return: true if no event is queued, injected or pending, and no instruction
 * waits for user space
 */
bool lockstep_arch_vcpu_idle(const struct kvm_vcpu *vcpu)
{
	const struct kvm_vcpu_arch *arch = &vcpu->arch;

	return !arch->exception.pending && !arch->exception.injected &&
	       !arch->exception_vmexit.pending &&
	       !arch->interrupt.injected &&
	       !arch->nmi_injected && !READ_ONCE(arch->nmi_pending) &&
	       !atomic_read(&arch->nmi_queued) && !lockstep_smi_pending(vcpu) &&
	       !arch->complete_userspace_io && !arch->emulate_regs_need_sync_to_vcpu &&
	       !kvm_test_request(KVM_REQ_TRIPLE_FAULT, (struct kvm_vcpu *)vcpu);
}
