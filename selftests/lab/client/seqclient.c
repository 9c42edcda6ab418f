// SPDX-License-Identifier: GPL-2.0
/*
 * seqclient - outside client of the sequence protocol (guest/seq.h)
 *
 * Holds one TCP session, checks every reply, never connects again. See usage().
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "seq.h"

#define NS_PER_MS	1000000ull
#define WINDOW_MAX	1024

struct options {
	const char *address, *history;
	int port;
	unsigned int size, reply_size, window;
	uint64_t interval_ns, time_ns, silence_ns, patience_ns;
	bool json;
};

struct sent {
	uint64_t at;		/* CLOCK_MONOTONIC, ns */
	uint64_t hash;		/* over the session up to and with this record */
};

struct session {
	const struct options *o;
	int fd;
	FILE *history;
	uint64_t sent, replies;
	uint64_t hash, guest_ns;
	struct sent flight[WINDOW_MAX];
	/* bytes on their way out, and of the reply that is coming in */
	unsigned char out[sizeof(struct seq_record) + SEQ_LEN_MAX];
	size_t out_len, out_at;
	unsigned char in[sizeof(struct seq_reply) + SEQ_LEN_MAX];
	size_t in_len;
	uint64_t start, next_send, last_reply, silence, silence_at;
	uint64_t *latency;
	size_t latency_room;
};

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static int fail(struct session *s, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "seqclient: after %llu of %llu replies: ", (unsigned long long)s->replies,
		(unsigned long long)s->sent);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return -EPROTO;
}

/* The service may still be on its way up; only the session itself is never begun twice. */
static int connect_patiently(const struct options *o)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(o->port) };
	uint64_t deadline = now_ns() + o->patience_ns;
	struct timespec pause = { 0, 200 * NS_PER_MS };
	int one = 1, err;

	if (inet_pton(AF_INET, o->address, &sin.sin_addr) != 1)
		return -EINVAL;
	do {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		struct timeval tv = { 3, 0 };

		if (fd < 0)
			return -errno;
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
		if (!connect(fd, (struct sockaddr *)&sin, sizeof(sin))) {
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			fcntl(fd, F_SETFL, O_NONBLOCK);
			return fd;
		}
		err = errno;
		close(fd);
		nanosleep(&pause, NULL);
	} while (now_ns() < deadline && !stop);
	return -err;
}

static void record_make(struct session *s, uint64_t now)
{
	struct seq_record r = {
		.magic = SEQ_RECORD_MAGIC, .len = s->o->size,
		.reply_len = s->o->reply_size, .seq = s->sent,
	};
	struct sent *f = &s->flight[s->sent % WINDOW_MAX];

	memcpy(s->out, &r, sizeof(r));
	seq_fill(s->out + sizeof(r), r.len, r.seq, 0);
	s->out_len = sizeof(r) + r.len;
	s->out_at = 0;
	s->hash = seq_hash(s->hash, s->out, s->out_len);
	f->at = now;
	f->hash = s->hash;
	s->sent++;
}

static int output_push(struct session *s)
{
	while (s->out_at < s->out_len) {
		ssize_t n = write(s->fd, s->out + s->out_at, s->out_len - s->out_at);

		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			return fail(s, "send: %s", strerror(errno));
		s->out_at += n;
	}
	return 0;
}

