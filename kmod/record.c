// SPDX-License-Identifier: GPL-2.0
/* The codec of log records and batches, see record.h. */
#include "record.h"

#ifdef __KERNEL__
#include <linux/string.h>
#include <linux/xxhash.h>
#else
#include <string.h>
#include <xxhash.h>
#define xxh64(data, len, seed)	XXH64(data, len, seed)
#endif

/**
 * lockstep_record_long_put - encode a long record with its payload
 * @buf: room for the head and rec->len bytes
 * @rec: what to write; @size, @delta are not used
 */
void lockstep_record_long_put(u8 *buf, const struct lockstep_rec *rec)
{
	struct lockstep_record head = {
		.type = rec->type,
		.unit = rec->unit,
		.kind = cpu_to_le16(rec->kind),
		.len = cpu_to_le32(rec->len),
		.count = cpu_to_le64(rec->pos.count),
		.rip = cpu_to_le64(rec->pos.rip),
		.rcx = cpu_to_le64(rec->pos.rcx),
		.digest = cpu_to_le64(rec->digest),
	};

	memcpy(buf, &head, sizeof(head));
	if (rec->len)
		memcpy(buf + sizeof(head), rec->payload, rec->len);
}

static int short_get(const u8 *buf, size_t avail, struct lockstep_rec *rec)
{
	unsigned int shift = 0;
	u64 delta = 0;
	size_t n;

	for (n = 1; n < LOCKSTEP_SHORT_MAX; n++, shift += 7) {
		if (n >= avail)
			return -EAGAIN;
		if (shift == 63 && buf[n] > 1)
			return -EBADMSG;
		delta |= (u64)(buf[n] & 0x7f) << shift;
		if (!(buf[n] & 0x80)) {
			rec->delta = delta;
			rec->size = n + 1;
			return 0;
		}
	}
	return -EBADMSG;
}

/* What a kind of record does not use is 0: nothing that a peer changes passes unseen. */
static bool head_fits(const struct lockstep_rec *rec)
{
	switch (rec->type) {
	case LOCKSTEP_RECORD_INPUT:
		return rec->unit < LOCKSTEP_UNITS;
	case LOCKSTEP_RECORD_OUTPUT:
		return rec->unit < LOCKSTEP_STREAMS && !rec->kind &&
		       rec->len == sizeof(struct lockstep_output_rec);
	case LOCKSTEP_RECORD_DIGEST:
		return !rec->unit && !rec->kind && rec->len == LOCKSTEP_DIGESTS * sizeof(u64);
	case LOCKSTEP_RECORD_CONTROL:
		return !rec->unit && !rec->len;
	case LOCKSTEP_RECORD_WALL:
		return !rec->unit && !rec->kind && rec->len == sizeof(u64);
	case LOCKSTEP_RECORD_FORCED:
		return !rec->unit && !rec->kind &&
		       rec->len == sizeof(struct lockstep_forced_rec);
	}
	return false;
}

static bool payload_fits(const struct lockstep_rec *rec)
{
	struct lockstep_output_rec output;

	if (rec->type != LOCKSTEP_RECORD_OUTPUT)
		return true;
	memcpy(&output, rec->payload, sizeof(output));
	return !output.reserved;
}

/**
 * lockstep_record_get - decode the record at the start of a buffer
 * @buf:   bytes of the log, foreign data
 * @avail: how many there are
 * @rec:   out; @payload points into @buf
 *
 * Returns 0, -EAGAIN when the record goes on behind @avail, or -EBADMSG when
 * these bytes are no record.
 */
int lockstep_record_get(const u8 *buf, size_t avail, struct lockstep_rec *rec)
{
	struct lockstep_record head;

	memset(rec, 0, sizeof(*rec));
	if (!avail)
		return -EAGAIN;
	rec->type = buf[0];
	if (lockstep_record_is_short(rec->type))
		return short_get(buf, avail, rec);
	if (rec->type < LOCKSTEP_RECORD_INPUT || rec->type >= __LOCKSTEP_RECORD_LAST)
		return -EBADMSG;
	if (avail < sizeof(head))
		return -EAGAIN;
	memcpy(&head, buf, sizeof(head));
	rec->unit = head.unit;
	rec->kind = le16_to_cpu(head.kind);
	rec->len = le32_to_cpu(head.len);
	rec->pos.count = le64_to_cpu(head.count);
	rec->pos.rip = le64_to_cpu(head.rip);
	rec->pos.rcx = le64_to_cpu(head.rcx);
	rec->digest = le64_to_cpu(head.digest);
	if (rec->len > LOCKSTEP_PAYLOAD_MAX || !head_fits(rec))
		return -EBADMSG;
	if (avail - sizeof(head) < rec->len)
		return -EAGAIN;
	rec->payload = buf + sizeof(head);
	rec->size = sizeof(head) + rec->len;
	return payload_fits(rec) ? 0 : -EBADMSG;
}

/**
 * lockstep_record_fit - how many bytes of whole records fit
 * @buf:   start of a record
 * @avail: bytes there are, ending at the end of a record
 * @max:   limit
 *
 * Returns the end of the last record that ends at or before @max; @avail when
 * all fit. Stops before bytes that are no record.
 */
size_t lockstep_record_fit(const u8 *buf, size_t avail, size_t max)
{
	struct lockstep_rec rec;
	size_t n = 0;

	if (avail <= max)
		return avail;
	while (n < avail && !lockstep_record_get(buf + n, avail - n, &rec) &&
	       n + rec.size <= max)
		n += rec.size;
	return n;
}

static u64 batch_hash(const struct lockstep_batch *batch)
{
	struct lockstep_batch head = *batch;

	head.check = 0;
	return xxh64(batch + 1, le32_to_cpu(head.len), xxh64(&head, sizeof(head), 0));
}

/**
 * lockstep_batch_seal - set @check of a batch that is otherwise complete
 * @batch: head, with batch->len bytes of records behind it
 */
void lockstep_batch_seal(struct lockstep_batch *batch)
{
	batch->check = cpu_to_le64(batch_hash(batch));
}

static int records_check(const u8 *buf, size_t len)
{
	struct lockstep_rec rec;
	size_t n = 0;

	while (n < len) {
		if (lockstep_record_get(buf + n, len - n, &rec))
			return -EBADMSG;
		n += rec.size;
	}
	return 0;
}

/**
 * lockstep_batch_check - is this a whole, unharmed batch of whole records?
 * @data: foreign bytes, aligned to 8
 * @len:  how many
 *
 * Returns 0, -EPROTO (another version), or -EBADMSG.
 */
int lockstep_batch_check(const void *data, size_t len)
{
	const struct lockstep_batch *batch = data;
	u64 lsn;
	u32 n;

	if (len < sizeof(*batch) || le32_to_cpu(batch->magic) != LOCKSTEP_BATCH_MAGIC)
		return -EBADMSG;
	if (le16_to_cpu(batch->version) != LOCKSTEP_ABI_VERSION)
		return -EPROTO;
	n = le32_to_cpu(batch->len);
	lsn = le64_to_cpu(batch->lsn);
	if (n > LOCKSTEP_BATCH_MAX || n != len - sizeof(*batch) || lsn + n < lsn ||
	    batch->reserved || le16_to_cpu(batch->counter) > LOCKSTEP_COUNTER_BRANCHES)
		return -EBADMSG;

	if (batch_hash(batch) != le64_to_cpu(batch->check))
		return -EBADMSG;
	return records_check((const u8 *)data + sizeof(*batch), n);
}
