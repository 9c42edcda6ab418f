// SPDX-License-Identifier: GPL-2.0
/* HTTP requests on libevent's loop. */
#include "arbiter/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/http.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#define BODY_MAX	(64U << 20)	/* bytes of an answer */

struct server {
	char host[LOCKSTEP_HTTP_HOST_MAX];
	uint16_t port;
	bool tls;
};

/**
 * struct lockstep_http - whom to ask
 * @loop: loop
 * @dns: resolves names without blocking
 * @ssl: for servers with TLS, or NULL
 * @servers: servers
 * @count: how many
 */
struct lockstep_http {
	struct event_base *loop;
	struct evdns_base *dns;
	SSL_CTX *ssl;
	struct server servers[LOCKSTEP_HTTP_SERVERS_MAX];
	unsigned int count;
};

/**
 * struct lockstep_http_post - a request
 * @con: its connection, not to be freed from a callback of its own
 * @event: made active when the answer is there, and the time limit
 * @done: callback
 * @arg: for @done
 * @status: of the answer
 * @body: of the answer
 * @len: its length
 */
struct lockstep_http_post {
	struct evhttp_connection *con;
	struct event *event;
	lockstep_http_done *done;
	void *arg;
	int status;
	char *body;
	size_t len;
};

/* --- configuration -------------------------------------------------------- */

static int server_parse(struct server *s, const char *text, char *err, size_t errlen)
{
	struct evhttp_uri *uri = evhttp_uri_parse(text);
	const char *scheme = uri ? evhttp_uri_get_scheme(uri) : NULL;
	const char *host = uri ? evhttp_uri_get_host(uri) : NULL;
	const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
	size_t len = host ? strlen(host) : 0;
	int port = uri ? evhttp_uri_get_port(uri) : -1;
	int ret = -EINVAL;

	if (!scheme || (strcmp(scheme, "http") && strcmp(scheme, "https")) || !len ||
	    len >= sizeof(s->host) || port <= 0 || port > 65535 || (path && path[0] && strcmp(path, "/"))) {
		snprintf(err, errlen, "'%s' is not http://host:port or https://host:port", text);
		goto out;
	}
	s->tls = !strcmp(scheme, "https");
	s->port = (uint16_t)port;
	/* [v6] */
	if (host[0] == '[' && host[len - 1] == ']')
		snprintf(s->host, sizeof(s->host), "%.*s", (int)len - 2, host + 1);
	else
		memcpy(s->host, host, len + 1);
	ret = 0;
out:
	if (uri)
		evhttp_uri_free(uri);
	return ret;
}

static int servers_parse(struct lockstep_http *h, const char *text, char *err, size_t errlen)
{
	char *copy = strdup(text), *save = NULL, *word;
	int ret = 0;

	if (!copy)
		return -ENOMEM;
	for (word = strtok_r(copy, " ,\t", &save); word && !ret; word = strtok_r(NULL, " ,\t", &save)) {
		if (h->count == LOCKSTEP_HTTP_SERVERS_MAX) {
			snprintf(err, errlen, "at most %d servers", LOCKSTEP_HTTP_SERVERS_MAX);
			ret = -ERANGE;
			break;
		}
		ret = server_parse(&h->servers[h->count], word, err, errlen);
		if (!ret)
			h->count++;
	}
	free(copy);
	if (!ret && !h->count) {
		snprintf(err, errlen, "no server is named");
		ret = -EINVAL;
	}
	return ret;
}

static int ssl_failed(const char *what, char *err, size_t errlen)
{
	char text[160];

	ERR_error_string_n(ERR_get_error(), text, sizeof(text));
	ERR_clear_error();
	snprintf(err, errlen, "%s: %s", what, text);
	return -EINVAL;
}

static int ssl_create(struct lockstep_http *h, const struct lockstep_http_config *cfg, char *err,
		      size_t errlen)
{
	bool ca = cfg->ca && cfg->ca[0], cert = cfg->cert && cfg->cert[0];

	h->ssl = SSL_CTX_new(TLS_client_method());
	if (!h->ssl)
		return -ENOMEM;
	SSL_CTX_set_min_proto_version(h->ssl, TLS1_2_VERSION);
	SSL_CTX_set_verify(h->ssl, SSL_VERIFY_PEER, NULL);
	if (ca ? !SSL_CTX_load_verify_locations(h->ssl, cfg->ca, NULL) :
	    !SSL_CTX_set_default_verify_paths(h->ssl))
		return ssl_failed(ca ? cfg->ca : "certificates of the system", err, errlen);
	if (cert && SSL_CTX_use_certificate_chain_file(h->ssl, cfg->cert) != 1)
		return ssl_failed(cfg->cert, err, errlen);
	if (cert && SSL_CTX_use_PrivateKey_file(h->ssl, cfg->key ? cfg->key : "",
						SSL_FILETYPE_PEM) != 1)
		return ssl_failed(cfg->key ? cfg->key : "no key", err, errlen);
	return 0;
}

int lockstep_http_create(struct event_base *loop, const struct lockstep_http_config *cfg,
			 struct lockstep_http **out, char *err, size_t errlen)
{
	struct lockstep_http *h = calloc(1, sizeof(*h));
	bool tls = false;
	unsigned int i;
	int ret;

