// SPDX-License-Identifier: GPL-2.0
#include "master/arguments.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"

#define REDUCES_DEF	10	/* as the well-known lab has it */

static const char usage[] =
	"usage: mrmaster --socket S [options] FILE...\n"
	"       mrmaster --socket S --journal F --resume [options]\n"
	"\n"
	"Coordinates one MapReduce job over the files, for workers (mrworker) that come\n"
	"to the socket. It never opens the files: their names are the workers'.\n"
	"\n"
	"  -s, --socket S        Unix socket to listen on\n"
	"  -r, --reduces R       number of outputs (default: 10); 0: maps write them\n"
	"  -D NAME=VALUE         an option of the application; may be repeated\n"
	"      --split N         bytes of a split, as 64M (default: 16M to 64M)\n"
	"      --memory N        of a task's engine (default: 256M)\n"
	"      --codec C         of intermediate files: none (the default), lz4, zstd\n"
	"      --task-timeout T  give a task to another worker after T (default: 10s)\n"
	"      --attempts N      give up after N failures of one task (default: never)\n"
	"      --skip N          skip up to N records that user code fails at\n"
	"      --backup          second attempts of the last tasks\n"
	"  -f, --force           remove old outputs first\n"
	"      --journal F       write a journal, so that the job can be resumed\n"
	"      --resume          carry on from the journal\n"
	"      --report F        write the job's end as JSON: outputs, counters, failures\n"
	"      --http ADDRESS    serve a status page: PORT on 127.0.0.1, or HOST:PORT\n"
	"  -q, --quiet           say nothing of failed attempts\n"
	"  -h, --help\n"
	"\n"
	"Exit status: 0 the job is done; 1 it failed; 2 wrong usage.\n";

enum {
	OPT_SPLIT = 256,
	OPT_MEMORY,
	OPT_CODEC,
	OPT_TIMEOUT,
	OPT_ATTEMPTS,
	OPT_SKIP,
	OPT_BACKUP,
	OPT_JOURNAL,
	OPT_RESUME,
	OPT_REPORT,
	OPT_HTTP,
};

