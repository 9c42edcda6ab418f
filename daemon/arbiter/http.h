/* SPDX-License-Identifier: GPL-2.0 */
/*
 * HTTP requests on libevent's loop, to one of several servers, with TLS or not.
 * Each has a connection of its own: they are few, and none waits behind another.
 */
#ifndef LOCKSTEP_ARBITER_HTTP_H
#define LOCKSTEP_ARBITER_HTTP_H

#include <stddef.h>

struct event_base;
struct lockstep_http;
struct lockstep_http_post;

#define LOCKSTEP_HTTP_SERVERS_MAX	8
#define LOCKSTEP_HTTP_HOST_MAX		256

/**
 * struct lockstep_http_config - whom to ask, and how
 * @servers: "http://host:port" or "https://host:port", with spaces or commas between
 * @ca: file of certificates that servers' must be signed with; NULL or "": the system's
 * @cert: file of this client's certificate; NULL or "": none
 * @key: file of its key
 */
struct lockstep_http_config {
	const char *servers;
	const char *ca;
	const char *cert;
	const char *key;
};

/**
 * lockstep_http_create() - get ready; nothing is connected
 * @loop: outlives it
 * @cfg: copied
 * @out: receives it
 * @err: receives a message with cause and remedy
 * @errlen: its size
 *
 * Return: 0 or -errno.
 */
int lockstep_http_create(struct event_base *loop, const struct lockstep_http_config *cfg,
			 struct lockstep_http **out, char *err, size_t errlen);

/** lockstep_http_destroy() - end it; it has no request any more. NULL is allowed */
void lockstep_http_destroy(struct lockstep_http *h);

unsigned int lockstep_http_servers(const struct lockstep_http *h);

/** lockstep_http_host() - name or address of a server */
const char *lockstep_http_host(const struct lockstep_http *h, unsigned int server);

/**
 * typedef lockstep_http_done - the answer
 * @status: of HTTP; 0: there was none
 * @body: its bytes with a zero behind them, or NULL
 * @len: how many
 * @arg: as given
 */
typedef void lockstep_http_done(int status, const char *body, size_t len, void *arg);

/**
 * lockstep_http_post() - POST a JSON text
 * @h: whom
 * @server: index
 * @path: begins with a slash
 * @body: text
 * @ms: time limit
 * @done: called once from the loop, never from in here; the request is freed then
 * @arg: for @done
 *
 * Return: the request, NULL if there is no memory.
 */
struct lockstep_http_post *lockstep_http_post(struct lockstep_http *h, unsigned int server,
					      const char *path, const char *body, unsigned int ms,
					      lockstep_http_done *done, void *arg);

/** lockstep_http_cancel() - forget a request that was not answered; NULL is allowed */
void lockstep_http_cancel(struct lockstep_http_post *p);

#endif
