// SPDX-License-Identifier: GPL-2.0
/*
 * The same count of instructions is the same state: a 64-bit guest is stopped at
 * random counts, reached once step by step and once in one go from the start,
 * with another process that takes the CPU away.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "detguest.h"
#include "vm.h"

#define STOPS	300
#define FOREVER	(1ull << 40)

asm(".section .rodata\n"
	"guest_bin: .incbin \"" DETGUEST_BIN "\"\n"
	".balign 8\nguest_bin_size: .quad . - guest_bin\n"
	".text\n");

static void gate(struct vm *vm, int vector, int slot)
{
	uint64_t to;

	memcpy(&to, guest_bin + 8 + 8 * slot, sizeof(to));
	vm_put64(vm, DET_IDT + 16 * vector,
		 (to & 0xffff) | 8 << 16 | 0x8e00ull << 32 | (to >> 16 & 0xffff) << 48);
	vm_put64(vm, DET_IDT + 16 * vector + 8, to >> 32);
}

static void tables(struct vm *vm)
{
	vm_put64(vm, DET_GDT + 8, 0x00209b0000000000);
	vm_put64(vm, DET_GDT + 16, 0x0000930000000000);
	gate(vm, 0, 0);
	gate(vm, 3, 1);
	gate(vm, 6, 2);
	gate(vm, 14, 3);
	vm_put64(vm, DET_PML4, DET_PDPT + 3);
	vm_put64(vm, DET_PDPT, DET_PD + 3);
	vm_put64(vm, DET_PD, 0x83);
	vm_put64(vm, DET_PD + 8, 0x200083);
	vm_put64(vm, DET_PD + 16, DET_PT + 3);
	for (int i = 0; i < 512; i++)
		vm_put64(vm, DET_PT + 8 * i, DET_PAGED + 4096 * i + 2);
}

/* A fresh machine, down to its nested page tables. */
static void fresh(struct vm *vm)
{
	struct kvm_segment code = {
		.selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1, .limit = ~0u
	};
	struct kvm_segment data = {
		.selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1, .limit = ~0u
	};
	struct kvm_sregs s;

	madvise(vm->mem, vm->size, MADV_REMOVE);
	vm_put(vm, DET_TEXT, guest_bin, guest_bin_size);
	tables(vm);
	if (ioctl(vm->vcpu, KVM_GET_SREGS, &s))
		give_up("KVM_GET_SREGS");
	s.cs = code;
	s.ds = s.es = s.ss = s.fs = s.gs = data;
	s.gdt.base = DET_GDT;
	s.gdt.limit = 23;
	s.idt.base = DET_IDT;
	s.idt.limit = 255;
	s.cr0 = 0x80050033;
	s.cr2 = 0;
	s.cr3 = DET_PML4;
	s.cr4 = 0x20;
	s.efer = 0x500;
	if (ioctl(vm->vcpu, KVM_SET_SREGS, &s))
		give_up("KVM_SET_SREGS");
	vm_start(vm, DET_TEXT, 0);
	vm->regs.rsp = DET_STACK;
	vm_regs_set(vm);
}

static uint64_t hash(uint64_t h, const void *data, size_t len)
{
	const char *p = data;

	for (size_t i = 0; i + 8 <= len; i += 8) {
		uint64_t word;

		memcpy(&word, p + i, sizeof(word));
		h = (h ^ word) * 1099511628211ull;
	}
	return h;
}

static uint64_t digest(struct vm *vm)
{
	vm_regs_get(vm);
	return hash(hash(1469598103934665603ull, &vm->regs, sizeof(vm->regs)), vm->mem, vm->size);
}

/* Runs @n instructions, or to the halt. */
static void go(struct vm *vm, uint64_t n)
{
	int fd = overflow_open(EVENT_INSTRUCTIONS, n);

	overflow_arm(fd);
	for (;;) {
		int exit = vm_enter(vm);

		if (exit == KVM_EXIT_HLT || (exit == -EINTR && overflow_hit()))
			break;
		if (exit != KVM_EXIT_IO && exit != -EINTR)
			give_up("unexpected exit");
	}
	close(fd);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t random64(void)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

/* Stops at random counts on one way through the guest; their digests. */
static void stepwise(struct vm *vm, int total, uint64_t *at, uint64_t *digests, uint64_t end)
{
	uint64_t before, now = 0;
	unsigned int off = 0;

	fresh(vm);
	before = counter_read(total);
	for (int i = 0; i < STOPS; i++) {
		if (at[i] - now < 2)
			at[i] = now + 2;
		go(vm, at[i] - now);
		now = counter_read(total) - before;
		off += now != at[i];
		now = at[i];
		digests[i] = digest(vm);
	}
	go(vm, FOREVER);
	equal(off, 0, "%d stops on one way, off their place", STOPS);
	equal(digest(vm), end, "state at the end of that way");
}

static void directly(struct vm *vm, int total, const uint64_t *at, const uint64_t *digests)
{
	unsigned int off = 0, differ = 0, n = 0;

	for (int i = 0; i < STOPS; i += 3, n++) {
		uint64_t before;

		fresh(vm);
		before = counter_read(total);
		go(vm, at[i]);
		off += counter_read(total) - before != at[i];
		differ += digest(vm) != digests[i];
	}
	equal(off, 0, "%u of them in one go from the start, off their place", n);
	equal(differ, 0, "with another state than on the first way");
}

int main(void)
{
	static uint64_t at[STOPS], digests[STOPS];
	uint64_t length = 0, end = 0;
	struct vm vm;
	pid_t busy;
	int total;

	vm_create(&vm, DET_MEMORY, 0);
	total = counter_open(EVENT_INSTRUCTIONS, COUNT_GUEST, 0);
	for (int i = 0; i < 4; i++) {
		uint64_t before, n, d;

		fresh(&vm);
		before = counter_read(total);
		go(&vm, FOREVER);
		n = counter_read(total) - before;
		d = digest(&vm);
		if (i) {
			equal(n, length, "instructions of a full run");
			equal(d, end, "state at its end");
		}
		length = n;
		end = d;
	}
	equal(vm_get64(&vm, DET_COUNTS), 40, "the guest took its #DEs");
	ok(vm_get64(&vm, DET_COUNTS + 24) > 40, "and its #PFs");

	for (int i = 0; i < STOPS; i++)
		at[i] = 2 + random64() % (length - 4);
	qsort(at, STOPS, sizeof(at[0]), compare);
	busy = fork();
	if (!busy)
		for (;;)
			getppid();
	stepwise(&vm, total, at, digests, end);
	directly(&vm, total, at, digests);
	kill(busy, SIGKILL);
	return tap_end();
}
