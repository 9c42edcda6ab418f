// SPDX-License-Identifier: GPL-2.0
/*
 * Through KVM: soft interrupts and INT3 (next_rip), breakpoints and watchpoints
 * of KVM_SET_GUEST_DEBUG at exact counts, the guest's own, and the host's.
 */
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vm.h"

#define HANDLER		0x2000
#define STACK_TOP	0xeffa		/* after an interrupt has pushed IP, CS, FLAGS */
#define INT_AT		0x1000
#define INT3_AT		0x1003

/* A new VM, in which no nested page is mapped yet, with both interrupt instructions. */
static void fresh(struct vm *vm)
{
	/* int 0x20; hlt; int3; hlt */
	static const uint8_t code[] = { 0xcd, 0x20, 0xf4, 0xcc, 0xf4 };

	if (vm->run)
		vm_destroy(vm);
	vm_create(vm, 0x10000, 0);
	vm_put(vm, INT_AT, code, sizeof(code));
	vm_put32(vm, 0x20 * 4, HANDLER);
	vm_put32(vm, 3 * 4, HANDLER);
	vm->mem[HANDLER] = 0xf4;
}

static void debug_set(struct vm *vm, uint64_t dr0, uint64_t dr1, uint64_t dr7)
{
	struct kvm_guest_debug debug = {
		.control = dr7 ? KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP : 0,
		.arch.debugreg = { dr0, dr1, [7] = dr7 | 0x400 },
	};

	if (ioctl(vm->vcpu, KVM_SET_GUEST_DEBUG, &debug))
		give_up("KVM_SET_GUEST_DEBUG");
}

/* Runs into the handler; the push of the return address met a nested page fault. */
static void handled(struct vm *vm, uint16_t pushed, const char *what)
{
	equal(vm_enter(vm), KVM_EXIT_HLT, "%s: halts", what);
	equal(vm->regs.rip, HANDLER + 1, "%s: in its handler", what);
	equal(vm_get16(vm, STACK_TOP), pushed, "%s: returns behind the instruction", what);
}

static void soft_interrupts(struct vm *vm)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP };
	struct kvm_vcpu_events ev;

	fresh(vm);
	vm_start(vm, INT_AT, 0);
	handled(vm, INT_AT + 2, "INT");
	fresh(vm);
	vm_start(vm, INT3_AT, 0);
	handled(vm, INT3_AT + 1, "INT3");

	for (int mapped = 0; mapped < 2; mapped++) {
		fresh(vm);
		vm->mem[STACK_TOP] = mapped;
		vm_start(vm, INT_AT, 0);
		ioctl(vm->vcpu, KVM_GET_VCPU_EVENTS, &ev);
		ev.interrupt.injected = 1;
		ev.interrupt.soft = 1;
		ev.interrupt.nr = 0x20;
		ioctl(vm->vcpu, KVM_SET_VCPU_EVENTS, &ev);
		handled(vm, INT_AT + 2, "injected INT");

		fresh(vm);
		vm->mem[STACK_TOP] = mapped;
		vm_start(vm, INT3_AT, 0);
		ioctl(vm->vcpu, KVM_GET_VCPU_EVENTS, &ev);
		ev.exception.injected = 1;
		ev.exception.nr = 3;
		ioctl(vm->vcpu, KVM_SET_VCPU_EVENTS, &ev);
		handled(vm, INT3_AT + 1, "injected #BP");
	}
	fresh(vm);
	ioctl(vm->vcpu, KVM_SET_GUEST_DEBUG, &debug);
	vm_start(vm, INT3_AT, 0);
	equal(vm_enter(vm), KVM_EXIT_DEBUG, "INT3 is intercepted for a software breakpoint");
	equal(vm->regs.rip, INT3_AT, "at the instruction");
	debug_set(vm, 0, 0, 0);
}

/* mov cx,1000; L: inc ax; inc bx; loop L; mov [5000],cx; mov [5002],ax; mov di,5010; mov cx,5; rep stosb; hlt */
#define CODE		0x1100
#define INC_AX		0x1103
#define INC_BX		0x1104
#define AFTER_STORE	0x110e
#define REP		0x1114
static const uint8_t code[] = {
	0xb9, 0xe8, 3, 0x40, 0x43, 0xe2, 0xfc, 0x89, 0xe, 0, 0x50, 0xa3, 2, 0x50,
	0xbf, 0x10, 0x50, 0xb9, 5, 0, 0xf3, 0xaa, 0xf4
};
#define CODE_COUNT	(1 + 3 * 1000 + 2 + 2 + 1)

