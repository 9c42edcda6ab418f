// SPDX-License-Identifier: GPL-2.0
/*
 * Split virtqueues, as the device sees them
 */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "device.h"
#include "state.h"
#include "virtqueue.h"

#define DESC_BYTES	sizeof(struct vring_desc)

/* Guest addresses of the parts of a ring; its layout is fixed by size and alignment. */
static uint64_t desc_gpa(const struct virtqueue *ring)
{
	return (uint64_t)ring->pfn << VIRTQUEUE_PAGE_SHIFT;
}

static uint64_t avail_gpa(const struct virtqueue *ring)
{
	return desc_gpa(ring) + DESC_BYTES * ring->size;
}

static uint64_t used_gpa(const struct virtqueue *ring)
{
	/* Flags, index, entries and one word that only EVENT_IDX uses. */
	uint64_t end = avail_gpa(ring) + 2 * (3 + (uint64_t)ring->size);

	return (end + VIRTQUEUE_ALIGN - 1) & ~(uint64_t)(VIRTQUEUE_ALIGN - 1);
}

static int guest_get16(struct vmm *vmm, uint64_t gpa, uint16_t *value)
{
	const void *p = vmm_memory(vmm, gpa, sizeof(*value));

	if (!p)
		return -EPROTO;
	memcpy(value, p, sizeof(*value));
	*value = le16toh(*value);
	return 0;
}

void virtqueue_reset(struct virtqueue *ring)
{
	ring->indirect = false;
	virtqueue_set_pfn(ring, 0);
}

void virtqueue_set_pfn(struct virtqueue *ring, uint32_t pfn)
{
	ring->pfn = pfn;
	ring->last_avail = 0;
	ring->used = 0;
}

static int chain_add(struct vmm *vmm, struct virtqueue_chain *chain, unsigned int limit,
		     const struct vring_desc *desc)
{
	unsigned int count = chain->out_count + chain->in_count;
	uint64_t gpa = le64toh(desc->addr);
	uint32_t len = le32toh(desc->len);
	bool in = le16toh(desc->flags) & VRING_DESC_F_WRITE;

	/* A chain with more links than the ring has entries is a loop. */
	if (count >= limit || (!in && chain->in_count))
		return -EPROTO;
	if (len && !vmm_memory(vmm, gpa, len))
		return -EPROTO;
	chain->segments[count].gpa = gpa;
	chain->segments[count].len = len;
	if (in) {
		chain->in_count++;
		chain->in_len += len;
	} else {
		chain->out_count++;
		chain->out_len += len;
	}
	return 0;
}

/* Follow the links from @index through the table of @entries at @table. */
static int chain_walk(struct vmm *vmm, const struct virtqueue *ring, struct virtqueue_chain *chain,
		      uint64_t table, uint32_t entries, uint16_t index, bool nested)
{
	for (unsigned int links = 0; links < entries; links++) {
		struct vring_desc desc;
		uint16_t flags;
		const void *p;
		int err;

		if (index >= entries)
			return -EPROTO;
		p = vmm_memory(vmm, table + DESC_BYTES * index, DESC_BYTES);
		if (!p)
			return -EPROTO;
		memcpy(&desc, p, sizeof(desc));
		flags = le16toh(desc.flags);

		if (flags & VRING_DESC_F_INDIRECT) {
			uint32_t len = le32toh(desc.len);

			/* One level, the last link, and no more than the queue could hold. */
			if (nested || !ring->indirect || (flags & VRING_DESC_F_NEXT) ||
			    !len || len % DESC_BYTES || len / DESC_BYTES > ring->size)
				return -EPROTO;
			return chain_walk(vmm, ring, chain, le64toh(desc.addr),
					  (uint32_t)(len / DESC_BYTES), 0, true);
		}
		err = chain_add(vmm, chain, ring->size, &desc);
		if (err)
			return err;
		if (!(flags & VRING_DESC_F_NEXT))
			return 0;
		index = le16toh(desc.next);
	}
	return -EPROTO;
}

int virtqueue_pop(struct vmm *vmm, struct virtqueue *ring, struct virtqueue_chain *chain)
{
	uint16_t avail, head;
	uint64_t entry;
	int err;

	if (!ring->pfn)
		return 0;
	err = guest_get16(vmm, avail_gpa(ring) + 2, &avail);
	if (err)
		return err;
	if (avail == ring->last_avail)
		return 0;
	if ((uint16_t)(avail - ring->last_avail) > ring->size)
		return -EPROTO;

	entry = avail_gpa(ring) + 4 + 2 * (uint64_t)(ring->last_avail & (ring->size - 1));
	err = guest_get16(vmm, entry, &head);
	if (err)
		return err;
	memset(chain, 0, offsetof(struct virtqueue_chain, segments));
	chain->head = head;
	err = chain_walk(vmm, ring, chain, desc_gpa(ring), ring->size, head, false);
	if (err)
		return err;
	ring->last_avail++;
	return 1;
}

