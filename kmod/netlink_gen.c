// SPDX-License-Identifier: GPL-2.0
/* Made of specs/lockstep.yaml by scripts/netlink-gen: do not edit. */

#include "netlink_gen.h"

static_assert(LOCKSTEP_A_PAD == 1);
static_assert(LOCKSTEP_A_ID == 2);
static_assert(LOCKSTEP_A_NAME == 3);
static_assert(LOCKSTEP_A_UUID == 4);
static_assert(LOCKSTEP_A_INSTANCE == 5);
static_assert(LOCKSTEP_A_PEER == 6);
static_assert(LOCKSTEP_A_STATE == 7);
static_assert(LOCKSTEP_A_OLD_STATE == 8);
static_assert(LOCKSTEP_A_EVENT == 9);
static_assert(LOCKSTEP_A_GENERATION == 10);
static_assert(LOCKSTEP_A_FLAGS == 11);
static_assert(LOCKSTEP_A_BATCH == 12);
static_assert(LOCKSTEP_A_ACK == 13);
static_assert(LOCKSTEP_A_LSN == 14);
static_assert(LOCKSTEP_A_COUNTER == 15);
static_assert(LOCKSTEP_A_DIVERGENCE == 16);
static_assert(LOCKSTEP_A_STATS == 17);
static_assert(LOCKSTEP_A_BOUND == 18);
static_assert(LOCKSTEP_A_VMM_PID == 19);
static_assert(LOCKSTEP_A_OUTPUT_DEV == 20);
static_assert(LOCKSTEP_A_LOG_SIZE == 21);
static_assert(LOCKSTEP_A_LAG_LIMIT_MS == 22);
static_assert(LOCKSTEP_A_SILENCE_MS == 23);
static_assert(LOCKSTEP_A_HOLD == 24);
static_assert(LOCKSTEP_CMD_GUEST_GET == 1);
static_assert(LOCKSTEP_CMD_BIND == 2);
static_assert(LOCKSTEP_CMD_ALIVE == 3);
static_assert(LOCKSTEP_CMD_EVENT == 4);
static_assert(LOCKSTEP_CMD_FEED == 5);
static_assert(LOCKSTEP_CMD_ACKED == 6);
static_assert(LOCKSTEP_CMD_REWIND == 7);
static_assert(LOCKSTEP_CMD_LOG == 8);
static_assert(LOCKSTEP_CMD_ACK == 9);
static_assert(LOCKSTEP_CMD_STATE == 10);
static_assert(LOCKSTEP_CMD_SET == 11);

static struct netlink_range_validation lag_limit_ms_range = {
	.min = 0, .max = 60000,
};

static struct netlink_range_validation silence_ms_range = {
	.min = 50, .max = 60000,
};

static const struct nla_policy guest_get_policy[LOCKSTEP_A_NAME + 1] = {
	[LOCKSTEP_A_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[LOCKSTEP_A_NAME] = { .type = NLA_NUL_STRING, .len = 31 },
};

static const struct nla_policy bind_policy[LOCKSTEP_A_ID + 1] = {
	[LOCKSTEP_A_ID] = NLA_POLICY_MIN(NLA_U32, 1),
};

static const struct nla_policy alive_policy[LOCKSTEP_A_ID + 1] = {
	[LOCKSTEP_A_ID] = NLA_POLICY_MIN(NLA_U32, 1),
};

static const struct nla_policy event_policy[LOCKSTEP_A_GENERATION + 1] = {
	[LOCKSTEP_A_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[LOCKSTEP_A_EVENT] = NLA_POLICY_RANGE(NLA_U32, 1, 31),
	[LOCKSTEP_A_GENERATION] = NLA_POLICY_MIN(NLA_U64, 1),
	[LOCKSTEP_A_PEER] = NLA_POLICY_EXACT_LEN(16),
};

static const struct nla_policy feed_policy[LOCKSTEP_A_BATCH + 1] = {
	[LOCKSTEP_A_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[LOCKSTEP_A_GENERATION] = NLA_POLICY_MIN(NLA_U64, 1),
	[LOCKSTEP_A_PEER] = NLA_POLICY_EXACT_LEN(16),
	[LOCKSTEP_A_BATCH] = NLA_POLICY_MIN_LEN(80),
};

static const struct nla_policy acked_policy[LOCKSTEP_A_ACK + 1] = {
	[LOCKSTEP_A_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[LOCKSTEP_A_GENERATION] = NLA_POLICY_MIN(NLA_U64, 1),
	[LOCKSTEP_A_PEER] = NLA_POLICY_EXACT_LEN(16),
	[LOCKSTEP_A_ACK] = NLA_POLICY_EXACT_LEN(64),
};

static const struct nla_policy rewind_policy[LOCKSTEP_A_LSN + 1] = {
	[LOCKSTEP_A_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[LOCKSTEP_A_LSN] = { .type = NLA_U64 },
};

static const struct nla_policy set_policy[LOCKSTEP_A_SILENCE_MS + 1] = {
	[LOCKSTEP_A_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[LOCKSTEP_A_LAG_LIMIT_MS] = NLA_POLICY_FULL_RANGE(NLA_U32, &lag_limit_ms_range),
	[LOCKSTEP_A_SILENCE_MS] = NLA_POLICY_FULL_RANGE(NLA_U32, &silence_ms_range),
};

const struct genl_ops lockstep_nl_ops[8] = {
	{
		.cmd = LOCKSTEP_CMD_GUEST_GET,
		.doit = lockstep_nl_guest_get_doit,
		.dumpit = lockstep_nl_guest_get_dumpit,
		.policy = guest_get_policy,
		.maxattr = LOCKSTEP_A_NAME,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = LOCKSTEP_CMD_BIND,
		.doit = lockstep_nl_bind_doit,
		.policy = bind_policy,
		.maxattr = LOCKSTEP_A_ID,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = LOCKSTEP_CMD_ALIVE,
		.doit = lockstep_nl_alive_doit,
		.policy = alive_policy,
		.maxattr = LOCKSTEP_A_ID,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = LOCKSTEP_CMD_EVENT,
		.doit = lockstep_nl_event_doit,
		.policy = event_policy,
		.maxattr = LOCKSTEP_A_GENERATION,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = LOCKSTEP_CMD_FEED,
		.doit = lockstep_nl_feed_doit,
		.policy = feed_policy,
		.maxattr = LOCKSTEP_A_BATCH,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = LOCKSTEP_CMD_ACKED,
		.doit = lockstep_nl_acked_doit,
		.policy = acked_policy,
		.maxattr = LOCKSTEP_A_ACK,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = LOCKSTEP_CMD_REWIND,
		.doit = lockstep_nl_rewind_doit,
		.policy = rewind_policy,
		.maxattr = LOCKSTEP_A_LSN,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = LOCKSTEP_CMD_SET,
		.doit = lockstep_nl_set_doit,
		.policy = set_policy,
		.maxattr = LOCKSTEP_A_SILENCE_MS,
		.flags = GENL_ADMIN_PERM,
	},
};
