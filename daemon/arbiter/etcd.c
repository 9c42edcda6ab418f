// SPDX-License-Identifier: GPL-2.0
/* Back end "etcd": an etcd cluster, through its JSON gateway. */
#include "arbiter/etcd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "arbiter/client.h"
#include "arbiter/etcd_json.h"
#include "common/clock.h"

#define TXN_PATH	"/v3/kv/txn"
#define SHARE_MS_MIN	50	/* an endpoint gets as long at least */

enum stage { STAGE_READ, STAGE_MINT, STAGE_CHANGE };

/**
 * struct etcd - the back end
 * @client: interface
 * @http: endpoints
 * @server: endpoint that answered last
 * @name: of the arbiter
 * @boot_id: of this host
 * @store: UUID that was seen last
 * @cluster: etcd cluster that told it; 0: none yet
 * @revision: highest one seen of it: it does not go back
 * @stale: it did: nothing is believed until the store has another UUID
 */
struct etcd {
	struct lockstep_client client;
	struct lockstep_http *http;
	unsigned int server;
	char name[LOCKSTEP_NODE_NAME_MAX + 1];
	struct lockstep_uuid boot_id;
	struct lockstep_uuid store;
	uint64_t cluster;
	uint64_t revision;
	bool stale;
};

/**
 * struct work - a query on its way
 * @query: it
 * @stage: what is being asked
 * @post: the request
 * @server: at whom
 * @failed: endpoints that gave no answer since the last that did
 * @share_ms: time for each
 * @floor: revision that was seen before the request: its answer is not older
 * @maybe: a change was sent, and not answered
 * @restore: a new UUID is wanted
 * @verdict: holds when the change does
 * @view: what is known, with the records that the verdict points to
 */
struct work {
	struct lockstep_query *query;
	enum stage stage;
	struct lockstep_http_post *post;
	unsigned int server;
	unsigned int failed;
	unsigned int share_ms;
	uint64_t floor;
	bool maybe;
	bool restore;
	struct lockstep_verdict verdict;
	struct lockstep_etcd_view view;
};

static void on_reply(int status, const char *body, size_t len, void *arg);

static struct etcd *etcd_of(const struct work *w)
{
	return (struct etcd *)w->query->client;
}

static void work_free(struct work *w)
{
	lockstep_http_cancel(w->post);
	lockstep_etcd_view_exit(&w->view);
	free(w);
}

/* --- answers -------------------------------------------------------------- */

static void finish(struct work *w, struct lockstep_arbiter_answer *answer,
		   const struct lockstep_arbiter_entry *entries, size_t count,
		   const struct lockstep_arbiter_info *info)
{
	struct lockstep_query *q = w->query;

	q->priv = NULL;
	if (answer->result != LOCKSTEP_ARBITER_UNKNOWN)
		answer->store = w->view.store;
	/* Records of the answer are the work's: the callback looks at them first. */
	lockstep_query_finish(q, answer, entries, count, info);
	work_free(w);
}

static void finish_unknown(struct work *w, const char *detail)
{
	struct lockstep_arbiter_answer answer = {
		.result = LOCKSTEP_ARBITER_UNKNOWN, .maybe_done = w->maybe, .detail = detail,
	};

	finish(w, &answer, NULL, 0, NULL);
}

static void finish_refused(struct work *w, const char *detail)
{
	struct lockstep_arbiter_answer answer = {
		.result = LOCKSTEP_ARBITER_REFUSED, .refusal = LOCKSTEP_REFUSAL_OTHER_STORE,
		.detail = detail,
	};

	finish(w, &answer, NULL, 0, NULL);
}

static void finish_verdict(struct work *w)
{
	struct lockstep_arbiter_answer answer = {
		.result = w->verdict.result,
		.refusal = w->verdict.refusal,
		.value = w->verdict.existing ? w->verdict.existing->value : NULL,
		.len = w->verdict.existing ? w->verdict.existing->len : 0,
		.detail = w->verdict.detail,
	};

	finish(w, &answer, NULL, 0, NULL);
}

static void finish_list(struct work *w)
{
	struct lockstep_arbiter_answer answer = { .result = LOCKSTEP_ARBITER_OK, .detail = "" };
	size_t count = w->view.count, i;
	struct lockstep_arbiter_entry *entries = calloc(count + 1, sizeof(*entries));
	char (*keys)[LOCKSTEP_ARBITER_KEY_MAX] = calloc(count + 1, sizeof(*keys));

	if (!entries || !keys) {
		finish_unknown(w, "no memory");
		goto out_free;
	}
	for (i = 0; i < count; i++) {
		entries[i].key = lockstep_arbiter_key_format(&w->view.records[i].key, keys[i]);
		entries[i].value = w->view.records[i].value;
		entries[i].len = w->view.records[i].len;
	}
	finish(w, &answer, entries, count, NULL);
out_free:
	free(entries);
	free(keys);
}

