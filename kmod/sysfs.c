// SPDX-License-Identifier: GPL-2.0
/* /sys/kernel/lockstep, one value per file; every file is in docs/ABI-sysfs.md. */
#include <linux/log2.h>
#include <linux/nsproxy.h>
#include <linux/sched.h>
#include <linux/sysfs.h>
#include "pmc.h"
#include "sysfs.h"

static struct kobject *root;
static u32 log_size = LOCKSTEP_LOG_SIZE_DEF;
static u32 lag_limit_ms = 1000;

u32 lockstep_log_size_default(void)
{
	return READ_ONCE(log_size);
}

u32 lockstep_lag_limit_default(void)
{
	return READ_ONCE(lag_limit_ms);
}

#define LAG_LIMIT_MS_MAX	60000
#define SILENCE_MS_MIN		50
#define SILENCE_MS_MAX		60000

static ssize_t u32_store(const char *buf, size_t len, u32 *value, u32 min, u32 max)
{
	u32 v;
	int ret = kstrtou32(buf, 0, &v);

	if (ret)
		return ret;
	if (v < min || v > max)
		return -ERANGE;
	WRITE_ONCE(*value, v);
	return len;
}

/* ---- defaults of guests to come ---- */

static ssize_t log_size_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", log_size);
}

static ssize_t log_size_store(struct kobject *kobj, struct kobj_attribute *attr,
			      const char *buf, size_t len)
{
	u32 v;
	int ret = kstrtou32(buf, 0, &v);

	if (ret)
		return ret;
	if (!is_power_of_2(v))
		return -EINVAL;
	return u32_store(buf, len, &log_size, LOCKSTEP_LOG_SIZE_MIN, LOCKSTEP_LOG_SIZE_MAX);
}

static ssize_t lag_limit_ms_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", lag_limit_ms);
}

static ssize_t lag_limit_ms_store(struct kobject *kobj, struct kobj_attribute *attr,
				  const char *buf, size_t len)
{
	return u32_store(buf, len, &lag_limit_ms, 0, LAG_LIMIT_MS_MAX);
}

static ssize_t abi_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", LOCKSTEP_ABI_VERSION);
}

static ssize_t arch_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", lockstep_arch_name());
}

static ssize_t counter_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", lockstep_pmc_name());
}

static ssize_t counter_skid_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", lockstep_pmc_skid());
}

static ssize_t counter_margin_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", lockstep_pmc_margin());
}

static struct kobj_attribute root_log_size = __ATTR(log_size, 0644, log_size_show, log_size_store);
static struct kobj_attribute root_lag_limit =
	__ATTR(lag_limit_ms, 0644, lag_limit_ms_show, lag_limit_ms_store);
static struct kobj_attribute root_abi = __ATTR(abi, 0444, abi_show, NULL);
static struct kobj_attribute root_arch = __ATTR(arch, 0444, arch_show, NULL);
static struct kobj_attribute root_counter = __ATTR(counter, 0444, counter_show, NULL);
static struct kobj_attribute root_counter_skid =
	__ATTR(counter_skid, 0444, counter_skid_show, NULL);
static struct kobj_attribute root_counter_margin =
	__ATTR(counter_margin, 0444, counter_margin_show, NULL);

static const struct attribute *const root_attrs[] = {
	&root_log_size.attr,
	&root_lag_limit.attr,
	&root_abi.attr,
	&root_arch.attr,
	&root_counter.attr,
	&root_counter_skid.attr,
	&root_counter_margin.attr,
	NULL,
};

/* ---- one guest ---- */

struct guest_attr {
	struct attribute attr;
	ssize_t (*show)(struct lockstep_guest *guest, char *buf);
	ssize_t (*store)(struct lockstep_guest *guest, const char *buf, size_t len);
};

#define GUEST_RO(n)							\
	static struct guest_attr guest_##n = {			\
		.attr = { .name = #n, .mode = 0444 },		\
		.show = n##_get,					\
	}
#define GUEST_RW(n)							\
	static struct guest_attr guest_##n = {			\
		.attr = { .name = #n, .mode = 0644 },		\
		.show = n##_get,					\
		.store = n##_set,					\
	}

static ssize_t state_get(struct lockstep_guest *guest, char *buf)
{
	return sysfs_emit(buf, "%s\n", lockstep_state_name(READ_ONCE(guest->state)));
}
GUEST_RO(state);

