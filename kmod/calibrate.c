// SPDX-License-Identifier: GPL-2.0
/*
 * Does a counter count exactly here, and how late do its interrupts come?
 *
 * A loop of known length is run with interrupts off. Its length in events is the
 * difference of two runs, so that what surrounds it cancels out. Interrupts of a
 * counter are NMIs: where in the loop one arrives shows in RCX.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitops.h>
#include <linux/delay.h>
#include <linux/irqflags.h>
#include <linux/minmax.h>
#include <linux/perf_event.h>
#include <linux/preempt.h>
#include <asm/ptrace.h>

#include "calibrate.h"

#define TRIES		32
#define TRIES_GOOD	24	/* what else the host does in a try, NMIs say, counts in it */
#define SHOTS		256
#define PAUSE_US	100
#define ROUNDS		4000
#define ROUNDS_SHOT	20000	/* more events than any interrupt is late */
#define BEFORE_SHOT	3000	/* more than perf takes to set the counter */
#define LOOP_BYTES	64	/* at least what the loop's function has */
#define COUNTER_BITS	48

struct shot {
	bool hit;
	u64 left;	/* rounds */
};

/* One taken branch and two instructions a round. */
static noinline void loop(u64 rounds)
{
	asm volatile("1:	decq	%0\n"
		     "	jnz	1b" : "+c" (rounds) : : "cc");
}

static void shot_taken(struct perf_event *event, struct perf_sample_data *data,
		       struct pt_regs *regs)
{
	struct shot *shot = event->overflow_handler_context;

	if (shot->hit || regs->ip - (unsigned long)loop >= LOOP_BYTES)
		return;
	shot->hit = true;
	shot->left = regs->cx;
}

static struct perf_event *event_create(u64 config, struct shot *shot)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_RAW,
		.size = sizeof(attr),
		.config = config,
		.pinned = 1,
		.exclude_guest = 1,
		.sample_period = shot ? 1ULL << (COUNTER_BITS - 2) : 0,
	};

	return perf_event_create_kernel_counter(&attr, smp_processor_id(), NULL, shot_taken, shot);
}

/* Events of so many rounds, and of what surrounds them. */
static int events_of(struct perf_event *event, lockstep_counter_read_fn read, u64 rounds,
		     u64 *events)
{
	unsigned long flags;
	u64 before, after;
	int ret;

	local_irq_save(flags);
	ret = read(event, &before, NULL, NULL);
	loop(rounds);
	if (!ret)
		ret = read(event, &after, NULL, NULL);
	local_irq_restore(flags);
	if (ret)
		return ret;
	*events = after - before;
	return 0;
}

static int count_check(struct perf_event *event, lockstep_counter_read_fn read,
		       unsigned int per_round)
{
	unsigned int i, good = 0;
	u64 once, twice;
	int ret;

	for (i = 0; i < TRIES; i++) {
		ret = events_of(event, read, ROUNDS, &once);
		if (!ret)
			ret = events_of(event, read, 2 * ROUNDS, &twice);
		if (ret)
			return ret;
		good += twice - once == per_round * ROUNDS;
	}
	return good >= TRIES_GOOD ? 0 : -ERANGE;
}

/* One interrupt. @late: events after the one it was set for; too many by some of @around, never too few. */
static int shoot(struct perf_event *event, lockstep_counter_read_fn read, unsigned int per_round,
		 u64 around, u64 *late)
{
	struct shot *shot = event->overflow_handler_context;
	unsigned long flags;
	s64 left, done;
	u64 value;
	int ret;

	shot->hit = false;
	ret = perf_event_period(event, BEFORE_SHOT + per_round * ROUNDS_SHOT / 2);
	if (ret)
		return ret;
	local_irq_save(flags);
	ret = read(event, &value, NULL, NULL);
	/* perf lets it count up to 0 */
	left = -sign_extend64(local64_read(&event->hw.prev_count), COUNTER_BITS - 1);
	loop(ROUNDS_SHOT);
	local_irq_restore(flags);
	perf_event_period(event, 1ULL << (COUNTER_BITS - 2));
	if (ret)
		return ret;
	if (left <= 0)
		return -ERANGE;
	/* not there by the loop's end: at least so late */
	done = (ROUNDS_SHOT - (shot->hit ? shot->left : 0)) * per_round + around;
	*late = done > left ? done - left : 0;
	return 0;
}

static int skid_measure(struct perf_event *event, lockstep_counter_read_fn read,
			unsigned int per_round, u32 *skid)
{
	unsigned int i, good = 0;
	u64 around, late;
	int ret;

	ret = events_of(event, read, 1, &around);
	if (ret)
		return ret;
	for (i = 0; i < SHOTS; i++) {
		/* or perf throttles it, and takes it for late */
		usleep_range(PAUSE_US, 2 * PAUSE_US);
		ret = shoot(event, read, per_round, around, &late);
		if (ret == -ERANGE)
			continue;	/* the host was busy elsewhere before the loop */
		if (ret)
			return ret;
		*skid = max_t(u32, *skid, late);
		good++;
	}
	return good >= SHOTS / 2 ? 0 : -ERANGE;
}

/**
 * lockstep_calibrate - try a counter on this CPU
 * @config:    raw event of perf
 * @per_round: its events in a round of the loop: 1 for taken branches, 2 for instructions
 * @read:      perf_event_read_local()
 * @skid:      out: the most events that an interrupt came late
 *
 * May sleep. Return: 0; -ERANGE: it does not count exactly, or its interrupts do not
 * come; or -errno of perf.
 */
int lockstep_calibrate(u64 config, unsigned int per_round, lockstep_counter_read_fn read,
		       u32 *skid)
{
	struct perf_event *count, *alarm;
	struct shot shot = { };
	int ret;

	*skid = 0;
	migrate_disable();
	count = event_create(config, NULL);
	if (IS_ERR(count)) {
		ret = PTR_ERR(count);
		goto out;
	}
	ret = count_check(count, read, per_round);
	perf_event_release_kernel(count);
	if (ret)
		goto out;
	alarm = event_create(config, &shot);
	if (IS_ERR(alarm)) {
		ret = PTR_ERR(alarm);
		goto out;
	}
	ret = skid_measure(alarm, read, per_round, skid);
	perf_event_release_kernel(alarm);
out:
	migrate_enable();
	return ret;
}
