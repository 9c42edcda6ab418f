/* SPDX-License-Identifier: GPL-2.0 */
/* Coding of messages, and what is allowed in them. */
#ifndef LOCKSTEP_MR_RPC_H
#define LOCKSTEP_MR_RPC_H

#include <stddef.h>
#include <stdint.h>

#include "rpc/mr.pb-c.h"

struct lockstep_conn;

#define MR_RPC_VERSION		1

/* Bounds of what one message may hold; senders page or cut what is longer. */
#define MR_RPC_PATH_MAX		4095u	/* characters of a path */
#define MR_RPC_NAME_MAX		255u	/* of a worker's, node's or option's name */
#define MR_RPC_TEXT_MAX		1023u	/* of a message or status */
#define MR_RPC_LOG_MAX		(16u << 10)	/* of a log's tail */
#define MR_RPC_OPTIONS_MAX	1024u
#define MR_RPC_OPTIONS_BYTES	(512u << 10)	/* of all options */
#define MR_RPC_KEY_MAX		4096u	/* of a sampled key */
#define MR_RPC_KEYS_MAX		4096u	/* keys of a sample or a page of range points */
#define MR_RPC_KEYS_BYTES	(512u << 10)	/* of all keys of a message */
#define MR_RPC_RUNS_MAX		128u	/* runs of a page */
#define MR_RPC_SKIP_MAX		10000u	/* records that one task skips */

#define MR_RPC_WHOLE		UINT64_MAX	/* Grant.len, Grant.size: to the end, not known */

/* mr_rpc_send(conn, MR_RPC(READY, ready, &ready)) */
#define MR_RPC(of, member, value)					\
	(&(Mr__Message) { PROTOBUF_C_MESSAGE_INIT(&mr__message__descriptor),	\
			  .of_case = MR__MESSAGE__OF_##of, { .member = (value) } })

/**
 * mr_rpc_send() - encode and queue
 * @conn: service connection
 * @msg: message, within its bounds
 *
 * Return: as lockstep_conn_send(); -EINVAL for what is out of bounds.
 */
int mr_rpc_send(struct lockstep_conn *conn, const Mr__Message *msg);

/**
 * mr_rpc_decode() - decode and check
 * @data: bytes of a peer
 * @len: how many
 * @msg: receives the message, for mr_rpc_free()
 *
 * Return: 0, -EBADMSG (not a message), -EINVAL (out of bounds) or -ENOMEM.
 */
int mr_rpc_decode(const void *data, size_t len, Mr__Message **msg);

void mr_rpc_free(Mr__Message *msg);

/**
 * mr_rpc_copy() - a copy of a message, or of a part of one
 * @msg: its base
 *
 * Return: the copy, to be cast and freed as what it is; NULL without memory.
 */
void *mr_rpc_copy(const ProtobufCMessage *msg);

/* Is all of a message within its bounds? Then every pointer its kind needs is set. */
int mr_rpc_check(const Mr__Message *msg);

const char *mr_kind_name(Mr__Kind kind);

#endif
