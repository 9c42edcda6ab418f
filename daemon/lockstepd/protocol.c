// SPDX-License-Identifier: GPL-2.0
/* Messages between lockstepd and their bytes, see protocol.h. */
#include "lockstepd/protocol.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <lz4.h>

#include "common/bytes.h"

#define PACK_MIN	128	/* bytes of a batch: smaller ones are not worth it */
#define PACK_GAIN	8	/* and it has to become so much smaller: its size goes along */

static const char *const names[] = {
	[LOCKSTEP_MESSAGE_HELLO] = "HELLO",
	[LOCKSTEP_MESSAGE_SYNC] = "SYNC",
	[LOCKSTEP_MESSAGE_OPENED] = "OPENED",
	[LOCKSTEP_MESSAGE_READY] = "READY",
	[LOCKSTEP_MESSAGE_ACTIVATE] = "ACTIVATE",
	[LOCKSTEP_MESSAGE_LOG] = "LOG",
	[LOCKSTEP_MESSAGE_ACK] = "ACK",
	[LOCKSTEP_MESSAGE_REWIND] = "REWIND",
	[LOCKSTEP_MESSAGE_FAILED] = "FAILED",
	[LOCKSTEP_MESSAGE_DIVERGED] = "DIVERGED",
	[LOCKSTEP_MESSAGE_CLOSED] = "CLOSED",
	[LOCKSTEP_MESSAGE_BYE] = "BYE",
	[LOCKSTEP_MESSAGE_START] = "START",
	[LOCKSTEP_MESSAGE_RESULT] = "RESULT",
	[LOCKSTEP_MESSAGE_LOG_LZ4] = "LOG_LZ4",
	[LOCKSTEP_MESSAGE_SWITCH] = "SWITCH",
	[LOCKSTEP_MESSAGE_TRAITS] = "TRAITS",
};

const char *lockstep_message_name(enum lockstep_message_type type)
{
	if (type < LOCKSTEP_MESSAGE_HELLO || type > LOCKSTEP_MESSAGE_MAX)
		return "?";
	return names[type];
}

/* Does the message speak of a guest, so that its head names one? */
static bool is_of_guest(enum lockstep_message_type type)
{
	switch (type) {
	case LOCKSTEP_MESSAGE_SYNC:
	case LOCKSTEP_MESSAGE_BYE:
	case LOCKSTEP_MESSAGE_START:
	case LOCKSTEP_MESSAGE_RESULT:
	case LOCKSTEP_MESSAGE_TRAITS:
		return false;
	default:
		return true;
	}
}

/* Is it for one instance only?  HELLO may be for whoever is there. */
static bool is_addressed(enum lockstep_message_type type)
{
	return is_of_guest(type) && type != LOCKSTEP_MESSAGE_HELLO;
}

static bool head_valid(const struct lockstep_message *m)
{
	if (m->type < LOCKSTEP_MESSAGE_HELLO || m->type > LOCKSTEP_MESSAGE_MAX)
		return false;
	if (is_of_guest(m->type) != !lockstep_uuid_is_nil(&m->guest))
		return false;
	if (is_of_guest(m->type) && lockstep_uuid_is_nil(&m->from))
		return false;
	return !is_addressed(m->type) || (!lockstep_uuid_is_nil(&m->to) && m->generation);
}

static void write_uuid(struct lockstep_writer *w, const struct lockstep_uuid *u)
{
	lockstep_write_bytes(w, u->b, sizeof(u->b));
}

static void read_uuid(struct lockstep_reader *r, struct lockstep_uuid *u)
{
	lockstep_read_bytes(r, u->b, sizeof(u->b));
}

/* Names reach logs and paths: what the module lets no VMM use, no peer may. */
static bool guest_name_valid(const char *s)
{
	if (!*s || *s == '.')
		return false;
	return !s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")];
}

