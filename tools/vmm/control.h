/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The control socket: one command a line, one line of JSON as the answer
 *
 * The commands are in lockstep-vmm(8).  Runs on the host thread.
 */
#ifndef VMM_CONTROL_H
#define VMM_CONTROL_H

struct vmm;
struct vmm_verify_result;

/* Listen on config.control, if it is set. 0 or -errno after a message. */
int vmm_control_create(struct vmm *vmm);
void vmm_control_destroy(struct vmm *vmm);

/* A request to verify or dump was served (vCPU thread). */
void vmm_control_done(struct vmm *vmm, const struct vmm_verify_result *result);

#endif
