// SPDX-License-Identifier: GPL-2.0
/*
 * A record of the guest's frames, in the classic format of libpcap
 */
#include <errno.h>
#include <time.h>

#include "pcap.h"

#define MAGIC_NS	0xa1b23c4d	/* times in ns, byte order of the writer */
#define LINK_ETHERNET	1
#define SNAP_MAX	65535

struct file_head {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, accuracy, snap, link;
};

struct frame_head {
	uint32_t sec, nsec, captured, len;
};

FILE *pcap_create(const char *path)
{
	const struct file_head head = {
		.magic = MAGIC_NS,
		.major = 2,
		.minor = 4,
		.snap = SNAP_MAX,
		.link = LINK_ETHERNET,
	};
	FILE *file = fopen(path, "wbe");

	if (file && (fwrite(&head, sizeof(head), 1, file) != 1 || fflush(file))) {
		fclose(file);
		errno = EIO;
		return NULL;
	}
	return file;
}

int pcap_frame(FILE *file, const void *frame, uint32_t len)
{
	struct frame_head head = { .captured = len, .len = len };
	struct timespec now;

	if (!file)
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	head.sec = (uint32_t)now.tv_sec;
	head.nsec = (uint32_t)now.tv_nsec;
	if (fwrite(&head, sizeof(head), 1, file) != 1 || fwrite(frame, len, 1, file) != 1 ||
	    fflush(file))
		return -EIO;
	return 0;
}
