// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-blk: two disks that stay equal, whatever happens to one
 *
 * Sources: selftests/unit/virtio_machine.c tools/vmm/pci.c tools/vmm/state.c
 * Sources: selftests/unit/fuzz.c
 * Sources: tools/vmm/virtqueue.c tools/vmm/virtio.c tools/vmm/virtio_blk.c tools/vmm/disk.c
 * Sources: tools/vmm/suspects.c
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "virtio_machine.h"
#include "vmm/disk.h"
#include "vmm/virtio_blk.h"

#define SECTOR		512
#define SECTORS		2048u
#define QUEUES		0x10000u
/* Of each of the guest's requests: header, status byte, then data. */
#define REQUESTS	0x20000u
#define REQUEST_BYTES	0x2000u
#define HEADER		0
#define STATUS		16
#define DATA		0x1000u
#define DATA_MAX	0x1000u
#define SLOTS		32
#define FEATURES	(1u << VIRTIO_BLK_F_FLUSH | 1u << VIRTIO_RING_F_INDIRECT_DESC)
#define NO_STATUS	0xee

struct side {
	struct vmm *m;
	char path[PATH_MAX];
	struct driver d;
};

static void side_open(struct side *side, struct vmm *m, bool readonly)
{
	struct vmm_disk_config config = { .path = side->path, .readonly = readonly };

	side->m = m;
	assert_int_equal(virtio_blk_create(m, machine_bus(m), &config, 0), 0);
}

static void side_init(struct side *side, struct vmm *m)
{
	machine_disk(side->path, SECTORS * SECTOR, 0x11);
	side_open(side, m, false);
	driver_init(&side->d, m, 1, FEATURES, QUEUES);
}

static void side_exit(struct side *side)
{
	machine_exit(side->m);
	unlink(side->path);
}

static uint8_t *request_at(struct side *side, unsigned int slot)
{
	return machine_memory(side->m) + REQUESTS + slot * REQUEST_BYTES;
}

static uint8_t *data_at(struct side *side, unsigned int slot)
{
	return request_at(side, slot) + DATA;
}

static uint8_t status_at(struct side *side, unsigned int slot)
{
	return request_at(side, slot)[STATUS];
}

static void request_add(struct side *side, unsigned int slot, uint32_t type, uint64_t sector,
			uint32_t len)
{
	uint64_t gpa = REQUESTS + slot * REQUEST_BYTES;
	struct virtio_blk_outhdr head = { .type = htole32(type), .sector = htole64(sector) };
	struct driver_segment segments[] = {
		{ gpa + HEADER, sizeof(head), false },
		{ gpa + DATA, len, type != VIRTIO_BLK_T_OUT },
		{ gpa + STATUS, 1, true },
	};

	memcpy(request_at(side, slot) + HEADER, &head, sizeof(head));
	request_at(side, slot)[STATUS] = NO_STATUS;
	if (!len)
		segments[1] = segments[2];
	driver_add(&side->d, 0, segments, len ? 3 : 2);
}

static void request(struct side *side, unsigned int slot, uint32_t type, uint64_t sector,
		    uint32_t len)
{
	request_add(side, slot, type, sector, len);
	driver_kick(&side->d, 0);
}

static void write_sectors(struct side *side, unsigned int slot, uint64_t sector, uint32_t len,
			  uint8_t pattern)
{
	memset(data_at(side, slot), pattern, len);
	request(side, slot, VIRTIO_BLK_T_OUT, sector, len);
}

static void completed(struct side *side, unsigned int slot, uint8_t status)
{
	while (!driver_used(&side->d, 0, NULL, NULL))
		assert_int_equal(machine_step_input(side->m), 0);
	assert_int_equal(status_at(side, slot), status);
}

static void file_read(const char *path, void *bytes, size_t len, off_t at)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, bytes, len, at), len);
	close(fd);
}

