// SPDX-License-Identifier: GPL-2.0
/*
 * The module's coming and going: not while a guest is attached, and any number of
 * times under VMs that are not ours. LOCKSTEP_KO names the module's file; without
 * it only what needs no loading is tried.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"
#include "ko.h"
#include "machine.h"
#include "nl.h"
#include "test.h"

#define CYCLES	6
#define VMS	3

FIXTURE(module)
{
	const char *file;
};

FIXTURE_SETUP(module)
{
	NEED_MODULE();
	self->file = getenv("LOCKSTEP_KO");
}

FIXTURE_TEARDOWN(module)
{
}

TEST_F(module, busy_while_attached)
{
	static struct machine machine;
	struct nl nl;

	machine.fd = -1;
	ASSERT_EQ(0, vm_create(&machine.vm, 0));
	ASSERT_EQ(0, machine_open(&machine, "module", LOCKSTEP_ROLE_PRIMARY, 0, ""));
	EXPECT_EQ(EWOULDBLOCK, ko_unload());
	ASSERT_EQ(0, nl_open(&nl));
	ASSERT_EQ(0, nl_bind(&nl, machine.attach.id));
	ASSERT_EQ(0, nl_event(&nl, machine.attach.id, LOCKSTEP_EVENT_COLD_WON, 1, NULL));
	VM_LOAD(&machine.vm, tsc_spin);
	ASSERT_EQ(0, machine_start(&machine));
	while (!vm_data32(&machine.vm, 0))
		usleep(1000);
	EXPECT_EQ(EWOULDBLOCK, ko_unload());
	EXPECT_EQ(0, access("/dev/lockstep", F_OK));
	machine_close(&machine);
	vm_destroy(&machine.vm);
	nl_close(&nl);
}

TEST_F(module, kvm_is_pinned)
{
	EXPECT_NE(0, syscall(SYS_delete_module, "kvm_amd", O_NONBLOCK) &&
		     syscall(SYS_delete_module, "kvm_intel", O_NONBLOCK));
	EXPECT_EQ(0, access("/dev/kvm", F_OK));
}

TEST_F(module, once)
{
	if (!self->file)
		SKIP(return, "LOCKSTEP_KO names no module");
	EXPECT_EQ(EEXIST, ko_load(self->file));
}

static struct bystander others[VMS];

static bool all_go_on(void)
{
	unsigned int i;

	for (i = 0; i < VMS; i++)
		if (!bystander_goes_on(&others[i]))
			return false;
	return true;
}

TEST_F_TIMEOUT(module, comes_and_goes, 240)
{
	static const struct {
		const uint8_t *code, *end;
	} guests[VMS] = {
		{ guest_spin, guest_spin_end },
		{ guest_tsc_spin, guest_tsc_spin_end },
		{ guest_out_spin, guest_out_spin_end },
	};
	unsigned int i, cycle;

	if (!self->file)
		SKIP(return, "LOCKSTEP_KO names no module");
	for (i = 0; i < VMS; i++) {
		ASSERT_EQ(0, vm_create(&others[i].vm, 0));
		vm_load(&others[i].vm, guests[i].code, guests[i].end - guests[i].code);
		ASSERT_EQ(0, bystander_start(&others[i]));
	}
	EXPECT_TRUE(all_go_on());
	for (cycle = 0; cycle < CYCLES; cycle++) {
		ASSERT_EQ(0, ko_unload());
		EXPECT_NE(0, access("/dev/lockstep", F_OK));
		EXPECT_TRUE(all_go_on());
		ASSERT_EQ(0, ko_load(self->file));
		EXPECT_EQ(0, access("/dev/lockstep", F_OK));
		EXPECT_TRUE(all_go_on());
	}
	/* the clock of the one that reads it never went back */
	EXPECT_EQ(0, vm_data32(&others[1].vm, 1));
	for (i = 0; i < VMS; i++)
		EXPECT_TRUE(bystander_stop(&others[i]));
}

/* So few that a try now and then has no tick of the host's timer in it. */
#define COST_EXITS	1000
#define COST_TRIES	12
#define COST_ATTACHED	8
/* Other VMs that are looked at: each is somewhere else in the hash. */
#define COST_OTHERS	20
/*
 * Instructions an exit of a foreign VM may cost more. Idle: 6, and 8 where each of two
 * hooks begins with an ENDBR (6.12); with guests there is a look at the hash, too.
 */
