// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-net: frames in both directions, on both sides of a pair
 *
 * Sources: selftests/unit/virtio_machine.c tools/vmm/pci.c tools/vmm/state.c
 * Sources: selftests/unit/fuzz.c
 * Sources: tools/vmm/virtqueue.c tools/vmm/virtio.c tools/vmm/virtio_net.c tools/vmm/tap.c
 * Sources: tools/vmm/kept.c
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/lockstep.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "virtio_machine.h"
#include "vmm/kept.h"
#include "vmm/tap.h"
#include "vmm/virtio_net.h"

#define RX		0
#define TX		1
#define HEAD		10
#define QUEUES		0x10000u
#define BUFFERS		0x40000u
#define BUFFER_BYTES	2048
#define IO_CONFIG	20
/* From the first announcement to the last. */
#define ANNOUNCE_MS	(TAP_ANNOUNCE_FIRST_MS * (TAP_ANNOUNCEMENTS - 1) * TAP_ANNOUNCEMENTS / 2)

static const uint8_t mac[6] = { 0x52, 0x54, 0, 1, 2, 3 };

/* A machine with a network device; @wire is the other end of its tap. */
struct side {
	struct vmm *m;
	int wire;
	struct driver d;
};

static void side_init(struct side *side, struct vmm *m)
{
	int fds[2];

	side->m = m;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	side->wire = fds[0];
	assert_int_equal(virtio_net_create_fd(m, machine_bus(m), fds[1], mac), 0);
}

static void side_start(struct side *side)
{
	driver_init(&side->d, side->m, 1, 0, QUEUES);
}

static void side_exit(struct side *side)
{
	machine_exit(side->m);
	close(side->wire);
}

/* Have the guest send a frame from buffer @slot; the answer is on the wire if the side is live. */
static void guest_send(struct side *side, unsigned int slot, const void *frame, uint32_t len)
{
	uint64_t gpa = BUFFERS + slot * BUFFER_BYTES;
	struct driver_segment segments[] = { { gpa, HEAD, false }, { gpa + 64, len, false } };

	memset(machine_memory(side->m) + gpa, 0, HEAD);
	memcpy(machine_memory(side->m) + gpa + 64, frame, len);
	driver_add(&side->d, TX, segments, 2);
	driver_kick(&side->d, TX);
}

static void guest_buffer(struct side *side, unsigned int slot, uint32_t len)
{
	struct driver_segment segment = { BUFFERS + slot * BUFFER_BYTES, len, true };

	driver_add(&side->d, RX, &segment, 1);
}

static bool wire_readable(struct side *side, int ms)
{
	struct pollfd fd = { .fd = side->wire, .events = POLLIN };

	return poll(&fd, 1, ms) > 0;
}

static void wire_expect(struct side *side, const void *frame, size_t len)
{
	uint8_t bytes[TAP_FRAME_MAX];

	assert_true(wire_readable(side, 10000));
	assert_int_equal(recv(side->wire, bytes, sizeof(bytes), 0), len);
	assert_memory_equal(bytes, frame, len);
}

static void frame_make(uint8_t *frame, size_t len, uint8_t seed)
{
	for (size_t i = 0; i < len; i++)
		frame[i] = (uint8_t)(seed + i * 7);
}

static void test_identity(void **state)
{
	struct side side;
	uint16_t io;

	(void)state;
	side_init(&side, machine_new());
	assert_int_equal(machine_config_in(side.m, 1, 0, 4), 0x10001af4);
	assert_int_equal(machine_config_in(side.m, 1, 0x2e, 2), 1);
	io = machine_config_in(side.m, 1, 0x10, 4) & 0xfffc;
	assert_int_equal(machine_in(side.m, io, 4) & (1u << VIRTIO_NET_F_MAC | 1u << 29),
			 1u << VIRTIO_NET_F_MAC);
	for (unsigned int i = 0; i < 6; i++)
		assert_int_equal(machine_in(side.m, io + IO_CONFIG + i, 1), mac[i]);
	assert_int_equal(machine_in(side.m, io + IO_CONFIG + 6, 2), VIRTIO_NET_S_LINK_UP);
	/* Behind it there is nothing, and features that are not offered can't be accepted. */
	assert_int_equal(machine_in(side.m, io + 124, 4), 0);
	machine_out(side.m, io + 4, 4, UINT32_MAX);
	assert_int_equal(machine_in(side.m, io + 4, 4), machine_in(side.m, io, 4));
	side_exit(&side);
}

