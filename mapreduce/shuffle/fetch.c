// SPDX-License-Identifier: GPL-2.0
/* The shuffle's client, see fetch.h. */
#include "shuffle/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include <event2/event.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/file.h"
#include "transport/transport.h"

/**
 * struct mr_fetch - one that waits, runs, or pauses
 * @running: it has one of the MR_FETCH_MAX places
 * @stream: of this try, or NULL
 * @timer: end of a pause
 * @began_ns: when it began to wait for the plane
 * @fd: file being written, or -1
 * @tries: that failed
 * @head_have: bytes of the head that came
 * @got: bytes of the content that came
 * @finished: the other side wrote all
 * @fault: decided while the stream is still to be closed
 * @error: -errno of this try
 */
struct mr_fetch {
	TAILQ_ENTRY(mr_fetch) entry;
	struct mr_fetcher *fetcher;
	struct mr_fetch_config config;
	uint8_t request[MR_REQUEST_MAX];
	bool running;
	struct lockstep_stream *stream;
	struct event *timer;
	uint64_t began_ns;
	int fd;
	unsigned int tries;
	uint8_t head_bytes[MR_HEAD_SIZE];
	size_t head_have;
	struct mr_head head;
	uint64_t got;
	XXH3_state_t *sum;
	enum mr_fetch_fault fault;
	int error;
};

struct mr_fetcher {
	struct lockstep_peer *peer;
	struct event_base *base;
	unsigned int deadline_ms;
	TAILQ_HEAD(, mr_fetch) all;
	unsigned int running;
};

static uint64_t received;

static void try_begin(struct mr_fetch *f);

static void fetch_free(struct mr_fetch *f)
{
	TAILQ_REMOVE(&f->fetcher->all, f, entry);
	if (f->running)
		f->fetcher->running--;
	if (f->timer)
		event_free(f->timer);
	if (f->fd >= 0)
		close(f->fd);
	XXH3_freeState(f->sum);
	free((char *)f->config.path);
	free(f);
}

/* Give free places to those who wait. */
static void serve_next(struct mr_fetcher *fetcher)
{
	struct mr_fetch *f;

	TAILQ_FOREACH(f, &fetcher->all, entry) {
		if (fetcher->running >= MR_FETCH_MAX)
			return;
		if (f->running)
			continue;
		f->running = true;
		fetcher->running++;
		/* from the loop: whoever begins a fetch is not called back from there */
		event_active(f->timer, EV_TIMEOUT, 0);
	}
}

static const char *error_text(int error)
{
	switch (error) {
	case -ENOENT:
		return "it is not there any more";
	case -EBADMSG:
		return "it is damaged there";
	case -EILSEQ:
		return "what arrived has another checksum";
	case -EHOSTDOWN:
		return "the node is not connected";
	default:
		return strerror(-error);
	}
}

static void fetch_end(struct mr_fetch *f, enum mr_fetch_fault fault, int error)
{
	struct mr_fetcher *fetcher = f->fetcher;
	struct mr_fetch_config config = f->config;
	struct mr_head head = f->head;
	char text[256];

	snprintf(text, sizeof(text), "%s: %s", lockstep_peer_name(fetcher->peer),
		 fault ? error_text(error) : "fetched");
	if (fault && f->fd >= 0)
		unlink(config.path);
	fetch_free(f);
	serve_next(fetcher);
	config.done(config.user, fault, &head, text);
}

static void pause_begin(struct mr_fetch *f, unsigned int ms)
{
	const struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };

	event_add(f->timer, &tv);
}

static void try_failed(struct mr_fetch *f, int error)
{
	if (++f->tries >= MR_FETCH_TRIES)
		fetch_end(f, MR_FETCH_THERE, error);
	else
		pause_begin(f, MR_FETCH_PAUSE_MS << (f->tries - 1));
}

/* --- the stream ----------------------------------------------------------- */

static void stop(struct mr_fetch *f, enum mr_fetch_fault fault, int error)
{
	f->fault = fault;
	f->error = error;
	lockstep_stream_reset(f->stream, ECANCELED);
}

/* Take what belongs to the head off the front. */
static size_t head_take(struct mr_fetch *f, const uint8_t *data, size_t len)
{
	size_t n = MR_HEAD_SIZE - f->head_have;

	n = n < len ? n : len;
	memcpy(f->head_bytes + f->head_have, data, n);
	f->head_have += n;
	if (n && f->head_have == MR_HEAD_SIZE) {
		mr_head_decode(f->head_bytes, &f->head);
		if (f->head.len > f->config.max)
			stop(f, MR_FETCH_THERE, -EFBIG);
	}
	return n;
}

static void on_data(struct lockstep_stream *stream, const void *data, size_t len)
{
	struct mr_fetch *f = lockstep_stream_user(stream);
	const uint8_t *bytes = data;
	size_t n;
	int ret;

	if (!f || f->error)
		return;
	received += len;
	n = head_take(f, bytes, len);
	if (f->error || f->head_have < MR_HEAD_SIZE)
		goto out_consumed;
	if (len - n > f->head.len - f->got) {
		stop(f, MR_FETCH_THERE, -EBADMSG);
		return;
	}
	if (f->config.checked)
		XXH3_64bits_update(f->sum, bytes + n, len - n);
	ret = lockstep_file_write_all(f->fd, bytes + n, len - n);
	if (ret) {
		stop(f, MR_FETCH_HERE, ret);
		return;
	}
	f->got += len - n;
out_consumed:
	lockstep_stream_consumed(stream, len);
}

