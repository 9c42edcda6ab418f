// SPDX-License-Identifier: GPL-2.0
/* What is said to etcd's JSON gateway, and how its answers read. */
#include "arbiter/etcd_json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "common/json.h"

#define PREFIX		"lockstep/"
#define STORE_KEY	PREFIX "store"
#define KEY_MAX		(sizeof(PREFIX) + LOCKSTEP_ARBITER_KEY_MAX)
#define DELETE_MAX	100	/* etcd takes 128 operations at once */

#define BASE64_SIZE(n)	(4 * (((n) + 2) / 3) + 1)

/* --- to etcd -------------------------------------------------------------- */

static void add_base64(struct json_object *o, const char *name, const void *data, size_t len)
{
	char text[BASE64_SIZE(LOCKSTEP_ARBITER_VALUE_MAX)];

	EVP_EncodeBlock((unsigned char *)text, data, (int)len);
	lockstep_json_add_str(o, name, text);
}

static void add_key(struct json_object *o, const char *name, const char *key)
{
	add_base64(o, name, key, strlen(key));
}

/* 64-bit numbers are strings, as protobuf's JSON has them. */
static void add_number(struct json_object *o, const char *name, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, n);
	lockstep_json_add_str(o, name, text);
}

/* A new object inside an array or, with a name, inside another one. */
static struct json_object *child(struct json_object *parent, const char *name)
{
	struct json_object *o = json_object_new_object();

	if (name)
		json_object_object_add(parent, name, o);
	else
		json_object_array_add(parent, o);
	return o;
}

static struct json_object *txn_new(struct json_object **compare, struct json_object **success)
{
	struct json_object *o = json_object_new_object();

	if (!o)
		return NULL;
	*compare = json_object_new_array();
	*success = json_object_new_array();
	json_object_object_add(o, "compare", *compare);
	json_object_object_add(o, "success", *success);
	return o;
}

static void add_range(struct json_object *ops, const char *key, const char *end)
{
	struct json_object *o = child(child(ops, NULL), "request_range");

	add_key(o, "key", key);
	if (end)
		add_key(o, "range_end", end);
}

static void add_put(struct json_object *ops, const char *key, const void *value, size_t len)
{
	struct json_object *o = child(child(ops, NULL), "request_put");

	add_key(o, "key", key);
	add_base64(o, "value", value, len);
}

static void add_delete(struct json_object *ops, const char *key)
{
	add_key(child(child(ops, NULL), "request_delete_range"), "key", key);
}

static void add_compare(struct json_object *list, const char *key, const char *end,
			const char *target, const char *result, uint64_t revision)
{
	struct json_object *o = child(list, NULL);

	add_key(o, "key", key);
	if (end)
		add_key(o, "range_end", end);
	lockstep_json_add_str(o, "target", target);
	lockstep_json_add_str(o, "result", result);
	add_number(o, strcmp(target, "MOD") ? "create_revision" : "mod_revision", revision);
}

static char *key_text(const struct lockstep_arbiter_key *key, char *out)
{
	memcpy(out, PREFIX, sizeof(PREFIX) - 1);
	lockstep_arbiter_key_format(key, out + sizeof(PREFIX) - 1);
	return out;
}

/* Keys of a guest, or of all: from here to there. '0' is what follows '/'. */
static void range_of(const struct lockstep_uuid *vm, char *from, char *to)
{
	char text[LOCKSTEP_UUID_STRLEN + 1];
	bool all = lockstep_uuid_is_nil(vm);

	lockstep_uuid_format(vm, text);
	snprintf(from, KEY_MAX, PREFIX "vm/%s%s", all ? "" : text, all ? "" : "/");
	snprintf(to, KEY_MAX, PREFIX "vm%s%s0", all ? "" : "/", all ? "" : text);
}

struct json_object *lockstep_etcd_read(const struct lockstep_uuid *vm)
{
	struct json_object *compare, *ops, *o = txn_new(&compare, &ops);
	char from[KEY_MAX], to[KEY_MAX];

	if (!o)
		return NULL;
	add_range(ops, STORE_KEY, NULL);
	if (vm) {
		range_of(vm, from, to);
		add_range(ops, from, to);
	}
	return o;
}

struct json_object *lockstep_etcd_mint(const struct lockstep_uuid *store, uint64_t cluster,
				       uint64_t revision)
{
	struct json_object *compare, *ops, *o = txn_new(&compare, &ops);
	char text[64], uuid[LOCKSTEP_UUID_STRLEN + 1];

	if (!o)
		return NULL;
	snprintf(text, sizeof(text), "%s %" PRIu64, lockstep_uuid_format(store, uuid), cluster);
	add_compare(compare, STORE_KEY, NULL, revision ? "MOD" : "CREATE", "EQUAL", revision);
	add_put(ops, STORE_KEY, text, strlen(text));
	return o;
}