static void test_send(void **state)
{
	uint8_t frame[1514], hostile[HEAD] = { VIRTIO_NET_HDR_F_NEEDS_CSUM };
	struct driver_segment segment = { BUFFERS, HEAD + 60, false };
	struct side side;
	uint16_t head;
	uint32_t len;

	(void)state;
	side_init(&side, machine_new());
	side_start(&side);
	for (unsigned int i = 0; i < 600; i++) {
		frame_make(frame, sizeof(frame), (uint8_t)i);
		guest_send(&side, 0, frame, 60 + i);
		wire_expect(&side, frame, 60 + i);
		assert_true(driver_used(&side.d, TX, &head, &len));
		assert_int_equal(len, 0);
		assert_int_not_equal(machine_lines(side.m), 0);
		assert_int_equal(driver_isr(&side.d), 1);
		assert_int_equal(driver_isr(&side.d), 0);
		assert_int_equal(machine_lines(side.m), 0);
	}
	assert_int_equal(machine_outputs(side.m, LOCKSTEP_STREAM_NET), 600);

	/* No frames: too short, too long, with work for the device. They are given back. */
	segment.len = HEAD + 13;
	driver_add(&side.d, TX, &segment, 1);
	segment.len = HEAD + TAP_FRAME_MAX + 1;
	driver_add(&side.d, TX, &segment, 1);
	segment.gpa = BUFFERS + 0x8000;
	memcpy(machine_memory(side.m) + segment.gpa, hostile, HEAD);
	segment.len = HEAD + 60;
	driver_add(&side.d, TX, &segment, 1);
	driver_kick(&side.d, TX);
	for (unsigned int i = 0; i < 3; i++)
		assert_true(driver_used(&side.d, TX, NULL, NULL));
	assert_int_equal(machine_outputs(side.m, LOCKSTEP_STREAM_NET), 600);
	assert_false(driver_status(&side.d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	side_exit(&side);
}

static void test_receive(void **state)
{
	uint8_t frame[1514], zero[HEAD] = { 0 };
	struct side side;
	uint16_t head;
	uint32_t len;

	(void)state;
	side_init(&side, machine_new());
	side_start(&side);
	for (unsigned int i = 0; i < 300; i++) {
		frame_make(frame, sizeof(frame), (uint8_t)i);
		guest_buffer(&side, i % 64, BUFFER_BYTES);
		assert_int_equal(send(side.wire, frame, 60 + i, 0), 60 + i);
		assert_int_equal(machine_step_input(side.m), 0);
		assert_true(driver_used(&side.d, RX, &head, &len));
		assert_int_equal(len, HEAD + 60 + i);
		assert_memory_equal(machine_memory(side.m) + BUFFERS + i % 64 * BUFFER_BYTES, zero,
				    HEAD);
		assert_memory_equal(machine_memory(side.m) + BUFFERS + i % 64 * BUFFER_BYTES + HEAD,
				    frame, 60 + i);
	}

	/* No buffer, and one that is too small: dropped; the small one stays the next. */
	assert_int_equal(send(side.wire, frame, 100, 0), 100);
	assert_int_equal(machine_step_input(side.m), 0);
	assert_false(driver_used(&side.d, RX, NULL, NULL));
	guest_buffer(&side, 0, HEAD + 99);
	assert_int_equal(send(side.wire, frame, 100, 0), 100);
	assert_int_equal(machine_step_input(side.m), 0);
	assert_false(driver_used(&side.d, RX, NULL, NULL));
	assert_int_equal(send(side.wire, frame, 99, 0), 99);
	assert_int_equal(machine_step_input(side.m), 0);
	assert_true(driver_used(&side.d, RX, NULL, &len));
	assert_int_equal(len, HEAD + 99);

	/* What no tap gives. */
	assert_int_equal(machine_apply(side.m, VMM_UNIT_NET, TAP_KIND_FRAME, frame, 13), -EBADMSG);
	assert_int_equal(machine_apply(side.m, VMM_UNIT_NET, 99, frame, 60), -EBADMSG);
	side_exit(&side);
}

/* With nobody there to take frames none is logged, and the tap is emptied all the same. */
static void test_receive_when_down(void **state)
{
	struct side side, twin;
	uint8_t frame[60];

	(void)state;
	side_init(&side, machine_new());
	frame_make(frame, sizeof(frame), 1);
	for (unsigned int i = 0; i < 2000; i++)
		assert_int_equal(send(side.wire, frame, sizeof(frame), 0), sizeof(frame));
	assert_int_equal(machine_waiting(side.m), 0);

	side_init(&twin, machine_new_twin(side.m));
	side_start(&twin);
	for (unsigned int i = 0; i < 2000; i++)
		assert_int_equal(send(twin.wire, frame, sizeof(frame), 0), sizeof(frame));
	assert_int_equal(machine_waiting(twin.m), 0);
	side_exit(&twin);
	side_exit(&side);
}

/* A guest that does not take its inputs stops the reader; one that does has it go on. */
static void test_receive_bound(void **state)
{
	unsigned int sent = 0;
	struct side side;
	uint8_t frame[60];

	(void)state;
	side_init(&side, machine_new());
	side_start(&side);
	frame_make(frame, sizeof(frame), 1);
	assert_int_equal(fcntl(side.wire, F_SETFL, O_NONBLOCK), 0);
	for (unsigned int i = 0; i < 20; i++) {
		while (send(side.wire, frame, sizeof(frame), 0) > 0)
			sent++;
		assert_int_equal(errno, EAGAIN);
		while (machine_waiting(side.m) < TAP_PENDING_MAX && machine_waiting(side.m) < sent)
			usleep(1000);
		assert_int_equal(machine_waiting(side.m), TAP_PENDING_MAX);
		sent -= TAP_PENDING_MAX;
		assert_int_equal(machine_step_input(side.m), 0);
	}
	side_exit(&side);
}

static void test_replay(void **state)
{
	uint8_t frame[1514];
	struct side primary = { 0 }, twin = { 0 };
	struct random r;

	(void)state;
	random_init(&r);
	side_init(&primary, machine_new());
	side_start(&primary);
	for (unsigned int turn = 0; turn < 2; turn++) {
		struct random same = r;
		struct side *side = turn ? &twin : &primary;

		if (turn) {
			side_init(&twin, machine_new_twin(primary.m));
			side_start(&twin);
		}
		for (unsigned int i = 0; i < 2000; i++) {
			uint32_t len = 14 + random_below(&same, 1500);
			uint32_t what = random_below(&same, 3);

			random_fill(&same, frame, len);
			if (what == 0)
				guest_send(side, i % 32, frame, len);
			else if (what == 1)
				guest_buffer(side, 32 + i % 32, BUFFER_BYTES);
			else if (!turn)
				assert_int_equal(send(side->wire, frame, len, 0), len);
			if (what == 2)
				assert_int_equal(machine_step_input(side->m), 0);
			while (wire_readable(side, 0))
				recv(side->wire, frame, sizeof(frame), 0);
		}
	}
	machine_assert_equal(primary.m, twin.m);
	assert_int_equal(machine_outputs(primary.m, LOCKSTEP_STREAM_NET),
			 machine_outputs(twin.m, LOCKSTEP_STREAM_NET));
	side_exit(&twin);
	side_exit(&primary);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static const uint8_t rarp[60] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 1, 2, 3, 0x80, 0x35,
	0, 1, 8, 0, 6, 4, 0, 3, 0x52, 0x54, 0, 1, 2, 3, 0, 0, 0, 0, 0x52, 0x54, 0, 1, 2, 3,
};

static void test_go_live(void **state)
{
	struct side primary = { 0 }, twin = { 0 };
	unsigned int announced = 0;
	uint8_t frame[100];
	int64_t start;

	(void)state;
	side_init(&primary, machine_new());
	side_init(&twin, machine_new_twin(primary.m));
	side_start(&primary);
	side_start(&twin);
	for (unsigned int i = 1; i <= 50; i++) {
		frame_make(frame, sizeof(frame), (uint8_t)i);
		guest_send(&primary, i, frame, sizeof(frame));
		guest_send(&twin, i, frame, sizeof(frame));
		/* Something was released while it ran; the last word comes at the end. */
		if (i == 20)
			machine_release(twin.m, LOCKSTEP_STREAM_NET, 10);
	}
	assert_false(wire_readable(&twin, 50));
	machine_release(twin.m, LOCKSTEP_STREAM_NET, 42);
	start = now_ms();
	machine_go_live(twin.m);
	/* The vCPU's thread does not wait for the announcements. */
	assert_true(now_ms() - start < ANNOUNCE_MS);
	for (unsigned int i = 43; i <= 50; i++) {
		frame_make(frame, sizeof(frame), (uint8_t)i);
		wire_expect(&twin, frame, sizeof(frame));
	}
	wire_expect(&twin, rarp, sizeof(rarp));
	/* The guest's frames go in between the others. */
	guest_send(&twin, 51, frame, sizeof(frame));
	for (unsigned int i = 1; i <= TAP_ANNOUNCEMENTS; i++) {
		uint8_t bytes[TAP_FRAME_MAX];
		ssize_t len;

		assert_true(wire_readable(&twin, 10000));
		len = recv(twin.wire, bytes, sizeof(bytes), 0);
		if (len == sizeof(rarp) && !memcmp(bytes, rarp, sizeof(rarp)))
			announced++;
		else
			assert_memory_equal(bytes, frame, sizeof(frame));
	}
	assert_int_equal(announced, TAP_ANNOUNCEMENTS - 1);
	assert_true(now_ms() - start >= ANNOUNCE_MS);
	assert_false(wire_readable(&twin, 300));

	/* And it receives. */
	guest_buffer(&twin, 60, BUFFER_BYTES);
	assert_int_equal(send(twin.wire, frame, sizeof(frame), 0), sizeof(frame));
	assert_int_equal(machine_step_input(twin.m), 0);
	assert_true(driver_used(&twin.d, RX, NULL, NULL));
	side_exit(&twin);
	side_exit(&primary);
}

/* A twin whose primary confirms nothing gives up, and says so, before it eats the host. */
static void test_kept_bound(void **state)
{
	const unsigned int frames = KEPT_BYTES_MAX / TAP_FRAME_MAX + 1;
	struct side primary = { 0 }, twin = { 0 };
	uint8_t *frame = calloc(1, TAP_FRAME_MAX);
	unsigned int i;

	(void)state;
	side_init(&primary, machine_new());
	side_init(&twin, machine_new_twin(primary.m));
	side_start(&primary);
	side_start(&twin);
	for (i = 0; i < frames && !machine_failed(twin.m); i++) {
		guest_send(&primary, 0, frame, TAP_FRAME_MAX);
		wire_expect(&primary, frame, TAP_FRAME_MAX);
		guest_send(&twin, 0, frame, TAP_FRAME_MAX);
		machine_release(twin.m, LOCKSTEP_STREAM_NET, 0);
	}
	assert_true(machine_failed(twin.m));
	assert_true(i > frames - 100);
	assert_int_equal(machine_said(twin.m), 1);
	side_exit(&twin);
	side_exit(&primary);
	free(frame);
}

static void test_broken(void **state)
{
	struct driver_segment segment = { MACHINE_MEMORY, 100, false };
	struct side side;
	uint8_t frame[60];

	(void)state;
	frame_make(frame, sizeof(frame), 1);
	side_init(&side, machine_new());
	side_start(&side);
	driver_add(&side.d, TX, &segment, 1);
	driver_kick(&side.d, TX);
	assert_true(driver_status(&side.d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(machine_said(side.m), 1);
	guest_send(&side, 0, frame, sizeof(frame));
	assert_int_equal(machine_outputs(side.m, LOCKSTEP_STREAM_NET), 0);
	guest_buffer(&side, 1, BUFFER_BYTES);
	assert_int_equal(machine_apply(side.m, VMM_UNIT_NET, TAP_KIND_FRAME, frame, 60), 0);
	assert_false(driver_used(&side.d, RX, NULL, NULL));

	/* Only once: a hostile guest could go on for ever. */
	side_start(&side);
	driver_add(&side.d, TX, &segment, 1);
	driver_kick(&side.d, TX);
	assert_int_equal(machine_said(side.m), 1);
	side_start(&side);
	assert_false(driver_status(&side.d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	guest_send(&side, 0, frame, sizeof(frame));
	wire_expect(&side, frame, sizeof(frame));
	side_exit(&side);
}

static void test_load(void **state)
{
	struct side side, clone;
	uint8_t frame[60];

	(void)state;
	frame_make(frame, sizeof(frame), 1);
	side_init(&side, machine_new());
	side_start(&side);
	guest_send(&side, 0, frame, sizeof(frame));
	guest_buffer(&side, 1, BUFFER_BYTES);
	machine_out(side.m, side.d.io + IO_CONFIG + 5, 1, 0x77);
	side_init(&clone, machine_new());
	assert_int_equal(machine_load(clone.m, side.m), 0);
	machine_assert_equal(side.m, clone.m);
	clone.d = side.d;
	clone.d.m = clone.m;
	assert_int_equal(machine_in(clone.m, clone.d.io + IO_CONFIG + 5, 1), 0x77);
	for (unsigned int i = 0; i < 2; i++) {
		struct side *s = i ? &clone : &side;

		assert_int_equal(machine_apply(s->m, VMM_UNIT_NET, TAP_KIND_FRAME, frame, 60), 0);
		assert_true(driver_used(&s->d, RX, NULL, NULL));
	}
	machine_assert_equal(side.m, clone.m);
	side_exit(&clone);
	side_exit(&side);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_send),
		cmocka_unit_test(test_receive),
		cmocka_unit_test(test_receive_when_down),
		cmocka_unit_test(test_receive_bound),
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_go_live),
		cmocka_unit_test(test_kept_bound),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_load),
	};

	return cmocka_run_group_tests_name("virtio_net", tests, NULL, NULL);
}
