// SPDX-License-Identifier: GPL-2.0
/* Events move a guest through the state table; what a new state means at once. */
#include <linux/eventfd.h>
#include <linux/ktime.h>
#include <linux/string.h>
#include "guest.h"
#include "netlink.h"
#include "sender.h"

static const enum lockstep_gate_mode gate_modes[] = {
	[LOCKSTEP_GATE_RULE_DROP] = LOCKSTEP_GATE_DROP,
	[LOCKSTEP_GATE_RULE_LATCH] = LOCKSTEP_GATE_LATCHED,
	[LOCKSTEP_GATE_RULE_ACKED] = LOCKSTEP_GATE_ACKED,
	[LOCKSTEP_GATE_RULE_OPEN] = LOCKSTEP_GATE_OPEN,
};

/**
 * lockstep_guest_notify - tell the VMM that the shared page has news
 * @guest: any context that may take a spinlock
 */
void lockstep_guest_notify(struct lockstep_guest *guest)
{
	if (guest->notify)
		lockstep_eventfd_signal(guest->notify);
}

static u8 mode_of(const struct lockstep_guest *guest)
{
	const struct lockstep_state_rule *rule = lockstep_state_rule(guest->state);

	/* the start barrier: a pair starts together, from the first instruction */
	if (rule->vcpu == LOCKSTEP_VCPU_RUN && guest->flags & LOCKSTEP_FLAG_WAIT && !guest->started)
		return LOCKSTEP_VCPU_PARK;
	return rule->vcpu;
}

/*
 * Make the state felt: the gate first (nothing may leave that should not),
 * then the vCPU, then those who only want to know.
 */
static void publish(struct lockstep_guest *guest, u32 old, u32 event)
{
	const struct lockstep_state_rule *rule = lockstep_state_rule(guest->state);
	u8 was = guest->mode;

	lockdep_assert_held(&guest->lock);
	lockstep_gate_mode_set(&guest->gate, gate_modes[rule->gate]);
	WRITE_ONCE(guest->page->gate, rule->gate == LOCKSTEP_GATE_RULE_OPEN);
	WRITE_ONCE(guest->page->state, guest->state);
	WRITE_ONCE(guest->mode, mode_of(guest));
	if (guest->mode != LOCKSTEP_VCPU_PARK)
		WRITE_ONCE(guest->at_rest, false);
	if (guest->mode != was || rule->over)
		lockstep_hook_kick(guest->lv.vcpu);
	wake_up_all(&guest->wq);
	lockstep_sender_flush(guest);
	lockstep_guest_notify(guest);
	lockstep_netlink_state_send(guest, old, event, 0);
}

static bool is_peer(const struct lockstep_guest *guest, const u8 *peer)
{
	return peer && !memcmp(guest->peer, peer, LOCKSTEP_UUID_LEN);
}

/* Conditions on an event beyond the state it finds. */
static int event_check(const struct lockstep_guest *guest, u32 event,
		       const struct lockstep_event_args *args)
{
	switch (event) {
	case LOCKSTEP_EVENT_COLD_WON:
		if (guest->flags & LOCKSTEP_FLAG_TWIN)
			return -EINVAL;
		return args->generation > guest->generation ? 0 : -ESTALE;
	case LOCKSTEP_EVENT_OFFERED:
		return args->peer && guest->flags & LOCKSTEP_FLAG_TWIN && !guest->started ?
			0 : -EINVAL;
	case LOCKSTEP_EVENT_BACKUP_FOUND:
		if (guest->started)
			return -EOPNOTSUPP;	/* needs a clone of a running guest */
		return args->peer ? 0 : -EINVAL;
	case LOCKSTEP_EVENT_READY:
		if (guest->started)
			return -EOPNOTSUPP;
		fallthrough;
	case LOCKSTEP_EVENT_ACTIVATE:
		if (event == LOCKSTEP_EVENT_ACTIVATE && !guest->verified)
			return -EINVAL;
		if (!is_peer(guest, args->peer))
			return -ESTALE;
		return args->generation > guest->generation ? 0 : -ESTALE;
	case LOCKSTEP_EVENT_DIVERGED:
		/* once drained a claim may have left: only the arbiter ends it */
		return guest->flags & LOCKSTEP_FLAG_DRAINED ? -EBUSY : 0;
	case LOCKSTEP_EVENT_WON:
		/* everything acknowledged is executed before anybody goes live */
		if (guest->state == LOCKSTEP_STATE_CONTEST_B &&
		    !(guest->flags & LOCKSTEP_FLAG_DRAINED))
			return -EBUSY;
		fallthrough;
	default:
		if (args->generation && args->generation != guest->generation)
			return -ESTALE;
		return !args->peer || is_peer(guest, args->peer) ? 0 : -ESTALE;
	}
}