static ssize_t role_get(struct lockstep_guest *guest, char *buf)
{
	const struct lockstep_state_rule *rule = lockstep_state_rule(READ_ONCE(guest->state));
	bool lives = rule->logs || rule->gate == LOCKSTEP_GATE_RULE_OPEN;

	return sysfs_emit(buf, "%s\n", lives || !(guest->flags & LOCKSTEP_FLAG_TWIN) ?
			  "primary" : "backup");
}
GUEST_RO(role);

static ssize_t id_get(struct lockstep_guest *guest, char *buf)
{
	return sysfs_emit(buf, "%u\n", guest->id);
}
GUEST_RO(id);

static ssize_t uuid_get(struct lockstep_guest *guest, char *buf)
{
	return sysfs_emit(buf, "%pUb\n", guest->uuid);
}
GUEST_RO(uuid);

static ssize_t instance_get(struct lockstep_guest *guest, char *buf)
{
	return sysfs_emit(buf, "%pUb\n", guest->instance);
}
GUEST_RO(instance);

static ssize_t generation_get(struct lockstep_guest *guest, char *buf)
{
	return sysfs_emit(buf, "%llu\n", READ_ONCE(guest->generation));
}
GUEST_RO(generation);

static ssize_t vmm_pid_get(struct lockstep_guest *guest, char *buf)
{
	return sysfs_emit(buf, "%d\n", guest->vmm_pid);
}
GUEST_RO(vmm_pid);

static ssize_t guest_log_size_get(struct lockstep_guest *guest, char *buf)
{
	return sysfs_emit(buf, "%u\n", guest->log.size);
}

static struct guest_attr guest_log_size = {
	.attr = { .name = "log_size", .mode = 0444 },
	.show = guest_log_size_get,
};

static ssize_t guest_lag_limit_get(struct lockstep_guest *guest, char *buf)
{
	return sysfs_emit(buf, "%u\n", guest->lag_limit_ms);
}

static ssize_t guest_lag_limit_set(struct lockstep_guest *guest, const char *buf, size_t len)
{
	return u32_store(buf, len, &guest->lag_limit_ms, 0, LAG_LIMIT_MS_MAX);
}

static struct guest_attr guest_lag_limit_ms = {
	.attr = { .name = "lag_limit_ms", .mode = 0644 },
	.show = guest_lag_limit_get,
	.store = guest_lag_limit_set,
};

static ssize_t daemon_silence_ms_get(struct lockstep_guest *guest, char *buf)
{
	return sysfs_emit(buf, "%u\n", guest->silence_ms);
}

static ssize_t daemon_silence_ms_set(struct lockstep_guest *guest, const char *buf, size_t len)
{
	u32 ms;
	ssize_t ret = u32_store(buf, len, &ms, SILENCE_MS_MIN, SILENCE_MS_MAX);

	if (ret > 0)
		lockstep_guest_silence_set(guest, ms);
	return ret;
}
GUEST_RW(daemon_silence_ms);

static ssize_t output_device_get(struct lockstep_guest *guest, char *buf)
{
	char name[IFNAMSIZ];

	if (!lockstep_gate_name_get(&guest->gate, name))
		name[0] = 0;
	return sysfs_emit(buf, "%s\n", name);
}

/* Only before the guest has run: a gate that moves could let a frame by. */
static ssize_t output_device_set(struct lockstep_guest *guest, const char *buf, size_t len)
{
	struct net *net = current->nsproxy->net_ns;
	char name[IFNAMSIZ], old[IFNAMSIZ];
	int ret = -EBUSY;

	if (len >= sizeof(name))
		return -EINVAL;
	strscpy(name, buf, sizeof(name));
	mutex_lock(&guest->lock);
	if (!guest->dead && !guest->started && guest->state == LOCKSTEP_STATE_FREE) {
		bool had = lockstep_gate_name_get(&guest->gate, old);

		lockstep_gate_detach(&guest->gate);
		ret = lockstep_gate_attach(&guest->gate, strim(name), net);
		if (ret && had && lockstep_gate_attach(&guest->gate, old, net))
			pr_warn("lockstep: %s: output device %s is lost\n", guest->name, old);
	}
	mutex_unlock(&guest->lock);
	return ret ?: len;
}
GUEST_RW(output_device);

