/* SPDX-License-Identifier: GPL-2.0 */
/* Requests to an arbiter's back end and their answers, for tests. */
#ifndef SELFTESTS_ARBITER_FIXTURE_H
#define SELFTESTS_ARBITER_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arbiter/backend.h"

#define AFX_PATIENCE_MS	20000	/* what does not come by then never will */

struct event_base;

extern struct event_base *afx_base;

/* What came of a request. */
struct afx_answer {
	bool done;
	enum lockstep_arbiter_result result;
	enum lockstep_arbiter_refusal refusal;
	bool maybe_done;
	struct lockstep_uuid store;
	uint8_t value[LOCKSTEP_ARBITER_VALUE_MAX];
	size_t len;
	size_t count;
	struct lockstep_arbiter_info info;
	bool has_info;
	char detail[256];
};

void afx_wait(const bool *done);
void afx_run_ms(unsigned int ms);
uint64_t afx_now_ms(void);

struct lockstep_uuid afx_guest(void);
struct lockstep_arbiter_member afx_member(const char *node, uint8_t instance);

/* Generation of a's instance @i and b's instance @k; none if @k is 0. */
struct lockstep_arbiter_open afx_open_of(const struct lockstep_uuid *store, uint64_t g,
					 uint8_t winner, uint8_t i, uint8_t k);

/* Each fills in an answer later, or waits for it. */
void afx_claim_start(struct lockstep_arbiter *arb, const struct lockstep_uuid *vm, uint64_t g,
		     const char *node, uint8_t instance, unsigned int ms, struct afx_answer *an);
struct afx_answer afx_claim(struct lockstep_arbiter *arb, const struct lockstep_uuid *vm,
			    uint64_t g, const char *node, uint8_t instance, unsigned int ms);
void afx_open_start(struct lockstep_arbiter *arb, const struct lockstep_uuid *vm,
		    const struct lockstep_arbiter_open *o, unsigned int ms, struct afx_answer *an);
struct afx_answer afx_open(struct lockstep_arbiter *arb, const struct lockstep_uuid *vm,
			   const struct lockstep_arbiter_open *o, unsigned int ms);
struct afx_answer afx_close(struct lockstep_arbiter *arb, const struct lockstep_uuid *vm,
			    uint64_t g, const char *node, uint8_t instance, unsigned int ms);
/* Asked again until there is an answer. */
struct afx_answer afx_claim_settled(struct lockstep_arbiter *arb, const struct lockstep_uuid *vm,
				    const char *node, uint8_t instance);
struct afx_answer afx_get(struct lockstep_arbiter *arb, const struct lockstep_uuid *vm, uint64_t g,
			  enum lockstep_record_kind kind, unsigned int ms);
struct afx_answer afx_list(struct lockstep_arbiter *arb, const struct lockstep_uuid *vm,
			   unsigned int ms);
struct afx_answer afx_prune(struct lockstep_arbiter *arb, const struct lockstep_uuid *vm,
			    uint64_t below, unsigned int ms);
struct afx_answer afx_probe(struct lockstep_arbiter *arb, unsigned int ms);

/* Generation 1 of a new guest, of a's instance 1 and b's instance 2. */
struct lockstep_uuid afx_formed(struct lockstep_arbiter *arb);

/* All requests, and what is not allowed, of a's and b's back end of one store. */
void afx_check_rules(struct lockstep_arbiter *a, struct lockstep_arbiter *b);

/* Both claim, for @n guests: always exactly one wins. */
void afx_check_races(struct lockstep_arbiter *a, struct lockstep_arbiter *b, unsigned int n);

/* a powers off while b claims: never both, though the records are two. */
void afx_check_close_races(struct lockstep_arbiter *a, struct lockstep_arbiter *b,
			   unsigned int n);

/*
 * The store is killed at random while both claim: what was answered stays true, what was
 * not is cleared up by asking again, and one wins.
 */
void afx_check_killed(struct lockstep_arbiter *a, struct lockstep_arbiter *b, unsigned int n,
		      void (*kill_it)(void), void (*start_it)(void));

#endif
