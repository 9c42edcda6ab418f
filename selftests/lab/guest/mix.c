// SPDX-License-Identifier: GPL-2.0
/*
 * mix - mixed work for a guest: processes, files, hashing, timers, signals
 *
 *   mix [-d DIR] [-n ROUNDS] [-t SECONDS] [-p MS]
 *
 * Each round forks workers that write, read back, rename and delete files in
 * DIR (/tmp), has sha256sum hash one, lets interval timers and sleeps fire, and
 * takes random bytes. A file that does not read back as written ends it with 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORKERS		4
#define FILE_BYTES	65536

static volatile sig_atomic_t alarms;

static void on_alarm(int sig)
{
	(void)sig;
	alarms++;
}

static void fill(unsigned char *buf, size_t len)
{
	unsigned int x;

	if (getrandom(&x, sizeof(x), 0) != sizeof(x))
		x = 1;
	for (size_t i = 0; i < len; i++) {
		x = x * 1103515245 + 12345;
		buf[i] = x >> 16;
	}
}

/* Writes a file, syncs it, renames it and reads it back. 0 or 1, as an exit status. */
static int file_work(const char *dir, int worker, long round)
{
	static unsigned char wrote[FILE_BYTES], got[FILE_BYTES];
	char path[256], name[256];
	int fd, bad;

	snprintf(path, sizeof(path), "%s/mix.%d.tmp", dir, worker);
	snprintf(name, sizeof(name), "%s/mix.%d.%ld", dir, worker, round % 8);
	fill(wrote, sizeof(wrote));
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write(fd, wrote, sizeof(wrote)) != sizeof(wrote) || fsync(fd)) {
		fprintf(stderr, "mix: %s: %s\n", path, strerror(errno));
		return 1;
	}
	bad = rename(path, name) || pread(fd, got, sizeof(got), 0) != sizeof(got) ||
	      memcmp(wrote, got, sizeof(got));
	close(fd);
	if (bad) {
		fprintf(stderr, "mix: %s does not read back as written\n", name);
		return 1;
	}
	if (worker == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, 1);
		execlp("sha256sum", "sha256sum", name, (char *)NULL);
		fprintf(stderr, "mix: sha256sum: %s\n", strerror(errno));
		return 1;
	}
	return round % 3 == 0 && unlink(name) ? 1 : 0;
}

static void timer_work(void)
{
	struct itimerval it = { { 0, 3000 }, { 0, 3000 } };
	struct timespec ts = { 0, 10000000 };

	setitimer(ITIMER_REAL, &it, NULL);
	for (int i = 0; i < 4; i++)
		nanosleep(&ts, NULL);
	memset(&it, 0, sizeof(it));
	setitimer(ITIMER_REAL, &it, NULL);
}

static int round_do(const char *dir, long round)
{
	int bad = 0, status;

	fflush(stdout);
	for (int i = 0; i < WORKERS; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return 1;
		if (!pid)
			_exit(file_work(dir, i, round));
	}
	timer_work();
	for (int i = 0; i < WORKERS; i++) {
		while (wait(&status) < 0 && errno == EINTR)
			;
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			bad = 1;
	}
	return bad;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	const char *dir = "/tmp";
	long rounds = 0, seconds = 0, pause_ms = 0, n;
	struct timespec start, now, pause;
	int opt;

	while ((opt = getopt(argc, argv, "d:n:t:p:")) != -1) {
		switch (opt) {
		case 'd':
			dir = optarg;
			break;
		case 'n':
			rounds = atol(optarg);
			break;
		case 't':
			seconds = atol(optarg);
			break;
		case 'p':
			pause_ms = atol(optarg);
			break;
		default:
			fprintf(stderr, "usage: mix [-d DIR] [-n ROUNDS] [-t SECONDS] [-p MS]\n");
			return 2;
		}
	}
	pause.tv_sec = pause_ms / 1000;
	pause.tv_nsec = pause_ms % 1000 * 1000000;
	sigaction(SIGALRM, &sa, NULL);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (n = 1;; n++) {
		if (round_do(dir, n)) {
			printf("mix: FAILED in round %ld\n", n);
			return 1;
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (n % 10 == 0)
			printf("mix: %ld rounds, %d alarms, %ld.%03ld s\n", n, (int)alarms,
			       (long)now.tv_sec, now.tv_nsec / 1000000);
		if ((rounds && n >= rounds) || (seconds && now.tv_sec - start.tv_sec >= seconds))
			break;
		if (pause_ms)
			nanosleep(&pause, NULL);
	}
	printf("mix: done, %ld rounds, %d alarms\n", n, (int)alarms);
	return 0;
}
