// SPDX-License-Identifier: GPL-2.0
/* mrctl run: a job on this machine. */
#include "run.h"

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

#include "common/config.h"
#include "common/json.h"
#include "kept.h"
#include "local.h"
#include "mrctl.h"
#include "spec.h"

#define WORKERS_MAX	1024

static const struct option longs[] = {
	MRCTL_SPEC_LONGS,
	{ "workers", required_argument, NULL, 'w' },
	{ "work-dir", required_argument, NULL, 'd' },
	{ "http", required_argument, NULL, 'p' },
	{ "json", no_argument, NULL, 'j' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

#define SHORTS	MRCTL_SPEC_SHORTS "w:jqh"

static void run_help(void)
{
	printf("Usage: mrctl run [OPTION...] APP.so INPUT...\n"
	       "       mrctl run [OPTION...] --mapper COMMAND [--reducer COMMAND] INPUT...\n"
	       "Run a job on this machine, on all its cores. A folder stands for the files in it.\n\n%s"
	       "  -w, --workers N       processes (default: one for each core)\n"
	       "      --work-dir DIR    for what lies between map and reduce (default $TMPDIR or /tmp)\n"
	       "      --http ADDRESS    serve a status page: PORT on 127.0.0.1, or HOST:PORT\n"
	       "  -q, --quiet           show failures only\n"
	       "  -j, --json            print the job's last status, as JSON\n", mrctl_spec_help);
}

void mrctl_run_init(struct mrctl_run *run)
{
	memset(run, 0, sizeof(*run));
	mrctl_spec_init(&run->spec);
}

/* 0, 1: only help was wanted, or -EINVAL, told. */
static int options_take(struct mrctl_run *run, int argc, char **argv)
{
	uint64_t n;
	int c, ret;

	/* resume parses a second command line in the same process */
	optind = 0;
	while ((c = getopt_long(argc, argv, SHORTS, longs, NULL)) != -1) {
		ret = mrctl_spec_take(&run->spec, c, optarg);
		if (ret < 0)
			return ret;
		if (!ret)
			continue;
		switch (c) {
		case 'w':
			if (lockstep_config_u64(optarg, 1, WORKERS_MAX, &n)) {
				mrctl_fail(0, "--workers %s: it must be a number, 1 to %d", optarg, WORKERS_MAX);
				return -EINVAL;
			}
			run->workers = n;
			break;
		case 'd':
			run->work_dir = optarg;
			break;
		case 'p':
			run->http = optarg;
			break;
		case 'j':
			run->json = true;
			break;
		case 'q':
			run->quiet = true;
			break;
		case 'h':
			run_help(); return 1;
		default:
			return -EINVAL;
		}
	}
	return mrctl_spec_finish(&run->spec, argc - optind, argv + optind);
}

/* --- what was left open ----------------------------------------------------- */

static unsigned int cores(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) ? 1 : (unsigned int)CPU_COUNT(&set);
}

/* By default not more than a quarter of the machine's memory. */
static void settle(struct mrctl_run *run)
{
	struct mrctl_spec *spec = &run->spec;
	uint64_t quarter = (uint64_t)sysconf(_SC_PHYS_PAGES) / 4 * (uint64_t)sysconf(_SC_PAGESIZE);

	if (!run->workers)
		run->workers = cores();
	if (spec->reduces == MRCTL_REDUCES_AUTO)
		spec->reduces = run->workers;
	if (!spec->memory) {
		spec->memory = run->workers * MR_MEMORY_DEF;
		if (spec->memory > quarter)
			spec->memory = quarter;
	}
	if (spec->memory < run->workers * MR_MEMORY_MIN)
		spec->memory = run->workers * MR_MEMORY_MIN;
}

/* --- folders ---------------------------------------------------------------- */

static int temporary_make(struct mrctl_run *run)
{
	const char *parent = run->work_dir ? run->work_dir : getenv("TMPDIR");
	char path[MRCTL_PATH_MAX];
	int ret;

	snprintf(path, sizeof(path), "%s/mrctl-XXXXXX", parent && *parent ? parent : "/tmp");
	if (!mkdtemp(path)) {
		ret = -errno;
		mrctl_fail(0, "temporary folder %s: %s; --work-dir names another place", path, strerror(-ret));
		return ret;
	}
	run->temporary = realpath(path, NULL);
	return run->temporary ? 0 : -errno;
}

/* Links to what commands need, so that they find it in the folder they run in, as under Hadoop. */
static int files_link(struct mrctl_run *run)
{
	char dir[MRCTL_PATH_MAX], path[2 * MRCTL_PATH_MAX];
	size_t i;

	if (!run->spec.files.nr)
		return 0;
	snprintf(dir, sizeof(dir), "%s/files", run->temporary);
	if (mkdir(dir, 0755))
		return -errno;
	for (i = 0; i < run->spec.files.nr; i++) {
		const char *file = run->spec.files.items[i];
		char *real = realpath(file, NULL);
		int ret = 0;

		snprintf(path, sizeof(path), "%s/%s", dir, basename(file));
		if (!real || symlink(real, path))
			ret = -errno;
		free(real);
		if (ret) {
			mrctl_fail(0, "--file %s: %s", file, strerror(-ret));
			return ret;
		}
	}
	return mrctl_spec_set(&run->spec, "streaming.dir", dir);
}

/* --- what is kept ----------------------------------------------------------- */

static struct json_object *begun_make(const struct mrctl_run *run, int argc, char **argv)
{
	struct json_object *o = json_object_new_object(), *args = json_object_new_array();
	char *cwd = getcwd(NULL, 0);
	int i;

	for (i = 0; i < argc; i++)
		json_object_array_add(args, json_object_new_string(argv[i]));
	json_object_object_add(o, "argv", args);
	lockstep_json_add_str(o, "cwd", cwd);
	lockstep_json_add_u64(o, "workers", run->workers);
	lockstep_json_add_u64(o, "began", (uint64_t)time(NULL));
	lockstep_json_add_u64(o, "pid", (uint64_t)getpid());
	lockstep_json_add_str(o, "temporary", run->temporary);
	free(cwd);
	return o;
}

/* Without a place for it a job runs all the same, but can't be resumed. */
static bool keep_begin(struct mrctl_run *run, int argc, char **argv, char *journal)
{
	struct json_object *begun;
	int ret = run->number ? 0 : mrctl_kept_create(&run->number);

	if (!ret) {
		begun = begun_make(run, argc, argv);
		ret = mrctl_kept_write(run->number, "job.json", begun);
		json_object_put(begun);
	}
	if (!ret && mrctl_kept_path(run->number, "journal", journal))
		return true;
	run->number = 0;
	return false;
}

static bool has_outputs(struct json_object *status)
{
	struct json_object *outputs;

	return json_object_object_get_ex(status, "outputs", &outputs) && json_object_array_length(outputs);
}

static void keep_end(const struct mrctl_run *run, int code, struct json_object *status)
{
	if (!run->number)
		return;
	mrctl_kept_write(run->number, "status.json", status);
	if (code == MRCTL_OK)
		mrctl_kept_done(run->number);
	else if (!run->quiet && (code == MRCTL_KILLED || has_outputs(status)))
		mrctl_fail(0, "to carry on with what is done: mrctl resume %u", run->number);
}

/* --- running ---------------------------------------------------------------- */

static int run_here(struct mrctl_run *run, int argc, char **argv)
{
	char journal[MRCTL_PATH_MAX];
	struct json_object *status = NULL;
	struct mrctl_local local = {
		.spec = &run->spec, .workers = run->workers, .temporary = run->temporary,
		.resume = run->resume, .http = run->http, .quiet = run->quiet,
	};
	int code;

	if (files_link(run))
		return MRCTL_FAILED;
	if (keep_begin(run, argc, argv, journal))
		local.journal = journal;
	code = mrctl_local_run(&local, &status);
	if (status)
		keep_end(run, code, status);
	else if (run->number && !run->resume)
		mrctl_kept_remove(run->number);
	if (status && run->json)
		lockstep_json_print(status);
	json_object_put(status);
	return code;
}

int mrctl_run_line(struct mrctl_run *run, int argc, char **argv)
{
	int ret = options_take(run, argc, argv), code;

	if (ret)
		return ret > 0 ? MRCTL_OK : MRCTL_USAGE;
	settle(run);
	code = mrctl_local_check(run->spec.app);
	if (code)
		return code;
	if (temporary_make(run))
		return MRCTL_FAILED;
	code = run_here(run, argc, argv);
	mrctl_tree_remove(run->temporary);
	return code;
}

void mrctl_run_exit(struct mrctl_run *run)
{
	free(run->temporary);
	mrctl_spec_exit(&run->spec);
}

static int command_run(int argc, char **argv)
{
	struct mrctl_run run;
	int code;

	mrctl_run_init(&run);
	code = mrctl_run_line(&run, argc, argv);
	mrctl_run_exit(&run);
	return code;
}

const struct mrctl_command mrctl_run_commands[] = {
	{ "run", command_run, "APP.so INPUT...", "run a job on this machine" },
	{ NULL, NULL, NULL, NULL },
};