	if (errlen)
		err[0] = '\0';
	if (!h)
		return -ENOMEM;
	h->loop = loop;
	ret = servers_parse(h, cfg->servers, err, errlen);
	for (i = 0; i < h->count; i++)
		tls = tls || h->servers[i].tls;
	if (!ret && tls)
		ret = ssl_create(h, cfg, err, errlen);
	if (ret)
		goto out_destroy;
	ret = -ENOMEM;
	h->dns = evdns_base_new(loop, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	if (!h->dns)
		goto out_destroy;
	/* Addresses need no name server, so none is an error of names only. */
	evdns_base_resolv_conf_parse(h->dns, DNS_OPTIONS_ALL, "/etc/resolv.conf");
	*out = h;
	return 0;

out_destroy:
	if (errlen && !err[0])
		snprintf(err, errlen, "%s", strerror(-ret));
	lockstep_http_destroy(h);
	return ret;
}

void lockstep_http_destroy(struct lockstep_http *h)
{
	if (!h)
		return;
	if (h->dns)
		evdns_base_free(h->dns, 0);
	SSL_CTX_free(h->ssl);
	free(h);
}

unsigned int lockstep_http_servers(const struct lockstep_http *h)
{
	return h->count;
}

const char *lockstep_http_host(const struct lockstep_http *h, unsigned int server)
{
	return h->servers[server].host;
}

/* --- requests ------------------------------------------------------------- */

void lockstep_http_cancel(struct lockstep_http_post *p)
{
	if (!p)
		return;
	if (p->con)
		evhttp_connection_free(p->con);
	if (p->event)
		event_free(p->event);
	free(p->body);
	free(p);
}

/* The answer is there, or the time is over. */
static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct lockstep_http_post *p = arg;
	lockstep_http_done *done = p->done;
	char *body = p->body;
	size_t len = p->len;
	int status = p->status;
	void *user = p->arg;

	(void)fd;
	(void)what;
	p->body = NULL;
	lockstep_http_cancel(p);
	done(status, body, len, user);
	free(body);
}

static void on_reply(struct evhttp_request *req, void *arg)
{
	struct lockstep_http_post *p = arg;
	struct evbuffer *in = req ? evhttp_request_get_input_buffer(req) : NULL;
	size_t len = in ? evbuffer_get_length(in) : 0;

	if (req && evhttp_request_get_response_code(req)) {
		p->body = malloc(len + 1);
		if (p->body) {
			evbuffer_remove(in, p->body, len);
			p->body[len] = '\0';
			p->len = len;
			p->status = evhttp_request_get_response_code(req);
		}
	}
	/* libevent is not done with the connection yet. */
	event_active(p->event, EV_TIMEOUT, 0);
}

static struct bufferevent *tls_new(struct lockstep_http *h, const struct server *s)
{
	struct bufferevent *bev;
	unsigned char addr[16];
	SSL *ssl = SSL_new(h->ssl);
	bool ok;

	if (!ssl)
		return NULL;
	if (inet_pton(AF_INET, s->host, addr) == 1 || inet_pton(AF_INET6, s->host, addr) == 1)
		ok = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), s->host);
	else
		ok = SSL_set1_host(ssl, s->host) && SSL_set_tlsext_host_name(ssl, s->host);
	bev = ok ? bufferevent_openssl_socket_new(h->loop, -1, ssl, BUFFEREVENT_SSL_CONNECTING,
						  BEV_OPT_CLOSE_ON_FREE) : NULL;
	if (!bev) {
		SSL_free(ssl);
		return NULL;
	}
	bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
	return bev;
}

struct lockstep_http_post *lockstep_http_post(struct lockstep_http *h, unsigned int server,
					      const char *path, const char *body, unsigned int ms,
					      lockstep_http_done *done, void *arg)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };
	struct lockstep_http_post *p = calloc(1, sizeof(*p));
	const struct server *s = &h->servers[server];
	struct bufferevent *bev = NULL;
	struct evhttp_request *req;
	struct evkeyvalq *headers;

	if (!p)
		return NULL;
	p->done = done;
	p->arg = arg;
	p->event = event_new(h->loop, -1, 0, on_event, p);
	if (!p->event || event_add(p->event, &tv))
		goto out_cancel;
	if (s->tls) {
		bev = tls_new(h, s);
		if (!bev)
			goto out_cancel;
	}
	p->con = evhttp_connection_base_bufferevent_new(h->loop, h->dns, bev, s->host, s->port);
	if (!p->con) {
		if (bev)
			bufferevent_free(bev);
		goto out_cancel;
	}
	evhttp_connection_set_max_body_size(p->con, BODY_MAX);
	req = evhttp_request_new(on_reply, p);
	if (!req)
		goto out_cancel;
	headers = evhttp_request_get_output_headers(req);
	evhttp_add_header(headers, "Host", s->host);
	evhttp_add_header(headers, "Content-Type", "application/json");
	evhttp_add_header(headers, "Connection", "close");
	evbuffer_add(evhttp_request_get_output_buffer(req), body, strlen(body));
	/* On failure it has freed the request; what comes of it is a failure to connect. */
	if (evhttp_make_request(p->con, req, EVHTTP_REQ_POST, path))
		event_active(p->event, EV_TIMEOUT, 0);
	return p;

out_cancel:
	lockstep_http_cancel(p);
	return NULL;
}
