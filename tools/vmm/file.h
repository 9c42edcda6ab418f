/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Host files: whole reads and writes, and the digest of a disk's content
 */
#ifndef VMM_FILE_H
#define VMM_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Read or write all of it at an offset, through short transfers and EINTR. 0 or -errno; -EIO at an early end. */
int vmm_file_read(int fd, void *data, size_t len, off_t at);
int vmm_file_write(int fd, const void *data, size_t len, off_t at);

/**
 * vmm_file_digest - sum over blocks of xxh64(block number, content)
 * @fd:   regular file or block device
 * @size: bytes of it that count; a hole reads as zeroes and costs nothing
 * @name: for the progress message that appears on stderr when it takes longer than a second
 *
 * Two files with equal bytes have equal digests, whatever is sparse in either.
 *
 * Return: 0 or -errno of the failed read.
 */
int vmm_file_digest(int fd, uint64_t size, const char *name, uint64_t *digest);

#endif
