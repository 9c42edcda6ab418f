// SPDX-License-Identifier: GPL-2.0
/*
 * A guest that does what it wants to all devices at once
 *
 * Each round it writes rubbish into rings and registers, or something that is
 * nearly right, and rings doorbells.  Nothing may crash, and a twin that gets the
 * same accesses and the primary's inputs ends with the same state, memory,
 * outputs and disk.
 *
 * Sources: selftests/unit/virtio_machine.c tools/vmm/pci.c tools/vmm/state.c
 * Sources: selftests/unit/fuzz.c
 * Sources: tools/vmm/virtqueue.c tools/vmm/virtio.c tools/vmm/virtio_*.c tools/vmm/disk.c
 * Sources: tools/vmm/suspects.c tools/vmm/tap.c tools/vmm/kept.c
 *
 * LOCKSTEP_SEED repeats a run, LOCKSTEP_FUZZ sets its rounds.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/lockstep.h>
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "fuzz.h"
#include "virtio_machine.h"
#include "vmm/virtio_blk.h"
#include "vmm/virtio_console.h"
#include "vmm/virtio_net.h"
#include "vmm/virtio_rng.h"

#define ROUNDS		100000u
#define SLOT_DISK	2
#define SLOT_CONSOLE	3
#define SLOT_RNG	4
#define CARDS		4
#define CHAIN		6	/* links at most */
#define DISK_BYTES	(64u << 10)
/* Rings, and what they point to: apart, but not for a wild guest. */
#define ARENA		0x10000u
#define ARENA_BYTES	0x20000u
#define DATA		0x100000u
#define DATA_BYTES	0x40000u
/* One thing in so many is not in order, by turns. */
#define TURN		250

struct side {
	struct vmm *m;
	uint32_t wildness;
	int wire;
	char path[PATH_MAX];
	struct driver d[CARDS + 1];
};

static void side_init(struct side *side, struct vmm *m)
{
	static const uint8_t mac[6] = { 2 };
	const struct vmm_sink_config sink = { .kind = VMM_SINK_NULL };
	struct vmm_disk_config disk = { .path = side->path };
	int fds[2];

	memset(side, 0, sizeof(*side));
	side->m = m;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	side->wire = fds[0];
	machine_disk(side->path, DISK_BYTES, 0x33);
	assert_int_equal(virtio_net_create_fd(m, machine_bus(m), fds[1], mac), 0);
	assert_int_equal(virtio_blk_create(m, machine_bus(m), &disk, 0), 0);
	assert_int_equal(virtio_console_create(m, machine_bus(m), &sink), 0);
	assert_int_equal(virtio_rng_create(m, machine_bus(m)), 0);
}

static void side_exit(struct side *side)
{
	machine_exit(side->m);
	close(side->wire);
	unlink(side->path);
}

static uint16_t bar(struct side *side, unsigned int slot)
{
	return (uint16_t)(machine_config_in(side->m, slot, 0x10, 4) & 0xfffc);
}

static void put(struct side *side, uint64_t gpa, uint64_t value, size_t len)
{
	if (gpa < MACHINE_MEMORY && len <= MACHINE_MEMORY - gpa)
		memcpy(machine_memory(side->m) + gpa, &value, len);
}

static bool wild(struct side *side, struct random *r)
{
	return side->wildness && !random_below(r, side->wildness);
}

static uint64_t some_address(struct side *side, struct random *r)
{
	if (!wild(side, r))
		return DATA + random_below(r, DATA_BYTES);
	switch (random_below(r, 4)) {
	case 0:
		return random_next(r);
	case 1:
		return MACHINE_MEMORY - random_below(r, 64);
	default:
		return ARENA + random_below(r, ARENA_BYTES);
	}
}

static uint32_t some_length(struct side *side, struct random *r)
{
	static const uint32_t lengths[] = { 0, 1, 10, 16, 74, 512, 528, 1524, 4096, 16384 };

	return wild(side, r) ? (uint32_t)random_next(r) : lengths[random_below(r, 10)];
}

/* What the device in @slot expects, or anything. */
static unsigned int some_chain(struct side *side, struct random *r, unsigned int slot,
			       unsigned int queue, struct driver_segment *segments)
{
	static const uint32_t types[] = { 0, 0, 1, 1, 4, 8, 11 };
	uint32_t type = types[random_below(r, 7)];
	unsigned int count = 1 + random_below(r, CHAIN - 1);
	unsigned int out = random_below(r, count + 1);

	for (unsigned int i = 0; i < CHAIN; i++) {
		segments[i].gpa = some_address(side, r);
		segments[i].len = some_length(side, r);
		segments[i].in = i >= out;
	}
	if (wild(side, r))
		return count;
	for (unsigned int i = 0; i < count; i++)
		segments[i].in = slot == SLOT_RNG || (slot != SLOT_DISK && !queue);
	if (slot != SLOT_DISK)
		return count;
	segments[0] = (struct driver_segment){ segments[0].gpa, 16, false };
	segments[1].len = 512 * (1 + random_below(r, 8));
	segments[1].in = type != 1;
	segments[2] = (struct driver_segment){ segments[2].gpa, 1, true };
	put(side, segments[0].gpa, type, 8);
	put(side, segments[0].gpa + 8, random_below(r, DISK_BYTES / 512 + 2), 8);
	return 3;
}

