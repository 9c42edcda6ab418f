// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-net on a tap
 */
#include <endian.h>
#include <errno.h>
#include <linux/lockstep.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kept.h"
#include "state.h"
#include "tap.h"
#include "virtio.h"
#include "virtio_net.h"

#define QUEUE_RECEIVE	0
#define QUEUE_TRANSMIT	1
#define QUEUE_SIZE	256

/* In front of each frame in guest memory; without mergeable buffers it is the short one. */
#define HEAD_BYTES	sizeof(struct virtio_net_hdr)

#define FEATURES	(1U << VIRTIO_NET_F_MAC | 1U << VIRTIO_NET_F_STATUS | \
			 1U << VIRTIO_F_ANY_LAYOUT)

/**
 * struct virtio_net - the device
 * @mac: as the guest sees and may set it
 * @sent: number of the last frame the guest has sent
 * @kept: on a twin
 * @chain: request being looked at
 * @frame: header and frame on their way
 */
struct virtio_net {
	struct virtio_device vd;
	struct tap *tap;
	uint8_t mac[6];
	uint64_t sent;
	struct kept kept;
	struct virtqueue_chain chain;
	uint8_t frame[HEAD_BYTES + TAP_FRAME_MAX];
};

static struct virtio_net *net_from(struct virtio_device *vd)
{
	return (struct virtio_net *)vd;
}

static void kept_update(struct virtio_net *net)
{
	if (!STAILQ_EMPTY(&net->kept.frames))
		kept_release(&net->kept, vmm_output_released(net->vd.dev.vmm, LOCKSTEP_STREAM_NET));
}

static void frame_keep(struct virtio_net *net, const uint8_t *frame, uint32_t len)
{
	int err = kept_add(&net->kept, net->sent, frame, len);

	if (!err)
		return;
	/* A frame lost here could be lost for good: this twin can't take over any more. */
	vmm_say(net->vd.dev.vmm, "%s: the primary has not confirmed %llu MiB of frames",
		err == -ENOBUFS ? "too many kept outputs" : "no memory on the host for outputs",
		(unsigned long long)net->kept.bytes >> 20);
	vmm_fail(net->vd.dev.vmm);
}

static void frame_send(struct virtio_net *net, const uint8_t *frame, uint32_t len)
{
	int live;

	net->sent++;
	tap_hold(net->tap);
	live = vmm_output(net->vd.dev.vmm, LOCKSTEP_STREAM_NET, net->sent, frame, len);
	if (live > 0)
		tap_send(net->tap, frame, len);
	tap_unhold(net->tap);
	if (!live)
		frame_keep(net, frame, len);
}

