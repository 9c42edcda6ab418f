/* SPDX-License-Identifier: GPL-2.0 */
/* How far the running attempt is; written by it, read by any thread or signal handler. */
#ifndef LOCKSTEP_MR_PROGRESS_H
#define LOCKSTEP_MR_PROGRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Of the one attempt of this process; for the functions below alone. */
struct mr_progress_state {
	_Atomic uint64_t in_bytes;
	_Atomic uint64_t in_total;
	_Atomic uint64_t records;
	_Atomic bool user;
	_Atomic bool cancelled;
};

extern struct mr_progress_state mr_progress_state;

/* An attempt begins: it is not cancelled. */
void mr_progress_begin(uint64_t in_total);
void mr_progress_status(const char *status);

static inline void mr_progress_bytes(uint64_t more)
{
	uint64_t n = atomic_load_explicit(&mr_progress_state.in_bytes, memory_order_relaxed);

	atomic_store_explicit(&mr_progress_state.in_bytes, n + more, memory_order_relaxed);
}

/* User code begins with one more record. */
static inline void mr_progress_record(void)
{
	uint64_t n = atomic_load_explicit(&mr_progress_state.records, memory_order_relaxed);

	atomic_store_explicit(&mr_progress_state.records, n + 1, memory_order_relaxed);
}

static inline uint64_t mr_progress_records(void)
{
	return atomic_load_explicit(&mr_progress_state.records, memory_order_relaxed);
}

static inline void mr_progress_user(bool user)
{
	atomic_store_explicit(&mr_progress_state.user, user, memory_order_relaxed);
}

static inline bool mr_progress_cancelled(void)
{
	return atomic_load_explicit(&mr_progress_state.cancelled, memory_order_relaxed);
}

#endif
