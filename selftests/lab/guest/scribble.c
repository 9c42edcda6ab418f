// SPDX-License-Identifier: GPL-2.0
/*
 * scribble - change buffers while the disk is asked to write them
 *
 *   scribble [-n WRITES] [-o OFFSET] DEVICE-OR-FILE
 *
 * Direct writes of a buffer that a second thread keeps changing: what reaches
 * the disk is any mixture, but it has to be the same mixture on both sides of a
 * protected guest. Overwrites OFFSET (0) and the 64 KiB behind it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BYTES	65536

static unsigned char *buffer;
static volatile int stop;

static void *scribbler(void *arg)
{
	struct timespec ts;
	unsigned int x = 1;

	while (!stop) {
		for (size_t i = 0; i < BYTES; i += 61)
			buffer[i] = x++;
		/* Where inputs wait for an exit or a clock read, none would come in without this. */
		clock_gettime(CLOCK_MONOTONIC, &ts);
	}
	return arg;
}

int main(int argc, char **argv)
{
	long writes = 200, offset = 0;
	pthread_t thread;
	int fd, opt;

	while ((opt = getopt(argc, argv, "n:o:")) != -1) {
		if (opt == 'n')
			writes = atol(optarg);
		else if (opt == 'o')
			offset = atol(optarg);
		else
			optind = argc;
	}
	if (optind != argc - 1) {
		fprintf(stderr, "usage: scribble [-n WRITES] [-o OFFSET] DEVICE-OR-FILE\n");
		return 2;
	}
	fd = open(argv[optind], O_WRONLY | O_DIRECT);
	if (fd < 0) {
		fprintf(stderr, "scribble: %s: %s\n", argv[optind], strerror(errno));
		return 1;
	}
	if (posix_memalign((void **)&buffer, 4096, BYTES) ||
	    pthread_create(&thread, NULL, scribbler, NULL)) {
		fprintf(stderr, "scribble: no memory or no thread\n");
		return 1;
	}
	for (long i = 0; i < writes; i++) {
		if (pwrite(fd, buffer, BYTES, offset) != BYTES) {
			fprintf(stderr, "scribble: write %ld: %s\n", i, strerror(errno));
			return 1;
		}
	}
	stop = 1;
	pthread_join(thread, NULL);
	if (fsync(fd) || close(fd)) {
		fprintf(stderr, "scribble: sync: %s\n", strerror(errno));
		return 1;
	}
	printf("scribble: %ld writes\n", writes);
	return 0;
}
