// SPDX-License-Identifier: GPL-2.0
/*
 * The last gasp: when user code crashes or calls exit(), the coordinator is told which
 * record it was at before the process ends.
 *
 * The handler runs on the task thread; all it does is to wake the network thread and
 * to wait for it, for a short while. SIGKILL, SIGTERM and a node that dies are not
 * seen here: no record is blamed for them.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "worker/work_impl.h"

#define WAIT_MS		3000
#define STACK_SIZE	(64 << 10)

static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };

/* Handlers have no argument of ours. */
static struct {
	struct mr_work *work;
	pthread_t thread;		/* the task thread */
	pid_t pid;
	int dying;			/* eventfd: task thread to network thread */
	int heard;			/* and back */
	volatile sig_atomic_t signal;	/* 0: exit() */
	volatile sig_atomic_t status;
	volatile bool begun;
	struct mr_progress progress;
} gasp;

static void describe(const struct mr_progress *p, char *text, size_t size)
{
	const char *what = p->user ? "user code" : "the worker";

	if (gasp.signal)
		snprintf(text, size, "%s crashed: %s (SIG%s)", what, strsignal(gasp.signal), sigabbrev_np(gasp.signal));
	else
		snprintf(text, size, "%s called exit(%d)", what, (int)gasp.status);
}

/* On the network thread. */
static void on_dying(evutil_socket_t fd, short what, void *arg)
{
	struct mr_work *w = arg;
	Mr__Failed m = MR__FAILED__INIT;
	char text[MR_ERROR_MAX], log[MR_RPC_LOG_MAX];
	Mr__AttemptId id = w->current;
	uint64_t n;

	(void)what;
	if (read(fd, &n, sizeof(n)) != sizeof(n))
		return;
	mr_log_pass(&w->log);
	mr_log_tail(&w->log, log, sizeof(log));
	describe(&gasp.progress, text, sizeof(text));
	dprintf(w->log.real, "mrworker: %s %u: %s\n", mr_kind_name(id.kind), id.number, text);
	m.id = &id;
	m.error = -EFAULT;
	m.blame = gasp.progress.user ? MR_BLAME_USER : MR_BLAME_SYSTEM;
	m.message = text;
	m.user_code = gasp.progress.user && gasp.progress.records;
	m.record = gasp.progress.records ? gasp.progress.records - 1 : 0;
	m.log = log;
	m.dying = true;
	mr_link_send(w, MR_RPC(FAILED, failed, &m));
	/* There is nobody to tell. */
	if (!w->welcomed)
		mr_gasp_heard(w);
}

void mr_gasp_heard(struct mr_work *w)
{
	uint64_t one = 1;

	(void)w;
	if (gasp.begun && write(gasp.heard, &one, sizeof(one)) < 0)
		return;
}

/* Async-signal-safe. */
static void last_gasp(void)
{
	struct pollfd pfd = { .fd = gasp.heard, .events = POLLIN };
	uint64_t one = 1;

	if (gasp.begun || !gasp.work->running || getpid() != gasp.pid || !pthread_equal(pthread_self(), gasp.thread))
		return;
	gasp.begun = true;
	mr_attempt_progress(&gasp.progress);
	if (write(gasp.dying, &one, sizeof(one)) == sizeof(one))
		poll(&pfd, 1, WAIT_MS);
}

static void on_signal(int sig)
{
	gasp.signal = sig;
	last_gasp();
	/* It has its default action again: SA_RESETHAND. */
	raise(sig);
}

static void on_exit_call(int status, void *arg)
{
	(void)arg;
	gasp.status = status;
	last_gasp();
}

int mr_gasp_init(struct mr_work *w)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND | SA_ONSTACK | SA_NODEFER };
	static char room[STACK_SIZE];
	stack_t stack = { .ss_sp = room, .ss_size = sizeof(room) };
	unsigned int i;

	gasp.work = w;
	gasp.thread = pthread_self();
	gasp.pid = getpid();
	gasp.dying = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	gasp.heard = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (gasp.dying < 0 || gasp.heard < 0)
		return -errno;
	w->gasp = event_new(w->base, gasp.dying, EV_READ | EV_PERSIST, on_dying, w);
	if (!w->gasp || event_add(w->gasp, NULL))
		return -ENOMEM;
	/* A stack of its own: user code may have used up the other one. */
	if (sigaltstack(&stack, NULL))
		return -errno;
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		if (sigaction(signals[i], &sa, NULL))
			return -errno;
	}
	return on_exit(on_exit_call, NULL) ? -ENOMEM : 0;
}
