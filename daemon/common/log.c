// SPDX-License-Identifier: GPL-2.0
/* Log lines and events of the daemons. */
#include "common/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/json.h"

static struct {
	const char *ident;
	enum lockstep_log_level max;
	bool syslog;
	bool prefix;		/* "<N>", for journald */
	pthread_mutex_t sink_lock;
	lockstep_event_sink *sink;
	void *sink_arg;
} logger = {
	.ident = "lockstep",
	.max = LOCKSTEP_LOG_INFO,
	.sink_lock = PTHREAD_MUTEX_INITIALIZER,
};

void lockstep_log_init(const char *ident, enum lockstep_log_level max, bool use_syslog)
{
	logger.ident = ident;
	logger.max = max;
	logger.prefix = !isatty(STDERR_FILENO);
	if (use_syslog && !logger.syslog)
		openlog(ident, LOG_PID, LOG_DAEMON);
	logger.syslog = use_syslog;
}

void lockstep_log(enum lockstep_log_level level, const char *fmt, ...)
{
	int saved = errno;
	char line[2048];
	va_list ap;
	char *p;

	if (level > logger.max)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* A name chosen by a peer must not be able to forge a second line. */
	for (p = line; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	}
	if (logger.prefix)
		fprintf(stderr, "<%d>%s: %s\n", (int)level, logger.ident, line);
	else
		fprintf(stderr, "%s: %s\n", logger.ident, line);
	if (logger.syslog)
		syslog((int)level, "%s", line);
	errno = saved;
}

void lockstep_event_subscribe(lockstep_event_sink *sink, void *arg)
{
	pthread_mutex_lock(&logger.sink_lock);
	logger.sink = sink;
	logger.sink_arg = arg;
	pthread_mutex_unlock(&logger.sink_lock);
}

/* Wall-clock time, for people only. */
static void format_time(char *out, size_t size)
{
	char date[32];
	struct timeval tv;
	struct tm tm;

	gettimeofday(&tv, NULL);
	gmtime_r(&tv.tv_sec, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out, size, "%s.%06ldZ", date, (long)tv.tv_usec);
}

void lockstep_event_emit(const char *name, struct json_object *fields)
{
	lockstep_event_sink *sink;
	char now[64];
	void *arg;

	if (!fields)
		fields = json_object_new_object();
	if (!fields) {
		lockstep_notice("event %s (no memory for particulars)", name);
		return;
	}
	format_time(now, sizeof(now));
	lockstep_json_add_str(fields, "event", name);
	lockstep_json_add_str(fields, "time", now);
	lockstep_json_add_u64(fields, "boottime_ns", lockstep_clock_ns());
	lockstep_notice("event %s %s", name,
			json_object_to_json_string_ext(fields, JSON_C_TO_STRING_PLAIN));

	pthread_mutex_lock(&logger.sink_lock);
	sink = logger.sink;
	arg = logger.sink_arg;
	pthread_mutex_unlock(&logger.sink_lock);
	if (sink)
		sink(fields, arg);
	json_object_put(fields);
}
