// SPDX-License-Identifier: GPL-2.0
/* mrctl history, resume: jobs that ran on this machine. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

#include "cluster.h"
#include "common/config.h"
#include "common/json.h"
#include "kept.h"
#include "mrctl.h"
#include "progress.h"
#include "run.h"

/* --json, --help and at most one job. 0, 1: help, or -EINVAL, told. */
static int options_take(int argc, char **argv, const char *help, bool *json, unsigned int *number)
{
	static const struct option longs[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t n;
	int c;

	while ((c = getopt_long(argc, argv, "jh", longs, NULL)) != -1) {
		if (c == 'j') {
			*json = true;
		} else if (c == 'h') {
			puts(help);
			return 1;
		} else {
			return -EINVAL;
		}
	}
	if (optind == argc)
		return 0;
	if (optind + 1 < argc || lockstep_config_u64(argv[optind], 1, UINT32_MAX, &n)) {
		mrctl_fail(0, "a job is a number of mrctl history");
		return -EINVAL;
	}
	*number = n;
	return 0;
}

/* --- history ---------------------------------------------------------------- */

/* A job that has not ended as far as was written: its process runs, or was killed. */
static const char *state_of(struct json_object *begun, struct json_object *status)
{
	int64_t pid = json_object_get_int64(mrctl_field(begun, "pid"));

	if (pid > 0 && !kill((pid_t)pid, 0))
		return "running";
	return status ? mrctl_text(status, "state") : "broken off";
}

/* One job, for --json: how it was begun and how it ended. */
static struct json_object *job_get(unsigned int number)
{
	struct json_object *o = json_object_new_object();
	struct json_object *begun = mrctl_kept_read(number, "job.json");
	struct json_object *status = mrctl_kept_read(number, "status.json");

	lockstep_json_add_u64(o, "number", number);
	lockstep_json_add_str(o, "state", state_of(begun, status));
	json_object_object_add(o, "begun", begun);
	json_object_object_add(o, "status", status);
	return o;
}

static void command_line_print(struct json_object *begun)
{
	struct json_object *args = mrctl_field(begun, "argv");
	size_t n = args ? json_object_array_length(args) : 0, i;

	printf("mrctl");
	for (i = 0; i < n; i++) {
		const char *arg = json_object_get_string(json_object_array_get_idx(args, i)), *p;
		bool plain = *arg;

		for (p = arg; *p; p++)
			if (!strchr("%+,-./:=@_", *p) && !((*p | 32) >= 'a' && (*p | 32) <= 'z') &&
			    !(*p >= '0' && *p <= '9'))
				plain = false;
		if (plain) {
			printf(" %s", arg);
			continue;
		}
		printf(" '");
		for (p = arg; *p; p++)
			printf(*p == '\'' ? "'\\''" : "%c", *p);
		putchar('\'');
	}
	putchar('\n');
}

static void job_print(struct json_object *job)
{
	struct json_object *begun = mrctl_field(job, "begun"), *status = mrctl_field(job, "status");
	time_t began = (time_t)mrctl_number(begun, "began");
	char when[32] = "", text[MRCTL_TEXT_MAX] = "-";

	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", localtime(&began));
	if (status)
		mrctl_time_text(mrctl_number(status, "elapsed_ms"), text);
	printf("%4llu  %s  %-10s  %-14s  ", (unsigned long long)mrctl_number(job, "number"), when,
	       mrctl_text(job, "state"), text);
	command_line_print(begun);
}

static int history_one(unsigned int number, bool json)
{
	struct json_object *job = job_get(number), *status = mrctl_field(job, "status");
	struct mrctl_progress progress;
	int code = MRCTL_OK;

	if (!mrctl_field(job, "begun")) {
		code = mrctl_fail(MRCTL_FAILED, "no job %u; mrctl history lists them", number);
	} else if (json) {
		lockstep_json_print(job);
	} else {
		job_print(job);
		fflush(stdout);
		mrctl_progress_init(&progress, false);
		if (status)
			mrctl_progress_end(&progress, status);
	}
	json_object_put(job);
	return code;
}

static int command_history(int argc, char **argv)
{
	unsigned int number = 0, *numbers;
	struct json_object *all, *job;
	bool json = false;
	int ret, n, i;

	if (argc > 1 && !strcmp(argv[1], "--cluster"))
		return mrctl_cluster_history(argc - 1, argv + 1);
	ret = options_take(argc, argv,
			       "Usage: mrctl history [--json] [NUMBER]\n"
			       "       mrctl history --cluster [--json]\n"
			       "Jobs that ran on this machine, or one of them and how it ended; or jobs of the\n"
			       "cluster that are over.", &json, &number);

	if (ret)
		return ret > 0 ? MRCTL_OK : MRCTL_USAGE;
	if (number)
		return history_one(number, json);
	n = mrctl_kept_list(&numbers);
	all = json_object_new_array();
	for (i = 0; i < n; i++) {
		job = job_get(numbers[i]);
		if (!json)
			job_print(job);
		json_object_array_add(all, job);
	}
	if (json)
		lockstep_json_print(all);
	json_object_put(all);
	free(numbers);
	return MRCTL_OK;
}

/* --- resume ----------------------------------------------------------------- */

/* What a coordinator that was killed could not remove. */
static void leftovers_remove(struct json_object *begun)
{
	const char *path = mrctl_text(begun, "temporary"), *name = strrchr(path, '/');

	if (name && !strncmp(name, "/mrctl-", 7))
		mrctl_tree_remove(path);
}

static int resume(unsigned int number, struct json_object *begun, bool json)
{
	struct json_object *args = mrctl_field(begun, "argv");
	size_t n = args ? json_object_array_length(args) : 0, i;
	const char *cwd = mrctl_text(begun, "cwd");
	char **argv = calloc(n + 1, sizeof(*argv));
	struct mrctl_run run;
	int code;

	if (!argv || !n || chdir(cwd)) {
		free(argv);
		return mrctl_fail(MRCTL_FAILED, "job %u can't be resumed in %s: %s", number, cwd, strerror(errno));
	}
	for (i = 0; i < n; i++)
		argv[i] = (char *)json_object_get_string(json_object_array_get_idx(args, i));
	leftovers_remove(begun);
	mrctl_run_init(&run);
	run.workers = (unsigned int)mrctl_number(begun, "workers");
	run.resume = true;
	run.json = json;
	run.number = number;
	code = mrctl_run_line(&run, (int)n, argv);
	mrctl_run_exit(&run);
	free(argv);
	return code;
}

static int command_resume(int argc, char **argv)
{
	char path[MRCTL_PATH_MAX];
	struct json_object *begun;
	unsigned int number = 0;
	bool json = false;
	int ret;

	if (argc > 1 && strchr(argv[argc - 1], '.'))
		return mrctl_cluster_ask(argc, argv);
	ret = options_take(argc, argv,
			       "Usage: mrctl resume [--json] NUMBER|NODE.NUMBER\n"
			       "Carry on with a job of mrctl history that was killed or failed: what has\n"
			       "its outputs is not done again.", &json, &number);

	if (ret)
		return ret > 0 ? MRCTL_OK : MRCTL_USAGE;
	if (!number)
		return mrctl_fail(MRCTL_USAGE, "resume which job? mrctl history lists them");
	begun = mrctl_kept_read(number, "job.json");
	if (!begun)
		ret = mrctl_fail(MRCTL_FAILED, "no job %u; mrctl history lists them", number);
	else if (!strcmp(state_of(begun, NULL), "running"))
		ret = mrctl_fail(MRCTL_FAILED, "job %u is running", number);
	else if (!mrctl_kept_path(number, "journal", path) || access(path, R_OK))
		ret = mrctl_fail(MRCTL_FAILED, "job %u has succeeded, or left no journal", number);
	else
		ret = resume(number, begun, json);
	json_object_put(begun);
	return ret;
}

const struct mrctl_command mrctl_history_commands[] = {
	{ "history", command_history, "[NUMBER | --cluster]", "jobs that ran on this machine, or the cluster" },
	{ "resume", command_resume, "JOB", "carry on with one that was broken off" },
	{ NULL, NULL, NULL, NULL },
};
