// SPDX-License-Identifier: GPL-2.0
/*
 * mrctl debug: tasks of a job one after the other in this process, for a debugger.
 *
 * No coordinator, no worker, no second try: a crash is the debugger's.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/config.h"
#include "common/file.h"
#include "coordinator/split.h"
#include "kept.h"
#include "mrctl.h"
#include "spec.h"

static const struct option longs[] = {
	MRCTL_SPEC_LONGS,
	{ "map", required_argument, NULL, 'a' },
	{ "reduce", required_argument, NULL, 'b' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* Numbers of tasks that were asked for; none: all. */
struct chosen {
	uint32_t *numbers;
	size_t nr;
};

/**
 * struct split - a map's part of the input
 * @path: file
 * @offset: first byte
 * @len: bytes
 * @run: what the map made, if it ran
 */
struct split {
	const char *path;
	uint64_t offset;
	uint64_t len;
	struct mr_result run;
};

struct debug {
	struct mrctl_spec spec;
	struct mr_job_config config;
	struct chosen maps;
	struct chosen reduces;
	const struct mr_app *app;
	struct split *splits;
	uint32_t nr_splits;
	char temporary[64];
};

static int choose(struct chosen *chosen, const char *what, const char *arg)
{
	uint32_t *more = reallocarray(chosen->numbers, chosen->nr + 1, sizeof(*more));
	uint64_t n;

	if (!more)
		return -ENOMEM;
	chosen->numbers = more;
	if (lockstep_config_u64(arg, 0, UINT32_MAX, &n)) {
		mrctl_fail(0, "--%s %s: it must be the number of a task", what, arg);
		return -EINVAL;
	}
	more[chosen->nr++] = (uint32_t)n;
	return 0;
}

static bool is_chosen(const struct chosen *chosen, uint32_t number)
{
	size_t i;

	for (i = 0; i < chosen->nr; i++)
		if (chosen->numbers[i] == number)
			return true;
	return !chosen->nr;
}

static int options_take(struct debug *d, int argc, char **argv)
{
	int c, ret;

	while ((c = getopt_long(argc, argv, MRCTL_SPEC_SHORTS "h", longs, NULL)) != -1) {
		ret = mrctl_spec_take(&d->spec, c, optarg);
		if (ret > 0 && c == 'a')
			ret = choose(&d->maps, "map", optarg);
		else if (ret > 0 && c == 'b')
			ret = choose(&d->reduces, "reduce", optarg);
		if (ret > 0 && c == 'h') {
			printf("Usage: gdb --args mrctl debug [OPTION...] APP.so INPUT...\n"
			       "Run tasks of a job one after the other in this process.\n\n%s"
			       "      --map N           this map only; may be given several times\n"
			       "      --reduce N        this reduce only, of the maps that ran\n",
			       mrctl_spec_help);
			return 1;
		}
		if (ret)
			return -EINVAL;
	}
	return mrctl_spec_finish(&d->spec, argc - optind, argv + optind);
}

/* The same splits as the job's, so that numbers mean the same. */
static int splits_make(struct debug *d)
{
	uint64_t *sizes = calloc(d->spec.inputs.nr, sizeof(*sizes)), total = 0, split = d->spec.split, n, k;
	bool whole = d->app->reader && d->app->reader->whole;
	struct stat st;
	size_t i;

	if (!sizes)
		return -ENOMEM;
	for (i = 0; i < d->spec.inputs.nr; i++) {
		sizes[i] = stat(d->spec.inputs.items[i], &st) ? 0 : (uint64_t)st.st_size;
		total += sizes[i];
	}
	if (!split)
		split = mr_split_choose(total);
	for (i = 0; i < d->spec.inputs.nr; i++) {
		n = mr_split_count(sizes[i], split, whole);
		d->splits = reallocarray(d->splits, d->nr_splits + n, sizeof(*d->splits));
		if (!d->splits)
			break;
		for (k = 0; k < n; k++) {
			uint64_t at = mr_split_offset(sizes[i], n, k);

			d->splits[d->nr_splits++] = (struct split){
				.path = d->spec.inputs.items[i], .offset = at,
				.len = mr_split_offset(sizes[i], n, k + 1) - at,
			};
		}
	}
	free(sizes);
	return d->splits ? 0 : -ENOMEM;
}

