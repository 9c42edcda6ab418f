// SPDX-License-Identifier: GPL-2.0
/*
 * The arbiter's back end "etcd", with Debian's etcd on loopback: requests, races,
 * servers that are stopped, killed or hang, an older copy put back, TLS; and
 * answers of etcd that make no sense.
 *
 * LOCKSTEP_SEED repeats what is random.
 *
 * Sources: daemon/arbiter/backend.c daemon/arbiter/client.c daemon/arbiter/etcd.c daemon/arbiter/etcd_json.c
 * Sources: daemon/arbiter/http.c daemon/arbiter/record.c daemon/arbiter/rules.c
 * Sources: daemon/arbiter/wire.c daemon/transport daemon/common
 * Sources: selftests/unit/arbiter_fixture.c selftests/unit/fuzz.c
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
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "arbiter/etcd.h"
#include "arbiter/etcd_json.h"
#include "arbiter_fixture.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "fuzz.h"

#define MS	15000

static char top[64];
static unsigned int number;
static int port, peer_port, dead_port;
static pid_t server;
static const char *scheme = "http";
static struct lockstep_arbiter *arb_a, *arb_b;

static void run(const char *fmt, ...)
{
	char cmd[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	if (system(cmd))
		fail_msg("failed: %s", cmd);
}

/* --- the server ------------------------------------------------------------- */

static int free_port(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	close(fd);
	return ntohs(sin.sin_port);
}

static void server_exec(void)
{
	char data[96], client[64], peer[64], cluster[80], path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/log", top);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(fd, 1);
	dup2(fd, 2);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(data, sizeof(data), "%s/%u", top, number);
	snprintf(client, sizeof(client), "%s://127.0.0.1:%d", scheme, port);
	snprintf(peer, sizeof(peer), "http://127.0.0.1:%d", peer_port);
	snprintf(cluster, sizeof(cluster), "t=%s", peer);
	if (chdir(top))
		_exit(126);
	/* An empty file name is none. */
	execlp("etcd", "etcd", "--name", "t", "--data-dir", data, "--listen-client-urls", client,
	       "--advertise-client-urls", client, "--listen-peer-urls", peer,
	       "--initial-advertise-peer-urls", peer, "--initial-cluster", cluster,
	       "--cert-file", scheme[4] ? "cert.pem" : "",
	       "--key-file", scheme[4] ? "key.pem" : "",
	       "--unsafe-no-fsync", NULL);
	_exit(127);
}

static void server_start(void)
{
	uint64_t end = afx_now_ms() + AFX_PATIENCE_MS;
	struct afx_answer an;
	int status;

	server = fork();
	if (!server)
		server_exec();
	do {
		if (waitpid(server, &status, WNOHANG) == server)
			fail_msg("etcd did not start (%d), see scripts/deps; its log is in %s",
				 WEXITSTATUS(status), top);
		if (afx_now_ms() > end)
			fail_msg("etcd does not answer");
		afx_run_ms(50);
		an = afx_probe(arb_b, 2000);
	} while (an.result == LOCKSTEP_ARBITER_UNKNOWN);
}

static void server_kill(int sig)
{
	int status;

	if (server <= 0)
		return;
	kill(server, sig);
	kill(server, SIGCONT);
	assert_int_equal(waitpid(server, &status, 0), server);
	server = 0;
}

/* --- setup ------------------------------------------------------------------ */

static struct lockstep_arbiter *backend(const char *node, const char *servers)
{
	char ca[96], err[256];
	struct lockstep_arbiter_etcd_config cfg = {
		.loop = afx_base, .name = "arbiter", .node = node, .boot_id = { { 9 } },
		.http = { .servers = servers, .ca = scheme[4] ? ca : "" },
	};
	struct lockstep_arbiter *arb;

	snprintf(ca, sizeof(ca), "%s/cert.pem", top);
	if (lockstep_arbiter_etcd_create(&cfg, &arb, err, sizeof(err)))
		fail_msg("%s", err);
	assert_string_equal(arb->ops->name, "etcd");
	return arb;
}

