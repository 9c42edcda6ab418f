// SPDX-License-Identifier: GPL-2.0
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <json-c/json.h>
#include <openssl/evp.h>

#include "metrics.h"
#include "page.h"
#include "transport/addr.h"
#include "transport/transport.h"

#define URL_MAX		160
#define HEADERS_MAX	(16 << 10)	/* bytes of a request's headers */
#define TIMEOUT_S	30		/* of an idle connection */
#define API		"/api/jobs"

struct mr_http {
	struct evhttp *server;
	struct json_object *(*job)(void *user, size_t i);
	void *user;
	bool loopback;
	char url[URL_MAX];
	char policy[320];
};

/* --- answers ---------------------------------------------------------------- */

static void answer(struct mr_http *http, struct evhttp_request *req, int code, const char *reason,
		   const char *type, struct evbuffer *body)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);

	evhttp_add_header(headers, "Content-Type", type);
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
	evhttp_add_header(headers, "Referrer-Policy", "no-referrer");
	evhttp_add_header(headers, "Content-Security-Policy", http->policy);
	evhttp_send_reply(req, code, reason, body);
}

static void answer_error(struct mr_http *http, struct evhttp_request *req, int code, const char *text)
{
	struct evbuffer *body = evbuffer_new();

	if (body)
		evbuffer_add_printf(body, "%s\n", text);
	answer(http, req, code, text, "text/plain; charset=utf-8", body);
	if (body)
		evbuffer_free(body);
}

/* @o is put. */
static void answer_json(struct mr_http *http, struct evhttp_request *req, struct json_object *o)
{
	struct evbuffer *body = evbuffer_new();
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							  JSON_C_TO_STRING_NOSLASHESCAPE);

	if (!body || !text || evbuffer_add_printf(body, "%s\n", text) < 0)
		answer_error(http, req, HTTP_INTERNAL, "no memory");
	else
		answer(http, req, HTTP_OK, "OK", "application/json", body);
	if (body)
		evbuffer_free(body);
	json_object_put(o);
}

/* --- jobs ------------------------------------------------------------------- */

static struct json_object *field(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	return json_object_object_get_ex(o, key, &v) ? v : NULL;
}

static struct json_object *jobs_get(struct mr_http *http)
{
	struct json_object *jobs = json_object_new_array(), *job;
	size_t i;

	for (i = 0; jobs && (job = http->job(http->user, i)); i++)
		json_object_array_add(jobs, job);
	return jobs;
}

/* A job by the @len characters of its id, or NULL. */
static struct json_object *job_find(struct mr_http *http, const char *id, size_t len)
{
	struct json_object *job;
	size_t i;

	for (i = 0; (job = http->job(http->user, i)); i++) {
		const char *its = json_object_get_string(field(job, "id"));

		if (its && strlen(its) == len && !memcmp(its, id, len))
			return job;
		json_object_put(job);
	}
	return NULL;
}

static void get_jobs(struct mr_http *http, struct evhttp_request *req)
{
	static const char *const large[] = { "workers", "failures", "skipped", "outputs", "events" };
	struct json_object *jobs = jobs_get(http);
	size_t i, k;

	if (!jobs) {
		answer_error(http, req, HTTP_INTERNAL, "no memory");
		return;
	}
	for (i = 0; i < json_object_array_length(jobs); i++)
		for (k = 0; k < sizeof(large) / sizeof(large[0]); k++)
			json_object_object_del(json_object_array_get_idx(jobs, i), large[k]);
	answer_json(http, req, jobs);
}

/* The log of a failure becomes how long it is: "log_bytes". */
static void logs_shorten(struct json_object *failures)
{
	size_t n = failures ? json_object_array_length(failures) : 0, i;

	for (i = 0; i < n; i++) {
		struct json_object *failure = json_object_array_get_idx(failures, i);
		struct json_object *log = field(failure, "log");

		if (!log)
			continue;
		json_object_object_add(failure, "log_bytes",
				       json_object_new_int(json_object_get_string_len(log)));
		json_object_object_del(failure, "log");
	}
}

