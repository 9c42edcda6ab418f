// SPDX-License-Identifier: GPL-2.0
/*
 * The loop of the vCPU's thread: what happens at a stop, in which order
 *
 * A scripted CPU and a scripted session; everything that is done is written down
 * in one line of text, which the tests compare.
 *
 * Sources: tools/vmm/run.c tools/vmm/devices.c tools/vmm/clock.c tools/vmm/event.c
 * Sources: tools/vmm/pio.c tools/vmm/state.c selftests/unit/vmm_nodevices.c
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/devices.h"
#include "vmm/event.h"
#include "vmm/host.h"
#include "vmm/msr.h"
#include "vmm/pic.h"
#include "vmm/serial.h"
#include "vmm/run.h"
#include "vmm/session.h"
#include "vmm/start.h"
#include "vmm/stream.h"
#include "vmm/vcpu.h"
#include "vmm/vmm.h"

static char text[4096];
static struct vmm *vmm;

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *format, ...)
{
	size_t len = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + len, sizeof(text) - len, format, args);
	va_end(args);
	assert_true(strlen(text) < sizeof(text) - 100);
}

/* ---- the script ---- */

/* A completed instruction stops once more, as a string does. */
#define STOPS_AGAIN	(-1000)

/**
 * struct exit - one return of KVM_RUN
 * @reason: KVM_EXIT_*, -EINTR or STOPS_AGAIN
 * @before: done while the guest runs
 */
struct exit {
	int reason;
	bool if_flag;
	void (*before)(void);
};

static const struct exit *exits;
static const struct vmm_next *verdicts;
static bool pending;
static bool powered_off;
static int input_error, start_error, poweroff_error, apply_error;
static uint64_t now;
static struct lockstep_page page;

int vmm_vcpu_run(struct vmm *m)
{
	const struct exit *e = exits++;

	assert_ptr_equal(m, vmm);
	note("run ");
	if (e->before)
		e->before();
	if (e->reason == -EINTR)
		return -EINTR;
	vmm->run->exit_reason = (uint32_t)e->reason;
	vmm->run->if_flag = e->if_flag;
	return 0;
}

int vmm_vcpu_complete(struct vmm *m)
{
	const struct exit *e = exits;

	assert_ptr_equal(m, vmm);
	note("complete ");
	if (e->reason != STOPS_AGAIN)
		return -EINTR;
	exits++;
	return 0;		/* the exit reason stays what it was */
}

void vmm_vcpu_inject(struct vmm *m)
{
	(void)m;
	note(pending ? "inject " : "");
	pending = false;
}

bool vmm_vcpu_clean(const struct vmm *m)
{
	return m->run->exit_reason != KVM_EXIT_IO;
}

static int test_next(struct vmm *m, uint32_t flags, struct vmm_next *next, void *data)
{
	(void)m;
	(void)data;
	note("next%s%s ", flags & LOCKSTEP_NEXT_STOP ? "+stop" : "",
	     flags & LOCKSTEP_NEXT_IDLE ? "+idle" : "");
	*next = *verdicts;
	next->clock = now;
	if (powered_off && next->verdict == LOCKSTEP_VERDICT_LIVE)
		next->verdict = LOCKSTEP_VERDICT_POWEROFF;
	if (verdicts->len == 1) {	/* a signal first */
		((struct vmm_next *)verdicts)->len = 0;
		return -EINTR;
	}
	/* The last verdict stays. */
	if (verdicts[1].verdict != UINT32_MAX)
		verdicts++;
	return 0;
}

static int test_input(struct vmm *m, uint16_t unit, uint16_t kind, const void *data, uint32_t len)
{
	(void)m;
	(void)data;
	(void)len;
	note("log(%u,%u) ", unit, kind);
	return input_error;
}

static int test_clock(struct vmm *m, uint32_t kind, uint32_t flags, uint64_t *ns)
{
	(void)m;
	(void)kind;
	assert_int_equal(flags, LOCKSTEP_CLOCK_PEEK);
	*ns = now;
	return 0;
}

static int test_mismatch(struct vmm *m, const uint64_t *digest)
{
	(void)m;
	(void)digest;
	note("mismatch ");
	return 0;
}

static int test_poweroff(struct vmm *m)
{
	note("poweroff ");
	powered_off = m->live && !poweroff_error;
	return poweroff_error;
}

