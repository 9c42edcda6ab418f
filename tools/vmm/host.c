// SPDX-License-Identifier: GPL-2.0
/*
 * The host thread
 */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "event.h"
#include "host.h"
#include "stream.h"
#include "vmm.h"

/**
 * struct vmm_host - event loop and what it listens to
 * @nudge_fd:  eventfd: streams have work, or @stop
 * @notify_fd: eventfd: the module's page has news
 * @state:     of the module's page when it was last looked at
 */
struct vmm_host {
	struct event_base *base;
	struct event *nudge;
	struct event *notify;
	struct event *signals;
	int nudge_fd;
	int notify_fd;
	int signal_fd;
	uint32_t state;
	pthread_t thread;
	bool running;
	atomic_bool stop;
};

struct event_base *vmm_host_base(struct vmm *vmm)
{
	return vmm->host->base;
}

int vmm_host_notify_fd(const struct vmm *vmm)
{
	return vmm->host->notify_fd;
}

static void add_one(int fd)
{
	uint64_t one = 1;

	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void drain(int fd)
{
	uint64_t count;

	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

void vmm_host_nudge(struct vmm *vmm)
{
	if (vmm->host)
		add_one(vmm->host->nudge_fd);
}

static void on_nudge(evutil_socket_t fd, short what, void *opaque)
{
	struct vmm *vmm = opaque;

	(void)what;
	drain(fd);
	vmm_streams_service(vmm);
	if (vmm->host->stop)
		event_base_loopbreak(vmm->host->base);
}

static void on_notify(evutil_socket_t fd, short what, void *opaque)
{
	struct vmm *vmm = opaque;
	uint32_t state;

	(void)what;
	drain(fd);
	vmm_streams_service(vmm);
	if (!vmm->page)
		return;
	/* A sleeping vCPU learns from its next verdict what a new state means. */
	state = __atomic_load_n(&vmm->page->state, __ATOMIC_ACQUIRE);
	if (state != vmm->host->state) {
		vmm->host->state = state;
		vmm_wake(vmm);
	}
}

static void on_signal(evutil_socket_t fd, short what, void *opaque)
{
	struct signalfd_siginfo info;
	struct vmm *vmm = opaque;

	(void)what;
	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return;
	vmm_say(vmm, "ended by signal %u", info.ssi_signo);
	vmm_quit(vmm);
}

static int add_handler(struct vmm *vmm, struct event **event, int fd, event_callback_fn callback)
{
	*event = event_new(vmm->host->base, fd, EV_READ | EV_PERSIST, callback, vmm);
	return *event && !event_add(*event, NULL) ? 0 : -ENOMEM;
}

int vmm_host_create(struct vmm *vmm)
{
	struct vmm_host *host = calloc(1, sizeof(*host));
	sigset_t set;
	int err;

	if (!host)
		return -ENOMEM;
	vmm->host = host;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	host->nudge_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	host->notify_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	host->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (host->nudge_fd < 0 || host->notify_fd < 0 || host->signal_fd < 0) {
		err = -errno;
		goto out;
	}
	host->base = event_base_new();
	err = host->base ? 0 : -ENOMEM;
	if (!err)
		err = add_handler(vmm, &host->nudge, host->nudge_fd, on_nudge);
	if (!err)
		err = add_handler(vmm, &host->notify, host->notify_fd, on_notify);
	if (!err)
		err = add_handler(vmm, &host->signals, host->signal_fd, on_signal);
	if (!err)
		return 0;
out:
	vmm_say(vmm, "cannot set up the host's event loop: %s", strerror(-err));
	vmm_host_destroy(vmm);
	return err;
}

static void *run(void *opaque)
{
	struct vmm *vmm = opaque;

	event_base_loop(vmm->host->base, EVLOOP_NO_EXIT_ON_EMPTY);
	return NULL;
}

int vmm_host_start(struct vmm *vmm)
{
	struct vmm_host *host = vmm->host;
	int err = pthread_create(&host->thread, NULL, run, vmm);

	if (err)
		return -err;
	pthread_setname_np(host->thread, "host");
	host->running = true;
	return 0;
}

void vmm_host_stop(struct vmm *vmm)
{
	struct vmm_host *host = vmm->host;

	if (!host || !host->running)
		return;
	host->stop = true;
	vmm_host_nudge(vmm);
	pthread_join(host->thread, NULL);
	host->running = false;
}

void vmm_host_destroy(struct vmm *vmm)
{
	struct vmm_host *host = vmm->host;

	if (!host)
		return;
	vmm_host_stop(vmm);
	if (host->nudge)
		event_free(host->nudge);
	if (host->notify)
		event_free(host->notify);
	if (host->signals)
		event_free(host->signals);
	if (host->base)
		event_base_free(host->base);
	if (host->nudge_fd >= 0)
		close(host->nudge_fd);
	if (host->notify_fd >= 0)
		close(host->notify_fd);
	if (host->signal_fd >= 0)
		close(host->signal_fd);
	free(host);
	vmm->host = NULL;
}
