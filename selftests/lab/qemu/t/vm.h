/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For the tests of the lab's QEMU: a tiny KVM guest, counters that count in it,
 * and TAP. Each test is one program with one guest and one thread.
 */
#ifndef QEMU_TEST_VM_H
#define QEMU_TEST_VM_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Retired instructions and retired taken branches, as AMD numbers them. */
#define EVENT_INSTRUCTIONS	0xc0
#define EVENT_BRANCHES		0xc4

/**
 * struct vm - a guest with one vCPU and one piece of memory
 * @kvm: /dev/kvm
 * @fd: the VM
 * @vcpu: the vCPU
 * @mem: guest memory, from guest address 0 on
 * @size: bytes of it
 * @run: what the vCPU shares with us
 * @regs: as of the last vm_enter() or vm_start()
 */
struct vm {
	int kvm, fd, vcpu;
	uint8_t *mem;
	size_t size;
	struct kvm_run *run;
	struct kvm_regs regs;
};

enum { VM_IRQCHIP = 1 };

/* These end the test on an error that is not what it tests. */
void vm_create(struct vm *vm, size_t size, unsigned int flags);
void vm_destroy(struct vm *vm);
void vm_start(struct vm *vm, uint64_t rip, uint64_t rcx);
void vm_regs_get(struct vm *vm);
void vm_regs_set(struct vm *vm);
int vm_enter(struct vm *vm);
int vm_to_halt(struct vm *vm);
void vm_put(struct vm *vm, unsigned int at, const void *code, size_t len);
void vm_put16(struct vm *vm, unsigned int at, uint16_t value);
void vm_put32(struct vm *vm, unsigned int at, uint32_t value);
void vm_put64(struct vm *vm, unsigned int at, uint64_t value);
uint16_t vm_get16(const struct vm *vm, unsigned int at);
uint32_t vm_get32(const struct vm *vm, unsigned int at);
uint64_t vm_get64(const struct vm *vm, unsigned int at);

enum {
	COUNT_GUEST = 1,	/* only the guest */
	COUNT_HOST = 2,		/* only the host */
	COUNT_USER = 4,		/* only CPL 3 */
	COUNT_KERNEL = 8,	/* only CPL 0 */
	COUNT_DISABLED = 16,	/* does not count yet */
};

int counter_open(uint64_t event, unsigned int flags, uint64_t period);
uint64_t counter_read(int fd);
int overflow_open(uint64_t event, uint64_t period);
void overflow_arm(int fd);
bool overflow_hit(void);

bool ok(bool good, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool equal(uint64_t got, uint64_t wanted, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void give_up(const char *what) __attribute__((noreturn));
int tap_end(void);

#endif