static void get_log(struct mr_http *http, struct evhttp_request *req, struct json_object *job,
		    const char *number)
{
	struct json_object *failures = field(job, "failures"), *log = NULL;
	struct evbuffer *body;
	unsigned long i;
	char *end;

	i = strtoul(number, &end, 10);
	if (end != number && !*end && failures && i < json_object_array_length(failures))
		log = field(json_object_array_get_idx(failures, i), "log");
	body = log ? evbuffer_new() : NULL;
	if (body) {
		evbuffer_add(body, json_object_get_string(log), json_object_get_string_len(log));
		answer(http, req, HTTP_OK, "OK", "text/plain; charset=utf-8", body);
		evbuffer_free(body);
	} else {
		answer_error(http, req, HTTP_NOTFOUND, "no such log");
	}
}

/* @path: behind "/api/jobs/". */
static void get_job(struct mr_http *http, struct evhttp_request *req, const char *path)
{
	size_t len = strcspn(path, "/");
	struct json_object *job = job_find(http, path, len);

	path += len;
	if (!job) {
		answer_error(http, req, HTTP_NOTFOUND, "no such job");
	} else if (!*path) {
		json_object_object_del(job, "outputs");
		logs_shorten(field(job, "failures"));
		answer_json(http, req, json_object_get(job));
	} else if (!strcmp(path, "/outputs") && field(job, "outputs")) {
		answer_json(http, req, json_object_get(field(job, "outputs")));
	} else if (!strncmp(path, "/log/", 5)) {
		get_log(http, req, job, path + 5);
	} else {
		answer_error(http, req, HTTP_NOTFOUND, "no such page");
	}
	json_object_put(job);
}

static void get_metrics(struct mr_http *http, struct evhttp_request *req)
{
	struct json_object *jobs = jobs_get(http);
	struct evbuffer *body = jobs ? evbuffer_new() : NULL;

	if (body) {
		mr_metrics_write(jobs, body);
		answer(http, req, HTTP_OK, "OK", "text/plain; version=0.0.4; charset=utf-8", body);
		evbuffer_free(body);
	} else {
		answer_error(http, req, HTTP_INTERNAL, "no memory");
	}
	json_object_put(jobs);
}

static void get_page(struct mr_http *http, struct evhttp_request *req)
{
	struct evbuffer *body = evbuffer_new();

	if (!body) {
		answer_error(http, req, HTTP_INTERNAL, "no memory");
		return;
	}
	evbuffer_add_reference(body, mr_page, mr_page_end - mr_page, NULL, NULL);
	answer(http, req, HTTP_OK, "OK", "text/html; charset=utf-8", body);
	evbuffer_free(body);
}

/* --- requests --------------------------------------------------------------- */

/* "localhost", 127.x.x.x or [::1], with or without a port. */
static bool host_is_loopback(const char *host)
{
	size_t len = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
	struct in_addr v4;
	char name[64];

	if (len >= sizeof(name) || (host[len] && host[len] != ':'))
		return false;
	snprintf(name, sizeof(name), "%.*s", (int)len, host);
	return !strcasecmp(name, "localhost") || !strcmp(name, "[::1]") ||
	       (inet_pton(AF_INET, name, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127);
}

static void request(struct evhttp_request *req, void *arg)
{
	struct mr_http *http = arg;
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
	const char *host = evhttp_find_header(evhttp_request_get_input_headers(req), "Host");
	enum evhttp_cmd_type method = evhttp_request_get_command(req);

	if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
		evhttp_add_header(evhttp_request_get_output_headers(req), "Allow", "GET, HEAD");
		answer_error(http, req, HTTP_BADMETHOD, "only GET and HEAD: nothing can be changed here");
	} else if (http->loopback && host && !host_is_loopback(host)) {
		answer_error(http, req, 421, "asked by another name than localhost");
	} else if (!path || !*path || !strcmp(path, "/")) {
		get_page(http, req);
	} else if (!strcmp(path, API)) {
		get_jobs(http, req);
	} else if (!strncmp(path, API "/", strlen(API) + 1)) {
		get_job(http, req, path + strlen(API) + 1);
	} else if (!strcmp(path, "/metrics")) {
		get_metrics(http, req);
	} else {
		answer_error(http, req, HTTP_NOTFOUND, "no such page");
	}
}

/* --- the server ------------------------------------------------------------- */

