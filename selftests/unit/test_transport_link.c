// SPDX-License-Identifier: GPL-2.0
/*
 * Peers over loopback: who may speak, order, delivery across reconnects,
 * back-pressure, and peers that misbehave.
 *
 * LOCKSTEP_SEED repeats what is random.
 *
 * Sources: daemon/transport daemon/common
 * Sources: selftests/unit/transport_fixture.c selftests/unit/fuzz.c
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "common/json.h"
#include "fuzz.h"
#include "transport/internal.h"
#include "transport/keys.h"
#include "transport_fixture.h"

static struct fx fx;

static int setup(void **state)
{
	(void)state;
	fuzz_seed();
	fx_init(&fx);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fx_exit(&fx);
	return 0;
}

static void pair_up(struct fx_node *a, struct fx_node *b,
		    const struct lockstep_transport_config *cfg)
{
	fx_node_init(a, &fx, "a", cfg);
	fx_node_init(b, &fx, "b", cfg);
	fx_connect(a, b);
	fx_wait(&fx, fx_up(a, "b") && fx_up(b, "a"));
}

static void test_up_and_order(void **state)
{
	struct fx_node a, b;
	uint64_t i;

	(void)state;
	pair_up(&a, &b, NULL);
	assert_int_equal(a.ups[LOCKSTEP_PLANE_LOG], 1);
	assert_int_equal(b.ups[LOCKSTEP_PLANE_BULK], 1);
	assert_true(lockstep_uuid_equal(&a.incarnation, lockstep_transport_incarnation(b.t)));

	/* Both ways at once, all sizes, also none and the largest. */
	for (i = 1; i <= 2000; i++) {
		assert_true(fx_send(&a, "b", i, fuzz_random() % 3000) >= 0);
		assert_true(fx_send(&b, "a", i, fuzz_random() % 3000) >= 0);
	}
	assert_true(fx_send(&a, "b", 2001, 0) >= 0);
	assert_true(fx_send(&a, "b", 2002, LOCKSTEP_MSG_MAX) >= 0);
	assert_int_equal(fx_send(&a, "b", 2003, LOCKSTEP_MSG_MAX + 1), -EMSGSIZE);
	fx_wait(&fx, a.messages == 2000 && b.messages == 2002);
	assert_int_equal(a.misordered + b.misordered + a.corrupt + b.corrupt, 0);
	fx_node_exit(&a);
	fx_node_exit(&b);
}

/* A flush hands over at once: the other side has it without another turn here. */
static void test_flush(void **state)
{
	struct fx_node a, b;

	(void)state;
	pair_up(&a, &b, NULL);
	assert_int_equal(fx_send(&a, "b", 1, 100), 0);
	assert_int_not_equal(lockstep_peer_queued(fx_peer(&a, "b")), 0);
	lockstep_peer_flush(fx_peer(&a, "b"));
	assert_int_equal(lockstep_peer_queued(fx_peer(&a, "b")), 0);
	fx_wait(&fx, b.messages == 1);
	fx_node_exit(&a);
	fx_node_exit(&b);
}

static void test_stranger(void **state)
{
	struct fx_node a, b;

	(void)state;
	/* a knows b, b does not know a. */
	fx_node_init(&a, &fx, "a", NULL);
	fx_node_init(&b, &fx, "b", NULL);
	fx_add_peer(&a, "b", b.address);
	fx_wait(&fx, a.failures && b.refused);
	assert_string_equal(b.refused_node, "a");
	assert_non_null(strstr(b.refused_reason, "not among the peers"));
	assert_int_equal(a.last_error, -EACCES);
	assert_non_null(strstr(a.last_reason, "refused"));
	assert_int_equal(a.ups[LOCKSTEP_PLANE_LOG], 0);
	fx_node_exit(&a);
	fx_node_exit(&b);
}

