// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-blk on a raw file
 */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "state.h"
#include "virtio.h"
#include "virtio_blk.h"

#define QUEUE		0
#define QUEUE_SIZE	128
/* A request without its header and its status byte; direct or indirect, it fits the queue. */
#define SEGMENTS_MAX	(QUEUE_SIZE - 2)
#define SEGMENT_BYTES	16384
#define REQUEST_BYTES	(SEGMENTS_MAX * SEGMENT_BYTES)
/* Requests are taken while less than this is in flight. */
#define FLIGHT_BYTES	(8U << 20)
#define FLIGHT_REQUESTS	(2 * QUEUE_SIZE)

#define FEATURES	(1U << VIRTIO_BLK_F_SIZE_MAX | 1U << VIRTIO_BLK_F_SEG_MAX | \
			 1U << VIRTIO_BLK_F_BLK_SIZE | 1U << VIRTIO_BLK_F_FLUSH | \
			 1U << VIRTIO_RING_F_INDIRECT_DESC)

/**
 * struct virtio_blk_request - one request in flight
 * @disk: its host side; first
 * @forgotten: the guest has reset the queue since: nothing is given back
 * @chain: where the answer goes
 */
struct virtio_blk_request {
	struct disk_request disk;
	bool forgotten;
	struct virtqueue_chain chain;
};

/**
 * struct virtio_blk - the device
 * @next_number: of the next request handed to the disk
 * @flight_requests: how many are in flight
 * @flight_bytes: bytes of theirs
 * @chain: request being looked at
 */
struct virtio_blk {
	struct virtio_device vd;
	struct disk *disk;
	struct virtio_blk_config config;
	char id[VIRTIO_BLK_ID_BYTES];
	uint64_t next_number;
	uint32_t flight_requests;
	uint32_t flight_bytes;
	struct virtqueue_chain chain;
};

static struct virtio_blk *blk_from(struct virtio_device *vd)
{
	return (struct virtio_blk *)vd;
}

static void request_free(struct virtio_blk_request *request)
{
	free(request->disk.logged);
	free(request->disk.data);
	free(request);
}

/* Give a chain back: @len bytes were written to it before the status, its last byte. */
static void chain_finish(struct virtio_blk *blk, const struct virtqueue_chain *chain,
			 uint8_t status, uint32_t len)
{
	virtqueue_chain_write(blk->vd.dev.vmm, chain, chain->in_len - 1, &status, 1);
	virtio_push(&blk->vd, QUEUE, chain->head, len + 1);
}

static uint8_t io_check(const struct virtio_blk *blk, enum disk_operation operation,
			uint64_t sector, uint64_t len)
{
	uint64_t sectors = disk_size(blk->disk) / DISK_SECTOR;

	if (len % DISK_SECTOR || len > REQUEST_BYTES || sector > sectors ||
	    len / DISK_SECTOR > sectors - sector)
		return VIRTIO_BLK_S_IOERR;
	if (operation == DISK_WRITE && disk_is_readonly(blk->disk))
		return VIRTIO_BLK_S_IOERR;
	return VIRTIO_BLK_S_OK;
}

static struct virtio_blk_request *request_new(const struct virtqueue_chain *chain,
					      enum disk_operation operation, uint64_t offset,
					      uint32_t len)
{
	struct virtio_blk_request *request;

	request = calloc(1, sizeof(*request));
	if (!request)
		return NULL;
	request->disk.operation = operation;
	request->disk.offset = offset;
	request->disk.len = len;
	request->chain = *chain;
	request->disk.data = malloc(len ? len : 1);
	if (!request->disk.data) {
		free(request);
		return NULL;
	}
	return request;
}

static void request_submit(struct virtio_blk *blk, struct virtio_blk_request *request)
{
	blk->flight_requests++;
	blk->flight_bytes += request->disk.len;
	disk_submit(blk->disk, &request->disk, vmm_is_live(blk->vd.dev.vmm));
}

static void io_start(struct virtio_blk *blk, enum disk_operation operation, uint64_t sector,
		     uint64_t len)
{
	struct virtio_blk_request *request;
	uint8_t status;

	status = io_check(blk, operation, sector, len);
	if (status != VIRTIO_BLK_S_OK || (!len && operation != DISK_FLUSH)) {
		chain_finish(blk, &blk->chain, status, 0);
		return;
	}
	request = request_new(&blk->chain, operation, sector * DISK_SECTOR, (uint32_t)len);
	if (!request) {
		vmm_say(blk->vd.dev.vmm, "no memory on the host for a disk request");
		vmm_fail(blk->vd.dev.vmm);
		return;
	}
	request->disk.number = blk->next_number++;
	/* A driver that never flushes expects each write to stay. */
	request->disk.through = !(blk->vd.accepted & 1U << VIRTIO_BLK_F_FLUSH);
	if (operation == DISK_WRITE)
		virtqueue_chain_read(blk->vd.dev.vmm, &blk->chain,
				     sizeof(struct virtio_blk_outhdr), request->disk.data,
				     request->disk.len);
	request_submit(blk, request);
}

