/* SPDX-License-Identifier: GPL-2.0 */
/* The smallest VM: one vCPU, flat code in real mode, a little memory. */
#ifndef VM_H
#define VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/kvm.h>

#define VM_MEM		0x20000
#define VM_CODE		0x1000		/* where code is loaded */
#define VM_STACK	0x0ff0		/* grows down from here */
#define VM_DATA		0x4000		/* guests write what they found from here on */
#define VM_MAILBOX	0x3000		/* the VMM writes here for the guest */
#define VM_TSC_AUX	0x1234		/* what RDTSCP gives in ECX */

/* vm_create() flags */
#define VM_PAUSE_EXITS	(1U << 0)	/* leave PAUSE intercepted */
#define VM_IRQCHIP	(1U << 1)	/* interrupt controllers in the kernel */
#define VM_NO_RDTSCP	(1U << 2)	/* hide RDTSCP from the guest */
#define VM_TWO_VCPUS	(1U << 3)

/* Ports the guests use. */
enum vm_port {
	VM_PORT_END = 0x10,		/* the guest has finished */
	VM_PORT_INPUT = 0x20,		/* a place where the VMM may give an input */
	VM_PORT_SERIAL = 0x21,		/* a byte for the serial stream */
	VM_PORT_NET = 0x22,		/* a frame for the net stream */
	VM_PORT_CLOCK = 0x30,		/* read the virtual clock into the mailbox */
	VM_PORT_WALL = 0x31,		/* read the wall clock into the mailbox */
};

struct vm {
	int kvm, vm, vcpu, vcpu2;
	struct kvm_run *run;
	size_t run_size;
	uint8_t *mem;
};

#define VM_NONE		((struct vm){ .kvm = -1, .vm = -1, .vcpu = -1, .vcpu2 = -1 })

/* Code of a guest (guests.S). */
#define GUEST(name)	extern const uint8_t guest_##name[], guest_##name##_end[]
#define VM_LOAD(vm, name) vm_load(vm, guest_##name, guest_##name##_end - guest_##name)

GUEST(tsc);
GUEST(shadow);
GUEST(step);
GUEST(resume_flag);
GUEST(user);
GUEST(user_rdtscp);
GUEST(devices);
extern const uint8_t guest_step_1[], guest_step_2[], guest_step_3[];
GUEST(cpuid);
GUEST(spin);
GUEST(tsc_spin);
GUEST(out_spin);

bool vm_can(void);
int vm_create(struct vm *vm, unsigned int flags);
void vm_destroy(struct vm *vm);
void vm_load(struct vm *vm, const void *code, size_t len);
void vm_restart(struct vm *vm, uint32_t esi);
void vm_set_esi(struct vm *vm, uint32_t esi);
void vm_set_user_mode(struct vm *vm, bool tsd);
int vm_enter(struct vm *vm);
int vm_io_complete(struct vm *vm);
int vm_run_to_end(struct vm *vm);

/* What a guest, maybe a running one, has written there: read anew at each call. */
static inline uint32_t vm_data32(const struct vm *vm, unsigned int index)
{
	return __atomic_load_n((const uint32_t *)(vm->mem + VM_DATA) + index, __ATOMIC_RELAXED);
}

#endif
