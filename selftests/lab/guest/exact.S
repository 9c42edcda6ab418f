/* SPDX-License-Identifier: GPL-2.0 */
/*
 * exact - a guest without a kernel, in the shape of a bzImage: it computes, class by
 * class of instructions, and never exits on the way
 *
 * So every timer tick has to be forced upon it. Each class runs until as many of them
 * have come as the command line says at its end. The handler folds where it was raised, and with which registers, into a
 * sum, which is printed behind the class: a tick that lands elsewhere shows. Then the
 * guest powers off (HLT with interrupts off).
 */
#define PIT_COUNT	239		/* about 5000 Hz */
#define VECTOR_DIVIDE	0
#define VECTOR_DEBUG	1
#define VECTOR_FAULT	14
#define VECTOR_SOFT	0x30
#define VECTOR_LEAVE	0x31		/* a program's last */
#define DATA_SELECTOR	0x18
#define USER_CODE	0x20
#define USER_DATA	0x28
#define TSS_SELECTOR	0x30
#define MSR_EFER	0xc0000080
#define MSR_STAR	0xc0000081
#define EFLAGS_IF	0x202
#define EFLAGS_TF	0x100
#define EFLAGS_RF	0x10000
#define DIRECTORY	0x1c0000
#define TABLE		0x1c1000	/* of the pages at WINDOW; behind DIRECTORY */
#define STACK		0x180000
#define STACK_USER	0x190000
#define STACK_TSS	0x1a0000	/* for interrupts of programs */
#define BUFFER		0x200000
#define BUFFER_LEN	0x8000
#define WINDOW		0x400000	/* its pages are there or not */
#define PAGE		0x1000
#define CMD_LINE_PTR	0x228		/* in boot_params, where %esi points at entry */

#include "flat.inc"

	/* A class: its letter, then a body that is repeated until its ticks have come. */
	.macro	class letter
	movl	$0, AT(ticks)
	movb	$\letter, AT(line)
	sti
1:
	.endm

	.macro	class_end
	movl	AT(ticks), %eax
	cmpl	AT(wanted), %eax
	jb	1b
	cli
	call	print
	.endm

/* EIP and EFLAGS of the frame behind so many bytes; %eax is lost. */
	.macro	fold_frame bytes
	movl	\bytes(%esp), %eax
	call	fold
	movl	\bytes + 8(%esp), %eax
	call	fold
	.endm

start:
	movl	$STACK, %esp
	call	number
	gate	VECTOR_DIVIDE, divide
	gate	VECTOR_DEBUG, debug
	gate	VECTOR_FAULT, page_fault
	gate	VECTOR_TICK, tick
	gate	VECTOR_SOFT, soft, 3
	gate	VECTOR_LEAVE, leave_user, 3
	call	segments
	call	paging
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

	class	'B'			/* flags that an instruction leaves alone, or undefined */
	addl	$0x7fffffff, %ebx
	btl	$3, %ebx
	pushfl
	popl	%eax
	addl	%eax, %ebx
	subl	%ebx, %eax
	cmpxchg8b AT(pair)
	pushfl
	popl	%eax
	addl	%eax, %ebx
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

	class	'E'			/* faults of an instruction: EFLAGS of the frame have RF */
	xorl	%edx, %edx
	xorl	%ecx, %ecx
	divl	%ecx
	addl	$13, %ebx
	incl	%edx
	class_end

	class	'P'			/* page faults, in the middle of a REP too */
	movl	WINDOW, %eax
	addl	%eax, %ebx
	movl	$BUFFER, %esi
	movl	$WINDOW, %edi
	movl	$2 * PAGE + 64, %ecx
	rep movsb
	movl	$0, %ecx
6:	andl	$~1, TABLE(,%ecx,4)
	movl	%ecx, %eax
	shll	$12, %eax
	invlpg	WINDOW(%eax)
	incl	%ecx
	cmpl	$3, %ecx
	jb	6b
	class_end

	class	'U'			/* a program: system calls by SYSCALL and by INT */
	cli
	pushl	$USER_DATA | 3
	pushl	$STACK_USER
	pushl	$EFLAGS_IF
	pushl	$USER_CODE | 3
	pushl	$AT(program)
	iret
left_user:
	class_end

	class	'T'			/* a guest that steps itself */
	pushfl
	orl	$EFLAGS_TF, (%esp)
	popfl
	addl	$17, %ebx
	roll	$5, %ebx
	pushfl
	andl	$~EFLAGS_TF, (%esp)
	popfl
	movl	$20000, %ecx
8:	addl	%ecx, %ebx
	decl	%ecx
	jnz	8b
	class_end

	class	'D'			/* a guest with breakpoints of its own */
	movl	$AT(9f), %eax
	movl	%eax, %dr0
	movl	$0x401, %eax
	movl	%eax, %dr7
	addl	$19, %ebx
