// SPDX-License-Identifier: GPL-2.0
/* Strangers, as the daemons tell of them, see refusal.h. */
#include "transport/refusal.h"

#include <json-c/json.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"

#define PERIOD_NS	(10 * LOCKSTEP_NSEC_PER_SEC)
#define TOLD_MAX	10	/* in a period */

void lockstep_refusal_tell(struct lockstep_refusals *r, const char *address, const char *node,
			   const char *reason)
{
	uint64_t now = lockstep_clock_ns();
	struct json_object *o;

	if (!r->since_ns || now - r->since_ns >= PERIOD_NS) {
		r->since_ns = now;
		r->told = 0;
	}
	if (r->told == TOLD_MAX) {
		r->untold++;
		return;
	}
	r->told++;
	o = json_object_new_object();
	if (o) {
		lockstep_json_add_str(o, "address", address);
		lockstep_json_add_str(o, "node", node);
		lockstep_json_add_str(o, "reason", reason);
		lockstep_json_add_str(o, "remedy",
				      "a node of this cluster needs keys of its CA and a section [peer]; keep others off this network");
		if (r->untold)
			lockstep_json_add_u64(o, "untold", r->untold);
	}
	r->untold = 0;
	lockstep_event_emit("connection.refused", o);
}
