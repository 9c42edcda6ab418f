/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Guest memory
 */
#ifndef VMM_MEMORY_H
#define VMM_MEMORY_H

#include <stdint.h>

struct vmm;

/**
 * vmm_memory_create - map, populate and lock guest memory and give it to KVM
 *
 * Needs vmm->vm_fd. Memory that can't be locked is a warning, not an error: the guest then may be
 * slowed by the host's paging, but its state does not depend on it.
 *
 * Return: 0, or -errno after a message.
 */
int vmm_memory_create(struct vmm *vmm);
void vmm_memory_destroy(struct vmm *vmm);

/* Sum over all pages of a hash of (page number, content): equal memory, equal digest. */
uint64_t vmm_memory_digest(const struct vmm *vmm);

/**
 * vmm_memory_digest_update - the same sum, from the pages written since the last call
 * @digest: out
 *
 * The first call reads all of memory and has KVM track writes from then on.  What devices write
 * is known from vmm_memory_written(): KVM doesn't see it.
 *
 * Return: 0 or -errno.
 */
int vmm_memory_digest_update(struct vmm *vmm, uint64_t *digest);

/* Bytes of guest memory in all. */
uint64_t vmm_memory_size(const struct vmm *vmm);

#endif
