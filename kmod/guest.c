// SPDX-License-Identifier: GPL-2.0
/* Attaching and detaching guests, see guest.h. */
#include <linux/capability.h>
#include <linux/ctype.h>
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/kvm_host.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uuid.h>
#include <linux/vmalloc.h>
#include <net/net_namespace.h>
#include "guest.h"
#include "netlink.h"
#include "sender.h"
#include "sysfs.h"

DEFINE_MUTEX(lockstep_guests_lock);
LIST_HEAD(lockstep_guests);
static u32 next_id = 1;
/* Outermost: one attach or end of a detach at a time, so that names are unique. */
static DEFINE_MUTEX(attach_lock);

static struct lockstep_guest *find_locked(u32 id, const char *name)
{
	struct lockstep_guest *guest;

	lockdep_assert_held(&lockstep_guests_lock);
	list_for_each_entry(guest, &lockstep_guests, node)
		if (name ? !strcmp(guest->name, name) : guest->id == id)
			return guest;
	return NULL;
}

static struct lockstep_guest *find_get(u32 id, const char *name)
{
	struct lockstep_guest *guest;

	mutex_lock(&lockstep_guests_lock);
	guest = find_locked(id, name);
	if (guest)
		lockstep_guest_get(guest);
	mutex_unlock(&lockstep_guests_lock);
	return guest;
}

/**
 * lockstep_guest_find - look a guest up
 * @id: its number
 *
 * Returns it with a reference for the caller, or NULL.
 */
struct lockstep_guest *lockstep_guest_find(u32 id)
{
	return find_get(id, NULL);
}

/**
 * lockstep_guest_find_name - look a guest up
 * @name: its name
 *
 * Returns it with a reference for the caller, or NULL.
 */
struct lockstep_guest *lockstep_guest_find_name(const char *name)
{
	return find_get(0, name);
}

static bool name_ok(const char *name)
{
	size_t n = strnlen(name, LOCKSTEP_NAME_MAX), i;

	if (!n || n == LOCKSTEP_NAME_MAX || name[0] == '.')
		return false;
	for (i = 0; i < n; i++)
		if (!isalnum(name[i]) && !strchr("._-", name[i]))
			return false;
	return true;
}

static int attach_check(const struct lockstep_attach *attach)
{
	if (attach->size != sizeof(*attach) || attach->reserved ||
	    attach->flags & ~LOCKSTEP_ATTACH_WAIT || attach->role > LOCKSTEP_ROLE_TWIN ||
	    strnlen(attach->output_dev, sizeof(attach->output_dev)) == sizeof(attach->output_dev))
		return -EINVAL;
	return name_ok(attach->name) ? 0 : -EINVAL;
}

static void gate_stamp(void *priv, u64 *lsn, u64 *index)
{
	struct lockstep_guest *guest = priv;

	*lsn = READ_ONCE(guest->stamp_lsn);
	*index = READ_ONCE(guest->stamp_index);
}

static void gate_room(void *priv)
{
	struct lockstep_guest *guest = priv;

	wake_up_interruptible(&guest->wq);
}

static const struct lockstep_gate_ops gate_ops = {
	.stamp = gate_stamp,
	.room = gate_room,
};

/* The files pin the VM and the vCPU until the guest is released. */
static int files_get(struct lockstep_guest *guest, const struct lockstep_attach *attach)
{
	struct kvm_vcpu *vcpu;
	struct kvm *kvm;

	guest->vm_file = fget(attach->vm_fd);
	guest->vcpu_file = fget(attach->vcpu_fd);
	if (!guest->vm_file || !guest->vcpu_file)
		return -EBADF;
	kvm = lockstep_hook_vm_of_file(guest->vm_file);
	vcpu = lockstep_hook_vcpu_of_file(guest->vcpu_file);
	if (!kvm || !vcpu || vcpu->kvm != kvm)
		return -EBADF;
	if (kvm->mm != current->mm)
		return -EPERM;
	guest->lv.vcpu = vcpu;
	if (attach->notify_fd >= 0) {
		struct eventfd_ctx *ctx = eventfd_ctx_fdget(attach->notify_fd);

		if (IS_ERR(ctx))
			return PTR_ERR(ctx);
		guest->notify = ctx;
	}
	return 0;
}

