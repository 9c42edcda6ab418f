/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One attached guest: an instance, from LOCKSTEP_ATTACH to the close of its file
 *
 * Contexts and locks, outermost first:
 *
 *  attach_lock (guest.c)  one attach or end of a detach at a time
 *  lockstep_guests_lock   the list of guests; ids and names
 *  guest->lock            state, generation, peer, flags, daemon's socket; the
 *			   receiving end of the log on a twin, acks on a primary.
 *			   Process context. Never held across a sleep for the peer.
 *  guest->send_lock	   log.sent and the order of what goes to the daemon
 *  gate->lock (BH)	   frames, see gate.h
 *
 * The vCPU's thread (ioctls, and the hooks inside KVM_RUN, which may run with
 * interrupts off and take no lock at all) owns: the producing end of the log on a
 * primary, the consuming end on a twin, the clock, the position.  It reads the
 * state through guest->mode, one word that state changes publish; a change that
 * must hold at once (park, halt) kicks the vCPU out of the guest, and whoever
 * made it need not wait: a latched gate, not a stopped vCPU, is what keeps
 * output in.
 */
#ifndef LOCKSTEP_GUEST_H
#define LOCKSTEP_GUEST_H

#include <linux/kobject.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/lockstep.h>
#include "arch.h"
#include "clock.h"
#include "forced.h"
#include "gate.h"
#include "hook.h"
#include "log.h"
#include "state.h"

struct eventfd_ctx;
struct file;
struct task_struct;

/**
 * struct lockstep_divergence_info - the first difference that a twin found
 * @reason:   enum lockstep_divergence
 * @pos:      where the twin is
 * @lsn:      the record of the log
 * @expected: what the log says
 * @found:    what is here
 */
struct lockstep_divergence_info {
	u32 reason;
	struct lockstep_pos pos;
	u64 lsn;
	u64 expected;
	u64 found;
};

/* Counters; each is written in one context only and read anywhere. */
struct lockstep_guest_stats {
	u64 records;		/* vCPU's thread */
	u64 tsc;
	u64 inputs;
	u64 outputs;
	u64 log_full;
	u64 throttle_ns;
	u64 batches;		/* under send_lock (primary) or lock (twin) */
	u64 acks;		/* under lock */
	u64 lag_ns;
	u64 lag_max_ns;
	u64 ignored_events;
	u64 divergences;
	u64 duplicates_max;
};

#define LOCKSTEP_THROTTLE_ONE	16	/* it sleeps as long as it runs */

/**
 * struct lockstep_stall - how long a twin has run since its last stop or clock read
 * @count:   the position of that
 * @then:    host's clock, ns, when the vCPU was last heard; 0: not since
 * @free_ns: that it ran while its log had no more records
 * @late_ns: and while it had
 */
struct lockstep_stall {
	u64 count;
	u64 then;
	u64 free_ns;
	u64 late_ns;
};

/**
 * struct lockstep_guest - see the head of this file
 * @kobj:     /sys/kernel/lockstep/<name>; its reference count is the guest's
 * @node:     in the list of guests
 * @id:       number in the netlink family
 * @name:     unique on the host
 * @uuid:     the guest's identity, on every host
 * @instance: this attachment's identity
 * @vmm_pid:  thread group of the VMM
 *
 * @lv:       the hook's part
 * @vm_file:  keeps the VM while attached
 * @vcpu_file: keeps the vCPU while attached
 * @page:     shared with the VMM
 * @notify:   VMM's eventfd, or NULL
 * @scratch:  LOCKSTEP_PAYLOAD_MAX bytes for a payload on its way; vCPU's thread
 * @wq:       where the vCPU's thread sleeps
 *
 * @mode:     enum lockstep_vcpu_rule that holds now
 * @at_stop:  the vCPU's thread: at a deterministic stop, inputs may be taken
 * @stopping: the hook: this exit goes to user space
 * @told_live: GO_LIVE was returned
 * @count:    position: deterministic stops and clock reads so far
 * @forced:   stops between those of the guest
 * @stall:    twin: does it get to the next record?
 * @clock:    virtual clock
 * @log:      the log
 * @horizon:  twin: no input that is not here has a lower count
 * @stamp_lsn: LSN behind the newest OUTPUT record of the net stream
 * @stamp_index: its index
 * @made:     index of the newest output of each stream
 * @diverged: set by the vCPU's thread, acted on where it may sleep
 *
 * @lock:     see above
 * @state:    enum lockstep_state
 * @generation: of the pair
 * @peer:     the instance on the other side
 * @flags:    LOCKSTEP_FLAG_*
 * @verified: twin: VERIFIED came for this peer
 * @stopping_since: jiffies of the entry into STOPPING or SWITCHING
 * @started:  the vCPU may have executed something; set under the lock
 * @at_rest:  the vCPU's thread sleeps, or has slept, since it was parked: it makes nothing
 * @dead:     being detached
 * @portid:   netlink port of the daemon, 0: none
 * @alive:    when the daemon was last heard, ktime ns
 * @watch:    looks whether it is still heard
 * @fed:      twin: largest index of the outputs in the log received
 * @released: twin: largest released indexes received; primary: handed over
 *	      (byte streams; the gate has that of the net stream)
 * @acked_released: primary: released indexes known to the backup
 * @acked:    primary: LSN held by the backup
 * @executed: primary: LSN consumed by the twin
 * @lag_limit_ms: slow the primary above this lag; 0: never
 * @silence_ms: daemon silence that orphans the guest
 * @full_told: jiffies when the log was last reported full
 * @throttle: what the vCPU sleeps for what it runs, in LOCKSTEP_THROTTLE_ONE, to keep the lag
 * @throttled_at: host's clock, ns, at the end of the last such sleep; vCPU's thread's
 *
 * @sender:   kthread that drains the log to the daemon
 * @batch:    what it sends, room for the largest
 * @send_wq:  where it waits
 * @flush:    it has something urgent
 * @send_lock: see above
 * @sent_horizon: what the last batch said
 * @sent_released: what the last batch said
 * @ack_due:  twin: an ack could not be sent at once
 * @gate:     output gate of the tap
 */
