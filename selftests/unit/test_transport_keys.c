// SPDX-License-Identifier: GPL-2.0
/*
 * Keys of a cluster: made once, issued, with the right permissions and names,
 * and accepted by openssl as well.
 *
 * Sources: daemon/transport daemon/common
 * Sources: selftests/unit/transport_fixture.c
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "transport/keys.h"
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

static int mode_of(const char *dir, const char *file)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%.3000s/%.900s/%.100s", fx.dir, dir, file);
	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static int shell(const char *fmt, const char *arg)
{
	char cmd[2 * PATH_MAX];

	snprintf(cmd, sizeof(cmd), fmt, arg);
	return system(cmd);
}

static void test_files(void **state)
{
	char path[PATH_MAX], node[64], cluster[64];

	(void)state;
	assert_int_equal(mode_of("ca", "ca.key"), 0600);
	assert_int_equal(mode_of("ca", "ca.crt"), 0644);
	assert_int_equal(mode_of("ca", "."), 0700);
	assert_int_equal(mode_of("a", "node.key"), 0600);
	assert_int_equal(mode_of("a", "node.crt"), 0644);
	assert_int_equal(mode_of("a", "ca.crt"), 0644);
	assert_int_equal(lockstep_keys_identity(fx_keys(&fx, "a", path), node, cluster), 0);
	assert_string_equal(node, "a");
	assert_string_equal(cluster, FX_CLUSTER);
	/* What others make of it. */
	assert_int_equal(shell("cd %s/a && openssl verify -purpose sslserver -CAfile ca.crt node.crt >/dev/null",
			       fx.dir), 0);
	assert_int_equal(shell("cd %s/a && openssl x509 -in node.crt -noout -text | grep -q 'DNS:a$'",
			       fx.dir), 0);
	assert_int_equal(shell("cd %s/a && openssl x509 -in node.crt -noout -text | grep -q prime256v1",
			       fx.dir), 0);
}

static void test_refusals(void **state)
{
	char ca[PATH_MAX], out[PATH_MAX], node[64], cluster[64];

	(void)state;
	fx_keys(&fx, "ca", ca);
	assert_int_equal(lockstep_keys_init(ca, FX_CLUSTER), -EEXIST);
	assert_non_null(strstr(lockstep_keys_strerror(), "holds a CA already"));
	assert_int_equal(lockstep_keys_init(fx_keys(&fx, "x", out), "Bad Name"), -EINVAL);
	assert_int_equal(lockstep_keys_issue(ca, "../up", out), -EINVAL);
	assert_int_equal(lockstep_keys_issue(out, "n", out), -ENOENT);
	assert_int_equal(lockstep_keys_identity(ca, node, cluster), -ENOENT);

	/* Keys of another CA in the folder are not mixed with ours. */
	assert_int_equal(lockstep_keys_init(fx_keys(&fx, "ca2", out), "other"), 0);
	assert_int_equal(lockstep_keys_issue(out, "n", fx_keys(&fx, "a", ca)), -EKEYREJECTED);
	assert_non_null(strstr(lockstep_keys_strerror(), "another CA"));

	/* A key and a certificate that don't belong together. */
	assert_int_equal(shell("cd %s && cp ca/ca.key ca2/ca.key", fx.dir), 0);
	assert_int_equal(lockstep_keys_issue(out, "n", fx_keys(&fx, "n", ca)), -EKEYREJECTED);
}

