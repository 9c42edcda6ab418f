/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is said to etcd's JSON gateway, and how its answers read.
 *
 *	lockstep/store			"<uuid> <id of the etcd cluster>"
 *	lockstep/vm/<uuid>/<g>/<kind>	record, as backend.h has it
 *	lockstep/vm/<uuid>/floor	generations below it were pruned, decimal
 */
#ifndef LOCKSTEP_ARBITER_ETCD_JSON_H
#define LOCKSTEP_ARBITER_ETCD_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arbiter/rules.h"

struct json_object;

/**
 * struct lockstep_etcd_view - what an answer says
 * @cluster: id of the etcd cluster
 * @revision: of its whole content
 * @succeeded: the comparisons of a change held
 * @has_store: there is a store
 * @store: its UUID
 * @store_cluster: etcd cluster it was made in
 * @store_revision: when that was
 * @records: sorted by guest, generation and kind; none below its guest's floor
 * @count: how many
 * @size: room
 * @floor: of the guest, when only one was asked for
 */
struct lockstep_etcd_view {
	uint64_t cluster;
	uint64_t revision;
	bool succeeded;
	bool has_store;
	struct lockstep_uuid store;
	uint64_t store_cluster;
	uint64_t store_revision;
	struct lockstep_store_record *records;
	size_t count;
	size_t size;
	uint64_t floor;
};

/* Each of these returns a new object, or NULL without memory. */

/** lockstep_etcd_read() - read the store and a guest; nil: all guests; NULL: none */
struct json_object *lockstep_etcd_read(const struct lockstep_uuid *vm);

/** lockstep_etcd_mint() - make a store, if what was seen is so still: revision 0: none */
struct json_object *lockstep_etcd_mint(const struct lockstep_uuid *store, uint64_t cluster,
				       uint64_t revision);

/**
 * lockstep_etcd_change() - make a change, if nothing was changed since
 * @view: what it was judged on
 * @vm: guest
 * @c: change
 */
struct json_object *lockstep_etcd_change(const struct lockstep_etcd_view *view,
					 const struct lockstep_uuid *vm,
					 const struct lockstep_rules_change *c);

/**
 * lockstep_etcd_parse() - take an answer apart
 * @body: text
 * @len: its length
 * @view: receives it; to be freed with lockstep_etcd_view_exit() in any case
 *
 * Return: 0, -EPROTO for nonsense, -EUCLEAN for records that make no sense, -ENOMEM.
 */
int lockstep_etcd_parse(const char *body, size_t len, struct lockstep_etcd_view *view);

void lockstep_etcd_view_exit(struct lockstep_etcd_view *view);

#endif