static struct attribute *guest_attrs[] = {
	&guest_state.attr,
	&guest_role.attr,
	&guest_id.attr,
	&guest_uuid.attr,
	&guest_instance.attr,
	&guest_generation.attr,
	&guest_vmm_pid.attr,
	&guest_log_size.attr,
	&guest_lag_limit_ms.attr,
	&guest_daemon_silence_ms.attr,
	&guest_output_device.attr,
	NULL,
};

static const struct attribute_group guest_group = { .attrs = guest_attrs };

/* ---- its counters ---- */

/**
 * lockstep_guest_stats_get - all counters
 * @guest:  any context
 * @values: out, by enum lockstep_stat, LOCKSTEP_S_MAX + 1 of them
 */
void lockstep_guest_stats_get(struct lockstep_guest *guest, u64 *values)
{
	const struct lockstep_guest_stats *stats = &guest->stats;
	u64 head = READ_ONCE(guest->log.head), tail = READ_ONCE(guest->log.tail);
	bool twin = guest->flags & LOCKSTEP_FLAG_TWIN && !guest->told_live;
	bool logs = lockstep_state_rule(READ_ONCE(guest->state))->logs;
	u64 executed = twin ? tail : logs ? guest->executed : head;
	struct lockstep_gate_stats gate;

	lockstep_gate_stats_get(&guest->gate, &gate);
	memset(values, 0, (LOCKSTEP_S_MAX + 1) * sizeof(*values));
	values[LOCKSTEP_S_LSN] = head;
	values[LOCKSTEP_S_ACKED] = twin ? head : guest->acked;
	values[LOCKSTEP_S_EXECUTED] = executed;
	values[LOCKSTEP_S_RECORDS] = stats->records;
	values[LOCKSTEP_S_TSC] = stats->tsc;
	values[LOCKSTEP_S_INPUTS] = stats->inputs;
	values[LOCKSTEP_S_OUTPUTS] = stats->outputs;
	values[LOCKSTEP_S_HELD] = gate.held;
	values[LOCKSTEP_S_HELD_MAX] = gate.held_max;
	values[LOCKSTEP_S_RELEASED] = gate.released;
	values[LOCKSTEP_S_HOLD_NS] = gate.hold_ns;
	values[LOCKSTEP_S_HOLD_MAX_NS] = gate.hold_max_ns;
	values[LOCKSTEP_S_DROPPED] = gate.dropped;
	values[LOCKSTEP_S_BATCHES] = stats->batches;
	values[LOCKSTEP_S_ACKS] = stats->acks;
	values[LOCKSTEP_S_LOG_FULL] = stats->log_full;
	values[LOCKSTEP_S_LAG_BYTES] = head - min(head, executed);
	values[LOCKSTEP_S_LAG_NS] = logs ? stats->lag_ns : 0;
	values[LOCKSTEP_S_LAG_MAX_NS] = stats->lag_max_ns;
	values[LOCKSTEP_S_THROTTLE_NS] = stats->throttle_ns;
	values[LOCKSTEP_S_CLOCK] = lockstep_clock_peek(&guest->clock);
	values[LOCKSTEP_S_STOPS] = READ_ONCE(guest->count);
	values[LOCKSTEP_S_IGNORED_EVENTS] = stats->ignored_events;
	values[LOCKSTEP_S_DIVERGENCES] = stats->divergences;
	values[LOCKSTEP_S_FORCED] = guest->forced.forced;
	values[LOCKSTEP_S_STEPS] = guest->forced.steps;
	values[LOCKSTEP_S_STEPS_MEDIAN] = lockstep_forced_steps_median(&guest->forced);
	values[LOCKSTEP_S_DUPLICATES_MAX] = max(stats->duplicates_max, gate.unacked_max);
}

struct counter_attr {
	struct guest_attr guest;
	unsigned int stat;
};

static ssize_t stat_show(struct lockstep_guest *guest, const struct attribute *attr, char *buf)
{
	const struct counter_attr *counter = container_of(attr, struct counter_attr, guest.attr);
	u64 values[LOCKSTEP_S_MAX + 1];

	lockstep_guest_stats_get(guest, values);
	return sysfs_emit(buf, "%llu\n", values[counter->stat]);
}

#define COUNTER(n, s)	{ .guest.attr = { .name = n, .mode = 0444 }, .stat = LOCKSTEP_S_##s }

