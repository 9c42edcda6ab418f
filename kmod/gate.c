// SPDX-License-Identifier: GPL-2.0
/*
 * Output gate: see gate.h
 *
 * The gate is the last netfilter hook at ingress of the tap: policy of the host
 * that drops a frame there goes on to do so before the gate sees it. Every frame is
 * stolen, also one that may leave at once, and handed over by receiving it again
 * from behind the hooks (tc_skip_classify: taps, tc and netfilter's ingress are not
 * passed twice). So "released" is set when the hand-over is over, never before.
 *
 * The index of a frame is that of the newest OUTPUT record when it comes in. That
 * is its own as long as the tap delivers on the CPU that writes, before write(2)
 * returns: tun does so unless packets are steered to other CPUs (RPS).
 *
 * Frames are freed without having been handed over when the device goes, when the
 * mode says so, and when more are held than the bounds allow. For the guest that
 * is loss in the network, as at the end of any device's queue; a later frame's
 * hand-over covers their indexes. The owner can avoid the last case, see
 * lockstep_gate_is_full().
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ktime.h>
#include <linux/lockstep.h>
#include <linux/module.h>
#include <linux/netfilter_netdev.h>
#include <linux/rtnetlink.h>
#include <net/net_namespace.h>

#include "compat.h"
#include "gate.h"
#include "histogram.h"

#if !IS_ENABLED(CONFIG_NETFILTER_INGRESS) || !IS_ENABLED(CONFIG_NET_CLS_ACT)
#error "the output gate needs CONFIG_NETFILTER_INGRESS and CONFIG_NET_CLS_ACT"
#endif

/* How many frames a process hands over before it lets others run. */
#define GATE_BATCH	64

/* Gates that are on a device; RTNL. */
static LIST_HEAD(gates);

/**
 * struct gate_frame - in skb->cb of a held frame
 * @lsn:   may leave when the backup has the log up to here
 * @index: of its OUTPUT record
 * @since: when it came, ktime ns
 */
struct gate_frame {
	u64 lsn;
	u64 index;
	u64 since;
};

static struct gate_frame *gate_frame(struct sk_buff *skb)
{
	BUILD_BUG_ON(sizeof(struct gate_frame) > sizeof(skb->cb));
	return (struct gate_frame *)skb->cb;
}

static void gate_full_update(struct lockstep_gate *gate, bool *room)
{
	u32 frames = skb_queue_len(&gate->frames);

	lockdep_assert_held(&gate->lock);
	gate->stats.held = frames;
	if (!gate->full) {
		if (frames > LOCKSTEP_GATE_FRAMES_SOFT || gate->bytes > LOCKSTEP_GATE_BYTES_SOFT)
			WRITE_ONCE(gate->full, true);
	} else if (frames <= LOCKSTEP_GATE_FRAMES_SOFT / 2 &&
		   gate->bytes <= LOCKSTEP_GATE_BYTES_SOFT / 2) {
		WRITE_ONCE(gate->full, false);
		*room = true;
	}
}

static void gate_room(struct lockstep_gate *gate, bool room)
{
	lockdep_assert_not_held(&gate->lock);
	if (room && gate->ops->room)
		gate->ops->room(gate->priv);
}

static struct sk_buff *gate_dequeue(struct lockstep_gate *gate)
{
	struct sk_buff *skb = __skb_dequeue(&gate->frames);

	lockdep_assert_held(&gate->lock);
	if (skb)
		gate->bytes -= skb->truesize;
	return skb;
}

/* Frees all frames; true: the owner has to be told that there is room. */
static bool gate_purge(struct lockstep_gate *gate)
{
	struct sk_buff *skb;
	bool room = false;

	lockdep_assert_held(&gate->lock);
	while ((skb = gate_dequeue(gate))) {
		gate->stats.dropped++;
		kfree_skb(skb);
	}
	gate_full_update(gate, &room);
	return room;
}

/* May the oldest frame leave? */
static bool gate_may_leave(const struct lockstep_gate *gate, struct sk_buff *skb)
{
	const struct gate_frame *frame = gate_frame(skb);

	lockdep_assert_held(&gate->lock);
	switch (gate->mode) {
	case LOCKSTEP_GATE_OPEN:
		return true;
	case LOCKSTEP_GATE_ACKED:
		/* With it out, no more than the bound may be unknown as released. */
		return frame->lsn <= gate->acked &&
		       frame->index <= gate->released_acked + LOCKSTEP_DUPLICATES_MAX;
	default:
		return false;
	}
}

/*
 * Hand one frame over: gate->lock is dropped meanwhile, BH stay off. The device
 * can't go: it is waited for an RCU grace period after gate->attached is cleared,
 * and this is an RCU reader from the look at the queue on.
 */
