// SPDX-License-Identifier: GPL-2.0
/*
 * The MC146818
 *
 * Sources: selftests/unit/vmm_rig.c tools/vmm/pic.c tools/vmm/rtc.c tools/vmm/pio.c
 * Sources: tools/vmm/clock.c tools/vmm/state.c
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#include "vmm_rig.h"
#include "vmm/rtc.h"

#define S	1000000000ULL

static struct rig *rig;

static int setup(void **state)
{
	/* Friday, 2026-11-27 21:47:59 UTC, half a second past */
	struct tm tm = {
		.tm_year = 126, .tm_mon = 10, .tm_mday = 27,
		.tm_hour = 21, .tm_min = 47, .tm_sec = 59,
	};

	(void)state;
	rig = rig_new(NULL);
	rig_pic_init(rig);
	rig->wall = (uint64_t)timegm(&tm) * S + S / 2;
	return vmm_rtc_create(rig->vmm);
}

static int teardown(void **state)
{
	(void)state;
	rig_exit(rig);
	return 0;
}

static uint8_t get(uint8_t reg)
{
	rig_out(rig, 0x70, reg);
	return rig_in(rig, 0x71);
}

static void set(uint8_t reg, uint8_t value)
{
	rig_out(rig, 0x70, reg);
	rig_out(rig, 0x71, value);
}

static void test_time_in_bcd(void **state)
{
	(void)state;
	assert_int_equal(get(0), 0x59);
	assert_int_equal(get(2), 0x47);
	assert_int_equal(get(4), 0x21);
	assert_int_equal(get(6), 6);
	assert_int_equal(get(7), 0x27);
	assert_int_equal(get(8), 0x11);
	assert_int_equal(get(9), 0x26);
	assert_int_equal(get(0x32), 0x20);
	assert_int_equal(get(0x0d), 0x80);
	assert_int_equal(get(0x0a) & 0x80, 0);
	/* The top bit of the index masks NMIs and is no part of it. */
	assert_int_equal(get(0x80), 0x59);
	/* Each of them was one logged clock value. */
	assert_int_equal(rig->n_clocks, 9);
}

static void test_binary_and_12h(void **state)
{
	(void)state;
	set(0x0b, 0x06);
	assert_int_equal(get(4), 21);
	assert_int_equal(get(0), 59);
	set(0x0b, 0x04);
	assert_int_equal(get(4), 0x89);
	set(0x0b, 0x00);
	assert_int_equal(get(4), 0x89);
	rig->wall += 3 * 3600 * S;
	assert_int_equal(get(4), 0x12);
}

static void test_setting(void **state)
{
	(void)state;
	set(0x0b, 0x82);
	assert_int_equal(get(0), 0x59);
	rig->wall += 10 * S;
	assert_int_equal(get(0), 0x59);	/* held */
	set(0, 0x30);
	set(2, 0x15);
	set(4, 0x03);
	set(7, 0x01);
	set(8, 0x02);
	set(9, 0x30);
	set(0x32, 0x20);
	set(0x0b, 0x02);
	rig->wall += 2 * S;
	assert_int_equal(get(0), 0x32);
	assert_int_equal(get(4), 0x03);
	assert_int_equal(get(8), 0x02);
	assert_int_equal(get(9), 0x30);
	/* Without SET the time is not written. */
	set(0, 0x01);
	assert_int_equal(get(0), 0x32);
}

static void test_times_before_1970(void **state)
{
	(void)state;
	set(0x0b, 0x82);
	set(9, 0x00);
	set(0x32, 0x01);
	set(0x0b, 0x02);
	assert_int_equal(get(0x32), 0x19);
	assert_int_equal(get(9), 0x70);
}

static void test_nonsense_in_the_time(void **state)
{
	(void)state;
	set(0x0b, 0x82);
	for (uint8_t reg = 0; reg < 10; reg++)
		set(reg, 0xff);
	set(0x32, 0xff);
	set(0x0b, 0x02);
	for (uint8_t reg = 0; reg < 10; reg++)
		get(reg);
}