static void test_wrong_ca(void **state)
{
	char ca[PATH_MAX], keys[PATH_MAX];
	struct lockstep_transport_config cfg = { .keys_dir = keys };
	struct fx_node a, b;

	(void)state;
	/* Another CA, for a cluster and a node of the same names. */
	assert_int_equal(lockstep_keys_init(fx_keys(&fx, "evil-ca", ca), FX_CLUSTER), 0);
	assert_int_equal(lockstep_keys_issue(ca, "a", fx_keys(&fx, "evil-a", keys)), 0);
	fx_node_init(&a, &fx, "a", &cfg);
	fx_node_init(&b, &fx, "b", NULL);
	fx_connect(&a, &b);
	fx_wait(&fx, a.failures);
	assert_int_equal(a.last_error, -EKEYREJECTED);
	assert_non_null(strstr(a.last_reason, "certificate"));
	assert_int_equal(a.ups[LOCKSTEP_PLANE_LOG] + b.ups[LOCKSTEP_PLANE_LOG], 0);
	fx_node_exit(&a);
	fx_node_exit(&b);
}

/* The dialler checks b's certificate too: the wrong CA on the accepting side. */
static void test_wrong_ca_server(void **state)
{
	char ca[PATH_MAX], keys[PATH_MAX];
	struct lockstep_transport_config cfg = { .keys_dir = keys };
	struct fx_node a, b;

	(void)state;
	fx_keys(&fx, "evil-ca", ca);
	assert_int_equal(lockstep_keys_issue(ca, "b", fx_keys(&fx, "evil-b", keys)), 0);
	fx_node_init(&a, &fx, "a", NULL);
	fx_node_init(&b, &fx, "b", &cfg);
	fx_connect(&a, &b);
	fx_wait(&fx, a.failures && b.refused);
	assert_int_equal(a.last_error, -EKEYREJECTED);
	assert_int_equal(b.ups[LOCKSTEP_PLANE_LOG], 0);
	fx_node_exit(&a);
	fx_node_exit(&b);
}

static void test_wrong_node(void **state)
{
	struct fx_node a, c;

	(void)state;
	/* What a thinks is b's address is c's. */
	fx_node_init(&a, &fx, "a", NULL);
	fx_node_init(&c, &fx, "c", NULL);
	fx_add_peer(&a, "b", c.address);
	fx_wait(&fx, a.failures);
	assert_int_equal(a.last_error, -EKEYREJECTED);
	assert_non_null(strstr(a.last_reason, "reached node \"c\", not \"b\""));
	fx_node_exit(&a);
	fx_node_exit(&c);
}

/* The lower name dials, whatever the order in which things come up. */
static void test_who_dials(void **state)
{
	struct fx_node a, b;
	struct lockstep_peer_config no_address = { .node = "b" };
	char address[LOCKSTEP_ADDR_STRLEN];

	(void)state;
	fx_node_init(&a, &fx, "a", NULL);
	assert_int_equal(lockstep_peer_add(a.t, &no_address, NULL, NULL), -EINVAL);
	no_address.node = "a";
	assert_int_equal(lockstep_peer_add(a.t, &no_address, NULL, NULL), -EINVAL);
	fx_node_init(&b, &fx, "b", NULL);
	assert_int_equal(lockstep_peer_add(b.t, &no_address, NULL, NULL), 0);
	assert_int_equal(lockstep_peer_add(b.t, &no_address, NULL, NULL), -EEXIST);
	strcpy(address, b.address);
	fx_node_exit(&b);

	/* b is away: a keeps trying, and gets through once it is back. */
	fx_add_peer(&a, "b", address);
	fx_wait(&fx, a.failures >= 4);
	assert_int_equal(a.last_error, -ECONNREFUSED);
	fx_node_init(&b, &fx, "b", NULL);
	assert_int_equal(lockstep_transport_listen(b.t, address, NULL), 0);
	assert_int_equal(lockstep_peer_add(b.t, &no_address, NULL, NULL), 0);
	fx_wait(&fx, fx_up(&a, "b") && fx_up(&b, "a"));
	fx_node_exit(&a);
	fx_node_exit(&b);
}

