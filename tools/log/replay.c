// SPDX-License-Identifier: GPL-2.0
/* lockstep-log replay: the primary of a twin is a file. */
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"

#define GENERATION	2
#define ALIVE_MS	200

/**
 * struct replayer - a replay that goes on
 * @nl:       sockets
 * @lf:       file
 * @info:     the twin, as last seen
 * @gone:     it is detached
 * @result:   enum lockstep_log_status, -1: not known yet
 * @told:     the module was told that there is no more
 * @moved_ns: when something was consumed last
 */
struct replayer {
	struct lockstep_netlink *nl;
	struct lockstep_logfile lf;
	struct lockstep_guest_info info;
	bool gone;
	int result;
	bool told;
	uint64_t moved_ns;
};

/* Acks only say that there is something to look at; look() asks for what counts. */
static void on_ack(void *user, uint32_t id, uint64_t generation,
		   const struct lockstep_uuid *instance, const struct lockstep_ack *ack)
{
	(void)user;
	(void)id;
	(void)generation;
	(void)instance;
	(void)ack;
}

static void on_state(void *user, const struct lockstep_guest_info *info)
{
	(void)user;
	(void)info;
}

static const struct lockstep_netlink_ops ops = { .ack = on_ack, .state = on_state };

static int look(struct replayer *rep)
{
	struct lockstep_guest_info info;
	int ret;

	lockstep_netlink_read(rep->nl, 64);
	lockstep_netlink_read_events(rep->nl);
	ret = lockstep_netlink_get(rep->nl, rep->info.id, NULL, &info);
	if (ret == -ENODEV || ret == -ENOENT) {
		rep->gone = true;
		return 0;
	}
	if (ret)
		return ret;
	if (info.stats[LOCKSTEP_S_RECORDS] != rep->info.stats[LOCKSTEP_S_RECORDS])
		rep->moved_ns = lockstep_clock_ns();
	rep->info = info;
	lockstep_netlink_alive(rep->nl, info.id);
	if (info.state == LOCKSTEP_STATE_DIVERGED)
		rep->result = LOG_DIVERGED;
	return 0;
}

/* Feed one batch; wait while the twin's log has no room for it. */
static int feed(struct replayer *rep, int len)
{
	int ret;

	for (;;) {
		ret = lockstep_netlink_feed(rep->nl, rep->info.id, GENERATION, &rep->lf.instance,
					    &rep->lf.batch, len);
		if (ret != -EAGAIN)
			break;
		lockstep_log_poll(rep->nl, 20);
		ret = look(rep);
		if (ret || rep->gone || rep->result >= 0)
			return ret;
	}
	if (ret == -ESTALE) {	/* powered off or diverged meanwhile: look() tells */
		ret = look(rep);
		return ret || rep->gone || rep->info.state != LOCKSTEP_STATE_PROTECTED_B ?
		       ret : -ESTALE;
	}
	return ret;
}

static int feed_all(struct replayer *rep)
{
	uint64_t alive = 0, now;
	int len, ret;

	while (!rep->gone && rep->result < 0) {
		len = lockstep_logfile_next(&rep->lf);
		if (len <= 0)
			return len;
		ret = feed(rep, len);
		if (ret)
			return ret;
		lockstep_netlink_read(rep->nl, 64);
		now = lockstep_clock_ns();
		if (now - alive > ALIVE_MS * 1000000ULL) {
			alive = now;
			ret = look(rep);
			if (ret)
				return ret;
		}
	}
	return 0;
}

/* The log is with the twin: follow it to its end, then let it go. */
static int finish(struct replayer *rep, unsigned int timeout)
{
	uint32_t id = rep->info.id;
	int ret;

	while (!rep->gone && rep->result < 0) {
		lockstep_log_poll(rep->nl, 20);
		ret = look(rep);
		if (ret || rep->gone)
			return ret;
		switch (rep->info.state) {
		case LOCKSTEP_STATE_STOPPED_B:
			rep->result = LOG_OK;
			return lockstep_log_event(rep->nl, id, LOCKSTEP_EVENT_CLOSED, 0, NULL);
		case LOCKSTEP_STATE_PROTECTED_B:
			if (!rep->lf.closed && !rep->told) {
				rep->told = true;
				lockstep_log_event(rep->nl, id, LOCKSTEP_EVENT_PEER_FAILED, 0,
						   NULL);
			}
			break;
		case LOCKSTEP_STATE_CONTEST_B:
			if (rep->info.flags & LOCKSTEP_FLAG_DRAINED) {
				rep->result = LOG_SHORT;
				return lockstep_log_event(rep->nl, id, LOCKSTEP_EVENT_LOST, 0,
							  NULL);
			}
			break;
		}
		if (timeout && lockstep_clock_ns() - rep->moved_ns > timeout * 1000000000ULL) {
			fprintf(stderr, "lockstep-log: the twin has not moved for %u s, %llu bytes before the end\n",
				timeout, (unsigned long long)rep->info.stats[LOCKSTEP_S_LAG_BYTES]);
			return -ETIMEDOUT;
		}
	}
	return 0;
}

