// SPDX-License-Identifier: GPL-2.0
/* Wire format of the transport; no sockets here. */
#include "transport/wire.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "common/bytes.h"

_Static_assert(LOCKSTEP_HELLO_MAX >= 64 + 3 * (LOCKSTEP_NODE_NAME_MAX + 1),
	       "a HELLO with the longest names fits");

/* Longest payload of each type: what is not listed does not exist. */
static const struct {
	bool known;
	uint32_t max;
} frame_limits[] = {
	[LOCKSTEP_FRAME_HELLO]		= { true, 4096 },	/* newer ones may be longer */
	[LOCKSTEP_FRAME_REFUSE]		= { true, LOCKSTEP_REASON_MAX },
	[LOCKSTEP_FRAME_BYE]		= { true, LOCKSTEP_REASON_MAX },
	[LOCKSTEP_FRAME_MSG]		= { true, LOCKSTEP_MSG_MAX },
	[LOCKSTEP_FRAME_STREAM_OPEN]	= { true, LOCKSTEP_STREAM_OPEN_MAX },
	[LOCKSTEP_FRAME_STREAM_DATA]	= { true, LOCKSTEP_STREAM_CHUNK },
	[LOCKSTEP_FRAME_STREAM_CREDIT]	= { true, 0 },
	[LOCKSTEP_FRAME_STREAM_FIN]	= { true, 0 },
	[LOCKSTEP_FRAME_STREAM_RESET]	= { true, 0 },
};

void lockstep_frame_encode(const struct lockstep_frame *f, uint8_t *out)
{
	struct lockstep_writer w;

	lockstep_writer_init(&w, out, LOCKSTEP_FRAME_HDR);
	lockstep_write_u32(&w, LOCKSTEP_FRAME_MAGIC);
	lockstep_write_u8(&w, LOCKSTEP_FRAME_VERSION);
	lockstep_write_u8(&w, f->type);
	lockstep_write_u16(&w, 0);
	lockstep_write_u32(&w, f->length);
	lockstep_write_u32(&w, f->channel);
	lockstep_write_u32(&w, f->kind);
	lockstep_write_u32(&w, 0);
	lockstep_write_u64(&w, f->id);
}

int lockstep_frame_decode(const uint8_t *in, struct lockstep_frame *f)
{
	struct lockstep_reader r;
	uint32_t magic, reserved;
	uint16_t flags;
	uint8_t version;

	lockstep_reader_init(&r, in, LOCKSTEP_FRAME_HDR);
	magic = lockstep_read_u32(&r);
	version = lockstep_read_u8(&r);
	f->type = lockstep_read_u8(&r);
	flags = lockstep_read_u16(&r);
	f->length = lockstep_read_u32(&r);
	f->channel = lockstep_read_u32(&r);
	f->kind = lockstep_read_u32(&r);
	reserved = lockstep_read_u32(&r);
	f->id = lockstep_read_u64(&r);

	if (magic != LOCKSTEP_FRAME_MAGIC)
		return -EPROTO;
	if (version != LOCKSTEP_FRAME_VERSION)
		return -EPROTONOSUPPORT;
	if (flags || reserved || f->type > LOCKSTEP_FRAME_TYPE_MAX ||
	    !frame_limits[f->type].known)
		return -EPROTO;
	if (f->length > frame_limits[f->type].max)
		return -EMSGSIZE;
	return 0;
}

bool lockstep_node_name_valid(const char *name)
{
	size_t len = name ? strlen(name) : 0;
	size_t i;

	if (!len || len > LOCKSTEP_NODE_NAME_MAX)
		return false;
	/* Lower case only: names are compared exactly, certificates are not. */
	for (i = 0; i < len; i++) {
		if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') ||
		      strchr(".-_", name[i])))
			return false;
	}
	return isalnum((unsigned char)name[0]) && isalnum((unsigned char)name[len - 1]);
}

size_t lockstep_hello_encode(const struct lockstep_hello *h, uint8_t *out)
{
	struct lockstep_writer w;

	lockstep_writer_init(&w, out, LOCKSTEP_HELLO_MAX);
	lockstep_write_u16(&w, h->version_min);
	lockstep_write_u16(&w, h->version_max);
	lockstep_write_u8(&w, h->plane);
	lockstep_write_u8(&w, 0);
	lockstep_write_u16(&w, h->udp_port);
	lockstep_write_u32(&w, h->window);
	lockstep_write_bytes(&w, h->boot_id.b, sizeof(h->boot_id.b));
	lockstep_write_bytes(&w, h->incarnation.b, sizeof(h->incarnation.b));
	lockstep_write_str(&w, h->cluster);
	lockstep_write_str(&w, h->node);
	lockstep_write_str(&w, h->service);
	return w.len;
}

