// SPDX-License-Identifier: GPL-2.0
/* Attributes of a guest, see info.h. */
#include "lockstepd/info.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <netlink/attr.h>

#include "common/json.h"
#include "kmod/histogram.h"
#include "kmod/state.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

static struct nla_policy policy[LOCKSTEP_A_MAX + 1] = {
	[LOCKSTEP_A_ID] = { .type = NLA_U32 },
	[LOCKSTEP_A_NAME] = { .type = NLA_STRING, .maxlen = LOCKSTEP_NAME_MAX },
	[LOCKSTEP_A_UUID] = { .minlen = LOCKSTEP_UUID_LEN, .maxlen = LOCKSTEP_UUID_LEN },
	[LOCKSTEP_A_INSTANCE] = { .minlen = LOCKSTEP_UUID_LEN, .maxlen = LOCKSTEP_UUID_LEN },
	[LOCKSTEP_A_PEER] = { .minlen = LOCKSTEP_UUID_LEN, .maxlen = LOCKSTEP_UUID_LEN },
	[LOCKSTEP_A_STATE] = { .type = NLA_U32 },
	[LOCKSTEP_A_OLD_STATE] = { .type = NLA_U32 },
	[LOCKSTEP_A_EVENT] = { .type = NLA_U32 },
	[LOCKSTEP_A_GENERATION] = { .type = NLA_U64 },
	[LOCKSTEP_A_FLAGS] = { .type = NLA_U32 },
	[LOCKSTEP_A_COUNTER] = { .type = NLA_U32 },
	[LOCKSTEP_A_DIVERGENCE] = { .type = NLA_NESTED },
	[LOCKSTEP_A_STATS] = { .type = NLA_NESTED },
	[LOCKSTEP_A_BOUND] = { .type = NLA_U32 },
	[LOCKSTEP_A_VMM_PID] = { .type = NLA_U32 },
	[LOCKSTEP_A_OUTPUT_DEV] = { .type = NLA_STRING, .maxlen = 16 },
	[LOCKSTEP_A_LOG_SIZE] = { .type = NLA_U32 },
	[LOCKSTEP_A_LAG_LIMIT_MS] = { .type = NLA_U32 },
	[LOCKSTEP_A_SILENCE_MS] = { .type = NLA_U32 },
	[LOCKSTEP_A_HOLD] = { .minlen = LOCKSTEP_HOLD_SLOTS * sizeof(uint64_t),
			      .maxlen = LOCKSTEP_HOLD_SLOTS * sizeof(uint64_t) },
};

static const char *const stats[] = {
	[LOCKSTEP_S_LSN] = "lsn",
	[LOCKSTEP_S_ACKED] = "acked",
	[LOCKSTEP_S_EXECUTED] = "executed",
	[LOCKSTEP_S_RECORDS] = "records",
	[LOCKSTEP_S_TSC] = "tsc",
	[LOCKSTEP_S_INPUTS] = "inputs",
	[LOCKSTEP_S_OUTPUTS] = "outputs",
	[LOCKSTEP_S_HELD] = "held",
	[LOCKSTEP_S_HELD_MAX] = "held_max",
	[LOCKSTEP_S_RELEASED] = "released",
	[LOCKSTEP_S_HOLD_NS] = "hold_ns",
	[LOCKSTEP_S_DROPPED] = "dropped",
	[LOCKSTEP_S_BATCHES] = "batches",
	[LOCKSTEP_S_ACKS] = "acks",
	[LOCKSTEP_S_LOG_FULL] = "log_full",
	[LOCKSTEP_S_LAG_BYTES] = "lag_bytes",
	[LOCKSTEP_S_LAG_NS] = "lag_ns",
	[LOCKSTEP_S_LAG_MAX_NS] = "lag_max_ns",
	[LOCKSTEP_S_THROTTLE_NS] = "throttle_ns",
	[LOCKSTEP_S_CLOCK] = "clock",
	[LOCKSTEP_S_STOPS] = "stops",
	[LOCKSTEP_S_IGNORED_EVENTS] = "ignored_events",
	[LOCKSTEP_S_DIVERGENCES] = "divergences",
	[LOCKSTEP_S_DUPLICATES_MAX] = "duplicates_max",
	[LOCKSTEP_S_FORCED] = "forced",
	[LOCKSTEP_S_STEPS] = "steps",
	[LOCKSTEP_S_HOLD_MAX_NS] = "hold_max_ns",
	[LOCKSTEP_S_STEPS_MEDIAN] = "steps_median",
};

