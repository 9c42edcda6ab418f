/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Configuration files:
 *
 *	# a comment, on a line of its own
 *	[section argument]
 *	key = value
 *
 * The argument is optional ("[peer b]" has one, "[node]" has none). Values run
 * to the end of the line without surrounding white space. There is no quoting
 * and no continuation. Lines longer than LOCKSTEP_CONFIG_LINE are errors.
 */
#ifndef LOCKSTEP_COMMON_CONFIG_H
#define LOCKSTEP_COMMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOCKSTEP_CONFIG_LINE	1024	/* characters */

/**
 * struct lockstep_config_item - one "key = value"
 * @file: name of the file, for messages
 * @line: its line, from 1
 * @section: section name, "" before the first section
 * @arg: argument of the section, "" without one
 * @key: key
 * @value: value, may be ""
 *
 * All strings are borrowed and die when the callback returns.
 */
struct lockstep_config_item {
	const char *file;
	unsigned int line;
	const char *section;
	const char *arg;
	const char *key;
	const char *value;
};

/**
 * typedef lockstep_config_fn - takes one item
 * @item: the item
 * @arg: as given to lockstep_config_read()
 * @err: room for a message that names cause and remedy
 * @errlen: its size
 *
 * Return: 0 to go on; -errno stops the reading.
 */
typedef int lockstep_config_fn(const struct lockstep_config_item *item, void *arg,
			       char *err, size_t errlen);

/**
 * lockstep_config_read() - read a file item by item
 * @path: file
 * @fn: called for each item in the order of the file
 * @arg: passed to @fn
 * @err: receives "path:line: message" on failure; may be NULL if @errlen is 0
 * @errlen: its size
 *
 * Return: 0, -errno of open or read, -EINVAL for a malformed line, or what @fn
 * returned.
 */
int lockstep_config_read(const char *path, lockstep_config_fn *fn, void *arg,
			 char *err, size_t errlen);

/*
 * Values. Each returns 0, -EINVAL if the text is no such value or -ERANGE if it
 * lies outside min..max; *out is only written on success.
 */
int lockstep_config_u64(const char *s, uint64_t min, uint64_t max, uint64_t *out);
/* "64", "64K", "1M", "2G" (powers of 1024), in bytes */
int lockstep_config_size(const char *s, uint64_t min, uint64_t max, uint64_t *out);
/* "500", "500ms", "2s", "1m", in milliseconds */
int lockstep_config_msec(const char *s, uint64_t min, uint64_t max, uint64_t *out);
/* yes/no, true/false, on/off, 1/0 */
int lockstep_config_bool(const char *s, bool *out);

#endif
