// SPDX-License-Identifier: GPL-2.0
/*
 * The histogram of the times that frames are held: every time is in the slot whose
 * bounds it is between, and the bounds are those that the uapi header promises.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kmod/histogram.h"

static void test_bounds(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < LOCKSTEP_HOLD_SLOTS - 1; i++) {
		uint64_t bound = lockstep_histogram_bound(i);

		assert_int_equal(bound, (4ULL + i % 4) << (10 + i / 4));
		assert_int_equal(lockstep_histogram_slot(bound - 1), i);
		assert_int_equal(lockstep_histogram_slot(bound), i + 1);
		if (i)
			assert_true(bound * 4 <= lockstep_histogram_bound(i - 1) * 5);
	}
	assert_true(lockstep_histogram_bound(i) == UINT64_MAX);
}

static void test_ends(void **state)
{
	(void)state;
	assert_int_equal(lockstep_histogram_slot(0), 0);
	assert_int_equal(lockstep_histogram_slot(UINT64_MAX), LOCKSTEP_HOLD_SLOTS - 1);
	assert_int_equal(lockstep_histogram_slot((1ULL << 33) - 1), LOCKSTEP_HOLD_SLOTS - 2);
	assert_int_equal(lockstep_histogram_slot(1ULL << 33), LOCKSTEP_HOLD_SLOTS - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_ends),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
