// SPDX-License-Identifier: GPL-2.0
/* Requests to a back end: records become a key and a value. */
#include "arbiter/backend.h"

#include <errno.h>

static int put(struct lockstep_arbiter *a, const struct lockstep_uuid *vm, uint64_t generation,
	       enum lockstep_record_kind kind, const void *value, int len, unsigned int ms,
	       lockstep_arbiter_done *done, void *arg)
{
	struct lockstep_arbiter_key key = { *vm, generation, kind };

	return len < 0 ? len : a->ops->put(a, &key, value, (size_t)len, ms, done, arg);
}

int lockstep_arbiter_create_open(struct lockstep_arbiter *a, const struct lockstep_uuid *vm,
				 const struct lockstep_arbiter_open *open, unsigned int ms,
				 lockstep_arbiter_done *done, void *arg)
{
	uint8_t buf[LOCKSTEP_ARBITER_VALUE_MAX];

	return put(a, vm, open->generation, LOCKSTEP_RECORD_OPEN, buf,
		   lockstep_arbiter_open_encode(open, buf, sizeof(buf)), ms, done, arg);
}

int lockstep_arbiter_create_closed(struct lockstep_arbiter *a, const struct lockstep_uuid *vm,
				   const struct lockstep_arbiter_mark *mark, unsigned int ms,
				   lockstep_arbiter_done *done, void *arg)
{
	uint8_t buf[LOCKSTEP_ARBITER_VALUE_MAX];

	return put(a, vm, mark->generation, LOCKSTEP_RECORD_CLOSED, buf,
		   lockstep_arbiter_mark_encode(mark, buf, sizeof(buf)), ms, done, arg);
}

int lockstep_arbiter_claim(struct lockstep_arbiter *a, const struct lockstep_uuid *vm,
			   const struct lockstep_arbiter_mark *mark, unsigned int ms,
			   lockstep_arbiter_done *done, void *arg)
{
	uint8_t buf[LOCKSTEP_ARBITER_VALUE_MAX];

	return put(a, vm, mark->generation, LOCKSTEP_RECORD_WON, buf,
		   lockstep_arbiter_mark_encode(mark, buf, sizeof(buf)), ms, done, arg);
}

int lockstep_arbiter_get(struct lockstep_arbiter *a, const struct lockstep_arbiter_key *key,
			 unsigned int ms, lockstep_arbiter_done *done, void *arg)
{
	if (!key->generation || !key->kind || key->kind > LOCKSTEP_RECORD_KIND_MAX)
		return -EINVAL;
	return a->ops->get(a, key, ms, done, arg);
}
