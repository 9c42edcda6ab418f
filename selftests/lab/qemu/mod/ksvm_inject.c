// SPDX-License-Identifier: GPL-2.0
/* Which intercept takes what, and events injected by VMRUN with their return addresses. */
#include <linux/kernel.h>

#include "ksvm.h"

static void alone(void)
{
	ksvm_fresh(ksvm_rdtscp);
	ksvm_intercept(SVM_EXIT_RDTSC, true);
	ksvm_run(0, NULL);
	ksvm_ends_at("the intercept of RDTSC leaves RDTSCP alone", ksvm_rdtscp_end);
	ksvm_fresh(ksvm_rdtsc);
	ksvm_intercept(SVM_EXIT_RDTSCP, true);
	ksvm_run(0, NULL);
	ksvm_ends_at("the intercept of RDTSCP leaves RDTSC alone", ksvm_rdtsc_end);
	ksvm_fresh(ksvm_ud);
	ksvm_intercept(EXIT_UD, true);
	ksvm_run(0, NULL);
	ksvm_ends("#UD has no next_rip", EXIT_UD, ksvm_ud, 0);
	ksvm_fresh(ksvm_int80);
	ksvm_intercept(EXIT_BP, true);
	ksvm_run(0, NULL);
	ksvm_ends_at("the intercept of #BP leaves INT alone", ksvm_stop);
	ksvm_equal("and INT returns behind itself", ksvm_stack(0), (u64)ksvm_int80_end);
	ksvm_fresh(ksvm_int3);
	ksvm_intercept(SVM_EXIT_SWINT, true);
	ksvm_run(0, NULL);
	ksvm_ends_at("the intercept of INT leaves INT3 alone", ksvm_stop);
	ksvm_equal("and INT3 returns behind itself", ksvm_stack(0), (u64)ksvm_int3_end);
}

static void inject(const char *what, u32 event, const void *rip, const void *next, const void *pushed)
{
	ksvm_fresh(rip);
	ksvm_vmcb->control.event_inj = event;
	ksvm_vmcb->control.next_rip = (u64)next;
	ksvm_run(0, NULL);
	ksvm_ends_at(what, ksvm_stop);
	ksvm_equal("its return address", ksvm_stack(0), (u64)pushed);
	ksvm_equal("nothing left to inject", ksvm_vmcb->control.exit_int_info & SVM_EVTINJ_VALID, 0);
}

static void injected(void)
{
	inject("INT 80 injected", INJECT_SOFT | 0x80, ksvm_int80, ksvm_int80_end, ksvm_int80_end);
	inject("INT 80 injected, next_rip elsewhere", INJECT_SOFT | 0x80, ksvm_ud, ksvm_iret,
	       ksvm_iret);
	inject("#BP injected", INJECT_EXC | 3, ksvm_int3, ksvm_int3_end, ksvm_int3_end);
	inject("#UD injected", INJECT_EXC | 6, ksvm_ud, ksvm_ud_end, ksvm_ud);
	inject("an interrupt injected", SVM_EVTINJ_VALID | 0x30, ksvm_ud, ksvm_ud_end, ksvm_ud);

	ksvm_fresh(ksvm_int3);
	ksvm_gate(3, ksvm_iret);
	ksvm_vmcb->control.event_inj = INJECT_EXC | 3;
	ksvm_vmcb->control.next_rip = (u64)ksvm_int3_end;
	ksvm_run(0, NULL);
	ksvm_ends_at("#BP injected returns", ksvm_int3_end);
}

/* The stack is not there: delivery ends in a #PF that says what was on its way. */
static void aborted(const char *what, const void *rip, u32 event, u32 expected)
{
	ksvm_fresh(rip);
	ksvm_vmcb->save.rsp = 0x1000;
	ksvm_intercept(EXIT_PF, true);
	ksvm_vmcb->control.event_inj = event;
	if (event)
		ksvm_vmcb->control.next_rip = (u64)ksvm_int3_end;
	ksvm_run(0, NULL);
	ksvm_ends(what, EXIT_PF, rip, 0);
	ksvm_equal("what was on its way", ksvm_vmcb->control.exit_int_info, expected);
}

void ksvm_test_inject(void)
{
	alone();
	injected();
	aborted("#PF in INT3", ksvm_int3, 0, INJECT_EXC | 3);
	aborted("#PF in INT 80", ksvm_int80, 0, INJECT_SOFT | 0x80);
	aborted("#PF in an injected #BP", ksvm_int3, INJECT_EXC | 3, INJECT_EXC | 3);
}
