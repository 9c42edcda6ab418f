/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Files of jobs, by their content: STATE/files/SHA256. Each node keeps what it was
 * given or fetched, for jobs to come; what was not used for MR_STORE_DAYS is removed.
 */
#ifndef LOCKSTEP_MR_STORE_H
#define LOCKSTEP_MR_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mr_node;

#define MR_STORE_DAYS	7

/** mr_store_open() - make the folder, remove what is old or half-made; 0 or -errno */
int mr_store_open(struct mr_node *node);

/** mr_store_path() - where a content is, if it is there; @path: PATH_MAX bytes */
void mr_store_path(struct mr_node *node, const uint8_t *content, char *path);
bool mr_store_has(struct mr_node *node, const uint8_t *content);

/** mr_store_temporary() - a path for a file to come, PATH_MAX bytes */
void mr_store_temporary(struct mr_node *node, char *path);

/**
 * mr_store_add() - take a file
 * @node: node
 * @path: as from mr_store_temporary(); is gone afterwards
 * @content: what it must be
 *
 * Return: 0, -EILSEQ if it is something else, or -errno.
 */
int mr_store_add(struct mr_node *node, const char *path, const uint8_t *content);

/**
 * mr_store_place() - a copy of a content
 * @node: node
 * @content: which
 * @path: file to make
 * @executable: so
 *
 * Jobs run as the same user as this process and could have changed the original, so
 * what is copied is compared again.
 *
 * Return: 0; -ENOENT; -EILSEQ: it was damaged, and is removed; or -errno.
 */
int mr_store_place(struct mr_node *node, const uint8_t *content, const char *path,
		   bool executable);

#endif
