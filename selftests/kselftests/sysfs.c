// SPDX-License-Identifier: GPL-2.0
/* /sys/kernel/lockstep: the files are there, hold one value each, and take what they may. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "machine.h"
#include "nl.h"
#include "test.h"

#define ROOT	"/sys/kernel/lockstep/"
#define FOLDER	ROOT "sysfs/"

static struct machine machine;

/* A file's text without its newline; NULL if it can't be read. */
static char *get(const char *path)
{
	static char buf[4096];
	int fd = open(path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return NULL;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (n < 0)
		return NULL;
	buf[n] = 0;
	if (n && buf[n - 1] == '\n')
		buf[n - 1] = 0;
	return buf;
}

/* errno of a write, 0 if it was taken. */
static int set(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), ret;

	if (fd < 0)
		return errno;
	ret = write(fd, text, strlen(text)) < 0 ? errno : 0;
	close(fd);
	return ret;
}

FIXTURE(sysfs)
{
	struct nl nl;
};

FIXTURE_SETUP(sysfs)
{
	NEED_MODULE();
	ASSERT_EQ(0, nl_open(&self->nl));
	machine.fd = -1;
	ASSERT_EQ(0, vm_create(&machine.vm, 0));
	ASSERT_EQ(0, machine_open(&machine, "sysfs", LOCKSTEP_ROLE_PRIMARY, 0, ""));
}

FIXTURE_TEARDOWN(sysfs)
{
	machine_close(&machine);
	vm_destroy(&machine.vm);
	nl_close(&self->nl);
}

TEST_F(sysfs, values)
{
	char text[64];

	EXPECT_STREQ("free", get(FOLDER "state"));
	EXPECT_STREQ("primary", get(FOLDER "role"));
	EXPECT_STREQ("0", get(FOLDER "generation"));
	EXPECT_STREQ("", get(FOLDER "output_device"));
	EXPECT_STREQ("5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a", get(FOLDER "uuid"));
	snprintf(text, sizeof(text), "%u", machine.attach.id);
	EXPECT_STREQ(text, get(FOLDER "id"));
	snprintf(text, sizeof(text), "%d", getpid());
	EXPECT_STREQ(text, get(FOLDER "vmm_pid"));
	snprintf(text, sizeof(text), "%d", LOCKSTEP_ABI_VERSION);
	EXPECT_STREQ(text, get(ROOT "abi"));
	EXPECT_NE(NULL, strstr("SVM VMX", get(ROOT "arch")));
	ASSERT_EQ(0, nl_bind(&self->nl, machine.attach.id));
	ASSERT_EQ(0, nl_event(&self->nl, machine.attach.id, LOCKSTEP_EVENT_COLD_WON, 3, NULL));
	EXPECT_STREQ("solo", get(FOLDER "state"));
	EXPECT_STREQ("3", get(FOLDER "generation"));
}

/* Each file of a folder: readable, one line, and read-only unless listed. */
static void look(struct __test_metadata *_metadata, const char *folder, const char *writable)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	char path[512];
	struct stat st;
	char *text;
	unsigned int n = 0;

	ASSERT_NE(NULL, dir);
	while ((entry = readdir(dir))) {
		if (entry->d_type != DT_REG)
			continue;
		snprintf(path, sizeof(path), "%s%s", folder, entry->d_name);
		ASSERT_EQ(0, stat(path, &st));
		text = get(path);
		EXPECT_NE(NULL, text) {
			TH_LOG("%s can't be read", path);
		}
		EXPECT_EQ(NULL, strchr(text, '\n')) {
			TH_LOG("%s has more than one line", path);
		}
		snprintf(path, sizeof(path), " %s ", entry->d_name);
		EXPECT_EQ(strstr(writable, path) ? 0644 : 0444, st.st_mode & 07777) {
			TH_LOG("%s: mode %o", entry->d_name, st.st_mode & 07777);
		}
		n++;
	}
	EXPECT_LT(0, n);
	closedir(dir);
}

TEST_F(sysfs, files)
{
	look(_metadata, ROOT, " log_size lag_limit_ms ");
	look(_metadata, FOLDER, " lag_limit_ms daemon_silence_ms output_device ");
	look(_metadata, FOLDER "counters/", "");
}