static void event_take_args(struct lockstep_guest *guest, u32 event,
			    const struct lockstep_event_args *args)
{
	switch (event) {
	case LOCKSTEP_EVENT_OFFERED:
	case LOCKSTEP_EVENT_BACKUP_FOUND:
		memcpy(guest->peer, args->peer, sizeof(guest->peer));
		guest->verified = false;
		break;
	case LOCKSTEP_EVENT_VERIFIED:
		guest->verified = true;
		break;
	case LOCKSTEP_EVENT_LOST:
	case LOCKSTEP_EVENT_PEER_WON:
		guest->flags &= ~LOCKSTEP_FLAG_POWEROFF;	/* the other's word counts */
		break;
	case LOCKSTEP_EVENT_COLD_WON:
	case LOCKSTEP_EVENT_READY:
	case LOCKSTEP_EVENT_ACTIVATE:
		guest->generation = args->generation;
		break;
	case LOCKSTEP_EVENT_POWEROFF:
		guest->flags |= LOCKSTEP_FLAG_POWEROFF;
		break;
	case LOCKSTEP_EVENT_DIVERGED:
		guest->stats.divergences++;
		break;
	}
}

/* Has the VMM handed over all byte streams?  One whose sink is stuck gets 5 s. */
static bool bytes_released(const struct lockstep_guest *guest)
{
	unsigned int i;

	if (time_after(jiffies, guest->stopping_since + 5 * HZ))
		return true;
	for (i = LOCKSTEP_STREAM_NET + 1; i < LOCKSTEP_STREAMS; i++)
		if (READ_ONCE(guest->released[i]) < READ_ONCE(guest->made[i]))
			return false;
	return true;
}

/*
 * The backup has executed all of the log, so its disks are as ours, and what the log
 * produced has left: the vCPU's thread, too, which logs an output before it hands it over.
 */
static bool all_is_done(struct lockstep_guest *guest)
{
	return guest->at_rest && guest->executed == READ_ONCE(guest->log.head) &&
	       lockstep_gate_is_drained(&guest->gate) && bytes_released(guest);
}

/* ... and the backup knows that it has. */
static bool released_known(const struct lockstep_guest *guest)
{
	unsigned int i;

	for (i = 0; i < LOCKSTEP_STREAMS; i++)
		if (guest->acked_released[i] != lockstep_sender_released(guest, i))
			return false;
	return true;
}

/* Is there something that this state was waiting for? Sets DRAINED once. */
static bool drained(struct lockstep_guest *guest)
{
	lockdep_assert_held(&guest->lock);
	if (guest->flags & LOCKSTEP_FLAG_DRAINED)
		return false;
	switch (guest->state) {
	case LOCKSTEP_STATE_CONTEST_B:
		/* nothing is fed any more: what is consumed was clean */
		if (lockstep_log_tail(&guest->log) != READ_ONCE(guest->log.head))
			return false;
		break;
	case LOCKSTEP_STATE_STOPPING:
		if (!all_is_done(guest))
			return false;
		break;
	case LOCKSTEP_STATE_SWITCHING:
		/* the backup goes live at once, and has nothing to say twice */
		if (!all_is_done(guest) || !released_known(guest))
			return false;
		break;
	default:
		return false;
	}
	guest->flags |= LOCKSTEP_FLAG_DRAINED;
	return true;
}

