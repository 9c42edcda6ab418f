// SPDX-License-Identifier: GPL-2.0
/* A count of what a guest executes, see pmc.h. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/irqflags.h>
#include <linux/lockstep.h>
#include <linux/module.h>
#include <linux/perf_event.h>
#include <linux/static_call.h>
#include <asm/processor.h>

#include "arch.h"
#include "calibrate.h"
#include "hook.h"
#include "pmc.h"

#define PERIOD_MIN	2		/* perf makes 2 of a smaller one */
#define PERIOD_NEVER	(1ULL << 46)	/* counters have 48 bits */
#define PER_BRANCH	8		/* instructions at most, in the time of the densest branches */

/**
 * struct model - what counts on a CPU
 * @vendor:       X86_VENDOR_*
 * @instructions: retired instructions: event and unit mask
 * @branches:     retired taken branches (Intel: conditional ones), 0: none
 * @kind:         what to take if nobody says
 * @margin:       above the skid that was seen
 *
 * Sources: AMD's PPR, event tables (0xC0, 0xC4); Intel SDM vol. 3, 20.3. On AMD's Zen
 * taken branches are the same in every run and come up to 5,043 late in a million
 * stops; instructions are not always the same on silicon (published measurements:
 * nothing here has run on bare metal).
 */
struct model {
	u8 vendor;
	u16 instructions;
	u16 branches;
	u8 kind;
	u32 margin;
};

static const struct model models[] = {
	{ X86_VENDOR_AMD, 0x00c0, 0x00c4, LOCKSTEP_COUNTER_BRANCHES, 6000 },
	{ X86_VENDOR_HYGON, 0x00c0, 0x00c4, LOCKSTEP_COUNTER_BRANCHES, 6000 },
	{ X86_VENDOR_INTEL, 0x00c0, 0x01c4, LOCKSTEP_COUNTER_BRANCHES, 500 },
};

static char *kind = "auto";
module_param_named(counter, kind, charp, 0444);
MODULE_PARM_DESC(counter, "what positions between stops count: auto (the default: by the CPU's model), branches, instructions, or none (inputs wait for the guest's next exit)");

static uint margin;
module_param(margin, uint, 0444);
MODULE_PARM_DESC(margin, "events before a position at which a twin begins to step; above the CPU's skid; 0: by the CPU's model, at least twice the skid seen at load");

static uint margin_instructions;
module_param(margin_instructions, uint, 0444);
MODULE_PARM_DESC(margin_instructions, "with branches: instructions before a position up to which a twin need not step; above the CPU's skid; 0: eight times the margin, at least twice the skid seen at load");

DEFINE_STATIC_CALL_NULL(counter_read_local, int (struct perf_event *, u64 *, u64 *, u64 *));

static const struct model *model;
static u32 wanted = LOCKSTEP_COUNTER_STOPS;
static u32 skid;
static bool guided;

/* Events of the CPU. */
static u64 config_of(u32 counter)
{
	return counter == LOCKSTEP_COUNTER_BRANCHES ? model->branches : model->instructions;
}

/* What the parameter asks for. */
static int kind_parse(void)
{
	if (!strcmp(kind, "auto"))
		wanted = model ? model->kind : LOCKSTEP_COUNTER_STOPS;
	else if (!strcmp(kind, "branches"))
		wanted = LOCKSTEP_COUNTER_BRANCHES;
	else if (!strcmp(kind, "instructions"))
		wanted = LOCKSTEP_COUNTER_INSTRUCTIONS;
	else if (strcmp(kind, "none"))
		return -EINVAL;
	return 0;
}

/* What the CPU gives. NULL, or why it can't be used. */
static const char *counter_try(unsigned long read)
{
	int ret;

	if (!model)
		return "its vendor is not known";
	if (!read)
		return "no perf_event_read_local in this kernel";
	if (!lockstep_arch_can_step())
		return "only SVM guests can be stopped at an instruction";
	ret = lockstep_calibrate(config_of(wanted), wanted == LOCKSTEP_COUNTER_BRANCHES ? 1 : 2,
				 (lockstep_counter_read_fn)read, &skid);
	if (ret == -ERANGE)
		return "it does not count exactly, or its interrupts get lost";
	if (ret)
		return "perf has none: in a VM, give the CPU a PMU; else nmi_watchdog=0 frees one";
	return NULL;
}

