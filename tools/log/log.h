/* SPDX-License-Identifier: GPL-2.0 */
/* What the subcommands of lockstep-log share. */
#ifndef LOCKSTEP_LOG_TOOL_H
#define LOCKSTEP_LOG_TOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "lockstepd/info.h"
#include "lockstepd/netlink.h"
#include "logfile.h"

enum lockstep_log_status {
	LOG_OK = 0,
	LOG_ERROR = 1,		/* of the host, the file, or the module */
	LOG_USAGE = 2,
	LOG_SHORT = 3,		/* the log was cut short; good as far as it goes */
	LOG_DIVERGED = 4,
};

/**
 * struct lockstep_log_options - the command line
 * @guest:   name of the guest
 * @path:    log file
 * @timeout: seconds without progress until it gives up; 0: never
 * @json:    results for machines
 */
struct lockstep_log_options {
	const char *guest;
	const char *path;
	unsigned int timeout;
	bool json;
};

int lockstep_log_record(const struct lockstep_log_options *opt);
int lockstep_log_replay(const struct lockstep_log_options *opt);
int lockstep_log_dump(const struct lockstep_log_options *opt);
int lockstep_log_stats(const struct lockstep_log_options *opt);

/* Wait until the guest is attached, then bind to it. 0 or -errno, after a message. */
int lockstep_log_bind(struct lockstep_netlink *nl, const struct lockstep_log_options *opt,
		      bool twin, struct lockstep_guest_info *info);
/* Sleep until the module has something for us, at most @ms. */
void lockstep_log_poll(const struct lockstep_netlink *nl, int ms);
/* Report one event; a failure is told on stderr. */
int lockstep_log_event(struct lockstep_netlink *nl, uint32_t id, unsigned int event,
		       uint64_t generation, const struct lockstep_uuid *peer);
int lockstep_log_open(struct lockstep_logfile *lf, const char *path);

#endif
