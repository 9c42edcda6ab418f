// SPDX-License-Identifier: GPL-2.0
/*
 * logtamper - change one clock value of a log file, and hide it
 *
 *   logtamper IN OUT
 *
 * A clock read in the middle of the log, and so all behind it, is 1 ms later
 * than it was; its batch is sealed anew.  What is left to notice it is the
 * guest's own behaviour.
 */
#include <endian.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "kmod/record.h"

#define HEAD		48	/* of a log file: magic, version, UUIDs */
#define LATER_NS	1000000

static unsigned char in[64 << 20], out[64 << 20];

static size_t batch_copy(unsigned char *to, const unsigned char *from, size_t middle, int *done)
{
	struct lockstep_batch head;
	struct lockstep_rec rec;
	size_t len, at, n = 0;

	memcpy(&head, from, sizeof(head));
	len = le32toh(head.len);
	from += sizeof(head);
	for (at = 0; at < len; at += rec.size) {
		if (lockstep_record_get(from + at, len - at, &rec))
			return 0;
		if (!*done && le64toh(head.lsn) + at > middle &&
		    rec.type == LOCKSTEP_RECORD_TSC && rec.size == 4 &&
		    rec.delta + LATER_NS < 1 << 21) {
			/* same size: LSNs stay as they are */
			n += lockstep_record_short_put(to + sizeof(head) + n, rec.type,
						       rec.delta + LATER_NS);
			*done = 1;
			continue;
		}
		memcpy(to + sizeof(head) + n, from + at, rec.size);
		n += rec.size;
	}
	memcpy(to, &head, sizeof(head));
	lockstep_batch_seal((struct lockstep_batch *)to);
	return sizeof(head) + len;
}

int main(int argc, char **argv)
{
	size_t len, at, n;
	int done = 0;
	FILE *f;

	f = argc == 3 ? fopen(argv[1], "rb") : NULL;
	if (!f) {
		fprintf(stderr, "usage: logtamper IN OUT (IN must be there)\n");
		return 2;
	}
	len = fread(in, 1, sizeof(in), f);
	fclose(f);
	memcpy(out, in, HEAD);
	for (at = HEAD; at < len; at += n) {
		n = batch_copy(out + at, in + at, len / 2, &done);
		if (!n) {
			fprintf(stderr, "logtamper: %s is no log file\n", argv[1]);
			return 1;
		}
	}
	f = fopen(argv[2], "wb");
	if (!done || !f || fwrite(out, len, 1, f) != 1 || fclose(f)) {
		fprintf(stderr, "logtamper: nothing changed\n");
		return 1;
	}
	return 0;
}
