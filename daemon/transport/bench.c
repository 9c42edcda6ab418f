// SPDX-License-Identifier: GPL-2.0
/*
 * Latency of log messages with and without a bulk stream beside them, between
 * two processes over loopback, and the stream's rate.
 *
 * One message is due each interval whether or not the last one came back; the
 * other side returns it at once. What is noted is the time from when it was due
 * until it is back, so that waiting for the own loop counts too. First with
 * nothing else, then with streams that send as much as they can, then quiet
 * again: a machine that changed meanwhile shows in the difference of the first
 * and the last.
 *
 * By default messages and streams share one transport and its thread. With
 * --split the streams have a transport and a thread of their own, at a lower
 * priority: that is how a node carries bulk that would use up its processor.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "transport/keys.h"
#include "transport/transport.h"

#define STREAMS		2
#define CHUNK		(64 * 1024)
#define PHASES		3
#define BULK_NICE	10	/* of the streams' thread, with --split */
#define SETTLE_MS	300	/* after a change of load, not measured */

struct options {
	unsigned int seconds;
	unsigned int interval_us;
	unsigned int size;
	bool split;
	bool quiet;
	bool json;
};

struct phase {
	const char *name;
	bool bulk;
	uint64_t *rtt;
	size_t count;
	size_t size;
	uint64_t bytes;
	uint64_t ns;
};

/**
 * struct source - what sends streams
 * @base: loop
 * @t: transport
 * @peer: the other side, once it is up
 * @streams: those that are open
 * @on: streams are wanted
 * @bytes: written to them so far
 * @thread: with --split, its own
 * @address: with --split, where the other side's transport for streams is
 * @dir: with --split, folder of the keys
 * @ready: it is up
 */
struct source {
	struct event_base *base;
	struct lockstep_transport *t;
	struct lockstep_peer *peer;
	struct lockstep_stream *streams[STREAMS];
	bool on;
	atomic_ullong bytes;
	pthread_t thread;
	char address[LOCKSTEP_ADDR_STRLEN];
	const char *dir;
	atomic_bool ready;
};

/**
 * struct bench - the measuring side
 * @opt: options
 * @base: loop
 * @t: transport
 * @peer: the other side
 * @source: streams
 * @phases: what is measured
 * @phase: which now
 * @begin_ns: when measuring in it began
 * @bytes_begin: written to streams when measuring began
 * @due_ns: when the next message is due
 * @next_id: of the next message
 * @failed: it can't go on
 */
struct bench {
	const struct options *opt;
	struct event_base *base;
	struct lockstep_transport *t;
	struct lockstep_peer *peer;
	struct source source;
	struct phase phases[PHASES];
	unsigned int phase;
	uint64_t begin_ns;
	uint64_t bytes_begin;
	uint64_t due_ns;
	uint64_t next_id;
	bool failed;
};

/* --- the side that answers ----------------------------------------------- */

static void echo_message(struct lockstep_peer *peer, const struct lockstep_msg *msg,
			 const void *data, size_t len)
{
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };

	/* A lost answer is a missing sample, which the count shows. */
	(void)lockstep_peer_send(peer, msg, &iov, 1);
}

static void sink_data(struct lockstep_stream *stream, const void *data, size_t len)
{
	(void)data;
	lockstep_stream_consumed(stream, len);
}

static const struct lockstep_stream_ops sink_ops = { .data = sink_data };

static void sink_open(struct lockstep_peer *peer, struct lockstep_stream *stream, uint32_t kind,
		      const void *data, size_t len)
{
	(void)peer;
	(void)kind;
	(void)data;
	(void)len;
	lockstep_stream_set_ops(stream, &sink_ops, NULL);
}

static const struct lockstep_transport_ops echo_ops = {
	.peer_message	= echo_message,
	.stream_open	= sink_open,
};

static int make_node(struct event_base *base, const char *dir, const char *name,
		     const struct lockstep_transport_ops *ops, void *user,
		     struct lockstep_transport **t)
{
	struct lockstep_transport_config cfg = { .cluster = "bench", .node = name };
	char keys[PATH_MAX], err[512];
	int ret;