/* a has a dead endpoint before the good one, b has only that. */
static void backends(void)
{
	char servers[128], one[64];

	snprintf(one, sizeof(one), "%s://127.0.0.1:%d", scheme, port);
	snprintf(servers, sizeof(servers), "http://127.0.0.1:%d, %s", dead_port, one);
	arb_a = backend("a", servers);
	arb_b = backend("b", one);
}

static void forget(void)
{
	if (arb_a)
		arb_a->ops->destroy(arb_a);
	if (arb_b)
		arb_b->ops->destroy(arb_b);
	arb_a = arb_b = NULL;
}

static int group_setup(void **state)
{
	(void)state;
	lockstep_log_init("test", LOCKSTEP_LOG_ERR, false);
	fuzz_seed();
	signal(SIGPIPE, SIG_IGN);
	strcpy(top, "/tmp/lockstep-unit.XXXXXX");
	afx_base = event_base_new();
	port = free_port();
	peer_port = free_port();
	dead_port = free_port();
	if (!afx_base || !mkdtemp(top))
		return -1;
	backends();
	server_start();
	forget();
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	server_kill(SIGKILL);
	run("rm -rf '%s'", top);
	event_base_free(afx_base);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	backends();
	if (!server)
		server_start();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	forget();
	return 0;
}

/* --- tests ------------------------------------------------------------------ */

static void test_rules(void **state)
{
	struct afx_answer x, y;

	(void)state;
	afx_check_rules(arb_a, arb_b);
	x = afx_probe(arb_a, MS);
	y = afx_probe(arb_b, MS);
	assert_true(x.has_info && y.has_info);
	assert_true(lockstep_uuid_equal(&x.info.store, &y.info.store));
	/* A single etcd that runs on this host is noticed; one of several is not. */
	assert_int_equal(y.info.boot_id.b[0], 9);
	assert_true(lockstep_uuid_is_nil(&x.info.boot_id));
}

static void test_races(void **state)
{
	(void)state;
	afx_check_races(arb_a, arb_b, 1000);
	afx_check_close_races(arb_a, arb_b, 300);
}

static void test_stopped(void **state)
{
	struct lockstep_uuid vm = afx_formed(arb_a);
	struct afx_answer x;

	(void)state;
	server_kill(SIGTERM);
	x = afx_claim(arb_a, &vm, 1, "a", 1, 1000);
	assert_int_equal(x.result, LOCKSTEP_ARBITER_UNKNOWN);
	assert_false(x.maybe_done);
	assert_false(afx_probe(arb_b, 1000).has_info);
	server_start();
	assert_int_equal(afx_claim(arb_b, &vm, 1, "b", 2, MS).result, LOCKSTEP_ARBITER_WON);
	assert_int_equal(afx_claim(arb_a, &vm, 1, "a", 1, MS).result, LOCKSTEP_ARBITER_LOST);
}

/* It takes connections and says nothing. */
static void test_hangs(void **state)
{
	struct lockstep_uuid vm = afx_formed(arb_a);
	uint64_t begin;
	struct afx_answer x, y;

	(void)state;
	kill(server, SIGSTOP);
	begin = afx_now_ms();
	x = afx_claim(arb_a, &vm, 1, "a", 1, 300);
	assert_int_equal(x.result, LOCKSTEP_ARBITER_UNKNOWN);
	assert_true(afx_now_ms() - begin < 5000);
	y = afx_claim(arb_b, &vm, 1, "b", 2, 300);
	assert_int_equal(y.result, LOCKSTEP_ARBITER_UNKNOWN);
	kill(server, SIGCONT);
	x = afx_claim_settled(arb_a, &vm, "a", 1);
	y = afx_claim_settled(arb_b, &vm, "b", 2);
	assert_true((x.result == LOCKSTEP_ARBITER_WON) != (y.result == LOCKSTEP_ARBITER_WON));
}

static void server_crash(void)
{
	server_kill(SIGKILL);
}

static void test_killed(void **state)
{
	(void)state;
	afx_check_killed(arb_a, arb_b, 12, server_crash, server_start);
}

static void on_done(const struct lockstep_arbiter_answer *answer, void *arg)
{
	assert_int_equal(answer->result, LOCKSTEP_ARBITER_OK);
	*(bool *)arg = true;
}