static struct counter_attr counters[] = {
	COUNTER("log_bytes", LSN),
	COUNTER("acked_bytes", ACKED),
	COUNTER("executed_bytes", EXECUTED),
	COUNTER("records", RECORDS),
	COUNTER("clock_reads", TSC),
	COUNTER("inputs", INPUTS),
	COUNTER("outputs", OUTPUTS),
	COUNTER("held", HELD),
	COUNTER("held_max", HELD_MAX),
	COUNTER("released", RELEASED),
	COUNTER("hold_ns", HOLD_NS),
	COUNTER("hold_max_ns", HOLD_MAX_NS),
	COUNTER("dropped", DROPPED),
	COUNTER("batches", BATCHES),
	COUNTER("acks", ACKS),
	COUNTER("log_full", LOG_FULL),
	COUNTER("lag_bytes", LAG_BYTES),
	COUNTER("lag_ns", LAG_NS),
	COUNTER("lag_max_ns", LAG_MAX_NS),
	COUNTER("throttle_ns", THROTTLE_NS),
	COUNTER("clock_ns", CLOCK),
	COUNTER("stops", STOPS),
	COUNTER("ignored_events", IGNORED_EVENTS),
	COUNTER("divergences", DIVERGENCES),
	COUNTER("duplicates_max", DUPLICATES_MAX),
	COUNTER("forced", FORCED),
	COUNTER("steps", STEPS),
	COUNTER("steps_median", STEPS_MEDIAN),
};

static struct attribute *counter_attrs[ARRAY_SIZE(counters) + 1];	/* filled at load */
static const struct attribute_group counter_group = {
	.name = "counters",
	.attrs = counter_attrs,
};

static const struct attribute_group *guest_groups[] = { &guest_group, &counter_group, NULL };

static bool is_counter(const struct attribute *attr)
{
	return (void *)attr >= (void *)counters &&
	       (void *)attr < (void *)(counters + ARRAY_SIZE(counters));
}

static ssize_t guest_show(struct kobject *kobj, struct attribute *attr, char *buf)
{
	struct lockstep_guest *guest = container_of(kobj, struct lockstep_guest, kobj);

	if (is_counter(attr))
		return stat_show(guest, attr, buf);
	return container_of(attr, struct guest_attr, attr)->show(guest, buf);
}

static ssize_t guest_store(struct kobject *kobj, struct attribute *attr, const char *buf,
			   size_t len)
{
	struct lockstep_guest *guest = container_of(kobj, struct lockstep_guest, kobj);

	return container_of(attr, struct guest_attr, attr)->store(guest, buf, len);
}

static const struct sysfs_ops guest_sysfs_ops = { .show = guest_show, .store = guest_store };

static struct kobj_type guest_type = {
	.release = lockstep_guest_release,
	.sysfs_ops = &guest_sysfs_ops,
	.default_groups = guest_groups,
};

/**
 * lockstep_sysfs_guest_init - start the guest's reference count at 1
 * @guest: whole enough for lockstep_guest_release()
 */
void lockstep_sysfs_guest_init(struct lockstep_guest *guest)
{
	kobject_init(&guest->kobj, &guest_type);
}

/**
 * lockstep_sysfs_guest_add - make a guest's folder
 * @guest: no other guest has its name
 *
 * Returns 0, -EEXIST for the name of a file that is there anyway, or -errno.
 */
int lockstep_sysfs_guest_add(struct lockstep_guest *guest)
{
	unsigned int i;

	for (i = 0; root_attrs[i]; i++)
		if (!strcmp(root_attrs[i]->name, guest->name))
			return -EEXIST;
	return kobject_add(&guest->kobj, root, "%s", guest->name);
}

/**
 * lockstep_sysfs_guest_del - remove it; the reference stays
 * @guest: none of its files is in use when this returns
 */
void lockstep_sysfs_guest_del(struct lockstep_guest *guest)
{
	kobject_del(&guest->kobj);
}

/**
 * lockstep_sysfs_init - make /sys/kernel/lockstep
 *
 * Returns 0 or -errno.
 */
int lockstep_sysfs_init(void)
{
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(counters); i++)
		counter_attrs[i] = &counters[i].guest.attr;
	root = kobject_create_and_add("lockstep", kernel_kobj);
	if (!root)
		return -ENOMEM;
	ret = sysfs_create_files(root, root_attrs);
	if (ret)
		kobject_put(root);
	return ret;
}

/**
 * lockstep_sysfs_exit - remove it
 */
void lockstep_sysfs_exit(void)
{
	kobject_put(root);
}
