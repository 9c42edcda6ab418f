// SPDX-License-Identifier: GPL-2.0
/*
 * The 16550A, the i8042 and the power-off port
 *
 * Sources: selftests/unit/vmm_rig.c tools/vmm/pic.c tools/vmm/serial.c tools/vmm/i8042.c
 * Sources: tools/vmm/power.c tools/vmm/pio.c tools/vmm/clock.c tools/vmm/state.c
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm_rig.h"
#include "vmm/i8042.h"
#include "vmm/pio.h"
#include "vmm/power.h"
#include "vmm/serial.h"

#define BASE	0x3f8

static struct rig *rig;

static int setup(void **state)
{
	int err;

	(void)state;
	rig = rig_new(NULL);
	rig_pic_init(rig);
	err = vmm_serial_create(rig->vmm);
	if (!err)
		err = vmm_i8042_create(rig->vmm);
	return err ? err : vmm_power_create(rig->vmm);
}

static int teardown(void **state)
{
	(void)state;
	rig_exit(rig);
	return 0;
}

static void type(const char *text)
{
	assert_int_equal(rig_apply(rig, VMM_UNIT_SERIAL, VMM_KIND_RECEIVE, text,
				   (uint32_t)strlen(text)), 0);
}

static void test_transmit(void **state)
{
	(void)state;
	assert_int_equal(rig_in(rig, BASE + 5), 0x60);
	rig_out(rig, BASE, 'h');
	rig_out(rig, BASE, 'i');
	assert_int_equal(rig->n_out, 2);
	assert_memory_equal(rig->out, "hi", 2);
	assert_int_equal(rig_in(rig, BASE + 5), 0x60);
	assert_int_equal(rig_interrupt(rig), -1);
}

static void test_transmit_interrupt(void **state)
{
	(void)state;
	rig_out(rig, BASE + 1, 2);
	assert_int_equal(rig_interrupt(rig), 4);
	assert_int_equal(rig_in(rig, BASE + 2), 2);
	assert_int_equal(rig_in(rig, BASE + 2), 1);
	/* Each byte is sent at once, and its end is an edge of its own. */
	for (unsigned int i = 0; i < 3; i++) {
		rig_out(rig, BASE, 'x');
		assert_int_equal(rig_interrupt(rig), 4);
	}
	assert_int_equal(rig_in(rig, BASE + 2), 2);
	assert_int_equal(rig_interrupt(rig), -1);
}

static void test_receive(void **state)
{
	(void)state;
	assert_int_equal(rig->room, 1024);
	rig_out(rig, BASE + 1, 1);
	type("abc");
	assert_int_equal(rig->room, 1021);
	assert_int_equal(rig->taken, 3);
	assert_int_equal(rig_interrupt(rig), 4);
	assert_int_equal(rig_in(rig, BASE + 2), 4);
	assert_int_equal(rig_in(rig, BASE + 5) & 1, 1);
	assert_int_equal(rig_in(rig, BASE), 'a');
	assert_int_equal(rig_in(rig, BASE), 'b');
	assert_int_equal(rig_in(rig, BASE + 2), 4);
	assert_int_equal(rig_in(rig, BASE), 'c');
	assert_int_equal(rig_in(rig, BASE + 2), 1);
	assert_int_equal(rig_in(rig, BASE + 5) & 1, 0);
	assert_int_equal(rig_in(rig, BASE), 0);
	assert_int_equal(rig->room, 1024);
}

static void test_overrun(void **state)
{
	char text[1025];

	(void)state;
	memset(text, 'z', 1024);
	text[1024] = '\0';
	type(text);
	assert_int_equal(rig->room, 0);
	assert_int_equal(rig_in(rig, BASE + 5) & 2, 0);
	type("y");
	rig_out(rig, BASE + 1, 4);
	assert_int_equal(rig_in(rig, BASE + 2), 6);
	assert_int_equal(rig_in(rig, BASE + 5) & 2, 2);
	assert_int_equal(rig_in(rig, BASE + 5) & 2, 0);
	for (unsigned int i = 0; i < 1024; i++)
		assert_int_equal(rig_in(rig, BASE), 'z');
	assert_int_equal(rig_in(rig, BASE + 5) & 1, 0);
}

