/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The vCPU's thread: run the guest until it ends
 */
#ifndef VMM_RUN_H
#define VMM_RUN_H

struct vmm;

/* Everything is created, the session is attached. Sets vmm->ending. */
void vmm_run(struct vmm *vmm);

#endif
