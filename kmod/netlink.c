// SPDX-License-Identifier: GPL-2.0
/*
 * The generic netlink family "lockstep" (specs/lockstep.yaml)
 *
 * Operations run in parallel; guest->lock orders what matters.  The log goes to
 * the bound socket by a blocking unicast from the sender's thread; state changes
 * are multicast and may be lost by a slow reader, who then sees an overrun and
 * dumps.
 */
#include <linux/netlink.h>
#include <linux/skbuff.h>
#include <net/genetlink.h>
#include <net/sock.h>
#include "netlink.h"
#include "netlink_gen.h"
#include "sender.h"

static struct genl_family family;

static struct lockstep_guest *guest_of(struct genl_info *info)
{
	struct nlattr *id = info->attrs[LOCKSTEP_A_ID];
	struct lockstep_guest *guest;

	if (!id) {
		GENL_SET_ERR_MSG(info, "no guest named (id)");
		return ERR_PTR(-EINVAL);
	}
	guest = lockstep_guest_find(nla_get_u32(id));
	if (!guest) {
		GENL_SET_ERR_MSG(info, "no such guest");
		return ERR_PTR(-ENODEV);
	}
	return guest;
}

/* The guest, if the sender is its daemon; every call of a daemon shows it lives. */
static struct lockstep_guest *guest_of_daemon(struct genl_info *info)
{
	struct lockstep_guest *guest = guest_of(info);

	if (!IS_ERR(guest) && lockstep_guest_alive(guest, info->snd_portid)) {
		GENL_SET_ERR_MSG(info, "this socket is not bound to the guest");
		lockstep_guest_put(guest);
		return ERR_PTR(-EPERM);
	}
	return guest;
}

/* ---- what is told ---- */

