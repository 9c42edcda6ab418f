// SPDX-License-Identifier: GPL-2.0
/* LOCKSTEP_ATTACH: what is refused and how, what an attached VM may do, and detaching. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "machine.h"
#include "nl.h"
#include "test.h"

FIXTURE(attach)
{
	struct vm vm;
	struct lockstep_attach request;
	int fd;
};

FIXTURE_SETUP(attach)
{
	NEED_MODULE();
	ASSERT_EQ(0, vm_create(&self->vm, 0));
	self->fd = open("/dev/lockstep", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
	machine_attach_fill(&self->request, &self->vm, "attach");
}

FIXTURE_TEARDOWN(attach)
{
	close(self->fd);
	vm_destroy(&self->vm);
}

/* errno of an attach, 0 if it went well. */
static int attach(int fd, const struct lockstep_attach *request)
{
	struct lockstep_attach copy = *request;

	return ioctl(fd, LOCKSTEP_ATTACH, &copy) < 0 ? errno : 0;
}

TEST_F(attach, good)
{
	struct lockstep_attach second;
	int other;

	ASSERT_EQ(0, ioctl(self->fd, LOCKSTEP_ATTACH, &self->request));
	EXPECT_NE(0, self->request.id);
	EXPECT_EQ(LOCKSTEP_COUNTER_STOPS, self->request.counter);
	/* this file has one */
	EXPECT_EQ(EBUSY, attach(self->fd, &self->request));
	/* the name is taken, and under another the VM is */
	other = open("/dev/lockstep", O_RDWR);
	EXPECT_EQ(EEXIST, attach(other, &self->request));
	second = self->request;
	strcpy(second.name, "attach-2");
	EXPECT_EQ(EBUSY, attach(other, &second));
	/* once it is free again it can be attached again, as another instance */
	close(self->fd);
	ASSERT_EQ(0, ioctl(other, LOCKSTEP_ATTACH, &second));
	EXPECT_NE(self->request.id, second.id);
	EXPECT_NE(0, memcmp(self->request.instance, second.instance, LOCKSTEP_UUID_LEN));
	self->fd = other;
}

#define BAD(what, error)							\
	do {									\
		struct lockstep_attach r = self->request;			\
										\
		what;								\
		EXPECT_EQ(error, attach(self->fd, &r)) {			\
			TH_LOG("with %s", #what);				\
		}								\
	} while (0)

TEST_F(attach, fields)
{
	BAD(r.size = 0, EINVAL);
	BAD(r.size--, EINVAL);
	BAD(r.size++, EINVAL);
	BAD(r.flags = 1U << 31, EINVAL);
	BAD(r.flags = LOCKSTEP_ATTACH_WAIT << 1, EINVAL);
	BAD(r.role = 2, EINVAL);
	BAD(r.role = ~0U, EINVAL);
	BAD(r.reserved = 1, EINVAL);
	BAD(r.log_size = 1, EINVAL);
	BAD(r.log_size = 32 << 10, EINVAL);
	BAD(r.log_size = (64 << 10) + 1, EINVAL);
	BAD(r.log_size = 3U << 20, EINVAL);
	BAD(r.log_size = 1U << 31, EINVAL);
	BAD(r.log_size = ~0U, EINVAL);
	BAD(memset(r.output_dev, 'x', sizeof(r.output_dev)), EINVAL);
	BAD(strcpy(r.output_dev, "no-such-dev"), ENODEV);
	EXPECT_EQ(0, attach(self->fd, &self->request));
}

TEST_F(attach, names)
{
	BAD(memset(r.name, 0, sizeof(r.name)), EINVAL);
	BAD(memset(r.name, 'x', sizeof(r.name)), EINVAL);
	BAD(strcpy(r.name, "."), EINVAL);
	BAD(strcpy(r.name, ".."), EINVAL);
	BAD(strcpy(r.name, ".hidden"), EINVAL);
	BAD(strcpy(r.name, "a/b"), EINVAL);
	BAD(strcpy(r.name, "a b"), EINVAL);
	BAD(strcpy(r.name, "a\n"), EINVAL);
	BAD(strcpy(r.name, "%s%n"), EINVAL);
	BAD(strcpy(r.name, "\xc3\xa4"), EINVAL);
	strcpy(self->request.name, "A-z_0.9");
	EXPECT_EQ(0, attach(self->fd, &self->request));
}

/*
 * Names of files that the module's folder in sysfs has itself. The kernel would
 * say so with a splat.
 */
TEST_F(attach, names_of_files)
{
	BAD(strcpy(r.name, "abi"), EEXIST);
	BAD(strcpy(r.name, "log_size"), EEXIST);
}

TEST_F(attach, descriptors)
{
	struct vm other;
	int file = open("/proc/self/status", O_RDONLY), event = eventfd(0, 0);

	ASSERT_EQ(0, vm_create(&other, 0));
	BAD(r.vm_fd = -1, EBADF);
	BAD(r.vcpu_fd = -1, EBADF);
	BAD(r.vm_fd = 12345, EBADF);
	BAD(r.vcpu_fd = 12345, EBADF);
	BAD(r.vm_fd = file, EBADF);
	BAD(r.vcpu_fd = file, EBADF);
	BAD(r.vm_fd = self->vm.kvm, EBADF);
	BAD(r.vm_fd = self->vm.vcpu, EBADF);
	BAD(r.vcpu_fd = self->vm.vm, EBADF);
	BAD(r.vcpu_fd = other.vcpu, EBADF);
	BAD(r.vm_fd = self->fd, EBADF);
	BAD(r.notify_fd = 12345, EBADF);
	BAD(r.notify_fd = file, EINVAL);
	self->request.notify_fd = event;
	EXPECT_EQ(0, attach(self->fd, &self->request));
	vm_destroy(&other);
	close(file);
	close(event);
}

TEST_F(attach, pointer)
{
	EXPECT_EQ(-1, ioctl(self->fd, LOCKSTEP_ATTACH, NULL));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, ioctl(self->fd, LOCKSTEP_ATTACH, ~0UL));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(0, attach(self->fd, &self->request));
}

