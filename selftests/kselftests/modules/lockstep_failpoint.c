// SPDX-License-Identifier: GPL-2.0
/*
 * A failpoint in lockstep: at the nth call of a function, with given first arguments, the host
 * stands still for good, as one that has just lost power does, or a program is killed.
 *
 *	insmod lockstep_failpoint.ko symbol=lockstep_state_next arg0=4 arg1=8 action=stop
 *
 * Says "failpoint: hit" on the console. Any function of the module that is not inlined will do:
 * lockstep_state_next(state, event) is just before a transition, lockstep_netlink_state_send(guest,
 * old state, event) just after it, before anybody knows.
 */
#define pr_fmt(fmt) "failpoint: " fmt

#include <linux/atomic.h>
#include <linux/irqflags.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sched/signal.h>

#define ANY	-1

static char *symbol = "lockstep_state_next";
module_param(symbol, charp, 0444);
MODULE_PARM_DESC(symbol, "function");

static int arg0 = ANY, arg1 = ANY, arg2 = ANY;
module_param(arg0, int, 0444);
module_param(arg1, int, 0444);
module_param(arg2, int, 0444);
MODULE_PARM_DESC(arg0, "first argument, and so on; -1: any");

static int nth = 1;
module_param(nth, int, 0444);
MODULE_PARM_DESC(nth, "which of the calls that match");

static char *action = "stop";
module_param(action, charp, 0444);
MODULE_PARM_DESC(action, "stop: the host; else the name of the programs to kill");

static atomic_t left;

static bool matches(int wanted, unsigned long value)
{
	return wanted == ANY || wanted == (int)value;
}

static void stand_still(void)
{
	local_irq_disable();
	for (;;)
		cpu_relax();
}

/* The programs die as soon as they would return to user space. */
static void programs_kill(const char *name)
{
	struct task_struct *task;

	rcu_read_lock();
	for_each_process(task)
		if (!strcmp(task->comm, name))
			send_sig(SIGKILL, task, 1);
	rcu_read_unlock();
}

static int hit(struct kprobe *kp, struct pt_regs *regs)
{
	if (!matches(arg0, regs->di) || !matches(arg1, regs->si) || !matches(arg2, regs->dx))
		return 0;
	if (atomic_dec_return(&left))
		return 0;
	pr_emerg("hit at %s\n", kp->symbol_name);
	if (strcmp(action, "stop"))
		programs_kill(action);
	else
		stand_still();
	return 0;
}

static struct kprobe probe = { .pre_handler = hit };

static int __init failpoint_init(void)
{
	atomic_set(&left, nth);
	probe.symbol_name = symbol;
	return register_kprobe(&probe);
}

static void __exit failpoint_exit(void)
{
	unregister_kprobe(&probe);
}

module_init(failpoint_init);
module_exit(failpoint_exit);
MODULE_DESCRIPTION("A failpoint in lockstep, to test it with");
MODULE_LICENSE("GPL");
