// SPDX-License-Identifier: GPL-2.0
/* Jobs on a cluster of lockstepd nodes: what is asked of this node's mrnode. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ask.h"
#include "cluster.h"
#include "common/clock.h"
#include "common/config.h"
#include "common/json.h"
#include "kept.h"
#include "lockstepd/config.h"
#include "mrctl.h"

#define SOCKET		LOCKSTEPD_MR_RUN_DIR "/node.sock"
#define POLL_MS		200	/* wait looks so often */
#define PATIENCE_MS	15000	/* with a node that restarts */

/**
 * struct options - of these commands
 * @socket: mrnode's
 * @json: print JSON
 * @timeout_ms: of wait; 0: none
 * @job: the argument, or NULL
 */
struct options {
	const char *socket;
	bool json;
	uint64_t timeout_ms;
	const char *job;
};

const char *mrctl_socket(void)
{
	const char *socket = getenv("MRCTL_SOCKET");

	return socket && *socket ? socket : SOCKET;
}

/* 0, or the status to exit with plus one. */
static int parse(int argc, char **argv, bool job, struct options *opt)
{
	static const struct option longs[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "json", no_argument, NULL, 'j' },
		{ "timeout", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*opt = (struct options) { .socket = mrctl_socket() };
	optind = 1;
	while ((c = getopt_long(argc, argv, "s:jt:h", longs, NULL)) != -1) {
		switch (c) {
		case 's':
			opt->socket = optarg;
			break;
		case 'j':
			opt->json = true;
			break;
		case 't':
			if (lockstep_config_msec(optarg, 1, 86400000ULL * 365, &opt->timeout_ms))
				return 1 + mrctl_fail(MRCTL_USAGE, "--timeout %s: a time (500ms, 10s, 5m)",
						      optarg);
			break;
		case 'h':
			printf("Usage: mrctl %s [--socket PATH] [--json]%s%s\nSee mrctl(1).\n", argv[0],
			       strcmp(argv[0], "wait") ? "" : " [--timeout TIME]", job ? " JOB" : "");
			return 1 + MRCTL_OK;
		default:
			return 1 + MRCTL_USAGE;
		}
	}
	if (argc - optind != (job ? 1 : 0))
		return 1 + mrctl_fail(MRCTL_USAGE, "usage: mrctl %s [--socket PATH] [--json]%s", argv[0],
				      job ? " JOB" : "");
	opt->job = argv[optind];
	return 0;
}

static struct json_object *request_new(const char *command, const char *key, const char *value)
{
	struct json_object *o = json_object_new_object();

	lockstep_json_add_str(o, "command", command);
	if (key)
		lockstep_json_add_str(o, key, value);
	return o;
}

/* --- JSON members ----------------------------------------------------------------- */

static struct json_object *get(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	json_object_object_get_ex(o, key, &v);
	return v;
}

static const char *str(struct json_object *o, const char *key)
{
	struct json_object *v = get(o, key);

	return v ? json_object_get_string(v) : "";
}

static uint64_t num(struct json_object *o, const char *key)
{
	return json_object_get_uint64(get(o, key));
}

static size_t len(struct json_object *array)
{
	return array ? json_object_array_length(array) : 0;
}

/* --- printing ----------------------------------------------------------------------- */

static void print_time(uint64_t ms)
{
	if (ms >= 3600000)
		printf("%" PRIu64 "h%02" PRIu64 "m", ms / 3600000, ms / 60000 % 60);
	else if (ms >= 60000)
		printf("%" PRIu64 "m%02" PRIu64 "s", ms / 60000, ms / 1000 % 60);
	else
		printf("%" PRIu64 ".%" PRIu64 "s", ms / 1000, ms / 100 % 10);
}

void mrctl_print_failure(FILE *f, struct json_object *failure)
{
	fprintf(f, "%s %" PRIu64 ", attempt %" PRIu64 ", on %s", str(failure, "kind"),
		num(failure, "number"), num(failure, "attempt"), str(failure, "node"));
	if (get(failure, "record") && json_object_get_boolean(get(failure, "user_code")))
		fprintf(f, ", record %" PRIu64, num(failure, "record"));
	fprintf(f, ": %s\n", str(failure, "message"));
}

static void print_phase(struct json_object *phase)
{
	printf("  %-7s %6" PRIu64 " of %" PRIu64 " done, %" PRIu64 " running", str(phase, "name"),
	       num(phase, "done"), num(phase, "tasks"), num(phase, "running"));
	if (get(phase, "in_bytes"))
		printf(", %.1f MB in, %.1f MB out", (double)num(phase, "in_bytes") / 1e6,
		       (double)num(phase, "out_bytes") / 1e6);
	putchar('\n');
}

static void print_status(struct json_object *status)
{
	struct json_object *list;
	size_t i;

	printf("%s  %s: %s", str(status, "job"), str(status, "name"), str(status, "state"));
	if (*str(status, "reason"))
		printf(": %s", str(status, "reason"));
	printf("  (");
	print_time(num(status, "elapsed_ms"));
	printf(")\n");
	list = get(status, "phases");
	for (i = 0; i < len(list); i++)
		if (num(json_object_array_get_idx(list, i), "tasks"))
			print_phase(json_object_array_get_idx(list, i));
	list = get(status, "failures");
	for (i = 0; i < len(list); i++) {
		printf("  failed: ");
		mrctl_print_failure(stdout, json_object_array_get_idx(list, i));
	}
	list = get(status, "outputs");
	for (i = 0; i < len(list); i++) {
		struct json_object *out = json_object_array_get_idx(list, i);

		printf("  %s:%s  %" PRIu64 " bytes\n", str(out, "node"), str(out, "path"),
		       num(out, "size"));
	}
}

static int state_exit(struct json_object *status)
{
	const char *state = str(status, "state");

	if (!strcmp(state, "failed"))
		return MRCTL_FAILED;
	return strcmp(state, "killed") ? MRCTL_OK : MRCTL_KILLED;
}

/* --- commands ------------------------------------------------------------------------- */

/* The status of a job, of the cluster or (a number) of this machine, to be put; NULL: told, and *@ret is the exit status. */
static struct json_object *status_of(const char *socket, const char *job, bool tell, int *ret)
{
	struct json_object *answer, *status;

	if (!job[strspn(job, "0123456789")]) {
		status = mrctl_kept_read((unsigned int)strtoul(job, NULL, 10), "status.json");
		*ret = status ? MRCTL_OK : !tell ? MRCTL_USAGE :
		       mrctl_fail(MRCTL_USAGE, "no job %s of this machine has ended; mrctl history lists them, and those of a cluster are called NODE.NUMBER",
				  job);
		return status;
	}
	*ret = mrctl_ask(socket, request_new("status", "job", job), NULL, tell, &answer);
	if (*ret)
		return NULL;
	status = json_object_get(get(answer, "status"));
	json_object_put(answer);
	return status;
}

/* A command about one job: its status, to be put; NULL: *@ret is the exit status. */
static struct json_object *status_asked(int argc, char **argv, struct options *opt, int *ret)
{
	*ret = parse(argc, argv, true, opt);
	if (*ret) {
		(*ret)--;
		return NULL;
	}
	return status_of(opt->socket, opt->job, true, ret);
}

static int cmd_status(int argc, char **argv)
{
	struct json_object *status;
	struct options opt;
	int ret;

	status = status_asked(argc, argv, &opt, &ret);
	if (!status)
		return ret;
	if (opt.json)
		lockstep_json_print(status);
	else
		print_status(status);
	json_object_put(status);
	return MRCTL_OK;
}

static int cmd_nodes(int argc, char **argv)
{
	struct json_object *answer, *nodes;
	struct options opt;
	size_t i;
	int ret = parse(argc, argv, false, &opt);

	if (ret)
		return ret - 1;
	ret = mrctl_ask(opt.socket, request_new("nodes", NULL, NULL), NULL, true, &answer);
	if (ret)
		return ret;
	nodes = get(answer, "nodes");
	if (opt.json)
		lockstep_json_print(nodes);
	for (i = 0; i < len(nodes) && !opt.json; i++)
		printf("%-20s %s\n", str(json_object_array_get_idx(nodes, i), "node"),
		       json_object_get_boolean(get(json_object_array_get_idx(nodes, i), "up")) ?
		       "connected" : "not connected");
	json_object_put(answer);
	return MRCTL_OK;
}

static int jobs_of_node(const char *socket, const char *node, struct json_object *all)
{
	struct json_object *answer, *jobs;
	size_t i;
	int ret = mrctl_ask(socket, request_new("list", "node", node), NULL, true, &answer);

	if (ret)
		return ret;
	jobs = get(answer, "jobs");
	for (i = 0; i < len(jobs); i++)
		json_object_array_add(all, json_object_get(json_object_array_get_idx(jobs, i)));
	json_object_put(answer);
	return MRCTL_OK;
}

/* Jobs of all nodes that are there; a node that is not is named. */
static int jobs_of_all(const char *socket, struct json_object *all)
{
	struct json_object *answer, *nodes, *node;
	size_t i;
	int ret = mrctl_ask(socket, request_new("nodes", NULL, NULL), NULL, true, &answer), err;

	if (ret)
		return ret;
	nodes = get(answer, "nodes");
	for (i = 0; i < len(nodes); i++) {
		node = json_object_array_get_idx(nodes, i);
		if (!json_object_get_boolean(get(node, "up"))) {
			fprintf(stderr, "mrctl: node %s is not connected: its jobs are not listed\n",
				str(node, "node"));
			continue;
		}
		err = jobs_of_node(socket, str(node, "node"), all);
		ret = ret ? ret : err;
	}
	json_object_put(answer);
	return ret;
}

static int list(int argc, char **argv, bool over)
{
	struct json_object *all = json_object_new_array(), *some = json_object_new_array(), *job;
	struct options opt;
	size_t i;
	int ret = parse(argc, argv, false, &opt);

	ret = ret ? ret - 1 : jobs_of_all(opt.socket, all);
	for (i = 0; !ret && i < len(all); i++) {
		job = json_object_array_get_idx(all, i);
		if (over && !strcmp(str(job, "state"), "running"))
			continue;
		json_object_array_add(some, json_object_get(job));
		if (opt.json)
			continue;
		printf("%-12s %-10s %-20s ", str(job, "job"), str(job, "state"), str(job, "name"));
		print_time(num(job, "elapsed_ms"));
		printf("  %s\n", str(job, "reason"));
	}
	if (!ret && opt.json)
		lockstep_json_print(some);
	json_object_put(some);
	json_object_put(all);
	return ret;
}

static int cmd_list(int argc, char **argv)
{
	return list(argc, argv, false);
}

int mrctl_cluster_history(int argc, char **argv)
{
	return list(argc, argv, true);
}

static void sleep_ms(unsigned int ms)
{
	const struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	nanosleep(&ts, NULL);
}

int mrctl_wait(const char *socket, const char *job, uint64_t timeout_ms, bool json)
{
	uint64_t began = lockstep_clock_ns(), heard = began, now;
	struct json_object *status, *failures;
	int ret;

	for (;;) {
		now = lockstep_clock_ns();
		status = status_of(socket, job, false, &ret);
		/* a node that restarts is back soon, and its job with it; else once more, to say why */
		if (!status && (ret != MRCTL_NOBODY || now - heard > PATIENCE_MS * LOCKSTEP_NSEC_PER_MSEC)) {
			status = status_of(socket, job, true, &ret);
			if (!status)
				return ret;
		}
		if (status && strcmp(str(status, "state"), "running"))
			break;
		if (status)
			heard = now;
		json_object_put(status);
		if (timeout_ms && now - began > timeout_ms * LOCKSTEP_NSEC_PER_MSEC)
			return mrctl_fail(MRCTL_TIMEOUT, "job %s still runs", job);
		sleep_ms(POLL_MS);
	}
	ret = state_exit(status);
	failures = get(status, "failures");
	if (json) {
		lockstep_json_print(status);
	} else if (ret) {
		mrctl_fail(ret, "job %s %s: %s", job, str(status, "state"), str(status, "reason"));
		if (len(failures))
			mrctl_print_failure(stderr, json_object_array_get_idx(failures, 0));
	}
	json_object_put(status);
	return ret;
}

static int cmd_wait(int argc, char **argv)
{
	struct options opt;
	int ret = parse(argc, argv, true, &opt);

	return ret ? ret - 1 : mrctl_wait(opt.socket, opt.job, opt.timeout_ms, opt.json);
}

/* kill, resume: asked, and done. */
int mrctl_cluster_ask(int argc, char **argv)
{
	struct json_object *answer;
	struct options opt;
	int ret = parse(argc, argv, true, &opt);

	if (ret)
		return ret - 1;
	ret = mrctl_ask(opt.socket, request_new(argv[0], "job", opt.job), NULL, true, &answer);
	if (ret)
		return ret;
	if (opt.json)
		lockstep_json_print(answer);
	json_object_put(answer);
	return MRCTL_OK;
}

/* The attempt that failed first: what it said. */
static int cmd_logs(int argc, char **argv)
{
	struct json_object *status, *failures, *first;
	struct options opt;
	int ret;

	status = status_asked(argc, argv, &opt, &ret);
	if (!status)
		return ret;
	failures = get(status, "failures");
	first = len(failures) ? json_object_array_get_idx(failures, 0) : NULL;
	if (opt.json) {
		lockstep_json_print(failures);
	} else if (first) {
		mrctl_print_failure(stderr, first);
		fputs(str(first, "log"), stdout);
	} else {
		fprintf(stderr, "mrctl: no attempt of job %s has failed\n", opt.job);
	}
	json_object_put(status);
	return MRCTL_OK;
}

/* Call for each member of an object. */
static void each(struct json_object *o, void (*fn)(const char *key, struct json_object *value, const char *of),
		 const char *of)
{
	struct json_object_iterator it = json_object_iter_begin(o), end = json_object_iter_end(o);

	for (; !json_object_iter_equal(&it, &end); json_object_iter_next(&it))
		fn(json_object_iter_peek_name(&it), json_object_iter_peek_value(&it), of);
}

static void print_counter(const char *name, struct json_object *value, const char *group)
{
	printf("%s\t%s\t%" PRIi64 "\n", group, name, json_object_get_int64(value));
}

static void print_group(const char *group, struct json_object *names, const char *of)
{
	(void)of;
	each(names, print_counter, group);
}

static int cmd_counters(int argc, char **argv)
{
	struct json_object *status, *counters;
	struct options opt;
	int ret;

	status = status_asked(argc, argv, &opt, &ret);
	if (!status)
		return ret;
	counters = get(status, "counters");
	if (opt.json)
		lockstep_json_print(counters);
	else if (counters)
		each(counters, print_group, NULL);
	json_object_put(status);
	return MRCTL_OK;
}

static int cmd_events(int argc, char **argv)
{
	struct json_object *status, *events, *e;
	struct options opt;
	size_t i;
	int ret;

	status = status_asked(argc, argv, &opt, &ret);
	if (!status)
		return ret;
	events = get(status, "events");
	for (i = 0; i < len(events); i++) {
		e = json_object_array_get_idx(events, i);
		if (!opt.json)
			printf("%9.3f  %-16s %s\n", (double)num(e, "ms") / 1000, str(e, "event"),
			       str(e, "text"));
	}
	if (opt.json)
		lockstep_json_print(events);
	json_object_put(status);
	return MRCTL_OK;
}

const struct mrctl_command mrctl_cluster_commands[] = {
	{ "list", cmd_list, "", "jobs of the cluster" },
	{ "status", cmd_status, "JOB", "one of them, with its outputs" },
	{ "wait", cmd_wait, "JOB", "until it is over" },
	{ "kill", mrctl_cluster_ask, "JOB", "end it" },
	{ "logs", cmd_logs, "JOB", "what the attempt that failed first wrote to standard error" },
	{ "counters", cmd_counters, "JOB", "its counters" },
	{ "events", cmd_events, "JOB", "what happened in it" },
	{ "nodes", cmd_nodes, "", "nodes of the cluster" },
	{ NULL, NULL, NULL, NULL },
};