static void test_arm(struct vmm *m, uint64_t deadline)
{
	(void)m;
	if (deadline != VMM_NEVER)
		note("arm(%llu) ", (unsigned long long)deadline);
}

static void test_kick(struct vmm *m)
{
	(void)m;
}

static struct vmm_session_ops session = {
	.stops_only = true,
	.next = test_next,
	.input = test_input,
	.clock = test_clock,
	.mismatch = test_mismatch,
	.poweroff = test_poweroff,
	.arm = test_arm,
	.kick = test_kick,
};

/* ---- the rest of the machine ---- */

bool vmm_pic_pending(const struct vmm *m)
{
	(void)m;
	return pending;
}

void vmm_say(const struct vmm *m, const char *format, ...)
{
	(void)m;
	(void)format;
}

void vmm_end(struct vmm *m, enum vmm_ending ending)
{
	if (!m->ending)
		m->ending = ending;
}

void vmm_msr_exit(struct vmm *m, bool write)
{
	(void)m;
	note(write ? "wrmsr " : "rdmsr ");
}

int vmm_start_live(struct vmm *m)
{
	note("start ");
	m->started = !start_error;
	return start_error;
}

int vmm_start_apply(struct vmm *m, uint16_t kind, const void *data, uint32_t len)
{
	(void)kind;
	(void)data;
	(void)len;
	note("boot ");
	m->started = !start_error;
	return start_error;
}

void vmm_streams_flush(struct vmm *m)
{
	(void)m;
	note("flush ");
}

void vmm_streams_go_live(struct vmm *m)
{
	assert_true(m->live);
	note("streams-live ");
}

int vmm_streams_save(struct vmm *m, struct vmm_state *state)
{
	(void)m;
	(void)state;
	return 0;
}

int vmm_streams_load(struct vmm *m, struct vmm_state *state)
{
	(void)m;
	(void)state;
	return 0;
}

void vmm_host_nudge(struct vmm *m)
{
	(void)m;
}

static int device_apply(struct vmm_device *dev, uint16_t kind, const void *data, uint32_t len)
{
	(void)dev;
	(void)data;
	(void)len;
	note("apply(%u,%u) ", dev->unit, kind);
	if (kind == 9)
		pending = true;		/* this one interrupts */
	return apply_error;
}

static void device_go_live(struct vmm_device *dev)
{
	assert_true(dev->vmm->live);
	note("device-live ");
}

static void device_destroy(struct vmm_device *dev)
{
	free(dev);
}

static const struct vmm_device_ops device_ops = {
	.name = "test",
	.apply = device_apply,
	.go_live = device_go_live,
	.destroy = device_destroy,
};

/* devices.c has a table of all devices; here they are one, three times. */
static int add(struct vmm *m, enum vmm_unit unit)
{
	struct vmm_device *dev = calloc(1, sizeof(*dev));

	*dev = (struct vmm_device){ .ops = &device_ops, .vmm = m, .unit = unit };
	return vmm_device_add(m, dev);
}

int vmm_serial_create(struct vmm *m)
{
	int err = add(m, VMM_UNIT_PIT);

	if (!err)
		err = add(m, VMM_UNIT_SERIAL);
	return err ? err : add(m, VMM_UNIT_CONTROL);
}

static int setup(void **state)
{
	(void)state;
	text[0] = '\0';
	pending = false;
	input_error = 0;
	start_error = 0;
	poweroff_error = 0;
	powered_off = false;
	apply_error = 0;
	now = 1000;
	session.stops_only = true;
	memset(&page, 0, sizeof(page));
	vmm = calloc(1, sizeof(*vmm));
	vmm->run = calloc(1, sizeof(*vmm->run));
	vmm->session = &session;
	vmm->page = &page;
	assert_int_equal(vmm_events_create(vmm), 0);
	return vmm_devices_create(vmm);
}

static int teardown(void **state)
{
	(void)state;
	vmm_devices_destroy(vmm);
	vmm_events_destroy(vmm);
	free(vmm->run);
	free(vmm);
	return 0;
}

#define LIVE	{ .verdict = LOCKSTEP_VERDICT_LIVE }
#define ENTER	{ .verdict = LOCKSTEP_VERDICT_ENTER }
#define APPLY(u, k) { .verdict = LOCKSTEP_VERDICT_APPLY, .unit = (u), .kind = (k) }
#define GO_LIVE	{ .verdict = LOCKSTEP_VERDICT_GO_LIVE }
#define HALT	{ .verdict = LOCKSTEP_VERDICT_HALT }
#define POWEROFF { .verdict = LOCKSTEP_VERDICT_POWEROFF }
#define LAST	{ .verdict = UINT32_MAX }
#define BOOT	APPLY(VMM_UNIT_BOOT, 1)