/*
 * One endpoint only, and on this host: that etcd goes down with it. A cluster
 * with a member here does not.
 */
static bool is_here(const struct etcd *e)
{
	const char *host = lockstep_http_host(e->http, 0);
	struct in_addr v4;

	if (lockstep_http_servers(e->http) > 1)
		return false;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return !strcmp(host, "localhost") || !strcmp(host, "::1");
}

static void finish_probe(struct work *w)
{
	struct lockstep_arbiter_answer answer = { .result = LOCKSTEP_ARBITER_OK, .detail = "" };
	const struct etcd *e = etcd_of(w);
	struct lockstep_arbiter_info info = {
		.store = w->view.store,
		.node = e->name,
		.rtt_ns = lockstep_clock_ns() - w->query->begin_ns,
	};

	if (is_here(e))
		info.boot_id = e->boot_id;
	finish(w, &answer, NULL, 0, &info);
}

/* --- requests ------------------------------------------------------------- */

static void guest_of(const struct work *w, struct lockstep_rules_guest *g)
{
	g->store = &w->view.store;
	g->records = w->view.records;
	g->count = w->view.count;
	g->floor = w->view.floor;
	g->full = false;
}

/* The text is kept by libevent. Takes @o. */
static int post(struct work *w, struct json_object *o)
{
	struct etcd *e = etcd_of(w);

	if (!o)
		return -ENOMEM;
	w->floor = e->revision;
	w->post = lockstep_http_post(e->http, w->server, TXN_PATH,
				     json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN),
				     w->share_ms, on_reply, w);
	json_object_put(o);
	return w->post ? 0 : -ENOMEM;
}

static int begin(struct work *w)
{
	const struct lockstep_query *q = w->query;

	w->stage = STAGE_READ;
	return post(w, lockstep_etcd_read(q->op == LOCKSTEP_QUERY_PROBE ? NULL : &q->rq.key.vm));
}

/* Of a store that is not there yet, or that gets another UUID. */
static int mint(struct work *w)
{
	struct lockstep_uuid store;
	int ret = lockstep_uuid_random(&store);

	if (ret)
		return ret;
	w->stage = STAGE_MINT;
	return post(w, lockstep_etcd_mint(&store, w->view.cluster, w->view.store_revision));
}

static void begin_anew(struct work *w)
{
	if (begin(w))
		finish_unknown(w, "no memory");
}

static void change(struct work *w)
{
	struct lockstep_rules_change c;
	struct lockstep_rules_guest g;
	int ret;

	guest_of(w, &g);
	ret = lockstep_rules_judge(&g, &w->query->rq, &w->verdict, &c);
	if (!ret && !c.nputs && !c.below) {
		finish_verdict(w);
		return;
	}
	w->stage = STAGE_CHANGE;
	if (!ret)
		ret = post(w, lockstep_etcd_change(&w->view, &w->query->rq.key.vm, &c));
	if (ret)
		finish_unknown(w, strerror(-ret));
}

static void get(struct work *w)
{
	struct lockstep_rules_guest g;

	guest_of(w, &g);
	w->verdict.existing = lockstep_rules_find(&g, w->query->rq.key.generation,
						  w->query->rq.key.kind);
	w->verdict.result = w->verdict.existing ? LOCKSTEP_ARBITER_OK : LOCKSTEP_ARBITER_ABSENT;
	w->verdict.refusal = LOCKSTEP_REFUSAL_NONE;
	w->verdict.detail = "";
	finish_verdict(w);
}

/* NULL if the store is the one that was seen, gone on; else why it is refused. */
static const char *check_store(struct work *w)
{
	struct etcd *e = etcd_of(w);

	if (w->view.cluster != w->view.store_cluster)
		return "the store is in another etcd cluster than it was made in: run lockstep-arbiter restore";
	if (!lockstep_uuid_equal(&w->view.store, &e->store) || e->cluster != w->view.cluster) {
		/* Its generations are others, by the UUID in them. */
		e->store = w->view.store;
		e->cluster = w->view.cluster;
		e->revision = w->view.revision;
		e->stale = false;
		return NULL;
	}
	if (w->view.revision < w->floor)
		e->stale = true;
	if (e->stale)
		return "etcd is older than it was: if it was restored, run lockstep-arbiter restore";
	if (w->view.revision > e->revision)
		e->revision = w->view.revision;
	return NULL;
}

