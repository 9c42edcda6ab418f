/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The arbiter as daemons see it: a test-and-set store behind one interface.
 *
 * Back ends differ in how they store; what they promise is the same. A store
 * has a UUID, minted with it. Records are immutable. Each request is atomic and,
 * when it is answered, durable. Answers are linearizable: a GET that begins
 * after a CREATE was answered sees it.
 *
 * The rules (checked by the store, so that no client can err):
 *
 * CREATE open(g) succeeds if the record is absent, names this store's UUID and
 *   its own generation, the requesting node is a member's node, and
 *   - g is 1 and the guest is unknown, or
 *   - g-1 was won, not closed, @winner and members[0] are its winner, or
 *   - g-1 is closed and @winner is nil, or
 *   - @forced: g is above every generation known. If the newest of those has
 *     neither won nor closed, it is ended in the same step: a won record of
 *     members[0] with reason "forced" is made for it, so that nobody can win it
 *     later.
 * CREATE closed(g) succeeds if absent (or by the same instance), g is the newest
 *   generation, open(g) names the requester, and g was not won by another
 *   instance: then the answer is LOST, with the won record.
 * CLAIM(g) creates won(g) if absent, open(g) names the claimer (instance, node,
 *   boot id) and this store's UUID, and g is not closed.
 * A generation below one that was pruned is gone for ever.
 * PRUNE(below) removes generations < below, open first, and is for members of the
 *   newest one: below <= newest - 1, so the newest and the one before it stay.
 *
 * A request whose record exists already *with this content* (CLAIM: by this
 * instance) succeeds: repeating a request after UNKNOWN is always right.
 *
 * Outcome UNKNOWN: time ran out or the connection broke. With maybe_done false
 * nothing of the request has left this host; with true it may have been, or yet
 * be, carried out: only a repetition tells.
 *
 * Threads and callbacks: as in transport.h. One callback for each request,
 * always from the loop, never before the request function returned; none after
 * destroy. No request is repeated by a back end.
 */
#ifndef LOCKSTEP_ARBITER_BACKEND_H
#define LOCKSTEP_ARBITER_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arbiter/record.h"

#define LOCKSTEP_ARBITER_TIMEOUT_MS_MIN	50
#define LOCKSTEP_ARBITER_TIMEOUT_MS_DEF	2000
#define LOCKSTEP_ARBITER_TIMEOUT_MS_MAX	60000

enum lockstep_arbiter_result {
	LOCKSTEP_ARBITER_OK	= 1,	/* CREATE: made, or identical; GET: found; LIST; PROBE */
	LOCKSTEP_ARBITER_WON	= 2,	/* CLAIM: won, now or before, by this instance */
	LOCKSTEP_ARBITER_LOST	= 3,	/* CLAIM: won by another, see value; CREATE: exists and differs */
	LOCKSTEP_ARBITER_REFUSED = 4,	/* against the rules, see refusal */
	LOCKSTEP_ARBITER_ABSENT	= 5,	/* GET: no such record */
	LOCKSTEP_ARBITER_UNKNOWN = 6,	/* no answer */
	__LOCKSTEP_ARBITER_RESULT_LAST,
	LOCKSTEP_ARBITER_RESULT_MAX = __LOCKSTEP_ARBITER_RESULT_LAST - 1
};

enum lockstep_arbiter_refusal {
	LOCKSTEP_REFUSAL_NONE		= 0,
	LOCKSTEP_REFUSAL_MALFORMED	= 1,	/* key or value makes no sense */
	LOCKSTEP_REFUSAL_NO_OPEN	= 2,	/* the generation was never formed, or is not known here */
	LOCKSTEP_REFUSAL_NOT_MEMBER	= 3,	/* requester is not named by open */
	LOCKSTEP_REFUSAL_OTHER_STORE	= 4,	/* record is of another (or restored) store */
	LOCKSTEP_REFUSAL_CLOSED		= 5,	/* the guest was powered off in this generation */
	LOCKSTEP_REFUSAL_PRUNED		= 6,	/* the generation is long over */
	LOCKSTEP_REFUSAL_CHAIN		= 7,	/* not formed by the winner of the one before */
	LOCKSTEP_REFUSAL_KEPT		= 8,	/* PRUNE: would remove what must stay */
	LOCKSTEP_REFUSAL_FULL		= 9,	/* store is at its limit */
	__LOCKSTEP_REFUSAL_LAST,
	LOCKSTEP_REFUSAL_MAX		= __LOCKSTEP_REFUSAL_LAST - 1
};

/**
 * struct lockstep_arbiter_answer - answer to any request; borrowed by the callback
 * @result: outcome
 * @refusal: with REFUSED, why
 * @maybe_done: with UNKNOWN, whether it may have taken effect
 * @store: the store's UUID (nil with UNKNOWN)
 * @value: OK of GET, WON and LOST: the encoded record that is stored
 * @len: its length
 * @detail: in words, never NULL
 */
struct lockstep_arbiter_answer {
	enum lockstep_arbiter_result result;
	enum lockstep_arbiter_refusal refusal;
	bool maybe_done;
	struct lockstep_uuid store;
	const void *value;
	size_t len;
	const char *detail;
};

