// SPDX-License-Identifier: GPL-2.0
/* What is stored with an arbiter: keys and values. */
#include "arbiter/record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/json.h"

#define RECORD_VERSION	1

static const char * const kind_names[] = {
	[LOCKSTEP_RECORD_OPEN]		= "open",
	[LOCKSTEP_RECORD_WON]		= "won",
	[LOCKSTEP_RECORD_CLOSED]	= "closed",
};

int lockstep_arbiter_key_compare(const struct lockstep_arbiter_key *a,
				 const struct lockstep_arbiter_key *b)
{
	int c = memcmp(a->vm.b, b->vm.b, sizeof(a->vm.b));

	if (c)
		return c;
	if (a->generation != b->generation)
		return a->generation < b->generation ? -1 : 1;
	return (int)a->kind - (int)b->kind;
}

char *lockstep_arbiter_key_format(const struct lockstep_arbiter_key *key, char *buf)
{
	char vm[LOCKSTEP_UUID_STRLEN + 1];

	snprintf(buf, LOCKSTEP_ARBITER_KEY_MAX, "vm/%s/%" PRIu64 "/%s",
		 lockstep_uuid_format(&key->vm, vm), key->generation, kind_names[key->kind]);
	return buf;
}

int lockstep_arbiter_key_parse(const char *s, struct lockstep_arbiter_key *key)
{
	char vm[LOCKSTEP_UUID_STRLEN + 1], again[LOCKSTEP_ARBITER_KEY_MAX];
	struct lockstep_arbiter_key k;
	const char *p;
	char *end;
	int i;

	if (strlen(s) >= LOCKSTEP_ARBITER_KEY_MAX || strncmp(s, "vm/", 3) ||
	    strlen(s) < 3 + LOCKSTEP_UUID_STRLEN)
		return -EINVAL;
	p = s + 3;
	memcpy(vm, p, LOCKSTEP_UUID_STRLEN);
	vm[LOCKSTEP_UUID_STRLEN] = '\0';
	p += LOCKSTEP_UUID_STRLEN;
	if (lockstep_uuid_parse(vm, &k.vm) || *p++ != '/')
		return -EINVAL;
	errno = 0;
	k.generation = strtoull(p, &end, 10);
	if (errno || end == p || *end++ != '/' || !k.generation)
		return -EINVAL;
	for (i = 1; i <= LOCKSTEP_RECORD_KIND_MAX; i++) {
		if (!strcmp(end, kind_names[i]))
			break;
	}
	if (i > LOCKSTEP_RECORD_KIND_MAX)
		return -EINVAL;
	k.kind = (enum lockstep_record_kind)i;
	/* One text for each key: no leading zeros, signs, capitals. */
	if (strcmp(lockstep_arbiter_key_format(&k, again), s))
		return -EINVAL;
	*key = k;
	return 0;
}

/* --- values -------------------------------------------------------------- */

static bool member_valid(const struct lockstep_arbiter_member *m)
{
	return lockstep_node_name_valid(m->node) && !lockstep_uuid_is_nil(&m->instance);
}

static void write_uuid(struct lockstep_writer *w, const struct lockstep_uuid *u)
{
	lockstep_write_bytes(w, u->b, sizeof(u->b));
}

static void read_uuid(struct lockstep_reader *r, struct lockstep_uuid *u)
{
	lockstep_read_bytes(r, u->b, sizeof(u->b));
}

static void write_member(struct lockstep_writer *w, const struct lockstep_arbiter_member *m)
{
	lockstep_write_str(w, m->node);
	write_uuid(w, &m->boot_id);
	write_uuid(w, &m->instance);
}

static void read_member(struct lockstep_reader *r, struct lockstep_arbiter_member *m)
{
	lockstep_read_str(r, m->node, sizeof(m->node));
	read_uuid(r, &m->boot_id);
	read_uuid(r, &m->instance);
}

/* Version and kind begin every value. */
static int read_head(struct lockstep_reader *r, const void *buf, size_t len, uint8_t kind)
{
	uint8_t version;

	lockstep_reader_init(r, buf, len);
	version = lockstep_read_u8(r);
	if (lockstep_read_u8(r) != kind || !lockstep_reader_ok(r))
		return -EINVAL;
	return version == RECORD_VERSION ? 0 : -EPROTONOSUPPORT;
}

int lockstep_arbiter_open_encode(const struct lockstep_arbiter_open *o, void *buf, size_t size)
{
	struct lockstep_writer w;
	unsigned int i;

	if (!o->generation || o->nmembers < 1 || o->nmembers > 2)
		return -EINVAL;
	for (i = 0; i < o->nmembers; i++) {
		if (!member_valid(&o->members[i]))
			return -EINVAL;
	}
	if (o->nmembers == 2 &&
	    lockstep_uuid_equal(&o->members[0].instance, &o->members[1].instance))
		return -EINVAL;
	lockstep_writer_init(&w, buf, size);
	lockstep_write_u8(&w, RECORD_VERSION);
	lockstep_write_u8(&w, LOCKSTEP_RECORD_OPEN);
	lockstep_write_u8(&w, o->forced);
	lockstep_write_u8(&w, (uint8_t)o->nmembers);
	lockstep_write_u64(&w, o->generation);
	write_uuid(&w, &o->winner);
	write_uuid(&w, &o->store);
	for (i = 0; i < o->nmembers; i++)
		write_member(&w, &o->members[i]);
	return lockstep_writer_ok(&w) ? (int)w.len : -ENOSPC;
}

