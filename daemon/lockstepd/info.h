/* SPDX-License-Identifier: GPL-2.0 */
/* What the module tells of one guest: attributes taken apart, and as JSON. */
#ifndef LOCKSTEPD_INFO_H
#define LOCKSTEPD_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/lockstep.h>

#include "common/uuid.h"
#include "lockstepd/protocol.h"

struct json_object;

/**
 * struct lockstep_guest_info - a guest as the module sees it
 * @id: its number in the netlink family, never used again
 * @name: its name on this host
 * @uuid: its identity on all hosts
 * @instance: this host's attachment
 * @peer: the other half's instance, nil without one
 * @state: enum lockstep_state
 * @old_state: notifications: where it came from
 * @event: notifications: what moved it
 * @generation: of the pair
 * @flags: LOCKSTEP_FLAG_*
 * @counter: enum lockstep_counter
 * @bound: a daemon is bound to it
 * @vmm_pid: process of its VMM
 * @output_dev: device whose output is gated, or empty
 * @log_size: bytes of its log
 * @lag_limit_ms: tunable
 * @silence_ms: tunable
 * @divergence: where it differed; reason 0: it did not
 * @stats: by enum lockstep_stat
 * @hold: frames by the time they were held, see kmod/histogram.h
 */
struct lockstep_guest_info {
	uint32_t id;
	char name[LOCKSTEP_NAME_MAX];
	struct lockstep_uuid uuid;
	struct lockstep_uuid instance;
	struct lockstep_uuid peer;
	uint32_t state;
	uint32_t old_state;
	uint32_t event;
	uint64_t generation;
	uint32_t flags;
	uint32_t counter;
	bool bound;
	uint32_t vmm_pid;
	char output_dev[16];
	uint32_t log_size;
	uint32_t lag_limit_ms;
	uint32_t silence_ms;
	struct lockstep_divergence_info divergence;
	uint64_t stats[LOCKSTEP_S_MAX + 1];
	uint64_t hold[LOCKSTEP_HOLD_SLOTS];
};

/**
 * lockstep_guest_info_parse() - take the attributes of a message apart
 * @attrs: struct nlattr sequence behind the generic netlink header
 * @len: its bytes
 * @info: receives what is there; the rest is zero
 *
 * Return: 0, or -EBADMSG when id or state is missing or anything is malformed.
 */
int lockstep_guest_info_parse(const void *attrs, size_t len, struct lockstep_guest_info *info);

/**
 * lockstep_guest_info_json() - a guest for people and scripts
 * @info: guest
 *
 * Return: a new object, or NULL without memory.
 */
struct json_object *lockstep_guest_info_json(const struct lockstep_guest_info *info);

/** lockstep_guest_role() - "primary", "backup" or "none", by state and how it was attached */
const char *lockstep_guest_role(const struct lockstep_guest_info *info);

/** lockstep_stat_name() - name of a statistic, as in sysfs; never NULL */
const char *lockstep_stat_name(unsigned int stat);

/** lockstep_divergence_name() - what differed, in words; never NULL */
const char *lockstep_divergence_name(unsigned int reason);

/** lockstep_divergence_json() - particulars; NULL without a divergence */
struct json_object *lockstep_divergence_json(const struct lockstep_divergence_info *d);

#endif
