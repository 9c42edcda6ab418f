// SPDX-License-Identifier: GPL-2.0
/*
 * Runs a job on this machine by the engine alone: no coordinator, no recovery.
 *
 * It measures the engine, and tests of the engine and of applications use it. People
 * use mrctl.
 */
#include <errno.h>
#include <getopt.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/attempt.h"

#define MAX_OPTIONS	32
#define SAMPLE_KEYS	4096	/* of all maps together */

struct map {
	const char *path;
	uint64_t offset;
	uint64_t len;
	uint64_t size;
};

/* What the processes share. */
struct shared {
	_Atomic uint32_t next;
	_Atomic uint64_t skipped;
	char paths[];		/* of run files: one of PATH_SIZE for each map, then the regions */
};

#define PATH_SIZE	256

static struct {
	const struct mr_app *app;
	uint32_t reduces;
	uint64_t memory;
	uint64_t split;
	enum mr_codec codec;
	unsigned int jobs;
	struct mr_option options[MAX_OPTIONS];
	size_t nr_options;
	struct mr_result *samples;	/* of each map: what the points are made of */
	struct mr_bytes *points;
	const char *work_dir;
	const char *output_dir;
	struct map *maps;
	uint32_t nr_maps;
	struct shared *shared;
	struct mr_region *regions;	/* shared too: of each map R */
} job = { .reduces = 1, .memory = MR_MEMORY_DEF, .split = 32 << 20, .jobs = 2 };

static char *map_path(uint32_t map)
{
	return job.shared->paths + (size_t)map * PATH_SIZE;
}

static int add_input(const char *path, bool whole)
{
	uint64_t size, offset = 0, len;
	struct stat st;
	struct map *more;

	if (stat(path, &st) < 0) {
		fprintf(stderr, "mr-bench: %s: %s\n", path, strerror(errno));
		return -errno;
	}
	size = (uint64_t)st.st_size;
	do {
		len = whole || size - offset < job.split ? size - offset : job.split;
		more = reallocarray(job.maps, job.nr_maps + 1, sizeof(*more));
		if (!more)
			return -ENOMEM;
		job.maps = more;
		job.maps[job.nr_maps++] = (struct map){ path, offset, len, size };
		offset += len;
	} while (offset < size);
	return 0;
}

static struct mr_attempt attempt_of(bool map, uint32_t number)
{
	return (struct mr_attempt){
		.app = job.app, .map = map, .number = number, .reduces = job.reduces, .memory = job.memory,
		.codec = job.codec, .options = job.options, .nr_options = job.nr_options, .range_points = job.points,
		.work_dir = job.work_dir, .output_dir = job.output_dir, .size = UINT64_MAX, .len = UINT64_MAX,
	};
}

static int publish(const struct mr_result *result, const char *format, uint32_t number)
{
	char name[32];
	int ret;

	snprintf(name, sizeof(name), format, number);
	ret = mr_output_publish(job.output_dir, result->path, name, result->inode);
	if (ret)
		fprintf(stderr, "mr-bench: publish %s: %s\n", name, strerror(-ret));
	return ret;
}

static struct mr_attempt map_attempt(uint32_t number)
{
	struct mr_attempt attempt = attempt_of(true, number);

	attempt.path = job.maps[number].path;
	attempt.offset = job.maps[number].offset;
	attempt.len = job.maps[number].len;
	attempt.size = job.maps[number].size;
	return attempt;
}

static int run_map(uint32_t number)
{
	struct mr_attempt attempt = map_attempt(number);
	struct mr_result result;
	int ret;

	ret = mr_attempt_run(&attempt, &result);
	if (ret) {
		fprintf(stderr, "mr-bench: %s\n", result.message);
	} else if (job.reduces) {
		snprintf(map_path(number), PATH_SIZE, "%s", result.path);
		memcpy(job.regions + (size_t)number * job.reduces, result.regions,
		       job.reduces * sizeof(*result.regions));
	} else {
		ret = publish(&result, "mr-out-m-%u", number);
	}
	mr_result_exit(&result);
	return ret;
}

static int run_reduce(uint32_t number)
{
	struct mr_attempt attempt = attempt_of(false, number);
	struct mr_region *regions = calloc(job.nr_maps, sizeof(*regions));
	struct mr_result result;
	uint32_t m;
	int ret;

	if (!regions)
		return -ENOMEM;
	for (m = 0; m < job.nr_maps; m++) {
		regions[m] = job.regions[(size_t)m * job.reduces + number];
		regions[m].path = map_path(m);
	}
	attempt.regions = regions;
	attempt.nr_regions = job.nr_maps;
	ret = mr_attempt_run(&attempt, &result);
	if (ret)
		fprintf(stderr, "mr-bench: %s\n", result.message);
	else
		ret = publish(&result, "mr-out-%u", number);
	mr_result_exit(&result);
	free(regions);
	return ret;
}

/* Processes take turns until all maps, and then all reduces, are done. */
static int run_phase(uint32_t count, int (*run)(uint32_t number))
{
	unsigned int i;
	int status, ret = 0;
	uint32_t number;

	atomic_store(&job.shared->next, 0);
	for (i = 0; i < job.jobs; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return -errno;
		if (pid)
			continue;
		while ((number = atomic_fetch_add(&job.shared->next, 1)) < count)
			if (run(number))
				_exit(1);
		_exit(0);
	}
	for (i = 0; i < job.jobs; i++)
		if (wait(&status) < 0 || status)
			ret = -EIO;
	return ret;
}

