// SPDX-License-Identifier: GPL-2.0
/*
 * The MC146818 clock and its CMOS memory
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rtc.h"
#include "state.h"
#include "vmm.h"

#define RTC_IRQ		8
#define RTC_TIMER	1	/* the one kind of input */
#define NS_PER_S	1000000000ULL
#define UPDATE_SLACK	10000000ULL	/* ns */

enum {
	REG_SECONDS = 0, REG_SECONDS_ALARM, REG_MINUTES, REG_MINUTES_ALARM, REG_HOURS,
	REG_HOURS_ALARM, REG_WEEKDAY, REG_DAY, REG_MONTH, REG_YEAR,
	REG_A, REG_B, REG_C, REG_D,
	REG_CENTURY = 0x32,
};

#define A_RATE		0x0f
#define B_SET		0x80
#define B_PERIODIC	0x40
#define B_ALARM		0x20
#define B_UPDATE	0x10
#define B_BINARY	0x04
#define B_24H		0x02
#define C_IRQ		0x80
#define D_VALID		0x80

#define LAST_SECOND	253402300799LL		/* of the year 9999 */
#define OFFSET_MAX	(1LL << 40)		/* seconds; more than any date is away from any other */

/**
 * struct rtc - clock
 * @index:    register behind port 0x71
 * @regs:     registers and memory; the time only while B_SET holds it
 * @offset:   seconds the guest's clock is ahead of the wall clock
 * @periodic: virtual time of the next periodic interrupt, VMM_NEVER: none
 * @update:   virtual time of the next update of the seconds, VMM_NEVER: nobody wants to know
 */
struct rtc {
	struct vmm_device dev;
	uint8_t index;
	uint8_t regs[128];
	int64_t offset;
	uint64_t periodic;
	uint64_t update;
};

static uint8_t encode(const struct rtc *rtc, int value)
{
	if (rtc->regs[REG_B] & B_BINARY)
		return (uint8_t)value;
	return (uint8_t)(value / 10 << 4 | value % 10);
}

static int decode(const struct rtc *rtc, uint8_t value)
{
	if (rtc->regs[REG_B] & B_BINARY)
		return value;
	return (value >> 4) * 10 + (value & 15);
}

static uint8_t encode_hour(const struct rtc *rtc, int hour)
{
	if (rtc->regs[REG_B] & B_24H)
		return encode(rtc, hour);
	return encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? 0x80 : 0);
}

static int decode_hour(const struct rtc *rtc, uint8_t value)
{
	if (rtc->regs[REG_B] & B_24H)
		return decode(rtc, value);
	return decode(rtc, value & 0x7f) % 12 + (value & 0x80 ? 12 : 0);
}

/* The guest's time at @wall, ns of the wall clock, as far as the registers have years. */
static void now_tm(struct rtc *rtc, uint64_t wall, struct tm *tm)
{
	time_t t = (time_t)(wall / NS_PER_S) + rtc->offset;

	if (t < 0)
		t = 0;
	if (t > LAST_SECOND)
		t = LAST_SECOND;
	memset(tm, 0, sizeof(*tm));
	gmtime_r(&t, tm);
}

static uint8_t time_register(const struct rtc *rtc, uint8_t reg, const struct tm *tm)
{
	switch (reg) {
	case REG_SECONDS:
		return encode(rtc, tm->tm_sec);
	case REG_MINUTES:
		return encode(rtc, tm->tm_min);
	case REG_HOURS:
		return encode_hour(rtc, tm->tm_hour);
	case REG_WEEKDAY:
		return encode(rtc, tm->tm_wday + 1);
	case REG_DAY:
		return encode(rtc, tm->tm_mday);
	case REG_MONTH:
		return encode(rtc, tm->tm_mon + 1);
	case REG_YEAR:
		return encode(rtc, tm->tm_year % 100);
	default:
		return encode(rtc, 19 + tm->tm_year / 100);
	}
}

static const uint8_t time_regs[] = {
	REG_SECONDS, REG_MINUTES, REG_HOURS, REG_WEEKDAY, REG_DAY, REG_MONTH, REG_YEAR, REG_CENTURY,
};

static bool is_time(uint8_t reg)
{
	return memchr(time_regs, reg, sizeof(time_regs));
}

static void freeze_time(struct rtc *rtc)
{
	struct tm tm;

	now_tm(rtc, vmm_clock_wall(rtc->dev.vmm), &tm);
	for (size_t i = 0; i < sizeof(time_regs); i++)
		rtc->regs[time_regs[i]] = time_register(rtc, time_regs[i], &tm);
}

