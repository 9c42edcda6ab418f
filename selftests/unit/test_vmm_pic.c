// SPDX-License-Identifier: GPL-2.0
/*
 * The pair of 8259s
 *
 * Sources: selftests/unit/vmm_rig.c tools/vmm/pic.c tools/vmm/pio.c tools/vmm/clock.c
 * Sources: tools/vmm/state.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "vmm_rig.h"
#include "vmm/pic.h"

static struct rig *rig;

static int setup(void **state)
{
	(void)state;
	rig = rig_new(NULL);
	rig_pic_init(rig);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rig_exit(rig);
	return 0;
}

static void pulse(unsigned int irq)
{
	vmm_irq_set(rig->vmm, irq, true);
	vmm_irq_set(rig->vmm, irq, false);
}

static void test_edge_is_remembered(void **state)
{
	(void)state;
	assert_false(vmm_pic_pending(rig->vmm));
	pulse(0);
	assert_true(vmm_pic_pending(rig->vmm));
	assert_int_equal(vmm_pic_ack(rig->vmm), 0x30);
	assert_false(vmm_pic_pending(rig->vmm));
	/* In service: a second one waits for the EOI. */
	pulse(0);
	assert_false(vmm_pic_pending(rig->vmm));
	rig_out(rig, 0x20, 0x60);
	assert_true(vmm_pic_pending(rig->vmm));
}

static void test_priority(void **state)
{
	(void)state;
	pulse(4);
	pulse(1);
	assert_int_equal(vmm_pic_ack(rig->vmm), 0x31);
	assert_false(vmm_pic_pending(rig->vmm));
	pulse(0);
	assert_int_equal(vmm_pic_ack(rig->vmm), 0x30);
	rig_out(rig, 0x20, 0x20);
	assert_false(vmm_pic_pending(rig->vmm));
	rig_out(rig, 0x20, 0x20);
	assert_int_equal(vmm_pic_ack(rig->vmm), 0x34);
}

static void test_masked_line_waits(void **state)
{
	(void)state;
	rig_out(rig, 0x21, 0x10);
	pulse(4);
	assert_false(vmm_pic_pending(rig->vmm));
	rig_out(rig, 0x21, 0);
	assert_true(vmm_pic_pending(rig->vmm));
}

static void test_cascade(void **state)
{
	(void)state;
	pulse(12);
	pulse(8);
	assert_int_equal(vmm_pic_ack(rig->vmm), 0x38);
	/* Without an EOI to the first chip nothing more comes through line 2. */
	rig_out(rig, 0xa0, 0x20);
	assert_false(vmm_pic_pending(rig->vmm));
	rig_out(rig, 0x20, 0x20);
	assert_int_equal(vmm_pic_ack(rig->vmm), 0x3c);
	rig_out(rig, 0xa0, 0x20);
	rig_out(rig, 0x20, 0x20);
	assert_false(vmm_pic_pending(rig->vmm));
}

static void test_special_fully_nested(void **state)
{
	(void)state;
	rig_out(rig, 0x20, 0x11);
	rig_out(rig, 0x21, 0x30);
	rig_out(rig, 0x21, 0x04);
	rig_out(rig, 0x21, 0x11);
	pulse(12);
	assert_int_equal(vmm_pic_ack(rig->vmm), 0x3c);
	pulse(9);
	assert_int_equal(vmm_pic_ack(rig->vmm), 0x39);
}

static void test_level(void **state)
{
	(void)state;
	vmm_pic_set_level(rig->vmm, 1U << 11 | 1U << 5 | 1U << 0 | 1U << 8);
	assert_int_equal(rig_in(rig, 0x4d0), 0x20);
	assert_int_equal(rig_in(rig, 0x4d1), 0x08);
	vmm_irq_set(rig->vmm, 11, true);
	assert_int_equal(vmm_pic_ack(rig->vmm), 0x3b);
	rig_out(rig, 0xa0, 0x20);
	rig_out(rig, 0x20, 0x20);
	/* Still asserted: again. */
	assert_int_equal(vmm_pic_ack(rig->vmm), 0x3b);
	vmm_irq_set(rig->vmm, 11, false);
	rig_out(rig, 0xa0, 0x20);
	rig_out(rig, 0x20, 0x20);
	assert_false(vmm_pic_pending(rig->vmm));
	/* A level that went away before the acknowledge is gone. */
	vmm_irq_set(rig->vmm, 5, true);
	vmm_irq_set(rig->vmm, 5, false);
	assert_false(vmm_pic_pending(rig->vmm));
}

static void test_spurious(void **state)
{
	(void)state;
	assert_int_equal(vmm_pic_ack(rig->vmm), 0x37);
	rig_out(rig, 0x20, 0x0b);
	assert_int_equal(rig_in(rig, 0x20), 0);
}

static void test_registers(void **state)
{
	(void)state;
	pulse(3);
	rig_out(rig, 0x20, 0x0a);
	assert_int_equal(rig_in(rig, 0x20), 0x08);
	vmm_pic_ack(rig->vmm);
	assert_int_equal(rig_in(rig, 0x20), 0);
	rig_out(rig, 0x20, 0x0b);
	assert_int_equal(rig_in(rig, 0x20), 0x08);
	rig_out(rig, 0xa1, 0x5a);
	assert_int_equal(rig_in(rig, 0xa1), 0x5a);
}

static void test_poll(void **state)
{
	(void)state;
	pulse(6);
	rig_out(rig, 0x20, 0x0c);
	assert_int_equal(rig_in(rig, 0x20), 0x86);
	rig_out(rig, 0x20, 0x0c);
	assert_int_equal(rig_in(rig, 0x20), 0);
}

static void test_rotation(void **state)
{
	(void)state;
	pulse(3);
	vmm_pic_ack(rig->vmm);
	rig_out(rig, 0x20, 0xa0);	/* EOI, line 3 becomes the lowest */
	pulse(3);
	pulse(4);
	assert_int_equal(vmm_pic_ack(rig->vmm), 0x34);
	rig_out(rig, 0x20, 0x20);
	rig_out(rig, 0x20, 0xc7);	/* as at first */
	pulse(4);
	assert_int_equal(vmm_pic_ack(rig->vmm), 0x33);
}

static void test_special_mask(void **state)
{
	(void)state;
	pulse(1);
	vmm_pic_ack(rig->vmm);
	pulse(5);
	assert_false(vmm_pic_pending(rig->vmm));
	rig_out(rig, 0x20, 0x68);
	rig_out(rig, 0x21, 0x02);
	assert_true(vmm_pic_pending(rig->vmm));
}

static void test_auto_eoi(void **state)
{
	(void)state;
	rig_out(rig, 0x20, 0x11);
	rig_out(rig, 0x21, 0x30);
	rig_out(rig, 0x21, 0x04);
	rig_out(rig, 0x21, 0x03);
	pulse(0);
	vmm_pic_ack(rig->vmm);
	pulse(0);
	assert_true(vmm_pic_pending(rig->vmm));
}

static void test_lines_above_15(void **state)
{
	(void)state;
	vmm_irq_set(rig->vmm, 16, true);
	assert_false(vmm_pic_pending(rig->vmm));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_edge_is_remembered),
		TEST(test_priority),
		TEST(test_masked_line_waits),
		TEST(test_cascade),
		TEST(test_special_fully_nested),
		TEST(test_level),
		TEST(test_spurious),
		TEST(test_registers),
		TEST(test_poll),
		TEST(test_rotation),
		TEST(test_special_mask),
		TEST(test_auto_eoi),
		TEST(test_lines_above_15),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
