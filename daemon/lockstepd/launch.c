// SPDX-License-Identifier: GPL-2.0
/* Starting VMMs, see launch.h. */
#include "lockstepd/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/file.h"
#include "common/json.h"
#include "common/log.h"
#include "common/spawn.h"

#define ATTACH_S	20	/* patience with a VMM until its guest is attached */
#define TAIL_BYTES	512	/* of its log are looked at for its last words */

/**
 * struct vmm - a process that was started here
 * @name: its guest
 * @twin: as what
 * @pid: process
 * @done: who waits for it to attach, or NULL
 * @arg: passed to @done
 * @timer: time limit of that
 */
struct vmm {
	TAILQ_ENTRY(vmm) entry;
	struct lockstepd_launcher *l;
	char name[LOCKSTEP_NAME_MAX];
	bool twin;
	pid_t pid;
	lockstepd_launched *done;
	void *arg;
	struct event *timer;
};

struct lockstepd_launcher {
	struct event_base *base;
	const struct lockstepd_config *cfg;
	struct event *chld;
	TAILQ_HEAD(, vmm) vmms;
};

static void log_path(const struct lockstepd_launcher *l, const char *name, char *out, size_t size)
{
	snprintf(out, size, "%s/%s.log", l->cfg->logs, name);
}

static void vmm_free(struct vmm *v)
{
	TAILQ_REMOVE(&v->l->vmms, v, entry);
	if (v->timer)
		event_free(v->timer);
	free(v);
}

static void answer(struct vmm *v, int error, const char *text)
{
	lockstepd_launched *done = v->done;

	v->done = NULL;
	if (v->timer)
		event_del(v->timer);
	if (done)
		done(error, text, v->arg);
}

/* The last line that a VMM wrote: most often why it ended. */
static void last_words(const struct lockstepd_launcher *l, const char *name, char *out,
		       size_t size)
{
	char path[LOCKSTEPD_PATH_MAX + LOCKSTEP_NAME_MAX + 8], buf[TAIL_BYTES + 1];
	char *end, *start;
	ssize_t n;
	off_t len;
	int fd;

	*out = '\0';
	log_path(l, name, path, sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	len = lseek(fd, 0, SEEK_END);
	n = pread(fd, buf, TAIL_BYTES, len > TAIL_BYTES ? len - TAIL_BYTES : 0);
	close(fd);
	if (n <= 0)
		return;
	for (end = buf + n; end > buf && (end[-1] == '\n' || end[-1] == '\r'); end--)
		;
	*end = '\0';
	start = strrchr(buf, '\n');
	snprintf(out, size, "%s", start ? start + 1 : buf);
}

static void ended_tell(const struct vmm *v, int status, const char *words)
{
	struct json_object *o = json_object_new_object();

	if (o) {
		lockstep_json_add_str(o, "guest", v->name);
		lockstep_json_add_u64(o, "pid", (uint64_t)v->pid);
		if (WIFEXITED(status))
			lockstep_json_add_u64(o, "status", (uint64_t)WEXITSTATUS(status));
		else
			lockstep_json_add_u64(o, "signal", (uint64_t)WTERMSIG(status));
		if (words[0])
			lockstep_json_add_str(o, "detail", words);
	}
	lockstep_event_emit("vmm.ended", o);
}

static void ended(struct vmm *v, int status)
{
	char words[TAIL_BYTES + 1], text[TAIL_BYTES + 80];

	last_words(v->l, v->name, words, sizeof(words));
	ended_tell(v, status, words);
	if (v->done) {
		snprintf(text, sizeof(text), "lockstep-vmm %s %d%s%s",
			 WIFEXITED(status) ? "ended with status" : "was killed by signal",
			 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status),
			 words[0] ? ": " : "", words);
		answer(v, -ECHILD, text);
	}
	vmm_free(v);
}

