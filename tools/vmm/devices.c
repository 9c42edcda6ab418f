// SPDX-License-Identifier: GPL-2.0
/*
 * All devices of the machine
 */
#include <errno.h>
#include <string.h>
#include <xxhash.h>

#include "devices.h"
#include "i8042.h"
#include "pci.h"
#include "pic.h"
#include "pit.h"
#include "power.h"
#include "rtc.h"
#include "serial.h"
#include "state.h"
#include "stream.h"
#include "verify.h"
#include "virtio_blk.h"
#include "virtio_console.h"
#include "virtio_net.h"
#include "virtio_rng.h"
#include "vmm.h"

static int create_pci(struct vmm *vmm)
{
	int err = pci_bus_create(vmm, &vmm->pci);

	if (!err)
		vmm_pic_set_level(vmm, pci_bus_level_irqs());
	return err;
}

static int create_net(struct vmm *vmm)
{
	return vmm->config.net.tap[0] ? virtio_net_create(vmm, vmm->pci, &vmm->config.net) : 0;
}

static int create_disks(struct vmm *vmm)
{
	int err = 0;

	for (unsigned int i = 0; i < vmm->config.n_disks && !err; i++)
		err = virtio_blk_create(vmm, vmm->pci, &vmm->config.disks[i], i);
	return err;
}

static int create_console(struct vmm *vmm)
{
	if (!vmm->config.has_console)
		return 0;
	return virtio_console_create(vmm, vmm->pci, &vmm->config.console);
}

static int create_rng(struct vmm *vmm)
{
	return vmm->config.rng ? virtio_rng_create(vmm, vmm->pci) : 0;
}

/*
 * The order is that of the PCI slots and of the saved states: the same on both
 * hosts.  The PIC comes first, for all others drive its lines.
 */
static const struct {
	const char *name;
	int (*create)(struct vmm *vmm);
} table[] = {
	{ "pic", vmm_pic_create },
	{ "pit", vmm_pit_create },
	{ "rtc", vmm_rtc_create },
	{ "i8042", vmm_i8042_create },
	{ "power-off port", vmm_power_create },
	{ "serial", vmm_serial_create },
	{ "control", vmm_verify_create },
	{ "pci", create_pci },
	{ "net", create_net },
	{ "disk", create_disks },
	{ "console", create_console },
	{ "rng", create_rng },
};

int vmm_device_add(struct vmm *vmm, struct vmm_device *dev)
{
	if (vmm->n_devices == VMM_DEVICES_MAX)
		return -ENOSPC;
	if (dev->unit < VMM_UNITS) {
		if (vmm->units[dev->unit])
			return -EEXIST;
		vmm->units[dev->unit] = dev;
	}
	vmm->devices[vmm->n_devices++] = dev;
	return 0;
}

int vmm_devices_create(struct vmm *vmm)
{
	for (unsigned int i = 0; i < VMM_UNITS; i++)
		vmm->timers[i].ns = VMM_NEVER;
	for (unsigned int i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int err = table[i].create(vmm);

		if (err) {
			vmm_say(vmm, "device %s: %s", table[i].name, strerror(-err));
			return err;
		}
	}
	return 0;
}

void vmm_devices_destroy(struct vmm *vmm)
{
	while (vmm->n_devices) {
		struct vmm_device *dev = vmm->devices[--vmm->n_devices];

		if (dev->unit < VMM_UNITS)
			vmm->units[dev->unit] = NULL;
		dev->ops->destroy(dev);
	}
}

int vmm_devices_apply(struct vmm *vmm, uint16_t unit, uint16_t kind, const void *data,
		      uint32_t len)
{
	struct vmm_device *dev = unit < VMM_UNITS ? vmm->units[unit] : NULL;

	if (!dev || !dev->ops->apply)
		return -EINVAL;
	/* A timer that has fired is off, unless the device sets it again. */
	if (vmm->timers[unit].kind == kind && vmm->timers[unit].ns != VMM_NEVER)
		vmm->timers[unit].ns = VMM_NEVER;
	return dev->ops->apply(dev, kind, data, len);
}

void vmm_devices_go_live(struct vmm *vmm)
{
	for (unsigned int i = 0; i < vmm->n_devices; i++)
		if (vmm->devices[i]->ops->go_live)
			vmm->devices[i]->ops->go_live(vmm->devices[i]);
}

int vmm_devices_save(struct vmm *vmm, struct vmm_state *state)
{
	int err;

	for (unsigned int i = 0; i < vmm->n_devices; i++) {
		struct vmm_device *dev = vmm->devices[i];

		err = dev->ops->save(dev, state);
		if (err)
			return err;
	}
	for (unsigned int i = 0; i < VMM_UNITS; i++) {
		vmm_state_put_u64(state, vmm->timers[i].ns);
		vmm_state_put_u16(state, vmm->timers[i].kind);
	}
	vmm_state_put_bool(state, vmm->halted);
	return vmm_streams_save(vmm, state);
}

int vmm_devices_load(struct vmm *vmm, struct vmm_state *state)
{
	int err;

	for (unsigned int i = 0; i < vmm->n_devices; i++) {
		struct vmm_device *dev = vmm->devices[i];

		err = dev->ops->load(dev, state);
		if (err)
			return err;
	}
	for (unsigned int i = 0; i < VMM_UNITS; i++) {
		vmm->timers[i].ns = vmm_state_get_u64(state);
		vmm->timers[i].kind = vmm_state_get_u16(state);
	}
	vmm->halted = vmm_state_get_bool(state);
	err = vmm_streams_load(vmm, state);
	return err ? err : vmm_state_end(state);
}

int vmm_devices_digest(struct vmm *vmm, uint64_t *digest)
{
	struct vmm_state state;
	int err;

	vmm_state_init(&state);
	err = vmm_devices_save(vmm, &state);
	if (!err)
		*digest = XXH64(state.data, state.len, 0);
	vmm_state_exit(&state);
	return err;
}