static void gate_hand_over(struct lockstep_gate *gate, struct sk_buff *skb)
{
	struct gate_frame frame = *gate_frame(skb);
	u64 held;

	lockdep_assert_held(&gate->lock);
	gate_dequeue(gate);
	spin_unlock(&gate->lock);

	/* Others take this room as the driver left it: zeroed. */
	memset(skb->cb, 0, sizeof(frame));
	skb->tc_skip_classify = 1;
	netif_receive_skb_core(skb);

	spin_lock(&gate->lock);
	/* Pairs with lockstep_gate_released(). */
	smp_store_release(&gate->released, frame.index);
	gate->stats.released++;
	held = ktime_get_ns() - frame.since;
	gate->stats.hold_ns += held;
	gate->stats.hold_max_ns = max(gate->stats.hold_max_ns, held);
	gate->hold[lockstep_histogram_slot(held)]++;
	if (gate->mode == LOCKSTEP_GATE_ACKED && frame.index > gate->released_acked)
		gate->stats.unacked_max = max(gate->stats.unacked_max,
					      frame.index - gate->released_acked);
}

/* Hand over what may leave. A process takes a rest now and then. */
static void gate_release(struct lockstep_gate *gate, bool process)
{
	struct sk_buff *skb;
	bool room = false;
	u32 n = 0;

	spin_lock_bh(&gate->lock);
	if (gate->handing) {
		spin_unlock_bh(&gate->lock);
		return;
	}
	gate->handing = true;
	while ((skb = skb_peek(&gate->frames)) && gate_may_leave(gate, skb)) {
		gate_hand_over(gate, skb);
		if (process && ++n % GATE_BATCH == 0) {
			spin_unlock_bh(&gate->lock);
			cond_resched();
			spin_lock_bh(&gate->lock);
		}
	}
	gate->handing = false;
	gate_full_update(gate, &room);
	spin_unlock_bh(&gate->lock);
	gate_room(gate, room);
}

/*
 * A packet socket for all protocols, tcpdump's kind, is served before netfilter's
 * ingress: whoever reads it knows of outputs that the backup may never know of.
 */
static void gate_warn_socket(struct lockstep_gate *gate, const struct net_device *dev)
{
	lockdep_assert_held(&gate->lock);
	if (gate->warned || list_empty(&dev->ptype_all))
		return;
	gate->warned = true;
	pr_warn("%s: a packet socket (tcpdump?) sees the guest's frames before its backup has them; don't let anything outside depend on it\n",
		dev->name);
}

/* Takes @skb; false: it was not to be held. */
static bool gate_enqueue(struct lockstep_gate *gate, struct sk_buff *skb)
{
	struct gate_frame *frame;
	bool room = false;

	lockdep_assert_held(&gate->lock);
	if (!gate->attached || gate->mode == LOCKSTEP_GATE_DROP ||
	    skb_queue_len(&gate->frames) >= LOCKSTEP_GATE_FRAMES_MAX ||
	    gate->bytes + skb->truesize > LOCKSTEP_GATE_BYTES_MAX) {
		gate->stats.dropped++;
		kfree_skb(skb);
		return false;
	}
	gate_warn_socket(gate, skb->dev);

	frame = gate_frame(skb);
	gate->ops->stamp(gate->priv, &frame->lsn, &frame->index);
	/* Indexes never go back: "released" relies on it. */
	frame->index = max(frame->index, gate->last_index);
	gate->last_index = frame->index;
	frame->since = ktime_get_ns();

	__skb_queue_tail(&gate->frames, skb);
	gate->bytes += skb->truesize;
	gate->stats.held_max = max_t(u64, gate->stats.held_max, skb_queue_len(&gate->frames));
	gate_full_update(gate, &room);
	return true;
}

/* Netfilter's ingress hook: softirq, or a process that writes to the tap, BH off. */
static unsigned int gate_ingress(void *priv, struct sk_buff *skb,
				 const struct nf_hook_state *state)
{
	struct lockstep_gate *gate = priv;
	bool held;

	skb = skb_share_check(skb, GFP_ATOMIC);
	if (!skb)
		return NF_STOLEN;
	/* Held frames must not count against the writer's send buffer. */
	skb_orphan(skb);

	spin_lock(&gate->lock);
	held = gate_enqueue(gate, skb);
	spin_unlock(&gate->lock);
	if (held)
		gate_release(gate, false);
	return NF_STOLEN;
}

/* Take the gate from its device. Nobody is in its hook or hands over afterwards. */
static void gate_detach(struct lockstep_gate *gate)
{
	bool room;

	ASSERT_RTNL();
	spin_lock_bh(&gate->lock);
	gate->attached = false;
	room = gate_purge(gate);
	spin_unlock_bh(&gate->lock);

	nf_unregister_net_hook(dev_net(gate->dev), &gate->nf_ops);
	synchronize_net();
	list_del_init(&gate->list);
	netdev_put(gate->dev, &gate->dev_tracker);
	gate->dev = NULL;
	gate_room(gate, room);
}