static void skip_breakpoint(struct vm *vm)
{
	vm->regs.rflags |= 1 << 16;	/* RF */
	vm_regs_set(vm);
}

static void two_breakpoints(struct vm *vm, int total)
{
	uint64_t before = counter_read(total);
	unsigned int hit[2] = { 0 }, off = 0;
	int exit;

	debug_set(vm, INC_AX, INC_BX, 5);
	vm_start(vm, CODE, 0);
	while ((exit = vm_enter(vm)) == KVM_EXIT_DEBUG) {
		int which = vm->regs.rip == INC_BX;
		uint64_t at = 1 + 3 * hit[0];

		if (which)
			at = 1 + 3 * (hit[0] - 1) + 1;
		else
			off += vm->regs.rip != INC_AX;
		hit[which]++;
		off += counter_read(total) - before != at;
		off += (vm->run->debug.arch.dr6 & 15) != 1u << which;
		skip_breakpoint(vm);
	}
	equal(exit, KVM_EXIT_HLT, "guest with two breakpoints ends");
	equal(hit[0], 1000, "the first was hit in each turn");
	equal(hit[1], 1000, "and the second");
	equal(off, 0, "at another count, place or DR6 than theirs");
	equal(counter_read(total) - before, CODE_COUNT, "instructions in all");
}

static void watchpoint(struct vm *vm, int total)
{
	uint64_t before = counter_read(total);

	debug_set(vm, 0x5002, REP, 9 | 0x5 << 16);
	vm_start(vm, CODE, 0);
	equal(vm_enter(vm), KVM_EXIT_DEBUG, "watchpoint");
	equal(vm->regs.rip, AFTER_STORE, "behind the store");
	equal(vm->run->debug.arch.dr6 & 15, 1, "DR6 names it");
	equal(counter_read(total) - before, 1 + 3000 + 2, "at its count");
	equal(vm_enter(vm), KVM_EXIT_DEBUG, "breakpoint on a REP");
	equal(vm->regs.rip, REP, "at the REP");
	equal(vm->regs.rcx, 5, "before its first turn");
	skip_breakpoint(vm);
	equal(vm_enter(vm), KVM_EXIT_HLT, "and not again");
	equal(counter_read(total) - before, CODE_COUNT, "instructions in all");
	debug_set(vm, 0, 0, 0);
}

static int host_watchpoint(volatile uint64_t *address)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT, .size = sizeof(attr), .pinned = 1, .exclude_kernel = 1,
		.bp_type = HW_BREAKPOINT_W, .bp_addr = (uintptr_t)address, .bp_len = 8,
	};
	int fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);

	if (fd < 0)
		give_up("host's watchpoint");
	return fd;
}

/* The guest sets DR0 and DR7 itself while the host watches the same linear address. */
static void own_breakpoints(struct vm *vm)
{
	/* mov eax,5000; mov dr0,eax; mov eax,50403; mov dr7,eax; mov cx,100; L: mov [5000],cx; loop L; hlt */
	static const uint8_t own[] = {
		0x66, 0xb8, 0, 0x50, 0, 0, 0xf, 0x23, 0xc0, 0x66, 0xb8, 3, 4, 5, 0, 0xf, 0x23, 0xf8,
		0xb9, 100, 0, 0x89, 0xe, 0, 0x50, 0xe2, 0xfa, 0xf4
	};
	/* inc word [5100]; iret */
	static const uint8_t db[] = { 0xff, 6, 0, 0x51, 0xcf };
	volatile uint64_t *watched = mmap((void *)0x50000, 4096, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	int fd = host_watchpoint(watched);

	vm_put(vm, 0x1200, own, sizeof(own));
	vm_put(vm, 0x2100, db, sizeof(db));
	vm_put32(vm, 1 * 4, 0x2100);
	for (int i = 0; i < 3; i++) {
		vm_put16(vm, 0x5100, 0);
		*watched = 1;
		vm_start(vm, 0x1200, 0);
		equal(vm_enter(vm), KVM_EXIT_HLT, "guest with a watchpoint of its own ends");
		*watched = 2;
		equal(vm_get16(vm, 0x5100), 100, "it took its 100 #DBs");
	}
	equal(counter_read(fd), 6, "and the host's watchpoint saw only the host's writes");
}

int main(void)
{
	struct vm vm = { 0 };
	int total;

	soft_interrupts(&vm);
	vm_put(&vm, CODE, code, sizeof(code));
	total = counter_open(EVENT_INSTRUCTIONS, COUNT_GUEST, 0);
	two_breakpoints(&vm, total);
	watchpoint(&vm, total);
	own_breakpoints(&vm);
	return tap_end();
}
