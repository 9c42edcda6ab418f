// SPDX-License-Identifier: GPL-2.0
/* See machine.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "machine.h"

#define INPUT_UNIT	3
#define INPUT_KIND	7
#define PAGE_SIZE	4096

/* Any hash will do: the module compares it and knows nothing of the bytes. */
static uint64_t hash(const void *data, size_t len)
{
	const uint8_t *byte = data;
	uint64_t h = 0xcbf29ce484222325ULL;

	while (len--)
		h = (h ^ *byte++) * 0x100000001b3ULL;
	return h;
}

/* A request that is good as it is; tests spoil it. */
void machine_attach_fill(struct lockstep_attach *attach, const struct vm *vm, const char *name)
{
	*attach = (struct lockstep_attach){
		.size = sizeof(*attach), .vm_fd = vm->vm, .vcpu_fd = vm->vcpu, .notify_fd = -1,
		.role = LOCKSTEP_ROLE_PRIMARY,
	};
	strncpy(attach->name, name, sizeof(attach->name) - 1);
	memset(attach->uuid, 0x5a, sizeof(attach->uuid));
}

/* Attach the machine's VM, which exists. 0 or -errno. */
int machine_open(struct machine *machine, const char *name, unsigned int role,
		 unsigned int flags, const char *output_dev)
{
	struct lockstep_attach *attach = &machine->attach;
	int ret;

	machine->end = MACHINE_RUNNING;
	machine->fd = open("/dev/lockstep", O_RDWR | O_CLOEXEC);
	if (machine->fd < 0)
		return -errno;
	machine_attach_fill(attach, &machine->vm, name);
	attach->role = role;
	attach->flags = flags;
	attach->log_size = machine->log_size;
	strncpy(attach->output_dev, output_dev, sizeof(attach->output_dev) - 1);
	if (ioctl(machine->fd, LOCKSTEP_ATTACH, attach) < 0)
		goto err;
	machine->page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, machine->fd, 0);
	if (machine->page == MAP_FAILED)
		goto err;
	return 0;

err:
	ret = -errno;
	machine->page = NULL;
	close(machine->fd);
	machine->fd = -1;
	return ret;
}

/* Stops its thread, and detaches; the VM stays. */
void machine_close(struct machine *machine)
{
	machine_stop(machine);
	if (machine->page)
		munmap(machine->page, PAGE_SIZE);
	if (machine->fd >= 0)
		close(machine->fd);
	machine->page = NULL;
	machine->fd = -1;
}

static void fail(struct machine *machine, const char *at)
{
	machine->error = errno;
	machine->error_at = at;
	machine->end = MACHINE_ERROR;
}

/*
 * A call of the uapi that may be interrupted or find the instance changed.
 * 1: done; 0: the instance is something else now, ask NEXT; -1: failed.
 */
static int call(struct machine *machine, unsigned long request, void *arg, const char *what)
{
	while (ioctl(machine->fd, request, arg) < 0) {
		if (errno == EINTR && !machine->quit)
			continue;
		if (errno == EINTR || errno == ESHUTDOWN || errno == EILSEQ)
			return 0;
		fail(machine, what);
		return -1;
	}
	return 1;
}

/* What it is for counts, too. */
static void apply(struct machine *machine, unsigned int unit, unsigned int kind, uint32_t value)
{
	value += unit << 16 ^ kind;
	memcpy(machine->vm.mem + VM_MAILBOX, &value, sizeof(value));
	machine->inputs++;
}

/* A living side makes up an input that only the log can tell the twin. */
static int offer(struct machine *machine)
{
	uint32_t value = 0;
	struct lockstep_input input = {
		.unit = INPUT_UNIT, .kind = INPUT_KIND, .len = sizeof(value),
		.data = (uintptr_t)&value,
	};
	int ret;

	if (getrandom(&value, sizeof(value), 0) != sizeof(value))
		abort();
	ret = call(machine, LOCKSTEP_INPUT, &input, "INPUT");
	if (ret > 0)
		apply(machine, INPUT_UNIT, INPUT_KIND, value);
	return ret;
}

