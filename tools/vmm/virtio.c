// SPDX-License-Identifier: GPL-2.0
/*
 * virtio devices over legacy PCI: registers, queues and interrupt
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>

#include "state.h"
#include "virtio.h"

#define VENDOR_VIRTIO	0x1af4
#define BAR_BYTES	128
/* No MSI-X, so the device's configuration follows the registers at once. */
#define CONFIG_OFFSET	VIRTIO_PCI_CONFIG_OFF(0)

static struct virtqueue *selected_queue(struct virtio_device *vd)
{
	return vd->queue_select < vd->type->queue_count ? &vd->queues[vd->queue_select] : NULL;
}

static void interrupt(struct virtio_device *vd)
{
	vd->isr |= 1;
	pci_function_irq(&vd->pci, true);
}

bool virtio_is_running(const struct virtio_device *vd)
{
	return (vd->status & VIRTIO_CONFIG_S_DRIVER_OK) && !vd->broken;
}

void virtio_break(struct virtio_device *vd, unsigned int queue, const char *what)
{
	vd->broken = true;
	vd->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	/* Once is enough: a hostile guest could fill the host's log. */
	if (!vd->reported)
		vmm_say(vd->dev.vmm, "%s: the guest's queue %u is broken (%s): the device stops until the guest resets it",
			vd->dev.ops->name, queue, what);
	vd->reported = true;
}

bool virtio_pop(struct virtio_device *vd, unsigned int queue, struct virtqueue_chain *chain)
{
	int taken;

	if (vd->broken)
		return false;
	taken = virtqueue_pop(vd->dev.vmm, &vd->queues[queue], chain);
	if (taken < 0)
		virtio_break(vd, queue, "invalid index, address or chain");
	return taken > 0;
}

void virtio_unpop(struct virtio_device *vd, unsigned int queue)
{
	virtqueue_unpop(&vd->queues[queue]);
}

void virtio_push(struct virtio_device *vd, unsigned int queue, uint16_t head, uint32_t len)
{
	int wanted;

	if (vd->broken)
		return;
	wanted = virtqueue_push(vd->dev.vmm, &vd->queues[queue], head, len);
	if (wanted < 0)
		virtio_break(vd, queue, "rings are not in memory");
	else if (wanted)
		interrupt(vd);
}

static void forget(struct virtio_device *vd, unsigned int queue)
{
	if (vd->type->ops->forget)
		vd->type->ops->forget(vd, queue);
}

static void reset(struct virtio_device *vd)
{
	for (unsigned int i = 0; i < vd->type->queue_count; i++) {
		forget(vd, i);
		virtqueue_reset(&vd->queues[i]);
	}
	vd->accepted = 0;
	vd->queue_select = 0;
	vd->status = 0;
	vd->isr = 0;
	vd->broken = false;
	pci_function_irq(&vd->pci, false);
}

static uint32_t config_in(struct virtio_device *vd, uint16_t offset, uint8_t size)
{
	uint32_t value = 0;

	for (unsigned int i = 0; i < size; i++)
		value |= (uint32_t)vd->type->ops->config_in(vd, offset - CONFIG_OFFSET + i)
			 << (8 * i);
	return value;
}

static uint32_t bar_in(void *opaque, uint16_t offset, uint8_t size)
{
	struct virtio_device *vd = opaque;
	const struct virtqueue *ring = selected_queue(vd);
	uint8_t isr;

	if (offset >= CONFIG_OFFSET)
		return config_in(vd, offset, size);

	switch (offset << 4 | size) {
	case VIRTIO_PCI_HOST_FEATURES << 4 | 4:
		return vd->offered;
	case VIRTIO_PCI_GUEST_FEATURES << 4 | 4:
		return vd->accepted;
	case VIRTIO_PCI_QUEUE_PFN << 4 | 4:
		return ring ? ring->pfn : 0;
	case VIRTIO_PCI_QUEUE_NUM << 4 | 2:
		return ring ? ring->size : 0;
	case VIRTIO_PCI_QUEUE_SEL << 4 | 2:
		return vd->queue_select;
	case VIRTIO_PCI_QUEUE_NOTIFY << 4 | 2:
		return 0;
	case VIRTIO_PCI_STATUS << 4 | 1:
		return vd->status;
	case VIRTIO_PCI_ISR << 4 | 1:
		isr = vd->isr;
		vd->isr = 0;
		pci_function_irq(&vd->pci, false);
		return isr;
	default:
		return UINT32_MAX;
	}
}

