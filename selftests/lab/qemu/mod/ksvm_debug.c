// SPDX-License-Identifier: GPL-2.0
/* DR6, DR7 and RF of the VMCB: breakpoints for the guest alone, each hit once. */
#include <linux/kernel.h>
#include <linux/percpu.h>
#include <asm/processor.h>
#include <asm/debugreg.h>
#include <asm/processor-flags.h>

#include "ksvm.h"

/* DR0 and DR1 are in the loop, DR2 watches memory, DR3 is on the REP. */
#define L0	0x1
#define G0	0x2
#define L1	0x4
#define L2	0x10
#define L3	0x40
#define WATCH2	(0x9ul << 24)	/* DR2: writes of 8 bytes... of which 2 are enough */

static void loop(unsigned long dr7)
{
	ksvm_fresh(ksvm_loop);
	ksvm_intercept(EXIT_DB, true);
	ksvm_vmcb->save.dr7 = DR7_FIXED | dr7;
}

static void resume(void)
{
	ksvm_vmcb->save.rflags |= X86_EFLAGS_RF;
	ksvm_run(3, NULL);
}

static void breakpoints(void)
{
	loop(0);
	ksvm_run(3, NULL);
	ksvm_ends_at("no breakpoint without DR7", ksvm_loop_end);
	loop(L0);
	ksvm_run(3, NULL);
	ksvm_ends("a breakpoint", EXIT_DB, ksvm_loop1, 0);
	ksvm_equal("DR6 names it", ksvm_vmcb->save.dr6, DR6_RESERVED | 1);
	resume();
	ksvm_ends("again in the next turn", EXIT_DB, ksvm_loop1, 0);
	ksvm_equal("RF is gone", ksvm_vmcb->save.rflags & X86_EFLAGS_RF, 0);

	loop(G0);
	ksvm_run(3, NULL);
	ksvm_ends("a global breakpoint", EXIT_DB, ksvm_loop1, 0);
	ksvm_vmcb->save.dr7 = DR7_FIXED | L1;
	ksvm_vmcb->save.dr6 = DR6_RESERVED;
	resume();
	ksvm_ends("one on the next instruction", EXIT_DB, ksvm_loop2, 0);
	ksvm_equal("DR6 names that", ksvm_vmcb->save.dr6, DR6_RESERVED | 2);
	ksvm_vmcb->save.dr7 = DR7_FIXED;
	resume();
	ksvm_ends_at("none any more", ksvm_loop_end);
}

static void many_breakpoints(void)
{
	unsigned int first = 0, second = 0;
	u64 rcx = 1000;

	loop(L0 | L1);
	for (;;) {
		rcx = ksvm_run(rcx, NULL);
		if (ksvm_vmcb->control.exit_code != EXIT_DB)
			break;
		if (ksvm_vmcb->save.rip == (u64)ksvm_loop2)
			second++;
		else
			first++;
		ksvm_vmcb->save.rflags |= X86_EFLAGS_RF;
	}
	ksvm_equal("1000 turns, 1000 hits", first, 1000);
	ksvm_equal("and of the other", second, 1000);
}

static void own(void)
{
	ksvm_fresh(ksvm_loop);
	ksvm_vmcb->save.dr7 = DR7_FIXED | L0;
	ksvm_run(3, NULL);
	ksvm_ends_at("the guest's own #DB", ksvm_stop);
	ksvm_equal("its return address", ksvm_stack(0), (u64)ksvm_loop1);
	ksvm_equal("its DR6", ksvm_vmcb->save.dr6, DR6_RESERVED | 1);
	ksvm_equal("its DR7", ksvm_vmcb->save.dr7, DR7_FIXED | L0);
}

