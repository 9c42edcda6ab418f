// SPDX-License-Identifier: GPL-2.0
/*
 * Guest memory, the boot protocol and the start state
 *
 * Sources: tools/vmm/start.c tools/vmm/boot.c tools/vmm/memory.c tools/vmm/file.c
 * Sources: tools/vmm/state.c
 */
#include <asm/bootparam.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/boot.h"
#include "vmm/cpuid.h"
#include "vmm/devices.h"
#include "vmm/memory.h"
#include "vmm/msr.h"
#include "vmm/session.h"
#include "vmm/start.h"
#include "vmm/state.h"
#include "vmm/vcpu.h"
#include "vmm/vmm.h"

#define MIB	(1ULL << 20)

static struct vmm *vmm;
static char said[1024];
static uint64_t cpuid_digest, msr_digest, device_digest, disk_digest;
static int session_error;
static unsigned int mismatches, registers_set, disk_reads;
static uint64_t first_mismatch[LOCKSTEP_DIGESTS];
static uint8_t payload[LOCKSTEP_PAYLOAD_MAX];
static uint32_t payload_len;
static char kernel[64], initrd[64];
static uint64_t dirty[2][64];

/* ---- what there is around it ---- */

void vmm_say(const struct vmm *m, const char *format, ...)
{
	size_t len = strlen(said);
	va_list args;

	(void)m;
	va_start(args, format);
	vsnprintf(said + len, sizeof(said) - len, format, args);
	va_end(args);
}

uint64_t vmm_cpuid_digest(void)
{
	return cpuid_digest;
}

uint64_t vmm_msr_digest(void)
{
	return msr_digest;
}

int vmm_devices_digest(struct vmm *m, uint64_t *digest)
{
	(void)m;
	*digest = device_digest;
	return 0;
}

uint32_t vmm_vcpu_tsc_khz(const struct vmm *m)
{
	(void)m;
	return 2500000;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	(void)fd;
	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (request == KVM_SET_REGS) {
		const struct kvm_regs *regs = arg;

		assert_int_equal(regs->rip, 0x100000);
		assert_int_equal(regs->rsi, 0x10000);
		registers_set++;
	} else if (request == KVM_GET_DIRTY_LOG) {
		struct kvm_dirty_log *log = arg;

		memcpy(log->dirty_bitmap, dirty[log->slot], sizeof(dirty[0]));
		memset(dirty[log->slot], 0, sizeof(dirty[0]));
	}
	return 0;
}

static int test_input(struct vmm *m, uint16_t unit, uint16_t kind, const void *data, uint32_t len)
{
	(void)m;
	assert_int_equal(unit, VMM_UNIT_BOOT);
	assert_int_equal(kind, VMM_START_KIND);
	assert_true(len <= sizeof(payload));
	/* The log has it before the registers change. */
	assert_int_equal(registers_set, 0);
	memcpy(payload, data, len);
	payload_len = len;
	return session_error;
}

static int test_mismatch(struct vmm *m, const uint64_t *digest)
{
	(void)m;
	mismatches++;
	memcpy(first_mismatch, digest, sizeof(first_mismatch));
	return 0;
}

static const struct vmm_session_ops session = {
	.virtual_tsc = true, .input = test_input, .mismatch = test_mismatch,
};

static int disk_digest_op(struct vmm_device *dev, uint64_t *digest)
{
	(void)dev;
	disk_reads++;
	*digest = disk_digest;
	return 0;
}

static const struct vmm_device_ops disk_ops = { .digest = disk_digest_op };
static struct vmm_device disk = { .ops = &disk_ops };

