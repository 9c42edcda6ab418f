/* SPDX-License-Identifier: GPL-2.0 */
/* Made of specs/lockstep.yaml by scripts/netlink-gen: do not edit. */

#ifndef LOCKSTEP_NETLINK_GEN_H
#define LOCKSTEP_NETLINK_GEN_H

#include <net/genetlink.h>
#include <linux/lockstep.h>

int lockstep_nl_guest_get_doit(struct sk_buff *skb, struct genl_info *info);
int lockstep_nl_guest_get_dumpit(struct sk_buff *skb,
				struct netlink_callback *cb);
int lockstep_nl_bind_doit(struct sk_buff *skb, struct genl_info *info);
int lockstep_nl_alive_doit(struct sk_buff *skb, struct genl_info *info);
int lockstep_nl_event_doit(struct sk_buff *skb, struct genl_info *info);
int lockstep_nl_feed_doit(struct sk_buff *skb, struct genl_info *info);
int lockstep_nl_acked_doit(struct sk_buff *skb, struct genl_info *info);
int lockstep_nl_rewind_doit(struct sk_buff *skb, struct genl_info *info);
int lockstep_nl_set_doit(struct sk_buff *skb, struct genl_info *info);

extern const struct genl_ops lockstep_nl_ops[8];

#endif
