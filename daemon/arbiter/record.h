/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is stored with an arbiter, whichever back end holds it.
 *
 * Keys are "vm/<uuid>/<generation>/open", ".../won" and ".../closed". Values
 * are versioned little-endian structures, encoded here only; a back end stores
 * the bytes.
 */
#ifndef LOCKSTEP_ARBITER_RECORD_H
#define LOCKSTEP_ARBITER_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/uuid.h"
#include "transport/transport.h"

#define LOCKSTEP_ARBITER_KEY_MAX	72	/* bytes of a key, with the zero */
#define LOCKSTEP_ARBITER_VALUE_MAX	352	/* bytes of an encoded value */
#define LOCKSTEP_ARBITER_REASON_MAX	63	/* characters */

enum lockstep_record_kind {
	LOCKSTEP_RECORD_OPEN	= 1,
	LOCKSTEP_RECORD_WON	= 2,
	LOCKSTEP_RECORD_CLOSED	= 3,
	__LOCKSTEP_RECORD_KIND_LAST,
	LOCKSTEP_RECORD_KIND_MAX = __LOCKSTEP_RECORD_KIND_LAST - 1
};

/**
 * struct lockstep_arbiter_key - a key taken apart
 * @vm: guest
 * @generation: from 1
 * @kind: which of its records
 */
struct lockstep_arbiter_key {
	struct lockstep_uuid vm;
	uint64_t generation;
	enum lockstep_record_kind kind;
};

/**
 * struct lockstep_arbiter_member - one side of a generation
 * @node: node name
 * @boot_id: boot of that node
 * @instance: minted by the module at attach
 */
struct lockstep_arbiter_member {
	char node[LOCKSTEP_NODE_NAME_MAX + 1];
	struct lockstep_uuid boot_id;
	struct lockstep_uuid instance;
};

/**
 * struct lockstep_arbiter_open - the record that forms a generation
 * @generation: which; must be the key's
 * @winner: instance that won the generation before; nil for generation 1 and
 *	after a power-off
 * @store: UUID of the store it was made for
 * @forced: an operator's --force: the generation before was not ended
 * @members: members[0] is the primary; members[1] the backup
 * @nmembers: 2, or 1 for a generation that runs alone
 */
struct lockstep_arbiter_open {
	uint64_t generation;
	struct lockstep_uuid winner;
	struct lockstep_uuid store;
	bool forced;
	struct lockstep_arbiter_member members[2];
	unsigned int nmembers;
};

/**
 * struct lockstep_arbiter_mark - the records won and closed
 * @generation: which
 * @by: who won, or closed, it
 * @reason: why, for people ("silence", "switch", "power-off", ...)
 */
struct lockstep_arbiter_mark {
	uint64_t generation;
	struct lockstep_arbiter_member by;
	char reason[LOCKSTEP_ARBITER_REASON_MAX + 1];
};

/**
 * lockstep_arbiter_key_format() - text of a key
 * @key: key
 * @buf: room for LOCKSTEP_ARBITER_KEY_MAX bytes
 *
 * Return: @buf.
 */
char *lockstep_arbiter_key_format(const struct lockstep_arbiter_key *key, char *buf);

/** lockstep_arbiter_key_compare() - their order, by guest, generation, kind; as memcmp() */
int lockstep_arbiter_key_compare(const struct lockstep_arbiter_key *a,
				 const struct lockstep_arbiter_key *b);

/**
 * lockstep_arbiter_key_parse() - take a key apart
 * @s: text
 * @key: receives it
 *
 * Only the exact text that format gives is accepted.
 *
 * Return: 0 or -EINVAL.
 */
int lockstep_arbiter_key_parse(const char *s, struct lockstep_arbiter_key *key);

/*
 * Encoding: bytes written, or -EINVAL (bad names, member count, generation 0)
 * or -ENOSPC. Decoding: 0, -EINVAL for malformed bytes or -EPROTONOSUPPORT for
 * a newer version.
 */
int lockstep_arbiter_open_encode(const struct lockstep_arbiter_open *o, void *buf, size_t size);
int lockstep_arbiter_open_decode(const void *buf, size_t len, struct lockstep_arbiter_open *o);
int lockstep_arbiter_mark_encode(const struct lockstep_arbiter_mark *m, void *buf, size_t size);
int lockstep_arbiter_mark_decode(const void *buf, size_t len, struct lockstep_arbiter_mark *m);

/**
 * lockstep_arbiter_open_member() - find an instance among the members
 * @o: record
 * @instance: instance
 *
 * Return: index of the member or -ENOENT.
 */
int lockstep_arbiter_open_member(const struct lockstep_arbiter_open *o,
				 const struct lockstep_uuid *instance);

/**
 * lockstep_arbiter_record_json() - a record for people and scripts
 * @key: its key, which tells what the bytes are
 * @value: encoded record
 * @len: its length
 *
 * Return: a new object or NULL when it is malformed.
 */
struct json_object *lockstep_arbiter_record_json(const char *key, const void *value, size_t len);

#endif
