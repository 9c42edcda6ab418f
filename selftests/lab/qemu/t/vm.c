// SPDX-License-Identifier: GPL-2.0
/* A tiny KVM guest, counters, TAP: see vm.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vm.h"

static unsigned int points, failures;
static volatile sig_atomic_t hits;

bool ok(bool good, const char *fmt, ...)
{
	va_list ap;

	points++;
	failures += !good;
	printf("%sok %u - ", good ? "" : "not ", points);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	return good;
}

bool equal(uint64_t got, uint64_t wanted, const char *fmt, ...)
{
	char name[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	if (ok(got == wanted, "%s", name))
		return true;
	note("got %llu (0x%llx), wanted %llu (0x%llx)", (unsigned long long)got,
	     (unsigned long long)got, (unsigned long long)wanted, (unsigned long long)wanted);
	return false;
}

void note(const char *fmt, ...)
{
	va_list ap;

	printf("# ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

void give_up(const char *what)
{
	ok(false, "%s: %s", what, strerror(errno));
	exit(tap_end());
}

int tap_end(void)
{
	printf("1..%u\n", points);
	fflush(stdout);
	return failures || !points;
}

static void real_mode(struct vm *vm)
{
	struct kvm_sregs s;

	if (ioctl(vm->vcpu, KVM_GET_SREGS, &s))
		give_up("KVM_GET_SREGS");
	s.cs.base = s.ds.base = s.es.base = s.ss.base = 0;
	s.cs.selector = s.ds.selector = s.es.selector = s.ss.selector = 0;
	if (ioctl(vm->vcpu, KVM_SET_SREGS, &s))
		give_up("KVM_SET_SREGS");
}

void vm_create(struct vm *vm, size_t size, unsigned int flags)
{
	struct kvm_userspace_memory_region region = { .memory_size = size };
	int run_size;

	memset(vm, 0, sizeof(*vm));
	vm->size = size;
	vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm < 0)
		give_up("/dev/kvm");
	vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		give_up("KVM_CREATE_VM");
	if (flags & VM_IRQCHIP && ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0))
		give_up("KVM_CREATE_IRQCHIP");
	vm->vcpu = ioctl(vm->fd, KVM_CREATE_VCPU, 0);
	if (vm->vcpu < 0)
		give_up("KVM_CREATE_VCPU");
	vm->mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (vm->mem == MAP_FAILED)
		give_up("guest memory");
	region.userspace_addr = (uintptr_t)vm->mem;
	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region))
		give_up("KVM_SET_USER_MEMORY_REGION");
	run_size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	vm->run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu, 0);
	if (vm->run == MAP_FAILED)
		give_up("struct kvm_run");
	real_mode(vm);
}

void vm_destroy(struct vm *vm)
{
	munmap(vm->run, ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
	close(vm->vcpu);
	close(vm->fd);
	close(vm->kvm);
	munmap(vm->mem, vm->size);
}

/* Puts the vCPU at @rip, runnable, with a stack below 0xf000. */
void vm_start(struct vm *vm, uint64_t rip, uint64_t rcx)
{
	memset(&vm->regs, 0, sizeof(vm->regs));
	vm->regs.rip = rip;
	vm->regs.rcx = rcx;
	vm->regs.rsp = 0xf000;
	vm->regs.rflags = 2;
	vm_regs_set(vm);
}

void vm_regs_get(struct vm *vm)
{
	if (ioctl(vm->vcpu, KVM_GET_REGS, &vm->regs))
		give_up("KVM_GET_REGS");
}

void vm_regs_set(struct vm *vm)
{
	if (ioctl(vm->vcpu, KVM_SET_REGS, &vm->regs))
		give_up("KVM_SET_REGS");
}

/* Enters the guest once; the exit reason, or -EINTR. */
int vm_enter(struct vm *vm)
{
	int ret = ioctl(vm->vcpu, KVM_RUN, 0);

	if (ret && errno != EINTR)
		give_up("KVM_RUN");
	vm_regs_get(vm);
	return ret ? -EINTR : (int)vm->run->exit_reason;
}

/* Enters the guest until it halts, over its I/O and our signals; the number of entries. */
int vm_to_halt(struct vm *vm)
{
	int entries = 0;

	for (;;) {
		int exit = vm_enter(vm);

		entries++;
		if (exit == KVM_EXIT_HLT)
			return entries;
		if (exit == -EINTR || exit == KVM_EXIT_IO)
			continue;
		ok(false, "guest halts (exit %d at %llx)", exit, vm->regs.rip);
		exit = tap_end();
		_exit(exit);
	}
}

void vm_put(struct vm *vm, unsigned int at, const void *code, size_t len)
{
	memcpy(vm->mem + at, code, len);
}

void vm_put16(struct vm *vm, unsigned int at, uint16_t value)
{
	memcpy(vm->mem + at, &value, sizeof(value));
}

void vm_put32(struct vm *vm, unsigned int at, uint32_t value)
{
	memcpy(vm->mem + at, &value, sizeof(value));
}

void vm_put64(struct vm *vm, unsigned int at, uint64_t value)
{
	memcpy(vm->mem + at, &value, sizeof(value));
}

uint16_t vm_get16(const struct vm *vm, unsigned int at)
{
	uint16_t value;

	memcpy(&value, vm->mem + at, sizeof(value));
	return value;
}

uint32_t vm_get32(const struct vm *vm, unsigned int at)
{
	uint32_t value;

	memcpy(&value, vm->mem + at, sizeof(value));
	return value;
}

uint64_t vm_get64(const struct vm *vm, unsigned int at)
{
	uint64_t value;

	memcpy(&value, vm->mem + at, sizeof(value));
	return value;
}

/* A counter of this thread; with a period, for overflow_arm(). */
int counter_open(uint64_t event, unsigned int flags, uint64_t period)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_RAW,
		.size = sizeof(attr),
		.config = event,
		.disabled = flags & COUNT_DISABLED || period,
		.pinned = 1,
		.exclude_host = !!(flags & COUNT_GUEST),
		.exclude_guest = !!(flags & COUNT_HOST),
		.exclude_kernel = !!(flags & COUNT_USER),
		.exclude_user = !!(flags & COUNT_KERNEL),
		.sample_period = period,
		.wakeup_events = !!period,
	};
	int fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);

	if (fd < 0)
		give_up("perf_event_open");
	return fd;
}

/* A pinned event that did not get a counter reads as nothing. */
uint64_t counter_read(int fd)
{
	uint64_t value;

	if (read(fd, &value, sizeof(value)) != sizeof(value))
		give_up("counter is not scheduled");
	return value;
}

static void on_overflow(int sig)
{
	(void)sig;
	hits++;
}

/* A guest-only counter whose overflows kick this thread out of the guest. */
int overflow_open(uint64_t event, uint64_t period)
{
	struct sigaction sa = { .sa_handler = on_overflow };
	struct f_owner_ex owner = { F_OWNER_TID, gettid() };
	int fd = counter_open(event, COUNT_GUEST, period);

	sigaction(SIGIO, &sa, NULL);
	if (fcntl(fd, F_SETFL, O_ASYNC) || fcntl(fd, F_SETSIG, SIGIO) || fcntl(fd, F_SETOWN_EX, &owner))
		give_up("signal of an overflow");
	return fd;
}

/* Lets the counter overflow once more. */
void overflow_arm(int fd)
{
	hits = 0;
	if (ioctl(fd, PERF_EVENT_IOC_REFRESH, 1))
		give_up("PERF_EVENT_IOC_REFRESH");
}

bool overflow_hit(void)
{
	return hits != 0;
}