struct lockstep_guest {
	struct kobject kobj;
	struct list_head node;
	u32 id;
	char name[LOCKSTEP_NAME_MAX];
	u8 uuid[LOCKSTEP_UUID_LEN];
	u8 instance[LOCKSTEP_UUID_LEN];
	pid_t vmm_pid;

	struct lockstep_vcpu lv;
	struct file *vm_file;
	struct file *vcpu_file;
	struct lockstep_page *page;
	struct eventfd_ctx *notify;
	u8 *scratch;
	wait_queue_head_t wq;

	u8 mode;
	bool at_stop;
	bool stopping;
	bool told_live;
	u64 count;
	struct lockstep_forced forced;
	struct lockstep_stall stall;
	struct lockstep_clock_source clock;
	struct lockstep_log log;
	u64 horizon;
	u64 stamp_lsn;
	u64 stamp_index;
	u64 made[LOCKSTEP_STREAMS];
	struct lockstep_divergence_info diverged;

	struct mutex lock;
	u32 state;
	u64 generation;
	u8 peer[LOCKSTEP_UUID_LEN];
	u32 flags;
	bool verified;
	unsigned long stopping_since;
	bool started;
	bool at_rest;
	bool dead;
	u32 portid;
	u64 alive;
	struct delayed_work watch;
	u64 fed[LOCKSTEP_STREAMS];
	u64 released[LOCKSTEP_STREAMS];
	u64 acked_released[LOCKSTEP_STREAMS];
	u64 acked;
	u64 executed;
	u32 lag_limit_ms;
	u32 silence_ms;
	unsigned long full_told;
	u32 throttle;
	u64 throttled_at;

	struct task_struct *sender;
	struct lockstep_batch *batch;
	wait_queue_head_t send_wq;
	bool flush;
	struct mutex send_lock;
	u64 sent_horizon;
	u64 sent_released[LOCKSTEP_STREAMS];
	bool ack_due;
	struct lockstep_gate gate;

	struct lockstep_guest_stats stats;
};

extern struct mutex lockstep_guests_lock;
extern struct list_head lockstep_guests;

struct lockstep_guest *lockstep_guest_attach(struct lockstep_attach *attach);
void lockstep_guest_detach(struct lockstep_guest *guest);
void lockstep_guest_release(struct kobject *kobj);
struct lockstep_guest *lockstep_guest_find(u32 id);
struct lockstep_guest *lockstep_guest_find_name(const char *name);

static inline struct lockstep_guest *lockstep_guest_get(struct lockstep_guest *guest)
{
	kobject_get(&guest->kobj);
	return guest;
}

static inline void lockstep_guest_put(struct lockstep_guest *guest)
{
	kobject_put(&guest->kobj);
}

/**
 * struct lockstep_event_args - what comes with some events
 * @generation: COLD_WON, OFFERED, BACKUP_FOUND, READY, ACTIVATE: of the pair; else 0
 * @peer:       READY, ACTIVATE, OFFERED, BACKUP_FOUND: instance of the other
 *		side, or NULL
 */
struct lockstep_event_args {
	u64 generation;
	const u8 *peer;
};

int lockstep_guest_event(struct lockstep_guest *guest, u32 event,
			 const struct lockstep_event_args *args);
void lockstep_guest_drained(struct lockstep_guest *guest);
void lockstep_guest_rest(struct lockstep_guest *guest);
void lockstep_guest_log_full(struct lockstep_guest *guest, bool full);
void lockstep_guest_watch(struct work_struct *work);
int lockstep_guest_bind(struct lockstep_guest *guest, u32 portid);
void lockstep_guest_silence_set(struct lockstep_guest *guest, u32 ms);
void lockstep_guest_unbind(struct lockstep_guest *guest, u32 portid);
int lockstep_guest_alive(struct lockstep_guest *guest, u32 portid);
void lockstep_guest_released(struct lockstep_guest *guest, u32 stream, u64 index);
void lockstep_guest_acked_set(struct lockstep_guest *guest, u64 lsn);
void lockstep_guest_notify(struct lockstep_guest *guest);
void lockstep_guest_stats_get(struct lockstep_guest *guest, u64 *values);
int lockstep_guest_ack(struct lockstep_guest *guest, u64 generation, const u8 *peer,
		       const struct lockstep_ack *ack);
int lockstep_guest_feed(struct lockstep_guest *guest, u64 generation, const u8 *peer,
			const void *batch, size_t len);
void lockstep_guest_ack_fill(struct lockstep_guest *guest, struct lockstep_ack *ack);

/* A state that ends when all outputs are out: every ack may be the one it waits for. */
static inline bool lockstep_guest_is_draining(const struct lockstep_guest *guest)
{
	u32 state = READ_ONCE(guest->state);

	return state == LOCKSTEP_STATE_STOPPING || state == LOCKSTEP_STATE_SWITCHING;
}

static inline bool lockstep_guest_is_over(const struct lockstep_guest *guest)
{
	return READ_ONCE(guest->dead) || lockstep_state_rule(READ_ONCE(guest->state))->over;
}

#endif
