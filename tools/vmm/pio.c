// SPDX-License-Identifier: GPL-2.0
/*
 * I/O ports: who answers where
 */
#include <errno.h>
#include <string.h>

#include "pio.h"
#include "vmm.h"

_Static_assert(VMM_PIO_RANGES_MAX < 256, "ports[] holds an index and 0");

int vmm_pio_add(struct vmm *vmm, uint16_t base, uint16_t len, const struct vmm_pio_ops *ops,
		void *opaque)
{
	struct vmm_pio_range *range = &vmm->ranges[vmm->n_ranges];

	if (!len || base + len > 65536)
		return -EINVAL;
	if (vmm->n_ranges == VMM_PIO_RANGES_MAX)
		return -ENOSPC;
	for (unsigned int i = 0; i < len; i++)
		if (vmm->ports[base + i])
			return -EEXIST;
	*range = (struct vmm_pio_range){ .base = base, .len = len, .ops = ops, .opaque = opaque };
	vmm->n_ranges++;
	memset(vmm->ports + base, (int)vmm->n_ranges, len);
	return 0;
}

static const struct vmm_pio_range *find(const struct vmm *vmm, uint16_t port)
{
	uint8_t index = vmm->ports[port];

	return index ? &vmm->ranges[index - 1] : NULL;
}

/* May one call serve the whole access? */
static bool fits(const struct vmm_pio_range *range, uint16_t port, uint8_t size)
{
	uint8_t width = range->ops->width ? range->ops->width : 4;

	return size <= width && port + size <= range->base + range->len;
}

uint32_t vmm_pio_in(struct vmm *vmm, uint16_t port, uint8_t size)
{
	const struct vmm_pio_range *range = find(vmm, port);
	uint32_t value = 0;

	if (size == 1 && !range)
		return 0xff;
	if (range && (size == 1 || fits(range, port, size))) {
		value = range->ops->in(range->opaque, port, size);
		return size == 4 ? value : value & ((1U << size * 8) - 1);
	}
	for (uint8_t i = 0; i < size; i++)
		value |= vmm_pio_in(vmm, (uint16_t)(port + i), 1) << i * 8;
	return value;
}

void vmm_pio_out(struct vmm *vmm, uint16_t port, uint8_t size, uint32_t value)
{
	const struct vmm_pio_range *range = find(vmm, port);

	if (size == 1 && !range)
		return;
	if (range && (size == 1 || fits(range, port, size))) {
		range->ops->out(range->opaque, port, size, value);
		return;
	}
	for (uint8_t i = 0; i < size; i++)
		vmm_pio_out(vmm, (uint16_t)(port + i), 1, value >> i * 8 & 0xff);
}
