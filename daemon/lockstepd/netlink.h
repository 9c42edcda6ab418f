/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The module's generic netlink family, from user space.
 *
 * Three sockets:
 *   data	bound to guests; commands, and the log and acks sent to us. The
 *		module blocks when it is full, so nothing is lost on it.
 *   query	GUEST_GET and dumps.
 *   events	the multicast group; may overrun, then everything is read again.
 *
 * Commands are synchronous: the module carries a command out inside sendmsg().
 * Log and acks that come in between are kept, in order, and are handed out by
 * the next lockstep_netlink_read(). No callback is made from a command.
 *
 * All of it belongs to one thread.
 */
#ifndef LOCKSTEPD_NETLINK_H
#define LOCKSTEPD_NETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/lockstep.h>

#include "common/uuid.h"
#include "lockstepd/info.h"

struct lockstep_netlink;

/**
 * struct lockstep_netlink_ops - upcalls of read(); borrowed data
 * @log: a batch of a primary's log; aligned to 4
 * @ack: what a twin's module has
 * @state: a guest came, moved, or is gone (info->flags)
 */
struct lockstep_netlink_ops {
	void (*log)(void *user, uint32_t id, uint64_t generation,
		    const struct lockstep_uuid *instance, const void *batch, size_t len);
	void (*ack)(void *user, uint32_t id, uint64_t generation,
		    const struct lockstep_uuid *instance, const struct lockstep_ack *ack);
	void (*state)(void *user, const struct lockstep_guest_info *info);
};

/**
 * lockstep_netlink_create() - open the sockets
 * @ops: upcalls, borrowed until destroy; NULL: only commands are used
 * @user: passed to upcalls
 * @out: receives it
 *
 * Return: 0; -ENOENT when the module is not loaded; -EPERM; other -errno.
 */
int lockstep_netlink_create(const struct lockstep_netlink_ops *ops, void *user,
			    struct lockstep_netlink **out);

/** lockstep_netlink_destroy() - close; guests bound are orphaned */
void lockstep_netlink_destroy(struct lockstep_netlink *nl);

/* Descriptors to poll for input. */
int lockstep_netlink_data_fd(const struct lockstep_netlink *nl);
int lockstep_netlink_events_fd(const struct lockstep_netlink *nl);

/**
 * lockstep_netlink_pending() - are messages kept that read() would hand out?
 * @nl: sockets
 */
bool lockstep_netlink_pending(const struct lockstep_netlink *nl);

/**
 * lockstep_netlink_read() - hand out log and acks; does not block
 * @nl: sockets
 * @budget: messages at most
 *
 * Return: number of messages, or -errno of the socket.
 */
int lockstep_netlink_read(struct lockstep_netlink *nl, unsigned int budget);

/**
 * lockstep_netlink_read_events() - hand out state changes; does not block
 * @nl: sockets
 *
 * Return: number of messages; -ENOBUFS when some were lost: dump; -errno.
 */
int lockstep_netlink_read_events(struct lockstep_netlink *nl);

/**
 * lockstep_netlink_dump() - all guests
 * @nl: sockets
 * @fn: called for each
 * @arg: passed through
 *
 * Return: 0 or -errno.
 */
int lockstep_netlink_dump(struct lockstep_netlink *nl,
			  void (*fn)(const struct lockstep_guest_info *info, void *arg), void *arg);

/**
 * lockstep_netlink_dump_raw() - all guests, as the bytes that came
 * @nl: sockets
 * @fn: called for each message's attributes
 * @arg: passed through
 *
 * Return: 0 or -errno.
 */
int lockstep_netlink_dump_raw(struct lockstep_netlink *nl,
			      void (*fn)(const void *attrs, size_t len, void *arg), void *arg);

/**
 * lockstep_netlink_get() - one guest
 * @nl: sockets
 * @id: its number, or 0
 * @name: its name if @id is 0
 * @info: receives it
 *
 * Return: 0, -ENOENT or another -errno.
 */
int lockstep_netlink_get(struct lockstep_netlink *nl, uint32_t id, const char *name,
			 struct lockstep_guest_info *info);

/**
 * lockstep_netlink_event() - something happened to a guest
 * @nl: sockets; the guest is bound to them
 * @id: guest
 * @event: enum lockstep_event
 * @generation: of the pair, 0: not said
 * @peer: the other half, NULL: not said
 * @state: receives the state after it; may be NULL
 *
 * Return: 0; -ENOENT when the state does not know the event (nothing changed);
 * -ESTALE for another generation or peer; other -errno.
 */
int lockstep_netlink_event(struct lockstep_netlink *nl, uint32_t id, unsigned int event,
			   uint64_t generation, const struct lockstep_uuid *peer,
			   uint32_t *state);

/* The other commands of the family, as declared there. 0 or -errno. */
int lockstep_netlink_bind(struct lockstep_netlink *nl, uint32_t id);
int lockstep_netlink_alive(struct lockstep_netlink *nl, uint32_t id);
int lockstep_netlink_feed(struct lockstep_netlink *nl, uint32_t id, uint64_t generation,
			  const struct lockstep_uuid *peer, const void *batch, size_t len);
int lockstep_netlink_acked(struct lockstep_netlink *nl, uint32_t id, uint64_t generation,
			   const struct lockstep_uuid *peer, const struct lockstep_ack *ack);
int lockstep_netlink_rewind(struct lockstep_netlink *nl, uint32_t id, uint64_t lsn);
int lockstep_netlink_set(struct lockstep_netlink *nl, uint32_t id, unsigned int attr,
			 uint32_t value);

#endif
