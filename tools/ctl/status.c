// SPDX-License-Identifier: GPL-2.0
/* lockstepctl status, peers, version. */
#include "ctl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "common/text.h"

#define CELL_MAX	32

/* --- cells ---------------------------------------------------------------- */

static bool is_protected(struct json_object *g)
{
	const char *s = ctl_string(g, "state");

	return s && !strncmp(s, "protected-", 10);
}

static bool is_primary(struct json_object *g)
{
	const char *s = ctl_string(g, "role");

	return s && !strcmp(s, "primary");
}

static void lag_text(struct json_object *g, char *out)
{
	struct json_object *stats = ctl_object(g, "stats");
	char bytes[CELL_MAX];

	if (!is_protected(g)) {
		snprintf(out, CELL_MAX, "-");
		return;
	}
	lockstep_text_bytes(ctl_number(stats, "lag_bytes"), bytes, sizeof(bytes));
	if (is_primary(g))
		snprintf(out, CELL_MAX, "%llu ms %.12s",
			 (unsigned long long)(ctl_number(stats, "lag_ns") / 1000000), bytes);
	else
		snprintf(out, CELL_MAX, "%.20s", bytes);
}

static void rate_text(struct json_object *g, char *out)
{
	if (!is_protected(g) || !ctl_object(g, "log_bps"))
		snprintf(out, CELL_MAX, "-");
	else
		snprintf(out, CELL_MAX, "%.2f", (double)ctl_number(g, "log_bps") / 1e6);
}

static void peer_text(struct json_object *g, char *out)
{
	const char *node = ctl_string(g, "peer_node"), *peer = ctl_string(g, "peer");
	const char *state = ctl_string(g, "state");

	/* the module still knows who it was */
	if (state && !strcmp(state, "solo"))
		peer = NULL;
	if (node)
		snprintf(out, CELL_MAX, "%.31s", node);
	else if (peer)
		snprintf(out, CELL_MAX, "%.8s", peer);
	else
		snprintf(out, CELL_MAX, "-");
}

static const char *daemon_text(struct json_object *g)
{
	if (!ctl_bool(g, "bound"))
		return "none";
	if (!ctl_object(g, "foreign"))
		return "bound";
	return ctl_bool(g, "foreign") ? "other" : "ours";
}

/* --- table ---------------------------------------------------------------- */

#define COLUMNS	10

static const char *const heads[COLUMNS] = {
	"NAME", "ROLE", "STATE", "GEN", "PEER", "LAG", "LOG MB/S", "HELD", "DIVERGED", "DAEMON",
};

static void row_make(struct json_object *g, char cells[COLUMNS][CELL_MAX])
{
	struct json_object *stats = ctl_object(g, "stats");
	const char *s;

	s = ctl_string(g, "name");
	snprintf(cells[0], CELL_MAX, "%s", s ? s : "?");
	s = ctl_string(g, "role");
	snprintf(cells[1], CELL_MAX, "%s", s ? s : "?");
	s = ctl_string(g, "state");
	snprintf(cells[2], CELL_MAX, "%s", s ? s : "?");
	snprintf(cells[3], CELL_MAX, "%llu", (unsigned long long)ctl_number(g, "generation"));
	peer_text(g, cells[4]);
	lag_text(g, cells[5]);
	rate_text(g, cells[6]);
	snprintf(cells[7], CELL_MAX, "%llu", (unsigned long long)ctl_number(stats, "held"));
	snprintf(cells[8], CELL_MAX, "%llu",
		 (unsigned long long)ctl_number(stats, "divergences"));
	snprintf(cells[9], CELL_MAX, "%s", daemon_text(g));
}

static void widen(size_t *widths, char cells[COLUMNS][CELL_MAX])
{
	size_t i;

	for (i = 0; i < COLUMNS; i++)
		if (strlen(cells[i]) > widths[i])
			widths[i] = strlen(cells[i]);
}

static void row_print(const size_t *widths, char cells[COLUMNS][CELL_MAX])
{
	size_t i;

	for (i = 0; i + 1 < COLUMNS; i++)
		printf("%-*s  ", (int)widths[i], cells[i]);
	printf("%s\n", cells[COLUMNS - 1]);
}

