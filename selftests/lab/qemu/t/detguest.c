// SPDX-License-Identifier: GPL-2.0
/*
 * The 64-bit guest of det.c, freestanding, linked at DET_TEXT: arithmetic,
 * memory, REP strings, calls, #DE, #UD, #PF, INT3, CPUID, port output.
 * Starts at its first byte; the addresses of its handlers follow at byte 8.
 */
#include <stdint.h>

#include "detguest.h"

asm(".section .text.start, \"ax\"\n"
	".globl _start\n"
	"_start: jmp begin\n"
	".balign 8\n"
	".quad de, bp, ud, pf\n"
	"begin: call guest_main\n"
	"1: hlt; jmp 1b\n"
	"de: addq $2, (%rsp); incq " DET_STR(DET_COUNTS) "; iretq\n"
	"ud: addq $2, (%rsp); incq " DET_STR(DET_COUNTS) "+8; iretq\n"
	"bp: incq " DET_STR(DET_COUNTS) "+16; iretq\n"
	/* #PF: set present and writable in the entry of the last table */
	"pf: push %rax; mov %cr2, %rax; shr $12, %rax; and $511, %eax\n"
	"orq $3, " DET_STR(DET_PT) "(, %rax, 8); incq " DET_STR(DET_COUNTS) "+24\n"
	"pop %rax; add $8, %rsp; iretq\n"
	".text\n");

static uint64_t rotate(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

static __attribute__((noinline)) uint64_t fibonacci(unsigned int n)
{
	return n < 2 ? (uint64_t)n : fibonacci(n - 1) + fibonacci(n - 2);
}

static uint64_t arithmetic(uint64_t h)
{
	volatile uint8_t *buf = (void *)DET_DATA;

	for (int i = 0; i < 3000; i++) {
		h = rotate(h * 0x9e3779b97f4a7c15ul + i, 13);
		buf[h & 0xffff] ^= h >> 7;
	}
	return h;
}

static uint64_t strings(uint64_t h)
{
	void *to = (void *)(DET_DATA + 0x20000), *from = (void *)(DET_DATA + (h >> 20 & 0x7fff));
	uint64_t count = (h & 1023) + 1;
	uint8_t equal;

	asm volatile("rep movsb" : "+c" (count), "+S" (from), "+D" (to) :: "memory");
	count = 512;
	to = (void *)(DET_DATA + 0x30000);
	asm volatile("rep stosq" : "+c" (count), "+D" (to) : "a" (h) : "memory");
	count = 4096;
	to = (void *)DET_DATA;
	asm volatile("repne scasb; sete %0"
		     : "=r" (equal), "+c" (count), "+D" (to) : "a" ((uint8_t)h) : "memory");
	return h ^ count;
}

static void faults(uint64_t h)
{
	uint64_t *table = (void *)DET_PT;
	uint64_t cr3;

	asm volatile("xor %%ecx, %%ecx; div %%ecx" ::: "rax", "rdx", "rcx");
	asm volatile("ud2");
	asm volatile("int3");
	for (int p = 0; p < 16; p++)
		*(volatile uint64_t *)(DET_PAGED + (((h >> p) & 511) << 12)) += h;
	for (int i = 0; i < 512; i++)
		table[i] &= ~1ul;
	asm volatile("mov %%cr3, %0; mov %0, %%cr3" : "=r" (cr3) :: "memory");
}

void guest_main(void);
void guest_main(void)
{
	uint64_t h = 0x123456789;

	for (int round = 0; round < 40; round++) {
		uint32_t a = 0, b, c = 0, d;

		h = strings(arithmetic(h));
		h += fibonacci(9 + (h & 3));
		faults(h);
		asm volatile("cpuid" : "+a" (a), "=b" (b), "+c" (c), "=d" (d));
		h ^= b;
		if ((round & 7) == 7)
			asm volatile("outb %%al, $0x80" :: "a" ((uint8_t)h));
	}
	*(volatile uint64_t *)(DET_COUNTS + 32) = h;
}
