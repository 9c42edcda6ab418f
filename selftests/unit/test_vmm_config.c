// SPDX-License-Identifier: GPL-2.0
/*
 * The command line, and the CPUID and MSR tables
 *
 * Sources: tools/vmm/config.c tools/vmm/cpuid.c tools/vmm/msr.c tools/vmm/state.c
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <cmocka.h>

#include "vmm/config.h"
#include "vmm/cpuid.h"
#include "vmm/msr.h"
#include "vmm/vmm.h"

/* ---- what the tables ask of the machine ---- */

static struct kvm_msr_filter filter;
static struct kvm_cpuid_entry2 host[VMM_CPUID_LEAVES];
static unsigned int n_host, said, cpuid_set;

void vmm_say(const struct vmm *vmm, const char *format, ...)
{
	(void)vmm;
	(void)format;
	said++;
}

uint64_t vmm_clock_tsc(struct vmm *vmm)
{
	(void)vmm;
	return 12345;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	(void)fd;
	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (request == KVM_X86_SET_MSR_FILTER) {
		memcpy(&filter, arg, sizeof(filter));
	} else if (request == KVM_GET_SUPPORTED_CPUID) {
		struct kvm_cpuid2 *cpuid = arg;

		if (cpuid->nent < n_host) {
			errno = E2BIG;
			return -1;
		}
		cpuid->nent = n_host;
		memcpy(cpuid->entries, host, n_host * sizeof(host[0]));
	} else if (request == KVM_SET_CPUID2) {
		cpuid_set++;
	}
	return 0;
}

/* ---- command line ---- */

static struct vmm_config config;

static int parse(const char *line)
{
	static char text[4096];
	char *argv[64], *save = NULL;
	int argc = 0;

	strcpy(text, line);
	for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	argv[argc] = NULL;
	return vmm_config_parse(&config, argc, argv);
}

static void test_defaults(void **state)
{
	(void)state;
	assert_int_equal(parse("vmm --kernel k"), 0);
	assert_string_equal(config.kernel, "k");
	assert_int_equal(config.memory, 256ULL << 20);
	assert_int_equal(config.role, VMM_ROLE_NONE);
	assert_int_equal(config.serial.kind, VMM_SINK_STDIO);
	assert_string_equal(config.name, "guest");
	assert_int_equal(config.net.tap[0], 0);
	assert_false(config.has_console);
	assert_int_equal(config.log_size, 0);
}

static void test_all_options(void **state)
{
	(void)state;
	assert_int_equal(parse("vmm --kernel k --initrd i --append a --memory 2G --name n-1.x "
			       "--uuid 00112233-4455-6677-8899-aAbBcCdDeEfF --role twin --wait "
			       "--tap tap0 --mac 02:00:00:00:00:01 --disk d1 --disk d,2,ro "
			       "--serial file:/tmp/s --console unix:/tmp/c --rng --control /tmp/x "
			       "--log-size 64K --state-dir /tmp --power-keys a\\n\\x1b\\\\ --reset-ok"),
			 0);
	assert_int_equal(config.memory, 2ULL << 30);
	assert_int_equal(config.role, VMM_ROLE_TWIN);
	assert_true(config.wait && config.rng && config.reset_ok && config.has_console);
	assert_int_equal(config.uuid[0], 0x00);
	assert_int_equal(config.uuid[15], 0xff);
	assert_int_equal(config.uuid[9], 0x99);
	assert_int_equal(config.n_disks, 2);
	assert_string_equal(config.disks[1].path, "d,2");
	assert_true(config.disks[1].readonly);
	assert_false(config.disks[0].readonly);
	assert_int_equal(config.log_size, 65536);
	assert_int_equal(config.n_power_keys, 4);
	assert_memory_equal(config.power_keys, "a\n\x1b\\", 4);
	assert_int_equal(config.net.mac[5], 1);
	assert_string_equal(config.serial.path, "/tmp/s");
	assert_int_equal(config.console.kind, VMM_SINK_UNIX);
}

