// SPDX-License-Identifier: GPL-2.0
/*
 * The start state: the first input of the log
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "boot.h"
#include "cpuid.h"
#include "devices.h"
#include "file.h"
#include "memory.h"
#include "msr.h"
#include "session.h"
#include "start.h"
#include "state.h"
#include "vmm.h"

#define START_VERSION	1

struct disk {
	uint64_t digest;
	bool readonly;
};

/**
 * struct start - what the start state is made of
 *
 * @seed and @cmdline are the primary's choice, the rest has to be equal.
 */
struct start {
	uint8_t seed[VMM_SEED_LEN];
	char cmdline[VMM_CMDLINE_MAX + 1];

	uint64_t memory_size;
	uint64_t kernel;
	uint64_t initrd;
	uint64_t cpuid;
	uint64_t msrs;
	bool net;
	uint8_t mac[6];
	bool console;
	bool rng;
	uint32_t n_disks;
	struct disk disks[VMM_DISKS_MAX];
	uint64_t devices;
	uint64_t memory;
};

static void put(struct vmm_state *state, const struct start *start)
{
	uint32_t len = (uint32_t)strlen(start->cmdline);

	vmm_state_put_u32(state, START_VERSION);
	vmm_state_put(state, start->seed, sizeof(start->seed));
	vmm_state_put_u32(state, len);
	vmm_state_put(state, start->cmdline, len);
	vmm_state_put_u64(state, start->memory_size);
	vmm_state_put_u64(state, start->kernel);
	vmm_state_put_u64(state, start->initrd);
	vmm_state_put_u64(state, start->cpuid);
	vmm_state_put_u64(state, start->msrs);
	vmm_state_put_bool(state, start->net);
	vmm_state_put(state, start->mac, sizeof(start->mac));
	vmm_state_put_bool(state, start->console);
	vmm_state_put_bool(state, start->rng);
	vmm_state_put_u32(state, start->n_disks);
	for (uint32_t i = 0; i < start->n_disks; i++) {
		vmm_state_put_u64(state, start->disks[i].digest);
		vmm_state_put_bool(state, start->disks[i].readonly);
	}
	vmm_state_put_u64(state, start->devices);
	vmm_state_put_u64(state, start->memory);
}

static int get(struct vmm_state *state, struct start *start)
{
	uint32_t len;

	memset(start, 0, sizeof(*start));
	if (vmm_state_get_u32(state) != START_VERSION)
		vmm_state_fail(state, -EPROTO);
	vmm_state_get(state, start->seed, sizeof(start->seed));
	len = vmm_state_get_max(state, VMM_CMDLINE_MAX);
	vmm_state_get(state, start->cmdline, len);
	if (strlen(start->cmdline) != len)
		vmm_state_fail(state, -EINVAL);
	start->memory_size = vmm_state_get_u64(state);
	start->kernel = vmm_state_get_u64(state);
	start->initrd = vmm_state_get_u64(state);
	start->cpuid = vmm_state_get_u64(state);
	start->msrs = vmm_state_get_u64(state);
	start->net = vmm_state_get_bool(state);
	vmm_state_get(state, start->mac, sizeof(start->mac));
	start->console = vmm_state_get_bool(state);
	start->rng = vmm_state_get_bool(state);
	start->n_disks = vmm_state_get_max(state, VMM_DISKS_MAX);
	for (uint32_t i = 0; i < start->n_disks; i++) {
		start->disks[i].digest = vmm_state_get_u64(state);
		start->disks[i].readonly = vmm_state_get_bool(state);
	}
	start->devices = vmm_state_get_u64(state);
	start->memory = vmm_state_get_u64(state);
	return vmm_state_end(state);
}

static int digest_file(struct vmm *vmm, const char *path, uint64_t *digest)
{
	struct stat st;
	int fd, err;

	*digest = 0;
	if (!path)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		err = -errno;
	} else {
		err = vmm_file_digest(fd, (uint64_t)st.st_size, path, digest);
		*digest += (uint64_t)st.st_size;	/* zeroes at the end add nothing else */
	}
	if (fd >= 0)
		close(fd);
	if (err)
		vmm_say(vmm, "%s: %s", path, strerror(-err));
	return err;
}

static int digest_disks(struct vmm *vmm, uint64_t *digests)
{
	for (unsigned int i = 0; i < vmm->config.n_disks; i++) {
		struct vmm_device *dev = vmm->units[VMM_UNIT_DISK0 + i];
		int err;

		if (!dev || !dev->ops->digest)
			continue;
		err = dev->ops->digest(dev, &digests[i]);
		if (err) {
			vmm_say(vmm, "%s: %s", vmm->config.disks[i].path, strerror(-err));
			return err;
		}
	}
	return 0;
}

int vmm_start_read(struct vmm *vmm)
{
	struct vmm_contents *contents = &vmm->contents;
	int err;

	/* Of an unprotected guest nobody compares it, and it may take long. */
	if (vmm->config.role == VMM_ROLE_NONE)
		return 0;
	err = digest_file(vmm, vmm->config.kernel, &contents->kernel);
	if (!err)
		err = digest_file(vmm, vmm->config.initrd, &contents->initrd);
	if (!err)
		err = digest_disks(vmm, contents->disks);
	return err;
}