static void rub_chain(struct side *side, struct random *r, unsigned int slot, unsigned int queue)
{
	struct driver_segment segments[CHAIN];
	struct driver *d = &side->d[slot];

	if (d->queues[queue].size)
		driver_add(d, queue, segments, some_chain(side, r, slot, queue, segments));
}

/* A descriptor of a ring, its indexes, or whatever is there. */
static void rub_memory(struct side *side, struct random *r, struct driver *d, unsigned int queue)
{
	struct driver_queue *q = &d->queues[queue];
	uint64_t gpa;

	if (!q->size)
		return;
	switch (random_below(r, 4)) {
	case 0:
		put(side, q->avail + 2, q->avail_index + random_below(r, 2u * q->size), 2);
		break;
	case 1:
		put(side, q->avail + 4 + 2 * random_below(r, q->size), random_below(r, 300), 2);
		break;
	case 2:
		gpa = q->table + 16 * random_below(r, q->size);
		put(side, gpa, some_address(side, r), 8);
		put(side, gpa + 8, random_below(r, 2) ? some_length(side, r) :
		    16 * random_below(r, 20), 4);
		put(side, gpa + 12, random_below(r, 8), 2);
		put(side, gpa + 14, random_below(r, q->size + 2), 2);
		break;
	default:
		put(side, ARENA + random_below(r, ARENA_BYTES), random_next(r), 8);
		break;
	}
}

static void rub_registers(struct side *side, struct random *r, unsigned int slot)
{
	static const struct {
		uint8_t offset, size;
	} registers[] = { { 0, 4 }, { 4, 4 }, { 8, 4 }, { 12, 2 }, { 14, 2 }, { 16, 2 }, { 18, 1 },
			  { 19, 1 } };
	uint8_t size = (uint8_t)(1u << random_below(r, 3));
	uint16_t port = bar(side, slot);
	unsigned int i = random_below(r, 16);

	port = (uint16_t)(port + (i < 8 ? registers[i].offset : random_below(r, 136)));
	size = i < 8 ? registers[i].size : size;
	if (random_below(r, 2))
		machine_in(side->m, port, size);
	else
		machine_out(side->m, port, size, (uint32_t)random_next(r) >> random_below(r, 32));
}

static void rub_config(struct side *side, struct random *r, unsigned int slot)
{
	unsigned int reg = random_below(r, 256);
	uint8_t size = (uint8_t)(1u << random_below(r, 3));
	uint32_t value = (uint32_t)random_next(r);

	if (random_below(r, 2)) {
		machine_config_in(side->m, random_below(r, 32), reg, size);
		return;
	}
	machine_config_out(side->m, slot, reg, size, value);
	/* Back to where it can be found: most rounds need it. */
	machine_config_out(side->m, slot, 0x10, 4, 0x1000 + slot * 0x100);
	machine_config_out(side->m, slot, 4, 2, 1 | (value & 0x400));
}

static void fuzz_round(struct side *side, struct random *r)
{
	unsigned int slot = 1 + random_below(r, CARDS), queue = random_below(r, 2);
	struct driver *d = &side->d[slot];
	uint8_t frame[64];

	switch (random_below(r, 24)) {
	case 0:
		/* As a driver whose device has stopped. */
		if (!d->io || (driver_status(d) & VIRTIO_CONFIG_S_NEEDS_RESET) || wild(side, r))
			driver_init(d, side->m, slot, (uint32_t)random_next(r),
				    ARENA + ((slot - 1) << 15));
		break;
	case 1:
		if (wild(side, r))
			rub_config(side, r, slot);
		break;
	case 2:
		for (unsigned int i = random_below(r, 8); i && side->wildness; i--)
			rub_registers(side, r, slot);
		break;
	case 3:
		for (unsigned int i = random_below(r, 64); i && side->wildness; i--)
			rub_memory(side, r, d, queue);
		break;
	case 4:
	case 5:
		/* A frame from outside; on the twin it comes with the log, or not. */
		random_fill(r, frame, sizeof(frame));
		if (send(side->wire, frame, sizeof(frame), 0) < 0)
			assert_int_equal(errno, EAGAIN);
		break;
	case 6:
		machine_in(side->m, (uint16_t)(bar(side, slot) + 19), 1);
		break;
	case 7:
	case 8:
		if (d->io)
			driver_kick(d, queue);
		break;
	default:
		rub_chain(side, r, slot, queue);
		if (random_below(r, 2) && d->io)
			driver_kick(d, queue);
		break;
	}
}

