// SPDX-License-Identifier: GPL-2.0
/*
 * The set of sectors that nobody knows: exact while there is room, and never too small
 *
 * Sources: selftests/unit/virtio_machine.c tools/vmm/pci.c tools/vmm/state.c
 * Sources: selftests/unit/fuzz.c
 * Sources: tools/vmm/suspects.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "virtio_machine.h"
#include "vmm/suspects.h"

static void test_suspects(void **state)
{
	static struct suspects set;
	static uint8_t model[4096];
	struct random r;

	(void)state;
	random_init(&r);
	for (unsigned int round = 0; round < 20000; round++) {
		uint32_t from = random_below(&r, 4096), to = from + random_below(&r, 200);
		/* Each range may become two. */
		bool room = set.count <= SUSPECTS_MAX / 2;

		to = to > 4096 ? 4096 : to;
		if (random_below(&r, 3) == 0) {
			suspects_add(&set, from, to);
			memset(model + from, 1, to - from);
		} else {
			suspects_remove(&set, from, to);
			memset(model + from, 0, to - from);
			if (from < to && room)
				assert_false(suspects_overlap(&set, from, to));
		}
		/* Never forgotten. */
		from = random_below(&r, 4096);
		if (model[from])
			assert_true(suspects_overlap(&set, from, from + 1));
	}
	suspects_remove(&set, 0, 4096);
	assert_int_equal(set.count, 0);

	/* Exact while there is room. */
	suspects_add(&set, 10, 20);
	suspects_add(&set, 20, 20);
	suspects_remove(&set, 14, 16);
	assert_true(suspects_overlap(&set, 13, 14));
	assert_false(suspects_overlap(&set, 14, 16));
	assert_true(suspects_overlap(&set, 16, 17));
	assert_false(suspects_overlap(&set, 20, 30));
	assert_false(suspects_overlap(&set, 0, 10));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_suspects),
	};

	return cmocka_run_group_tests_name("virtio_suspects", tests, NULL, NULL);
}
