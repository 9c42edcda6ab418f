// SPDX-License-Identifier: GPL-2.0
/* All that an arbiter knows of one guest, as one piece of bytes. */
#include "arbiter/image.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

#include "common/bytes.h"

void lockstep_image_init(struct lockstep_image *im, const struct lockstep_uuid *vm)
{
	memset(im, 0, sizeof(*im));
	im->vm = *vm;
}

void lockstep_image_guest(const struct lockstep_image *im, const struct lockstep_uuid *store,
			  struct lockstep_rules_guest *g)
{
	g->store = store;
	g->records = im->records;
	g->count = im->count;
	g->floor = im->floor;
	g->full = false;
}

static void cut(struct lockstep_image *im, uint64_t below)
{
	size_t i = 0;

	if (below <= im->floor)
		return;
	im->floor = below;
	while (i < im->count && im->records[i].key.generation < below)
		i++;
	im->count -= i;
	memmove(im->records, im->records + i, im->count * sizeof(im->records[0]));
}

static void insert(struct lockstep_image *im, const struct lockstep_store_record *rec)
{
	size_t i = im->count;

	while (i && (im->records[i - 1].key.generation > rec->key.generation ||
		     (im->records[i - 1].key.generation == rec->key.generation &&
		      im->records[i - 1].key.kind > rec->key.kind)))
		i--;
	memmove(&im->records[i + 1], &im->records[i],
		(im->count - i) * sizeof(im->records[0]));
	im->records[i] = *rec;
	im->count++;
}

int lockstep_image_apply(struct lockstep_image *im, const struct lockstep_rules_change *c,
			 const struct lockstep_uuid *store)
{
	struct lockstep_rules_guest g;
	unsigned int i;
	int err;

	err = lockstep_uuid_random(&im->nonce);
	if (err)
		return err;
	/* The two newest generations stay, at most six records. */
	lockstep_image_guest(im, store, &g);
	if (im->count + c->nputs > LOCKSTEP_IMAGE_RECORDS_MAX)
		cut(im, lockstep_rules_newest(&g) - 1);
	for (i = 0; i < c->nputs; i++)
		insert(im, &c->puts[i]);
	cut(im, c->below);
	im->prev = im->sum;
	im->seq++;
	im->store = *store;
	return 0;
}

size_t lockstep_image_encode(struct lockstep_image *im, uint8_t *buf)
{
	struct lockstep_writer w;
	size_t i;

	lockstep_writer_init(&w, buf, LOCKSTEP_IMAGE_SIZE_MAX);
	lockstep_write_u32(&w, LOCKSTEP_IMAGE_MAGIC);
	lockstep_write_u16(&w, LOCKSTEP_IMAGE_VERSION);
	lockstep_write_u16(&w, (uint16_t)im->count);
	lockstep_write_bytes(&w, im->vm.b, sizeof(im->vm.b));
	lockstep_write_u64(&w, im->seq);
	lockstep_write_bytes(&w, im->nonce.b, sizeof(im->nonce.b));
	lockstep_write_bytes(&w, im->store.b, sizeof(im->store.b));
	lockstep_write_u64(&w, im->prev);
	lockstep_write_u64(&w, im->floor);
	for (i = 0; i < im->count; i++) {
		lockstep_write_u64(&w, im->records[i].key.generation);
		lockstep_write_u8(&w, (uint8_t)im->records[i].key.kind);
		lockstep_write_u16(&w, im->records[i].len);
		lockstep_write_bytes(&w, im->records[i].value, im->records[i].len);
	}
	im->sum = XXH64(buf, w.len, 0);
	lockstep_write_u64(&w, im->sum);
	return w.len;
}

static int decode_record(struct lockstep_reader *r, struct lockstep_image *im)
{
	struct lockstep_store_record *rec = &im->records[im->count], *last = rec - 1;
	uint8_t kind;

	rec->key.vm = im->vm;
	rec->key.generation = lockstep_read_u64(r);
	kind = lockstep_read_u8(r);
	rec->key.kind = (enum lockstep_record_kind)kind;
	rec->len = lockstep_read_u16(r);
	if (!lockstep_reader_ok(r) || rec->len > sizeof(rec->value) || !kind ||
	    kind > LOCKSTEP_RECORD_KIND_MAX || !rec->key.generation ||
	    rec->key.generation < im->floor)
		return -EUCLEAN;
	lockstep_read_bytes(r, rec->value, rec->len);
	if (im->count && (last->key.generation > rec->key.generation ||
			  (last->key.generation == rec->key.generation &&
			   last->key.kind >= rec->key.kind)))
		return -EUCLEAN;
	im->count++;
	return lockstep_reader_ok(r) ? 0 : -EUCLEAN;
}

int lockstep_image_decode(const void *data, size_t len, struct lockstep_image *im)
{
	struct lockstep_reader r, tail;
	unsigned int version, count;
	int err;

	memset(im, 0, sizeof(*im));
	if (len < sizeof(uint64_t) || len > LOCKSTEP_IMAGE_SIZE_MAX)
		return -EUCLEAN;
	len -= sizeof(uint64_t);
	im->sum = XXH64(data, len, 0);
	lockstep_reader_init(&tail, (const uint8_t *)data + len, sizeof(uint64_t));
	lockstep_reader_init(&r, data, len);
	if (lockstep_read_u64(&tail) != im->sum || lockstep_read_u32(&r) != LOCKSTEP_IMAGE_MAGIC)
		return -EUCLEAN;
	version = lockstep_read_u16(&r);
	if (version != LOCKSTEP_IMAGE_VERSION)
		return -EPROTONOSUPPORT;
	count = lockstep_read_u16(&r);
	lockstep_read_bytes(&r, im->vm.b, sizeof(im->vm.b));
	im->seq = lockstep_read_u64(&r);
	lockstep_read_bytes(&r, im->nonce.b, sizeof(im->nonce.b));
	lockstep_read_bytes(&r, im->store.b, sizeof(im->store.b));
	im->prev = lockstep_read_u64(&r);
	im->floor = lockstep_read_u64(&r);
	if (count > LOCKSTEP_IMAGE_RECORDS_MAX || !im->seq)
		return -EUCLEAN;
	while (count--) {
		err = decode_record(&r, im);
		if (err)
			return err;
	}
	return lockstep_reader_done(&r) ? 0 : -EUCLEAN;
}
