// SPDX-License-Identifier: GPL-2.0
/* Socket addresses and their text. */
#include "transport/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "transport/transport.h"

#define UNIX_PREFIX	"unix:"

static int parse_unix(const char *path, struct lockstep_addr *a)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&a->sa;
	size_t len = strlen(path);

	if (!len)
		return -EINVAL;
	/* The text form has to fit into LOCKSTEP_ADDR_STRLEN too. */
	if (len >= sizeof(un->sun_path) ||
	    len + sizeof(UNIX_PREFIX) > LOCKSTEP_ADDR_STRLEN)
		return -ENAMETOOLONG;
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, len + 1);
	a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
	return 0;
}

/* "*": all addresses of both families, or of IPv4 where there is no IPv6. */
static void any_address(struct lockstep_addr *a)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a->sa;
	struct sockaddr_in *in = (struct sockaddr_in *)&a->sa;
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0) {
		in6->sin6_family = AF_INET6;
		in6->sin6_addr = in6addr_any;
		a->len = sizeof(*in6);
		close(fd);
	} else {
		in->sin_family = AF_INET;
		in->sin_addr.s_addr = htonl(INADDR_ANY);
		a->len = sizeof(*in);
	}
}

static int resolve(const char *host, bool passive, struct lockstep_addr *a)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = passive ? AI_PASSIVE : 0,
	};
	struct addrinfo *res;

	if (getaddrinfo(host, NULL, &hints, &res))
		return -ENXIO;
	if (res->ai_addrlen > sizeof(a->sa)) {
		freeaddrinfo(res);
		return -ENXIO;
	}
	memcpy(&a->sa, res->ai_addr, res->ai_addrlen);
	a->len = res->ai_addrlen;
	freeaddrinfo(res);
	return 0;
}

static int parse_port(const char *s, bool passive, uint16_t *port)
{
	unsigned long v;
	char *end;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	v = strtoul(s, &end, 10);
	if (errno || *end || v > 65535 || (!v && !passive))
		return -EINVAL;
	*port = (uint16_t)v;
	return 0;
}

int lockstep_addr_parse(const char *text, bool passive, struct lockstep_addr *a)
{
	char host[256];
	const char *colon;
	uint16_t port;
	size_t len;
	int err;

	memset(a, 0, sizeof(*a));
	if (!text)
		return -EINVAL;
	if (!strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)))
		return parse_unix(text + strlen(UNIX_PREFIX), a);

	colon = strrchr(text, ':');
	if (!colon || colon == text || (size_t)(colon - text) >= sizeof(host))
		return -EINVAL;
	err = parse_port(colon + 1, passive, &port);
	if (err)
		return err;
	len = (size_t)(colon - text);
	if (text[0] == '[') {
		if (len < 3 || text[len - 1] != ']')
			return -EINVAL;
		text++;
		len -= 2;
	} else if (memchr(text, ':', len)) {
		return -EINVAL;		/* IPv6 without brackets */
	}
	memcpy(host, text, len);
	host[len] = '\0';

	if (!strcmp(host, "*")) {
		if (!passive)
			return -EINVAL;
		any_address(a);
	} else {
		err = resolve(host, passive, a);
		if (err)
			return err;
	}
	lockstep_addr_set_port(a, port);
	return 0;
}

