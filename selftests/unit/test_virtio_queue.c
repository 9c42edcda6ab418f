// SPDX-License-Identifier: GPL-2.0
/*
 * Virtqueues: what a driver may do works, and what it may not is refused
 *
 * Sources: selftests/unit/virtio_machine.c tools/vmm/pci.c tools/vmm/state.c
 * Sources: selftests/unit/fuzz.c
 * Sources: tools/vmm/virtqueue.c
 */
#include <errno.h>
#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "virtio_machine.h"
#include "vmm/state.h"
#include "vmm/virtqueue.h"

#define SIZE	8
#define TABLE	0x4000u
#define AVAIL	(TABLE + 16 * SIZE)
#define USED	0x5000u
#define DATA	0x10000u

struct setup {
	struct vmm *m;
	struct virtqueue ring;
	struct virtqueue_chain chain;
};

static int setup(void **state)
{
	struct setup *s = calloc(1, sizeof(*s));

	s->m = machine_new();
	s->ring.size = SIZE;
	virtqueue_set_pfn(&s->ring, TABLE >> 12);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct setup *s = *state;

	machine_exit(s->m);
	free(s);
	return 0;
}

static void put(struct setup *s, uint64_t gpa, uint64_t value, size_t len)
{
	memcpy(machine_memory(s->m) + gpa, &value, len);
}

static uint32_t get(struct setup *s, uint64_t gpa, size_t len)
{
	uint32_t value = 0;

	memcpy(&value, machine_memory(s->m) + gpa, len);
	return value;
}

static void desc_at(struct setup *s, uint64_t table, unsigned int index, uint64_t gpa, uint32_t len,
		    uint16_t flags, uint16_t next)
{
	put(s, table + 16 * index, gpa, 8);
	put(s, table + 16 * index + 8, len, 4);
	put(s, table + 16 * index + 12, flags, 2);
	put(s, table + 16 * index + 14, next, 2);
}

static void desc(struct setup *s, unsigned int index, uint64_t gpa, uint32_t len, uint16_t flags,
		 uint16_t next)
{
	desc_at(s, TABLE, index, gpa, len, flags, next);
}

static void offer(struct setup *s, uint16_t head)
{
	uint16_t index = (uint16_t)get(s, AVAIL + 2, 2);

	put(s, AVAIL + 4 + 2 * (index % SIZE), head, 2);
	put(s, AVAIL + 2, (uint16_t)(index + 1), 2);
}

static int pop(struct setup *s)
{
	return virtqueue_pop(s->m, &s->ring, &s->chain);
}

static void test_chain(void **state)
{
	struct setup *s = *state;
	uint8_t bytes[64];

	assert_int_equal(pop(s), 0);
	desc(s, 3, DATA, 10, VRING_DESC_F_NEXT, 5);
	desc(s, 5, DATA + 100, 0, VRING_DESC_F_NEXT, 0);
	desc(s, 0, DATA + 200, 6, VRING_DESC_F_NEXT, 1);
	desc(s, 1, DATA + 300, 4, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2);
	desc(s, 2, DATA + 400, 5, VRING_DESC_F_WRITE, 0);
	offer(s, 3);
	memcpy(machine_memory(s->m) + DATA, "0123456789", 10);
	memcpy(machine_memory(s->m) + DATA + 200, "abcdef", 6);
	assert_int_equal(pop(s), 1);
	assert_int_equal(s->chain.head, 3);
	assert_int_equal(s->chain.out_len, 16);
	assert_int_equal(s->chain.in_len, 9);
	assert_int_equal(virtqueue_chain_read(s->m, &s->chain, 8, bytes, 4), 4);
	assert_memory_equal(bytes, "89ab", 4);
	assert_int_equal(virtqueue_chain_read(s->m, &s->chain, 12, bytes, 64), 4);
	assert_int_equal(virtqueue_chain_read(s->m, &s->chain, 16, bytes, 1), 0);
	assert_int_equal(virtqueue_chain_write(s->m, &s->chain, 2, "ABCDEFGHIJ", 10), 7);
	assert_memory_equal(machine_memory(s->m) + DATA + 302, "AB", 2);
	assert_memory_equal(machine_memory(s->m) + DATA + 400, "CDEFG", 6);

	assert_int_equal(virtqueue_push(s->m, &s->ring, 3, 7), 1);
	assert_int_equal(get(s, USED + 2, 2), 1);
	assert_int_equal(get(s, USED + 4, 4), 3);
	assert_int_equal(get(s, USED + 8, 4), 7);
	put(s, AVAIL, VRING_AVAIL_F_NO_INTERRUPT, 2);
	assert_int_equal(virtqueue_push(s->m, &s->ring, 4, 0), 0);
	assert_int_equal(get(s, USED + 12, 4), 4);
	assert_int_equal(pop(s), 0);
}