/* The guests asked for, or all. */
static bool wanted(const struct ctl_options *opt, struct json_object *g)
{
	const char *name = ctl_string(g, "name");

	return !opt->nargs || (name && !strcmp(name, opt->args[0]));
}

static void table_print(const struct ctl_options *opt, const struct ctl_view *view)
{
	size_t n = json_object_array_length(view->guests), i, widths[COLUMNS];
	char cells[COLUMNS][CELL_MAX];

	for (i = 0; i < COLUMNS; i++)
		widths[i] = strlen(heads[i]);
	for (i = 0; i < n; i++) {
		row_make(json_object_array_get_idx(view->guests, i), cells);
		if (wanted(opt, json_object_array_get_idx(view->guests, i)))
			widen(widths, cells);
	}
	for (i = 0; i < COLUMNS; i++)
		snprintf(cells[i], CELL_MAX, "%s", heads[i]);
	row_print(widths, cells);
	for (i = 0; i < n; i++) {
		struct json_object *g = json_object_array_get_idx(view->guests, i);

		if (!wanted(opt, g))
			continue;
		row_make(g, cells);
		row_print(widths, cells);
	}
}

static void divergence_print(struct json_object *g)
{
	struct json_object *d = ctl_object(g, "divergence");

	if (d)
		printf("%s: differs (%s) at count %llu, rip %s: expected %s, found %s\n",
		       ctl_string(g, "name"), ctl_string(d, "reason"),
		       (unsigned long long)ctl_number(d, "count"), ctl_string(d, "rip"),
		       ctl_string(d, "expected"), ctl_string(d, "found"));
}

static void notes_print(const struct ctl_options *opt, const struct ctl_view *view)
{
	size_t n = json_object_array_length(view->guests), i;

	for (i = 0; i < n; i++) {
		struct json_object *g = json_object_array_get_idx(view->guests, i);
		const char *note = ctl_string(g, "note");

		if (!wanted(opt, g))
			continue;
		if (note && !is_protected(g))
			printf("%s: %s\n", ctl_string(g, "name"), note);
		divergence_print(g);
	}
}

static void arbiter_print(struct json_object *arbiter)
{
	const char *node = ctl_string(arbiter, "node"), *rejected = ctl_string(arbiter, "rejected");

	if (!ctl_bool(arbiter, "configured"))
		printf("arbiter: none configured: no guest can be protected\n");
	else if (rejected)
		printf("arbiter: %s, not usable: %s\n", node ? node : "?", rejected);
	else if (ctl_bool(arbiter, "reachable"))
		printf("arbiter: %s, reachable, %.1f ms\n", node ? node : "?",
		       (double)ctl_number(arbiter, "rtt_us") / 1000);
	else
		printf("arbiter: %s, NOT REACHABLE: no failover can be decided\n",
		       node ? node : "?");
}

static void peers_print(struct json_object *transport)
{
	struct json_object *peers = ctl_object(transport, "peers");
	size_t n = peers ? json_object_array_length(peers) : 0, i;

	for (i = 0; i < n; i++) {
		struct json_object *p = json_object_array_get_idx(peers, i);
		struct json_object *log = ctl_object(p, "log");

		if (ctl_bool(log, "up"))
			printf("peer %s: connected, round trip %.1f ms, heard %llu ms ago\n",
			       ctl_string(p, "node"), (double)ctl_number(p, "rtt_ns") / 1e6,
			       (unsigned long long)(ctl_number(p, "silent_ns") / 1000000));
		else
			printf("peer %s: NOT CONNECTED\n", ctl_string(p, "node"));
	}
}

static void footer_print(const struct ctl_view *view)
{
	struct json_object *status = ctl_object(view->daemon, "status");

	printf("\n");
	if (!view->module)
		printf("module: %s\n", view->module_error);
	if (!view->daemon) {
		printf("daemon: %s\n", view->daemon_error);
		return;
	}
	printf("daemon: node %s of cluster %s\n", ctl_string(status, "node"),
	       ctl_string(view->daemon, "cluster"));
	arbiter_print(ctl_object(status, "arbiter"));
	peers_print(ctl_object(view->daemon, "transport"));
}

/* --- JSON ----------------------------------------------------------------- */