static void assert_disks_equal(struct side *a, struct side *b)
{
	struct vmm_device *dev_a = machine_device(a->m, VMM_UNIT_DISK0);
	struct vmm_device *dev_b = machine_device(b->m, VMM_UNIT_DISK0);
	uint64_t digest_a, digest_b;

	/* Waits for what was begun; then look at the bytes themselves, too. */
	assert_int_equal(dev_a->ops->digest(dev_a, &digest_a), 0);
	assert_int_equal(dev_b->ops->digest(dev_b, &digest_b), 0);
	assert_int_equal(digest_a, digest_b);
	for (off_t at = 0; at < SECTORS * SECTOR; at += SECTOR) {
		uint8_t bytes_a[SECTOR], bytes_b[SECTOR];

		file_read(a->path, bytes_a, SECTOR, at);
		file_read(b->path, bytes_b, SECTOR, at);
		assert_memory_equal(bytes_a, bytes_b, SECTOR);
	}
}

static void test_identity(void **state)
{
	struct side side = { 0 };
	uint16_t io;

	(void)state;
	side_init(&side, machine_new());
	io = side.d.io;
	assert_int_equal(machine_config_in(side.m, 1, 0, 4), 0x10011af4);
	assert_int_equal(machine_config_in(side.m, 1, 0x2e, 2), 2);
	assert_int_equal(machine_in(side.m, io + 20, 4), SECTORS);
	assert_int_equal(machine_in(side.m, io + 24, 4), 0);
	assert_int_equal(machine_in(side.m, io + 40, 4), SECTOR);
	/* What it says a request may be fits its queue. */
	assert_true(machine_in(side.m, io + 32, 4) + 2 <= side.d.queues[0].size);
	side_exit(&side);
}

static void test_io(void **state)
{
	uint8_t bytes[DATA_MAX], expected[DATA_MAX];
	struct side side = { 0 };
	uint32_t len;

	(void)state;
	side_init(&side, machine_new());
	write_sectors(&side, 0, 100, DATA_MAX, 0x42);
	completed(&side, 0, VIRTIO_BLK_S_OK);
	request(&side, 1, VIRTIO_BLK_T_FLUSH, 0, 0);
	completed(&side, 1, VIRTIO_BLK_S_OK);
	memset(expected, 0x42, sizeof(expected));
	file_read(side.path, bytes, sizeof(bytes), 100 * SECTOR);
	assert_memory_equal(bytes, expected, sizeof(bytes));

	memset(data_at(&side, 2), 0, DATA_MAX);
	request(&side, 2, VIRTIO_BLK_T_IN, 99, 2 * SECTOR);
	assert_int_equal(machine_step_input(side.m), 0);
	assert_true(driver_used(&side.d, 0, NULL, &len));
	assert_int_equal(len, 2 * SECTOR + 1);
	assert_int_equal(data_at(&side, 2)[SECTOR - 1], 0x11);
	assert_int_equal(data_at(&side, 2)[SECTOR], 0x42);
	assert_int_equal(data_at(&side, 2)[2 * SECTOR], 0);

	request(&side, 3, VIRTIO_BLK_T_GET_ID, 0, VIRTIO_BLK_ID_BYTES);
	assert_true(driver_used(&side.d, 0, NULL, NULL));
	assert_string_equal((char *)data_at(&side, 3), "lockstep-disk0");
	assert_int_equal(status_at(&side, 3), VIRTIO_BLK_S_OK);

	/* The last sector is one of the disk, the one behind it is not. */
	write_sectors(&side, 4, SECTORS - 1, SECTOR, 1);
	completed(&side, 4, VIRTIO_BLK_S_OK);
	side_exit(&side);
}