static void set_time(struct rtc *rtc)
{
	struct tm tm = {
		.tm_sec = decode(rtc, rtc->regs[REG_SECONDS]),
		.tm_min = decode(rtc, rtc->regs[REG_MINUTES]),
		.tm_hour = decode_hour(rtc, rtc->regs[REG_HOURS]),
		.tm_mday = decode(rtc, rtc->regs[REG_DAY]),
		.tm_mon = decode(rtc, rtc->regs[REG_MONTH]) - 1,
		.tm_year = decode(rtc, rtc->regs[REG_CENTURY]) * 100 +
			   decode(rtc, rtc->regs[REG_YEAR]) - 1900,
	};

	rtc->offset = timegm(&tm) - (time_t)(vmm_clock_wall(rtc->dev.vmm) / NS_PER_S);
}

static uint64_t period_ns(const struct rtc *rtc)
{
	unsigned int rate = rtc->regs[REG_A] & A_RATE;

	if (!rate)
		return 0;
	if (rate < 3)
		rate += 7;
	return NS_PER_S * (1U << (rate - 1)) / 32768;
}

static void arm(struct rtc *rtc)
{
	uint64_t due = rtc->periodic < rtc->update ? rtc->periodic : rtc->update;

	vmm_timer_set(rtc->dev.vmm, VMM_UNIT_RTC, RTC_TIMER, due);
}

/* Registers A or B have changed: start or stop what they ask for. */
static void reschedule(struct rtc *rtc)
{
	uint8_t b = rtc->regs[REG_B];
	uint64_t period = b & B_PERIODIC ? period_ns(rtc) : 0;
	bool update = b & (B_ALARM | B_UPDATE) && !(b & B_SET);
	uint64_t now, wall;

	rtc->periodic = VMM_NEVER;
	rtc->update = VMM_NEVER;
	if (period || update) {
		now = vmm_clock_virtual(rtc->dev.vmm);
		if (period)
			rtc->periodic = now + period;
		if (update) {
			wall = vmm_clock_wall(rtc->dev.vmm);
			rtc->update = now + NS_PER_S - wall % NS_PER_S;
		}
	}
	arm(rtc);
}

static void raise_flags(struct rtc *rtc, uint8_t flags)
{
	rtc->regs[REG_C] |= flags;
	/* Flags of C sit at the bits of their enables in B. */
	if (rtc->regs[REG_C] & rtc->regs[REG_B] & (B_PERIODIC | B_ALARM | B_UPDATE)) {
		rtc->regs[REG_C] |= C_IRQ;
		vmm_irq_set(rtc->dev.vmm, RTC_IRQ, true);
	}
}

static bool alarm_matches(const struct rtc *rtc, const struct tm *tm)
{
	const uint8_t *regs = rtc->regs;

	/* The two top bits set: any value will do. */
	return (regs[REG_SECONDS_ALARM] >= 0xc0 ||
		regs[REG_SECONDS_ALARM] == time_register(rtc, REG_SECONDS, tm)) &&
	       (regs[REG_MINUTES_ALARM] >= 0xc0 ||
		regs[REG_MINUTES_ALARM] == time_register(rtc, REG_MINUTES, tm)) &&
	       (regs[REG_HOURS_ALARM] >= 0xc0 ||
		regs[REG_HOURS_ALARM] == time_register(rtc, REG_HOURS, tm));
}

static void tick_update(struct rtc *rtc, uint64_t now)
{
	/* The two clocks drift: a timer that is a little early belongs to the second that comes. */
	uint64_t wall = vmm_clock_wall(rtc->dev.vmm) + UPDATE_SLACK;
	uint8_t flags = B_UPDATE;
	struct tm tm;

	now_tm(rtc, wall, &tm);
	rtc->update = now + NS_PER_S - wall % NS_PER_S + UPDATE_SLACK;
	if (alarm_matches(rtc, &tm))
		flags |= B_ALARM;
	raise_flags(rtc, flags);
}

static int rtc_apply(struct vmm_device *dev, uint16_t kind, const void *data, uint32_t len)
{
	struct rtc *rtc = (struct rtc *)dev;
	uint64_t now, period;

	if (kind != RTC_TIMER || len != sizeof(now))
		return -EINVAL;
	memcpy(&now, data, sizeof(now));
	now = le64toh(now);
	period = period_ns(rtc);
	if (period && rtc->periodic != VMM_NEVER && now >= rtc->periodic) {
		rtc->periodic += period * ((now - rtc->periodic) / period + 1);
		raise_flags(rtc, B_PERIODIC);
	}
	if (rtc->update != VMM_NEVER && now >= rtc->update)
		tick_update(rtc, now);
	arm(rtc);
	return 0;
}

