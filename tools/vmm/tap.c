// SPDX-License-Identifier: GPL-2.0
/*
 * The host side of a network device: a tap, and a thread that reads it
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/lockstep.h>
#include <net/if_arp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"

_Static_assert(TAP_FRAME_MAX <= LOCKSTEP_PAYLOAD_MAX, "a frame fits a record");

#define PATH_TUN	"/dev/net/tun"
#define RARP_BYTES	60	/* the least an Ethernet frame has */
#define ETHERTYPE_RARP	0x8035
#define RARP_REQUEST	3

/**
 * struct tap - the host side
 * @wake:     eventfd: look at @stop, @pending and the announcements
 * @live:     see tap_set()
 * @receiving: see tap_set()
 * @stop:     the thread ends
 * @pending:  frames posted and not applied
 * @waiting:  the thread has stopped reading and wants to know when @pending falls
 * @send:     lock of writes to @fd and of what follows
 * @announce: the frame
 * @announcements: how many are still to be sent
 * @announce_at: when the next one is, CLOCK_MONOTONIC in ms
 * @refused:  a failed write was reported
 */
struct tap {
	struct vmm *vmm;
	enum vmm_unit unit;
	int fd;
	int wake;
	pthread_t thread;
	atomic_bool live;
	atomic_bool receiving;
	atomic_bool stop;
	atomic_uint pending;
	atomic_bool waiting;

	pthread_mutex_t send;
	uint8_t announce[RARP_BYTES];
	unsigned int announcements;
	int64_t announce_at;
	bool refused;
};

int tap_attach(struct vmm *vmm, const char *name)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd, err;

	if (!*name || strlen(name) >= sizeof(ifr.ifr_name))
		return -EINVAL;
	memcpy(ifr.ifr_name, name, strlen(name));
	fd = open(PATH_TUN, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		err = -errno;
		vmm_say(vmm, "can't open %s: %s. Is the module tun loaded?", PATH_TUN,
			strerror(-err));
		return err;
	}
	if (ioctl(fd, TUNSETIFF, &ifr)) {
		err = -errno;
		vmm_say(vmm, "can't use tap %s: %s. %s", name, strerror(-err), err == -EBUSY ?
			"Another process has it" :
			"\"ip tuntap add mode tap\" makes one; it takes CAP_NET_ADMIN");
		close(fd);
		return err;
	}
	return fd;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void wake(struct tap *tap)
{
	uint64_t one = 1;

	/* Fails only when the counter is full, and then the thread is awake. */
	if (write(tap->wake, &one, sizeof(one)) < 0)
		return;
}

void tap_set(struct tap *tap, bool live, bool receiving)
{
	atomic_store(&tap->live, live);
	atomic_store(&tap->receiving, receiving);
}

void tap_applied(struct tap *tap)
{
	/* Inputs of the log were not posted here. */
	if (!atomic_load(&tap->pending))
		return;
	if (atomic_fetch_sub(&tap->pending, 1) == TAP_PENDING_MAX / 2 + 1 &&
	    atomic_exchange(&tap->waiting, false))
		wake(tap);
}

void tap_hold(struct tap *tap)
{
	pthread_mutex_lock(&tap->send);
}

void tap_unhold(struct tap *tap)
{
	pthread_mutex_unlock(&tap->send);
}

void tap_send(struct tap *tap, const void *frame, uint32_t len)
{
	ssize_t done;

	do {
		done = write(tap->fd, frame, len);
	} while (done < 0 && errno == EINTR);
	if (done < 0 && !tap->refused) {
		tap->refused = true;
		vmm_say(tap->vmm, "the tap refuses a frame (%s): is the interface up? Further losses are not reported",
			strerror(errno));
	}
}

static void announce_build(uint8_t *frame, const uint8_t mac[6])
{
	static const uint8_t rarp[] = {
		ETHERTYPE_RARP >> 8, ETHERTYPE_RARP & 0xff,
		0, ARPHRD_ETHER, 0x08, 0x00, 6, 4, 0, RARP_REQUEST,
	};

	memset(frame, 0, RARP_BYTES);
	memset(frame, 0xff, 6);
	memcpy(frame + 6, mac, 6);
	memcpy(frame + 12, rarp, sizeof(rarp));
	memcpy(frame + 22, mac, 6);
	memcpy(frame + 32, mac, 6);
}