static void guest_free(struct lockstep_guest *guest)
{
	if (guest->log.data)
		lockstep_log_exit(&guest->log);
	if (guest->notify)
		eventfd_ctx_put(guest->notify);
	if (guest->vcpu_file)
		fput(guest->vcpu_file);
	if (guest->vm_file)
		fput(guest->vm_file);
	vfree(guest->page);
	kvfree(guest->scratch);
	kfree(guest);
}

void lockstep_guest_release(struct kobject *kobj)
{
	guest_free(container_of(kobj, struct lockstep_guest, kobj));
}

static int memory_get(struct lockstep_guest *guest, u32 log_size)
{
	guest->page = vmalloc_user(PAGE_SIZE);
	guest->scratch = kvmalloc(LOCKSTEP_PAYLOAD_MAX, GFP_KERNEL_ACCOUNT);
	if (!guest->page || !guest->scratch)
		return -ENOMEM;
	guest->page->version = LOCKSTEP_ABI_VERSION;
	guest->page->deadline = ~0ULL;
	return lockstep_log_init(&guest->log, log_size ?: lockstep_log_size_default());
}

static struct lockstep_guest *guest_new(const struct lockstep_attach *attach)
{
	struct lockstep_guest *guest;
	int ret;

	guest = kzalloc(sizeof(*guest), GFP_KERNEL_ACCOUNT);
	if (!guest)
		return ERR_PTR(-ENOMEM);
	strscpy(guest->name, attach->name, sizeof(guest->name));
	memcpy(guest->uuid, attach->uuid, sizeof(guest->uuid));
	generate_random_uuid(guest->instance);
	guest->vmm_pid = task_tgid_nr(current);
	guest->at_stop = true;
	guest->full_told = jiffies - 2 * HZ;
	guest->lag_limit_ms = lockstep_lag_limit_default();
	guest->silence_ms = LOCKSTEP_DAEMON_SILENCE_MS;
	if (attach->role == LOCKSTEP_ROLE_TWIN)
		guest->flags |= LOCKSTEP_FLAG_TWIN;
	if (attach->flags & LOCKSTEP_ATTACH_WAIT)
		guest->flags |= LOCKSTEP_FLAG_WAIT;
	mutex_init(&guest->lock);
	mutex_init(&guest->send_lock);
	init_waitqueue_head(&guest->wq);
	init_waitqueue_head(&guest->send_wq);
	INIT_DELAYED_WORK(&guest->watch, lockstep_guest_watch);
	INIT_LIST_HEAD(&guest->node);
	ret = files_get(guest, attach);
	if (ret)
		goto err_free;
	ret = memory_get(guest, attach->log_size);
	if (ret)
		goto err_free;
	lockstep_sysfs_guest_init(guest);
	return guest;

err_free:
	guest_free(guest);
	return ERR_PTR(ret);
}

/* Hand the vCPU to the hooks. It is not in KVM_RUN: that holds its mutex. */
static int vcpu_hook(struct lockstep_guest *guest)
{
	struct kvm_vcpu *vcpu = guest->lv.vcpu;
	int ret;

	if (mutex_lock_killable(&vcpu->mutex))
		return -EINTR;
	ret = lockstep_arch_vcpu_check(&guest->lv);
	if (!ret)
		ret = lockstep_hook_add(&guest->lv);
	mutex_unlock(&vcpu->mutex);
	return ret;
}

/*
 * The instance is over for the hooks as well: they return to user space at the
 * next exit, a parked vCPU wakes, so KVM_RUN ends and gives us its mutex.
 */
static void vcpu_unhook(struct lockstep_guest *guest)
{
	struct kvm_vcpu *vcpu = guest->lv.vcpu;

	wake_up_all(&guest->wq);
	lockstep_hook_kick(vcpu);
	mutex_lock(&vcpu->mutex);
	lockstep_hook_del(&guest->lv);
	lockstep_arch_vcpu_detach(&guest->lv);
	mutex_unlock(&vcpu->mutex);
}

static void list_insert(struct lockstep_guest *guest)
{
	mutex_lock(&lockstep_guests_lock);
	guest->id = next_id++;
	list_add_tail(&guest->node, &lockstep_guests);
	mutex_unlock(&lockstep_guests_lock);
}

static bool name_taken(const char *name)
{
	struct lockstep_guest *guest;

	mutex_lock(&lockstep_guests_lock);
	guest = find_locked(0, name);
	mutex_unlock(&lockstep_guests_lock);
	return guest;
}