static void write_register(struct rtc *rtc, uint8_t reg, uint8_t value)
{
	uint8_t old = rtc->regs[reg];

	switch (reg) {
	case REG_A:
		rtc->regs[reg] = value & 0x7f;
		if ((value ^ old) & A_RATE)
			reschedule(rtc);
		break;
	case REG_B:
		if (value & B_SET && !(old & B_SET))
			freeze_time(rtc);
		if (value & B_SET)
			value &= ~B_UPDATE;
		if (!(value & B_SET) && old & B_SET) {
			rtc->regs[reg] = value;
			set_time(rtc);
		}
		rtc->regs[reg] = value;
		if ((value ^ old) & (B_SET | B_PERIODIC | B_ALARM | B_UPDATE))
			reschedule(rtc);
		raise_flags(rtc, 0);
		break;
	case REG_C:
	case REG_D:
		break;
	default:
		if (!is_time(reg) || rtc->regs[REG_B] & B_SET)
			rtc->regs[reg] = value;
	}
}

static uint8_t read_register(struct rtc *rtc, uint8_t reg)
{
	uint8_t value = rtc->regs[reg];
	struct tm tm;

	if (reg == REG_C) {
		rtc->regs[REG_C] = 0;
		vmm_irq_set(rtc->dev.vmm, RTC_IRQ, false);
	} else if (is_time(reg) && !(rtc->regs[REG_B] & B_SET)) {
		now_tm(rtc, vmm_clock_wall(rtc->dev.vmm), &tm);
		return time_register(rtc, reg, &tm);
	}
	return value;
}

static void rtc_out(void *opaque, uint16_t port, uint8_t size, uint32_t value)
{
	struct rtc *rtc = opaque;

	(void)size;
	if (port & 1)
		write_register(rtc, rtc->index, (uint8_t)value);
	else
		rtc->index = value & 0x7f;	/* bit 7 masks NMIs, of which there are none */
}

static uint32_t rtc_in(void *opaque, uint16_t port, uint8_t size)
{
	struct rtc *rtc = opaque;

	(void)size;
	return port & 1 ? read_register(rtc, rtc->index) : 0xff;
}

static int rtc_save(struct vmm_device *dev, struct vmm_state *state)
{
	struct rtc *rtc = (struct rtc *)dev;

	vmm_state_put_u8(state, rtc->index);
	vmm_state_put(state, rtc->regs, sizeof(rtc->regs));
	vmm_state_put_u64(state, (uint64_t)rtc->offset);
	vmm_state_put_u64(state, rtc->periodic);
	vmm_state_put_u64(state, rtc->update);
	return vmm_state_error(state);
}

static int rtc_load(struct vmm_device *dev, struct vmm_state *state)
{
	struct rtc *rtc = (struct rtc *)dev;

	rtc->index = vmm_state_get_u8(state) & 0x7f;
	vmm_state_get(state, rtc->regs, sizeof(rtc->regs));
	rtc->offset = (int64_t)vmm_state_get_u64(state);
	if (rtc->offset < -OFFSET_MAX || rtc->offset > OFFSET_MAX)
		return -EINVAL;
	rtc->periodic = vmm_state_get_u64(state);
	rtc->update = vmm_state_get_u64(state);
	arm(rtc);
	return vmm_state_error(state);
}

static void rtc_destroy(struct vmm_device *dev)
{
	free(dev);
}

static const struct vmm_pio_ops rtc_ports = { .width = 1, .in = rtc_in, .out = rtc_out };

static const struct vmm_device_ops rtc_ops = {
	.name = "rtc",
	.apply = rtc_apply,
	.save = rtc_save,
	.load = rtc_load,
	.destroy = rtc_destroy,
};

int vmm_rtc_create(struct vmm *vmm)
{
	struct rtc *rtc = calloc(1, sizeof(*rtc));
	int err;

	if (!rtc)
		return -ENOMEM;
	rtc->dev = (struct vmm_device){ .ops = &rtc_ops, .vmm = vmm, .unit = VMM_UNIT_RTC };
	rtc->regs[REG_A] = 0x26;	/* 32,768 Hz crystal, 1,024 Hz rate: as a BIOS leaves it */
	rtc->regs[REG_B] = B_24H;
	rtc->regs[REG_D] = D_VALID;
	rtc->periodic = VMM_NEVER;
	rtc->update = VMM_NEVER;
	err = vmm_device_add(vmm, &rtc->dev);
	if (err) {
		free(rtc);
		return err;
	}
	return vmm_pio_add(vmm, 0x70, 2, &rtc_ports, rtc);
}
