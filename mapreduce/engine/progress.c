// SPDX-License-Identifier: GPL-2.0
/* How far the running attempt is; written by it, read by any thread or signal handler. */
#include "engine/progress.h"

#include <string.h>

#include "engine/attempt.h"

struct mr_progress_state mr_progress_state;

/* A status may be torn for a reader in between, but always ends: its last byte is never written. */
static _Atomic char status[sizeof(((struct mr_progress *)0)->status)];

void mr_progress_begin(uint64_t in_total)
{
	atomic_store(&mr_progress_state.in_bytes, 0);
	atomic_store(&mr_progress_state.in_total, in_total);
	atomic_store(&mr_progress_state.records, 0);
	atomic_store(&mr_progress_state.user, false);
	atomic_store(&mr_progress_state.cancelled, false);
	mr_progress_status("");
}

void mr_progress_status(const char *text)
{
	size_t i;

	for (i = 0; i < sizeof(status) - 1 && text[i]; i++)
		atomic_store_explicit(&status[i], text[i], memory_order_relaxed);
	atomic_store_explicit(&status[i], '\0', memory_order_relaxed);
}

void mr_attempt_cancel(void)
{
	atomic_store(&mr_progress_state.cancelled, true);
}

void mr_attempt_progress(struct mr_progress *progress)
{
	size_t i;

	progress->in_bytes = atomic_load(&mr_progress_state.in_bytes);
	progress->in_total = atomic_load(&mr_progress_state.in_total);
	progress->records = atomic_load(&mr_progress_state.records);
	progress->user = atomic_load(&mr_progress_state.user);
	for (i = 0; i < sizeof(status); i++)
		progress->status[i] = atomic_load_explicit(&status[i], memory_order_relaxed);
}