static void json_print(const struct ctl_options *opt, const struct ctl_view *view)
{
	struct json_object *o = json_object_new_object(), *guests = json_object_new_array();
	struct json_object *status = ctl_object(view->daemon, "status");
	size_t n = json_object_array_length(view->guests), i;

	for (i = 0; i < n; i++) {
		struct json_object *g = json_object_array_get_idx(view->guests, i);

		if (wanted(opt, g))
			json_object_array_add(guests, json_object_get(g));
	}
	json_object_object_add(o, "guests", guests);
	lockstep_json_add_bool(o, "daemon", view->daemon);
	if (!view->daemon)
		lockstep_json_add_str(o, "daemon_error", view->daemon_error);
	lockstep_json_add_bool(o, "module", view->module);
	if (!view->module)
		lockstep_json_add_str(o, "module_error", view->module_error);
	lockstep_json_add_str(o, "node", ctl_string(status, "node"));
	lockstep_json_add_str(o, "cluster", ctl_string(view->daemon, "cluster"));
	json_object_object_add(o, "arbiter", json_object_get(ctl_object(status, "arbiter")));
	json_object_object_add(o, "peers", json_object_get(
		ctl_object(ctl_object(view->daemon, "transport"), "peers")));
	lockstep_json_print(o);
	json_object_put(o);
}

/* --- commands ------------------------------------------------------------- */

static int check(const struct ctl_options *opt, const struct ctl_view *view)
{
	size_t n = json_object_array_length(view->guests), i;

	for (i = 0; i < n; i++) {
		struct json_object *g = json_object_array_get_idx(view->guests, i);

		if (wanted(opt, g) && !is_protected(g))
			return CTL_NOT_SO;
	}
	if (!view->daemon ||
	    !ctl_bool(ctl_object(ctl_object(view->daemon, "status"), "arbiter"), "reachable"))
		return CTL_NOT_SO;
	return CTL_OK;
}

int ctl_status(const struct ctl_options *opt)
{
	struct ctl_view view;
	int ret;

	if (ctl_view_get(opt, &view))
		return CTL_FAILED;
	ret = CTL_OK;
	if (opt->nargs && (view.module || view.daemon) && !ctl_view_guest(&view, opt->args[0])) {
		fprintf(stderr, "lockstepctl: no guest %s on this host\n", opt->args[0]);
		ret = CTL_FAILED;
	} else if (opt->json) {
		json_print(opt, &view);
	} else {
		if (json_object_array_length(view.guests)) {
			table_print(opt, &view);
			notes_print(opt, &view);
		} else if (view.module || view.daemon) {
			printf("no guests on this host\n");
		}
		footer_print(&view);
	}
	if (ret == CTL_OK && !view.module && !view.daemon)
		ret = CTL_NOBODY;
	else if (ret == CTL_OK && opt->check)
		ret = check(opt, &view);
	ctl_view_put(&view);
	return ret;
}

static int daemon_reply(const struct ctl_options *opt, const char *command,
			struct json_object **o)
{
	int ret = ctl_daemon_ask(opt, command, NULL, NULL, 3000, o);

	return ret ? ctl_daemon_missing(opt, ret) : CTL_OK;
}

int ctl_peers(const struct ctl_options *opt)
{
	struct json_object *o, *peers;
	int ret = daemon_reply(opt, "status", &o);

	if (ret)
		return ret;
	peers = ctl_object(ctl_object(o, "transport"), "peers");
	if (opt->json)
		lockstep_json_print(peers);
	else if (!peers || !json_object_array_length(peers))
		printf("no peers are configured\n");
	else
		peers_print(ctl_object(o, "transport"));
	json_object_put(o);
	return CTL_OK;
}

int ctl_version(const struct ctl_options *opt)
{
	struct json_object *o;

	printf("lockstepctl %s\n", CTL_VERSION);
	if (ctl_daemon_ask(opt, "version", NULL, NULL, 1000, &o))
		return CTL_OK;
	printf("lockstepd %s, module ABI %llu, protocol %llu\n", ctl_string(o, "version"),
	       (unsigned long long)ctl_number(o, "abi"),
	       (unsigned long long)ctl_number(o, "protocol"));
	json_object_put(o);
	return CTL_OK;
}
