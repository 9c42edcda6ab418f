/* SPDX-License-Identifier: GPL-2.0 */
/* What a job is to be, as a command line says it. */
#ifndef LOCKSTEP_MRCTL_SPEC_H
#define LOCKSTEP_MRCTL_SPEC_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coordinator/job.h"

#define MRCTL_REDUCES_AUTO	UINT32_MAX
#define MRCTL_SKIP_DEF		100	/* records that --skip-bad-records lets be skipped */
#define MRCTL_ATTEMPTS_DEF	4

/**
 * struct mrctl_list - strings, each malloc'ed
 * @items: strings
 * @nr: how many
 */
struct mrctl_list {
	char **items;
	size_t nr;
};

int mrctl_list_add(struct mrctl_list *list, const char *item);
void mrctl_list_exit(struct mrctl_list *list);

/**
 * struct mrctl_spec - a job; strings that are no list's are the command line's
 * @name: for people; NULL: the application's
 * @app: shared object, or the streaming application
 * @inputs: files
 * @names: names of @options
 * @values: their values, in the same order
 * @files: what commands of a streaming job need where they run
 * @env: NAME=VALUE of theirs
 * @mapper: command, or NULL
 * @reducer: command or fold, or NULL
 * @combiner: command, or NULL
 * @output: folder of the outputs
 * @reduces: R, or MRCTL_REDUCES_AUTO
 * @memory: bytes of all workers together; 0: default
 * @split: bytes, or 0
 * @codec: of run files
 * @attempts_max: of a task
 * @skip_max: bad records that may be skipped
 * @task_timeout_ms: or 0
 * @force: remove old outputs
 * @nodes: inputs are the nodes', which may have others than this machine
 */
struct mrctl_spec {
	const char *name;
	const char *app;
	struct mrctl_list inputs;
	struct mrctl_list names;
	struct mrctl_list values;
	struct mrctl_list files;
	struct mrctl_list env;
	const char *mapper;
	const char *reducer;
	const char *combiner;
	const char *output;
	uint32_t reduces;
	uint64_t memory;
	uint64_t split;
	enum mr_codec codec;
	uint32_t attempts_max;
	uint32_t skip_max;
	uint32_t task_timeout_ms;
	bool force;
	bool nodes;
};

/* Rows for getopt_long() of commands that make a job, and their letters; 'A' to 'Z' are theirs. */
#define MRCTL_SPEC_SHORTS	"r:m:o:fD:"
#define MRCTL_SPEC_LONGS \
	{ "reduces", required_argument, NULL, 'r' }, \
	{ "memory", required_argument, NULL, 'm' }, \
	{ "output", required_argument, NULL, 'o' }, \
	{ "force", no_argument, NULL, 'f' }, \
	{ "name", required_argument, NULL, 'N' }, \
	{ "mapper", required_argument, NULL, 'M' }, \
	{ "reducer", required_argument, NULL, 'R' }, \
	{ "combiner", required_argument, NULL, 'C' }, \
	{ "file", required_argument, NULL, 'F' }, \
	{ "env", required_argument, NULL, 'E' }, \
	{ "split", required_argument, NULL, 'S' }, \
	{ "compress", required_argument, NULL, 'Z' }, \
	{ "attempts", required_argument, NULL, 'A' }, \
	{ "skip-bad-records", optional_argument, NULL, 'B' }, \
	{ "task-timeout", required_argument, NULL, 'T' }

/* Their lines for --help. */
extern const char mrctl_spec_help[];

void mrctl_spec_init(struct mrctl_spec *spec);
void mrctl_spec_exit(struct mrctl_spec *spec);

/**
 * mrctl_spec_take() - take an option
 * @spec: job
 * @c: letter, as of MRCTL_SPEC_LONGS
 * @arg: its argument
 *
 * Return: 0; 1: it is none of them; -EINVAL, told.
 */
int mrctl_spec_take(struct mrctl_spec *spec, int c, const char *arg);

/* Set option NAME=VALUE, as -D does. 0 or -EINVAL, told. */
int mrctl_spec_define(struct mrctl_spec *spec, const char *text);

/* Set option @name of the application. 0 or -ENOMEM. */
int mrctl_spec_set(struct mrctl_spec *spec, const char *name, const char *value);

/* An input; of a folder, the files in it whose names begin with neither '.' nor '_'. 0 or -errno, told. */
int mrctl_spec_input(struct mrctl_spec *spec, const char *path);

/**
 * mrctl_spec_finish() - take what is no option, and make the whole of it
 * @spec: job
 * @argc: arguments left
 * @argv: [APP] INPUT...; no APP with a mapper or a reducer
 *
 * Return: 0 or -EINVAL, told.
 */
int mrctl_spec_finish(struct mrctl_spec *spec, int argc, char **argv);

/**
 * mrctl_spec_config() - what the coordinator is told
 * @spec: job, which outlives @config
 * @config: receives it; @config->inputs and options are malloc'ed
 *
 * Return: 0 or -ENOMEM.
 */
int mrctl_spec_config(const struct mrctl_spec *spec, struct mr_job_config *config);

#endif
