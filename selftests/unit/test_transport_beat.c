// SPDX-License-Identifier: GPL-2.0
/*
 * Heartbeats with real sockets: payload and round trip, silence and its end,
 * forgery and replay, and the rule about gaps of the loop itself.
 *
 * Sources: daemon/transport daemon/common
 * Sources: selftests/unit/transport_fixture.c selftests/unit/fuzz.c
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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
#include <event2/event.h>

#include "transport/internal.h"
#include "transport_fixture.h"

static struct fx fx;
static const struct lockstep_transport_config quick = { .heartbeat_ms = 50, .silence_ms = 1000 };

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

static void test_payload_and_rtt(void **state)
{
	struct fx_node a, b;

	(void)state;
	fx_node_init(&a, &fx, "a", &quick);
	fx_node_init(&b, &fx, "b", &quick);
	fx_connect(&a, &b);
	fx_wait(&fx, a.beats > 5 && b.beats > 5 && a.last_rtt && b.last_rtt);
	assert_string_equal(a.beat_text, "i am b");
	assert_string_equal(b.beat_text, "i am a");
	assert_true(lockstep_peer_rtt_ns(fx_peer(&a, "b")) < LOCKSTEP_NSEC_PER_SEC);
	assert_true(lockstep_peer_silent_ns(fx_peer(&a, "b")) < LOCKSTEP_NSEC_PER_SEC);
	fx_node_exit(&a);
	fx_node_exit(&b);
}

/*
 * A broken TCP connection is not silence: heartbeats go on under the key that
 * both sides have, and under the new one after the reconnect.
 */
static void test_outlive_tcp(void **state)
{
	struct fx_node a, b;
	unsigned int beats, i;

	(void)state;
	fx_node_init(&a, &fx, "a", &quick);
	fx_node_init(&b, &fx, "b", &quick);
	fx_connect(&a, &b);
	fx_wait(&fx, a.beats > 2 && b.beats > 2);
	for (i = 0; i < 6; i++) {
		lockstep_peer_reset(fx_peer(i & 1 ? &a : &b, i & 1 ? "b" : "a"), "test");
		fx_wait(&fx, a.ups[LOCKSTEP_PLANE_LOG] == i + 2 &&
			b.ups[LOCKSTEP_PLANE_LOG] == i + 2);
		beats = a.beats;
		fx_wait(&fx, a.beats > beats + 2);
		beats = b.beats;
		fx_wait(&fx, b.beats > beats + 2);
	}
	assert_int_equal(a.silences + b.silences, 0);
	fx_node_exit(&a);
	fx_node_exit(&b);
}

static void test_silence(void **state)
{
	uint64_t begin;
	struct fx_node a, b;

	(void)state;
	fx_node_init(&a, &fx, "a", &quick);
	fx_node_init(&b, &fx, "b", &quick);
	fx_connect(&a, &b);
	fx_wait(&fx, a.beats > 2 && b.beats > 2);
	fx_run_ms(&fx, 2000);
	assert_int_equal(a.silences, 0);
	fx_node_exit(&b);
	begin = fx_now_ms();
	fx_wait(&fx, a.silences == 1);
	assert_in_range(fx_now_ms() - begin, 900, 10000);
	fx_wait(&fx, a.silences == 3);
	assert_true(fx_now_ms() - begin >= 2900);
	assert_int_equal(a.heard, 0);
	fx_node_exit(&a);
}

/* A peer that was never up is absent, not silent. */
static void test_never_up(void **state)
{
	struct fx_node a;

	(void)state;
	fx_node_init(&a, &fx, "a", &quick);
	fx_add_peer(&a, "b", "127.0.0.1:1");
	fx_run_ms(&fx, 2000);
	assert_int_equal(a.silences, 0);
	assert_true(a.failures > 0);
	fx_node_exit(&a);
}

/* --- with the peer in a process of its own ------------------------------- */

struct child {
	pid_t pid;
	int from;	/* its trace, letter by letter */
	int to;		/* the end of it ends the child */
	char trace[8192];
	size_t len;
};

/* Node b in a child: every new letter of its trace goes to the parent. */
static void child_main(int out, int in, const char *address)
{
	struct fx child_fx = fx;
	struct fx_node b;
	size_t told = 0;
	char port[LOCKSTEP_ADDR_STRLEN], c;

	child_fx.base = lockstep_loop_create();
	fx_node_init(&b, &child_fx, "b", &quick);
	fx_add_peer(&b, "a", address);
	snprintf(port, sizeof(port), "%s", b.address);
	if (write(out, port, sizeof(port)) != sizeof(port))
		_exit(1);
	while (read(in, &c, 1) < 0) {
		fx_turn(&child_fx);
		if (told < b.trace_len &&
		    write(out, b.trace + told, b.trace_len - told) > 0)
			told = b.trace_len;
	}
	_exit(0);
}

