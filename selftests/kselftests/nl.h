/* SPDX-License-Identifier: GPL-2.0 */
/* The module's netlink family, by hand: tests want to send what no library would. */
#ifndef NL_H
#define NL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/netlink.h>
#include <linux/lockstep.h>

#define NL_BUF		(64 * 1024)

/**
 * struct nl_msg - a message being made, or one received
 * @next: in a queue
 * @len:  bytes used of @buf, aligned
 * @buf:  netlink header first; aligned by what stands before it
 */
struct nl_msg {
	struct nl_msg *next;
	size_t len;
	uint8_t buf[NL_BUF];
};

/**
 * struct nl - a socket
 * @fd:     its descriptor
 * @family: number of the family
 * @events: number of its multicast group
 * @seq:    of the last request
 * @first:  messages nobody asked for, oldest first
 * @last:   the newest of them
 */
struct nl {
	int fd;
	uint16_t family;
	uint32_t events;
	uint32_t seq;
	struct nl_msg *first, *last;
};

int nl_open(struct nl *nl);
void nl_close(struct nl *nl);
int nl_join_events(struct nl *nl);

void nl_begin(struct nl_msg *msg, struct nl *nl, uint8_t cmd, uint16_t flags);
void nl_put(struct nl_msg *msg, uint16_t type, const void *data, size_t len);
void nl_put_u32(struct nl_msg *msg, uint16_t type, uint32_t value);
void nl_put_u64(struct nl_msg *msg, uint16_t type, uint64_t value);

int nl_talk(struct nl *nl, struct nl_msg *msg, struct nl_msg *reply);
int nl_send(struct nl *nl, const struct nl_msg *msg);
struct nl_msg *nl_next(struct nl *nl, int timeout_ms);

uint8_t nl_cmd(const struct nl_msg *msg);
const void *nl_get(const struct nl_msg *msg, uint16_t type, size_t *len);
uint32_t nl_get_u32(const struct nl_msg *msg, uint16_t type);
uint64_t nl_get_u64(const struct nl_msg *msg, uint16_t type);
uint64_t nl_stat(const struct nl_msg *msg, uint16_t stat);

/* Requests of a daemon; each 0 or -errno. */
int nl_guest_get(struct nl *nl, uint32_t id, struct nl_msg *reply);
int nl_bind(struct nl *nl, uint32_t id);
int nl_alive(struct nl *nl, uint32_t id);
int nl_event(struct nl *nl, uint32_t id, uint32_t event, uint64_t generation, const uint8_t *peer);
int nl_feed(struct nl *nl, uint32_t id, uint64_t generation, const uint8_t *peer,
	    const void *batch, size_t len);
int nl_acked(struct nl *nl, uint32_t id, uint64_t generation, const uint8_t *peer,
	     const struct lockstep_ack *ack);
int nl_set(struct nl *nl, uint32_t id, uint16_t attr, uint32_t value);
int nl_state(struct nl *nl, uint32_t id);

#endif