static void list_remove(struct lockstep_guest *guest)
{
	mutex_lock(&lockstep_guests_lock);
	list_del_init(&guest->node);
	mutex_unlock(&lockstep_guests_lock);
}

/* Take down what attach built, from sysfs on; nobody can find the guest any more. */
static void guest_unwind(struct lockstep_guest *guest)
{
	lockstep_sysfs_guest_del(guest);	/* first: its files reach the gate */
	lockstep_gate_exit(&guest->gate);
	lockstep_guest_put(guest);
}

static int guest_build(struct lockstep_guest *guest, const struct lockstep_attach *attach)
{
	int ret;

	if (attach->output_dev[0]) {
		ret = lockstep_gate_attach(&guest->gate, attach->output_dev,
					   current->nsproxy->net_ns);
		if (ret)
			return ret;
	}
	ret = lockstep_sender_start(guest);
	if (ret)
		return ret;
	lockstep_forced_init(guest);
	ret = vcpu_hook(guest);
	if (ret) {
		lockstep_forced_exit(guest);
		lockstep_sender_stop(guest);
	}
	return ret;
}

static int attach_locked(struct lockstep_guest *guest, const struct lockstep_attach *attach)
{
	int ret;

	lockdep_assert_held(&attach_lock);
	if (name_taken(guest->name)) {
		lockstep_guest_put(guest);
		return -EEXIST;
	}
	lockstep_gate_init(&guest->gate, &gate_ops, guest);
	ret = lockstep_sysfs_guest_add(guest);
	if (ret) {
		lockstep_guest_put(guest);	/* there is no folder to remove */
		return ret;
	}
	ret = guest_build(guest, attach);
	if (ret) {
		guest_unwind(guest);
		return ret;
	}
	list_insert(guest);	/* last: whoever finds it finds it whole */
	return 0;
}

/**
 * lockstep_guest_attach - put a VM under our care
 * @attach: what the VMM asked for, foreign data; @instance, @id, @counter are
 *	    filled in
 *
 * The caller's reference ends with lockstep_guest_detach(). Errors as declared
 * at struct lockstep_attach.
 */
struct lockstep_guest *lockstep_guest_attach(struct lockstep_attach *attach)
{
	struct lockstep_guest *guest;
	int ret;

	ret = attach_check(attach);
	if (ret)
		return ERR_PTR(ret);
	guest = guest_new(attach);
	if (IS_ERR(guest))
		return guest;
	mutex_lock(&attach_lock);
	ret = attach_locked(guest, attach);
	mutex_unlock(&attach_lock);
	if (ret)
		return ERR_PTR(ret);

	memcpy(attach->instance, guest->instance, sizeof(attach->instance));
	attach->id = guest->id;
	attach->counter = guest->forced.pmc.kind;
	mutex_lock(&guest->lock);
	lockstep_netlink_state_send(guest, LOCKSTEP_STATE_FREE, LOCKSTEP_EVENT_NONE,
				    LOCKSTEP_FLAG_NEW);
	mutex_unlock(&guest->lock);
	return guest;
}

/**
 * lockstep_guest_detach - end an instance
 * @guest: attached; the caller's reference is dropped
 *
 * Sleeps until the vCPU has left KVM_RUN. Frames still held are dropped: a
 * primary that goes away without a power-off leaves them to its twin.
 */
void lockstep_guest_detach(struct lockstep_guest *guest)
{
	u32 old;

	mutex_lock(&guest->lock);
	old = guest->state;
	WRITE_ONCE(guest->dead, true);
	WRITE_ONCE(guest->mode, LOCKSTEP_VCPU_PARK);
	lockstep_gate_mode_set(&guest->gate, LOCKSTEP_GATE_DROP);
	lockstep_netlink_state_send(guest, old, LOCKSTEP_EVENT_VMM_GONE, LOCKSTEP_FLAG_GONE);
	mutex_unlock(&guest->lock);

	vcpu_unhook(guest);
	lockstep_forced_exit(guest);
	cancel_delayed_work_sync(&guest->watch);
	lockstep_sender_stop(guest);
	mutex_lock(&attach_lock);	/* the name is free when all of it is gone */
	list_remove(guest);
	guest_unwind(guest);
	mutex_unlock(&attach_lock);
}
