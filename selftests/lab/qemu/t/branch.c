// SPDX-License-Identifier: GPL-2.0
/* Retired taken branches: exact in user space, in a guest, by privilege, at overflow stops. */
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vm.h"

/* The same instructions around the loop each time: no copy of it may be inlined. */
static __attribute__((noipa)) uint64_t user_count(int fd, unsigned int turns, int syscalls)
{
	ioctl(fd, PERF_EVENT_IOC_RESET, 0);
	ioctl(fd, PERF_EVENT_IOC_ENABLE, 0);
	asm volatile("1: dec %0; jnz 1b\n"
		     "xor %%ecx, %%ecx; jnz 2f; jecxz 2f\n"
		     "2: mov $5, %%ecx\n"
		     "3: loop 3b; call 4f; jmp 5f\n"
		     "4: ret\n"
		     "5: lea 6f(%%rip), %%rcx; jmp *%%rcx\n"
		     "6:" : "+r" (turns) :: "rcx", "memory");
	for (int i = 0; i < syscalls; i++) {
		long number = 39;	/* getpid */

		asm volatile("syscall" : "+a" (number) :: "rcx", "r11", "memory");
	}
	ioctl(fd, PERF_EVENT_IOC_DISABLE, 0);
	return counter_read(fd);
}

static void in_user_space(void)
{
	int fd = counter_open(EVENT_BRANCHES, COUNT_USER | COUNT_DISABLED, 0);
	uint64_t base = user_count(fd, 1000, 0), calls;

	equal(user_count(fd, 300001000, 0) - base, 300000000, "300000000 turns more");
	equal(user_count(fd, 1000, 0), base, "the first again");
	calls = user_count(fd, 1000, 101);
	equal(calls - user_count(fd, 1000, 1), 200, "100 system calls and their loop");
	equal(user_count(fd, 1000, 1101) - calls, 2000, "1000 more");
	close(fd);
}

/*
 * mov ecx,N; L: dec ecx; jnz L; call F; lcall 0:G; int 0x20; jmp +0; mov cx,5;
 * M: loop M; jcxz +0; xor ax,ax; jnz +0 (not taken); ud2 (its handler skips it); hlt
 */
static const uint8_t mixed[] = {
	0x66, 0xb9, 0, 0, 0, 0, 0x66, 0x49, 0x75, 0xfc, 0xe8, 0xf3, 0x0f, 0x9a, 0x10, 0x20, 0, 0,
	0xcd, 0x20, 0xeb, 0, 0xb9, 5, 0, 0xe2, 0xfe, 0xe3, 0, 0x31, 0xc0, 0x75, 0, 0xf, 0xb, 0xf4
};
#define MIXED		0x1000
#define MIXED_N		(MIXED + 2)
#define MIXED_LOOP	(MIXED + 6)
/* call, ret, lcall, lret, int, iret, jmp, 4 loops, jcxz, #UD, iret; the loop adds N - 1 */
#define MIXED_FIX	(2 + 2 + 2 + 1 + 4 + 1 + 2)
/* those above but for #UD and INT deliveries, and what does not branch */
#define MIXED_INSNS	22

struct counters {
	int all, user, kernel, insns;
};

struct counts {
	uint64_t all, user, kernel, insns;
};

static struct counts counts_read(const struct counters *c)
{
	return (struct counts){ counter_read(c->all), counter_read(c->user),
				counter_read(c->kernel), counter_read(c->insns) };
}

static struct counts counts_since(const struct counters *c, const struct counts *then)
{
	struct counts now = counts_read(c);

	return (struct counts){ now.all - then->all, now.user - then->user,
				now.kernel - then->kernel, now.insns - then->insns };
}

static const uint32_t lengths[] = { 1000, 100000000, 1000 };

