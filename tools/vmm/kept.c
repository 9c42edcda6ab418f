// SPDX-License-Identifier: GPL-2.0
/*
 * Frames that a twin keeps until its primary is known to have sent them
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kept.h"

static uint64_t frame_bytes(const struct kept_frame *frame)
{
	return sizeof(*frame) + frame->len;
}

void kept_init(struct kept *kept)
{
	STAILQ_INIT(&kept->frames);
	kept->bytes = 0;
}

void kept_exit(struct kept *kept)
{
	kept_release(kept, UINT64_MAX);
}

int kept_add(struct kept *kept, uint64_t index, const void *frame, uint32_t len)
{
	struct kept_frame *copy;

	if (kept->bytes + sizeof(*copy) + len > KEPT_BYTES_MAX)
		return -ENOBUFS;
	copy = malloc(sizeof(*copy) + len);
	if (!copy)
		return -ENOMEM;
	copy->index = index;
	copy->len = len;
	memcpy(copy->data, frame, len);
	STAILQ_INSERT_TAIL(&kept->frames, copy, link);
	kept->bytes += frame_bytes(copy);
	return 0;
}

void kept_release(struct kept *kept, uint64_t released)
{
	struct kept_frame *frame;

	while ((frame = STAILQ_FIRST(&kept->frames)) && frame->index <= released) {
		STAILQ_REMOVE_HEAD(&kept->frames, link);
		kept->bytes -= frame_bytes(frame);
		free(frame);
	}
}
