// SPDX-License-Identifier: GPL-2.0
/*
 * The module's coming and going: not while a guest is attached, and any number of
 * times under VMs that are not ours. LOCKSTEP_KO names the module's file; without
 * it only what needs no loading is tried.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"
#include "machine.h"
#include "nl.h"
#include "test.h"

#define CYCLES	6
#define VMS	3

static int module_load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return errno;
	ret = syscall(SYS_finit_module, fd, "counter=none", 0) ? errno : 0;
	close(fd);
	return ret;
}

/* errno; EWOULDBLOCK is what rmmod calls "in use". */
static int module_unload(void)
{
	return syscall(SYS_delete_module, "lockstep", O_NONBLOCK) ? errno : 0;
}

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
	EXPECT_EQ(EWOULDBLOCK, module_unload());
	ASSERT_EQ(0, nl_open(&nl));
	ASSERT_EQ(0, nl_bind(&nl, machine.attach.id));
	ASSERT_EQ(0, nl_event(&nl, machine.attach.id, LOCKSTEP_EVENT_COLD_WON, 1, NULL));
	VM_LOAD(&machine.vm, tsc_spin);
	ASSERT_EQ(0, machine_start(&machine));
	while (!vm_data32(&machine.vm, 0))
		usleep(1000);
	EXPECT_EQ(EWOULDBLOCK, module_unload());
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
	EXPECT_EQ(EEXIST, module_load(self->file));
}

struct foreign {
	struct vm vm;
	pthread_t thread;
	atomic_int end;		/* why its thread ended; 0: it has not */
};

static struct foreign foreign[VMS];
static atomic_bool quit;

static void *foreign_run(void *arg)
{
	struct foreign *f = arg;
	int ret;

	do
		ret = vm_enter(&f->vm);
	while (!quit && (ret == KVM_EXIT_IO || ret == -EINTR));
	f->end = quit ? 1 : ret;
	return NULL;
}

static void interrupted(int sig)
{
}

static uint32_t count(unsigned int i)
{
	return vm_data32(&foreign[i].vm, 0);
}

static bool all_go_on(void)
{
	uint32_t before[VMS];
	unsigned int i, waited;

	for (i = 0; i < VMS; i++)
		before[i] = count(i);
	for (i = 0; i < VMS; i++) {
		for (waited = 0; count(i) == before[i] && waited < 500; waited++)
			usleep(10000);
		if (count(i) == before[i] || foreign[i].end)
			return false;
	}
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
	struct sigaction action = { .sa_handler = interrupted };
	unsigned int i, cycle;

	if (!self->file)
		SKIP(return, "LOCKSTEP_KO names no module");
	sigaction(SIGUSR1, &action, NULL);
	for (i = 0; i < VMS; i++) {
		ASSERT_EQ(0, vm_create(&foreign[i].vm, 0));
		vm_load(&foreign[i].vm, guests[i].code, guests[i].end - guests[i].code);
		ASSERT_EQ(0, pthread_create(&foreign[i].thread, NULL, foreign_run, &foreign[i]));
	}
	EXPECT_TRUE(all_go_on());
	for (cycle = 0; cycle < CYCLES; cycle++) {
		ASSERT_EQ(0, module_unload());
		EXPECT_NE(0, access("/dev/lockstep", F_OK));
		EXPECT_TRUE(all_go_on());
		ASSERT_EQ(0, module_load(self->file));
		EXPECT_EQ(0, access("/dev/lockstep", F_OK));
		EXPECT_TRUE(all_go_on());
	}
	/* the clock of the one that reads it never went back */
	EXPECT_EQ(0, vm_data32(&foreign[1].vm, 1));
	quit = true;
	for (i = 0; i < VMS; i++) {
		foreign[i].vm.run->immediate_exit = 1;
		pthread_kill(foreign[i].thread, SIGUSR1);
		pthread_join(foreign[i].thread, NULL);
		EXPECT_EQ(1, foreign[i].end);
		vm_destroy(&foreign[i].vm);
	}
}

#define COST_EXITS	20000
/*
 * Instructions an exit of a foreign VM may cost more. Idle: 6, and 8 where each of two
 * hooks begins with an ENDBR (6.12); with a guest there is a look at the hash, too.
 */
#define COST_IDLE_MAX	9
#define COST_BUSY_MAX	30

/* Host's ticks for COST_EXITS exits, the least of some tries. */
static uint64_t cost(struct vm *vm)
{
	uint64_t least = ~0ULL, start;
	int i;

	for (i = 0; i < 5; i++) {
		vm_restart(vm, COST_EXITS);
		start = __builtin_ia32_rdtsc();
		if (vm_run_to_end(vm))
			return 0;
		start = __builtin_ia32_rdtsc() - start;
		if (start < least)
			least = start;
	}
	return least;
}

/*
 * What others pay, in instructions: only where the host's TSC counts these, a lab
 * host with -icount; LOCKSTEP_ICOUNT says so.
 */
TEST_F_TIMEOUT(module, cost_for_others, 240)
{
	static struct machine machine;
	struct vm vm, again;
	double without, idle, busy, least;
	int i;

	if (!self->file || !getenv("LOCKSTEP_ICOUNT"))
		SKIP(return, "the TSC of this host does not count instructions");
	ASSERT_EQ(0, vm_create(&vm, 0));
	VM_LOAD(&vm, cpuid);
	machine.fd = -1;
	ASSERT_EQ(0, vm_create(&machine.vm, 0));

	ASSERT_EQ(0, module_unload());
	without = (double)cost(&vm) / COST_EXITS;
	ASSERT_EQ(0, module_load(self->file));
	idle = (double)cost(&vm) / COST_EXITS;
	ASSERT_EQ(0, machine_open(&machine, "cost", LOCKSTEP_ROLE_PRIMARY, 0, ""));
	busy = (double)cost(&vm) / COST_EXITS;
	/* one in 256 shares its place in the hash with the guest: look at others, too */
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, vm_create(&again, 0));
		VM_LOAD(&again, cpuid);
		least = (double)cost(&again) / COST_EXITS;
		busy = least < busy ? least : busy;
		vm_destroy(&again);
	}
	machine_close(&machine);

	printf("# a CPUID exit: %.1f instructions; with the module %+.1f, with a guest attached %+.1f\n",
	       without, idle - without, busy - without);
	fflush(stdout);
	EXPECT_LT(0, without);
	EXPECT_GT(COST_IDLE_MAX, idle - without);
	EXPECT_GT(COST_BUSY_MAX, busy - without);
	vm_destroy(&vm);
	vm_destroy(&machine.vm);
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