static bool hello_valid(const struct lockstep_hello *h)
{
	const unsigned int known = LOCKSTEP_HELLO_TWIN | LOCKSTEP_HELLO_FRESH |
				   LOCKSTEP_HELLO_ANSWER | LOCKSTEP_HELLO_LZ4;

	return guest_name_valid(h->name) && lockstep_node_name_valid(h->node) &&
	       h->counter <= LOCKSTEP_COUNTER_BRANCHES && h->state <= LOCKSTEP_STATE_MAX &&
	       !(h->flags & ~known);
}

static void hello_write(struct lockstep_writer *w, const struct lockstep_hello *h)
{
	lockstep_write_str(w, h->name);
	lockstep_write_str(w, h->node);
	lockstep_write_u16(w, h->abi);
	lockstep_write_u16(w, h->counter);
	lockstep_write_u32(w, h->state);
	lockstep_write_u32(w, h->flags);
	lockstep_write_u64(w, h->lsn);
	write_uuid(w, &h->peer);
	write_uuid(w, &h->boot_id);
}

static void hello_read(struct lockstep_reader *r, struct lockstep_hello *h)
{
	lockstep_read_str(r, h->name, sizeof(h->name));
	lockstep_read_str(r, h->node, sizeof(h->node));
	h->abi = lockstep_read_u16(r);
	h->counter = lockstep_read_u16(r);
	h->state = lockstep_read_u32(r);
	h->flags = lockstep_read_u32(r);
	h->lsn = lockstep_read_u64(r);
	read_uuid(r, &h->peer);
	read_uuid(r, &h->boot_id);
}

/* What is shown to people and compared: nothing that a terminal would act on. */
static bool printable(char c)
{
	return c >= ' ' && c <= '~';
}

static bool trait_valid(const struct lockstep_trait *t)
{
	const char *c;

	if (!t->name[0] || t->name[strspn(t->name, "abcdefghijklmnopqrstuvwxyz_")])
		return false;
	for (c = t->value; *c; c++)
		if (!printable(*c))
			return false;
	return true;
}

static bool traits_valid(const struct lockstep_traits *t)
{
	unsigned int i;

	for (i = 0; i < t->n && i < LOCKSTEP_TRAITS_MAX; i++)
		if (!trait_valid(&t->trait[i]))
			return false;
	return t->n <= LOCKSTEP_TRAITS_MAX;
}

static void traits_write(struct lockstep_writer *w, const struct lockstep_traits *t)
{
	unsigned int i;

	lockstep_write_u16(w, t->n);
	for (i = 0; i < t->n; i++) {
		lockstep_write_str(w, t->trait[i].name);
		lockstep_write_str(w, t->trait[i].value);
	}
}

static void traits_read(struct lockstep_reader *r, struct lockstep_traits *t)
{
	unsigned int i;

	t->n = lockstep_read_u16(r);
	for (i = 0; i < t->n && i < LOCKSTEP_TRAITS_MAX; i++) {
		lockstep_read_str(r, t->trait[i].name, sizeof(t->trait[i].name));
		lockstep_read_str(r, t->trait[i].value, sizeof(t->trait[i].value));
	}
}

void lockstep_traits_add(struct lockstep_traits *t, const char *name, const char *value)
{
	struct lockstep_trait *trait = &t->trait[t->n];
	char *c;

	if (t->n == LOCKSTEP_TRAITS_MAX)
		return;
	snprintf(trait->name, sizeof(trait->name), "%s", name);
	snprintf(trait->value, sizeof(trait->value), "%s", value);
	for (c = trait->value; *c; c++)
		if (!printable(*c))
			*c = '?';
	t->n++;
}

const char *lockstep_traits_find(const struct lockstep_traits *t, const char *name)
{
	unsigned int i;

	for (i = 0; i < t->n; i++)
		if (!strcmp(t->trait[i].name, name))
			return t->trait[i].value;
	return NULL;
}