static void drained_look(struct lockstep_guest *guest)
{
	if (drained(guest))
		lockstep_netlink_state_send(guest, guest->state, LOCKSTEP_EVENT_NONE, 0);
}

/* Nobody follows: what was logged is of no use to anybody. */
static void log_forget(struct lockstep_guest *guest)
{
	u64 head = READ_ONCE(guest->log.head);

	lockdep_assert_held(&guest->lock);
	guest->executed = head;
	lockstep_guest_acked_set(guest, head);
}

static void enter(struct lockstep_guest *guest, u32 old, u32 event)
{
	guest->flags &= ~LOCKSTEP_FLAG_DRAINED;
	switch (guest->state) {
	case LOCKSTEP_STATE_CONTEST_P:
	case LOCKSTEP_STATE_CONTEST_B:
		guest->flags |= LOCKSTEP_FLAG_CLAIMED;
		break;
	case LOCKSTEP_STATE_SOLO:
	case LOCKSTEP_STATE_LIVE:
		guest->flags &= ~LOCKSTEP_FLAG_CLAIMED;
		log_forget(guest);
		break;
	case LOCKSTEP_STATE_STOPPING:
	case LOCKSTEP_STATE_SWITCHING:
		guest->stopping_since = jiffies;
		mod_delayed_work(system_wq, &guest->watch, HZ / 10);
		if (old == LOCKSTEP_STATE_SOLO || old == LOCKSTEP_STATE_SYNC_SRC)
			log_forget(guest);
		break;
	}
	drained(guest);
	publish(guest, old, event);
}

static int event_locked(struct lockstep_guest *guest, u32 event,
			const struct lockstep_event_args *args)
{
	u32 old = guest->state;
	int next, ret;

	lockdep_assert_held(&guest->lock);
	if (guest->dead)
		return -ESHUTDOWN;
	next = lockstep_state_next(old, event);
	if (next < 0) {
		guest->stats.ignored_events++;
		return next;
	}
	ret = event_check(guest, event, args);
	if (ret)
		return ret;
	event_take_args(guest, event, args);
	guest->state = next;
	enter(guest, old, event);
	return 0;
}

/**
 * lockstep_guest_event - something happened
 * @guest: process context
 * @event: enum lockstep_event
 * @args:  what came with it, or NULL
 *
 * Returns 0; -ENOENT when the state does not list the event (counted, nothing
 * changed); -ESTALE for another generation or peer; -EINVAL, -EOPNOTSUPP when
 * the guest is not fit for it; -ESHUTDOWN when it is being detached.
 */
int lockstep_guest_event(struct lockstep_guest *guest, u32 event,
			 const struct lockstep_event_args *args)
{
	static const struct lockstep_event_args none;
	int ret;

	mutex_lock(&guest->lock);
	ret = event_locked(guest, event, args ?: &none);
	mutex_unlock(&guest->lock);
	return ret;
}

/**
 * lockstep_guest_drained - the vCPU's thread, or an ack, may have finished a state
 * @guest: process context; tells the daemon when that is so
 */
void lockstep_guest_drained(struct lockstep_guest *guest)
{
	mutex_lock(&guest->lock);
	drained_look(guest);
	mutex_unlock(&guest->lock);
}

/**
 * lockstep_guest_rest - the vCPU's thread is about to sleep, if it is parked
 * @guest: vCPU's thread, with nothing that it has made on its way
 */
void lockstep_guest_rest(struct lockstep_guest *guest)
{
	mutex_lock(&guest->lock);
	if (guest->mode == LOCKSTEP_VCPU_PARK && !guest->at_rest) {
		WRITE_ONCE(guest->at_rest, true);
		drained_look(guest);
	}
	mutex_unlock(&guest->lock);
}

/**
 * lockstep_guest_watch - is the daemon still heard?
 * @work: guest->watch; runs while a daemon is bound
 */
