/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Wire format of the transport; no sockets here.
 *
 * TCP: frames, each a header of LOCKSTEP_FRAME_HDR bytes and a payload. All
 * integers are little-endian.
 *
 *	u32 magic	LOCKSTEP_FRAME_MAGIC
 *	u8  version	of the frame format: LOCKSTEP_FRAME_VERSION
 *	u8  type	enum lockstep_frame_type
 *	u16 flags	0, reserved: a receiver refuses others
 *	u32 length	of the payload, at most LOCKSTEP_FRAME_MAX
 *	u32 channel	MSG: channel; STREAM_*: stream id; else 0
 *	u32 kind	MSG, STREAM_OPEN: kind; STREAM_RESET, REFUSE, BYE: errno; else 0
 *	u32 reserved	0
 *	u64 id		MSG: id; STREAM_OPEN, STREAM_CREDIT: bytes of credit; else 0
 *
 * The first frame of each side is HELLO (struct lockstep_hello) or REFUSE, whose
 * format never changes. UDP: one heartbeat per datagram, see
 * struct lockstep_beat.
 */
#ifndef LOCKSTEP_TRANSPORT_WIRE_H
#define LOCKSTEP_TRANSPORT_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "common/uuid.h"
#include "transport/transport.h"

#define LOCKSTEP_FRAME_MAGIC	0x3146534cU	/* "LSF1" */
#define LOCKSTEP_FRAME_VERSION	1
#define LOCKSTEP_FRAME_HDR	32
#define LOCKSTEP_FRAME_MAX	LOCKSTEP_MSG_MAX

/* Streams are cut into frames of at most so much, so that they take turns. */
#define LOCKSTEP_STREAM_CHUNK	(64 * 1024)

#define LOCKSTEP_REASON_MAX	200	/* characters of REFUSE and BYE */

/* Values are on the wire: never renumber. */
enum lockstep_frame_type {
	LOCKSTEP_FRAME_HELLO		= 1,	/* who I am */
	LOCKSTEP_FRAME_REFUSE		= 2,	/* instead of HELLO: go away, and why */
	LOCKSTEP_FRAME_BYE		= 3,	/* last frame of an orderly close, and why */
	LOCKSTEP_FRAME_MSG		= 4,	/* upper layer's message */
	LOCKSTEP_FRAME_STREAM_OPEN	= 5,	/* new stream; id = receive credit */
	LOCKSTEP_FRAME_STREAM_DATA	= 6,
	LOCKSTEP_FRAME_STREAM_CREDIT	= 7,	/* id = so many bytes more may come */
	LOCKSTEP_FRAME_STREAM_FIN	= 8,	/* no more data from this side */
	LOCKSTEP_FRAME_STREAM_RESET	= 9,	/* forget it; kind = errno */
	__LOCKSTEP_FRAME_LAST,
	LOCKSTEP_FRAME_TYPE_MAX		= __LOCKSTEP_FRAME_LAST - 1
};

/**
 * struct lockstep_frame - header of a frame, decoded
 * @type: enum lockstep_frame_type
 * @length: bytes of payload
 * @channel: see above
 * @kind: see above
 * @id: see above
 */
struct lockstep_frame {
	uint8_t type;
	uint32_t length;
	uint32_t channel;
	uint32_t kind;
	uint64_t id;
};

/**
 * lockstep_frame_encode() - write a header
 * @f: header
 * @out: LOCKSTEP_FRAME_HDR bytes
 */
void lockstep_frame_encode(const struct lockstep_frame *f, uint8_t *out);

/**
 * lockstep_frame_decode() - read and check a header
 * @in: LOCKSTEP_FRAME_HDR bytes
 * @f: receives it
 *
 * Return: 0; -EPROTO if it is none (or a type this version does not know);
 * -EPROTONOSUPPORT for another version of the format; -EMSGSIZE for a length
 * above what its type may have.
 */
int lockstep_frame_decode(const uint8_t *in, struct lockstep_frame *f);

#define LOCKSTEP_HELLO_MAX	320	/* bytes that any HELLO fits into */

/**
 * struct lockstep_hello - first thing each side says
 * @version_min: oldest protocol version spoken
 * @version_max: newest; the highest both speak is used
 * @plane: enum lockstep_plane of this connection
 * @udp_port: where heartbeats are listened for; 0: nowhere
 * @window: receive credit this side gives to each new stream
 * @boot_id: boot of the host
 * @incarnation: of the transport
 * @cluster: cluster name
 * @node: node name
 * @service: SERVICE plane: which; else ""
 */
