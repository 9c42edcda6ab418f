// SPDX-License-Identifier: GPL-2.0
/*
 * The session of a protected guest, on a device that is not there
 *
 * Sources: tools/vmm/session_lockstep.c
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include <xxhash.h>

#include "vmm/session.h"
#include "vmm/vmm.h"

static int errors[8];		/* of the next calls; 0: it works */
static unsigned int n_calls, said;
static unsigned long last_request;
static union {
	struct lockstep_attach attach;
	struct lockstep_next next;
	struct lockstep_input input;
	struct lockstep_clock clock;
	struct lockstep_output output;
	struct lockstep_released released;
	struct lockstep_digest digest;
} last;
static struct lockstep_next answer;
static uint32_t version;
static bool quit_at_call;
static struct vmm *vmm;

void vmm_say(const struct vmm *m, const char *format, ...)
{
	(void)m;
	(void)format;
	said++;
}

int open(const char *path, int flags, ...)
{
	(void)flags;
	assert_string_equal(path, "/dev/lockstep");
	if (errors[0]) {
		errno = errors[0];
		return -1;
	}
	return dup(0);
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t at)
{
	struct lockstep_page *page = aligned_alloc(4096, 4096);

	(void)addr;
	(void)prot;
	(void)flags;
	(void)fd;
	assert_int_equal(len, 4096);
	assert_int_equal(at, 0);
	memset(page, 0, 4096);
	page->version = version;
	return page;
}

int munmap(void *addr, size_t len)
{
	assert_int_equal(len, 4096);
	free(addr);
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	unsigned int n = n_calls++;
	va_list args;
	void *arg;

	(void)fd;
	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	last_request = request;
	if (arg)
		memcpy(&last, arg, _IOC_SIZE(request));
	if (quit_at_call)
		vmm->quit = true;
	if (n < 8 && errors[n]) {
		errno = errors[n];
		return -1;
	}
	if (request == LOCKSTEP_NEXT) {
		memcpy(arg, &answer, sizeof(answer));
	} else if (request == LOCKSTEP_CLOCK) {
		((struct lockstep_clock *)arg)->ns = 4711;
	} else if (request == LOCKSTEP_OUTPUT) {
		((struct lockstep_output *)arg)->verdict = LOCKSTEP_VERDICT_SEND;
		((struct lockstep_output *)arg)->lsn = 99;
	}
	return 0;
}

static void forget(void)
{
	memset(errors, 0, sizeof(errors));
	memset(&last, 0, sizeof(last));
	memset(&answer, 0, sizeof(answer));
	n_calls = 0;
	said = 0;
	quit_at_call = false;
}

static int setup(void **state)
{
	(void)state;
	forget();
	version = LOCKSTEP_ABI_VERSION;
	vmm = calloc(1, sizeof(*vmm));
	vmm->session = &vmm_session_lockstep;
	vmm->vm_fd = 11;
	vmm->vcpu_fd = 12;
	vmm->config.role = VMM_ROLE_TWIN;
	vmm->config.wait = true;
	vmm->config.log_size = 1 << 20;
	strcpy(vmm->config.name, "web");
	strcpy(vmm->config.net.tap, "tap7");
	vmm->config.uuid[3] = 42;
	return 0;
}

static int setup_attached(void **state)
{
	setup(state);
	assert_int_equal(vmm->session->attach(vmm, 13), 0);
	forget();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vmm->session->detach(vmm);
	free(vmm);
	return 0;
}

static void test_attach(void **state)
{
	(void)state;
	assert_int_equal(vmm->session->attach(vmm, 13), 0);
	assert_int_equal(last_request, LOCKSTEP_ATTACH);
	assert_int_equal(last.attach.size, sizeof(struct lockstep_attach));
	assert_int_equal(last.attach.flags, LOCKSTEP_ATTACH_WAIT);
	assert_int_equal(last.attach.vm_fd, 11);
	assert_int_equal(last.attach.vcpu_fd, 12);
	assert_int_equal(last.attach.notify_fd, 13);
	assert_int_equal(last.attach.role, LOCKSTEP_ROLE_TWIN);
	assert_int_equal(last.attach.log_size, 1 << 20);
	assert_string_equal(last.attach.name, "web");
	assert_string_equal(last.attach.output_dev, "tap7");
	assert_int_equal(last.attach.uuid[3], 42);
	assert_non_null(vmm->page);
	assert_int_equal(said, 0);
}

