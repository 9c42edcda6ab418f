// SPDX-License-Identifier: GPL-2.0
/*
 * The control socket: JSON, one object a line.
 *
 * A request is {"command": NAME, ...}; its answer {"ok": true, ...} or
 * {"ok": false, "error": TEXT}. After "events" the answer is followed by every
 * event, until the client closes. Requests of one client are answered in order.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <json-c/json.h>

#include "common/file.h"
#include "common/json.h"
#include "common/log.h"
#include "lockstepd/daemon.h"
#include "lockstepd/launch.h"
#include "lockstepd/mapreduce.h"

#define LINE_BYTES	4096		/* of a request */
#define CLIENTS_MAX	64
#define BACKLOG_BYTES	(1 << 20)	/* a listener to events that does not read is dropped */

/**
 * struct client - one connection
 * @events: it listens to events
 * @waits: its request is under way: others wait
 */
struct client {
	TAILQ_ENTRY(client) entry;
	struct lockstepd_control *control;
	struct bufferevent *bev;
	bool events;
	bool waits;
};

/* A guest that is to be forced to start once it is attached. */
struct forced {
	LIST_ENTRY(forced) entry;
	char name[LOCKSTEP_NAME_MAX];
};

struct lockstepd_control {
	struct lockstepd *d;
	struct evconnlistener *listener;
	TAILQ_HEAD(, client) clients;
	unsigned int nclients;
	LIST_HEAD(, forced) forced;
	LIST_HEAD(, starting) starting;
};

/**
 * struct starting - a "start" under way
 * @client: who waits for it, or NULL
 * @left: halves that have not answered
 * @error: the first that went wrong
 */
struct starting {
	LIST_ENTRY(starting) entry;
	struct client *client;
	struct lockstepd *d;
	unsigned int left;
	int error;
	char here[256];
	char there[300];
};

static void client_send(struct client *c, struct json_object *o)
{
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							 JSON_C_TO_STRING_NOSLASHESCAPE);

	evbuffer_add_printf(bufferevent_get_output(c->bev), "%s\n", text);
}

static void answer(struct client *c, struct json_object *o)
{
	if (o)
		client_send(c, o);
	json_object_put(o);
}

static struct json_object *ok_new(void)
{
	struct json_object *o = json_object_new_object();

	if (o)
		lockstep_json_add_bool(o, "ok", true);
	return o;
}

static void answer_error(struct client *c, const char *text)
{
	struct json_object *o = json_object_new_object();

	if (o) {
		lockstep_json_add_bool(o, "ok", false);
		lockstep_json_add_str(o, "error", text);
	}
	answer(c, o);
}

static const char *string_of(struct json_object *request, const char *key)
{
	struct json_object *v;

	if (!json_object_object_get_ex(request, key, &v) ||
	    !json_object_is_type(v, json_type_string))
		return NULL;
	return json_object_get_string(v);
}

static bool bool_of(struct json_object *request, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(request, key, &v) && json_object_get_boolean(v);
}

/* --- commands ------------------------------------------------------------- */

static void do_status(struct client *c, struct json_object *request)
{
	struct lockstepd *d = c->control->d;
	struct json_object *o = ok_new();

	(void)request;
	if (o) {
		lockstep_json_add_str(o, "cluster", d->cluster);
		lockstep_json_add_bool(o, "module", d->nl);
		if (d->mapreduce)
			json_object_object_add(o, "mapreduce",
					       lockstepd_mapreduce_status(d->mapreduce));
		json_object_object_add(o, "status", lockstep_core_status(&d->core));
		json_object_object_add(o, "transport", lockstep_transport_status(d->transport));
	}
	answer(c, o);
}

static void do_version(struct client *c, struct json_object *request)
{
	struct json_object *o = ok_new();

	(void)request;
	if (o) {
		lockstep_json_add_str(o, "version", LOCKSTEPD_VERSION_TEXT);
		lockstep_json_add_u64(o, "abi", LOCKSTEP_ABI_VERSION);
		lockstep_json_add_u64(o, "protocol", LOCKSTEPD_VERSION);
	}
	answer(c, o);
}

static void do_events(struct client *c, struct json_object *request)
{
	(void)request;
	c->events = true;
	answer(c, ok_new());
}

/* What a guest that can't do what is asked says; @busy: why its state does not allow it. */
static void answer_refused(struct client *c, int ret, const char *busy)
{
	switch (ret) {
	case -ENOENT:
		answer_error(c, "no such guest here");
		break;
	case -EREMOTE:
		answer_error(c, "its primary is on the other host: ask there");
		break;
	case -EBUSY:
		answer_error(c, busy);
		break;
	case -EHOSTUNREACH:
		answer_error(c, "the arbiter can't be asked who goes live: see lockstepctl status");
		break;
	default:
		answer_error(c, strerror(-ret));
		break;
	}
}

