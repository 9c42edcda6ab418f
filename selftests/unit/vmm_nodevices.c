// SPDX-License-Identifier: GPL-2.0
/*
 * The devices of the table in devices.c, absent; a test brings vmm_serial_create()
 */
#include "vmm/i8042.h"
#include "vmm/pci.h"
#include "vmm/pic.h"
#include "vmm/pit.h"
#include "vmm/power.h"
#include "vmm/rtc.h"
#include "vmm/verify.h"
#include "vmm/virtio_blk.h"
#include "vmm/virtio_console.h"
#include "vmm/virtio_net.h"
#include "vmm/virtio_rng.h"
#include "vmm/vmm.h"

int vmm_pic_create(struct vmm *m)
{
	(void)m;
	return 0;
}

int vmm_pit_create(struct vmm *m)
{
	(void)m;
	return 0;
}

int vmm_rtc_create(struct vmm *m)
{
	(void)m;
	return 0;
}

int vmm_i8042_create(struct vmm *m)
{
	(void)m;
	return 0;
}

int vmm_power_create(struct vmm *m)
{
	(void)m;
	return 0;
}

int vmm_verify_create(struct vmm *m)
{
	(void)m;
	return 0;
}

int pci_bus_create(struct vmm *m, struct pci_bus **bus)
{
	(void)m;
	*bus = NULL;
	return 0;
}

int virtio_net_create(struct vmm *m, struct pci_bus *bus, const struct vmm_net_config *config)
{
	(void)m;
	(void)bus;
	(void)config;
	return 0;
}

int virtio_blk_create(struct vmm *m, struct pci_bus *bus, const struct vmm_disk_config *config,
		      unsigned int index)
{
	(void)m;
	(void)bus;
	(void)config;
	(void)index;
	return 0;
}

int virtio_console_create(struct vmm *m, struct pci_bus *bus, const struct vmm_sink_config *sink)
{
	(void)m;
	(void)bus;
	(void)sink;
	return 0;
}

int virtio_rng_create(struct vmm *m, struct pci_bus *bus)
{
	(void)m;
	(void)bus;
	return 0;
}

uint16_t pci_bus_level_irqs(void)
{
	return 0;
}

void vmm_pic_set_level(struct vmm *m, uint16_t lines)
{
	(void)m;
	(void)lines;
}
