// SPDX-License-Identifier: GPL-2.0
/*
 * Byte streams: what leaves when, and what a twin keeps
 *
 * Sources: tools/vmm/stream.c tools/vmm/output.c tools/vmm/pcap.c
 * Sources: tools/vmm/state.c
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/host.h"
#include "vmm/session.h"
#include "vmm/sink.h"
#include "vmm/state.h"
#include "vmm/stream.h"
#include "vmm/vmm.h"

#define ID	LOCKSTEP_STREAM_SERIAL

/* ---- the sink, the session, the rest of the machine ---- */

static char taken[1 << 22];
static size_t n_taken, sink_room;
static char typed[4096];
static size_t n_typed;
static bool listening;
static char posted[4096];
static size_t n_posted;
static int post_error;
static uint64_t released, lsn;
static int verdict;
static struct {
	uint64_t index;
	uint32_t len;
} logged[8192];
static size_t n_logged;

int vmm_sink_create(struct vmm_sink **sinkp, struct event_base *base,
		    const struct vmm_sink_config *config, const struct vmm_sink_ops *ops,
		    void *opaque)
{
	(void)base;
	(void)config;
	(void)ops;
	(void)opaque;
	*sinkp = NULL;
	return 0;
}

void vmm_sink_destroy(struct vmm_sink *sink)
{
	(void)sink;
}

size_t vmm_sink_write(struct vmm_sink *sink, const void *data, size_t len)
{
	(void)sink;
	if (len > sink_room)
		len = sink_room;
	memcpy(taken + n_taken, data, len);
	n_taken += len;
	sink_room -= len;
	return len;
}

size_t vmm_sink_read(struct vmm_sink *sink, void *data, size_t len)
{
	(void)sink;
	if (len > n_typed)
		len = n_typed;
	memcpy(data, typed, len);
	memmove(typed, typed + len, n_typed - len);
	n_typed -= len;
	return len;
}

void vmm_sink_listen(struct vmm_sink *sink, bool listen)
{
	(void)sink;
	listening = listen;
}

struct event_base *vmm_host_base(struct vmm *vmm)
{
	(void)vmm;
	return NULL;
}

void vmm_host_nudge(struct vmm *vmm)
{
	(void)vmm;
}

void vmm_say(const struct vmm *vmm, const char *format, ...)
{
	(void)vmm;
	(void)format;
}

void vmm_end(struct vmm *vmm, enum vmm_ending ending)
{
	if (!vmm->ending)
		vmm->ending = ending;
}

void vmm_quit(struct vmm *vmm)
{
	vmm->quit = true;
}

int vmm_event_post(struct vmm *vmm, enum vmm_unit unit, uint16_t kind, const void *data,
		   uint32_t len)
{
	(void)vmm;
	assert_int_equal(unit, VMM_UNIT_SERIAL);
	assert_int_equal(kind, VMM_KIND_RECEIVE);
	if (post_error)
		return post_error;
	memcpy(posted + n_posted, data, len);
	n_posted += len;
	return 0;
}

static int test_output(struct vmm *vmm, uint32_t stream, uint64_t index, const void *data,
		       uint32_t len, uint64_t *out)
{
	(void)vmm;
	(void)data;
	assert_int_equal(stream, ID);
	logged[n_logged].index = index;
	logged[n_logged++].len = len;
	*out = lsn;
	return verdict;
}

static void test_released(struct vmm *vmm, uint32_t stream, uint64_t index)
{
	(void)vmm;
	assert_int_equal(stream, ID);
	assert_true(index > released);
	released = index;
}

static const struct vmm_session_ops session = { .output = test_output, .released = test_released };
static struct lockstep_page page;
static struct vmm *vmm;

static int setup(void **state)
{
	static const struct vmm_sink_config sink;

	(void)state;
	n_taken = 0;
	sink_room = sizeof(taken);
	n_typed = 0;
	n_posted = 0;
	n_logged = 0;
	post_error = 0;
	released = 0;
	lsn = 0;
	verdict = LOCKSTEP_VERDICT_SEND;
	memset(&page, 0, sizeof(page));
	vmm = calloc(1, sizeof(*vmm));
	vmm->session = &session;
	vmm->page = &page;
	vmm->live = true;
	return vmm_stream_open(vmm, ID, &sink, VMM_UNIT_SERIAL);
}

static int teardown(void **state)
{
	(void)state;
	vmm_streams_destroy(vmm);
	free(vmm);
	return 0;
}

