// SPDX-License-Identifier: GPL-2.0
#include "crew.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "common/clock.h"

#define SELF		"/proc/self/exe"
#define SHORT_LIFE_NS	(200 * LOCKSTEP_NSEC_PER_MSEC)	/* of a worker that did nothing */
#define SHORT_LIVES_MAX	100				/* one after another */
#define PAUSE_MS	100				/* before one more after a short life */
#define LINE_MAX_BYTES	(64u << 10)			/* a longer line comes in pieces */

/**
 * struct hand - a worker process
 * @crew: its crew
 * @pid: 0: there is none
 * @born_ns: when it was started
 * @retry: starts it anew
 */
struct hand {
	struct mrctl_crew *crew;
	pid_t pid;
	uint64_t born_ns;
	struct event *retry;
};

struct mrctl_crew {
	struct mrctl_crew_config config;
	struct event_base *base;
	struct event *child;	/* SIGCHLD */
	struct event *late;	/* those that still live are killed */
	struct bufferevent *errors;
	int error_fd;		/* what the workers write to */
	unsigned int short_lives;
	bool dismissed;
	struct hand hands[];
};

/* --- processes -------------------------------------------------------------- */

/* In the child: its own group, so that Ctrl-C reaches us alone. */
static void become_worker(const struct mrctl_crew *crew, pid_t parent)
{
	const struct mrctl_crew_config *c = &crew->config;
	sigset_t none;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	dup2(crew->error_fd, STDERR_FILENO);
	dup2(crew->error_fd, STDOUT_FILENO);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	execl(SELF, "mrctl", "worker", c->address, c->app, c->work_dir, c->output_dir, NULL);
	_exit(126);
}

static int hand_start(struct hand *hand)
{
	pid_t parent = getpid();

	hand->born_ns = lockstep_clock_ns();
	hand->pid = fork();
	if (!hand->pid)
		become_worker(hand->crew, parent);
	if (hand->pid < 0) {
		hand->pid = 0;
		return -errno;
	}
	return 0;
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct hand *hand = arg;
	struct timeval tv = { .tv_usec = PAUSE_MS * 1000 };

	(void)fd;
	(void)what;
	if (!hand->crew->dismissed && hand_start(hand))
		event_add(hand->retry, &tv);
}

static bool crew_lives(const struct mrctl_crew *crew)
{
	unsigned int i;

	for (i = 0; i < crew->config.workers; i++)
		if (crew->hands[i].pid)
			return true;
	return false;
}

static void hand_ended(struct hand *hand, int status)
{
	struct mrctl_crew *crew = hand->crew;
	bool lived = lockstep_clock_ns() - hand->born_ns >= SHORT_LIFE_NS;
	struct timeval at_once = { 0 }, pause = { .tv_usec = PAUSE_MS * 1000 };

	hand->pid = 0;
	if (crew->dismissed)
		return;
	crew->short_lives = lived ? 0 : crew->short_lives + 1;
	if (crew->short_lives > SHORT_LIVES_MAX)
		crew->config.useless(status, crew->config.user);
	else
		event_add(hand->retry, crew->short_lives > crew->config.workers ? &pause : &at_once);
}

static void on_child(evutil_socket_t fd, short what, void *arg)
{
	struct mrctl_crew *crew = arg;
	unsigned int i;
	int status;

	(void)fd;
	(void)what;
	for (i = 0; i < crew->config.workers; i++)
		if (crew->hands[i].pid && waitpid(crew->hands[i].pid, &status, WNOHANG) > 0)
			hand_ended(&crew->hands[i], status);
	if (crew->dismissed && !crew_lives(crew))
		crew->config.empty(crew->config.user);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	struct mrctl_crew *crew = arg;
	unsigned int i;

	(void)fd;
	(void)what;
	for (i = 0; i < crew->config.workers; i++)
		if (crew->hands[i].pid)
			kill(-crew->hands[i].pid, SIGKILL);
}

/* --- standard error --------------------------------------------------------- */

static void on_error_text(struct bufferevent *bev, void *arg)
{
	struct mrctl_crew *crew = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	char *line;

	while ((line = evbuffer_readln(in, NULL, EVBUFFER_EOL_LF))) {
		crew->config.line(line, crew->config.user);
		free(line);
	}
	if (evbuffer_get_length(in) < LINE_MAX_BYTES)
		return;
	evbuffer_add(in, "", 1);
	crew->config.line((char *)evbuffer_pullup(in, -1), crew->config.user);
	evbuffer_drain(in, evbuffer_get_length(in));
}

static int errors_open(struct mrctl_crew *crew)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	crew->error_fd = fds[1];
	evutil_make_socket_nonblocking(fds[0]);
	crew->errors = bufferevent_socket_new(crew->base, fds[0], BEV_OPT_CLOSE_ON_FREE);
	if (!crew->errors) {
		close(fds[0]);
		return -ENOMEM;
	}
	bufferevent_setcb(crew->errors, on_error_text, NULL, NULL, crew);
	return bufferevent_enable(crew->errors, EV_READ) ? -ENOMEM : 0;
}

/* --- the crew --------------------------------------------------------------- */

int mrctl_crew_create(struct event_base *base, const struct mrctl_crew_config *config,
		      struct mrctl_crew **out)
{
	struct mrctl_crew *crew = calloc(1, sizeof(*crew) + config->workers * sizeof(crew->hands[0]));
	unsigned int i;
	int ret;

	if (!crew)
		return -ENOMEM;
	crew->config = *config;
	crew->base = base;
	crew->error_fd = -1;
	crew->child = evsignal_new(base, SIGCHLD, on_child, crew);
	crew->late = evtimer_new(base, on_late, crew);
	ret = crew->child && crew->late ? errors_open(crew) : -ENOMEM;
	if (!ret && event_add(crew->child, NULL))
		ret = -ENOMEM;
	for (i = 0; i < config->workers && !ret; i++) {
		crew->hands[i].crew = crew;
		crew->hands[i].retry = evtimer_new(base, on_retry, &crew->hands[i]);
		ret = crew->hands[i].retry ? hand_start(&crew->hands[i]) : -ENOMEM;
	}
	if (ret)
		mrctl_crew_destroy(crew);
	else
		*out = crew;
	return ret;
}

void mrctl_crew_dismiss(struct mrctl_crew *crew, unsigned int ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	crew->dismissed = true;
	event_add(crew->late, &tv);
	if (!crew_lives(crew))
		crew->config.empty(crew->config.user);
}

void mrctl_crew_destroy(struct mrctl_crew *crew)
{
	unsigned int i;

	if (!crew)
		return;
	for (i = 0; i < crew->config.workers; i++) {
		if (crew->hands[i].pid) {
			kill(-crew->hands[i].pid, SIGKILL);
			kill(crew->hands[i].pid, SIGKILL);
			waitpid(crew->hands[i].pid, NULL, 0);
		}
		if (crew->hands[i].retry)
			event_free(crew->hands[i].retry);
	}
	if (crew->child)
		event_free(crew->child);
	if (crew->late)
		event_free(crew->late);
	if (crew->error_fd >= 0)
		close(crew->error_fd);
	if (crew->errors) {
		/* the last words of those that were killed */
		bufferevent_disable(crew->errors, EV_READ);
		while (evbuffer_read(bufferevent_get_input(crew->errors),
				     bufferevent_getfd(crew->errors), -1) > 0)
			;
		on_error_text(crew->errors, crew);
		bufferevent_free(crew->errors);
	}
	free(crew);
}
