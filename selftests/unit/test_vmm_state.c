// SPDX-License-Identifier: GPL-2.0
/*
 * The state buffer, ports and digests of files
 *
 * Sources: tools/vmm/state.c tools/vmm/pio.c tools/vmm/file.c
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/file.h"
#include "vmm/pio.h"
#include "vmm/state.h"
#include "vmm/vmm.h"

static void test_values(void **unused)
{
	struct vmm_state out, in;
	char text[5];

	(void)unused;
	vmm_state_init(&out);
	vmm_state_put_u8(&out, 0xab);
	vmm_state_put_u16(&out, 0x1234);
	vmm_state_put_u32(&out, 0xdeadbeef);
	vmm_state_put_u64(&out, 0x0102030405060708);
	vmm_state_put_bool(&out, true);
	vmm_state_put(&out, "hello", 5);
	vmm_state_put_u32(&out, 7);
	assert_int_equal(vmm_state_error(&out), 0);
	assert_int_equal(out.len, 1 + 2 + 4 + 8 + 1 + 5 + 4);
	/* little-endian, packed */
	assert_memory_equal(out.data, "\xab\x34\x12\xef\xbe\xad\xde\x08", 8);

	vmm_state_init_read(&in, out.data, out.len);
	assert_int_equal(vmm_state_get_u8(&in), 0xab);
	assert_int_equal(vmm_state_get_u16(&in), 0x1234);
	assert_int_equal(vmm_state_get_u32(&in), 0xdeadbeef);
	assert_int_equal(vmm_state_get_u64(&in), 0x0102030405060708);
	assert_true(vmm_state_get_bool(&in));
	vmm_state_get(&in, text, 5);
	assert_memory_equal(text, "hello", 5);
	assert_int_equal(vmm_state_end(&in), -EINVAL);	/* something is left */
	assert_int_equal(vmm_state_get_max(&in, 7), 7);
	assert_int_equal(vmm_state_end(&in), 0);
	vmm_state_exit(&out);
}

static void test_errors_stick(void **unused)
{
	struct vmm_state in;
	uint8_t *data = malloc(4);

	(void)unused;
	memcpy(data, "\x01\x02\x03\x04", 4);
	vmm_state_init_read(&in, data, 4);
	assert_int_equal(vmm_state_get_u64(&in), 0);
	assert_int_equal(vmm_state_error(&in), -EINVAL);
	assert_int_equal(vmm_state_get_u8(&in), 0);
	vmm_state_fail(&in, -EIO);
	assert_int_equal(vmm_state_end(&in), -EINVAL);
	vmm_state_init_read(&in, data, 4);
	assert_false(vmm_state_get_bool(&in) && !vmm_state_error(&in) &&
		     vmm_state_get_bool(&in));
	assert_int_equal(vmm_state_error(&in), -EINVAL);	/* 2 is no bool */
	vmm_state_init_read(&in, data, 4);
	assert_int_equal(vmm_state_get_max(&in, 1000), 0);
	assert_int_equal(vmm_state_error(&in), -EINVAL);
	vmm_state_init_read(&in, data, 4);
	vmm_state_put_u8(&in, 1);
	assert_int_equal(vmm_state_error(&in), -EINVAL);
	assert_int_equal(data[0], 1);
	free(data);
}

static void test_limit(void **unused)
{
	struct vmm_state out;
	uint8_t *block = calloc(1, 1 << 20);

	(void)unused;
	vmm_state_init(&out);
	for (unsigned int i = 0; i < VMM_STATE_MAX >> 20; i++)
		vmm_state_put(&out, block, 1 << 20);
	assert_int_equal(vmm_state_error(&out), 0);
	vmm_state_put_u8(&out, 0);
	assert_int_equal(vmm_state_error(&out), -E2BIG);
	vmm_state_exit(&out);
	free(block);
}

/* ---- ports ---- */

static uint32_t last_port, last_size, last_value, accesses;

static uint32_t port_in(void *opaque, uint16_t port, uint8_t size)
{
	accesses++;
	last_port = port;
	last_size = size;
	return 0xa0000000 | (uint32_t)(uintptr_t)opaque | (port & 0xff) << 8;
}

static void port_out(void *opaque, uint16_t port, uint8_t size, uint32_t value)
{
	(void)opaque;
	accesses++;
	last_port = port;
	last_size = size;
	last_value = value;
}