static const struct option options[] = {
	{ "socket", required_argument, NULL, 's' },
	{ "reduces", required_argument, NULL, 'r' },
	{ "split", required_argument, NULL, OPT_SPLIT },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "codec", required_argument, NULL, OPT_CODEC },
	{ "task-timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "attempts", required_argument, NULL, OPT_ATTEMPTS },
	{ "skip", required_argument, NULL, OPT_SKIP },
	{ "backup", no_argument, NULL, OPT_BACKUP },
	{ "force", no_argument, NULL, 'f' },
	{ "journal", required_argument, NULL, OPT_JOURNAL },
	{ "resume", no_argument, NULL, OPT_RESUME },
	{ "report", required_argument, NULL, OPT_REPORT },
	{ "http", required_argument, NULL, OPT_HTTP },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int wrong(const char *option, const char *value, const char *expected)
{
	fprintf(stderr, "mrmaster: %s %s: %s is expected\n", option, value, expected);
	return -EINVAL;
}

static int add_option(struct mr_arguments *a, const char *text)
{
	struct mr_option *list = realloc((void *)a->job.options, (a->job.nr_options + 1) * sizeof(*list));
	char *copy = strdup(text), *value;

	if (list)
		a->job.options = list;
	if (!list || !copy) {
		free(copy);
		return -ENOMEM;
	}
	value = strchr(copy, '=');
	if (!value || value == copy) {
		free(copy);
		return wrong("-D", text, "NAME=VALUE");
	}
	*value++ = 0;
	list[a->job.nr_options].name = copy;
	list[a->job.nr_options++].value = value;
	return 0;
}

static int set_number(const char *option, const char *value, uint64_t max, uint32_t *out)
{
	char expected[64];
	uint64_t n;

	if (lockstep_config_u64(value, 0, max, &n)) {
		snprintf(expected, sizeof(expected), "a number from 0 to %llu", (unsigned long long)max);
		return wrong(option, value, expected);
	}
	*out = (uint32_t)n;
	return 0;
}

static int set_codec(struct mr_arguments *a, const char *value)
{
	static const char * const names[] = { "none", "lz4", "zstd" };
	unsigned int i;

	for (i = 0; i <= MR_CODEC_MAX; i++) {
		if (!strcmp(value, names[i])) {
			a->job.codec = (enum mr_codec)i;
			return 0;
		}
	}
	return wrong("--codec", value, "none, lz4 or zstd");
}

static int set_timeout(struct mr_arguments *a, const char *value)
{
	uint64_t ms;

	if (lockstep_config_msec(value, MR_TASK_TIMEOUT_MS_MIN, MR_TASK_TIMEOUT_MS_MAX, &ms))
		return wrong("--task-timeout", value, "a time from 100ms to a day, as 10s,");
	a->job.task_timeout_ms = (uint32_t)ms;
	return 0;
}

static int set(struct mr_arguments *a, int c, const char *value)
{
	struct mr_job_config *job = &a->job;

	switch (c) {
	case 's':
		a->socket = value;
		return 0;
	case OPT_HTTP:
		a->http = value;
		return 0;
	case 'r':
		return set_number("--reduces", value, MR_REDUCES_MAX, &job->reduces);
	case 'D':
		return add_option(a, value);
	case 'f':
		job->force = true;
		return 0;
	case 'q':
		a->quiet = true;
		return 0;
	case OPT_SPLIT:
		return lockstep_config_size(value, MR_SPLIT_MIN, MR_SPLIT_MAX, &job->split) ?
			wrong("--split", value, "a size from 64K") : 0;
	case OPT_MEMORY:
		return lockstep_config_size(value, MR_MEMORY_MIN, UINT64_MAX / 2, &job->memory) ?
			wrong("--memory", value, "a size from 16M") : 0;
	case OPT_CODEC:
		return set_codec(a, value);
	case OPT_TIMEOUT:
		return set_timeout(a, value);
	case OPT_ATTEMPTS:
		return set_number("--attempts", value, 1000000, &job->attempts_max);
	case OPT_SKIP:
		return set_number("--skip", value, 1000000000, &job->skip_max);
	case OPT_BACKUP:
		job->backup = true;
		return 0;
	case OPT_JOURNAL:
		job->journal = value;
		return 0;
	case OPT_REPORT:
		a->report = value;
		return 0;
	case OPT_RESUME:
		job->resume = true;
		return 0;
	default:
		return -EINVAL;
	}
}

static int set_inputs(struct mr_arguments *a, char **files, size_t count)
{
	struct mr_job_input *inputs = calloc(count + 1, sizeof(*inputs));
	size_t i;

	if (!inputs)
		return -ENOMEM;
	for (i = 0; i < count; i++)
		inputs[i].path = files[i];
	a->job.inputs = inputs;
	a->job.nr_inputs = count;
	return 0;
}

int mr_arguments_parse(struct mr_arguments *a, int argc, char **argv)
{
	int c, err;

	a->job.reduces = REDUCES_DEF;
	while ((c = getopt_long(argc, argv, "s:r:D:fqh", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(usage, stdout);
			return 1;
		}
		err = set(a, c, optarg);
		if (err)
			return err;
	}
	if (!a->socket || (optind == argc && !a->job.resume)) {
		fprintf(stderr, "mrmaster: %s; see --help\n", a->socket ? "no input files" : "--socket is missing");
		return -EINVAL;
	}
	return set_inputs(a, argv + optind, (size_t)(argc - optind));
}

void mr_arguments_exit(struct mr_arguments *a)
{
	size_t i;

	for (i = 0; i < a->job.nr_options; i++)
		free((char *)a->job.options[i].name);
	free((void *)a->job.options);
	free((void *)a->job.inputs);
}