static void do_switch(struct client *c, struct json_object *request)
{
	struct lockstep_core *core = &c->control->d->core;
	const char *name = string_of(request, "guest");
	int ret = name ? lockstep_core_switch(core, name) : -EINVAL;
	struct lockstep_guest *g = ret ? NULL : lockstep_core_guest_find(core, name);
	struct json_object *o;

	if (ret) {
		answer_refused(c, ret, "the guest is not protected now: there is no backup to switch to");
		return;
	}
	o = ok_new();
	if (o && g)
		lockstep_json_add_uuid(o, "instance", &g->info.instance);
	if (o && g && g->node)
		lockstep_json_add_str(o, "to", g->node->name);
	answer(c, o);
}

static void do_release(struct client *c, struct json_object *request)
{
	const char *name = string_of(request, "guest");
	int ret = name ? lockstep_core_release(&c->control->d->core, name) : -EINVAL;

	if (ret)
		answer_refused(c, ret, "the guest runs: power it off");
	else
		answer(c, ok_new());
}

/* --- start ---------------------------------------------------------------- */

static void client_next(struct client *c);

static void starting_end(struct starting *s)
{
	struct client *c = s->client;
	struct json_object *o;

	if (c) {
		o = json_object_new_object();
		if (o) {
			lockstep_json_add_bool(o, "ok", !s->error);
			lockstep_json_add_str(o, "here", s->here);
			if (s->there[0])
				lockstep_json_add_str(o, "there", s->there);
			if (s->error)
				lockstep_json_add_str(o, "error", "not both halves were started");
		}
		answer(c, o);
	}
	LIST_REMOVE(s, entry);
	free(s);
	if (c) {
		c->waits = false;
		client_next(c);
	}
}

static void half_done(struct starting *s, int error)
{
	if (error && !s->error)
		s->error = error;
	if (!--s->left)
		starting_end(s);
}

static void here_done(int error, const char *text, void *arg)
{
	struct starting *s = arg;

	snprintf(s->here, sizeof(s->here), "%s", text);
	half_done(s, error);
}

static void there_done(int error, const char *text, void *arg)
{
	struct starting *s = arg;

	snprintf(s->there, sizeof(s->there), "%s", text);
	half_done(s, error);
}

static void force_later(struct lockstepd_control *control, const char *name)
{
	struct forced *f = calloc(1, sizeof(*f));

	if (!f)
		return;
	snprintf(f->name, sizeof(f->name), "%s", name);
	LIST_INSERT_HEAD(&control->forced, f, entry);
}

void lockstepd_control_attached(struct lockstepd *d, struct lockstep_guest *g)
{
	struct forced *f, *next;

	lockstepd_launch_attached(d->launcher, g->info.name);
	if (!d->control)
		return;
	for (f = LIST_FIRST(&d->control->forced); f; f = next) {
		next = LIST_NEXT(f, entry);
		if (strcmp(f->name, g->info.name))
			continue;
		lockstep_core_force(&d->core, f->name);
		LIST_REMOVE(f, entry);
		free(f);
	}
}

/* It is attached already: all that can be asked for is to go on regardless. */
static void start_again(struct client *c, const char *name, bool force)
{
	int ret;

	if (!force) {
		answer_error(c, "the guest is attached already; see its status");
		return;
	}
	ret = lockstep_core_force(&c->control->d->core, name);
	if (ret)
		answer_error(c, "the guest does not wait for --force; see its status");
	else
		answer(c, ok_new());
}

static void do_start(struct client *c, struct json_object *request)
{
	struct lockstepd *d = c->control->d;
	const char *name = string_of(request, "guest");
	struct lockstepd_definition def;
	struct starting *s;
	char err[512];
	int ret;

	if (!name) {
		answer_error(c, "which guest?");
		return;
	}
	if (lockstep_core_guest_find(&d->core, name)) {
		start_again(c, name, bool_of(request, "force"));
		return;
	}
	s = calloc(1, sizeof(*s));
	if (!s) {
		answer_error(c, strerror(ENOMEM));
		return;
	}
	s->client = c;
	s->d = d;
	s->left = 1;
	ret = lockstepd_launch(d->launcher, name, bool_of(request, "twin"), &def, here_done, s,
			       err, sizeof(err));
	if (ret) {
		answer_error(c, err);
		free(s);
		return;
	}
	LIST_INSERT_HEAD(&c->control->starting, s, entry);
	if (bool_of(request, "force"))
		force_later(c->control, name);
	c->waits = true;
	if (!def.peer[0] || bool_of(request, "twin") || bool_of(request, "alone"))
		return;
	ret = lockstepd_peer_start(d, def.peer, name, there_done, s);
	if (ret)
		snprintf(s->there, sizeof(s->there), "not started on %s%s: %s", def.peer,
			 ret == -ENOTCONN ? " yet" : "",
			 ret == -ENOTCONN ? "not connected; it is asked as soon as it is" :
			 ret == -ENOENT ? "lockstepd.conf names no such peer" : strerror(-ret));
	else
		s->left++;
}

static const struct command {
	const char *name;
	void (*run)(struct client *c, struct json_object *request);
} commands[] = {
	{ "status", do_status },
	{ "events", do_events },
	{ "start", do_start },
	{ "release", do_release },
	{ "switch", do_switch },
	{ "version", do_version },
};

