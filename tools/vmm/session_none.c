// SPDX-License-Identifier: GPL-2.0
/*
 * The session of an unprotected guest: inputs apply when they come, outputs leave at once
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "session.h"
#include "vmm.h"

#define NS_PER_S	1000000000ULL

/**
 * struct session - state of the back end
 * @page:  what the module would share: the gate is open for good
 * @start: CLOCK_MONOTONIC at virtual time 0
 * @timer: signals the vCPU's thread at the deadline
 * @armed: virtual time it is set to
 * @off:   the guest has powered off
 */
struct session {
	struct lockstep_page page;
	uint64_t start;
	timer_t timer;
	bool have_timer;
	uint64_t armed;
	bool off;
};

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void none_detach(struct vmm *vmm)
{
	struct session *session = vmm->session_data;

	if (!session)
		return;
	if (session->have_timer)
		timer_delete(session->timer);
	free(session);
	vmm->session_data = NULL;
	vmm->page = NULL;
}

/* Called on the vCPU's thread, which the timer's signal then goes to. */
static int none_attach(struct vmm *vmm, int notify_fd)
{
	struct session *session = aligned_alloc(64, (sizeof(*session) + 63) / 64 * 64);
	struct sigevent event = {
		.sigev_notify = SIGEV_THREAD_ID,
		.sigev_signo = VMM_SIGNAL_KICK,
	};

	(void)notify_fd;
	if (!session)
		return -ENOMEM;
	memset(session, 0, sizeof(*session));
	session->page.version = LOCKSTEP_ABI_VERSION;
	session->page.state = LOCKSTEP_STATE_SOLO;
	session->page.gate = 1;
	session->page.acked = UINT64_MAX;
	session->page.deadline = VMM_NEVER;
	session->start = clock_ns(CLOCK_MONOTONIC);
	session->armed = VMM_NEVER;
	event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	vmm->session_data = session;
	vmm->page = &session->page;
	if (timer_create(CLOCK_MONOTONIC, &event, &session->timer)) {
		int err = -errno;

		vmm_say(vmm, "no timer for the guest: %s", strerror(-err));
		none_detach(vmm);
		return err;
	}
	session->have_timer = true;
	return 0;
}

static int none_next(struct vmm *vmm, uint32_t flags, struct vmm_next *next, void *data)
{
	const struct session *session = vmm->session_data;

	(void)flags;
	(void)data;
	*next = (struct vmm_next){
		.verdict = session->off ? LOCKSTEP_VERDICT_POWEROFF : LOCKSTEP_VERDICT_LIVE,
		.clock = clock_ns(CLOCK_MONOTONIC) - session->start,
	};
	return 0;
}

static int none_input(struct vmm *vmm, uint16_t unit, uint16_t kind, const void *data,
		      uint32_t len)
{
	(void)vmm;
	(void)unit;
	(void)kind;
	(void)data;
	(void)len;
	return 0;
}

static int none_clock(struct vmm *vmm, uint32_t kind, uint32_t flags, uint64_t *ns)
{
	const struct session *session = vmm->session_data;

	(void)flags;
	if (kind == LOCKSTEP_CLOCK_WALL)
		*ns = clock_ns(CLOCK_REALTIME);
	else
		*ns = clock_ns(CLOCK_MONOTONIC) - session->start;
	return 0;
}

static int none_output(struct vmm *vmm, uint32_t stream, uint64_t index, const void *data,
		       uint32_t len, uint64_t *lsn)
{
	(void)vmm;
	(void)stream;
	(void)index;
	(void)data;
	(void)len;
	*lsn = 0;
	return LOCKSTEP_VERDICT_SEND;
}

static void none_released(struct vmm *vmm, uint32_t stream, uint64_t index)
{
	(void)vmm;
	(void)stream;
	(void)index;
}

static int none_digest(struct vmm *vmm, const uint64_t *digest)
{
	(void)vmm;
	(void)digest;
	return 0;
}

static int none_poweroff(struct vmm *vmm)
{
	struct session *session = vmm->session_data;

	session->off = true;
	return 0;
}

static void none_arm(struct vmm *vmm, uint64_t deadline)
{
	struct session *session = vmm->session_data;
	struct itimerspec spec = { 0 };
	uint64_t at;

	if (deadline == session->armed)
		return;
	session->armed = deadline;
	if (deadline != VMM_NEVER && deadline <= INT64_MAX - session->start) {
		at = deadline + session->start;
		spec.it_value.tv_sec = (time_t)(at / NS_PER_S);
		spec.it_value.tv_nsec = (long)(at % NS_PER_S);
	}
	timer_settime(session->timer, TIMER_ABSTIME, &spec, NULL);
}

static void none_kick(struct vmm *vmm)
{
	vmm_kick(vmm);
}

const struct vmm_session_ops vmm_session_none = {
	.name = "none",
	.attach = none_attach,
	.detach = none_detach,
	.next = none_next,
	.input = none_input,
	.clock = none_clock,
	.output = none_output,
	.released = none_released,
	.digest = none_digest,
	.mismatch = none_digest,
	.poweroff = none_poweroff,
	.arm = none_arm,
	.kick = none_kick,
};