/* Where branches count: is there a guide? Else a twin only steps more. */
static void guide_try(unsigned long read)
{
	u32 late;

	if (wanted != LOCKSTEP_COUNTER_BRANCHES)
		return;
	guided = !lockstep_calibrate(config_of(LOCKSTEP_COUNTER_INSTRUCTIONS), 2,
				     (lockstep_counter_read_fn)read, &late);
	if (!guided)
		pr_info("instructions are not counted well: twins step by branches alone\n");
	else if (!margin_instructions)
		margin_instructions = max(PER_BRANCH * margin, 2 * late);
	else if (margin_instructions < late)
		pr_warn("margin_instructions=%u is less than the skid seen, %u: twins will miss positions and diverge; leave it out\n",
			margin_instructions, late);
}

/**
 * lockstep_pmc_init() - choose what counts on this CPU, and try it
 *
 * After lockstep_hook_init(); may sleep.
 *
 * Return: 0, or -EINVAL for a parameter that means nothing
 */
int lockstep_pmc_init(void)
{
	unsigned long read = lockstep_hook_symbol("perf_event_read_local");
	const char *why;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(models); i++)
		if (models[i].vendor == boot_cpu_data.x86_vendor)
			model = &models[i];
	if (kind_parse()) {
		pr_err("counter=%s: choose auto, branches, instructions or none\n", kind);
		return -EINVAL;
	}
	if (!strcmp(kind, "none"))
		return 0;
	why = counter_try(read);
	if (why) {
		pr_warn("no performance counter (%s): inputs wait for a guest's next exit\n", why);
		wanted = LOCKSTEP_COUNTER_STOPS;
		return 0;
	}
	if (!margin)
		margin = max(model->margin, 2 * skid);
	else if (margin < skid)
		pr_warn("margin=%u is less than the skid seen, %u: twins will miss positions and diverge; leave it out\n",
			margin, skid);
	guide_try(read);
	__static_call_update(&STATIC_CALL_KEY(counter_read_local),
			     STATIC_CALL_TRAMP_ADDR(counter_read_local), (void *)read);
	pr_info("counts %s: exact, interrupts up to %u late (margin %u)\n",
		lockstep_pmc_name(), skid, margin);
	return 0;
}

/* What counts, for people. */
const char *lockstep_pmc_name(void)
{
	switch (wanted) {
	case LOCKSTEP_COUNTER_BRANCHES:
		return "branches";
	case LOCKSTEP_COUNTER_INSTRUCTIONS:
		return "instructions";
	default:
		return "none";
	}
}

/* Events: how late an interrupt of the counter came at load, at most. */
u32 lockstep_pmc_skid(void)
{
	return skid;
}

/* Events: where a twin begins to step. */
u32 lockstep_pmc_margin(void)
{
	return margin;
}

static void counter_overflow(struct perf_event *event, struct perf_sample_data *data,
			     struct pt_regs *regs)
{
	/* The NMI has done it: the vCPU is out of the guest. perf goes on with the period: once. */
	event->hw.sample_period = PERIOD_NEVER;
}

/* @event: out, NULL after an error. Return: 0 or -errno */
static int event_create(struct perf_event **event, u32 counter, bool alarm)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_RAW,
		.size = sizeof(attr),
		.config = config_of(counter),
		.pinned = 1,
		.exclude_host = 1,
		.sample_period = alarm ? PERIOD_NEVER : 0,
	};
	int ret;

	*event = perf_event_create_kernel_counter(&attr, -1, current, counter_overflow, NULL);
	if (!IS_ERR(*event))
		return 0;
	ret = PTR_ERR(*event);
	*event = NULL;
	return ret;
}

