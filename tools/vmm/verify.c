// SPDX-License-Identifier: GPL-2.0
/*
 * Digests and dumps of the whole state
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "control.h"
#include "devices.h"
#include "dump.h"
#include "memory.h"
#include "session.h"
#include "state.h"
#include "verify.h"
#include "vmm.h"

static bool name_ok(const char *name)
{
	size_t len = strlen(name);

	return len && len < VMM_VERIFY_NAME_MAX && name[0] != '.' &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

int vmm_verify_request(struct vmm *vmm, uint16_t kind, uint64_t id, const char *name)
{
	struct vmm_state state;
	int err;

	if (kind != VMM_VERIFY_DUMP)
		name = "";
	else if (!name_ok(name))
		return -EINVAL;
	if (!vmm->live)
		return -ENOTCONN;
	vmm_state_init(&state);
	vmm_state_put_u64(&state, id);
	vmm_state_put_u32(&state, (uint32_t)strlen(name));
	vmm_state_put(&state, name, strlen(name));
	err = vmm_state_error(&state);
	if (!err)
		err = vmm_event_post(vmm, VMM_UNIT_CONTROL, kind, state.data, (uint32_t)state.len);
	vmm_state_exit(&state);
	return err;
}

static int disk_digests(struct vmm *vmm, uint64_t *disks)
{
	for (unsigned int i = 0; i < vmm->config.n_disks; i++) {
		struct vmm_device *dev = vmm->units[VMM_UNIT_DISK0 + i];
		int err;

		disks[i] = 0;
		if (!dev || !dev->ops->digest)
			continue;
		err = dev->ops->digest(dev, &disks[i]);
		if (err)
			return err;
	}
	return 0;
}

/* Where writes are tracked, what they add up to has to be what memory says. */
static int check_update(struct vmm *vmm, uint64_t full)
{
	uint64_t digest;
	int err;

	if (!vmm->ram.sums)
		return 0;
	err = vmm_memory_digest_update(vmm, &digest);
	if (err || digest == full)
		return err;
	vmm_say(vmm, "a write to guest memory was not noticed: digests by tracking are not to be trusted");
	return -EUCLEAN;
}

static int digest_all(struct vmm *vmm, uint16_t kind, struct vmm_verify_result *result,
		      uint64_t *disks)
{
	int err = vmm_dump_digest_vcpu(vmm, &result->digest[VMM_DIGEST_VCPU]);

	if (!err)
		err = vmm_devices_digest(vmm, &result->digest[VMM_DIGEST_DEVICES]);
	if (!err)
		err = disk_digests(vmm, disks);
	if (err)
		return err;
	/* Swapped disks must not be equal: each digest in its own place. */
	for (unsigned int i = 0; i < vmm->config.n_disks; i++)
		result->digest[VMM_DIGEST_DISKS] = result->digest[VMM_DIGEST_DISKS] * 31 + disks[i];
	if (kind == VMM_VERIFY_DIGEST)
		return vmm_memory_digest_update(vmm, &result->digest[VMM_DIGEST_MEMORY]);
	result->digest[VMM_DIGEST_MEMORY] = vmm_memory_digest(vmm);
	return check_update(vmm, result->digest[VMM_DIGEST_MEMORY]);
}

static int write_dump(struct vmm *vmm, const char *name, const uint64_t *disks)
{
	char *path;
	int err;

	mkdir(vmm->config.state_dir, 0700);
	if (asprintf(&path, "%s/%s", vmm->config.state_dir, name) < 0)
		return -ENOMEM;
	err = vmm_dump_write(vmm, path, disks, vmm->config.n_disks);
	if (err)
		vmm_say(vmm, "%s: %s", path, strerror(-err));
	free(path);
	return err;
}

static int verify_apply(struct vmm_device *dev, uint16_t kind, const void *data, uint32_t len)
{
	struct vmm_verify_result result = { .error = 0 };
	char name[VMM_VERIFY_NAME_MAX] = "";
	uint64_t disks[VMM_DISKS_MAX];
	struct vmm *vmm = dev->vmm;
	struct vmm_state state;
	int err;

	vmm_state_init_read(&state, data, len);
	result.id = vmm_state_get_u64(&state);
	vmm_state_get(&state, name, vmm_state_get_max(&state, sizeof(name) - 1));
	err = vmm_state_end(&state);
	if (err || kind < VMM_VERIFY_DIGEST || kind > VMM_VERIFY_DUMP ||
	    (kind == VMM_VERIFY_DUMP && !name_ok(name)))
		return -EINVAL;
	result.stops = vmm->counters.stops;
	result.error = digest_all(vmm, kind, &result, disks);
	/* A dump that can't be written is this host's trouble and none of the guest's. */
	if (!result.error && kind == VMM_VERIFY_DUMP)
		result.error = write_dump(vmm, name, disks);
	err = vmm->session->digest(vmm, result.digest);
	if (err && !result.error)
		result.error = err;
	vmm_control_done(vmm, &result);
	if (err == -EILSEQ)
		vmm_say(vmm, "the state differs from the primary's");
	return err == -ESHUTDOWN ? 0 : err;
}

static int verify_save(struct vmm_device *dev, struct vmm_state *state)
{
	(void)dev;
	return vmm_state_error(state);
}

static int verify_load(struct vmm_device *dev, struct vmm_state *state)
{
	(void)dev;
	return vmm_state_error(state);
}

static void verify_destroy(struct vmm_device *dev)
{
	free(dev);
}

static const struct vmm_device_ops verify_ops = {
	.name = "control",
	.apply = verify_apply,
	.save = verify_save,
	.load = verify_load,
	.destroy = verify_destroy,
};

int vmm_verify_create(struct vmm *vmm)
{
	struct vmm_device *dev = calloc(1, sizeof(*dev));
	int err;

	if (!dev)
		return -ENOMEM;
	*dev = (struct vmm_device){ .ops = &verify_ops, .vmm = vmm, .unit = VMM_UNIT_CONTROL };
	err = vmm_device_add(vmm, dev);
	if (err)
		free(dev);
	return err;
}