static void play(struct vmm_next *v, const struct exit *e, enum vmm_ending ending,
		 const char *expected)
{
	verdicts = v;
	exits = e;
	vmm_run(vmm);
	if (strcmp(text, expected))
		fail_msg("did    \"%s\"\nwanted \"%s\"", text, expected);
	assert_int_equal(vmm->ending, ending);
}

static void post_key(void)
{
	assert_int_equal(vmm_event_post(vmm, VMM_UNIT_SERIAL, 9, "k", 1), 0);
}

static void post_verify(void)
{
	assert_int_equal(vmm_event_post(vmm, VMM_UNIT_CONTROL, 1, "v", 1), 0);
}

static void set_timer(void)
{
	vmm_timer_set(vmm, VMM_UNIT_PIT, 9, 500);
}

/* ---- a primary ---- */

static void test_start_and_power_off(void **state)
{
	struct vmm_next v[] = { LIVE, LAST };
	const struct exit e[] = {
		{ .reason = KVM_EXIT_IRQ_WINDOW_OPEN }, { .reason = KVM_EXIT_SET_TPR }, { .reason = KVM_EXIT_HLT },
	};

	(void)state;
	play(v, e, VMM_END_POWEROFF, "next start run next+stop run next+stop run flush poweroff next ");
}

static void test_input_is_logged_then_applied(void **state)
{
	struct vmm_next v[] = { LIVE, LAST };
	const struct exit e[] = { { KVM_EXIT_INTR, true, post_key }, { .reason = KVM_EXIT_SHUTDOWN } };

	(void)state;
	play(v, e, VMM_END_CRASH,
	     "next start run next+stop log(2,9) apply(2,9) flush inject run flush poweroff next ");
	assert_int_equal(page.kick, 0);
}

static void test_timer(void **state)
{
	struct vmm_next v[] = { LIVE, LAST };
	const struct exit e[] = { { KVM_EXIT_INTR, true, set_timer }, { .reason = KVM_EXIT_SHUTDOWN } };

	(void)state;
	play(v, e, VMM_END_CRASH,
	     "next start run next+stop log(1,9) apply(1,9) flush inject run flush poweroff next ");
	assert_int_equal(vmm_timers_next(vmm), VMM_NEVER);
}

static void test_timer_of_the_future_is_armed(void **state)
{
	struct vmm_next v[] = { LIVE, LAST };
	const struct exit e[] = { { KVM_EXIT_INTR, true, set_timer }, { .reason = KVM_EXIT_SHUTDOWN } };

	(void)state;
	now = 100;
	play(v, e, VMM_END_CRASH, "next start run next+stop arm(500) run flush poweroff next ");
}

/* Protected: an interrupted KVM_RUN is no stop; the input waits for the next one. */
static void test_interrupted_run_changes_nothing(void **state)
{
	struct vmm_next v[] = { LIVE, LAST };
	const struct exit e[] = { { -EINTR, true, post_key }, { .reason = KVM_EXIT_INTR }, { .reason = KVM_EXIT_SHUTDOWN } };

	(void)state;
	pending = true;
	play(v, e, VMM_END_CRASH, "next start inject run next run next+stop log(2,9) apply(2,9) flush "
	     "inject run flush poweroff next ");
}

/*
 * An answer that KVM has not taken yet may become an exception, behind which an
 * interrupt raised before it is lost: a tick due where a guest read an MSR that is
 * not there left the timer's line in service, and the guest without ticks.
 */
static void test_interrupt_waits_for_completion(void **state)
{
	struct vmm_next v[] = { LIVE, LAST };
	const struct exit e[] = { { KVM_EXIT_IO, true, post_key }, { .reason = KVM_EXIT_SHUTDOWN } };

	(void)state;
	play(v, e, VMM_END_CRASH, "next start run next+stop log(2,9) apply(2,9) flush "
	     "complete inject run flush poweroff next ");
}

