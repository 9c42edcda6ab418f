// SPDX-License-Identifier: GPL-2.0
/*
 * lockstepctl events: what happens, as it happens. From lockstepd, which knows
 * peers and arbiter too; from the module alone when there is no daemon.
 */
#include "ctl.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/json.h"
#include "kmod/state.h"
#include "lockstepd/netlink.h"

static bool told_already(const char *key)
{
	static const char *const told[] = {
		"time", "event", "guest", "old", "state", "instance", "boottime_ns",
	};
	size_t i;

	for (i = 0; i < sizeof(told) / sizeof(told[0]); i++)
		if (!strcmp(told[i], key))
			return true;
	return false;
}

static void rest_print(struct json_object *e)
{
	struct json_object_iterator at = json_object_iter_begin(e);
	struct json_object_iterator end = json_object_iter_end(e);

	for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at)) {
		struct json_object *v = json_object_iter_peek_value(&at);
		const char *key = json_object_iter_peek_name(&at);

		if (v && !told_already(key))
			printf(" %s=%s", key, json_object_is_type(v, json_type_string) ?
			       json_object_get_string(v) :
			       json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN));
	}
}

/* "12:00:00.123 guest.state web: protected-primary -> suspect-primary (silence)" */
static void print_text(struct json_object *e)
{
	const char *time = ctl_string(e, "time"), *name = ctl_string(e, "event");
	const char *guest = ctl_string(e, "guest"), *old = ctl_string(e, "old");
	const char *state = ctl_string(e, "state"), *clock = time ? strchr(time, 'T') : NULL;

	printf("%.12s %s", clock ? clock + 1 : "?", name ? name : "?");
	if (guest)
		printf(" %s:", guest);
	if (old)
		printf(" %s ->", old);
	if (state)
		printf(" %s", state);
	rest_print(e);
	printf("\n");
}

static void print_event(const struct ctl_options *opt, struct json_object *e)
{
	if (opt->json)
		printf("%s\n", json_object_to_json_string_ext(e, JSON_C_TO_STRING_PLAIN |
							      JSON_C_TO_STRING_NOSLASHESCAPE));
	else
		print_text(e);
	fflush(stdout);
}

static int from_daemon(const struct ctl_options *opt, struct ctl_line *line)
{
	struct json_object *o;
	int ret;

	ret = ctl_line_send(line, "{\"command\":\"events\"}");
	if (!ret)
		ret = ctl_line_read(line, 3000, &o);
	if (ret)
		return ctl_daemon_missing(opt, ret);
	json_object_put(o);
	while (!(ret = ctl_line_read(line, -1, &o))) {
		print_event(opt, o);
		json_object_put(o);
	}
	fprintf(stderr, "lockstepctl: lockstepd ended\n");
	return ret == -EPIPE ? CTL_NOBODY : CTL_FAILED;
}

static void on_state(void *user, const struct lockstep_guest_info *info)
{
	struct json_object *o = json_object_new_object(), *d;
	struct timespec ts;
	char text[40];
	struct tm tm;

	if (!o)
		return;
	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + strlen(text), sizeof(text) - strlen(text), ".%06ldZ", ts.tv_nsec / 1000);
	lockstep_json_add_str(o, "event", info->flags & LOCKSTEP_FLAG_NEW ? "guest.attached" :
			      info->flags & LOCKSTEP_FLAG_GONE ? "guest.gone" : "guest.state");
	lockstep_json_add_str(o, "time", text);
	lockstep_json_add_str(o, "guest", info->name);
	lockstep_json_add_uuid(o, "instance", &info->instance);
	lockstep_json_add_str(o, "old", lockstep_state_name(info->old_state));
	lockstep_json_add_str(o, "state", lockstep_state_name(info->state));
	lockstep_json_add_u64(o, "generation", info->generation);
	lockstep_json_add_str(o, "cause", lockstep_event_name(info->event));
	d = lockstep_divergence_json(&info->divergence);
	if (d)
		json_object_object_add(o, "divergence", d);
	print_event(user, o);
	json_object_put(o);
}

static int from_module(const struct ctl_options *opt)
{
	static const struct lockstep_netlink_ops ops = { .state = on_state };
	struct lockstep_netlink *nl;
	struct pollfd pfd;
	int ret;

	ret = lockstep_netlink_create(&ops, (void *)opt, &nl);
	if (ret) {
		fprintf(stderr, "lockstepctl: neither lockstepd nor the module can be asked: %s\n",
			ret == -ENOENT ? "the module is not loaded: modprobe lockstep" :
			strerror(-ret));
		return CTL_NOBODY;
	}
	fprintf(stderr, "lockstepctl: lockstepd does not run: only the module's events follow\n");
	pfd.fd = lockstep_netlink_events_fd(nl);
	pfd.events = POLLIN;
	do {
		poll(&pfd, 1, -1);
		ret = lockstep_netlink_read_events(nl);
		if (ret == -ENOBUFS)
			fprintf(stderr, "lockstepctl: some events were lost\n");
	} while (ret >= 0 || ret == -ENOBUFS);
	lockstep_netlink_destroy(nl);
	return CTL_FAILED;
}

int ctl_events(const struct ctl_options *opt)
{
	struct ctl_line *line;
	int ret = ctl_line_open(opt->socket, &line);

	if (ret == -ENOENT || ret == -ECONNREFUSED)
		return from_module(opt);
	if (ret)
		return ctl_daemon_missing(opt, ret);
	ret = from_daemon(opt, line);
	ctl_line_close(line);
	return ret;
}