/* Held: send the next announcement and say when the one after it is due. */
static void announce_next(struct tap *tap)
{
	unsigned int sent = TAP_ANNOUNCEMENTS - tap->announcements;

	tap_send(tap, tap->announce, sizeof(tap->announce));
	tap->announcements--;
	tap->announce_at = now_ms() + TAP_ANNOUNCE_FIRST_MS * (1 + (int64_t)sent);
}

void tap_announce(struct tap *tap, const uint8_t mac[6])
{
	tap_hold(tap);
	announce_build(tap->announce, mac);
	tap->announcements = TAP_ANNOUNCEMENTS;
	announce_next(tap);
	tap_unhold(tap);
	wake(tap);
}

/* Send what is due; ms until the next announcement, -1 when there is none. */
static int announce_due(struct tap *tap)
{
	int64_t left = -1;

	tap_hold(tap);
	if (tap->announcements && tap->announce_at <= now_ms())
		announce_next(tap);
	if (tap->announcements) {
		left = tap->announce_at - now_ms();
		left = left < 0 ? 0 : left;
	}
	tap_unhold(tap);
	return (int)left;
}

/* May the thread read on? If not, tap_applied() wakes it. */
static bool may_read(struct tap *tap)
{
	if (atomic_load(&tap->pending) < TAP_PENDING_MAX)
		return true;
	atomic_store(&tap->waiting, true);
	/* It may have fallen to the mark just before. */
	if (atomic_load(&tap->pending) > TAP_PENDING_MAX / 2)
		return false;
	atomic_store(&tap->waiting, false);
	return true;
}

/* One frame. False: the tap is gone. */
static bool receive(struct tap *tap, uint8_t *frame)
{
	ssize_t len = read(tap->fd, frame, TAP_FRAME_MAX + 1);

	if (len < 0)
		return errno == EAGAIN || errno == EINTR || errno == EIO;
	if (!len)
		return false;
	if (len < TAP_FRAME_MIN || len > TAP_FRAME_MAX || !atomic_load(&tap->live) ||
	    !atomic_load(&tap->receiving))
		return true;
	atomic_fetch_add(&tap->pending, 1);
	if (vmm_event_post(tap->vmm, tap->unit, TAP_KIND_FRAME, frame, (uint32_t)len))
		atomic_fetch_sub(&tap->pending, 1);
	return true;
}

static void *tap_thread(void *arg)
{
	uint8_t frame[TAP_FRAME_MAX + 1];
	struct tap *tap = arg;
	bool gone = false;
	uint64_t count;

	while (!atomic_load(&tap->stop)) {
		struct pollfd fds[2] = {
			{ .fd = tap->wake, .events = POLLIN },
			{ .fd = gone || !may_read(tap) ? -1 : tap->fd, .events = POLLIN },
		};

		if (poll(fds, 2, announce_due(tap)) <= 0)
			continue;
		if (fds[0].revents && read(tap->wake, &count, sizeof(count)) < 0 && errno != EAGAIN)
			break;
		if (fds[1].revents && !receive(tap, frame)) {
			vmm_say(tap->vmm, "the tap has gone: the guest receives nothing any more");
			gone = true;
		}
	}
	return NULL;
}

int tap_create(struct vmm *vmm, int fd, enum vmm_unit unit, struct tap **tapp)
{
	struct tap *tap;
	sigset_t all, old;
	int err;

	tap = calloc(1, sizeof(*tap));
	if (!tap) {
		err = -ENOMEM;
		goto close;
	}
	tap->vmm = vmm;
	tap->fd = fd;
	tap->unit = unit;
	tap->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (tap->wake < 0) {
		err = -errno;
		goto free;
	}
	err = -pthread_mutex_init(&tap->send, NULL);
	if (err)
		goto wake;
	/* Signals are for the other threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = -pthread_create(&tap->thread, NULL, tap_thread, tap);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		goto mutex;
	*tapp = tap;
	return 0;

mutex:
	pthread_mutex_destroy(&tap->send);
wake:
	close(tap->wake);
free:
	free(tap);
close:
	close(fd);
	return err;
}

void tap_destroy(struct tap *tap)
{
	atomic_store(&tap->stop, true);
	wake(tap);
	pthread_join(tap->thread, NULL);
	pthread_mutex_destroy(&tap->send);
	close(tap->wake);
	close(tap->fd);
	free(tap);
}
