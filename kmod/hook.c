// SPDX-License-Identifier: GPL-2.0
/*
 * Hooks into KVM: see hook.h
 *
 * Why a hook may go away while foreign VMs run, and no task is left in its text:
 *
 *  - For a foreign vCPU a hook ends in a jump to KVM's function (a tail call; the
 *    Makefile checks the object for it), so a task that sleeps in KVM has no frame
 *    of ours on its stack. Up to that jump it may be preempted but never sleeps:
 *    synchronize_rcu_tasks(), which waits until every task has given up the CPU by
 *    itself, waits for all of these.
 *  - For a vCPU of ours the hook may sleep. Its guest holds a reference on this
 *    module, so lockstep_hook_exit() can't run.
 *
 * kvm-amd or kvm-intel is pinned: loading it anew sets the static calls anew, and
 * our hooks would be gone without a word. kvm.ko is pinned by them.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/hashtable.h>
#include <linux/jump_label.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/utsname.h>

#include "arch.h"
#include "hook.h"

/* modprobe brings KVM along; insmod has to be told (see hook_kvm_find). */
MODULE_SOFTDEP("pre: kvm_amd kvm_intel");

DEFINE_STATIC_CALL_NULL(lockstep_orig_run, fastpath_t (struct kvm_vcpu *, u64));
DEFINE_STATIC_CALL_NULL(lockstep_orig_exit, int (struct kvm_vcpu *, fastpath_t));
DEFINE_STATIC_CALL_NULL(lockstep_kvm_vcpu_load, void (struct kvm_vcpu *));
DEFINE_STATIC_CALL_NULL(lockstep_kvm_vcpu_put, void (struct kvm_vcpu *));
DEFINE_STATIC_CALL_NULL(lockstep_kvm_vcpu_kick, void (struct kvm_vcpu *));
DEFINE_STATIC_CALL_NULL(lockstep_kvm_running_vcpu, struct kvm_vcpu *(void));
DEFINE_STATIC_CALL_NULL(lockstep_kvm_skip, int (struct kvm_vcpu *));
DEFINE_STATIC_CALL_NULL(lockstep_kvm_rflags, unsigned long (struct kvm_vcpu *));

DEFINE_STATIC_CALL_NULL(hook_kallsyms, unsigned long (const char *));
DEFINE_STATIC_CALL_NULL(hook_module_address, struct module *(unsigned long));
DEFINE_STATIC_CALL_NULL(hook_core_text, int (unsigned long));

#define STATIC_CALL_SET(name, addr)						\
	__static_call_update(&STATIC_CALL_KEY(name), STATIC_CALL_TRAMP_ADDR(name), \
			     (void *)(addr))

/* Our vCPUs by address. Readers: RCU. Writers: vcpus_lock. */
#define VCPUS_BITS	8
static DEFINE_HASHTABLE(vcpus, VCPUS_BITS);
static DEFINE_SPINLOCK(vcpus_lock);
/*
 * What a foreign vCPU looks at first, without an RCU reader: the one vCPU in a bucket
 * of the hash, NULL, or VCPUS_SEVERAL. Writers: vcpus_lock.
 */
static struct kvm_vcpu *vcpus_first[1 << VCPUS_BITS];
#define VCPUS_SEVERAL	((struct kvm_vcpu *)1)
/* Off while we have no vCPU: a foreign VM then pays for a nop and a jump. */
static DEFINE_STATIC_KEY_FALSE(vcpus_any);

/**
 * struct hook - one replaced static call of KVM
 * @name:  its name there
 * @body:  what it calls instead
 * @key:   its key
 * @tramp: its trampoline
 * @orig:  KVM's function
 */
struct hook {
	const char *name;
	void *body;
	struct static_call_key *key;
	void *tramp;
	void *orig;
};

static struct module *vendor_module;	/* NULL: built in */
static const struct file_operations *vm_fops, *vcpu_fops;

/*
 * The caller is in an RCU reader. Others' entries come and go, hence RCU for the
 * walk. The entry of @vcpu itself can't come or go while one looks for it: whoever
 * is here is inside KVM_RUN and so holds vcpu->mutex, as lockstep_hook_add() and
 * lockstep_hook_del() do. That is why an answer stays good after the RCU reader.
 */
