// SPDX-License-Identifier: GPL-2.0
/* lockstepctl start, stop, switch, verify. */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/json.h"
#include "kmod/state.h"
#include "lockstepd/netlink.h"

#define START_MS	45000	/* the daemons' own limits are shorter */
#define ASK_MS		5000
#define POLL_MS		50

static void nap(int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&ts, NULL);
}

/* Tell what became of a request; CTL_OK if it went well. */
static int outcome(struct json_object *o)
{
	const char *error = ctl_string(o, "error");

	if (ctl_bool(o, "ok"))
		return CTL_OK;
	fprintf(stderr, "lockstepctl: %s\n", error ? error : "failed");
	return CTL_FAILED;
}

/* --- start ---------------------------------------------------------------- */

int ctl_start(const struct ctl_options *opt)
{
	const char *flags[4], *s;
	struct json_object *o;
	size_t n = 0;
	int ret;

	if (opt->force)
		flags[n++] = "force";
	if (opt->twin)
		flags[n++] = "twin";
	if (opt->alone)
		flags[n++] = "alone";
	flags[n] = NULL;
	ret = ctl_daemon_ask(opt, "start", opt->args[0], flags, START_MS, &o);
	if (ret)
		return ctl_daemon_missing(opt, ret);
	s = ctl_string(o, "here");
	if (s)
		printf("%s: here: %s\n", opt->args[0], s);
	s = ctl_string(o, "there");
	if (s)
		printf("%s: other host: %s\n", opt->args[0], s);
	ret = outcome(o);
	json_object_put(o);
	return ret;
}

/* --- stop ----------------------------------------------------------------- */

/* Is it one that does not run, and can be given up through the daemon? */
static bool is_waiting(struct json_object *g)
{
	const char *state = ctl_string(g, "state");
	struct json_object *stats = ctl_object(g, "stats");

	if (!state)
		return false;
	if (!strcmp(state, "free") || !strcmp(state, "diverged"))
		return true;
	return !strcmp(state, "solo") && !ctl_number(stats, "stops") && !ctl_number(stats, "lsn");
}

static int release(const struct ctl_options *opt)
{
	struct json_object *o;
	int ret = ctl_daemon_ask(opt, "release", opt->args[0], NULL, ASK_MS, &o);

	if (ret)
		return ctl_daemon_missing(opt, ret);
	ret = outcome(o);
	json_object_put(o);
	return ret;
}

static int vmm_tell(const struct ctl_options *opt, const char *command)
{
	struct json_object *o;
	int ret = ctl_vmm_ask(opt, opt->args[0], command, ASK_MS, &o);

	if (ret) {
		fprintf(stderr, "lockstepctl: the VMM of %s can't be asked at %s/%s.vmm: %s\n",
			opt->args[0], opt->run, opt->args[0], strerror(-ret));
		return CTL_NOBODY;
	}
	ret = outcome(o);
	json_object_put(o);
	return ret;
}

static int gone_wait(const struct ctl_options *opt)
{
	uint64_t end = lockstep_clock_ns() + opt->timeout * LOCKSTEP_NSEC_PER_SEC;
	struct ctl_view view;
	bool there;

	for (;;) {
		if (ctl_view_get(opt, &view))
			return CTL_FAILED;
		there = ctl_view_guest(&view, opt->args[0]);
		ctl_view_put(&view);
		if (!there)
			return CTL_OK;
		if (lockstep_clock_ns() >= end) {
			fprintf(stderr, "lockstepctl: %s has not ended within %u s\n", opt->args[0],
				opt->timeout);
			return CTL_FAILED;
		}
		nap(4 * POLL_MS);
	}
}

int ctl_stop(const struct ctl_options *opt)
{
	struct json_object *g;
	struct ctl_view view;
	bool waiting;
	int ret;

	if (ctl_view_get(opt, &view))
		return CTL_FAILED;
	g = ctl_view_guest(&view, opt->args[0]);
	if (!g && (view.module || view.daemon)) {
		fprintf(stderr, "lockstepctl: no guest %s on this host\n", opt->args[0]);
		ctl_view_put(&view);
		return CTL_FAILED;
	}
	waiting = g && is_waiting(g);
	ctl_view_put(&view);
	if (opt->force)
		ret = vmm_tell(opt, "quit");
	else
		ret = waiting ? release(opt) : vmm_tell(opt, "poweroff");
	return ret || !opt->wait ? ret : gone_wait(opt);
}

/* --- switch --------------------------------------------------------------- */

/* What the daemon says of the instance that hands over; false: it goes on doing so. */
static bool switch_ended(const struct ctl_options *opt, struct json_object *g,
			 const char *instance, const char *to, int *status)
{
	const char *now = ctl_string(g, "instance"), *state = ctl_string(g, "state");

	*status = CTL_OK;
	if (!state || !now || strcmp(now, instance) || !strcmp(state, "halted")) {
		printf("%s: lives on %s now, without a backup until it is powered off and started as a pair\n",
		       opt->args[0], to);
		return true;
	}
	*status = CTL_FAILED;
	if (!strcmp(state, "protected-primary")) {
		fprintf(stderr, "lockstepctl: %s goes on here: %s\n", opt->args[0],
			ctl_string(g, "note") ? ctl_string(g, "note") : state);
		return true;
	}
	if (!strcmp(state, "solo")) {
		fprintf(stderr, "lockstepctl: %s did not take over: %s goes on here, without a backup\n",
			to, opt->args[0]);
		return true;
	}
	return false;
}

