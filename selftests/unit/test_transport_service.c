// SPDX-License-Identifier: GPL-2.0
/*
 * Services: request and response with nodes that are no peers, over TLS and
 * over Unix-domain sockets without keys. And how daemons tell of strangers.
 *
 * Sources: daemon/transport daemon/common
 * Sources: selftests/unit/transport_fixture.c selftests/unit/fuzz.c
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
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
#include <json-c/json.h>

#include "common/clock.h"
#include "common/log.h"
#include "transport/refusal.h"
#include "transport_fixture.h"

static struct fx fx;

static int setup(void **state)
{
	(void)state;
	fx_init(&fx);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fx_exit(&fx);
	return 0;
}

/* --- a server that sends each request back ------------------------------- */

static struct {
	unsigned int ups;
	unsigned int closed;
	unsigned int requests;
	char node[64];
	const char *only;	/* node that may use it; NULL: any */
	bool hang_up;		/* close after the answer */
} srv;

static int srv_accept(void *user, const char *node, const char *address)
{
	assert_ptr_equal(user, &srv);
	assert_non_null(address);
	return srv.only && strcmp(srv.only, node) ? -EACCES : 0;
}

static void srv_up(struct lockstep_conn *conn)
{
	srv.ups++;
	snprintf(srv.node, sizeof(srv.node), "%s", lockstep_conn_node(conn));
	assert_ptr_equal(lockstep_conn_user(conn), &srv);
}

static void srv_message(struct lockstep_conn *conn, const struct lockstep_msg *msg,
			const void *data, size_t len)
{
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };

	srv.requests++;
	assert_true(lockstep_conn_send(conn, msg, &iov, 1) >= 0);
	if (srv.hang_up)
		lockstep_conn_close(conn);
}

static void srv_closed(struct lockstep_conn *conn, int error, const char *reason)
{
	(void)conn;
	(void)error;
	assert_non_null(reason);
	srv.closed++;
}

static const struct lockstep_service_ops srv_ops = {
	.accept = srv_accept, .up = srv_up, .message = srv_message, .closed = srv_closed,
};

/* --- a client ------------------------------------------------------------ */

struct client {
	struct lockstep_conn *conn;
	bool up;
	bool closed;
	int error;
	char reason[256];
	unsigned int answers;
	unsigned int corrupt;
	struct lockstep_uuid boot;
};

static void cl_up(struct lockstep_conn *conn)
{
	struct client *c = lockstep_conn_user(conn);

	c->up = true;
	c->boot = *lockstep_conn_boot_id(conn);
}

static void cl_message(struct lockstep_conn *conn, const struct lockstep_msg *msg,
		       const void *data, size_t len)
{
	struct client *c = lockstep_conn_user(conn);

	c->answers++;
	c->corrupt += !fx_check(data, len, msg->id) || msg->kind != 5;
}

static void cl_closed(struct lockstep_conn *conn, int error, const char *reason)
{
	struct client *c = lockstep_conn_user(conn);

	assert_false(c->closed);
	c->closed = true;
	c->error = error;
	snprintf(c->reason, sizeof(c->reason), "%s", reason);
}

static const struct lockstep_service_ops cl_ops = {
	.up = cl_up, .message = cl_message, .closed = cl_closed,
};

static int dial(struct lockstep_transport *t, const char *service, const char *node,
		const char *address, struct client *c)
{
	memset(c, 0, sizeof(*c));
	return lockstep_transport_dial(t, service, node, address, &cl_ops, c, &c->conn);
}

static void request(struct client *c, uint64_t id, size_t len)
{
	struct lockstep_msg msg = { .channel = 1, .kind = 5, .id = id };
	uint8_t *buf = malloc(len + 1);
	struct iovec iov = { .iov_base = buf, .iov_len = len };

	assert_non_null(buf);
	fx_fill(buf, len, id);
	assert_true(lockstep_conn_send(c->conn, &msg, &iov, 1) >= 0);
	free(buf);
}

/* --- tests --------------------------------------------------------------- */

static void exchange(struct lockstep_transport *t, const char *node, const char *address)
{
	struct client c;
	unsigned int i;

	memset(&srv, 0, sizeof(srv));
	assert_int_equal(dial(t, "echo", node, address, &c), 0);
	assert_int_equal(lockstep_conn_send(c.conn, &(struct lockstep_msg){ 0 }, NULL, 0),
			 -ENOTCONN);
	fx_wait(&fx, c.up && srv.ups == 1);
	for (i = 1; i <= 200; i++)
		request(&c, i, i * 37);
	request(&c, i, LOCKSTEP_MSG_MAX);
	fx_wait(&fx, c.answers == 201);
	assert_int_equal(c.corrupt, 0);
	/* What was sent before a close arrives. */
	request(&c, 300, 100000);
	lockstep_conn_close(c.conn);
	fx_wait(&fx, c.closed && srv.closed == 1);
	assert_int_equal(c.error, 0);
	assert_int_equal(srv.requests, 202);
}