static __always_inline struct lockstep_vcpu *vcpu_find(struct kvm_vcpu *vcpu)
{
	struct lockstep_vcpu *lv;

	hash_for_each_possible_rcu(vcpus, lv, node, (unsigned long)vcpu,
				   irqs_disabled() || lockdep_is_held(&vcpus_lock))
		if (lv->vcpu == vcpu)
			return lv;
	return NULL;
}

/* Interrupts are off: an RCU reader already. */
static fastpath_t hook_run(struct kvm_vcpu *vcpu, u64 run_flags)
{
	if (static_branch_unlikely(&vcpus_any)) {
		struct lockstep_vcpu *lv = vcpu_find(vcpu);

		if (unlikely(lv))
			return lockstep_vcpu_run(lv, run_flags);
	}
	return static_call(lockstep_orig_run)(vcpu, run_flags);
}

/* Not inlined: without a vCPU of ours hook_exit() is to be a jump, saving nothing. */
static noinline int hook_exit_find(struct kvm_vcpu *vcpu, fastpath_t fastpath)
{
	struct lockstep_vcpu *lv;

	rcu_read_lock();
	lv = vcpu_find(vcpu);
	rcu_read_unlock();
	if (unlikely(lv))
		return lockstep_vcpu_exit(lv, fastpath);
	return static_call(lockstep_orig_exit)(vcpu, fastpath);
}

static __always_inline bool vcpu_may_be_ours(const struct kvm_vcpu *vcpu)
{
	const struct kvm_vcpu *first =
		READ_ONCE(vcpus_first[hash_min((unsigned long)vcpu, VCPUS_BITS)]);

	return first == vcpu || first == VCPUS_SEVERAL;
}

static int hook_exit(struct kvm_vcpu *vcpu, fastpath_t fastpath)
{
	if (static_branch_unlikely(&vcpus_any) && unlikely(vcpu_may_be_ours(vcpu)))
		return hook_exit_find(vcpu, fastpath);
	return static_call(lockstep_orig_exit)(vcpu, fastpath);
}

/* The producer of exits that KVM does not expect, and who takes care of them. */
static struct hook run_hook = { .name = "kvm_x86_vcpu_run", .body = hook_run };
static struct hook exit_hook = { .name = "kvm_x86_handle_exit", .body = hook_exit };

static int hook_kallsyms_find(void)
{
	struct kprobe kp = { .symbol_name = "kallsyms_lookup_name" };
	int ret = register_kprobe(&kp);

	if (ret) {
		pr_err("cannot look up symbols: a kprobe on kallsyms_lookup_name gave %d; lockstep needs a kernel with CONFIG_KPROBES and CONFIG_KALLSYMS_ALL, not in lockdown\n",
		       ret);
		return -EOPNOTSUPP;
	}
	/* Behind an ENDBR if there is one: a direct call does not mind. */
	STATIC_CALL_SET(hook_kallsyms, kp.addr);
	unregister_kprobe(&kp);
	return 0;
}

/**
 * lockstep_hook_symbol() - find a symbol of KVM or of the kernel
 * @name: its name; those of kvm.ko are preferred
 *
 * Process context, from lockstep_hook_init() on.
 *
 * Return: its address, 0 if there is none
 */
unsigned long lockstep_hook_symbol(const char *name)
{
	char qualified[KSYM_NAME_LEN];
	unsigned long addr;

	snprintf(qualified, sizeof(qualified), "kvm:%s", name);
	addr = static_call(hook_kallsyms)(qualified);
	return addr ?: static_call(hook_kallsyms)(name);
}

static unsigned long hook_symbol_need(const char *name)
{
	unsigned long addr = lockstep_hook_symbol(name);

	if (!addr)
		pr_err("KVM of this kernel (%s) has no symbol %s: lockstep does not know it; use a Debian 6.1 or 6.12 kernel, or a lockstep for this one\n",
		       init_utsname()->release, name);
	return addr;
}

static int hook_find(struct hook *hook)
{
	char name[64];

	snprintf(name, sizeof(name), "__SCK__%s", hook->name);
	hook->key = (void *)hook_symbol_need(name);
	if (!hook->key)
		return -EOPNOTSUPP;
	snprintf(name, sizeof(name), "__SCT__%s", hook->name);
	hook->tramp = (void *)hook_symbol_need(name);
	if (!hook->tramp)
		return -EOPNOTSUPP;
	hook->orig = READ_ONCE(hook->key->func);
	return 0;
}