static void write_file(char *path, const void *data, size_t len)
{
	int fd;

	strcpy(path, "/tmp/test_vmm_start.XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	close(fd);
}

/* A bzImage that holds nothing to run. */
static void make_kernel(struct boot_params *head, size_t len)
{
	uint8_t *image = calloc(1, len);

	head->hdr.setup_sects = 4;
	memcpy(image, head, sizeof(*head) < len ? sizeof(*head) : len);
	for (size_t i = 5 * 512; i < len; i++)
		image[i] = (uint8_t)i;
	write_file(kernel, image, len);
	free(image);
}

static struct boot_params good_head(void)
{
	struct boot_params head = { };

	head.hdr.boot_flag = 0xaa55;
	head.hdr.header = 0x53726448;
	head.hdr.version = 0x020f;
	head.hdr.loadflags = LOADED_HIGH;
	head.hdr.initrd_addr_max = 0x7fffffff;
	head.hdr.cmdline_size = 2047;
	head.hdr.pref_address = 0x1000000;
	head.hdr.init_size = 0x800000;
	return head;
}

static void machine(uint64_t memory)
{
	vmm = calloc(1, sizeof(*vmm));
	vmm->session = &session;
	vmm->config.memory = memory;
	vmm->config.role = VMM_ROLE_PRIMARY;
	vmm->config.kernel = kernel;
	vmm->config.initrd = initrd;
	vmm->config.append = "quiet";
	vmm->config.n_disks = 1;
	vmm->config.disks[0].path = "/var/disk.img";
	vmm->units[VMM_UNIT_DISK0] = &disk;
	assert_int_equal(vmm_memory_create(vmm), 0);
	assert_int_equal(vmm_start_read(vmm), 0);
}

static void machine_end(void)
{
	vmm_memory_destroy(vmm);
	free(vmm);
}

static int setup(void **state)
{
	struct boot_params head = good_head();

	(void)state;
	said[0] = '\0';
	cpuid_digest = 1;
	msr_digest = 2;
	device_digest = 3;
	disk_digest = 4;
	session_error = 0;
	mismatches = 0;
	registers_set = 0;
	memset(dirty, 0, sizeof(dirty));
	make_kernel(&head, 100000);
	write_file(initrd, "initrd content", 14);
	machine(64 * MIB);
	said[0] = '\0';		/* memory may not be locked here */
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	machine_end();
	unlink(kernel);
	unlink(initrd);
	return 0;
}

/* ---- memory ---- */

static void test_memory_bounds(void **state)
{
	(void)state;
	assert_non_null(vmm_memory(vmm, 0, 64 * MIB));
	assert_null(vmm_memory(vmm, 0, 64 * MIB + 1));
	assert_non_null(vmm_memory(vmm, 64 * MIB - 1, 1));
	assert_null(vmm_memory(vmm, 64 * MIB - 1, 2));
	assert_null(vmm_memory(vmm, 64 * MIB, 1));
	assert_null(vmm_memory(vmm, 64 * MIB - 1, UINT64_MAX));
	assert_null(vmm_memory(vmm, UINT64_MAX, 2));
	assert_null(vmm_memory(vmm, 4ULL << 30, 1));
}

static void test_memory_with_a_hole(void **state)
{
	/* Addresses only: nothing is touched. */
	uint8_t *base = mmap(NULL, 4ULL << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vmm big = { .ram = { .base = base, .low = 3ULL << 30, .high = 1ULL << 30 } };

	(void)state;
	assert_ptr_not_equal(base, MAP_FAILED);
	assert_ptr_equal(vmm_memory(&big, (3ULL << 30) - 1, 1), base + (3ULL << 30) - 1);
	assert_null(vmm_memory(&big, (3ULL << 30) - 1, 2));
	assert_null(vmm_memory(&big, 3ULL << 30, 1));
	assert_null(vmm_memory(&big, (4ULL << 30) - 1, 2));
	assert_ptr_equal(vmm_memory(&big, 4ULL << 30, 1ULL << 30), base + (3ULL << 30));
	assert_null(vmm_memory(&big, 4ULL << 30, (1ULL << 30) + 1));
	assert_null(vmm_memory(&big, 5ULL << 30, 1));
	assert_int_equal(vmm_memory_size(&big), 4ULL << 30);
	munmap(base, 4ULL << 30);
}

static void test_memory_digest(void **state)
{
	uint64_t empty = vmm_memory_digest(vmm), here, there;

	(void)state;
	memcpy(vmm_memory(vmm, 5000, 4), "data", 4);
	here = vmm_memory_digest(vmm);
	assert_int_not_equal(here, empty);
	memset(vmm_memory(vmm, 5000, 4), 0, 4);
	assert_int_equal(vmm_memory_digest(vmm), empty);
	memcpy(vmm_memory(vmm, 5000 + 4096, 4), "data", 4);
	there = vmm_memory_digest(vmm);
	assert_int_not_equal(there, here);
}

static void test_memory_digest_by_tracking(void **state)
{
	uint64_t digest;

	(void)state;
	memcpy(vmm_memory(vmm, 5000, 4), "data", 4);
	assert_int_equal(vmm_memory_digest_update(vmm, &digest), 0);
	assert_int_equal(digest, vmm_memory_digest(vmm));
	/* The guest writes: KVM knows. */
	memcpy(vmm_memory(vmm, 40 << 12, 4), "more", 4);
	dirty[0][0] = 1ULL << 40;
	assert_int_equal(vmm_memory_digest_update(vmm, &digest), 0);
	assert_int_equal(digest, vmm_memory_digest(vmm));
	/* A device writes across a page boundary: it says so. */
	memcpy(vmm_memory(vmm, (90 << 12) - 2, 4), "dma!", 4);
	vmm_memory_written(vmm, (90 << 12) - 2, 4);
	assert_int_equal(vmm_memory_digest_update(vmm, &digest), 0);
	assert_int_equal(digest, vmm_memory_digest(vmm));
	/* The control: a write that nobody tells of is missed. */
	memcpy(vmm_memory(vmm, 99 << 12, 4), "lost", 4);
	assert_int_equal(vmm_memory_digest_update(vmm, &digest), 0);
	assert_int_not_equal(digest, vmm_memory_digest(vmm));
}

/* ---- boot protocol ---- */

static uint8_t seed[VMM_SEED_LEN] = "seed seed seed";

static void test_boot(void **state)
{
	struct boot_params *params;
	struct setup_data *data;

	(void)state;
	assert_int_equal(vmm_boot_load(vmm, "console=x", seed), 0);
	params = vmm_memory(vmm, 0x10000, sizeof(*params));
	assert_int_equal(params->hdr.header, 0x53726448);
	assert_int_equal(params->hdr.type_of_loader, 0xff);
	assert_string_equal(vmm_memory(vmm, params->hdr.cmd_line_ptr, 10), "console=x");
	assert_memory_equal(vmm_memory(vmm, params->hdr.ramdisk_image, 14), "initrd content", 14);
	assert_int_equal(params->hdr.ramdisk_size, 14);
	assert_int_equal(params->hdr.ramdisk_image % 4096, 0);
	data = vmm_memory(vmm, params->hdr.setup_data, sizeof(*data));
	assert_int_equal(data->type, 9);
	assert_memory_equal(data->data, seed, sizeof(seed));
	assert_int_equal(params->e820_entries, 2);
	assert_int_equal(params->e820_table[1].addr + params->e820_table[1].size, 64 * MIB);
	/* What follows the setup sectors is the kernel. */
	assert_int_equal(*(uint8_t *)vmm_memory(vmm, 0x100000, 1), (5 * 512) & 0xff);
}

static void expect_boot_error(int error, const char *word)
{
	said[0] = '\0';
	assert_int_equal(vmm_boot_load(vmm, "x", seed), error);
	if (!strstr(said, word))
		fail_msg("\"%s\" does not say \"%s\"", said, word);
}

static void test_boot_of_wrong_kernels(void **state)
{
	struct boot_params head;

	(void)state;
	for (unsigned int i = 0; i < 5; i++) {
		size_t len = 100000;

		unlink(kernel);
		head = good_head();
		if (i == 0)
			head.hdr.boot_flag = 0;
		else if (i == 1)
			head.hdr.header = 0;
		else if (i == 2)
			head.hdr.version = 0x0200;
		else if (i == 3)
			head.hdr.loadflags = 0;
		else
			len = 0x300;
		make_kernel(&head, len);
		expect_boot_error(-ENOEXEC, kernel);
	}
	unlink(kernel);
	expect_boot_error(-ENOENT, kernel);
	vmm->config.kernel = "/tmp";
	expect_boot_error(-EINVAL, "regular");
}

static void test_boot_needs_room(void **state)
{
	struct boot_params head = good_head();

	(void)state;
	unlink(kernel);
	head.hdr.init_size = 60 << 20;
	make_kernel(&head, 100000);
	expect_boot_error(-ENOMEM, "--memory");
	/* Everything in a header is foreign. */
	unlink(kernel);
	head = good_head();
	head.hdr.pref_address = UINT64_MAX - 0x1000;
	make_kernel(&head, 100000);
	expect_boot_error(-ENOMEM, "--memory");
	unlink(kernel);
	head = good_head();
	head.hdr.initrd_addr_max = 0;
	make_kernel(&head, 100000);
	expect_boot_error(-ENOMEM, "--memory");
	unlink(kernel);
	head = good_head();
	head.hdr.cmdline_size = 0;
	make_kernel(&head, 100000);
	expect_boot_error(-E2BIG, "command line");
}

static void test_cmdline(void **state)
{
	char cmdline[VMM_CMDLINE_MAX + 1], longer[VMM_CMDLINE_MAX];

	(void)state;
	assert_int_equal(vmm_boot_cmdline(vmm, cmdline, sizeof(cmdline)), 0);
	assert_non_null(strstr(cmdline, "tsc_early_khz=1000000 "));
	assert_string_equal(cmdline + strlen(cmdline) - 6, " quiet");
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	vmm->config.append = longer;
	assert_int_equal(vmm_boot_cmdline(vmm, cmdline, sizeof(cmdline)), -E2BIG);
}

/* ---- start state ---- */

static void test_twin_builds_the_same(void **state)
{
	uint64_t memory;

	(void)state;
	assert_int_equal(vmm_start_live(vmm), 0);
	assert_true(vmm->started);
	assert_int_equal(registers_set, 1);
	memory = vmm_memory_digest(vmm);
	machine_end();
	machine(64 * MIB);
	vmm->config.append = "of no account here: the log's command line is used";
	assert_int_equal(vmm_start_apply(vmm, VMM_START_KIND, payload, payload_len), 0);
	assert_true(vmm->started);
	assert_int_equal(registers_set, 2);
	assert_int_equal(vmm_memory_digest(vmm), memory);
	assert_int_equal(mismatches, 0);
	/* Once is enough. */
	assert_int_equal(vmm_start_apply(vmm, VMM_START_KIND, payload, payload_len), -EINVAL);
}

/* Reading takes long: a twin that began it when the log says BOOT would be that much behind. */
static void test_log_is_met_without_reading(void **state)
{
	unsigned int before;

	(void)state;
	before = disk_reads;
	assert_int_equal(vmm_start_live(vmm), 0);
	assert_int_equal(disk_reads, before);
	machine_end();
	machine(64 * MIB);
	before = disk_reads;
	assert_int_equal(vmm_start_apply(vmm, VMM_START_KIND, payload, payload_len), 0);
	assert_int_equal(disk_reads, before);
	assert_int_equal(mismatches, 0);
}

static void test_unprotected_reads_nothing(void **state)
{
	unsigned int before = disk_reads;

	(void)state;
	assert_true(before > 0);
	vmm->config.role = VMM_ROLE_NONE;
	assert_int_equal(vmm_start_read(vmm), 0);
	assert_int_equal(disk_reads, before);
}

static void test_two_starts_differ(void **state)
{
	uint64_t memory;

	(void)state;
	assert_int_equal(vmm_start_live(vmm), 0);
	memory = vmm_memory_digest(vmm);
	machine_end();
	machine(64 * MIB);
	registers_set = 0;
	assert_int_equal(vmm_start_live(vmm), 0);
	assert_int_not_equal(vmm_memory_digest(vmm), memory);	/* another seed */
}

static void expect_mismatch(const char *word)
{
	said[0] = '\0';
	mismatches = 0;
	registers_set = 0;
	vmm->started = false;
	assert_int_equal(vmm_start_read(vmm), 0);
	assert_int_equal(vmm_start_apply(vmm, VMM_START_KIND, payload, payload_len), -EILSEQ);
	assert_int_equal(mismatches, 1);
	assert_int_not_equal(first_mismatch[0], first_mismatch[1]);
	assert_false(vmm->started);
	assert_int_equal(registers_set, 0);
	if (!strstr(said, word))
		fail_msg("\"%s\" does not say \"%s\"", said, word);
}

static void test_each_difference_is_named(void **state)
{
	struct vmm_config config;

	(void)state;
	assert_int_equal(vmm_start_live(vmm), 0);
	config = vmm->config;
	cpuid_digest++;
	expect_mismatch("CPUID");
	cpuid_digest--;
	msr_digest++;
	expect_mismatch("MSR");
	msr_digest--;
	device_digest++;
	expect_mismatch("devices");
	device_digest--;
	disk_digest++;
	expect_mismatch("/var/disk.img");
	disk_digest--;
	vmm->config.disks[0].readonly = true;
	expect_mismatch("read-only");
	vmm->config = config;
	vmm->config.n_disks = 0;
	expect_mismatch("number of --disk");
	vmm->config = config;
	vmm->config.net.mac[5] = 9;
	expect_mismatch("--mac");
	vmm->config = config;
	strcpy(vmm->config.net.tap, "tap0");
	expect_mismatch("--tap");
	vmm->config = config;
	vmm->config.rng = true;
	expect_mismatch("--rng");
	vmm->config = config;
	vmm->config.has_console = true;
	expect_mismatch("--console");
	vmm->config = config;
	vmm->config.initrd = kernel;
	expect_mismatch("--initrd");
	vmm->config = config;
	memcpy(vmm_memory(vmm, 0x300000, 4), "more", 4);
	expect_mismatch("guest memory");
	machine_end();
	machine(65 * MIB);
	expect_mismatch("--memory");
}

static void test_foreign_payloads(void **state)
{
	(void)state;
	assert_int_equal(vmm_start_live(vmm), 0);
	vmm->started = false;
	assert_int_equal(vmm_start_apply(vmm, 2, payload, payload_len), -EINVAL);
	for (uint32_t cut = 0; cut < payload_len; cut++) {
		uint8_t *part = malloc(cut ? cut : 1);

		memcpy(part, payload, cut);
		assert_true(vmm_start_apply(vmm, VMM_START_KIND, part, cut) < 0);
		assert_false(vmm->started);
		free(part);
	}
	payload[payload_len] = 0;
	assert_int_equal(vmm_start_apply(vmm, VMM_START_KIND, payload, payload_len + 1), -EINVAL);
	payload[0] ^= 0xff;
	assert_int_equal(vmm_start_apply(vmm, VMM_START_KIND, payload, payload_len), -EPROTO);
	assert_int_equal(mismatches, 0);
}

static void test_unlogged_start_waits(void **state)
{
	(void)state;
	session_error = -ESHUTDOWN;
	assert_int_equal(vmm_start_live(vmm), -ESHUTDOWN);
	assert_false(vmm->started);
	assert_int_equal(registers_set, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_memory_bounds),
		TEST(test_memory_with_a_hole),
		TEST(test_memory_digest),
		TEST(test_memory_digest_by_tracking),
		TEST(test_boot),
		TEST(test_boot_of_wrong_kernels),
		TEST(test_boot_needs_room),
		TEST(test_cmdline),
		TEST(test_twin_builds_the_same),
		TEST(test_log_is_met_without_reading),
		TEST(test_unprotected_reads_nothing),
		TEST(test_two_starts_differ),
		TEST(test_each_difference_is_named),
		TEST(test_foreign_payloads),
		TEST(test_unlogged_start_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
