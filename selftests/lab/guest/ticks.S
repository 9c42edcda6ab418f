/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ticks - a guest without a kernel, in the shape of a bzImage: it reads an MSR that
 * is not there, with interrupts on, and counts timer ticks
 *
 * Nearly every exit is such a read, and ends in #GP: nearly every tick falls due at
 * one. Prints TICKS once TICKS of them have come, LOST when they have not come by
 * the end of READS reads; then powers off (HLT with interrupts off).
 */
#define TICKS		200
#define READS		400000
#define PIT_COUNT	1193		/* 1000 Hz */
#define ABSENT_MSR	0xc0010000	/* of lockstep-vmm's table */
#define VECTOR_GP	13

#include "flat.inc"

start:
	gate	VECTOR_GP, general_protection
	gate	VECTOR_TICK, tick
	ticks_start PIT_COUNT
	xorl	%ebx, %ebx		/* ticks */
	movl	$READS, %edi
	sti
1:	movl	$ABSENT_MSR, %ecx
	rdmsr
	cmpl	$TICKS, %ebx
	jae	2f
	decl	%edi
	jnz	1b
2:	cli
	movl	$AT(lost), %esi
	cmpl	$TICKS, %ebx
	jb	3f
	movl	$AT(came), %esi
3:	movw	$0x3f8, %dx
4:	lodsb
	testb	%al, %al
	jz	5f
	outb	%al, %dx
	jmp	4b
5:	hlt
	jmp	5b

general_protection:
	addl	$4, %esp		/* the error code */
	addl	$2, (%esp)		/* behind RDMSR */
	iret

tick:
	pushl	%eax
	incl	%ebx
	movb	$0x20, %al
	outb	%al, $0x20
	popl	%eax
	iret

came:	.asciz	"TICKS\n"
lost:	.asciz	"LOST\n"

	interrupt_table VECTOR_TICK