/*
 * Connections are broken again and again under load. Each life of the plane
 * delivers a prefix of what was sent in it, in order: never twice, never a
 * hole in the middle.
 */
struct life {
	uint64_t life;
	uint64_t last;
	uint64_t delivered;
	bool wrong;
};

static struct life life;

static void check_life(struct fx_node *n, struct lockstep_peer *peer,
		       const struct lockstep_msg *msg, const void *data, size_t len)
{
	(void)n;
	(void)peer;
	if (msg->channel != life.life) {
		life.wrong |= msg->channel < life.life || msg->id != 1;
		life.life = msg->channel;
	} else if (msg->id != life.last + 1) {
		life.wrong = true;
	}
	life.last = msg->id;
	life.delivered++;
	life.wrong |= !fx_check(data, len, msg->id);
}

static void test_reconnect_at_most_once(void **state)
{
	struct lockstep_msg msg = { .kind = 1 };
	uint8_t buf[5000];
	struct iovec iov = { .iov_base = buf };
	struct fx_node a, b;
	unsigned int lives, i;

	(void)state;
	pair_up(&a, &b, NULL);
	memset(&life, 0, sizeof(life));
	b.on_message = check_life;
	for (lives = 1; lives <= 10; lives++) {
		fx_wait(&fx, fx_up(&a, "b"));
		for (i = 1; i <= 300; i++) {
			msg.channel = lives;
			msg.id = i;
			iov.iov_len = fuzz_random() % sizeof(buf);
			fx_fill(buf, iov.iov_len, i);
			assert_true(lockstep_peer_send(fx_peer(&a, "b"), &msg, &iov, 1) >= 0);
			if (i == 150)
				fx_turn(&fx);
		}
		/* Either side lets go, in turn. */
		lockstep_peer_reset(lives & 1 ? fx_peer(&a, "b") : fx_peer(&b, "a"), "test");
		assert_int_equal(lockstep_peer_send(lives & 1 ? fx_peer(&a, "b") :
						    fx_peer(&b, "a"), &msg, &iov, 1), -ENOTCONN);
		fx_wait(&fx, a.downs[LOCKSTEP_PLANE_LOG] == lives &&
			b.downs[LOCKSTEP_PLANE_LOG] == lives);
	}
	fx_wait(&fx, fx_up(&a, "b") && fx_up(&b, "a"));
	assert_false(life.wrong);
	assert_true(life.delivered >= 10);
	assert_int_equal(a.ups[LOCKSTEP_PLANE_LOG], 11);
	/* Up and down strictly took turns. */
	for (i = 0, lives = 0; i < a.trace_len; i++) {
		if (a.trace[i] == 'U')
			assert_int_equal(lives++, 0);
		else if (a.trace[i] == 'D')
			assert_int_equal(lives--, 1);
	}
	fx_node_exit(&a);
	fx_node_exit(&b);
}

static void test_backpressure(void **state)
{
	struct lockstep_transport_config cfg = { .queue_max = 256 * 1024 };
	struct fx_node a, b;
	bool above = false;
	uint64_t id = 0, paused;
	int ret;

	(void)state;
	pair_up(&a, &b, &cfg);
	lockstep_peer_receive_pause(fx_peer(&b, "a"), true);
	for (;;) {
		ret = fx_send(&a, "b", id + 1, 20000);
		if (ret == -ENOBUFS)
			break;
		assert_true(ret >= 0);
		id++;
		above |= ret == 1;
		assert_true(lockstep_peer_queued(fx_peer(&a, "b")) <= cfg.queue_max);
		assert_true(id < 100000);
		lockstep_peer_flush(fx_peer(&a, "b"));
	}
	assert_true(above);
	assert_int_equal(a.writable, 0);
	fx_run_ms(&fx, 100);
	paused = b.messages;
	assert_int_equal(paused, 0);
	lockstep_peer_receive_pause(fx_peer(&b, "a"), false);
	fx_wait(&fx, a.writable == 1 && b.messages == id);
	assert_int_equal(b.misordered + b.corrupt, 0);
	assert_true(lockstep_peer_queued(fx_peer(&a, "b")) <= cfg.queue_max / 4);
	fx_node_exit(&a);
	fx_node_exit(&b);
}

