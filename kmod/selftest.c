// SPDX-License-Identifier: GPL-2.0
/*
 * Tests that run at load: the codec both ways on this machine's compiler and
 * byte order, and the states' rules that must hold whatever the table says.
 */
#include <linux/errno.h>
#include <linux/printk.h>
#include <linux/string.h>
#include "record.h"
#include "selftest.h"
#include "state.h"

static int codec_test(void)
{
	static const u64 deltas[] = { 0, 1, 127, 128, 16384, U32_MAX, U64_MAX };
	static const u8 payload[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	struct lockstep_rec in = {
		.type = LOCKSTEP_RECORD_INPUT, .unit = 3, .kind = 0x1234,
		.len = sizeof(payload), .payload = payload, .digest = 0x0123456789abcdefULL,
		.pos = { .count = 1, .rip = ~0ULL, .rcx = 7 },
	}, out;
	u8 buf[sizeof(struct lockstep_record) + sizeof(payload)];
	unsigned int i, n;

	for (i = 0; i < ARRAY_SIZE(deltas); i++) {
		n = lockstep_record_short_put(buf, LOCKSTEP_RECORD_TSC, deltas[i]);
		if (lockstep_record_get(buf, n, &out) || out.size != n ||
		    out.delta != deltas[i] || lockstep_record_get(buf, n - 1, &out) != -EAGAIN)
			return -EINVAL;
	}
	lockstep_record_long_put(buf, &in);
	if (lockstep_record_get(buf, sizeof(buf), &out) || out.size != sizeof(buf) ||
	    out.unit != in.unit || out.kind != in.kind || out.digest != in.digest ||
	    memcmp(&out.pos, &in.pos, sizeof(in.pos)) || memcmp(out.payload, payload, in.len))
		return -EINVAL;
	buf[0] = 0;
	return lockstep_record_get(buf, sizeof(buf), &out) == -EBADMSG ? 0 : -EINVAL;
}

/* Output may leave unacknowledged only where no other instance can live. */
static int state_test(void)
{
	unsigned int state;

	for (state = 0; state <= LOCKSTEP_STATE_MAX; state++) {
		const struct lockstep_state_rule *rule = lockstep_state_rule(state);

		if (!rule->name)
			return -EINVAL;
		if ((rule->vcpu == LOCKSTEP_VCPU_REPLAY || rule->acks || rule->over) &&
		    rule->gate != LOCKSTEP_GATE_RULE_DROP)
			return -EINVAL;
		if (rule->logs && rule->gate == LOCKSTEP_GATE_RULE_OPEN)
			return -EINVAL;
	}
	return 0;
}

/**
 * lockstep_selftest - run them all
 *
 * Returns 0, or -EINVAL: the module must not be used.
 */
int lockstep_selftest(void)
{
	if (codec_test()) {
		pr_err("lockstep: self-test of the record codec failed: do not use this build\n");
		return -EINVAL;
	}
	if (state_test()) {
		pr_err("lockstep: self-test of the state table failed: do not use this build\n");
		return -EINVAL;
	}
	return 0;
}