static void have_read(struct work *w)
{
	const char *refused;

	if (!w->view.has_store || w->restore) {
		if (mint(w))
			finish_unknown(w, "a store can't be made");
		return;
	}
	refused = check_store(w);
	if (refused) {
		finish_refused(w, refused);
		return;
	}
	switch (w->query->op) {
	case LOCKSTEP_QUERY_CHANGE:
		change(w);
		break;
	case LOCKSTEP_QUERY_GET:
		get(w);
		break;
	case LOCKSTEP_QUERY_LIST:
		finish_list(w);
		break;
	default:
		finish_probe(w);
		break;
	}
}

/* On to the next endpoint, from the beginning: what came of a change is read. */
static void try_next(struct work *w, const char *detail)
{
	unsigned int count = lockstep_http_servers(etcd_of(w)->http);

	w->maybe = w->maybe || w->stage == STAGE_CHANGE;
	w->server = (w->server + 1) % count;
	if (++w->failed >= count)
		finish_unknown(w, detail);
	else
		begin_anew(w);
}

static void on_reply(int status, const char *body, size_t len, void *arg)
{
	struct lockstep_etcd_view view = { 0 };
	struct work *w = arg;
	int ret = -EPROTO;

	w->post = NULL;
	if (status == 200)
		ret = lockstep_etcd_parse(body, len, &view);
	if (ret) {
		lockstep_etcd_view_exit(&view);
		try_next(w, !status ? "no endpoint of etcd answers" :
			 ret == -EUCLEAN ? "records in etcd are damaged" :
			 "etcd answers with an error");
		return;
	}
	w->failed = 0;
	etcd_of(w)->server = w->server;
	switch (w->stage) {
	case STAGE_READ:
		lockstep_etcd_view_exit(&w->view);
		w->view = view;
		have_read(w);
		return;
	case STAGE_MINT:
		w->restore = w->restore && !view.succeeded;
		break;
	case STAGE_CHANGE:
		if (view.succeeded) {
			if (view.revision > etcd_of(w)->revision &&
			    view.cluster == etcd_of(w)->cluster)
				etcd_of(w)->revision = view.revision;
			lockstep_etcd_view_exit(&view);
			finish_verdict(w);
			return;
		}
		break;
	}
	lockstep_etcd_view_exit(&view);
	begin_anew(w);
}

/* --- interface ------------------------------------------------------------ */

static int etcd_start(struct lockstep_query *q)
{
	struct etcd *e = (struct etcd *)q->client;
	struct work *w = calloc(1, sizeof(*w));
	int ret;

	if (!w)
		return -ENOMEM;
	w->query = q;
	w->server = e->server;
	w->restore = q->op == LOCKSTEP_QUERY_RESTORE;
	w->share_ms = q->ms / lockstep_http_servers(e->http);
	if (w->share_ms < SHARE_MS_MIN)
		w->share_ms = SHARE_MS_MIN;
	ret = begin(w);
	if (ret)
		work_free(w);
	else
		q->priv = w;
	return ret;
}

static bool etcd_cancel(struct lockstep_query *q)
{
	struct work *w = q->priv;
	bool maybe = w->maybe || w->stage == STAGE_CHANGE;

	/* The next one does not begin with an endpoint that hangs. */
	if (w->server == ((struct etcd *)q->client)->server)
		((struct etcd *)q->client)->server = (w->server + 1) %
			lockstep_http_servers(((struct etcd *)q->client)->http);
	work_free(w);
	return maybe;
}

static void etcd_destroy(struct lockstep_client *client)
{
	struct etcd *e = (struct etcd *)client;

	lockstep_http_destroy(e->http);
	free(e);
}

static const struct lockstep_client_ops client_ops = {
	.start		= etcd_start,
	.cancel		= etcd_cancel,
	.destroy	= etcd_destroy,
};

static const struct lockstep_arbiter_ops etcd_ops = LOCKSTEP_CLIENT_KIND("etcd");

int lockstep_arbiter_etcd_create(const struct lockstep_arbiter_etcd_config *cfg,
				 struct lockstep_arbiter **out, char *err, size_t errlen)
{
	struct etcd *e = calloc(1, sizeof(*e));
	int ret;

	if (!e)
		return -ENOMEM;
	ret = lockstep_client_init(&e->client, &etcd_ops, &client_ops, cfg->loop, cfg->node);
	if (ret)
		snprintf(err, errlen, "'%s' is not the name of a node", cfg->node);
	else
		ret = lockstep_http_create(cfg->loop, &cfg->http, &e->http, err, errlen);
	if (ret) {
		free(e);
		return ret;
	}
	e->boot_id = cfg->boot_id;
	snprintf(e->name, sizeof(e->name), "%s", cfg->name);
	*out = &e->client.base;
	return 0;
}

int lockstep_arbiter_etcd_restore(struct lockstep_arbiter *a, unsigned int ms,
				  lockstep_arbiter_done *done, void *arg)
{
	return lockstep_client_restore(a, ms, done, arg);
}
