/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ticks - a guest without a kernel, in the shape of a bzImage: it reads an MSR that
 * is not there, with interrupts on, and counts timer ticks
 *
 * Nearly every exit is such a read, and ends in #GP: nearly every tick falls due at
 * one. Prints TICKS once TICKS of them have come, LOST when they have not come by
 * the end of READS reads; then powers off (HLT with interrupts off).
 */
#define KERNEL		0x100000	/* where the boot loader puts and enters it */
#define TICKS		200
#define READS		400000
#define PIT_COUNT	1193		/* 1000 Hz */
#define ABSENT_MSR	0xc0010000	/* of lockstep-vmm's table */
#define VECTOR_GP	13
#define VECTOR_TICK	0x20
#define CODE_SELECTOR	0x10

#define AT(label)	(KERNEL + (label) - start)

	.macro	outb_imm port, value
	movb	$\value, %al
	movw	$\port, %dx
	outb	%al, %dx
	.endm

	.macro	gate vector, handler
	movl	$AT(\handler), %eax
	movw	%ax, AT(idt) + 8 * \vector
	movw	$CODE_SELECTOR, AT(idt) + 8 * \vector + 2
	movw	$0x8e00, AT(idt) + 8 * \vector + 4
	shrl	$16, %eax
	movw	%ax, AT(idt) + 8 * \vector + 6
	.endm

	.text
	.code32
image:
	/* the header of the x86 boot protocol, version 2.06 */
	.org	0x1f1
	.byte	1			/* setup_sects */
	.org	0x1fe
	.word	0xaa55
	.org	0x202
	.ascii	"HdrS"
	.word	0x0206
	.org	0x211
	.byte	1			/* LOADED_HIGH */
	.org	0x238
	.long	2047			/* cmdline_size */
	.org	0x400

start:
	gate	VECTOR_GP, general_protection
	gate	VECTOR_TICK, tick
	lidt	AT(idtr)
	outb_imm 0x20, 0x11
	outb_imm 0x21, VECTOR_TICK
	outb_imm 0x21, 4
	outb_imm 0x21, 1
	outb_imm 0x21, 0xfe		/* the timer's line alone */
	outb_imm 0x43, 0x34
	outb_imm 0x40, PIT_COUNT & 0xff
	outb_imm 0x40, PIT_COUNT >> 8
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

	.balign	8
idtr:	.word	8 * (VECTOR_TICK + 1) - 1
	.long	AT(idt)
	.balign	8
idt:	.fill	8 * (VECTOR_TICK + 1), 1, 0