static void test_attach_says_why_not(void **state)
{
	static const int each[] = { EPERM, EEXIST, ENODEV, EOPNOTSUPP, EINVAL, ENOTTY, EBUSY };

	(void)state;
	for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		forget();
		errors[0] = each[i];
		assert_int_equal(vmm->session->attach(vmm, -1), -each[i]);
		assert_int_equal(said, 1);
		assert_null(vmm->page);
		assert_null(vmm->session_data);
	}
}

static void test_module_of_another_version(void **state)
{
	(void)state;
	version = LOCKSTEP_ABI_VERSION + 1;
	assert_int_equal(vmm->session->attach(vmm, -1), -EPROTO);
	assert_int_equal(said, 1);
	assert_null(vmm->page);
}

static void test_interrupted_calls_are_repeated(void **state)
{
	uint64_t ns;

	(void)state;
	errors[0] = EINTR;
	errors[1] = EINTR;
	assert_int_equal(vmm->session->clock(vmm, LOCKSTEP_CLOCK_WALL, 0, &ns), 0);
	assert_int_equal(n_calls, 3);
	assert_int_equal(ns, 4711);
	assert_int_equal(last.clock.kind, LOCKSTEP_CLOCK_WALL);
	/* Not when the machine is to quit. */
	forget();
	errors[0] = EINTR;
	quit_at_call = true;
	assert_int_equal(vmm->session->input(vmm, 3, 1, "x", 1), -ESHUTDOWN);
	assert_int_equal(n_calls, 1);
}

static void test_next(void **state)
{
	struct vmm_next next;
	char data[16];

	(void)state;
	answer = (struct lockstep_next){
		.verdict = LOCKSTEP_VERDICT_APPLY, .unit = 4, .kind = 5, .len = 6, .clock = 7,
	};
	assert_int_equal(vmm->session->next(vmm, LOCKSTEP_NEXT_STOP, &next, data), 0);
	assert_int_equal(last.next.flags, LOCKSTEP_NEXT_STOP);
	assert_int_equal(last.next.len, LOCKSTEP_PAYLOAD_MAX);
	assert_int_equal(last.next.data, (uintptr_t)data);
	assert_int_equal(next.verdict, LOCKSTEP_VERDICT_APPLY);
	assert_int_equal(next.unit, 4);
	assert_int_equal(next.kind, 5);
	assert_int_equal(next.len, 6);
	assert_int_equal(next.clock, 7);
	answer.len = LOCKSTEP_PAYLOAD_MAX + 1;
	assert_int_equal(vmm->session->next(vmm, 0, &next, data), -EPROTO);
	/* A signal is the caller's to see. */
	forget();
	errors[0] = EINTR;
	assert_int_equal(vmm->session->next(vmm, 0, &next, data), -EINTR);
	assert_int_equal(n_calls, 1);
}

static void test_output(void **state)
{
	uint64_t lsn = 0;

	(void)state;
	assert_int_equal(vmm->session->output(vmm, 1, 77, "frame", 5, &lsn),
			 LOCKSTEP_VERDICT_SEND);
	assert_int_equal(lsn, 99);
	assert_int_equal(last.output.stream, 1);
	assert_int_equal(last.output.index, 77);
	assert_int_equal(last.output.len, 5);
	assert_int_equal(last.output.hash, XXH64("frame", 5, 0));
	forget();
	errors[0] = EILSEQ;
	assert_int_equal(vmm->session->output(vmm, 1, 78, "frame", 5, &lsn), -EILSEQ);
}

static void test_the_others(void **state)
{
	static const uint64_t digest[LOCKSTEP_DIGESTS] = { 1, 2, 3, 4 };

	(void)state;
	vmm->session->released(vmm, 2, 1234);
	assert_int_equal(last_request, LOCKSTEP_RELEASED);
	assert_int_equal(last.released.index, 1234);
	assert_int_equal(vmm->session->digest(vmm, digest), 0);
	assert_int_equal(last_request, LOCKSTEP_DIGEST);
	assert_memory_equal(last.digest.digest, digest, sizeof(digest));
	assert_int_equal(vmm->session->mismatch(vmm, digest), 0);
	assert_int_equal(last_request, LOCKSTEP_MISMATCH);
	assert_int_equal(vmm->session->poweroff(vmm), 0);
	assert_int_equal(last_request, LOCKSTEP_POWEROFF);
	vmm->session->arm(vmm, 5555);
	assert_int_equal(vmm->page->deadline, 5555);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_ATTACHED(name) cmocka_unit_test_setup_teardown(name, setup_attached, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_attach),
		TEST(test_attach_says_why_not),
		TEST(test_module_of_another_version),
		TEST_ATTACHED(test_interrupted_calls_are_repeated),
		TEST_ATTACHED(test_next),
		TEST_ATTACHED(test_output),
		TEST_ATTACHED(test_the_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
