// SPDX-License-Identifier: GPL-2.0
/*
 * The control socket
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"
#include "host.h"
#include "pic.h"
#include "stream.h"
#include "verify.h"
#include "vmm.h"

#define LINE_MAX_BYTES	512U
#define CLIENTS_MAX	16U

/**
 * struct client - one connection
 * @waits_for: id of its request that is on its way, 0: none. Lines that come meanwhile wait
 */
struct client {
	TAILQ_ENTRY(client) link;
	struct vmm *vmm;
	struct bufferevent *bev;
	uint64_t waits_for;
};

struct done {
	STAILQ_ENTRY(done) link;
	struct vmm_verify_result result;
};

/**
 * struct vmm_control - socket and clients
 * @next_id: of requests
 * @done:    results on their way from the vCPU's thread, under @lock
 * @done_fd: eventfd: there are some
 */
struct vmm_control {
	struct vmm *vmm;
	struct evconnlistener *listener;
	TAILQ_HEAD(clients, client) clients;
	unsigned int n_clients;
	uint64_t next_id;

	pthread_mutex_t lock;
	STAILQ_HEAD(dones, done) done;
	struct event *done_event;
	int done_fd;
};

static void answer(struct client *client, struct json_object *object)
{
	const char *text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN);

	evbuffer_add_printf(bufferevent_get_output(client->bev), "%s\n", text);
	json_object_put(object);
}

static void add_string(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, json_object_new_string(value));
}

static void add_number(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}

static void add_bool(struct json_object *object, const char *key, bool value)
{
	json_object_object_add(object, key, json_object_new_boolean(value));
}

static void answer_error(struct client *client, const char *error)
{
	struct json_object *object = json_object_new_object();

	add_bool(object, "ok", false);
	add_string(object, "error", error);
	answer(client, object);
}

static void answer_ok(struct client *client)
{
	struct json_object *object = json_object_new_object();

	add_bool(object, "ok", true);
	answer(client, object);
}

static const char *const role_names[] = {
	[VMM_ROLE_NONE] = "none", [VMM_ROLE_PRIMARY] = "primary", [VMM_ROLE_TWIN] = "twin",
};

