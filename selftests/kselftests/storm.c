// SPDX-License-Identifier: GPL-2.0
/*
 * Everything at once: guests come, run, are kicked, moved from CPU to CPU, asked
 * after, and go in all ways, closed by another thread among them, while the module is
 * loaded and unloaded, which must be refused while one is attached. A VM that is not
 * ours goes on all the while.
 *
 * Meant for a host with several CPUs. LOCKSTEP_STORM_SECONDS says how long;
 * LOCKSTEP_KO names the module's file: without it the module stays loaded.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "kselftest_harness.h"
#include "chance.h"
#include "ko.h"
#include "machine.h"
#include "nl.h"
#include "test.h"

#define GUESTS		4
#define SECONDS		20
#define SECONDS_LONG	600
#define TRIES		5000
#define TRIES_LONG	100000
#define PROGRESS_MS	20000

/* What happened; each is to happen at least once. */
enum what {
	LIVES,			/* guests that ran and went */
	MOVES,
	KICKS,
	TAKEN,			/* the session closed under the vCPU's thread */
	ABSENT,			/* came while there was no module */
	REFUSED,		/* unloads while a guest was attached */
	UNLOADS,
	WHATS
};

static const char *const names[WHATS] = {
	"lives", "moves", "kicks", "sessions taken away", "attaches without a module",
	"unloads refused", "unloads",
};

static atomic_uint happened[WHATS];
static atomic_bool over;
/* The loader would like everybody to be gone: those that are wait for the start. */
static atomic_bool hold;

/**
 * struct side - one guest after the other, in a thread that controls them
 * @machine: the guest
 * @nl:      its daemon's socket
 * @chance:  what it does
 * @thread:  the thread
 * @epoch:   odd while it is attached for certain
 * @at:      first thing that went wrong, NULL: nothing
 * @error:   with it
 */
struct side {
	struct machine machine;
	struct nl nl;
	struct chance chance;
	pthread_t thread;
	atomic_uint epoch;
	const char *at;
	int error;
};

static struct side sides[GUESTS];
static struct bystander other;
static int nowhere;		/* /dev/null */

static int wrong(struct side *side, const char *at, int error)
{
	if (!side->at) {
		side->at = at;
		side->error = error;
	}
	over = true;
	return -1;
}

static void move(struct chance *chance, pid_t tid)
{
	int cpu = chance_below(chance, sysconf(_SC_NPROCESSORS_ONLN));
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (tid && !sched_setaffinity(tid, sizeof(set), &set))
		happened[MOVES]++;
}

/* 1: attached; 0: there was no module; -1: wrong. */
static int come(struct side *side, bool twin)
{
	char name[LOCKSTEP_NAME_MAX];
	int ret;

	snprintf(name, sizeof(name), "storm-%d", (int)(side - sides));
	ret = machine_open(&side->machine, name, twin ? LOCKSTEP_ROLE_TWIN : LOCKSTEP_ROLE_PRIMARY,
			   0, "");
	if (ret == -ENOENT || ret == -ENODEV || ret == -ENXIO) {
		happened[ABSENT]++;
		return 0;
	}
	if (ret)
		return wrong(side, "attach", ret);
	side->epoch++;
	ret = nl_open(&side->nl);
	if (!ret)
		ret = nl_bind(&side->nl, side->machine.attach.id);
	if (!ret && !twin)
		ret = nl_event(&side->nl, side->machine.attach.id, LOCKSTEP_EVENT_COLD_WON, 1, NULL);
	return ret ? wrong(side, "the daemon's calls", ret) : 1;
}

static void disturb(struct side *side)
{
	static struct nl_msg replies[GUESTS];
	struct machine *machine = &side->machine;

	switch (chance_below(&side->chance, 6)) {
	case 0:
	case 1:
		move(&side->chance, machine->tid);
		break;
	case 2:
		pthread_kill(machine->thread, SIGUSR1);
		happened[KICKS]++;
		break;
	case 3:
		ioctl(machine->fd, LOCKSTEP_KICK);
		happened[KICKS]++;
		break;
	case 4:
		nl_guest_get(&side->nl, machine->attach.id, &replies[side - sides]);
		break;
	default:
		usleep(chance_below(&side->chance, 5000));
		break;
	}
}

/* Where a thread is that does not get on, and what its guest's module says. */
static void look_at(struct side *side)
{
	static const char *const files[] = { "stat", "stack" };
	char path[64], text[1024];
	size_t i, len;

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%d/%s", side->machine.tid, files[i]);
		file = fopen(path, "r");
		len = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
		text[len] = 0;
		printf("# %s: %s\n", files[i], text);
		if (file)
			fclose(file);
	}
	printf("# state %d, exit reason %u\n", nl_state(&side->nl, side->machine.attach.id),
	       side->machine.vm.run->exit_reason);
	fflush(stdout);
}