/**
 * struct lockstep_arbiter_entry - one record of a LIST
 * @key: key
 * @value: encoded record
 * @len: its length
 */
struct lockstep_arbiter_entry {
	const char *key;
	const void *value;
	size_t len;
};

/**
 * struct lockstep_arbiter_info - what PROBE tells about a store
 * @store: UUID
 * @node: node name the arbiter runs as
 * @boot_id: boot of its host: equal to a member's = it must be rejected
 * @records: records held
 * @rtt_ns: time the probe took, with the store's durable path left out
 */
struct lockstep_arbiter_info {
	struct lockstep_uuid store;
	const char *node;
	struct lockstep_uuid boot_id;
	uint64_t records;
	uint64_t rtt_ns;
};

typedef void lockstep_arbiter_done(const struct lockstep_arbiter_answer *answer, void *arg);

/* @entries is NULL unless answer->result is OK. */
typedef void lockstep_arbiter_list_done(const struct lockstep_arbiter_answer *answer,
					const struct lockstep_arbiter_entry *entries,
					size_t count, void *arg);

/* @info is NULL unless answer->result is OK. */
typedef void lockstep_arbiter_probe_done(const struct lockstep_arbiter_answer *answer,
					 const struct lockstep_arbiter_info *info, void *arg);

/**
 * struct lockstep_arbiter - a back end opened; first member of its own structure
 * @ops: what it can do
 */
struct lockstep_arbiter {
	const struct lockstep_arbiter_ops *ops;
};

/**
 * struct lockstep_arbiter_ops - a kind of back end
 *
 * Each request takes a time limit in milliseconds, LOCKSTEP_ARBITER_TIMEOUT_MS_*,
 * and returns 0 if done will be called, or -errno if not (-EINVAL, -ENOMEM,
 * -ERANGE).
 *
 * @name: as in configuration: "tcp", "etcd", "file"
 * @put: CLAIM where the key is that of a won record, else CREATE; the value is copied
 * @get: GET one record, by a key that can be
 * @list: LIST all records of a guest, oldest generation first; NULL for all guests
 * @prune: PRUNE generations of a guest below @below
 * @probe: is the store there, and which is it?
 * @destroy: close; no callback comes any more
 */
struct lockstep_arbiter_ops {
	const char *name;
	int (*put)(struct lockstep_arbiter *a, const struct lockstep_arbiter_key *key,
		   const void *value, size_t len, unsigned int ms, lockstep_arbiter_done *done,
		   void *arg);
	int (*get)(struct lockstep_arbiter *a, const struct lockstep_arbiter_key *key,
		   unsigned int ms, lockstep_arbiter_done *done, void *arg);
	int (*list)(struct lockstep_arbiter *a, const struct lockstep_uuid *vm, unsigned int ms,
		    lockstep_arbiter_list_done *done, void *arg);
	int (*prune)(struct lockstep_arbiter *a, const struct lockstep_uuid *vm, uint64_t below,
		     unsigned int ms, lockstep_arbiter_done *done, void *arg);
	int (*probe)(struct lockstep_arbiter *a, unsigned int ms,
		     lockstep_arbiter_probe_done *done, void *arg);
	void (*destroy)(struct lockstep_arbiter *a);
};

/*
 * These four make a record's key and value, and return as the operations do: CREATE a
 * guest's open record, its closed record, CLAIM a generation for mark->by, GET one record.
 */
int lockstep_arbiter_create_open(struct lockstep_arbiter *a, const struct lockstep_uuid *vm,
				 const struct lockstep_arbiter_open *open, unsigned int ms,
				 lockstep_arbiter_done *done, void *arg);
int lockstep_arbiter_create_closed(struct lockstep_arbiter *a, const struct lockstep_uuid *vm,
				   const struct lockstep_arbiter_mark *mark, unsigned int ms,
				   lockstep_arbiter_done *done, void *arg);
int lockstep_arbiter_claim(struct lockstep_arbiter *a, const struct lockstep_uuid *vm,
			   const struct lockstep_arbiter_mark *mark, unsigned int ms,
			   lockstep_arbiter_done *done, void *arg);
int lockstep_arbiter_get(struct lockstep_arbiter *a, const struct lockstep_arbiter_key *key,
			 unsigned int ms, lockstep_arbiter_done *done, void *arg);

/**
 * lockstep_arbiter_tcp_create() - use a lockstep-arbiter
 * @t: transport to dial with; outlives the back end
 * @node: name in the arbiter's certificate; NULL: any node of the cluster
 * @address: where it listens
 * @out: receives the back end; freed with (*out)->ops->destroy(*out)
 *
 * It connects on the first request and keeps the connection; a broken one is
 * made again by the next request.
 *
 * Return: 0 or -errno.
 */
int lockstep_arbiter_tcp_create(struct lockstep_transport *t, const char *node,
				const char *address, struct lockstep_arbiter **out);

const char *lockstep_arbiter_result_name(enum lockstep_arbiter_result result);
const char *lockstep_arbiter_refusal_name(enum lockstep_arbiter_refusal refusal);

#endif
