/* SPDX-License-Identifier: GPL-2.0 */
/*
 * exact - a guest without a kernel, in the shape of a bzImage: it computes, class by
 * class of instructions, and never exits on the way
 *
 * So every timer tick has to be forced upon it. Each class runs until TICKS of them
 * have come. The handler folds where it was raised, and with which registers, into a
 * sum, which is printed behind the class: a tick that lands elsewhere shows. Then the
 * guest powers off (HLT with interrupts off).
 */
#define TICKS		200
#define PIT_COUNT	239		/* about 5000 Hz */
#define VECTOR_SOFT	0x30
#define BUFFER		0x200000
#define BUFFER_LEN	0x8000

#include "flat.inc"

	/* A class: its letter, then a body that is repeated until its ticks have come. */
	.macro	class letter
	movl	$0, AT(ticks)
	movb	$\letter, AT(line)
	sti
1:
	.endm

	.macro	class_end
	cmpl	$TICKS, AT(ticks)
	jb	1b
	cli
	call	print
	.endm

start:
	movl	$0x180000, %esp
	gate	VECTOR_TICK, tick
	gate	VECTOR_SOFT, soft
	ticks_start PIT_COUNT
	xorl	%ebp, %ebp
	cld

	class	'L'			/* a loop */
	movl	$1000, %ecx
2:	addl	%ecx, %ebx
	xorl	%ebx, %edx
	roll	$3, %edx
	decl	%ecx
	jnz	2b
	class_end

	class	'R'			/* REP: positions inside one instruction */
	movl	$BUFFER, %edi
	movl	$BUFFER_LEN, %ecx
	movb	%bl, %al
	rep stosb
	movl	$BUFFER, %esi
	movl	$BUFFER + BUFFER_LEN, %edi
	movl	$BUFFER_LEN / 4, %ecx
	rep movsl
	movl	$BUFFER, %esi
	movl	$BUFFER + BUFFER_LEN, %edi
	movl	$BUFFER_LEN, %ecx
	repe cmpsb
	incl	%ebx
	class_end

	class	'S'			/* interrupt shadows */
	cli
	addl	$1, %ebx
	sti
	addl	$2, %ebx
	movl	%ss, %eax
	movl	%eax, %ss
	addl	$3, %ebx
	pushl	%ss
	popl	%ss
	addl	$5, %ebx
	class_end

	class	'F'			/* flags on the stack: a single step would show */
	pushfl
	popl	%eax
	addl	%eax, %ebx
	pushfl
	popfl
	roll	$1, %ebx
	class_end

	class	'I'			/* software interrupts */
	int	$VECTOR_SOFT
	incl	%edx
	class_end

	class	'C'			/* calls and jumps without a condition */
	call	3f
	jmp	4f
3:	movl	$AT(5f), %eax
	jmp	*%eax
5:	addl	$7, %ebx
	ret
4:	incl	%edx
	class_end

	cli
7:	hlt
	jmp	7b

/* Fold %eax into the sum. */
fold:
	xorl	AT(sum), %eax
	imull	$0x9e3779b1, %eax, %eax
	movl	%eax, AT(sum)
	ret

tick:
	pushal
	movl	32(%esp), %eax		/* EIP */
	call	fold
	movl	40(%esp), %eax		/* EFLAGS */
	call	fold
	movl	%ecx, %eax
	call	fold
	movl	%ebx, %eax
	call	fold
	movl	%edi, %eax
	call	fold
	incl	AT(ticks)
	movb	$0x20, %al
	outb	%al, $0x20
	popal
	iret

soft:
	addl	$11, %ebx
	iret

/* "L 0123abcd\n" on the serial line */
print:
	movl	AT(sum), %ebx
	movl	$AT(line) + 2, %edi
	movl	$8, %ecx
1:	roll	$4, %ebx
	movl	%ebx, %eax
	andl	$15, %eax
	movb	AT(digits)(%eax), %al
	stosb
	decl	%ecx
	jnz	1b
	movl	$AT(line), %esi
	movl	$11, %ecx
	movw	$0x3f8, %dx
	rep outsb
	ret

digits:	.ascii	"0123456789abcdef"
line:	.ascii	"? 00000000\n"
	.balign	8
ticks:	.long	0
sum:	.long	0
	interrupt_table VECTOR_SOFT