static void test_fifo(void **state)
{
	(void)state;
	assert_int_equal(rig_in(rig, BASE + 2) & 0xc0, 0);
	rig_out(rig, BASE + 2, 0x01);
	assert_int_equal(rig_in(rig, BASE + 2) & 0xc0, 0xc0);
	type("abc");
	rig_out(rig, BASE + 2, 0x03);
	assert_int_equal(rig_in(rig, BASE + 5) & 1, 0);
	assert_int_equal(rig->room, 1024);
}

static void test_loop_back(void **state)
{
	(void)state;
	rig_out(rig, BASE + 4, 0x1a);
	assert_int_equal(rig_in(rig, BASE + 6), 0x90);
	rig_out(rig, BASE, 'q');
	assert_int_equal(rig->n_out, 0);
	assert_int_equal(rig_in(rig, BASE), 'q');
}

static void test_divisor(void **state)
{
	(void)state;
	rig_out(rig, BASE + 1, 5);
	rig_out(rig, BASE + 3, 0x83);
	rig_out(rig, BASE, 12);
	rig_out(rig, BASE + 1, 34);
	assert_int_equal(rig_in(rig, BASE), 12);
	assert_int_equal(rig_in(rig, BASE + 1), 34);
	rig_out(rig, BASE + 3, 0x03);
	assert_int_equal(rig_in(rig, BASE + 1), 5);
	assert_int_equal(rig->n_out, 0);
	rig_out(rig, BASE + 7, 0xa5);
	assert_int_equal(rig_in(rig, BASE + 7), 0xa5);
}

static void test_wide_access_is_bytes(void **state)
{
	(void)state;
	rig_out(rig, BASE + 3, 0x80);
	vmm_pio_out(rig->vmm, BASE, 2, 0x1234);
	assert_int_equal(rig_in(rig, BASE), 0x34);
	assert_int_equal(rig_in(rig, BASE + 1), 0x12);
	assert_int_equal(vmm_pio_in(rig->vmm, BASE, 2), 0x1234);
}

static void test_foreign_inputs(void **state)
{
	(void)state;
	assert_int_equal(rig_apply(rig, VMM_UNIT_SERIAL, 2, "x", 1), -EINVAL);
	assert_int_equal(rig_apply(rig, VMM_UNIT_SERIAL, VMM_KIND_RECEIVE, "", 0), -EINVAL);
}

static void test_i8042(void **state)
{
	(void)state;
	assert_int_equal(rig_in(rig, 0x64) & 1, 0);
	rig_out(rig, 0x64, 0xaa);
	assert_int_equal(rig_in(rig, 0x64) & 1, 1);
	assert_int_equal(rig_in(rig, 0x60), 0x55);
	assert_int_equal(rig_in(rig, 0x64) & 1, 0);
	rig_out(rig, 0x64, 0x60);
	rig_out(rig, 0x60, 0x47);
	rig_out(rig, 0x64, 0x20);
	assert_int_equal(rig_in(rig, 0x60), 0x47);
	rig_out(rig, 0x64, 0xd2);
	rig_out(rig, 0x60, 0x99);
	assert_int_equal(rig_in(rig, 0x60), 0x99);
	rig_out(rig, 0x64, 0xd1);
	rig_out(rig, 0x60, 0xdf);	/* A20 on, no reset */
	assert_int_equal(rig->vmm->ending, VMM_END_NONE);
	rig_out(rig, 0x64, 0xfe);
	assert_int_equal(rig->vmm->ending, VMM_END_RESET);
}

static void test_reset_by_the_output_port(void **state)
{
	(void)state;
	rig_out(rig, 0x64, 0xd1);
	rig_out(rig, 0x60, 0xde);
	assert_int_equal(rig->vmm->ending, VMM_END_RESET);
}

static void test_power_off(void **state)
{
	(void)state;
	vmm_pio_out(rig->vmm, 0x604, 2, 0x0001);
	assert_int_equal(rig->vmm->ending, VMM_END_NONE);
	vmm_pio_out(rig->vmm, 0x604, 2, 0x2000);
	assert_int_equal(rig->vmm->ending, VMM_END_POWEROFF);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_transmit),
		TEST(test_transmit_interrupt),
		TEST(test_receive),
		TEST(test_overrun),
		TEST(test_fifo),
		TEST(test_loop_back),
		TEST(test_divisor),
		TEST(test_wide_access_is_bytes),
		TEST(test_foreign_inputs),
		TEST(test_i8042),
		TEST(test_reset_by_the_output_port),
		TEST(test_power_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