struct json_object *lockstep_etcd_change(const struct lockstep_etcd_view *view,
					 const struct lockstep_uuid *vm,
					 const struct lockstep_rules_change *c)
{
	struct json_object *compare, *ops, *o = txn_new(&compare, &ops);
	char from[KEY_MAX], to[KEY_MAX], key[KEY_MAX + sizeof("floor")], floor[24];
	size_t i;

	if (!o)
		return NULL;
	range_of(vm, from, to);
	add_compare(compare, STORE_KEY, NULL, "MOD", "EQUAL", view->store_revision);
	add_compare(compare, from, to, "MOD", "LESS", view->revision + 1);
	for (i = 0; i < c->nputs; i++) {
		key_text(&c->puts[i].key, key);
		add_compare(compare, key, NULL, "CREATE", "EQUAL", 0);
		add_put(ops, key, c->puts[i].value, c->puts[i].len);
	}
	if (!c->below)
		return o;
	snprintf(key, sizeof(key), "%sfloor", from);
	snprintf(floor, sizeof(floor), "%" PRIu64, c->below);
	add_put(ops, key, floor, strlen(floor));
	/* Below the floor they count for nothing; what is too many for now stays. */
	for (i = 0; i < view->count && i < DELETE_MAX; i++)
		if (view->records[i].key.generation < c->below)
			add_delete(ops, key_text(&view->records[i].key, key));
	return o;
}

/* --- from etcd ------------------------------------------------------------ */

struct floor {
	struct lockstep_uuid vm;
	uint64_t below;
};

struct floors {
	struct floor *list;
	size_t count;
};

static int number_parse(const char *text, uint64_t *n)
{
	char *end;

	if (*text < '0' || *text > '9')
		return -EPROTO;
	errno = 0;
	*n = strtoull(text, &end, 10);
	return errno || *end ? -EPROTO : 0;
}

static int get_number(struct json_object *o, const char *name, uint64_t *n)
{
	struct json_object *v;

	*n = 0;
	/* zero is left out */
	if (!json_object_object_get_ex(o, name, &v))
		return 0;
	return number_parse(json_object_get_string(v), n);
}

/* With a zero behind it. Length, or -EPROTO. */
static int get_base64(struct json_object *o, const char *name, void *out, size_t size)
{
	uint8_t buf[3 * (BASE64_SIZE(LOCKSTEP_ARBITER_VALUE_MAX) / 4 + 1)];
	struct json_object *v;
	const char *text = "";
	size_t len, pad = 0;
	int n;

	if (json_object_object_get_ex(o, name, &v) && json_object_is_type(v, json_type_string))
		text = json_object_get_string(v);
	len = strlen(text);
	while (pad < 2 && pad < len && text[len - 1 - pad] == '=')
		pad++;
	if (len % 4 || len >= BASE64_SIZE(LOCKSTEP_ARBITER_VALUE_MAX))
		return -EPROTO;
	n = EVP_DecodeBlock(buf, (const unsigned char *)text, (int)len);
	if (n < (int)pad || (size_t)n - pad >= size)
		return -EPROTO;
	memcpy(out, buf, (size_t)n - pad);
	((uint8_t *)out)[(size_t)n - pad] = '\0';
	return n - (int)pad;
}

static int take_store(struct lockstep_etcd_view *view, struct json_object *kv, char *value)
{
	char *space = strchr(value, ' ');

	if (!space || space != value + LOCKSTEP_UUID_STRLEN)
		return -EUCLEAN;
	*space = '\0';
	if (lockstep_uuid_parse(value, &view->store) ||
	    number_parse(space + 1, &view->store_cluster))
		return -EUCLEAN;
	view->has_store = true;
	return get_number(kv, "mod_revision", &view->store_revision);
}

static int take_floor(struct floors *f, const struct lockstep_uuid *vm, const char *value)
{
	struct floor *list = reallocarray(f->list, f->count + 1, sizeof(*list));

	if (!list)
		return -ENOMEM;
	f->list = list;
	list[f->count].vm = *vm;
	if (number_parse(value, &list[f->count].below))
		return -EUCLEAN;
	f->count++;
	return 0;
}

static int take_record(struct lockstep_etcd_view *view, const struct lockstep_arbiter_key *key,
		       const void *value, size_t len)
{
	struct lockstep_store_record *rec;
	size_t size = view->size ? 2 * view->size : 16;

	if (view->count == view->size) {
		rec = reallocarray(view->records, size, sizeof(*rec));
		if (!rec)
			return -ENOMEM;
		view->records = rec;
		view->size = size;
	}
	rec = &view->records[view->count++];
	rec->key = *key;
	rec->len = (uint16_t)len;
	memcpy(rec->value, value, len);
	return 0;
}