struct lockstep_hello {
	uint16_t version_min;
	uint16_t version_max;
	uint8_t plane;
	uint16_t udp_port;
	uint32_t window;
	struct lockstep_uuid boot_id;
	struct lockstep_uuid incarnation;
	char cluster[LOCKSTEP_NODE_NAME_MAX + 1];
	char node[LOCKSTEP_NODE_NAME_MAX + 1];
	char service[LOCKSTEP_SERVICE_NAME_MAX + 1];
};

/**
 * lockstep_hello_encode() - write a HELLO's payload
 * @h: contents
 * @out: room for LOCKSTEP_HELLO_MAX bytes
 *
 * Return: length.
 */
size_t lockstep_hello_encode(const struct lockstep_hello *h, uint8_t *out);

/**
 * lockstep_hello_decode() - read and check a HELLO's payload
 * @data: payload
 * @len: its length; bytes after the known fields, of a newer version, are allowed
 * @h: receives it
 *
 * Return: 0 or -EPROTO.
 */
int lockstep_hello_decode(const void *data, size_t len, struct lockstep_hello *h);

/**
 * lockstep_hello_version() - the version two sides use
 * @h: the other side's HELLO
 *
 * Return: highest common version or -EPROTONOSUPPORT.
 */
int lockstep_hello_version(const struct lockstep_hello *h);

/* --- heartbeats ---------------------------------------------------------- */

#define LOCKSTEP_BEAT_MAGIC	0x3142534cU	/* "LSB1" */
#define LOCKSTEP_BEAT_KEY	32		/* bytes of an HMAC-SHA256 key */
#define LOCKSTEP_BEAT_MAC	32
#define LOCKSTEP_BEAT_FIXED	64		/* bytes before the payload */
#define LOCKSTEP_BEAT_MAX	(LOCKSTEP_BEAT_FIXED + LOCKSTEP_HEARTBEAT_MAX + LOCKSTEP_BEAT_MAC)

/**
 * struct lockstep_beat - a heartbeat, decoded
 * @key_id: which key it is made with, from the key's export
 * @seq: rises by one with each heartbeat under a key, from 1
 * @sent_ns: sender's clock when it was sent
 * @echo_ns: @sent_ns of the last heartbeat the sender had; 0: none yet
 * @held_ns: age of that one when this was sent
 * @payload: upper layer's; when decoded, within the datagram
 * @len: its length
 *
 * On the wire: u32 magic, u8 version, u8 reserved, u16 len, u64 key_id, seq,
 * sent_ns, echo_ns, held_ns, reserved; u64 reserved; payload;
 * HMAC-SHA256 of all before. Each direction has a key of its own, so that a
 * heartbeat can't be reflected.
 */
struct lockstep_beat {
	uint64_t key_id;
	uint64_t seq;
	uint64_t sent_ns;
	uint64_t echo_ns;
	uint64_t held_ns;
	const void *payload;
	size_t len;
};

/**
 * lockstep_beat_encode() - write a datagram
 * @b: heartbeat
 * @key: LOCKSTEP_BEAT_KEY bytes
 * @out: room for LOCKSTEP_BEAT_MAX bytes
 *
 * Return: length, or -EMSGSIZE, or -EIO when the HMAC fails.
 */
int lockstep_beat_encode(const struct lockstep_beat *b, const uint8_t *key, uint8_t *out);

/**
 * lockstep_beat_key_id() - key a datagram says it is made with
 * @data: datagram
 * @len: its length
 * @key_id: receives it; not authenticated yet
 *
 * Return: 0, or -EPROTO if it is no heartbeat.
 */
int lockstep_beat_key_id(const void *data, size_t len, uint64_t *key_id);

/**
 * lockstep_beat_decode() - check a datagram's HMAC, then read it
 * @data: datagram
 * @len: its length
 * @key: LOCKSTEP_BEAT_KEY bytes
 * @b: receives it
 *
 * Return: 0, -EPROTO, or -EBADMSG if the HMAC is wrong.
 */
int lockstep_beat_decode(const void *data, size_t len, const uint8_t *key,
			 struct lockstep_beat *b);

#endif
