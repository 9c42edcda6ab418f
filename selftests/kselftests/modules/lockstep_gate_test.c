// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/lockstep-gate-test: the output gate alone, for gate.c. An open file is a gate.
 *
 * Written, one command a write: "attach DEVICE", "detach", "mode N", "ack LSN INDEX",
 * "stamp LSN INDEX" (of the frames to come; without it the n-th frame has index n and
 * LSN 10 n). Read: "mode held held_max index released dropped hold_ns unacked_max full
 * drained rooms name".
 */
#include "gate.c"

#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/nsproxy.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

struct gate_test {
	struct lockstep_gate gate;
	struct mutex lock;
	bool fixed;
	u64 lsn, index;
	atomic_t rooms;
};

static void test_stamp(void *priv, u64 *lsn, u64 *index)
{
	struct gate_test *test = priv;

	if (!READ_ONCE(test->fixed)) {
		test->index++;
		test->lsn = test->index * 10;
	}
	*lsn = test->lsn;
	*index = test->index;
}

static void test_room(void *priv)
{
	struct gate_test *test = priv;

	atomic_inc(&test->rooms);
}

static const struct lockstep_gate_ops test_gate_ops = {
	.stamp = test_stamp,
	.room = test_room,
};

static int test_open(struct inode *inode, struct file *file)
{
	struct gate_test *test = kzalloc(sizeof(*test), GFP_KERNEL);

	if (!test)
		return -ENOMEM;
	mutex_init(&test->lock);
	lockstep_gate_init(&test->gate, &test_gate_ops, test);
	file->private_data = test;
	return 0;
}

static int test_release(struct inode *inode, struct file *file)
{
	struct gate_test *test = file->private_data;

	lockstep_gate_exit(&test->gate);
	kfree(test);
	return 0;
}

static int test_command(struct gate_test *test, const char *line)
{
	char name[IFNAMSIZ];
	u64 lsn, index;
	int mode;

	if (sscanf(line, "attach %15s", name) == 1)
		return lockstep_gate_attach(&test->gate, name, current->nsproxy->net_ns);
	if (sscanf(line, "mode %d", &mode) == 1) {
		lockstep_gate_mode_set(&test->gate, mode);
		return 0;
	}
	if (sscanf(line, "ack %llu %llu", &lsn, &index) == 2) {
		lockstep_gate_acked(&test->gate, lsn, index);
		return 0;
	}
	if (sscanf(line, "stamp %llu %llu", &lsn, &index) == 2) {
		WRITE_ONCE(test->fixed, true);
		WRITE_ONCE(test->lsn, lsn);
		WRITE_ONCE(test->index, index);
		return 0;
	}
	if (!strcmp(line, "detach")) {
		lockstep_gate_detach(&test->gate);
		return 0;
	}
	return -EINVAL;
}

/* Concurrent on purpose: the gate's own locks are what is tested. */
static ssize_t test_write(struct file *file, const char __user *data, size_t len, loff_t *pos)
{
	char line[80];
	int ret;

	if (len >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, data, len))
		return -EFAULT;
	line[len] = 0;
	ret = test_command(file->private_data, line);
	return ret ?: len;
}

static ssize_t test_read(struct file *file, char __user *data, size_t len, loff_t *pos)
{
	struct gate_test *test = file->private_data;
	struct lockstep_gate_stats stats;
	char name[IFNAMSIZ], line[256];
	int n;

	lockstep_gate_stats_get(&test->gate, &stats);
	lockstep_gate_name_get(&test->gate, name);
	n = scnprintf(line, sizeof(line), "%d %llu %llu %llu %llu %llu %llu %llu %d %d %d %s\n",
		      READ_ONCE(test->gate.mode), stats.held, stats.held_max,
		      lockstep_gate_released(&test->gate), stats.released, stats.dropped,
		      stats.hold_ns, stats.unacked_max, lockstep_gate_is_full(&test->gate),
		      lockstep_gate_is_drained(&test->gate), atomic_read(&test->rooms), name);
	if (len < n)
		return -EINVAL;
	return copy_to_user(data, line, n) ? -EFAULT : n;
}

static const struct file_operations test_fops = {
	.owner = THIS_MODULE,
	.open = test_open,
	.release = test_release,
	.read = test_read,
	.write = test_write,
};

static struct miscdevice test_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "lockstep-gate-test",
	.mode = 0600,
	.fops = &test_fops,
};

static int __init test_init(void)
{
	int ret = lockstep_gates_init();

	if (ret)
		return ret;
	ret = misc_register(&test_misc);
	if (ret)
		lockstep_gates_exit();
	return ret;
}

static void __exit test_exit(void)
{
	misc_deregister(&test_misc);
	lockstep_gates_exit();
}

module_init(test_init);
module_exit(test_exit);
MODULE_DESCRIPTION("Test of the output gate of lockstep");
MODULE_LICENSE("GPL");