static int take_kv(struct lockstep_etcd_view *view, struct floors *floors, struct json_object *kv)
{
	char key[KEY_MAX], uuid[LOCKSTEP_UUID_STRLEN + 1] = "", *name = key + sizeof(PREFIX) - 1;
	uint8_t value[LOCKSTEP_ARBITER_VALUE_MAX + 1];
	struct lockstep_arbiter_key k;
	int len;

	len = get_base64(kv, "key", key, sizeof(key));
	if (len < 0 || strlen(key) != (size_t)len || strncmp(key, PREFIX, sizeof(PREFIX) - 1))
		return -EPROTO;
	len = get_base64(kv, "value", value, sizeof(value));
	if (len < 0)
		return len;
	if (!strcmp(key, STORE_KEY))
		return take_store(view, kv, (char *)value);
	if (!lockstep_arbiter_key_parse(name, &k))
		return take_record(view, &k, value, (size_t)len);
	if (strlen(name) == strlen("vm//floor") + LOCKSTEP_UUID_STRLEN &&
	    !strcmp(name + 3 + LOCKSTEP_UUID_STRLEN, "/floor")) {
		memcpy(uuid, name + 3, LOCKSTEP_UUID_STRLEN);
		if (!lockstep_uuid_parse(uuid, &k.vm))
			return take_floor(floors, &k.vm, (char *)value);
	}
	/* A record that can't be read may be the one that counts. */
	return -EUCLEAN;
}

static int compare_records(const void *x, const void *y)
{
	const struct lockstep_store_record *a = x, *b = y;

	return lockstep_arbiter_key_compare(&a->key, &b->key);
}

/* In order, and without what was pruned. */
static void put_in_order(struct lockstep_etcd_view *view, const struct floors *floors)
{
	const struct lockstep_store_record *rec;
	size_t i, k, n = 0;

	if (floors->count == 1)
		view->floor = floors->list[0].below;
	if (view->count)
		qsort(view->records, view->count, sizeof(view->records[0]), compare_records);
	for (i = 0; i < view->count; i++) {
		rec = &view->records[i];
		for (k = 0; k < floors->count; k++)
			if (lockstep_uuid_equal(&floors->list[k].vm, &rec->key.vm) &&
			    rec->key.generation < floors->list[k].below)
				break;
		if (k == floors->count)
			view->records[n++] = *rec;
	}
	view->count = n;
}

static int take_responses(struct lockstep_etcd_view *view, struct floors *floors,
			  struct json_object *responses)
{
	struct json_object *range, *kvs;
	size_t i, k;
	int ret = 0;

	for (i = 0; !ret && i < json_object_array_length(responses); i++) {
		if (!json_object_object_get_ex(json_object_array_get_idx(responses, i),
					       "response_range", &range) ||
		    !json_object_object_get_ex(range, "kvs", &kvs))
			continue;
		if (!json_object_is_type(kvs, json_type_array))
			return -EPROTO;
		for (k = 0; !ret && k < json_object_array_length(kvs); k++)
			ret = take_kv(view, floors, json_object_array_get_idx(kvs, k));
	}
	return ret;
}

static int take_answer(struct lockstep_etcd_view *view, struct floors *floors,
		       struct json_object *o)
{
	struct json_object *header, *v;
	int ret;

	if (!json_object_object_get_ex(o, "header", &header))
		return -EPROTO;
	ret = get_number(header, "cluster_id", &view->cluster);
	if (!ret)
		ret = get_number(header, "revision", &view->revision);
	if (!ret && (!view->cluster || !view->revision))
		ret = -EPROTO;
	if (ret)
		return ret;
	view->succeeded = json_object_object_get_ex(o, "succeeded", &v) &&
			  json_object_get_boolean(v);
	if (!json_object_object_get_ex(o, "responses", &v))
		return 0;
	return json_object_is_type(v, json_type_array) ? take_responses(view, floors, v) : -EPROTO;
}

int lockstep_etcd_parse(const char *body, size_t len, struct lockstep_etcd_view *view)
{
	struct json_tokener *tok = json_tokener_new();
	struct floors floors = { 0 };
	struct json_object *o;
	int ret = -EPROTO;

	memset(view, 0, sizeof(*view));
	if (!tok)
		return -ENOMEM;
	o = len < INT32_MAX ? json_tokener_parse_ex(tok, body, (int)len) : NULL;
	if (json_object_is_type(o, json_type_object))
		ret = take_answer(view, &floors, o);
	json_object_put(o);
	json_tokener_free(tok);
	if (!ret)
		put_in_order(view, &floors);
	free(floors.list);
	return ret;
}

void lockstep_etcd_view_exit(struct lockstep_etcd_view *view)
{
	free(view->records);
	view->records = NULL;
	view->count = 0;
}