/* Indexes are counted modulo 2^16, entries modulo the size. */
static void test_wrap(void **state)
{
	struct setup *s = *state;

	desc(s, 1, DATA, 4, 0, 0);
	for (unsigned int i = 0; i < 70000; i++) {
		offer(s, 1);
		assert_int_equal(pop(s), 1);
		assert_int_equal(pop(s), 0);
		assert_int_equal(virtqueue_push(s->m, &s->ring, 1, i), 1);
		assert_int_equal(get(s, USED + 4 + 8 * (i % SIZE) + 4, 4), i);
	}
	assert_int_equal(get(s, USED + 2, 2), 70000 & 0xffff);
}

static void test_unpop(void **state)
{
	struct setup *s = *state;

	desc(s, 2, DATA, 4, 0, 0);
	desc(s, 4, DATA, 4, 0, 0);
	offer(s, 2);
	offer(s, 4);
	assert_int_equal(pop(s), 1);
	virtqueue_unpop(&s->ring);
	assert_int_equal(pop(s), 1);
	assert_int_equal(s->chain.head, 2);
	assert_int_equal(pop(s), 1);
	assert_int_equal(s->chain.head, 4);
}

static void test_indirect(void **state)
{
	struct setup *s = *state;

	for (unsigned int i = 0; i < SIZE; i++)
		desc_at(s, DATA, i, DATA + 0x1000 + i, 1, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE,
			(uint16_t)(i + 1));
	desc_at(s, DATA, SIZE - 1, DATA + 0x2000, 1, VRING_DESC_F_WRITE, 0);
	desc(s, 0, DATA, 16 * SIZE, VRING_DESC_F_INDIRECT, 0);
	offer(s, 0);
	/* Not negotiated. */
	assert_int_equal(pop(s), -EPROTO);
	s->ring.indirect = true;
	assert_int_equal(pop(s), 1);
	assert_int_equal(s->chain.in_count, SIZE);

	/* With a direct part before it that leaves no room in the chain; and one that does. */
	desc(s, 1, DATA, 1, VRING_DESC_F_NEXT, 0);
	offer(s, 1);
	assert_int_equal(pop(s), -EPROTO);
	desc_at(s, DATA, SIZE - 2, DATA + 0x2000, 1, VRING_DESC_F_WRITE, 0);
	assert_int_equal(pop(s), 1);
	assert_int_equal(s->chain.out_count, 1);
	assert_int_equal(s->chain.in_count, SIZE - 1);
}

static void refuse(struct setup *s, const char *what)
{
	uint16_t index = (uint16_t)get(s, AVAIL + 2, 2);

	offer(s, 0);
	if (pop(s) != -EPROTO)
		fail_msg("accepted: %s", what);
	put(s, AVAIL + 2, index, 2);
}