static int progress(struct side *side)
{
	const struct machine *machine = &side->machine;
	uint32_t before = vm_data32(&machine->vm, 0);
	int ms;

	for (ms = 0; ms < PROGRESS_MS && machine->end == MACHINE_RUNNING; ms++) {
		if (vm_data32(&machine->vm, 0) != before)
			return 0;
		usleep(1000);
	}
	if (machine->end != MACHINE_RUNNING)
		return wrong(side, "the guest ended", machine->end);
	look_at(side);
	return wrong(side, "the guest stands", 0);
}

/* Close the session under the thread that runs its vCPU, its number not yet free. */
static int take_away(struct side *side)
{
	struct machine *machine = &side->machine;
	int ms;

	if (dup2(nowhere, machine->fd) < 0)
		return wrong(side, "dup2", errno);
	for (ms = 0; ms < PROGRESS_MS && machine->end == MACHINE_RUNNING; ms++) {
		/* from a VM that is nobody's now it comes back when it is signalled */
		pthread_kill(machine->thread, SIGUSR1);
		usleep(1000);
	}
	if (machine->end != MACHINE_ERROR || machine->error != ENOTTY)
		return wrong(side, "a session that was taken away", machine->end);
	happened[TAKEN]++;
	return 0;
}

static int go(struct side *side)
{
	struct machine *machine = &side->machine;
	int ret = 0;

	if (machine->end != MACHINE_RUNNING)
		return wrong(side, machine->error_at ?: "the guest ended", machine->error);
	side->epoch++;
	switch (chance_below(&side->chance, 3)) {
	case 0:
		ret = take_away(side);
		break;
	case 1:
		/* its descriptors first: the session has the last reference */
		machine_stop(machine);
		vm_destroy(&machine->vm);
		break;
	default:
		nl_close(&side->nl);
		break;
	}
	return ret;
}

static void clear(struct side *side)
{
	machine_close(&side->machine);
	vm_destroy(&side->machine.vm);
	nl_close(&side->nl);
}

/* From a new VM to its end. */
static int live(struct side *side)
{
	struct machine *machine = &side->machine;
	bool twin = !chance_below(&side->chance, 4);
	int ret = vm_create(&machine->vm, 0), n;

	if (ret)
		return wrong(side, "vm_create", ret);
	switch (chance_below(&side->chance, 3)) {
	case 0:
		VM_LOAD(&machine->vm, spin);
		break;
	case 1:
		VM_LOAD(&machine->vm, tsc_spin);
		break;
	default:
		VM_LOAD(&machine->vm, out_spin);
		break;
	}
	while (hold && !over)
		usleep(100);
	ret = come(side, twin);
	if (ret <= 0)
		return ret;
	if (machine_start(machine))
		return wrong(side, "pthread_create", 0);
	for (n = chance_below(&side->chance, 30); n && machine->end == MACHINE_RUNNING; n--)
		disturb(side);
	if (!twin && progress(side))
		return -1;
	ret = go(side);
	happened[LIVES]++;
	return ret;
}

static void *side_run(void *arg)
{
	struct side *side = arg;

	while (!over) {
		live(side);
		clear(side);
		if (side->epoch & 1)
			side->epoch++;
		move(&side->chance, gettid());
	}
	return NULL;
}

/* Try to unload it. What is wrong, or NULL. */
static const char *unload(const char *file, struct chance *chance)
{
	unsigned int before[GUESTS], i;
	int ret;

	for (i = 0; i < GUESTS; i++)
		before[i] = sides[i].epoch;
	ret = ko_unload();
	if (ret) {
		happened[REFUSED]++;
		return ret == EWOULDBLOCK ? NULL : "not removed, but not because it is in use";
	}
	for (i = 0; i < GUESTS; i++)
		if (before[i] & 1 && before[i] == sides[i].epoch)
			return "the module went from under a guest";
	happened[UNLOADS]++;
	usleep(chance_below(chance, 3000));
	return ko_load(file) ? "the module could not be loaded again" : NULL;
}

static bool all_gone(void)
{
	unsigned int i;

	for (i = 0; i < GUESTS; i++)
		if (sides[i].epoch & 1)
			return false;
	return true;
}

static const char *storm(const char *file, struct chance *chance, time_t seconds)
{
	time_t end = time(NULL) + seconds;
	const char *bad = NULL;

	while (!over && !bad && time(NULL) < end) {
		move(chance, 0);
		usleep(chance_below(chance, 50000));
		if (!file)
			continue;
		bad = unload(file, chance);
		/* now and then all are gone, and come at the moment it goes */
		if (bad || chance_below(chance, 2))
			continue;
		hold = true;
		while (!all_gone() && !over && time(NULL) < end)
			usleep(100);
		hold = chance_below(chance, 2);
		usleep(chance_below(chance, 300));
		bad = unload(file, chance);
		hold = false;
	}
	return bad;
}