/* The answer can't be written: nothing stays attached. */
TEST_F(attach, read_only_request)
{
	struct lockstep_attach *request = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
					       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*request = self->request;
	ASSERT_EQ(0, mprotect(request, 4096, PROT_READ));
	EXPECT_EQ(-1, ioctl(self->fd, LOCKSTEP_ATTACH, request));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(0, attach(self->fd, &self->request));
}

/* In a child; its exit status is the errno. */
static int attach_in_child(int fd, const struct lockstep_attach *request, bool drop)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (drop && setresuid(65534, 65534, 65534))
			_exit(99);
		_exit(attach(fd, request));
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(attach, without_privilege)
{
	EXPECT_EQ(EPERM, attach_in_child(self->fd, &self->request, true));
}

TEST_F(attach, vm_of_another_process)
{
	EXPECT_EQ(EPERM, attach_in_child(self->fd, &self->request, false));
	EXPECT_EQ(0, attach(self->fd, &self->request));
}

static void refused(struct __test_metadata *_metadata, int fd, unsigned int flags)
{
	struct lockstep_attach request;
	struct vm vm;

	ASSERT_EQ(0, vm_create(&vm, flags));
	machine_attach_fill(&request, &vm, "refused");
	EXPECT_EQ(EOPNOTSUPP, attach(fd, &request));
	vm_destroy(&vm);
}

TEST_F(attach, two_vcpus)
{
	refused(_metadata, self->fd, VM_TWO_VCPUS);
	EXPECT_EQ(0, attach(self->fd, &self->request));
}

TEST_F(attach, irqchip_in_kernel)
{
	refused(_metadata, self->fd, VM_IRQCHIP);
	EXPECT_EQ(0, attach(self->fd, &self->request));
}

/* KVM's parameter is 0 where the CPU has none. */
static bool has_pause_filter(const char *parameter)
{
	FILE *file = fopen(parameter, "r");
	unsigned int value = 0;

	if (!file)
		return false;
	if (fscanf(file, "%u", &value) != 1)
		value = 0;
	fclose(file);
	return value;
}

TEST_F(attach, pause_intercepted)
{
	if (!has_pause_filter("/sys/module/kvm_amd/parameters/pause_filter_count") &&
	    !has_pause_filter("/sys/module/kvm_intel/parameters/ple_gap"))
		SKIP(return, "this CPU has no pause filter: PAUSE is never intercepted");
	refused(_metadata, self->fd, VM_PAUSE_EXITS);
	EXPECT_EQ(0, attach(self->fd, &self->request));
}

TEST_F(attach, debugged)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE };

	ASSERT_EQ(0, ioctl(self->vm.vcpu, KVM_SET_GUEST_DEBUG, &debug));
	EXPECT_EQ(EOPNOTSUPP, attach(self->fd, &self->request));
	debug.control = 0;
	ASSERT_EQ(0, ioctl(self->vm.vcpu, KVM_SET_GUEST_DEBUG, &debug));
	EXPECT_EQ(0, attach(self->fd, &self->request));
}