static void test_completion_stops_again(void **state)
{
	struct vmm_next v[] = { LIVE, LAST };
	const struct exit e[] = {
		{ KVM_EXIT_IO, true, post_key }, { .reason = STOPS_AGAIN }, { .reason = KVM_EXIT_SHUTDOWN },
	};

	(void)state;
	play(v, e, VMM_END_CRASH, "next start run next+stop log(2,9) apply(2,9) flush "
	     "complete next+stop complete inject run flush poweroff next ");
}

/* Alone: it is one, and how inputs come in time. */
static void test_interrupted_run_alone(void **state)
{
	struct vmm_next v[] = { LIVE, LAST };
	const struct exit e[] = { { -EINTR, true, post_key }, { .reason = KVM_EXIT_SHUTDOWN } };

	(void)state;
	session.stops_only = false;
	play(v, e, VMM_END_CRASH,
	     "next start run next log(2,9) apply(2,9) flush inject run flush poweroff next ");
}

static void test_halt_sleeps_until_a_timer(void **state)
{
	struct vmm_next v[] = { LIVE, LAST };
	const struct exit e[] = { { KVM_EXIT_HLT, true, set_timer }, { .reason = KVM_EXIT_SHUTDOWN } };

	(void)state;
	play(v, e, VMM_END_CRASH, "next start run flush next+stop+idle log(1,9) apply(1,9) flush "
	     "inject run flush poweroff next ");
}

static void wake_with_key(void)
{
	post_key();
}

static void test_halt_with_an_interrupt_waiting(void **state)
{
	struct vmm_next v[] = { LIVE, LAST };
	const struct exit e[] = { { KVM_EXIT_HLT, true, wake_with_key }, { .reason = KVM_EXIT_SHUTDOWN } };

	(void)state;
	play(v, e, VMM_END_CRASH, "next start run flush next+stop+idle log(2,9) apply(2,9) flush "
	     "inject run flush poweroff next ");
}

/* Interrupted again before it got going: awake all the same. */
static void test_no_sleep_after_the_entry(void **state)
{
	struct vmm_next v[] = { LIVE, LAST };
	const struct exit e[] = {
		{ KVM_EXIT_HLT, true, post_key }, { .reason = -EINTR }, { .reason = KVM_EXIT_SHUTDOWN },
	};

	(void)state;
	session.stops_only = false;
	play(v, e, VMM_END_CRASH, "next start run flush next+stop+idle log(2,9) apply(2,9) flush "
	     "inject run next run flush poweroff next ");
}

/* The state is looked at between instructions only. */
static void test_verify_waits_for_a_clean_stop(void **state)
{
	struct vmm_next v[] = { LIVE, LAST };
	const struct exit e[] = { { KVM_EXIT_IO, true, post_verify }, { .reason = KVM_EXIT_INTR }, { .reason = KVM_EXIT_SHUTDOWN } };

	(void)state;
	play(v, e, VMM_END_CRASH, "next start run next+stop run next+stop log(10,1) apply(10,1) flush "
	     "run flush poweroff next ");
}

static void test_unlogged_input_waits(void **state)
{
	struct vmm_next v[] = { LIVE, LIVE, HALT, LAST };
	const struct exit e[] = { { KVM_EXIT_INTR, true, post_key }, { .reason = KVM_EXIT_INTR } };

	(void)state;
	input_error = -ESHUTDOWN;
	play(v, e, VMM_END_HALTED, "next start run next+stop log(2,9) run next+stop ");
	assert_non_null(vmm_events_first(vmm));
	assert_int_equal(page.kick, 1);
}

static void test_signal_during_next(void **state)
{
	struct vmm_next v[] = { LIVE, { .verdict = LOCKSTEP_VERDICT_LIVE, .len = 1 }, LAST };
	const struct exit e[] = { { .reason = KVM_EXIT_INTR }, { .reason = KVM_EXIT_SHUTDOWN } };

	(void)state;
	play(v, e, VMM_END_CRASH, "next start run next+stop next run flush poweroff next ");
}

static void quit(void)
{
	vmm->quit = true;
}

static void test_quit(void **state)
{
	struct vmm_next v[] = { LIVE, LAST };
	const struct exit e[] = { { -EINTR, true, quit } };

	(void)state;
	play(v, e, VMM_END_QUIT, "next start run ");
}

static void test_start_that_fails(void **state)
{
	struct vmm_next v[] = { LIVE, LAST };

	(void)state;
	start_error = -ENOENT;
	play(v, NULL, VMM_END_ERROR, "next start ");
	assert_false(vmm->live);
}