static int divergence_put(struct sk_buff *skb, const struct lockstep_divergence_info *d)
{
	struct nlattr *nest;

	if (!d->reason)
		return 0;
	nest = nla_nest_start(skb, LOCKSTEP_A_DIVERGENCE);
	if (!nest || nla_put_u32(skb, LOCKSTEP_D_REASON, d->reason) ||
	    nla_put_u64_64bit(skb, LOCKSTEP_D_COUNT, d->pos.count, LOCKSTEP_D_PAD) ||
	    nla_put_u64_64bit(skb, LOCKSTEP_D_RIP, d->pos.rip, LOCKSTEP_D_PAD) ||
	    nla_put_u64_64bit(skb, LOCKSTEP_D_RCX, d->pos.rcx, LOCKSTEP_D_PAD) ||
	    nla_put_u64_64bit(skb, LOCKSTEP_D_LSN, d->lsn, LOCKSTEP_D_PAD) ||
	    nla_put_u64_64bit(skb, LOCKSTEP_D_EXPECTED, d->expected, LOCKSTEP_D_PAD) ||
	    nla_put_u64_64bit(skb, LOCKSTEP_D_FOUND, d->found, LOCKSTEP_D_PAD))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int identity_put(struct sk_buff *skb, const struct lockstep_guest *guest, u32 flags)
{
	if (nla_put_u32(skb, LOCKSTEP_A_ID, guest->id) ||
	    nla_put_string(skb, LOCKSTEP_A_NAME, guest->name) ||
	    nla_put(skb, LOCKSTEP_A_UUID, sizeof(guest->uuid), guest->uuid) ||
	    nla_put(skb, LOCKSTEP_A_INSTANCE, sizeof(guest->instance), guest->instance) ||
	    nla_put(skb, LOCKSTEP_A_PEER, sizeof(guest->peer), guest->peer) ||
	    nla_put_u32(skb, LOCKSTEP_A_STATE, guest->state) ||
	    nla_put_u64_64bit(skb, LOCKSTEP_A_GENERATION, guest->generation, LOCKSTEP_A_PAD) ||
	    nla_put_u32(skb, LOCKSTEP_A_FLAGS, guest->flags | flags))
		return -EMSGSIZE;
	return divergence_put(skb, &guest->diverged);
}

static int stats_put(struct sk_buff *skb, struct lockstep_guest *guest)
{
	struct nlattr *nest = nla_nest_start(skb, LOCKSTEP_A_STATS);
	u64 values[LOCKSTEP_S_MAX + 1];
	unsigned int i;

	if (!nest)
		return -EMSGSIZE;
	lockstep_guest_stats_get(guest, values);
	for (i = LOCKSTEP_S_PAD + 1; i <= LOCKSTEP_S_MAX; i++)
		if (nla_put_u64_64bit(skb, i, values[i], LOCKSTEP_S_PAD))
			return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int hold_put(struct sk_buff *skb, struct lockstep_guest *guest)
{
	struct nlattr *attr = nla_reserve(skb, LOCKSTEP_A_HOLD, LOCKSTEP_HOLD_SLOTS * sizeof(u64));

	if (!attr)
		return -EMSGSIZE;
	lockstep_gate_hold_get(&guest->gate, nla_data(attr));
	return 0;
}

static int guest_put(struct sk_buff *skb, struct lockstep_guest *guest, u32 portid, u32 seq,
		     int flags)
{
	void *head = genlmsg_put(skb, portid, seq, &family, flags, LOCKSTEP_CMD_GUEST_GET);
	char dev[IFNAMSIZ] = "";
	int ret = -EMSGSIZE;

	if (!head)
		return ret;
	lockstep_gate_name_get(&guest->gate, dev);
	mutex_lock(&guest->lock);
	if (!identity_put(skb, guest, 0) && !stats_put(skb, guest) && !hold_put(skb, guest) &&
	    !nla_put_u32(skb, LOCKSTEP_A_COUNTER, guest->forced.pmc.kind) &&
	    !nla_put_u32(skb, LOCKSTEP_A_BOUND, !!guest->portid) &&
	    !nla_put_u32(skb, LOCKSTEP_A_VMM_PID, guest->vmm_pid) &&
	    !nla_put_string(skb, LOCKSTEP_A_OUTPUT_DEV, dev) &&
	    !nla_put_u32(skb, LOCKSTEP_A_LOG_SIZE, guest->log.size) &&
	    !nla_put_u32(skb, LOCKSTEP_A_LAG_LIMIT_MS, guest->lag_limit_ms) &&
	    !nla_put_u32(skb, LOCKSTEP_A_SILENCE_MS, guest->silence_ms))
		ret = 0;
	mutex_unlock(&guest->lock);
	if (ret)
		genlmsg_cancel(skb, head);
	else
		genlmsg_end(skb, head);
	return ret;
}

/**
 * lockstep_netlink_state_send - tell everybody who listens
 * @guest: its lock is held
 * @old:   state before
 * @event: what happened
 * @flags: LOCKSTEP_FLAG_NEW or _GONE, besides the guest's own
 */
void lockstep_netlink_state_send(struct lockstep_guest *guest, u32 old, u32 event, u32 flags)
{
	struct sk_buff *skb;
	void *head;

	lockdep_assert_held(&guest->lock);
	skb = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	if (!skb)
		return;
	head = genlmsg_put(skb, 0, 0, &family, 0, LOCKSTEP_CMD_STATE);
	if (!head || identity_put(skb, guest, flags) ||
	    nla_put_u32(skb, LOCKSTEP_A_OLD_STATE, old) ||
	    nla_put_u32(skb, LOCKSTEP_A_EVENT, event)) {
		nlmsg_free(skb);
		return;
	}
	genlmsg_end(skb, head);
	genlmsg_multicast(&family, skb, 0, 0, GFP_KERNEL);
}

static struct sk_buff *unicast_new(struct lockstep_guest *guest, u8 cmd, size_t room, void **head)
{
	struct sk_buff *skb = genlmsg_new(room + 128, GFP_KERNEL);

	if (!skb)
		return NULL;
	*head = genlmsg_put(skb, 0, 0, &family, 0, cmd);
	if (!*head || nla_put_u32(skb, LOCKSTEP_A_ID, guest->id) ||
	    nla_put_u64_64bit(skb, LOCKSTEP_A_GENERATION, READ_ONCE(guest->generation),
			      LOCKSTEP_A_PAD) ||
	    nla_put(skb, LOCKSTEP_A_INSTANCE, sizeof(guest->instance), guest->instance)) {
		nlmsg_free(skb);
		return NULL;
	}
	return skb;
}

/**
 * lockstep_netlink_log_send - a batch to the daemon; sleeps while it is slow
 * @guest:  sender's thread
 * @portid: the daemon's socket
 * @batch:  sealed
 * @len:    its bytes
 *
 * Returns 0 or -errno: nobody there, or interrupted.
 */
int lockstep_netlink_log_send(struct lockstep_guest *guest, u32 portid, const void *batch,
			      size_t len)
{
	struct sk_buff *skb;
	void *head;
	int ret;

	skb = unicast_new(guest, LOCKSTEP_CMD_LOG, nla_total_size(len), &head);
	if (!skb)
		return -ENOMEM;
	if (nla_put(skb, LOCKSTEP_A_BATCH, len, batch)) {
		nlmsg_free(skb);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, head);
	ret = netlink_unicast(init_net.genl_sock, skb, portid, 0);
	return ret < 0 ? ret : 0;
}

/**
 * lockstep_netlink_ack_send - what the twin has, to its daemon
 * @guest:  process context
 * @portid: the daemon's socket
 * @wait:   sleep while it is slow
 *
 * Returns 0 or -errno.
 */
int lockstep_netlink_ack_send(struct lockstep_guest *guest, u32 portid, bool wait)
{
	struct lockstep_ack ack;
	struct sk_buff *skb;
	void *head;
	int ret;

	skb = unicast_new(guest, LOCKSTEP_CMD_ACK, nla_total_size(sizeof(ack)), &head);
	if (!skb)
		return -ENOMEM;
	lockstep_guest_ack_fill(guest, &ack);
	if (nla_put(skb, LOCKSTEP_A_ACK, sizeof(ack), &ack)) {
		nlmsg_free(skb);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, head);
	ret = netlink_unicast(init_net.genl_sock, skb, portid, wait ? 0 : MSG_DONTWAIT);
	return ret < 0 ? ret : 0;
}

/* ---- what is asked ---- */

int lockstep_nl_guest_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *name = info->attrs[LOCKSTEP_A_NAME];
	struct lockstep_guest *guest;
	struct sk_buff *reply;
	int ret;

	if (name && !info->attrs[LOCKSTEP_A_ID])
		guest = lockstep_guest_find_name(nla_data(name)) ?: ERR_PTR(-ENODEV);
	else
		guest = guest_of(info);
	if (IS_ERR(guest))
		return PTR_ERR(guest);
	ret = -ENOMEM;
	reply = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	if (reply)
		ret = guest_put(reply, guest, info->snd_portid, info->snd_seq, 0);
	lockstep_guest_put(guest);
	if (ret) {
		nlmsg_free(reply);
		return ret;
	}
	return genlmsg_reply(reply, info);
}

int lockstep_nl_guest_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct lockstep_guest *guest;

	mutex_lock(&lockstep_guests_lock);
	list_for_each_entry(guest, &lockstep_guests, node) {
		if (guest->id <= cb->args[0])	/* ids grow along the list */
			continue;
		if (guest_put(skb, guest, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
			      NLM_F_MULTI))
			break;
		cb->args[0] = guest->id;
	}
	mutex_unlock(&lockstep_guests_lock);
	return skb->len;
}

