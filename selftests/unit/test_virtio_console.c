// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-console: bytes out, bytes in, and what the guest has not taken yet
 *
 * Sources: selftests/unit/virtio_machine.c tools/vmm/pci.c tools/vmm/state.c
 * Sources: selftests/unit/fuzz.c
 * Sources: tools/vmm/virtqueue.c tools/vmm/virtio.c tools/vmm/virtio_console.c
 */
#include <errno.h>
#include <linux/lockstep.h>
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "virtio_machine.h"
#include "vmm/virtio_console.h"

#define RX		0
#define TX		1
#define QUEUES		0x10000u
#define BUFFERS		0x40000u
#define BUFFER_BYTES	0x1000u

struct side {
	struct vmm *m;
	struct driver d;
};

static void side_init(struct side *side, struct vmm *m)
{
	const struct vmm_sink_config sink = { .kind = VMM_SINK_NULL };

	side->m = m;
	assert_int_equal(virtio_console_create(m, machine_bus(m), &sink), 0);
	driver_init(&side->d, m, 1, 0, QUEUES);
}

static void guest_buffer(struct side *side, unsigned int slot, uint32_t len)
{
	struct driver_segment segment = { BUFFERS + slot * BUFFER_BYTES, len, true };

	driver_add(&side->d, RX, &segment, 1);
	driver_kick(&side->d, RX);
}

static void guest_write(struct side *side, const void *bytes, uint32_t len)
{
	struct driver_segment segment = { 0x80000, len, false };

	memcpy(machine_memory(side->m) + 0x80000, bytes, len);
	driver_add(&side->d, TX, &segment, 1);
	driver_kick(&side->d, TX);
	assert_true(driver_used(&side->d, TX, NULL, NULL));
}

static int type(struct side *side, const char *text)
{
	return machine_apply(side->m, VMM_UNIT_CONSOLE, VMM_KIND_RECEIVE, text,
			     (uint32_t)strlen(text));
}

static void assert_buffer(struct side *side, unsigned int slot, const char *text)
{
	uint32_t len;

	assert_true(driver_used(&side->d, RX, NULL, &len));
	assert_int_equal(len, strlen(text));
	assert_memory_equal(machine_memory(side->m) + BUFFERS + slot * BUFFER_BYTES, text, len);
}

static void test_output(void **state)
{
	uint8_t bytes[10000];
	struct side side;
	struct random r;

	(void)state;
	random_init(&r);
	side_init(&side, machine_new());
	assert_int_equal(machine_config_in(side.m, 1, 0, 4), 0x10031af4);
	random_fill(&r, bytes, sizeof(bytes));
	guest_write(&side, bytes, 1);
	guest_write(&side, bytes + 1, sizeof(bytes) - 1);
	guest_write(&side, bytes, 0);
	assert_int_equal(machine_outputs(side.m, LOCKSTEP_STREAM_CONSOLE), sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		assert_int_equal(*machine_output(side.m, LOCKSTEP_STREAM_CONSOLE, i, NULL),
				 bytes[i]);
	machine_exit(side.m);
}

static void test_input(void **state)
{
	char much[CONSOLE_INPUT_BYTES + 1];
	struct side side;

	(void)state;
	side_init(&side, machine_new());
	assert_int_equal(machine_room(side.m, LOCKSTEP_STREAM_CONSOLE), CONSOLE_INPUT_BYTES);
	guest_buffer(&side, 0, 4);
	guest_buffer(&side, 1, 100);
	assert_int_equal(type(&side, "root\n"), 0);
	assert_buffer(&side, 0, "root");
	assert_buffer(&side, 1, "\n");
	assert_int_equal(machine_room(side.m, LOCKSTEP_STREAM_CONSOLE), CONSOLE_INPUT_BYTES);

	/* No buffer: kept. */
	assert_int_equal(type(&side, "ls"), 0);
	assert_int_equal(type(&side, " -l"), 0);
	assert_int_equal(machine_room(side.m, LOCKSTEP_STREAM_CONSOLE), CONSOLE_INPUT_BYTES - 5);
	guest_buffer(&side, 2, 100);
	assert_buffer(&side, 2, "ls -l");
	assert_int_equal(machine_room(side.m, LOCKSTEP_STREAM_CONSOLE), CONSOLE_INPUT_BYTES);

	/* To the brim and not over it. */
	memset(much, 'x', sizeof(much));
	much[CONSOLE_INPUT_BYTES] = '\0';
	assert_int_equal(type(&side, much), 0);
	assert_int_equal(machine_room(side.m, LOCKSTEP_STREAM_CONSOLE), 0);
	assert_int_equal(type(&side, "y"), -EBADMSG);
	assert_int_equal(machine_apply(side.m, VMM_UNIT_CONSOLE, 9, "", 0), -EBADMSG);
	guest_buffer(&side, 3, BUFFER_BYTES);
	assert_buffer(&side, 3, much);
	machine_exit(side.m);
}

static void test_state(void **state)
{
	struct side side, clone;

	(void)state;
	side_init(&side, machine_new());
	assert_int_equal(type(&side, "half a "), 0);
	side_init(&clone, machine_new());
	assert_int_equal(machine_load(clone.m, side.m), 0);
	machine_assert_equal(side.m, clone.m);
	assert_int_equal(machine_room(clone.m, LOCKSTEP_STREAM_CONSOLE), CONSOLE_INPUT_BYTES - 7);
	clone.d = side.d;
	clone.d.m = clone.m;
	for (unsigned int i = 0; i < 2; i++) {
		struct side *s = i ? &clone : &side;

		assert_int_equal(type(s, "line"), 0);
		guest_buffer(s, 0, 100);
		assert_buffer(s, 0, "half a line");
	}
	machine_assert_equal(side.m, clone.m);
	machine_exit(clone.m);
	machine_exit(side.m);
}

static void test_malformed(void **state)
{
	struct driver_segment segments[2] = {
		{ 0, MACHINE_MEMORY, false },
		{ 0, MACHINE_MEMORY, false },
	};
	struct side side;

	(void)state;
	side_init(&side, machine_new());
	driver_add(&side.d, TX, segments, 2);
	driver_kick(&side.d, TX);
	assert_true(driver_status(&side.d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(machine_outputs(side.m, LOCKSTEP_STREAM_CONSOLE), 0);
	driver_init(&side.d, side.m, 1, 0, QUEUES);
	/* A buffer that takes nothing would be given back for ever. */
	guest_buffer(&side, 0, 0);
	assert_int_equal(type(&side, "x"), 0);
	assert_true(driver_status(&side.d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	driver_init(&side.d, side.m, 1, 0, QUEUES);
	guest_buffer(&side, 0, 10);
	assert_buffer(&side, 0, "x");
	machine_exit(side.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_output),
		cmocka_unit_test(test_input),
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_malformed),
	};

	return cmocka_run_group_tests_name("virtio_console", tests, NULL, NULL);
}
