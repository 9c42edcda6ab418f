// SPDX-License-Identifier: GPL-2.0
/*
 * lockstep: fault-tolerant KVM guests by state machine replication
 *
 * The module's life: what is brought up in order, and taken down in reverse.
 * An open /dev/lockstep holds a reference to it, so it goes only when no guest is
 * attached.
 */
#include <linux/module.h>
#include "chardev.h"
#include "pmc.h"
#include "gate.h"
#include "hook.h"
#include "netlink.h"
#include "selftest.h"
#include "sysfs.h"

static int __init lockstep_init(void)
{
	int ret;

	ret = lockstep_selftest();
	if (ret)
		return ret;
	ret = lockstep_gates_init();
	if (ret)
		return ret;
	ret = lockstep_hook_init();
	if (ret)
		goto err_gates;
	ret = lockstep_pmc_init();
	if (ret)
		goto err_hook;
	ret = lockstep_sysfs_init();
	if (ret)
		goto err_hook;
	ret = lockstep_netlink_init();
	if (ret)
		goto err_sysfs;
	ret = lockstep_chardev_init();
	if (ret)
		goto err_netlink;
	pr_info("lockstep: ABI %d, %s\n", LOCKSTEP_ABI_VERSION, lockstep_arch_name());
	return 0;

err_netlink:
	lockstep_netlink_exit();
err_sysfs:
	lockstep_sysfs_exit();
err_hook:
	lockstep_hook_exit();
err_gates:
	lockstep_gates_exit();
	return ret;
}

static void __exit lockstep_exit(void)
{
	lockstep_chardev_exit();
	lockstep_netlink_exit();
	lockstep_sysfs_exit();
	lockstep_hook_exit();
	lockstep_gates_exit();
}

module_init(lockstep_init);
module_exit(lockstep_exit);

MODULE_DESCRIPTION("Fault-tolerant KVM guests by state machine replication");
MODULE_AUTHOR("The lockstep authors");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