static int compare_keys(const void *a, const void *b)
{
	const struct mr_bytes *x = a, *y = b;
	int cmp = memcmp(x->data, y->data, x->len < y->len ? x->len : y->len);

	if (job.app->compare)
		return job.app->compare(*x, *y);
	return cmp ? cmp : (x->len > y->len) - (x->len < y->len);
}

static int sample_map(uint32_t number, struct mr_bytes *keys, size_t *nr)
{
	struct mr_attempt attempt = map_attempt(number);
	struct mr_result *result = &job.samples[number];
	const struct mr_bytes *some;
	size_t n;

	if (mr_attempt_sample(&attempt, SAMPLE_KEYS / job.nr_maps + 1, result, &some, &n)) {
		fprintf(stderr, "mr-bench: %s\n", result->message);
		return -EIO;
	}
	memcpy(keys + *nr, some, n * sizeof(*some));
	*nr += n;
	return 0;
}

static int sample(void)
{
	struct mr_bytes *keys = calloc(SAMPLE_KEYS + job.nr_maps, sizeof(*keys));
	size_t nr = 0;
	uint32_t i;
	int ret = 0;

	job.samples = calloc(job.nr_maps, sizeof(*job.samples));
	job.points = calloc(job.reduces, sizeof(*job.points));
	if (!keys || !job.samples || !job.points)
		ret = -ENOMEM;
	for (i = 0; !ret && i < job.nr_maps; i++)
		ret = sample_map(i, keys, &nr);
	if (!ret)
		qsort(keys, nr, sizeof(*keys), compare_keys);
	for (i = 1; !ret && i < job.reduces; i++)
		job.points[i - 1] = nr ? keys[nr * i / job.reduces] : (struct mr_bytes){ "", 0 };
	free(keys);
	return ret;
}

static void free_sample(void)
{
	uint32_t i;

	for (i = 0; job.samples && i < job.nr_maps; i++)
		mr_result_exit(&job.samples[i]);
	free(job.samples);
	free(job.points);
}

static bool by_range(void)
{
	size_t i;

	for (i = 0; i < job.nr_options; i++)
		if (strcmp(job.options[i].name, "partition") == 0 && strcmp(job.options[i].value, "range") == 0)
			return true;
	return false;
}

static int run_job(void)
{
	size_t paths = (size_t)job.nr_maps * PATH_SIZE;
	size_t regions = (size_t)job.nr_maps * job.reduces * sizeof(*job.regions);
	uint32_t m;
	int ret;

	job.shared = mmap(NULL, sizeof(*job.shared) + paths + regions, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (job.shared == MAP_FAILED)
		return -errno;
	job.regions = (struct mr_region *)(job.shared->paths + paths);
	ret = job.reduces && by_range() ? sample() : 0;
	if (!ret)
		ret = run_phase(job.nr_maps, run_map);
	if (!ret && job.reduces)
		ret = run_phase(job.reduces, run_reduce);
	for (m = 0; m < job.nr_maps; m++)
		if (map_path(m)[0])
			unlink(map_path(m));
	free_sample();
	return ret;
}

static int usage(void)
{
	fprintf(stderr, "usage: mr-bench [-j PROCESSES] [-r REDUCES] [-m MEMORY_MIB] [-s SPLIT_KIB] [-c none|lz4|zstd]\n"
			"                [-D NAME=VALUE]... [-w WORK_DIR] -o OUTPUT_DIR APP.so FILE...\n");
	return 2;
}

static int add_option(char *text)
{
	char *eq = strchr(text, '=');

	if (!eq || job.nr_options == MAX_OPTIONS)
		return -EINVAL;
	*eq = '\0';
	job.options[job.nr_options++] = (struct mr_option){ text, eq + 1 };
	return 0;
}

static int parse(int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "j:r:m:s:c:D:w:o:")) != -1) {
		switch (opt) {
		case 'j':
			job.jobs = (unsigned int)atoi(optarg);
			break;
		case 'r':
			job.reduces = (uint32_t)atoi(optarg);
			break;
		case 'm':
			job.memory = strtoull(optarg, NULL, 10) << 20;
			break;
		case 's':
			job.split = strtoull(optarg, NULL, 10) << 10;
			break;
		case 'c':
			job.codec = *optarg == 'l' ? MR_CODEC_LZ4 : *optarg == 'z' ? MR_CODEC_ZSTD : MR_CODEC_NONE;
			break;
		case 'D':
			if (add_option(optarg))
				return -EINVAL;
			break;
		case 'w':
			job.work_dir = optarg;
			break;
		case 'o':
			job.output_dir = optarg;
			break;
		default:
			return -EINVAL;
		}
	}
	if (!job.work_dir)
		job.work_dir = job.output_dir;
	return job.output_dir && argc - optind >= 2 && job.split && job.jobs ? 0 : -EINVAL;
}

int main(int argc, char **argv)
{
	char error[MR_ERROR_MAX];
	bool whole;
	int i;

	if (parse(argc, argv))
		return usage();
	if (mr_app_load(argv[optind], error, sizeof(error), &job.app, NULL)) {
		fprintf(stderr, "mr-bench: %s\n", error);
		return 2;
	}
	whole = job.app->reader && job.app->reader->whole;
	for (i = optind + 1; i < argc; i++)
		if (add_input(argv[i], whole))
			return 1;
	return run_job() ? 1 : 0;
}
