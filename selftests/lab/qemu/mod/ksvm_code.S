/* SPDX-License-Identifier: GPL-2.0 */
/* The guests' code: pieces that end in VMMCALL, and a table of the ones with an intercept. */
#include <linux/linkage.h>

/* A piece of code from ksvm_NAME up to the VMMCALL at ksvm_NAME_end. */
.macro code name:req, insn:vararg
	.text
	.globl ksvm_\name, ksvm_\name\()_end
ksvm_\name:
	\insn
ksvm_\name\()_end:
	vmmcall
.endm

/* The same with a struct ksvm_insn about it. */
.macro insn name:req, exit_code:req, insn:vararg
	code insn_\name, \insn
	.section .rodata.str, "aMS", @progbits, 1
1:	.asciz "\name"
	.section .rodata
	.quad 1b, \exit_code, ksvm_insn_\name, ksvm_insn_\name\()_end
.endm

	.section .rodata
	.balign 8
	.globl ksvm_insns
ksvm_insns:
	insn cpuid, 0x72, cpuid
	insn cpuid_long, 0x72, .byte 0x2e, 0x2e, 0x0f, 0xa2
	insn rdtsc, 0x6e, rdtsc
	insn rdtscp, 0x87, rdtscp
	insn rdpmc, 0x6f, rdpmc
	insn hlt, 0x78, hlt
	insn rdmsr, 0x7c, rdmsr
	insn wrmsr, 0x7c, wrmsr
	insn vmmcall, 0x81, vmmcall
	insn invlpg, 0x79, invlpg (%rax)
	insn invlpg_long, 0x79, invlpg 0x12345678(%r8,%r9,4)
	insn invlpga, 0x7a, invlpga %rax,%ecx
	insn wbinvd, 0x89, wbinvd
	insn invd, 0x76, invd
	insn pause, 0x77, pause
	insn monitor, 0x8a, monitor %rax,%ecx,%edx
	insn mwait, 0x8b, mwait
	insn xsetbv, 0x8d, xsetbv
	insn read_cr0, 0x00, mov %cr0,%rdx
	insn read_cr3, 0x03, mov %cr3,%r9
	insn write_cr4, 0x14, mov %rdx,%cr4
	insn read_cr8, 0x08, mov %cr8,%rdx
	insn write_cr8, 0x18, mov %rdx,%cr8
	insn selective_cr0, 0x65, mov %rdx,%cr0
	insn clts, 0x10, clts
	insn lmsw, 0x10, lmsw 0x1000(%rax)
	insn smsw, 0x00, smsw 0x10(%rax)
	insn read_dr0, 0x20, mov %dr0,%rdx
	insn read_dr7, 0x27, mov %dr7,%r10
	insn write_dr3, 0x33, mov %rdx,%dr3
	insn write_dr7, 0x37, mov %r8,%dr7
	insn in, 0x7b, in $0x71,%al
	insn in_dx, 0x7b, in (%dx),%ax
	insn out, 0x7b, out %eax,(%dx)
	insn outsb, 0x7b, outsb
	insn rep_outsw, 0x7b, rep outsw
	insn sgdt, 0x67, sgdt 0x1000(%rax)
	insn sidt, 0x66, sidt (%r12)
	insn lgdt, 0x6b, lgdt 0x10(%rax)
	insn lidt, 0x6a, lidt ksvm_insn_cpuid(%rip)
	insn sldt, 0x68, sldt %edx
	insn str, 0x69, str %rdx
	insn lldt, 0x6c, lldt %dx
	insn ltr, 0x6d, ltr %dx
	insn pushf, 0x70, pushfq
	insn popf, 0x71, popfw
	insn iret, 0x74, iretq
	insn int80, 0x75, int $0x80
	insn int3, 0x43, int3
	insn vmrun, 0x80, vmrun %rax
	insn vmload, 0x82, vmload %rax
	insn vmsave, 0x83, vmsave %rax
	insn stgi, 0x84, stgi
	insn clgi, 0x85, clgi
	insn skinit, 0x86, skinit %eax
	.section .rodata
	.globl ksvm_insns_end
ksvm_insns_end:

	code rdtsc, rdtsc
	code rdtscp, rdtscp
	code int80, int $0x80
	code int3, int3
	code ud, ud2
	code iret, iretq
	code cpuid, cpuid
	code pause, pause
	code rep, rep stosb

	.text
	.globl ksvm_stop, ksvm_loop, ksvm_loop1, ksvm_loop2, ksvm_loop_end
/* A handler that ends the run. */
ksvm_stop:
	vmmcall
/* RCX turns, with two places for breakpoints. */
ksvm_loop:
	nop
ksvm_loop1:
	nop
ksvm_loop2:
	dec %rcx
	jnz ksvm_loop1
ksvm_loop_end:
	vmmcall

/* A store for watchpoints. */
	.globl ksvm_store, ksvm_stored, ksvm_store_end
ksvm_store:
	mov %rdx, (%rdi)
ksvm_stored:
	nop
ksvm_store_end:
	vmmcall
