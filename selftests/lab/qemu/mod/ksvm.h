/* SPDX-License-Identifier: GPL-2.0 */
/*
 * VMRUN by hand: a guest that shares the host's page tables runs one piece of
 * code to its first #VMEXIT, with interrupts off, and the VMCB is looked at.
 */
#ifndef KSVM_H
#define KSVM_H

#include <linux/types.h>
#include <asm/svm.h>

/* Exit codes by number, where the name would be longer than the table. */
#define EXIT_VMMCALL	0x81
#define EXIT_DB		0x41
#define EXIT_BP		0x43
#define EXIT_UD		0x46
#define EXIT_PF		0x4e

#define INJECT_SOFT	(SVM_EVTINJ_VALID | SVM_EVTINJ_TYPE_SOFT)
#define INJECT_EXC	(SVM_EVTINJ_VALID | SVM_EVTINJ_TYPE_EXEPT)

#define DR7_FIXED	0x400ul

#define KSVM_NO_NEXT_RIP	0x1234	/* set before each run: seen again where the CPU writes none */

extern struct vmcb *ksvm_vmcb;
extern u64 ksvm_memory[8];	/* for guests to write to */

/* ksvm_code.S */
struct ksvm_insn {
	const char *name;
	u64 exit_code;
	const char *start, *end;
};

extern const struct ksvm_insn ksvm_insns[], ksvm_insns_end[];

#define KSVM_CODE(name)	extern const char ksvm_##name[], ksvm_##name##_end[]
KSVM_CODE(rdtsc);
KSVM_CODE(rdtscp);
KSVM_CODE(int80);
KSVM_CODE(int3);
KSVM_CODE(ud);
KSVM_CODE(iret);
KSVM_CODE(cpuid);
KSVM_CODE(pause);
KSVM_CODE(rep);
KSVM_CODE(loop);
KSVM_CODE(store);
extern const char ksvm_stop[], ksvm_loop1[], ksvm_loop2[], ksvm_stored[];

void ksvm_fresh(const void *rip);
void ksvm_intercept(int code, bool on);
void ksvm_gate(int vector, const void *handler);
u64 ksvm_run(u64 rcx, void *rdi);
u64 ksvm_stack(int slot);

void ksvm_ends(const char *what, u64 code, const void *rip, u64 next_rip);
void ksvm_ends_at(const char *what, const void *vmmcall);
void ksvm_equal(const char *what, u64 got, u64 wanted);
void ksvm_ok(bool good, const char *what);

void ksvm_test_insns(void);
void ksvm_test_inject(void);
void ksvm_test_debug(void);

#endif
