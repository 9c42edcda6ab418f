// SPDX-License-Identifier: GPL-2.0
/*
 * What the primary's guest saw is what the twin's guest sees: small guests are run
 * on both sides, the log carried from one to the other as they run, and their
 * memory compared.
 */
#include <string.h>

#include "kselftest_harness.h"
#include "pair.h"
#include "test.h"

static struct pair pair;	/* too large for a stack */

FIXTURE(replay)
{
};

FIXTURE_SETUP(replay)
{
	NEED_MODULE();
	pair_init(&pair);
	ASSERT_EQ(0, vm_create(&pair.primary.vm, 0));
	ASSERT_EQ(0, vm_create(&pair.twin.vm, 0));
}

FIXTURE_TEARDOWN(replay)
{
	pair_close(&pair);
	vm_destroy(&pair.primary.vm);
	vm_destroy(&pair.twin.vm);
}

static void load(const uint8_t *code, const uint8_t *end, uint32_t rounds)
{
	struct vm *vms[] = { &pair.primary.vm, &pair.twin.vm };
	int i;

	for (i = 0; i < 2; i++) {
		vm_load(vms[i], code, end - code);
		vm_set_esi(vms[i], rounds);
	}
}
#define LOAD(name, rounds)	load(guest_##name, guest_##name##_end, rounds)

/* Run both to their end, and compare all their memory. */
static void run(struct __test_metadata *_metadata)
{
	ASSERT_EQ(0, pair_open(&pair, "", ""));
	ASSERT_EQ(0, pair_protect(&pair));
	ASSERT_EQ(0, pair_start(&pair));
	ASSERT_TRUE(pair_until(&pair, pair_both_ended, PAIR_END_MS)) {
		TH_LOG("primary %d (%s %d), twin %d (%s %d), states %d and %d, batches %llu, feed %d",
		       pair.primary.end, pair.primary.error_at ?: "", pair.primary.error,
		       pair.twin.end, pair.twin.error_at ?: "", pair.twin.error,
		       nl_state(&pair.nl_p, pair.primary.attach.id),
		       nl_state(&pair.nl_t, pair.twin.attach.id),
		       (unsigned long long)pair.batches, pair.feed_error);
	}
	ASSERT_EQ(MACHINE_ENDED, pair.primary.end) {
		TH_LOG("%s: %s", pair.primary.error_at ?: "?", strerror(pair.primary.error));
	}
	ASSERT_EQ(MACHINE_ENDED, pair.twin.end) {
		TH_LOG("%s: %s, state %d", pair.twin.error_at ?: "?",
		       strerror(pair.twin.error), nl_state(&pair.nl_t, pair.twin.attach.id));
	}
	EXPECT_EQ(0, memcmp(pair.primary.vm.mem, pair.twin.vm.mem, VM_MEM));
	EXPECT_EQ(0, pair.feed_error);
}

static uint64_t data64(unsigned int at)
{
	uint64_t value;

	memcpy(&value, pair.primary.vm.mem + VM_DATA + at, sizeof(value));
	return value;
}

TEST_F(replay, tsc)
{
	unsigned int rounds = 2000, i;
	uint64_t last = 0;

	LOAD(tsc, rounds);
	run(_metadata);
	for (i = 0; i < rounds; i++) {
		ASSERT_LE(last, data64(20 * i));
		ASSERT_LE(data64(20 * i), data64(20 * i + 8));
		last = data64(20 * i + 8);
		ASSERT_EQ(VM_TSC_AUX, vm_data32(&pair.primary.vm, 5 * i + 4));
	}
	EXPECT_LT(data64(0), last);
}

TEST_F(replay, interrupt_shadow)
{
	LOAD(shadow, 500);
	run(_metadata);
	EXPECT_LT(data64(0), data64(499 * 16 + 8));
}

