// SPDX-License-Identifier: GPL-2.0
/*
 * lockstep-arbiter as a program, through the client back end: requests, exactly
 * one winner among many, kill -9 between and during requests, a server that
 * hangs, damaged requests, and the command line.
 *
 * LOCKSTEP_SEED repeats what is random, LOCKSTEP_FUZZ sets the fuzzer's rounds.
 *
 * Programs: daemon/lockstep-arbiter
 * Sources: daemon/arbiter/backend.c daemon/arbiter/record.c daemon/arbiter/wire.c
 * Sources: daemon/arbiter/tcp.c selftests/unit/arbiter_fixture.c
 * Sources: daemon/transport daemon/common
 * Sources: selftests/unit/transport_fixture.c selftests/unit/fuzz.c
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
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

#include "arbiter/backend.h"
#include "arbiter/wire.h"
#include "arbiter_fixture.h"
#include "common/json.h"
#include "common/log.h"
#include "fuzz.h"
#include "transport_fixture.h"

static struct fx fx;
static char program[PATH_MAX];
static pid_t server;
static char port[16];
static struct fx_node a, b;
static struct lockstep_arbiter *arb_a, *arb_b;

/* --- the program --------------------------------------------------------- */

static char *store_dir(void)
{
	static char path[PATH_MAX];

	return fx_keys(&fx, "store", path);
}

static char *address(void)
{
	static char text[64];

	snprintf(text, sizeof(text), "127.0.0.1:%s", port);
	return text;
}

#define ARGS_MAX	16

/* Run it with arguments, the last of them NULL; output goes to a pipe. */
static pid_t spawn(int *out, va_list ap)
{
	char *argv[ARGS_MAX + 2];
	int fds[2], i = 0;
	pid_t pid;

	argv[i++] = program;
	do {
		assert_true(i <= ARGS_MAX);
		argv[i] = va_arg(ap, char *);
	} while (argv[i++]);

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (!pid) {
		dup2(fds[1], 1);
		dup2(fds[1], 2);
		close(fds[0]);
		execv(program, argv);
		_exit(127);
	}
	close(fds[1]);
	*out = fds[0];
	return pid;
}

static pid_t spawn_server(int *out, ...)
{
	va_list ap;
	pid_t pid;

	va_start(ap, out);
	pid = spawn(out, ap);
	va_end(ap);
	return pid;
}

/* Until "listening on" tells that it serves. */
static void server_start(void)
{
	char keys[PATH_MAX], listen[64], buf[4096] = "";
	size_t have = 0;
	char *p;
	ssize_t n;
	int out;

	snprintf(listen, sizeof(listen), "127.0.0.1:%s", port[0] ? port : "0");
	server = spawn_server(&out, "--listen", listen, "--store", store_dir(), "--keys",
			      fx_keys(&fx, "arbiter", keys), NULL);
	while (!strstr(buf, "serving")) {
		n = read(out, buf + have, sizeof(buf) - 1 - have);
		if (n <= 0)
			fail_msg("lockstep-arbiter did not start: %s", buf);
		have += (size_t)n;
		buf[have] = '\0';
	}
	p = strstr(buf, "listening on 127.0.0.1:");
	assert_non_null(p);
	assert_int_equal(sscanf(p, "listening on 127.0.0.1:%15[0-9]", port), 1);
	/* What it says later is not read: the pipe goes with it. */
	fcntl(out, F_SETFL, O_NONBLOCK);
	dup2(out, 198);
	close(out);
}

static void server_kill(int sig)
{
	int status;

	kill(server, sig);
	assert_int_equal(waitpid(server, &status, 0), server);
	if (sig == SIGTERM)
		assert_int_equal(status, 0);
	server = 0;
}

