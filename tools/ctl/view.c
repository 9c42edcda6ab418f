// SPDX-License-Identifier: GPL-2.0
/*
 * What the daemon and the module know of guests, put together.
 *
 * Either may be missing. What was learnt can be written to a file and shown
 * later, elsewhere: the module's messages as the bytes that came, and the
 * daemon's answer.
 */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "common/json.h"
#include "lockstepd/info.h"
#include "lockstepd/netlink.h"

#define ASK_MS		3000
#define FILE_MAX_BYTES	(16 << 20)
#define RECORD_FORMAT	"lockstepctl status 1"

static void hex_add(const void *attrs, size_t len, void *arg)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *bytes = attrs;
	char *text = malloc(2 * len + 1);
	size_t i;

	if (!text)
		return;
	for (i = 0; i < len; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	text[2 * len] = '\0';
	json_object_array_add(arg, json_object_new_string(text));
	free(text);
}

static int nibble(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A guest from one recorded message. */
static int guest_parse(const char *hex, struct lockstep_guest_info *info)
{
	size_t len = strlen(hex) / 2, i;
	uint8_t *bytes = malloc(len ? len : 1);
	int ret = 0;

	if (!bytes)
		return -ENOMEM;
	for (i = 0; i < len && !ret; i++) {
		int high = nibble(hex[2 * i]), low = nibble(hex[2 * i + 1]);

		ret = high < 0 || low < 0 ? -EBADMSG : 0;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	if (!ret)
		ret = lockstep_guest_info_parse(bytes, len, info);
	free(bytes);
	return ret;
}

static void module_ask(struct ctl_view *view)
{
	struct lockstep_netlink *nl;
	int ret;

	ret = lockstep_netlink_create(NULL, NULL, &nl);
	if (!ret) {
		view->module = json_object_new_array();
		ret = view->module ? lockstep_netlink_dump_raw(nl, hex_add, view->module) : -ENOMEM;
		lockstep_netlink_destroy(nl);
	}
	if (!ret)
		return;
	json_object_put(view->module);
	view->module = NULL;
	snprintf(view->module_error, sizeof(view->module_error), "%s",
		 ret == -ENOENT ? "the module is not loaded: modprobe lockstep" :
		 ret == -EPERM ? "the module can be asked by root only" : strerror(-ret));
}

static void daemon_ask(const struct ctl_options *opt, struct ctl_view *view)
{
	int ret = ctl_daemon_ask(opt, "status", NULL, NULL, ASK_MS, &view->daemon);

	if (!ret)
		return;
	view->daemon = NULL;
	snprintf(view->daemon_error, sizeof(view->daemon_error), "%s",
		 ret == -ENOENT || ret == -ECONNREFUSED ?
		 "lockstepd does not run: systemctl start lockstepd" :
		 ret == -EACCES ? "lockstepd can be asked by root only" :
		 ret == -ETIMEDOUT ? "lockstepd does not answer" : strerror(-ret));
}

static struct json_object *daemon_guests(const struct ctl_view *view)
{
	return ctl_object(ctl_object(view->daemon, "status"), "guests");
}

static struct json_object *find_instance(struct json_object *array, const char *instance)
{
	size_t n = array ? json_object_array_length(array) : 0, i;

	for (i = 0; i < n; i++) {
		struct json_object *g = json_object_array_get_idx(array, i);
		const char *s = ctl_string(g, "instance");

		if (s && instance && !strcmp(s, instance))
			return g;
	}
	return NULL;
}

static void fields_copy(struct json_object *from, struct json_object *to)
{
	struct json_object_iterator at = json_object_iter_begin(from);
	struct json_object_iterator end = json_object_iter_end(from);

	for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at))
		json_object_object_add(to, json_object_iter_peek_name(&at),
				       json_object_get(json_object_iter_peek_value(&at)));
}