#define COST_IDLE_MAX	9
#define COST_BUSY_MAX	40

/* Instructions of one exit, from the least of some tries at COST_EXITS; -1: it failed. */
static double cost(struct vm *vm)
{
	uint64_t least = ~0ULL, start;
	int i;

	VM_LOAD(vm, cpuid);
	for (i = 0; i < COST_TRIES; i++) {
		vm_restart(vm, COST_EXITS);
		start = __builtin_ia32_rdtsc();
		if (vm_run_to_end(vm))
			return -1;
		start = __builtin_ia32_rdtsc() - start;
		if (start < least)
			least = start;
	}
	return (double)least / COST_EXITS;
}

static struct machine attached[COST_ATTACHED];
static struct vm unattached[COST_OTHERS];

/*
 * What others pay, in instructions: only where the host's TSC counts these, a lab
 * host with -icount; LOCKSTEP_ICOUNT says so.
 */
TEST_F_TIMEOUT(module, cost_for_others, 240)
{
	double without, idle, busy, least = 1e9, most = 0;
	char name[LOCKSTEP_NAME_MAX];
	int i;

	if (!self->file || !getenv("LOCKSTEP_ICOUNT"))
		SKIP(return, "the TSC of this host does not count instructions");
	for (i = 0; i < COST_OTHERS; i++)
		ASSERT_EQ(0, vm_create(&unattached[i], 0));
	ASSERT_EQ(0, ko_unload());
	without = cost(&unattached[0]);
	ASSERT_EQ(0, ko_load(self->file));
	idle = cost(&unattached[0]);
	for (i = 0; i < COST_ATTACHED; i++) {
		snprintf(name, sizeof(name), "cost-%d", i);
		attached[i].fd = -1;
		attached[i].log_size = 64 << 10;
		ASSERT_EQ(0, vm_create(&attached[i].vm, 0));
		ASSERT_EQ(0, machine_open(&attached[i], name, LOCKSTEP_ROLE_PRIMARY, 0, ""));
	}
	for (i = 0; i < COST_OTHERS; i++) {
		busy = cost(&unattached[i]);
		vm_destroy(&unattached[i]);
		ASSERT_LT(0, busy);
		least = busy < least ? busy : least;
		most = busy > most ? busy : most;
	}
	for (i = 0; i < COST_ATTACHED; i++) {
		machine_close(&attached[i]);
		vm_destroy(&attached[i].vm);
	}

	printf("# a CPUID exit: %.1f instructions; with the module %+.1f, with %d guests attached %+.1f to %+.1f\n",
	       without, idle - without, COST_ATTACHED, least - without, most - without);
	fflush(stdout);
	EXPECT_LT(0, without);
	EXPECT_GT(COST_IDLE_MAX, idle - without);
	EXPECT_GE(COST_BUSY_MAX, most - without);
}

#define READS_ROUNDS	2000
#define READ_MAX	1000

/* What a clock read of a guest of ours takes, entry to entry, in instructions. */
TEST_F(module, cost_of_a_clock_read)
{
	static struct machine machine;
	uint64_t start;
	struct nl nl;

	if (!getenv("LOCKSTEP_ICOUNT"))
		SKIP(return, "the TSC of this host does not count instructions");
	ASSERT_EQ(0, nl_open(&nl));
	machine.fd = -1;
	ASSERT_EQ(0, vm_create(&machine.vm, 0));
	memset(machine.vm.mem, 1, VM_MEM);
	VM_LOAD(&machine.vm, tsc);
	vm_set_esi(&machine.vm, READS_ROUNDS);
	ASSERT_EQ(0, machine_open(&machine, "cost", LOCKSTEP_ROLE_PRIMARY, 0, ""));
	ASSERT_EQ(0, nl_bind(&nl, machine.attach.id));
	ASSERT_EQ(0, nl_event(&nl, machine.attach.id, LOCKSTEP_EVENT_COLD_WON, 1, NULL));
	start = __builtin_ia32_rdtsc();
	machine_run(&machine);
	start = __builtin_ia32_rdtsc() - start;
	EXPECT_EQ(MACHINE_ENDED, machine.end);
	printf("# a clock read: %.1f instructions\n", (double)start / (2 * READS_ROUNDS));
	fflush(stdout);
	EXPECT_GT(READ_MAX, start / (2 * READS_ROUNDS));
	machine_close(&machine);
	vm_destroy(&machine.vm);
	nl_close(&nl);
}

TEST_HARNESS_MAIN
