// SPDX-License-Identifier: GPL-2.0
/*
 * Byte streams: the serial line and the console
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host.h"
#include "output.h"
#include "session.h"
#include "sink.h"
#include "state.h"
#include "stream.h"
#include "vmm.h"

#define CHUNK_MAX	512U		/* of one OUTPUT record */
#define READ_MAX	512U		/* of one input */
#define KEEP_MAX	(1U << 20)	/* bytes that may leave and don't, because the sink takes none */

/**
 * struct mark - bytes up to an offset share a condition
 * @end: offset behind the last of them
 * @lsn: they may leave once this is acknowledged
 */
struct mark {
	uint64_t end;
	uint64_t lsn;
};

/**
 * struct vmm_stream - one stream
 *
 * vCPU thread:
 * @chunk:     bytes not yet an output, @chunk_len of them
 * @made:      offset behind the last byte that is one (written under @lock)
 *
 * Under @lock:
 * @bytes:     outputs from offset @first on, @n_bytes of them
 * @marks:     their conditions, in order, @n_marks of them
 * @first:     offset handed over (a twin: released by the primary)
 * @lost:      bytes that were dropped
 * @room:      of the device for input
 * @in_flight: bytes posted to it and not yet applied
 */
struct vmm_stream {
	struct vmm *vmm;
	uint32_t id;
	enum vmm_unit unit;
	struct vmm_sink *sink;

	uint8_t chunk[CHUNK_MAX];
	uint32_t chunk_len;
	uint64_t made;

	pthread_mutex_t lock;
	uint8_t *bytes;
	size_t n_bytes;
	size_t room_bytes;
	struct mark *marks;
	size_t n_marks;
	size_t room_marks;
	uint64_t first;
	uint64_t lost;
	uint32_t room;
	uint32_t in_flight;
};

static void on_ready(void *opaque)
{
	struct vmm_stream *stream = opaque;

	vmm_streams_service(stream->vmm);
}

static void on_quit(void *opaque)
{
	struct vmm_stream *stream = opaque;

	vmm_quit(stream->vmm);
}

static const struct vmm_sink_ops sink_ops = { .ready = on_ready, .quit = on_quit };

int vmm_stream_open(struct vmm *vmm, uint32_t id, const struct vmm_sink_config *config,
		    enum vmm_unit unit)
{
	struct vmm_stream *stream;
	int err;

	if (id >= LOCKSTEP_STREAMS || vmm->streams[id])
		return -EINVAL;
	stream = calloc(1, sizeof(*stream));
	if (!stream)
		return -ENOMEM;
	stream->vmm = vmm;
	stream->id = id;
	stream->unit = unit;
	err = vmm_sink_create(&stream->sink, vmm_host_base(vmm), config, &sink_ops, stream);
	if (err) {
		free(stream);
		return err;
	}
	pthread_mutex_init(&stream->lock, NULL);
	vmm->streams[id] = stream;
	return 0;
}

void vmm_streams_destroy(struct vmm *vmm)
{
	for (unsigned int i = 0; i < LOCKSTEP_STREAMS; i++) {
		struct vmm_stream *stream = vmm->streams[i];

		if (!stream)
			continue;
		vmm_sink_destroy(stream->sink);
		pthread_mutex_destroy(&stream->lock);
		free(stream->bytes);
		free(stream->marks);
		free(stream);
		vmm->streams[i] = NULL;
	}
}

/* Forget the bytes below an offset. */
static void advance(struct vmm_stream *stream, uint64_t to)
{
	size_t n_marks = 0, n;

	if (to <= stream->first)
		return;
	n = to - stream->first < stream->n_bytes ? to - stream->first : stream->n_bytes;
	stream->n_bytes -= n;
	memmove(stream->bytes, stream->bytes + n, stream->n_bytes);
	stream->first += n;
	while (n_marks < stream->n_marks && stream->marks[n_marks].end <= stream->first)
		n_marks++;
	stream->n_marks -= n_marks;
	memmove(stream->marks, stream->marks + n_marks, stream->n_marks * sizeof(struct mark));
}

static int reserve(struct vmm_stream *stream, size_t len)
{
	size_t room = stream->room_bytes ? stream->room_bytes : 4096;
	void *p;

	while (room < stream->n_bytes + len)
		room *= 2;
	if (room != stream->room_bytes) {
		p = realloc(stream->bytes, room);
		if (!p)
			return -ENOMEM;
		stream->bytes = p;
		stream->room_bytes = room;
	}
	room = stream->room_marks ? stream->room_marks : 64;
	while (room < stream->n_marks + 1)
		room *= 2;
	if (room != stream->room_marks) {
		p = realloc(stream->marks, room * sizeof(struct mark));
		if (!p)
			return -ENOMEM;
		stream->marks = p;
		stream->room_marks = room;
	}
	return 0;
}