static void make(const char *text)
{
	assert_int_equal(vmm_output_bytes(vmm, ID, text, (uint32_t)strlen(text)), 0);
}

static void assert_taken(const char *text)
{
	vmm_streams_service(vmm);
	assert_int_equal(n_taken, strlen(text));
	assert_memory_equal(taken, text, n_taken);
}

/* ---- tests ---- */

static void test_chunks_are_cut_by_content(void **state)
{
	char many[1500];

	(void)state;
	make("ab");
	make("c\nde");
	assert_int_equal(n_logged, 1);
	assert_int_equal(logged[0].index, 4);
	assert_int_equal(logged[0].len, 4);
	vmm_streams_flush(vmm);
	assert_int_equal(n_logged, 2);
	assert_int_equal(logged[1].index, 6);
	vmm_streams_flush(vmm);
	assert_int_equal(n_logged, 2);
	memset(many, 'x', sizeof(many));
	vmm_output_bytes(vmm, ID, many, sizeof(many));
	assert_int_equal(n_logged, 4);
	assert_int_equal(logged[3].len, 512);
}

static void test_nothing_leaves_before_its_ack(void **state)
{
	(void)state;
	lsn = 100;
	make("one\n");
	lsn = 200;
	make("two\n");
	assert_taken("");
	page.acked = 99;
	assert_taken("");
	page.acked = 100;
	assert_taken("one\n");
	assert_int_equal(released, 4);
	page.acked = 200;
	assert_taken("one\ntwo\n");
	assert_int_equal(released, 8);
}

static void test_open_gate(void **state)
{
	(void)state;
	lsn = 100;
	make("one\n");
	page.gate = 1;
	assert_taken("one\n");
}

static void test_bound_on_duplicates(void **state)
{
	char line[101];

	(void)state;
	memset(line, 'y', 99);
	line[99] = '\n';
	line[100] = '\0';
	for (unsigned int i = 0; i < 100; i++)
		make(line);
	page.acked = 1;
	vmm_streams_service(vmm);
	assert_int_equal(n_taken, LOCKSTEP_DUPLICATE_BYTES_MAX);
	page.released[ID] = 1000;
	vmm_streams_service(vmm);
	assert_int_equal(n_taken, LOCKSTEP_DUPLICATE_BYTES_MAX + 1000);
	page.released[ID] = 10000;
	vmm_streams_service(vmm);
	assert_int_equal(n_taken, 10000);
}

static void test_slow_sink(void **state)
{
	char block[4096];
	struct vmm_stream_status status;

	(void)state;
	page.gate = 1;
	sink_room = 3;
	make("hello\n");
	assert_taken("hel");
	assert_int_equal(released, 3);
	sink_room = 100;
	assert_taken("hello\n");
	/* A sink that takes nothing for ever does not fill memory. */
	sink_room = 0;
	memset(block, 'z', sizeof(block));
	for (unsigned int i = 0; i < 512; i++) {
		vmm_output_bytes(vmm, ID, block, sizeof(block));
		vmm_streams_service(vmm);
	}
	vmm_stream_status(vmm, ID, &status);
	assert_int_equal(status.made, 6 + 512 * 4096);
	assert_int_equal(status.lost, 512 * 4096 - (1 << 20));
	assert_int_equal(status.handed, status.made - (1 << 20));
	vmm_streams_finish(vmm, 20);
	sink_room = sizeof(taken);
	vmm_streams_finish(vmm, 20);
	vmm_stream_status(vmm, ID, &status);
	assert_int_equal(status.handed, status.made);
}

static void become_twin(void)
{
	vmm->live = false;
	verdict = LOCKSTEP_VERDICT_KEEP;
}

static void test_twin_keeps(void **state)
{
	(void)state;
	become_twin();
	make("one\ntwo\nthree\n");
	page.gate = 1;
	assert_taken("");
	page.released[ID] = 5;	/* the primary handed over a part of a chunk */
	vmm->live = true;
	vmm_streams_go_live(vmm);
	assert_taken("wo\nthree\n");
	assert_int_equal(released, 14);
	verdict = LOCKSTEP_VERDICT_SEND;
	make("four\n");
	assert_taken("wo\nthree\nfour\n");
	assert_int_equal(logged[3].index, 19);
}