/* Run it to its end: exit status, and what it printed. */
static int run_program(char *text, size_t size, ...)
{
	size_t have = 0;
	int out, status;
	va_list ap;
	ssize_t n;
	pid_t pid;

	va_start(ap, size);
	pid = spawn(&out, ap);
	va_end(ap);
	while (have < size - 1 && (n = read(out, text + have, size - 1 - have)) > 0)
		have += (size_t)n;
	text[have] = '\0';
	close(out);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int group_setup(void **state)
{
	const char *build = getenv("LOCKSTEP_BUILD");

	(void)state;
	lockstep_log_init("test", LOCKSTEP_LOG_ERR, false);
	fuzz_seed();
	fx_init(&fx);
	afx_base = fx.base;
	snprintf(program, sizeof(program), "%s/lockstep-arbiter",
		 build ? build : "../../build/daemon");
	if (access(program, X_OK))
		fail_msg("%s is not there: make -C daemon", program);
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	fx_exit(&fx);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	server_start();
	fx_node_init(&a, &fx, "a", NULL);
	fx_node_init(&b, &fx, "b", NULL);
	assert_int_equal(lockstep_arbiter_tcp_create(a.t, "arbiter", address(), &arb_a), 0);
	assert_int_equal(lockstep_arbiter_tcp_create(b.t, "arbiter", address(), &arb_b), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (arb_a)
		arb_a->ops->destroy(arb_a);
	if (arb_b)
		arb_b->ops->destroy(arb_b);
	arb_a = arb_b = NULL;
	fx_node_exit(&a);
	fx_node_exit(&b);
	if (server)
		server_kill(SIGTERM);
	return 0;
}

/* --- tests --------------------------------------------------------------- */

static void test_requests(void **state)
{
	(void)state;
	afx_check_rules(arb_a, arb_b);
}

/* Lists longer than a page. */
static void test_pages(void **state)
{
	static struct afx_answer an[700];
	struct lockstep_arbiter_open o;
	struct lockstep_uuid vm;
	unsigned int i;

	(void)state;
	an[0] = afx_probe(arb_a, 10000);
	o = afx_open_of(&an[0].info.store, 1, 0, 1, 2);
	for (i = 0; i < 700; i++) {
		vm = afx_guest();
		afx_open_start(arb_a, &vm, &o, 60000, &an[i]);
	}
	for (i = 0; i < 700; i++) {
		afx_wait(&an[i].done);
		assert_int_equal(an[i].result, LOCKSTEP_ARBITER_OK);
	}
	an[0] = afx_list(arb_b, NULL, 10000);
	assert_int_equal(an[0].result, LOCKSTEP_ARBITER_OK);
	assert_true(an[0].count >= 700);
}

/* Both members at once, for many guests: each has exactly one winner. */
static void test_races(void **state)
{
	(void)state;
	afx_check_races(arb_a, arb_b, 60);
	afx_check_close_races(arb_a, arb_b, 60);
}

/* kill -9 between requests: nothing that was answered is forgotten. */
static void test_kill_between(void **state)
{
	struct lockstep_uuid vms[5];
	struct afx_answer an;
	unsigned int i, k;

	(void)state;
	for (i = 0; i < 5; i++) {
		vms[i] = afx_formed(arb_a);
		server_kill(SIGKILL);
		server_start();
		an = afx_claim_settled(arb_a, &vms[i], "a", 1);
		assert_int_equal(an.result, LOCKSTEP_ARBITER_WON);
		server_kill(SIGKILL);
		server_start();
		for (k = 0; k <= i; k++) {
			an = afx_claim_settled(arb_b, &vms[k], "b", 2);
			assert_int_equal(an.result, LOCKSTEP_ARBITER_LOST);
		}
	}
}

static void server_crash(void)
{
	server_kill(SIGKILL);
}

static void test_kill_during(void **state)
{
	(void)state;
	afx_check_killed(arb_a, arb_b, 25, server_crash, server_start);
}

/* A server that hangs: unknown in time, and maybe done; then it is settled. */
static void test_hang(void **state)
{
	struct lockstep_uuid vm = afx_formed(arb_a);
	uint64_t begin;
	struct afx_answer an;

	(void)state;
	kill(server, SIGSTOP);
	begin = fx_now_ms();
	an = afx_claim(arb_a, &vm, 1, "a", 1, 300);
	assert_int_equal(an.result, LOCKSTEP_ARBITER_UNKNOWN);
	assert_true(an.maybe_done);
	assert_true(fx_now_ms() - begin >= 290);
	/* Not even a connection: nothing has left. */
	an = afx_claim(arb_b, &vm, 1, "b", 2, 300);
	assert_int_equal(an.result, LOCKSTEP_ARBITER_UNKNOWN);
	assert_false(an.maybe_done);
	kill(server, SIGCONT);
	an = afx_claim_settled(arb_a, &vm, "a", 1);
	assert_int_equal(an.result, LOCKSTEP_ARBITER_WON);
}

static void test_away(void **state)
{
	struct lockstep_uuid vm = afx_formed(arb_a);
	struct afx_answer an;

	(void)state;
	server_kill(SIGTERM);
	an = afx_claim(arb_a, &vm, 1, "a", 1, 5000);
	assert_int_equal(an.result, LOCKSTEP_ARBITER_UNKNOWN);
	an = afx_claim(arb_a, &vm, 1, "a", 1, 5000);
	assert_int_equal(an.result, LOCKSTEP_ARBITER_UNKNOWN);
	assert_false(an.maybe_done);
	server_start();
	an = afx_claim(arb_a, &vm, 1, "a", 1, 10000);
	assert_int_equal(an.result, LOCKSTEP_ARBITER_WON);
}

static unsigned int orphans;

static void destroy_in_callback(const struct lockstep_arbiter_answer *answer, void *arg)
{
	(void)answer;
	(void)arg;
	assert_int_equal(orphans++, 0);		/* none comes after destroy */
	arb_a->ops->destroy(arb_a);
	arb_a = NULL;
}

static void test_destroy_in_callback(void **state)
{
	struct lockstep_arbiter_mark m = { .generation = 1, .by = afx_member("a", 1) };
	struct lockstep_uuid vm = afx_formed(arb_a);

	(void)state;
	orphans = 0;
	kill(server, SIGSTOP);
	assert_int_equal(lockstep_arbiter_claim(arb_a, &vm, &m, 10000, destroy_in_callback,
						  NULL), 0);
	assert_int_equal(lockstep_arbiter_claim(arb_a, &vm, &m, 10000, destroy_in_callback,
						  NULL), 0);
	fx_run_ms(&fx, 50);
	server_kill(SIGKILL);
	fx_wait(&fx, !arb_a);
	fx_run_ms(&fx, 100);
	assert_int_equal(orphans, 1);
}

/* Only nodes of the cluster, and only the arbiter that was meant. */
static void test_wrong_arbiter(void **state)
{
	struct lockstep_arbiter *wrong;
	struct afx_answer an;

	(void)state;
	assert_int_equal(lockstep_arbiter_tcp_create(a.t, "b", address(), &wrong), 0);
	an = afx_probe(wrong, 5000);
	assert_int_equal(an.result, LOCKSTEP_ARBITER_UNKNOWN);
	assert_false(an.maybe_done);
	wrong->ops->destroy(wrong);
}

/* --- requests that no client of ours makes ------------------------------- */

static struct lockstep_conn *raw;
static bool raw_up, raw_quiet;
static unsigned int raw_malformed, raw_others;

static void on_raw_up(struct lockstep_conn *conn)
{
	(void)conn;
	raw_up = true;
}

static void on_raw_message(struct lockstep_conn *conn, const struct lockstep_msg *msg,
			   const void *data, size_t len)
{
	struct lockstep_arbiter_reply reply;
	struct lockstep_reader r;

	(void)conn;
	(void)msg;
	lockstep_reader_init(&r, data, len);
	assert_int_equal(lockstep_arbiter_read_reply(&r, &reply), 0);
	if (reply.refusal == LOCKSTEP_REFUSAL_MALFORMED)
		raw_malformed++;
	else
		raw_others++;
	raw_quiet = true;
}

static void on_raw_closed(struct lockstep_conn *conn, int error, const char *reason)
{
	(void)conn;
	(void)error;
	(void)reason;
	raw = NULL;
	raw_quiet = true;
}

static const struct lockstep_service_ops raw_ops = {
	.up = on_raw_up,
	.message = on_raw_message,
	.closed = on_raw_closed,
};

static uint32_t raw_kind;

/* One request; the server answers it, whatever it is, and lives. */
static void raw_ask(const uint8_t *data, size_t len)
{
	struct lockstep_msg msg = {
		.channel = fuzz_below(50) ? LOCKSTEP_ARBITER_CHANNEL : 2,
		.kind = fuzz_below(50) ? raw_kind : (uint32_t)fuzz_below(9),
		.id = 1,
	};
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };

	raw_quiet = false;
	assert_true(lockstep_conn_send(raw, &msg, &iov, 1) >= 0);
	afx_wait(&raw_quiet);
	assert_non_null(raw);
}

/* A good request of any kind, about generation 1 or 2 of a guest. */
static size_t request_make(uint8_t *buf, size_t size, const struct lockstep_uuid *vm,
			   const struct lockstep_uuid *store)
{
	struct lockstep_arbiter_key key = { .vm = *vm, .generation = 1 + fuzz_below(2) };
	struct lockstep_arbiter_open open = afx_open_of(store, key.generation, 0, 1, 2);
	struct lockstep_arbiter_mark mark = {
		.generation = key.generation, .by = afx_member("a", 1),
	};
	char text[LOCKSTEP_ARBITER_KEY_MAX];
	uint8_t value[LOCKSTEP_ARBITER_VALUE_MAX];
	struct lockstep_writer w;
	int len;

	lockstep_writer_init(&w, buf, size);
	raw_kind = 1 + (uint32_t)fuzz_below(LOCKSTEP_ARBITER_OP_MAX);
	key.kind = 1 + fuzz_below(3);
	lockstep_arbiter_key_format(&key, text);
	switch (raw_kind) {
	case LOCKSTEP_ARBITER_CREATE:
	case LOCKSTEP_ARBITER_CLAIM:
		len = key.kind == LOCKSTEP_RECORD_OPEN ?
		      lockstep_arbiter_open_encode(&open, value, sizeof(value)) :
		      lockstep_arbiter_mark_encode(&mark, value, sizeof(value));
		assert_true(len > 0);
		lockstep_write_str(&w, text);
		lockstep_arbiter_write_blob(&w, value, (size_t)len);
		break;
	case LOCKSTEP_ARBITER_GET:
		lockstep_write_str(&w, text);
		break;
	case LOCKSTEP_ARBITER_LIST:
		text[fuzz_below(strlen(text))] = '\0';
		lockstep_write_str(&w, text);
		lockstep_write_str(&w, "");
		break;
	case LOCKSTEP_ARBITER_PRUNE:
		lockstep_write_bytes(&w, vm->b, sizeof(vm->b));
		lockstep_write_u64(&w, fuzz_below(4));
		break;
	default:
		break;
	}
	assert_true(lockstep_writer_ok(&w));
	return w.len;
}

static void test_fuzz(void **state)
{
	unsigned int i, rounds = fuzz_rounds(2000);
	struct lockstep_uuid vm = afx_guest();
	struct afx_answer an = afx_probe(arb_a, 10000);
	uint8_t buf[LOCKSTEP_ARBITER_REQUEST_MAX];
	size_t len;

	(void)state;
	raw_up = false;
	raw_malformed = raw_others = 0;
	assert_int_equal(lockstep_transport_dial(a.t, LOCKSTEP_ARBITER_SERVICE, "arbiter", address(),
						 &raw_ops, NULL, &raw), 0);
	afx_wait(&raw_up);
	for (i = 0; i < rounds; i++) {
		if (!fuzz_below(20))
			vm = afx_guest();
		len = request_make(buf, sizeof(buf), &vm, &an.info.store);
		fuzz_one(buf, len, raw_ask);
	}
	printf("# %u requests: %u malformed, %u not\n", rounds, raw_malformed, raw_others);
	assert_true(raw_malformed && raw_others);
	lockstep_conn_close(raw);
	raw_quiet = false;
	afx_wait(&raw_quiet);
	afx_check_rules(arb_a, arb_b);
	/* and its journal can be read */
	vm = afx_formed(arb_a);
	server_kill(SIGTERM);
	server_start();
	assert_int_equal(afx_claim_settled(arb_a, &vm, "a", 1).result, LOCKSTEP_ARBITER_WON);
}

static void test_command_line(void **state)
{
	static char out[4 << 20];	/* a dump is long */
	char keys[PATH_MAX], *at = address();
	char path[PATH_MAX + 16], before[64], after[64];
	struct lockstep_uuid vm = afx_formed(arb_a);
	struct json_object *o, *v;
	struct afx_answer an;
	FILE *f;

#define run(...)	run_program(out, sizeof(out), __VA_ARGS__, NULL)
#define run_status()	run("status", at, "--json", "--keys", keys, "--node", "arbiter",	\
			    "--timeout", "3000")
#define run_dump()	run("dump", "--json", "--store", store_dir())
	(void)state;
	fx_keys(&fx, "a", keys);
	assert_int_equal(run("--help"), 0);
	assert_non_null(strstr(out, "Exit status"));
	assert_int_equal(run("frobnicate"), 2);
	assert_int_equal(run("--frob"), 2);
	assert_int_equal(run_status(), 0);
	o = json_tokener_parse(out);
	assert_non_null(o);
	assert_true(json_object_object_get_ex(o, "store", &v));
	snprintf(before, sizeof(before), "%s", json_object_get_string(v));
	json_object_put(o);
	/* The store is in use. */
	assert_int_equal(run_dump(), 1);
	assert_non_null(strstr(out, "another lockstep-arbiter"));

	server_kill(SIGTERM);
	assert_int_equal(run_status(), 4);
	assert_int_equal(run_dump(), 0);
	o = json_tokener_parse(out);
	assert_true(json_object_object_get_ex(o, "records", &v));
	assert_true(json_object_array_length(v) > 0);
	json_object_put(o);
	assert_int_equal(run("restore", "--store", store_dir()), 0);
	assert_non_null(strstr(out, before));

	/* Claims of what was formed before are refused for ever. */
	server_start();
	assert_int_equal(run_status(), 0);
	o = json_tokener_parse(out);
	assert_true(json_object_object_get_ex(o, "store", &v));
	snprintf(after, sizeof(after), "%s", json_object_get_string(v));
	json_object_put(o);
	assert_string_not_equal(before, after);
	an = afx_claim_settled(arb_a, &vm, "a", 1);
	assert_int_equal(an.result, LOCKSTEP_ARBITER_REFUSED);
	assert_int_equal(an.refusal, LOCKSTEP_REFUSAL_OTHER_STORE);

	/* Damage in the middle: it does not start, and says so. */
	server_kill(SIGTERM);
	snprintf(path, sizeof(path), "%s/journal", store_dir());
	f = fopen(path, "r+");
	fseek(f, 700, SEEK_SET);
	fputs("damage", f);
	fclose(f);
	fx_keys(&fx, "arbiter", keys);
	assert_int_equal(run("--store", store_dir(), "--keys", keys), 3);
	assert_non_null(strstr(out, "damaged at byte 512"));
	assert_int_equal(unlink(path), 0);
	server_start();
}

int main(void)
{
#define t(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		t(test_requests),
		t(test_pages),
		t(test_races),
		t(test_kill_between),
		t(test_kill_during),
		t(test_hang),
		t(test_away),
		t(test_destroy_in_callback),
		t(test_wrong_arbiter),
		t(test_fuzz),
		t(test_command_line),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