static int read_clock(struct machine *machine, unsigned int kind, unsigned int at)
{
	struct lockstep_clock clock = { .kind = kind };
	int ret = call(machine, LOCKSTEP_CLOCK, &clock, "CLOCK");

	if (ret > 0)
		memcpy(machine->vm.mem + VM_MAILBOX + at, &clock.ns, sizeof(clock.ns));
	return ret;
}

static int output(struct machine *machine, unsigned int stream, uint64_t index, const void *data,
		  size_t len, unsigned int *verdict)
{
	struct lockstep_output out = {
		.stream = stream, .len = len, .index = index, .hash = hash(data, len),
	};
	int ret;

	if (machine->spoil && machine->spoil == index)
		out.hash++;
	ret = call(machine, LOCKSTEP_OUTPUT, &out, "OUTPUT");
	*verdict = out.verdict;
	return ret;
}

static void frame_write(struct machine *machine, const uint8_t *frame)
{
	if (machine->tap >= 0 && write(machine->tap, frame, FRAME_LEN) != FRAME_LEN)
		fail(machine, "tap");
}

static int make_frame(struct machine *machine)
{
	uint64_t index = ++machine->frames;
	uint8_t *frame = machine->kept[index % KEPT_MAX];
	unsigned int verdict;
	int ret;

	memset(frame, 0, FRAME_LEN);
	memset(frame, 0xff, 6);
	frame[6] = 2;
	frame[12] = FRAME_TYPE >> 8;
	frame[13] = FRAME_TYPE & 0xff;
	memcpy(frame + FRAME_INDEX_AT, &index, sizeof(index));
	memcpy(frame + FRAME_INDEX_AT + 8, machine->vm.mem + VM_DATA, 4);
	ret = output(machine, LOCKSTEP_STREAM_NET, index, frame, FRAME_LEN, &verdict);
	if (ret <= 0 || verdict != LOCKSTEP_VERDICT_SEND)
		return ret;
	while (machine->held_up && !machine->quit) {
		machine->frame_waits = true;
		usleep(1000);
	}
	machine->frame_waits = false;
	frame_write(machine, frame);
	return ret;
}

static int make_byte(struct machine *machine, uint8_t byte)
{
	struct lockstep_released released = { .stream = LOCKSTEP_STREAM_SERIAL };
	unsigned int verdict;
	int ret;

	machine->serial++;
	ret = output(machine, LOCKSTEP_STREAM_SERIAL, machine->serial, &byte, 1, &verdict);
	if (ret <= 0 || verdict != LOCKSTEP_VERDICT_SEND || !machine->page->gate)
		return ret;
	/* Only an open gate: these tests don't wait for the backup's ack. */
	released.index = machine->serial;
	return call(machine, LOCKSTEP_RELEASED, &released, "RELEASED");
}

/* The side lives now: what the old primary may not have sent goes out. */
static void go_live(struct machine *machine)
{
	uint64_t index = machine->page->released[LOCKSTEP_STREAM_NET];

	while (index++ < machine->frames) {
		frame_write(machine, machine->kept[index % KEPT_MAX]);
		machine->resent++;
	}
}

static int device(struct machine *machine)
{
	const struct kvm_run *run = machine->vm.run;
	uint16_t port = run->io.port;
	uint8_t byte = *((const uint8_t *)run + run->io.data_offset);

	if (vm_io_complete(&machine->vm)) {
		errno = EIO;
		fail(machine, "completing an OUT");
		return -1;
	}
	switch (port) {
	case VM_PORT_END:
		machine->end = MACHINE_ENDED;
		return -1;
	case VM_PORT_SERIAL:
		return make_byte(machine, byte);
	case VM_PORT_NET:
		return make_frame(machine);
	case VM_PORT_CLOCK:
		return read_clock(machine, LOCKSTEP_CLOCK_VIRTUAL, 8);
	case VM_PORT_WALL:
		return read_clock(machine, LOCKSTEP_CLOCK_WALL, 16);
	}
	return 1;
}

