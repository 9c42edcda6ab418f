/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The rules of backend.h, as a function of one guest's records: what a request
 * is answered, and what it changes. Nothing is stored or read here, so every
 * back end that has a guest's records and can change them in one step obeys the
 * same rules.
 */
#ifndef LOCKSTEP_ARBITER_RULES_H
#define LOCKSTEP_ARBITER_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arbiter/backend.h"

/**
 * struct lockstep_store_record - a record held
 * @key: key
 * @len: length of the value
 * @value: value
 */
struct lockstep_store_record {
	struct lockstep_arbiter_key key;
	uint16_t len;
	uint8_t value[LOCKSTEP_ARBITER_VALUE_MAX];
};

/**
 * struct lockstep_verdict - what became of a request
 * @result: outcome
 * @refusal: why it was refused
 * @existing: the record that is stored, NULL if none applies; valid until the
 *	next change
 * @detail: in words; a constant
 */
struct lockstep_verdict {
	enum lockstep_arbiter_result result;
	enum lockstep_arbiter_refusal refusal;
	const struct lockstep_store_record *existing;
	const char *detail;
};

enum lockstep_rules_op {
	LOCKSTEP_RULES_CREATE	= 1,
	LOCKSTEP_RULES_CLAIM	= 2,
	LOCKSTEP_RULES_PRUNE	= 3,
};

/**
 * struct lockstep_rules_guest - all that is known of a guest
 * @store: UUID of the store
 * @records: its records, sorted by generation and kind
 * @count: how many
 * @floor: generations below were pruned; 0: none
 * @full: the store takes no more records
 */
struct lockstep_rules_guest {
	const struct lockstep_uuid *store;
	const struct lockstep_store_record *records;
	size_t count;
	uint64_t floor;
	bool full;
};

/**
 * struct lockstep_rules_request - a request that may change something
 * @op: which
 * @node: authenticated name of who asks
 * @key: of the record to be made; PRUNE: only the guest counts
 * @value: CREATE, CLAIM: encoded record
 * @len: its length
 * @below: PRUNE: generations below go
 */
struct lockstep_rules_request {
	enum lockstep_rules_op op;
	const char *node;
	struct lockstep_arbiter_key key;
	const void *value;
	size_t len;
	uint64_t below;
};

/**
 * struct lockstep_rules_change - what a request changes; to be made in one step
 * @puts: new records, in this order
 * @nputs: how many of them
 * @below: generations below are removed; 0: none
 * @forced: an operator overrode the rules
 */
struct lockstep_rules_change {
	struct lockstep_store_record puts[2];
	unsigned int nputs;
	uint64_t below;
	bool forced;
};

/**
 * lockstep_rules_judge() - judge a request
 * @g: its guest
 * @rq: request; a key or value from a peer may be anything
 * @v: receives the verdict, which holds once @c was made
 * @c: receives the change, which may be none
 *
 * Return: 0 or -errno when there is no verdict.
 */
int lockstep_rules_judge(const struct lockstep_rules_guest *g,
			 const struct lockstep_rules_request *rq, struct lockstep_verdict *v,
			 struct lockstep_rules_change *c);

/** lockstep_rules_refuse() - a verdict of refusal */
void lockstep_rules_refuse(struct lockstep_verdict *v, enum lockstep_arbiter_refusal refusal,
			   const char *detail);

/** lockstep_rules_find() - a record of the guest; NULL if there is none */
const struct lockstep_store_record *
lockstep_rules_find(const struct lockstep_rules_guest *g, uint64_t generation,
		    enum lockstep_record_kind kind);

/** lockstep_rules_newest() - newest generation that was opened; 0: none */
uint64_t lockstep_rules_newest(const struct lockstep_rules_guest *g);

#endif
