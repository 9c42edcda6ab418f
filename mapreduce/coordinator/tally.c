// SPDX-License-Identifier: GPL-2.0
#include "coordinator/tally.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"

#define NOT_COUNTED	UINT32_MAX

void mr_tallies_exit(struct mr_tallies *c)
{
	uint32_t i;

	for (i = 0; i < c->nr; i++) {
		free(c->of[i].group);
		free(c->of[i].name);
	}
}

/* Jobs have few counters. */
static int counter_find(struct mr_tallies *c, const Mr__Counter *counter, uint32_t *id)
{
	uint32_t i;

	for (i = 0; i < c->nr; i++) {
		if (!strcmp(c->of[i].name, counter->name) && !strcmp(c->of[i].group, counter->group)) {
			*id = i;
			return 0;
		}
	}
	*id = NOT_COUNTED;
	if (i == MR_COUNTERS_MAX)
		return 0;
	c->of[i].group = strdup(counter->group);
	c->of[i].name = strdup(counter->name);
	c->of[i].sum = 0;
	if (!c->of[i].group || !c->of[i].name) {
		free(c->of[i].group);
		free(c->of[i].name);
		return -ENOMEM;
	}
	*id = i;
	c->nr++;
	return 0;
}

/* Sums wrap around rather than overflow. */
static void tally_add(struct mr_tallies *c, const struct mr_tally *tally, bool out)
{
	uint32_t i;

	for (i = 0; tally && i < tally->nr; i++) {
		uint64_t value = (uint64_t)tally->of[i].value;
		int64_t *sum = &c->of[tally->of[i].id].sum;

		*sum = (int64_t)((uint64_t)*sum + (out ? 0 - value : value));
	}
}

int mr_tallies_replace(struct mr_tallies *c, struct mr_tally **tally, Mr__Counter * const *list, size_t nr)
{
	struct mr_tally *t = malloc(sizeof(*t) + nr * sizeof(t->of[0]));
	uint32_t id;
	size_t i;

	if (!t)
		return -ENOMEM;
	t->nr = 0;
	for (i = 0; i < nr; i++) {
		if (counter_find(c, list[i], &id)) {
			free(t);
			return -ENOMEM;
		}
		if (id == NOT_COUNTED)
			continue;
		t->of[t->nr].id = id;
		t->of[t->nr++].value = list[i]->value;
	}
	tally_add(c, *tally, true);
	tally_add(c, t, false);
	free(*tally);
	*tally = t;
	return 0;
}

struct json_object *mr_tallies_status(const struct mr_tallies *c)
{
	struct json_object *all = json_object_new_object();
	struct json_object *group;
	uint32_t i;

	for (i = 0; i < c->nr; i++) {
		if (!json_object_object_get_ex(all, c->of[i].group, &group)) {
			group = json_object_new_object();
			json_object_object_add(all, c->of[i].group, group);
		}
		json_object_object_add(group, c->of[i].name, json_object_new_int64(c->of[i].sum));
	}
	return all;
}