/*
 * skb->dev is not a reference: held frames have to go before the device does. A
 * move to another network namespace is an unregistration, too.
 */
static int gate_netdev_event(struct notifier_block *nb, unsigned long event, void *info)
{
	struct net_device *dev = netdev_notifier_info_to_dev(info);
	struct lockstep_gate *gate, *next;

	ASSERT_RTNL();
	if (event != NETDEV_UNREGISTER && event != NETDEV_CHANGENAME)
		return NOTIFY_DONE;
	list_for_each_entry_safe(gate, next, &gates, list) {
		if (gate->dev != dev)
			continue;
		if (event == NETDEV_UNREGISTER) {
			pr_warn("%s, the output device of a guest, is gone: the guest has none now\n",
				dev->name);
			gate_detach(gate);
			continue;
		}
		spin_lock_bh(&gate->lock);
		strscpy(gate->name, dev->name, sizeof(gate->name));
		spin_unlock_bh(&gate->lock);
	}
	return NOTIFY_DONE;
}

static struct notifier_block gate_netdev_notifier = { .notifier_call = gate_netdev_event };

/**
 * lockstep_gates_init() - watch network devices; once, before any gate
 *
 * Return: 0 or -errno
 */
int lockstep_gates_init(void)
{
	return register_netdevice_notifier(&gate_netdev_notifier);
}

/**
 * lockstep_gates_exit() - undo lockstep_gates_init(); no gate is on a device
 */
void lockstep_gates_exit(void)
{
	WARN_ON(!list_empty(&gates));
	unregister_netdevice_notifier(&gate_netdev_notifier);
}

/**
 * lockstep_gate_init() - make a gate, latched and on no device
 * @gate: where
 * @ops:  what it asks of its owner
 * @priv: for @ops
 */
void lockstep_gate_init(struct lockstep_gate *gate, const struct lockstep_gate_ops *ops,
			void *priv)
{
	memset(gate, 0, sizeof(*gate));
	gate->ops = ops;
	gate->priv = priv;
	INIT_LIST_HEAD(&gate->list);
	spin_lock_init(&gate->lock);
	__skb_queue_head_init(&gate->frames);
	gate->mode = LOCKSTEP_GATE_LATCHED;
}

/**
 * lockstep_gate_exit() - undo lockstep_gate_init() and lockstep_gate_attach()
 * @gate: the gate; nobody else calls into it any more
 *
 * Takes RTNL. Frames still held are freed.
 */
void lockstep_gate_exit(struct lockstep_gate *gate)
{
	lockstep_gate_detach(gate);
}

static void gate_warn_steering(const struct net_device *dev)
{
	unsigned int i;

	for (i = 0; i < dev->real_num_rx_queues; i++) {
		if (!lockstep_rx_is_steered(&dev->_rx[i]))
			continue;
		pr_warn("%s: received packets are steered to other CPUs (queues/rx-%u/rps_cpus): outputs may be reported as released too early; write 0 there\n",
			dev->name, i);
		return;
	}
}

static struct net_device *gate_device_find(const char *ifname, struct net *net)
{
	struct net_device *dev = __dev_get_by_name(net, ifname);
	struct lockstep_gate *other;

	if (!dev)
		return ERR_PTR(-ENODEV);
	list_for_each_entry(other, &gates, list)
		if (other->dev == dev)
			return ERR_PTR(-EBUSY);
	return dev;
}

/**
 * lockstep_gate_attach() - put a gate on a device
 * @gate:   a gate that is on no device (else -EALREADY)
 * @ifname: name of the device
 * @net:    its network namespace
 *
 * The mode is what it was: latched for a new gate. From the return on, no frame
 * comes through but by the gate. Process context, takes RTNL: no lock may be held
 * that is taken under RTNL, vcpu->mutex neither.
 *
 * Return: 0; -ENODEV (no such device), -EBUSY (another gate is on it), -EALREADY,
 * or what netfilter says
 */
