/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Digests and dumps of the whole state, at one position on both hosts
 *
 * A request is an input of VMM_UNIT_CONTROL: it is applied at the same place on
 * primary and twin, which log and compare the digests, or each write a dump.
 */
#ifndef VMM_VERIFY_H
#define VMM_VERIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/lockstep.h>

struct vmm;

/* Kinds of input of VMM_UNIT_CONTROL. */
#define VMM_VERIFY_DIGEST	1	/* from the pages written since the last one */
#define VMM_VERIFY_FULL		2	/* from all of memory */
#define VMM_VERIFY_DUMP		3	/* as FULL, and write it to a file */

#define VMM_VERIFY_NAME_MAX	64

/* Digests, by their index in struct lockstep_digest. */
enum vmm_verify_digest {
	VMM_DIGEST_VCPU = 0,	/* registers, MSRs, pending events */
	VMM_DIGEST_MEMORY = 1,
	VMM_DIGEST_DEVICES = 2,
	VMM_DIGEST_DISKS = 3,
};

/**
 * struct vmm_verify_result - answer to a request
 * @id:    of the request
 * @error: 0 or -errno; -EILSEQ can't be seen by the primary: it is the twin that compares
 * @stops: where it was: stops of this VMM
 */
struct vmm_verify_result {
	uint64_t id;
	int error;
	uint64_t stops;
	uint64_t digest[LOCKSTEP_DIGESTS];
};

/* The device that takes the requests; it has no state of its own. 0 or -errno. */
int vmm_verify_create(struct vmm *vmm);

/**
 * vmm_verify_request - ask for a digest or dump (any thread, live side)
 * @id:   comes back in the result, through vmm_control_done()
 * @name: of the dump file in the state directory of each host: [A-Za-z0-9._-], no leading dot;
 *	  ignored without a dump
 *
 * Return: 0, -EINVAL (name), -ENOBUFS, -ENOTCONN: this side is not live.
 */
int vmm_verify_request(struct vmm *vmm, uint16_t kind, uint64_t id, const char *name);

#endif
