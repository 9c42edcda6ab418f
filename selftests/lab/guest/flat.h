/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What guests without a kernel have in common: the shape of a bzImage, an interrupt
 * table, the timer's line and nothing else. The guest has labels idt and idtr.
 */
#define KERNEL		0x100000	/* where the boot loader puts and enters it */
#define VECTOR_TICK	0x20
#define CODE_SELECTOR	0x10

/* Where a label is in memory. */
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

	/* Behind the gates: a tick each @count / 1193182 s, once interrupts are on. */
	.macro	ticks_start count
	lidt	AT(idtr)
	outb_imm 0x20, 0x11
	outb_imm 0x21, VECTOR_TICK
	outb_imm 0x21, 4
	outb_imm 0x21, 1
	outb_imm 0x21, 0xfe
	outb_imm 0x43, 0x34
	outb_imm 0x40, (\count) & 0xff
	outb_imm 0x40, (\count) >> 8
	.endm

	/* The table, for vectors up to @last. */
	.macro	interrupt_table last
	.balign	8
idtr:	.word	8 * (\last + 1) - 1
	.long	AT(idt)
	.balign	8
idt:	.fill	8 * (\last + 1), 1, 0
	.endm

	.text
	.code32
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
