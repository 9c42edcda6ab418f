/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The start state: the first input of the log
 *
 * The primary builds it and logs what it is made of; the twin builds its own
 * from its own files with the seed and the command line of the log, and
 * compares.
 */
#ifndef VMM_START_H
#define VMM_START_H

#include <stdint.h>

struct vmm;

#define VMM_START_KIND	1	/* of an input of VMM_UNIT_BOOT */

/**
 * vmm_start_read - take the digests of the kernel, the initrd and the disks
 *
 * It takes as long as reading them does. Both sides begin with it, before they ask the session for
 * anything: a twin that began when it hears of the primary's would double the time. Nothing is
 * read for an unprotected guest. 0; -errno after a message.
 */
int vmm_start_read(struct vmm *vmm);

/* Live: build the start state of what was read, and log it. 0; -errno of the session; other errors after a message. */
int vmm_start_live(struct vmm *vmm);

/**
 * vmm_start_apply - twin: build the start state that the log describes
 * @data: payload of the input, not trusted
 *
 * Return: 0; -EILSEQ: it differs, after a message that names each difference and after the
 * session was told; -EINVAL: the payload makes no sense; other errors after a message.
 */
int vmm_start_apply(struct vmm *vmm, uint16_t kind, const void *data, uint32_t len);

#endif