/*
 * Whose function does the static call run? The vendor module's, or another
 * module has hooked it before us: then its removal would cut us off or leave a
 * jump into nothing, so it is either them or us. kvm.ko keeps a stale address when
 * the vendor module goes: no module has it then.
 */
static int hook_vendor_get(const struct hook *hook, struct module **mod)
{
	unsigned long func = (unsigned long)hook->orig;
	int ret = 0;

	preempt_disable();
	*mod = func ? static_call(hook_module_address)(func) : NULL;
	if (*mod && strcmp((*mod)->name, "kvm_amd") && strcmp((*mod)->name, "kvm_intel")) {
		pr_err("module %s has already hooked %s of KVM; remove it first\n",
		       (*mod)->name, hook->name);
		ret = -EBUSY;
	} else if (*mod && !try_module_get(*mod)) {
		ret = -ENODEV;
	} else if (!*mod && (!func || !static_call(hook_core_text)(func))) {
		ret = -ENODEV;
	}
	preempt_enable();
	if (ret == -ENODEV)
		pr_err("no KVM for this CPU is loaded; modprobe kvm-amd (or kvm-intel) first\n");
	return ret;
}

/* Find everything that is called or looked at in KVM. */
static int hook_kvm_find(void)
{
	static const struct {
		const char *name;
		struct static_call_key *key;
		void *tramp;
	} helpers[] = {
#define HELPER(call, sym)						\
		{ sym, &STATIC_CALL_KEY(call), STATIC_CALL_TRAMP_ADDR(call) }
		HELPER(lockstep_kvm_vcpu_load, "vcpu_load"),
		HELPER(lockstep_kvm_vcpu_put, "vcpu_put"),
		HELPER(lockstep_kvm_vcpu_kick, "kvm_vcpu_kick"),
		HELPER(lockstep_kvm_running_vcpu, "kvm_get_running_vcpu"),
		HELPER(lockstep_kvm_skip, "kvm_skip_emulated_instruction"),
		HELPER(lockstep_kvm_rflags, "kvm_get_rflags"),
		HELPER(hook_module_address, "__module_address"),
		HELPER(hook_core_text, "core_kernel_text"),
#undef HELPER
	};
	unsigned long addr;
	int i, ret;

	if (!lockstep_hook_symbol("kvm_skip_emulated_instruction")) {
		pr_err("KVM is not loaded; modprobe kvm-amd (or kvm-intel) first\n");
		return -ENODEV;
	}
	for (i = 0; i < ARRAY_SIZE(helpers); i++) {
		addr = hook_symbol_need(helpers[i].name);
		if (!addr)
			return -EOPNOTSUPP;
		__static_call_update(helpers[i].key, helpers[i].tramp, (void *)addr);
	}
	vm_fops = (void *)hook_symbol_need("kvm_vm_fops");
	vcpu_fops = (void *)hook_symbol_need("kvm_vcpu_fops");
	if (!vm_fops || !vcpu_fops)
		return -EOPNOTSUPP;
	ret = hook_find(&exit_hook);
	return ret ?: hook_find(&run_hook);
}

static void hook_set(const struct hook *hook)
{
	__static_call_update(hook->key, hook->tramp, hook->body);
}

/*
 * Give KVM its function back. If somebody hooked on top of us in the meantime,
 * their hook calls ours: wait for them to leave, there is no other way out.
 */
static void hook_clear(const struct hook *hook)
{
	for (; READ_ONCE(hook->key->func) != hook->body; ssleep(1))
		pr_err_ratelimited("%ps has hooked %s of KVM on top of lockstep; remove that module, lockstep waits for it\n",
				   READ_ONCE(hook->key->func), hook->name);
	__static_call_update(hook->key, hook->tramp, hook->orig);
}

/**
 * lockstep_hook_init() - find KVM, check that it can be served, hook it
 *
 * Process context. Every failure has written its cause and remedy to the log.
 *
 * Return: 0; -ENODEV (KVM is not loaded), -EBUSY (hooked by another module),
 * -EOPNOTSUPP (this kernel or CPU can't be served)
 */