static void child_start(struct child *c, struct fx_node *a)
{
	char address[LOCKSTEP_ADDR_STRLEN];
	int out[2], in[2];

	memset(c, 0, sizeof(*c));
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(pipe2(in, O_CLOEXEC | O_NONBLOCK), 0);
	c->pid = fork();
	if (!c->pid) {
		close(in[1]);
		child_main(out[1], in[0], a->address);
	}
	close(out[1]);
	close(in[0]);
	c->from = out[0];
	c->to = in[1];
	assert_int_equal(read(c->from, address, sizeof(address)), sizeof(address));
	fcntl(c->from, F_SETFL, O_NONBLOCK);
	fx_add_peer(a, "b", address);
}

static size_t child_trace(struct child *c)
{
	ssize_t n = read(c->from, c->trace + c->len, sizeof(c->trace) - 1 - c->len);

	if (n > 0)
		c->len += (size_t)n;
	return c->len;
}

static void child_stop(struct child *c)
{
	int status;

	kill(c->pid, SIGCONT);
	close(c->to);
	fx_wait(&fx, waitpid(c->pid, &status, WNOHANG) == c->pid);
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
	close(c->from);
}

/*
 * SIGSTOP of one side: the other reports silence and then hears it again; the
 * stopped one reports its own gap before anything else, and no silence, though
 * far more than the time-out has passed for it.
 */
static void test_sigstop(void **state)
{
	struct fx_node a;
	struct child c;
	size_t before;

	(void)state;
	fx_node_init(&a, &fx, "a", &quick);
	child_start(&c, &a);
	fx_wait(&fx, a.beats > 5 && child_trace(&c) > 5);
	assert_int_equal(a.silences, 0);

	kill(c.pid, SIGSTOP);
	child_trace(&c);
	fx_run_ms(&fx, 50);
	before = child_trace(&c);
	fx_wait(&fx, a.silences >= 2);
	assert_int_equal(a.heard, 0);
	kill(c.pid, SIGCONT);
	fx_wait(&fx, a.heard == 1);
	fx_wait(&fx, child_trace(&c) > before + 10);
	/* What it did first after it was let go: notice the gap. */
	assert_int_equal(c.trace[before], 'G');
	assert_null(strchr(c.trace, 'S'));
	assert_null(strchr(c.trace, 'H'));
	child_stop(&c);
	fx_node_exit(&a);
}

/*
 * Both at once: this process is away while the peer dies. The gap is reported
 * first, then the dead connection, and silence only a full time-out after.
 */
static void test_gap_before_silence(void **state)
{
	struct fx_node a;
	struct child c;
	uint64_t back;
	size_t before;

	(void)state;
	fx_node_init(&a, &fx, "a", &quick);
	child_start(&c, &a);
	fx_wait(&fx, a.beats > 5);
	before = a.trace_len;
	kill(c.pid, SIGKILL);
	usleep(2500000);		/* more than twice the time-out */
	back = fx_now_ms();
	fx_wait(&fx, a.trace_len > before);
	assert_int_equal(a.trace[before], 'G');
	fx_wait(&fx, a.silences == 1);
	assert_true(fx_now_ms() - back >= 990);
	assert_true(a.gaps >= 1);
	waitpid(c.pid, NULL, 0);
	close(c.from);
	close(c.to);
	fx_node_exit(&a);
}

/* A gap below half the time-out is nothing. */
static void test_short_gap(void **state)
{
	struct fx_node a, b;

	(void)state;
	fx_node_init(&a, &fx, "a", &quick);
	fx_node_init(&b, &fx, "b", &quick);
	fx_connect(&a, &b);
	fx_wait(&fx, a.beats > 2);
	usleep(250000);
	fx_run_ms(&fx, 100);
	assert_int_equal(a.gaps + b.gaps, 0);
	/* The time-out of one peer decides. */
	assert_int_equal(lockstep_peer_set_silence(fx_peer(&a, "b"), 200), 0);
	assert_int_equal(lockstep_peer_set_silence(fx_peer(&a, "b"), 199), -ERANGE);
	usleep(250000);
	fx_run_ms(&fx, 100);
	assert_true(a.gaps >= 1);
	assert_int_equal(b.gaps, 0);
	assert_int_equal(a.silences, 0);
	fx_node_exit(&a);
	fx_node_exit(&b);
}

/* --- forgery ------------------------------------------------------------- */

static void throw_datagram(struct fx_node *n, const uint8_t *data, size_t len)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	in.sin_port = htons((uint16_t)atoi(strrchr(n->address, ':') + 1));
	inet_pton(AF_INET, "127.0.0.1", &in.sin_addr);
	assert_int_equal(sendto(fd, data, len, 0, (struct sockaddr *)&in, sizeof(in)), len);
	close(fd);
}