/* All counters are numbers, and those that must be are 0 in a guest that never ran. */
TEST_F(sysfs, counters)
{
	static const char *const zero[] = {
		"log_bytes", "records", "clock_reads", "inputs", "outputs", "held", "released",
		"dropped", "divergences", "acks", "log_full",
	};
	char path[512], *end, *text;
	struct dirent *entry;
	unsigned int i;
	DIR *dir;

	for (i = 0; i < ARRAY_SIZE(zero); i++) {
		snprintf(path, sizeof(path), FOLDER "counters/%s", zero[i]);
		EXPECT_STREQ("0", get(path)) {
			TH_LOG("%s", path);
		}
	}
	dir = opendir(FOLDER "counters");
	ASSERT_NE(NULL, dir);
	while ((entry = readdir(dir))) {
		if (entry->d_type != DT_REG)
			continue;
		snprintf(path, sizeof(path), FOLDER "counters/%s", entry->d_name);
		text = get(path);
		strtoull(text, &end, 10);
		EXPECT_TRUE(*text && !*end) {
			TH_LOG("%s: '%s'", path, text);
		}
	}
	closedir(dir);
}

static void limits(struct __test_metadata *_metadata, const char *path, const char *min,
		   const char *max, const char *below, const char *above)
{
	char was[64];

	snprintf(was, sizeof(was), "%s", get(path));
	EXPECT_EQ(0, set(path, min));
	EXPECT_STREQ(min, get(path));
	EXPECT_EQ(0, set(path, max));
	EXPECT_STREQ(max, get(path));
	EXPECT_NE(0, set(path, below));
	EXPECT_NE(0, set(path, above));
	EXPECT_NE(0, set(path, "x"));
	EXPECT_NE(0, set(path, "1 2"));
	EXPECT_NE(0, set(path, "99999999999999999999"));
	EXPECT_STREQ(max, get(path));
	EXPECT_EQ(0, set(path, was));
}

TEST_F(sysfs, tunables)
{
	limits(_metadata, FOLDER "lag_limit_ms", "0", "60000", "-1", "60001");
	limits(_metadata, FOLDER "daemon_silence_ms", "50", "60000", "49", "60001");
	limits(_metadata, ROOT "lag_limit_ms", "0", "60000", "-1", "60001");
	limits(_metadata, ROOT "log_size", "65536", "1073741824", "32768", "2147483648");
	EXPECT_EQ(EINVAL, set(ROOT "log_size", "100000"));
	/* state and role are what the module says, not what somebody writes */
	EXPECT_NE(0, set(FOLDER "counters/records", "1"));
}

TEST_F(sysfs, default_log_size)
{
	char was[64];

	snprintf(was, sizeof(was), "%s", get(ROOT "log_size"));
	EXPECT_STREQ(was, get(FOLDER "log_size"));
	ASSERT_EQ(0, set(ROOT "log_size", "131072"));
	machine_close(&machine);
	ASSERT_EQ(0, machine_open(&machine, "sysfs", LOCKSTEP_ROLE_PRIMARY, 0, ""));
	EXPECT_STREQ("131072", get(FOLDER "log_size"));
	EXPECT_EQ(0, set(ROOT "log_size", was));
}

TEST_F(sysfs, output_device)
{
	EXPECT_EQ(ENODEV, set(FOLDER "output_device", "no-such-dev\n"));
	EXPECT_EQ(EINVAL, set(FOLDER "output_device", "a-name-that-is-too-long"));
	EXPECT_STREQ("", get(FOLDER "output_device"));
	EXPECT_EQ(0, set(FOLDER "output_device", "lo\n"));
	EXPECT_STREQ("lo", get(FOLDER "output_device"));
	/* not once the guest may have sent something */
	ASSERT_EQ(0, nl_bind(&self->nl, machine.attach.id));
	ASSERT_EQ(0, nl_event(&self->nl, machine.attach.id, LOCKSTEP_EVENT_COLD_WON, 1, NULL));
	EXPECT_EQ(EBUSY, set(FOLDER "output_device", "lo\n"));
}

TEST_F(sysfs, unprivileged)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (setresuid(65534, 65534, 65534))
			_exit(99);
		_exit(set(FOLDER "lag_limit_ms", "1") != EACCES ||
		      set(FOLDER "output_device", "lo") != EACCES ||
		      set(ROOT "log_size", "65536") != EACCES);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

/* Read by others while guests come and go. */
TEST_F(sysfs, read_while_it_goes)
{
	int status, i, ready[2];
	char byte;
	pid_t pid;

	ASSERT_EQ(0, pipe(ready));
	pid = fork();
	if (!pid) {
		/* or the guest would stay as long as this process */
		close(machine.fd);
		byte = write(ready[1], "", 1);
		for (;;) {
			get(FOLDER "counters/records");
			get(FOLDER "state");
			get(FOLDER "output_device");
			set(FOLDER "output_device", "lo");
		}
	}
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	for (i = 0; i < 30; i++) {
		machine_close(&machine);
		EXPECT_EQ(0, machine_open(&machine, "sysfs", LOCKSTEP_ROLE_PRIMARY, 0, ""));
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
}

TEST_HARNESS_MAIN
