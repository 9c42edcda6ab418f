// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-rng: entropy of the host, through the log
 */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "state.h"
#include "virtio.h"
#include "virtio_rng.h"

#define QUEUE		0
#define QUEUE_SIZE	16
#define HEAD_BYTES	8

/**
 * struct virtio_rng - the device
 * @next_number: of the next request
 * @count: requests that wait for their bytes, the oldest first in @waiting
 */
struct virtio_rng {
	struct virtio_device vd;
	uint64_t next_number;
	unsigned int count;
	struct {
		uint64_t number;
		struct virtqueue_chain chain;
	} waiting[QUEUE_SIZE];
	struct virtqueue_chain chain;
};

static struct virtio_rng *rng_from(struct virtio_device *vd)
{
	return (struct virtio_rng *)vd;
}

static uint32_t wanted(const struct virtqueue_chain *chain)
{
	return chain->in_len < RNG_BYTES_MAX ? (uint32_t)chain->in_len : RNG_BYTES_MAX;
}

/* Where live, draw the bytes of a waiting request and have them logged. */
static void draw(struct virtio_rng *rng, unsigned int slot)
{
	struct vmm *vmm = rng->vd.dev.vmm;
	uint8_t payload[HEAD_BYTES + RNG_BYTES_MAX];
	uint64_t number = htole64(rng->waiting[slot].number);
	uint32_t len = wanted(&rng->waiting[slot].chain);
	ssize_t got;
	int err;

	if (!vmm_is_live(vmm))
		return;
	memcpy(payload, &number, sizeof(number));
	do {
		/* Not interrupted and never short for up to 256 bytes, once the host has booted. */
		got = getrandom(payload + HEAD_BYTES, len, 0);
	} while (got < 0 && errno == EINTR);
	err = got < 0 ? -errno : 0;
	if (!err)
		err = vmm_event_post(vmm, rng->vd.dev.unit, RNG_KIND_DATA, payload,
				     HEAD_BYTES + (uint32_t)got);
	memset(payload, 0, sizeof(payload));
	if (err) {
		vmm_say(vmm, "no entropy for the guest: %s", strerror(-err));
		vmm_fail(vmm);
	}
}

/* For what waits, no bytes are in the log. */
static void draw_all(struct virtio_rng *rng)
{
	for (unsigned int i = 0; i < rng->count; i++)
		draw(rng, i);
}

static void rng_doorbell(struct virtio_device *vd, unsigned int queue)
{
	struct virtio_rng *rng = rng_from(vd);

	/* With more than this waiting, the next answer takes the rest. */
	while (rng->count < QUEUE_SIZE && virtio_pop(vd, queue, &rng->chain)) {
		if (!rng->chain.in_len) {
			virtio_break(vd, queue, "request without room for an answer");
			return;
		}
		rng->waiting[rng->count].number = rng->next_number++;
		rng->waiting[rng->count].chain = rng->chain;
		draw(rng, rng->count++);
	}
}

static void rng_forget(struct virtio_device *vd, unsigned int queue)
{
	(void)queue;
	/* What was drawn for them is on its way: apply knows by the numbers. */
	rng_from(vd)->count = 0;
}

static uint8_t rng_config_in(struct virtio_device *vd, unsigned int offset)
{
	(void)vd;
	(void)offset;
	return 0;
}

static const struct virtio_ops rng_virtio_ops = {
	.config_in = rng_config_in,
	.doorbell = rng_doorbell,
	.forget = rng_forget,
};

static int rng_apply(struct vmm_device *dev, uint16_t kind, const void *data, uint32_t len)
{
	struct virtio_rng *rng = rng_from(virtio_from_device(dev));
	uint64_t number;

	if (kind != RNG_KIND_DATA || len <= HEAD_BYTES)
		return -EBADMSG;
	memcpy(&number, data, sizeof(number));
	number = le64toh(number);
	len -= HEAD_BYTES;
	if (number >= rng->next_number)
		return -EBADMSG;
	/* Answers come in order; an older one is of a request the guest has forgotten. */
	if (!rng->count || number < rng->waiting[0].number)
		return 0;
	if (number != rng->waiting[0].number || len > wanted(&rng->waiting[0].chain))
		return -EBADMSG;
	rng->chain = rng->waiting[0].chain;
	rng->count--;
	memmove(&rng->waiting[0], &rng->waiting[1], rng->count * sizeof(rng->waiting[0]));
	if (rng->vd.broken)
		return 0;
	virtqueue_chain_write(dev->vmm, &rng->chain, 0, (const uint8_t *)data + HEAD_BYTES, len);
	virtio_push(&rng->vd, QUEUE, rng->chain.head, len);
	rng_doorbell(&rng->vd, QUEUE);
	return 0;
}

static int rng_save(struct vmm_device *dev, struct vmm_state *state)
{
	const struct virtio_rng *rng = rng_from(virtio_from_device(dev));

	virtio_save(&rng->vd, state);
	vmm_state_put_u64(state, rng->next_number);
	vmm_state_put_u32(state, rng->count);
	for (unsigned int i = 0; i < rng->count; i++) {
		vmm_state_put_u64(state, rng->waiting[i].number);
		virtqueue_chain_save(&rng->waiting[i].chain, state);
	}
	return vmm_state_error(state);
}

static int rng_load(struct vmm_device *dev, struct vmm_state *state)
{
	struct virtio_rng *rng = rng_from(virtio_from_device(dev));

	virtio_load(&rng->vd, state);
	rng->next_number = vmm_state_get_u64(state);
	rng->count = vmm_state_get_max(state, QUEUE_SIZE);
	for (unsigned int i = 0; i < rng->count; i++) {
		rng->waiting[i].number = vmm_state_get_u64(state);
		virtqueue_chain_load(dev->vmm, &rng->vd.queues[QUEUE], &rng->waiting[i].chain,
				     state);
		if (!rng->waiting[i].chain.in_len || rng->waiting[i].number >= rng->next_number)
			vmm_state_fail(state, -EINVAL);
	}
	if (!vmm_state_error(state))
		draw_all(rng);
	return vmm_state_error(state);
}

static void rng_go_live(struct vmm_device *dev)
{
	draw_all(rng_from(virtio_from_device(dev)));
}

static void rng_destroy(struct vmm_device *dev)
{
	free(dev);
}

static const struct vmm_device_ops rng_device_ops = {
	.name = "virtio-rng",
	.apply = rng_apply,
	.save = rng_save,
	.load = rng_load,
	.go_live = rng_go_live,
	.destroy = rng_destroy,
};

static const struct virtio_type rng_type = {
	.id = VIRTIO_ID_RNG,
	.pci_device = 0x1005,
	.class_code = 0x00ff00,
	.queue_count = 1,
	.queue_size = QUEUE_SIZE,
	.ops = &rng_virtio_ops,
	.device_ops = &rng_device_ops,
};

int virtio_rng_create(struct vmm *vmm, struct pci_bus *bus)
{
	struct virtio_rng *rng;
	int err;

	rng = calloc(1, sizeof(*rng));
	if (!rng)
		return -ENOMEM;
	err = virtio_init(&rng->vd, vmm, bus, &rng_type, VMM_UNIT_RNG, 0);
	if (!err)
		err = vmm_device_add(vmm, &rng->vd.dev);
	if (err)
		free(rng);
	return err;
}