/* A pause outlives the connection it was made on. */
static void test_pause_over_reconnect(void **state)
{
	struct fx_node a, b;

	(void)state;
	pair_up(&a, &b, NULL);
	lockstep_peer_receive_pause(fx_peer(&b, "a"), true);
	lockstep_peer_reset(fx_peer(&b, "a"), "test");
	fx_wait(&fx, a.ups[LOCKSTEP_PLANE_LOG] == 2 && b.ups[LOCKSTEP_PLANE_LOG] == 2);
	assert_int_equal(fx_send(&a, "b", 1, 10), 0);
	fx_run_ms(&fx, 100);
	assert_int_equal(b.messages, 0);
	lockstep_peer_receive_pause(fx_peer(&b, "a"), false);
	fx_wait(&fx, b.messages == 1);
	fx_node_exit(&a);
	fx_node_exit(&b);
}

/* A restarted daemon dials while its old connection still looks alive to b. */
static void test_replace(void **state)
{
	struct fx_node a, again, b;

	(void)state;
	pair_up(&a, &b, NULL);
	fx_node_init(&again, &fx, "a", NULL);
	fx_add_peer(&again, "b", b.address);
	fx_wait(&fx, b.downs[LOCKSTEP_PLANE_LOG] >= 1 && b.ups[LOCKSTEP_PLANE_LOG] >= 2);
	assert_int_equal(b.trace[0], 'U');
	assert_non_null(strstr(b.last_reason, "replaced"));
	fx_node_exit(&a);
	fx_wait(&fx, fx_up(&again, "b") && fx_up(&b, "a"));
	assert_true(lockstep_uuid_equal(&b.incarnation,
					lockstep_transport_incarnation(again.t)));
	fx_node_exit(&again);
	fx_node_exit(&b);
}

static void remove_on_message(struct fx_node *n, struct lockstep_peer *peer,
			      const struct lockstep_msg *msg, const void *data, size_t len)
{
	(void)msg;
	(void)data;
	(void)len;
	n->messages++;
	lockstep_peer_remove(peer);
}

/* Removal from inside a callback: nothing more is heard of that peer. */
static void test_remove_in_callback(void **state)
{
	struct fx_node a, b;

	(void)state;
	pair_up(&a, &b, NULL);
	b.on_message = remove_on_message;
	assert_int_equal(fx_send(&a, "b", 1, 10), 0);
	assert_int_equal(fx_send(&a, "b", 2, 10), 0);
	fx_wait(&fx, a.downs[LOCKSTEP_PLANE_LOG] == 1 && a.failures);
	assert_int_equal(b.messages, 1);
	assert_int_equal(b.downs[LOCKSTEP_PLANE_LOG], 0);
	assert_null(lockstep_peer_find(b.t, "a"));
	/* And it may come back. */
	b.on_message = NULL;
	b.last_id = 2;
	fx_add_peer(&b, "a", a.address);
	fx_wait(&fx, fx_up(&a, "b") && fx_up(&b, "a"));
	assert_int_equal(fx_send(&a, "b", 3, 10), 0);
	fx_wait(&fx, b.messages == 2);
	fx_node_exit(&a);
	fx_node_exit(&b);
}

/* Many peers on each node: every pair finds together, and mixes nothing up. */
#define MESH	8

static uint64_t mesh_got[MESH][MESH];