static void wire_drain(struct side *side)
{
	uint8_t frame[16384];

	while (recv(side->wire, frame, sizeof(frame), 0) > 0)
		;
}

/* 0, or the -errno of an input that could not be applied. */
static int run(struct side *side, struct random r, unsigned int rounds)
{
	static const char typed[] = "typed";
	int err;

	for (unsigned int i = 0; i < rounds; i++) {
		/* From a guest in order to one that does nothing right. */
		side->wildness = i / TURN % 4 ? 1u << 2 * (i / TURN % 4) : 0;
		fuzz_round(side, &r);
		/* Input for the console, where the step logs it. */
		if (i % 50 == 0)
			vmm_event_post(side->m, VMM_UNIT_CONSOLE, VMM_KIND_RECEIVE, typed,
				       machine_room(side->m, LOCKSTEP_STREAM_CONSOLE) < 64 ? 0 :
				       sizeof(typed));
		if (i % 64 == 0)
			wire_drain(side);
		err = machine_step(side->m);
		if (err)
			return err;
		assert_false(machine_failed(side->m));
	}
	return 0;
}

static void test_fuzz(void **state)
{
	unsigned int rounds = fuzz_rounds(ROUNDS);
	/* Anew at times: a device that is stopped learns nothing more. */
	const unsigned int chunk = 5000;
	size_t inputs[VMM_UNITS] = { 0 }, frames = 0;
	struct random r;

	(void)state;
	random_init(&r);
	for (unsigned int done = 0; done < rounds; done += chunk) {
		struct vmm_device *dev;
		struct side primary = { 0 }, twin = { 0 };
		uint64_t digests[2];

		random_next(&r);
		side_init(&primary, machine_new());
		assert_int_equal(run(&primary, r, chunk), 0);
		side_init(&twin, machine_new_twin(primary.m));
		assert_int_equal(run(&twin, r, chunk), 0);
		for (unsigned int i = 0; i < 2; i++) {
			dev = machine_device(i ? twin.m : primary.m, VMM_UNIT_DISK0);
			assert_int_equal(dev->ops->digest(dev, &digests[i]), 0);
		}
		assert_true(digests[0] == digests[1]);
		machine_assert_equal(primary.m, twin.m);
		for (unsigned int i = 0; i < LOCKSTEP_STREAMS; i++)
			assert_int_equal(machine_outputs(primary.m, i), machine_outputs(twin.m, i));
		frames += machine_outputs(primary.m, LOCKSTEP_STREAM_NET);
		for (unsigned int i = 0; i < VMM_UNITS; i++)
			inputs[i] += machine_inputs_of(primary.m, i);
		side_exit(&twin);
		side_exit(&primary);
	}
	/* It reached the devices. */
	printf("# %u rounds: %zu frames out, %zu in, %zu disk requests, %zu lots of entropy\n", rounds,
	       frames, inputs[VMM_UNIT_NET], inputs[VMM_UNIT_DISK0], inputs[VMM_UNIT_RNG]);
	assert_true(frames > rounds / 1000);
	assert_true(inputs[VMM_UNIT_NET] > rounds / 1000);
	assert_true(inputs[VMM_UNIT_DISK0] > rounds / 1000);
	assert_true(inputs[VMM_UNIT_RNG] > rounds / 1000);
}

/* The state of a clone comes from another host: damaged, it is refused or harmless. */
static void test_fuzz_state(void **state)
{
	unsigned int loads = fuzz_rounds(ROUNDS) / 500;
	unsigned int refused = 0, accepted = 0;
	struct side side = { 0 }, clone = { 0 };
	struct random r;

	(void)state;
	random_init(&r);
	side_init(&side, machine_new());
	for (unsigned int i = 0; i < loads; i++) {
		uint8_t *bytes;
		size_t len;
		int err;

		assert_int_equal(run(&side, r, 50), 0);
		random_next(&r);
		bytes = machine_state(side.m, &len);
		for (unsigned int k = random_below(&r, 3); k; k--)
			bytes[random_below(&r, (uint32_t)len)] = (uint8_t)random_next(&r);
		if (!random_below(&r, 10))
			len = random_below(&r, (uint32_t)len);
		side_init(&clone, machine_new());
		if (machine_load_state(clone.m, bytes, len)) {
			refused++;
		} else {
			accepted++;
			memcpy(clone.d, side.d, sizeof(clone.d));
			for (unsigned int k = 1; k <= CARDS; k++)
				clone.d[k].m = clone.m;
			/* Requests that never were end it in order. */
			err = run(&clone, r, 50);
			assert_true(!err || err == -EBADMSG);
		}
		side_exit(&clone);
		free(bytes);
	}
	printf("# %u loads: %u refused\n", loads, refused);
	assert_true(refused && accepted);
	side_exit(&side);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fuzz),
		cmocka_unit_test(test_fuzz_state),
	};

	return cmocka_run_group_tests_name("virtio_fuzz", tests, NULL, NULL);
}