	snprintf(keys, sizeof(keys), "%s/%s", dir, name);
	cfg.keys_dir = keys;
	ret = lockstep_transport_create(base, &cfg, ops, user, err, sizeof(err), t);
	if (ret)
		lockstep_err("%s", err);
	return ret;
}

static void lower_priority(void)
{
	/* Linux: of this thread. Without the right to it, it stays as it is. */
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), BULK_NICE);
}

/* One transport of node b; NULL when it can't be made. */
static struct event_base *make_answerer(const char *dir, char *address)
{
	struct event_base *base = lockstep_loop_create();
	struct lockstep_peer_config peer = { .node = "a" };
	struct lockstep_transport *t;

	if (!base || make_node(base, dir, "b", &echo_ops, NULL, &t) ||
	    lockstep_transport_listen(t, "127.0.0.1:0", address) ||
	    lockstep_peer_add(t, &peer, NULL, NULL))
		return NULL;
	return base;
}

static void *answer_bulk(void *arg)
{
	lower_priority();
	event_base_dispatch(arg);
	return NULL;
}

/* Child: node b; tells its two addresses and answers until it is killed. */
static int answer(const char *dir, int out)
{
	char addresses[2][LOCKSTEP_ADDR_STRLEN] = { "", "" };
	struct event_base *base, *bulk;
	pthread_t thread;

	base = make_answerer(dir, addresses[0]);
	bulk = make_answerer(dir, addresses[1]);
	if (!base || !bulk || pthread_create(&thread, NULL, answer_bulk, bulk) ||
	    write(out, addresses, sizeof(addresses)) != sizeof(addresses))
		return 1;
	return event_base_dispatch(base) ? 1 : 0;
}

/* --- the side that measures ---------------------------------------------- */

static void push(struct source *src, struct lockstep_stream *stream)
{
	static const uint8_t chunk[CHUNK];

	while (!lockstep_stream_write(stream, chunk, sizeof(chunk)))
		atomic_fetch_add(&src->bytes, sizeof(chunk));
}

static void on_writable(struct lockstep_stream *stream)
{
	push(lockstep_stream_user(stream), stream);
}

static const struct lockstep_stream_ops source_ops = { .writable = on_writable };

/* On the source's thread: open or drop streams, as @on says. */
static void apply_load(void *arg)
{
	struct source *src = arg;
	unsigned int i;

	for (i = 0; i < STREAMS; i++) {
		if (src->streams[i])
			lockstep_stream_reset(src->streams[i], 0);
		src->streams[i] = NULL;
		/* Streams that can't be opened show as a rate of 0. */
		if (src->on && !lockstep_stream_create(src->peer, 1, NULL, 0, &source_ops, src,
						       &src->streams[i]))
			push(src, src->streams[i]);
	}
}

static void stop(struct bench *b, bool failed)
{
	b->failed = failed;
	event_base_loopbreak(b->base);
}

static void begin_phase(struct bench *b)
{
	b->source.on = b->phases[b->phase].bulk;
	if (lockstep_transport_call(b->source.t, apply_load, &b->source))
		stop(b, true);
	b->begin_ns = 0;
}

static void on_message(struct lockstep_peer *peer, const struct lockstep_msg *msg,
		       const void *data, size_t len)
{
	struct bench *b = lockstep_transport_user(lockstep_peer_transport(peer));
	struct phase *p = &b->phases[b->phase];
	uint64_t sent;

	if (len < sizeof(sent) || msg->kind != b->phase || !b->begin_ns || p->count == p->size)
		return;
	memcpy(&sent, data, sizeof(sent));
	if (sent >= b->begin_ns)
		p->rtt[p->count++] = lockstep_clock_ns() - sent;
}