static void watchpoints(void)
{
	ksvm_fresh(ksvm_store);
	ksvm_intercept(EXIT_DB, true);
	ksvm_vmcb->save.dr7 = DR7_FIXED | L2 | WATCH2;
	ksvm_run(0, ksvm_memory);
	ksvm_ends("a watchpoint", EXIT_DB, ksvm_stored, 0);
	ksvm_equal("DR6 names it", ksvm_vmcb->save.dr6, DR6_RESERVED | 4);
	ksvm_fresh(ksvm_store);
	ksvm_intercept(EXIT_DB, true);
	ksvm_vmcb->save.dr7 = DR7_FIXED | L2 | WATCH2;
	ksvm_run(0, ksvm_memory + 1);
	ksvm_ends_at("a store beside it", ksvm_store_end);
}

static void on_rep(void)
{
	ksvm_fresh(ksvm_rep);
	ksvm_intercept(EXIT_DB, true);
	ksvm_vmcb->save.dr7 = DR7_FIXED | L3;
	ksvm_run(5, ksvm_memory);
	ksvm_ends("a breakpoint on a REP", EXIT_DB, ksvm_rep, 0);
	ksvm_vmcb->save.rflags |= X86_EFLAGS_RF;
	ksvm_run(5, ksvm_memory);
	ksvm_ends_at("hits once a REP", ksvm_rep_end);
}

static void host_and_guest(void)
{
	set_debugreg(DR7_FIXED | G0, 7);
	loop(0);
	ksvm_run(3, NULL);
	ksvm_ends_at("the host's DR7 is not the guest's", ksvm_loop_end);
	set_debugreg(DR7_FIXED, 7);
	ksvm_fresh(ksvm_stored);
	ksvm_intercept(EXIT_DB, true);
	ksvm_vmcb->save.dr7 = DR7_FIXED | L2 | WATCH2;
	ksvm_run(0, NULL);
	WRITE_ONCE(ksvm_memory[0], ksvm_memory[0] + 1);
	ksvm_ends_at("the guest's DR7 is not the host's", ksvm_store_end);
}

static void resume_flag(void)
{
	ksvm_fresh(ksvm_int80);
	ksvm_vmcb->save.rflags |= X86_EFLAGS_RF;
	ksvm_run(0, NULL);
	ksvm_ends_at("INT with RF", ksvm_stop);
	ksvm_equal("pushes flags without it", ksvm_stack(2), X86_EFLAGS_FIXED);
	ksvm_fresh(ksvm_ud);
	ksvm_intercept(EXIT_UD, true);
	ksvm_vmcb->save.rflags |= X86_EFLAGS_RF;
	ksvm_run(0, NULL);
	ksvm_ends("#UD with RF", EXIT_UD, ksvm_ud, 0);
	ksvm_equal("keeps it", ksvm_vmcb->save.rflags & X86_EFLAGS_RF, X86_EFLAGS_RF);
	ksvm_fresh(ksvm_cpuid);
	ksvm_intercept(SVM_EXIT_CPUID, true);
	ksvm_vmcb->save.rflags |= X86_EFLAGS_RF;
	ksvm_run(0, NULL);
	ksvm_equal("so does an intercept", ksvm_vmcb->save.rflags & X86_EFLAGS_RF, X86_EFLAGS_RF);
	ksvm_fresh(ksvm_pause);
	ksvm_vmcb->save.rflags |= X86_EFLAGS_RF;
	ksvm_run(0, NULL);
	ksvm_ends_at("PAUSE with RF", ksvm_pause_end);
	ksvm_equal("drops it", ksvm_vmcb->save.rflags & X86_EFLAGS_RF, 0);
}

void ksvm_test_debug(void)
{
	set_debugreg((ulong)ksvm_loop1, 0);
	set_debugreg((ulong)ksvm_loop2, 1);
	set_debugreg((ulong)ksvm_memory, 2);
	set_debugreg((ulong)ksvm_rep, 3);
	breakpoints();
	many_breakpoints();
	own();
	watchpoints();
	on_rep();
	host_and_guest();
	resume_flag();
	loop(1ul << 32);
	ksvm_run(3, NULL);
	ksvm_equal("VMRUN refuses a DR7 with high bits", ksvm_vmcb->control.exit_code, (u32)SVM_EXIT_ERR);
}