/* No script runs but the page's, which is known by its digest. */
static int policy_make(struct mr_http *http)
{
	const char *begin = strstr(mr_page, "<script>"), *end = strstr(mr_page, "</script>");
	unsigned char digest[EVP_MAX_MD_SIZE], text[2 * EVP_MAX_MD_SIZE];
	unsigned int len;

	if (!begin || !end)
		return -EINVAL;
	begin += strlen("<script>");
	if (!EVP_Digest(begin, end - begin, digest, &len, EVP_sha256(), NULL))
		return -EIO;
	EVP_EncodeBlock(text, digest, (int)len);
	snprintf(http->policy, sizeof(http->policy),
		 "default-src 'none'; script-src 'sha256-%s'; style-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		 text);
	return 0;
}

/* Where it listens: for people, and for whom it answers. */
static void url_make(struct mr_http *http, const struct lockstep_addr *addr)
{
	char text[LOCKSTEP_ADDR_STRLEN];
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&addr->sa;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&addr->sa;

	http->loopback = addr->sa.ss_family == AF_INET6 ? IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) :
			 ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	snprintf(http->url, sizeof(http->url), "http://%s/", lockstep_addr_format(addr, text));
}

static int address_parse(const char *address, struct lockstep_addr *addr)
{
	char text[LOCKSTEP_ADDR_STRLEN];
	int ret;

	if (strlen(address) >= sizeof(text) - sizeof("127.0.0.1:"))
		return -ENAMETOOLONG;
	snprintf(text, sizeof(text), strchr(address, ':') ? "%s" : "127.0.0.1:%s", address);
	ret = lockstep_addr_parse(text, true, addr);
	return ret ? ret : lockstep_addr_is_unix(addr) ? -EINVAL : 0;
}

/* -errno, told. */
static int listen_on(struct mr_http *http, struct event_base *base, const char *address, char *err,
		     size_t errlen)
{
	struct evconnlistener *listener;
	struct lockstep_addr addr;
	int ret = address_parse(address, &addr);

	if (ret) {
		snprintf(err, errlen, "'%s' is no address for HTTP: PORT or HOST:PORT is one", address);
		return ret;
	}
	errno = 0;
	listener = evconnlistener_new_bind(base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE |
					   LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, -1,
					   (struct sockaddr *)&addr.sa, (int)addr.len);
	if (!listener) {
		ret = errno ? -errno : -ENOMEM;
		snprintf(err, errlen, "can't serve HTTP on %s: %s", address, strerror(-ret));
		return ret;
	}
	addr.len = sizeof(addr.sa);
	getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&addr.sa, &addr.len);
	url_make(http, &addr);
	if (!evhttp_bind_listener(http->server, listener)) {
		evconnlistener_free(listener);
		snprintf(err, errlen, "can't serve HTTP: no memory");
		return -ENOMEM;
	}
	return 0;
}

int mr_http_create(struct event_base *base, const char *address,
		   struct json_object *(*job)(void *user, size_t i), void *user, char *err, size_t errlen,
		   struct mr_http **out)
{
	struct mr_http *http = calloc(1, sizeof(*http));
	int ret;

	if (!http)
		return -ENOMEM;
	http->job = job;
	http->user = user;
	ret = policy_make(http);
	if (ret) {
		snprintf(err, errlen, "the page can't be served: %s", strerror(-ret));
		goto out_free;
	}
	http->server = evhttp_new(base);
	if (!http->server) {
		ret = -ENOMEM;
		snprintf(err, errlen, "can't serve HTTP: no memory");
		goto out_free;
	}
	evhttp_set_allowed_methods(http->server, 0xffff);
	evhttp_set_max_headers_size(http->server, HEADERS_MAX);
	evhttp_set_max_body_size(http->server, HEADERS_MAX);
	evhttp_set_timeout(http->server, TIMEOUT_S);
	evhttp_set_gencb(http->server, request, http);
	ret = listen_on(http, base, address, err, errlen);
	if (ret)
		goto out_server;
	*out = http;
	return 0;

out_server:
	evhttp_free(http->server);
out_free:
	free(http);
	return ret;
}

void mr_http_destroy(struct mr_http *http)
{
	if (!http)
		return;
	evhttp_free(http->server);
	free(http);
}

const char *mr_http_url(const struct mr_http *http)
{
	return http->url;
}