static void test_hostile_chains(void **state)
{
	struct setup *s = *state;

	s->ring.indirect = true;
	desc(s, 0, DATA, 4, VRING_DESC_F_NEXT, 0);
	refuse(s, "link to itself");
	desc(s, 1, DATA, 4, VRING_DESC_F_NEXT, 0);
	desc(s, 0, DATA, 4, VRING_DESC_F_NEXT, 1);
	refuse(s, "loop of two");
	desc(s, 0, DATA, 4, VRING_DESC_F_NEXT, SIZE);
	refuse(s, "link out of the table");
	desc(s, 0, DATA, 4, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
	desc(s, 1, DATA, 4, 0, 0);
	refuse(s, "readable behind writable");
	desc(s, 0, MACHINE_MEMORY - 3, 4, 0, 0);
	refuse(s, "over the end of memory");
	desc(s, 0, UINT64_MAX - 1, 4, 0, 0);
	refuse(s, "address that wraps");
	desc(s, 0, DATA, UINT32_MAX, VRING_DESC_F_WRITE, 0);
	refuse(s, "length beyond memory");
	desc(s, 0, DATA, 0, VRING_DESC_F_INDIRECT, 0);
	refuse(s, "empty indirect table");
	desc(s, 0, DATA, 24, VRING_DESC_F_INDIRECT, 0);
	refuse(s, "half an indirect entry");
	desc(s, 0, DATA, 16 * (SIZE + 1), VRING_DESC_F_INDIRECT, 0);
	refuse(s, "indirect table larger than the queue");
	desc(s, 0, DATA, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1);
	refuse(s, "link behind an indirect table");
	desc(s, 0, DATA, 16, VRING_DESC_F_INDIRECT, 0);
	desc_at(s, DATA, 0, DATA, 16, VRING_DESC_F_INDIRECT, 0);
	refuse(s, "indirect table in an indirect table");
	desc_at(s, DATA, 0, DATA, 16, VRING_DESC_F_NEXT, 1);
	refuse(s, "link out of the indirect table");
	desc(s, 0, MACHINE_MEMORY, 16, VRING_DESC_F_INDIRECT, 0);
	refuse(s, "indirect table outside memory");

	desc(s, 0, DATA, 4, 0, 0);
	offer(s, SIZE);
	assert_int_equal(pop(s), -EPROTO);
}

static void test_hostile_rings(void **state)
{
	struct setup *s = *state;

	desc(s, 0, DATA, 4, 0, 0);
	put(s, AVAIL + 2, SIZE, 2);
	assert_int_equal(pop(s), 1);
	put(s, AVAIL + 2, SIZE + 2, 2);
	assert_int_equal(pop(s), -EPROTO);
	put(s, AVAIL + 2, 0, 2);
	assert_int_equal(pop(s), -EPROTO);

	virtqueue_set_pfn(&s->ring, MACHINE_MEMORY >> 12);
	assert_int_equal(pop(s), -EPROTO);
	assert_int_equal(virtqueue_push(s->m, &s->ring, 0, 0), -EPROTO);
	virtqueue_set_pfn(&s->ring, UINT32_MAX);
	assert_int_equal(pop(s), -EPROTO);
	/* The table is in memory, the used ring is not. */
	virtqueue_set_pfn(&s->ring, (MACHINE_MEMORY >> 12) - 1);
	assert_int_equal(virtqueue_push(s->m, &s->ring, 0, 0), -EPROTO);
	virtqueue_set_pfn(&s->ring, 0);
	assert_int_equal(pop(s), 0);
	assert_int_equal(virtqueue_push(s->m, &s->ring, 0, 0), -EPROTO);
}

static void test_state(void **state)
{
	struct setup *s = *state;
	struct virtqueue other = { .size = SIZE };
	struct virtqueue_chain chain;
	struct vmm_state saved, read;

	desc(s, 0, DATA, 9, VRING_DESC_F_NEXT, 1);
	desc(s, 1, DATA + 64, 7, VRING_DESC_F_WRITE, 0);
	offer(s, 0);
	assert_int_equal(pop(s), 1);
	assert_int_equal(virtqueue_push(s->m, &s->ring, 0, 0), 1);
	vmm_state_init(&saved);
	virtqueue_save(&s->ring, &saved);
	virtqueue_chain_save(&s->chain, &saved);
	vmm_state_init_read(&read, saved.data, saved.len);
	virtqueue_load(&other, &read);
	virtqueue_chain_load(s->m, &other, &chain, &read);
	assert_int_equal(vmm_state_end(&read), 0);
	assert_int_equal(other.pfn, s->ring.pfn);
	assert_int_equal(other.last_avail, 1);
	assert_int_equal(other.used, 1);
	assert_int_equal(chain.in_len, 7);
	assert_int_equal(chain.segments[0].gpa, DATA + 64);

	other.size = SIZE * 2;
	vmm_state_init_read(&read, saved.data, saved.len);
	virtqueue_load(&other, &read);
	assert_int_equal(vmm_state_error(&read), -EINVAL);
	vmm_state_exit(&saved);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_chain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unpop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_indirect, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_chains, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_rings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_state, setup, teardown),
	};

	return cmocka_run_group_tests_name("virtio_queue", tests, NULL, NULL);
}
