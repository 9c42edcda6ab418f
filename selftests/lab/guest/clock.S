/* SPDX-License-Identifier: GPL-2.0 */
/*
 * clock - a guest without a kernel, in the shape of a bzImage: it reads the TSC READS
 * times, or, if its command line ends with "empty", runs the same loop without; then it
 * powers off (HLT with interrupts off)
 *
 * What the one costs more than the other is the price of the reads (bench/).
 */
#define READS		200000		/* as in bench/clock.py */
#define CMD_LINE_PTR	0x228		/* in boot_params, where %esi points at entry */

#include "flat.inc"

start:
	movl	$READS, %edi
	movl	CMD_LINE_PTR(%esi), %eax
0:	incl	%eax
	cmpb	$0, (%eax)
	jne	0b
	cmpb	$'y', -1(%eax)
	je	2f
1:	rdtsc
	decl	%edi
	jnz	1b
	jmp	3f
2:	decl	%edi
	jnz	2b
3:	hlt
	jmp	3b