void virtqueue_unpop(struct virtqueue *ring)
{
	ring->last_avail--;
}

int virtqueue_push(struct vmm *vmm, struct virtqueue *ring, uint16_t head, uint32_t len)
{
	uint64_t base = used_gpa(ring);
	uint64_t slot = ring->used & (ring->size - 1);
	uint64_t entry = base + 4 + sizeof(struct vring_used_elem) * slot;
	struct vring_used_elem elem = {
		.id = htole32(head),
		.len = htole32(len),
	};
	uint16_t index = htole16((uint16_t)(ring->used + 1));
	uint16_t flags;
	void *p, *q;

	if (!ring->pfn)
		return -EPROTO;
	p = vmm_memory(vmm, entry, sizeof(elem));
	q = vmm_memory(vmm, base + 2, sizeof(index));
	if (!p || !q || guest_get16(vmm, avail_gpa(ring), &flags))
		return -EPROTO;
	memcpy(p, &elem, sizeof(elem));
	vmm_memory_written(vmm, entry, sizeof(elem));
	memcpy(q, &index, sizeof(index));
	vmm_memory_written(vmm, base + 2, sizeof(index));
	ring->used++;
	return flags & VRING_AVAIL_F_NO_INTERRUPT ? 0 : 1;
}

uint32_t virtqueue_chain_read(struct vmm *vmm, const struct virtqueue_chain *chain, uint64_t offset,
			  void *data, uint32_t len)
{
	uint32_t done = 0;

	for (unsigned int i = 0; i < chain->out_count && done < len; i++) {
		const struct virtqueue_segment *segment = &chain->segments[i];
		uint32_t part;
		const void *p;

		if (offset >= segment->len) {
			offset -= segment->len;
			continue;
		}
		part = segment->len - (uint32_t)offset;
		if (part > len - done)
			part = len - done;
		p = vmm_memory(vmm, segment->gpa + offset, part);
		if (!p)
			break;
		memcpy((uint8_t *)data + done, p, part);
		done += part;
		offset = 0;
	}
	return done;
}

uint32_t virtqueue_chain_write(struct vmm *vmm, const struct virtqueue_chain *chain,
			       uint64_t offset, const void *data, uint32_t len)
{
	uint32_t done = 0;

	for (unsigned int i = 0; i < chain->in_count && done < len; i++) {
		const struct virtqueue_segment *segment = &chain->segments[chain->out_count + i];
		uint32_t part;
		void *p;

		if (offset >= segment->len) {
			offset -= segment->len;
			continue;
		}
		part = segment->len - (uint32_t)offset;
		if (part > len - done)
			part = len - done;
		p = vmm_memory(vmm, segment->gpa + offset, part);
		if (!p)
			break;
		memcpy(p, (const uint8_t *)data + done, part);
		vmm_memory_written(vmm, segment->gpa + offset, part);
		done += part;
		offset = 0;
	}
	return done;
}

void virtqueue_chain_save(const struct virtqueue_chain *chain, struct vmm_state *state)
{
	vmm_state_put_u16(state, chain->head);
	vmm_state_put_u16(state, chain->in_count);
	for (unsigned int i = 0; i < chain->in_count; i++) {
		vmm_state_put_u64(state, chain->segments[chain->out_count + i].gpa);
		vmm_state_put_u32(state, chain->segments[chain->out_count + i].len);
	}
}

void virtqueue_chain_load(struct vmm *vmm, const struct virtqueue *ring,
			  struct virtqueue_chain *chain, struct vmm_state *state)
{
	uint16_t count;

	memset(chain, 0, offsetof(struct virtqueue_chain, segments));
	chain->head = vmm_state_get_u16(state);
	count = vmm_state_get_u16(state);
	if (count > ring->size) {
		vmm_state_fail(state, -EINVAL);
		return;
	}
	for (; chain->in_count < count; chain->in_count++) {
		struct virtqueue_segment *segment = &chain->segments[chain->in_count];

		segment->gpa = vmm_state_get_u64(state);
		segment->len = vmm_state_get_u32(state);
		chain->in_len += segment->len;
		if (segment->len && !vmm_memory(vmm, segment->gpa, segment->len))
			vmm_state_fail(state, -EINVAL);
	}
}

void virtqueue_save(const struct virtqueue *ring, struct vmm_state *state)
{
	vmm_state_put_u16(state, ring->size);
	vmm_state_put_u32(state, ring->pfn);
	vmm_state_put_u16(state, ring->last_avail);
	vmm_state_put_u16(state, ring->used);
}

void virtqueue_load(struct virtqueue *ring, struct vmm_state *state)
{
	if (vmm_state_get_u16(state) != ring->size)
		vmm_state_fail(state, -EINVAL);
	ring->pfn = vmm_state_get_u32(state);
	ring->last_avail = vmm_state_get_u16(state);
	ring->used = vmm_state_get_u16(state);
}
