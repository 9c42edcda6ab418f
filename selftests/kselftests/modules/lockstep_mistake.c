// SPDX-License-Identifier: GPL-2.0
/*
 * Makes one mistake, to see whether the lab would notice it in lockstep: insmod
 * lockstep_mistake.ko kind=leak. For a kernel with KASAN, UBSAN, lockdep and kmemleak;
 * one without them may not survive. It never stays loaded.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

static char *kind = "";
module_param(kind, charp, 0444);
MODULE_PARM_DESC(kind, "rcu, sleep, shift, order, freed or leak");

static DEFINE_SPINLOCK(one);
static DEFINE_SPINLOCK(other);
static void __rcu *shared;

static void rcu(void)
{
	pr_info("%p\n", rcu_dereference(shared));
}

static void sleeps(void)
{
	spin_lock(&one);
	might_sleep();
	spin_unlock(&one);
}

static void shift(void)
{
	int by = 40;

	OPTIMIZER_HIDE_VAR(by);
	pr_info("%d\n", 1 << by);
}

static void order(void)
{
	spin_lock(&one);
	spin_lock(&other);
	spin_unlock(&other);
	spin_unlock(&one);

	spin_lock(&other);
	spin_lock(&one);
	spin_unlock(&one);
	spin_unlock(&other);
}

static void freed(void)
{
	char *memory = kmalloc(100, GFP_KERNEL), *after = memory;

	OPTIMIZER_HIDE_VAR(after);
	kfree(memory);
	if (after)
		pr_info("%d\n", READ_ONCE(after[7]));
}

static void leak(void)
{
	void *memory = kmalloc(100, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(memory);
}

static const struct {
	const char *name;
	void (*make)(void);
} mistakes[] = {
	{ "rcu", rcu }, { "sleep", sleeps }, { "shift", shift },
	{ "order", order }, { "freed", freed }, { "leak", leak },
};

static int __init mistake_init(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(mistakes); i++)
		if (!strcmp(kind, mistakes[i].name)) {
			mistakes[i].make();
			return -ECANCELED;
		}
	return -EINVAL;
}
module_init(mistake_init);

MODULE_DESCRIPTION("Mistakes for a kernel to find");
MODULE_LICENSE("GPL");