/* --- clients -------------------------------------------------------------- */

static void run_line(struct client *c, const char *line)
{
	struct json_object *request = json_tokener_parse(line);
	const char *name = request && json_object_is_type(request, json_type_object) ?
			   string_of(request, "command") : NULL;
	size_t i;

	if (!name) {
		answer_error(c, "a request is one line of JSON with a \"command\"");
		json_object_put(request);
		return;
	}
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, name)) {
			commands[i].run(c, request);
			break;
		}
	if (i == sizeof(commands) / sizeof(commands[0]))
		answer_error(c, "no such command");
	json_object_put(request);
	lockstepd_module_kick(c->control->d);
}

static void client_free(struct client *c)
{
	struct lockstepd_control *control = c->control;

	TAILQ_REMOVE(&control->clients, c, entry);
	control->nclients--;
	bufferevent_free(c->bev);
	free(c);
}

/* The client went while its start is under way: that goes on, unheard. */
static void client_abandon(struct client *c)
{
	struct starting *s;

	LIST_FOREACH(s, &c->control->starting, entry)
		if (s->client == c)
			s->client = NULL;
	client_free(c);
}

static void client_next(struct client *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	char *line;

	while (!c->waits && (line = evbuffer_readln(in, NULL, EVBUFFER_EOL_CRLF))) {
		run_line(c, line);
		free(line);
	}
	if (evbuffer_get_length(in) > LINE_BYTES)
		client_abandon(c);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	(void)bev;
	client_next(arg);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		client_abandon(arg);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr,
		      int len, void *arg)
{
	struct lockstepd_control *control = arg;
	struct client *c = control->nclients < CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;

	(void)listener;
	(void)addr;
	(void)len;
	if (!c) {
		evutil_closesocket(fd);
		return;
	}
	c->control = control;
	c->bev = bufferevent_socket_new(control->d->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!c->bev) {
		evutil_closesocket(fd);
		free(c);
		return;
	}
	TAILQ_INSERT_TAIL(&control->clients, c, entry);
	control->nclients++;
	bufferevent_setcb(c->bev, on_read, NULL, on_event, c);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

static void on_daemon_event(struct json_object *event, void *arg)
{
	struct lockstepd_control *control = arg;
	struct client *c, *next;

	for (c = TAILQ_FIRST(&control->clients); c; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (!c->events)
			continue;
		client_send(c, event);
		/* freed from the loop, not from under a caller who still uses it */
		if (evbuffer_get_length(bufferevent_get_output(c->bev)) > BACKLOG_BYTES) {
			c->events = false;
			bufferevent_trigger_event(c->bev, BEV_EVENT_ERROR,
						  BEV_TRIG_DEFER_CALLBACKS);
		}
	}
}

/* A socket that nobody listens on is left over; one that answers is a daemon's. */
static int clear_way(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), ret = 0;

	if (fd < 0)
		return -errno;
	if (!connect(fd, (const struct sockaddr *)addr, sizeof(*addr)))
		ret = -EADDRINUSE;
	else
		unlink(addr->sun_path);
	close(fd);
	return ret;
}

static int listen_at(struct lockstepd_control *control, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	mode_t mask;
	int ret;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	ret = clear_way(&addr);
	if (ret)
		return ret;
	mask = umask(0177);
	control->listener = evconnlistener_new_bind(control->d->base, on_accept, control,
						    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC,
						    -1, (struct sockaddr *)&addr, sizeof(addr));
	umask(mask);
	return control->listener ? 0 : -errno;
}

int lockstepd_control_create(struct lockstepd *d, char *err, size_t errlen)
{
	struct lockstepd_control *control = calloc(1, sizeof(*control));
	int ret;

	if (!control)
		return -ENOMEM;
	control->d = d;
	TAILQ_INIT(&control->clients);
	LIST_INIT(&control->forced);
	LIST_INIT(&control->starting);
	lockstep_file_mkdir(d->cfg.run, 0755);
	ret = listen_at(control, d->cfg.socket);
	if (ret) {
		snprintf(err, errlen, "control socket %s: %s", d->cfg.socket,
			 ret == -EADDRINUSE ? "another lockstepd runs" : strerror(-ret));
		free(control);
		return ret;
	}
	d->control = control;
	lockstep_event_subscribe(on_daemon_event, control);
	return 0;
}

void lockstepd_control_destroy(struct lockstepd *d)
{
	struct lockstepd_control *control = d->control;
	struct starting *s;
	struct client *c;
	struct forced *f;

	if (!control)
		return;
	lockstep_event_subscribe(NULL, NULL);
	while ((c = TAILQ_FIRST(&control->clients)))
		client_free(c);
	while ((f = LIST_FIRST(&control->forced))) {
		LIST_REMOVE(f, entry);
		free(f);
	}
	/* launcher and peers, who would have ended them, are gone */
	while ((s = LIST_FIRST(&control->starting))) {
		LIST_REMOVE(s, entry);
		free(s);
	}
	evconnlistener_free(control->listener);
	unlink(d->cfg.socket);
	free(control);
	d->control = NULL;
}