static void guide_create(struct lockstep_pmc *pmc, const char *name)
{
	u64 value;

	if (!guided)
		return;
	pmc->guide_margin = margin_instructions;
	if (event_create(&pmc->guide, LOCKSTEP_COUNTER_INSTRUCTIONS, true) ||
	    lockstep_pmc_guide_read(pmc, &value))
		pr_info("%s: no counter left for instructions: as a twin it steps by branches alone\n",
			name);
}

/**
 * lockstep_pmc_create() - begin to count what the calling thread's guest executes
 * @pmc: out; without a counter where there can't be one, which the log then says
 * @name:    of the guest, for the log
 */
void lockstep_pmc_create(struct lockstep_pmc *pmc, const char *name)
{
	u64 value;
	int ret;

	*pmc = (struct lockstep_pmc){ .kind = LOCKSTEP_COUNTER_STOPS };
	if (wanted == LOCKSTEP_COUNTER_STOPS)
		return;
	pmc->kind = wanted;
	pmc->margin = margin;
	ret = event_create(&pmc->count, wanted, false);
	if (!ret)
		ret = event_create(&pmc->alarm, wanted, true);
	if (!ret)
		ret = lockstep_pmc_read(pmc, &value);
	if (!ret) {
		guide_create(pmc, name);
		return;
	}
	pr_warn("%s: no performance counter for it (error %d: %s): inputs wait for the guest's next exit\n",
		name, ret, ret == -EOPNOTSUPP ? "this CPU or kernel does not count guests" :
		ret == -EBUSY || ret == -EINVAL ? "all are in use: nmi_watchdog=0 frees one" :
		"see perf_event_open(2)");
	lockstep_pmc_destroy(pmc);
}

void lockstep_pmc_destroy(struct lockstep_pmc *pmc)
{
	if (pmc->guide)
		perf_event_release_kernel(pmc->guide);
	if (pmc->alarm)
		perf_event_release_kernel(pmc->alarm);
	if (pmc->count)
		perf_event_release_kernel(pmc->count);
	*pmc = (struct lockstep_pmc){ .kind = LOCKSTEP_COUNTER_STOPS };
}

static int event_read(struct perf_event *event, u64 *value)
{
	unsigned long flags;
	int ret;

	local_irq_save(flags);
	ret = static_call(counter_read_local)(event, value, NULL, NULL);
	if (!ret && READ_ONCE(event->state) != PERF_EVENT_STATE_ACTIVE)
		ret = -EBUSY;
	local_irq_restore(flags);
	return ret;
}

/**
 * lockstep_pmc_read() - what was executed since it was created
 * @pmc: of the calling thread; any context but NMI
 * @value:   out
 *
 * Return: 0, or -errno: perf has taken the counter away (it does not count any more)
 */
int lockstep_pmc_read(const struct lockstep_pmc *pmc, u64 *value)
{
	return event_read(pmc->count, value);
}

/**
 * lockstep_pmc_guide_read() - instructions executed since it was created, as a hint
 * @pmc: of the calling thread; any context but NMI
 * @value:   out
 *
 * Return: 0, or -errno: it does not count
 */
int lockstep_pmc_guide_read(const struct lockstep_pmc *pmc, u64 *value)
{
	return pmc->guide ? event_read(pmc->guide, value) : -ENOENT;
}

/**
 * lockstep_pmc_alarm_set() - have the vCPU out of the guest after some events
 * @alarm: alarm or guide of the calling thread, which may sleep
 * @events:  of it, from now on
 *
 * Return: 0 or -errno
 */
int lockstep_pmc_alarm_set(struct perf_event *alarm, u64 events)
{
	return perf_event_period(alarm, max_t(u64, events, PERIOD_MIN));
}

/* Neither alarm nor guide. */
void lockstep_pmc_alarms_clear(struct lockstep_pmc *pmc)
{
	lockstep_pmc_alarm_set(pmc->alarm, PERIOD_NEVER);
	if (pmc->guide)
		lockstep_pmc_alarm_set(pmc->guide, PERIOD_NEVER);
}
