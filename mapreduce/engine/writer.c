// SPDX-License-Identifier: GPL-2.0
/* Writers that every worker has: lines of text, and bytes as they are. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/output.h"

static int text_open(struct mr_task *task, struct mr_output *output, void **state)
{
	const char *separator = mr_task_option(task, "output.separator");

	(void)output;
	*state = strdup(separator ? separator : " ");
	return *state ? 0 : -ENOMEM;
}

static int text_write(struct mr_output *output, void *state, struct mr_bytes key, struct mr_bytes value)
{
	const char *separator = state;
	int ret;

	ret = mr_output_write(output, key.data, key.len);
	if (!ret)
		ret = mr_output_write(output, separator, strlen(separator));
	if (!ret)
		ret = mr_output_write(output, value.data, value.len);
	if (!ret)
		ret = mr_output_write(output, "\n", 1);
	return ret;
}

static int text_close(struct mr_output *output, void *state, bool commit)
{
	(void)output;
	(void)commit;
	free(state);
	return 0;
}

static int raw_write(struct mr_output *output, void *state, struct mr_bytes key, struct mr_bytes value)
{
	int ret = mr_output_write(output, key.data, key.len);

	(void)state;
	return ret ? ret : mr_output_write(output, value.data, value.len);
}

const struct mr_writer mr_writer_text = {
	.name = "text",
	.open = text_open,
	.write = text_write,
	.close = text_close,
};

const struct mr_writer mr_writer_raw = {
	.name = "raw",
	.write = raw_write,
};