/* Enter the guest. True: it stopped (NEXT_STOP is due). Sets machine->end at its end. */
static bool enter(struct machine *machine, uint16_t *port)
{
	int ret = vm_enter(&machine->vm);

	*port = 0;
	switch (ret) {
	case -EINTR:
		return false;
	case KVM_EXIT_INTR:
		return true;
	case KVM_EXIT_IO:
		*port = machine->vm.run->io.port;
		/* Whether the call was made or the instance changed: NEXT knows. */
		return device(machine) >= 0;
	default:
		errno = ret < 0 ? -ret : EPROTO;
		fail(machine, "KVM_RUN");
		return false;
	}
}

/* Run the guest until machine->end says how that ended. */
void machine_run(struct machine *machine)
{
	uint32_t value = 0;
	struct lockstep_next next;
	uint16_t port = 0;
	bool stop = false;
	int ret;

	while (machine->end == MACHINE_RUNNING) {
		next = (struct lockstep_next){
			.flags = stop ? LOCKSTEP_NEXT_STOP : 0,
			.len = sizeof(value), .data = (uintptr_t)&value,
		};
		ret = ioctl(machine->fd, LOCKSTEP_NEXT, &next);
		stop = false;
		if (machine->quit) {
			machine->end = MACHINE_QUIT;
			break;
		}
		if (ret < 0 && errno == EINTR)
			continue;
		if (ret < 0) {
			fail(machine, "NEXT");
			break;
		}
		switch (next.verdict) {
		case LOCKSTEP_VERDICT_APPLY:
			apply(machine, next.unit, next.kind, value);
			continue;
		case LOCKSTEP_VERDICT_GO_LIVE:
			go_live(machine);
			continue;
		case LOCKSTEP_VERDICT_LIVE:
			if (port == VM_PORT_INPUT && offer(machine) <= 0)
				continue;
			port = 0;
			break;
		case LOCKSTEP_VERDICT_ENTER:
			break;
		default:
			machine->end = next.verdict;
			continue;
		}
		/* came behind the stop, where kicks end: what it is for is taken at the next */
		if (machine->page->kick)
			ioctl(machine->fd, LOCKSTEP_KICK);
		stop = enter(machine, &port);
		machine->stops += stop;
	}
}

static void *thread(void *arg)
{
	struct machine *machine = arg;

	machine->tid = gettid();
	machine_run(machine);
	return NULL;
}

/* Does its thread sleep, as one does that is parked, or waits for the log or for room? */
bool machine_sleeps(const struct machine *machine)
{
	char path[64], state = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", machine->tid);
	file = fopen(path, "r");
	if (!file)
		return false;
	if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	fclose(file);
	return state == 'S';
}

static void nothing(int sig)
{
}

/* machine_run() in a thread; 0 or -errno. */
int machine_start(struct machine *machine)
{
	struct sigaction action = { .sa_handler = nothing };
	int ret;

	sigaction(SIGUSR1, &action, NULL);	/* no SA_RESTART: it ends calls */
	machine->quit = false;
	machine->tid = 0;
	ret = pthread_create(&machine->thread, NULL, thread, machine);
	machine->threaded = !ret;
	return -ret;
}

/* End the thread, whatever it waits for. */
void machine_stop(struct machine *machine)
{
	struct timespec soon;

	if (!machine->threaded)
		return;
	machine->quit = true;
	do {
		/* Again: a signal between its look at quit and a call is lost. */
		pthread_kill(machine->thread, SIGUSR1);
		clock_gettime(CLOCK_REALTIME, &soon);
		soon.tv_nsec += 20000000;
		if (soon.tv_nsec >= 1000000000) {
			soon.tv_nsec -= 1000000000;
			soon.tv_sec++;
		}
	} while (pthread_timedjoin_np(machine->thread, NULL, &soon));
	machine->threaded = false;
}
