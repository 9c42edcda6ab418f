// SPDX-License-Identifier: GPL-2.0
/*
 * lockstepd.conf and the definitions of guests: what is accepted, what is
 * refused and why, and the command line that a VMM gets.
 *
 * Sources: daemon/lockstepd/config.c daemon/lockstepd/definition.c
 * Sources: daemon/common/config.c daemon/common/uuid.c daemon/common/file.c
 * Sources: daemon/common/bytes.c daemon/transport/wire.c
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

#include "lockstepd/config.h"
#include "lockstepd/definition.h"

#define UUID	"6f1c2b50-6ad5-4c2e-9a5b-3b9d4c1e8a11"

static char dir[64];

static const char *file(const char *name, const char *text)
{
	static char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	return path;
}

static int read_text(const char *text, struct lockstepd_config *cfg, char *err, size_t errlen)
{
	return lockstepd_config_read(file("lockstepd.conf", text), cfg, err, errlen);
}

static void test_defaults(void **state)
{
	struct lockstepd_config cfg;
	char err[512] = "";

	(void)state;
	assert_int_equal(read_text("", &cfg, err, sizeof(err)), 0);
	assert_string_equal(cfg.keys, "/etc/lockstep/keys");
	assert_string_equal(cfg.socket, "/run/lockstep/lockstepd.sock");
	assert_int_equal(cfg.nlisten, 1);
	assert_string_equal(cfg.listen[0], "*:7471");
	assert_int_equal(cfg.npeers, 0);
	assert_string_equal(cfg.arbiter_node, "");
	assert_int_equal(cfg.silence_ms, 1000);
	assert_int_equal(cfg.heartbeat_ms, 100);
	assert_int_equal(cfg.backup_percent, 150);
	assert_false(cfg.arbiter_same_host);
	assert_false(cfg.compress);
}

static void test_everything(void **state)
{
	struct lockstepd_config cfg;
	char err[512] = "";

	(void)state;
	assert_int_equal(read_text("# a\n[node]\nkeys = /k\nlisten = 1.2.3.4:1\nlisten = [::1]:2\n"
				   "socket = /s\nsyslog = yes\nverbose = on\n"
				   "[peer b]\naddress = b:7471\nbulk-address = bb:7471\n"
				   "[peer c.d]\naddress = c:7471\n[peer b]\naddress = b2:7471\n"
				   "[arbiter z]\naddress = z:7470\ntimeout = 300ms\nsame-host = yes\n"
				   "[detect]\nheartbeat = 50ms\nsilence = 2s\nconfirm = 700\n"
				   "backup = 200\nresume = 1m\nstuck = 5m\n[log]\ncompress = lz4\n"
				   "[guests]\ndefinitions = /d\nvmm = /bin/vmm\nrun = /r\nlogs = /l\n",
				   &cfg, err, sizeof(err)), 0);
	assert_string_equal(cfg.keys, "/k");
	assert_int_equal(cfg.nlisten, 2);
	assert_string_equal(cfg.listen[1], "[::1]:2");
	assert_true(cfg.syslog);
	assert_true(cfg.verbose);
	assert_int_equal(cfg.npeers, 2);
	assert_string_equal(cfg.peers[0].address, "b2:7471");
	assert_string_equal(cfg.peers[0].bulk_address, "bb:7471");
	assert_string_equal(cfg.peers[1].node, "c.d");
	assert_string_equal(cfg.arbiter_node, "z");
	assert_int_equal(cfg.arbiter_ms, 300);
	assert_true(cfg.arbiter_same_host);
	assert_int_equal(cfg.heartbeat_ms, 50);
	assert_int_equal(cfg.silence_ms, 2000);
	assert_int_equal(cfg.confirm_ms, 700);
	assert_int_equal(cfg.backup_percent, 200);
	assert_int_equal(cfg.resume_ms, 60000);
	assert_int_equal(cfg.stuck_ms, 300000);
	assert_true(cfg.compress);
	assert_string_equal(cfg.vmm, "/bin/vmm");
	assert_string_equal(cfg.run, "/r");
}

static void test_arbiter_folder(void **state)
{
	struct lockstepd_config cfg;
	char err[512] = "";

	(void)state;
	assert_int_equal(read_text("[arbiter z]\nfolder = /mnt/f\n", &cfg, err, sizeof(err)), 0);
	assert_string_equal(cfg.arbiter_folder, "/mnt/f");
	assert_string_equal(cfg.arbiter_address, "");
}

static void test_arbiter_etcd(void **state)
{
	struct lockstepd_config cfg;
	char err[512] = "";

	(void)state;
	assert_int_equal(read_text("[arbiter z]\netcd = https://x:2379 https://y:2379\nca = /ca\n"
				   "certificate = /c\nkey = /k\n", &cfg, err, sizeof(err)), 0);
	assert_string_equal(cfg.arbiter_etcd, "https://x:2379 https://y:2379");
	assert_string_equal(cfg.arbiter_ca, "/ca");
	assert_string_equal(cfg.arbiter_cert, "/c");
	assert_string_equal(cfg.arbiter_key, "/k");
}

static void test_mapreduce(void **state)
{
	struct lockstepd_config cfg;
	char err[512] = "";

	(void)state;
	assert_int_equal(read_text("[mapreduce]\nuser = u\n", &cfg, err, sizeof(err)), 0);
	assert_true(cfg.mr.enabled);
	assert_string_equal(cfg.mr.listen, "*:7472");
	assert_string_equal(cfg.mr.state, "/var/lib/lockstep/mapreduce");
	assert_int_equal(cfg.mr.memory, 256 << 20);
	assert_true(cfg.mr.slots >= 1);
	assert_int_equal(read_text("[mapreduce]\nuser = u\nslots = 0\nmemory = 1G\nlisten = h:1\n"
				   "silence = 3s\nrun = /r\nstate = /s\nprograms = /p\nhttp = *:80\n"
				   "[peer b]\naddress = b:7471\n"
				   "[peer c]\naddress = c:7471\nbulk-address = [::1]:9\n"
				   "[peer d]\naddress = d:7471\nmapreduce-address = x:5\n"
				   "[peer e]\nbulk-address = e\n",
				   &cfg, err, sizeof(err)), 0);
	assert_int_equal(cfg.mr.slots, 0);
	assert_int_equal(cfg.mr.memory, 1 << 30);
	assert_int_equal(cfg.mr.silence_ms, 3000);
	assert_string_equal(cfg.mr.http, "*:80");
	assert_string_equal(cfg.peers[0].mr_address, "b:7472");
	assert_string_equal(cfg.peers[1].mr_address, "[::1]:7472");
	assert_string_equal(cfg.peers[2].mr_address, "x:5");
	assert_string_equal(cfg.peers[3].mr_address, "");
	assert_int_equal(read_text("", &cfg, err, sizeof(err)), 0);
	assert_false(cfg.mr.enabled);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *text;
		const char *words;
	} cases[] = {
		{ "[node]\nname = a\n", "no setting 'name'" },
		{ "keys = /k\n", "no setting 'keys' in section ''" },
		{ "[peer]\naddress = b:1\n", "names its node" },
		{ "[peer B!]\naddress = b:1\n", "names its node" },
		{ "[peer b]\nport = 1\n", "no setting 'port' in [peer]" },
		{ "[peer b]\naddress =\n", "address: from 1 to" },
		{ "[arbiter]\naddress = c:1\n", "names its node" },
		{ "[arbiter c]\ntimeout = 1s\n", "needs an address" },
		{ "[arbiter c]\naddress = c:1\nfolder = /f\n", "one of them" },
		{ "[arbiter c]\nfolder = f\n", "absolute path" },
		{ "[arbiter c]\nfolder = /f\netcd = http://c:1\n", "one of them" },
		{ "[arbiter c]\netcd = https://c:1\ncertificate = /c\n", "go together" },
		{ "[arbiter c]\naddress = c:1\n[arbiter d]\naddress = d:1\n", "one arbiter only" },
		{ "[arbiter c]\ntimeout = 1\n", "timeout: from 50 to 60000 ms" },
		{ "[detect]\nsilence = soon\n", "'soon' is no time" },
		{ "[detect]\nsilence = 300ms\n", "at least four heartbeats (400 ms)" },
		{ "[detect]\nbackup = 100\n", "backup: from 110 to 1000" },
		{ "[detect]\nbackup = x\n", "'x' is no number" },
		{ "[node]\nsyslog = perhaps\n", "syslog: yes or no" },
		{ "[guests]\nvmm =\n", "vmm: from 1 to" },
		{ "[guests]\nrun = /0123456789012345678901234567890123456789012345678901234567890123456789\n",
		  "run: from 1 to 64" },
		{ "[mapreduce]\nslots = 2000\n", "slots: from 0 to 1024" },
		{ "[mapreduce]\nmemory = lots\n", "'lots' is no size" },
		{ "[node\n", ":1:" },
	};
	struct lockstepd_config cfg;
	char err[512];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		err[0] = '\0';
		if (!read_text(cases[i].text, &cfg, err, sizeof(err)))
			fail_msg("accepted: %s", cases[i].text);
		if (!strstr(err, cases[i].words))
			fail_msg("'%s' says '%s', wanted '%s'", cases[i].text, err,
				 cases[i].words);
	}
	assert_int_equal(lockstepd_config_read("/nowhere", &cfg, err, sizeof(err)), -ENOENT);
}

static void test_limits(void **state)
{
	struct lockstepd_config cfg;
	char text[8192] = "", err[512] = "";
	int i;

	(void)state;
	for (i = 0; i <= LOCKSTEPD_PEERS_MAX; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "[peer n%d]\naddress = n%d:1\n", i, i);
	assert_int_equal(read_text(text, &cfg, err, sizeof(err)), -ERANGE);
	assert_non_null(strstr(err, "at most 16 peers"));
	strcpy(text, "[node]\n");
	for (i = 0; i <= LOCKSTEPD_LISTEN_MAX; i++)
		strcat(text, "listen = *:1\n");
	assert_int_equal(read_text(text, &cfg, err, sizeof(err)), -ERANGE);
	assert_non_null(strstr(err, "at most 8 addresses"));
}

/* --- definitions ---------------------------------------------------------- */

