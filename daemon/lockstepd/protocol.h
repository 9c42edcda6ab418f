/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What two lockstepd say to each other about guests.
 *
 * Messages travel on the LOG plane (transport.h), channel LOCKSTEPD_CHANNEL,
 * kind = enum lockstep_message_type. A payload begins with this head, all of it
 * little-endian:
 *
 *	u16 version		LOCKSTEPD_VERSION
 *	u16 type		the same as kind
 *	u32 reserved		0
 *	u8  guest[16]		UUID of the guest, nil for messages of the node
 *	u64 generation		the generation the sender speaks of
 *	u8  from[16]		the sender's instance of the guest
 *	u8  to[16]		the instance it is meant for, nil: whoever
 *
 * A message for another instance, or of another generation than it can be
 * about, is dropped by its receiver: what was said to a dead instance never
 * reaches its successor.
 *
 * The course of a guest's life:
 *
 *	primary (node a)			twin (node b)
 *	TRAITS			->	<-	TRAITS
 *	HELLO {SOLO, FRESH}	->
 *				<-	HELLO {SYNC_DST, peer = a's}
 *	OPENED {g+1}		->		(after `open` g+1 is with the arbiter)
 *				<-	READY {g+1}	(after reading `open`)
 *	ACTIVATE {g+1}		->
 *	LOG, LOG_LZ4 ...	->
 *				<-	ACK ...
 *
 * TRAITS, HELLO of every guest and one SYNC are sent whenever the plane comes
 * up, TRAITS when they change, and HELLO of one when it is attached or changes. A pair that finds itself
 * in HELLO with the same instances and generation goes on from the twin's LSN.
 */
#ifndef LOCKSTEPD_PROTOCOL_H
#define LOCKSTEPD_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/lockstep.h>

#include "common/uuid.h"
#include "transport/transport.h"

#define LOCKSTEPD_CHANNEL	1	/* of struct lockstep_msg */
#define LOCKSTEPD_VERSION	2
#define LOCKSTEPD_TEXT_MAX	255	/* characters of a text in a message */
#define LOCKSTEP_TRAITS_MAX	10	/* of one node */
#define LOCKSTEP_TRAIT_NAME_MAX	15	/* characters */
#define LOCKSTEP_TRAIT_MAX	63

/* Bytes that any encoded message fits into; a LOG needs its batch besides. */
#define LOCKSTEPD_MESSAGE_MAX	1024
#define LOCKSTEPD_BATCH_MAX	(sizeof(struct lockstep_batch) + LOCKSTEP_BATCH_MAX)
#define LOCKSTEPD_LOG_MAX	(LOCKSTEPD_MESSAGE_MAX + LOCKSTEPD_BATCH_MAX)

/**
 * enum lockstep_message_type - kinds of messages; never renumber
 * @LOCKSTEP_MESSAGE_HELLO: there is such a guest here
 * @LOCKSTEP_MESSAGE_SYNC: all guests of this node have been told by HELLO
 * @LOCKSTEP_MESSAGE_OPENED: primary: `open` of this generation names us both
 * @LOCKSTEP_MESSAGE_READY: twin: seen, and the start state fits
 * @LOCKSTEP_MESSAGE_ACTIVATE: primary: the generation begins
 * @LOCKSTEP_MESSAGE_LOG: primary: a batch of the log
 * @LOCKSTEP_MESSAGE_ACK: twin: what its module has
 * @LOCKSTEP_MESSAGE_REWIND: twin: send again from this LSN
 * @LOCKSTEP_MESSAGE_FAILED: the VMM is gone, without a power-off
 * @LOCKSTEP_MESSAGE_DIVERGED: twin: it differs and will never claim
 * @LOCKSTEP_MESSAGE_CLOSED: primary: `closed` is recorded: powered off in order
 * @LOCKSTEP_MESSAGE_BYE: node: this daemon ends in order
 * @LOCKSTEP_MESSAGE_START: node: start your twin of this guest
 * @LOCKSTEP_MESSAGE_RESULT: node: what became of a START
 * @LOCKSTEP_MESSAGE_LOG_LZ4: primary: the same as LOG, compressed; to who said LOCKSTEP_HELLO_LZ4
 * @LOCKSTEP_MESSAGE_SWITCH: primary: parked, all is said and released: go live
 * @LOCKSTEP_MESSAGE_TRAITS: node: what its host is like
 */
enum lockstep_message_type {
	LOCKSTEP_MESSAGE_HELLO		= 1,
	LOCKSTEP_MESSAGE_SYNC		= 2,
	LOCKSTEP_MESSAGE_OPENED		= 3,
	LOCKSTEP_MESSAGE_READY		= 4,
	LOCKSTEP_MESSAGE_ACTIVATE	= 5,
	LOCKSTEP_MESSAGE_LOG		= 6,
	LOCKSTEP_MESSAGE_ACK		= 7,
	LOCKSTEP_MESSAGE_REWIND		= 8,
	LOCKSTEP_MESSAGE_FAILED		= 9,
	LOCKSTEP_MESSAGE_DIVERGED	= 10,
	LOCKSTEP_MESSAGE_CLOSED		= 11,
	LOCKSTEP_MESSAGE_BYE		= 12,
	LOCKSTEP_MESSAGE_START		= 13,
	LOCKSTEP_MESSAGE_RESULT		= 14,
	LOCKSTEP_MESSAGE_LOG_LZ4	= 15,
	LOCKSTEP_MESSAGE_SWITCH		= 16,
	LOCKSTEP_MESSAGE_TRAITS		= 17,
	__LOCKSTEP_MESSAGE_LAST,
	LOCKSTEP_MESSAGE_MAX		= __LOCKSTEP_MESSAGE_LAST - 1
};

/* Flags of HELLO */
#define LOCKSTEP_HELLO_TWIN	(1U << 0)	/* attached as a twin */
#define LOCKSTEP_HELLO_FRESH	(1U << 1)	/* has not run a single instruction */
#define LOCKSTEP_HELLO_ANSWER	(1U << 2)	/* tell me of yours */
#define LOCKSTEP_HELLO_LZ4	(1U << 3)	/* the node understands LOG_LZ4 */

/**
 * struct lockstep_hello - body of HELLO
 * @name: the guest's name on the sender's host, NUL-terminated
 * @node: name of the sending node
 * @abi: LOCKSTEP_ABI_VERSION of the sender's module
 * @counter: enum lockstep_counter of its log
 * @state: enum lockstep_state
 * @flags: LOCKSTEP_HELLO_*
 * @lsn: twin: all below is held by its module; primary: all below is acked
 * @peer: the instance the sender takes for its other half, or nil
 * @boot_id: boot of the sender's host
 */
struct lockstep_hello {
	char name[LOCKSTEP_NAME_MAX];
	char node[LOCKSTEP_NODE_NAME_MAX + 1];
	uint16_t abi;
	uint16_t counter;
	uint32_t state;
	uint32_t flags;
	uint64_t lsn;
	struct lockstep_uuid peer;
	struct lockstep_uuid boot_id;
};

/**
 * struct lockstep_trait - one thing that a node's host is like
 * @name: lower-case letters and underscores; see traits.c
 * @value: printable ASCII, for comparing
 */
struct lockstep_trait {
	char name[LOCKSTEP_TRAIT_NAME_MAX + 1];
	char value[LOCKSTEP_TRAIT_MAX + 1];
};

/**
 * struct lockstep_traits - body of TRAITS
 * @n: how many; those behind them are zero
 * @trait: in any order; a receiver passes over names that it does not know
 */
struct lockstep_traits {
	uint16_t n;
	struct lockstep_trait trait[LOCKSTEP_TRAITS_MAX];
};

/**
 * struct lockstep_divergence_info - where and how a twin differs
 * @reason: enum lockstep_divergence
 * @pos: where the twin is
 * @lsn: the record that does not fit
 * @expected: what the log says
 * @found: what is here
 */
struct lockstep_divergence_info {
	uint32_t reason;
	struct lockstep_pos pos;
	uint64_t lsn;
	uint64_t expected;
	uint64_t found;
};

/**
 * struct lockstep_message - a message taken apart
 * @type: enum lockstep_message_type
 * @guest: the guest, nil for messages of the node
 * @generation: see the head
 * @from: see the head
 * @to: see the head
 * @hello: HELLO
 * @lsn: REWIND
 * @ack: ACK: as the module gives and takes it, little-endian
 * @divergence: DIVERGED
 * @log: LOG: batch head and records; borrowed from the bytes decoded. LOG_LZ4: the same as an
 *	LZ4 block, and how many bytes it has to make
 * @request: START, RESULT: pairs them
 * @error: RESULT: 0, or a positive errno value
 * @traits: TRAITS
 * @text: FAILED: why; START: name of the guest; RESULT: in words
 */
struct lockstep_message {
	enum lockstep_message_type type;
	struct lockstep_uuid guest;
	uint64_t generation;
	struct lockstep_uuid from;
	struct lockstep_uuid to;
	union {
		struct lockstep_hello hello;
		uint64_t lsn;
		struct lockstep_ack ack;
		struct lockstep_divergence_info divergence;
		struct lockstep_traits traits;
		struct {
			const void *data;
			size_t len;
			uint32_t size;
		} log;
		struct {
			uint32_t request;
			uint32_t error;
			char text[LOCKSTEPD_TEXT_MAX + 1];
		};
	};
};

/**
 * lockstep_message_carries_log() - do more bytes follow those that are encoded?
 * @type: of the message
 */
static inline bool lockstep_message_carries_log(enum lockstep_message_type type)
{
	return type == LOCKSTEP_MESSAGE_LOG || type == LOCKSTEP_MESSAGE_LOG_LZ4;
}

/**
 * lockstep_message_encode() - bytes of a message, but for a LOG's batch
 * @m: message; texts that are too long are an error
 * @buf: room, LOCKSTEPD_MESSAGE_MAX is always enough
 * @size: of @buf
 *
 * The batch of a LOG follows the bytes made here and is sent from where it is.
 *
 * Return: number of bytes, -EINVAL for a message that makes no sense, or
 * -ENOSPC.
 */
int lockstep_message_encode(const struct lockstep_message *m, void *buf, size_t size);

/**
 * lockstep_message_decode() - take a message apart
 * @data: bytes from a peer
 * @len: how many
 * @m: receives it; @m->log.data points into @data
 *
 * Nothing in @data is trusted. What is left out of range is refused, so that
 * enumerations, texts and lengths in @m can be used as they are. The records
 * of a LOG are not looked at: the module checks them.
 *
 * Return: 0, -EPROTONOSUPPORT for another version, -EBADMSG otherwise.
 */
int lockstep_message_decode(const void *data, size_t len, struct lockstep_message *m);

/** lockstep_traits_add() - one more; what is too long is cut, what can't be shown becomes '?' */
void lockstep_traits_add(struct lockstep_traits *t, const char *name, const char *value);

/** lockstep_traits_find() - the value of one, or NULL: it was not told */
const char *lockstep_traits_find(const struct lockstep_traits *t, const char *name);

/** lockstep_message_name() - for messages to people; never NULL */
const char *lockstep_message_name(enum lockstep_message_type type);

/**
 * lockstep_batch_extent() - which bytes of the log are in a batch?
 * @data: batch head and records, from a peer or a file
 * @len: bytes
 * @lsn: receives the LSN of its first byte
 * @end: receives the LSN behind its last byte
 *
 * Only the head is looked at; lockstep_batch_check() (kmod/record.h) tells
 * whether the records are whole.
 *
 * Return: 0 or -EBADMSG.
 */
int lockstep_batch_extent(const void *data, size_t len, uint64_t *lsn, uint64_t *end);

/**
 * lockstep_log_pack() - compress a LOG
 * @m: LOG; becomes LOG_LZ4 with data of @room, if that makes it smaller
 * @room: LOCKSTEPD_BATCH_MAX bytes
 */
void lockstep_log_pack(struct lockstep_message *m, void *room);

/**
 * lockstep_log_unpack() - undo it
 * @m: LOG_LZ4 as decoded; becomes LOG with data of @room
 * @room: LOCKSTEPD_BATCH_MAX bytes, of which none behind @m->log.size is touched
 *
 * Return: 0, or -EBADMSG if that is no block, or makes less or more, or no batch.
 */
int lockstep_log_unpack(struct lockstep_message *m, void *room);

/**
 * struct lockstep_fact - what a heartbeat says of one guest
 * @instance: the sender's instance of it
 * @generation: its generation
 * @stops: position count: how far its vCPU has come
 * @state: enum lockstep_state
 * @flags: LOCKSTEP_FLAG_* of the module
 */
struct lockstep_fact {
	struct lockstep_uuid instance;
	uint64_t generation;
	uint64_t stops;
	uint32_t state;
	uint32_t flags;
};

/* Encoded size of the list's head and of one fact. */
#define LOCKSTEP_FACT_HEAD	4
#define LOCKSTEP_FACT_SIZE	36
#define LOCKSTEP_FACTS_MAX	((LOCKSTEP_HEARTBEAT_MAX - LOCKSTEP_FACT_HEAD) / \
				 LOCKSTEP_FACT_SIZE)

/**
 * lockstep_facts_encode() - payload of a heartbeat
 * @facts: facts
 * @n: how many, at most LOCKSTEP_FACTS_MAX: more guests take turns
 * @buf: room, LOCKSTEP_HEARTBEAT_MAX is always enough
 * @size: of @buf
 *
 * Return: number of bytes, -EINVAL or -ENOSPC.
 */
int lockstep_facts_encode(const struct lockstep_fact *facts, size_t n, void *buf, size_t size);

/**
 * lockstep_facts_decode() - take a heartbeat's payload apart
 * @data: bytes from a peer
 * @len: how many
 * @facts: room for LOCKSTEP_FACTS_MAX
 *
 * Return: number of facts, -EPROTONOSUPPORT or -EBADMSG.
 */
int lockstep_facts_decode(const void *data, size_t len, struct lockstep_fact *facts);

#endif