int lockstep_hello_decode(const void *data, size_t len, struct lockstep_hello *h)
{
	struct lockstep_reader r;

	memset(h, 0, sizeof(*h));
	lockstep_reader_init(&r, data, len);
	h->version_min = lockstep_read_u16(&r);
	h->version_max = lockstep_read_u16(&r);
	h->plane = lockstep_read_u8(&r);
	lockstep_read_u8(&r);
	h->udp_port = lockstep_read_u16(&r);
	h->window = lockstep_read_u32(&r);
	lockstep_read_bytes(&r, h->boot_id.b, sizeof(h->boot_id.b));
	lockstep_read_bytes(&r, h->incarnation.b, sizeof(h->incarnation.b));
	lockstep_read_str(&r, h->cluster, sizeof(h->cluster));
	lockstep_read_str(&r, h->node, sizeof(h->node));
	lockstep_read_str(&r, h->service, sizeof(h->service));

	if (!lockstep_reader_ok(&r) || h->version_min > h->version_max)
		return -EPROTO;
	if (h->plane < LOCKSTEP_PLANE_LOG || h->plane > LOCKSTEP_PLANE_MAX)
		return -EPROTO;
	if ((h->plane == LOCKSTEP_PLANE_SERVICE) != !!h->service[0])
		return -EPROTO;
	if (!lockstep_node_name_valid(h->node) || !lockstep_node_name_valid(h->cluster))
		return -EPROTO;
	if (h->window < LOCKSTEP_WINDOW_MIN || h->window > LOCKSTEP_WINDOW_MAX)
		return -EPROTO;
	return 0;
}

int lockstep_hello_version(const struct lockstep_hello *h)
{
	unsigned int max = h->version_max;

	if (max > LOCKSTEP_PROTO_MAX)
		max = LOCKSTEP_PROTO_MAX;
	if (max < LOCKSTEP_PROTO_MIN || max < h->version_min)
		return -EPROTONOSUPPORT;
	return (int)max;
}

/* --- heartbeats ---------------------------------------------------------- */

#define BEAT_VERSION	1

static int beat_mac(const uint8_t *key, const uint8_t *data, size_t len, uint8_t *mac)
{
	unsigned int maclen = LOCKSTEP_BEAT_MAC;

	if (!HMAC(EVP_sha256(), key, LOCKSTEP_BEAT_KEY, data, len, mac, &maclen) ||
	    maclen != LOCKSTEP_BEAT_MAC)
		return -EIO;
	return 0;
}

int lockstep_beat_encode(const struct lockstep_beat *b, const uint8_t *key, uint8_t *out)
{
	struct lockstep_writer w;
	int err;

	if (b->len > LOCKSTEP_HEARTBEAT_MAX)
		return -EMSGSIZE;
	lockstep_writer_init(&w, out, LOCKSTEP_BEAT_MAX);
	lockstep_write_u32(&w, LOCKSTEP_BEAT_MAGIC);
	lockstep_write_u8(&w, BEAT_VERSION);
	lockstep_write_u8(&w, 0);
	lockstep_write_u16(&w, (uint16_t)b->len);
	lockstep_write_u64(&w, b->key_id);
	lockstep_write_u64(&w, b->seq);
	lockstep_write_u64(&w, b->sent_ns);
	lockstep_write_u64(&w, b->echo_ns);
	lockstep_write_u64(&w, b->held_ns);
	lockstep_write_u64(&w, 0);
	lockstep_write_u64(&w, 0);
	lockstep_write_bytes(&w, b->payload, b->len);
	err = beat_mac(key, out, w.len, out + w.len);
	if (err)
		return err;
	return (int)(w.len + LOCKSTEP_BEAT_MAC);
}

/* Everything of the fixed part; the payload is what remains of the reader. */
static int beat_head(const void *data, size_t len, struct lockstep_reader *r,
		     struct lockstep_beat *b)
{
	uint32_t magic;
	uint8_t version;

	lockstep_reader_init(r, data, len);
	magic = lockstep_read_u32(r);
	version = lockstep_read_u8(r);
	lockstep_read_u8(r);
	b->len = lockstep_read_u16(r);
	b->key_id = lockstep_read_u64(r);
	b->seq = lockstep_read_u64(r);
	b->sent_ns = lockstep_read_u64(r);
	b->echo_ns = lockstep_read_u64(r);
	b->held_ns = lockstep_read_u64(r);
	lockstep_read_u64(r);
	lockstep_read_u64(r);
	if (!lockstep_reader_ok(r) || magic != LOCKSTEP_BEAT_MAGIC || version != BEAT_VERSION)
		return -EPROTO;
	if (b->len > LOCKSTEP_HEARTBEAT_MAX || r->left != b->len + LOCKSTEP_BEAT_MAC)
		return -EPROTO;
	return 0;
}

int lockstep_beat_key_id(const void *data, size_t len, uint64_t *key_id)
{
	struct lockstep_reader r;
	struct lockstep_beat b;
	int err;

	err = beat_head(data, len, &r, &b);
	if (err)
		return err;
	*key_id = b.key_id;
	return 0;
}

int lockstep_beat_decode(const void *data, size_t len, const uint8_t *key,
			 struct lockstep_beat *b)
{
	uint8_t mac[LOCKSTEP_BEAT_MAC];
	struct lockstep_reader r;
	int err;

	err = beat_head(data, len, &r, b);
	if (err)
		return err;
	err = beat_mac(key, data, len - LOCKSTEP_BEAT_MAC, mac);
	if (err)
		return err;
	b->payload = lockstep_read_span(&r, b->len);
	if (CRYPTO_memcmp(mac, lockstep_read_span(&r, LOCKSTEP_BEAT_MAC), sizeof(mac)))
		return -EBADMSG;
	return 0;
}
