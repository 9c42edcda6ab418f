/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The log of one guest: a ring of bytes with one producer and one consumer
 *
 * Offsets are LSNs; they never wrap in practice (64 bits).  The pages are mapped
 * twice in a row, so that a record is contiguous wherever it starts.
 *
 *		primary					twin
 *  head	vCPU's thread appends			the daemon's feed appends
 *  tail	freed by acks (daemon's thread)		consumed by the vCPU's thread
 *  sent	what went to the daemon (sender)	-
 *
 * The producer publishes head with a release after the bytes; the consumer
 * reads it with an acquire, and the same the other way for tail.  `sent` is
 * protected by the sender's lock.
 */
#ifndef LOCKSTEP_LOG_H
#define LOCKSTEP_LOG_H

#include <linux/types.h>
#include "record.h"

#define LOCKSTEP_LOG_SIZE_MIN		(64U << 10)
#define LOCKSTEP_LOG_SIZE_DEF		(8U << 20)
#define LOCKSTEP_LOG_SIZE_MAX		(1U << 30)

struct page;

/**
 * struct lockstep_log - the ring
 * @data:  mapping, twice @size bytes long
 * @pages: what is mapped
 * @size:  bytes, a power of two
 * @head:  end of the log
 * @tail:  everything below is gone
 * @sent:  primary: everything below went to the daemon
 */
struct lockstep_log {
	u8 *data;
	struct page **pages;
	u32 size;
	u64 head;
	u64 tail;
	u64 sent;
};

int lockstep_log_init(struct lockstep_log *log, u32 size);
void lockstep_log_exit(struct lockstep_log *log);

static inline u8 *lockstep_log_at(const struct lockstep_log *log, u64 lsn)
{
	return log->data + (lsn & (log->size - 1));
}

/* The consumer's view of the end: the bytes before it can be read. */
static inline u64 lockstep_log_head(const struct lockstep_log *log)
{
	return smp_load_acquire(&log->head);	/* pairs with lockstep_log_push() */
}

/* The producer's view of the start: the bytes before it can be written. */
static inline u64 lockstep_log_tail(const struct lockstep_log *log)
{
	return smp_load_acquire(&log->tail);	/* pairs with lockstep_log_pop_to() */
}

/* Producer: may @len bytes be appended? */
static inline bool lockstep_log_has_room(const struct lockstep_log *log, u32 len)
{
	return log->head - lockstep_log_tail(log) + len <= log->size;
}

static inline u8 *lockstep_log_end(const struct lockstep_log *log)
{
	return lockstep_log_at(log, log->head);
}

/* Producer: make @len bytes behind lockstep_log_end() part of the log. */
static inline void lockstep_log_push(struct lockstep_log *log, u32 len)
{
	smp_store_release(&log->head, log->head + len);	/* after the bytes */
}

/* Consumer: decode the record at tail. -EAGAIN: nothing there (yet). */
static inline int lockstep_log_peek(const struct lockstep_log *log, struct lockstep_rec *rec)
{
	return lockstep_record_get(lockstep_log_at(log, log->tail),
				   lockstep_log_head(log) - log->tail, rec);
}

/* Consumer: everything below @lsn is not needed any more. */
static inline void lockstep_log_pop_to(struct lockstep_log *log, u64 lsn)
{
	smp_store_release(&log->tail, lsn);	/* after the last look at them */
}

#endif
