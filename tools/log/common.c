// SPDX-License-Identifier: GPL-2.0
/* What record and replay share: finding the guest, waiting, events. */
#include "log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kmod/state.h"

#define BIND_POLL_MS	50

static void nap(int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&ts, NULL);
}

/* An attached guest of that name, once there is one. */
static int guest_wait(struct lockstep_netlink *nl, const struct lockstep_log_options *opt,
		      struct lockstep_guest_info *info)
{
	unsigned int waited = 0;
	int ret;

	for (;;) {
		ret = lockstep_netlink_get(nl, 0, opt->guest, info);
		if (!ret || (ret != -ENODEV && ret != -ENOENT))
			return ret;
		if (!waited)
			fprintf(stderr, "lockstep-log: waiting for guest %s to be attached\n",
				opt->guest);
		nap(BIND_POLL_MS);
		waited += BIND_POLL_MS;
		if (opt->timeout && waited > opt->timeout * 1000)
			return -ETIMEDOUT;
	}
}

int lockstep_log_bind(struct lockstep_netlink *nl, const struct lockstep_log_options *opt,
		      bool twin, struct lockstep_guest_info *info)
{
	int ret = guest_wait(nl, opt, info);

	if (ret) {
		fprintf(stderr, "lockstep-log: guest %s: %s\n", opt->guest, strerror(-ret));
		return ret;
	}
	if (info->state != LOCKSTEP_STATE_FREE) {
		fprintf(stderr, "lockstep-log: guest %s is %s: it has to be attached anew (free)\n",
			opt->guest, lockstep_state_name(info->state));
		return -EBUSY;
	}
	if (twin != !!(info->flags & LOCKSTEP_FLAG_TWIN)) {
		fprintf(stderr, "lockstep-log: guest %s was attached as %s: start its VMM with --role %s\n",
			opt->guest, twin ? "primary" : "twin", twin ? "twin" : "primary --wait");
		return -EINVAL;
	}
	ret = lockstep_netlink_bind(nl, info->id);
	if (ret)
		fprintf(stderr, "lockstep-log: guest %s: bind: %s%s\n", opt->guest, strerror(-ret),
			ret == -EBUSY ? ": another daemon serves it; stop lockstepd" : "");
	return ret;
}

void lockstep_log_poll(const struct lockstep_netlink *nl, int ms)
{
	struct pollfd fds[] = {
		{ .fd = lockstep_netlink_data_fd(nl), .events = POLLIN },
		{ .fd = lockstep_netlink_events_fd(nl), .events = POLLIN },
	};

	if (!lockstep_netlink_pending(nl))
		poll(fds, 2, ms);
}

int lockstep_log_event(struct lockstep_netlink *nl, uint32_t id, unsigned int event,
		       uint64_t generation, const struct lockstep_uuid *peer)
{
	int ret = lockstep_netlink_event(nl, id, event, generation, peer, NULL);

	if (ret)
		fprintf(stderr, "lockstep-log: event %s: %s\n", lockstep_event_name(event),
			strerror(-ret));
	return ret;
}

int lockstep_log_open(struct lockstep_logfile *lf, const char *path)
{
	int ret = lockstep_logfile_open(lf, path);

	if (ret)
		fprintf(stderr, "lockstep-log: %s: %s\n", path,
			ret == -EBADMSG ? "not a log file of lockstep" :
			ret == -EPROTO ? "made by another version of lockstep" : strerror(-ret));
	return ret;
}
