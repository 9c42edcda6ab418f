/* SPDX-License-Identifier: GPL-2.0 */
/* What the subcommands of mrctl share. */
#ifndef LOCKSTEP_MRCTL_H
#define LOCKSTEP_MRCTL_H

/* Exit status; mrctl(1) documents it. */
enum mrctl_exit {
	MRCTL_OK	= 0,
	MRCTL_FAILED	= 1,	/* the job failed, or the request did */
	MRCTL_USAGE	= 2,	/* wrong usage, or an application that can't be loaded */
	MRCTL_NOBODY	= 3,	/* who is asked is not there */
	MRCTL_KILLED	= 4,	/* the job was killed */
	MRCTL_TIMEOUT	= 5,	/* it took longer than was to be waited for */
};

/**
 * struct mrctl_command - a subcommand
 * @name: as typed; the table ends with NULL
 * @run: what does it; argv[0] is the name. Returns the exit status
 * @args: its arguments, for the overview
 * @what: what it does; NULL: not in the overview
 *
 * Each file of commands ends with its table, which main.c lists.
 */
struct mrctl_command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *args;
	const char *what;
};

extern const struct mrctl_command mrctl_run_commands[];		/* run.c */
extern const struct mrctl_command mrctl_streaming_commands[];	/* streaming.c */
extern const struct mrctl_command mrctl_debug_commands[];		/* debug.c */
extern const struct mrctl_command mrctl_history_commands[];	/* history.c */
extern const struct mrctl_command mrctl_submit_commands[];	/* submit.c */
extern const struct mrctl_command mrctl_cluster_commands[];	/* cluster.c */
extern const struct mrctl_command mrctl_worker_commands[];	/* worker.c */

/* A line to standard error, "mrctl: " before it. Returns @status. */
int mrctl_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