static void count_mesh(struct fx_node *n, struct lockstep_peer *peer,
		       const struct lockstep_msg *msg, const void *data, size_t len)
{
	unsigned int from = (unsigned int)(lockstep_peer_name(peer)[1] - '0');
	unsigned int to = (unsigned int)(n->name[1] - '0');

	assert_int_equal(msg->channel, from * MESH + to);
	assert_int_equal(msg->id, ++mesh_got[to][from]);
	assert_true(fx_check(data, len, msg->id + msg->channel));
}

static void mesh_send(struct fx_node *nodes, unsigned int from, unsigned int to, uint64_t id)
{
	struct lockstep_msg msg = { .channel = from * MESH + to, .id = id };
	uint8_t buf[500];
	struct iovec iov = { .iov_base = buf, .iov_len = fuzz_random() % sizeof(buf) };

	fx_fill(buf, iov.iov_len, id + msg.channel);
	assert_int_equal(lockstep_peer_send(fx_peer(&nodes[from], nodes[to].name), &msg, &iov, 1),
			 0);
}

static void test_mesh(void **state)
{
	static const char * const names[MESH] = { "m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7" };
	static struct fx_node nodes[MESH];
	unsigned int i, k, id;

	(void)state;
	for (i = 0; i < MESH; i++) {
		fx_issue(&fx, names[i]);
		fx_node_init(&nodes[i], &fx, names[i], NULL);
		nodes[i].on_message = count_mesh;
		for (k = 0; k < i; k++)
			fx_connect(&nodes[i], &nodes[k]);
	}
	for (i = 0; i < MESH; i++) {
		for (k = 0; k < i; k++)
			fx_wait(&fx, fx_up(&nodes[i], names[k]) && fx_up(&nodes[k], names[i]));
	}
	for (id = 1; id <= 50; id++) {
		for (i = 0; i < MESH; i++) {
			for (k = 0; k < MESH; k++) {
				if (i != k)
					mesh_send(nodes, i, k, id);
			}
		}
	}
	for (i = 0; i < MESH; i++) {
		for (k = 0; k < MESH; k++) {
			if (i != k)
				fx_wait(&fx, mesh_got[i][k] == 50);
		}
	}
	for (i = 0; i < MESH; i++)
		fx_node_exit(&nodes[i]);
}

static unsigned int calls;
static pthread_t loop_thread;

static void on_call(void *arg)
{
	assert_ptr_equal(arg, &calls);
	assert_true(pthread_equal(pthread_self(), loop_thread));
	calls++;
}

static void *call_from_thread(void *arg)
{
	struct fx_node *n = arg;
	int i;

	for (i = 0; i < 1000; i++)
		assert_int_equal(lockstep_transport_call(n->t, on_call, &calls), 0);
	return NULL;
}

static void test_calls(void **state)
{
	pthread_t threads[2];
	struct fx_node a;
	int i;

	(void)state;
	fx_node_init(&a, &fx, "a", NULL);
	loop_thread = pthread_self();
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, call_from_thread, &a), 0);
	fx_wait(&fx, calls == 2000);
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	fx_node_exit(&a);
}

static void test_status(void **state)
{
	struct json_object *o, *peers, *peer, *log, *up;
	struct fx_node a, b;

	(void)state;
	pair_up(&a, &b, NULL);
	o = lockstep_transport_status(a.t);
	assert_true(json_object_object_get_ex(o, "peers", &peers));
	assert_int_equal(json_object_array_length(peers), 1);
	peer = json_object_array_get_idx(peers, 0);
	assert_true(json_object_object_get_ex(peer, "log", &log));
	assert_true(json_object_object_get_ex(log, "up", &up));
	assert_true(json_object_get_boolean(up));
	json_object_put(o);
	fx_node_exit(&a);
	fx_node_exit(&b);
}

/* --- peers that misbehave: a raw client in a process of its own ---------- */