/* Keep the chunk, an output by now, until it may leave. */
static void keep_chunk(struct vmm_stream *stream, uint64_t lsn)
{
	struct vmm *vmm = stream->vmm;

	pthread_mutex_lock(&stream->lock);
	if (reserve(stream, stream->chunk_len)) {
		vmm_say(vmm, "no memory to keep output of the guest");
		vmm_end(vmm, VMM_END_ERROR);
	} else {
		memcpy(stream->bytes + stream->n_bytes, stream->chunk, stream->chunk_len);
		stream->n_bytes += stream->chunk_len;
		stream->made += stream->chunk_len;
		stream->marks[stream->n_marks++] = (struct mark){ stream->made, lsn };
	}
	if (!vmm->live)
		advance(stream, vmm_output_released(vmm, stream->id));
	pthread_mutex_unlock(&stream->lock);
}

static void flush(struct vmm_stream *stream)
{
	struct vmm *vmm = stream->vmm;
	uint64_t lsn = 0;
	int verdict;

	if (!stream->chunk_len)
		return;
	verdict = vmm_output_log(vmm, stream->id, stream->made + stream->chunk_len,
				 stream->chunk, stream->chunk_len, &lsn);
	if (verdict >= 0) {
		keep_chunk(stream, verdict ? lsn : 0);
		if (vmm->live)
			vmm_host_nudge(vmm);
	}
	stream->chunk_len = 0;
}

int vmm_output_bytes(struct vmm *vmm, uint32_t id, const void *data, uint32_t len)
{
	struct vmm_stream *stream = id < LOCKSTEP_STREAMS ? vmm->streams[id] : NULL;
	const uint8_t *bytes = data;

	if (!stream)
		return -ENOENT;
	for (uint32_t i = 0; i < len; i++) {
		stream->chunk[stream->chunk_len++] = bytes[i];
		/* Nothing but the bytes decides, so both hosts cut at the same place. */
		if (bytes[i] == '\n' || stream->chunk_len == CHUNK_MAX)
			flush(stream);
	}
	return 0;
}

void vmm_streams_flush(struct vmm *vmm)
{
	for (unsigned int i = 0; i < LOCKSTEP_STREAMS; i++)
		if (vmm->streams[i])
			flush(vmm->streams[i]);
}

void vmm_streams_go_live(struct vmm *vmm)
{
	for (unsigned int i = 0; i < LOCKSTEP_STREAMS; i++) {
		struct vmm_stream *stream = vmm->streams[i];

		if (!stream)
			continue;
		pthread_mutex_lock(&stream->lock);
		advance(stream, vmm_output_released(vmm, stream->id));
		pthread_mutex_unlock(&stream->lock);
	}
	vmm_host_nudge(vmm);
}

void vmm_stream_room(struct vmm *vmm, uint32_t id, uint32_t room, uint32_t taken)
{
	struct vmm_stream *stream = id < LOCKSTEP_STREAMS ? vmm->streams[id] : NULL;
	bool grown;

	if (!stream)
		return;
	pthread_mutex_lock(&stream->lock);
	grown = room > stream->room;
	stream->room = room;
	stream->in_flight -= taken < stream->in_flight ? taken : stream->in_flight;
	pthread_mutex_unlock(&stream->lock);
	if (grown && vmm->live)
		vmm_host_nudge(vmm);
}

/* Offset up to which bytes may leave now. */
static uint64_t allowed(const struct vmm_stream *stream)
{
	const struct lockstep_page *page = stream->vmm->page;
	uint64_t end = stream->first, bound, acked;

	if (!stream->vmm->live || !page)
		return end;
	if (__atomic_load_n(&page->gate, __ATOMIC_ACQUIRE))
		return stream->first + stream->n_bytes;
	acked = __atomic_load_n(&page->acked, __ATOMIC_ACQUIRE);
	for (size_t i = 0; i < stream->n_marks && stream->marks[i].lsn <= acked; i++)
		end = stream->marks[i].end;
	bound = vmm_output_released(stream->vmm, stream->id) + LOCKSTEP_DUPLICATE_BYTES_MAX;
	if (end > bound)
		end = bound;
	return end < stream->first ? stream->first : end;
}