static const char *const divergences[] = {
	[LOCKSTEP_DIVERGENCE_NONE] = "none",
	[LOCKSTEP_DIVERGENCE_POSITION] = "position",
	[LOCKSTEP_DIVERGENCE_RIP] = "instruction",
	[LOCKSTEP_DIVERGENCE_REGISTERS] = "registers",
	[LOCKSTEP_DIVERGENCE_TYPE] = "kind of event",
	[LOCKSTEP_DIVERGENCE_OUTPUT] = "output",
	[LOCKSTEP_DIVERGENCE_STATE] = "whole state",
	[LOCKSTEP_DIVERGENCE_LOG] = "undecodable log",
	[LOCKSTEP_DIVERGENCE_VMM] = "start state or disk",
	[LOCKSTEP_DIVERGENCE_STALL] = "stands still",
};

static const struct {
	uint32_t flag;
	const char *name;
} flags[] = {
	{ LOCKSTEP_FLAG_DRAINED, "drained" },
	{ LOCKSTEP_FLAG_CLAIMED, "claimed" },
	{ LOCKSTEP_FLAG_POWEROFF, "poweroff" },
	{ LOCKSTEP_FLAG_TWIN, "twin" },
	{ LOCKSTEP_FLAG_WAIT, "wait" },
	{ LOCKSTEP_FLAG_LOG_FULL, "log_full" },
};

const char *lockstep_stat_name(unsigned int stat)
{
	return stat < ARRAY_SIZE(stats) && stats[stat] ? stats[stat] : "?";
}

const char *lockstep_divergence_name(unsigned int reason)
{
	return reason < ARRAY_SIZE(divergences) ? divergences[reason] : "?";
}

static uint32_t take_u32(struct nlattr **tb, int attr)
{
	return tb[attr] ? nla_get_u32(tb[attr]) : 0;
}

static uint64_t take_u64(struct nlattr **tb, int attr)
{
	return tb[attr] ? nla_get_u64(tb[attr]) : 0;
}

static void take_uuid(struct nlattr **tb, int attr, struct lockstep_uuid *u)
{
	if (tb[attr])
		memcpy(u->b, nla_data(tb[attr]), sizeof(u->b));
}

static void take_str(struct nlattr **tb, int attr, char *s, size_t size)
{
	if (tb[attr])
		snprintf(s, size, "%.*s", nla_len(tb[attr]), (const char *)nla_data(tb[attr]));
}

static int stats_parse(struct nlattr *nest, uint64_t *out)
{
	struct nlattr *tb[LOCKSTEP_S_MAX + 1];
	int i;

	if (nla_parse_nested(tb, LOCKSTEP_S_MAX, nest, NULL) < 0)
		return -EBADMSG;
	for (i = LOCKSTEP_S_LSN; i <= LOCKSTEP_S_MAX; i++) {
		if (tb[i] && nla_len(tb[i]) != sizeof(uint64_t))
			return -EBADMSG;
		out[i] = take_u64(tb, i);
	}
	return 0;
}