/* Run one attempt, say what came of it, give its output its name. */
static int attempt_run(struct debug *d, struct mr_attempt *attempt, struct mr_result *result)
{
	const char *kind = attempt->map ? "map" : "reduce";
	char name[32];
	size_t i;
	int ret;

	attempt->app = d->app;
	attempt->reduces = d->spec.reduces;
	attempt->memory = d->spec.memory ? d->spec.memory : MR_MEMORY_DEF;
	attempt->codec = d->spec.codec;
	attempt->options = d->config.options;
	attempt->nr_options = d->config.nr_options;
	attempt->work_dir = d->temporary;
	attempt->output_dir = d->spec.output;
	attempt->size = UINT64_MAX;
	fprintf(stderr, "mrctl: %s %u begins\n", kind, attempt->number);
	ret = mr_attempt_run(attempt, result);
	if (ret)
		return mrctl_fail(ret, "%s", result->message);
	fprintf(stderr, "mrctl: %s %u: %llu records in, %llu out\n", kind, attempt->number,
		(unsigned long long)result->in_records, (unsigned long long)result->out_records);
	for (i = 0; i < result->nr_counters; i++)
		fprintf(stderr, "  %s: %s = %lld\n", result->counters[i].group, result->counters[i].name,
			(long long)result->counters[i].value);
	if (attempt->map && d->spec.reduces)
		return 0;
	snprintf(name, sizeof(name), "mr-out-%u", attempt->number);
	ret = mr_output_publish(d->spec.output, result->path, name, result->inode);
	return ret ? mrctl_fail(ret, "%s/%s: %s", d->spec.output, name, strerror(-ret)) : 0;
}

static int reduce_run(struct debug *d, uint32_t number)
{
	struct mr_region *regions = calloc(d->nr_splits, sizeof(*regions));
	struct mr_attempt attempt = { .number = number, .regions = regions };
	struct mr_result result;
	uint32_t m;
	int ret;

	if (!regions)
		return -ENOMEM;
	for (m = 0; m < d->nr_splits; m++)
		if (d->splits[m].run.regions)
			regions[attempt.nr_regions++] = d->splits[m].run.regions[number];
	ret = attempt_run(d, &attempt, &result);
	mr_result_exit(&result);
	free(regions);
	return ret;
}

static int tasks_run(struct debug *d)
{
	uint32_t i;
	int ret = 0;

	for (i = 0; i < d->nr_splits && !ret; i++) {
		struct split *s = &d->splits[i];
		struct mr_attempt attempt = {
			.map = true, .number = i, .path = s->path, .offset = s->offset, .len = s->len,
		};

		if (is_chosen(&d->maps, i))
			ret = attempt_run(d, &attempt, &s->run);
	}
	/* a map alone is looked at alone */
	for (i = 0; i < d->spec.reduces && !ret && (!d->maps.nr || d->reduces.nr); i++)
		if (is_chosen(&d->reduces, i))
			ret = reduce_run(d, i);
	return ret;
}

static int debug_run(struct debug *d)
{
	char error[MR_ERROR_MAX];
	int ret;

	if (d->spec.reduces == MRCTL_REDUCES_AUTO)
		d->spec.reduces = 1;
	ret = mr_app_load(d->spec.app, error, sizeof(error), &d->app, NULL);
	if (ret)
		return mrctl_fail(MRCTL_USAGE, "%s", error);
	snprintf(d->temporary, sizeof(d->temporary), "/tmp/mrctl-XXXXXX");
	ret = mkdtemp(d->temporary) ? lockstep_file_mkdir(d->spec.output, 0777) : -errno;
	if (ret)
		return mrctl_fail(MRCTL_FAILED, "%s: %s", d->spec.output, strerror(-ret));
	ret = mrctl_spec_config(&d->spec, &d->config);
	if (!ret)
		ret = splits_make(d);
	if (!ret)
		ret = tasks_run(d);
	mrctl_tree_remove(d->temporary);
	return ret ? MRCTL_FAILED : MRCTL_OK;
}

static int command_debug(int argc, char **argv)
{
	struct debug d = { 0 };
	uint32_t i;
	int ret;

	mrctl_spec_init(&d.spec);
	ret = options_take(&d, argc, argv);
	ret = ret > 0 ? MRCTL_OK : ret ? MRCTL_USAGE : debug_run(&d);
	for (i = 0; i < d.nr_splits; i++)
		mr_result_exit(&d.splits[i].run);
	free(d.splits);
	free(d.maps.numbers);
	free(d.reduces.numbers);
	free((void *)d.config.inputs);
	free((void *)d.config.options);
	mrctl_spec_exit(&d.spec);
	return ret;
}

const struct mrctl_command mrctl_debug_commands[] = {
	{ "debug", command_debug, "APP.so INPUT...", "its tasks one by one in one process, for gdb" },
	{ NULL, NULL, NULL, NULL },
};
