// SPDX-License-Identifier: GPL-2.0
/*
 * What every MSR does, on every host
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <xxhash.h>

#include "msr.h"
#include "state.h"
#include "vmm.h"

enum rule {
	RULE_KVM,	/* KVM keeps it; part of the guest's state */
	RULE_FIXED,	/* reads as @value, writes are ignored */
	RULE_CLOCK,	/* the TSC: logged like RDTSC; a write is #GP */
	RULE_ABSENT,	/* #GP, which the guest is known to expect */
};

struct msr {
	uint32_t first;
	uint32_t count;
	enum rule rule;
	uint64_t value;
	const char *name;
	const char *why;
};

/*
 * What is not here is #GP: identity (PLATFORM_ID, PATCH_LOADER), performance
 * counters, APERF and MPERF, speculation controls (not in CPUID), machine
 * checks, the APIC base, nested virtualisation, KVM's and Hyper-V's own.
 */
static const struct msr msrs[] = {
	{ 0x00000010, 1, RULE_CLOCK, 0, "TSC", "time: from the log" },
	{ 0x0000008b, 1, RULE_FIXED, 0, "PATCH_LEVEL",
	  "Linux reads it on every AMD CPU; no microcode to speak of" },
	{ 0x000000fe, 1, RULE_KVM, 0, "MTRRcap", "KVM's constant" },
	{ 0x00000174, 3, RULE_KVM, 0, "SYSENTER_CS, ESP, EIP", "system calls; only the guest writes them" },
	{ 0x00000200, 16, RULE_KVM, 0, "MTRRphysBase, Mask", "stored by KVM, no effect on AMD" },
	{ 0x00000250, 1, RULE_KVM, 0, "MTRRfix64K", "as above" },
	{ 0x00000258, 2, RULE_KVM, 0, "MTRRfix16K", "as above" },
	{ 0x00000268, 8, RULE_KVM, 0, "MTRRfix4K", "as above" },
	{ 0x00000277, 1, RULE_KVM, 0, "PAT", "only the guest writes it" },
	{ 0x000002ff, 1, RULE_KVM, 0, "MTRRdefType", "as MTRRs" },
	{ 0xc0000080, 5, RULE_KVM, 0, "EFER, STAR, LSTAR, CSTAR, SFMASK", "only the guest writes them" },
	{ 0xc0000100, 4, RULE_KVM, 0, "FS, GS, kernel GS base, TSC_AUX", "only the guest writes them" },
	{ 0xc0010000, 8, RULE_ABSENT, 0, "PERF_CTL, PERF_CTR",
	  "Linux tries them before it believes that there are no counters" },
	{ 0xc0010010, 1, RULE_FIXED, 0, "SYSCFG", "Linux looks for MtrrFixDramModEn and memory encryption" },
	{ 0xc0010015, 1, RULE_FIXED, 1U << 24, "HWCR", "TscFreqSel: the TSC counts at one rate" },
	{ 0xc001001f, 1, RULE_FIXED, 0, "NB_CFG", "Linux looks for extended configuration space" },
	{ 0xc0011020, 1, RULE_ABSENT, 0, "LS_CFG",
	  "Linux would turn store bypass off with it, on some hosts with effect" },
	{ 0xc0011029, 1, RULE_FIXED, 2, "DE_CFG", "LFENCE is serialising, as Linux wants it" },
};

#define N_MSRS		(sizeof(msrs) / sizeof(msrs[0]))
#define MSRS_OF_STATE	64

/* As firmware leaves them: MTRRs on, default type write-back. */
#define MTRR_DEF_TYPE	0x2ff
#define MTRR_ON_WB	0x806

static const struct msr *find(uint32_t index)
{
	for (unsigned int i = 0; i < N_MSRS; i++)
		if (index - msrs[i].first < msrs[i].count)
			return &msrs[i];
	return NULL;
}

