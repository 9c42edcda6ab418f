// SPDX-License-Identifier: GPL-2.0
/*
 * storm - never idle: computes, forks without end, sends signals, has timers run out
 *
 *   storm -t SECONDS
 *
 * Four kinds of work at once, each a process of its own that checks what it gets.
 * Every ten rounds, and at the end, each says what it has done. Exit status: 0, or 1
 * when something was not as it has to be.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CALM		15	/* seconds, in which what else was started comes up */
#define CHILDREN	24	/* alive at once in a fork storm */
#define SIGNALS		200	/* in a round */
#define TIMERS		4
#define EXPIRIES	40	/* of all timers together, in a round */

static volatile sig_atomic_t caught, last;

static void on_signal(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	caught++;
	last = info->si_value.sival_int;
}

static void catch_signal(int number)
{
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };

	sigaction(number, &sa, NULL);
}

/* Integers and floats, whose sums are known to be the same each time. */
static int compute(long round)
{
	static uint64_t first;
	uint64_t sum = 1;
	double x = 0.5;

	(void)round;
	for (int i = 1; i < 400000; i++) {
		sum = (sum ^ (uint64_t)i) * 0x9e3779b97f4a7c15ULL;
		x = 3.7 * x * (1.0 - x);
	}
	sum ^= (uint64_t)(x * 1e15);
	if (!first)
		first = sum;
	return sum != first;
}

/* Children that end at once, with a program of their own, or by a signal. */
static int forks(long round)
{
	pid_t pids[CHILDREN];
	int bad = 0, status;

	for (int i = 0; i < CHILDREN; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			return 1;
		if (pids[i])
			continue;
		if (i == 0)
			execlp("true", "true", (char *)NULL);
		if (i % 4 == 1)
			raise(SIGKILL);
		_exit((int)(round + i) & 0x3f);
	}
	for (int i = 0; i < CHILDREN; i++) {
		if (waitpid(pids[i], &status, 0) != pids[i])
			return 1;
		if (i % 4 == 1)
			bad |= !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL;
		else
			bad |= !WIFEXITED(status) ||
			       WEXITSTATUS(status) != (i ? ((int)(round + i) & 0x3f) : 0);
	}
	return bad;
}

/* A child sends numbered signals, and each is waited for: none is lost, none comes twice. */
static int signals(long round)
{
	union sigval value = { .sival_int = 0 };
	int before = caught, status;
	pid_t pid, us = getpid();

	(void)round;
	pid = fork();
	if (pid < 0)
		return 1;
	if (!pid) {
		for (value.sival_int = 1; value.sival_int <= SIGNALS; value.sival_int++)
			while (sigqueue(us, SIGRTMIN, value))
				usleep(100);
		_exit(0);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	while (caught - before < SIGNALS)
		usleep(100);
	return caught - before != SIGNALS || last != SIGNALS;
}

/* Timers of several periods, and one of the processor time used. */
static int timers(long round)
{
	struct itimerval used = { { 0, 2000 }, { 0, 2000 } }, off = { 0 };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN };
	timer_t timer[TIMERS];
	int before = caught;

	(void)round;
	setitimer(ITIMER_PROF, &used, NULL);
	for (int i = 0; i < TIMERS; i++) {
		long ns = 700000L * (i + 1);
		struct itimerspec period = { { 0, ns }, { 0, ns } };

		if (timer_create(CLOCK_MONOTONIC, &event, &timer[i]) ||
		    timer_settime(timer[i], 0, &period, NULL))
			return 1;
	}
	while (caught - before < EXPIRIES)
		;
	for (int i = 0; i < TIMERS; i++)
		timer_delete(timer[i]);
	setitimer(ITIMER_PROF, &off, NULL);
	return 0;
}

static int work(const char *name, int (*turn)(long), long seconds)
{
	struct timespec start, now;
	long round = 0;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		if (turn(++round)) {
			printf("storm: %s: FAILED in round %ld\n", name, round);
			return 1;
		}
		if (round % 10 == 0)
			printf("storm: %s: %ld rounds, %d signals\n", name, round, (int)caught);
		fflush(stdout);		/* or children have it, too */
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - start.tv_sec < seconds);
	printf("storm: %s: done, %ld rounds, %d signals\n", name, round, (int)caught);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*turn)(long round);
	} kinds[] = { { "compute", compute }, { "forks", forks }, { "signals", signals }, { "timers", timers } };
	int bad = 0, status;

	if (argc != 3 || strcmp(argv[1], "-t")) {
		fprintf(stderr, "usage: storm -t SECONDS\n");
		return 2;
	}
	sleep(CALM);
	catch_signal(SIGRTMIN);
	catch_signal(SIGPROF);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		pid_t pid = fork();

		if (pid < 0)
			return 1;
		if (!pid)
			exit(work(kinds[i].name, kinds[i].turn, atol(argv[2])));
	}
	while (wait(&status) > 0 || errno == EINTR)
		bad |= !WIFEXITED(status) || WEXITSTATUS(status);
	printf("storm: %s\n", bad ? "FAILED" : "done");
	return bad;
}
