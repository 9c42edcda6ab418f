// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-rng: the twin gets the bytes of its primary
 *
 * Sources: selftests/unit/virtio_machine.c tools/vmm/pci.c tools/vmm/state.c
 * Sources: selftests/unit/fuzz.c
 * Sources: tools/vmm/virtqueue.c tools/vmm/virtio.c tools/vmm/virtio_rng.c
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "virtio_machine.h"
#include "vmm/virtio_rng.h"

#define QUEUES		0x10000u
#define BUFFERS		0x40000u
#define BUFFER_BYTES	0x1000u

struct side {
	struct vmm *m;
	struct driver d;
};

static void side_init(struct side *side, struct vmm *m)
{
	side->m = m;
	assert_int_equal(virtio_rng_create(m, machine_bus(m)), 0);
	driver_init(&side->d, m, 1, 0, QUEUES);
}

static void ask(struct side *side, unsigned int slot, uint32_t len)
{
	struct driver_segment segment = { BUFFERS + slot * BUFFER_BYTES, len, true };

	driver_add(&side->d, 0, &segment, 1);
	driver_kick(&side->d, 0);
}

static uint8_t *buffer(struct side *side, unsigned int slot)
{
	return machine_memory(side->m) + BUFFERS + slot * BUFFER_BYTES;
}

static void test_bytes(void **state)
{
	static const uint8_t zero[64];
	struct side primary, twin;
	uint32_t len;

	(void)state;
	side_init(&primary, machine_new());
	side_init(&twin, machine_new_twin(primary.m));
	for (unsigned int i = 0; i < 2; i++) {
		struct side *side = i ? &twin : &primary;

		ask(side, 0, 64);
		assert_int_equal(machine_step(side->m), 0);
		assert_true(driver_used(&side->d, 0, NULL, &len));
		assert_int_equal(len, 64);
		assert_memory_not_equal(buffer(side, 0), zero, 64);
		assert_memory_equal(buffer(side, 0) + 64, zero, 64);
		ask(side, 1, BUFFER_BYTES);
		ask(side, 2, 1);
		assert_int_equal(machine_step(side->m), 0);
		assert_true(driver_used(&side->d, 0, NULL, &len));
		assert_int_equal(len, RNG_BYTES_MAX);
		assert_true(driver_used(&side->d, 0, NULL, &len));
		assert_int_equal(len, 1);
	}
	assert_int_equal(machine_waiting(twin.m), 0);
	machine_assert_equal(primary.m, twin.m);
	machine_exit(twin.m);
	machine_exit(primary.m);
}

static void test_go_live(void **state)
{
	struct side primary, twin;

	(void)state;
	side_init(&primary, machine_new());
	side_init(&twin, machine_new_twin(primary.m));
	for (unsigned int slot = 0; slot < 3; slot++)
		ask(&twin, slot, 32);
	assert_int_equal(machine_step(twin.m), 0);
	assert_false(driver_used(&twin.d, 0, NULL, NULL));
	machine_go_live(twin.m);
	assert_int_equal(machine_waiting(twin.m), 3);
	assert_int_equal(machine_step(twin.m), 0);
	for (unsigned int slot = 0; slot < 3; slot++)
		assert_true(driver_used(&twin.d, 0, NULL, NULL));
	assert_memory_not_equal(buffer(&twin, 0), buffer(&twin, 1), 32);
	machine_exit(twin.m);
	machine_exit(primary.m);
}

/* A reset with an answer on its way: it is dropped, and the next request is not confused. */
static void test_reset(void **state)
{
	static const uint8_t zero[32];
	struct side side;

	(void)state;
	side_init(&side, machine_new());
	ask(&side, 0, 32);
	ask(&side, 1, 32);
	driver_init(&side.d, side.m, 1, 0, QUEUES);
	ask(&side, 2, 32);
	assert_int_equal(machine_waiting(side.m), 3);
	assert_int_equal(machine_step(side.m), 0);
	assert_memory_equal(buffer(&side, 0), zero, 32);
	assert_memory_equal(buffer(&side, 1), zero, 32);
	assert_memory_not_equal(buffer(&side, 2), zero, 32);
	assert_true(driver_used(&side.d, 0, NULL, NULL));
	assert_false(driver_used(&side.d, 0, NULL, NULL));
	machine_exit(side.m);
}

static void test_hostile(void **state)
{
	struct driver_segment segment = { BUFFERS, 16, false };
	uint8_t payload[8 + 33] = { 0 };
	struct side primary, twin;

	(void)state;
	side_init(&primary, machine_new());
	side_init(&twin, machine_new_twin(primary.m));
	assert_int_equal(machine_apply(twin.m, VMM_UNIT_RNG, RNG_KIND_DATA, payload, 40), -EBADMSG);
	ask(&twin, 0, 32);
	assert_int_equal(machine_apply(twin.m, VMM_UNIT_RNG, RNG_KIND_DATA, payload, 8), -EBADMSG);
	assert_int_equal(machine_apply(twin.m, VMM_UNIT_RNG, RNG_KIND_DATA, payload, 41), -EBADMSG);
	assert_int_equal(machine_apply(twin.m, VMM_UNIT_RNG, 2, payload, 40), -EBADMSG);
	ask(&twin, 1, 32);
	payload[0] = 1;
	assert_int_equal(machine_apply(twin.m, VMM_UNIT_RNG, RNG_KIND_DATA, payload, 40), -EBADMSG);
	payload[0] = 0;
	assert_int_equal(machine_apply(twin.m, VMM_UNIT_RNG, RNG_KIND_DATA, payload, 40), 0);
	assert_true(driver_used(&twin.d, 0, NULL, NULL));

	/* Nothing the device could write to. */
	driver_add(&twin.d, 0, &segment, 1);
	driver_kick(&twin.d, 0);
	assert_true(driver_status(&twin.d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	machine_exit(twin.m);
	machine_exit(primary.m);
}

static void test_load(void **state)
{
	struct side primary, clone;

	(void)state;
	side_init(&primary, machine_new());
	ask(&primary, 0, 32);
	ask(&primary, 1, 32);
	side_init(&clone, machine_new_twin(primary.m));
	assert_int_equal(machine_load(clone.m, primary.m), 0);
	machine_assert_equal(primary.m, clone.m);
	assert_int_equal(machine_step(primary.m), 0);
	assert_int_equal(machine_step(clone.m), 0);
	clone.d = primary.d;
	clone.d.m = clone.m;
	assert_true(driver_used(&clone.d, 0, NULL, NULL));
	machine_assert_equal(primary.m, clone.m);
	machine_exit(clone.m);
	machine_exit(primary.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_go_live),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_load),
	};

	return cmocka_run_group_tests_name("virtio_rng", tests, NULL, NULL);
}