static void add_uuid(struct json_object *object, const uint8_t *uuid)
{
	char text[37];
	size_t at = 0;

	for (unsigned int i = 0; i < LOCKSTEP_UUID_LEN; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%02x",
				       i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
	add_string(object, "uuid", text);
}

static void add_stream(struct vmm *vmm, struct json_object *object, const char *key, uint32_t id)
{
	struct vmm_stream_status status;
	struct json_object *stream;

	if (vmm_stream_status(vmm, id, &status))
		return;
	stream = json_object_new_object();
	add_number(stream, "made", status.made);
	add_number(stream, "handed", status.handed);
	add_number(stream, "lost", status.lost);
	json_object_object_add(object, key, stream);
}

static void add_pic(struct vmm *vmm, struct json_object *object)
{
	struct json_object *pic = json_object_new_object();
	struct vmm_pic_regs regs;

	vmm_pic_regs_get(vmm, &regs);
	add_number(pic, "irr", regs.irr);
	add_number(pic, "imr", regs.imr);
	add_number(pic, "isr", regs.isr);
	json_object_object_add(object, "pic", pic);
}

static void do_status(struct client *client, const char *arg)
{
	struct vmm *vmm = client->vmm;
	struct vmm_counters *counters = &vmm->counters;
	struct json_object *object = json_object_new_object();

	(void)arg;
	add_bool(object, "ok", true);
	add_string(object, "name", vmm->config.name);
	add_uuid(object, vmm->config.uuid);
	add_string(object, "role", role_names[vmm->config.role]);
	add_bool(object, "live", vmm->live);
	if (vmm->page)
		add_number(object, "state", __atomic_load_n(&vmm->page->state, __ATOMIC_ACQUIRE));
	add_number(object, "memory", vmm->config.memory);
	add_number(object, "stops", counters->stops);
	add_number(object, "interrupted", counters->interrupted);
	add_number(object, "inputs", counters->inputs);
	add_number(object, "injections", counters->injections);
	add_number(object, "halts", counters->halts);
	add_number(object, "unknown_msrs", counters->unknown_msrs);
	add_number(object, "mmio", counters->mmio);
	if (vmm->pic)
		add_pic(vmm, object);
	add_stream(vmm, object, "serial", LOCKSTEP_STREAM_SERIAL);
	add_stream(vmm, object, "console", LOCKSTEP_STREAM_CONSOLE);
	answer(client, object);
}

static void request(struct client *client, uint16_t kind, const char *name)
{
	struct vmm_control *control = client->vmm->control;
	uint64_t id = ++control->next_id;
	int err = vmm_verify_request(client->vmm, kind, id, name);

	if (err == -ENOTCONN)
		answer_error(client, "this side does not run the guest: ask the other host");
	else if (err == -EINVAL)
		answer_error(client, "dump takes a file name of letters, digits, dot, dash and underscore");
	else if (err)
		answer_error(client, strerror(-err));
	else
		client->waits_for = id;
}

static void do_verify(struct client *client, const char *arg)
{
	if (*arg && strcmp(arg, "full"))
		answer_error(client, "verify takes nothing, or \"full\"");
	else
		request(client, *arg ? VMM_VERIFY_FULL : VMM_VERIFY_DIGEST, "");
}

static void do_dump(struct client *client, const char *arg)
{
	request(client, VMM_VERIFY_DUMP, arg);
}

static void do_poweroff(struct client *client, const char *arg)
{
	const struct vmm_config *config = &client->vmm->config;
	int err;

	(void)arg;
	if (!config->n_power_keys) {
		answer_error(client, "the guest has no power button: give --power-keys");
		return;
	}
	if (!client->vmm->live) {
		answer_error(client, "this side does not run the guest: ask the other host");
		return;
	}
	err = vmm_event_post(client->vmm, VMM_UNIT_SERIAL, VMM_KIND_RECEIVE, config->power_keys,
			     (uint32_t)config->n_power_keys);
	if (err)
		answer_error(client, strerror(-err));
	else
		answer_ok(client);
}

static void do_quit(struct client *client, const char *arg)
{
	(void)arg;
	answer_ok(client);
	vmm_quit(client->vmm);
}

static void do_help(struct client *client, const char *arg);

static const struct command {
	const char *name;
	const char *what;
	void (*run)(struct client *client, const char *arg);
} commands[] = {
	{ "status", "what this machine is and has done", do_status },
	{ "verify", "digest the whole state here and on the twin, which compares; \"verify full\": read all memory", do_verify },
	{ "dump", "NAME: as verify full, and write a dump to the state directory of both hosts", do_dump },
	{ "poweroff", "type the bytes of --power-keys on the serial line", do_poweroff },
	{ "quit", "end at once, not in order: the other host takes a protected guest over", do_quit },
	{ "help", "this list", do_help },
};

#define N_COMMANDS	(sizeof(commands) / sizeof(commands[0]))

static void do_help(struct client *client, const char *arg)
{
	struct json_object *object = json_object_new_object();

	(void)arg;
	add_bool(object, "ok", true);
	for (unsigned int i = 0; i < N_COMMANDS; i++)
		add_string(object, commands[i].name, commands[i].what);
	answer(client, object);
}

static void run_line(struct client *client, char *line)
{
	char *arg = strchr(line, ' ');

	if (arg)
		*arg++ = '\0';
	for (unsigned int i = 0; i < N_COMMANDS; i++) {
		if (!strcmp(line, commands[i].name)) {
			commands[i].run(client, arg ? arg : "");
			return;
		}
	}
	answer_error(client, "no such command; try \"help\"");
}

static void drop(struct client *client)
{
	struct vmm_control *control = client->vmm->control;

	TAILQ_REMOVE(&control->clients, client, link);
	control->n_clients--;
	bufferevent_free(client->bev);
	free(client);
}

static void on_read(struct bufferevent *bev, void *opaque)
{
	struct evbuffer *input = bufferevent_get_input(bev);
	struct client *client = opaque;
	char *line;

	while (!client->waits_for) {
		line = evbuffer_readln(input, NULL, EVBUFFER_EOL_CRLF);
		if (!line)
			break;
		run_line(client, line);
		free(line);
	}
	if (evbuffer_get_length(input) > LINE_MAX_BYTES)
		drop(client);
}

static void on_event(struct bufferevent *bev, short what, void *opaque)
{
	(void)bev;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		drop(opaque);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr,
		      int len, void *opaque)
{
	struct vmm_control *control = opaque;
	struct client *client;

	(void)listener;
	(void)addr;
	(void)len;
	client = control->n_clients < CLIENTS_MAX ? calloc(1, sizeof(*client)) : NULL;
	if (!client) {
		evutil_closesocket(fd);
		return;
	}
	client->vmm = control->vmm;
	client->bev = bufferevent_socket_new(vmm_host_base(control->vmm), fd,
					     BEV_OPT_CLOSE_ON_FREE);
	if (!client->bev) {
		evutil_closesocket(fd);
		free(client);
		return;
	}
	TAILQ_INSERT_TAIL(&control->clients, client, link);
	control->n_clients++;
	bufferevent_setcb(client->bev, on_read, NULL, on_event, client);
	bufferevent_enable(client->bev, EV_READ | EV_WRITE);
}

void vmm_control_done(struct vmm *vmm, const struct vmm_verify_result *result)
{
	struct vmm_control *control = vmm->control;
	struct done *done;
	uint64_t one = 1;

	if (!control)
		return;
	done = malloc(sizeof(*done));
	if (!done)
		return;		/* its client waits in vain, and may close */
	done->result = *result;
	pthread_mutex_lock(&control->lock);
	STAILQ_INSERT_TAIL(&control->done, done, link);
	pthread_mutex_unlock(&control->lock);
	while (write(control->done_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static struct json_object *result_object(const struct vmm_verify_result *result)
{
	static const char *const names[LOCKSTEP_DIGESTS] = {
		[VMM_DIGEST_VCPU] = "vcpu", [VMM_DIGEST_MEMORY] = "memory",
		[VMM_DIGEST_DEVICES] = "devices", [VMM_DIGEST_DISKS] = "disks",
	};
	struct json_object *object = json_object_new_object();
	char text[17];

	add_bool(object, "ok", !result->error);
	if (result->error)
		add_string(object, "error", strerror(-result->error));
	add_number(object, "stops", result->stops);
	for (unsigned int i = 0; i < LOCKSTEP_DIGESTS; i++) {
		snprintf(text, sizeof(text), "%016" PRIx64, result->digest[i]);
		add_string(object, names[i], text);
	}
	return object;
}

static void on_done(evutil_socket_t fd, short what, void *opaque)
{
	struct vmm_control *control = opaque;
	struct client *client, *next;
	struct done *done;
	uint64_t count;

	(void)what;
	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	for (;;) {
		pthread_mutex_lock(&control->lock);
		done = STAILQ_FIRST(&control->done);
		if (done)
			STAILQ_REMOVE_HEAD(&control->done, link);
		pthread_mutex_unlock(&control->lock);
		if (!done)
			return;
		TAILQ_FOREACH(client, &control->clients, link)
			if (client->waits_for == done->result.id)
				break;
		if (client) {
			client->waits_for = 0;
			answer(client, result_object(&done->result));
			next = client;
			on_read(next->bev, next);	/* lines that waited */
		}
		free(done);
	}
}

static int listen_at(struct vmm_control *control, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path));
	unlink(path);
	control->listener = evconnlistener_new_bind(vmm_host_base(control->vmm), on_accept, control,
						    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC,
						    4, (struct sockaddr *)&addr, sizeof(addr));
	return control->listener ? 0 : -errno;
}

int vmm_control_create(struct vmm *vmm)
{
	struct vmm_control *control;
	int err;

	if (!vmm->config.control)
		return 0;
	control = calloc(1, sizeof(*control));
	if (!control)
		return -ENOMEM;
	control->vmm = vmm;
	TAILQ_INIT(&control->clients);
	STAILQ_INIT(&control->done);
	pthread_mutex_init(&control->lock, NULL);
	vmm->control = control;
	control->done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (control->done_fd < 0) {
		err = -errno;
		goto out;
	}
	control->done_event = event_new(vmm_host_base(vmm), control->done_fd,
					EV_READ | EV_PERSIST, on_done, control);
	if (!control->done_event || event_add(control->done_event, NULL)) {
		err = -ENOMEM;
		goto out;
	}
	err = listen_at(control, vmm->config.control);
	if (!err)
		return 0;
out:
	vmm_say(vmm, "control socket %s: %s", vmm->config.control, strerror(-err));
	vmm_control_destroy(vmm);
	return err;
}

void vmm_control_destroy(struct vmm *vmm)
{
	struct vmm_control *control = vmm->control;
	struct done *done;

	if (!control)
		return;
	while (!TAILQ_EMPTY(&control->clients))
		drop(TAILQ_FIRST(&control->clients));
	if (control->listener) {
		evconnlistener_free(control->listener);
		unlink(vmm->config.control);
	}
	if (control->done_event)
		event_free(control->done_event);
	if (control->done_fd >= 0)
		close(control->done_fd);
	while ((done = STAILQ_FIRST(&control->done))) {
		STAILQ_REMOVE_HEAD(&control->done, link);
		free(done);
	}
	pthread_mutex_destroy(&control->lock);
	free(control);
	vmm->control = NULL;
}
