// SPDX-License-Identifier: GPL-2.0
/* lockstep-log: logs of guests in files: record, replay, look. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

#define TIMEOUT_DEF	60	/* seconds */

static const struct {
	const char *name;
	int (*run)(const struct lockstep_log_options *opt);
	bool guest;
	const char *help;
} commands[] = {
	{ "record", lockstep_log_record, true,
	  "serve a guest that waits (lockstep-vmm --role primary --wait) as its backup,\n"
	  "\t\tand write its log to FILE, until it powers off" },
	{ "replay", lockstep_log_replay, true,
	  "serve a twin (lockstep-vmm --role twin) as its primary, from FILE; every input's\n"
	  "\t\tposition and registers, and every output, are compared" },
	{ "dump", lockstep_log_dump, false, "print the records of FILE" },
	{ "stats", lockstep_log_stats, false, "print what FILE is made of" },
};

static void usage(FILE *out)
{
	fprintf(out, "usage: lockstep-log COMMAND [--guest NAME] [--timeout S] [--json] FILE\n\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(out, "  %-8s%s\t%s\n", commands[i].name, commands[i].guest ? " (--guest)" : "",
			commands[i].help);
	fprintf(out, "\n"
		"  --timeout S  give up after S seconds without progress (default %d, 0: never)\n"
		"  --json       results for machines\n\n"
		"exit status: 0 done, identical; 1 error; 2 usage; 3 the log was cut short, or the\n"
		"VMM went; 4 diverged\n", TIMEOUT_DEF);
}

static int parse(int argc, char **argv, struct lockstep_log_options *opt)
{
	static const struct option longs[] = {
		{ "guest", required_argument, NULL, 'g' },
		{ "timeout", required_argument, NULL, 't' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "g:t:jh", longs, NULL)) != -1) {
		switch (c) {
		case 'g':
			opt->guest = optarg;
			break;
		case 't':
			errno = 0;
			opt->timeout = strtoul(optarg, &end, 10);
			if (errno || *end || end == optarg || opt->timeout > 86400) {
				fprintf(stderr, "lockstep-log: --timeout takes seconds, 0 to 86400\n");
				return -EINVAL;
			}
			break;
		case 'j':
			opt->json = true;
			break;
		case 'h':
			usage(stdout);
			return 1;
		default:
			return -EINVAL;
		}
	}
	if (optind != argc - 1) {
		fprintf(stderr, "lockstep-log: exactly one FILE is needed; see --help\n");
		return -EINVAL;
	}
	opt->path = argv[optind];
	return 0;
}

int main(int argc, char **argv)
{
	struct lockstep_log_options opt = { .timeout = TIMEOUT_DEF };
	int ret;

	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		usage(stdout);
		return LOG_OK;
	}
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[1], commands[i].name))
			continue;
		ret = parse(argc - 1, argv + 1, &opt);
		if (ret)
			return ret > 0 ? LOG_OK : LOG_USAGE;
		if (commands[i].guest && !opt.guest) {
			fprintf(stderr, "lockstep-log: %s needs --guest NAME\n", argv[1]);
			return LOG_USAGE;
		}
		return commands[i].run(&opt);
	}
	usage(stderr);
	return LOG_USAGE;
}