static void test_update_interrupt(void **state)
{
	unsigned int updates = 0;

	(void)state;
	set(0x0b, 0x12);
	for (unsigned int i = 0; i < 100; i++) {
		rig_pass(rig, rig->now + S / 10);
		if (rig_interrupt(rig) == 8) {
			updates++;
			assert_int_equal(get(0x0c), 0x90);
			/* They come at the change of the second. */
			assert_true(rig->wall % S < S / 10 + 1);
		}
	}
	assert_int_equal(updates, 10);
	set(0x0b, 0x02);
	assert_int_equal(rig_pass(rig, rig->now + 10 * S), 0);
}

static void test_interrupt_waits_for_register_c(void **state)
{
	(void)state;
	set(0x0b, 0x12);
	rig_pass(rig, rig->now + S);
	assert_int_equal(rig_interrupt(rig), 8);
	rig_pass(rig, rig->now + S);
	assert_int_equal(rig_interrupt(rig), -1);
	assert_int_equal(get(0x0c), 0x90);
	assert_int_equal(get(0x0c), 0);
	rig_pass(rig, rig->now + S);
	assert_int_equal(rig_interrupt(rig), 8);
}

static void test_alarm(void **state)
{
	(void)state;
	set(1, 0x05);
	set(3, 0x48);
	set(5, 0x21);
	set(0x0b, 0x22);
	rig_pass(rig, rig->now + 5 * S);
	assert_int_equal(rig_interrupt(rig), -1);
	rig_pass(rig, rig->now + S);
	assert_int_equal(rig_interrupt(rig), 8);
	assert_int_equal(get(0x0c) & 0xa0, 0xa0);
	/* Any hour, any minute. */
	set(3, 0xc0);
	set(5, 0xff);
	rig_pass(rig, rig->now + 60 * S);
	assert_int_equal(rig_interrupt(rig), 8);
}

static void test_periodic(void **state)
{
	unsigned int count = 0;

	(void)state;
	set(0x0a, 0x2a);		/* 64 Hz */
	set(0x0b, 0x42);
	for (unsigned int i = 0; i < 640; i++) {
		rig_pass(rig, rig->now + S / 640);
		if (rig_interrupt(rig) == 8) {
			count++;
			assert_int_equal(get(0x0c), 0xc0);
		}
	}
	assert_in_range(count, 63, 64);
	set(0x0a, 0x20);
	assert_int_equal(rig_pass(rig, rig->now + S), 0);
}

static void test_foreign_inputs(void **state)
{
	uint64_t now = ~0ULL;

	(void)state;
	assert_int_equal(rig_apply(rig, VMM_UNIT_RTC, 2, &now, 8), -EINVAL);
	assert_int_equal(rig_apply(rig, VMM_UNIT_RTC, 1, &now, 4), -EINVAL);
	/* No timer was set: nothing is periodic. */
	assert_int_equal(rig_apply(rig, VMM_UNIT_RTC, 1, &now, 8), 0);
	assert_int_equal(rig_interrupt(rig), -1);
	assert_int_equal(get(0x0c), 0);
}

static void test_memory(void **state)
{
	(void)state;
	for (uint8_t reg = 0x0e; reg < 0x32; reg++)
		set(reg, reg ^ 0x55);
	for (uint8_t reg = 0x0e; reg < 0x32; reg++)
		assert_int_equal(get(reg), reg ^ 0x55);
	set(0x0d, 0);
	assert_int_equal(get(0x0d), 0x80);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_time_in_bcd),
		TEST(test_binary_and_12h),
		TEST(test_setting),
		TEST(test_times_before_1970),
		TEST(test_nonsense_in_the_time),
		TEST(test_update_interrupt),
		TEST(test_interrupt_waits_for_register_c),
		TEST(test_alarm),
		TEST(test_periodic),
		TEST(test_foreign_inputs),
		TEST(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