static int raw_connect(const char *address)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	in.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
	inet_pton(AF_INET, "127.0.0.1", &in.sin_addr);
	if (fd < 0 || connect(fd, (struct sockaddr *)&in, sizeof(in)))
		_exit(10);
	return fd;
}

/*
 * Child: TLS with a node's keys (none: anonymous), send bytes, then read until
 * the other side closes. The first frame that comes back is left in *reply.
 */
struct raw {
	const char *address;
	const char *node;
	const uint8_t *data;
	size_t len;
	int reply_fd;
};

static void raw_client(const struct raw *raw)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	char dir[PATH_MAX], path[PATH_MAX + 16];
	uint8_t buf[4096];
	SSL *ssl;
	int n;

	signal(SIGPIPE, SIG_IGN);
	if (raw->node) {
		fx_keys(&fx, raw->node, dir);
		snprintf(path, sizeof(path), "%s/node.crt", dir);
		SSL_CTX_use_certificate_file(ctx, path, SSL_FILETYPE_PEM);
		snprintf(path, sizeof(path), "%s/node.key", dir);
		SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM);
	}
	ssl = SSL_new(ctx);
	SSL_set_fd(ssl, raw_connect(raw->address));
	if (SSL_connect(ssl) == 1) {
		if (raw->len)
			SSL_write(ssl, raw->data, (int)raw->len);
		while ((n = SSL_read(ssl, buf, sizeof(buf))) > 0) {
			if (write(raw->reply_fd, buf, (size_t)n) != n)
				break;
		}
	}
	/* Without the parent's exit handlers, and its leak check. */
	_exit(0);
}

/*
 * Run a raw client against @n until it is through, or at most for so long: one
 * whose bytes leave the other side waiting for more never ends by itself.
 * Returns how much it got.
 */
static size_t run_raw(struct fx_node *n, const char *node, const uint8_t *data, size_t len,
		      uint8_t *reply, size_t size, unsigned int ms)
{
	struct raw raw = { n->address, node, data, len, -1 };
	uint64_t end = fx_now_ms() + ms;
	int fds[2], status = 0;
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	raw.reply_fd = fds[1];
	pid = fork();
	if (!pid)
		raw_client(&raw);
	close(fds[1]);
	while (waitpid(pid, &status, WNOHANG) != pid) {
		if (fx_now_ms() > end) {
			kill(pid, SIGKILL);
			end = UINT64_MAX;
		}
		fx_turn(&fx);
	}
	got = read(fds[0], reply, size);
	close(fds[0]);
	return got > 0 ? (size_t)got : 0;
}

static size_t make_hello(uint8_t *out, const char *node, uint8_t plane, uint16_t version)
{
	struct lockstep_hello h = {
		.version_min = version, .version_max = version, .plane = plane,
		.window = LOCKSTEP_WINDOW_DEF, .cluster = FX_CLUSTER,
	};
	struct lockstep_frame f = { .type = LOCKSTEP_FRAME_HELLO };

	strcpy(h.node, node);
	f.length = (uint32_t)lockstep_hello_encode(&h, out + LOCKSTEP_FRAME_HDR);
	lockstep_frame_encode(&f, out);
	return LOCKSTEP_FRAME_HDR + f.length;
}

static void test_version_mismatch(void **state)
{
	uint8_t hello[LOCKSTEP_FRAME_HDR + LOCKSTEP_HELLO_MAX], reply[4096];
	struct lockstep_frame f;
	struct fx_node b;
	size_t len;

	(void)state;
	fx_node_init(&b, &fx, "b", NULL);
	fx_add_peer(&b, "a", NULL);
	len = make_hello(hello, "a", LOCKSTEP_PLANE_LOG, 9);
	len = run_raw(&b, "a", hello, len, reply, sizeof(reply), FX_PATIENCE_MS);
	assert_true(len > LOCKSTEP_FRAME_HDR);
	assert_int_equal(lockstep_frame_decode(reply, &f), 0);
	assert_int_equal(f.type, LOCKSTEP_FRAME_REFUSE);
	assert_int_equal(f.kind, EPROTONOSUPPORT);
	assert_int_equal(b.refused, 1);
	assert_non_null(strstr(b.refused_reason, "versions 9 to 9"));
	assert_int_equal(b.ups[LOCKSTEP_PLANE_LOG], 0);
	fx_node_exit(&b);
}