/* Build memory and devices from @start's seed and command line, and describe them. */
static int build(struct vmm *vmm, struct start *start)
{
	const struct vmm_config *config = &vmm->config;
	int err;

	err = vmm_boot_load(vmm, start->cmdline, start->seed);
	if (!err)
		err = vmm_devices_digest(vmm, &start->devices);
	if (err)
		return err;
	start->kernel = vmm->contents.kernel;
	start->initrd = vmm->contents.initrd;
	start->n_disks = config->n_disks;
	for (unsigned int i = 0; i < start->n_disks; i++) {
		start->disks[i].digest = vmm->contents.disks[i];
		start->disks[i].readonly = config->disks[i].readonly;
	}
	start->memory_size = config->memory;
	start->cpuid = vmm_cpuid_digest();
	start->msrs = vmm_msr_digest();
	start->net = config->net.tap[0];
	memcpy(start->mac, config->net.mac, sizeof(start->mac));
	start->console = config->has_console;
	start->rng = config->rng;
	if (config->role != VMM_ROLE_NONE)
		start->memory = vmm_memory_digest(vmm);
	return 0;
}

/* Behind the log's record of it: an input is logged with the registers it finds, on both sides. */
static int begin(struct vmm *vmm)
{
	int err = vmm_boot_registers(vmm);

	vmm->started = !err;
	return err;
}

int vmm_start_live(struct vmm *vmm)
{
	struct start start = { .memory_size = 0 };
	struct vmm_state state;
	int err;

	if (getrandom(start.seed, sizeof(start.seed), 0) != sizeof(start.seed)) {
		err = -errno;
		vmm_say(vmm, "no random seed from the host: %s", strerror(-err));
		return err;
	}
	err = vmm_boot_cmdline(vmm, start.cmdline, sizeof(start.cmdline));
	if (!err)
		err = build(vmm, &start);
	if (err)
		return err;
	vmm_state_init(&state);
	put(&state, &start);
	err = vmm_state_error(&state);
	if (!err)
		err = vmm->session->input(vmm, VMM_UNIT_BOOT, VMM_START_KIND, state.data,
					  (uint32_t)state.len);
	vmm_state_exit(&state);
	return err ? err : begin(vmm);
}

/**
 * struct verdict - differences found so far
 * @digest: the first pair, for the session: [0] the log's, [1] ours
 */
struct verdict {
	struct vmm *vmm;
	unsigned int count;
	uint64_t digest[LOCKSTEP_DIGESTS];
};

static void compare(struct verdict *verdict, const char *what, uint64_t log, uint64_t here)
{
	if (log == here)
		return;
	vmm_say(verdict->vmm, "the twin would not be the primary's: %s (primary %llx, here %llx)",
		what, (unsigned long long)log, (unsigned long long)here);
	if (verdict->count++)
		return;
	verdict->digest[0] = log;
	verdict->digest[1] = here;
}

static uint64_t mac_number(const uint8_t *mac)
{
	uint64_t number = 0;

	for (unsigned int i = 0; i < 6; i++)
		number = number << 8 | mac[i];
	return number;
}

static int compare_all(struct vmm *vmm, const struct start *log, const struct start *here)
{
	struct verdict verdict = { .vmm = vmm };

	compare(&verdict, "--memory differs", log->memory_size, here->memory_size);
	compare(&verdict, "--kernel is another file", log->kernel, here->kernel);
	compare(&verdict, "--initrd is another file", log->initrd, here->initrd);
	compare(&verdict, "the CPUID table is another release's", log->cpuid, here->cpuid);
	compare(&verdict, "the MSR table is another release's", log->msrs, here->msrs);
	compare(&verdict, "--tap is given on one side only", log->net, here->net);
	compare(&verdict, "--mac differs", mac_number(log->mac), mac_number(here->mac));
	compare(&verdict, "--console is given on one side only", log->console, here->console);
	compare(&verdict, "--rng is given on one side only", log->rng, here->rng);
	compare(&verdict, "another number of --disk", log->n_disks, here->n_disks);
	for (uint32_t i = 0; i < log->n_disks && i < here->n_disks; i++) {
		char what[256];

		snprintf(what, sizeof(what), "--disk %.160s has other content",
			 vmm->config.disks[i].path);
		compare(&verdict, what, log->disks[i].digest, here->disks[i].digest);
		snprintf(what, sizeof(what), "--disk %.160s is read-only on one side only",
			 vmm->config.disks[i].path);
		compare(&verdict, what, log->disks[i].readonly, here->disks[i].readonly);
	}
	compare(&verdict, "the devices start in another state: another release?",
		log->devices, here->devices);
	compare(&verdict, "guest memory starts with other content", log->memory, here->memory);
	if (!verdict.count)
		return 0;
	vmm->session->mismatch(vmm, verdict.digest);
	return -EILSEQ;
}

int vmm_start_apply(struct vmm *vmm, uint16_t kind, const void *data, uint32_t len)
{
	struct start log, here = { .memory_size = 0 };
	struct vmm_state state;
	int err;

	if (kind != VMM_START_KIND || vmm->started)
		return -EINVAL;
	vmm_state_init_read(&state, data, len);
	err = get(&state, &log);
	if (err) {
		vmm_say(vmm, "the log's description of the start state is not understood (another release?)");
		return err;
	}
	memcpy(here.seed, log.seed, sizeof(here.seed));
	memcpy(here.cmdline, log.cmdline, sizeof(here.cmdline));
	err = build(vmm, &here);
	if (!err)
		err = compare_all(vmm, &log, &here);
	return err ? err : begin(vmm);
}
