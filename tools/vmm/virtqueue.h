/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Split virtqueues, as the device sees them
 *
 * All of a ring is the guest's and hostile: every index, address and length is
 * checked here before use, and a ring that breaks the rules says so with -EPROTO
 * (the device then stops until the guest resets it).  Nothing is read from or
 * written to guest memory but in these calls, so a device that makes them only
 * at doorbells and in its apply function is deterministic.
 *
 * vCPU thread only.
 */
#ifndef VMM_VIRTQUEUE_H
#define VMM_VIRTQUEUE_H

#include <stdbool.h>
#include <stdint.h>

struct vmm;
struct vmm_state;

#define VIRTQUEUE_SIZE_MAX		256	/* entries of a queue */
#define VIRTQUEUE_PAGE_SHIFT	12	/* of the page frame number a legacy driver writes */
#define VIRTQUEUE_ALIGN		4096	/* of the used ring */

/**
 * struct virtqueue - one queue
 * @size: entries, a power of two up to VIRTQUEUE_SIZE_MAX, fixed by the device
 * @indirect: indirect descriptors were negotiated
 * @pfn: guest page of the descriptor table; 0: not set up
 * @last_avail: next entry of the available ring to take
 * @used: next index of the used ring to publish
 */
struct virtqueue {
	uint16_t size;
	bool indirect;
	uint32_t pfn;
	uint16_t last_avail;
	uint16_t used;
};

struct virtqueue_segment {
	uint64_t gpa;
	uint32_t len;
};

/**
 * struct virtqueue_chain - one request, copied out of the ring
 * @head: descriptor that names it in the used ring
 * @out_count: segments the device reads; they come first
 * @in_count: segments the device writes
 * @out_len: bytes the device may read
 * @in_len: bytes the device may write
 */
struct virtqueue_chain {
	uint16_t head;
	uint16_t out_count;
	uint16_t in_count;
	uint64_t out_len;
	uint64_t in_len;
	struct virtqueue_segment segments[VIRTQUEUE_SIZE_MAX];
};

/* Forget what the guest set up; size stays. */
void virtqueue_reset(struct virtqueue *ring);

/* The guest wrote the page frame number (0: queue off). */
void virtqueue_set_pfn(struct virtqueue *ring, uint32_t pfn);

/**
 * virtqueue_pop - take the next request
 * @chain: out: the request; every segment is guest RAM
 *
 * Returns 1: taken, 0: none waits (or the queue is not set up), -EPROTO: the ring is broken.
 */
int virtqueue_pop(struct vmm *vmm, struct virtqueue *ring, struct virtqueue_chain *chain);

/**
 * virtqueue_push - give a request back
 * @head: as virtqueue_pop() gave it
 * @len: bytes the device has written
 *
 * Returns 1: the guest wants an interrupt, 0: it does not, -EPROTO: the ring has gone.
 */
int virtqueue_push(struct vmm *vmm, struct virtqueue *ring, uint16_t head, uint32_t len);

/*
 * Copy out of (into) the part of a chain that the device reads (writes), from
 * @offset on; returns the bytes copied: fewer than @len at the end of the chain.
 */
uint32_t virtqueue_chain_read(struct vmm *vmm, const struct virtqueue_chain *chain, uint64_t offset,
			  void *data, uint32_t len);
uint32_t virtqueue_chain_write(struct vmm *vmm, const struct virtqueue_chain *chain,
			       uint64_t offset, const void *data, uint32_t len);

/* Undo the last virtqueue_pop(): the request is the next one again. */
void virtqueue_unpop(struct virtqueue *ring);

/*
 * The part of a request in flight that the device writes: what it reads has been
 * read.  Errors stick to @state; -EINVAL: not a request of this queue, or its
 * segments are not guest RAM.
 */
void virtqueue_chain_save(const struct virtqueue_chain *chain, struct vmm_state *state);
void virtqueue_chain_load(struct vmm *vmm, const struct virtqueue *ring,
			  struct virtqueue_chain *chain, struct vmm_state *state);

/* Errors stick to @state; -EINVAL: what was saved does not fit this queue. */
void virtqueue_save(const struct virtqueue *ring, struct vmm_state *state);
void virtqueue_load(struct virtqueue *ring, struct vmm_state *state);

#endif