/* The module gives and takes acks in little-endian. */
static void ack_write(struct lockstep_writer *w, const struct lockstep_ack *ack)
{
	unsigned int i;

	lockstep_write_u64(w, le64toh(ack->lsn));
	lockstep_write_u64(w, le64toh(ack->executed));
	lockstep_write_u64(w, le64toh(ack->clock));
	for (i = 0; i < LOCKSTEP_STREAMS; i++)
		lockstep_write_u64(w, le64toh(ack->released[i]));
	lockstep_write_u64(w, le64toh(ack->room));
}

static void ack_read(struct lockstep_reader *r, struct lockstep_ack *ack)
{
	unsigned int i;

	ack->lsn = htole64(lockstep_read_u64(r));
	ack->executed = htole64(lockstep_read_u64(r));
	ack->clock = htole64(lockstep_read_u64(r));
	for (i = 0; i < LOCKSTEP_STREAMS; i++)
		ack->released[i] = htole64(lockstep_read_u64(r));
	ack->room = htole64(lockstep_read_u64(r));
}

static void divergence_write(struct lockstep_writer *w, const struct lockstep_divergence_info *d)
{
	lockstep_write_u32(w, d->reason);
	lockstep_write_u32(w, 0);
	lockstep_write_u64(w, d->pos.count);
	lockstep_write_u64(w, d->pos.rip);
	lockstep_write_u64(w, d->pos.rcx);
	lockstep_write_u64(w, d->lsn);
	lockstep_write_u64(w, d->expected);
	lockstep_write_u64(w, d->found);
}

static void divergence_read(struct lockstep_reader *r, struct lockstep_divergence_info *d)
{
	d->reason = lockstep_read_u32(r);
	lockstep_read_u32(r);
	d->pos.count = lockstep_read_u64(r);
	d->pos.rip = lockstep_read_u64(r);
	d->pos.rcx = lockstep_read_u64(r);
	d->lsn = lockstep_read_u64(r);
	d->expected = lockstep_read_u64(r);
	d->found = lockstep_read_u64(r);
}

static void body_write(struct lockstep_writer *w, const struct lockstep_message *m)
{
	switch (m->type) {
	case LOCKSTEP_MESSAGE_HELLO:
		hello_write(w, &m->hello);
		break;
	case LOCKSTEP_MESSAGE_ACK:
		ack_write(w, &m->ack);
		break;
	case LOCKSTEP_MESSAGE_LOG_LZ4:
		lockstep_write_u32(w, m->log.size);
		break;
	case LOCKSTEP_MESSAGE_REWIND:
		lockstep_write_u64(w, m->lsn);
		break;
	case LOCKSTEP_MESSAGE_DIVERGED:
		divergence_write(w, &m->divergence);
		break;
	case LOCKSTEP_MESSAGE_TRAITS:
		traits_write(w, &m->traits);
		break;
	case LOCKSTEP_MESSAGE_FAILED:
	case LOCKSTEP_MESSAGE_START:
	case LOCKSTEP_MESSAGE_RESULT:
		lockstep_write_u32(w, m->request);
		lockstep_write_u32(w, m->error);
		lockstep_write_str(w, m->text);
		break;
	default:
		break;
	}
}

int lockstep_message_encode(const struct lockstep_message *m, void *buf, size_t size)
{
	struct lockstep_writer w;

	if (!head_valid(m))
		return -EINVAL;
	if (m->type == LOCKSTEP_MESSAGE_HELLO && !hello_valid(&m->hello))
		return -EINVAL;
	if (m->type == LOCKSTEP_MESSAGE_TRAITS && !traits_valid(&m->traits))
		return -EINVAL;

	lockstep_writer_init(&w, buf, size);
	lockstep_write_u16(&w, LOCKSTEPD_VERSION);
	lockstep_write_u16(&w, (uint16_t)m->type);
	lockstep_write_u32(&w, 0);
	write_uuid(&w, &m->guest);
	lockstep_write_u64(&w, m->generation);
	write_uuid(&w, &m->from);
	write_uuid(&w, &m->to);
	body_write(&w, m);
	return lockstep_writer_ok(&w) ? (int)w.len : -ENOSPC;
}