static void test_ports(void **unused)
{
	static const struct vmm_pio_ops wide = { .in = port_in, .out = port_out };
	static const struct vmm_pio_ops narrow = { .width = 1, .in = port_in, .out = port_out };
	struct vmm *vmm = calloc(1, sizeof(*vmm));

	(void)unused;
	assert_int_equal(vmm_pio_add(vmm, 0x100, 8, &wide, (void *)0x11), 0);
	assert_int_equal(vmm_pio_add(vmm, 0x107, 1, &wide, NULL), -EEXIST);
	assert_int_equal(vmm_pio_add(vmm, 0x108, 4, &narrow, (void *)0x22), 0);
	assert_int_equal(vmm_pio_add(vmm, 0xfffe, 3, &wide, NULL), -EINVAL);
	assert_int_equal(vmm_pio_add(vmm, 0x200, 0, &wide, NULL), -EINVAL);
	assert_int_equal(vmm_pio_add(vmm, 0xfffe, 2, &wide, (void *)0x33), 0);

	assert_int_equal(vmm_pio_in(vmm, 0x104, 4), 0xa0000411);
	assert_int_equal(last_size, 4);
	assert_int_equal(vmm_pio_in(vmm, 0x104, 2), 0x0411);
	/* A narrow device, and an access that leaves its range: byte by byte. */
	accesses = 0;
	assert_int_equal(vmm_pio_in(vmm, 0x108, 2), 0x2222);
	assert_int_equal(accesses, 2);
	assert_int_equal(vmm_pio_in(vmm, 0x106, 4), 0x22221111);
	assert_int_equal(vmm_pio_in(vmm, 0x10a, 4), 0xffff2222);
	/* Nobody there. */
	assert_int_equal(vmm_pio_in(vmm, 0x300, 4), 0xffffffff);
	/* The port space ends, and begins again. */
	assert_int_equal(vmm_pio_in(vmm, 0xfffe, 4), 0xffff3333);
	accesses = 0;
	vmm_pio_out(vmm, 0x106, 4, 0x44332211);
	assert_int_equal(accesses, 4);
	assert_int_equal(last_port, 0x109);
	assert_int_equal(last_value, 0x44);
	vmm_pio_out(vmm, 0x100, 4, 0x44332211);
	assert_int_equal(accesses, 5);
	assert_int_equal(last_value, 0x44332211);
	vmm_pio_out(vmm, 0x300, 2, 1);
	assert_int_equal(accesses, 5);
	free(vmm);
}

/* ---- files ---- */

static int temporary(void)
{
	char path[] = "/tmp/test_vmm_state.XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	return fd;
}

static void test_file_digest(void **unused)
{
	const off_t size = 10 << 20;
	int sparse = temporary(), full = temporary();
	uint8_t *zeroes = calloc(1, (size_t)size);
	uint64_t a, b;

	(void)unused;
	assert_int_equal(ftruncate(sparse, size), 0);
	assert_int_equal(vmm_file_write(full, zeroes, (size_t)size, 0), 0);
	assert_int_equal(vmm_file_write(sparse, "data", 4, 5000001), 0);
	assert_int_equal(vmm_file_write(full, "data", 4, 5000001), 0);
	assert_int_equal(vmm_file_digest(sparse, (uint64_t)size, "sparse", &a), 0);
	assert_int_equal(vmm_file_digest(full, (uint64_t)size, "full", &b), 0);
	assert_int_equal(a, b);
	assert_int_not_equal(a, 0);
	/* One byte, and one byte elsewhere. */
	assert_int_equal(vmm_file_write(full, "dbta", 4, 5000001), 0);
	assert_int_equal(vmm_file_digest(full, (uint64_t)size, "full", &b), 0);
	assert_int_not_equal(a, b);
	assert_int_equal(vmm_file_write(full, "\0\0\0\0", 4, 5000001), 0);
	assert_int_equal(vmm_file_write(full, "data", 4, 5000001 + 65536), 0);
	assert_int_equal(vmm_file_digest(full, (uint64_t)size, "full", &b), 0);
	assert_int_not_equal(a, b);
	/* The last byte counts, also in a block that is not whole. */
	assert_int_equal(vmm_file_digest(full, 5000001 + 65536, "full", &a), 0);
	assert_int_equal(a, 0);
	assert_int_equal(vmm_file_digest(full, 5000001 + 65536 + 1, "full", &a), 0);
	assert_int_not_equal(a, 0);
	/* Longer than the file. */
	assert_int_equal(vmm_file_write(full, "x", 1, size - 1), 0);
	assert_int_equal(vmm_file_digest(full, (uint64_t)size + 1, "full", &a), -EIO);
	free(zeroes);
	close(sparse);
	close(full);
}

static void test_file_errors(void **unused)
{
	char byte;

	(void)unused;
	assert_int_equal(vmm_file_read(-1, &byte, 1, 0), -EBADF);
	assert_int_equal(vmm_file_write(-1, &byte, 1, 0), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_errors_stick),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_file_digest),
		cmocka_unit_test(test_file_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