/* Nobody has heard us in the future: the turn of a loop may be older than what came in it. */
static void test_heard_in_the_same_turn(void **state)
{
	struct lockstep_transport_config slow = { .heartbeat_ms = 2000, .silence_ms = 8000 };
	struct lockstep_peer *peer;
	struct fx_node a, b;
	unsigned int before;

	(void)state;
	fx_node_init(&a, &fx, "a", &slow);
	fx_node_init(&b, &fx, "b", &slow);
	fx_connect(&a, &b);
	fx_wait(&fx, fx_up(&a, "b") && fx_up(&b, "a") && a.beats && b.beats);
	peer = fx_peer(&b, "a");
	before = a.beats;
	lockstep_beats_send(peer, peer->beats.echo_at_ns - 1);
	fx_wait(&fx, a.beats > before);
	assert_int_equal(a.peer_heard_ns, 0);
	fx_node_exit(&a);
	fx_node_exit(&b);
}

static void test_forgery(void **state)
{
	/* Few real ones, so that they don't get in the way. */
	struct lockstep_transport_config slow = { .heartbeat_ms = 2000, .silence_ms = 8000 };
	uint8_t buf[LOCKSTEP_BEAT_MAX], again[LOCKSTEP_BEAT_MAX];
	struct lockstep_beat beat = { .payload = "forged", .len = 6 };
	struct lockstep_beat_key *key;
	struct lockstep_beats *beats;
	struct fx_node a, b;
	unsigned int before;
	uint64_t rejected;
	int len;

	(void)state;
	fx_node_init(&a, &fx, "a", &slow);
	fx_node_init(&b, &fx, "b", &slow);
	fx_connect(&a, &b);
	fx_wait(&fx, fx_up(&a, "b") && fx_up(&b, "a") && a.beats && b.beats);
	beats = &fx_peer(&b, "a")->beats;
	key = &beats->keys[0];

	/* Garbage, and another key's id: nothing of the peer's, but told. */
	rejected = beats->rejected;
	before = b.beats;
	throw_datagram(&b, (const uint8_t *)"hello", 5);
	beat.key_id = key->id + 2;
	beat.seq = 1000;
	len = lockstep_beat_encode(&beat, key->recv, buf);
	throw_datagram(&b, buf, (size_t)len);
	fx_wait(&fx, b.refused == 2);
	assert_non_null(strstr(b.refused_reason, "no heartbeat of a peer"));
	assert_int_equal(beats->rejected, rejected);
	/* Our own key sent back to us: a reflection. */
	beat.key_id = key->id;
	len = lockstep_beat_encode(&beat, key->send, buf);
	throw_datagram(&b, buf, (size_t)len);
	fx_wait(&fx, beats->rejected == rejected + 1);
	assert_int_equal(b.beats, before);
	assert_int_equal(b.refused, 3);
	assert_non_null(strstr(b.refused_reason, "altered"));

	/* With the right key it is taken, once. */
	len = lockstep_beat_encode(&beat, key->recv, buf);
	memcpy(again, buf, sizeof(buf));
	throw_datagram(&b, buf, (size_t)len);
	fx_wait(&fx, b.beats == before + 1);
	assert_string_equal(b.beat_text, "forged");
	throw_datagram(&b, again, (size_t)len);
	fx_wait(&fx, beats->rejected == rejected + 2);
	/* And nothing older either. */
	beat.seq = 999;
	len = lockstep_beat_encode(&beat, key->recv, buf);
	throw_datagram(&b, buf, (size_t)len);
	fx_wait(&fx, beats->rejected == rejected + 3);
	assert_int_equal(b.beats, before + 1);
	assert_int_equal(b.refused, 5);
	assert_non_null(strstr(b.refused_reason, "sent before"));
	/* One flipped bit. */
	beat.seq = 1001;
	len = lockstep_beat_encode(&beat, key->recv, buf);
	buf[LOCKSTEP_BEAT_FIXED] ^= 1;
	throw_datagram(&b, buf, (size_t)len);
	fx_wait(&fx, beats->rejected == rejected + 4);
	assert_int_equal(b.beats, before + 1);
	fx_node_exit(&a);
	fx_node_exit(&b);
}

/*
 * What the peer's own socket sends twice is the network's doing, and what has an
 * old key while the peer is away may be its last session's: nobody is told of.
 */
