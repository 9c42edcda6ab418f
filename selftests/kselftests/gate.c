// SPDX-License-Identifier: GPL-2.0
/*
 * The output gate: alone (module lockstep_gate_test, else these tests skip), and as
 * part of a protected pair. Frames are written to a tap as a VMM does; who listens
 * is a packet socket behind the gate.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>

#include "kselftest_harness.h"
#include "pair.h"
#include "test.h"

#define OPEN	"mode 2"
#define ACKED	"mode 1"
#define LATCHED	"mode 0"
#define DROP	"mode 3"

/* What the gate says of itself. */
struct stats {
	int mode, full, drained, rooms;
	unsigned long long held, held_max, index, released, dropped, hold_ns, unacked_max;
	char name[32];
};

static int tap_open(const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), s;

	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
		return -1;
	s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ioctl(s, SIOCGIFFLAGS, &request);
	request.ifr_flags |= IFF_UP;
	ioctl(s, SIOCSIFFLAGS, &request);
	close(s);
	return fd;
}

/* Frames of our type behind the gate; @early: of all types, so before it. */
static int listen_on(const char *name, bool early)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET, .sll_protocol = htons(early ? ETH_P_ALL : FRAME_TYPE),
		.sll_ifindex = if_nametoindex(name),
	};
	int size = 256 << 20;
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	return bind(fd, (struct sockaddr *)&address, sizeof(address)) ? -1 : fd;
}

static int frame_send(int tap, uint64_t index)
{
	uint8_t frame[FRAME_LEN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1,
				     FRAME_TYPE >> 8, FRAME_TYPE & 0xff };

	memcpy(frame + FRAME_INDEX_AT, &index, sizeof(index));
	return write(tap, frame, sizeof(frame)) == sizeof(frame) ? 0 : -1;
}

/* The next frame's index; 0: there is none. */
static uint64_t frame_get(int listener)
{
	uint8_t frame[2048];
	uint64_t index = 0;
	ssize_t n;

	do
		n = recv(listener, frame, sizeof(frame), 0);
	while (n >= 0 && (n != FRAME_LEN || frame[12] != FRAME_TYPE >> 8 ||
			  frame[13] != (FRAME_TYPE & 0xff)));
	if (n > 0)
		memcpy(&index, frame + FRAME_INDEX_AT, sizeof(index));
	return index;
}

FIXTURE(gate)
{
	int gate, tap, listener;
	uint64_t sent;		/* index of the last frame sent */
	uint64_t got;		/* of the last received: they have to come one by one */
};

FIXTURE_SETUP(gate)
{
	if (geteuid())
		SKIP_TEST("needs root");
	self->gate = open("/dev/lockstep-gate-test", O_RDWR | O_CLOEXEC);
	if (self->gate < 0)
		SKIP_TEST("needs insmod lockstep_gate_test.ko");
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	self->tap = tap_open("gate0");
	ASSERT_LE(0, self->tap);
	self->listener = listen_on("gate0", false);
	ASSERT_LE(0, self->listener);
}

FIXTURE_TEARDOWN(gate)
{
	close(self->gate);
	close(self->tap);
	close(self->listener);
}

static int command(int gate, const char *text)
{
	return write(gate, text, strlen(text)) < 0 ? -errno : 0;
}

static int ack(int gate, unsigned long long lsn, unsigned long long index)
{
	char text[64];

	snprintf(text, sizeof(text), "ack %llu %llu", lsn, index);
	return command(gate, text);
}

static struct stats stats_get(int gate)
{
	struct stats s = { .mode = -1 };
	char text[256] = "";

	if (read(gate, text, sizeof(text) - 1) > 0)
		sscanf(text, "%d %llu %llu %llu %llu %llu %llu %llu %d %d %d %31s", &s.mode, &s.held,
		       &s.held_max, &s.index, &s.released, &s.dropped, &s.hold_ns, &s.unacked_max,
		       &s.full, &s.drained, &s.rooms, s.name);
	return s;
}

#define SEND(n)									\
	do {									\
		int left;							\
										\
		for (left = (n); left > 0; left--)				\
			ASSERT_EQ(0, frame_send(self->tap, ++self->sent));	\
	} while (0)

/* Exactly @n frames have come, in order, none twice and none left out. */
#define GOT(n)									\
	do {									\
		int left;							\
										\
		for (left = (n); left > 0; left--)				\
			ASSERT_EQ(++self->got, frame_get(self->listener));	\
		ASSERT_EQ(0, frame_get(self->listener));			\
	} while (0)

