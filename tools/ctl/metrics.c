// SPDX-License-Identifier: GPL-2.0
/*
 * lockstepctl metrics: what daemon and module know, in Prometheus' text format, 0.0.4
 *
 * For node_exporter's textfile collector, or any other that runs a command: a daemon
 * with a real-time priority and the keys of the cluster does not listen for strangers.
 */
#include "ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PREFIX	"lockstep_"

/**
 * struct metric - one of a guest's statistics
 * @stat: as lockstepd calls it
 * @name: as Prometheus calls it, without the prefix
 * @type: counter or gauge
 * @per: what it is divided by: nanoseconds become seconds
 * @help: what it is
 */
static const struct metric {
	const char *stat;
	const char *name;
	const char *type;
	double per;
	const char *help;
} metrics[] = {
	{ "lsn", "guest_log_bytes_total", "counter", 1, "Bytes of log made." },
	{ "acked", "guest_acked_bytes_total", "counter", 1, "Bytes of log the backup holds." },
	{ "executed", "guest_executed_bytes_total", "counter", 1, "Bytes of log the twin has executed." },
	{ "records", "guest_records_total", "counter", 1, "Records logged, or consumed." },
	{ "tsc", "guest_clock_reads_total", "counter", 1, "Clock reads by RDTSC." },
	{ "inputs", "guest_inputs_total", "counter", 1, "Inputs given to the guest." },
	{ "outputs", "guest_outputs_total", "counter", 1, "Outputs the guest made." },
	{ "held", "guest_held_frames", "gauge", 1, "Frames that wait for the backup's acknowledgment." },
	{ "released", "guest_released_frames_total", "counter", 1, "Frames let out." },
	{ "log_full", "guest_log_full_total", "counter", 1, "Waits for room in the log." },
	{ "lag_bytes", "guest_lag_bytes", "gauge", 1, "Log that the twin has not executed." },
	{ "lag_ns", "guest_lag_seconds", "gauge", 1e9, "How far the twin is behind." },
	{ "throttle_ns", "guest_throttle_seconds_total", "counter", 1e9, "Time the primary was slowed for its twin." },
	{ "forced", "guest_forced_positions_total", "counter", 1, "Stops made for an input that had waited." },
	{ "divergences", "guest_divergences_total", "counter", 1, "Divergences found." },
};

/* Bounds of the histogram: each is a bound of kmod/histogram.h, too. */
#define HOLD_FIRST_NS	(1ULL << 14)
#define HOLD_LAST_NS	(1ULL << 33)

#define N_METRICS	(sizeof(metrics) / sizeof(metrics[0]))