static void restore(void)
{
	bool done = false;

	assert_int_equal(lockstep_arbiter_etcd_restore(arb_a, MS, on_done, &done), 0);
	afx_wait(&done);
}

/* Its folder put back from a copy: who saw it later than that takes nothing from it. */
static void test_older_copy(void **state)
{
	struct lockstep_uuid vm = afx_formed(arb_a);
	struct afx_answer an;
	unsigned int i;

	(void)state;
	server_kill(SIGTERM);
	run("cp -a %s/%u %s/copy", top, number, top);
	server_start();
	assert_int_equal(afx_claim(arb_a, &vm, 1, "a", 1, MS).result, LOCKSTEP_ARBITER_WON);
	assert_int_equal(afx_claim(arb_b, &vm, 1, "b", 2, MS).result, LOCKSTEP_ARBITER_LOST);
	server_kill(SIGTERM);
	run("rm -r %s/%u && mv %s/copy %s/%u", top, number, top, top, number);
	server_start();
	/* Also after others have made its revision as high as it was. */
	for (i = 0; i < 2; i++) {
		an = afx_claim(arb_b, &vm, 1, "b", 2, MS);
		assert_int_equal(an.result, LOCKSTEP_ARBITER_REFUSED);
		assert_int_equal(an.refusal, LOCKSTEP_REFUSAL_OTHER_STORE);
		run("for i in 1 2 3 4 5 6; do ETCDCTL_API=3 etcdctl --endpoints 127.0.0.1:%d put x $i >/dev/null; done",
		    port);
	}
	assert_int_equal(afx_probe(arb_b, MS).result, LOCKSTEP_ARBITER_REFUSED);
	restore();
	assert_true(afx_probe(arb_b, MS).has_info);
	assert_int_equal(afx_claim(arb_b, &vm, 1, "b", 2, MS).refusal,
			 LOCKSTEP_REFUSAL_OTHER_STORE);
	vm = afx_formed(arb_b);
	assert_int_equal(afx_claim(arb_b, &vm, 1, "b", 2, MS).result, LOCKSTEP_ARBITER_WON);
}

/* Records that were moved to another cluster: its id tells, also who never saw it. */
static void test_other_cluster(void **state)
{
	struct lockstep_uuid vm = afx_formed(arb_a);
	struct afx_answer an;

	(void)state;
	run("ETCDCTL_API=3 etcdctl --endpoints 127.0.0.1:%d snapshot save %s/snap >/dev/null 2>&1",
	    port, top);
	server_kill(SIGTERM);
	number++;
	peer_port = free_port();
	run("ETCDCTL_API=3 etcdctl snapshot restore %s/snap --name t --data-dir %s/%u "
	    "--initial-cluster t=http://127.0.0.1:%d --initial-cluster-token other "
	    "--initial-advertise-peer-urls http://127.0.0.1:%d >/dev/null 2>&1",
	    top, top, number, peer_port, peer_port);
	forget();
	backends();
	server_start();
	an = afx_claim(arb_b, &vm, 1, "b", 2, MS);
	assert_int_equal(an.result, LOCKSTEP_ARBITER_REFUSED);
	assert_int_equal(an.refusal, LOCKSTEP_REFUSAL_OTHER_STORE);
	assert_non_null(strstr(an.detail, "restore"));
	restore();
	assert_true(afx_probe(arb_b, MS).has_info);
	assert_int_equal(afx_claim(arb_a, &vm, 1, "a", 1, MS).refusal,
			 LOCKSTEP_REFUSAL_OTHER_STORE);
}

/* Everything was lost: another store, in which nothing is known. */
static void test_emptied(void **state)
{
	struct lockstep_uuid vm = afx_formed(arb_a);

	(void)state;
	server_kill(SIGTERM);
	run("rm -r %s/%u", top, number);
	server_start();
	assert_int_equal(afx_claim(arb_a, &vm, 1, "a", 1, MS).refusal, LOCKSTEP_REFUSAL_NO_OPEN);
	assert_int_equal(afx_list(arb_a, NULL, MS).count, 0);
}