static void test_unknown_exit(void **state)
{
	struct vmm_next v[] = { LIVE, LAST };
	const struct exit e[] = { { .reason = KVM_EXIT_FAIL_ENTRY } };

	(void)state;
	play(v, e, VMM_END_ERROR, "next start run ");
}

static void test_input_that_does_not_apply(void **state)
{
	struct vmm_next v[] = { LIVE, LAST };
	const struct exit e[] = { { KVM_EXIT_INTR, true, post_key } };

	(void)state;
	apply_error = -EINVAL;
	play(v, e, VMM_END_ERROR, "next start run next+stop log(2,9) apply(2,9) flush ");
}

/* ---- a twin ---- */

static void test_twin_applies_and_enters(void **state)
{
	struct vmm_next v[] = { BOOT, ENTER, APPLY(2, 9), APPLY(1, 3), ENTER, POWEROFF, LAST };
	const struct exit e[] = { { KVM_EXIT_INTR, true, set_timer }, { .reason = KVM_EXIT_HLT } };

	(void)state;
	play(v, e, VMM_END_POWEROFF, "next boot next run next+stop apply(2,9) flush next apply(1,3) flush "
	     "next inject arm(500) run flush poweroff next ");
	assert_false(vmm->live);
}

static void test_twin_drops_its_own_events(void **state)
{
	struct vmm_next v[] = { BOOT, ENTER, ENTER, HALT, LAST };
	const struct exit e[] = { { KVM_EXIT_INTR, true, post_key }, { .reason = KVM_EXIT_INTR } };

	(void)state;
	play(v, e, VMM_END_HALTED, "next boot next run next+stop run next+stop ");
}

static void test_twin_stays_halted(void **state)
{
	struct vmm_next v[] = { BOOT, ENTER, APPLY(2, 3), APPLY(2, 9), ENTER, HALT, LAST };
	const struct exit e[] = { { KVM_EXIT_HLT, true, NULL }, { .reason = KVM_EXIT_INTR } };

	(void)state;
	play(v, e, VMM_END_HALTED, "next boot next run flush next+stop+idle apply(2,3) flush "
	     "next+idle apply(2,9) flush next inject run next+stop ");
}

static void test_twin_told_to_leave_a_halt(void **state)
{
	struct vmm_next v[] = { BOOT, ENTER, ENTER, LAST };
	const struct exit e[] = { { KVM_EXIT_HLT, true, NULL } };

	(void)state;
	play(v, e, VMM_END_DIVERGED, "next boot next run flush next+stop+idle mismatch ");
}

static void test_twin_without_a_start(void **state)
{
	struct vmm_next v[] = { ENTER, LAST };

	(void)state;
	play(v, NULL, VMM_END_DIVERGED, "next mismatch ");
}

static void test_twin_input_before_the_start(void **state)
{
	struct vmm_next v[] = { APPLY(2, 9), LAST };

	(void)state;
	play(v, NULL, VMM_END_DIVERGED, "next mismatch ");
}

static void test_twin_other_start(void **state)
{
	struct vmm_next v[] = { BOOT, LAST };

	(void)state;
	start_error = -EILSEQ;	/* the session knows */
	play(v, NULL, VMM_END_DIVERGED, "next boot ");
}

static void test_twin_input_of_nobody(void **state)
{
	struct vmm_next v[] = { BOOT, APPLY(63, 1), LAST };

	(void)state;
	play(v, NULL, VMM_END_DIVERGED, "next boot next flush mismatch ");
}

static void test_twin_device_fails(void **state)
{
	struct vmm_next v[] = { BOOT, APPLY(2, 1), LAST };

	(void)state;
	apply_error = -EIO;
	play(v, NULL, VMM_END_DIVERGED, "next boot next apply(2,1) flush mismatch ");
}

static void test_go_live(void **state)
{
	struct vmm_next v[] = { BOOT, ENTER, GO_LIVE, LIVE, LAST };
	const struct exit e[] = { { .reason = KVM_EXIT_INTR }, { KVM_EXIT_INTR, true, post_key }, { .reason = KVM_EXIT_SHUTDOWN } };

	(void)state;
	play(v, e, VMM_END_CRASH, "next boot next run next+stop streams-live device-live device-live "
	     "device-live next run next+stop log(2,9) apply(2,9) flush inject run flush poweroff next ");
}

