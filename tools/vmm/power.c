// SPDX-License-Identifier: GPL-2.0
/*
 * The power-off port
 */
#include "power.h"
#include "vmm.h"

#define POWER_BASE	0x604
#define POWER_OFF	0x20	/* in the high byte */

static void power_out(void *opaque, uint16_t port, uint8_t size, uint32_t value)
{
	(void)size;
	if (port == POWER_BASE + 1 && value & POWER_OFF)
		vmm_end(opaque, VMM_END_POWEROFF);
}

static uint32_t power_in(void *opaque, uint16_t port, uint8_t size)
{
	(void)opaque;
	(void)port;
	(void)size;
	return 0;
}

static const struct vmm_pio_ops power_ports = { .width = 1, .in = power_in, .out = power_out };

int vmm_power_create(struct vmm *vmm)
{
	return vmm_pio_add(vmm, POWER_BASE, 2, &power_ports, vmm);
}