int lockstep_hook_init(void)
{
	struct module *second;
	int ret;

	ret = hook_kallsyms_find();
	if (ret)
		return ret;
	ret = hook_kvm_find();
	if (ret)
		return ret;
	ret = hook_vendor_get(&run_hook, &vendor_module);
	if (ret)
		return ret;
	ret = hook_vendor_get(&exit_hook, &second);
	if (ret)
		goto err_vendor;
	module_put(second);
	ret = lockstep_arch_init(vendor_module ? vendor_module->name :
				 boot_cpu_has(X86_FEATURE_SVM) ? "kvm_amd" : "kvm_intel");
	if (ret)
		goto err_vendor;

	STATIC_CALL_SET(lockstep_orig_run, run_hook.orig);
	STATIC_CALL_SET(lockstep_orig_exit, exit_hook.orig);
	hook_set(&exit_hook);
	hook_set(&run_hook);
	return 0;

err_vendor:
	module_put(vendor_module);
	return ret;
}

/**
 * lockstep_hook_exit() - undo lockstep_hook_init()
 *
 * Process context; no vCPU of ours is left. Nobody is in the hooks afterwards.
 */
void lockstep_hook_exit(void)
{
	WARN_ON(!hash_empty(vcpus));

	/* First what makes exits happen that KVM knows nothing of, ... */
	hook_clear(&run_hook);
	synchronize_rcu_tasks();
	/* ... and once nobody can take such an exit, what consumes them. */
	hook_clear(&exit_hook);
	synchronize_rcu_tasks();
	module_put(vendor_module);
}

/* The hash has changed where @vcpu belongs. */
static void vcpus_first_set(const struct kvm_vcpu *vcpu)
{
	u32 bucket = hash_min((unsigned long)vcpu, VCPUS_BITS);
	struct kvm_vcpu *first = NULL;
	struct lockstep_vcpu *lv;

	lockdep_assert_held(&vcpus_lock);

	hlist_for_each_entry(lv, &vcpus[bucket], node)
		first = first ? VCPUS_SEVERAL : lv->vcpu;
	WRITE_ONCE(vcpus_first[bucket], first);
}

/**
 * lockstep_hook_add() - have a vCPU pass through lockstep_vcpu_run() and _exit()
 * @lv: the vCPU; its mutex is held
 *
 * Return: 0, or -EBUSY if this vCPU is there already
 */
int lockstep_hook_add(struct lockstep_vcpu *lv)
{
	int ret = 0;

	lockdep_assert_held(&lv->vcpu->mutex);

	/*
	 * Takes the CPU hotplug lock, and so makes vcpu->mutex an outer lock of
	 * it, as KVM itself does (kvm_lapic_set_base).
	 */
	static_branch_inc(&vcpus_any);
	spin_lock(&vcpus_lock);
	if (vcpu_find(lv->vcpu))
		ret = -EBUSY;
	else
		hash_add_rcu(vcpus, &lv->node, (unsigned long)lv->vcpu);
	vcpus_first_set(lv->vcpu);
	spin_unlock(&vcpus_lock);
	if (ret)
		static_branch_dec(&vcpus_any);
	return ret;
}

/**
 * lockstep_hook_del() - undo lockstep_hook_add()
 * @lv: the vCPU; its mutex is held, so it is not in KVM_RUN
 *
 * No hook is called for it any more when this returns. Others may still step over
 * @lv on their way through the hash: it must stay until after a grace period,
 * which this function waits for.
 */
void lockstep_hook_del(struct lockstep_vcpu *lv)
{
	lockdep_assert_held(&lv->vcpu->mutex);

	spin_lock(&vcpus_lock);
	hash_del_rcu(&lv->node);
	vcpus_first_set(lv->vcpu);
	spin_unlock(&vcpus_lock);
	static_branch_dec(&vcpus_any);
	synchronize_rcu();
}

/**
 * lockstep_hook_vm_of_file() - the VM behind a file descriptor's file
 * @file: any file; the answer is good while the caller holds it
 *
 * Return: the VM, NULL if @file is not one of KVM's
 */
struct kvm *lockstep_hook_vm_of_file(struct file *file)
{
	return file->f_op == vm_fops ? file->private_data : NULL;
}

/**
 * lockstep_hook_vcpu_of_file() - the vCPU behind a file descriptor's file
 * @file: any file; the answer is good while the caller holds it
 *
 * Return: the vCPU, NULL if @file is not one of KVM's
 */
struct kvm_vcpu *lockstep_hook_vcpu_of_file(struct file *file)
{
	return file->f_op == vcpu_fops ? file->private_data : NULL;
}
