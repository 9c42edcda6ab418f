// SPDX-License-Identifier: GPL-2.0
/*
 * seqd - the service of the sequence protocol (seq.h)
 *
 *   seqd [-p PORT]
 *
 * One process a session. A record that is not the next one ends the session:
 * the client sees the connection go, which for it is a failure.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "seq.h"

static int read_all(int fd, void *to, size_t len)
{
	char *p = to;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -ECONNRESET;
		p += n;
		len -= n;
	}
	return 0;
}

static int write_all(int fd, const void *from, size_t len)
{
	const char *p = from;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= n;
	}
	return 0;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void session(int fd)
{
	static unsigned char data[SEQ_LEN_MAX];
	static unsigned char out[sizeof(struct seq_reply) + SEQ_LEN_MAX];
	uint64_t hash = SEQ_HASH_START, seq = 0;
	const char *end;

	for (;; seq++) {
		struct seq_reply reply = { .magic = SEQ_REPLY_MAGIC, .seq = seq };
		struct seq_record record;

		end = "closed";
		if (read_all(fd, &record, sizeof(record)))
			break;
		end = "bad record";
		if (record.magic != SEQ_RECORD_MAGIC || record.len > SEQ_LEN_MAX ||
		    record.reply_len > SEQ_LEN_MAX || record.seq != seq)
			break;
		end = "cut short";
		if (read_all(fd, data, record.len))
			break;
		hash = seq_hash(hash, &record, sizeof(record));
		hash = seq_hash(hash, data, record.len);
		reply.len = record.reply_len;
		reply.hash = hash;
		reply.guest_ns = now_ns();
		memcpy(out, &reply, sizeof(reply));
		seq_fill(out + sizeof(reply), reply.len, seq, 1);
		if (write_all(fd, out, sizeof(reply) + reply.len))
			break;
	}
	printf("seqd: session %s after %llu records\n", end, (unsigned long long)seq);
	fflush(stdout);
}

static int listen_on(int port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) || listen(fd, 64)) {
		int err = errno;

		close(fd);
		return -err;
	}
	return fd;
}

int main(int argc, char **argv)
{
	int port = SEQ_PORT;
	int fd, opt;

	while ((opt = getopt(argc, argv, "p:")) != -1) {
		if (opt != 'p') {
			fprintf(stderr, "usage: seqd [-p PORT]\n");
			return 2;
		}
		port = atoi(optarg);
	}
	signal(SIGCHLD, SIG_IGN);
	fd = listen_on(port);
	if (fd < 0) {
		fprintf(stderr, "seqd: cannot listen on port %d: %s\n", port, strerror(-fd));
		return 1;
	}
	printf("seqd: listening on port %d\n", port);
	fflush(stdout);
	for (;;) {
		int one = 1, conn = accept(fd, NULL, NULL);

		if (conn < 0)
			continue;
		setsockopt(conn, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (!fork()) {
			close(fd);
			session(conn);
			return 0;
		}
		close(conn);
	}
}