static void report(const struct replayer *rep, const struct lockstep_log_options *opt)
{
	const struct lockstep_divergence_info *d = &rep->info.divergence;
	const uint64_t *s = rep->info.stats;

	if (opt->json) {
		printf("{\"result\":\"%s\",\"bytes\":%llu,\"records\":%llu,\"inputs\":%llu,\"outputs\":%llu,\"clock_reads\":%llu,\"stops\":%llu,\"forced\":%llu,\"steps\":%llu,\"steps_median\":%llu",
		       rep->result == LOG_OK ? "identical" :
		       rep->result == LOG_SHORT ? "identical-so-far" :
		       rep->result == LOG_DIVERGED ? "diverged" : "unknown",
		       (unsigned long long)s[LOCKSTEP_S_EXECUTED],
		       (unsigned long long)s[LOCKSTEP_S_RECORDS],
		       (unsigned long long)s[LOCKSTEP_S_INPUTS],
		       (unsigned long long)s[LOCKSTEP_S_OUTPUTS],
		       (unsigned long long)s[LOCKSTEP_S_TSC],
		       (unsigned long long)s[LOCKSTEP_S_STOPS],
		       (unsigned long long)s[LOCKSTEP_S_FORCED],
		       (unsigned long long)s[LOCKSTEP_S_STEPS],
		       (unsigned long long)s[LOCKSTEP_S_STEPS_MEDIAN]);
		if (rep->result == LOG_DIVERGED)
			printf(",\"divergence\":{\"reason\":\"%s\",\"count\":%llu,\"rip\":%llu,\"lsn\":%llu,\"expected\":%llu,\"found\":%llu}",
			       lockstep_divergence_name(d->reason),
			       (unsigned long long)d->pos.count, (unsigned long long)d->pos.rip,
			       (unsigned long long)d->lsn, (unsigned long long)d->expected,
			       (unsigned long long)d->found);
		printf("}\n");
		return;
	}
	if (rep->result == LOG_DIVERGED)
		printf("%s: DIVERGED (%s) at count %llu, rip %llx, lsn %llu: expected %llx, found %llx\n",
		       opt->path, lockstep_divergence_name(d->reason),
		       (unsigned long long)d->pos.count, (unsigned long long)d->pos.rip,
		       (unsigned long long)d->lsn, (unsigned long long)d->expected,
		       (unsigned long long)d->found);
	else
		printf("%s: %s: %llu records, %llu inputs and %llu outputs compared, %llu clock reads\n",
		       opt->path, rep->result == LOG_OK ? "identical" : "identical as far as it goes",
		       (unsigned long long)s[LOCKSTEP_S_RECORDS],
		       (unsigned long long)s[LOCKSTEP_S_INPUTS],
		       (unsigned long long)s[LOCKSTEP_S_OUTPUTS],
		       (unsigned long long)s[LOCKSTEP_S_TSC]);
}

static int begin(struct replayer *rep)
{
	uint32_t id = rep->info.id;
	int ret;

	ret = lockstep_log_event(rep->nl, id, LOCKSTEP_EVENT_OFFERED, 0, &rep->lf.instance);
	if (!ret)
		ret = lockstep_log_event(rep->nl, id, LOCKSTEP_EVENT_VERIFIED, 0, NULL);
	if (!ret)
		ret = lockstep_log_event(rep->nl, id, LOCKSTEP_EVENT_ACTIVATE, GENERATION,
					 &rep->lf.instance);
	return ret;
}

/**
 * lockstep_log_replay() - lockstep-log replay
 * @opt: command line
 *
 * Return: enum lockstep_log_status.
 */
int lockstep_log_replay(const struct lockstep_log_options *opt)
{
	struct replayer rep = { .result = -1 };
	int ret;

	if (lockstep_log_open(&rep.lf, opt->path))
		return LOG_ERROR;
	ret = lockstep_netlink_create(&ops, &rep, &rep.nl);
	if (ret) {
		fprintf(stderr, "lockstep-log: module: %s%s\n", strerror(-ret),
			ret == -ENOENT ? " (insmod lockstep.ko)" : "");
		lockstep_logfile_end(&rep.lf);
		return LOG_ERROR;
	}
	ret = lockstep_log_bind(rep.nl, opt, true, &rep.info);
	if (ret)
		goto out;
	if (!lockstep_uuid_equal(&rep.info.uuid, &rep.lf.uuid)) {
		char uuid[LOCKSTEP_UUID_STRLEN + 1];

		fprintf(stderr, "lockstep-log: %s is of another guest: attach it with --uuid %s\n",
			opt->path, lockstep_uuid_format(&rep.lf.uuid, uuid));
		ret = -EINVAL;
		goto out;
	}
	rep.moved_ns = lockstep_clock_ns();
	ret = begin(&rep);
	if (!ret)
		ret = feed_all(&rep);
	if (ret == -EBADMSG || ret == -EPROTO)
		fprintf(stderr, "lockstep-log: %s: harmed behind lsn %llu\n", opt->path,
			(unsigned long long)rep.lf.lsn);
	else if (ret)
		fprintf(stderr, "lockstep-log: feed: %s\n", strerror(-ret));
	if (!ret)
		ret = finish(&rep, opt->timeout);
	if (rep.gone && rep.result < 0) {
		fprintf(stderr, "lockstep-log: the VMM of %s is gone\n", opt->guest);
		ret = -EPIPE;
	}
	if (rep.result >= 0)
		report(&rep, opt);
out:
	lockstep_netlink_destroy(rep.nl);
	lockstep_logfile_end(&rep.lf);
	return rep.result >= 0 ? rep.result : ret ? LOG_ERROR : LOG_OK;
}
