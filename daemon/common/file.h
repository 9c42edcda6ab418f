/* SPDX-License-Identifier: GPL-2.0 */
/* Whole-file helpers whose result survives a power failure. */
#ifndef LOCKSTEP_COMMON_FILE_H
#define LOCKSTEP_COMMON_FILE_H

#include <dirent.h>
#include <stddef.h>
#include <sys/types.h>

/**
 * lockstep_file_write_all() - write until done, also over signals
 * @fd: file
 * @data: bytes
 * @len: how many
 *
 * Return: 0 or -errno.
 */
int lockstep_file_write_all(int fd, const void *data, size_t len);

/**
 * lockstep_file_replace() - replace a file as one step
 * @path: file; its folder must exist
 * @data: new content
 * @len: its length
 * @mode: permissions of the new file, whatever the umask
 *
 * A temporary file beside @path is written, fsynced and renamed over it, then
 * the folder is fsynced. A crash leaves the old or the new content, never a mix.
 *
 * Return: 0 or -errno.
 */
int lockstep_file_replace(const char *path, const void *data, size_t len, mode_t mode);

/**
 * lockstep_file_read() - read a whole small file
 * @path: file
 * @max: a larger file is -EFBIG
 * @data: receives malloc'ed content with a zero byte after it, for the caller to free
 * @len: receives its length
 *
 * Return: 0 or -errno.
 */
int lockstep_file_read(const char *path, size_t max, char **data, size_t *len);

/**
 * lockstep_file_sync_dir() - make entries of a folder durable
 * @dir: folder
 *
 * Return: 0 or -errno.
 */
int lockstep_file_sync_dir(const char *dir);

/**
 * lockstep_file_mkdir() - make a folder, with its parents
 * @dir: folder
 * @mode: permissions of the last one; parents get 0755
 *
 * Return: 0, also if it exists as a folder, or -errno.
 */
int lockstep_file_mkdir(const char *dir, mode_t mode);

/**
 * lockstep_file_opendir() - make a folder if it is not there, and list it
 * @dir: folder
 * @mode: permissions of a new one
 * @out: receives the stream, for closedir()
 *
 * Return: 0 or -errno.
 */
int lockstep_file_opendir(const char *dir, mode_t mode, DIR **out);

#endif