/* Returns true when bytes that may leave are left. */
static bool hand_over(struct vmm_stream *stream)
{
	uint64_t end, before;
	bool left;
	size_t n;

	pthread_mutex_lock(&stream->lock);
	before = stream->first;
	while ((end = allowed(stream)) > stream->first) {
		n = vmm_sink_write(stream->sink, stream->bytes, end - stream->first);
		if (!n && end - stream->first > KEEP_MAX) {
			/* The guest must not wait for a reader that does not read. */
			n = end - stream->first - KEEP_MAX;
			stream->lost += n;
		}
		if (!n)
			break;
		advance(stream, stream->first + n);
	}
	left = end > stream->first;
	end = stream->first;
	pthread_mutex_unlock(&stream->lock);
	if (end != before)
		stream->vmm->session->released(stream->vmm, stream->id, end);
	return left;
}

static uint32_t free_room(struct vmm_stream *stream)
{
	uint32_t room;

	pthread_mutex_lock(&stream->lock);
	room = stream->room > stream->in_flight ? stream->room - stream->in_flight : 0;
	pthread_mutex_unlock(&stream->lock);
	return room < READ_MAX ? room : READ_MAX;
}

static void add_in_flight(struct vmm_stream *stream, uint32_t n)
{
	pthread_mutex_lock(&stream->lock);
	stream->in_flight += n;
	pthread_mutex_unlock(&stream->lock);
}

static void take_in(struct vmm_stream *stream)
{
	struct vmm *vmm = stream->vmm;
	uint8_t data[READ_MAX];
	uint32_t room;
	size_t n;

	if (!vmm->live)
		return;
	while ((room = free_room(stream))) {
		n = vmm_sink_read(stream->sink, data, room);
		if (!n)
			break;
		add_in_flight(stream, (uint32_t)n);
		if (vmm_event_post(vmm, stream->unit, VMM_KIND_RECEIVE, data, (uint32_t)n)) {
			/* Too many inputs wait: lost, as on a line without flow control. */
			add_in_flight(stream, -(uint32_t)n);
			break;
		}
	}
	vmm_sink_listen(stream->sink, room);
}

void vmm_streams_service(struct vmm *vmm)
{
	for (unsigned int i = 0; i < LOCKSTEP_STREAMS; i++) {
		if (!vmm->streams[i])
			continue;
		hand_over(vmm->streams[i]);
		take_in(vmm->streams[i]);
	}
}

void vmm_streams_finish(struct vmm *vmm, unsigned int ms)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	bool left;

	do {
		left = false;
		for (unsigned int i = 0; i < LOCKSTEP_STREAMS; i++)
			if (vmm->streams[i] && hand_over(vmm->streams[i]))
				left = true;
		if (!left)
			return;
		nanosleep(&pause, NULL);
		ms -= ms < 10 ? ms : 10;
	} while (ms);
}

int vmm_streams_save(struct vmm *vmm, struct vmm_state *state)
{
	for (unsigned int i = 0; i < LOCKSTEP_STREAMS; i++) {
		const struct vmm_stream *stream = vmm->streams[i];

		vmm_state_put_bool(state, stream);
		if (!stream)
			continue;
		vmm_state_put_u64(state, stream->made);
		vmm_state_put_u32(state, stream->chunk_len);
		vmm_state_put(state, stream->chunk, stream->chunk_len);
	}
	return vmm_state_error(state);
}

int vmm_streams_load(struct vmm *vmm, struct vmm_state *state)
{
	for (unsigned int i = 0; i < LOCKSTEP_STREAMS; i++) {
		struct vmm_stream *stream = vmm->streams[i];

		if (vmm_state_get_bool(state) != !!stream)
			vmm_state_fail(state, -EINVAL);
		if (vmm_state_error(state) || !stream)
			continue;
		pthread_mutex_lock(&stream->lock);
		stream->made = vmm_state_get_u64(state);
		stream->first = stream->made;
		stream->n_bytes = 0;
		stream->n_marks = 0;
		stream->chunk_len = vmm_state_get_max(state, CHUNK_MAX - 1);
		vmm_state_get(state, stream->chunk, stream->chunk_len);
		pthread_mutex_unlock(&stream->lock);
	}
	return vmm_state_error(state);
}

int vmm_stream_status(struct vmm *vmm, uint32_t id, struct vmm_stream_status *status)
{
	struct vmm_stream *stream = id < LOCKSTEP_STREAMS ? vmm->streams[id] : NULL;

	if (!stream)
		return -ENOENT;
	pthread_mutex_lock(&stream->lock);
	*status = (struct vmm_stream_status){
		.made = stream->made, .handed = stream->first, .lost = stream->lost,
	};
	pthread_mutex_unlock(&stream->lock);
	return 0;
}