static void on_state(struct lockstep_peer *peer, enum lockstep_plane plane, bool up,
		     const struct lockstep_link_info *info)
{
	struct bench *b = lockstep_transport_user(lockstep_peer_transport(peer));

	(void)plane;
	if (!up) {
		lockstep_err("connection lost: %s", info->reason);
		stop(b, true);
	} else if (lockstep_peer_is_up(peer, LOCKSTEP_PLANE_LOG) &&
		   lockstep_peer_is_up(peer, LOCKSTEP_PLANE_BULK)) {
		b->peer = peer;
		if (b->opt->split)
			return;
		b->source.peer = peer;
		b->source.t = b->t;
		b->source.ready = true;
	}
}

static const struct lockstep_transport_ops bench_ops = {
	.peer_state	= on_state,
	.peer_message	= on_message,
};

/* The streams' own transport, with --split. */
static void on_source_state(struct lockstep_peer *peer, enum lockstep_plane plane, bool up,
			    const struct lockstep_link_info *info)
{
	struct source *src = lockstep_transport_user(lockstep_peer_transport(peer));

	(void)info;
	if (up && plane == LOCKSTEP_PLANE_BULK) {
		src->peer = peer;
		src->ready = true;
	}
}

static const struct lockstep_transport_ops split_ops = { .peer_state = on_source_state };

static void *run_source(void *arg)
{
	struct source *src = arg;

	lower_priority();
	event_base_dispatch(src->base);
	return NULL;
}

static int start_source(struct source *src)
{
	struct lockstep_peer_config peer = { .node = "b", .log_address = src->address };

	src->base = lockstep_loop_create();
	if (!src->base || make_node(src->base, src->dir, "a", &split_ops, src, &src->t) ||
	    lockstep_peer_add(src->t, &peer, NULL, NULL) ||
	    pthread_create(&src->thread, NULL, run_source, src))
		return -EIO;
	return 0;
}

static void break_loop(void *arg)
{
	event_base_loopbreak(arg);
}

static void stop_source(struct source *src)
{
	if (lockstep_transport_call(src->t, break_loop, src->base))
		return;
	pthread_join(src->thread, NULL);
	lockstep_transport_destroy(src->t);
	event_base_free(src->base);
}

static void send_one(struct bench *b, uint64_t due)
{
	uint8_t buf[LOCKSTEP_MSG_MAX > 65536 ? 65536 : LOCKSTEP_MSG_MAX];
	struct lockstep_msg msg = { .kind = b->phase, .id = b->next_id++ };
	struct iovec iov = { .iov_base = buf, .iov_len = b->opt->size };

	memset(buf, 0, b->opt->size);
	memcpy(buf, &due, sizeof(due));
	(void)lockstep_peer_send(b->peer, &msg, &iov, 1);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	static uint64_t entered_ns;
	struct bench *b = arg;
	struct phase *p = &b->phases[b->phase];
	uint64_t n, now = lockstep_clock_ns();

	(void)what;
	if (read(fd, &n, sizeof(n)) != sizeof(n))
		return;
	if (!b->peer || !b->source.ready) {
		b->due_ns += n * b->opt->interval_us * 1000ULL;
		return;
	}
	if (!b->begin_ns) {
		if (!entered_ns) {
			entered_ns = now;
			begin_phase(b);
		}
		if (now - entered_ns >= SETTLE_MS * LOCKSTEP_NSEC_PER_MSEC) {
			b->begin_ns = now;
			b->bytes_begin = b->source.bytes;
			entered_ns = 0;
		}
	} else if (now - b->begin_ns >= b->opt->seconds * LOCKSTEP_NSEC_PER_SEC) {
		p->ns = now - b->begin_ns;
		p->bytes = b->source.bytes - b->bytes_begin;
		b->begin_ns = 0;
		if (++b->phase == (b->opt->quiet ? 1 : PHASES)) {
			stop(b, false);
			return;
		}
	}
	/* All that are due: a late loop must not hide that they waited for it. */
	for (; n && b->peer; n--) {
		send_one(b, b->due_ns);
		b->due_ns += b->opt->interval_us * 1000ULL;
	}
	lockstep_peer_flush(b->peer);
}