static void config_of(struct lockstepd_config *cfg)
{
	char err[512];

	assert_int_equal(read_text("[guests]\nvmm = /bin/vmm\nrun = /run/ls\n", cfg, err,
				   sizeof(err)), 0);
	snprintf(cfg->definitions, sizeof(cfg->definitions), "%s", dir);
}

static void join(const struct lockstepd_definition *def, char *out, size_t size)
{
	unsigned int i;

	*out = '\0';
	for (i = 0; i < def->nargs; i++)
		snprintf(out + strlen(out), size - strlen(out), "%s%s", i ? "|" : "",
			 def->args[i]);
	assert_null(def->args[def->nargs]);
}

static void test_definition(void **state)
{
	struct lockstepd_definition def;
	struct lockstepd_config cfg;
	char err[512] = "", line[2048];

	(void)state;
	config_of(&cfg);
	file("web.conf", "[guest]\nuuid = " UUID "\npeer = b\n[vmm]\nkernel = /k\n"
	     "append = root=/dev/vda quiet\nrng = yes\nreset-ok = no\ndisk = /a\ndisk = /b,ro\n");
	assert_int_equal(lockstepd_definition_read(&cfg, "web", false, &def, err, sizeof(err)), 0);
	join(&def, line, sizeof(line));
	assert_string_equal(line, "/bin/vmm|--kernel|/k|--append|root=/dev/vda quiet|--rng|"
			    "--disk|/a|--disk|/b,ro|--role|primary|--name|web|--uuid|" UUID
			    "|--wait|--control|/run/ls/web.vmm|--serial|unix:/run/ls/web.serial");
	assert_string_equal(def.peer, "b");
	lockstepd_definition_exit(&def);

	/* a twin does not wait by itself; a serial line of one's own stays */
	file("web.conf", "[guest]\nuuid = " UUID "\nwait = no\n[vmm]\nserial = null\n");
	assert_int_equal(lockstepd_definition_read(&cfg, "web", true, &def, err, sizeof(err)), 0);
	join(&def, line, sizeof(line));
	assert_string_equal(line, "/bin/vmm|--serial|null|--role|twin|--name|web|--uuid|" UUID
			    "|--control|/run/ls/web.vmm");
	lockstepd_definition_exit(&def);
}

