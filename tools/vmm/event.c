// SPDX-License-Identifier: GPL-2.0
/*
 * Inputs that wait, and the sleep of a halted vCPU
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "event.h"
#include "session.h"
#include "vmm.h"

/**
 * struct vmm_events - queue
 * @lock:     guards the list, its count, and @closed; page->kick follows the list under it
 * @closed:   the session goes: nothing is taken any more, nobody is kicked
 * @wake_fd:  eventfd the vCPU's thread sleeps on
 * @sleeping: it does, or is about to: a post has to write to @wake_fd
 */
struct vmm_events {
	pthread_mutex_t lock;
	struct vmm_event *first;
	struct vmm_event *last;
	unsigned int count;
	bool closed;
	int wake_fd;
	atomic_bool sleeping;
};

int vmm_events_create(struct vmm *vmm)
{
	struct vmm_events *events = calloc(1, sizeof(*events));

	if (!events)
		return -ENOMEM;
	events->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (events->wake_fd < 0) {
		free(events);
		return -errno;
	}
	pthread_mutex_init(&events->lock, NULL);
	vmm->events = events;
	return 0;
}

void vmm_events_destroy(struct vmm *vmm)
{
	struct vmm_events *events = vmm->events;
	struct vmm_event *event;

	if (!events)
		return;
	while ((event = events->first)) {
		events->first = event->next;
		free(event);
	}
	close(events->wake_fd);
	pthread_mutex_destroy(&events->lock);
	free(events);
	vmm->events = NULL;
}

static void set_kick(struct vmm *vmm, uint32_t kick)
{
	if (vmm->page)
		__atomic_store_n(&vmm->page->kick, kick, __ATOMIC_RELEASE);
}

void vmm_wake(struct vmm *vmm)
{
	uint64_t one = 1;

	/* The counter is full only when the sleeper has a wake-up waiting anyway. */
	while (write(vmm->events->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

int vmm_event_post(struct vmm *vmm, enum vmm_unit unit, uint16_t kind, const void *data,
		   uint32_t len)
{
	struct vmm_events *events = vmm->events;
	struct vmm_event *event;

	if (len > LOCKSTEP_PAYLOAD_MAX)
		return -EMSGSIZE;
	if (!vmm->live)
		return 0;
	event = malloc(sizeof(*event) + len);
	if (!event)
		return -ENOMEM;
	*event = (struct vmm_event){ .unit = (uint16_t)unit, .kind = kind, .len = len };
	if (len)
		memcpy(event->data, data, len);
	pthread_mutex_lock(&events->lock);
	if (events->closed || events->count == VMM_EVENTS_MAX) {
		int err = events->closed ? 0 : -ENOBUFS;

		pthread_mutex_unlock(&events->lock);
		free(event);
		return err;
	}
	if (events->last)
		events->last->next = event;
	else
		events->first = event;
	events->last = event;
	events->count++;
	set_kick(vmm, 1);
	/* under the lock: the session is there as long as the queue is open */
	if (vmm->session)
		vmm->session->kick(vmm);
	pthread_mutex_unlock(&events->lock);
	if (events->sleeping)
		vmm_wake(vmm);
	return 0;
}

void vmm_events_close(struct vmm *vmm)
{
	if (!vmm->events)
		return;
	pthread_mutex_lock(&vmm->events->lock);
	vmm->events->closed = true;
	pthread_mutex_unlock(&vmm->events->lock);
}

const struct vmm_event *vmm_events_first(struct vmm *vmm)
{
	struct vmm_events *events = vmm->events;
	const struct vmm_event *event;

	pthread_mutex_lock(&events->lock);
	event = events->first;
	pthread_mutex_unlock(&events->lock);
	return event;
}

void vmm_events_drop(struct vmm *vmm)
{
	struct vmm_events *events = vmm->events;
	struct vmm_event *event;

	pthread_mutex_lock(&events->lock);
	event = events->first;
	if (event) {
		events->first = event->next;
		if (!events->first) {
			events->last = NULL;
			set_kick(vmm, 0);
		}
		events->count--;
	}
	pthread_mutex_unlock(&events->lock);
	free(event);
}

void vmm_events_sleep(struct vmm *vmm, uint64_t ns)
{
	struct vmm_events *events = vmm->events;
	struct pollfd pollfd = { .fd = events->wake_fd, .events = POLLIN };
	struct timespec timeout = {
		.tv_sec = (time_t)(ns / 1000000000),
		.tv_nsec = (long)(ns % 1000000000),
	};
	uint64_t count;

	events->sleeping = true;
	/* Looked at behind the flag: a post before it is seen here, one after it writes. */
	if (!vmm_events_first(vmm) && !vmm->quit)
		ppoll(&pollfd, 1, ns == VMM_NEVER ? NULL : &timeout, NULL);
	events->sleeping = false;
	while (read(events->wake_fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}