static void test_wrong_options(void **state)
{
	static const char *const lines[] = {
		"",
		"--memory 31",
		"--memory 100000G",
		"--memory 18446744073709551615G",
		"--memory 128X",
		"--memory -1",
		"--memory 1500K",
		"--memory 256MM",
		"--name .x",
		"--name a/b",
		"--name 12345678901234567890123456789012",
		"--uuid 00112233-4455-6677-8899-aabbccddeef",
		"--uuid 00112233-4455-6677-8899-aabbccddeefff",
		"--uuid 00112233445566778899aabbccddeeff",
		"--uuid 0x112233-4455-6677-8899-aabbccddeeff",
		"--uuid -0112233-4455-6677-8899-aabbccddeeff",
		"--role both",
		"--role primary",
		"--wait",
		"--tap 1234567890123456",
		"--mac 01:00:00:00:00:00",
		"--mac 02:00:00:00:00",
		"--mac 02:00:00:00:00:00:00",
		"--mac 2:0:0:0:0:0",
		"--serial tcp:1",
		"--serial file:",
		"--console stdio",
		"--log-size 100000",
		"--log-size 32K",
		"--log-size 2G",
		"--power-keys \\q",
		"--power-keys \\x1",
		"--disk ,ro",
		"--disk a --disk b --disk c --disk d --disk e",
		"--nonsense",
		"word",
		"--ask status",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char line[512] = "vmm ";

		if (i)
			strcat(line, "--kernel k ");
		strcat(line, lines[i]);
		if (parse(line) != -EINVAL)
			fail_msg("taken: %s", line);
	}
}

static void test_default_mac(void **state)
{
	uint8_t first[6];

	(void)state;
	assert_int_equal(parse("vmm --kernel k --tap t --name a"), 0);
	memcpy(first, config.net.mac, 6);
	assert_int_equal(first[0] & 3, 2);
	assert_int_equal(parse("vmm --kernel k --tap t --name a"), 0);
	assert_memory_equal(first, config.net.mac, 6);
	assert_int_equal(parse("vmm --kernel k --tap t --name b"), 0);
	assert_memory_not_equal(first, config.net.mac, 6);
}

/* ---- CPUID ---- */

static const struct kvm_cpuid_entry2 *leaf(const struct kvm_cpuid_entry2 *leaves, uint32_t function)
{
	for (unsigned int i = 0; i < VMM_CPUID_LEAVES; i++)
		if (leaves[i].function == function)
			return &leaves[i];
	fail_msg("no leaf %x", function);
	return NULL;
}

static void test_cpuid_hides(void **state)
{
	struct kvm_cpuid_entry2 leaves[VMM_CPUID_LEAVES] = { };
	const struct kvm_cpuid_entry2 *l;
	unsigned int n = vmm_cpuid_table(leaves);

	(void)state;
	l = leaf(leaves, 1);
	assert_int_equal(l->ecx & 1U << 30, 0);		/* RDRAND */
	assert_int_equal(l->ecx & 1U << 3, 0);		/* MONITOR */
	assert_int_equal(l->ecx & 1U << 21, 0);		/* x2APIC */
	assert_int_equal(l->ecx & 1U << 24, 0);		/* TSC deadline */
	assert_int_equal(l->ecx & (1U << 26 | 1U << 27 | 1U << 28), 0);	/* XSAVE, AVX */
	assert_int_equal(l->edx & 1U << 9, 0);		/* APIC */
	assert_int_equal(l->edx & (1U << 7 | 1U << 14), 0);	/* MCE, MCA */
	assert_int_equal(l->ebx >> 16 & 0xff, 1);	/* one CPU */
	l = leaf(leaves, 7);
	assert_int_equal(l->eax, 0);
	assert_int_equal(l->ebx & (1U << 18 | 1U << 4 | 1U << 11), 0);	/* RDSEED, TSX */
	assert_int_equal(l->ecx, 0);
	assert_int_equal(l->edx, 0);
	l = leaf(leaves, 0x80000001);
	assert_int_equal(l->ecx & 1U << 2, 0);		/* SVM */
	assert_int_equal(l->edx & 1U << 9, 0);		/* APIC again */
	assert_int_equal(leaf(leaves, 0x80000008)->ebx, 0);
	for (unsigned int i = 0; i < n; i++) {
		assert_true(leaves[i].function < 8 || leaves[i].function >= 0x80000000);
		assert_true(leaves[i].function <= 0x80000008);
	}
}

static void test_cpuid_is_v2(void **state)
{
	struct kvm_cpuid_entry2 leaves[VMM_CPUID_LEAVES] = { };
	const uint32_t v2 = 1U << 0 | 1U << 9 | 1U << 13 | 1U << 19 | 1U << 20 | 1U << 23;

	(void)state;
	vmm_cpuid_table(leaves);
	assert_int_equal(leaf(leaves, 1)->ecx & v2, v2);
	assert_int_equal(leaf(leaves, 0x80000001)->ecx & 1, 1);
	assert_int_equal(leaf(leaves, 0x80000007)->edx, 1U << 8);
	assert_memory_equal(&leaf(leaves, 0x80000002)->eax, "lockstep", 8);
	assert_int_equal(vmm_cpuid_digest(), vmm_cpuid_digest());
	assert_int_not_equal(vmm_cpuid_digest(), 0);
}

