// SPDX-License-Identifier: GPL-2.0
/* Every instruction that can be intercepted: its exit code, RIP, next_rip. */
#include <linux/kernel.h>
#include <asm/cpufeature.h>

#include "ksvm.h"

void ksvm_test_insns(void)
{
	bool nrips = boot_cpu_has(X86_FEATURE_NRIPS);
	const struct ksvm_insn *insn;

	for (insn = ksvm_insns; insn < ksvm_insns_end; insn++) {
		ksvm_fresh(insn->start);
		ksvm_intercept(insn->exit_code, true);
		/* REP OUTSW has to have something to do. */
		ksvm_run(insn->exit_code == SVM_EXIT_IOIO, NULL);
		ksvm_ends(insn->name, insn->exit_code, insn->start,
			  nrips ? (u64)insn->end : KSVM_NO_NEXT_RIP);
	}
}