static int latency_add(struct session *s, uint64_t ns)
{
	if (s->replies >= s->latency_room) {
		size_t room = s->latency_room ? 2 * s->latency_room : 4096;
		uint64_t *more = realloc(s->latency, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->latency = more;
		s->latency_room = room;
	}
	s->latency[s->replies] = ns;
	return 0;
}

static int reply_check(struct session *s, const struct seq_reply *r, uint64_t now)
{
	const struct sent *f = &s->flight[s->replies % WINDOW_MAX];
	static unsigned char want[SEQ_LEN_MAX];

	if (s->replies >= s->sent || r->seq != s->replies)
		return fail(s, "reply %llu came", (unsigned long long)r->seq);
	if (r->hash != f->hash)
		return fail(s, "the service has received other bytes than were sent");
	seq_fill(want, r->len, r->seq, 1);
	if (memcmp(want, s->in + sizeof(*r), r->len))
		return fail(s, "payload of reply %llu differs", (unsigned long long)r->seq);
	if (r->guest_ns < s->guest_ns)
		return fail(s, "the guest's clock went back by %llu ns",
			    (unsigned long long)(s->guest_ns - r->guest_ns));
	s->guest_ns = r->guest_ns;
	if (now - s->last_reply > s->silence && s->replies) {
		s->silence = now - s->last_reply;
		s->silence_at = s->last_reply - s->start;
	}
	s->last_reply = now;
	if (s->history)
		fprintf(s->history, "%llu %llu %llu %llu\n", (unsigned long long)r->seq,
			(unsigned long long)f->at, (unsigned long long)now,
			(unsigned long long)r->guest_ns);
	if (latency_add(s, now - f->at))
		return -ENOMEM;
	s->replies++;
	return 0;
}

static int input_pull(struct session *s)
{
	for (;;) {
		struct seq_reply r = { 0 };
		size_t want = sizeof(r);
		ssize_t n;

		if (s->in_len >= sizeof(r)) {
			memcpy(&r, s->in, sizeof(r));
			if (r.magic != SEQ_REPLY_MAGIC || r.len != s->o->reply_size)
				return fail(s, "not a reply");
			want += r.len;
			if (s->in_len == want) {
				int ret = reply_check(s, &r, now_ns());

				if (ret)
					return ret;
				s->in_len = 0;
				continue;
			}
		}
		n = read(s->fd, s->in + s->in_len, want - s->in_len);
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0)
			return fail(s, "connection lost: %s", n ? strerror(errno) : "closed by the service");
		s->in_len += n;
	}
}