static void features_out(struct virtio_device *vd, uint32_t value)
{
	vd->accepted = value & vd->offered;
	for (unsigned int i = 0; i < vd->type->queue_count; i++)
		vd->queues[i].indirect = vd->accepted >> VIRTIO_RING_F_INDIRECT_DESC & 1;
}

static void status_out(struct virtio_device *vd, uint8_t value)
{
	if (!value)
		reset(vd);
	else
		vd->status = value | (vd->status & VIRTIO_CONFIG_S_NEEDS_RESET);
	if (vd->type->ops->status)
		vd->type->ops->status(vd);
}

static void bar_out(void *opaque, uint16_t offset, uint8_t size, uint32_t value)
{
	struct virtio_device *vd = opaque;

	if (offset >= CONFIG_OFFSET) {
		for (unsigned int i = 0; vd->type->ops->config_out && i < size; i++)
			vd->type->ops->config_out(vd, offset - CONFIG_OFFSET + i,
						  (uint8_t)(value >> (8 * i)));
		return;
	}

	switch (offset << 4 | size) {
	case VIRTIO_PCI_GUEST_FEATURES << 4 | 4:
		features_out(vd, value);
		break;
	case VIRTIO_PCI_QUEUE_PFN << 4 | 4:
		if (selected_queue(vd)) {
			forget(vd, vd->queue_select);
			virtqueue_set_pfn(selected_queue(vd), value);
		}
		break;
	case VIRTIO_PCI_QUEUE_SEL << 4 | 2:
		vd->queue_select = (uint16_t)value;
		break;
	case VIRTIO_PCI_QUEUE_NOTIFY << 4 | 2:
		if (value < vd->type->queue_count && !vd->broken)
			vd->type->ops->doorbell(vd, value);
		break;
	case VIRTIO_PCI_STATUS << 4 | 1:
		status_out(vd, (uint8_t)value);
		break;
	default:
		break;
	}
}

static const struct pci_bar_ops bar_ops = {
	.in = bar_in,
	.out = bar_out,
};

int virtio_init(struct virtio_device *vd, struct vmm *vmm, struct pci_bus *bus,
		const struct virtio_type *type, enum vmm_unit unit, uint32_t offered)
{
	const struct pci_ids ids = {
		.vendor = VENDOR_VIRTIO,
		.device = type->pci_device,
		.subsystem_vendor = VENDOR_VIRTIO,
		.subsystem = type->id,
		.class_code = type->class_code,
		.revision = VIRTIO_PCI_ABI_VERSION,
	};

	vd->dev.ops = type->device_ops;
	vd->dev.vmm = vmm;
	vd->dev.unit = unit;
	vd->type = type;
	vd->offered = offered;
	for (unsigned int i = 0; i < type->queue_count; i++)
		vd->queues[i].size = type->queue_size;
	return pci_function_add(bus, &vd->pci, &ids, BAR_BYTES, &bar_ops, vd);
}

void virtio_save(const struct virtio_device *vd, struct vmm_state *state)
{
	pci_function_save(&vd->pci, state);
	vmm_state_put_u32(state, vd->offered);
	vmm_state_put_u32(state, vd->accepted);
	vmm_state_put_u16(state, vd->queue_select);
	vmm_state_put_u8(state, vd->status);
	vmm_state_put_u8(state, vd->isr);
	vmm_state_put_bool(state, vd->broken);
	for (unsigned int i = 0; i < vd->type->queue_count; i++)
		virtqueue_save(&vd->queues[i], state);
}

void virtio_load(struct virtio_device *vd, struct vmm_state *state)
{
	uint32_t offered, accepted;

	pci_function_load(&vd->pci, state);
	offered = vmm_state_get_u32(state);
	accepted = vmm_state_get_u32(state);
	vd->queue_select = vmm_state_get_u16(state);
	vd->status = vmm_state_get_u8(state);
	vd->isr = vmm_state_get_u8(state);
	vd->broken = vmm_state_get_bool(state);
	for (unsigned int i = 0; i < vd->type->queue_count; i++)
		virtqueue_load(&vd->queues[i], state);
	/* Another set of offered features is another device: not what the guest has seen. */
	if (offered != vd->offered || (accepted & ~offered))
		vmm_state_fail(state, -EINVAL);
	features_out(vd, accepted);
}
