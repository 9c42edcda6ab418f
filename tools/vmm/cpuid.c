// SPDX-License-Identifier: GPL-2.0
/*
 * What CPUID shows to every guest, on every host
 *
 * The baseline is x86-64-v2 with AES and the supervisor protections that every
 * AMD CPU with SVM and NRIPS worth running this on has.  Everything else is
 * hidden, for one of these reasons:
 *
 *   not deterministic   RDRAND, RDSEED; TSX; XSAVE and AVX (XGETBV and
 *                       XSTATE_BV show which parts are in use, and CPUs differ
 *                       in when they forget); MONITOR, MWAIT, WAITPKG; the PMU,
 *                       IBS, MPERF and APERF, RDPRU; RDPID (no exit to log)
 *   no such hardware    APIC, x2APIC, TSC deadline; MCE and MCA; ACPI thermal
 *                       control; topology (one vCPU)
 *   not served          nested virtualisation; KVM's paravirtual leaves
 *                       (kvmclock reads the host's clock from memory); SMM
 *   hosts differ        IBRS, STIBP, SSBD and other speculation controls: the
 *                       guest falls back to what works without them; PCID,
 *                       INVPCID, PREFETCHW, UMIP, LA57, SHA, BMI, MOVBE, CLFLUSHOPT, ...
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <xxhash.h>

#include "cpuid.h"
#include "vmm.h"

enum reg { EAX, EBX, ECX, EDX };

struct bit {
	uint32_t leaf;
	uint8_t reg;
	uint8_t bit;
	const char *name;
	const char *why;
};

/* Every feature bit that is shown; all of them have to be there on the host. */
static const struct bit bits[] = {
	{ 1, EDX, 0, "fpu", "x86-64 baseline" },
	{ 1, EDX, 2, "de", "x86-64 baseline: I/O breakpoints of a debugger in the guest" },
	{ 1, EDX, 3, "pse", "x86-64 baseline" },
	{ 1, EDX, 4, "tsc", "x86-64 baseline; intercepted and logged" },
	{ 1, EDX, 5, "msr", "x86-64 baseline; filtered, see msr.c" },
	{ 1, EDX, 6, "pae", "x86-64 baseline" },
	{ 1, EDX, 8, "cx8", "x86-64 baseline" },
	{ 1, EDX, 11, "sep", "system calls of 32-bit programs" },
	{ 1, EDX, 12, "mtrr", "Linux sets up PAT only beside MTRRs" },
	{ 1, EDX, 13, "pge", "x86-64 baseline" },
	{ 1, EDX, 15, "cmov", "x86-64 baseline" },
	{ 1, EDX, 16, "pat", "x86-64 baseline" },
	{ 1, EDX, 17, "pse36", "x86-64 baseline" },
	{ 1, EDX, 19, "clflush", "x86-64 baseline" },
	{ 1, EDX, 23, "mmx", "x86-64 baseline" },
	{ 1, EDX, 24, "fxsr", "x86-64 baseline" },
	{ 1, EDX, 25, "sse", "x86-64 baseline" },
	{ 1, EDX, 26, "sse2", "x86-64 baseline" },
	{ 1, ECX, 0, "sse3", "x86-64-v2" },
	{ 1, ECX, 1, "pclmulqdq", "AES-GCM in TLS" },
	{ 1, ECX, 9, "ssse3", "x86-64-v2" },
	{ 1, ECX, 13, "cx16", "x86-64-v2" },
	{ 1, ECX, 19, "sse4_1", "x86-64-v2" },
	{ 1, ECX, 20, "sse4_2", "x86-64-v2" },
	{ 1, ECX, 23, "popcnt", "x86-64-v2" },
	{ 1, ECX, 25, "aes", "TLS and disk encryption" },
	{ 7, EBX, 0, "fsgsbase", "cheaper system calls; registers that are part of the state" },
	{ 7, EBX, 7, "smep", "protects the guest's kernel" },
	{ 7, EBX, 9, "erms", "string moves of the kernel: deterministic, faster" },
	{ 7, EBX, 20, "smap", "protects the guest's kernel" },
	{ 0x80000001, ECX, 0, "lahf_lm", "x86-64-v2" },
	{ 0x80000001, EDX, 11, "syscall", "x86-64 baseline" },
	{ 0x80000001, EDX, 20, "nx", "x86-64 baseline" },
	{ 0x80000001, EDX, 26, "pdpe1gb", "the kernel's direct map" },
	{ 0x80000001, EDX, 27, "rdtscp", "the vDSO's clock; intercepted and logged" },
	{ 0x80000001, EDX, 29, "lm", "x86-64 baseline" },
};

/* Shown although no host says so: they are this machine's own. */
#define ECX1_HYPERVISOR		(1U << 31)	/* true; no leaves say which one */
#define EDX7_INVARIANT_TSC	(1U << 8)	/* the virtual clock never changes its rate */

/*
 * Zen 2 by its signature, so that the guest's kernel picks the speculation
 * mitigations of the CPUs this is meant for.  Physical addresses have 40 bits:
 * no host has fewer.
 */
#define SIGNATURE	0x00830f10	/* family 17h, model 31h */
#define CLFLUSH_LINE	(8U << 8)	/* 64 bytes */
#define ONE_CPU		(1U << 16)
#define ADDRESS_BITS	(48U << 8 | 40U)
#define MIRRORED_EDX	0x0183f7ff
#define BRAND		"lockstep virtual CPU"