/* One turn: send what is due, take what has come. 1 when the session is over, 0, or negative. */
static int turn(struct session *s)
{
	const struct options *o = s->o;
	uint64_t now = now_ns();
	bool over = stop || (o->time_ns && now - s->start >= o->time_ns);
	struct pollfd pfd = { .fd = s->fd, .events = POLLIN };
	bool room = s->sent - s->replies < o->window && s->out_at == s->out_len;
	int wait_ms = 100, ret;

	if (over && s->sent == s->replies)
		return 1;
	if (now - s->last_reply > o->silence_ns && s->sent > s->replies)
		return fail(s, "no reply for %llu s", (unsigned long long)(o->silence_ns / 1000000000));
	if (!over && room && now >= s->next_send) {
		record_make(s, now);
		s->next_send = s->next_send + o->interval_ns > now ? s->next_send + o->interval_ns : now;
	}
	ret = output_push(s);
	if (ret)
		return ret;
	if (s->out_at < s->out_len)
		pfd.events |= POLLOUT;
	else if (!over && s->sent - s->replies < o->window)
		wait_ms = s->next_send > now ? (s->next_send - now) / NS_PER_MS : 0;
	poll(&pfd, 1, wait_ms > 100 ? 100 : wait_ms);
	return input_pull(s);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static double at_ms(const struct session *s, double part)
{
	return s->replies ? s->latency[(size_t)(part * (s->replies - 1))] / 1e6 : 0;
}

static void summary(struct session *s, int ret)
{
	double seconds = (now_ns() - s->start) / 1e9;

	qsort(s->latency, s->replies, sizeof(*s->latency), compare);
	if (s->o->json) {
		printf("{\"good\": %s, \"records\": %llu, \"replies\": %llu, \"seconds\": %.3f, "
		       "\"latency_ms\": {\"min\": %.3f, \"p50\": %.3f, \"p90\": %.3f, \"p99\": %.3f, "
		       "\"max\": %.3f}, \"silence_ms\": %.3f, \"silence_at_s\": %.3f}\n",
		       ret < 0 ? "false" : "true", (unsigned long long)s->sent,
		       (unsigned long long)s->replies, seconds, at_ms(s, 0), at_ms(s, 0.5),
		       at_ms(s, 0.9), at_ms(s, 0.99), at_ms(s, 1), s->silence / 1e6, s->silence_at / 1e9);
		return;
	}
	printf("session        %s, %.1f s\n", ret < 0 ? "FAILED" : "good", seconds);
	printf("records        %llu sent, %llu answered in order\n", (unsigned long long)s->sent,
	       (unsigned long long)s->replies);
	printf("latency ms     min %.3f  p50 %.3f  p90 %.3f  p99 %.3f  max %.3f\n", at_ms(s, 0),
	       at_ms(s, 0.5), at_ms(s, 0.9), at_ms(s, 0.99), at_ms(s, 1));
	printf("longest silence %.3f ms, from second %.3f on\n", s->silence / 1e6, s->silence_at / 1e9);
}

static void usage(FILE *to)
{
	fprintf(to,
		"usage: seqclient [options] ADDRESS\n"
		"Holds one TCP session with seqd and checks every reply.\n"
		"  -p, --port N        port (%d)\n"
		"  -s, --size BYTES    payload of a record (64)\n"
		"  -r, --reply BYTES   payload of a reply (64)\n"
		"  -w, --window N      records that may be unanswered (1)\n"
		"  -i, --interval MS   time between records (10)\n"
		"  -t, --time S        length of the session (until SIGTERM)\n"
		"  -T, --silence S     no reply for so long is a failure (120)\n"
		"  -W, --wait S        keep trying to connect for so long (0)\n"
		"  -H, --history FILE  a line for each reply: number, ns sent, ns answered, guest's ns\n"
		"  -j, --json          summary as one JSON object\n"
		"Times of the history are CLOCK_MONOTONIC.\n"
		"Exit status: 0 every record was answered rightly, 1 not so, 2 wrong usage.\n", SEQ_PORT);
}

static const struct option long_options[] = {
	{ "port", 1, NULL, 'p' }, { "size", 1, NULL, 's' }, { "reply", 1, NULL, 'r' },
	{ "window", 1, NULL, 'w' }, { "interval", 1, NULL, 'i' }, { "time", 1, NULL, 't' },
	{ "silence", 1, NULL, 'T' }, { "wait", 1, NULL, 'W' }, { "history", 1, NULL, 'H' },
	{ "json", 0, NULL, 'j' }, { "help", 0, NULL, 'h' }, { NULL, 0, NULL, 0 },
};

/* 0, 1 for help, -EINVAL. */
static int options_parse(struct options *o, int argc, char **argv)
{
	int opt;

	while ((opt = getopt_long(argc, argv, "p:s:r:w:i:t:T:W:H:jh", long_options, NULL)) != -1) {
		double number = optarg ? atof(optarg) : 0;

		switch (opt) {
		case 'p':
			o->port = number;
			break;
		case 's':
			o->size = number;
			break;
		case 'r':
			o->reply_size = number;
			break;
		case 'w':
			o->window = number;
			break;
		case 'i':
			o->interval_ns = number * NS_PER_MS;
			break;
		case 't':
			o->time_ns = number * 1e9;
			break;
		case 'T':
			o->silence_ns = number * 1e9;
			break;
		case 'W':
			o->patience_ns = number * 1e9;
			break;
		case 'H':
			o->history = optarg;
			break;
		case 'j':
			o->json = true;
			break;
		case 'h':
			return 1;
		default:
			return -EINVAL;
		}
	}
	o->address = argv[optind];
	if (optind != argc - 1 || o->port < 1 || o->port > 65535 || o->size > SEQ_LEN_MAX ||
	    o->reply_size > SEQ_LEN_MAX || !o->window || o->window > WINDOW_MAX)
		return -EINVAL;
	return 0;
}

int main(int argc, char **argv)
{
	static struct options o = {
		.port = SEQ_PORT, .size = 64, .reply_size = 64, .window = 1,
		.interval_ns = 10 * NS_PER_MS, .silence_ns = 120000 * NS_PER_MS,
	};
	static struct session s = { .o = &o, .hash = SEQ_HASH_START };
	int ret = options_parse(&o, argc, argv);

	if (ret) {
		usage(ret > 0 ? stdout : stderr);
		return ret > 0 ? 0 : 2;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	if (o.history) {
		s.history = fopen(o.history, "w");
		if (!s.history) {
			fprintf(stderr, "seqclient: %s: %s\n", o.history, strerror(errno));
			return 2;
		}
		setvbuf(s.history, NULL, _IOLBF, 0);
	}
	s.fd = connect_patiently(&o);
	if (s.fd < 0) {
		fprintf(stderr, "seqclient: cannot connect to %s port %d: %s\n", o.address, o.port,
			strerror(-s.fd));
		return 1;
	}
	fprintf(stderr, "seqclient: connected to %s port %d\n", o.address, o.port);
	s.start = s.next_send = s.last_reply = now_ns();
	do
		ret = turn(&s);
	while (!ret);
	summary(&s, ret);
	if (s.history && fclose(s.history))
		ret = -EIO;
	return ret < 0 ? 1 : 0;
}
