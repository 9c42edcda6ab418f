/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Requests to a lockstep-arbiter and its replies.
 *
 * They travel as messages of the service LOCKSTEP_ARBITER_SERVICE: msg.kind is
 * the operation, the same in request and reply, and msg.id is chosen by the
 * client and comes back with the reply. Integers are little-endian, "str" is a
 * length byte and characters, "blob" a u16 length and bytes.
 *
 *	CREATE, CLAIM	str key; blob value
 *	GET		str key
 *	LIST		str prefix; str after (only keys behind it; "" at first)
 *	PRUNE		16 bytes guest; u64 below
 *	STATUS		nothing
 *
 * A reply begins with u8 result, u8 refusal, 16 bytes store, str detail; then
 *
 *	CREATE, CLAIM, GET	blob value (empty if there is none)
 *	LIST			u8 more; u16 count; count times str key, blob value
 *	PRUNE			nothing
 *	STATUS			str node; 16 bytes boot id; u64 records;
 *				u64 bytes of journal; u64 seconds up
 */
#ifndef LOCKSTEP_ARBITER_WIRE_H
#define LOCKSTEP_ARBITER_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "arbiter/backend.h"
#include "common/bytes.h"

#define LOCKSTEP_ARBITER_SERVICE	"arbiter"
#define LOCKSTEP_ARBITER_CHANNEL	1	/* of msg.channel: version of this protocol */
#define LOCKSTEP_ARBITER_PAGE		256	/* entries of one LIST reply */
#define LOCKSTEP_ARBITER_DETAIL_MAX	200	/* characters */
#define LOCKSTEP_ARBITER_REQUEST_MAX	1024	/* bytes */

/* A full page of the longest entries, and what is before it. */
#define LOCKSTEP_ARBITER_REPLY_MAX	\
	(512 + LOCKSTEP_ARBITER_PAGE * (LOCKSTEP_ARBITER_KEY_MAX + LOCKSTEP_ARBITER_VALUE_MAX + 4))

/* Values are on the wire: never renumber. */
enum lockstep_arbiter_op {
	LOCKSTEP_ARBITER_CREATE	= 1,
	LOCKSTEP_ARBITER_CLAIM	= 2,
	LOCKSTEP_ARBITER_GET	= 3,
	LOCKSTEP_ARBITER_LIST	= 4,
	LOCKSTEP_ARBITER_PRUNE	= 5,
	LOCKSTEP_ARBITER_STATUS	= 6,
	__LOCKSTEP_ARBITER_OP_LAST,
	LOCKSTEP_ARBITER_OP_MAX	= __LOCKSTEP_ARBITER_OP_LAST - 1
};

/**
 * struct lockstep_arbiter_reply - what every reply begins with
 * @result: outcome
 * @refusal: why it was refused
 * @store: the store's UUID
 * @detail: in words
 */
struct lockstep_arbiter_reply {
	enum lockstep_arbiter_result result;
	enum lockstep_arbiter_refusal refusal;
	struct lockstep_uuid store;
	char detail[LOCKSTEP_ARBITER_DETAIL_MAX + 1];
};

void lockstep_arbiter_write_blob(struct lockstep_writer *w, const void *data, size_t len);

/**
 * lockstep_arbiter_read_blob() - take a blob without copying
 * @r: cursor
 * @len: receives its length, at most LOCKSTEP_ARBITER_VALUE_MAX
 *
 * Return: pointer into the data, NULL when it is out of bounds.
 */
const void *lockstep_arbiter_read_blob(struct lockstep_reader *r, size_t *len);

void lockstep_arbiter_write_reply(struct lockstep_writer *w,
				  const struct lockstep_arbiter_reply *reply);

/**
 * lockstep_arbiter_read_reply() - read what a reply begins with
 * @r: cursor; left at what follows
 * @reply: receives it
 *
 * Return: 0 or -EPROTO.
 */
int lockstep_arbiter_read_reply(struct lockstep_reader *r, struct lockstep_arbiter_reply *reply);

#endif