static void id_get(struct virtio_blk *blk)
{
	uint64_t room = blk->chain.in_len - 1;
	uint32_t len = room < sizeof(blk->id) ? (uint32_t)room : sizeof(blk->id);

	virtqueue_chain_write(blk->vd.dev.vmm, &blk->chain, 0, blk->id, len);
	chain_finish(blk, &blk->chain, VIRTIO_BLK_S_OK, len);
}

static void request_start(struct virtio_blk *blk)
{
	struct virtqueue_chain *chain = &blk->chain;
	struct virtio_blk_outhdr head;

	if (chain->out_len < sizeof(head) || !chain->in_len) {
		virtio_break(&blk->vd, QUEUE, "request without header or status");
		return;
	}
	virtqueue_chain_read(blk->vd.dev.vmm, chain, 0, &head, sizeof(head));
	switch (le32toh(head.type)) {
	case VIRTIO_BLK_T_IN:
		io_start(blk, DISK_READ, le64toh(head.sector), chain->in_len - 1);
		break;
	case VIRTIO_BLK_T_OUT:
		io_start(blk, DISK_WRITE, le64toh(head.sector), chain->out_len - sizeof(head));
		break;
	case VIRTIO_BLK_T_FLUSH:
		io_start(blk, DISK_FLUSH, 0, 0);
		break;
	case VIRTIO_BLK_T_GET_ID:
		id_get(blk);
		break;
	default:
		chain_finish(blk, chain, VIRTIO_BLK_S_UNSUPP, 0);
		break;
	}
}

static void requests_take(struct virtio_blk *blk)
{
	/* The guest stands still: it has queued no more than this. */
	for (unsigned int i = 0; i < QUEUE_SIZE; i++) {
		if (blk->flight_bytes >= FLIGHT_BYTES || blk->flight_requests >= FLIGHT_REQUESTS ||
		    !virtio_pop(&blk->vd, QUEUE, &blk->chain))
			return;
		request_start(blk);
	}
}

static void blk_doorbell(struct virtio_device *vd, unsigned int queue)
{
	(void)queue;
	requests_take(blk_from(vd));
}

static void blk_forget(struct virtio_device *vd, unsigned int queue)
{
	struct virtio_blk *blk = blk_from(vd);
	struct disk_request *request;

	(void)queue;
	/* They are executed all the same, and their completions are in the log. */
	for (request = disk_oldest(blk->disk); request; request = STAILQ_NEXT(request, link))
		((struct virtio_blk_request *)request)->forgotten = true;
}

static uint8_t blk_config_in(struct virtio_device *vd, unsigned int offset)
{
	const struct virtio_blk *blk = blk_from(vd);
	const uint8_t *bytes = (const uint8_t *)&blk->config;

	return offset < sizeof(blk->config) ? bytes[offset] : 0;
}

static const struct virtio_ops blk_virtio_ops = {
	.config_in = blk_config_in,
	.doorbell = blk_doorbell,
	.forget = blk_forget,
};

static uint64_t get_le64(const uint8_t *p)
{
	uint64_t value;

	memcpy(&value, p, sizeof(value));
	return le64toh(value);
}

static uint32_t get_le32(const uint8_t *p)
{
	uint32_t value;

	memcpy(&value, p, sizeof(value));
	return le32toh(value);
}

/* The request an input is about: completions come in the order of submission. */
static struct virtio_blk_request *request_find(struct virtio_blk *blk, uint64_t number)
{
	struct disk_request *request = disk_oldest(blk->disk);

	return request && request->number == number ? (struct virtio_blk_request *)request : NULL;
}

/* The log has bytes of a read, because the two disks may not agree on them. */
static int apply_data(struct virtio_blk *blk, const uint8_t *payload, uint32_t len)
{
	struct virtio_blk_request *request;
	struct disk_request *disk;
	uint32_t bytes;

	if (len <= DISK_DATA_HEAD)
		return -EBADMSG;
	request = request_find(blk, get_le64(payload));
	if (!request)
		return -EBADMSG;
	disk = &request->disk;
	bytes = len - DISK_DATA_HEAD;
	if (disk->operation != DISK_READ || get_le32(payload + 8) != disk->logged_len ||
	    bytes > disk->len - disk->logged_len)
		return -EBADMSG;
	if (!disk->logged)
		disk->logged = malloc(disk->len);
	if (!disk->logged)
		return -ENOMEM;
	memcpy(disk->logged + disk->logged_len, payload + DISK_DATA_HEAD, bytes);
	disk->logged_len += bytes;
	return 0;
}

