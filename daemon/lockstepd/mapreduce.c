// SPDX-License-Identifier: GPL-2.0
/* Keeping mrnode alive, see mapreduce.h. */
#include "lockstepd/mapreduce.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <event2/event.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/spawn.h"

#define NICE		5	/* its own; user code gets more */
#define PAUSE_MIN_S	1	/* before it is started again */
#define PAUSE_MAX_S	30
#define STEADY_NS	(60 * LOCKSTEP_NSEC_PER_SEC)	/* lived so long: the next pause is short */

/**
 * struct lockstepd_mapreduce - the process
 * @pid: process, 0 while there is none
 * @starts: how often it was started
 * @started_ns: when it was last
 * @pause_s: before the next start
 * @chld: a child ended
 * @again: time to start it
 */
struct lockstepd_mapreduce {
	const char *config;
	const struct lockstepd_config *cfg;
	pid_t pid;
	uint64_t starts;
	uint64_t started_ns;
	unsigned int pause_s;
	struct event *chld;
	struct event *again;
};

static void pause_begin(struct lockstepd_mapreduce *m)
{
	struct timeval tv = { 0 };

	if (lockstep_clock_ns() - m->started_ns > STEADY_NS)
		m->pause_s = PAUSE_MIN_S;
	tv.tv_sec = m->pause_s;
	event_add(m->again, &tv);
	m->pause_s = m->pause_s * 2 < PAUSE_MAX_S ? m->pause_s * 2 : PAUSE_MAX_S;
}

static void start(evutil_socket_t fd, short what, void *arg)
{
	struct lockstepd_mapreduce *m = arg;
	char program[LOCKSTEPD_PATH_MAX + 16];
	char *args[] = { program, (char *)"--config", (char *)m->config, NULL };
	struct lockstep_spawn spawn = { .args = args, .out = -1, .nice = NICE, .tied = true };
	pid_t pid;

	(void)fd;
	(void)what;
	snprintf(program, sizeof(program), "%s%smrnode", m->cfg->mr.programs,
		 m->cfg->mr.programs[0] ? "/" : "");
	m->started_ns = lockstep_clock_ns();
	m->starts++;
	pid = lockstep_spawn(&spawn);
	if (pid > 0) {
		m->pid = pid;
		return;
	}
	lockstep_err("%s can't be started: %s; see [mapreduce] programs in lockstepd.conf",
		     program, strerror((int)-pid));
	pause_begin(m);
}

static void on_child(evutil_socket_t sig, short what, void *arg)
{
	struct lockstepd_mapreduce *m = arg;
	int status;

	(void)sig;
	(void)what;
	if (!m->pid || waitpid(m->pid, &status, WNOHANG) != m->pid)
		return;
	lockstep_err("mrnode, process %d, %s %d: it is started again", (int)m->pid,
		     WIFEXITED(status) ? "ended with status" : "was killed by signal",
		     WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	m->pid = 0;
	pause_begin(m);
}

int lockstepd_mapreduce_create(struct event_base *base, const char *config,
			       const struct lockstepd_config *cfg,
			       struct lockstepd_mapreduce **out)
{
	struct lockstepd_mapreduce *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->config = config;
	m->cfg = cfg;
	m->pause_s = PAUSE_MIN_S;
	m->chld = evsignal_new(base, SIGCHLD, on_child, m);
	m->again = evtimer_new(base, start, m);
	if (!m->chld || !m->again || event_add(m->chld, NULL)) {
		lockstepd_mapreduce_destroy(m);
		return -ENOMEM;
	}
	event_active(m->again, EV_TIMEOUT, 0);
	*out = m;
	return 0;
}

void lockstepd_mapreduce_destroy(struct lockstepd_mapreduce *m)
{
	if (!m)
		return;
	if (m->pid)
		kill(m->pid, SIGTERM);
	if (m->chld)
		event_free(m->chld);
	if (m->again)
		event_free(m->again);
	free(m);
}

struct json_object *lockstepd_mapreduce_status(const struct lockstepd_mapreduce *m)
{
	struct json_object *o = json_object_new_object();

	if (o) {
		lockstep_json_add_u64(o, "pid", (uint64_t)m->pid);
		lockstep_json_add_u64(o, "starts", m->starts);
	}
	return o;
}
