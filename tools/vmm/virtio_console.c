// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-console with one port
 */
#include <errno.h>
#include <linux/lockstep.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"
#include "virtio.h"
#include "virtio_console.h"

#define QUEUE_RECEIVE	0
#define QUEUE_TRANSMIT	1
#define QUEUE_SIZE	128

#define OUTPUT_BYTES	4096		/* handed over at once */
#define REQUEST_BYTES	(1U << 20)	/* more than any driver writes at once */

/**
 * struct virtio_console - the device
 * @input: bytes that wait for a buffer, @input_len of them
 * @chain: request being looked at
 */
struct virtio_console {
	struct virtio_device vd;
	uint32_t input_len;
	uint8_t input[CONSOLE_INPUT_BYTES];
	struct virtqueue_chain chain;
};

static struct virtio_console *console_from(struct virtio_device *vd)
{
	return (struct virtio_console *)vd;
}

static void room_tell(struct virtio_console *console, uint32_t taken)
{
	vmm_stream_room(console->vd.dev.vmm, LOCKSTEP_STREAM_CONSOLE,
			CONSOLE_INPUT_BYTES - console->input_len, taken);
}

/* Fill the guest's buffers with what waits. */
static void deliver(struct virtio_console *console)
{
	struct virtqueue_chain *chain = &console->chain;

	while (console->input_len && virtio_pop(&console->vd, QUEUE_RECEIVE, chain)) {
		uint32_t len = console->input_len;

		if (!chain->in_len) {
			virtio_break(&console->vd, QUEUE_RECEIVE, "buffer without room");
			return;
		}
		if (len > chain->in_len)
			len = (uint32_t)chain->in_len;
		virtqueue_chain_write(console->vd.dev.vmm, chain, 0, console->input, len);
		console->input_len -= len;
		memmove(console->input, console->input + len, console->input_len);
		virtio_push(&console->vd, QUEUE_RECEIVE, chain->head, len);
	}
}

static void send(struct virtio_console *console)
{
	const struct virtqueue_chain *chain = &console->chain;
	struct vmm *vmm = console->vd.dev.vmm;
	uint8_t bytes[OUTPUT_BYTES];
	uint64_t done = 0;

	while (done < chain->out_len) {
		uint32_t len = virtqueue_chain_read(vmm, chain, done, bytes, sizeof(bytes));

		/* Below 0 this instance is over, and the machine ends after this stop. */
		if (vmm_output_bytes(vmm, LOCKSTEP_STREAM_CONSOLE, bytes, len) < 0)
			return;
		done += len;
	}
}

static void transmit(struct virtio_console *console)
{
	/* The guest stands still: it has queued no more than this. */
	for (unsigned int i = 0; i < QUEUE_SIZE; i++) {
		if (!virtio_pop(&console->vd, QUEUE_TRANSMIT, &console->chain))
			return;
		if (console->chain.out_len > REQUEST_BYTES) {
			virtio_break(&console->vd, QUEUE_TRANSMIT, "write of more than 1 MiB");
			return;
		}
		send(console);
		virtio_push(&console->vd, QUEUE_TRANSMIT, console->chain.head, 0);
	}
}

static void console_doorbell(struct virtio_device *vd, unsigned int queue)
{
	struct virtio_console *console = console_from(vd);
	uint32_t before = console->input_len;

	if (queue == QUEUE_TRANSMIT) {
		transmit(console);
		return;
	}
	deliver(console);
	if (console->input_len != before)
		room_tell(console, 0);
}

static uint8_t console_config_in(struct virtio_device *vd, unsigned int offset)
{
	(void)vd;
	(void)offset;
	return 0;
}

static const struct virtio_ops console_virtio_ops = {
	.config_in = console_config_in,
	.doorbell = console_doorbell,
};

static int console_apply(struct vmm_device *dev, uint16_t kind, const void *data, uint32_t len)
{
	struct virtio_console *console = console_from(virtio_from_device(dev));

	if (kind != VMM_KIND_RECEIVE || len > CONSOLE_INPUT_BYTES - console->input_len)
		return -EBADMSG;
	memcpy(console->input + console->input_len, data, len);
	console->input_len += len;
	deliver(console);
	room_tell(console, len);
	return 0;
}

static int console_save(struct vmm_device *dev, struct vmm_state *state)
{
	const struct virtio_console *console = console_from(virtio_from_device(dev));

	virtio_save(&console->vd, state);
	vmm_state_put_u32(state, console->input_len);
	vmm_state_put(state, console->input, console->input_len);
	return vmm_state_error(state);
}

static int console_load(struct vmm_device *dev, struct vmm_state *state)
{
	struct virtio_console *console = console_from(virtio_from_device(dev));

	virtio_load(&console->vd, state);
	console->input_len = vmm_state_get_max(state, CONSOLE_INPUT_BYTES);
	vmm_state_get(state, console->input, console->input_len);
	room_tell(console, 0);
	return vmm_state_error(state);
}

static void console_destroy(struct vmm_device *dev)
{
	free(dev);
}

static const struct vmm_device_ops console_device_ops = {
	.name = "virtio-console",
	.apply = console_apply,
	.save = console_save,
	.load = console_load,
	.destroy = console_destroy,
};

static const struct virtio_type console_type = {
	.id = VIRTIO_ID_CONSOLE,
	.pci_device = 0x1003,
	.class_code = 0x078000,
	.queue_count = 2,
	.queue_size = QUEUE_SIZE,
	.ops = &console_virtio_ops,
	.device_ops = &console_device_ops,
};

int virtio_console_create(struct vmm *vmm, struct pci_bus *bus,
			  const struct vmm_sink_config *sink)
{
	struct virtio_console *console;
	int err;

	console = calloc(1, sizeof(*console));
	if (!console)
		return -ENOMEM;
	err = virtio_init(&console->vd, vmm, bus, &console_type, VMM_UNIT_CONSOLE, 0);
	if (!err)
		err = vmm_device_add(vmm, &console->vd.dev);
	if (err) {
		free(console);
		return err;
	}
	err = vmm_stream_open(vmm, LOCKSTEP_STREAM_CONSOLE, sink, VMM_UNIT_CONSOLE);
	if (!err)
		room_tell(console, 0);
	return err;
}
