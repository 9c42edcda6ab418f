/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A primary and its twin on one host, with the test in the place of both daemons
 * and of the network between them
 */
#ifndef PAIR_H
#define PAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "machine.h"
#include "nl.h"

#define PAIR_GENERATION	2
#define PAIR_END_MS	100000	/* what was not done by then never will be, also where all is slow */

/**
 * struct pair - both sides
 * @primary: lives first
 * @twin:    follows
 * @nl_p:    the primary's daemon
 * @nl_t:    the twin's daemon
 * @cut_log: the log does not get to the twin; it is kept for later
 * @cut_acks: acks do not get to the primary
 * @tamper:  changes or shortens a batch on its way (it is sealed again), or NULL
 * @batches: that reached the twin
 * @acks:    that reached the primary
 * @feed_error: first error of the twin's module at a batch, -errno
 * @waiting: batches for the twin, oldest first
 */
struct pair {
	struct machine primary, twin;
	struct nl nl_p, nl_t;
	bool cut_log, cut_acks;
	void (*tamper)(struct lockstep_batch *batch, size_t len);
	uint64_t batches, acks;
	int feed_error;
	struct nl_msg *waiting, *waiting_last;
	struct lockstep_ack ack;
	bool have_ack;
};

void pair_init(struct pair *pair);
void pair_init_sides(struct pair *pair);
void pair_batch_seal(struct lockstep_batch *batch, size_t len);
int pair_open_netlink(struct pair *pair);
int pair_open(struct pair *pair, const char *output_dev_p, const char *output_dev_t);
void pair_close(struct pair *pair);
void pair_lose(struct pair *pair);
int pair_protect(struct pair *pair);
int pair_start(struct pair *pair);
int pair_step(struct pair *pair, int timeout_ms);
bool pair_until(struct pair *pair, bool (*done)(struct pair *pair), int timeout_ms);

bool pair_both_ended(struct pair *pair);
bool pair_twin_diverged(struct pair *pair);
bool pair_twin_drained(struct pair *pair);
bool pair_primary_drained(struct pair *pair);

#endif
