// SPDX-License-Identifier: GPL-2.0
/* Stops at exact counts, interrupts injected there: each is delivered once, and counts are kept. */
#include <sys/ioctl.h>
#include <unistd.h>

#include "vm.h"

#define TURNS		500000
#define HANDLED		0x5000

/* Injects where the guest takes interrupts, when asked to. Returns the interrupts injected. */
static unsigned int run(struct vm *vm, int total, uint64_t period, bool inject)
{
	unsigned int injected = 0, stops = 0, off = 0;
	int fd = overflow_open(EVENT_INSTRUCTIONS, period);
	uint64_t before;

	vm_put32(vm, HANDLED, 0);
	vm_start(vm, 0x1000, 0);
	before = counter_read(total);
	for (;;) {
		struct kvm_interrupt irq = { .irq = 0x20 };

		overflow_arm(fd);
		if (vm_enter(vm) == KVM_EXIT_HLT)
			break;
		if (!overflow_hit())
			continue;
		stops++;
		off += counter_read(total) - before != stops * period;
		if (inject && vm->run->if_flag && vm->run->ready_for_interrupt_injection) {
			if (ioctl(vm->vcpu, KVM_INTERRUPT, &irq))
				give_up("KVM_INTERRUPT");
			injected++;
		}
	}
	close(fd);
	equal(off, 0, "%u stops every %llu instructions, off their place", stops,
	      (unsigned long long)period);
	equal(vm_get32(vm, HANDLED), injected, "%u injected interrupts were handled", injected);
	equal(counter_read(total) - before, 4 + 2ull * TURNS + 2 * injected, "instructions in all");
	return injected;
}

int main(void)
{
	/* mov ecx,N; sti; nop; L: dec ecx; jnz L; cli; hlt */
	static uint8_t code[] = {
		0x66, 0xb9, 0x20, 0xa1, 7, 0, 0xfb, 0x90, 0x66, 0x49, 0x75, 0xfc, 0xfa, 0xf4
	};
	/* inc dword [HANDLED]; iret */
	static const uint8_t handler[] = { 0x66, 0xff, 0x06, 0x00, 0x50, 0xcf };
	static const uint64_t periods[] = { 9973, 1009, 503 };
	struct vm vm;
	int total;

	vm_create(&vm, 0x10000, 0);
	vm_put(&vm, 0x1000, code, sizeof(code));
	vm_put(&vm, 0x2000, handler, sizeof(handler));
	vm_put32(&vm, 0x20 * 4, 0x2000);
	total = counter_open(EVENT_INSTRUCTIONS, COUNT_GUEST, 0);
	for (unsigned int i = 0; i < 3; i++) {
		run(&vm, total, periods[i], false);
		ok(run(&vm, total, periods[i], true) > 0, "some were injected");
	}
	return tap_end();
}
