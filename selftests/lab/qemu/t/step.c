// SPDX-License-Identifier: GPL-2.0
/* Every single step counts one, also the steps inside a REP. */
#include <sys/ioctl.h>
#include <unistd.h>

#include "vm.h"

#define TURNS	2000
#define STOP	3000

int main(void)
{
	/* mov ecx,N; L: dec ecx; jnz L; mov cx,5; mov di,3000; rep stosb; nop; hlt */
	static const uint8_t code[] = {
		0x66, 0xb9, 0xd0, 7, 0, 0, 0x66, 0x49, 0x75, 0xfc,
		0xb9, 5, 0, 0xbf, 0, 0x30, 0xf3, 0xaa, 0x90, 0xf4
	};
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP };
	unsigned int steps = 0, odd = 0, in_rep = 0;
	uint64_t before, last;
	struct vm vm;
	int total, fd;

	vm_create(&vm, 0x10000, 0);
	vm_put(&vm, 0x1000, code, sizeof(code));
	total = counter_open(EVENT_INSTRUCTIONS, COUNT_GUEST, 0);
	fd = overflow_open(EVENT_INSTRUCTIONS, STOP);
	vm_start(&vm, 0x1000, 0);
	overflow_arm(fd);
	before = counter_read(total);
	vm_enter(&vm);
	close(fd);
	last = counter_read(total) - before;
	equal(last, STOP, "stops before the steps begin");

	if (ioctl(vm.vcpu, KVM_SET_GUEST_DEBUG, &debug))
		give_up("KVM_SET_GUEST_DEBUG");
	while (vm_enter(&vm) == KVM_EXIT_DEBUG) {
		uint64_t now = counter_read(total) - before;
		bool inside = vm.regs.rip == 0x1010;

		steps++;
		/* A REP counts when it is through, so steps inside it count nothing. */
		in_rep += inside;
		odd += now - last != 1 && !inside;
		last = now;
	}
	equal(odd, 0, "of %u single steps, not counted as one", steps);
	ok(in_rep >= 4, "some of them were inside the REP");
	equal(counter_read(total) - before, 1 + 2 * TURNS + 4, "instructions in all");
	return tap_end();
}
