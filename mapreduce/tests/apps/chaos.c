// SPDX-License-Identifier: GPL-2.0
/*
 * Counts words, in ways that tests want:
 *
 *	exit.percent, segv.percent	an attempt ends so, by chance
 *	stall.percent, stall.ms		or sleeps first
 *	sleep.ms			every task sleeps
 *	straggle.ms			the first attempt of map 0 sleeps
 *	bad.word, bad.how		a map fails at that word: exit, segv, abort, error, stack
 *	log.dir				a file for each attempt of a task: KIND-NUMBER.PID
 *	together.dir			tell how many tasks of this kind run at once (see emit_together())
 *	count				counters test/lines and test/words
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <lockstep/mapreduce.h>

static long number(struct mr_task *task, const char *name)
{
	const char *value = mr_task_option(task, name);

	return value ? atol(value) : 0;
}

static void nap(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

static bool chance(struct mr_task *task, const char *name)
{
	return rand() % 100 < number(task, name);
}

static void touch(struct mr_task *task, const char *dir)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s-%u.%d", dir, mr_task_is_map(task) ? "map" : "reduce",
		 mr_task_number(task), getpid());
	f = fopen(path, "w");
	if (f)
		fclose(f);
}

static void __attribute__((noinline)) overflow(volatile char *up)
{
	volatile char here[4096];

	here[0] = *up;
	if (here[0] != 1)
		overflow(here);
	*up = here[0];
}

static int fail(struct mr_task *task, const char *how)
{
	volatile int *nowhere = NULL;
	volatile char start = 0;

	fprintf(stderr, "about to %s\n", how);
	if (!strcmp(how, "exit"))
		exit(1);
	if (!strcmp(how, "segv"))
		*nowhere = 1;
	if (!strcmp(how, "abort"))
		abort();
	if (!strcmp(how, "stack"))
		overflow(&start);
	return mr_error(task, "told to fail");
}

static int init(struct mr_task *task)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	srand((unsigned int)(getpid() * 7919 + ts.tv_nsec));
	if (mr_task_option(task, "log.dir"))
		touch(task, mr_task_option(task, "log.dir"));
	if (chance(task, "exit.percent"))
		fail(task, "exit");
	if (chance(task, "segv.percent"))
		fail(task, "segv");
	if (chance(task, "stall.percent"))
		nap(number(task, "stall.ms"));
	nap(number(task, "sleep.ms"));
	if (mr_task_is_map(task) && !mr_task_number(task) && !mr_task_attempt(task))
		nap(number(task, "straggle.ms"));
	return 0;
}

static int map(struct mr_task *task, const struct mr_record *record)
{
	const char *bad = mr_task_option(task, "bad.word"), *how = mr_task_option(task, "bad.how");
	const char *p = record->value.data, *end = p + record->value.len, *word;
	int ret;

	mr_counter_add(task, "test", "lines", 1);
	while (p < end) {
		word = memchr(p, ' ', (size_t)(end - p));
		if (!word)
			word = end;
		if (bad && (size_t)(word - p) == strlen(bad) && !memcmp(p, bad, strlen(bad))) {
			ret = fail(task, how ? how : "error");
			if (ret)
				return ret;
		}
		if (word > p) {
			mr_counter_add(task, "test", "words", 1);
			ret = mr_emit(task, p, (size_t)(word - p), "1", 1);
			if (ret)
				return ret;
		}
		p = word + 1;
	}
	return 0;
}

/* How many processes are in a task of this kind now? Each waits so long that the others can come. */
static int emit_together(struct mr_task *task, const char *dir)
{
	const char *kind = mr_task_is_map(task) ? "map" : "reduce";
	char path[512], key[64], value[16];
	struct dirent *e;
	unsigned int n = 0;
	FILE *f;
	DIR *d;

	snprintf(path, sizeof(path), "%s/%s.%d", dir, kind, getpid());
	f = fopen(path, "w");
	if (!f)
		return mr_error(task, "no file in %s", dir);
	fclose(f);
	nap(1000);
	d = opendir(dir);
	while (d && (e = readdir(d)))
		n += !strncmp(e->d_name, kind, strlen(kind));
	if (d)
		closedir(d);
	nap(200);
	unlink(path);
	snprintf(key, sizeof(key), "parallel.%s", kind);
	snprintf(value, sizeof(value), "%u", n);
	return mr_emit(task, key, strlen(key), value, strlen(value));
}

static int finish(struct mr_task *task)
{
	const char *dir = mr_task_option(task, "together.dir");

	return dir ? emit_together(task, dir) : 0;
}

static int reduce(struct mr_task *task, struct mr_bytes key, struct mr_values *values)
{
	struct mr_bytes value;
	char text[32];
	long n = 0;
	int ret;

	if (key.len > 9 && !memcmp(key.data, "parallel.", 9)) {
		while ((ret = mr_values_next(values, &value)) > 0)
			ret = mr_emit(task, key.data, key.len, value.data, value.len);
		return ret;
	}
	while ((ret = mr_values_next(values, &value)) > 0)
		n++;
	if (ret)
		return ret;
	snprintf(text, sizeof(text), "%ld", n);
	return mr_emit(task, key.data, key.len, text, strlen(text));
}

const struct mr_app mr_app = {
	MR_APP_HEADER("chaos"),
	.init = init,
	.exit = finish,
	.map = map,
	.reduce = reduce,
};
