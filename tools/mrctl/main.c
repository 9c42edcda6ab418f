// SPDX-License-Identifier: GPL-2.0
/* mrctl: run MapReduce jobs and look at them. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "mrctl.h"

static const struct mrctl_command *const tables[] = {
	mrctl_run_commands,
	mrctl_streaming_commands,
	mrctl_debug_commands,
	mrctl_history_commands,
	mrctl_submit_commands,
	mrctl_cluster_commands,
	mrctl_worker_commands,
};

#define N_TABLES	(sizeof(tables) / sizeof(tables[0]))

int mrctl_fail(int status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("mrctl: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	return status;
}

static void usage(FILE *f)
{
	const struct mrctl_command *c;
	size_t i;

	fputs("Usage: mrctl COMMAND [OPTION...] [ARGUMENT...]\n"
	      "Run MapReduce jobs and look at them. mrctl COMMAND --help says more.\n\n", f);
	for (i = 0; i < N_TABLES; i++)
		for (c = tables[i]; c->name; c++)
			if (c->what)
				fprintf(f, "  %-10s %-26s %s\n", c->name, c->args, c->what);
	fputs("\n"
	      "Exit status: 0 done; 1 failed; 2 wrong usage, or an application that can't be\n"
	      "loaded; 3 who is asked is not there; 4 the job was killed; 5 timed out.\n", f);
}

int main(int argc, char **argv)
{
	const struct mrctl_command *c;
	size_t i;

	if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		usage(argc < 2 ? stderr : stdout);
		return argc < 2 ? MRCTL_USAGE : MRCTL_OK;
	}
	lockstep_log_init("mrctl", LOCKSTEP_LOG_WARN, false);
	for (i = 0; i < N_TABLES; i++)
		for (c = tables[i]; c->name; c++)
			if (!strcmp(c->name, argv[1]))
				return c->run(argc - 1, argv + 1);
	return mrctl_fail(MRCTL_USAGE, "no command '%s'; see mrctl --help", argv[1]);
}