/* The traps come where they come without us, also behind the clock reads. */
TEST_F(replay, single_step)
{
	struct vm plain;

	ASSERT_EQ(0, vm_create(&plain, 0));
	VM_LOAD(&plain, step);
	ASSERT_EQ(0, vm_run_to_end(&plain));
	LOAD(step, 1);
	run(_metadata);
	EXPECT_EQ(0, memcmp(plain.mem + VM_DATA, pair.primary.vm.mem + VM_DATA, 64));
	EXPECT_EQ(6, vm_data32(&pair.primary.vm, 0));
	EXPECT_EQ(guest_step_1 - guest_step, vm_data32(&pair.primary.vm, 1));
	EXPECT_EQ(guest_step_2 - guest_step, vm_data32(&pair.primary.vm, 2));
	EXPECT_EQ(guest_step_3 - guest_step, vm_data32(&pair.primary.vm, 3));
	vm_destroy(&plain);
}

TEST_F(replay, resume_flag)
{
	struct vm plain;

	ASSERT_EQ(0, vm_create(&plain, 0));
	VM_LOAD(&plain, resume_flag);
	ASSERT_EQ(0, vm_run_to_end(&plain));
	EXPECT_EQ(1, vm_data32(&plain, 0));
	LOAD(resume_flag, 1);
	run(_metadata);
	EXPECT_EQ(1, vm_data32(&pair.primary.vm, 0));
	vm_destroy(&plain);
}

/* Inputs, clocks and outputs of devices. */
TEST_F(replay, devices)
{
	LOAD(devices, 300);
	run(_metadata);
	EXPECT_EQ(300, pair.primary.inputs);
	EXPECT_EQ(300, pair.twin.inputs);
	EXPECT_EQ(300, pair.twin.frames);
	EXPECT_EQ(300, pair.twin.serial);
	EXPECT_EQ(300, vm_data32(&pair.primary.vm, 1));
}

/* A log of the smallest size runs full again and again: nothing is lost. */
TEST_F(replay, small_log)
{
	static struct nl_msg reply;

	LOAD(devices, 3000);
	pair.primary.log_size = pair.twin.log_size = 64 << 10;
	run(_metadata);
	ASSERT_EQ(0, nl_guest_get(&pair.nl_p, pair.primary.attach.id, &reply));
	EXPECT_EQ(64 << 10, nl_get_u32(&reply, LOCKSTEP_A_LOG_SIZE));
	EXPECT_LT(3 * (64 << 10), nl_stat(&reply, LOCKSTEP_S_LSN));
}

/*
 * RDTSC and RDTSCP that the guest may not execute fault as ever: the exception
 * comes before the exit that we asked for.
 */
static void user_mode(struct __test_metadata *_metadata, unsigned int vm_flags, bool tsd,
		      bool rdtscp, bool faults)
{
	struct machine *machine = &pair.primary;

	vm_destroy(&machine->vm);
	ASSERT_EQ(0, vm_create(&machine->vm, vm_flags));
	if (rdtscp)
		VM_LOAD(&machine->vm, user_rdtscp);
	else
		VM_LOAD(&machine->vm, user);
	vm_set_user_mode(&machine->vm, tsd);
	ASSERT_EQ(0, nl_open(&pair.nl_p));
	ASSERT_EQ(0, machine_open(machine, "test-user", LOCKSTEP_ROLE_PRIMARY, 0, ""));
	ASSERT_EQ(0, nl_bind(&pair.nl_p, machine->attach.id));
	ASSERT_EQ(0, nl_event(&pair.nl_p, machine->attach.id, LOCKSTEP_EVENT_COLD_WON, 1, NULL));
	machine_run(machine);
	if (!faults) {
		EXPECT_EQ(MACHINE_ENDED, machine->end);
		return;
	}
	EXPECT_EQ(MACHINE_ERROR, machine->end);
	EXPECT_EQ(KVM_EXIT_SHUTDOWN, machine->vm.run->exit_reason);
}

TEST_F(replay, user_rdtsc)
{
	user_mode(_metadata, 0, false, false, false);
}

TEST_F(replay, user_rdtsc_tsd)
{
	user_mode(_metadata, 0, true, false, true);
}

TEST_F(replay, user_rdtscp)
{
	user_mode(_metadata, 0, false, true, false);
}

TEST_F(replay, user_rdtscp_tsd)
{
	user_mode(_metadata, 0, true, true, true);
}

TEST_F(replay, user_rdtscp_hidden)
{
	user_mode(_metadata, VM_NO_RDTSCP, false, true, true);
}

TEST_HARNESS_MAIN
