// SPDX-License-Identifier: GPL-2.0
/* A folder, an input and attempts, for tests of the engine. */
#include "mr_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

char mr_fx_dir[64];
char mr_fx_path[96];

int mr_fx_setup(void **state)
{
	(void)state;
	strcpy(mr_fx_dir, "/tmp/test-mr-engine-XXXXXX");
	if (!mkdtemp(mr_fx_dir))
		return -1;
	snprintf(mr_fx_path, sizeof(mr_fx_path), "%s/input", mr_fx_dir);
	return 0;
}

/* Whatever an attempt made is gone by then: rmdir() tells. */
int mr_fx_teardown(void **state)
{
	(void)state;
	unlink(mr_fx_path);
	return rmdir(mr_fx_dir);
}

void mr_fx_input(const void *data, size_t len)
{
	int fd = open(mr_fx_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	while (len) {
		ssize_t n = write(fd, data, len);

		assert_true(n > 0);
		data = (const char *)data + n;
		len -= (size_t)n;
	}
	close(fd);
}

struct mr_attempt mr_fx_attempt(const struct mr_app *app, bool map, uint32_t number, uint32_t reduces)
{
	return (struct mr_attempt){
		.app = app, .map = map, .number = number, .reduces = reduces, .memory = MR_MEMORY_MIN, .path = mr_fx_path,
		.work_dir = mr_fx_dir, .output_dir = mr_fx_dir, .len = UINT64_MAX, .size = UINT64_MAX,
	};
}

char *mr_fx_read(const char *path, size_t *len)
{
	struct stat st;
	char *data;
	int fd = open(path, O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	data = malloc((size_t)st.st_size + 1);
	assert_non_null(data);
	*len = (size_t)st.st_size;
	assert_int_equal(read(fd, data, *len), st.st_size);
	data[*len] = '\0';
	close(fd);
	return data;
}
