/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The host side of a disk: one file, one thread that executes requests in order
 *
 * Requests are executed strictly in the order they were handed over, so those
 * that overlap are serialised and both sides of a pair write alike.  Where live,
 * the thread posts each result as an input; on a twin it only keeps it, and the
 * vCPU's thread asks for it when the log has the completion.
 *
 * After a failed write nobody knows what the sectors hold, and the two sides may
 * hold different bytes.  The live side remembers them, and when they are read
 * posts the bytes too (DISK_KIND_DATA, before DISK_KIND_DONE), until they have
 * been written anew.
 */
#ifndef VMM_DISK_H
#define VMM_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "device.h"

#define DISK_SECTOR		512

/* Kinds of input. Never renumber. */
#define DISK_KIND_DONE		1	/* le64 number, le32 status, le32 bytes read */
#define DISK_KIND_DATA		2	/* le64 number, le32 offset, bytes */

#define DISK_DONE_BYTES		16
#define DISK_DATA_HEAD		12

#define DISK_STATUS_OK		0
#define DISK_STATUS_ERROR	1

/* What a twin does when its own I/O fails before it gives the request up. */
#define DISK_RETRIES		3
#define DISK_RETRY_MS		100

enum disk_operation {
	DISK_READ = 0,
	DISK_WRITE = 1,
	DISK_FLUSH = 2,
	__DISK_LAST,
};
#define DISK_OPERATION_MAX	(__DISK_LAST - 1)

/**
 * struct disk_request - one request; embedded in the device's own structure
 * @number: counted by the device, the same on both sides
 * @through: a write that is on stable storage before it is done
 * @offset: bytes, a multiple of DISK_SECTOR
 * @len: bytes of @data; 0 for a flush
 * @data: what is written, or room for what is read; the device's
 * @logged: bytes that the log has instead of @data, or NULL; the device's
 * @logged_len: bytes of @logged there are
 *
 * The rest is the disk's: the device looks at nothing of it before disk_wait().
 * @result: 0 or -errno
 * @ship: the bytes read must go into the log
 * @shipped: so many of them have
 */
struct disk_request {
	uint64_t number;
	enum disk_operation operation;
	bool through;
	uint64_t offset;
	uint32_t len;
	uint8_t *data;
	uint8_t *logged;
	uint32_t logged_len;

	STAILQ_ENTRY(disk_request) link;
	bool executed;
	int result;
	bool ship;
	uint32_t shipped;
};

struct disk;

/**
 * disk_open - open and lock a file and start its thread
 * @path: regular file or block device; its size is a multiple of DISK_SECTOR and not 0
 * @readonly: share it with other readers and write nothing
 * @vmm: where results are posted, as inputs of @unit
 * @diskp: out: the disk; disk_stop() and disk_close() end it
 *
 * Returns 0 or -errno after a message on stderr: -EBUSY when another process has the file locked,
 * -EINVAL for its size.
 */
int disk_open(const char *path, bool readonly, struct vmm *vmm, enum vmm_unit unit,
	      struct disk **diskp);

/* Ends the thread after it has executed all it has. The device then retires all requests. */
void disk_stop(struct disk *disk);
/* Frees a stopped disk. */
void disk_close(struct disk *disk);

uint64_t disk_size(const struct disk *disk);
bool disk_is_readonly(const struct disk *disk);

/* All below: vCPU thread. */

/**
 * disk_submit - hand a request over
 * @live: results are to be posted (from now on)
 */
void disk_submit(struct disk *disk, struct disk_request *request, bool live);

/* The oldest request that was not retired, or NULL. */
struct disk_request *disk_oldest(struct disk *disk);

/* Sleep until the request was executed; returns its result, 0 or -errno. */
int disk_wait(struct disk *disk, struct disk_request *request);

/* Take the oldest request back, after disk_wait() or disk_stop(). */
void disk_retire(struct disk *disk, struct disk_request *request);

/* This side is live now: post what was executed and not retired, and all that follows. */
void disk_go_live(struct disk *disk);

/* Sleep until everything was executed, then the digest of the content. 0 or -errno. */
int disk_digest(struct disk *disk, uint64_t *digest);

#endif
