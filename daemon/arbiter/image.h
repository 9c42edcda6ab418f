/* SPDX-License-Identifier: GPL-2.0 */
/*
 * All that an arbiter knows of one guest, as one piece of bytes: for back ends
 * that can't change several records in one step, but can add one piece behind
 * the one before. Integers are little-endian:
 *
 *	u32 magic, u16 version, u16 count
 *	16 bytes guest; u64 seq, from 1; 16 bytes nonce; 16 bytes store
 *	u64 xxh64 of the image before (0 for the first); u64 floor
 *	count times u64 generation, u8 kind, u16 length, value
 *	u64 xxh64 of all before
 */
#ifndef LOCKSTEP_ARBITER_IMAGE_H
#define LOCKSTEP_ARBITER_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "arbiter/rules.h"

#define LOCKSTEP_IMAGE_MAGIC		0x4d49534cU	/* "LSIM" */
#define LOCKSTEP_IMAGE_VERSION		1
#define LOCKSTEP_IMAGE_RECORDS_MAX	48
#define LOCKSTEP_IMAGE_SIZE_MAX		\
	(96 + LOCKSTEP_IMAGE_RECORDS_MAX * (11 + LOCKSTEP_ARBITER_VALUE_MAX))

/**
 * struct lockstep_image - a guest, at one point of its history
 * @vm: guest
 * @seq: how many changes made it; 0: the guest is not known
 * @nonce: tells who made it from who only tried
 * @store: UUID of the store when it was made
 * @prev: xxh64 of the image before
 * @sum: its own, as encoded
 * @floor: generations below were pruned
 * @count: records
 * @records: sorted by generation and kind
 */
struct lockstep_image {
	struct lockstep_uuid vm;
	uint64_t seq;
	struct lockstep_uuid nonce;
	struct lockstep_uuid store;
	uint64_t prev;
	uint64_t sum;
	uint64_t floor;
	size_t count;
	struct lockstep_store_record records[LOCKSTEP_IMAGE_RECORDS_MAX];
};

/** lockstep_image_init() - a guest that nothing is known of */
void lockstep_image_init(struct lockstep_image *im, const struct lockstep_uuid *vm);

/**
 * lockstep_image_apply() - the image that follows when a change is made
 * @im: image; becomes the next one
 * @c: change, of a verdict on this image
 * @store: UUID of the store
 *
 * There is always room: what a member could have pruned goes when it gets tight.
 *
 * Return: 0, or -errno when there is no randomness.
 */
int lockstep_image_apply(struct lockstep_image *im, const struct lockstep_rules_change *c,
			 const struct lockstep_uuid *store);

/**
 * lockstep_image_encode() - its bytes; fills in @sum
 * @im: image
 * @buf: room for LOCKSTEP_IMAGE_SIZE_MAX bytes
 *
 * Return: bytes written.
 */
size_t lockstep_image_encode(struct lockstep_image *im, uint8_t *buf);

/**
 * lockstep_image_decode() - take it apart
 * @data: bytes that may be anything
 * @len: how many
 * @im: receives it
 *
 * Return: 0; -EUCLEAN for damage; -EPROTONOSUPPORT for a newer version.
 */
int lockstep_image_decode(const void *data, size_t len, struct lockstep_image *im);

/** lockstep_image_guest() - the image as the rules look at it; borrows it */
void lockstep_image_guest(const struct lockstep_image *im, const struct lockstep_uuid *store,
			  struct lockstep_rules_guest *g);

#endif