char *lockstep_addr_format(const struct lockstep_addr *a, char *out)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->sa;
	const struct sockaddr_in *in = (const struct sockaddr_in *)&a->sa;
	const struct sockaddr_un *un = (const struct sockaddr_un *)&a->sa;
	char ip[INET6_ADDRSTRLEN] = "?";

	switch (a->sa.ss_family) {
	case AF_UNIX:
		/* A client's own address has no path. */
		snprintf(out, LOCKSTEP_ADDR_STRLEN, UNIX_PREFIX "%.*s",
			 LOCKSTEP_ADDR_STRLEN - (int)sizeof(UNIX_PREFIX),
			 a->len > offsetof(struct sockaddr_un, sun_path) ? un->sun_path : "");
		break;
	case AF_INET:
		inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip));
		snprintf(out, LOCKSTEP_ADDR_STRLEN, "%s:%u", ip, lockstep_addr_port(a));
		break;
	case AF_INET6:
		if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
			inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], ip, sizeof(ip));
			snprintf(out, LOCKSTEP_ADDR_STRLEN, "%s:%u", ip, lockstep_addr_port(a));
			break;
		}
		inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof(ip));
		snprintf(out, LOCKSTEP_ADDR_STRLEN, "[%s]:%u", ip, lockstep_addr_port(a));
		break;
	default:
		snprintf(out, LOCKSTEP_ADDR_STRLEN, "?");
	}
	return out;
}

bool lockstep_addr_serves(const struct lockstep_addr *bound, const struct lockstep_addr *to)
{
	const struct sockaddr_in6 *b6 = (const struct sockaddr_in6 *)&bound->sa;
	const struct sockaddr_in6 *t6 = (const struct sockaddr_in6 *)&to->sa;
	const struct sockaddr_in *b4 = (const struct sockaddr_in *)&bound->sa;
	const struct sockaddr_in *t4 = (const struct sockaddr_in *)&to->sa;

	if (bound->sa.ss_family != to->sa.ss_family)
		return false;
	if (bound->sa.ss_family == AF_INET)
		return b4->sin_addr.s_addr == htonl(INADDR_ANY) ||
		       b4->sin_addr.s_addr == t4->sin_addr.s_addr;
	if (bound->sa.ss_family == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(&b6->sin6_addr) ||
		       IN6_ARE_ADDR_EQUAL(&b6->sin6_addr, &t6->sin6_addr);
	return false;
}

bool lockstep_addr_is_unix(const struct lockstep_addr *a)
{
	return a->sa.ss_family == AF_UNIX;
}

uint16_t lockstep_addr_port(const struct lockstep_addr *a)
{
	switch (a->sa.ss_family) {
	case AF_INET:
		return ntohs(((const struct sockaddr_in *)&a->sa)->sin_port);
	case AF_INET6:
		return ntohs(((const struct sockaddr_in6 *)&a->sa)->sin6_port);
	default:
		return 0;
	}
}

void lockstep_addr_set_port(struct lockstep_addr *a, uint16_t port)
{
	if (a->sa.ss_family == AF_INET)
		((struct sockaddr_in *)&a->sa)->sin_port = htons(port);
	else if (a->sa.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&a->sa)->sin6_port = htons(port);
}

int lockstep_addr_fit(struct lockstep_addr *a, int family)
{
	struct sockaddr_in6 in6 = *(struct sockaddr_in6 *)&a->sa;
	struct sockaddr_in in = *(struct sockaddr_in *)&a->sa;

	if (a->sa.ss_family == family)
		return 0;
	if (family == AF_INET6 && a->sa.ss_family == AF_INET) {
		memset(&in6, 0, sizeof(in6));
		in6.sin6_family = AF_INET6;
		in6.sin6_port = in.sin_port;
		in6.sin6_addr.s6_addr[10] = 0xff;
		in6.sin6_addr.s6_addr[11] = 0xff;
		memcpy(&in6.sin6_addr.s6_addr[12], &in.sin_addr, 4);
		memcpy(&a->sa, &in6, sizeof(in6));
		a->len = sizeof(in6);
		return 0;
	}
	if (family == AF_INET && a->sa.ss_family == AF_INET6 &&
	    IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
		memset(&in, 0, sizeof(in));
		in.sin_family = AF_INET;
		in.sin_port = in6.sin6_port;
		memcpy(&in.sin_addr, &in6.sin6_addr.s6_addr[12], 4);
		memcpy(&a->sa, &in, sizeof(in));
		a->len = sizeof(in);
		return 0;
	}
	return -EAFNOSUPPORT;
}