TEST_F(gate, not_attached)
{
	SEND(5);
	GOT(5);
	EXPECT_EQ(-ENODEV, command(self->gate, "attach no-such-dev"));
	EXPECT_STREQ("", stats_get(self->gate).name);
}

TEST_F(gate, one_gate_a_device)
{
	int other = open("/dev/lockstep-gate-test", O_RDWR);

	EXPECT_EQ(0, command(self->gate, "attach gate0"));
	EXPECT_STREQ("gate0", stats_get(self->gate).name);
	EXPECT_EQ(-EALREADY, command(self->gate, "attach gate0"));
	EXPECT_EQ(-EBUSY, command(other, "attach gate0"));
	EXPECT_EQ(0, command(self->gate, "detach"));
	EXPECT_EQ(0, command(self->gate, "detach"));
	EXPECT_EQ(0, command(other, "attach gate0"));
	close(other);
	SEND(3);
	GOT(3);
}

/* From the first frame on, and until it is told otherwise, a gate is closed. */
TEST_F(gate, latched_at_first)
{
	ASSERT_EQ(0, command(self->gate, "attach gate0"));
	SEND(20);
	GOT(0);
	EXPECT_EQ(0, ack(self->gate, 1000000, 1000000));
	GOT(0);
	EXPECT_EQ(20, stats_get(self->gate).held);
	EXPECT_EQ(0, stats_get(self->gate).index);
	EXPECT_FALSE(stats_get(self->gate).drained);
}

TEST_F(gate, open)
{
	ASSERT_EQ(0, command(self->gate, "attach gate0"));
	SEND(10);
	ASSERT_EQ(0, command(self->gate, OPEN));
	GOT(10);
	SEND(5);
	GOT(5);
	EXPECT_EQ(15, stats_get(self->gate).index);
	EXPECT_EQ(15, stats_get(self->gate).released);
	EXPECT_EQ(10, stats_get(self->gate).held_max);
	EXPECT_LT(0, stats_get(self->gate).hold_ns);
	EXPECT_TRUE(stats_get(self->gate).drained);
	ASSERT_EQ(0, command(self->gate, LATCHED));
	SEND(1);
	GOT(0);
}

TEST_F(gate, acked)
{
	ASSERT_EQ(0, command(self->gate, "attach gate0"));
	ASSERT_EQ(0, command(self->gate, ACKED));
	SEND(10);
	GOT(0);
	ASSERT_EQ(0, ack(self->gate, 9, 0));
	GOT(0);
	ASSERT_EQ(0, ack(self->gate, 35, 0));
	GOT(3);
	EXPECT_EQ(3, stats_get(self->gate).index);
	/* an ack that comes late changes nothing */
	ASSERT_EQ(0, ack(self->gate, 10, 0));
	GOT(0);
	ASSERT_EQ(0, ack(self->gate, 100, 0));
	GOT(7);
	/* acknowledged before it came: it need not wait for another ack */
	ASSERT_EQ(0, ack(self->gate, 110, 0));
	SEND(2);
	GOT(1);
	/* and not out of turn */
	ASSERT_EQ(0, command(self->gate, "stamp 0 13"));
	SEND(1);
	GOT(0);
	ASSERT_EQ(0, ack(self->gate, 120, 0));
	GOT(2);
	EXPECT_EQ(13, stats_get(self->gate).index);
}

/* No more than the bound leave whose leaving the backup does not know of. */
TEST_F(gate, duplicates)
{
	ASSERT_EQ(0, command(self->gate, "attach gate0"));
	ASSERT_EQ(0, command(self->gate, ACKED));
	SEND(400);
	ASSERT_EQ(0, ack(self->gate, 1000000, 0));
	GOT(LOCKSTEP_DUPLICATES_MAX);
	ASSERT_EQ(0, ack(self->gate, 1000000, 44));
	GOT(44);
	ASSERT_EQ(0, ack(self->gate, 1000000, 300));
	GOT(100);
	EXPECT_EQ(LOCKSTEP_DUPLICATES_MAX, stats_get(self->gate).unacked_max);
}

