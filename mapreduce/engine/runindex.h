/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Index of a map's run file: where each of its R regions is.
 *
 * It lies behind the regions, in the same file, so that who knows the file and the
 * index's offset can fetch any region: nobody has to keep M * R of them. An entry
 * has its own checksum.
 */
#ifndef LOCKSTEP_MR_RUNINDEX_H
#define LOCKSTEP_MR_RUNINDEX_H

#include <stdint.h>

struct mr_region;

#define MR_RUNINDEX_ENTRY	48	/* bytes of an entry */
#define MR_RUN_NAME_MAX		64	/* bytes of a run file's name, with the zero */

/**
 * mr_run_name() - name of a map's run file in its work_dir
 * @map: number of the map
 * @attempt: which attempt of it
 * @epoch: that attempt's
 * @name: receives the name, MR_RUN_NAME_MAX bytes
 *
 * So that who asks for it from another node names an attempt, and never a path.
 */
void mr_run_name(uint32_t map, uint32_t attempt, uint64_t epoch, char *name);

/**
 * mr_runindex_append() - add the index to a run file
 * @path: the file, with nothing but regions in it
 * @regions: its regions
 * @nr: how many: R
 * @offset: receives where the index begins
 *
 * Return: 0 or -errno.
 */
int mr_runindex_append(const char *path, const struct mr_region *regions, uint32_t nr, uint64_t *offset);

/**
 * mr_runindex_read() - look a region up
 * @path: the run file, borrowed by *@region
 * @offset: of its index
 * @map: the map that made it
 * @reduce: which region
 * @region: receives it
 *
 * Return: 0, -EBADMSG when what is there is no entry for @reduce, or -errno.
 */
int mr_runindex_read(const char *path, uint64_t offset, uint32_t map, uint32_t reduce, struct mr_region *region);

#endif