static void head(const char *name, const char *type, const char *help)
{
	printf("# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help, name, type);
}

/* Names of guests, nodes and states have no character that would have to be escaped. */
static void sample(const char *name, const char *label, const char *value, double v)
{
	if (label)
		printf(PREFIX "%s{%s=\"%s\"} %.15g\n", name, label, value, v);
	else
		printf(PREFIX "%s %.15g\n", name, v);
}

static const char *name_of(struct json_object *o, const char *key)
{
	const char *s = ctl_string(o, key);

	return s ? s : "";
}

static void daemon_print(const struct ctl_view *view)
{
	struct json_object *arbiter = ctl_object(ctl_object(view->daemon, "status"), "arbiter");

	head("daemon_up", "gauge", "1 if lockstepd answers.");
	sample("daemon_up", NULL, NULL, view->daemon != NULL);
	head("module_up", "gauge", "1 if the kernel module is loaded.");
	sample("module_up", NULL, NULL, view->module != NULL);
	if (!view->daemon)
		return;
	head("arbiter_reachable", "gauge", "1 if a failover could be decided.");
	sample("arbiter_reachable", NULL, NULL,
	       ctl_bool(arbiter, "reachable") && !ctl_string(arbiter, "rejected"));
	head("arbiter_rtt_seconds", "gauge", "Round trip to the arbiter.");
	sample("arbiter_rtt_seconds", NULL, NULL, (double)ctl_number(arbiter, "rtt_us") / 1e6);
}

static void peers_print(const struct ctl_view *view)
{
	struct json_object *peers = ctl_object(ctl_object(view->daemon, "transport"), "peers"), *p;
	size_t n = peers ? json_object_array_length(peers) : 0, i;

	if (!n)
		return;
	head("peer_up", "gauge", "1 if the log's connection to a peer is up.");
	for (i = 0; i < n; i++) {
		p = json_object_array_get_idx(peers, i);
		sample("peer_up", "peer", name_of(p, "node"), ctl_bool(ctl_object(p, "log"), "up"));
	}
	head("peer_rtt_seconds", "gauge", "Round trip to a peer.");
	for (i = 0; i < n; i++) {
		p = json_object_array_get_idx(peers, i);
		sample("peer_rtt_seconds", "peer", name_of(p, "node"),
		       (double)ctl_number(p, "rtt_ns") / 1e9);
	}
}

/* Frames held for less than @ns, or all. */
static uint64_t held_below(struct json_object *slots, uint64_t ns)
{
	size_t n = slots ? json_object_array_length(slots) : 0, i;
	uint64_t sum = 0;

	for (i = 0; i < n; i++) {
		struct json_object *slot = json_object_array_get_idx(slots, i);

		if ((uint64_t)ctl_number(slot, "below_ns") <= ns)
			sum += (uint64_t)ctl_number(slot, "frames");
	}
	return sum;
}

/* How long frames were held: what protection adds to the latency of an output. */
static void hold_print(struct json_object *g)
{
	struct json_object *slots = ctl_object(g, "hold");
	const char *guest = name_of(g, "name");
	uint64_t all = held_below(slots, UINT64_MAX), ns;

	for (ns = HOLD_FIRST_NS; ns <= HOLD_LAST_NS; ns *= 2)
		printf(PREFIX "guest_hold_seconds_bucket{guest=\"%s\",le=\"%.12g\"} %" PRIu64 "\n",
		       guest, (double)ns / 1e9, held_below(slots, ns));
	printf(PREFIX "guest_hold_seconds_bucket{guest=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", guest, all);
	sample("guest_hold_seconds_sum", "guest", guest,
	       (double)ctl_number(ctl_object(g, "stats"), "hold_ns") / 1e9);
	sample("guest_hold_seconds_count", "guest", guest, (double)all);
}

static void guests_print(struct json_object *guests)
{
	size_t n = json_object_array_length(guests), i, m;
	struct json_object *g;
	const char *state;

	if (!n)
		return;
	head("guest_info", "gauge", "Always 1: where a guest stands, in its labels.");
	for (i = 0; i < n; i++) {
		g = json_object_array_get_idx(guests, i);
		printf(PREFIX "guest_info{guest=\"%s\",role=\"%s\",state=\"%s\"} 1\n",
		       name_of(g, "name"), name_of(g, "role"), name_of(g, "state"));
	}
	head("guest_protected", "gauge", "1 while the guest has a primary and a backup.");
	for (i = 0; i < n; i++) {
		g = json_object_array_get_idx(guests, i);
		state = name_of(g, "state");
		sample("guest_protected", "guest", name_of(g, "name"), !strncmp(state, "protected-", 10));
	}
	head("guest_generation", "gauge", "Generation: 1 more with each failover.");
	for (i = 0; i < n; i++) {
		g = json_object_array_get_idx(guests, i);
		sample("guest_generation", "guest", name_of(g, "name"),
		       (double)ctl_number(g, "generation"));
	}
	for (m = 0; m < N_METRICS; m++) {
		head(metrics[m].name, metrics[m].type, metrics[m].help);
		for (i = 0; i < n; i++) {
			g = json_object_array_get_idx(guests, i);
			sample(metrics[m].name, "guest", name_of(g, "name"),
			       (double)ctl_number(ctl_object(g, "stats"), metrics[m].stat) / metrics[m].per);
		}
	}
	head("guest_hold_seconds", "histogram", "Time that frames were held for the backup.");
	for (i = 0; i < n; i++)
		hold_print(json_object_array_get_idx(guests, i));
}

int ctl_metrics(const struct ctl_options *opt)
{
	struct ctl_view view;
	int ret;

	if (ctl_view_get(opt, &view))
		return CTL_FAILED;
	daemon_print(&view);
	peers_print(&view);
	guests_print(view.guests);
	/* that neither is there is a measurement, too */
	ret = fflush(stdout) || ferror(stdout) ? CTL_FAILED : CTL_OK;
	ctl_view_put(&view);
	return ret;
}
