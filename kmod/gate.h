/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Output gate: frames of a guest leave when the backup knows of them
 *
 * A gate sits on the ingress of one network device, the guest's tap: what the
 * VMM writes to the tap comes in there. Each frame is held with the LSN and the
 * index of its OUTPUT record, and handed on in order, exactly as it came, once it
 * may leave. The other direction is not touched.
 *
 * Locks: RTNL guards which device a gate is on, and the list of gates that are on
 * one. gate->lock (spinlock, BH off, inside RTNL and all locks of the owner) guards
 * all else; ops->stamp() is called with it held, nothing else is.
 *
 * Frames are handed over without a lock held, by whoever set gate->handing (under
 * gate->lock): one at a time, so they stay in order. Others who change what may
 * leave then need not do anything: the one who hands over looks again, under
 * gate->lock, before each frame and before it clears gate->handing.
 */
#ifndef _LOCKSTEP_GATE_H
#define _LOCKSTEP_GATE_H

#include <linux/if.h>
#include <linux/list.h>
#include <linux/lockstep.h>
#include <linux/netdevice.h>
#include <linux/netfilter.h>
#include <linux/skbuff.h>
#include <linux/spinlock.h>
#include <linux/types.h>

/**
 * enum lockstep_gate_mode - what happens to frames
 * @LOCKSTEP_GATE_LATCHED: held, none leaves; a gate starts so
 * @LOCKSTEP_GATE_ACKED: held until the backup's ack and the bound on
 *	duplicates let them go
 * @LOCKSTEP_GATE_OPEN: they pass; those held before go first
 * @LOCKSTEP_GATE_DROP: freed, those held and those that come
 */
enum lockstep_gate_mode {
	LOCKSTEP_GATE_LATCHED = 0,
	LOCKSTEP_GATE_ACKED,
	LOCKSTEP_GATE_OPEN,
	LOCKSTEP_GATE_DROP,
};

/* Bounds on what one gate holds. From the soft ones on lockstep_gate_is_full():
 * the guest can be stopped at its next output. Frames beyond the hard ones are
 * lost, as at the end of any device's queue.
 */
#define LOCKSTEP_GATE_FRAMES_SOFT	16384
#define LOCKSTEP_GATE_FRAMES_MAX	65536
#define LOCKSTEP_GATE_BYTES_SOFT	(32U << 20)
#define LOCKSTEP_GATE_BYTES_MAX		(64U << 20)

/**
 * struct lockstep_gate_ops - what a gate asks of its owner
 * @stamp: LSN up to which the backup must have the log before the frame that
 *	came in just now may leave, and its index: both of the newest OUTPUT
 *	record of the stream. Softirq context, gate->lock held: takes no lock,
 *	or one under which nobody calls into the gate
 * @room:  optional: the gate was full and is not any more. Any context, must not
 *	sleep
 */
struct lockstep_gate_ops {
	void (*stamp)(void *priv, u64 *lsn, u64 *index);
	void (*room)(void *priv);
};

/**
 * struct lockstep_gate_stats - counters of a gate
 * @held:      frames held now
 * @held_max:  most frames ever held
 * @released:  frames handed over
 * @dropped:   frames freed: DROP mode, bounds, device gone, detached
 * @hold_ns:   sum of the times frames were held
 * @hold_max_ns: the longest of them
 * @unacked_max: largest number of outputs released that the backup did not
 *	know of as released
 */
struct lockstep_gate_stats {
	u64 held;
	u64 held_max;
	u64 released;
	u64 dropped;
	u64 hold_ns;
	u64 hold_max_ns;
	u64 unacked_max;
};

/**
 * struct lockstep_gate - embedded by the owner, private to gate.c
 * @ops:     of the owner
 * @priv:    for @ops
 * @list:    of all gates that are on a device; RTNL
 * @dev:     the device, NULL: none; RTNL
 * @dev_tracker: of the reference on @dev
 * @nf_ops:  our hook on @dev
 * @lock:    guards all below
 * @attached: frames that come in are taken; false: freed
 * @name:    of the device
 * @mode:    enum lockstep_gate_mode
 * @frames:  held, oldest first
 * @bytes:   memory they take
 * @handing: somebody hands frames over
 * @full:    over a soft bound, and not yet down to half of both
 * @warned:  the user was told of a packet socket on the device
 * @last_index: of the frame that came last
 * @acked:   frames with an LSN up to here may leave
 * @released_acked: what of @released the backup knows
 * @released: index of the last frame handed over
 * @stats:   counters
 * @hold:    frames released by the time they were held, see histogram.h
 */
struct lockstep_gate {
	const struct lockstep_gate_ops *ops;
	void *priv;

	struct list_head list;
	struct net_device *dev;
	netdevice_tracker dev_tracker;
	struct nf_hook_ops nf_ops;

	spinlock_t lock;
	bool attached;
	char name[IFNAMSIZ];
	enum lockstep_gate_mode mode;
	struct sk_buff_head frames;
	u64 bytes;
	bool handing;
	bool full;
	bool warned;
	u64 last_index;
	u64 acked;
	u64 released_acked;
	u64 released;
	struct lockstep_gate_stats stats;
	u64 hold[LOCKSTEP_HOLD_SLOTS];
};

int lockstep_gates_init(void);		/* module: once, before any gate */
void lockstep_gates_exit(void);

void lockstep_gate_init(struct lockstep_gate *gate, const struct lockstep_gate_ops *ops,
			void *priv);
void lockstep_gate_exit(struct lockstep_gate *gate);

int lockstep_gate_attach(struct lockstep_gate *gate, const char *ifname, struct net *net);
void lockstep_gate_detach(struct lockstep_gate *gate);

void lockstep_gate_mode_set(struct lockstep_gate *gate, enum lockstep_gate_mode mode);
void lockstep_gate_acked(struct lockstep_gate *gate, u64 lsn, u64 released_acked);

void lockstep_gate_stats_get(struct lockstep_gate *gate, struct lockstep_gate_stats *stats);
void lockstep_gate_hold_get(struct lockstep_gate *gate, u64 *hold);
bool lockstep_gate_name_get(struct lockstep_gate *gate, char name[IFNAMSIZ]);
bool lockstep_gate_is_drained(struct lockstep_gate *gate);

/**
 * lockstep_gate_released() - index of the last frame handed to the outside
 * @gate: the gate
 *
 * Any context. The hand-over of that frame, and of all before it, is over when
 * this value is seen.
 */
static inline u64 lockstep_gate_released(const struct lockstep_gate *gate)
{
	return smp_load_acquire(&gate->released);	/* pairs with the hand-over */
}

/**
 * lockstep_gate_is_full() - should the guest make no more outputs for now?
 * @gate: the gate
 *
 * Any context, no lock: a hint. ops->room() is called when that is over.
 */
static inline bool lockstep_gate_is_full(const struct lockstep_gate *gate)
{
	return READ_ONCE(gate->full);
}

#endif /* _LOCKSTEP_GATE_H */