TEST_F(gate, latch_and_drop)
{
	ASSERT_EQ(0, command(self->gate, "attach gate0"));
	ASSERT_EQ(0, command(self->gate, ACKED));
	SEND(10);
	ASSERT_EQ(0, ack(self->gate, 50, 5));
	GOT(5);
	ASSERT_EQ(0, command(self->gate, LATCHED));
	ASSERT_EQ(0, ack(self->gate, 100, 10));
	GOT(0);
	ASSERT_EQ(0, command(self->gate, ACKED));
	GOT(5);
	SEND(5);
	ASSERT_EQ(0, command(self->gate, DROP));
	EXPECT_EQ(0, stats_get(self->gate).held);
	EXPECT_EQ(5, stats_get(self->gate).dropped);
	SEND(5);
	EXPECT_EQ(10, stats_get(self->gate).dropped);
	ASSERT_EQ(0, command(self->gate, OPEN));
	GOT(0);
	self->got = self->sent;
	SEND(3);
	GOT(3);
}

/* More than it may hold: the soft bound is told of, beyond the hard one frames get lost. */
TEST_F_TIMEOUT(gate, full, 120)
{
	struct stats s;
	uint64_t held;

	ASSERT_EQ(0, command(self->gate, "attach gate0"));
	for (s = stats_get(self->gate); !s.dropped && self->sent < 70000;) {
		SEND(512);
		s = stats_get(self->gate);
		if (s.held < 8000)
			ASSERT_FALSE(s.full);
		if (s.held > 17000)
			ASSERT_TRUE(s.full);
	}
	EXPECT_LT(0, s.dropped);
	EXPECT_GE(65536, s.held);
	EXPECT_EQ(self->sent, s.held + s.dropped);
	EXPECT_EQ(0, s.rooms);
	GOT(0);
	held = s.held;
	ASSERT_EQ(0, ack(self->gate, held * 10 / 2, 1000000));
	ASSERT_EQ(0, command(self->gate, ACKED));
	GOT(held / 2);
	ASSERT_EQ(0, command(self->gate, OPEN));
	GOT(held - held / 2);
	s = stats_get(self->gate);
	EXPECT_EQ(1, s.rooms);
	EXPECT_FALSE(s.full);
	EXPECT_TRUE(s.drained);
}

TEST_F(gate, detach_frees)
{
	ASSERT_EQ(0, command(self->gate, "attach gate0"));
	SEND(10);
	ASSERT_EQ(0, command(self->gate, "detach"));
	EXPECT_EQ(10, stats_get(self->gate).dropped);
	EXPECT_STREQ("", stats_get(self->gate).name);
	self->got = self->sent;
	SEND(3);
	GOT(3);
	/* the mode stays */
	ASSERT_EQ(0, command(self->gate, "attach gate0"));
	SEND(3);
	GOT(0);
}

/* The device goes with frames held: neither it nor they are left behind. */
TEST_F(gate, device_gone)
{
	ASSERT_EQ(0, command(self->gate, "attach gate0"));
	SEND(10);
	close(self->tap);
	EXPECT_EQ(0, if_nametoindex("gate0"));
	EXPECT_EQ(10, stats_get(self->gate).dropped);
	EXPECT_EQ(0, stats_get(self->gate).held);
	EXPECT_STREQ("", stats_get(self->gate).name);
	EXPECT_EQ(0, command(self->gate, OPEN));
	/* and another of that name is another */
	self->tap = tap_open("gate0");
	EXPECT_EQ(0, command(self->gate, "attach gate0"));
}

TEST_F(gate, device_moves)
{
	if (system("ip link set gate0 netns 1 2>/dev/null"))
		SKIP(return, "needs ip");
	system("ip link delete gate0 2>/dev/null");
	close(self->tap);
	self->tap = tap_open("gate0");
	ASSERT_EQ(0, command(self->gate, "attach gate0"));
	SEND(10);
	ASSERT_EQ(0, system("ip link set gate0 netns 1"));
	EXPECT_EQ(10, stats_get(self->gate).dropped);
	EXPECT_STREQ("", stats_get(self->gate).name);
}

TEST_F(gate, device_is_renamed)
{
	ASSERT_EQ(0, command(self->gate, "attach gate0"));
	if (system("ip link set gate0 down && ip link set gate0 name other && "
		   "ip link set other up"))
		SKIP(return, "needs ip");
	EXPECT_STREQ("other", stats_get(self->gate).name);
	SEND(3);
	GOT(0);
}

