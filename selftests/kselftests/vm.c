// SPDX-License-Identifier: GPL-2.0
/* See vm.h. Errors come back as -errno; nothing here prints. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm.h"

#define MSR_TSC_AUX		0xc0000103
#define CPUID_EXTENDED		0x80000001
#define CPUID_RDTSCP		(1U << 27)	/* EDX */
#define CPUID_FEATURES		7
#define CPUID_RDPID		(1U << 22)	/* ECX; VMX has one switch for both */
#define CPUID_SVM		(1U << 2)	/* ECX */
#define CR0_PE			(1U << 0)
#define CR4_TSD			(1U << 2)
#define RFLAGS_ONE		(1U << 1)
#define RFLAGS_IF		(1U << 9)
#define RFLAGS_IOPL3		(3U << 12)

struct cpuid {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entries[128];
};

/* Is there a KVM that can run the guests? */
bool vm_can(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static int cpuid_set(struct vm *vm, unsigned int flags)
{
	struct cpuid cpuid = { .head.nent = 128 };
	unsigned int i;

	if (ioctl(vm->kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) < 0)
		return -errno;
	for (i = 0; i < cpuid.head.nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid.entries[i];

		if (entry->function == CPUID_FEATURES && !entry->index && flags & VM_NO_RDTSCP)
			entry->ecx &= ~CPUID_RDPID;
		if (entry->function != CPUID_EXTENDED)
			continue;
		entry->ecx &= ~CPUID_SVM;
		if (flags & VM_NO_RDTSCP)
			entry->edx &= ~CPUID_RDTSCP;
	}
	return ioctl(vm->vcpu, KVM_SET_CPUID2, &cpuid) < 0 ? -errno : 0;
}

static int tsc_aux_set(struct vm *vm)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = {
		.head.nmsrs = 1,
		.entry = { .index = MSR_TSC_AUX, .data = VM_TSC_AUX },
	};

	return ioctl(vm->vcpu, KVM_SET_MSRS, &msrs) == 1 ? 0 : -EIO;
}

/* Nothing interrupts these guests. But in Bochs, where VMX is tried, the host is not interrupted either without IF. */
static uint64_t rflags_first(void)
{
	return RFLAGS_ONE | (access("/sys/module/kvm_intel", F_OK) ? 0 : RFLAGS_IF);
}

static int registers_set(struct vm *vm)
{
	struct kvm_regs regs = { .rip = VM_CODE, .rsp = VM_STACK, .rflags = rflags_first() };
	struct kvm_sregs sregs;

	if (ioctl(vm->vcpu, KVM_GET_SREGS, &sregs) < 0)
		return -errno;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	if (ioctl(vm->vcpu, KVM_SET_SREGS, &sregs) < 0 ||
	    ioctl(vm->vcpu, KVM_SET_REGS, &regs) < 0)
		return -errno;
	return 0;
}

static int memory_set(struct vm *vm)
{
	struct kvm_userspace_memory_region region = { .memory_size = VM_MEM };

	vm->mem = mmap(NULL, VM_MEM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (vm->mem == MAP_FAILED) {
		vm->mem = NULL;
		return -errno;
	}
	region.userspace_addr = (uintptr_t)vm->mem;
	return ioctl(vm->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

static int vm_open(struct vm *vm, unsigned int flags)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_DISABLE_EXITS,
		.args = { KVM_X86_DISABLE_EXITS_PAUSE },
	};
	int size;

	vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm < 0)
		return -errno;
	vm->vm = ioctl(vm->kvm, KVM_CREATE_VM, 0);
	if (vm->vm < 0)
		return -errno;
	if (!(flags & VM_PAUSE_EXITS) && ioctl(vm->vm, KVM_ENABLE_CAP, &cap) < 0)
		return -errno;
	if (flags & VM_IRQCHIP && ioctl(vm->vm, KVM_CREATE_IRQCHIP) < 0)
		return -errno;
	vm->vcpu = ioctl(vm->vm, KVM_CREATE_VCPU, 0);
	if (vm->vcpu < 0)
		return -errno;
	if (flags & VM_TWO_VCPUS) {
		vm->vcpu2 = ioctl(vm->vm, KVM_CREATE_VCPU, 1);
		if (vm->vcpu2 < 0)
			return -errno;
	}
	size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < 0)
		return -errno;
	vm->run_size = size;
	vm->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu, 0);
	if (vm->run == MAP_FAILED) {
		vm->run = NULL;
		return -errno;
	}
	return 0;
}