TEST_F(attach, calls_before)
{
	static const unsigned long calls[] = {
		LOCKSTEP_NEXT, LOCKSTEP_INPUT, LOCKSTEP_CLOCK, LOCKSTEP_OUTPUT, LOCKSTEP_RELEASED,
		LOCKSTEP_DIGEST, LOCKSTEP_POWEROFF, LOCKSTEP_MISMATCH,
	};
	uint8_t arg[256] = { 0 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		EXPECT_EQ(-1, ioctl(self->fd, calls[i], arg));
		EXPECT_EQ(EINVAL, errno);
	}
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->fd, 0));
}

TEST_F(attach, bad_calls_after)
{
	struct lockstep_next next = { .flags = 1U << 31 };
	struct lockstep_input input = { .unit = LOCKSTEP_UNITS };
	struct lockstep_clock clock = { .kind = 2 };
	struct lockstep_output output = { .stream = LOCKSTEP_STREAMS };
	struct lockstep_released released = { .stream = LOCKSTEP_STREAM_NET };

	ASSERT_EQ(0, attach(self->fd, &self->request));
#define CALL_FAILS(request, arg, error)						\
	do {									\
		EXPECT_EQ(-1, ioctl(self->fd, request, arg));			\
		EXPECT_EQ(error, errno);					\
	} while (0)
	CALL_FAILS(_IO(LOCKSTEP_IOC_MAGIC, 0x3f), 0, ENOTTY);
	CALL_FAILS(LOCKSTEP_NEXT, &next, EINVAL);
	CALL_FAILS(LOCKSTEP_NEXT, NULL, EFAULT);
	CALL_FAILS(LOCKSTEP_INPUT, &input, EINVAL);
	input = (struct lockstep_input){ .len = LOCKSTEP_PAYLOAD_MAX + 1 };
	CALL_FAILS(LOCKSTEP_INPUT, &input, EINVAL);
	input = (struct lockstep_input){ .len = 8, .data = 8 };
	CALL_FAILS(LOCKSTEP_INPUT, &input, EFAULT);
	CALL_FAILS(LOCKSTEP_CLOCK, &clock, EINVAL);
	clock = (struct lockstep_clock){ .flags = 2 };
	CALL_FAILS(LOCKSTEP_CLOCK, &clock, EINVAL);
	CALL_FAILS(LOCKSTEP_OUTPUT, &output, EINVAL);
	output = (struct lockstep_output){ .reserved = 1 };
	CALL_FAILS(LOCKSTEP_OUTPUT, &output, EINVAL);
	CALL_FAILS(LOCKSTEP_RELEASED, &released, EINVAL);
	released = (struct lockstep_released){ .stream = LOCKSTEP_STREAMS };
	CALL_FAILS(LOCKSTEP_RELEASED, &released, EINVAL);
}

TEST_F(attach, page)
{
	struct lockstep_page *page;

	ASSERT_EQ(0, attach(self->fd, &self->request));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 8192, PROT_READ, MAP_SHARED, self->fd, 0));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->fd, 4096));
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, page);
	EXPECT_EQ(LOCKSTEP_ABI_VERSION, page->version);
	EXPECT_EQ(LOCKSTEP_STATE_FREE, page->state);
	EXPECT_EQ(0, page->gate);
	/* it outlives the session */
	close(self->fd);
	EXPECT_EQ(LOCKSTEP_ABI_VERSION, page->version);
	self->fd = -1;
}

/* Attach and detach again and again; the number of errors but EEXIST. */
static unsigned int hammer(const char *name)
{
	struct lockstep_attach request;
	unsigned int i, bad = 0;
	struct vm vm;
	int fd, ret;

	if (vm_create(&vm, 0))
		return 1;
	machine_attach_fill(&request, &vm, name);
	for (i = 0; i < 60; i++) {
		fd = open("/dev/lockstep", O_RDWR | O_CLOEXEC);
		ret = attach(fd, &request);
		bad += ret && ret != EEXIST;
		close(fd);
	}
	vm_destroy(&vm);
	return bad;
}

/* Two processes want one name: one at a time has it. */
TEST_F(attach, same_name_at_once)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(hammer("hammer"));
	EXPECT_EQ(0, hammer("hammer"));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

static void interrupted(int sig)
{
}

static void *spin(void *vm)
{
	vm_enter(vm);
	return NULL;
}

