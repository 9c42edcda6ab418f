// SPDX-License-Identifier: GPL-2.0
/* Somebody else who hooks KVM: lockstep has to refuse to be loaded beside it. */
#include <linux/kprobes.h>
#include <linux/kvm_host.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/static_call.h>

#include "compat.h"

DEFINE_STATIC_CALL_NULL(foreign_kallsyms, unsigned long (const char *));
DEFINE_STATIC_CALL_NULL(foreign_orig, fastpath_t (struct kvm_vcpu *, u64));

static struct static_call_key *key;
static void *tramp, *orig;

static fastpath_t foreign_run(struct kvm_vcpu *vcpu, u64 run_flags)
{
	return static_call(foreign_orig)(vcpu, run_flags);
}

static int __init foreign_init(void)
{
	struct kprobe kp = { .symbol_name = "kallsyms_lookup_name" };
	int ret = register_kprobe(&kp);

	if (ret)
		return ret;
	__static_call_update(&STATIC_CALL_KEY(foreign_kallsyms),
			     STATIC_CALL_TRAMP_ADDR(foreign_kallsyms), kp.addr);
	unregister_kprobe(&kp);
	key = (void *)static_call(foreign_kallsyms)("__SCK__kvm_x86_vcpu_run");
	tramp = (void *)static_call(foreign_kallsyms)("__SCT__kvm_x86_vcpu_run");
	if (!key || !tramp)
		return -ENODEV;
	orig = key->func;
	__static_call_update(&STATIC_CALL_KEY(foreign_orig), STATIC_CALL_TRAMP_ADDR(foreign_orig),
			     orig);
	__static_call_update(key, tramp, foreign_run);
	return 0;
}

static void __exit foreign_exit(void)
{
	__static_call_update(key, tramp, orig);
	synchronize_rcu_tasks();
}

module_init(foreign_init);
module_exit(foreign_exit);
MODULE_DESCRIPTION("A foreign hook in KVM, to test lockstep with");
MODULE_LICENSE("GPL");
