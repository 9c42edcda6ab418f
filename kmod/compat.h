/* SPDX-License-Identifier: GPL-2.0 */
/*
 * All that differs between kernel versions (6.1 to 6.12), and nothing else
 */
#ifndef _LOCKSTEP_COMPAT_H
#define _LOCKSTEP_COMPAT_H

#include <linux/device/class.h>
#include <linux/eventfd.h>
#include <linux/hrtimer.h>
#include <linux/kvm_host.h>
#include <linux/netdevice.h>
#include <linux/version.h>

/* struct netdev_rx_queue got a header of its own in 6.6. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
#include <net/netdev_rx_queue.h>
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "lockstep needs Linux 6.1 or newer"
#endif

/*
 * vcpu_run has had its flags since 6.1.149 and 6.12.44 (and 6.17); before it took
 * a bool or nothing. Debian's kernels have them: the others are refused here
 * instead of being served by code that nobody runs.
 */
static_assert(__same_type(((struct kvm_x86_ops *)0)->vcpu_run,
			  fastpath_t (*)(struct kvm_vcpu *, u64)),
	      "this kernel's KVM has no run_flags: update it (6.1.149, 6.12.44 or later)");
static_assert(__same_type(((struct kvm_x86_ops *)0)->handle_exit,
			  int (*)(struct kvm_vcpu *, fastpath_t)));

/* System management mode became optional in 6.2. */
#ifndef HF_SMM_MASK
#define HF_SMM_MASK	0
#endif

static inline bool lockstep_smi_pending(const struct kvm_vcpu *vcpu)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0) || IS_ENABLED(CONFIG_KVM_SMM)
	return vcpu->arch.smi_pending;
#else
	return false;
#endif
}

static inline bool lockstep_irqchip_in_kernel(const struct kvm *kvm)
{
	return READ_ONCE(kvm->arch.irqchip_mode) != KVM_IRQCHIP_NONE;
}

/* Are packets of this queue given to other CPUs (RPS)? */
static inline bool lockstep_rx_is_steered(const struct netdev_rx_queue *queue)
{
#ifdef CONFIG_RPS
	return rcu_access_pointer(queue->rps_map);
#else
	return false;
#endif
}

/* eventfd_signal() lost its count in 6.8; it was 1 everywhere. */
static inline void lockstep_eventfd_signal(struct eventfd_ctx *ctx)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	eventfd_signal(ctx);
#else
	eventfd_signal(ctx, 1);
#endif
}

/* hrtimer_init() and its field became one call in 6.13. */
static inline void lockstep_hrtimer_setup(struct hrtimer *timer,
					  enum hrtimer_restart (*fn)(struct hrtimer *),
					  clockid_t clock, enum hrtimer_mode mode)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
	hrtimer_setup(timer, fn, clock, mode);
#else
	hrtimer_init(timer, clock, mode);
	timer->function = fn;
#endif
}

/* class_create() lost its owner in 6.4. */
static inline struct class *lockstep_class_create(const char *name)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
	return class_create(name);
#else
	return class_create(THIS_MODULE, name);
#endif
}

/* A VMA's flags are written through a function since 6.3. */
static inline void lockstep_vm_flags_set(struct vm_area_struct *vma, vm_flags_t flags)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	vm_flags_set(vma, flags);
#else
	vma->vm_flags |= flags;
#endif
}

#endif /* _LOCKSTEP_COMPAT_H */