/* Wait until this side's disk has done what the log says was done. */
static int result_check(struct virtio_blk *blk, struct virtio_blk_request *request,
			uint32_t status, uint32_t len)
{
	struct disk_request *disk = &request->disk;
	bool read = disk->operation == DISK_READ && status == DISK_STATUS_OK;
	int err;

	if (status > DISK_STATUS_ERROR || len != (read ? disk->len : 0))
		return -EBADMSG;
	if (disk->logged && read && disk->logged_len != disk->len)
		return -EBADMSG;
	err = disk_wait(blk->disk, disk);
	/* What was read comes from the log: no matter what this disk says. */
	if (status == DISK_STATUS_OK && err && !(read && disk->logged)) {
		vmm_say(blk->vd.dev.vmm, "disk request %llu succeeded on the primary and failed here (%s): check this host's disk, then protect the guest anew",
			(unsigned long long)disk->number, strerror(-err));
		return err;
	}
	return 0;
}

static int apply_done(struct virtio_blk *blk, const uint8_t *payload, uint32_t len)
{
	struct virtio_blk_request *request;
	uint32_t status, bytes;
	int err;

	if (len != DISK_DONE_BYTES)
		return -EBADMSG;
	request = request_find(blk, get_le64(payload));
	if (!request)
		return -EBADMSG;
	status = get_le32(payload + 8);
	bytes = get_le32(payload + 12);
	err = result_check(blk, request, status, bytes);
	if (err)
		return err;

	disk_retire(blk->disk, &request->disk);
	blk->flight_requests--;
	blk->flight_bytes -= request->disk.len;
	if (!request->forgotten && !blk->vd.broken) {
		const uint8_t *data = request->disk.logged ? request->disk.logged :
			request->disk.data;

		virtqueue_chain_write(blk->vd.dev.vmm, &request->chain, 0, data, bytes);
		chain_finish(blk, &request->chain, status == DISK_STATUS_OK ?
			     VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR, bytes);
	}
	request_free(request);
	requests_take(blk);
	return 0;
}

static int blk_apply(struct vmm_device *dev, uint16_t kind, const void *data, uint32_t len)
{
	struct virtio_blk *blk = blk_from(virtio_from_device(dev));

	switch (kind) {
	case DISK_KIND_DONE:
		return apply_done(blk, data, len);
	case DISK_KIND_DATA:
		return apply_data(blk, data, len);
	default:
		return -EBADMSG;
	}
}

static void request_save(const struct virtio_blk_request *request, struct vmm_state *state)
{
	const struct disk_request *disk = &request->disk;

	vmm_state_put_u64(state, disk->number);
	vmm_state_put_u8(state, (uint8_t)disk->operation);
	vmm_state_put_bool(state, disk->through);
	vmm_state_put_bool(state, request->forgotten);
	vmm_state_put_u64(state, disk->offset);
	vmm_state_put_u32(state, disk->len);
	virtqueue_chain_save(&request->chain, state);
	if (disk->operation == DISK_WRITE)
		vmm_state_put(state, disk->data, disk->len);
	vmm_state_put_u32(state, disk->logged_len);
	if (disk->logged_len)
		vmm_state_put(state, disk->logged, disk->logged_len);
}

static int blk_save(struct vmm_device *dev, struct vmm_state *state)
{
	struct virtio_blk *blk = blk_from(virtio_from_device(dev));
	struct disk_request *request;

	virtio_save(&blk->vd, state);
	vmm_state_put_u64(state, disk_size(blk->disk));
	vmm_state_put_u64(state, blk->next_number);
	vmm_state_put_u32(state, blk->flight_requests);
	for (request = disk_oldest(blk->disk); request; request = STAILQ_NEXT(request, link))
		request_save((struct virtio_blk_request *)request, state);
	return vmm_state_error(state);
}