static void test_definition_refusals(void **state)
{
	static const struct {
		const char *text;
		const char *words;
	} cases[] = {
		{ "[vmm]\nkernel = /k\n", "needs a uuid" },
		{ "[guest]\nuuid = 1\n", "not a UUID" },
		{ "[guest]\nuuid = 00000000-0000-0000-0000-000000000000\n", "not a UUID" },
		{ "[guest]\npeer = No\n", "name of a node" },
		{ "[guest]\nwait = x\n", "yes or no" },
		{ "[guest]\nkernel = /k\n", "no setting 'kernel' in [guest]" },
		{ "[vmm]\nrole = twin\n", "lockstepd sets it" },
		{ "[vmm]\ncontrol = /x\n", "lockstepd sets it" },
		{ "[vmm]\nKernel = /k\n", "no option of lockstep-vmm" },
		{ "[host]\nx = y\n", "no section 'host'" },
	};
	static const char *const names[] = {
		"", "../web", ".web", "a/b", "we b", "a-name-that-is-longer-than-32-bytes",
	};
	struct lockstepd_definition def;
	struct lockstepd_config cfg;
	char err[512], many[4096];
	size_t i;

	(void)state;
	config_of(&cfg);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		file("web.conf", cases[i].text);
		err[0] = '\0';
		if (!lockstepd_definition_read(&cfg, "web", false, &def, err, sizeof(err)))
			fail_msg("accepted: %s", cases[i].text);
		if (!strstr(err, cases[i].words))
			fail_msg("'%s' says '%s', wanted '%s'", cases[i].text, err,
				 cases[i].words);
	}
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(lockstepd_definition_read(&cfg, names[i], false, &def, err,
							   sizeof(err)), -EINVAL);
	assert_int_equal(lockstepd_definition_read(&cfg, "none", false, &def, err, sizeof(err)),
			 -ENOENT);
	strcpy(many, "[guest]\nuuid = " UUID "\n[vmm]\n");
	for (i = 0; i < LOCKSTEPD_ARGS_MAX; i++)
		strcat(many, "disk = /d\n");
	file("web.conf", many);
	assert_int_not_equal(lockstepd_definition_read(&cfg, "web", false, &def, err,
						       sizeof(err)), 0);
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/lockstep-test-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/lockstepd.conf", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/web.conf", dir);
	unlink(path);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_arbiter_folder),
		cmocka_unit_test(test_arbiter_etcd),
		cmocka_unit_test(test_mapreduce),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_definition),
		cmocka_unit_test(test_definition_refusals),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("lockstepd config", tests, setup, teardown);
}
