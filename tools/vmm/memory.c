// SPDX-License-Identifier: GPL-2.0
/*
 * Guest memory
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <xxhash.h>

#include "memory.h"
#include "vmm.h"

#define PAGE		4096U
#define LOW_MAX		(3ULL << 30)	/* above it lies the 32-bit PCI hole */
#define HIGH_BASE	(4ULL << 30)

uint64_t vmm_memory_size(const struct vmm *vmm)
{
	return vmm->ram.low + vmm->ram.high;
}

void *vmm_memory(struct vmm *vmm, uint64_t gpa, uint64_t len)
{
	const struct vmm_ram *ram = &vmm->ram;

	if (gpa < ram->low)
		return len <= ram->low - gpa ? ram->base + gpa : NULL;
	if (gpa < HIGH_BASE || gpa - HIGH_BASE >= ram->high)
		return NULL;
	gpa -= HIGH_BASE;
	return len <= ram->high - gpa ? ram->base + ram->low + gpa : NULL;
}

static int set_slot(struct vmm *vmm, uint32_t slot, uint32_t flags, uint64_t gpa, uint8_t *base,
		    uint64_t size)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)base,
	};

	if (!size)
		return 0;
	if (ioctl(vmm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region)) {
		int err = -errno;

		vmm_say(vmm, "KVM refuses %llu MiB of guest memory: %s",
			(unsigned long long)size >> 20, strerror(-err));
		return err;
	}
	return 0;
}

static int set_slots(struct vmm *vmm, uint32_t flags)
{
	const struct vmm_ram *ram = &vmm->ram;
	int err = set_slot(vmm, 0, flags, 0, ram->base, ram->low);

	return err ? err : set_slot(vmm, 1, flags, HIGH_BASE, ram->base + ram->low, ram->high);
}

int vmm_memory_create(struct vmm *vmm)
{
	uint64_t size = vmm->config.memory;
	struct vmm_ram *ram = &vmm->ram;
	int err;

	ram->low = size < LOW_MAX ? size : LOW_MAX;
	ram->high = size - ram->low;
	ram->base = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ram->base == MAP_FAILED) {
		err = -errno;
		ram->base = NULL;
		vmm_say(vmm, "no %llu MiB of memory for the guest: %s",
			(unsigned long long)size >> 20, strerror(-err));
		return err;
	}
	/* A merged page would be copied at a write: no harm to the state, but to the time it takes. */
	madvise(ram->base, size, MADV_UNMERGEABLE);
	madvise(ram->base, size, MADV_DONTFORK);
	if (mlock(ram->base, size)) {
		vmm_say(vmm, "guest memory is not locked (%s): raise the limit of locked memory (ulimit -l)",
			strerror(errno));
		if (madvise(ram->base, size, MADV_POPULATE_WRITE)) {
			err = -errno;
			vmm_say(vmm, "not enough memory on the host for %llu MiB: %s",
				(unsigned long long)size >> 20, strerror(-err));
			return err;
		}
	}
	return set_slots(vmm, 0);
}

static void stop_tracking(struct vmm *vmm)
{
	free(vmm->ram.sums);
	free(vmm->ram.written);
	vmm->ram.sums = NULL;
	vmm->ram.written = NULL;
}

void vmm_memory_destroy(struct vmm *vmm)
{
	stop_tracking(vmm);
	if (vmm->ram.base)
		munmap(vmm->ram.base, vmm_memory_size(vmm));
	vmm->ram.base = NULL;
}

/* A page of zeroes has sum 0, so that untouched memory costs a comparison only. */
static uint64_t page_sum(const struct vmm_ram *ram, uint64_t page)
{
	static const uint8_t zero[PAGE];
	const uint8_t *data = ram->base + page * PAGE;

	return memcmp(data, zero, PAGE) ? XXH64(data, PAGE, page) : 0;
}

/* Host addresses are in order of guest addresses, and sizes are compared elsewhere: the index names the page. */
uint64_t vmm_memory_digest(const struct vmm *vmm)
{
	uint64_t sum = 0, pages = vmm_memory_size(vmm) / PAGE;

	for (uint64_t page = 0; page < pages; page++)
		sum += page_sum(&vmm->ram, page);
	return sum;
}

void vmm_memory_written(struct vmm *vmm, uint64_t gpa, uint64_t len)
{
	struct vmm_ram *ram = &vmm->ram;
	uint64_t first, last;

	if (!ram->written || !len)
		return;
	first = gpa < ram->low ? gpa : ram->low + (gpa - HIGH_BASE);
	last = (first + len - 1) / PAGE;
	for (first /= PAGE; first <= last; first++)
		ram->written[first / 64] |= 1ULL << first % 64;
}

/* Which pages has the guest written since the last call? Sets their bits. */
static int add_dirty(struct vmm *vmm, uint32_t slot, uint64_t size, uint64_t *bits)
{
	struct kvm_dirty_log log = { .slot = slot };
	uint64_t words = size / PAGE / 64;
	uint64_t *dirty;
	int err = 0;

	if (!size)
		return 0;
	dirty = calloc(words, sizeof(*dirty));
	if (!dirty)
		return -ENOMEM;
	log.dirty_bitmap = dirty;
	if (ioctl(vmm->vm_fd, KVM_GET_DIRTY_LOG, &log))
		err = -errno;
	for (uint64_t i = 0; !err && i < words; i++)
		bits[i] |= dirty[i];
	free(dirty);
	return err;
}

/* Have KVM note what is written from now on, then sum up all there is. */
static int start_tracking(struct vmm *vmm)
{
	struct vmm_ram *ram = &vmm->ram;
	uint64_t pages = vmm_memory_size(vmm) / PAGE;
	int err;

	ram->sums = calloc(pages, sizeof(*ram->sums));
	ram->written = calloc(pages / 64, sizeof(*ram->written));
	if (!ram->sums || !ram->written) {
		err = -ENOMEM;
		goto out;
	}
	err = set_slots(vmm, KVM_MEM_LOG_DIRTY_PAGES);
	if (err)
		goto out;
	ram->sum = 0;
	for (uint64_t page = 0; page < pages; page++) {
		ram->sums[page] = page_sum(ram, page);
		ram->sum += ram->sums[page];
	}
	return 0;
out:
	stop_tracking(vmm);
	return err;
}

int vmm_memory_digest_update(struct vmm *vmm, uint64_t *digest)
{
	struct vmm_ram *ram = &vmm->ram;
	int err;

	if (!ram->sums) {
		err = start_tracking(vmm);
		if (!err)
			*digest = ram->sum;
		return err;
	}
	err = add_dirty(vmm, 0, ram->low, ram->written);
	if (!err)
		err = add_dirty(vmm, 1, ram->high, ram->written + ram->low / PAGE / 64);
	if (err)
		return err;
	for (uint64_t word = 0; word < vmm_memory_size(vmm) / PAGE / 64; word++) {
		while (ram->written[word]) {
			uint64_t page = word * 64 + (uint64_t)__builtin_ctzll(ram->written[word]);
			uint64_t sum = page_sum(ram, page);

			ram->sum += sum - ram->sums[page];
			ram->sums[page] = sum;
			ram->written[word] &= ram->written[word] - 1;
		}
	}
	*digest = ram->sum;
	return 0;
}