/* What goes to the guest is not held. */
TEST_F(gate, other_direction)
{
	uint8_t frame[FRAME_LEN] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5 };
	uint8_t in[2048];
	int i, n = 0;

	ASSERT_EQ(0, command(self->gate, "attach gate0"));
	for (i = 0; i < 10; i++)
		ASSERT_EQ(FRAME_LEN, send(self->listener, frame, sizeof(frame), 0));
	for (i = 0; i < 100 && n < 10; i++) {
		ssize_t got = read(self->tap, in, sizeof(in));

		if (got < 0)
			usleep(1000);
		n += got == FRAME_LEN && in[12] == 0x88 && in[13] == 0xb5;
	}
	EXPECT_EQ(10, n);
	EXPECT_EQ(0, stats_get(self->gate).held);
}

/* Who listens before the gate sees each frame once, not again when it is handed over. */
TEST_F(gate, early_listener)
{
	int early = listen_on("gate0", true), i;

	ASSERT_EQ(0, command(self->gate, "attach gate0"));
	SEND(5);
	for (i = 1; i <= 5; i++)
		EXPECT_EQ(i, frame_get(early));
	GOT(0);
	ASSERT_EQ(0, command(self->gate, OPEN));
	GOT(5);
	EXPECT_EQ(0, frame_get(early));
	close(early);
}

TEST_F(gate, port_of_a_bridge)
{
	int outside, n = 0, i;
	uint8_t in[2048];

	outside = tap_open("gate1");
	if (system("ip link add gatebr type bridge forward_delay 0 && "
		   "ip link set gate0 master gatebr && ip link set gate1 master gatebr && "
		   "ip link set gatebr up"))
		SKIP(return, "needs ip and bridges");
	ASSERT_EQ(0, command(self->gate, "attach gate0"));
	ASSERT_EQ(0, command(self->gate, ACKED));
	SEND(50);
	for (i = 0; i < 2; i++) {
		ssize_t got;
		int tries;

		for (tries = 0; tries < 50; tries++) {
			got = read(outside, in, sizeof(in));
			if (got < 0)
				usleep(1000);
			if (got != FRAME_LEN || in[12] != 0x88)
				continue;
			n++;
			EXPECT_EQ(n, *(uint64_t *)(in + FRAME_INDEX_AT));
		}
		EXPECT_EQ(i ? 20 : 0, n);
		ASSERT_EQ(0, ack(self->gate, 200, 20));
	}
	close(outside);
}

/* Writer, releaser and changes of mode at once: still each frame once, and in order. */
struct churn {
	int gate, tap;
	uint64_t frames;
	atomic_bool done;
};

static void *churn_writer(void *arg)
{
	struct churn *churn = arg;
	uint64_t i;

	for (i = 1; i <= churn->frames; i++)
		if (frame_send(churn->tap, i))
			break;
	churn->done = true;
	return NULL;
}

static void *churn_modes(void *arg)
{
	static const char *const modes[] = { ACKED, OPEN, ACKED, LATCHED };
	struct churn *churn = arg;
	unsigned int i;

	for (i = 0; !churn->done; i++) {
		command(churn->gate, modes[i % 4]);
		ack(churn->gate, i * 100, i * 10);
	}
	return NULL;
}