int lockstep_nl_bind_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct lockstep_guest *guest = guest_of(info);
	int ret;

	if (IS_ERR(guest))
		return PTR_ERR(guest);
	ret = lockstep_guest_bind(guest, info->snd_portid);
	if (ret == -EBUSY)
		GENL_SET_ERR_MSG(info, "another daemon serves this guest");
	lockstep_guest_put(guest);
	return ret;
}

int lockstep_nl_alive_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct lockstep_guest *guest = guest_of_daemon(info);

	if (IS_ERR(guest))
		return PTR_ERR(guest);
	lockstep_guest_put(guest);
	return 0;
}

int lockstep_nl_event_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *generation = info->attrs[LOCKSTEP_A_GENERATION];
	struct nlattr *event = info->attrs[LOCKSTEP_A_EVENT];
	struct nlattr *peer = info->attrs[LOCKSTEP_A_PEER];
	struct lockstep_event_args args = {
		.generation = generation ? nla_get_u64(generation) : 0,
		.peer = peer ? nla_data(peer) : NULL,
	};
	struct lockstep_guest *guest;
	int ret;

	if (!event)
		return -EINVAL;
	guest = guest_of_daemon(info);
	if (IS_ERR(guest))
		return PTR_ERR(guest);
	ret = lockstep_guest_event(guest, nla_get_u32(event), &args);
	if (ret == -ENOENT)
		GENL_SET_ERR_MSG(info, "the guest's state does not list this event");
	else if (ret == -EOPNOTSUPP)
		GENL_SET_ERR_MSG(info, "a running guest can't be given a backup: start the pair together");
	lockstep_guest_put(guest);
	return ret;
}