static int divergence_parse(struct nlattr *nest, struct lockstep_divergence_info *d)
{
	static struct nla_policy nested[LOCKSTEP_D_MAX + 1] = {
		[LOCKSTEP_D_REASON] = { .type = NLA_U32 },
		[LOCKSTEP_D_COUNT] = { .type = NLA_U64 },
		[LOCKSTEP_D_RIP] = { .type = NLA_U64 },
		[LOCKSTEP_D_RCX] = { .type = NLA_U64 },
		[LOCKSTEP_D_LSN] = { .type = NLA_U64 },
		[LOCKSTEP_D_EXPECTED] = { .type = NLA_U64 },
		[LOCKSTEP_D_FOUND] = { .type = NLA_U64 },
	};
	struct nlattr *tb[LOCKSTEP_D_MAX + 1];

	if (nla_parse_nested(tb, LOCKSTEP_D_MAX, nest, nested) < 0)
		return -EBADMSG;
	d->reason = take_u32(tb, LOCKSTEP_D_REASON);
	d->pos.count = take_u64(tb, LOCKSTEP_D_COUNT);
	d->pos.rip = take_u64(tb, LOCKSTEP_D_RIP);
	d->pos.rcx = take_u64(tb, LOCKSTEP_D_RCX);
	d->lsn = take_u64(tb, LOCKSTEP_D_LSN);
	d->expected = take_u64(tb, LOCKSTEP_D_EXPECTED);
	d->found = take_u64(tb, LOCKSTEP_D_FOUND);
	return 0;
}

int lockstep_guest_info_parse(const void *attrs, size_t len, struct lockstep_guest_info *info)
{
	struct nlattr *tb[LOCKSTEP_A_MAX + 1];

	memset(info, 0, sizeof(*info));
	if (nla_parse(tb, LOCKSTEP_A_MAX, (struct nlattr *)attrs, (int)len, policy) < 0)
		return -EBADMSG;
	if (!tb[LOCKSTEP_A_ID] || !tb[LOCKSTEP_A_STATE])
		return -EBADMSG;
	info->id = take_u32(tb, LOCKSTEP_A_ID);
	info->state = take_u32(tb, LOCKSTEP_A_STATE);
	info->old_state = take_u32(tb, LOCKSTEP_A_OLD_STATE);
	info->event = take_u32(tb, LOCKSTEP_A_EVENT);
	info->generation = take_u64(tb, LOCKSTEP_A_GENERATION);
	info->flags = take_u32(tb, LOCKSTEP_A_FLAGS);
	info->counter = take_u32(tb, LOCKSTEP_A_COUNTER);
	info->bound = take_u32(tb, LOCKSTEP_A_BOUND);
	info->vmm_pid = take_u32(tb, LOCKSTEP_A_VMM_PID);
	info->log_size = take_u32(tb, LOCKSTEP_A_LOG_SIZE);
	info->lag_limit_ms = take_u32(tb, LOCKSTEP_A_LAG_LIMIT_MS);
	info->silence_ms = take_u32(tb, LOCKSTEP_A_SILENCE_MS);
	take_str(tb, LOCKSTEP_A_NAME, info->name, sizeof(info->name));
	take_str(tb, LOCKSTEP_A_OUTPUT_DEV, info->output_dev, sizeof(info->output_dev));
	take_uuid(tb, LOCKSTEP_A_UUID, &info->uuid);
	take_uuid(tb, LOCKSTEP_A_INSTANCE, &info->instance);
	take_uuid(tb, LOCKSTEP_A_PEER, &info->peer);
	if (tb[LOCKSTEP_A_HOLD])
		memcpy(info->hold, nla_data(tb[LOCKSTEP_A_HOLD]), sizeof(info->hold));
	if (info->state > LOCKSTEP_STATE_MAX)
		return -EBADMSG;
	if (tb[LOCKSTEP_A_STATS] && stats_parse(tb[LOCKSTEP_A_STATS], info->stats))
		return -EBADMSG;
	if (tb[LOCKSTEP_A_DIVERGENCE])
		return divergence_parse(tb[LOCKSTEP_A_DIVERGENCE], &info->divergence);
	return 0;
}

const char *lockstep_guest_role(const struct lockstep_guest_info *info)
{
	switch (info->state) {
	case LOCKSTEP_STATE_SOLO:
	case LOCKSTEP_STATE_SYNC_SRC:
	case LOCKSTEP_STATE_PROTECTED_P:
	case LOCKSTEP_STATE_SUSPECT_P:
	case LOCKSTEP_STATE_CONTEST_P:
	case LOCKSTEP_STATE_LIVE:
	case LOCKSTEP_STATE_SWITCHING:
	case LOCKSTEP_STATE_STOPPING:
	case LOCKSTEP_STATE_ORPHAN_P:
		return "primary";
	case LOCKSTEP_STATE_HALTED:
		return "none";
	case LOCKSTEP_STATE_FREE:
		return info->flags & LOCKSTEP_FLAG_TWIN ? "backup" : "primary";
	default:
		return "backup";
	}
}