int vmm_msr_filter(struct vmm *vmm)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR,
		.args = { KVM_MSR_EXIT_REASON_FILTER | KVM_MSR_EXIT_REASON_UNKNOWN |
			  KVM_MSR_EXIT_REASON_INVAL },
	};
	struct kvm_msr_filter filter = { .flags = KVM_MSR_FILTER_DEFAULT_DENY };
	/* Ranges are short: one word of ones covers any. */
	uint8_t ones[8];
	unsigned int n = 0;

	memset(ones, 0xff, sizeof(ones));
	for (unsigned int i = 0; i < N_MSRS; i++) {
		if (msrs[i].rule != RULE_KVM)
			continue;
		if (n == KVM_MSR_FILTER_MAX_RANGES || msrs[i].count > 8 * sizeof(ones))
			return -E2BIG;
		filter.ranges[n++] = (struct kvm_msr_filter_range){
			.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
			.base = msrs[i].first,
			.nmsrs = msrs[i].count,
			.bitmap = ones,
		};
	}
	if (ioctl(vmm->vm_fd, KVM_ENABLE_CAP, &cap) ||
	    ioctl(vmm->vm_fd, KVM_X86_SET_MSR_FILTER, &filter)) {
		int err = -errno;

		vmm_say(vmm, "KVM can't filter MSRs: %s (Linux 5.10 or newer is needed)",
			strerror(-err));
		return err;
	}
	return 0;
}

uint64_t vmm_msr_digest(void)
{
	struct vmm_state state;
	uint64_t digest;

	vmm_state_init(&state);
	for (unsigned int i = 0; i < N_MSRS; i++) {
		vmm_state_put_u32(&state, msrs[i].first);
		vmm_state_put_u32(&state, msrs[i].count);
		vmm_state_put_u32(&state, msrs[i].rule);
		vmm_state_put_u64(&state, msrs[i].value);
	}
	digest = vmm_state_error(&state) ? 0 : XXH64(state.data, state.len, 0);
	vmm_state_exit(&state);
	return digest;
}

/* Say so once for each: a driver may try an MSR for ever. */
static void note_unknown(struct vmm *vmm, uint32_t index, bool write)
{
	vmm->counters.unknown_msrs++;
	for (unsigned int i = 0; i < vmm->n_unknown_msrs; i++)
		if (vmm->unknown_msrs[i] == index)
			return;
	if (vmm->n_unknown_msrs == VMM_UNKNOWN_MSRS)
		return;
	vmm->unknown_msrs[vmm->n_unknown_msrs++] = index;
	vmm_say(vmm, "the guest %s MSR %x, which this machine does not have: #GP",
		write ? "writes" : "reads", index);
}

void vmm_msr_exit(struct vmm *vmm, bool write)
{
	struct kvm_run *run = vmm->run;
	const struct msr *msr = find(run->msr.index);

	run->msr.error = 0;
	if (msr && msr->rule == RULE_FIXED) {
		if (!write)
			run->msr.data = msr->value;
		return;
	}
	if (msr && msr->rule == RULE_CLOCK && !write) {
		run->msr.data = vmm_clock_tsc(vmm);
		return;
	}
	if (!msr || msr->rule != RULE_ABSENT)
		note_unknown(vmm, run->msr.index, write);
	run->msr.error = 1;
}

int vmm_msr_init(struct vmm *vmm)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} set = {
		.head = { .nmsrs = 1 },
		.entry = { .index = MTRR_DEF_TYPE, .data = MTRR_ON_WB },
	};

	if (ioctl(vmm->vcpu_fd, KVM_SET_MSRS, &set) != 1) {
		vmm_say(vmm, "KVM refuses the memory type of the guest");
		return -EIO;
	}
	return 0;
}

int vmm_msr_save(struct vmm *vmm, struct vmm_state *state)
{
	struct kvm_msrs *get;
	unsigned int n = 0;

	get = calloc(1, sizeof(*get) + MSRS_OF_STATE * sizeof(get->entries[0]));
	if (!get)
		return -ENOMEM;
	for (unsigned int i = 0; i < N_MSRS; i++)
		for (uint32_t j = 0; msrs[i].rule == RULE_KVM && j < msrs[i].count; j++)
			if (n < MSRS_OF_STATE)
				get->entries[n++].index = msrs[i].first + j;
	get->nmsrs = n;
	if (ioctl(vmm->vcpu_fd, KVM_GET_MSRS, get) != (int)n) {
		free(get);
		return -EIO;
	}
	for (unsigned int i = 0; i < n; i++) {
		vmm_state_put_u32(state, get->entries[i].index);
		vmm_state_put_u64(state, get->entries[i].data);
	}
	free(get);
	return vmm_state_error(state);
}
