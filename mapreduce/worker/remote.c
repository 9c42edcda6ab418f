// SPDX-License-Identifier: GPL-2.0
#include "worker/remote.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shuffle/client.h"
#include "transport/transport.h"
#include "worker/work_impl.h"

/**
 * struct mr_remote_one - a region
 * @remote: who wants it; NULL: nobody any more
 * @node: where it is
 * @request: which
 * @done: it came, or failed
 * @fault: then
 * @path: of its file, in @remote's folder
 */
struct mr_remote_one {
	struct mr_remote *remote;
	struct mr_work *work;
	char node[LOCKSTEP_NODE_NAME_MAX + 1];
	struct mr_region_request request;
	bool done;
	enum mr_fetch_fault fault;
	char *path;
	struct mr_head head;
	char text[256];
};

bool mr_remote_is(const struct mr_work *work, const Mr__Run *run)
{
	return work->client && strcmp(run->node, work->config->node);
}

int mr_remote_init(struct mr_remote *remote, struct mr_work *work, uint32_t reduce, const char *dir)
{
	*remote = (struct mr_remote) { .work = work, .reduce = reduce, .dir = dir, .nr = work->nr_runs };
	remote->ones = calloc(remote->nr + 1ull, sizeof(struct mr_remote_one *));
	return remote->ones ? 0 : -ENOMEM;
}

static void one_free(struct mr_remote_one *one)
{
	if (one->path)
		unlink(one->path);
	free(one->path);
	free(one);
}

void mr_remote_exit(struct mr_remote *remote)
{
	uint32_t i;

	for (i = 0; remote->ones && i < remote->nr; i++) {
		if (!remote->ones[i])
			continue;
		if (remote->ones[i]->done)
			one_free(remote->ones[i]);
		else
			remote->ones[i]->remote = NULL;
	}
	free(remote->ones);
	remote->ones = NULL;
}

/* The node's process put it into a folder of its own: it becomes this worker's. */
static char *adopt(const struct mr_remote *remote, const char *path)
{
	char *own;

	if (asprintf(&own, "%s%s", remote->dir, strrchr(path, '/')) < 0)
		return NULL;
	if (!rename(path, own))
		return own;
	free(own);
	return NULL;
}

/* Network thread. */
static void on_done(void *user, enum mr_fetch_fault fault, const char *path, const struct mr_head *head,
		    const char *text)
{
	struct mr_remote_one *one = user;
	struct mr_work *w = one->work;

	pthread_mutex_lock(&w->lock);
	one->done = true;
	one->fault = fault;
	snprintf(one->text, sizeof(one->text), "%s", text);
	if (!fault && one->remote) {
		one->head = *head;
		one->path = adopt(one->remote, path);
	}
	if (!fault && !one->path) {
		unlink(path);
		one->fault = MR_FETCH_HERE;
		snprintf(one->text, sizeof(one->text), "%s: %s", path, strerror(errno));
	}
	if (one->remote) {
		one->remote->asked--;
		one->remote->failed += one->fault ? 1 : 0;
		pthread_cond_broadcast(&w->changed);
	} else {
		one_free(one);
	}
	pthread_mutex_unlock(&w->lock);
}

/* Network thread. */
static void begin(void *arg)
{
	struct mr_remote_one *one = arg;
	int ret;

	ret = mr_client_fetch(one->work->client, one->node, &one->request, on_done, one);
	if (ret)
		on_done(one, MR_FETCH_HERE, NULL, NULL, strerror(-ret));
}

static bool ask(struct mr_remote *remote, uint32_t map)
{
	const struct mr_work_config *c = remote->work->config;
	const Mr__Run *run = remote->work->runs[map];
	struct mr_remote_one *one = calloc(1, sizeof(*one));

	if (!one)
		return false;
	one->remote = remote;
	one->work = remote->work;
	snprintf(one->node, sizeof(one->node), "%s", run->node);
	snprintf(one->request.job, sizeof(one->request.job), "%s", c->shuffle_job);
	one->request.map = map;
	one->request.attempt = run->id->attempt;
	one->request.epoch = run->id->epoch;
	one->request.index = run->index;
	one->request.reduce = remote->reduce;
	if (lockstep_transport_call(remote->work->transport, begin, one)) {
		free(one);
		return false;
	}
	remote->ones[map] = one;
	remote->asked++;
	return true;
}

static bool is_same(const struct mr_remote_one *one, const Mr__Run *run)
{
	return one->request.attempt == run->id->attempt && one->request.epoch == run->id->epoch &&
	       !strcmp(one->node, run->node);
}

bool mr_remote_failed(const struct mr_remote *remote, uint32_t map)
{
	const struct mr_remote_one *one = remote->ones[map];

	return one && one->done && one->fault && is_same(one, remote->work->runs[map]);
}

/* One that failed, of a map that has been made again meanwhile: forget the failure. */
static void forget_old(struct mr_remote *remote, uint32_t map)
{
	struct mr_remote_one *one = remote->ones[map];

	if (!one || !one->done || !one->fault || is_same(one, remote->work->runs[map]))
		return;
	one_free(one);
	remote->ones[map] = NULL;
	remote->failed--;
	if (map < remote->next)
		remote->next = map;
}

void mr_remote_ask(struct mr_remote *remote)
{
	struct mr_work *w = remote->work;
	bool gap = false;
	uint32_t i;

	if (!w->client)
		return;
	for (i = 0; remote->failed && i < remote->nr; i++)
		if (w->runs[i])
			forget_old(remote, i);
	for (i = remote->next; i < remote->nr && remote->asked < MR_REMOTE_MAX; i++) {
		if (!w->runs[i])
			gap = true;
		else if (mr_remote_is(w, w->runs[i]) && !remote->ones[i] && !ask(remote, i))
			return;
		if (!gap)
			remote->next = i + 1;
	}
}

int mr_remote_take(struct mr_remote *remote, uint32_t map, struct mr_region *region, char *err, size_t errlen)
{
	struct mr_work *w = remote->work;
	struct mr_remote_one *one;

	for (;;) {
		mr_remote_ask(remote);
		one = remote->ones[map];
		if (one && one->done)
			break;
		if (w->cancelled || w->over)
			return -ECANCELED;
		if (!one && !remote->asked)
			return -ENOMEM;
		pthread_cond_wait(&w->changed, &w->lock);
	}
	if (one->fault) {
		snprintf(err, errlen, "output of map %u: %s", map, one->text);
		return one->fault == MR_FETCH_THERE ? -EREMOTEIO : -EIO;
	}
	*region = (struct mr_region) {
		.path = one->path,
		.map = map,
		.len = one->head.len,
		.raw_len = one->head.raw_len,
		.records = one->head.records,
		.checksum = one->head.checksum,
	};
	one->path = NULL;
	return 0;
}
