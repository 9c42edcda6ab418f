/* SPDX-License-Identifier: GPL-2.0 */
/* What the subcommands of lockstepctl share. */
#ifndef LOCKSTEP_CTL_H
#define LOCKSTEP_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#define CTL_SOCKET	"/run/lockstep/lockstepd.sock"
#define CTL_RUN_DIR	"/run/lockstep"
#define CTL_VERSION	"1.0"

/* Exit status; lockstepctl(8) documents it. */
enum ctl_exit {
	CTL_OK = 0,
	CTL_FAILED = 1,
	CTL_USAGE = 2,
	CTL_NOBODY = 3,		/* daemon, module or VMM is not there */
	CTL_NOT_SO = 4,		/* --check: not protected; verify: they differ */
};

/**
 * struct ctl_options - the command line
 * @socket: of lockstepd
 * @run: folder of the VMMs' control sockets
 * @json: print JSON
 * @force: start, stop
 * @wait: stop
 * @twin: start: this half only, as a twin
 * @alone: start: this half only
 * @full: verify: read all of memory
 * @check: status: exit status tells whether all is well
 * @record: status: write what was learnt to this file
 * @load: status, metrics: show such a file; doctor: take lockstepd's answer from it
 * @root: doctor: in front of every path
 * @config: doctor: lockstepd.conf, or NULL
 * @timeout: seconds that verify, switch and stop --wait wait
 * @args: what is no option
 * @nargs: how many
 */
struct ctl_options {
	const char *socket;
	const char *run;
	bool json;
	bool force;
	bool wait;
	bool twin;
	bool alone;
	bool full;
	bool check;
	const char *record;
	const char *load;
	const char *root;
	const char *config;
	unsigned int timeout;
	char **args;
	int nargs;
};

int ctl_status(const struct ctl_options *opt);
int ctl_start(const struct ctl_options *opt);
int ctl_stop(const struct ctl_options *opt);
int ctl_switch(const struct ctl_options *opt);
int ctl_verify(const struct ctl_options *opt);
int ctl_metrics(const struct ctl_options *opt);
int ctl_events(const struct ctl_options *opt);
int ctl_peers(const struct ctl_options *opt);
int ctl_keys(const struct ctl_options *opt);
int ctl_doctor(const struct ctl_options *opt);
int ctl_version(const struct ctl_options *opt);

/* --- fields of JSON; a missing one is NULL, 0 or false -------------------- */

struct json_object *ctl_object(struct json_object *o, const char *key);
const char *ctl_string(struct json_object *o, const char *key);
uint64_t ctl_number(struct json_object *o, const char *key);
bool ctl_bool(struct json_object *o, const char *key);

/* --- line.c: a line of text asked, a line of JSON answered ---------------- */

struct ctl_line;

/**
 * ctl_line_open() - connect to a Unix socket
 * @path: socket
 * @out: receives the connection
 *
 * Return: 0 or -errno.
 */
int ctl_line_open(const char *path, struct ctl_line **out);
void ctl_line_close(struct ctl_line *line);
/** ctl_line_send() - one line, without its newline; 0 or -errno */
int ctl_line_send(struct ctl_line *line, const char *text);
/**
 * ctl_line_read() - the next line
 * @line: connection
 * @ms: patience, -1: for ever
 * @out: receives an object for the caller to put
 *
 * Return: 0; -ETIMEDOUT; -EPIPE at the end; -EBADMSG: no JSON; -errno.
 */
int ctl_line_read(struct ctl_line *line, int ms, struct json_object **out);

/**
 * ctl_daemon_ask() - one request to lockstepd, and its answer
 * @opt: for its socket
 * @command: name
 * @guest: "guest" of the request, or NULL
 * @flags: names set to true, ended by NULL; may be NULL
 * @ms: patience
 * @out: receives the answer, which may say that it failed
 *
 * Return: 0 or -errno: there is no answer.
 */
int ctl_daemon_ask(const struct ctl_options *opt, const char *command, const char *guest,
		   const char *const *flags, int ms, struct json_object **out);

/** ctl_daemon_missing() - say that lockstepd can't be asked, and why; CTL_NOBODY */
int ctl_daemon_missing(const struct ctl_options *opt, int error);

/** ctl_vmm_ask() - one command to a guest's VMM; as ctl_daemon_ask() */
int ctl_vmm_ask(const struct ctl_options *opt, const char *guest, const char *command, int ms,
		struct json_object **out);

/* --- view.c: what daemon and module know, put together -------------------- */

/**
 * struct ctl_view - what could be learnt
 * @daemon: lockstepd's answer to "status", or NULL
 * @daemon_error: why there is none
 * @module: array of the module's messages, as hexadecimal text, or NULL
 * @module_error: why there is none
 * @guests: array of guests: the daemon's view, or the module's alone
 */
struct ctl_view {
	struct json_object *daemon;
	char daemon_error[160];
	struct json_object *module;
	char module_error[160];
	struct json_object *guests;
};

/** ctl_view_get() - ask daemon and module, or load a recorded answer; 0 or -errno, told */
int ctl_view_get(const struct ctl_options *opt, struct ctl_view *view);
void ctl_view_put(struct ctl_view *view);
/** ctl_view_guest() - a guest by name, borrowed; NULL: there is none */
struct json_object *ctl_view_guest(const struct ctl_view *view, const char *name);

#endif
