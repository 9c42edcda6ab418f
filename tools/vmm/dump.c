// SPDX-License-Identifier: GPL-2.0
/*
 * The canonical dump of a guest
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "devices.h"
#include "dump.h"
#include "file.h"
#include "memory.h"
#include "msr.h"
#include "state.h"
#include "vcpu.h"
#include "vmm.h"

#define DUMP_MAGIC	"LSDUMP01"
#define SECTION_NAME	16

static const struct {
	const char *name;
	int (*save)(struct vmm *vmm, struct vmm_state *state);
} sections[] = {
	{ "regs", vmm_vcpu_save_regs },
	{ "sregs", vmm_vcpu_save_sregs },
	{ "fpu", vmm_vcpu_save_fpu },
	{ "debugregs", vmm_vcpu_save_debug },
	{ "msrs", vmm_msr_save },
	{ "events", vmm_vcpu_save_events },
	{ "devices", vmm_devices_save },
};

#define VCPU_SECTIONS	6

int vmm_dump_digest_vcpu(struct vmm *vmm, uint64_t *digest)
{
	struct vmm_state state;
	int err = 0;

	vmm_state_init(&state);
	for (unsigned int i = 0; i < VCPU_SECTIONS && !err; i++)
		err = sections[i].save(vmm, &state);
	if (!err)
		*digest = XXH64(state.data, state.len, 0);
	vmm_state_exit(&state);
	return err;
}

static void put_head(struct vmm_state *to, const char *name, uint64_t len)
{
	char padded[SECTION_NAME] = "";

	memcpy(padded, name, strlen(name));
	vmm_state_put(to, padded, sizeof(padded));
	vmm_state_put_u64(to, len);
}

/* Everything but memory. */
static int put_sections(struct vmm *vmm, struct vmm_state *to, const uint64_t *disks,
			unsigned int n_disks)
{
	int err = 0;

	vmm_state_put(to, DUMP_MAGIC, strlen(DUMP_MAGIC));
	for (unsigned int i = 0; i < sizeof(sections) / sizeof(sections[0]) && !err; i++) {
		struct vmm_state section;

		vmm_state_init(&section);
		err = sections[i].save(vmm, &section);
		put_head(to, sections[i].name, section.len);
		vmm_state_put(to, section.data, section.len);
		vmm_state_exit(&section);
	}
	put_head(to, "disks", n_disks * sizeof(*disks));
	for (unsigned int i = 0; i < n_disks; i++)
		vmm_state_put_u64(to, disks[i]);
	put_head(to, "memory", vmm_memory_size(vmm));
	return err ? err : vmm_state_error(to);
}

int vmm_dump_write(struct vmm *vmm, const char *path, const uint64_t *disks, unsigned int n_disks)
{
	struct vmm_state state;
	char *temporary;
	int fd, err;

	if (asprintf(&temporary, "%s.incomplete", path) < 0)
		return -ENOMEM;
	vmm_state_init(&state);
	err = put_sections(vmm, &state, disks, n_disks);
	if (err)
		goto out;
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) {
		err = -errno;
		goto out;
	}
	err = vmm_file_write(fd, state.data, state.len, 0);
	if (!err)
		err = vmm_file_write(fd, vmm->ram.base, vmm_memory_size(vmm), (off_t)state.len);
	if (close(fd) && !err)
		err = -errno;
	if (!err && rename(temporary, path))
		err = -errno;
	if (err)
		unlink(temporary);
out:
	vmm_state_exit(&state);
	free(temporary);
	return err;
}