int lockstep_arbiter_open_decode(const void *buf, size_t len, struct lockstep_arbiter_open *o)
{
	uint8_t again[LOCKSTEP_ARBITER_VALUE_MAX];
	struct lockstep_reader r;
	unsigned int i;
	uint8_t forced;
	int err;

	memset(o, 0, sizeof(*o));
	err = read_head(&r, buf, len, LOCKSTEP_RECORD_OPEN);
	if (err)
		return err;
	forced = lockstep_read_u8(&r);
	o->forced = forced;
	o->nmembers = lockstep_read_u8(&r);
	o->generation = lockstep_read_u64(&r);
	read_uuid(&r, &o->winner);
	read_uuid(&r, &o->store);
	if (forced > 1 || o->nmembers > 2)
		return -EINVAL;
	for (i = 0; i < o->nmembers; i++)
		read_member(&r, &o->members[i]);
	/* What can't be written is not read either. */
	if (!lockstep_reader_done(&r) || lockstep_arbiter_open_encode(o, again, sizeof(again)) < 0)
		return -EINVAL;
	return 0;
}

int lockstep_arbiter_mark_encode(const struct lockstep_arbiter_mark *m, void *buf, size_t size)
{
	struct lockstep_writer w;

	if (!m->generation || !member_valid(&m->by) ||
	    strlen(m->reason) > LOCKSTEP_ARBITER_REASON_MAX)
		return -EINVAL;
	lockstep_writer_init(&w, buf, size);
	lockstep_write_u8(&w, RECORD_VERSION);
	lockstep_write_u8(&w, LOCKSTEP_RECORD_WON);
	lockstep_write_u64(&w, m->generation);
	write_member(&w, &m->by);
	lockstep_write_str(&w, m->reason);
	return lockstep_writer_ok(&w) ? (int)w.len : -ENOSPC;
}

int lockstep_arbiter_mark_decode(const void *buf, size_t len, struct lockstep_arbiter_mark *m)
{
	struct lockstep_reader r;
	int err;

	memset(m, 0, sizeof(*m));
	err = read_head(&r, buf, len, LOCKSTEP_RECORD_WON);
	if (err)
		return err;
	m->generation = lockstep_read_u64(&r);
	read_member(&r, &m->by);
	lockstep_read_str(&r, m->reason, sizeof(m->reason));
	if (!lockstep_reader_done(&r) || !m->generation || !member_valid(&m->by))
		return -EINVAL;
	return 0;
}

int lockstep_arbiter_open_member(const struct lockstep_arbiter_open *o,
				 const struct lockstep_uuid *instance)
{
	unsigned int i;

	for (i = 0; i < o->nmembers; i++) {
		if (lockstep_uuid_equal(&o->members[i].instance, instance))
			return (int)i;
	}
	return -ENOENT;
}

/* --- for people ---------------------------------------------------------- */

static struct json_object *member_json(const struct lockstep_arbiter_member *m)
{
	struct json_object *o = json_object_new_object();

	if (!o)
		return NULL;
	lockstep_json_add_str(o, "node", m->node);
	lockstep_json_add_uuid(o, "boot_id", &m->boot_id);
	lockstep_json_add_uuid(o, "instance", &m->instance);
	return o;
}

static int open_json(const void *value, size_t len, struct json_object *out)
{
	struct lockstep_arbiter_open o;
	struct json_object *members;
	unsigned int i;

	if (lockstep_arbiter_open_decode(value, len, &o))
		return -EINVAL;
	members = json_object_new_array();
	if (!members)
		return -ENOMEM;
	if (lockstep_uuid_is_nil(&o.winner))
		lockstep_json_add_str(out, "winner", NULL);
	else
		lockstep_json_add_uuid(out, "winner", &o.winner);
	lockstep_json_add_uuid(out, "store", &o.store);
	lockstep_json_add_bool(out, "forced", o.forced);
	for (i = 0; i < o.nmembers; i++)
		json_object_array_add(members, member_json(&o.members[i]));
	json_object_object_add(out, "members", members);
	return 0;
}

static int mark_json(const void *value, size_t len, struct json_object *out)
{
	struct lockstep_arbiter_mark m;

	if (lockstep_arbiter_mark_decode(value, len, &m))
		return -EINVAL;
	json_object_object_add(out, "by", member_json(&m.by));
	lockstep_json_add_str(out, "reason", m.reason);
	return 0;
}

struct json_object *lockstep_arbiter_record_json(const char *key, const void *value, size_t len)
{
	struct lockstep_arbiter_key k;
	struct json_object *o;
	int err;

	if (lockstep_arbiter_key_parse(key, &k))
		return NULL;
	o = json_object_new_object();
	if (!o)
		return NULL;
	lockstep_json_add_str(o, "key", key);
	lockstep_json_add_uuid(o, "vm", &k.vm);
	lockstep_json_add_u64(o, "generation", k.generation);
	lockstep_json_add_str(o, "kind", kind_names[k.kind]);
	err = k.kind == LOCKSTEP_RECORD_OPEN ? open_json(value, len, o) : mark_json(value, len, o);
	if (err) {
		json_object_put(o);
		return NULL;
	}
	return o;
}