static int compare(const void *x, const void *y)
{
	uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;

	return a < b ? -1 : a > b;
}

static double percentile_us(const struct phase *p, double q)
{
	if (!p->count)
		return 0;
	return (double)p->rtt[(size_t)(q * (double)(p->count - 1))] / 1000.0;
}

static void report(struct bench *b)
{
	struct json_object *all = json_object_new_array(), *o;
	struct phase *p;
	unsigned int i;

	if (!b->opt->json)
		printf("%-14s %8s %9s %9s %9s %9s %10s\n", "log messages", "count", "p50 us",
		       "p99 us", "p99.9 us", "max us", "bulk MB/s");
	for (i = 0; i < (b->opt->quiet ? 1 : PHASES); i++) {
		p = &b->phases[i];
		qsort(p->rtt, p->count, sizeof(p->rtt[0]), compare);
		if (!b->opt->json) {
			printf("%-14s %8zu %9.1f %9.1f %9.1f %9.1f %10.1f\n", p->name, p->count,
			       percentile_us(p, 0.5), percentile_us(p, 0.99),
			       percentile_us(p, 0.999), percentile_us(p, 1),
			       (double)p->bytes * 1000.0 / (double)p->ns);
			continue;
		}
		o = json_object_new_object();
		lockstep_json_add_str(o, "phase", p->name);
		lockstep_json_add_u64(o, "count", p->count);
		json_object_object_add(o, "p50_us",
				       json_object_new_double(percentile_us(p, 0.5)));
		json_object_object_add(o, "p99_us",
				       json_object_new_double(percentile_us(p, 0.99)));
		json_object_object_add(o, "max_us", json_object_new_double(percentile_us(p, 1)));
		lockstep_json_add_u64(o, "bulk_bytes", p->bytes);
		lockstep_json_add_u64(o, "ns", p->ns);
		json_object_array_add(all, o);
	}
	if (b->opt->json)
		lockstep_json_print(all);
	else if (!b->opt->quiet)
		printf("p99 with bulk / quiet: %.2f\n",
		       percentile_us(&b->phases[1], 0.99) / percentile_us(&b->phases[0], 0.99));
	json_object_put(all);
}

static int measure(struct bench *b, const char *dir, const char *address)
{
	struct lockstep_peer_config peer = { .node = "b", .log_address = address };
	struct itimerspec its = { 0 };
	struct event *ev;
	int fd;

	b->base = lockstep_loop_create();
	if (!b->base || make_node(b->base, dir, "a", &bench_ops, b, &b->t))
		return -EIO;
	b->due_ns = lockstep_clock_ns() + LOCKSTEP_NSEC_PER_MSEC;
	its.it_interval.tv_sec = b->opt->interval_us / 1000000;
	its.it_interval.tv_nsec = (long)(b->opt->interval_us % 1000000) * 1000;
	its.it_value.tv_sec = (time_t)(b->due_ns / LOCKSTEP_NSEC_PER_SEC);
	its.it_value.tv_nsec = (long)(b->due_ns % LOCKSTEP_NSEC_PER_SEC);
	fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	ev = event_new(b->base, fd, EV_READ | EV_PERSIST, on_timer, b);
	if (fd < 0 || !ev || event_add(ev, NULL) || timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, NULL) ||
	    lockstep_peer_add(b->t, &peer, NULL, NULL))
		return -EIO;
	if (b->opt->split && start_source(&b->source))
		return -EIO;
	event_base_dispatch(b->base);
	if (b->opt->split)
		stop_source(&b->source);
	event_free(ev);
	close(fd);
	lockstep_transport_destroy(b->t);
	event_base_free(b->base);
	return b->failed ? -EIO : 0;
}