static int switch_wait(const struct ctl_options *opt, const char *instance, const char *to)
{
	uint64_t end = lockstep_clock_ns() + opt->timeout * LOCKSTEP_NSEC_PER_SEC;
	struct ctl_view view;
	bool ended;
	int ret;

	do {
		nap(POLL_MS);
		if (ctl_view_get(opt, &view))
			return CTL_FAILED;
		ended = switch_ended(opt, ctl_view_guest(&view, opt->args[0]), instance, to, &ret);
		ctl_view_put(&view);
		if (ended)
			return ret;
	} while (lockstep_clock_ns() < end);
	fprintf(stderr, "lockstepctl: nothing has come of it within %u s: see lockstepctl status\n",
		opt->timeout);
	return CTL_FAILED;
}

int ctl_switch(const struct ctl_options *opt)
{
	const char *instance, *to;
	struct json_object *o;
	int ret = ctl_daemon_ask(opt, "switch", opt->args[0], NULL, ASK_MS, &o);

	if (ret)
		return ctl_daemon_missing(opt, ret);
	ret = outcome(o);
	instance = ctl_string(o, "instance");
	to = ctl_string(o, "to");
	if (ret == CTL_OK && instance && to)
		ret = switch_wait(opt, instance, to);
	json_object_put(o);
	return ret;
}

/* --- verify --------------------------------------------------------------- */

enum verdict { VERDICT_SAME, VERDICT_DIFFERS, VERDICT_UNKNOWN, VERDICT_ALONE };

/*
 * The digests are in the log by now: the twin compares its own when it comes to
 * them, and leaves the pair if they differ.
 */
static enum verdict twin_wait(struct lockstep_netlink *nl, const struct ctl_options *opt)
{
	uint64_t end = lockstep_clock_ns() + opt->timeout * LOCKSTEP_NSEC_PER_SEC, lsn;
	struct lockstep_guest_info info;

	if (lockstep_netlink_get(nl, 0, opt->args[0], &info))
		return VERDICT_UNKNOWN;
	if (info.state != LOCKSTEP_STATE_PROTECTED_P && info.state != LOCKSTEP_STATE_SUSPECT_P)
		return VERDICT_ALONE;
	lsn = info.stats[LOCKSTEP_S_LSN];
	do {
		if (lockstep_netlink_get(nl, 0, opt->args[0], &info))
			return VERDICT_UNKNOWN;
		if (info.state != LOCKSTEP_STATE_PROTECTED_P &&
		    info.state != LOCKSTEP_STATE_SUSPECT_P)
			return VERDICT_DIFFERS;
		if (info.stats[LOCKSTEP_S_EXECUTED] >= lsn)
			return VERDICT_SAME;
		nap(POLL_MS);
	} while (lockstep_clock_ns() < end);
	return VERDICT_UNKNOWN;
}

static int verify_report(const struct ctl_options *opt, struct json_object *o, enum verdict v)
{
	static const struct {
		const char *word;
		const char *text;
		int status;
	} results[] = {
		[VERDICT_SAME] = { "identical", "primary and twin are identical", CTL_OK },
		[VERDICT_DIFFERS] = { "differs", "the twin left the pair: see its status for what differs",
				      CTL_NOT_SO },
		[VERDICT_UNKNOWN] = { "unknown", "the twin has not come to it in time", CTL_FAILED },
		[VERDICT_ALONE] = { "unprotected", "the guest has no twin to compare with", CTL_NOT_SO },
	};
	static const char *const names[] = { "vcpu", "memory", "devices", "disks" };
	size_t i;

	if (opt->json) {
		lockstep_json_add_str(o, "result", results[v].word);
		lockstep_json_print(o);
		return results[v].status;
	}
	printf("%s: %s (stop %llu)\n", opt->args[0], results[v].text,
	       (unsigned long long)ctl_number(o, "stops"));
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (ctl_string(o, names[i]))
			printf("  %-8s %s\n", names[i], ctl_string(o, names[i]));
	return results[v].status;
}

int ctl_verify(const struct ctl_options *opt)
{
	struct lockstep_netlink *nl;
	struct json_object *o;
	int ret;

	ret = lockstep_netlink_create(NULL, NULL, &nl);
	if (ret) {
		fprintf(stderr, "lockstepctl: module: %s%s\n", strerror(-ret),
			ret == -ENOENT ? " (modprobe lockstep)" : "");
		return CTL_NOBODY;
	}
	ret = ctl_vmm_ask(opt, opt->args[0], opt->full ? "verify full" : "verify",
			  (int)opt->timeout * 1000, &o);
	if (ret) {
		fprintf(stderr, "lockstepctl: the VMM of %s can't be asked at %s/%s.vmm: %s\n",
			opt->args[0], opt->run, opt->args[0], strerror(-ret));
		lockstep_netlink_destroy(nl);
		return CTL_NOBODY;
	}
	ret = outcome(o);
	if (ret == CTL_OK)
		ret = verify_report(opt, o, twin_wait(nl, opt));
	json_object_put(o);
	lockstep_netlink_destroy(nl);
	return ret;
}
