// SPDX-License-Identifier: GPL-2.0
/* The arbiter's store: records in memory, over a journal. */
#include "arbiter/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/journal.h"
#include "common/bytes.h"
#include "common/json.h"
#include "common/log.h"

/* The journal is written anew at start when so much of it is of no use. */
#define REWRITE_MIN	1024	/* records */

/* Generations of a guest below @floor were pruned. */
struct floor {
	struct lockstep_uuid vm;
	uint64_t floor;
};

/**
 * struct lockstep_store - a store
 * @journal: what is on disk
 * @uuid: the store's
 * @has_uuid: the journal has told it
 * @records: sorted by guest, generation, kind
 * @count: how many
 * @size: room
 * @floors: sorted by guest
 * @nfloors: how many
 * @floors_size: room
 */
struct lockstep_store {
	struct lockstep_journal journal;
	struct lockstep_uuid uuid;
	bool has_uuid;
	struct lockstep_store_record *records;
	size_t count;
	size_t size;
	struct floor *floors;
	size_t nfloors;
	size_t floors_size;
};

/* --- tables -------------------------------------------------------------- */

/* Index of the first record that is not below a key. */
static size_t lower_bound(const struct lockstep_store *s, const struct lockstep_arbiter_key *key)
{
	size_t lo = 0, hi = s->count, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (lockstep_arbiter_key_compare(&s->records[mid].key, key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static const struct lockstep_store_record *find(const struct lockstep_store *s,
						const struct lockstep_uuid *vm, uint64_t generation,
						enum lockstep_record_kind kind)
{
	struct lockstep_arbiter_key key = { .vm = *vm, .generation = generation, .kind = kind };
	size_t i = lower_bound(s, &key);

	if (i == s->count || lockstep_arbiter_key_compare(&s->records[i].key, &key))
		return NULL;
	return &s->records[i];
}

/* Room for one more element of an array. */
static int grow(void **array, size_t *size, size_t count, size_t element)
{
	size_t want;
	void *p;

	if (count < *size)
		return 0;
	want = *size ? *size * 2 : 64;
	p = reallocarray(*array, want, element);
	if (!p)
		return -ENOMEM;
	*array = p;
	*size = want;
	return 0;
}

/* Memory is had by reserve() before the journal is written; this can't fail. */
static void insert(struct lockstep_store *s, const struct lockstep_arbiter_key *key,
		   const void *value, size_t len)
{
	size_t i = lower_bound(s, key);

	memmove(&s->records[i + 1], &s->records[i], (s->count - i) * sizeof(s->records[0]));
	s->records[i].key = *key;
	s->records[i].len = (uint16_t)len;
	memcpy(s->records[i].value, value, len);
	s->count++;
}

static int reserve(struct lockstep_store *s)
{
	/* A forced open makes two records. */
	return grow((void **)&s->records, &s->size, s->count + 1, sizeof(s->records[0]));
}

static size_t floor_index(const struct lockstep_store *s, const struct lockstep_uuid *vm)
{
	size_t lo = 0, hi = s->nfloors, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (memcmp(s->floors[mid].vm.b, vm->b, sizeof(vm->b)) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static uint64_t floor_of(const struct lockstep_store *s, const struct lockstep_uuid *vm)
{
	size_t i = floor_index(s, vm);

	if (i == s->nfloors || !lockstep_uuid_equal(&s->floors[i].vm, vm))
		return 0;
	return s->floors[i].floor;
}

static int reserve_floor(struct lockstep_store *s)
{
	return grow((void **)&s->floors, &s->floors_size, s->nfloors, sizeof(s->floors[0]));
}

static void set_floor(struct lockstep_store *s, const struct lockstep_uuid *vm, uint64_t below)
{
	struct lockstep_arbiter_key from = { .vm = *vm }, to = { .vm = *vm, .generation = below };
	size_t i = floor_index(s, vm), first, last;

	if (i == s->nfloors || !lockstep_uuid_equal(&s->floors[i].vm, vm)) {
		memmove(&s->floors[i + 1], &s->floors[i], (s->nfloors - i) * sizeof(s->floors[0]));
		s->floors[i].vm = *vm;
		s->nfloors++;
	}
	s->floors[i].floor = below;
	first = lower_bound(s, &from);
	last = lower_bound(s, &to);
	if (first == last)
		return;
	memmove(&s->records[first], &s->records[last], (s->count - last) * sizeof(s->records[0]));
	s->count -= last - first;
}

/* --- journal ------------------------------------------------------------- */

static void put_record(struct lockstep_journal_record *rec, const struct lockstep_arbiter_key *key,
		       const void *value, size_t len)
{
	memset(rec, 0, sizeof(*rec));
	rec->type = LOCKSTEP_JOURNAL_PUT;
	lockstep_arbiter_key_format(key, rec->key);
	memcpy(rec->value, value, len);
	rec->len = len;
}

static void uuid_record(struct lockstep_journal_record *rec, const struct lockstep_uuid *uuid)
{
	memset(rec, 0, sizeof(*rec));
	rec->type = LOCKSTEP_JOURNAL_STORE;
	memcpy(rec->value, uuid->b, sizeof(uuid->b));
	rec->len = sizeof(uuid->b);
}

static void prune_record(struct lockstep_journal_record *rec, const struct lockstep_uuid *vm,
			 uint64_t below)
{
	char text[LOCKSTEP_UUID_STRLEN + 1];
	struct lockstep_writer w;

	memset(rec, 0, sizeof(*rec));
	rec->type = LOCKSTEP_JOURNAL_PRUNE;
	snprintf(rec->key, sizeof(rec->key), "vm/%s", lockstep_uuid_format(vm, text));
	lockstep_writer_init(&w, rec->value, sizeof(rec->value));
	lockstep_write_u64(&w, below);
	rec->len = w.len;
}

static int replay_put(struct lockstep_store *s, const struct lockstep_journal_record *rec)
{
	struct lockstep_arbiter_key key;
	int err;

	if (lockstep_arbiter_key_parse(rec->key, &key) ||
	    find(s, &key.vm, key.generation, key.kind) ||
	    key.generation < floor_of(s, &key.vm))
		return -EUCLEAN;
	err = reserve(s);
	if (!err)
		insert(s, &key, rec->value, rec->len);
	return err;
}

static int replay_prune(struct lockstep_store *s, const struct lockstep_journal_record *rec)
{
	struct lockstep_reader r;
	struct lockstep_uuid vm;
	uint64_t below;
	int err;

	lockstep_reader_init(&r, rec->value, rec->len);
	below = lockstep_read_u64(&r);
	if (!lockstep_reader_done(&r) || strncmp(rec->key, "vm/", 3) ||
	    lockstep_uuid_parse(rec->key + 3, &vm) || below <= floor_of(s, &vm))
		return -EUCLEAN;
	err = reserve_floor(s);
	if (!err)
		set_floor(s, &vm, below);
	return err;
}

static int replay(const struct lockstep_journal_record *rec, void *arg)
{
	struct lockstep_store *s = arg;

	if (rec->type == LOCKSTEP_JOURNAL_STORE) {
		if (rec->len != sizeof(s->uuid.b))
			return -EUCLEAN;
		memcpy(s->uuid.b, rec->value, sizeof(s->uuid.b));
		s->has_uuid = true;
		return 0;
	}
	if (!s->has_uuid)
		return -EUCLEAN;
	return rec->type == LOCKSTEP_JOURNAL_PUT ? replay_put(s, rec) : replay_prune(s, rec);
}

/* Leave what was pruned behind. Failure leaves the longer journal, no harm. */
static void rewrite(struct lockstep_store *s)
{
	size_t want = 1 + s->nfloors + s->count, n = 0, i;
	struct lockstep_journal_record *recs;
	int err;

	if (s->journal.seq < want + REWRITE_MIN || s->journal.seq < 2 * want)
		return;
	recs = calloc(want, sizeof(*recs));
	if (!recs)
		return;
	uuid_record(&recs[n++], &s->uuid);
	for (i = 0; i < s->nfloors; i++)
		prune_record(&recs[n++], &s->floors[i].vm, s->floors[i].floor);
	for (i = 0; i < s->count; i++)
		put_record(&recs[n++], &s->records[i].key, s->records[i].value,
			   s->records[i].len);
	err = lockstep_journal_rewrite(&s->journal, recs, n);
	if (err)
		lockstep_warn("journal can't be shortened: %s", strerror(-err));
	free(recs);
}

static int mint(struct lockstep_store *s)
{
	struct lockstep_journal_record rec;
	struct lockstep_uuid uuid;
	int err;

	err = lockstep_uuid_random(&uuid);
	if (err)
		return err;
	uuid_record(&rec, &uuid);
	err = lockstep_journal_append(&s->journal, &rec, 1);
	if (!err) {
		s->uuid = uuid;
		s->has_uuid = true;
	}
	return err;
}

int lockstep_store_open(const char *dir, struct lockstep_store **out, char *err, size_t errlen)
{
	struct lockstep_store *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return -ENOMEM;
	ret = lockstep_journal_open(&s->journal, dir, replay, s, err, errlen);
	if (ret)
		goto out_free;
	if (!s->has_uuid) {
		ret = mint(s);
		if (ret) {
			snprintf(err, errlen, "%s: can't begin a store: %s", dir, strerror(-ret));
			goto out_free;
		}
	}
	rewrite(s);
	*out = s;
	return 0;

out_free:
	lockstep_store_close(s);
	return ret;
}

void lockstep_store_close(struct lockstep_store *s)
{
	if (!s)
		return;
	if (s->journal.dir)
		lockstep_journal_close(&s->journal);
	free(s->records);
	free(s->floors);
	free(s);
}

int lockstep_store_restore(struct lockstep_store *s)
{
	return mint(s);
}

/* --- requests ------------------------------------------------------------ */

static bool is_full(const struct lockstep_store *s)
{
	return s->count + 2 > LOCKSTEP_STORE_RECORDS_MAX;
}

static void guest_of(const struct lockstep_store *s, const struct lockstep_uuid *vm,
		     struct lockstep_rules_guest *g)
{
	struct lockstep_arbiter_key from = { .vm = *vm };
	struct lockstep_arbiter_key to = { .vm = *vm, .generation = UINT64_MAX, .kind = 255 };
	size_t first = lower_bound(s, &from);

	g->store = &s->uuid;
	g->records = s->records + first;
	g->count = lower_bound(s, &to) - first;
	g->floor = floor_of(s, vm);
	g->full = is_full(s);
}

/* Make records durable, then visible. */
static int apply_puts(struct lockstep_store *s, const struct lockstep_rules_change *c)
{
	struct lockstep_journal_record recs[2];
	unsigned int i;
	int err;

	err = reserve(s);
	if (err)
		return err;
	for (i = 0; i < c->nputs; i++)
		put_record(&recs[i], &c->puts[i].key, c->puts[i].value, c->puts[i].len);
	err = lockstep_journal_append(&s->journal, recs, c->nputs);
	if (err)
		return err;
	for (i = 0; i < c->nputs; i++)
		insert(s, &c->puts[i].key, c->puts[i].value, c->puts[i].len);
	return 0;
}

static int apply_prune(struct lockstep_store *s, const struct lockstep_uuid *vm, uint64_t below)
{
	struct lockstep_journal_record rec;
	int err;

	err = reserve_floor(s);
	if (err)
		return err;
	prune_record(&rec, vm, below);
	err = lockstep_journal_append(&s->journal, &rec, 1);
	if (!err)
		set_floor(s, vm, below);
	return err;
}

/* An operator overrode the rules: that has to be found again later. */
static void report_forced(const char *node, const struct lockstep_arbiter_key *key)
{
	struct json_object *o = json_object_new_object();

	if (o) {
		lockstep_json_add_str(o, "node", node);
		lockstep_json_add_uuid(o, "vm", &key->vm);
		lockstep_json_add_u64(o, "generation", key->generation);
	}
	lockstep_event_emit("arbiter.forced", o);
}

static int request(struct lockstep_store *s, const struct lockstep_rules_request *rq,
		   struct lockstep_verdict *v)
{
	struct lockstep_rules_change c;
	struct lockstep_rules_guest g;
	int err;

	guest_of(s, &rq->key.vm, &g);
	err = lockstep_rules_judge(&g, rq, v, &c);
	if (!err && c.nputs)
		err = apply_puts(s, &c);
	if (!err && c.below)
		err = apply_prune(s, &rq->key.vm, c.below);
	if (!err && c.forced)
		report_forced(rq->node, &rq->key);
	return err;
}

static int put_request(struct lockstep_store *s, enum lockstep_rules_op op, const char *node,
		       const char *key, const void *value, size_t len,
		       struct lockstep_verdict *v)
{
	struct lockstep_rules_request rq = { .op = op, .node = node, .value = value, .len = len };

	if (lockstep_arbiter_key_parse(key, &rq.key)) {
		lockstep_rules_refuse(v, LOCKSTEP_REFUSAL_MALFORMED, "malformed key");
		return 0;
	}
	return request(s, &rq, v);
}

int lockstep_store_create(struct lockstep_store *s, const char *node, const char *key,
			  const void *value, size_t len, struct lockstep_verdict *v)
{
	return put_request(s, LOCKSTEP_RULES_CREATE, node, key, value, len, v);
}

int lockstep_store_claim(struct lockstep_store *s, const char *node, const char *key,
			 const void *value, size_t len, struct lockstep_verdict *v)
{
	return put_request(s, LOCKSTEP_RULES_CLAIM, node, key, value, len, v);
}

int lockstep_store_prune(struct lockstep_store *s, const char *node,
			 const struct lockstep_uuid *vm, uint64_t below,
			 struct lockstep_verdict *v)
{
	struct lockstep_rules_request rq = {
		.op = LOCKSTEP_RULES_PRUNE, .node = node, .key = { .vm = *vm }, .below = below,
	};

	return request(s, &rq, v);
}

/* --- reading ------------------------------------------------------------- */

const struct lockstep_store_record *lockstep_store_get(struct lockstep_store *s,
						       const struct lockstep_arbiter_key *key)
{
	return find(s, &key->vm, key->generation, key->kind);
}

const struct lockstep_store_record *lockstep_store_next(struct lockstep_store *s,
							const struct lockstep_arbiter_key *after)
{
	size_t i = 0;

	if (after) {
		i = lower_bound(s, after);
		if (i < s->count && !lockstep_arbiter_key_compare(&s->records[i].key, after))
			i++;
	}
	return i < s->count ? &s->records[i] : NULL;
}

const struct lockstep_uuid *lockstep_store_uuid(const struct lockstep_store *s)
{
	return &s->uuid;
}

uint64_t lockstep_store_records(const struct lockstep_store *s)
{
	return s->count;
}

uint64_t lockstep_store_journal_bytes(const struct lockstep_store *s)
{
	return s->journal.seq * LOCKSTEP_JOURNAL_SIZE;
}
