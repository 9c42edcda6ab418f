// SPDX-License-Identifier: GPL-2.0
/*
 * Events: what waits to become an input
 *
 * Sources: tools/vmm/event.c
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/event.h"
#include "vmm/session.h"
#include "vmm/vmm.h"

static struct vmm *vmm;
static struct lockstep_page page;
static unsigned int kicks;

static void test_kick(struct vmm *m)
{
	(void)m;
	kicks++;
}

static const struct vmm_session_ops session = { .kick = test_kick };

static int setup(void **state)
{
	(void)state;
	memset(&page, 0, sizeof(page));
	kicks = 0;
	vmm = calloc(1, sizeof(*vmm));
	vmm->session = &session;
	vmm->page = &page;
	return vmm_events_create(vmm);
}

static int teardown(void **state)
{
	(void)state;
	vmm_events_destroy(vmm);
	free(vmm);
	return 0;
}

static void test_events(void **state)
{
	static const uint8_t big[LOCKSTEP_PAYLOAD_MAX + 1];

	(void)state;
	assert_int_equal(vmm_event_post(vmm, VMM_UNIT_NET, 1, "x", 1), 0);
	assert_null(vmm_events_first(vmm));	/* not live: dropped */
	vmm->live = true;
	assert_int_equal(vmm_event_post(vmm, VMM_UNIT_NET, 1, big, sizeof(big)), -EMSGSIZE);
	for (unsigned int i = 0; i < VMM_EVENTS_MAX; i++)
		assert_int_equal(vmm_event_post(vmm, VMM_UNIT_NET, (uint16_t)i, NULL, 0), 0);
	assert_int_equal(vmm_event_post(vmm, VMM_UNIT_NET, 1, "x", 1), -ENOBUFS);
	assert_int_equal(page.kick, 1);
	assert_true(kicks > 0);
	for (unsigned int i = 0; i < VMM_EVENTS_MAX; i++) {
		assert_int_equal(vmm_events_first(vmm)->kind, i);
		vmm_events_drop(vmm);
	}
	assert_int_equal(page.kick, 0);
	assert_null(vmm_events_first(vmm));
	vmm_events_drop(vmm);
	/* Neither of these sleeps for long. */
	vmm_wake(vmm);
	vmm_events_sleep(vmm, VMM_NEVER);
	vmm_events_sleep(vmm, 1000000);
	assert_int_equal(vmm_event_post(vmm, VMM_UNIT_NET, 1, "x", 1), 0);
	vmm_events_sleep(vmm, VMM_NEVER);
}

/* A device's thread that is not through yet when the session goes, with its page. */
static void test_closed(void **state)
{
	(void)state;
	vmm->live = true;
	vmm_events_close(vmm);
	kicks = 0;
	page.kick = 0;
	assert_int_equal(vmm_event_post(vmm, VMM_UNIT_NET, 1, "x", 1), 0);
	assert_int_equal(kicks, 0);
	assert_int_equal(page.kick, 0);
	assert_null(vmm_events_first(vmm));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_closed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