static void on_finished(struct lockstep_stream *stream)
{
	lockstep_stream_finish(stream);
}

static int verify(const struct mr_fetch *f)
{
	if (f->head_have < MR_HEAD_SIZE || f->got != f->head.len)
		return -EBADMSG;
	/* an empty region has no checksum */
	if (f->config.checked && f->head.len && XXH3_64bits_digest(f->sum) != f->head.checksum)
		return -EILSEQ;
	return 0;
}

static void on_closed(struct lockstep_stream *stream, int error)
{
	struct mr_fetch *f = lockstep_stream_user(stream);

	if (!f)
		return;
	f->stream = NULL;
	if (f->fault == MR_FETCH_HERE) {
		fetch_end(f, f->fault, f->error);
		return;
	}
	if (f->error)
		error = f->error;
	if (!error)
		error = verify(f);
	if (error)
		try_failed(f, error);
	else
		fetch_end(f, MR_FETCH_GOOD, 0);
}

static const struct lockstep_stream_ops fetch_ops = {
	.data = on_data,
	.finished = on_finished,
	.closed = on_closed,
};

/* The node is away: wait for it, but not for ever. */
static void plane_wait(struct mr_fetch *f)
{
	uint64_t now = lockstep_clock_ns();

	if (!f->began_ns)
		f->began_ns = now;
	if (now - f->began_ns >= f->fetcher->deadline_ms * LOCKSTEP_NSEC_PER_MSEC)
		fetch_end(f, MR_FETCH_THERE, -EHOSTDOWN);
	else
		pause_begin(f, MR_FETCH_PAUSE_MS);
}

static void try_begin(struct mr_fetch *f)
{
	int ret;

	f->error = 0;
	f->head_have = 0;
	f->got = 0;
	f->head = (struct mr_head) { 0 };
	XXH3_64bits_reset(f->sum);
	if (f->fd >= 0)
		close(f->fd);
	f->fd = open(f->config.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f->fd < 0) {
		fetch_end(f, MR_FETCH_HERE, -errno);
		return;
	}
	ret = lockstep_stream_create(f->fetcher->peer, f->config.kind, f->request,
				     f->config.request_len, &fetch_ops, f, &f->stream);
	if (ret == -ENOTCONN) {
		plane_wait(f);
		return;
	}
	f->began_ns = 0;
	if (ret)
		try_failed(f, ret);
	else
		lockstep_stream_set_deadline(f->stream, f->fetcher->deadline_ms);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	try_begin(arg);
}

/* --- set-up --------------------------------------------------------------- */

int mr_fetcher_create(struct lockstep_peer *peer, unsigned int deadline_ms,
		      struct mr_fetcher **out)
{
	struct mr_fetcher *fetcher = calloc(1, sizeof(*fetcher));

	if (!fetcher)
		return -ENOMEM;
	fetcher->peer = peer;
	fetcher->base = lockstep_transport_base(lockstep_peer_transport(peer));
	fetcher->deadline_ms = deadline_ms;
	TAILQ_INIT(&fetcher->all);
	*out = fetcher;
	return 0;
}

void mr_fetcher_destroy(struct mr_fetcher *fetcher)
{
	struct mr_fetch *f;

	if (!fetcher)
		return;
	while ((f = TAILQ_FIRST(&fetcher->all)))
		mr_fetch_cancel(f);
	free(fetcher);
}

void mr_fetcher_up(struct mr_fetcher *fetcher)
{
	struct mr_fetch *f;

	TAILQ_FOREACH(f, &fetcher->all, entry)
		if (f->running && f->began_ns)
			event_active(f->timer, EV_TIMEOUT, 0);
}

int mr_fetch_begin(struct mr_fetcher *fetcher, const struct mr_fetch_config *config,
		   struct mr_fetch **out)
{
	struct mr_fetch *f;

	if (config->request_len > sizeof(f->request))
		return -EMSGSIZE;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->fetcher = fetcher;
	f->fd = -1;
	f->config = *config;
	memcpy(f->request, config->request, config->request_len);
	f->config.path = strdup(config->path);
	f->sum = XXH3_createState();
	f->timer = evtimer_new(fetcher->base, on_timer, f);
	TAILQ_INSERT_TAIL(&fetcher->all, f, entry);
	if (!f->config.path || !f->sum || !f->timer) {
		fetch_free(f);
		return -ENOMEM;
	}
	if (out)
		*out = f;
	serve_next(fetcher);
	return 0;
}

void mr_fetch_cancel(struct mr_fetch *f)
{
	struct mr_fetcher *fetcher = f->fetcher;

	if (f->stream) {
		/* its closed callback is still to come, and finds nobody */
		lockstep_stream_set_ops(f->stream, &fetch_ops, NULL);
		lockstep_stream_reset(f->stream, ECANCELED);
	}
	if (f->fd >= 0)
		unlink(f->config.path);
	fetch_free(f);
	serve_next(fetcher);
}

uint64_t mr_fetch_bytes(void)
{
	return received;
}
