// SPDX-License-Identifier: GPL-2.0
#include "rpc/rpc.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "transport/transport.h"

int mr_rpc_send(struct lockstep_conn *conn, const Mr__Message *msg)
{
	static const struct lockstep_msg head;
	struct iovec iov;
	int err;

	err = mr_rpc_check(msg);
	if (err)
		return err;
	iov.iov_len = mr__message__get_packed_size(msg);
	if (iov.iov_len > LOCKSTEP_MSG_MAX)
		return -EMSGSIZE;
	iov.iov_base = malloc(iov.iov_len + 1);
	if (!iov.iov_base)
		return -ENOMEM;
	mr__message__pack(msg, iov.iov_base);
	err = lockstep_conn_send(conn, &head, &iov, 1);
	free(iov.iov_base);
	return err;
}

int mr_rpc_decode(const void *data, size_t len, Mr__Message **msg)
{
	int err;

	*msg = mr__message__unpack(NULL, len, data);
	if (!*msg)
		return -EBADMSG;
	err = mr_rpc_check(*msg);
	if (err) {
		mr_rpc_free(*msg);
		*msg = NULL;
	}
	return err;
}

void mr_rpc_free(Mr__Message *msg)
{
	if (msg)
		mr__message__free_unpacked(msg, NULL);
}

void *mr_rpc_copy(const ProtobufCMessage *msg)
{
	size_t len = protobuf_c_message_get_packed_size(msg);
	uint8_t *buf = malloc(len ? len : 1);
	void *copy = NULL;

	if (buf) {
		protobuf_c_message_pack(msg, buf);
		copy = protobuf_c_message_unpack(msg->descriptor, NULL, len, buf);
	}
	free(buf);
	return copy;
}

const char *mr_kind_name(Mr__Kind kind)
{
	static const char * const names[] = {
		[MR__KIND__MAP]		= "map",
		[MR__KIND__REDUCE]	= "reduce",
		[MR__KIND__CHECK]	= "check",
		[MR__KIND__STAT]	= "stat",
		[MR__KIND__SAMPLE]	= "sample",
	};

	return (unsigned int)kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "task";
}
