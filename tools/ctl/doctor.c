// SPDX-License-Identifier: GPL-2.0
/*
 * lockstepctl doctor: what on this host would keep guests from being protected.
 *
 * Everything is read as the host shows it, below a root that tests choose. Nothing
 * is changed, and nothing is opened that would notice.
 */
#include "doctor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/json.h"

#define ASK_MS		3000
#define CHECK_WIDTH	13	/* of the longest name of a check */
#define RESULT_WIDTH	7

static const char *const results[CTL_RESULT_COUNT] = {
	[CTL_RESULT_OK] = "ok",
	[CTL_RESULT_WARNING] = "warning",
	[CTL_RESULT_FAILURE] = "failure",
	[CTL_RESULT_UNKNOWN] = "unknown",
};

void ctl_doctor_add(struct ctl_doctor *d, const char *check, enum ctl_result result,
		    const char *remedy, const char *fmt, ...)
{
	struct json_object *o = json_object_new_object();
	char text[1024];
	va_list ap;

	d->counts[result]++;
	if (!o)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	lockstep_json_add_str(o, "check", check);
	lockstep_json_add_str(o, "result", results[result]);
	lockstep_json_add_str(o, "text", text);
	lockstep_json_add_str(o, "remedy", remedy);
	json_object_array_add(d->findings, o);
}

void ctl_doctor_path(const struct ctl_doctor *d, char *out, const char *fmt, ...)
{
	size_t n = strnlen(d->root, PATH_MAX - 1);
	va_list ap;

	memcpy(out, d->root, n);
	va_start(ap, fmt);
	vsnprintf(out + n, PATH_MAX - n, fmt, ap);
	va_end(ap);
}

int ctl_doctor_line(const struct ctl_doctor *d, const char *path, char *out, size_t size)
{
	char where[PATH_MAX];
	int ret = 0;
	FILE *f;

	ctl_doctor_path(d, where, "%s", path);
	f = fopen(where, "re");
	if (!f)
		return -errno;
	errno = 0;
	if (fgets(out, (int)size, f))
		out[strcspn(out, "\n")] = '\0';
	else
		ret = errno ? -errno : -ENODATA;
	fclose(f);
	return ret;
}

bool ctl_doctor_there(const struct ctl_doctor *d, const char *path)
{
	char where[PATH_MAX];

	ctl_doctor_path(d, where, "%s", path);
	return !access(where, F_OK);
}

/* --- what was found ------------------------------------------------------- */

static void table_print(const struct ctl_doctor *d)
{
	size_t n = json_object_array_length(d->findings), i;

	printf("%-*s  %-*s  %s\n", CHECK_WIDTH, "CHECK", RESULT_WIDTH, "RESULT", "FINDING");
	for (i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(d->findings, i);
		const char *remedy = ctl_string(o, "remedy");

		printf("%-*s  %-*s  %s\n", CHECK_WIDTH, ctl_string(o, "check"), RESULT_WIDTH,
		       ctl_string(o, "result"), ctl_string(o, "text"));
		if (remedy)
			printf("%*s-> %s\n", CHECK_WIDTH + RESULT_WIDTH + 4, "", remedy);
	}
	printf("\n%u ok, %u warning%s, %u failure%s, %u unknown: %s\n", d->counts[CTL_RESULT_OK],
	       d->counts[CTL_RESULT_WARNING], d->counts[CTL_RESULT_WARNING] == 1 ? "" : "s",
	       d->counts[CTL_RESULT_FAILURE], d->counts[CTL_RESULT_FAILURE] == 1 ? "" : "s",
	       d->counts[CTL_RESULT_UNKNOWN],
	       d->counts[CTL_RESULT_FAILURE] ? "guests can't be protected like this" :
	       "nothing was found that keeps guests from being protected");
}

/* --- what is looked at ---------------------------------------------------- */