/* The daemon knows more of a guest than the module, the module has the last word. */
static int merge(struct ctl_view *view)
{
	struct json_object *known = daemon_guests(view), *g, *own;
	size_t n = view->module ? json_object_array_length(view->module) : 0, i;
	struct lockstep_guest_info info;
	int ret;

	view->guests = json_object_new_array();
	if (!view->guests)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		ret = guest_parse(json_object_get_string(json_object_array_get_idx(view->module, i)),
				  &info);
		if (ret)
			return ret;
		own = lockstep_guest_info_json(&info);
		g = find_instance(known, ctl_string(own, "instance"));
		if (g) {
			fields_copy(own, g);
			json_object_put(own);
			own = json_object_get(g);
		}
		json_object_array_add(view->guests, own);
	}
	if (view->module)
		return 0;
	for (i = 0; known && i < json_object_array_length(known); i++)
		json_object_array_add(view->guests,
				      json_object_get(json_object_array_get_idx(known, i)));
	return 0;
}

static int load(const char *path, struct ctl_view *view)
{
	struct json_object *o;
	const char *s;
	char *text;
	size_t len;
	int ret;

	ret = lockstep_file_read(path, FILE_MAX_BYTES, &text, &len);
	if (ret)
		return ret;
	o = json_tokener_parse(text);
	free(text);
	s = ctl_string(o, "format");
	if (!s || strcmp(s, RECORD_FORMAT)) {
		json_object_put(o);
		return -EBADMSG;
	}
	view->daemon = json_object_get(ctl_object(o, "daemon"));
	view->module = json_object_get(ctl_object(o, "module"));
	s = ctl_string(o, "daemon_error");
	snprintf(view->daemon_error, sizeof(view->daemon_error), "%s", s ? s : "");
	s = ctl_string(o, "module_error");
	snprintf(view->module_error, sizeof(view->module_error), "%s", s ? s : "");
	json_object_put(o);
	if (view->module && !json_object_is_type(view->module, json_type_array))
		return -EBADMSG;
	return 0;
}

static int record(const char *path, const struct ctl_view *view)
{
	struct json_object *o = json_object_new_object();
	const char *text;
	int ret;

	if (!o)
		return -ENOMEM;
	lockstep_json_add_str(o, "format", RECORD_FORMAT);
	json_object_object_add(o, "daemon", json_object_get(view->daemon));
	lockstep_json_add_str(o, "daemon_error", view->daemon ? NULL : view->daemon_error);
	json_object_object_add(o, "module", json_object_get(view->module));
	lockstep_json_add_str(o, "module_error", view->module ? NULL : view->module_error);
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
					      JSON_C_TO_STRING_SPACED |
					      JSON_C_TO_STRING_NOSLASHESCAPE);
	ret = lockstep_file_replace(path, text, strlen(text), 0600);
	json_object_put(o);
	return ret;
}

int ctl_view_get(const struct ctl_options *opt, struct ctl_view *view)
{
	int ret = 0;

	memset(view, 0, sizeof(*view));
	if (opt->load) {
		ret = load(opt->load, view);
		if (ret)
			fprintf(stderr, "lockstepctl: %s: %s\n", opt->load,
				ret == -EBADMSG ? "not written by status --record" : strerror(-ret));
	} else {
		module_ask(view);
		daemon_ask(opt, view);
		if (opt->record)
			ret = record(opt->record, view);
		if (ret)
			fprintf(stderr, "lockstepctl: %s: %s\n", opt->record, strerror(-ret));
	}
	if (!ret) {
		ret = merge(view);
		if (ret)
			fprintf(stderr, "lockstepctl: the module's answer can't be read: %s\n",
				strerror(-ret));
	}
	if (ret)
		ctl_view_put(view);
	return ret;
}

void ctl_view_put(struct ctl_view *view)
{
	json_object_put(view->daemon);
	json_object_put(view->module);
	json_object_put(view->guests);
	memset(view, 0, sizeof(*view));
}

struct json_object *ctl_view_guest(const struct ctl_view *view, const char *name)
{
	size_t n = json_object_array_length(view->guests), i;

	for (i = 0; i < n; i++) {
		struct json_object *g = json_object_array_get_idx(view->guests, i);
		const char *s = ctl_string(g, "name");

		if (s && !strcmp(s, name))
			return g;
	}
	return NULL;
}