static void test_cpuid_needs_every_bit(void **state)
{
	struct vmm *vmm = calloc(1, sizeof(*vmm));

	(void)state;
	memset(host, 0, sizeof(host));
	n_host = vmm_cpuid_table(host);
	assert_int_equal(vmm_cpuid_set(vmm), 0);
	assert_int_equal(cpuid_set, 1);
	for (unsigned int i = 0; i < n_host; i++)
		if (host[i].function == 1)
			host[i].ecx &= ~(1U << 25);
	said = 0;
	assert_int_equal(vmm_cpuid_set(vmm), -EOPNOTSUPP);
	assert_int_equal(said, 1);
	for (unsigned int i = 0; i < n_host; i++) {
		if (host[i].function == 1)
			host[i].ecx |= 1U << 25;
		if (host[i].function == 0x80000008)
			host[i].eax = 39;
	}
	assert_int_equal(vmm_cpuid_set(vmm), -EOPNOTSUPP);
	assert_int_equal(cpuid_set, 1);
	free(vmm);
}

/* ---- MSRs ---- */

static bool passed(uint32_t index)
{
	for (unsigned int i = 0; i < KVM_MSR_FILTER_MAX_RANGES; i++)
		if (filter.ranges[i].nmsrs && index - filter.ranges[i].base < filter.ranges[i].nmsrs)
			return true;
	return false;
}

static void test_msr_filter(void **state)
{
	struct vmm *vmm = calloc(1, sizeof(*vmm));

	(void)state;
	assert_int_equal(vmm_msr_filter(vmm), 0);
	assert_int_equal(filter.flags, KVM_MSR_FILTER_DEFAULT_DENY);
	assert_true(passed(0xc0000080) && passed(0xc0000084) && passed(0xc0000103));
	assert_true(passed(0x174) && passed(0x176) && passed(0x277));
	/* time, identity, counters, APIC, KVM's own */
	assert_false(passed(0x10) || passed(0x8b) || passed(0xc0010000) || passed(0x1b) ||
		     passed(0x4b564d00) || passed(0xe7) || passed(0xe8) || passed(0x6e0) ||
		     passed(0xc0000104) || passed(0x48));
	free(vmm);
}

static int access_msr(struct vmm *vmm, uint32_t index, bool write, uint64_t *data)
{
	vmm->run->msr.index = index;
	vmm->run->msr.data = *data;
	vmm->run->msr.error = 77;
	vmm_msr_exit(vmm, write);
	*data = vmm->run->msr.data;
	return vmm->run->msr.error;
}

static void test_msr_exits(void **state)
{
	struct vmm *vmm = calloc(1, sizeof(*vmm));
	uint64_t data = 1;

	(void)state;
	vmm->run = calloc(1, sizeof(*vmm->run));
	assert_int_equal(access_msr(vmm, 0x8b, false, &data), 0);
	assert_int_equal(data, 0);
	assert_int_equal(access_msr(vmm, 0xc0011029, false, &data), 0);
	assert_int_equal(data, 2);
	data = 99;
	assert_int_equal(access_msr(vmm, 0xc0011029, true, &data), 0);
	assert_int_equal(access_msr(vmm, 0xc0011029, false, &data), 0);
	assert_int_equal(data, 2);
	assert_int_equal(access_msr(vmm, 0x10, false, &data), 0);
	assert_int_equal(data, 12345);
	assert_int_equal(access_msr(vmm, 0x10, true, &data), 1);
	said = 0;
	assert_int_equal(access_msr(vmm, 0xc0010000, false, &data), 1);
	assert_int_equal(said, 0);
	assert_int_equal(access_msr(vmm, 0x12345, false, &data), 1);
	assert_int_equal(access_msr(vmm, 0x12345, false, &data), 1);
	assert_int_equal(said, 1);
	for (uint32_t i = 0; i < 100; i++)
		access_msr(vmm, 0x20000 + i, true, &data);
	/* All there is room for; the write to the TSC was told before. */
	assert_int_equal(said, VMM_UNKNOWN_MSRS - 1);
	assert_int_not_equal(vmm_msr_digest(), 0);
	free(vmm->run);
	free(vmm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_all_options),
		cmocka_unit_test(test_wrong_options),
		cmocka_unit_test(test_default_mac),
		cmocka_unit_test(test_cpuid_hides),
		cmocka_unit_test(test_cpuid_is_v2),
		cmocka_unit_test(test_cpuid_needs_every_bit),
		cmocka_unit_test(test_msr_filter),
		cmocka_unit_test(test_msr_exits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
