// SPDX-License-Identifier: GPL-2.0
/*
 * The 8254 and port 0x61
 *
 * Sources: selftests/unit/vmm_rig.c tools/vmm/pic.c tools/vmm/pit.c tools/vmm/pio.c
 * Sources: tools/vmm/clock.c tools/vmm/state.c
 */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "vmm_rig.h"
#include "vmm/pit.h"

#define TICK_NS(n)	((n) * 1000000000ULL / 1193182)

static struct rig *rig;

static int setup(void **state)
{
	(void)state;
	rig = rig_new(NULL);
	rig_pic_init(rig);
	return vmm_pit_create(rig->vmm);
}

static int teardown(void **state)
{
	(void)state;
	rig_exit(rig);
	return 0;
}

static void load(uint8_t channel, uint8_t mode, uint16_t count)
{
	rig_out(rig, 0x43, (uint8_t)(channel << 6 | 0x30 | mode << 1));
	rig_out(rig, 0x40 + channel, count & 0xff);
	rig_out(rig, 0x40 + channel, count >> 8);
}

static uint16_t latched(uint8_t channel)
{
	uint8_t low;

	rig_out(rig, 0x43, (uint8_t)(channel << 6));
	low = rig_in(rig, 0x40 + channel);
	return (uint16_t)(rig_in(rig, 0x40 + channel) << 8 | low);
}

static void test_periodic(void **state)
{
	unsigned int interrupts = 0;
	uint64_t start = rig->now;

	(void)state;
	load(0, 2, 11932);		/* 100 Hz */
	for (unsigned int i = 1; i <= 100; i++) {
		rig_pass(rig, start + i * 10000200ULL);
		while (rig_interrupt(rig) == 0)
			interrupts++;
	}
	assert_int_equal(interrupts, 100);
}

static void test_one_shot(void **state)
{
	(void)state;
	load(0, 4, 1193);
	assert_int_equal(rig_pass(rig, rig->now + 900000), 0);
	assert_int_equal(rig_pass(rig, rig->now + 200000), 1);
	assert_int_equal(rig_interrupt(rig), 0);
	assert_int_equal(rig_pass(rig, rig->now + 1000000000), 0);
	/* A new count is a new shot; the control word alone stops it. */
	load(0, 4, 1193);
	rig_out(rig, 0x43, 0x38);
	assert_int_equal(rig_pass(rig, rig->now + 1000000000), 0);
}

static void test_count_0_is_65536(void **state)
{
	(void)state;
	load(0, 2, 0);
	assert_int_equal(rig_pass(rig, rig->now + TICK_NS(65536) - 1000), 0);
	assert_int_equal(rig_pass(rig, rig->now + 2000), 1);
}

static void test_late_tick_is_one(void **state)
{
	uint64_t late;

	(void)state;
	load(0, 2, 1193);
	rig->now += 50 * 1000000ULL;
	late = htole64(rig->now);
	assert_int_equal(rig_apply(rig, VMM_UNIT_PIT, 1, &late, 8), 0);
	assert_int_equal(rig_interrupt(rig), 0);
	assert_int_equal(rig_interrupt(rig), -1);
	/* The next one is in the future, on the old grid. */
	assert_true(rig->vmm->timers[VMM_UNIT_PIT].ns > rig->now);
	assert_true(rig->vmm->timers[VMM_UNIT_PIT].ns <= rig->now + 1000000);
}

static void test_latch_holds(void **state)
{
	uint8_t low, high;

	(void)state;
	load(2, 2, 0x8000);
	rig->now += TICK_NS(0x1000) + 500;
	rig_out(rig, 0x43, 0x80);
	rig->now += TICK_NS(0x2000);
	low = rig_in(rig, 0x42);
	high = rig_in(rig, 0x42);
	assert_int_equal(high << 8 | low, 0x7000);
	assert_int_equal(latched(2), 0x5000);
}

static void test_read_without_latch(void **state)
{
	(void)state;
	load(2, 2, 0x1234);
	assert_int_equal(rig_in(rig, 0x42), 0x34);
	assert_int_equal(rig_in(rig, 0x42), 0x12);
}

static void test_read_back(void **state)
{
	(void)state;
	load(0, 3, 0x1000);
	load(2, 0, 0x2000);
	rig_out(rig, 0x43, 0xca);	/* count and status of channels 0 and 2 */
	assert_int_equal(rig_in(rig, 0x40), 0x80 | 0x30 | 3 << 1);
	assert_int_equal(rig_in(rig, 0x42), 0x30);
	assert_int_equal(rig_in(rig, 0x40), 0x00);
	assert_int_equal(rig_in(rig, 0x40), 0x10);
}

static void test_single_byte_access(void **state)
{
	(void)state;
	rig_out(rig, 0x43, 0x90);	/* channel 2, low byte, mode 0 */
	rig_out(rig, 0x42, 0x80);
	assert_int_equal(rig_in(rig, 0x42), 0x80);
	rig_out(rig, 0x43, 0xa0);	/* high byte */
	rig_out(rig, 0x42, 0x80);
	assert_int_equal(rig_in(rig, 0x42), 0x80);
}

static void test_port61(void **state)
{
	uint8_t first, second;

	(void)state;
	rig_out(rig, 0x61, 0);
	load(2, 0, 1193);
	rig_out(rig, 0x61, 1);		/* the gate starts it again */
	assert_int_equal(rig_in(rig, 0x61) & 0x21, 0x01);
	rig->now += 1100000;
	assert_int_equal(rig_in(rig, 0x61) & 0x21, 0x21);
	first = rig_in(rig, 0x61);
	second = rig_in(rig, 0x61);
	assert_int_equal((first ^ second) & 0x10, 0x10);
}

static void test_square_wave_counts_by_two(void **state)
{
	(void)state;
	load(2, 3, 0x1000);
	rig->now += TICK_NS(0x100) + 500;
	assert_int_equal(latched(2), 0x1000 - 2 * 0x100);
}

static void test_foreign_inputs(void **state)
{
	uint64_t now = htole64(rig->now);

	(void)state;
	assert_int_equal(rig_apply(rig, VMM_UNIT_PIT, 2, &now, 8), -EINVAL);
	assert_int_equal(rig_apply(rig, VMM_UNIT_PIT, 1, &now, 7), -EINVAL);
	/* A tick while nothing counts, as only a wrong log has it, does no harm. */
	now = htole64(~0ULL);
	assert_int_equal(rig_apply(rig, VMM_UNIT_PIT, 1, &now, 8), 0);
	load(0, 2, 1193);
	assert_int_equal(rig_apply(rig, VMM_UNIT_PIT, 1, &now, 8), 0);
	now = 0;
	assert_int_equal(rig_apply(rig, VMM_UNIT_PIT, 1, &now, 8), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_periodic),
		TEST(test_one_shot),
		TEST(test_count_0_is_65536),
		TEST(test_late_tick_is_one),
		TEST(test_latch_holds),
		TEST(test_read_without_latch),
		TEST(test_read_back),
		TEST(test_single_byte_access),
		TEST(test_port61),
		TEST(test_square_wave_counts_by_two),
		TEST(test_foreign_inputs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