int lockstep_gate_attach(struct lockstep_gate *gate, const char *ifname, struct net *net)
{
	struct net_device *dev;
	int ret;

	rtnl_lock();
	if (gate->dev) {
		ret = -EALREADY;
		goto out;
	}
	dev = gate_device_find(ifname, net);
	if (IS_ERR(dev)) {
		ret = PTR_ERR(dev);
		goto out;
	}

	spin_lock_bh(&gate->lock);
	gate->attached = true;
	gate->warned = false;
	strscpy(gate->name, dev->name, sizeof(gate->name));
	spin_unlock_bh(&gate->lock);

	gate->nf_ops = (struct nf_hook_ops) {
		.hook = gate_ingress,
		.dev = dev,
		.priv = gate,
		.pf = NFPROTO_NETDEV,
		.hooknum = NF_NETDEV_INGRESS,
		.priority = INT_MAX,
	};
	ret = nf_register_net_hook(net, &gate->nf_ops);
	if (ret) {
		spin_lock_bh(&gate->lock);
		gate->attached = false;
		spin_unlock_bh(&gate->lock);
		goto out;
	}
	/* Receivers that looked before the hook was there go past it: wait for them. */
	synchronize_net();
	netdev_hold(dev, &gate->dev_tracker, GFP_KERNEL);
	gate->dev = dev;
	list_add_tail(&gate->list, &gates);
	gate_warn_steering(dev);
out:
	rtnl_unlock();
	return ret;
}

/**
 * lockstep_gate_detach() - take a gate from its device, if it is on one
 * @gate: the gate
 *
 * Frames held are freed. The mode stays. Process context, takes RTNL.
 */
void lockstep_gate_detach(struct lockstep_gate *gate)
{
	rtnl_lock();
	if (gate->dev)
		gate_detach(gate);
	rtnl_unlock();
}

/**
 * lockstep_gate_mode_set() - say what happens to frames from now on
 * @gate: the gate
 * @mode: enum lockstep_gate_mode
 *
 * Process context, unless @mode is LOCKSTEP_GATE_LATCHED, which may be set in softirq
 * context, too. A frame whose hand-over has begun by then is not called back: it
 * was allowed to leave. All others follow the new mode, those held as well.
 */
void lockstep_gate_mode_set(struct lockstep_gate *gate, enum lockstep_gate_mode mode)
{
	bool room = false;

	spin_lock_bh(&gate->lock);
	gate->mode = mode;
	if (mode == LOCKSTEP_GATE_DROP)
		room = gate_purge(gate);
	spin_unlock_bh(&gate->lock);
	gate_room(gate, room);
	if (mode == LOCKSTEP_GATE_OPEN || mode == LOCKSTEP_GATE_ACKED)
		gate_release(gate, true);
}

/**
 * lockstep_gate_acked() - the backup has acknowledged
 * @gate:  the gate
 * @lsn:   it holds the log up to here
 * @released_acked: it knows of outputs released up to this index
 *
 * Neither goes back: an older ack changes nothing. Hands over what may leave now,
 * unless somebody else is at it. Process context.
 */
void lockstep_gate_acked(struct lockstep_gate *gate, u64 lsn, u64 released_acked)
{
	spin_lock_bh(&gate->lock);
	gate->acked = max(gate->acked, lsn);
	gate->released_acked = max(gate->released_acked, released_acked);
	spin_unlock_bh(&gate->lock);
	gate_release(gate, true);
}

/**
 * lockstep_gate_is_drained() - has every frame that came in left, or been freed?
 * @gate: the gate
 *
 * Any context. Frames whose write to the tap has returned have come in. (The index
 * released last is no such sign: a frame may get lost before the gate.)
 *
 * Return: true if nothing is held or being handed over
 */
bool lockstep_gate_is_drained(struct lockstep_gate *gate)
{
	bool drained;

	spin_lock_bh(&gate->lock);
	drained = !gate->handing && skb_queue_empty(&gate->frames);
	spin_unlock_bh(&gate->lock);
	return drained;
}

/**
 * lockstep_gate_stats_get() - read the counters
 * @gate:  the gate
 * @stats: where they go, one consistent set
 */
void lockstep_gate_stats_get(struct lockstep_gate *gate, struct lockstep_gate_stats *stats)
{
	spin_lock_bh(&gate->lock);
	*stats = gate->stats;
	stats->held = skb_queue_len(&gate->frames);
	spin_unlock_bh(&gate->lock);
}

/**
 * lockstep_gate_hold_get() - how long were frames held?
 * @gate: the gate
 * @hold: LOCKSTEP_HOLD_SLOTS numbers of frames, see histogram.h
 */
void lockstep_gate_hold_get(struct lockstep_gate *gate, u64 *hold)
{
	spin_lock_bh(&gate->lock);
	memcpy(hold, gate->hold, sizeof(gate->hold));
	spin_unlock_bh(&gate->lock);
}

/**
 * lockstep_gate_name_get() - which device is the gate on?
 * @gate: the gate
 * @name: its name, empty if there is none
 *
 * Return: true if there is one
 */
bool lockstep_gate_name_get(struct lockstep_gate *gate, char name[IFNAMSIZ])
{
	bool attached;

	spin_lock_bh(&gate->lock);
	attached = gate->attached;
	strscpy(name, attached ? gate->name : "", IFNAMSIZ);
	spin_unlock_bh(&gate->lock);
	return attached;
}