static void test_false_name(void **state)
{
	uint8_t hello[LOCKSTEP_FRAME_HDR + LOCKSTEP_HELLO_MAX], reply[4096];
	struct fx_node b;

	(void)state;
	fx_node_init(&b, &fx, "b", NULL);
	fx_add_peer(&b, "a", NULL);
	/* c says that it is a. */
	run_raw(&b, "c", hello, make_hello(hello, "a", LOCKSTEP_PLANE_LOG, 1), reply,
		sizeof(reply), FX_PATIENCE_MS);
	assert_int_equal(b.refused, 1);
	assert_string_equal(b.refused_node, "c");
	assert_non_null(strstr(b.refused_reason, "calls itself"));
	assert_int_equal(b.ups[LOCKSTEP_PLANE_LOG], 0);
	fx_node_exit(&b);
}

static void test_no_certificate(void **state)
{
	uint8_t reply[16];
	struct fx_node b;

	(void)state;
	fx_node_init(&b, &fx, "b", NULL);
	run_raw(&b, NULL, NULL, 0, reply, sizeof(reply), FX_PATIENCE_MS);
	fx_wait(&fx, b.refused == 1);
	assert_string_equal(b.refused_node, "");
	fx_node_exit(&b);
}

/* No TLS at all, and a connection that says nothing. */
static void test_not_tls(void **state)
{
	struct lockstep_transport_config cfg = { .connect_ms = 300 };
	struct fx_node b;
	uint8_t junk[600];
	int fd, mute;

	(void)state;
	fx_node_init(&b, &fx, "b", &cfg);
	fd = raw_connect(b.address);
	mute = raw_connect(b.address);
	fx_fill(junk, sizeof(junk), fuzz_random());
	assert_int_equal(write(fd, junk, sizeof(junk)), sizeof(junk));
	fx_wait(&fx, b.refused == 2);
	assert_non_null(strstr(b.refused_reason, "no answer"));
	close(fd);
	close(mute);
	fx_node_exit(&b);
}

/* More that say nothing than are borne: the rest is cut off, and that is told. */
static void test_too_many(void **state)
{
	struct lockstep_transport_config cfg = { .connect_ms = 60000 };
	int fd[LOCKSTEP_PENDING_MAX + 1];
	struct fx_node b;
	unsigned int i;

	(void)state;
	fx_node_init(&b, &fx, "b", &cfg);
	for (i = 0; i < sizeof(fd) / sizeof(fd[0]); i++) {
		fd[i] = raw_connect(b.address);
		fx_run_ms(&fx, 1);
	}
	fx_wait(&fx, b.refused == 1);
	assert_non_null(strstr(b.refused_reason, "too many"));
	for (i = 0; i < sizeof(fd) / sizeof(fd[0]); i++)
		close(fd[i]);
	fx_node_exit(&b);
}

