/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Log lines and events of the daemons.
 *
 * A log line is for people: it goes to standard error, with the "<N>" level
 * prefix that journald reads unless standard error is a terminal, and to syslog
 * when asked for. An event is for machines: one JSON object, logged as a line
 * and handed to whoever subscribed (lockstepctl events).
 *
 * Threads: any thread may log; subscribing belongs to the main thread and the
 * sink is called on the thread that emits.
 */
#ifndef LOCKSTEP_COMMON_LOG_H
#define LOCKSTEP_COMMON_LOG_H

#include <stdbool.h>

struct json_object;

/* Numbered as in syslog(3). */
enum lockstep_log_level {
	LOCKSTEP_LOG_ERR	= 3,
	LOCKSTEP_LOG_WARN	= 4,
	LOCKSTEP_LOG_NOTICE	= 5,
	LOCKSTEP_LOG_INFO	= 6,
	LOCKSTEP_LOG_DEBUG	= 7,
};

/**
 * lockstep_log_init() - name the program and choose where lines go
 * @ident: program name, not copied
 * @max: least important level that is still written
 * @use_syslog: also send lines to syslog(3)
 */
void lockstep_log_init(const char *ident, enum lockstep_log_level max, bool use_syslog);

/**
 * lockstep_log() - write one line
 * @level: importance
 * @fmt: printf format without newline; control characters in the result, which
 *	may hold names given by a peer, are replaced by '?'
 *
 * errno is preserved.
 */
void lockstep_log(enum lockstep_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#define lockstep_err(...)	lockstep_log(LOCKSTEP_LOG_ERR, __VA_ARGS__)
#define lockstep_warn(...)	lockstep_log(LOCKSTEP_LOG_WARN, __VA_ARGS__)
#define lockstep_notice(...)	lockstep_log(LOCKSTEP_LOG_NOTICE, __VA_ARGS__)
#define lockstep_info(...)	lockstep_log(LOCKSTEP_LOG_INFO, __VA_ARGS__)
#define lockstep_debug(...)	lockstep_log(LOCKSTEP_LOG_DEBUG, __VA_ARGS__)

/**
 * typedef lockstep_event_sink - receives every event
 * @event: the whole object, borrowed: json_object_get() to keep it
 * @arg: as given to lockstep_event_subscribe()
 */
typedef void lockstep_event_sink(struct json_object *event, void *arg);

/**
 * lockstep_event_subscribe() - set the one sink, NULL for none
 * @sink: called for each event after it was logged
 * @arg: passed through
 */
void lockstep_event_subscribe(lockstep_event_sink *sink, void *arg);

/**
 * lockstep_event_emit() - something happened that an operator may act on
 * @name: dotted lower-case name, as "peer.silent"
 * @fields: object with the particulars, owned by this call from here on; NULL
 *	for none. "event", "time" (RFC 3339, UTC) and "boottime_ns" are added.
 */
void lockstep_event_emit(const char *name, struct json_object *fields);

#endif