static void test_no_stranger(void **state)
{
	struct lockstep_transport_config slow = { .heartbeat_ms = 2000, .silence_ms = 8000 };
	struct lockstep_beat beat = { .payload = "again", .len = 5, .seq = 1 };
	uint8_t buf[LOCKSTEP_BEAT_MAX];
	struct lockstep_beats *from, *to;
	struct fx_node a, b;
	uint64_t rejected;
	int len;

	(void)state;
	fx_node_init(&a, &fx, "a", &slow);
	fx_node_init(&b, &fx, "b", &slow);
	fx_connect(&a, &b);
	fx_wait(&fx, fx_up(&a, "b") && fx_up(&b, "a") && a.beats && b.beats);
	from = &fx_peer(&a, "b")->beats;
	to = &fx_peer(&b, "a")->beats;
	rejected = to->rejected;
	beat.key_id = to->keys[0].id;
	len = lockstep_beat_encode(&beat, to->keys[0].recv, buf);
	assert_int_equal(sendto(from->udp->fd, buf, (size_t)len, 0, (struct sockaddr *)&from->to.sa,
				from->to.len), len);
	fx_wait(&fx, to->rejected == rejected + 1);
	assert_int_equal(b.refused, 0);

	fx_node_exit(&a);
	fx_wait(&fx, !fx_up(&b, "a"));
	throw_datagram(&b, (const uint8_t *)"hello", 5);
	fx_run_ms(&fx, 100);
	assert_int_equal(b.refused, 0);
	fx_node_exit(&b);
}

/*
 * Listening on all addresses of both families, reached over IPv4 and IPv6: the
 * answers find back.
 */
static void test_families(void **state)
{
	static const char * const hosts[] = { "127.0.0.1", "[::1]" };
	char bound[LOCKSTEP_ADDR_STRLEN], address[LOCKSTEP_ADDR_STRLEN + 16];
	struct lockstep_transport_config cfg = { .cluster = FX_CLUSTER, .node = "b" };
	char keys[PATH_MAX], err[256];
	struct fx_node a, b;
	int i;

	(void)state;
	cfg.keys_dir = fx_keys(&fx, "b", keys);
	for (i = 0; i < 2; i++) {
		fx_node_init(&a, &fx, "a", &quick);
		memset(&b, 0, sizeof(b));
		b.fx = &fx;
		b.name = "b";
		assert_int_equal(lockstep_transport_create(fx.base, &cfg, &fx_ops, &b, err,
							   sizeof(err), &b.t), 0);
		assert_int_equal(lockstep_transport_listen(b.t, "*:0", bound), 0);
		snprintf(address, sizeof(address), "%s%s", hosts[i], strrchr(bound, ':'));
		fx_add_peer(&a, "b", address);
		fx_add_peer(&b, "a", NULL);
		/* a listens on IPv4 only: over IPv6 it needs another socket. */
		fx_wait(&fx, fx_up(&a, "b") && fx_up(&b, "a"));
		fx_wait(&fx, a.beats > 3 && b.beats > 3 && a.last_rtt && b.last_rtt);
		fx_node_exit(&a);
		fx_node_exit(&b);
	}
}

/* Each direction and each connection has keys of its own. */
static void test_keys_differ(void **state)
{
	struct lockstep_beat_key first, *ka, *kb;
	struct fx_node a, b;

	(void)state;
	fx_node_init(&a, &fx, "a", &quick);
	fx_node_init(&b, &fx, "b", &quick);
	fx_connect(&a, &b);
	fx_wait(&fx, a.beats && b.beats);
	ka = &fx_peer(&a, "b")->beats.keys[0];
	kb = &fx_peer(&b, "a")->beats.keys[0];
	assert_true(ka->id == kb->id);
	assert_memory_equal(ka->send, kb->recv, LOCKSTEP_BEAT_KEY);
	assert_memory_equal(ka->recv, kb->send, LOCKSTEP_BEAT_KEY);
	assert_memory_not_equal(ka->send, ka->recv, LOCKSTEP_BEAT_KEY);
	first = *ka;
	lockstep_peer_reset(fx_peer(&a, "b"), "test");
	fx_wait(&fx, a.ups[LOCKSTEP_PLANE_LOG] == 2);
	assert_true(ka->id != first.id);
	assert_memory_not_equal(ka->send, first.send, LOCKSTEP_BEAT_KEY);
	fx_node_exit(&a);
	fx_node_exit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_payload_and_rtt, fx_sweep),
		cmocka_unit_test_teardown(test_outlive_tcp, fx_sweep),
		cmocka_unit_test_teardown(test_silence, fx_sweep),
		cmocka_unit_test_teardown(test_never_up, fx_sweep),
		cmocka_unit_test_teardown(test_sigstop, fx_sweep),
		cmocka_unit_test_teardown(test_gap_before_silence, fx_sweep),
		cmocka_unit_test_teardown(test_short_gap, fx_sweep),
		cmocka_unit_test_teardown(test_heard_in_the_same_turn, fx_sweep),
		cmocka_unit_test_teardown(test_forgery, fx_sweep),
		cmocka_unit_test_teardown(test_no_stranger, fx_sweep),
		cmocka_unit_test_teardown(test_families, fx_sweep),
		cmocka_unit_test_teardown(test_keys_differ, fx_sweep),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
