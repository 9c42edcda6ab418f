// SPDX-License-Identifier: GPL-2.0
/*
 * rdrand - do what a protected guest must not: take chance from the CPU
 *
 *   rdrand SECONDS
 *
 * CPUID does not show RDRAND to the guest, but no exit stops it. After SECONDS a
 * number of the CPU's own is printed: primary and twin can't print the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	unsigned long long value = 0;
	unsigned char ok = 0;

	if (argc != 2 || atoi(argv[1]) < 1) {
		fprintf(stderr, "usage: rdrand SECONDS\n");
		return 2;
	}
	sleep(atoi(argv[1]));
	while (!ok)
		asm volatile("rdrand %0; setc %1" : "=r"(value), "=qm"(ok) : : "cc");
	printf("rdrand: %llx\n", value);
	return 0;
}
