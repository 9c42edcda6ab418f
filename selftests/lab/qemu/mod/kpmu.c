// SPDX-License-Identifier: GPL-2.0
/* A counter made in the kernel that overflows in a guest, as a module for replay would use it. */
#include <linux/fs.h>
#include <linux/irq_work.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/perf_event.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "kpmu.h"

static struct perf_event *event;
static struct task_struct *task;
static struct irq_work kick;
static struct kpmu_state state;

static void kick_fn(struct irq_work *work)
{
	send_sig(KPMU_SIGNAL, task, 1);
}

static void overflow(struct perf_event *ev, struct perf_sample_data *data, struct pt_regs *regs)
{
	state.overflows++;
	state.in_nmi += !!in_nmi();
	irq_work_queue(&kick);
}

static long arm(u64 period)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_HARDWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_HW_INSTRUCTIONS,
		.pinned = 1,
		.exclude_host = 1,
		.sample_period = period,
	};
	struct perf_event *ev;

	if (event)
		return -EBUSY;
	task = current;
	memset(&state, 0, sizeof(state));
	init_irq_work(&kick, kick_fn);
	ev = perf_event_create_kernel_counter(&attr, -1, current, overflow, NULL);
	if (IS_ERR(ev))
		return PTR_ERR(ev);
	event = ev;
	return 0;
}

static void release_event(void)
{
	if (!event)
		return;
	perf_event_release_kernel(event);
	irq_work_sync(&kick);
	event = NULL;
}

static long kpmu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	u64 enabled, running;

	switch (cmd) {
	case KPMU_ARM:
		return arm(arg);
	case KPMU_READ:
		if (!event)
			return -ENODATA;
		state.count = perf_event_read_value(event, &enabled, &running);
		return copy_to_user((void __user *)arg, &state, sizeof(state)) ? -EFAULT : 0;
	case KPMU_RELEASE:
		release_event();
		return 0;
	default:
		return -ENOTTY;
	}
}

static int kpmu_release(struct inode *inode, struct file *file)
{
	release_event();
	return 0;
}

static const struct file_operations kpmu_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = kpmu_ioctl,
	.release = kpmu_release,
};

static struct miscdevice kpmu_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "kpmu",
	.fops = &kpmu_fops,
};
module_misc_device(kpmu_device);

MODULE_DESCRIPTION("guest-only instruction counter with overflow, for tests of the lab's QEMU");
MODULE_LICENSE("GPL");