/* A good HELLO and eight frames, some of them damaged. */
static size_t damaged_frames(uint8_t *data, unsigned int round)
{
	uint8_t plane = round & 1 ? LOCKSTEP_PLANE_LOG : LOCKSTEP_PLANE_BULK;
	size_t start = make_hello(data, "a", plane, 1), len = start;
	struct lockstep_frame f;
	unsigned int k;

	for (k = 0; k < 8; k++) {
		memset(&f, 0, sizeof(f));
		f.type = (uint8_t)(fuzz_random() % (LOCKSTEP_FRAME_TYPE_MAX + 1));
		f.length = (uint32_t)(fuzz_random() % 200);
		f.channel = (uint32_t)(fuzz_random() % 6);
		f.kind = (uint32_t)(fuzz_random() % 6);
		f.id = fuzz_random() & 1 ? fuzz_random() : LOCKSTEP_WINDOW_DEF;
		lockstep_frame_encode(&f, data + len);
		fx_fill(data + len + LOCKSTEP_FRAME_HDR, f.length, round);
		len += LOCKSTEP_FRAME_HDR + f.length;
	}
	for (k = fuzz_random() % 4; k; k--)
		data[start + fuzz_random() % (len - start)] = (uint8_t)fuzz_random();
	/* An end that is no frame, so that most clients are thrown out at once. */
	memset(data + len, 0xee, LOCKSTEP_FRAME_HDR);
	return len + LOCKSTEP_FRAME_HDR;
}

/*
 * An authenticated peer that sends damaged frames after a good HELLO: the
 * connection may break, nothing else; afterwards the real peer gets through.
 */
static void test_damaged_frames(void **state)
{
	uint8_t data[LOCKSTEP_FRAME_HDR + LOCKSTEP_HELLO_MAX + 4096], reply[4096];
	unsigned int i, rounds = fuzz_rounds(60);
	struct fx_node a, b;

	(void)state;
	fx_node_init(&b, &fx, "b", NULL);
	fx_add_peer(&b, "a", NULL);
	for (i = 0; i < rounds && i < 1000; i++)
		run_raw(&b, "a", data, damaged_frames(data, i), reply, sizeof(reply), 200);
	/* The HELLOs were good: each connection was the peer's for a moment. */
	assert_true(b.ups[LOCKSTEP_PLANE_LOG] >= i / 4);
	assert_true(b.ups[LOCKSTEP_PLANE_BULK] >= i / 4);

	fx_node_init(&a, &fx, "a", NULL);
	fx_add_peer(&a, "b", b.address);
	fx_wait(&fx, fx_up(&a, "b") && fx_up(&b, "a"));
	b.messages = b.last_id = b.misordered = b.corrupt = 0;
	assert_int_equal(fx_send(&a, "b", 1, 100), 0);
	fx_wait(&fx, b.messages == 1);
	assert_int_equal(b.corrupt + b.misordered, 0);
	fx_node_exit(&a);
	fx_node_exit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_up_and_order, fx_sweep),
		cmocka_unit_test_teardown(test_flush, fx_sweep),
		cmocka_unit_test_teardown(test_stranger, fx_sweep),
		cmocka_unit_test_teardown(test_wrong_ca, fx_sweep),
		cmocka_unit_test_teardown(test_wrong_ca_server, fx_sweep),
		cmocka_unit_test_teardown(test_wrong_node, fx_sweep),
		cmocka_unit_test_teardown(test_who_dials, fx_sweep),
		cmocka_unit_test_teardown(test_reconnect_at_most_once, fx_sweep),
		cmocka_unit_test_teardown(test_backpressure, fx_sweep),
		cmocka_unit_test_teardown(test_pause_over_reconnect, fx_sweep),
		cmocka_unit_test_teardown(test_replace, fx_sweep),
		cmocka_unit_test_teardown(test_remove_in_callback, fx_sweep),
		cmocka_unit_test_teardown(test_mesh, fx_sweep),
		cmocka_unit_test_teardown(test_calls, fx_sweep),
		cmocka_unit_test_teardown(test_status, fx_sweep),
		cmocka_unit_test_teardown(test_version_mismatch, fx_sweep),
		cmocka_unit_test_teardown(test_false_name, fx_sweep),
		cmocka_unit_test_teardown(test_no_certificate, fx_sweep),
		cmocka_unit_test_teardown(test_not_tls, fx_sweep),
		cmocka_unit_test_teardown(test_too_many, fx_sweep),
		cmocka_unit_test_teardown(test_damaged_frames, fx_sweep),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