static int make_keys(const char *dir)
{
	static const char * const nodes[] = { "a", "b" };
	char ca[PATH_MAX], out[PATH_MAX];
	int i, err;

	snprintf(ca, sizeof(ca), "%s/ca", dir);
	err = lockstep_keys_init(ca, "bench");
	for (i = 0; i < 2 && !err; i++) {
		snprintf(out, sizeof(out), "%s/%s", dir, nodes[i]);
		err = lockstep_keys_issue(ca, nodes[i], out);
	}
	if (err)
		lockstep_err("%s", lockstep_keys_strerror());
	return err;
}

static int run(const struct options *opt, const char *dir)
{
	struct bench b = {
		.opt = opt,
		.phases = { { .name = "quiet" }, { .name = "with bulk", .bulk = true },
			    { .name = "quiet again" } },
	};
	char addresses[2][LOCKSTEP_ADDR_STRLEN];
	int fds[2], i, err = -ENOMEM;
	pid_t child;

	for (i = 0; i < PHASES; i++) {
		b.phases[i].size = (size_t)opt->seconds * 1000000 / opt->interval_us + 1000;
		b.phases[i].rtt = calloc(b.phases[i].size, sizeof(uint64_t));
		if (!b.phases[i].rtt)
			return -ENOMEM;
	}
	if (make_keys(dir) || pipe(fds))
		return -EIO;
	child = fork();
	if (!child)
		_exit(answer(dir, fds[1]));
	close(fds[1]);
	if (child > 0 && read(fds[0], addresses, sizeof(addresses)) == sizeof(addresses)) {
		b.source.dir = dir;
		strcpy(b.source.address, addresses[1]);
		err = measure(&b, dir, addresses[0]);
	}
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	close(fds[0]);
	if (!err)
		report(&b);
	for (i = 0; i < PHASES; i++)
		free(b.phases[i].rtt);
	return err;
}

static void usage(FILE *f)
{
	fputs("Usage: transport-bench [options]\n"
	      "Round trips of log messages between two processes on loopback, quiet and beside\n"
	      "bulk streams.\n\n"
	      "  --seconds N    length of each of the three phases (default 5)\n"
	      "  --interval US  one message each so many microseconds (default 1000)\n"
	      "  --size BYTES   of a message, 8 to 65536 (default 256)\n"
	      "  --split        streams on a transport and a thread of their own\n"
	      "  --quiet        the first phase only: beside whatever else runs\n"
	      "  --json         print JSON\n"
	      "  --help         this text\n\n"
	      "Exit status: 0 measured; 1 failed; 2 wrong usage.\n", f);
}

static bool number(const char *s, unsigned int min, unsigned int max, unsigned int *out)
{
	unsigned long v;
	char *end;

	v = strtoul(s, &end, 10);
	if (end == s || *end || v < min || v > max)
		return false;
	*out = (unsigned int)v;
	return true;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ "interval", required_argument, NULL, 'i' },
		{ "size", required_argument, NULL, 'z' },
		{ "split", no_argument, NULL, 'p' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	struct options opt = { .seconds = 5, .interval_us = 1000, .size = 256 };
	char dir[] = "/tmp/lockstep-bench.XXXXXX", cmd[64];
	bool ok = true;
	int c, err;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (c == 'h') {
			usage(stdout);
			return 0;
		}
		if (c == 's')
			ok &= number(optarg, 1, 3600, &opt.seconds);
		else if (c == 'i')
			ok &= number(optarg, 50, 1000000, &opt.interval_us);
		else if (c == 'z')
			ok &= number(optarg, 8, 65536, &opt.size);
		else if (c == 'p')
			opt.split = true;
		else if (c == 'q')
			opt.quiet = true;
		else if (c == 'j')
			opt.json = true;
		else
			ok = false;
	}
	if (!ok || optind < argc) {
		usage(stderr);
		return 2;
	}
	lockstep_log_init("transport-bench", LOCKSTEP_LOG_WARN, false);
	if (!mkdtemp(dir)) {
		lockstep_err("%s: %s", dir, strerror(errno));
		return 1;
	}
	err = run(&opt, dir);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	if (system(cmd))
		lockstep_warn("%s stays behind", dir);
	return err ? 1 : 0;
}
