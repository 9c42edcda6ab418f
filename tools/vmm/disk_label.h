/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The label of a disk: who wrote it last, and whether it may be believed
 *
 * It lies beside the disk, in "<disk>.lockstep": one line of JSON,
 *
 *   {"version":1,"generation":7,"instance":"6f0c...-...","stale":false}
 *
 * version     1
 * generation  of the guest when the label was written, 0..2^64-1
 * instance    UUID of the instance that writes to the disk in that generation
 * stale       true: the disk has missed writes (its instance lost a contest, or
 *             was not in step when it ended): only a copy makes it good again
 *
 * A cold start takes the copy with the highest generation that is not stale.  A
 * label is replaced as a whole, by a synchronised temporary file: a reader sees
 * the old one or the new one, also after a loss of power.
 *
 * Knows nothing of the VMM; the daemon links it too.
 */
#ifndef VMM_DISK_LABEL_H
#define VMM_DISK_LABEL_H

#include <stdbool.h>
#include <stdint.h>

#define DISK_LABEL_SUFFIX	".lockstep"
#define DISK_LABEL_VERSION	1
#define DISK_LABEL_UUID		16

struct disk_label {
	uint64_t generation;
	uint8_t instance[DISK_LABEL_UUID];
	bool stale;
};

/**
 * disk_label_read - read the label of a disk
 * @disk: path of the disk itself
 *
 * Returns 0, -ENOENT (it has none), -EBADMSG (it can't be understood: another version, or
 * damaged), or another -errno.
 */
int disk_label_read(const char *disk, struct disk_label *label);

/**
 * disk_label_write - give a disk a label, or another one
 *
 * On stable storage when it returns 0; else -errno, and the old label is there as before.
 */
int disk_label_write(const char *disk, const struct disk_label *label);

/**
 * disk_label_mark_stale - say that a disk has missed writes
 *
 * Keeps generation and instance. A disk without a label gets one of generation 0. A label that
 * can't be understood is replaced as well. 0 or -errno.
 */
int disk_label_mark_stale(const char *disk);

#endif
