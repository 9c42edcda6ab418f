// SPDX-License-Identifier: GPL-2.0
/* mrworker: a worker as a plain process. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/config.h"
#include "common/log.h"
#include "shuffle/client.h"
#include "transport/transport.h"
#include "worker/work.h"

static void usage(FILE *f)
{
	fputs("usage: mrworker --socket S [options] APP.so\n"
	      "       mrworker --socket S [options] streaming\n"
	      "\n"
	      "Runs tasks of the job that mrmaster at socket S coordinates, one at a time,\n"
	      "until the job is done. Outputs are written to the folder it is started in.\n"
	      "\n"
	      "  -s, --socket S     Unix socket of the master\n"
	      "  -w, --work-dir D   where intermediate files go (default: the current folder)\n"
	      "      --retry T      how long to look for the master (default: 10s)\n"
	      "  -h, --help\n"
	      "\n"
	      "Exit status: 0 the job is done; 1 it failed, was not found, or the worker was\n"
	      "refused; 2 wrong usage.\n", f);
}

static int absolute(const char *path, char *out)
{
	return realpath(path, out) ? 0 : -errno;
}

struct arguments {
	const char *socket;
	const char *work_dir;
	const char *output_dir;
	const char *via;
	const char *job;
	const char *cluster_job;
	const char *node;
	const char *app;
	uint64_t retry_ms;
};

/* 0; 1: help was asked for; -EINVAL */
static int parse(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "work-dir", required_argument, NULL, 'w' },
		{ "retry", required_argument, NULL, 'r' },
		{ "output-dir", required_argument, NULL, 'O' },
		{ "via", required_argument, NULL, 'V' },
		{ "job", required_argument, NULL, 'J' },
		{ "cluster-job", required_argument, NULL, 'C' },
		{ "node", required_argument, NULL, 'N' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "s:w:h", options, NULL)) != -1) {
		switch (c) {
		case 's':
			a->socket = optarg;
			break;
		case 'w':
			a->work_dir = optarg;
			break;
		case 'O':
			a->output_dir = optarg;
			break;
		case 'V':
			a->via = optarg;
			break;
		case 'J':
			a->job = optarg;
			break;
		case 'C':
			a->cluster_job = optarg;
			break;
		case 'N':
			a->node = optarg;
			break;
		case 'r':
			if (lockstep_config_msec(optarg, 100, 86400000, &a->retry_ms)) {
				fprintf(stderr, "mrworker: --retry %s: a time like 10s or 500ms is expected\n", optarg);
				return -EINVAL;
			}
			break;
		case 'h':
			return 1;
		default:
			return -EINVAL;
		}
	}
	if (!a->socket || argc - optind != 1) {
		fprintf(stderr, "mrworker: %s; see --help\n",
			a->socket ? "exactly one application is expected" : "--socket is missing");
		return -EINVAL;
	}
	a->app = argv[optind];
	return 0;
}

static int work(const struct arguments *a)
{
	struct lockstep_transport_config transport = { .cluster = "mapreduce", .node = "local" };
	struct mr_work_config config = { .transport = &transport, .retry_ms = (uint32_t)a->retry_ms };
	char via[LOCKSTEP_SERVICE_NAME_MAX + 1];
	char cwd[PATH_MAX], work_dir[PATH_MAX], address[LOCKSTEP_ADDR_STRLEN], err[1024] = "";
	int ret;

	ret = mr_app_load(a->app, err, sizeof(err), &config.app, &config.app_hash);
	if (ret) {
		fprintf(stderr, "mrworker: %s\n", err);
		return 1;
	}
	if (snprintf(address, sizeof(address), "unix:%s", a->socket) >= (int)sizeof(address)) {
		fprintf(stderr, "mrworker: socket %s: the path is too long\n", a->socket);
		return 2;
	}
	ret = absolute(".", cwd);
	if (ret) {
		fprintf(stderr, "mrworker: the current folder can't be found: %s\n", strerror(-ret));
		return 1;
	}
	ret = absolute(a->work_dir ? a->work_dir : ".", work_dir);
	if (ret) {
		fprintf(stderr, "mrworker: --work-dir %s: %s\n", a->work_dir, strerror(-ret));
		return 1;
	}
	config.address = address;
	config.output_dir = a->output_dir ? a->output_dir : cwd;
	config.work_dir = work_dir;
	config.job = a->job;
	config.node = a->node ? a->node : "local";
	if (a->via) {
		snprintf(via, sizeof(via), MR_VIA_PREFIX "%s", a->via);
		config.service = via;
		config.shuffle = address;
		config.shuffle_job = a->cluster_job ? a->cluster_job : "";
	}
	ret = mr_work_run(&config, err, sizeof(err));
	if (ret)
		fprintf(stderr, "mrworker: %s\n", err);
	return ret ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct arguments a = { .retry_ms = MR_WORK_RETRY_MS_DEF };
	int ret;

	lockstep_log_init("mrworker", LOCKSTEP_LOG_WARN, false);
	ret = parse(argc, argv, &a);
	if (ret) {
		if (ret > 0)
			usage(stdout);
		return ret > 0 ? 0 : 2;
	}
	return work(&a);
}
