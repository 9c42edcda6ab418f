// SPDX-License-Identifier: GPL-2.0
/*
 * The control socket of lockstepd: whatever a client writes, every line gets one
 * answer, in order; a line that does not end is not listened to.
 *
 * Sources: daemon/lockstepd/control.c daemon/lockstepd/launch.c daemon/lockstepd/definition.c
 * Sources: daemon/common daemon/transport/wire.c
 * Sources: selftests/unit/fuzz.c
 *
 * LOCKSTEP_SEED repeats a run, LOCKSTEP_FUZZ sets the fuzzer's rounds.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include <event2/event.h>
#include <json-c/json.h>

#include "common/log.h"
#include "fuzz.h"
#include "lockstepd/daemon.h"
#include "lockstepd/launch.h"
#include "lockstepd/mapreduce.h"

#define REQUEST_MAX	1024
#define TURNS_MAX	20000	/* of the loop, until something is an error */

static char dir[] = "/tmp/lockstep-control-XXXXXX";
static struct lockstepd d;

/* ---- the daemon that is not there ---- */

struct lockstep_guest *lockstep_core_guest_find(struct lockstep_core *core, const char *name)
{
	(void)core;
	(void)name;
	return NULL;
}

int lockstep_core_force(struct lockstep_core *core, const char *name)
{
	(void)core;
	(void)name;
	return -ENOENT;
}

int lockstep_core_release(struct lockstep_core *core, const char *name)
{
	(void)core;
	(void)name;
	return -ENOENT;
}

int lockstep_core_switch(struct lockstep_core *core, const char *name)
{
	(void)core;
	(void)name;
	return -ENOENT;
}

struct json_object *lockstep_core_status(struct lockstep_core *core)
{
	(void)core;
	return json_object_new_object();
}

struct json_object *lockstep_transport_status(struct lockstep_transport *t)
{
	(void)t;
	return json_object_new_object();
}

struct json_object *lockstepd_mapreduce_status(const struct lockstepd_mapreduce *m)
{
	(void)m;
	return NULL;
}

void lockstepd_module_kick(struct lockstepd *daemon)
{
	(void)daemon;
}

int lockstepd_peer_start(struct lockstepd *daemon, const char *node, const char *name,
			 void (*done)(int error, const char *text, void *arg), void *arg)
{
	(void)daemon;
	(void)node;
	(void)name;
	(void)done;
	(void)arg;
	return -ENOTCONN;
}

/* ---- a client ---- */

