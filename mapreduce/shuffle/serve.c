// SPDX-License-Identifier: GPL-2.0
/* The shuffle's server, see serve.h. */
#include "shuffle/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/buffer.h>

#include "engine/attempt.h"
#include "engine/runindex.h"
#include "shuffle/wire.h"
#include "transport/transport.h"

#define PIECE		(256 * 1024)	/* read at once: a stream's turn */
#define DEADLINE_MS	60000		/* of a reader that takes nothing */

/**
 * struct mr_answer - one stream that is being answered
 * @fd: file
 * @offset: of the next byte to read
 * @left: bytes still to be read
 * @piece: what was read and found no room, and the head at the beginning
 */
struct mr_answer {
	TAILQ_ENTRY(mr_answer) entry;
	struct mr_serve *serve;
	struct lockstep_stream *stream;
	int fd;
	uint64_t offset;
	uint64_t left;
	struct evbuffer *piece;
};

static void answer_free(struct mr_answer *a)
{
	TAILQ_REMOVE(&a->serve->answers, a, entry);
	a->serve->count--;
	close(a->fd);
	if (a->piece)
		evbuffer_free(a->piece);
	free(a);
}

/* The next bytes of the file, behind what @piece holds already; 0 or -errno. */
static int piece_read(struct mr_answer *a)
{
	struct evbuffer_iovec room;
	size_t want = a->left < PIECE ? (size_t)a->left : PIECE;
	ssize_t n;

	if (evbuffer_reserve_space(a->piece, (ev_ssize_t)want, &room, 1) != 1)
		return -ENOMEM;
	n = pread(a->fd, room.iov_base, want, (off_t)a->offset);
	if (n <= 0)
		return n ? -errno : -EBADMSG;
	room.iov_len = (size_t)n;
	if (evbuffer_commit_space(a->piece, &room, 1))
		return -ENOMEM;
	a->offset += (uint64_t)n;
	a->left -= (uint64_t)n;
	a->serve->bytes += (uint64_t)n;
	return 0;
}

static void pump(struct mr_answer *a)
{
	int ret = 0;

	while (!ret) {
		if (evbuffer_get_length(a->piece)) {
			ret = lockstep_stream_write_buffer(a->stream, a->piece);
			if (ret == -EAGAIN)
				return;
		} else if (a->left) {
			ret = piece_read(a);
		} else {
			ret = lockstep_stream_finish(a->stream);
			break;
		}
	}
	if (ret && ret != -EPIPE)
		lockstep_stream_reset(a->stream, -ret);
}

static void on_writable(struct lockstep_stream *stream)
{
	pump(lockstep_stream_user(stream));
}

/* Nothing more is said on it by the other side. */
static void on_data(struct lockstep_stream *stream, const void *data, size_t len)
{
	(void)data;
	(void)len;
	lockstep_stream_reset(stream, EINVAL);
}

static void on_finished(struct lockstep_stream *stream)
{
	(void)stream;
}

static void on_closed(struct lockstep_stream *stream, int error)
{
	(void)error;
	answer_free(lockstep_stream_user(stream));
}

static const struct lockstep_stream_ops answer_ops = {
	.data = on_data,
	.finished = on_finished,
	.writable = on_writable,
	.closed = on_closed,
};

/* Answer with a part of a file. 0, or -errno when nothing was begun. */
static int answer_begin(struct mr_serve *serve, struct lockstep_stream *stream, const char *path,
			uint64_t offset, const struct mr_head *head)
{
	uint8_t bytes[MR_HEAD_SIZE];
	struct mr_answer *a;
	int err;

	if (serve->count >= MR_SERVE_MAX)
		return -EMFILE;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	TAILQ_INSERT_TAIL(&serve->answers, a, entry);
	serve->count++;
	a->serve = serve;
	a->stream = stream;
	a->offset = offset;
	a->left = head->len;
	a->piece = evbuffer_new();
	a->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (a->fd < 0) {
		err = -errno;
		goto out_free;
	}
	mr_head_encode(head, bytes);
	err = -ENOMEM;
	if (!a->piece || evbuffer_add(a->piece, bytes, sizeof(bytes)))
		goto out_free;
	lockstep_stream_set_ops(stream, &answer_ops, a);
	lockstep_stream_set_deadline(stream, DEADLINE_MS);
	pump(a);
	return 0;

out_free:
	answer_free(a);
	return err;
}

static void refuse(struct lockstep_stream *stream, int err)
{
	if (err)
		lockstep_stream_reset(stream, -err);
}

void mr_serve_region(struct mr_serve *serve, struct lockstep_stream *stream, const char *dir,
		     const struct mr_region_request *request)
{
	char path[PATH_MAX], name[MR_RUN_NAME_MAX];
	struct mr_region region;
	struct mr_head head;
	int ret;

	mr_run_name(request->map, request->attempt, request->epoch, name);
	ret = snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (ret < 0 || (size_t)ret >= sizeof(path)) {
		refuse(stream, -ENAMETOOLONG);
		return;
	}
	ret = mr_runindex_read(path, request->index, request->map, request->reduce, &region);
	if (!ret) {
		head = (struct mr_head) {
			.len = region.len,
			.raw_len = region.raw_len,
			.records = region.records,
			.checksum = region.checksum,
		};
		ret = answer_begin(serve, stream, path, region.offset, &head);
	}
	refuse(stream, ret);
}

void mr_serve_file(struct mr_serve *serve, struct lockstep_stream *stream, const char *path)
{
	struct mr_head head = { 0 };
	struct stat st;

	if (lstat(path, &st)) {
		refuse(stream, -errno);
		return;
	}
	if (!S_ISREG(st.st_mode)) {
		refuse(stream, -ENOENT);
		return;
	}
	head.len = (uint64_t)st.st_size;
	refuse(stream, answer_begin(serve, stream, path, 0, &head));
}

void mr_serve_init(struct mr_serve *serve)
{
	TAILQ_INIT(&serve->answers);
	serve->count = 0;
	serve->bytes = 0;
}

void mr_serve_exit(struct mr_serve *serve)
{
	struct mr_answer *a;

	while ((a = TAILQ_FIRST(&serve->answers)))
		answer_free(a);
}
