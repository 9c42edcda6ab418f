// SPDX-License-Identifier: GPL-2.0
/* lockstepctl: look at protected guests and handle them. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "ctl.h"
#include "lockstepd/config.h"

#define TIMEOUT_DEF	60	/* seconds */
#define TIMEOUT_MAX	86400

/**
 * struct command - a subcommand
 * @name: as typed
 * @run: what does it
 * @min: arguments at least
 * @max: and at most
 * @options: letters of the options it takes, see longs[]
 * @args: its arguments, for --help
 * @what: what it does
 */
static const struct command {
	const char *name;
	int (*run)(const struct ctl_options *opt);
	int min;
	int max;
	const char *options;
	const char *args;
	const char *what;
} commands[] = {
	{ "status", ctl_status, 0, 1, "jkrl", "[GUEST]",
	  "guests of this host, peers and arbiter" },
	{ "start", ctl_start, 1, 1, "fTa", "GUEST",
	  "start a guest here and its twin on its peer; --force: although another\n"
	  "\t\t      instance may hold newer data: only if you know that none lives" },
	{ "stop", ctl_stop, 1, 1, "fwt", "GUEST",
	  "power a guest off; --force: end this instance at once, its other half goes on" },
	{ "verify", ctl_verify, 1, 1, "jut", "GUEST",
	  "compare the whole state of primary and twin, here on the primary's host" },
	{ "switch", ctl_switch, 1, 1, "t", "GUEST",
	  "planned switch, on the primary's host: its backup goes live, without loss" },
	{ "events", ctl_events, 0, 0, "j", "", "what happens, as it happens" },
	{ "metrics", ctl_metrics, 0, 0, "l", "", "status in Prometheus' text format" },
	{ "peers", ctl_peers, 0, 0, "j", "", "connections to other hosts" },
	{ "doctor", ctl_doctor, 0, 0, "jlOc", "",
	  "what on this host would keep guests from being protected, and the remedy" },
	{ "keys", ctl_keys, 1, 64, "j", "make|init|issue|show ...",
	  "certificates of a cluster: make DIR CLUSTER NODE... does it all" },
	{ "version", ctl_version, 0, 0, "", "", "versions of this program and the daemon" },
};

static const struct option longs[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "force", no_argument, NULL, 'f' },
	{ "wait", no_argument, NULL, 'w' },
	{ "twin", no_argument, NULL, 'T' },
	{ "alone", no_argument, NULL, 'a' },
	{ "full", no_argument, NULL, 'u' },
	{ "check", no_argument, NULL, 'k' },
	{ "record", required_argument, NULL, 'r' },
	{ "load", required_argument, NULL, 'l' },
	{ "root", required_argument, NULL, 'O' },
	{ "config", required_argument, NULL, 'c' },
	{ "timeout", required_argument, NULL, 't' },
	{ "socket", required_argument, NULL, 's' },
	{ "run-dir", required_argument, NULL, 'R' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

#define N_COMMANDS	(sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *f)
{
	size_t i;

	fputs("Usage: lockstepctl COMMAND [ARGUMENT...] [OPTION...]\n"
	      "Look at the protected guests of this host and handle them.\n\n", f);
	for (i = 0; i < N_COMMANDS; i++)
		fprintf(f, "  %-8s %-12s %s\n", commands[i].name, commands[i].args,
			commands[i].what);
	fputs("\n"
	      "  --json         print JSON (status, events, peers, verify, doctor, keys show)\n"
	      "  --check        status: exit status tells whether every guest is protected\n"
	      "  --record FILE  status: write what was learnt; --load FILE shows it again (also metrics)\n"
	      "  --config FILE  doctor: of lockstepd (default " LOCKSTEPD_CONFIG ")\n"
	      "  --root DIR     doctor: look at a copy of a host's files, below this folder\n"
	      "  --twin         start: only this half, as a twin;  --alone: only this half\n"
	      "  --wait         stop: until it has ended\n"
	      "  --full         verify: read all of memory, not only what was written\n"
	      "  --timeout S    verify, switch, stop --wait: patience in seconds (default 60)\n"
	      "  --socket PATH  of lockstepd (default " CTL_SOCKET ")\n"
	      "  --run-dir DIR  of the VMMs' sockets (default " CTL_RUN_DIR ")\n"
	      "\n"
	      "Exit status: 0 done; 1 failed; 2 wrong usage; 3 daemon, module or VMM is not\n"
	      "there; 4 status --check: not protected; verify: primary and twin differ.\n"
	      "doctor: 0 nothing keeps guests from being protected; 1 something does.\n", f);
}

static const struct command *command_find(const char *name)
{
	size_t i;

	for (i = 0; i < N_COMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	fprintf(stderr, "lockstepctl: no command '%s'; see --help\n", name);
	return NULL;
}

static int timeout_take(const char *text, struct ctl_options *opt)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || end == text || *end || !v || v > TIMEOUT_MAX) {
		fprintf(stderr, "lockstepctl: --timeout takes seconds, 1 to %d\n", TIMEOUT_MAX);
		return -EINVAL;
	}
	opt->timeout = (unsigned int)v;
	return 0;
}

static int option_take(int c, struct ctl_options *opt)
{
	switch (c) {
	case 'j':
		opt->json = true;
		break;
	case 'f':
		opt->force = true;
		break;
	case 'w':
		opt->wait = true;
		break;
	case 'T':
		opt->twin = true;
		break;
	case 'a':
		opt->alone = true;
		break;
	case 'u':
		opt->full = true;
		break;
	case 'k':
		opt->check = true;
		break;
	case 'r':
		opt->record = optarg;
		break;
	case 'l':
		opt->load = optarg;
		break;
	case 'O':
		opt->root = optarg;
		break;
	case 'c':
		opt->config = optarg;
		break;
	case 't':
		return timeout_take(optarg, opt);
	case 's':
		opt->socket = optarg;
		break;
	case 'R':
		opt->run = optarg;
		break;
	case 'h':
		usage(stdout);
		return 1;
	default:
		return -EINVAL;
	}
	return 0;
}

/* Is it an option of this command, or of all? */
static bool option_fits(const struct command *command, int c)
{
	if (strchr("sRh?", c) || strchr(command->options, c))
		return true;
	fprintf(stderr, "lockstepctl: %s does not take that option; see --help\n", command->name);
	return false;
}

int main(int argc, char **argv)
{
	struct ctl_options opt = {
		.socket = CTL_SOCKET, .run = CTL_RUN_DIR, .timeout = TIMEOUT_DEF,
	};
	const struct command *command;
	int c, ret;

	if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		usage(argc < 2 ? stderr : stdout);
		return argc < 2 ? CTL_USAGE : CTL_OK;
	}
	command = command_find(argv[1]);
	if (!command)
		return CTL_USAGE;
	lockstep_log_init("lockstepctl", LOCKSTEP_LOG_WARN, false);
	argc--;
	argv++;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		ret = option_fits(command, c) ? option_take(c, &opt) : -EINVAL;
		if (ret)
			return ret > 0 ? CTL_OK : CTL_USAGE;
	}
	opt.args = argv + optind;
	opt.nargs = argc - optind;
	if (opt.nargs < command->min || opt.nargs > command->max) {
		fprintf(stderr, "usage: lockstepctl %s %s\n", command->name, command->args);
		return CTL_USAGE;
	}
	return command->run(&opt);
}