/*
 * A VM that runs can't be attached. It is not waited for either: others could
 * neither come nor go until it stops.
 */
TEST_F(attach, running)
{
	struct sigaction action = { .sa_handler = interrupted };
	pthread_t thread;

	VM_LOAD(&self->vm, spin);
	sigaction(SIGALRM, &action, NULL);
	ASSERT_EQ(0, pthread_create(&thread, NULL, spin, &self->vm));
	while (!vm_data32(&self->vm, 0))
		usleep(1000);
	EXPECT_EQ(EBUSY, attach(self->fd, &self->request));
	self->vm.run->immediate_exit = 1;
	pthread_kill(thread, SIGALRM);
	pthread_join(thread, NULL);
	self->vm.run->immediate_exit = 0;
	EXPECT_EQ(0, attach(self->fd, &self->request));
}

/* A VM that waits for its state is not run, whatever KVM_RUN its VMM tries. */
TEST_F(attach, parked)
{
	struct sigaction action = { .sa_handler = interrupted };
	/* again and again: the first may come before KVM_RUN */
	struct itimerval timer = {
		.it_value.tv_usec = 200000, .it_interval.tv_usec = 200000,
	};

	VM_LOAD(&self->vm, spin);
	ASSERT_EQ(0, attach(self->fd, &self->request));
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	EXPECT_EQ(-EINTR, vm_enter(&self->vm));
	EXPECT_EQ(0, vm_data32(&self->vm, 0));
}

/* What a living side is told of the clock at a stop lies between two looks at it. */
TEST_F(attach, clock_of_a_stop)
{
	struct lockstep_clock before = { .flags = LOCKSTEP_CLOCK_PEEK }, after = before;
	struct lockstep_next next = { .flags = 0 };
	struct nl nl;

	ASSERT_EQ(0, nl_open(&nl));
	ASSERT_EQ(0, ioctl(self->fd, LOCKSTEP_ATTACH, &self->request));
	ASSERT_EQ(0, nl_bind(&nl, self->request.id));
	ASSERT_EQ(0, nl_event(&nl, self->request.id, LOCKSTEP_EVENT_COLD_WON, 1, NULL));
	/* from the first verdict on it runs */
	ASSERT_EQ(0, ioctl(self->fd, LOCKSTEP_NEXT, &next));
	usleep(10000);
	ASSERT_EQ(0, ioctl(self->fd, LOCKSTEP_CLOCK, &before));
	next = (struct lockstep_next){ .flags = LOCKSTEP_NEXT_STOP };
	ASSERT_EQ(0, ioctl(self->fd, LOCKSTEP_NEXT, &next));
	ASSERT_EQ(0, ioctl(self->fd, LOCKSTEP_CLOCK, &after));
	EXPECT_EQ(LOCKSTEP_VERDICT_LIVE, next.verdict);
	EXPECT_LT(0, before.ns);
	EXPECT_LE(before.ns, next.clock);
	EXPECT_LE(next.clock, after.ns);
	nl_close(&nl);
}

TEST_F(attach, many_times)
{
	unsigned int i;

	for (i = 0; i < 50; i++) {
		ASSERT_EQ(0, attach(self->fd, &self->request));
		close(self->fd);
		self->fd = open("/dev/lockstep", O_RDWR | O_CLOEXEC);
	}
	VM_LOAD(&self->vm, tsc);
	vm_set_esi(&self->vm, 10);
	EXPECT_EQ(0, vm_run_to_end(&self->vm));
}

/* The VMM dies with everything open, in the guest. */
TEST_F(attach, killed)
{
	struct machine *machine;
	int status, i;
	pid_t pid;

	machine = mmap(NULL, sizeof(*machine), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (i = 0; i < 10; i++) {
		machine->fd = -1;
		pid = fork();
		if (!pid) {
			if (vm_create(&machine->vm, 0) ||
			    machine_open(machine, "killed", LOCKSTEP_ROLE_PRIMARY, 0, ""))
				_exit(1);
			VM_LOAD(&machine->vm, spin);
			machine->error = 1234;
			vm_enter(&machine->vm);
			_exit(2);
		}
		while (machine->error != 1234 && !waitpid(pid, &status, WNOHANG))
			usleep(1000);
		ASSERT_EQ(1234, machine->error);
		machine->error = 0;
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
	}
	strcpy(self->request.name, "killed");
	EXPECT_EQ(0, attach(self->fd, &self->request));
}

TEST_HARNESS_MAIN