static void request_load(struct virtio_blk *blk, struct vmm_state *state)
{
	struct virtio_blk_request *request;
	enum disk_operation operation;
	uint64_t number, offset;
	bool through, forgotten;
	uint32_t len;

	number = vmm_state_get_u64(state);
	operation = (enum disk_operation)vmm_state_get_u8(state);
	through = vmm_state_get_bool(state);
	forgotten = vmm_state_get_bool(state);
	offset = vmm_state_get_u64(state);
	len = vmm_state_get_u32(state);
	virtqueue_chain_load(blk->vd.dev.vmm, &blk->vd.queues[QUEUE], &blk->chain, state);
	if (operation > DISK_OPERATION_MAX || offset % DISK_SECTOR || !blk->chain.in_len ||
	    io_check(blk, operation, offset / DISK_SECTOR, len) != VIRTIO_BLK_S_OK ||
	    (operation == DISK_READ && blk->chain.in_len - 1 != len) ||
	    (operation == DISK_FLUSH && len))
		vmm_state_fail(state, -EINVAL);
	if (vmm_state_error(state))
		return;

	request = request_new(&blk->chain, operation, offset, len);
	if (!request) {
		vmm_state_fail(state, -ENOMEM);
		return;
	}
	request->disk.number = number;
	request->disk.through = through;
	request->forgotten = forgotten;
	if (operation == DISK_WRITE)
		vmm_state_get(state, request->disk.data, len);
	request->disk.logged_len = vmm_state_get_max(state, operation == DISK_READ ? len : 0);
	if (request->disk.logged_len && !vmm_state_error(state)) {
		request->disk.logged = malloc(len);
		if (request->disk.logged)
			vmm_state_get(state, request->disk.logged, request->disk.logged_len);
		else
			vmm_state_fail(state, -ENOMEM);
	}
	if (vmm_state_error(state))
		request_free(request);
	else
		request_submit(blk, request);
}

static int blk_load(struct vmm_device *dev, struct vmm_state *state)
{
	struct virtio_blk *blk = blk_from(virtio_from_device(dev));
	uint32_t requests;

	virtio_load(&blk->vd, state);
	if (vmm_state_get_u64(state) != disk_size(blk->disk) || blk->flight_requests)
		vmm_state_fail(state, -EINVAL);
	blk->next_number = vmm_state_get_u64(state);
	requests = vmm_state_get_max(state, FLIGHT_REQUESTS);
	for (uint32_t i = 0; i < requests && !vmm_state_error(state); i++)
		request_load(blk, state);
	return vmm_state_error(state);
}

static void blk_go_live(struct vmm_device *dev)
{
	struct virtio_blk *blk = blk_from(virtio_from_device(dev));
	struct disk_request *request;

	/* Bytes whose completion the log does not have are this disk's from now on. */
	for (request = disk_oldest(blk->disk); request; request = STAILQ_NEXT(request, link)) {
		free(request->logged);
		request->logged = NULL;
		request->logged_len = 0;
	}
	disk_go_live(blk->disk);
}

static int blk_digest(struct vmm_device *dev, uint64_t *digest)
{
	return disk_digest(blk_from(virtio_from_device(dev))->disk, digest);
}

static void blk_destroy(struct vmm_device *dev)
{
	struct virtio_blk *blk = blk_from(virtio_from_device(dev));
	struct disk_request *request;

	disk_stop(blk->disk);
	while ((request = disk_oldest(blk->disk))) {
		disk_retire(blk->disk, request);
		request_free((struct virtio_blk_request *)request);
	}
	disk_close(blk->disk);
	free(blk);
}

static const struct vmm_device_ops blk_device_ops = {
	.name = "virtio-blk",
	.apply = blk_apply,
	.save = blk_save,
	.load = blk_load,
	.go_live = blk_go_live,
	.digest = blk_digest,
	.destroy = blk_destroy,
};

static const struct virtio_type blk_type = {
	.id = VIRTIO_ID_BLOCK,
	.pci_device = 0x1001,
	.class_code = 0x010000,
	.queue_count = 1,
	.queue_size = QUEUE_SIZE,
	.ops = &blk_virtio_ops,
	.device_ops = &blk_device_ops,
};

int virtio_blk_create(struct vmm *vmm, struct pci_bus *bus, const struct vmm_disk_config *config,
		      unsigned int index)
{
	enum vmm_unit unit = VMM_UNIT_DISK0 + index;
	uint32_t features = FEATURES;
	struct virtio_blk *blk;
	int err;

	if (index >= VMM_DISKS_MAX)
		return -EINVAL;
	blk = calloc(1, sizeof(*blk));
	if (!blk)
		return -ENOMEM;
	err = disk_open(config->path, config->readonly, vmm, unit, &blk->disk);
	if (err)
		goto free;
	blk->config.capacity = htole64(disk_size(blk->disk) / DISK_SECTOR);
	blk->config.size_max = htole32(SEGMENT_BYTES);
	blk->config.seg_max = htole32(SEGMENTS_MAX);
	blk->config.blk_size = htole32(DISK_SECTOR);
	snprintf(blk->id, sizeof(blk->id), "lockstep-disk%u", index);
	if (config->readonly)
		features |= 1U << VIRTIO_BLK_F_RO;

	err = virtio_init(&blk->vd, vmm, bus, &blk_type, unit, features);
	if (!err)
		err = vmm_device_add(vmm, &blk->vd.dev);
	if (err)
		goto close;
	return 0;

close:
	disk_stop(blk->disk);
	disk_close(blk->disk);
free:
	free(blk);
	return err;
}
