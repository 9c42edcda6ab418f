// SPDX-License-Identifier: GPL-2.0
/* An interrupt from KVM's own APIC reaches the guest exactly once (stock QEMU: twice). */
#include <string.h>
#include <sys/ioctl.h>

#include "vm.h"

#define HANDLED		0x5000
#define ROUNDS		200

int main(void)
{
	/* sti; L: dec ecx; jnz L; cli; out 0x80,al */
	static const uint8_t code[] = { 0xfb, 0x66, 0x49, 0x75, 0xfc, 0xfa, 0xe6, 0x80 };
	static const uint8_t handler[] = { 0x66, 0xff, 0x06, 0x00, 0x50, 0xcf };
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x40 };
	struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };
	const uint32_t spurious = 0x1ff, lint0 = 0x10000;
	struct kvm_lapic_state apic;
	struct vm vm;

	vm_create(&vm, 0x10000, VM_IRQCHIP);
	vm_put(&vm, 0x1000, code, sizeof(code));
	vm_put(&vm, 0x2000, handler, sizeof(handler));
	vm_put32(&vm, 0x40 * 4, 0x2000);
	if (ioctl(vm.vcpu, KVM_GET_LAPIC, &apic))
		give_up("KVM_GET_LAPIC");
	memcpy(apic.regs + 0xf0, &spurious, 4);
	memcpy(apic.regs + 0x350, &lint0, 4);
	for (int i = 0; i < ROUNDS; i++) {
		vm_start(&vm, 0x1000, i < 3 ? 1000 : 3000000);
		if (ioctl(vm.vcpu, KVM_SET_LAPIC, &apic) || ioctl(vm.fd, KVM_SIGNAL_MSI, &msi) < 1 ||
		    ioctl(vm.vcpu, KVM_SET_MP_STATE, &runnable))
			give_up("interrupt by message");
		if (vm_enter(&vm) != KVM_EXIT_IO)
			ok(false, "round %d ends at its OUT", i);
	}
	equal(vm_get32(&vm, HANDLED), ROUNDS, "%d interrupts by message, each handled once", ROUNDS);
	return tap_end();
}
