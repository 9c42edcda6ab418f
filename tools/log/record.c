// SPDX-License-Identifier: GPL-2.0
/* lockstep-log record: the backup of a guest is a file. */
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "kmod/record.h"

#define ALIVE_MS	200
#define BUDGET		64

/**
 * struct recorder - a recording that goes on
 * @nl:    sockets
 * @lf:    file
 * @id:    guest
 * @peer:  made-up instance of the backup
 * @error: first -errno of a batch
 */
struct recorder {
	struct lockstep_netlink *nl;
	struct lockstep_logfile lf;
	uint32_t id;
	struct lockstep_uuid peer;
	int error;
};

/* A batch is acknowledged once it is in the file; a file never lags. */
static void on_log(void *user, uint32_t id, uint64_t generation,
		   const struct lockstep_uuid *instance, const void *data, size_t len)
{
	const struct lockstep_batch *batch = data;
	struct recorder *rec = user;
	struct lockstep_ack ack;
	int ret;

	(void)instance;
	if (rec->error || id != rec->id)
		return;
	ret = lockstep_logfile_append(&rec->lf, data, len);
	if (!ret) {
		memset(&ack, 0, sizeof(ack));
		ack.lsn = htole64(rec->lf.lsn);
		ack.executed = ack.lsn;
		ack.clock = batch->clock;
		memcpy(ack.released, batch->released, sizeof(ack.released));
		ack.room = htole64(1ULL << 30);
		ret = lockstep_netlink_acked(rec->nl, id, generation, &rec->peer, &ack);
		if (ret == -ESTALE)	/* it ends meanwhile */
			ret = 0;
	}
	rec->error = ret;
}

/* serve() asks for the state itself. */
static void on_state(void *user, const struct lockstep_guest_info *info)
{
	(void)user;
	(void)info;
}

static const struct lockstep_netlink_ops ops = { .log = on_log, .state = on_state };

static int protect(struct recorder *rec)
{
	int ret;

	ret = lockstep_log_event(rec->nl, rec->id, LOCKSTEP_EVENT_COLD_WON, 1, NULL);
	if (!ret)
		ret = lockstep_log_event(rec->nl, rec->id, LOCKSTEP_EVENT_BACKUP_FOUND, 1,
					 &rec->peer);
	if (!ret)
		ret = lockstep_log_event(rec->nl, rec->id, LOCKSTEP_EVENT_READY, 2, &rec->peer);
	return ret;
}

/* Serve the guest until it is gone. 0: it powered off in order. */
static int serve(struct recorder *rec)
{
	struct lockstep_guest_info info;
	uint64_t alive = 0, now;
	bool off = false;
	int ret;

	for (;;) {
		lockstep_log_poll(rec->nl, ALIVE_MS / 4);
		ret = lockstep_netlink_read(rec->nl, BUDGET);
		if (ret < 0 && ret != -EAGAIN)
			return ret;
		lockstep_netlink_read_events(rec->nl);
		if (rec->error)
			return rec->error;
		now = lockstep_clock_ns();
		if (ret > 0 && now - alive < ALIVE_MS * 1000000ULL)
			continue;
		alive = now;
		ret = lockstep_netlink_get(rec->nl, rec->id, NULL, &info);
		if (ret == -ENODEV || ret == -ENOENT)
			return off ? 0 : -EPIPE;
		if (ret)
			return ret;
		lockstep_netlink_alive(rec->nl, rec->id);
		if (info.state == LOCKSTEP_STATE_STOPPING && info.flags & LOCKSTEP_FLAG_DRAINED) {
			off = true;
			lockstep_log_event(rec->nl, rec->id, LOCKSTEP_EVENT_CLOSED, 2, NULL);
		}
	}
}

/**
 * lockstep_log_record() - lockstep-log record
 * @opt: command line
 *
 * Return: enum lockstep_log_status.
 */
int lockstep_log_record(const struct lockstep_log_options *opt)
{
	struct recorder rec = { .error = 0 };
	struct lockstep_guest_info info;
	int ret;

	ret = lockstep_netlink_create(&ops, &rec, &rec.nl);
	if (ret) {
		fprintf(stderr, "lockstep-log: module: %s%s\n", strerror(-ret),
			ret == -ENOENT ? " (insmod lockstep.ko)" : "");
		return LOG_ERROR;
	}
	ret = lockstep_log_bind(rec.nl, opt, false, &info);
	if (ret)
		goto out;
	rec.id = info.id;
	ret = lockstep_uuid_random(&rec.peer);
	if (!ret)
		ret = lockstep_logfile_create(&rec.lf, opt->path, &info.uuid, &info.instance);
	if (ret) {
		fprintf(stderr, "lockstep-log: %s: %s\n", opt->path, strerror(-ret));
		goto out;
	}
	ret = protect(&rec);
	if (!ret)
		ret = serve(&rec);
	if (ret == -EPIPE)
		fprintf(stderr, "lockstep-log: the VMM of %s went without a power-off: the log ends there\n",
			opt->guest);
	else if (ret)
		fprintf(stderr, "lockstep-log: %s: %s\n", opt->path, strerror(-ret));
	if (ret) {
		lockstep_logfile_end(&rec.lf);
	} else {
		ret = lockstep_logfile_close(&rec.lf);
		printf("%s: recorded, %llu bytes of log\n", opt->path,
		       (unsigned long long)rec.lf.lsn);
	}
out:
	lockstep_netlink_destroy(rec.nl);
	return ret == -EPIPE ? LOG_SHORT : ret ? LOG_ERROR : LOG_OK;
}
