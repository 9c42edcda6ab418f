/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The host thread: signals, news of the module, byte streams, the control socket
 *
 * One event loop; its handlers run on its thread only.  The vCPU's thread never
 * waits for it.
 */
#ifndef VMM_HOST_H
#define VMM_HOST_H

struct event_base;
struct vmm;

/* Make the loop, blocking SIGINT and SIGTERM for all threads (they mean quit). 0 or -errno. */
int vmm_host_create(struct vmm *vmm);

/* Run it in a thread of its own; stop and join it. Handlers are added before or by handlers. */
int vmm_host_start(struct vmm *vmm);
void vmm_host_stop(struct vmm *vmm);
void vmm_host_destroy(struct vmm *vmm);

struct event_base *vmm_host_base(struct vmm *vmm);

/* eventfd for the module to signal */
int vmm_host_notify_fd(const struct vmm *vmm);

/* Look at the streams (any thread). */
void vmm_host_nudge(struct vmm *vmm);

#endif