static int log_read(struct lockstep_reader *r, struct lockstep_message *m)
{
	uint64_t lsn, end;

	m->log.len = r->left;
	m->log.data = lockstep_read_span(r, r->left);
	return m->log.data ? lockstep_batch_extent(m->log.data, m->log.len, &lsn, &end) :
	       -EBADMSG;
}

static int log_lz4_read(struct lockstep_reader *r, struct lockstep_message *m)
{
	m->log.size = lockstep_read_u32(r);
	m->log.len = r->left;
	m->log.data = lockstep_read_span(r, r->left);
	return m->log.data && m->log.len && m->log.len <= LOCKSTEPD_BATCH_MAX &&
	       m->log.size >= sizeof(struct lockstep_batch) && m->log.size <= LOCKSTEPD_BATCH_MAX ?
	       0 : -EBADMSG;
}

static int body_read(struct lockstep_reader *r, struct lockstep_message *m)
{
	switch (m->type) {
	case LOCKSTEP_MESSAGE_HELLO:
		hello_read(r, &m->hello);
		return lockstep_reader_ok(r) && hello_valid(&m->hello) ? 0 : -EBADMSG;
	case LOCKSTEP_MESSAGE_LOG:
		return log_read(r, m);
	case LOCKSTEP_MESSAGE_LOG_LZ4:
		return log_lz4_read(r, m);
	case LOCKSTEP_MESSAGE_ACK:
		ack_read(r, &m->ack);
		return 0;
	case LOCKSTEP_MESSAGE_REWIND:
		m->lsn = lockstep_read_u64(r);
		return 0;
	case LOCKSTEP_MESSAGE_DIVERGED:
		divergence_read(r, &m->divergence);
		return m->divergence.reason <= LOCKSTEP_DIVERGENCE_STALL ? 0 : -EBADMSG;
	case LOCKSTEP_MESSAGE_TRAITS:
		traits_read(r, &m->traits);
		return lockstep_reader_ok(r) && traits_valid(&m->traits) ? 0 : -EBADMSG;
	case LOCKSTEP_MESSAGE_FAILED:
	case LOCKSTEP_MESSAGE_START:
	case LOCKSTEP_MESSAGE_RESULT:
		m->request = lockstep_read_u32(r);
		m->error = lockstep_read_u32(r);
		lockstep_read_str(r, m->text, sizeof(m->text));
		if (m->type == LOCKSTEP_MESSAGE_START && !guest_name_valid(m->text))
			return -EBADMSG;
		return 0;
	default:
		return 0;
	}
}

int lockstep_message_decode(const void *data, size_t len, struct lockstep_message *m)
{
	struct lockstep_reader r;
	uint16_t version;

	memset(m, 0, sizeof(*m));
	lockstep_reader_init(&r, data, len);
	version = lockstep_read_u16(&r);
	if (!lockstep_reader_ok(&r))
		return -EBADMSG;
	if (version != LOCKSTEPD_VERSION)
		return -EPROTONOSUPPORT;
	m->type = lockstep_read_u16(&r);
	lockstep_read_u32(&r);
	read_uuid(&r, &m->guest);
	m->generation = lockstep_read_u64(&r);
	read_uuid(&r, &m->from);
	read_uuid(&r, &m->to);
	if (!lockstep_reader_ok(&r) || !head_valid(m))
		return -EBADMSG;
	if (body_read(&r, m))
		return -EBADMSG;
	return lockstep_reader_done(&r) ? 0 : -EBADMSG;
}