/* Leaves of fixed values; feature bits are added to them. */
static const struct kvm_cpuid_entry2 leaves_fixed[] = {
	/* "AuthenticAMD", and no basic leaf above 7 */
	{ .function = 0, .eax = 7, .ebx = 0x68747541, .ecx = 0x444d4163, .edx = 0x69746e65 },
	{ .function = 1, .eax = SIGNATURE, .ebx = CLFLUSH_LINE | ONE_CPU, .ecx = ECX1_HYPERVISOR },
	{ .function = 7, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX },
	{ .function = 0x80000000, .eax = 0x80000008,
	  .ebx = 0x68747541, .ecx = 0x444d4163, .edx = 0x69746e65 },
	{ .function = 0x80000001, .eax = SIGNATURE },
	{ .function = 0x80000002 },
	{ .function = 0x80000003 },
	{ .function = 0x80000004 },
	/* Caches and TLBs of Zen 2: Linux reads sizes from here, for messages and for copying. */
	{ .function = 0x80000005, .eax = 0xff40ff40, .ebx = 0xff40ff40,
	  .ecx = 0x20080140, .edx = 0x20080140 },
	{ .function = 0x80000006, .eax = 0x48006400, .ebx = 0x68006400,
	  .ecx = 0x02006140, .edx = 0x00809140 },
	{ .function = 0x80000007, .edx = EDX7_INVARIANT_TSC },
	{ .function = 0x80000008, .eax = ADDRESS_BITS },
};

#define N_LEAVES	(sizeof(leaves_fixed) / sizeof(leaves_fixed[0]))
#define N_BITS		(sizeof(bits) / sizeof(bits[0]))

_Static_assert(N_LEAVES <= VMM_CPUID_LEAVES, "room for the table");

static uint32_t *reg_of(struct kvm_cpuid_entry2 *leaf, uint8_t reg)
{
	switch (reg) {
	case EAX:
		return &leaf->eax;
	case EBX:
		return &leaf->ebx;
	case ECX:
		return &leaf->ecx;
	default:
		return &leaf->edx;
	}
}

static struct kvm_cpuid_entry2 *find(struct kvm_cpuid_entry2 *leaves, unsigned int n,
				     uint32_t function)
{
	for (unsigned int i = 0; i < n; i++)
		if (leaves[i].function == function && !leaves[i].index)
			return &leaves[i];
	return NULL;
}

unsigned int vmm_cpuid_table(struct kvm_cpuid_entry2 *leaves)
{
	char brand[48] = BRAND;

	memcpy(leaves, leaves_fixed, sizeof(leaves_fixed));
	for (unsigned int i = 0; i < N_BITS; i++)
		*reg_of(find(leaves, N_LEAVES, bits[i].leaf), bits[i].reg) |= 1U << bits[i].bit;
	/* AMD repeats these bits of leaf 1 in the extended leaf. */
	find(leaves, N_LEAVES, 0x80000001)->edx |= find(leaves, N_LEAVES, 1)->edx & MIRRORED_EDX;
	for (uint32_t i = 0; i < 3; i++)
		memcpy(&find(leaves, N_LEAVES, 0x80000002 + i)->eax, brand + 16 * i, 16);
	return N_LEAVES;
}

uint64_t vmm_cpuid_digest(void)
{
	struct kvm_cpuid_entry2 leaves[VMM_CPUID_LEAVES];
	unsigned int n;

	memset(leaves, 0, sizeof(leaves));
	n = vmm_cpuid_table(leaves);
	return XXH64(leaves, n * sizeof(leaves[0]), 0);
}

/* What this host's KVM can show. The caller frees it. */
static struct kvm_cpuid2 *supported(struct vmm *vmm)
{
	struct kvm_cpuid2 *cpuid;

	for (uint32_t room = 64; room <= 1024; room *= 2) {
		cpuid = calloc(1, sizeof(*cpuid) + room * sizeof(cpuid->entries[0]));
		if (!cpuid)
			return NULL;
		cpuid->nent = room;
		if (!ioctl(vmm->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid))
			return cpuid;
		free(cpuid);
		if (errno != E2BIG)
			return NULL;
	}
	return NULL;
}

static int check(struct vmm *vmm)
{
	struct kvm_cpuid2 *host = supported(vmm);
	struct kvm_cpuid_entry2 *leaf;
	int err = 0;

	if (!host) {
		vmm_say(vmm, "KVM does not tell what CPUID it supports: %s", strerror(errno));
		return -EOPNOTSUPP;
	}
	for (unsigned int i = 0; i < N_BITS; i++) {
		leaf = find(host->entries, host->nent, bits[i].leaf);
		if (leaf && *reg_of(leaf, bits[i].reg) & 1U << bits[i].bit)
			continue;
		vmm_say(vmm, "this CPU or its KVM lacks %s, which every guest is shown (%s)",
			bits[i].name, bits[i].why);
		err = -EOPNOTSUPP;
	}
	leaf = find(host->entries, host->nent, 0x80000008);
	if (!leaf || (leaf->eax & 0xff) < (ADDRESS_BITS & 0xff)) {
		vmm_say(vmm, "this CPU has fewer than %u bits of physical address",
			ADDRESS_BITS & 0xff);
		err = -EOPNOTSUPP;
	}
	free(host);
	return err;
}

int vmm_cpuid_set(struct vmm *vmm)
{
	struct kvm_cpuid2 *cpuid;
	int err = check(vmm);

	if (err)
		return err;
	cpuid = calloc(1, sizeof(*cpuid) + VMM_CPUID_LEAVES * sizeof(cpuid->entries[0]));
	if (!cpuid)
		return -ENOMEM;
	cpuid->nent = vmm_cpuid_table(cpuid->entries);
	if (ioctl(vmm->vcpu_fd, KVM_SET_CPUID2, cpuid)) {
		err = -errno;
		vmm_say(vmm, "KVM refuses the CPUID table: %s", strerror(-err));
	}
	free(cpuid);
	return err;
}