TEST_F_TIMEOUT(gate, order_under_load, 120)
{
	struct churn churn = { .gate = self->gate, .tap = self->tap, .frames = 20000 };
	pthread_t threads[3];
	int i;

	ASSERT_EQ(0, command(self->gate, "attach gate0"));
	ASSERT_EQ(0, pthread_create(&threads[0], NULL, churn_writer, &churn));
	ASSERT_EQ(0, pthread_create(&threads[1], NULL, churn_modes, &churn));
	ASSERT_EQ(0, pthread_create(&threads[2], NULL, churn_modes, &churn));
	for (i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	ASSERT_EQ(0, command(self->gate, OPEN));
	EXPECT_EQ(0, stats_get(self->gate).dropped);
	GOT(20000);
	EXPECT_EQ(20000, stats_get(self->gate).index);
}

/* The gate as the module drives it. */

static struct pair pair;

FIXTURE(commit)
{
	int listener_p, listener_t;
};

FIXTURE_SETUP(commit)
{
	NEED_MODULE();
	pair_init(&pair);
	ASSERT_EQ(0, vm_create(&pair.primary.vm, 0));
	ASSERT_EQ(0, vm_create(&pair.twin.vm, 0));
	VM_LOAD(&pair.primary.vm, devices);
	VM_LOAD(&pair.twin.vm, devices);
	vm_set_esi(&pair.primary.vm, 1000000);
	vm_set_esi(&pair.twin.vm, 1000000);
	/* The netlink family is in the first namespace: sockets first. */
	ASSERT_EQ(0, pair_open_netlink(&pair));
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	pair.primary.tap = tap_open("tap-p");
	pair.twin.tap = tap_open("tap-t");
	self->listener_p = listen_on("tap-p", false);
	self->listener_t = listen_on("tap-t", false);
	ASSERT_LE(0, self->listener_p);
	ASSERT_LE(0, self->listener_t);
	ASSERT_EQ(0, pair_open(&pair, "tap-p", "tap-t"));
	ASSERT_EQ(0, pair_protect(&pair));
}

FIXTURE_TEARDOWN(commit)
{
	pair_close(&pair);
	vm_destroy(&pair.primary.vm);
	vm_destroy(&pair.twin.vm);
	close(pair.primary.tap);
	close(pair.twin.tap);
	close(self->listener_p);
	close(self->listener_t);
}

static uint64_t frames_wanted;

static bool twin_made_frames(struct pair *p)
{
	return __atomic_load_n(&p->twin.frames, __ATOMIC_RELAXED) >= frames_wanted;
}

static uint64_t drain(struct __test_metadata *_metadata, int listener, uint64_t last)
{
	uint64_t index;

	while ((index = frame_get(listener)))
		EXPECT_EQ(++last, index);
	return last;
}

/* Frames in the histogram of the times that they were held; ~0: not those that were released. */
static uint64_t frames_by_time(struct nl *nl, uint32_t id)
{
	static uint64_t slots[LOCKSTEP_HOLD_SLOTS];
	static struct nl_msg reply;
	uint64_t sum = 0;
	const void *data;
	size_t len;
	int i;

	if (nl_guest_get(nl, id, &reply))
		return ~0ULL;
	data = nl_get(&reply, LOCKSTEP_A_HOLD, &len);
	if (!data || len != sizeof(slots))
		return ~0ULL;
	memcpy(slots, data, len);
	for (i = 0; i < LOCKSTEP_HOLD_SLOTS; i++)
		sum += slots[i];
	return sum == nl_stat(&reply, LOCKSTEP_S_RELEASED) ? sum : ~0ULL;
}

/* Nothing leaves the primary that the twin's module has not acknowledged. */
TEST_F(commit, after_the_ack)
{
	uint64_t last;
	int i;

	pair.cut_acks = true;
	ASSERT_EQ(0, pair_start(&pair));
	frames_wanted = 50;
	ASSERT_TRUE(pair_until(&pair, twin_made_frames, PAIR_END_MS));
	EXPECT_LE(50, pair.primary.frames);
	EXPECT_EQ(0, frame_get(self->listener_p));
	pair.cut_acks = false;
	/* more than may be released before the twin has heard of it, which takes long in a slow pair */
	frames_wanted = LOCKSTEP_DUPLICATES_MAX + 100;
	ASSERT_TRUE(pair_until(&pair, twin_made_frames, PAIR_END_MS));
	for (i = 0, last = 0; i < PAIR_END_MS / 5 && last < frames_wanted; i++) {
		pair_step(&pair, 5);
		last = drain(_metadata, self->listener_p, last);
	}
	EXPECT_LE(frames_wanted, last);
	EXPECT_EQ(0, frame_get(self->listener_t));
	EXPECT_LE(last, frames_by_time(&pair.nl_p, pair.primary.attach.id));
	EXPECT_EQ(0, frames_by_time(&pair.nl_t, pair.twin.attach.id));
}

/* Waits for one; 0: none came. */
static uint64_t first_frame(int listener)
{
	uint64_t index = 0;
	int i;

	for (i = 0; i < 500 && !index; i++) {
		index = frame_get(listener);
		if (!index)
			usleep(10000);
	}
	return index;
}

/*
 * The primary dies, the twin wins: what the world saw of both is every frame, in
 * order, and no more of them twice than the bound.
 */
TEST_F(commit, failover)
{
	uint64_t last, first, index;
	int i;

	ASSERT_EQ(0, pair_start(&pair));
	frames_wanted = 300;
	ASSERT_TRUE(pair_until(&pair, twin_made_frames, PAIR_END_MS));
	machine_close(&pair.primary);
	pair_step(&pair, 50);
	last = drain(_metadata, self->listener_p, 0);
	EXPECT_LT(0, last);
	EXPECT_EQ(0, frame_get(self->listener_t));
	ASSERT_EQ(0, nl_event(&pair.nl_t, pair.twin.attach.id, LOCKSTEP_EVENT_PEER_FAILED, 0, NULL));
	/* it can't win before it has executed what it acknowledged */
	ASSERT_TRUE(pair_until(&pair, pair_twin_drained, PAIR_END_MS));
	EXPECT_EQ(0, frame_get(self->listener_t));
	ASSERT_EQ(0, nl_event(&pair.nl_t, pair.twin.attach.id, LOCKSTEP_EVENT_WON, 0, NULL));
	first = first_frame(self->listener_t);
	ASSERT_NE(0, first);
	EXPECT_GE(last + 1, first);		/* none is missing */
	EXPECT_GE(LOCKSTEP_DUPLICATES_MAX, last + 1 - first);
	for (index = first, i = 0; index < last + 200 && i < 1000; i++) {
		index = drain(_metadata, self->listener_t, index);
		usleep(5000);
	}
	EXPECT_LE(last + 200, index);
}

/*
 * A planned switch: the primary is done when the twin has executed all and knows that
 * all has left; then the twin goes on with the very next frame.
 */
TEST_F(commit, planned_switch)
{
	uint64_t last;
	int i;

	ASSERT_EQ(0, pair_start(&pair));
	frames_wanted = 300;
	ASSERT_TRUE(pair_until(&pair, twin_made_frames, PAIR_END_MS));
	pair.cut_acks = true;
	ASSERT_EQ(0, nl_event(&pair.nl_p, pair.primary.attach.id, LOCKSTEP_EVENT_SWITCH, 0, NULL));
	for (i = 0; i < 20; i++)
		pair_step(&pair, 10);
	EXPECT_FALSE(pair_primary_drained(&pair));
	pair.cut_acks = false;
	ASSERT_TRUE(pair_until(&pair, pair_primary_drained, PAIR_END_MS));
	last = drain(_metadata, self->listener_p, 0);
	EXPECT_LE(300, last);
	ASSERT_EQ(0, nl_event(&pair.nl_t, pair.twin.attach.id, LOCKSTEP_EVENT_SWITCH, 0, NULL));
	ASSERT_TRUE(pair_until(&pair, pair_twin_drained, PAIR_END_MS));
	ASSERT_EQ(0, nl_event(&pair.nl_t, pair.twin.attach.id, LOCKSTEP_EVENT_WON, 0, NULL));
	EXPECT_EQ(last + 1, first_frame(self->listener_t));
	EXPECT_EQ(0, frame_get(self->listener_p));
}

static bool frame_waits(struct pair *p)
{
	return p->primary.frame_waits;
}

/*
 * A switch that finds the vCPU's thread between the record of a frame, which the twin may
 * execute at once, and its write: the primary is not done until that has left, too.
 */
TEST_F(commit, switch_between_record_and_write)
{
	uint64_t last;

	ASSERT_EQ(0, pair_start(&pair));
	frames_wanted = 50;
	ASSERT_TRUE(pair_until(&pair, twin_made_frames, PAIR_END_MS));
	pair.primary.held_up = true;
	ASSERT_TRUE(pair_until(&pair, frame_waits, PAIR_END_MS));
	ASSERT_EQ(0, nl_event(&pair.nl_p, pair.primary.attach.id, LOCKSTEP_EVENT_SWITCH, 0, NULL));
	frames_wanted = pair.primary.frames;
	ASSERT_TRUE(pair_until(&pair, twin_made_frames, PAIR_END_MS));
	/* bytes, which nobody hands over in these tests, are waited for 5 s */
	EXPECT_FALSE(pair_until(&pair, pair_primary_drained, 8000));
	pair.primary.held_up = false;
	ASSERT_TRUE(pair_until(&pair, pair_primary_drained, PAIR_END_MS));
	last = drain(_metadata, self->listener_p, 0);
	EXPECT_EQ(pair.primary.frames, last);
	ASSERT_EQ(0, nl_event(&pair.nl_t, pair.twin.attach.id, LOCKSTEP_EVENT_SWITCH, 0, NULL));
	ASSERT_TRUE(pair_until(&pair, pair_twin_drained, PAIR_END_MS));
	ASSERT_EQ(0, nl_event(&pair.nl_t, pair.twin.attach.id, LOCKSTEP_EVENT_WON, 0, NULL));
	EXPECT_EQ(last + 1, first_frame(self->listener_t));
	EXPECT_EQ(0, frame_get(self->listener_p));
}

TEST_HARNESS_MAIN
