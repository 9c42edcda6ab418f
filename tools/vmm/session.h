/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where the machine's inputs come from and its outputs go to
 *
 * Two back ends: "lockstep" asks the module, "none" runs the guest alone.  The
 * calls are those of /dev/lockstep (uapi/linux/lockstep.h); interrupted ones
 * are repeated inside, unless the machine was told to quit.
 *
 * Errors of all calls that give one: -ESHUTDOWN: this instance is not what it
 * was, or the machine is to quit: ask next(); -EILSEQ: diverged; others are
 * host errors.
 */
#ifndef VMM_SESSION_H
#define VMM_SESSION_H

#include <stdbool.h>
#include <stdint.h>

struct vmm;

/* Answer of next(); an input for verdict APPLY, the virtual clock (peeked at) for LIVE. */
struct vmm_next {
	uint32_t verdict;	/* enum lockstep_verdict */
	uint16_t unit;
	uint16_t kind;
	uint32_t len;
	uint64_t clock;
};

/**
 * struct vmm_session_ops - a back end
 * @stops_only:  KVM_RUN returning -EINTR is no stop: nothing may happen there
 * @virtual_tsc: the guest's TSC is the virtual clock, at LOCKSTEP_TSC_KHZ
 * @attach:      start; sets vmm->page. @notify_fd is signalled when the page has news. 0 or
 *		 -errno after a message
 * @detach:      end
 * @next:        what is next here? -EINTR: a signal came, ask again without LOCKSTEP_NEXT_STOP.
 *		 @data has room for LOCKSTEP_PAYLOAD_MAX bytes
 * @input:       log an input before it is applied
 * @clock:       one value; @flags: LOCKSTEP_CLOCK_PEEK or 0
 * @output:      a LOCKSTEP_VERDICT_KEEP or _SEND, or an error; @lsn for SEND
 * @released:    a byte stream was handed over up to @index (any thread)
 * @digest:      log or compare the digests of the state
 * @mismatch:    a twin's start state differs
 * @poweroff:    the guest has powered off
 * @arm:         the guest is about to run, and wanted back at virtual time @deadline
 * @kick:        an input waits (any thread): have the guest stop for it soon
 */
struct vmm_session_ops {
	const char *name;
	bool stops_only;
	bool virtual_tsc;
	int (*attach)(struct vmm *vmm, int notify_fd);
	void (*detach)(struct vmm *vmm);
	int (*next)(struct vmm *vmm, uint32_t flags, struct vmm_next *next, void *data);
	int (*input)(struct vmm *vmm, uint16_t unit, uint16_t kind, const void *data,
		     uint32_t len);
	int (*clock)(struct vmm *vmm, uint32_t kind, uint32_t flags, uint64_t *ns);
	int (*output)(struct vmm *vmm, uint32_t stream, uint64_t index, const void *data,
		      uint32_t len, uint64_t *lsn);
	void (*released)(struct vmm *vmm, uint32_t stream, uint64_t index);
	int (*digest)(struct vmm *vmm, const uint64_t *digest);
	int (*mismatch)(struct vmm *vmm, const uint64_t *digest);
	int (*poweroff)(struct vmm *vmm);
	void (*arm)(struct vmm *vmm, uint64_t deadline);
	void (*kick)(struct vmm *vmm);
};

extern const struct vmm_session_ops vmm_session_none;
extern const struct vmm_session_ops vmm_session_lockstep;

#endif
