/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of the simulation share among themselves. */
#ifndef LOCKSTEPD_SIM_IMPL_H
#define LOCKSTEPD_SIM_IMPL_H

#include "lockstepd_sim.h"

typedef void sim_event_fn(struct sim *s, struct sim_event *e);

/* Something that happens at a host at a time. */
struct sim_event {
	TAILQ_ENTRY(sim_event) entry;
	uint64_t at;
	int host;
	unsigned int epoch;
	unsigned int link_epoch;
	sim_event_fn *fn;
	void (*drop)(struct sim_event *e);
	size_t len;
	uint8_t data[] __attribute__((aligned(8)));
};

struct sim_event *sim_event_add(struct sim *s, uint64_t delay, int host, sim_event_fn *fn,
				size_t len);

extern const struct lockstep_arbiter_ops sim_arbiter_ops;

/* The fake module; the first argument is the host. */
int sim_module_get(void *user, uint32_t id, struct lockstep_guest_info *info);
int sim_module_bind(void *user, uint32_t id);
int sim_module_alive(void *user, uint32_t id);
int sim_module_event(void *user, uint32_t id, unsigned int event, uint64_t generation,
		     const struct lockstep_uuid *peer);
int sim_module_feed(void *user, uint32_t id, uint64_t generation,
		    const struct lockstep_uuid *peer, const void *batch, size_t len);
int sim_module_acked(void *user, uint32_t id, uint64_t generation,
		     const struct lockstep_uuid *peer, const struct lockstep_ack *ack);
int sim_module_rewind(void *user, uint32_t id, uint64_t lsn);
void sim_module_detach(struct sim_host *h, uint32_t id);
void sim_module_unbind(struct sim_host *h);
void sim_module_step(struct sim_host *h);
void sim_promises_check(struct sim *s);

#endif