void lockstep_guest_watch(struct work_struct *work)
{
	struct lockstep_guest *guest = container_of(to_delayed_work(work),
						    struct lockstep_guest, watch);
	static const struct lockstep_event_args none;
	u64 silence, alive;

	mutex_lock(&guest->lock);
	silence = (u64)guest->silence_ms * NSEC_PER_MSEC;
	drained_look(guest);
	if (lockstep_guest_is_draining(guest) && !guest->dead)
		mod_delayed_work(system_wq, &guest->watch, HZ / 10);
	if (guest->portid && !guest->dead) {
		/* alive first: it is written without the lock.  BOOTTIME: a host
		 * that slept was silent
		 */
		alive = READ_ONCE(guest->alive);
		if ((s64)(ktime_get_boottime_ns() - alive) > (s64)silence &&
		    lockstep_state_next(guest->state, LOCKSTEP_EVENT_DAEMON_LOST) >= 0)
			event_locked(guest, LOCKSTEP_EVENT_DAEMON_LOST, &none);
		/* leaves a shorter time that was set above */
		schedule_delayed_work(&guest->watch,
				      msecs_to_jiffies(max(guest->silence_ms / 4, 1U)));
	}
	mutex_unlock(&guest->lock);
}

/**
 * lockstep_guest_bind - a daemon takes the guest
 * @guest:  process context
 * @portid: its netlink port
 *
 * Returns 0, or -EBUSY when another one has it.
 */
int lockstep_guest_bind(struct lockstep_guest *guest, u32 portid)
{
	int ret = 0;

	mutex_lock(&guest->lock);
	if (guest->dead) {
		ret = -ESHUTDOWN;
	} else if (guest->portid && guest->portid != portid) {
		ret = -EBUSY;
	} else {
		guest->portid = portid;
		guest->alive = ktime_get_boottime_ns();
		mod_delayed_work(system_wq, &guest->watch,
				 msecs_to_jiffies(max(guest->silence_ms / 4, 1U)));
		lockstep_sender_flush(guest);
	}
	mutex_unlock(&guest->lock);
	return ret;
}

/**
 * lockstep_guest_silence_set - how long may the daemon say nothing?
 * @guest: process context
 * @ms:    checked; holds from now on
 */
void lockstep_guest_silence_set(struct lockstep_guest *guest, u32 ms)
{
	mutex_lock(&guest->lock);
	WRITE_ONCE(guest->silence_ms, ms);
	if (guest->portid && !guest->dead)
		mod_delayed_work(system_wq, &guest->watch, 0);	/* it was set by the old one */
	mutex_unlock(&guest->lock);
}

/**
 * lockstep_guest_unbind - a netlink socket was closed
 * @guest:  process context
 * @portid: the socket's port
 */
void lockstep_guest_unbind(struct lockstep_guest *guest, u32 portid)
{
	static const struct lockstep_event_args none;

	mutex_lock(&guest->lock);
	if (guest->portid == portid) {
		guest->portid = 0;
		event_locked(guest, LOCKSTEP_EVENT_DAEMON_LOST, &none);
	}
	mutex_unlock(&guest->lock);
}

/**
 * lockstep_guest_alive - the bound daemon was heard
 * @guest:  process context
 * @portid: who says so
 *
 * Returns 0, or -EPERM when the guest is not bound to it.
 */
int lockstep_guest_alive(struct lockstep_guest *guest, u32 portid)
{
	if (READ_ONCE(guest->portid) != portid)
		return -EPERM;
	WRITE_ONCE(guest->alive, ktime_get_boottime_ns());
	return 0;
}

/**
 * lockstep_guest_log_full - the vCPU waits for room in the log, or goes on
 * @guest: process context
 * @full:  which; told at most once a second
 */
void lockstep_guest_log_full(struct lockstep_guest *guest, bool full)
{
	mutex_lock(&guest->lock);
	if (full)
		guest->flags |= LOCKSTEP_FLAG_LOG_FULL;
	else
		guest->flags &= ~LOCKSTEP_FLAG_LOG_FULL;
	if (full && time_after(jiffies, guest->full_told + HZ)) {
		guest->full_told = jiffies;
		lockstep_netlink_state_send(guest, guest->state, LOCKSTEP_EVENT_NONE, 0);
	}
	mutex_unlock(&guest->lock);
}
