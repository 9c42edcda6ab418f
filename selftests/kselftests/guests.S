/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Guests: flat code for VM_CODE, 16 bits unless said otherwise. ESI is the number
 * of rounds; results go to VM_DATA. Each ends by an OUT to VM_PORT_END.
 */
#define DATA	0x4000
#define MAILBOX	0x3000
#define CODE	0x1000

#define GUEST_BEGIN(name)	.globl guest_##name; guest_##name:
#define GUEST_END(name)		.globl guest_##name##_end; guest_##name##_end:

	.section .rodata
	.code16

/* Clock reads: RDTSC low, high; RDTSCP low, high, aux; 20 bytes a round. */
GUEST_BEGIN(tsc)
	movw	$DATA, %di
1:	rdtsc
	movl	%eax, (%di)
	movl	%edx, 4(%di)
	rdtscp
	movl	%eax, 8(%di)
	movl	%edx, 12(%di)
	movl	%ecx, 16(%di)
	addw	$20, %di
	decl	%esi
	jnz	1b
	outb	%al, $0x10
GUEST_END(tsc)

/*
 * Clock reads in an interrupt shadow (MOV SS, STI), 16 bytes a round. The
 * instruction behind the read runs without the shadow.
 */
GUEST_BEGIN(shadow)
	movw	$DATA, %di
1:	movw	%ss, %ax
	movw	%ax, %ss
	rdtsc
	movl	%eax, (%di)
	movl	%edx, 4(%di)
	sti
	rdtsc
	cli
	movl	%eax, 8(%di)
	movl	%edx, 12(%di)
	addw	$16, %di
	decl	%esi
	jnz	1b
	outb	%al, $0x10
GUEST_END(shadow)

/*
 * Single step over clock reads. The handler of #DB stores the offset from the
 * guest's start at which each trap came: DATA: number of traps, DATA + 4...: offsets.
 */
GUEST_BEGIN(step)
	movw	$(step_trap - guest_step + CODE), 4
	movw	$0, 6
	movl	$0, DATA
	movw	$(DATA + 4), %di
	pushfw
	popw	%ax
	movw	%ax, %bx
	orw	$0x100, %ax
	pushw	%ax
	popfw
	nop
step_1:	rdtsc
step_2:	rdtscp
step_3:	nop
	pushw	%bx
	popfw
	outb	%al, $0x10
step_trap:
	pushw	%bp
	movw	%sp, %bp
	pushl	%eax
	movzwl	2(%bp), %eax
	subl	$CODE, %eax
	movl	%eax, (%di)
	popl	%eax
	addw	$4, %di
	incl	DATA
	popw	%bp
	iretw
GUEST_END(step)
	.globl	guest_step_1, guest_step_2, guest_step_3
	.set	guest_step_1, step_1
	.set	guest_step_2, step_2
	.set	guest_step_3, step_3

/*
 * A breakpoint on the instruction behind a clock read that is reached by IRET with
 * RF set: completing the read clears RF, so the breakpoint hits. DATA: hits.
 */
GUEST_BEGIN(resume_flag)
	movw	$(rf_trap - guest_resume_flag + CODE), 4
	movw	$0, 6
	movl	$0, DATA
	movl	$(rf_behind - guest_resume_flag + CODE), %eax
	movl	%eax, %dr0
	movl	$1, %eax
	movl	%eax, %dr7
	pushfl
	orl	$0x10000, (%esp)
	pushl	$0
	pushl	$(rf_read - guest_resume_flag + CODE)
	iretl
rf_read:
	rdtsc
rf_behind:
	nop
	xorl	%eax, %eax
	movl	%eax, %dr7
	outb	%al, $0x10
rf_trap:
	incl	DATA
	pushl	%eax
	xorl	%eax, %eax
	movl	%eax, %dr7
	popl	%eax
	iretw
GUEST_END(resume_flag)

/*
 * Each round: a place for inputs, a clock read, a byte for serial, the virtual
 * clock, a frame, the wall clock; all that was read is summed into DATA, DATA + 4
 * counts the rounds.
 */
GUEST_BEGIN(devices)
	movl	$0, DATA
	movl	$0, DATA + 4
1:	outb	%al, $0x20
	movl	MAILBOX, %eax
	addl	%eax, DATA
	rdtsc
	addl	%eax, DATA
	movb	DATA + 4, %al
	outb	%al, $0x21
	outb	%al, $0x30
	movl	MAILBOX + 8, %eax
	addl	%eax, DATA
	outb	%al, $0x22
	outb	%al, $0x31
	movl	MAILBOX + 16, %eax
	addl	%eax, DATA
	movl	MAILBOX + 20, %eax
	addl	%eax, DATA
	incl	DATA + 4
	decl	%esi
	jnz	1b
	outb	%al, $0x10
GUEST_END(devices)

/* For ever: DATA counts. */
GUEST_BEGIN(spin)
1:	incl	DATA
	jmp	1b
GUEST_END(spin)

/* For ever, reading the clock: DATA counts; DATA + 4 is set if it ever went back. */
GUEST_BEGIN(tsc_spin)
	xorl	%ebx, %ebx
	xorl	%ecx, %ecx
1:	rdtsc
	cmpl	%ecx, %edx
	ja	2f
	jb	3f
	cmpl	%ebx, %eax
	jae	2f
3:	movl	$1, DATA + 4
2:	movl	%eax, %ebx
	movl	%edx, %ecx
	incl	DATA
	jmp	1b
GUEST_END(tsc_spin)

/* For ever, with exits to user space. */
GUEST_BEGIN(out_spin)
1:	incl	DATA
	outb	%al, $0x20
	jmp	1b
GUEST_END(out_spin)

/* Exits that KVM handles itself, one a round. */
GUEST_BEGIN(cpuid)
1:	xorl	%eax, %eax
	cpuid
	decl	%esi
	jnz	1b
	outb	%al, $0x10
GUEST_END(cpuid)

	.code32
/* User mode: a clock read that may fault. */
GUEST_BEGIN(user)
	rdtsc
	outb	%al, $0x10
GUEST_END(user)

GUEST_BEGIN(user_rdtscp)
	rdtscp
	outb	%al, $0x10
GUEST_END(user_rdtscp)

	.section .note.GNU-stack, "", @progbits