static int client_new(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	strcpy(addr.sun_path, d.cfg.socket);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void turn(void)
{
	event_base_loop(d.base, EVLOOP_NONBLOCK);
}

/* The next line that is an answer, not an event: ok or not; -1: it was hung up. */
static int answer_get(int fd)
{
	static char buf[1 << 17];
	struct json_object *o, *ok;
	size_t have = 0;
	int turns, ret;
	ssize_t n;

	for (turns = 0; turns < TURNS_MAX; turns++) {
		turn();
		n = recv(fd, buf + have, 1, MSG_DONTWAIT);
		if (!n || (n < 0 && errno != EAGAIN))
			return -1;
		if (n < 0) {
			usleep(100);
			continue;
		}
		turns = 0;
		if (buf[have] != '\n') {
			assert_true(++have < sizeof(buf) - 1);
			continue;
		}
		buf[have] = '\0';
		have = 0;
		o = json_tokener_parse(buf);
		if (!o)
			fail_msg("an answer that is no JSON: %s", buf);
		if (json_object_object_get_ex(o, "ok", &ok)) {
			ret = json_object_get_boolean(ok);
			json_object_put(o);
			return ret;
		}
		json_object_put(o);
	}
	fail_msg("no answer");
	return -1;
}

static void put(int fd, const void *data, size_t len)
{
	const uint8_t *bytes = data;
	ssize_t n;

	while (len) {
		n = send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
		turn();
	}
}

static int ask(int fd, const char *line)
{
	put(fd, line, strlen(line));
	put(fd, "\n", 1);
	return answer_get(fd);
}

/* ---- tests ---- */

static void test_commands(void **state)
{
	int fd = client_new();

	(void)state;
	assert_int_equal(ask(fd, "{\"command\":\"version\"}"), 1);
	assert_int_equal(ask(fd, "{\"command\":\"status\"}"), 1);
	assert_int_equal(ask(fd, "{\"command\":\"events\"}"), 1);
	assert_int_equal(ask(fd, "{\"command\":\"release\",\"guest\":\"none\"}"), 0);
	assert_int_equal(ask(fd, "{\"command\":\"start\",\"guest\":\"none\"}"), 0);
	assert_int_equal(ask(fd, "{\"command\":\"start\",\"guest\":\"../quick\"}"), 0);
	assert_int_equal(ask(fd, "{\"command\":\"start\",\"guest\":\"/etc/passwd\"}"), 0);
	/* its VMM ends at once */
	assert_int_equal(ask(fd, "{\"command\":\"start\",\"guest\":\"quick\",\"twin\":true}"), 0);
	assert_int_equal(ask(fd, ""), 0);
	assert_int_equal(ask(fd, "[]"), 0);
	assert_int_equal(ask(fd, "{\"command\":7}"), 0);
	close(fd);
	turn();
}

/* More than a request has, and no end of line. */
static void test_endless(void **state)
{
	static char much[64 << 10];
	int fd = client_new();

	(void)state;
	memset(much, '[', sizeof(much));
	put(fd, much, sizeof(much));
	assert_int_equal(answer_get(fd), -1);
	close(fd);
}

/* Requests that wait behind one that takes its time are answered, in order. */
static void test_in_order(void **state)
{
	static const char lines[] =
		"{\"command\":\"start\",\"guest\":\"quick\"}\n"
		"{\"command\":\"version\"}\n"
		"{\"command\":\"frobnicate\"}\n";
	int fd = client_new();

	(void)state;
	put(fd, lines, strlen(lines));
	assert_int_equal(answer_get(fd), 0);
	assert_int_equal(answer_get(fd), 1);
	assert_int_equal(answer_get(fd), 0);
	close(fd);
}

static size_t value_make(char *buf, size_t size)
{
	static const char *const values[] = {
		"true", "false", "null", "7", "-1e999", "\"quick\"", "\"none\"", "\"../../x\"",
		"\"\"", "\"\\u0000\"", "\"\xff\xfe\"", "{}", "[[[[[[[[]]]]]]]]", "\"%s%n\"",
	};

	return (size_t)snprintf(buf, size, "%s", values[fuzz_below(sizeof(values) / sizeof(values[0]))]);
}

/* Mostly JSON, mostly with a command that there is. */
static size_t request_make(char *buf, size_t size)
{
	static const char *const commands[] = {
		"status", "events", "start", "release", "switch", "version", "start", "none",
	};
	static const char *const keys[] = { "guest", "guest", "twin", "force", "alone", "command" };
	size_t n = 0;
	unsigned int i;

	n += (size_t)snprintf(buf, size, "{\"command\":\"%s\"", commands[fuzz_below(8)]);
	for (i = (unsigned int)fuzz_below(4); i; i--) {
		n += (size_t)snprintf(buf + n, size - n, ",\"%s\":", keys[fuzz_below(6)]);
		n += value_make(buf + n, size - n);
	}
	n += (size_t)snprintf(buf + n, size - n, "}");
	return n;
}

static int client = -1;
static unsigned int done, refused;

/* One line of whatever bytes, in pieces; sometimes the client goes without its answer. */
static void fuzz_line(const uint8_t *data, size_t len)
{
	uint8_t line[REQUEST_MAX + 64];
	size_t i, cut;
	int ret;

	for (i = 0; i < len; i++)
		line[i] = data[i] == '\n' ? ' ' : data[i];
	line[len] = '\n';
	cut = fuzz_below(len + 2);
	put(client, line, cut);
	turn();
	put(client, line + cut, len + 1 - cut);
	if (!fuzz_below(20)) {
		close(client);
		turn();
		client = client_new();
		return;
	}
	ret = answer_get(client);
	assert_int_not_equal(ret, -1);
	done += ret == 1;
	refused += ret == 0;
}

static void test_fuzz(void **state)
{
	unsigned int i, rounds = fuzz_rounds(1000);
	char buf[REQUEST_MAX];
	size_t len;

	(void)state;
	client = client_new();
	for (i = 0; i < rounds; i++) {
		len = request_make(buf, sizeof(buf));
		fuzz_one((const uint8_t *)buf, len, fuzz_line);
	}
	printf("# %u lines: %u done, %u refused\n", rounds, done, refused);
	assert_true(done && refused);
	close(client);
	client = client_new();
	assert_int_equal(ask(client, "{\"command\":\"version\"}"), 1);
	close(client);
	turn();
}

/* ---- around them ---- */

static void file_write(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
	char path[256], err[512];

	(void)state;
	lockstep_log_init("test", LOCKSTEP_LOG_ERR, false);
	fuzz_seed();
	if (!mkdtemp(dir))
		return -1;
	snprintf(d.cfg.run, sizeof(d.cfg.run), "%s/run", dir);
	snprintf(d.cfg.logs, sizeof(d.cfg.logs), "%s/logs", dir);
	snprintf(d.cfg.definitions, sizeof(d.cfg.definitions), "%s", dir);
	snprintf(d.cfg.socket, sizeof(d.cfg.socket), "%s/run/control", dir);
	snprintf(d.cfg.vmm, sizeof(d.cfg.vmm), "/bin/false");
	snprintf(path, sizeof(path), "%s/quick.conf", dir);
	file_write(path, "[guest]\nuuid = 11111111-2222-3333-4444-555555555555\n");
	d.base = event_base_new();
	assert_non_null(d.base);
	assert_int_equal(lockstepd_launcher_create(d.base, &d.cfg, &d.launcher), 0);
	assert_int_equal(lockstepd_control_create(&d, err, sizeof(err)), 0);
	return 0;
}

static int teardown(void **state)
{
	char command[300];

	(void)state;
	lockstepd_launcher_destroy(d.launcher);
	lockstepd_control_destroy(&d);
	event_base_free(d.base);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_in_order),
		cmocka_unit_test(test_fuzz),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("lockstepd control", tests, setup, teardown);
}
