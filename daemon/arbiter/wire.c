// SPDX-License-Identifier: GPL-2.0
/* Requests to a lockstep-arbiter and its replies. */
#include "arbiter/wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void lockstep_arbiter_write_blob(struct lockstep_writer *w, const void *data, size_t len)
{
	if (len > LOCKSTEP_ARBITER_VALUE_MAX) {
		w->bad = true;
		return;
	}
	lockstep_write_u16(w, (uint16_t)len);
	lockstep_write_bytes(w, data, len);
}

const void *lockstep_arbiter_read_blob(struct lockstep_reader *r, size_t *len)
{
	const void *data;

	*len = lockstep_read_u16(r);
	if (*len > LOCKSTEP_ARBITER_VALUE_MAX)
		r->bad = true;
	data = lockstep_read_span(r, *len);
	if (!data)
		*len = 0;
	return data;
}

void lockstep_arbiter_write_reply(struct lockstep_writer *w,
				  const struct lockstep_arbiter_reply *reply)
{
	lockstep_write_u8(w, (uint8_t)reply->result);
	lockstep_write_u8(w, (uint8_t)reply->refusal);
	lockstep_write_bytes(w, reply->store.b, sizeof(reply->store.b));
	lockstep_write_str(w, reply->detail);
}

int lockstep_arbiter_read_reply(struct lockstep_reader *r, struct lockstep_arbiter_reply *reply)
{
	uint8_t result, refusal;

	memset(reply, 0, sizeof(*reply));
	result = lockstep_read_u8(r);
	refusal = lockstep_read_u8(r);
	lockstep_read_bytes(r, reply->store.b, sizeof(reply->store.b));
	lockstep_read_str(r, reply->detail, sizeof(reply->detail));
	if (!lockstep_reader_ok(r) || !result || result > LOCKSTEP_ARBITER_RESULT_MAX ||
	    result == LOCKSTEP_ARBITER_UNKNOWN || refusal > LOCKSTEP_REFUSAL_MAX)
		return -EPROTO;
	if ((result == LOCKSTEP_ARBITER_REFUSED) != (refusal != LOCKSTEP_REFUSAL_NONE))
		return -EPROTO;
	reply->result = (enum lockstep_arbiter_result)result;
	reply->refusal = (enum lockstep_arbiter_refusal)refusal;
	return 0;
}

const char *lockstep_arbiter_result_name(enum lockstep_arbiter_result result)
{
	static const char * const names[] = {
		[LOCKSTEP_ARBITER_OK]		= "ok",
		[LOCKSTEP_ARBITER_WON]		= "won",
		[LOCKSTEP_ARBITER_LOST]		= "lost",
		[LOCKSTEP_ARBITER_REFUSED]	= "refused",
		[LOCKSTEP_ARBITER_ABSENT]	= "absent",
		[LOCKSTEP_ARBITER_UNKNOWN]	= "unknown",
	};

	return result > LOCKSTEP_ARBITER_RESULT_MAX || !names[result] ? "?" : names[result];
}

const char *lockstep_arbiter_refusal_name(enum lockstep_arbiter_refusal refusal)
{
	static const char * const names[] = {
		[LOCKSTEP_REFUSAL_NONE]		= "none",
		[LOCKSTEP_REFUSAL_MALFORMED]	= "malformed",
		[LOCKSTEP_REFUSAL_NO_OPEN]	= "no-open",
		[LOCKSTEP_REFUSAL_NOT_MEMBER]	= "not-member",
		[LOCKSTEP_REFUSAL_OTHER_STORE]	= "other-store",
		[LOCKSTEP_REFUSAL_CLOSED]	= "closed",
		[LOCKSTEP_REFUSAL_PRUNED]	= "pruned",
		[LOCKSTEP_REFUSAL_CHAIN]	= "chain",
		[LOCKSTEP_REFUSAL_KEPT]		= "kept",
		[LOCKSTEP_REFUSAL_FULL]		= "full",
	};

	return refusal > LOCKSTEP_REFUSAL_MAX ? "?" : names[refusal];
}