int lockstep_batch_extent(const void *data, size_t len, uint64_t *lsn, uint64_t *end)
{
	struct lockstep_batch head;
	uint32_t records;

	if (len < sizeof(head))
		return -EBADMSG;
	memcpy(&head, data, sizeof(head));
	records = le32toh(head.len);
	if (le32toh(head.magic) != LOCKSTEP_BATCH_MAGIC ||
	    le16toh(head.version) != LOCKSTEP_ABI_VERSION ||
	    records > LOCKSTEP_BATCH_MAX || len - sizeof(head) != records)
		return -EBADMSG;
	*lsn = le64toh(head.lsn);
	*end = *lsn + records;
	return *end < *lsn ? -EBADMSG : 0;
}

void lockstep_log_pack(struct lockstep_message *m, void *room)
{
	/* what does not become smaller has no room */
	int n = m->log.len < PACK_MIN || m->log.len > LOCKSTEPD_BATCH_MAX ? 0 :
		LZ4_compress_default(m->log.data, room, (int)m->log.len,
				     (int)(m->log.len - PACK_GAIN));

	if (n <= 0)
		return;
	m->type = LOCKSTEP_MESSAGE_LOG_LZ4;
	m->log.size = (uint32_t)m->log.len;
	m->log.data = room;
	m->log.len = (size_t)n;
}

int lockstep_log_unpack(struct lockstep_message *m, void *room)
{
	uint64_t lsn, end;
	int n = LZ4_decompress_safe(m->log.data, room, (int)m->log.len, (int)m->log.size);

	if (n < 0 || (uint32_t)n != m->log.size || lockstep_batch_extent(room, m->log.size, &lsn, &end))
		return -EBADMSG;
	m->type = LOCKSTEP_MESSAGE_LOG;
	m->log.data = room;
	m->log.len = m->log.size;
	return 0;
}

int lockstep_facts_encode(const struct lockstep_fact *facts, size_t n, void *buf, size_t size)
{
	struct lockstep_writer w;
	size_t i;

	if (n > LOCKSTEP_FACTS_MAX)
		return -EINVAL;
	lockstep_writer_init(&w, buf, size);
	lockstep_write_u16(&w, LOCKSTEPD_VERSION);
	lockstep_write_u16(&w, (uint16_t)n);
	for (i = 0; i < n; i++) {
		if (facts[i].state > LOCKSTEP_STATE_MAX)
			return -EINVAL;
		write_uuid(&w, &facts[i].instance);
		lockstep_write_u64(&w, facts[i].generation);
		lockstep_write_u64(&w, facts[i].stops);
		lockstep_write_u8(&w, (uint8_t)facts[i].state);
		lockstep_write_u8(&w, 0);
		lockstep_write_u16(&w, (uint16_t)facts[i].flags);
	}
	return lockstep_writer_ok(&w) ? (int)w.len : -ENOSPC;
}

int lockstep_facts_decode(const void *data, size_t len, struct lockstep_fact *facts)
{
	struct lockstep_reader r;
	uint16_t version, n, i;

	lockstep_reader_init(&r, data, len);
	version = lockstep_read_u16(&r);
	n = lockstep_read_u16(&r);
	if (!lockstep_reader_ok(&r))
		return -EBADMSG;
	if (version != LOCKSTEPD_VERSION)
		return -EPROTONOSUPPORT;
	if (n > LOCKSTEP_FACTS_MAX)
		return -EBADMSG;
	for (i = 0; i < n; i++) {
		read_uuid(&r, &facts[i].instance);
		facts[i].generation = lockstep_read_u64(&r);
		facts[i].stops = lockstep_read_u64(&r);
		facts[i].state = lockstep_read_u8(&r);
		lockstep_read_u8(&r);
		facts[i].flags = lockstep_read_u16(&r);
		if (facts[i].state > LOCKSTEP_STATE_MAX)
			return -EBADMSG;
	}
	return lockstep_reader_done(&r) ? n : -EBADMSG;
}