/* Refused at the doorbell: nothing is logged. */
static void test_refused(void **state)
{
	static const struct {
		uint32_t type;
		uint64_t sector;
		uint32_t len;
		uint8_t status;
	} cases[] = {
		{ VIRTIO_BLK_T_OUT, SECTORS, SECTOR, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, SECTORS - 1, 2 * SECTOR, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, UINT64_MAX, SECTOR, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, UINT64_MAX / SECTOR + 1, SECTOR, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, 0, SECTOR - 1, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, 0, SECTOR + 1, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_DISCARD, 0, SECTOR, VIRTIO_BLK_S_UNSUPP },
		{ 77, 0, 0, VIRTIO_BLK_S_UNSUPP },
		{ VIRTIO_BLK_T_IN, 0, 0, VIRTIO_BLK_S_OK },
		{ VIRTIO_BLK_T_GET_ID, 0, 5, VIRTIO_BLK_S_OK },
	};
	struct side side = { 0 };

	(void)state;
	side_init(&side, machine_new());
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		request(&side, i, cases[i].type, cases[i].sector, cases[i].len);
		assert_true(driver_used(&side.d, 0, NULL, NULL));
		assert_int_equal(status_at(&side, i), cases[i].status);
	}
	assert_false(driver_status(&side.d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(machine_waiting(side.m), 0);
	side_exit(&side);
}

static void test_readonly(void **state)
{
	struct side side = { 0 };

	(void)state;
	machine_disk(side.path, SECTORS * SECTOR, 0x11);
	side_open(&side, machine_new(), true);
	driver_init(&side.d, side.m, 1, FEATURES, QUEUES);
	assert_true(machine_in(side.m, side.d.io, 4) & 1u << VIRTIO_BLK_F_RO);
	write_sectors(&side, 0, 0, SECTOR, 1);
	completed(&side, 0, VIRTIO_BLK_S_IOERR);
	request(&side, 1, VIRTIO_BLK_T_IN, 0, SECTOR);
	completed(&side, 1, VIRTIO_BLK_S_OK);
	assert_int_equal(data_at(&side, 1)[0], 0x11);
	request(&side, 2, VIRTIO_BLK_T_FLUSH, 0, 0);
	completed(&side, 2, VIRTIO_BLK_S_OK);
	side_exit(&side);
}

static int open_result(const char *path, bool readonly)
{
	struct vmm_disk_config config = { .path = path, .readonly = readonly };
	struct vmm *m = machine_new();
	int err = virtio_blk_create(m, machine_bus(m), &config, 0);

	/* Each refusal is explained. */
	assert_int_equal(machine_said(m), err ? 1 : 0);
	machine_exit(m);
	return err;
}

static void test_open(void **state)
{
	char path[PATH_MAX];
	struct side side = { 0 };

	(void)state;
	side_init(&side, machine_new());
	assert_int_equal(open_result(side.path, false), -EBUSY);
	assert_int_equal(open_result(side.path, true), -EBUSY);
	side_exit(&side);

	machine_disk(path, SECTOR, 0);
	assert_int_equal(open_result(path, false), 0);
	assert_int_equal(truncate(path, SECTOR + 1), 0);
	assert_int_equal(open_result(path, false), -EINVAL);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(open_result(path, false), -EINVAL);
	unlink(path);
	assert_int_equal(open_result(path, false), -ENOENT);
	assert_int_equal(open_result("/dev/null", false), -EINVAL);
}

/*
 * The guest changes the buffer of a write that is under way.  Both disks get
 * what was there at the doorbell, and the answer to an overlapping read does not
 * depend on which was faster.
 */
static void test_scribbled(void **state)
{
	struct side primary = { 0 }, twin = { 0 };
	struct random r;

	(void)state;
	random_init(&r);
	side_init(&primary, machine_new());
	for (unsigned int turn = 0; turn < 2; turn++) {
		struct side *side = turn ? &twin : &primary;
		struct random same = r;

		if (turn)
			side_init(&twin, machine_new_twin(primary.m));
		for (unsigned int i = 0; i < 400; i++) {
			for (unsigned int slot = 0; slot < 8; slot++) {
				uint32_t len = SECTOR * (1 + random_below(&same, 8));
				uint64_t sector = random_below(&same, 16);

				random_fill(&same, data_at(side, slot), len);
				request(side, slot, random_below(&same, 3) ? VIRTIO_BLK_T_OUT :
					VIRTIO_BLK_T_IN, sector, len);
				/* Scribbled at different moments of the disk's thread. */
				if (turn && random_below(&r, 4) == 0)
					usleep(random_below(&r, 200));
				memset(data_at(side, slot), 0xdb, DATA_MAX);
			}
			for (unsigned int done = 0; done < 8;) {
				assert_int_equal(machine_step_input(side->m), 0);
				while (driver_used(&side->d, 0, NULL, NULL))
					done++;
			}
		}
	}
	assert_disks_equal(&primary, &twin);
	machine_assert_equal(primary.m, twin.m);
	side_exit(&twin);
	side_exit(&primary);
}

/* Random traffic with resets under way; both sides end alike. */
static void test_replay(void **state)
{
	struct side primary = { 0 }, twin = { 0 };
	struct random r;

	(void)state;
	random_init(&r);
	side_init(&primary, machine_new());
	for (unsigned int turn = 0; turn < 2; turn++) {
		struct side *side = turn ? &twin : &primary;
		struct random same = r;

		if (turn)
			side_init(&twin, machine_new_twin(primary.m));
		for (unsigned int i = 0; i < 5000; i++) {
			static const uint32_t types[] = {
				VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_OUT,
				VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID, 9,
			};
			unsigned int slot = random_below(&same, SLOTS);
			uint32_t type = types[random_below(&same, 6)];

			random_fill(&same, data_at(side, slot), SECTOR);
			request(side, slot, type, random_below(&same, SECTORS + 8),
				SECTOR * random_below(&same, 9));
			if (!random_below(&same, 500))
				driver_init(&side->d, side->m, 1, FEATURES, QUEUES);
			assert_int_equal(machine_step(side->m), 0);
			if (i % 64 == 63)
				driver_isr(&side->d);
		}
		/* To the end of what is under way, at the same step on both sides. */
		for (unsigned int i = 0; i < 400; i++) {
			if (!turn)
				usleep(500);
			assert_int_equal(machine_step(side->m), 0);
		}
	}
	assert_disks_equal(&primary, &twin);
	machine_assert_equal(primary.m, twin.m);
	side_exit(&twin);
	side_exit(&primary);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void pair_init(struct side *primary, struct side *twin)
{
	side_init(primary, machine_new());
	side_init(twin, machine_new_twin(primary->m));
}

static void pair_exit(struct side *primary, struct side *twin)
{
	side_exit(twin);
	side_exit(primary);
}

static void test_twin_retries(void **state)
{
	struct side primary = { 0 }, twin = { 0 };
	int64_t start;

	(void)state;
	pair_init(&primary, &twin);
	machine_io_fail(twin.path, MACHINE_WRITE, DISK_RETRIES, -EIO);
	write_sectors(&primary, 0, 5, SECTOR, 0x77);
	completed(&primary, 0, VIRTIO_BLK_S_OK);
	start = now_ms();
	write_sectors(&twin, 0, 5, SECTOR, 0x77);
	completed(&twin, 0, VIRTIO_BLK_S_OK);
	assert_true(now_ms() - start >= DISK_RETRIES * DISK_RETRY_MS);
	assert_disks_equal(&primary, &twin);
	machine_assert_equal(primary.m, twin.m);

	/* More than that is a divergence. */
	machine_io_fail(twin.path, MACHINE_READ, UINT_MAX, -EIO);
	request(&primary, 0, VIRTIO_BLK_T_IN, 5, SECTOR);
	completed(&primary, 0, VIRTIO_BLK_S_OK);
	request(&twin, 0, VIRTIO_BLK_T_IN, 5, SECTOR);
	assert_int_equal(machine_step(twin.m), -EIO);
	pair_exit(&primary, &twin);
}

/* An error of the primary's disk is in the log; the twin gives the same answer. */
static void test_logged_error(void **state)
{
	struct side primary = { 0 }, twin = { 0 };

	(void)state;
	pair_init(&primary, &twin);
	machine_io_fail(primary.path, MACHINE_READ, 1, -EIO);
	for (unsigned int i = 0; i < 2; i++) {
		struct side *side = i ? &twin : &primary;

		memset(data_at(side, 0), 0x99, DATA_MAX);
		request(side, 0, VIRTIO_BLK_T_IN, 5, SECTOR);
		completed(side, 0, VIRTIO_BLK_S_IOERR);
		assert_int_equal(data_at(side, 0)[0], 0x99);
	}
	machine_assert_equal(primary.m, twin.m);
	pair_exit(&primary, &twin);
}

/* After a failed write the disks may differ there: what is read comes with the log. */
static void test_suspect_sectors(void **state)
{
	struct side primary = { 0 }, twin = { 0 };
	size_t inputs;

	(void)state;
	pair_init(&primary, &twin);
	machine_io_fail(primary.path, MACHINE_WRITE, 1, -EIO);
	for (unsigned int i = 0; i < 2; i++) {
		struct side *side = i ? &twin : &primary;

		write_sectors(side, 0, 10, 4 * SECTOR, 0x55);
		completed(side, 0, VIRTIO_BLK_S_IOERR);
		request(side, 1, VIRTIO_BLK_T_IN, 12, 8 * SECTOR);
		completed(side, 1, VIRTIO_BLK_S_OK);
		/* The primary's bytes, on both sides. */
		assert_int_equal(data_at(side, 1)[0], 0x11);
		request(side, 2, VIRTIO_BLK_T_IN, 20, SECTOR);
		completed(side, 2, VIRTIO_BLK_S_OK);
	}
	machine_assert_equal(primary.m, twin.m);
	/* Three completions and one lot of data. */
	assert_int_equal(machine_inputs(primary.m), 4);

	/* Written anew they are trusted again. */
	write_sectors(&primary, 3, 10, 4 * SECTOR, 0x66);
	completed(&primary, 3, VIRTIO_BLK_S_OK);
	inputs = machine_inputs(primary.m);
	request(&primary, 4, VIRTIO_BLK_T_IN, 10, 4 * SECTOR);
	completed(&primary, 4, VIRTIO_BLK_S_OK);
	assert_int_equal(machine_inputs(primary.m), inputs + 1);
	write_sectors(&twin, 3, 10, 4 * SECTOR, 0x66);
	completed(&twin, 3, VIRTIO_BLK_S_OK);
	request(&twin, 4, VIRTIO_BLK_T_IN, 10, 4 * SECTOR);
	completed(&twin, 4, VIRTIO_BLK_S_OK);
	machine_assert_equal(primary.m, twin.m);
	assert_disks_equal(&primary, &twin);
	pair_exit(&primary, &twin);
}

/* A large read of suspect sectors takes several inputs; the log may end among them. */
static void test_suspect_go_live(void **state)
{
	const uint32_t len = 64 * SECTOR;	/* slots 1 to 5 */
	uint8_t payload[DISK_DATA_HEAD + SECTOR] = { 1 };
	struct side primary = { 0 }, twin = { 0 };

	(void)state;
	pair_init(&primary, &twin);
	machine_io_fail(primary.path, MACHINE_WRITE, 1, -EIO);
	for (unsigned int i = 0; i < 2; i++) {
		struct side *side = i ? &twin : &primary;

		write_sectors(side, 0, 10, SECTOR, 0x55);
		completed(side, 0, VIRTIO_BLK_S_IOERR);
		request(side, 1, VIRTIO_BLK_T_IN, 0, len);
	}
	completed(&primary, 1, VIRTIO_BLK_S_OK);
	assert_int_equal(machine_inputs(primary.m), 1 + 3 + 1);
	/* The twin saw the first sector only, of another content; then its primary died. */
	assert_int_equal(machine_apply(twin.m, VMM_UNIT_DISK0, DISK_KIND_DATA, payload,
				       sizeof(payload)), 0);
	machine_go_live(twin.m);
	completed(&twin, 1, VIRTIO_BLK_S_OK);
	assert_int_equal(data_at(&twin, 1)[0], 0x11);
	assert_int_equal(data_at(&twin, 1)[10 * SECTOR], 0x55);
	pair_exit(&primary, &twin);
}

static void test_hostile_log(void **state)
{
	uint8_t done[DISK_DONE_BYTES] = { 0 }, data[DISK_DATA_HEAD + 2 * SECTOR] = { 0 };
	struct side primary = { 0 }, twin = { 0 };
	struct vmm *m;

	(void)state;
	pair_init(&primary, &twin);
	m = twin.m;
	assert_int_equal(machine_apply(m, VMM_UNIT_DISK0, DISK_KIND_DONE, done, sizeof(done)),
			 -EBADMSG);
	assert_int_equal(machine_apply(m, VMM_UNIT_DISK0, DISK_KIND_DATA, data, sizeof(data)),
			 -EBADMSG);
	request(&twin, 0, VIRTIO_BLK_T_IN, 0, SECTOR);
	request(&twin, 1, VIRTIO_BLK_T_OUT, 0, SECTOR);
	assert_int_equal(machine_apply(m, VMM_UNIT_DISK0, DISK_KIND_DONE, done, 15), -EBADMSG);
	assert_int_equal(machine_apply(m, VMM_UNIT_DISK0, DISK_KIND_DONE, done, 17 - 17), -EBADMSG);
	assert_int_equal(machine_apply(m, VMM_UNIT_DISK0, 3, done, sizeof(done)), -EBADMSG);
	/* Success of a read with no bytes, and more bytes than it asked for. */
	assert_int_equal(machine_apply(m, VMM_UNIT_DISK0, DISK_KIND_DONE, done, sizeof(done)),
			 -EBADMSG);
	assert_int_equal(machine_apply(m, VMM_UNIT_DISK0, DISK_KIND_DATA, data, sizeof(data)),
			 -EBADMSG);
	/* Not at the start. */
	data[8] = 1;
	assert_int_equal(machine_apply(m, VMM_UNIT_DISK0, DISK_KIND_DATA, data,
				       DISK_DATA_HEAD + 8), -EBADMSG);
	/* Part of the bytes, then success. */
	data[8] = 0;
	assert_int_equal(machine_apply(m, VMM_UNIT_DISK0, DISK_KIND_DATA, data,
				       DISK_DATA_HEAD + 8), 0);
	done[13] = SECTOR >> 8;
	assert_int_equal(machine_apply(m, VMM_UNIT_DISK0, DISK_KIND_DONE, done, sizeof(done)),
			 -EBADMSG);
	/* The second before the first, a status that there isn't. */
	done[0] = 1;
	done[13] = 0;
	assert_int_equal(machine_apply(m, VMM_UNIT_DISK0, DISK_KIND_DONE, done, sizeof(done)),
			 -EBADMSG);
	done[0] = 0;
	done[8] = 2;
	assert_int_equal(machine_apply(m, VMM_UNIT_DISK0, DISK_KIND_DONE, done, sizeof(done)),
			 -EBADMSG);
	pair_exit(&primary, &twin);
}

/* The log ends before the completions: the survivor posts its own. */
static void test_go_live(void **state)
{
	struct side primary = { 0 }, twin = { 0 };

	(void)state;
	pair_init(&primary, &twin);
	write_sectors(&primary, 0, 0, SECTOR, 0xa0);
	completed(&primary, 0, VIRTIO_BLK_S_OK);
	write_sectors(&twin, 0, 0, SECTOR, 0xa0);
	completed(&twin, 0, VIRTIO_BLK_S_OK);
	for (unsigned int slot = 1; slot < 20; slot++)
		write_sectors(&twin, slot, slot, SECTOR, (uint8_t)(0xa0 + slot));
	request(&twin, 20, VIRTIO_BLK_T_IN, 7, SECTOR);
	request(&twin, 21, VIRTIO_BLK_T_FLUSH, 0, 0);
	assert_int_equal(machine_step(twin.m), 0);
	assert_false(driver_used(&twin.d, 0, NULL, NULL));

	machine_go_live(twin.m);
	for (unsigned int slot = 1; slot < 22; slot++)
		completed(&twin, slot, VIRTIO_BLK_S_OK);
	assert_int_equal(data_at(&twin, 20)[0], 0xa7);
	write_sectors(&twin, 0, 0, SECTOR, 0xb0);
	completed(&twin, 0, VIRTIO_BLK_S_OK);
	assert_false(driver_used(&twin.d, 0, NULL, NULL));
	assert_int_equal(machine_waiting(twin.m), 0);
	pair_exit(&primary, &twin);
}

/* A reset with requests under way: they are executed, and nothing is given back. */
static void test_reset(void **state)
{
	struct side side = { 0 };
	uint8_t byte;

	(void)state;
	side_init(&side, machine_new());
	for (unsigned int slot = 0; slot < 10; slot++)
		write_sectors(&side, slot, slot, SECTOR, (uint8_t)(0xc0 + slot));
	request(&side, 10, VIRTIO_BLK_T_IN, 100, SECTOR);
	memset(data_at(&side, 10), 0xee, SECTOR);
	driver_init(&side.d, side.m, 1, FEATURES, QUEUES);
	write_sectors(&side, 11, 3, SECTOR, 0xdd);
	completed(&side, 11, VIRTIO_BLK_S_OK);
	assert_false(driver_used(&side.d, 0, NULL, NULL));
	for (unsigned int slot = 0; slot < 11; slot++)
		assert_int_equal(status_at(&side, slot), NO_STATUS);
	assert_int_equal(data_at(&side, 10)[0], 0xee);
	assert_int_equal(machine_inputs(side.m), 12);
	file_read(side.path, &byte, 1, 9 * SECTOR);
	assert_int_equal(byte, 0xc9);
	file_read(side.path, &byte, 1, 3 * SECTOR);
	assert_int_equal(byte, 0xdd);
	side_exit(&side);
}

/*
 * A guest with much to write: the device takes no more than it may hold, goes on
 * when there is room again, and loses nothing.
 */
static void test_much(void **state)
{
	enum { SEGMENT = 0x80000, SEGMENTS = 3, COUNT = 25, HOLDS = 8 << 20 };
	struct virtio_blk_outhdr head = { .type = htole32(VIRTIO_BLK_T_OUT) };
	struct side side = { 0 };
	struct vmm_device *dev;
	unsigned int done = 0;
	uint64_t digest;

	(void)state;
	machine_disk(side.path, SEGMENTS * SEGMENT, 0);
	side_open(&side, machine_new(), false);
	driver_init(&side.d, side.m, 1, FEATURES, QUEUES);
	dev = machine_device(side.m, VMM_UNIT_DISK0);
	memcpy(machine_memory(side.m) + REQUESTS, &head, sizeof(head));
	/* 37.5 MiB, all from one buffer. */
	for (unsigned int i = 0; i < COUNT; i++) {
		struct driver_segment segments[SEGMENTS + 2] = {
			{ REQUESTS, sizeof(head), false },
			{ 0x80000, SEGMENT, false },
			{ 0x80000, SEGMENT, false },
			{ 0x80000, SEGMENT, false },
			{ REQUESTS + 32 + i, 1, true },
		};

		machine_memory(side.m)[REQUESTS + 32 + i] = NO_STATUS;
		driver_add(&side.d, 0, segments, SEGMENTS + 2);
	}
	driver_kick(&side.d, 0);
	while (done < COUNT) {
		assert_int_equal(dev->ops->digest(dev, &digest), 0);
		assert_int_equal(machine_step_input(side.m), 0);
		assert_true(machine_inputs(side.m) - done <= HOLDS / (SEGMENTS * SEGMENT) + 1);
		while (driver_used(&side.d, 0, NULL, NULL))
			done++;
	}
	for (unsigned int i = 0; i < COUNT; i++)
		assert_int_equal(machine_memory(side.m)[REQUESTS + 32 + i], VIRTIO_BLK_S_OK);
	side_exit(&side);
}

/* A clone gets the requests under way and executes them itself. */
static void test_load(void **state)
{
	struct side primary = { 0 }, clone = { 0 };

	(void)state;
	side_init(&primary, machine_new());
	machine_disk(clone.path, SECTORS * SECTOR, 0x11);
	for (unsigned int slot = 0; slot < 10; slot++)
		write_sectors(&primary, slot, slot, SECTOR, (uint8_t)(0xe0 + slot));
	request(&primary, 10, VIRTIO_BLK_T_IN, 4, SECTOR);
	request(&primary, 11, VIRTIO_BLK_T_FLUSH, 0, 0);
	for (unsigned int slot = 0; slot < 10; slot++)
		memset(data_at(&primary, slot), 0, SECTOR);

	/* Nothing was applied yet: all twelve are in the state, whatever the thread has done. */
	side_open(&clone, machine_new(), false);
	assert_int_equal(machine_load(clone.m, primary.m), 0);
	machine_assert_equal(primary.m, clone.m);
	clone.d = primary.d;
	clone.d.m = clone.m;
	for (unsigned int slot = 0; slot < 12; slot++) {
		completed(&primary, slot, VIRTIO_BLK_S_OK);
		completed(&clone, slot, VIRTIO_BLK_S_OK);
	}
	assert_int_equal(data_at(&clone, 10)[0], 0xe4);
	machine_assert_equal(primary.m, clone.m);
	assert_disks_equal(&primary, &clone);

	/* A disk of another size is another disk. */
	machine_exit(clone.m);
	assert_int_equal(truncate(clone.path, SECTOR), 0);
	side_open(&clone, machine_new(), false);
	assert_int_equal(machine_load(clone.m, primary.m), -EINVAL);
	side_exit(&clone);
	side_exit(&primary);
}

/* A guest that ends with writes under way has them written, on both sides. */
static void test_end(void **state)
{
	struct side side = { 0 };
	uint8_t byte;

	(void)state;
	side_init(&side, machine_new());
	for (unsigned int slot = 0; slot < SLOTS; slot++)
		write_sectors(&side, slot, slot, SECTOR, (uint8_t)(0x80 + slot));
	machine_exit(side.m);
	for (unsigned int slot = 0; slot < SLOTS; slot++) {
		file_read(side.path, &byte, 1, slot * SECTOR);
		assert_int_equal(byte, 0x80 + slot);
	}
	unlink(side.path);
}

static void test_malformed(void **state)
{
	struct driver_segment segments[] = {
		{ REQUESTS, 15, false },
		{ REQUESTS + 32, 1, true },
	};
	struct side side = { 0 };

	(void)state;
	side_init(&side, machine_new());
	driver_add(&side.d, 0, segments, 2);
	driver_kick(&side.d, 0);
	assert_true(driver_status(&side.d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	driver_init(&side.d, side.m, 1, FEATURES, QUEUES);
	segments[0].len = 16;
	driver_add(&side.d, 0, segments, 1);
	driver_kick(&side.d, 0);
	assert_true(driver_status(&side.d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	/* Stopped until it is reset; then as new. */
	request(&side, 1, VIRTIO_BLK_T_FLUSH, 0, 0);
	assert_int_equal(status_at(&side, 1), NO_STATUS);
	assert_int_equal(machine_waiting(side.m), 0);
	driver_init(&side.d, side.m, 1, FEATURES, QUEUES);
	request(&side, 1, VIRTIO_BLK_T_FLUSH, 0, 0);
	completed(&side, 1, VIRTIO_BLK_S_OK);
	side_exit(&side);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_io),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_readonly),
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_scribbled),
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_twin_retries),
		cmocka_unit_test(test_logged_error),
		cmocka_unit_test(test_suspect_sectors),
		cmocka_unit_test(test_suspect_go_live),
		cmocka_unit_test(test_hostile_log),
		cmocka_unit_test(test_go_live),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_much),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_malformed),
	};

	return cmocka_run_group_tests_name("virtio_blk", tests, NULL, NULL);
}