static void on_child(evutil_socket_t sig, short what, void *arg)
{
	struct lockstepd_launcher *l = arg;
	struct vmm *v, *next;
	int status;

	(void)sig;
	(void)what;
	for (v = TAILQ_FIRST(&l->vmms); v; v = next) {
		next = TAILQ_NEXT(v, entry);
		if (waitpid(v->pid, &status, WNOHANG) == v->pid)
			ended(v, status);
	}
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	answer(arg, -ETIMEDOUT, "lockstep-vmm runs, but has not attached its guest to the module");
}

int lockstepd_launcher_create(struct event_base *base, const struct lockstepd_config *cfg,
			      struct lockstepd_launcher **out)
{
	struct lockstepd_launcher *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->base = base;
	l->cfg = cfg;
	TAILQ_INIT(&l->vmms);
	l->chld = evsignal_new(base, SIGCHLD, on_child, l);
	if (!l->chld || event_add(l->chld, NULL)) {
		lockstepd_launcher_destroy(l);
		return -ENOMEM;
	}
	*out = l;
	return 0;
}

void lockstepd_launcher_destroy(struct lockstepd_launcher *l)
{
	struct vmm *v;

	if (!l)
		return;
	while ((v = TAILQ_FIRST(&l->vmms)))
		vmm_free(v);
	if (l->chld)
		event_free(l->chld);
	free(l);
}

static int log_open(const struct lockstepd_launcher *l, const char *name)
{
	char path[LOCKSTEPD_PATH_MAX + LOCKSTEP_NAME_MAX + 8];
	int fd;

	lockstep_file_mkdir(l->cfg->logs, 0750);
	log_path(l, name, path, sizeof(path));
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	return fd < 0 ? -errno : fd;
}

static int vmm_new(struct lockstepd_launcher *l, const char *name, bool twin, pid_t pid,
		   lockstepd_launched *done, void *arg)
{
	const struct timeval limit = { .tv_sec = ATTACH_S };
	struct vmm *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->l = l;
	v->twin = twin;
	v->pid = pid;
	v->done = done;
	v->arg = arg;
	snprintf(v->name, sizeof(v->name), "%s", name);
	TAILQ_INSERT_TAIL(&l->vmms, v, entry);
	v->timer = evtimer_new(l->base, on_timeout, v);
	if (v->timer)
		event_add(v->timer, &limit);
	return 0;
}

int lockstepd_launch(struct lockstepd_launcher *l, const char *name, bool twin,
		     struct lockstepd_definition *def, lockstepd_launched *done, void *arg,
		     char *err, size_t errlen)
{
	struct lockstepd_definition own;
	struct lockstep_spawn spawn = { 0 };
	pid_t pid;
	int ret, log;

	if (!def)
		def = &own;
	ret = lockstepd_definition_read(l->cfg, name, twin, def, err, errlen);
	if (ret)
		return ret;
	log = log_open(l, name);
	if (log < 0) {
		snprintf(err, errlen, "no log file in %s: %s", l->cfg->logs, strerror(-log));
		lockstepd_definition_exit(def);
		return log;
	}
	spawn.args = def->args;
	spawn.out = log;
	pid = lockstep_spawn(&spawn);
	close(log);
	if (pid < 0) {
		snprintf(err, errlen, "%s can't be started: %s; see [guests] vmm in lockstepd.conf",
			 l->cfg->vmm, strerror((int)-pid));
		lockstepd_definition_exit(def);
		return (int)pid;
	}
	lockstepd_definition_exit(def);
	lockstep_notice("%s: started as %s, process %d", name, twin ? "twin" : "primary", (int)pid);
	return vmm_new(l, name, twin, pid, done, arg);
}

void lockstepd_launch_attached(struct lockstepd_launcher *l, const char *name)
{
	struct vmm *v;

	TAILQ_FOREACH(v, &l->vmms, entry)
		if (v->done && !strcmp(v->name, name)) {
			answer(v, 0, "started");
			return;
		}
}