/* Before all else: it says where things are. */
static void config_read(struct ctl_doctor *d)
{
	const char *file = d->opt->config ? d->opt->config : LOCKSTEPD_CONFIG;
	char path[PATH_MAX], err[512] = "";
	int ret;

	ctl_doctor_path(d, path, "%s", file);
	ret = lockstepd_config_read(path, &d->cfg, err, sizeof(err));
	d->configured = !ret;
	if (!ret)
		ctl_doctor_add(d, "config", CTL_RESULT_OK, NULL, "%s", file);
	else if (ret == -EACCES && geteuid())
		ctl_doctor_add(d, "config", CTL_RESULT_UNKNOWN,
			       "run lockstepctl doctor as root",
			       "%s can't be read by this user: the defaults are looked at", file);
	else
		ctl_doctor_add(d, "config", CTL_RESULT_FAILURE, ret == -ENOENT ?
			       "write it: sections [node], [peer NAME] and [arbiter NAME]; see lockstepd.conf(5)" :
			       "correct it; lockstepd --check tells whether it is right",
			       "%s", err);
}

static void daemon_told(struct ctl_doctor *d, int ret)
{
	const char *node;

	if (!ret) {
		node = ctl_string(ctl_object(d->daemon, "status"), "node");
		ctl_doctor_add(d, "daemon", CTL_RESULT_OK, NULL,
			       "lockstepd answers: node %s of cluster %s", node ? node : "?",
			       ctl_string(d->daemon, "cluster"));
	} else if (ret == -EACCES) {
		ctl_doctor_add(d, "daemon", CTL_RESULT_UNKNOWN, "run lockstepctl doctor as root",
			       "lockstepd can be asked by root only");
	} else if (ret == -ENOENT || ret == -ECONNREFUSED) {
		ctl_doctor_add(d, "daemon", CTL_RESULT_FAILURE,
			       "systemctl start lockstepd; journalctl -u lockstepd says why it ended",
			       "lockstepd does not run");
	} else {
		ctl_doctor_add(d, "daemon", CTL_RESULT_FAILURE,
			       "systemctl restart lockstepd: its guests stand still until it is back",
			       "lockstepd does not answer: %s", strerror(-ret));
	}
}

static int daemon_ask(struct ctl_doctor *d)
{
	struct ctl_options opt = *d->opt;
	struct ctl_view view;
	char path[PATH_MAX];
	int ret;

	if (opt.load) {
		ret = ctl_view_get(&opt, &view);
		if (ret)
			return ret;
		d->daemon = json_object_get(view.daemon);
		ctl_view_put(&view);
		daemon_told(d, d->daemon ? 0 : -ENOENT);
		return 0;
	}
	/* a socket that was asked for stands as it is */
	if (!strcmp(opt.socket, CTL_SOCKET)) {
		ctl_doctor_path(d, path, "%s", d->cfg.socket);
		opt.socket = path;
	}
	daemon_told(d, ctl_daemon_ask(&opt, "status", NULL, NULL, ASK_MS, &d->daemon));
	return 0;
}

int ctl_doctor(const struct ctl_options *opt)
{
	struct ctl_doctor d = { .opt = opt, .root = opt->root ? opt->root : "" };
	int ret;

	d.findings = json_object_new_array();
	if (!d.findings) {
		fprintf(stderr, "lockstepctl: %s\n", strerror(ENOMEM));
		return CTL_FAILED;
	}
	config_read(&d);
	ctl_doctor_kvm(&d);
	ctl_doctor_module(&d);
	ctl_doctor_keys(&d);
	ret = daemon_ask(&d);
	if (!ret) {
		ctl_doctor_daemon(&d);
		ctl_doctor_guests(&d);
		if (opt->json)
			lockstep_json_print(d.findings);
		else
			table_print(&d);
	}
	json_object_put(d.daemon);
	json_object_put(d.findings);
	return ret || d.counts[CTL_RESULT_FAILURE] ? CTL_FAILED : CTL_OK;
}
