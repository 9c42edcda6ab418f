/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a job is, as JSON: mrctl makes it, the home keeps it as spec.json, and a part
 * of it, its *share*, is announced to all nodes.
 *
 *	name		for people
 *	app		a built-in application ("streaming..."), or the name of one of the files
 *	files[]		{name, size, sha256 (hex), executable}: in every worker's folder
 *	inputs[]	"/path" or "node:/path"
 *	output		folder on whichever node writes an output, absolute; outputs are
 *			in OUTPUT/NODE
 *	reduces, memory, codec ("none", "lz4", "zstd"), split, timeout_ms, attempts,
 *	backup, skip, force, options {name: value}
 *			as in struct mr_job_config
 *	workers		most on one node; 0: as many as its slots
 *
 * Memory is that of one worker. Without reduces there are as many as workers. All but app, inputs and output may be left out.
 */
#ifndef LOCKSTEP_MR_SPEC_H
#define LOCKSTEP_MR_SPEC_H

#include <stddef.h>
#include <stdint.h>

#include "coordinator/job.h"
#include "shuffle/wire.h"

struct json_object;

#define MR_SPEC_MAX		(256u << 20)	/* bytes of JSON */
#define MR_SPEC_FILES_MAX	64
#define MR_SPEC_FILE_MAX	(1ull << 30)	/* bytes of one */
#define MR_STREAMING		"streaming"

/**
 * mr_spec_check() - is this a job that can be run?
 * @spec: of whoever sent it
 * @err: receives what is wrong
 * @errlen: its size
 *
 * Return: 0 or -EINVAL.
 */
int mr_spec_check(struct json_object *spec, char *err, size_t errlen);

/**
 * mr_spec_config() - the coordinator's view of a checked spec
 * @spec: outlives @config
 * @config: receives it, for mr_spec_config_exit(); @journal and @resume are not set
 *
 * Return: 0 or -ENOMEM.
 */
int mr_spec_config(struct json_object *spec, struct mr_job_config *config);
void mr_spec_config_exit(struct mr_job_config *config);

/**
 * mr_spec_share() - what other nodes need to know
 * @spec: checked
 * @job: the job's name
 * @id: the coordinator's id of it
 *
 * Return: a new object {job, id, app, files, output, workers} or NULL.
 */
struct json_object *mr_spec_share(struct json_object *spec, const char *job, const char *id);

/* Is a file of that name among those of a spec or share? */
bool mr_spec_has_file(struct json_object *spec, const char *name);

/* Is a share, that another node announced, one that may be acted upon? */
bool mr_share_check(struct json_object *share);

/* Members, or the default when one is missing or of another type. */
const char *mr_json_str(struct json_object *o, const char *key, const char *def);
uint64_t mr_json_u64(struct json_object *o, const char *key, uint64_t def);
bool mr_json_bool(struct json_object *o, const char *key);
/* Elements of an array; 0 when it is missing or none. */
size_t mr_json_len(struct json_object *o, const char *key);
struct json_object *mr_json_at(struct json_object *o, const char *key, size_t i);

/* Of "00ff..." to bytes; 0 or -EINVAL. */
int mr_content_parse(const char *hex, uint8_t *content);
void mr_content_format(const uint8_t *content, char *hex);

#endif
