// SPDX-License-Identifier: GPL-2.0
/* Retired instructions: counts in user space and in a guest, overflow stops. */
#include <linux/perf_event.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm.h"

/* mov ecx,N; L: dec ecx; jnz L; hlt: 1 + 2 N instructions. */
#define LOOP		0x1000
#define LOOP_N		(LOOP + 2)
#define LOOP_TOP	(LOOP + 6)
static const uint8_t loop_code[] = { 0x66, 0xb9, 0, 0, 0, 0, 0x66, 0x49, 0x75, 0xfc, 0xf4 };

static void user_loop(unsigned long n)
{
	asm volatile(".balign 64\n1: dec %0; jnz 1b" : "+r" (n));
}

/* The same instructions around the loop each time: no copy of it may be inlined. */
static __attribute__((noipa)) uint64_t user_count(int fd, unsigned long n)
{
	ioctl(fd, PERF_EVENT_IOC_RESET, 0);
	ioctl(fd, PERF_EVENT_IOC_ENABLE, 0);
	user_loop(n);
	ioctl(fd, PERF_EVENT_IOC_DISABLE, 0);
	return counter_read(fd);
}

/* The ioctls around the loop add the same each time, so differences are exact. */
static void in_user_space(void)
{
	int fd = counter_open(EVENT_INSTRUCTIONS, COUNT_USER | COUNT_DISABLED, 0);
	uint64_t base = user_count(fd, 1000);

	for (int i = 0; i < 3; i++) {
		equal(user_count(fd, 1000), base, "user loop of 1000, again");
		equal(user_count(fd, 1001000) - base, 2000000, "user loop, 1000000 turns more");
		equal(user_count(fd, 100001000) - base, 200000000, "user loop, 100000000 turns more");
	}
}

static void count_loop(struct vm *vm, int fd, uint32_t n)
{
	uint64_t before;

	vm_put32(vm, LOOP_N, n);
	vm_start(vm, LOOP, 0);
	before = counter_read(fd);
	vm_to_halt(vm);
	equal(counter_read(fd) - before, 1 + 2ull * n, "guest loop of %u", n);
}

static void count_at(struct vm *vm, int fd, unsigned int at, uint64_t wanted, const char *what)
{
	uint64_t before = counter_read(fd);

	vm_start(vm, at, 0);
	vm_to_halt(vm);
	equal(counter_read(fd) - before, wanted, "guest %s", what);
}

static void in_guest(struct vm *vm)
{
	/* mov cx,1000; L: out 0x80,al; dec cx; jnz L; hlt. An intercepted OUT retires nothing. */
	static const uint8_t out[] = { 0xb9, 0xe8, 3, 0xe6, 0x80, 0x49, 0x75, 0xfb, 0xf4 };
	/* mov si,1000; L: mov eax,0; cpuid; dec si; jnz L; hlt */
	static const uint8_t cpuid[] = {
		0xbe, 0xe8, 3, 0x66, 0xb8, 0, 0, 0, 0, 0x0f, 0xa2, 0x4e, 0x75, 0xf5, 0xf4
	};
	/* mov cx,1000; mov si,4000; mov di,6000; rep movsb; hlt */
	static const uint8_t rep[] = {
		0xb9, 0xe8, 3, 0xbe, 0, 0x40, 0xbf, 0, 0x60, 0xf3, 0xa4, 0xf4
	};
	/* mov cx,32; mov ax,2000; L: mov ds,ax; mov [0],al; add ax,0x100; dec cx; jnz L; hlt */
	static const uint8_t fault[] = {
		0xb9, 32, 0, 0xb8, 0, 0x20, 0x8e, 0xd8, 0xa2, 0, 0, 0x05, 0, 1, 0x49, 0x75, 0xf5, 0xf4
	};
	int fd = counter_open(EVENT_INSTRUCTIONS, COUNT_GUEST, 0);

	vm_put(vm, 0x1100, out, sizeof(out));
	vm_put(vm, 0x1200, cpuid, sizeof(cpuid));
	vm_put(vm, 0x1300, rep, sizeof(rep));
	vm_put(vm, 0x1400, fault, sizeof(fault));
	for (int i = 0; i < 3; i++) {
		count_loop(vm, fd, 10);
		count_loop(vm, fd, 1000);
		count_loop(vm, fd, 1000000);
		count_loop(vm, fd, 150000000);
		count_at(vm, fd, 0x1100, 1 + 2 * 1000, "OUT 1000 times");
		count_at(vm, fd, 0x1200, 1 + 3 * 1000, "CPUID 1000 times");
		count_at(vm, fd, 0x1300, 4, "REP MOVSB");
		/* Take the pages away: each write meets a nested page fault. */
		madvise(vm->mem + 0x20000, 0x21000, MADV_REMOVE);
		count_at(vm, fd, 0x1400, 2 + 5 * 32, "with nested page faults");
	}
	close(fd);
}

static void host_only(struct vm *vm)
{
	int fd = counter_open(EVENT_INSTRUCTIONS, COUNT_HOST, 0);
	uint64_t before;

	vm_put32(vm, LOOP_N, 30000000);
	vm_start(vm, LOOP, 0);
	before = counter_read(fd);
	vm_to_halt(vm);
	ok(counter_read(fd) - before < 30000000, "a host-only counter does not see the guest");
	close(fd);
}

/* How many instructions of the loop of @n have been executed, from its registers. */
static uint64_t executed(const struct vm *vm, uint32_t n)
{
	uint64_t turns = n - (uint32_t)vm->regs.rcx;

	if (vm->regs.rip == LOOP)
		return 0;
	return 2 * turns + (vm->regs.rip == LOOP_TOP ? 1 : 0);
}

static void single_stops(struct vm *vm)
{
	static const uint64_t periods[] = {
		2, 3, 7, 100, 1001, 12345, 99999, 1000000, 7654321, 50000001, 200000000
	};
	const uint32_t n = 150000000;

	vm_put32(vm, LOOP_N, n);
	for (unsigned int i = 0; i < 2 * sizeof(periods) / sizeof(periods[0]); i++) {
		uint64_t period = periods[i / 2];
		int fd = overflow_open(EVENT_INSTRUCTIONS, period);

		vm_start(vm, LOOP, 0);
		overflow_arm(fd);
		vm_enter(vm);
		equal(executed(vm, n), period, "overflow after %llu stops there", (unsigned long long)period);
		equal(counter_read(fd), period, "and the counter says so");
		close(fd);
	}
}

static void many_stops(struct vm *vm)
{
	const uint32_t n = 500000;
	const uint64_t period = 9973;
	unsigned int stops = 0, off = 0;
	int fd = overflow_open(EVENT_INSTRUCTIONS, period);

	vm_put32(vm, LOOP_N, n);
	vm_start(vm, LOOP, 0);
	for (;;) {
		overflow_arm(fd);
		if (vm_enter(vm) == KVM_EXIT_HLT)
			break;
		if (!overflow_hit())
			continue;
		stops++;
		off += executed(vm, n) != stops * period;
	}
	equal(stops, (1 + 2 * n) / period, "stops every %llu instructions", (unsigned long long)period);
	equal(off, 0, "none of them off its place");
	equal(counter_read(fd), 1 + 2 * n, "count at the end");
	close(fd);
}

int main(void)
{
	struct vm vm;

	in_user_space();
	vm_create(&vm, 0x100000, 0);
	vm_put(&vm, LOOP, loop_code, sizeof(loop_code));
	in_guest(&vm);
	host_only(&vm);
	single_stops(&vm);
	many_stops(&vm);
	return tap_end();
}