static void add_hex(struct json_object *o, const char *key, uint64_t value)
{
	char s[19];

	snprintf(s, sizeof(s), "0x%llx", (unsigned long long)value);
	lockstep_json_add_str(o, key, s);
}

struct json_object *lockstep_divergence_json(const struct lockstep_divergence_info *d)
{
	struct json_object *o;

	if (d->reason == LOCKSTEP_DIVERGENCE_NONE)
		return NULL;
	o = json_object_new_object();
	if (!o)
		return NULL;
	lockstep_json_add_str(o, "reason", lockstep_divergence_name(d->reason));
	lockstep_json_add_u64(o, "count", d->pos.count);
	add_hex(o, "rip", d->pos.rip);
	add_hex(o, "rcx", d->pos.rcx);
	lockstep_json_add_u64(o, "lsn", d->lsn);
	add_hex(o, "expected", d->expected);
	add_hex(o, "found", d->found);
	return o;
}

static struct json_object *flags_json(uint32_t set)
{
	struct json_object *a = json_object_new_array();
	size_t i;

	for (i = 0; a && i < ARRAY_SIZE(flags); i++)
		if (set & flags[i].flag)
			json_object_array_add(a, json_object_new_string(flags[i].name));
	return a;
}

static struct json_object *stats_json(const uint64_t *values)
{
	struct json_object *o = json_object_new_object();
	unsigned int i;

	for (i = LOCKSTEP_S_LSN; o && i <= LOCKSTEP_S_MAX; i++)
		lockstep_json_add_u64(o, lockstep_stat_name(i), values[i]);
	return o;
}

/* Pairs of bound, in ns, and number of frames; slots without any are left out. */
static struct json_object *hold_json(const uint64_t *hold)
{
	struct json_object *a = json_object_new_array(), *slot;
	unsigned int i;

	for (i = 0; a && i < LOCKSTEP_HOLD_SLOTS; i++) {
		if (!hold[i])
			continue;
		slot = json_object_new_object();
		if (!slot)
			break;
		lockstep_json_add_u64(slot, "below_ns", lockstep_histogram_bound(i));
		lockstep_json_add_u64(slot, "frames", hold[i]);
		json_object_array_add(a, slot);
	}
	return a;
}

struct json_object *lockstep_guest_info_json(const struct lockstep_guest_info *info)
{
	static const struct lockstep_uuid nil;
	struct json_object *o = json_object_new_object(), *d;

	if (!o)
		return NULL;
	lockstep_json_add_str(o, "name", info->name);
	lockstep_json_add_u64(o, "id", info->id);
	lockstep_json_add_uuid(o, "uuid", &info->uuid);
	lockstep_json_add_uuid(o, "instance", &info->instance);
	if (lockstep_uuid_equal(&info->peer, &nil))
		lockstep_json_add_str(o, "peer", NULL);
	else
		lockstep_json_add_uuid(o, "peer", &info->peer);
	lockstep_json_add_str(o, "role", lockstep_guest_role(info));
	lockstep_json_add_str(o, "state", lockstep_state_name(info->state));
	lockstep_json_add_u64(o, "generation", info->generation);
	json_object_object_add(o, "flags", flags_json(info->flags));
	lockstep_json_add_bool(o, "bound", info->bound);
	lockstep_json_add_u64(o, "vmm_pid", info->vmm_pid);
	lockstep_json_add_str(o, "output_dev", info->output_dev);
	lockstep_json_add_u64(o, "log_size", info->log_size);
	lockstep_json_add_u64(o, "lag_limit_ms", info->lag_limit_ms);
	lockstep_json_add_u64(o, "silence_ms", info->silence_ms);
	d = lockstep_divergence_json(&info->divergence);
	if (d)
		json_object_object_add(o, "divergence", d);
	json_object_object_add(o, "stats", stats_json(info->stats));
	json_object_object_add(o, "hold", hold_json(info->hold));
	return o;
}