/* A certificate that ends so many seconds from now. */
static void ends_in(const char *path, long secs)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(key && cert && X509_set_pubkey(cert, key));
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), -1000000));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), secs));
	assert_true(X509_sign(cert, key, EVP_sha256()));
	assert_int_equal(PEM_write_X509(f, cert), 1);
	fclose(f);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static void test_days_left(void **state)
{
	char path[PATH_MAX];
	int days = 0;

	(void)state;
	assert_int_equal(lockstep_keys_days_left(fx_keys(&fx, "ca/ca.crt", path), &days), 0);
	/* for ever: some 8,000 years */
	assert_true(days > 1000000);
	fx_keys(&fx, "dated.crt", path);
	ends_in(path, 10 * 86400 + 60);
	assert_int_equal(lockstep_keys_days_left(path, &days), 0);
	assert_int_equal(days, 10);
	/* an hour ago is over, not "0 days" */
	ends_in(path, -3600);
	assert_int_equal(lockstep_keys_days_left(path, &days), 0);
	assert_int_equal(days, -1);
	assert_int_equal(lockstep_keys_days_left(fx_keys(&fx, "none.crt", path), &days), -ENOENT);
	assert_int_equal(lockstep_keys_days_left(fx_keys(&fx, "ca/ca.key", path), &days),
			 -EKEYREJECTED);
}

static int create(const char *keys_of, const char *node, char *err, size_t errlen)
{
	char keys[PATH_MAX];
	struct lockstep_transport_config cfg = {
		.cluster = FX_CLUSTER,
		.node = node,
		.keys_dir = fx_keys(&fx, keys_of, keys),
	};
	struct lockstep_transport *t;
	int ret;

	ret = lockstep_transport_create(fx.base, &cfg, NULL, NULL, err, errlen, &t);
	if (!ret)
		lockstep_transport_destroy(t);
	return ret;
}

static void test_transport_checks_keys(void **state)
{
	char err[512] = "";

	(void)state;
	assert_int_equal(create("a", "a", err, sizeof(err)), 0);
	assert_int_equal(create("a", "b", err, sizeof(err)), -EKEYREJECTED);
	assert_non_null(strstr(err, "is node \"a\"'s"));
	assert_int_equal(create("nowhere", "a", err, sizeof(err)), -ENOENT);
	assert_int_equal(shell("chmod 640 %s/b/node.key", fx.dir), 0);
	assert_int_equal(create("b", "b", err, sizeof(err)), -EKEYREJECTED);
	assert_non_null(strstr(err, "chmod 600"));
	assert_int_equal(shell("chmod 600 %s/b/node.key", fx.dir), 0);
	assert_int_equal(shell("cd %s && cp a/node.key b/node.key", fx.dir), 0);
	assert_int_equal(create("b", "b", err, sizeof(err)), -EKEYREJECTED);
	assert_int_equal(shell("cd %s && echo rubbish >b/node.crt", fx.dir), 0);
	assert_int_equal(create("b", "b", err, sizeof(err)), -EKEYREJECTED);
}

static void test_config_ranges(void **state)
{
	char keys[PATH_MAX], err[512];
	struct lockstep_transport_config cfg = {
		.cluster = FX_CLUSTER, .node = "a", .keys_dir = fx_keys(&fx, "a", keys),
	};
	struct lockstep_transport *t;

	(void)state;
	cfg.silence_ms = LOCKSTEP_SILENCE_MS_MIN - 1;
	assert_int_equal(lockstep_transport_create(fx.base, &cfg, NULL, NULL, err, sizeof(err),
						   &t), -ERANGE);
	assert_non_null(strstr(err, "silence"));
	cfg.silence_ms = 200;
	cfg.heartbeat_ms = 51;
	assert_int_equal(lockstep_transport_create(fx.base, &cfg, NULL, NULL, err, sizeof(err),
						   &t), -ERANGE);
	cfg.heartbeat_ms = 50;
	cfg.window = 1;
	assert_int_equal(lockstep_transport_create(fx.base, &cfg, NULL, NULL, err, sizeof(err),
						   &t), -ERANGE);
	cfg.window = 0;
	cfg.node = "A";
	assert_int_equal(lockstep_transport_create(fx.base, &cfg, NULL, NULL, err, sizeof(err),
						   &t), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_days_left),
		cmocka_unit_test(test_transport_checks_keys),
		cmocka_unit_test(test_config_ranges),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
