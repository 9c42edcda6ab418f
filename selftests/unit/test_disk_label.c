// SPDX-License-Identifier: GPL-2.0
/*
 * Labels of disks: what was written is read, and nothing else is believed
 *
 * Sources: tools/vmm/disk_label.c
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/disk_label.h"

struct place {
	char directory[64];
	char disk[PATH_MAX];
	char label[PATH_MAX];
};

static int setup(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	strcpy(place->directory, "/tmp/lockstep-test-label-XXXXXX");
	assert_non_null(mkdtemp(place->directory));
	snprintf(place->disk, sizeof(place->disk), "%s/disk.img", place->directory);
	snprintf(place->label, sizeof(place->label), "%s/disk.img.lockstep", place->directory);
	*state = place;
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;

	unlink(place->label);
	assert_int_equal(rmdir(place->directory), 0);
	free(place);
	return 0;
}

static void text_write(const struct place *place, const char *text)
{
	int fd = open(place->label, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void test_round(void **state)
{
	struct disk_label label = { .generation = UINT64_MAX, .stale = true }, read;
	struct place *place = *state;
	char text[256] = { 0 };
	int fd;

	for (unsigned int i = 0; i < DISK_LABEL_UUID; i++)
		label.instance[i] = (uint8_t)(i * 17);
	assert_int_equal(disk_label_read(place->disk, &read), -ENOENT);
	assert_int_equal(disk_label_write(place->disk, &label), 0);
	assert_int_equal(disk_label_read(place->disk, &read), 0);
	assert_true(read.generation == UINT64_MAX);
	assert_true(read.stale);
	assert_memory_equal(read.instance, label.instance, DISK_LABEL_UUID);

	label.generation = 7;
	label.stale = false;
	assert_int_equal(disk_label_write(place->disk, &label), 0);
	fd = open(place->label, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && read.stale);
	assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
	close(fd);
	/* The documented form, by the byte: other programs read it. */
	assert_string_equal(text, "{\"version\":1,\"generation\":7,\"instance\":"
			    "\"00112233-4455-6677-8899-aabbccddeeff\",\"stale\":false}\n");
}

static void test_stale(void **state)
{
	struct disk_label label = { .generation = 3, .instance = { 9 } }, read;
	struct place *place = *state;

	assert_int_equal(disk_label_mark_stale(place->disk), 0);
	assert_int_equal(disk_label_read(place->disk, &read), 0);
	assert_true(read.stale && !read.generation);
	assert_int_equal(disk_label_write(place->disk, &label), 0);
	assert_int_equal(disk_label_mark_stale(place->disk), 0);
	assert_int_equal(disk_label_read(place->disk, &read), 0);
	assert_true(read.stale && read.generation == 3 && read.instance[0] == 9);
	text_write(place, "no label");
	assert_int_equal(disk_label_mark_stale(place->disk), 0);
	assert_int_equal(disk_label_read(place->disk, &read), 0);
	assert_true(read.stale);
}

static void test_damaged(void **state)
{
#define ID "\"instance\":\"00112233-4455-6677-8899-aabbccddeeff\""
	static const char * const texts[] = {
		"",
		"{",
		"[]",
		"7",
		"{\"version\":2,\"generation\":7," ID ",\"stale\":false}",
		"{\"version\":1,\"generation\":-7," ID ",\"stale\":false}",
		"{\"version\":1,\"generation\":\"7\"," ID ",\"stale\":false}",
		"{\"version\":1,\"generation\":7.5," ID ",\"stale\":false}",
		"{\"version\":1,\"generation\":7," ID ",\"stale\":0}",
		"{\"version\":1,\"generation\":7," ID "}",
		"{\"version\":1," ID ",\"stale\":false}",
		"{\"version\":1,\"generation\":7,\"stale\":false}",
		"{\"version\":1,\"generation\":7,\"instance\":\"00112233\",\"stale\":false}",
		"{\"version\":1,\"generation\":7,\"instance\":"
		"\"00112233-4455-6677-8899-aabbccddeeff0\",\"stale\":false}",
		"{\"version\":1,\"generation\":7,\"instance\":"
		"\"00112233x4455-6677-8899-aabbccddeeff\",\"stale\":false}",
		"{\"version\":1,\"generation\":7,\"instance\":"
		"\"0011223g-4455-6677-8899-aabbccddeeff\",\"stale\":false}",
	};
	struct place *place = *state;
	struct disk_label read;
	char large[3000];

	for (unsigned int i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		text_write(place, texts[i]);
		if (disk_label_read(place->disk, &read) != -EBADMSG)
			fail_msg("believed: %s", texts[i]);
	}
	memset(large, ' ', sizeof(large));
	large[sizeof(large) - 1] = '\0';
	text_write(place, large);
	assert_int_equal(disk_label_read(place->disk, &read), -EBADMSG);
}

static void test_failure(void **state)
{
	struct disk_label label = { .generation = 3 }, read;
	struct place *place = *state;
	char obstacle[PATH_MAX + 8], name[PATH_MAX + 8];

	/* Where the temporary file would be there is a directory: the old label stays. */
	assert_int_equal(disk_label_write(place->disk, &label), 0);
	snprintf(obstacle, sizeof(obstacle), "%s.new", place->label);
	assert_int_equal(mkdir(obstacle, 0755), 0);
	label.generation = 4;
	assert_int_equal(disk_label_write(place->disk, &label), -EISDIR);
	assert_int_equal(disk_label_read(place->disk, &read), 0);
	assert_int_equal(read.generation, 3);
	assert_int_equal(rmdir(obstacle), 0);

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(disk_label_write(name, &label), -ENAMETOOLONG);
	assert_int_equal(disk_label_read("/nowhere/disk", &read), -ENOENT);
	assert_int_equal(disk_label_write("/nowhere/disk", &label), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stale, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failure, setup, teardown),
	};

	return cmocka_run_group_tests_name("disk_label", tests, NULL, NULL);
}