static void in_guest(struct vm *vm, const struct counters *c)
{
	/* push bp; mov bp,sp; add word [bp+2],2; pop bp; iret */
	static const uint8_t ud[] = { 0x55, 0x89, 0xe5, 0x83, 0x46, 2, 2, 0x5d, 0xcf };

	vm_put(vm, MIXED, mixed, sizeof(mixed));
	vm->mem[0x2000] = 0xc3;
	vm->mem[0x2010] = 0xcb;
	vm->mem[0x2020] = 0xcf;
	vm_put(vm, 0x2030, ud, sizeof(ud));
	vm_put32(vm, 0x20 * 4, 0x2020);
	vm_put32(vm, 6 * 4, 0x2030);
	for (int i = 0; i < 3; i++) {
		struct counts then = counts_read(c), n;

		vm_put32(vm, MIXED_N, lengths[i]);
		vm_start(vm, MIXED, 0);
		vm_to_halt(vm);
		n = counts_since(c, &then);
		equal(n.all, lengths[i] - 1 + MIXED_FIX, "guest, loop of %u", lengths[i]);
		equal(n.user, 0, "guest at CPL 3");
		equal(n.kernel, n.all, "guest at CPL 0");
		equal(n.insns, 2ull * lengths[i] + MIXED_INSNS, "its instructions");
	}
}

static void stops(struct vm *vm, const struct counters *c, uint64_t period)
{
	const uint32_t turns = 500000;
	unsigned int n = 0, off = 0, elsewhere = 0;
	int fd = overflow_open(EVENT_BRANCHES, period);
	uint64_t before;

	vm_put32(vm, MIXED_N, turns);
	vm_start(vm, MIXED, 0);
	before = counter_read(c->all);
	for (;;) {
		overflow_arm(fd);
		if (vm_enter(vm) == KVM_EXIT_HLT)
			break;
		if (!overflow_hit())
			continue;
		n++;
		off += counter_read(c->all) - before != n * period;
		elsewhere += vm->regs.rip != MIXED_LOOP;
	}
	close(fd);
	equal(n, (turns - 1 + MIXED_FIX) / period, "stops every %llu branches", (unsigned long long)period);
	equal(off, 0, "not at the exact branch");
	equal(elsewhere, 0, "not at its target");
	equal(counter_read(c->all) - before, turns - 1 + MIXED_FIX, "branches in all");
}

/* An interrupt injected at a stop adds two: its delivery and its IRET. */
static void injected(struct vm *vm, const struct counters *c)
{
	/* mov ecx,500000; sti; nop; L: dec ecx; jnz L; cli; hlt */
	static const uint8_t code[] = {
		0x66, 0xb9, 0x20, 0xa1, 7, 0, 0xfb, 0x90, 0x66, 0x49, 0x75, 0xfc, 0xfa, 0xf4
	};
	unsigned int n = 0, given = 0, off = 0;
	int fd = overflow_open(EVENT_BRANCHES, 997);
	uint64_t before;

	vm_put(vm, 0x1200, code, sizeof(code));
	vm_start(vm, 0x1200, 0);
	before = counter_read(c->all);
	for (;;) {
		struct kvm_interrupt irq = { .irq = 0x20 };

		overflow_arm(fd);
		if (vm_enter(vm) == KVM_EXIT_HLT)
			break;
		if (!overflow_hit())
			continue;
		n++;
		off += counter_read(c->all) - before != n * 997ull;
		if (vm->run->if_flag && vm->run->ready_for_interrupt_injection &&
		    !ioctl(vm->vcpu, KVM_INTERRUPT, &irq))
			given++;
	}
	close(fd);
	equal(off, 0, "%u stops with interrupts injected, off their place", n);
	ok(given > 0, "%u were injected", given);
	equal(counter_read(c->all) - before, 500000 - 1 + 2 * given, "branches with theirs");
}