/* Warnings and worse that the kernel has had. */
static unsigned long taints(void)
{
	FILE *file = fopen("/proc/sys/kernel/tainted", "r");
	unsigned long taint = 0;

	if (file && fscanf(file, "%lu", &taint) != 1)
		taint = 0;
	if (file)
		fclose(file);
	return taint & (1UL << 7 | 1UL << 9);
}

FIXTURE(storm)
{
	const char *file;
};

FIXTURE_SETUP(storm)
{
	NEED_MODULE();
	self->file = getenv("LOCKSTEP_KO");
	nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, nowhere);
	ASSERT_EQ(0, vm_create(&other.vm, 0));
	VM_LOAD(&other.vm, tsc_spin);
	ASSERT_EQ(0, bystander_start(&other));
}

FIXTURE_TEARDOWN(storm)
{
	close(nowhere);
}

/* Kicks, the last of them with something to take, at any distance from each other. */
static bool kicked_out(struct machine *machine, struct chance *chance)
{
	unsigned int before = machine->stops, i;
	int ms;

	ioctl(machine->fd, LOCKSTEP_KICK);
	for (i = chance_below(chance, 3000); i; i--)
		__asm__ volatile("");
	__atomic_store_n(&machine->page->kick, 1, __ATOMIC_RELEASE);
	ioctl(machine->fd, LOCKSTEP_KICK);
	for (ms = 0; ms < 2000 && machine->stops == before; ms++)
		for (i = 0; i < 100 && machine->stops == before; i++)
			usleep(10);
	__atomic_store_n(&machine->page->kick, 0, __ATOMIC_RELEASE);
	return machine->stops != before;
}

/* A guest that makes no exits stops for each input, whatever was due when it came. */
TEST_F_TIMEOUT(storm, kicks, 3600)
{
	unsigned int tries = chance_setting("LOCKSTEP_KICKS", TRIES, TRIES_LONG), i;
	struct side *side = &sides[0];
	bool out = true;

	side->machine.fd = side->machine.tap = side->nl.fd = -1;
	chance_init(&side->chance, "storm.kicks");
	ASSERT_EQ(0, ko_parameter_set("hold_us", "0"));
	ASSERT_EQ(0, vm_create(&side->machine.vm, 0));
	VM_LOAD(&side->machine.vm, spin);
	ASSERT_EQ(1, come(side, false));
	ASSERT_EQ(0, machine_start(&side->machine));
	for (i = 0; i < tries && out; i++)
		out = kicked_out(&side->machine, &side->chance);
	EXPECT_TRUE(out) {
		TH_LOG("kick %u was lost", i);
	}
	EXPECT_EQ(0, ko_parameter_set("hold_us", "100"));
	machine_stop(&side->machine);
	clear(side);
}

TEST_F_TIMEOUT(storm, storm, 1200)
{
	unsigned int seconds = chance_setting("LOCKSTEP_STORM_SECONDS", SECONDS, SECONDS_LONG), i;
	unsigned long tainted = taints();
	struct chance chance;
	const char *bad;

	chance_init(&chance, "storm.storm");
	for (i = 0; i < GUESTS; i++) {
		sides[i].machine.fd = sides[i].machine.tap = sides[i].nl.fd = -1;
		chance_fill(&chance, &sides[i].chance, sizeof(sides[i].chance));
		ASSERT_EQ(0, pthread_create(&sides[i].thread, NULL, side_run, &sides[i]));
	}
	bad = storm(self->file, &chance, seconds);
	over = true;
	for (i = 0; i < GUESTS; i++) {
		pthread_join(sides[i].thread, NULL);
		EXPECT_EQ(NULL, sides[i].at) {
			TH_LOG("guest %u: %s: %d", i, sides[i].at, sides[i].error);
		}
	}
	EXPECT_EQ(NULL, bad) {
		TH_LOG("%s", bad);
	}
	printf("# in %u s:", seconds);
	for (i = 0; i < WHATS; i++)
		printf(" %u %s%s", happened[i], names[i], i + 1 < WHATS ? "," : "\n");
	fflush(stdout);
	for (i = 0; i < WHATS; i++)
		if (self->file || i < ABSENT)
			EXPECT_LT(0, happened[i]);
	/* its clock never went back, and it runs */
	EXPECT_EQ(0, vm_data32(&other.vm, 1));
	EXPECT_TRUE(bystander_goes_on(&other));
	EXPECT_TRUE(bystander_stop(&other));
	EXPECT_EQ(tainted, taints());
	EXPECT_EQ(0, access("/dev/lockstep", F_OK));
}

TEST_HARNESS_MAIN