static void test_go_live_before_the_start(void **state)
{
	struct vmm_next v[] = { GO_LIVE, LIVE, LAST };
	const struct exit e[] = { { .reason = KVM_EXIT_SHUTDOWN } };

	(void)state;
	play(v, e, VMM_END_CRASH, "next streams-live device-live device-live device-live next start run "
	     "flush poweroff next ");
}

/* The end is one when it is on record: until then the session may want something else of this side. */
static void test_live_end_waits_for_its_record(void **state)
{
	struct vmm_next v[] = { LIVE, POWEROFF, LAST };
	struct vmm_next lost[] = { LIVE, HALT, LAST };
	const struct exit e[] = { { .reason = KVM_EXIT_HLT } };

	(void)state;
	v[1].len = 1;
	play(v, e, VMM_END_POWEROFF, "next start run flush poweroff " "next " "next ");
	text[0] = '\0';
	powered_off = false;
	vmm->ending = VMM_END_NONE;
	vmm->halted = false;
	play(lost, e, VMM_END_HALTED, "next run flush poweroff next ");
}

/* The primary died after the guest's power-off was logged: its last outputs are ours to send. */
static void test_go_live_at_the_end(void **state)
{
	struct vmm_next v[] = { BOOT, ENTER, GO_LIVE, LIVE, LAST };
	const struct exit e[] = { { .reason = KVM_EXIT_HLT } };

	(void)state;
	play(v, e, VMM_END_POWEROFF, "next boot next run flush poweroff next streams-live device-live "
	     "device-live device-live poweroff next ");
}

static void test_halted_at_the_end(void **state)
{
	struct vmm_next v[] = { LIVE, HALT, LAST };
	const struct exit e[] = { { .reason = KVM_EXIT_SHUTDOWN } };

	(void)state;
	poweroff_error = -ESHUTDOWN;
	play(v, e, VMM_END_HALTED, "next start run flush poweroff next ");
}

static void test_end_that_the_log_has_not(void **state)
{
	struct vmm_next v[] = { BOOT, ENTER, LAST };
	const struct exit e[] = { { .reason = KVM_EXIT_SHUTDOWN } };

	(void)state;
	poweroff_error = -EILSEQ;
	play(v, e, VMM_END_DIVERGED, "next boot next run flush poweroff ");
}

static void test_poweroff_by_verdict(void **state)
{
	struct vmm_next v[] = { BOOT, ENTER, POWEROFF, LAST };
	const struct exit e[] = { { .reason = KVM_EXIT_INTR } };

	(void)state;
	play(v, e, VMM_END_POWEROFF, "next boot next run next+stop ");
}

static void test_verdict_of_nothing(void **state)
{
	struct vmm_next v[] = { { .verdict = 77 }, LAST };

	(void)state;
	play(v, NULL, VMM_END_ERROR, "next ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_start_and_power_off),
		TEST(test_input_is_logged_then_applied),
		TEST(test_timer),
		TEST(test_timer_of_the_future_is_armed),
		TEST(test_interrupted_run_changes_nothing),
		TEST(test_interrupt_waits_for_completion),
		TEST(test_completion_stops_again),
		TEST(test_interrupted_run_alone),
		TEST(test_halt_sleeps_until_a_timer),
		TEST(test_halt_with_an_interrupt_waiting),
		TEST(test_no_sleep_after_the_entry),
		TEST(test_verify_waits_for_a_clean_stop),
		TEST(test_unlogged_input_waits),
		TEST(test_signal_during_next),
		TEST(test_quit),
		TEST(test_start_that_fails),
		TEST(test_unknown_exit),
		TEST(test_input_that_does_not_apply),
		TEST(test_twin_applies_and_enters),
		TEST(test_twin_drops_its_own_events),
		TEST(test_twin_stays_halted),
		TEST(test_twin_told_to_leave_a_halt),
		TEST(test_twin_without_a_start),
		TEST(test_twin_input_before_the_start),
		TEST(test_twin_other_start),
		TEST(test_twin_input_of_nobody),
		TEST(test_twin_device_fails),
		TEST(test_go_live),
		TEST(test_go_live_before_the_start),
		TEST(test_live_end_waits_for_its_record),
		TEST(test_go_live_at_the_end),
		TEST(test_halted_at_the_end),
		TEST(test_end_that_the_log_has_not),
		TEST(test_poweroff_by_verdict),
		TEST(test_verdict_of_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
