// SPDX-License-Identifier: GPL-2.0
/*
 * VMs that are not ours: their clock reads do not exit, before, while and after
 * another VM is attached, nor do those of a VM that was attached once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "kselftest_harness.h"
#include "machine.h"
#include "nl.h"
#include "test.h"

#define ROUNDS		2000
/* Clock reads are two a round; what else makes exits (faults, ticks) is far less. */
#define EXITS_MAX	(ROUNDS / 4)
/* Clock reads of a guest of ours meanwhile. */
#define OURS_READS	100

/* A counter of a vCPU, by its name in KVM's binary statistics; -1: there is none. */
static int64_t vcpu_stat(const struct vm *vm, const char *name)
{
	struct kvm_stats_header header;
	struct kvm_stats_desc *desc;
	int64_t found = -1;
	uint64_t value;
	size_t size;
	uint32_t i;
	int fd;

	fd = ioctl(vm->vcpu, KVM_GET_STATS_FD, NULL);
	if (fd < 0)
		return -1;
	if (pread(fd, &header, sizeof(header), 0) != sizeof(header))
		goto out;
	size = sizeof(*desc) + header.name_size;
	desc = malloc(size);
	for (i = 0; i < header.num_desc && found < 0; i++) {
		if (pread(fd, desc, size, header.desc_offset + i * size) != (ssize_t)size)
			break;
		if (!strcmp(desc->name, name) &&
		    pread(fd, &value, sizeof(value), header.data_offset + desc->offset) ==
		    sizeof(value))
			found = value;
	}
	free(desc);
out:
	close(fd);
	return found;
}

/* Run the clock reader in @vm, which is not attached; exits it took, or -1. */
static int64_t exits_of_reads(struct vm *vm)
{
	int64_t before;

	VM_LOAD(vm, tsc);
	vm_restart(vm, ROUNDS);
	before = vcpu_stat(vm, "exits");
	if (before < 0 || vm_run_to_end(vm))
		return -1;
	return vcpu_stat(vm, "exits") - before;
}

FIXTURE(foreign)
{
	struct vm vm;
	struct machine *ours;
	struct nl nl;
};

FIXTURE_SETUP(foreign)
{
	NEED_MODULE();
	ASSERT_EQ(0, vm_create(&self->vm, 0));
	self->ours = calloc(1, sizeof(*self->ours));
	self->ours->fd = -1;
	ASSERT_EQ(0, vm_create(&self->ours->vm, 0));
	ASSERT_EQ(0, nl_open(&self->nl));
	/* page faults come once */
	ASSERT_LE(0, exits_of_reads(&self->vm));
}

FIXTURE_TEARDOWN(foreign)
{
	machine_close(self->ours);
	vm_destroy(&self->ours->vm);
	vm_destroy(&self->vm);
	nl_close(&self->nl);
	free(self->ours);
}

static void ours_start(struct __test_metadata *_metadata, struct machine *ours, struct nl *nl)
{
	VM_LOAD(&ours->vm, tsc_spin);
	ASSERT_EQ(0, machine_open(ours, "ours", LOCKSTEP_ROLE_PRIMARY, 0, ""));
	ASSERT_EQ(0, nl_bind(nl, ours->attach.id));
	ASSERT_EQ(0, nl_event(nl, ours->attach.id, LOCKSTEP_EVENT_COLD_WON, 1, NULL));
	ASSERT_EQ(0, machine_start(ours));
	while (!vm_data32(&ours->vm, 0))
		usleep(1000);
}

TEST_F(foreign, nobody_attached)
{
	EXPECT_GT(EXITS_MAX, exits_of_reads(&self->vm));
}

TEST_F(foreign, while_ours_runs)
{
	static struct nl_msg reply;
	int64_t exits;
	uint32_t from;

	ours_start(_metadata, self->ours, &self->nl);
	from = vm_data32(&self->ours->vm, 0);
	/* on two CPUs, theirs may be through before ours has read its clock once */
	do {
		exits = exits_of_reads(&self->vm);
		ASSERT_LE(0, exits);
		ASSERT_GT(EXITS_MAX, exits);
	} while (vm_data32(&self->ours->vm, 0) - from < OURS_READS);
	/* that the measure can tell: those of ours do exit */
	machine_stop(self->ours);
	ASSERT_EQ(0, nl_guest_get(&self->nl, self->ours->attach.id, &reply));
	EXPECT_LE(OURS_READS, nl_stat(&reply, LOCKSTEP_S_TSC));
	EXPECT_LE(nl_stat(&reply, LOCKSTEP_S_TSC), vcpu_stat(&self->ours->vm, "exits"));
	EXPECT_EQ(0, vm_data32(&self->ours->vm, 1));
}

/* What attaching changed in the vCPU is taken back by detaching. */
TEST_F(foreign, once_attached)
{
	int64_t exits;

	ours_start(_metadata, self->ours, &self->nl);
	machine_close(self->ours);
	ASSERT_LE(0, exits_of_reads(&self->ours->vm));
	exits = exits_of_reads(&self->ours->vm);
	EXPECT_LE(0, exits);
	EXPECT_GT(EXITS_MAX, exits);
}

/* A guest without RDTSCP faults on it as ever, also after it was ours. */
TEST_F(foreign, rdtscp_hidden_once_attached)
{
	struct machine *ours = self->ours;

	vm_destroy(&ours->vm);
	ASSERT_EQ(0, vm_create(&ours->vm, VM_NO_RDTSCP));
	ours_start(_metadata, ours, &self->nl);
	machine_close(ours);
	VM_LOAD(&ours->vm, user_rdtscp);
	vm_restart(&ours->vm, 0);
	vm_set_user_mode(&ours->vm, false);
	EXPECT_EQ(KVM_EXIT_SHUTDOWN, vm_run_to_end(&ours->vm));
}

TEST_HARNESS_MAIN