static void test_over_tls(void **state)
{
	struct lockstep_uuid boot;
	struct fx_node a, b;

	(void)state;
	fx_node_init(&a, &fx, "a", NULL);
	fx_node_init(&b, &fx, "b", NULL);
	assert_int_equal(lockstep_transport_serve(b.t, "echo", &srv_ops, &srv), 0);
	assert_int_equal(lockstep_transport_serve(b.t, "echo", &srv_ops, &srv), -EEXIST);
	assert_int_equal(lockstep_transport_serve(b.t, "", &srv_ops, &srv), -EINVAL);
	exchange(a.t, "b", b.address);
	assert_string_equal(srv.node, "a");
	exchange(a.t, NULL, b.address);
	boot = *lockstep_transport_boot_id(b.t);
	assert_false(lockstep_uuid_is_nil(&boot));
	fx_node_exit(&a);
	fx_node_exit(&b);
}

static void test_refusals(void **state)
{
	struct fx_node a, b;
	struct client c;

	(void)state;
	memset(&srv, 0, sizeof(srv));
	fx_node_init(&a, &fx, "a", NULL);
	fx_node_init(&b, &fx, "b", NULL);
	assert_int_equal(lockstep_transport_serve(b.t, "echo", &srv_ops, &srv), 0);
	assert_int_equal(dial(a.t, "nothing", "b", b.address, &c), 0);
	fx_wait(&fx, c.closed);
	assert_int_equal(c.error, -ENOENT);
	assert_non_null(strstr(c.reason, "no service"));
	assert_int_equal(b.refused, 1);
	srv.only = "c";
	assert_int_equal(dial(a.t, "echo", "b", b.address, &c), 0);
	fx_wait(&fx, c.closed);
	assert_int_equal(c.error, -EACCES);
	assert_false(c.up);
	assert_int_equal(dial(a.t, "echo", "c", b.address, &c), 0);
	fx_wait(&fx, c.closed);
	assert_int_equal(c.error, -EKEYREJECTED);
	assert_int_equal(dial(a.t, "echo", "b", "127.0.0.1:1", &c), 0);
	fx_wait(&fx, c.closed);
	assert_int_equal(c.error, -ECONNREFUSED);
	assert_int_equal(dial(a.t, "echo", "b", "nonsense", &c), -EINVAL);
	assert_int_equal(dial(a.t, "echo", "b", "*:1", &c), -EINVAL);
	assert_int_equal(dial(a.t, "echo", "B", b.address, &c), -EINVAL);
	assert_int_equal(srv.ups, 0);
	fx_node_exit(&a);
	fx_node_exit(&b);
}

/* The server's last answer arrives though it hangs up right behind it. */
static void test_hang_up(void **state)
{
	struct fx_node a, b;
	struct client c;

	(void)state;
	memset(&srv, 0, sizeof(srv));
	srv.hang_up = true;
	fx_node_init(&a, &fx, "a", NULL);
	fx_node_init(&b, &fx, "b", NULL);
	assert_int_equal(lockstep_transport_serve(b.t, "echo", &srv_ops, &srv), 0);
	assert_int_equal(dial(a.t, "echo", "b", b.address, &c), 0);
	fx_wait(&fx, c.up);
	request(&c, 9, 500000);
	fx_wait(&fx, c.closed && srv.closed);
	assert_int_equal(c.answers, 1);
	assert_int_equal(c.corrupt, 0);
	assert_int_equal(c.error, 0);
	fx_node_exit(&a);
	fx_node_exit(&b);
}

static void make_keyless(struct fx_node *n, const char *name)
{
	struct lockstep_transport_config cfg = { .cluster = "local", .node = name };
	char err[256];

	memset(n, 0, sizeof(*n));
	n->fx = &fx;
	n->name = name;
	assert_int_equal(lockstep_transport_create(fx.base, &cfg, &fx_ops, n, err, sizeof(err),
						   &n->t), 0);
}

