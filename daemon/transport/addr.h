/* SPDX-License-Identifier: GPL-2.0 */
/* Socket addresses and their text. */
#ifndef LOCKSTEP_TRANSPORT_ADDR_H
#define LOCKSTEP_TRANSPORT_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/**
 * struct lockstep_addr - an address of any family
 * @sa: the address
 * @len: its length
 */
struct lockstep_addr {
	struct sockaddr_storage sa;
	socklen_t len;
};

/**
 * lockstep_addr_parse() - read an address
 * @text: "host:port", "[v6]:port", "*:port" or "unix:path"
 * @passive: it is to be bound: "*" is allowed, and port 0
 * @a: receives it
 *
 * Host names are resolved, which may block.
 *
 * Return: 0, -EINVAL for malformed text, -ENXIO if a name does not resolve,
 * -ENAMETOOLONG for a path.
 */
int lockstep_addr_parse(const char *text, bool passive, struct lockstep_addr *a);

/**
 * lockstep_addr_format() - write an address
 * @a: address
 * @out: room for LOCKSTEP_ADDR_STRLEN characters
 *
 * Return: @out.
 */
char *lockstep_addr_format(const struct lockstep_addr *a, char *out);

/**
 * lockstep_addr_serves() - does a socket bound to one address get what is sent to another?
 * @bound: address it is bound to
 * @to: address, of the same family; ports don't matter
 */
bool lockstep_addr_serves(const struct lockstep_addr *bound, const struct lockstep_addr *to);

bool lockstep_addr_is_unix(const struct lockstep_addr *a);

/* Port in host order; 0 for Unix sockets. */
uint16_t lockstep_addr_port(const struct lockstep_addr *a);
void lockstep_addr_set_port(struct lockstep_addr *a, uint16_t port);

/**
 * lockstep_addr_fit() - make an IP address usable on a socket of a family
 * @a: address, changed between IPv4 and IPv4-mapped IPv6
 * @family: AF_INET or AF_INET6
 *
 * Return: 0 or -EAFNOSUPPORT.
 */
int lockstep_addr_fit(struct lockstep_addr *a, int family);

#endif