9:	roll	$7, %ebx
	movl	$0x400, %eax
	movl	%eax, %dr7
	movl	$20000, %ecx
8:	addl	%ecx, %ebx
	decl	%ecx
	jnz	8b
	class_end

	class	'W'			/* a loop that waits */
	pause
	incl	%ebx
	class_end

	cli
7:	hlt
	jmp	7b

/* In a program: what is asked for is done without a change of stacks, as SYSCALL has none. */
program:
	movl	$50, %edi
1:	addl	%edi, %ebx
	syscall
	int	$VECTOR_SOFT
	decl	%edi
	jnz	1b
	int	$VECTOR_LEAVE

system_call:
	addl	$23, %ebx
	sysretl

leave_user:
	movl	$DATA_SELECTOR, %eax
	movl	%eax, %ss
	movl	$STACK, %esp
	sti
	jmp	left_user

/* What the command line ends with: a number. */
number:
	movl	CMD_LINE_PTR(%esi), %esi
1:	xorl	%ebx, %ebx
2:	lodsb
	testb	%al, %al
	jz	3f
	subb	$'0', %al
	cmpb	$9, %al
	ja	1b
	movzbl	%al, %eax
	imull	$10, %ebx, %ebx
	addl	%eax, %ebx
	jmp	2b
3:	movl	%ebx, AT(wanted)
	ret

/* Segments for programs too, where interrupts of them go, and SYSCALL. */
segments:
	lgdt	AT(gdtr)
	movl	$AT(tss), %eax
	movw	%ax, AT(gdt) + TSS_SELECTOR + 2
	shrl	$16, %eax
	movb	%al, AT(gdt) + TSS_SELECTOR + 4
	movb	%ah, AT(gdt) + TSS_SELECTOR + 7
	movl	$TSS_SELECTOR, %eax
	ltr	%ax
	movl	$USER_DATA | 3, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$1, %eax		/* SCE */
	wrmsr
	movl	$MSR_STAR, %ecx
	movl	$AT(system_call), %eax
	movl	$USER_CODE << 16 | CODE_SELECTOR, %edx
	wrmsr
	ret

/* 4 MiB as they are, then a window on the buffer. */
paging:
	movl	$DIRECTORY, %edi
	xorl	%eax, %eax
	movl	$2 * PAGE / 4, %ecx
	rep stosl
	movl	$0x87, DIRECTORY	/* present, writable, for programs, large */
	movl	$TABLE | 7, DIRECTORY + 4
	movl	$BUFFER | 6, TABLE	/* not present yet */
	movl	$(BUFFER + PAGE) | 6, TABLE + 4
	movl	$(BUFFER + 2 * PAGE) | 6, TABLE + 8
	movl	%cr4, %eax
	orl	$0x10, %eax		/* PSE */
	movl	%eax, %cr4
	movl	$DIRECTORY, %eax
	movl	%eax, %cr3
	movl	%cr0, %eax
	orl	$0x80000000, %eax
	movl	%eax, %cr0
	ret

/* Fold %eax into the sum. */
fold:
	xorl	AT(sum), %eax
	imull	$0x9e3779b1, %eax, %eax
	movl	%eax, AT(sum)
	ret

tick:
	pushal
	fold_frame 32
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

divide:
	pushl	%eax
	fold_frame 4
	popl	%eax
	addl	$2, (%esp)		/* behind DIV */
	iret

debug:
	pushl	%eax
	fold_frame 4
	movl	%dr6, %eax
	call	fold
	xorl	%eax, %eax
	movl	%eax, %dr6
	orl	$EFLAGS_RF, 12(%esp)	/* go on behind a breakpoint */
	popl	%eax
	iret

page_fault:
	pushl	%eax
	fold_frame 8
	movl	%ecx, %eax
	call	fold
	movl	%cr2, %eax
	subl	$WINDOW, %eax
	shrl	$12, %eax
	orl	$1, TABLE(,%eax,4)
	popl	%eax
	addl	$4, %esp		/* the error code */
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
wanted:	.long	0
sum:	.long	0
	.balign	8
pair:	.quad	0

	/* what a CPU reads by itself when it delivers an interrupt, in a page without code */
	.org	start + PAGE
gdtr:	.word	7 * 8 - 1
	.long	AT(gdt)
	.balign	8
gdt:	.quad	0, 0
	.quad	0x00cf9b000000ffff	/* code, data */
	.quad	0x00cf93000000ffff
	.quad	0x00cffb000000ffff	/* of programs */
	.quad	0x00cff3000000ffff
	.quad	0x0000890000000067
	.balign	8
tss:	.long	0, STACK_TSS, DATA_SELECTOR
	.fill	23, 4, 0
	interrupt_table VECTOR_LEAVE