static void test_unix(void **state)
{
	char path[PATH_MAX], address[PATH_MAX + 8], bound[LOCKSTEP_ADDR_STRLEN];
	struct lockstep_peer_config peer = { .node = "z", .log_address = "127.0.0.1:1" };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct fx_node a, b, c;
	struct stat st;
	int stale;

	(void)state;
	fx_keys(&fx, "sock", path);
	snprintf(address, sizeof(address), "unix:%s", path);
	make_keyless(&a, "worker");
	make_keyless(&b, "master");
	/* A socket that its server left behind is in nobody's way. */
	stale = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(un.sun_path, sizeof(un.sun_path), "%.100s", path);
	assert_int_equal(bind(stale, (struct sockaddr *)&un, sizeof(un)), 0);
	close(stale);
	assert_int_equal(lockstep_transport_listen(b.t, address, bound), 0);
	assert_string_equal(bound, address);
	/* One that is in use is. */
	make_keyless(&c, "other");
	assert_int_equal(lockstep_transport_listen(c.t, address, NULL), -EADDRINUSE);
	fx_node_exit(&c);
	assert_int_equal(lockstep_transport_serve(b.t, "echo", &srv_ops, &srv), 0);
	exchange(a.t, NULL, address);
	assert_string_equal(srv.node, "local");

	/* Without keys there is no network. */
	assert_int_equal(lockstep_transport_listen(b.t, "127.0.0.1:0", NULL), -EOPNOTSUPP);
	assert_int_equal(lockstep_peer_add(a.t, &peer, NULL, NULL), -EOPNOTSUPP);
	assert_int_equal(dial(a.t, "echo", NULL, "127.0.0.1:1", &(struct client){ 0 }),
			 -EOPNOTSUPP);
	fx_node_exit(&a);
	fx_node_exit(&b);
	assert_int_equal(stat(path, &st), -1);		/* cleaned up */
}

/* A node with keys offers the same service on both kinds of address. */
static void test_both(void **state)
{
	char path[PATH_MAX], address[PATH_MAX + 8];
	struct fx_node a, b;

	(void)state;
	snprintf(address, sizeof(address), "unix:%s", fx_keys(&fx, "both", path));
	fx_node_init(&a, &fx, "a", NULL);
	fx_node_init(&b, &fx, "b", NULL);
	assert_int_equal(lockstep_transport_serve(b.t, "echo", &srv_ops, &srv), 0);
	assert_int_equal(lockstep_transport_listen(b.t, address, NULL), 0);
	exchange(a.t, NULL, address);
	exchange(a.t, "b", b.address);
	fx_node_exit(&a);
	fx_node_exit(&b);
}

static void test_addresses(void **state)
{
	static const char * const bad[] = {
		"", ":", "host", ":1", "1.2.3.4:", "1.2.3.4:70000", "1.2.3.4:x", "::1:5",
		"[::1]", "[::1:5", "unix:", "1.2.3.4:-1",
	};
	char bound[LOCKSTEP_ADDR_STRLEN], too_long[300] = "unix:/";
	struct fx_node a;
	size_t i;

	(void)state;
	fx_node_init(&a, &fx, "a", NULL);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(lockstep_transport_listen(a.t, bad[i], NULL), -EINVAL);
	memset(too_long + 6, 'x', sizeof(too_long) - 7);
	assert_int_equal(lockstep_transport_listen(a.t, too_long, NULL), -ENAMETOOLONG);
	assert_int_equal(lockstep_transport_listen(a.t, "localhost:0", bound), 0);
	assert_int_equal(lockstep_transport_listen(a.t, "*:0", bound), 0);
	assert_int_equal(lockstep_transport_listen(a.t, a.address, NULL), -EADDRINUSE);
	fx_node_exit(&a);
}

static void count_event(struct json_object *event, void *arg)
{
	struct json_object *untold;
	unsigned int *told = arg;

	told[0]++;
	if (json_object_object_get_ex(event, "untold", &untold))
		told[1] += (unsigned int)json_object_get_int64(untold);
}

/* A stranger that comes again and again is told of, but not each time. */
static void test_flood_of_refusals(void **state)
{
	struct lockstep_refusals r = { 0 };
	unsigned int told[2] = { 0 }, i;

	(void)state;
	lockstep_event_subscribe(count_event, told);
	for (i = 0; i < 1000; i++)
		lockstep_refusal_tell(&r, "192.0.2.1:99", NULL, "no reason");
	assert_in_range(told[0], 1, 20);
	r.since_ns -= 60 * LOCKSTEP_NSEC_PER_SEC;
	lockstep_refusal_tell(&r, "192.0.2.1:99", NULL, "no reason");
	assert_int_equal(told[0] + told[1], 1001);
	lockstep_event_subscribe(NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_over_tls, fx_sweep),
		cmocka_unit_test_teardown(test_refusals, fx_sweep),
		cmocka_unit_test_teardown(test_hang_up, fx_sweep),
		cmocka_unit_test_teardown(test_unix, fx_sweep),
		cmocka_unit_test_teardown(test_both, fx_sweep),
		cmocka_unit_test_teardown(test_addresses, fx_sweep),
		cmocka_unit_test(test_flood_of_refusals),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