/* The log has run dry and the twin has won, but has not been told to go live: order stays. */
static void test_twin_that_may_send_waits(void **state)
{
	(void)state;
	become_twin();
	make("one\n");
	verdict = LOCKSTEP_VERDICT_SEND;
	lsn = 5000;
	make("two\n");
	page.gate = 1;
	assert_taken("");
	vmm->live = true;
	vmm_streams_go_live(vmm);
	assert_taken("one\ntwo\n");
}

static void test_twin_drops_what_was_released(void **state)
{
	struct vmm_stream_status status;

	(void)state;
	become_twin();
	make("one\n");
	page.released[ID] = 100;	/* the log is behind what the primary has reported */
	make("two\n");
	vmm_stream_status(vmm, ID, &status);
	assert_int_equal(status.handed, 8);
	vmm->live = true;
	page.gate = 1;
	vmm_streams_go_live(vmm);
	assert_taken("");
}

static void test_errors(void **state)
{
	(void)state;
	verdict = -ESHUTDOWN;
	make("one\n");
	assert_int_equal(vmm->ending, VMM_END_NONE);
	page.gate = 1;
	assert_taken("");
	verdict = -EILSEQ;
	make("two\n");
	assert_int_equal(vmm->ending, VMM_END_DIVERGED);
	vmm->ending = VMM_END_NONE;
	verdict = -EIO;
	make("three\n");
	assert_int_equal(vmm->ending, VMM_END_ERROR);
	assert_int_equal(vmm_output_bytes(vmm, LOCKSTEP_STREAM_CONSOLE, "x", 1), -ENOENT);
	assert_int_equal(vmm_output_bytes(vmm, 1000, "x", 1), -ENOENT);
}

static void test_input_fits_the_room(void **state)
{
	(void)state;
	memset(typed, 't', 1000);
	n_typed = 1000;
	vmm_streams_service(vmm);
	assert_int_equal(n_posted, 0);
	assert_false(listening);
	vmm_stream_room(vmm, ID, 300, 0);
	vmm_streams_service(vmm);
	assert_int_equal(n_posted, 300);
	/* Posted and not yet applied: still no room. */
	vmm_stream_room(vmm, ID, 300, 0);
	vmm_streams_service(vmm);
	assert_int_equal(n_posted, 300);
	/* Applied: the room is the device's again, once the guest has read. */
	vmm_stream_room(vmm, ID, 0, 300);
	vmm_streams_service(vmm);
	assert_int_equal(n_posted, 300);
	vmm_stream_room(vmm, ID, 2000, 0);
	vmm_streams_service(vmm);
	assert_int_equal(n_posted, 1000);
	assert_true(listening);
}

static void test_input_only_when_live(void **state)
{
	(void)state;
	n_typed = 10;
	vmm->live = false;
	vmm_stream_room(vmm, ID, 300, 0);
	vmm_streams_service(vmm);
	assert_int_equal(n_posted, 0);
	vmm->live = true;
	post_error = -ENOBUFS;
	vmm_streams_service(vmm);
	assert_int_equal(n_typed, 0);
	/* What could not be posted takes no room. */
	post_error = 0;
	n_typed = 300;
	vmm_streams_service(vmm);
	assert_int_equal(n_posted, 300);
}

static void test_state(void **state)
{
	struct vmm_state out, in;

	(void)state;
	make("one\ntw");
	vmm_state_init(&out);
	assert_int_equal(vmm_streams_save(vmm, &out), 0);
	make("o\nmore\n");
	vmm_state_init_read(&in, out.data, out.len);
	assert_int_equal(vmm_streams_load(vmm, &in), 0);
	assert_int_equal(vmm_state_end(&in), 0);
	n_logged = 0;
	make("o\n");
	assert_int_equal(n_logged, 1);
	assert_int_equal(logged[0].index, 8);
	assert_int_equal(logged[0].len, 4);
	for (size_t cut = 0; cut < out.len; cut++) {
		vmm_state_init_read(&in, out.data, cut);
		assert_int_equal(vmm_streams_load(vmm, &in), -EINVAL);
	}
	vmm_state_exit(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_chunks_are_cut_by_content),
		TEST(test_nothing_leaves_before_its_ack),
		TEST(test_open_gate),
		TEST(test_bound_on_duplicates),
		TEST(test_slow_sink),
		TEST(test_twin_keeps),
		TEST(test_twin_that_may_send_waits),
		TEST(test_twin_drops_what_was_released),
		TEST(test_errors),
		TEST(test_input_fits_the_room),
		TEST(test_input_only_when_live),
		TEST(test_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