/* A VM that starts in real mode at VM_CODE. 0 or -errno (and nothing is left). */
int vm_create(struct vm *vm, unsigned int flags)
{
	int ret;

	*vm = VM_NONE;
	ret = vm_open(vm, flags);
	if (!ret)
		ret = memory_set(vm);
	if (!ret)
		ret = cpuid_set(vm, flags);
	if (!ret && !(flags & VM_NO_RDTSCP))
		ret = tsc_aux_set(vm);
	if (!ret)
		ret = registers_set(vm);
	if (ret)
		vm_destroy(vm);
	return ret;
}

void vm_destroy(struct vm *vm)
{
	if (vm->run)
		munmap(vm->run, vm->run_size);
	if (vm->vcpu2 >= 0)
		close(vm->vcpu2);
	if (vm->vcpu >= 0)
		close(vm->vcpu);
	if (vm->vm >= 0)
		close(vm->vm);
	if (vm->kvm >= 0)
		close(vm->kvm);
	if (vm->mem)
		munmap(vm->mem, VM_MEM);
	*vm = VM_NONE;
}

void vm_load(struct vm *vm, const void *code, size_t len)
{
	memcpy(vm->mem + VM_CODE, code, len);
}

/* ESI is the guests' number of rounds. */
void vm_set_esi(struct vm *vm, uint32_t esi)
{
	struct kvm_regs regs;

	ioctl(vm->vcpu, KVM_GET_REGS, &regs);
	regs.rsi = esi;
	ioctl(vm->vcpu, KVM_SET_REGS, &regs);
}

/* From the start again, by a VM that has stopped in the same mode. */
void vm_restart(struct vm *vm, uint32_t esi)
{
	struct kvm_regs regs;

	ioctl(vm->vcpu, KVM_GET_REGS, &regs);
	regs.rip = VM_CODE;
	regs.rsi = esi;
	ioctl(vm->vcpu, KVM_SET_REGS, &regs);
}

static struct kvm_segment user_segment(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment){
		.limit = 0xffffffff, .selector = selector, .type = type, .present = 1,
		.dpl = 3, .db = 1, .s = 1, .g = 1,
	};
}

/*
 * Start in 32-bit user mode with ports allowed, and no IDT: any exception shows
 * as KVM_EXIT_SHUTDOWN. @tsd: RDTSC is not for user mode.
 */
void vm_set_user_mode(struct vm *vm, bool tsd)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	ioctl(vm->vcpu, KVM_GET_SREGS, &sregs);
	sregs.cr0 |= CR0_PE;
	sregs.cr4 = tsd ? CR4_TSD : 0;
	sregs.cs = user_segment(0x0b, 11);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = user_segment(0x13, 3);
	sregs.idt.base = 0;
	sregs.idt.limit = 0;
	ioctl(vm->vcpu, KVM_SET_SREGS, &sregs);
	ioctl(vm->vcpu, KVM_GET_REGS, &regs);
	regs.rflags = RFLAGS_ONE | RFLAGS_IOPL3;
	ioctl(vm->vcpu, KVM_SET_REGS, &regs);
}

/* One KVM_RUN: the exit reason, or -errno. */
int vm_enter(struct vm *vm)
{
	if (ioctl(vm->vcpu, KVM_RUN, 0) < 0)
		return -errno;
	return vm->run->exit_reason;
}

/* Finish the instruction of a port exit, so that registers are those behind it. */
int vm_io_complete(struct vm *vm)
{
	int ret;

	vm->run->immediate_exit = 1;
	ret = vm_enter(vm);
	vm->run->immediate_exit = 0;
	return ret == -EINTR ? 0 : -EIO;
}

/* Run an unprotected guest up to VM_PORT_END: 0; else the exit reason or -errno. */
int vm_run_to_end(struct vm *vm)
{
	int ret;

	for (;;) {
		ret = vm_enter(vm);
		if (ret == -EINTR)
			continue;
		if (ret != KVM_EXIT_IO)
			return ret;
		if (vm->run->io.port == VM_PORT_END)
			return 0;
	}
}
