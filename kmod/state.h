/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The states of an instance and what moves it between them (docs/states.md)
 *
 * One table, pure: the same source serves the module, the daemon's tests and
 * the check that the documentation is true.
 */
#ifndef LOCKSTEP_STATE_H
#define LOCKSTEP_STATE_H

#ifdef __KERNEL__
#include <linux/types.h>
#include <linux/lockstep.h>
#else
#include <stdbool.h>
#include <stdint.h>
#include <linux/lockstep.h>
#endif

/* What the output gate does in a state. */
enum lockstep_gate_rule {
	LOCKSTEP_GATE_RULE_DROP,	/* nothing leaves, nothing is kept */
	LOCKSTEP_GATE_RULE_LATCH,	/* nothing leaves, what is held stays held */
	LOCKSTEP_GATE_RULE_ACKED,	/* what the backup acknowledged leaves */
	LOCKSTEP_GATE_RULE_OPEN,	/* everything leaves */
};

/* What the vCPU does in a state. */
enum lockstep_vcpu_rule {
	LOCKSTEP_VCPU_PARK,		/* sleeps, answers nothing */
	LOCKSTEP_VCPU_RUN,		/* lives; nothing is logged */
	LOCKSTEP_VCPU_LOG,		/* lives and logs */
	LOCKSTEP_VCPU_REPLAY,		/* follows the log, waits at its end */
};

/**
 * struct lockstep_state_rule - what holds in a state
 * @name: as people and files see it
 * @gate: enum lockstep_gate_rule
 * @vcpu: enum lockstep_vcpu_rule
 * @logs: a live side whose log must not lose a record, parked or not
 * @acks: a twin that accepts log and acknowledges it
 * @over: the VMM is told to end
 */
struct lockstep_state_rule {
	const char *name;
	unsigned char gate;
	unsigned char vcpu;
	bool logs;
	bool acks;
	bool over;
};

const struct lockstep_state_rule *lockstep_state_rule(unsigned int state);
const char *lockstep_state_name(unsigned int state);
const char *lockstep_event_name(unsigned int event);
int lockstep_state_next(unsigned int state, unsigned int event);

#endif