int lockstep_nl_feed_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *generation = info->attrs[LOCKSTEP_A_GENERATION];
	struct nlattr *batch = info->attrs[LOCKSTEP_A_BATCH];
	struct nlattr *peer = info->attrs[LOCKSTEP_A_PEER];
	struct lockstep_guest *guest;
	int ret;

	if (!generation || !batch || !peer)
		return -EINVAL;
	guest = guest_of_daemon(info);
	if (IS_ERR(guest))
		return PTR_ERR(guest);
	ret = lockstep_guest_feed(guest, nla_get_u64(generation), nla_data(peer),
				  nla_data(batch), nla_len(batch));
	/* no thread switch on the way of an ack; the sender has another try */
	if (!ret && lockstep_netlink_ack_send(guest, info->snd_portid, false)) {
		WRITE_ONCE(guest->ack_due, true);
		lockstep_sender_flush(guest);
	}
	lockstep_guest_put(guest);
	return ret;
}

int lockstep_nl_acked_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *generation = info->attrs[LOCKSTEP_A_GENERATION];
	struct nlattr *peer = info->attrs[LOCKSTEP_A_PEER];
	struct nlattr *data = info->attrs[LOCKSTEP_A_ACK];
	struct lockstep_guest *guest;
	struct lockstep_ack ack;
	int ret;

	if (!generation || !peer || !data)
		return -EINVAL;
	guest = guest_of_daemon(info);
	if (IS_ERR(guest))
		return PTR_ERR(guest);
	nla_memcpy(&ack, data, sizeof(ack));
	ret = lockstep_guest_ack(guest, nla_get_u64(generation), nla_data(peer), &ack);
	lockstep_guest_put(guest);
	return ret;
}

int lockstep_nl_rewind_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *lsn = info->attrs[LOCKSTEP_A_LSN];
	struct lockstep_guest *guest;
	int ret;

	if (!lsn)
		return -EINVAL;
	guest = guest_of_daemon(info);
	if (IS_ERR(guest))
		return PTR_ERR(guest);
	ret = lockstep_sender_rewind(guest, nla_get_u64(lsn));
	lockstep_guest_put(guest);
	return ret;
}

int lockstep_nl_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *lag = info->attrs[LOCKSTEP_A_LAG_LIMIT_MS];
	struct nlattr *silence = info->attrs[LOCKSTEP_A_SILENCE_MS];
	struct lockstep_guest *guest = guest_of(info);

	if (IS_ERR(guest))
		return PTR_ERR(guest);
	if (lag)
		WRITE_ONCE(guest->lag_limit_ms, nla_get_u32(lag));
	if (silence)
		lockstep_guest_silence_set(guest, nla_get_u32(silence));
	lockstep_guest_put(guest);
	return 0;
}

/* ---- the family ---- */

/* A socket was closed: the guests it served have lost their daemon. */
static int socket_event(struct notifier_block *nb, unsigned long event, void *data)
{
	struct netlink_notify *notify = data;
	struct lockstep_guest *guest;

	if (event != NETLINK_URELEASE || notify->protocol != NETLINK_GENERIC ||
	    !net_eq(notify->net, &init_net))
		return NOTIFY_DONE;
	mutex_lock(&lockstep_guests_lock);
	list_for_each_entry(guest, &lockstep_guests, node)
		lockstep_guest_unbind(guest, notify->portid);
	mutex_unlock(&lockstep_guests_lock);
	return NOTIFY_DONE;
}

static struct notifier_block socket_notifier = { .notifier_call = socket_event };

static const struct genl_multicast_group groups[] = {
	{ .name = LOCKSTEP_GENL_EVENTS },
};

static struct genl_family family = {
	.name = LOCKSTEP_GENL_NAME,
	.version = LOCKSTEP_GENL_VERSION,
	.maxattr = LOCKSTEP_A_MAX,
	.module = THIS_MODULE,
	.parallel_ops = true,
	.ops = lockstep_nl_ops,
	.n_ops = ARRAY_SIZE(lockstep_nl_ops),
	.resv_start_op = LOCKSTEP_CMD_UNSPEC + 1,
	.mcgrps = groups,
	.n_mcgrps = ARRAY_SIZE(groups),
};

/**
 * lockstep_netlink_init - register the family
 *
 * Returns 0 or -errno.
 */
int lockstep_netlink_init(void)
{
	int ret = netlink_register_notifier(&socket_notifier);

	if (ret)
		return ret;
	ret = genl_register_family(&family);
	if (ret)
		netlink_unregister_notifier(&socket_notifier);
	return ret;
}

/**
 * lockstep_netlink_exit - unregister it; waits for operations that run
 */
void lockstep_netlink_exit(void)
{
	genl_unregister_family(&family);
	netlink_unregister_notifier(&socket_notifier);
}
