// SPDX-License-Identifier: GPL-2.0
/* Everything the daemon knows, as JSON. */
#include "common/json.h"
#include "kmod/state.h"
#include "lockstepd/core.h"

static uint64_t age_ms(const struct lockstep_core *core, uint64_t then)
{
	uint64_t now = core->ops->now(core->user);

	return then && now > then ? (now - then) / LOCKSTEP_NSEC_PER_MSEC : 0;
}

static struct json_object *guest_json(struct lockstep_guest *g)
{
	struct json_object *o = lockstep_guest_info_json(&g->info);

	if (!o)
		return NULL;
	lockstep_json_add_bool(o, "foreign", g->foreign);
	lockstep_json_add_str(o, "peer_node", g->node ? g->node->name : NULL);
	lockstep_json_add_str(o, "peer_state",
			      g->node && lockstep_failover_paired(g->state) && g->peer_state ?
			      lockstep_state_name(g->peer_state) : NULL);
	lockstep_json_add_u64(o, "peer_heard_ms", g->node ? age_ms(g->core, g->heard_ns) : 0);
	lockstep_json_add_u64(o, "log_bps", g->log_bps);
	lockstep_json_add_u64(o, "waiting_bytes", g->flow.queued);
	lockstep_json_add_u64(o, "state_ms", age_ms(g->core, g->since_ns));
	lockstep_json_add_str(o, "reason", g->reason[0] ? g->reason : NULL);
	lockstep_json_add_str(o, "note", g->note[0] ? g->note : NULL);
	return o;
}

static struct json_object *arbiter_json(const struct lockstep_core *core)
{
	const struct lockstep_arbiter_view *view = &core->view;
	struct json_object *o = json_object_new_object();

	if (!o)
		return NULL;
	lockstep_json_add_bool(o, "configured", core->arbiter);
	lockstep_json_add_bool(o, "reachable", view->reachable);
	lockstep_json_add_str(o, "rejected", view->rejected);
	lockstep_json_add_str(o, "node", view->node[0] ? view->node : NULL);
	if (lockstep_uuid_is_nil(&view->store))
		lockstep_json_add_str(o, "store", NULL);
	else
		lockstep_json_add_uuid(o, "store", &view->store);
	/* of whom it shares its fate with, also where that was allowed */
	if (!lockstep_uuid_is_nil(&view->boot_id))
		lockstep_json_add_uuid(o, "boot_id", &view->boot_id);
	lockstep_json_add_u64(o, "rtt_us", view->rtt_ns / 1000);
	return o;
}

static struct json_object *traits_json(const struct lockstep_traits *traits)
{
	struct json_object *o = json_object_new_object();
	unsigned int i;

	for (i = 0; o && i < traits->n; i++)
		lockstep_json_add_str(o, traits->trait[i].name, traits->trait[i].value);
	return o;
}

static struct json_object *nodes_json(const struct lockstep_core *core)
{
	struct json_object *a = json_object_new_array(), *o;
	const struct lockstep_node *node;

	TAILQ_FOREACH(node, &core->nodes, entry) {
		o = a ? json_object_new_object() : NULL;
		if (!o)
			continue;
		lockstep_json_add_str(o, "node", node->name);
		lockstep_json_add_bool(o, "up", node->up);
		json_object_object_add(o, "traits", traits_json(&node->traits));
		json_object_array_add(a, o);
	}
	return a;
}

struct json_object *lockstep_core_status(struct lockstep_core *core)
{
	struct json_object *o = json_object_new_object(), *a;
	struct lockstep_guest *g;

	if (!o)
		return NULL;
	lockstep_json_add_str(o, "node", core->cfg.node);
	lockstep_json_add_uuid(o, "boot_id", &core->cfg.boot_id);
	json_object_object_add(o, "traits", traits_json(&core->traits));
	json_object_object_add(o, "nodes", nodes_json(core));
	json_object_object_add(o, "arbiter", arbiter_json(core));
	a = json_object_new_array();
	TAILQ_FOREACH(g, &core->guests, entry)
		if (a && !g->gone) {
			lockstep_guest_refresh(g);
			json_object_array_add(a, guest_json(g));
		}
	json_object_object_add(o, "guests", a);
	return o;
}
