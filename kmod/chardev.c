// SPDX-License-Identifier: GPL-2.0
/* /dev/lockstep: one open file is one session, one session is one guest. */
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include "chardev.h"
#include "guest.h"
#include "stop.h"

/**
 * struct session - an open /dev/lockstep
 * @lock:  against two threads attaching at once, and two in a call of the
 *	   vCPU's thread at once
 * @guest: set once, under @lock, with a release
 */
struct session {
	struct mutex lock;
	struct lockstep_guest *guest;
};

/* The guest, once there is one, without the lock. */
static struct lockstep_guest *session_guest(struct session *session)
{
	return smp_load_acquire(&session->guest);	/* pairs with do_attach() */
}

static long do_attach(struct session *session, void __user *arg)
{
	struct lockstep_attach attach;
	struct lockstep_guest *guest;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (session->guest)
		return -EBUSY;
	if (copy_from_user(&attach, arg, sizeof(attach)))
		return -EFAULT;
	guest = lockstep_guest_attach(&attach);
	if (IS_ERR(guest))
		return PTR_ERR(guest);
	if (copy_to_user(arg, &attach, sizeof(attach))) {
		lockstep_guest_detach(guest);
		return -EFAULT;
	}
	smp_store_release(&session->guest, guest);	/* whole */
	return 0;
}

static long do_next(struct lockstep_guest *guest, void __user *arg)
{
	struct lockstep_next next;
	int ret;

	if (copy_from_user(&next, arg, sizeof(next)))
		return -EFAULT;
	ret = lockstep_stop_next(guest, &next);
	if (ret && ret != -ENOSPC)
		return ret;
	return copy_to_user(arg, &next, sizeof(next)) ? -EFAULT : ret;
}

static long do_input(struct lockstep_guest *guest, void __user *arg)
{
	struct lockstep_input input;

	if (copy_from_user(&input, arg, sizeof(input)))
		return -EFAULT;
	return lockstep_stop_input(guest, &input);
}

static long do_clock(struct lockstep_guest *guest, void __user *arg)
{
	struct lockstep_clock clock;
	int ret;

	if (copy_from_user(&clock, arg, sizeof(clock)))
		return -EFAULT;
	ret = lockstep_stop_clock(guest, &clock);
	if (ret)
		return ret;
	return copy_to_user(arg, &clock, sizeof(clock)) ? -EFAULT : 0;
}

static long do_output(struct lockstep_guest *guest, void __user *arg)
{
	struct lockstep_output output;
	int ret;

	if (copy_from_user(&output, arg, sizeof(output)))
		return -EFAULT;
	ret = lockstep_stop_output(guest, &output);
	if (ret)
		return ret;
	return copy_to_user(arg, &output, sizeof(output)) ? -EFAULT : 0;
}

static long do_released(struct lockstep_guest *guest, void __user *arg)
{
	struct lockstep_released released;

	if (copy_from_user(&released, arg, sizeof(released)))
		return -EFAULT;
	if (released.reserved || released.stream >= LOCKSTEP_STREAMS ||
	    released.stream == LOCKSTEP_STREAM_NET)
		return -EINVAL;
	lockstep_guest_released(guest, released.stream, released.index);
	return 0;
}

static long do_digest(struct lockstep_guest *guest, void __user *arg, bool mismatch)
{
	struct lockstep_digest digest;

	if (copy_from_user(&digest, arg, sizeof(digest)))
		return -EFAULT;
	return mismatch ? lockstep_stop_mismatch(guest, &digest) :
			  lockstep_stop_digest(guest, &digest);
}

/*
 * Calls of the vCPU's thread, one at a time.  vcpu->mutex as well: the registers
 * they look at must not be those of a vCPU that is running in another thread.
 */
static long stop_call(struct lockstep_guest *guest, unsigned int cmd, void __user *arg)
{
	switch (cmd) {
	case LOCKSTEP_NEXT:
		return do_next(guest, arg);
	case LOCKSTEP_INPUT:
		return do_input(guest, arg);
	case LOCKSTEP_CLOCK:
		return do_clock(guest, arg);
	case LOCKSTEP_OUTPUT:
		return do_output(guest, arg);
	case LOCKSTEP_DIGEST:
		return do_digest(guest, arg, false);
	case LOCKSTEP_MISMATCH:
		return do_digest(guest, arg, true);
	case LOCKSTEP_POWEROFF:
		return lockstep_stop_poweroff(guest);
	}
	return -ENOTTY;
}

static long session_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct session *session = file->private_data;
	struct lockstep_guest *guest = session_guest(session);
	struct kvm_vcpu *vcpu;
	long ret;

	if (cmd == LOCKSTEP_RELEASED)
		return guest ? do_released(guest, (void __user *)arg) : -EINVAL;
	if (cmd == LOCKSTEP_KICK) {
		if (guest)
			lockstep_forced_kick(guest);
		return guest ? 0 : -EINVAL;
	}
	/* not -EINTR: that would tell the VMM that a stop was counted */
	if (mutex_lock_interruptible(&session->lock))
		return -ERESTARTNOINTR;
	guest = session->guest;
	if (cmd == LOCKSTEP_ATTACH) {
		ret = do_attach(session, (void __user *)arg);
	} else if (!guest) {
		ret = -EINVAL;
	} else {
		vcpu = guest->lv.vcpu;
		ret = -ERESTARTNOINTR;
		if (!mutex_lock_interruptible(&vcpu->mutex)) {
			ret = stop_call(guest, cmd, (void __user *)arg);
			mutex_unlock(&vcpu->mutex);
		}
	}
	mutex_unlock(&session->lock);
	return ret;
}

static int session_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct session *session = file->private_data;
	struct lockstep_guest *guest = session_guest(session);

	if (!guest || vma->vm_pgoff || vma->vm_end - vma->vm_start != PAGE_SIZE)
		return -EINVAL;
	lockstep_vm_flags_set(vma, VM_DONTCOPY | VM_DONTEXPAND);
	return remap_vmalloc_range(vma, guest->page, 0);
}

static int session_open(struct inode *inode, struct file *file)
{
	struct session *session = kzalloc(sizeof(*session), GFP_KERNEL_ACCOUNT);

	if (!session)
		return -ENOMEM;
	mutex_init(&session->lock);
	file->private_data = session;
	return 0;
}

static int session_release(struct inode *inode, struct file *file)
{
	struct session *session = file->private_data;

	if (session->guest)
		lockstep_guest_detach(session->guest);
	kfree(session);
	return 0;
}

static const struct file_operations session_fops = {
	.owner = THIS_MODULE,
	.open = session_open,
	.release = session_release,
	.unlocked_ioctl = session_ioctl,
	.mmap = session_mmap,
	.llseek = noop_llseek,
};

static struct miscdevice misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "lockstep",
	.mode = 0600,
	.fops = &session_fops,
};

/**
 * lockstep_chardev_init - register /dev/lockstep
 *
 * Returns 0 or -errno.
 */
int lockstep_chardev_init(void)
{
	return misc_register(&misc);
}

/**
 * lockstep_chardev_exit - unregister it; no file is open
 */
void lockstep_chardev_exit(void)
{
	misc_deregister(&misc);
}