static void test_tls(void **state)
{
	struct lockstep_arbiter *plain = arb_a;
	struct lockstep_uuid vm;
	char other[64];

	(void)state;
	server_kill(SIGTERM);
	arb_a = NULL;
	forget();
	scheme = "https";
	run("cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=t -addext subjectAltName=IP:127.0.0.1 2>/dev/null",
	    top);
	backends();
	server_start();
	vm = afx_formed(arb_a);
	assert_int_equal(afx_claim(arb_a, &vm, 1, "a", 1, MS).result, LOCKSTEP_ARBITER_WON);
	/* Without TLS, or by a name that its certificate has not. */
	assert_false(afx_probe(plain, 1000).has_info);
	plain->ops->destroy(plain);
	snprintf(other, sizeof(other), "https://localhost:%d", port);
	plain = backend("a", other);
	assert_false(afx_probe(plain, 1000).has_info);
	plain->ops->destroy(plain);
	server_kill(SIGTERM);
	scheme = "http";
}

static void test_destroy(void **state)
{
	struct lockstep_uuid vm = afx_formed(arb_a);
	struct afx_answer x;

	(void)state;
	afx_claim_start(arb_a, &vm, 1, "a", 1, MS, &x);
	arb_a->ops->destroy(arb_a);
	arb_a = NULL;
	afx_run_ms(100);
	assert_false(x.done);
}

static void test_config(void **state)
{
	static const char * const bad[] = {
		"", "127.0.0.1:1", "ftp://a:1", "http://a", "http://:1", "http://a:1/x",
		"http://a:70000",
	};
	struct lockstep_arbiter_etcd_config cfg = {
		.loop = afx_base, .name = "arbiter", .node = "a",
	};
	struct lockstep_arbiter *arb;
	char err[256];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cfg.http.servers = bad[i];
		err[0] = '\0';
		if (!lockstep_arbiter_etcd_create(&cfg, &arb, err, sizeof(err)))
			fail_msg("accepted: %s", bad[i]);
		assert_string_not_equal(err, "");
	}
	cfg.http.servers = "https://a:1";
	cfg.http.ca = "/nowhere";
	assert_int_equal(lockstep_arbiter_etcd_create(&cfg, &arb, err, sizeof(err)), -EINVAL);
}

static void check_parse(const uint8_t *data, size_t len)
{
	struct lockstep_etcd_view view;
	size_t i;

	if (!lockstep_etcd_parse((const char *)data, len, &view))
		for (i = 0; i < view.count; i++)
			assert_true(view.records[i].len <= LOCKSTEP_ARBITER_VALUE_MAX);
	lockstep_etcd_view_exit(&view);
}

static void test_parse_fuzz(void **state)
{
	static const char good[] = "{\"header\":{\"cluster_id\":\"3\",\"revision\":\"7\"},"
		"\"succeeded\":true,\"responses\":[{\"response_range\":{\"kvs\":[{"
		"\"key\":\"bG9ja3N0ZXAvc3RvcmU=\",\"mod_revision\":\"2\",\"value\":"
		"\"MTExMTExMTEtMTExMS0xMTExLTExMTEtMTExMTExMTExMTExIDM=\"},{"
		"\"key\":\"bG9ja3N0ZXAvdm0vMTExMTExMTEtMTExMS0xMTExLTExMTEtMTExMTExMTExMTExLzEvb3Blbg==\","
		"\"value\":\"AAEC\"}]}}]}";
	struct lockstep_etcd_view view;
	unsigned int i;

	(void)state;
	assert_int_equal(lockstep_etcd_parse(good, strlen(good), &view), 0);
	assert_true(view.has_store && view.succeeded);
	assert_int_equal(view.store_cluster, 3);
	assert_int_equal(view.store_revision, 2);
	assert_int_equal(view.count, 1);
	assert_int_equal(view.records[0].len, 3);
	lockstep_etcd_view_exit(&view);
	for (i = 0; i < fuzz_rounds(20000); i++)
		fuzz_one((const uint8_t *)good, strlen(good), check_parse);
}

int main(void)
{
#define t(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		t(test_rules),
		t(test_races),
		t(test_stopped),
		t(test_hangs),
		t(test_killed),
		t(test_older_copy),
		t(test_other_cluster),
		t(test_emptied),
		t(test_tls),
		t(test_destroy),
		t(test_config),
		t(test_parse_fuzz),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
