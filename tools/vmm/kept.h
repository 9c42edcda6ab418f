/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Frames that a twin keeps until its primary is known to have sent them
 *
 * vCPU thread only.
 */
#ifndef VMM_KEPT_H
#define VMM_KEPT_H

#include <stdint.h>
#include <sys/queue.h>

#define KEPT_BYTES_MAX	(128U << 20)

struct kept_frame {
	STAILQ_ENTRY(kept_frame) link;
	uint64_t index;
	uint32_t len;
	uint8_t data[];
};

/**
 * struct kept - frames in the order of their index
 * @bytes: memory they take
 */
struct kept {
	STAILQ_HEAD(kept_list, kept_frame) frames;
	uint64_t bytes;
};

void kept_init(struct kept *kept);
void kept_exit(struct kept *kept);

/* Keep a copy. 0, -ENOMEM, or -ENOBUFS above KEPT_BYTES_MAX. */
int kept_add(struct kept *kept, uint64_t index, const void *frame, uint32_t len);

/* Drop those up to @released. */
void kept_release(struct kept *kept, uint64_t released);

#endif