/* A flat 32-bit guest at CPL 3 whose handlers run at CPL 0. */
static void ring3_setup(struct vm *vm, struct kvm_sregs *s)
{
	/* mov ecx,N; L: dec ecx; jnz L; int 0x30; ud2; hlt (#GP) */
	static const uint8_t user[] = { 0xb9, 0, 0, 0, 0, 0x49, 0x75, 0xfd, 0xcd, 0x30, 0xf, 0xb, 0xf4 };
	/* 0x30: mov ecx,10; L: dec ecx; jnz L; iret */
	static const uint8_t handler[] = { 0xb9, 10, 0, 0, 0, 0x49, 0x75, 0xfd, 0xcf };
	/* #UD: add [esp],2; iret */
	static const uint8_t ud[] = { 0x83, 4, 0x24, 2, 0xcf };
	static const uint64_t gdt[] = {
		0, 0xcf9b000000ffff, 0xcf93000000ffff, 0xcffb000000ffff, 0xcff3000000ffff, 0x00008b003e000067
	};
	struct kvm_segment cs = {
		.limit = ~0u, .selector = 0x1b, .type = 11, .present = 1, .dpl = 3, .db = 1, .s = 1, .g = 1
	};
	struct kvm_segment ss = cs;

	vm_put(vm, 0x1000, user, sizeof(user));
	vm_put(vm, 0x2000, handler, sizeof(handler));
	vm_put(vm, 0x2010, ud, sizeof(ud));
	vm->mem[0x2020] = 0xf4;
	vm_put(vm, 0x3000, gdt, sizeof(gdt));
	vm_put64(vm, 0x3800 + 8 * 0x30, 0xee0000082000);
	vm_put64(vm, 0x3800 + 8 * 6, 0x8e0000082010);
	vm_put64(vm, 0x3800 + 8 * 13, 0x8e0000082020);
	vm_put32(vm, 0x3e04, 0xe000);	/* ESP0 and SS0 of the TSS */
	vm_put32(vm, 0x3e08, 0x10);
	ss.selector = 0x23;
	ss.type = 3;
	if (ioctl(vm->vcpu, KVM_GET_SREGS, s))
		give_up("KVM_GET_SREGS");
	s->cs = cs;
	s->ds = s->es = s->ss = s->fs = s->gs = ss;
	s->tr = (struct kvm_segment){
		.base = 0x3e00, .limit = 0x67, .selector = 0x28, .type = 11, .present = 1
	};
	s->gdt.base = 0x3000;
	s->gdt.limit = 47;
	s->idt.base = 0x3800;
	s->idt.limit = 8 * 0x31 - 1;
	s->cr0 |= 1;
}

static void by_privilege(struct vm *vm, const struct counters *c)
{
	struct kvm_sregs s;

	ring3_setup(vm, &s);
	for (int i = 0; i < 3; i++) {
		struct counts then, n;

		if (ioctl(vm->vcpu, KVM_SET_SREGS, &s))
			give_up("KVM_SET_SREGS");
		vm_put32(vm, 0x1001, lengths[i]);
		vm_start(vm, 0x1000, 0);
		then = counts_read(c);
		vm_to_halt(vm);
		n = counts_since(c, &then);
		equal(vm->regs.rip, 0x2021, "ring 3 guest ends in its #GP handler");
		equal(n.user, lengths[i] - 1 + 1, "CPL 3: the loop and the INT");
		equal(n.kernel, 9 + 1 + 1 + 1 + 1, "CPL 0: a loop, IRET, #UD, IRET, #GP");
		equal(n.all, n.user + n.kernel, "both");
		equal(n.insns, 1 + 2ull * lengths[i] + 1 + 1 + 20 + 1 + 2, "its instructions");
	}
}

int main(void)
{
	struct counters c;
	struct vm vm;

	in_user_space();
	vm_create(&vm, 0x10000, 0);
	c.all = counter_open(EVENT_BRANCHES, COUNT_GUEST, 0);
	c.user = counter_open(EVENT_BRANCHES, COUNT_GUEST | COUNT_USER, 0);
	c.kernel = counter_open(EVENT_BRANCHES, COUNT_GUEST | COUNT_KERNEL, 0);
	c.insns = counter_open(EVENT_INSTRUCTIONS, COUNT_GUEST, 0);
	in_guest(&vm, &c);
	stops(&vm, &c, 9973);
	stops(&vm, &c, 1009);
	stops(&vm, &c, 503);
	injected(&vm, &c);
	by_privilege(&vm, &c);
	return tap_end();
}