/* Is what the guest offers one frame, without the offloads it was not offered? */
static bool frame_copy(struct virtio_net *net, uint32_t *len)
{
	const struct virtqueue_chain *chain = &net->chain;
	struct virtio_net_hdr head;

	if (chain->out_len < HEAD_BYTES + TAP_FRAME_MIN || chain->out_len > sizeof(net->frame))
		return false;
	*len = (uint32_t)(chain->out_len - HEAD_BYTES);
	virtqueue_chain_read(net->vd.dev.vmm, chain, 0, net->frame, (uint32_t)chain->out_len);
	memcpy(&head, net->frame, sizeof(head));
	return !(head.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
		head.gso_type == VIRTIO_NET_HDR_GSO_NONE;
}

static void transmit(struct virtio_net *net)
{
	uint32_t len;

	/* The guest stands still: it has queued no more than this. */
	for (unsigned int i = 0; i < QUEUE_SIZE; i++) {
		if (!virtio_pop(&net->vd, QUEUE_TRANSMIT, &net->chain))
			break;
		if (frame_copy(net, &len))
			frame_send(net, net->frame + HEAD_BYTES, len);
		virtio_push(&net->vd, QUEUE_TRANSMIT, net->chain.head, 0);
	}
	kept_update(net);
}

static void side_update(struct virtio_net *net)
{
	tap_set(net->tap, vmm_is_live(net->vd.dev.vmm), virtio_is_running(&net->vd));
}

static void net_doorbell(struct virtio_device *vd, unsigned int queue)
{
	if (queue == QUEUE_TRANSMIT)
		transmit(net_from(vd));
}

static void net_status(struct virtio_device *vd)
{
	side_update(net_from(vd));
}

static uint8_t net_config_in(struct virtio_device *vd, unsigned int offset)
{
	const struct virtio_net *net = net_from(vd);
	struct virtio_net_config config = { .status = htole16(VIRTIO_NET_S_LINK_UP) };

	memcpy(config.mac, net->mac, sizeof(config.mac));
	return offset < sizeof(config) ? ((const uint8_t *)&config)[offset] : 0;
}

static void net_config_out(struct virtio_device *vd, unsigned int offset, uint8_t value)
{
	/* Without a control queue this is how a guest changes its address. */
	if (offset < sizeof(net_from(vd)->mac))
		net_from(vd)->mac[offset] = value;
}

static const struct virtio_ops net_virtio_ops = {
	.config_in = net_config_in,
	.config_out = net_config_out,
	.doorbell = net_doorbell,
	.status = net_status,
};

static void receive(struct virtio_net *net, const void *data, uint32_t len)
{
	struct virtqueue_chain *chain = &net->chain;

	if (!virtio_is_running(&net->vd) || !virtio_pop(&net->vd, QUEUE_RECEIVE, chain))
		return;
	if (chain->in_len < HEAD_BYTES + len) {
		virtio_unpop(&net->vd, QUEUE_RECEIVE);
		return;
	}
	memset(net->frame, 0, HEAD_BYTES);
	memcpy(net->frame + HEAD_BYTES, data, len);
	virtqueue_chain_write(net->vd.dev.vmm, chain, 0, net->frame, (uint32_t)HEAD_BYTES + len);
	virtio_push(&net->vd, QUEUE_RECEIVE, chain->head, (uint32_t)HEAD_BYTES + len);
}

static int net_apply(struct vmm_device *dev, uint16_t kind, const void *data, uint32_t len)
{
	struct virtio_net *net = net_from(virtio_from_device(dev));

	if (kind != TAP_KIND_FRAME || len < TAP_FRAME_MIN || len > TAP_FRAME_MAX)
		return -EBADMSG;
	receive(net, data, len);
	tap_applied(net->tap);
	kept_update(net);
	side_update(net);
	return 0;
}

static int net_save(struct vmm_device *dev, struct vmm_state *state)
{
	const struct virtio_net *net = net_from(virtio_from_device(dev));

	virtio_save(&net->vd, state);
	vmm_state_put(state, net->mac, sizeof(net->mac));
	vmm_state_put_u64(state, net->sent);
	return vmm_state_error(state);
}

static int net_load(struct vmm_device *dev, struct vmm_state *state)
{
	struct virtio_net *net = net_from(virtio_from_device(dev));

	virtio_load(&net->vd, state);
	vmm_state_get(state, net->mac, sizeof(net->mac));
	net->sent = vmm_state_get_u64(state);
	side_update(net);
	return vmm_state_error(state);
}

static void net_go_live(struct vmm_device *dev)
{
	struct virtio_net *net = net_from(virtio_from_device(dev));
	struct kept_frame *frame;

	kept_update(net);
	tap_hold(net->tap);
	STAILQ_FOREACH(frame, &net->kept.frames, link)
		tap_send(net->tap, frame->data, frame->len);
	tap_unhold(net->tap);
	kept_release(&net->kept, UINT64_MAX);
	tap_announce(net->tap, net->mac);
	side_update(net);
}

static void net_destroy(struct vmm_device *dev)
{
	struct virtio_net *net = net_from(virtio_from_device(dev));

	tap_destroy(net->tap);
	kept_exit(&net->kept);
	free(net);
}

static const struct vmm_device_ops net_device_ops = {
	.name = "virtio-net",
	.apply = net_apply,
	.save = net_save,
	.load = net_load,
	.go_live = net_go_live,
	.destroy = net_destroy,
};

static const struct virtio_type net_type = {
	.id = VIRTIO_ID_NET,
	.pci_device = 0x1000,
	.class_code = 0x020000,
	.queue_count = 2,
	.queue_size = QUEUE_SIZE,
	.ops = &net_virtio_ops,
	.device_ops = &net_device_ops,
};

int virtio_net_create_fd(struct vmm *vmm, struct pci_bus *bus, int fd, const uint8_t mac[6])
{
	struct virtio_net *net;
	int err;

	net = calloc(1, sizeof(*net));
	if (!net) {
		close(fd);
		return -ENOMEM;
	}
	memcpy(net->mac, mac, sizeof(net->mac));
	kept_init(&net->kept);
	err = tap_create(vmm, fd, VMM_UNIT_NET, &net->tap);
	if (err)
		goto free;
	err = virtio_init(&net->vd, vmm, bus, &net_type, VMM_UNIT_NET, FEATURES);
	if (!err)
		err = vmm_device_add(vmm, &net->vd.dev);
	if (err)
		goto tap;
	return 0;

tap:
	tap_destroy(net->tap);
free:
	free(net);
	return err;
}

int virtio_net_create(struct vmm *vmm, struct pci_bus *bus, const struct vmm_net_config *config)
{
	int fd = tap_attach(vmm, config->tap);

	return fd < 0 ? fd : virtio_net_create_fd(vmm, bus, fd, config->mac);
}
