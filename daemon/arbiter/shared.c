// SPDX-License-Identifier: GPL-2.0
/* Back end "file": a folder on storage that both hosts see, used by a thread. */
#include "arbiter/shared.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "arbiter/client.h"
#include "arbiter/folder.h"
#include "common/clock.h"

#define STACK_SIZE	(256U << 10)	/* all of the daemon's memory is locked */

/**
 * struct job - a query, as the thread has it
 * @entry: link in todo or done
 * @query: who waits; NULL: nobody any more
 * @late: nobody waits, and link() was not reached
 * @linked: link() may have been called
 * @op: what is asked for
 * @rq: likewise
 * @value: of @rq
 * @node: of @rq
 * @answer: outcome
 * @stored: value of the answer
 * @detail: of the answer
 * @info: of PROBE
 * @entries: of LIST
 * @count: how many
 * @size: room
 */
struct job {
	TAILQ_ENTRY(job) entry;
	struct lockstep_query *query;
	bool late;
	bool linked;
	enum lockstep_query_op op;
	struct lockstep_rules_request rq;
	uint8_t value[LOCKSTEP_ARBITER_VALUE_MAX];
	char node[LOCKSTEP_NODE_NAME_MAX + 1];
	struct lockstep_arbiter_answer answer;
	uint8_t stored[LOCKSTEP_ARBITER_VALUE_MAX];
	char detail[256];
	struct lockstep_arbiter_info info;
	struct lockstep_arbiter_entry *entries;
	size_t count;
	size_t size;
};

TAILQ_HEAD(jobs, job);

/**
 * struct worker - what back end and thread share; freed by who is last
 * @lock: for all of it but @folder
 * @wake: there is something to do
 * @users: back end and thread
 * @stop: the back end is gone
 * @todo: jobs to be done
 * @done: jobs done
 * @running: what the thread is at
 * @fd: counts jobs in @done
 * @folder: the thread's
 * @name: of the arbiter
 * @boot_id: of this host
 * @step: of the test
 * @arg: for @step
 */
struct worker {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	unsigned int users;
	bool stop;
	struct jobs todo;
	struct jobs done;
	struct job *running;
	int fd;
	struct lockstep_folder *folder;
	char name[LOCKSTEP_NODE_NAME_MAX + 1];
	struct lockstep_uuid boot_id;
	int (*step)(unsigned int step, void *arg);
	void *arg;
};

struct shared {
	struct lockstep_client client;
	struct worker *worker;
	struct event *event;
};

/* --- the thread ----------------------------------------------------------- */

static void job_free(struct job *job)
{
	size_t i;

	for (i = 0; i < job->count; i++)
		free((void *)job->entries[i].key);	/* holds the value too */
	free(job->entries);
	free(job);
}

static void worker_put(struct worker *w)
{
	struct job *job;
	bool last;

	pthread_mutex_lock(&w->lock);
	last = !--w->users;
	pthread_mutex_unlock(&w->lock);
	if (!last)
		return;
	while ((job = TAILQ_FIRST(&w->todo)) || (job = TAILQ_FIRST(&w->done))) {
		TAILQ_REMOVE(job == TAILQ_FIRST(&w->todo) ? &w->todo : &w->done, job, entry);
		job_free(job);
	}
	lockstep_folder_close(w->folder);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	if (w->fd >= 0)
		close(w->fd);
	free(w);
}

/* Before link() it is decided once whether there is still somebody who waits. */
static int on_step(unsigned int step, void *arg)
{
	struct worker *w = arg;
	int ret = 0;

	if (w->step)
		ret = w->step(step, w->arg);
	if (ret || step != LOCKSTEP_FOLDER_LINK)
		return ret;
	pthread_mutex_lock(&w->lock);
	if (w->running->late)
		ret = -ETIMEDOUT;
	else
		w->running->linked = true;
	pthread_mutex_unlock(&w->lock);
	return ret;
}

static int entry_add(struct job *job, const struct lockstep_store_record *rec)
{
	struct lockstep_arbiter_entry *e;
	size_t size;
	char *copy;

	if (job->count == job->size) {
		size = job->size ? 2 * job->size : 16;
		e = reallocarray(job->entries, size, sizeof(*e));
		if (!e)
			return -ENOMEM;
		job->entries = e;
		job->size = size;
	}
	copy = malloc(LOCKSTEP_ARBITER_KEY_MAX + rec->len);
	if (!copy)
		return -ENOMEM;
	lockstep_arbiter_key_format(&rec->key, copy);
	memcpy(copy + LOCKSTEP_ARBITER_KEY_MAX, rec->value, rec->len);
	e = &job->entries[job->count++];
	e->key = copy;
	e->value = copy + LOCKSTEP_ARBITER_KEY_MAX;
	e->len = rec->len;
	return 0;
}

static int list_guest(struct worker *w, struct job *job, const struct lockstep_uuid *vm)
{
	const struct lockstep_image *im;
	size_t i;
	int ret;

	ret = lockstep_folder_load(w->folder, vm, &im);
	for (i = 0; !ret && i < im->count; i++)
		ret = entry_add(job, &im->records[i]);
	return ret;
}

static int run_list(struct worker *w, struct job *job)
{
	struct lockstep_uuid *vms;
	size_t count, i;
	int ret;

	if (!lockstep_uuid_is_nil(&job->rq.key.vm))
		return list_guest(w, job, &job->rq.key.vm);
	ret = lockstep_folder_identity(w->folder);
	if (!ret)
		ret = lockstep_folder_guests(w->folder, &vms, &count);
	if (ret)
		return ret;
	for (i = 0; !ret && i < count; i++)
		ret = list_guest(w, job, &vms[i]);
	free(vms);
	return ret;
}

static void keep_value(struct job *job, const struct lockstep_store_record *rec)
{
	if (!rec)
		return;
	memcpy(job->stored, rec->value, rec->len);
	job->answer.value = job->stored;
	job->answer.len = rec->len;
}

static int run_get(struct worker *w, struct job *job)
{
	const struct lockstep_store_record *rec;
	const struct lockstep_image *im;
	struct lockstep_rules_guest g;
	int ret;

	ret = lockstep_folder_load(w->folder, &job->rq.key.vm, &im);
	if (ret)
		return ret;
	lockstep_image_guest(im, lockstep_folder_store(w->folder), &g);
	rec = lockstep_rules_find(&g, job->rq.key.generation, job->rq.key.kind);
	keep_value(job, rec);
	job->answer.result = rec ? LOCKSTEP_ARBITER_OK : LOCKSTEP_ARBITER_ABSENT;
	return 0;
}

static int run_change(struct worker *w, struct job *job)
{
	struct lockstep_verdict v;
	int ret;

	ret = lockstep_folder_request(w->folder, &job->rq, &v);
	if (ret)
		return ret;
	job->answer.result = v.result;
	job->answer.refusal = v.refusal;
	keep_value(job, v.existing);
	snprintf(job->detail, sizeof(job->detail), "%s", v.detail);
	return 0;
}

static int run_probe(struct worker *w, struct job *job)
{
	int ret = lockstep_folder_identity(w->folder);

	if (ret)
		return ret;
	job->info.store = *lockstep_folder_store(w->folder);
	job->info.node = w->name;
	/* Where else its disks are can't be seen; a local disk goes down with this host. */
	ret = lockstep_folder_is_local(w->folder);
	if (ret > 0)
		job->info.boot_id = w->boot_id;
	return ret < 0 ? ret : 0;
}

static void run_job(struct worker *w, struct job *job)
{
	int ret;

	job->answer.result = LOCKSTEP_ARBITER_OK;
	switch (job->op) {
	case LOCKSTEP_QUERY_CHANGE:
		ret = run_change(w, job);
		break;
	case LOCKSTEP_QUERY_GET:
		ret = run_get(w, job);
		break;
	case LOCKSTEP_QUERY_LIST:
		ret = run_list(w, job);
		break;
	default:
		ret = run_probe(w, job);
		break;
	}
	job->answer.detail = job->detail;
	job->answer.store = *lockstep_folder_store(w->folder);
	if (!ret)
		return;
	job->answer.result = ret > 0 ? LOCKSTEP_ARBITER_REFUSED : LOCKSTEP_ARBITER_UNKNOWN;
	job->answer.refusal = ret > 0 ? LOCKSTEP_REFUSAL_OTHER_STORE : LOCKSTEP_REFUSAL_NONE;
	snprintf(job->detail, sizeof(job->detail), "%s", lockstep_folder_detail(w->folder));
	if (ret < 0)
		memset(&job->answer.store, 0, sizeof(job->answer.store));
}

static void *work(void *arg)
{
	struct worker *w = arg;
	uint64_t one = 1;
	struct job *job;

	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		job = TAILQ_FIRST(&w->todo);
		if (!job) {
			pthread_cond_wait(&w->wake, &w->lock);
			continue;
		}
		TAILQ_REMOVE(&w->todo, job, entry);
		w->running = job;
		pthread_mutex_unlock(&w->lock);
		run_job(w, job);
		pthread_mutex_lock(&w->lock);
		w->running = NULL;
		job->answer.maybe_done = job->linked &&
					 job->answer.result == LOCKSTEP_ARBITER_UNKNOWN;
		if (!job->query) {
			job_free(job);
			continue;
		}
		TAILQ_INSERT_TAIL(&w->done, job, entry);
		if (write(w->fd, &one, sizeof(one)) < 0)
			continue;	/* a counter of 64 bits is never full */
	}
	pthread_mutex_unlock(&w->lock);
	worker_put(w);
	return NULL;
}

/* Signals are for the loop; a stack of the usual size would be locked memory. */
static int thread_start(struct worker *w)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t thread;
	int err;

	err = pthread_attr_init(&attr);
	if (err)
		return -err;
	sigfillset(&all);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	w->users++;
	err = pthread_create(&thread, &attr, work, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		w->users--;
	pthread_attr_destroy(&attr);
	return -err;
}

/* --- on the loop ---------------------------------------------------------- */

/* One job a call: its callback may destroy the back end. The event stays for the next. */
static void on_done(evutil_socket_t fd, short what, void *arg)
{
	struct shared *sh = arg;
	struct worker *w = sh->worker;
	struct lockstep_query *q;
	struct job *job;
	uint64_t n;

	(void)what;
	if (read(fd, &n, sizeof(n)) != sizeof(n))
		return;
	pthread_mutex_lock(&w->lock);
	job = TAILQ_FIRST(&w->done);
	if (job)
		TAILQ_REMOVE(&w->done, job, entry);
	pthread_mutex_unlock(&w->lock);
	if (!job)
		return;
	q = job->query;
	if (q) {
		job->info.rtt_ns = lockstep_clock_ns() - q->begin_ns;
		lockstep_query_finish(q, &job->answer, job->entries, job->count, &job->info);
	}
	job_free(job);
}

static int shared_start(struct lockstep_query *q)
{
	struct worker *w = ((struct shared *)q->client)->worker;
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return -ENOMEM;
	job->query = q;
	job->op = q->op;
	job->rq = q->rq;
	memcpy(job->value, q->value, sizeof(job->value));
	job->rq.value = job->value;
	strcpy(job->node, q->client->node);
	job->rq.node = job->node;
	q->priv = job;
	pthread_mutex_lock(&w->lock);
	TAILQ_INSERT_TAIL(&w->todo, job, entry);
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	return 0;
}

static bool in_list(struct jobs *list, struct job *job)
{
	struct job *it;

	TAILQ_FOREACH(it, list, entry)
		if (it == job)
			return true;
	return false;
}

static bool shared_cancel(struct lockstep_query *q)
{
	struct worker *w = ((struct shared *)q->client)->worker;
	struct job *job = q->priv;
	bool linked;

	pthread_mutex_lock(&w->lock);
	job->query = NULL;
	job->late = true;
	linked = job->linked;
	if (in_list(&w->todo, job)) {
		TAILQ_REMOVE(&w->todo, job, entry);
		job_free(job);
	}
	pthread_mutex_unlock(&w->lock);
	return linked;
}

static void shared_destroy(struct lockstep_client *client)
{
	struct shared *sh = (struct shared *)client;
	struct worker *w = sh->worker;

	if (sh->event)
		event_free(sh->event);
	if (w) {
		pthread_mutex_lock(&w->lock);
		w->stop = true;
		pthread_cond_signal(&w->wake);
		pthread_mutex_unlock(&w->lock);
		worker_put(w);
	}
	free(sh);
}

static const struct lockstep_client_ops client_ops = {
	.start		= shared_start,
	.cancel		= shared_cancel,
	.destroy	= shared_destroy,
};

static const struct lockstep_arbiter_ops file_ops = LOCKSTEP_CLIENT_KIND("file");

static int worker_create(const struct lockstep_arbiter_file_config *cfg, struct worker **out)
{
	struct worker *w = calloc(1, sizeof(*w));
	int ret;

	if (!w)
		return -ENOMEM;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	TAILQ_INIT(&w->todo);
	TAILQ_INIT(&w->done);
	w->users = 1;
	w->boot_id = cfg->boot_id;
	w->step = cfg->step;
	w->arg = cfg->arg;
	snprintf(w->name, sizeof(w->name), "%s", cfg->name);
	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
	ret = w->fd < 0 ? -errno : 0;
	if (!ret)
		ret = lockstep_folder_open(cfg->dir, cfg->node, on_step, w, &w->folder);
	if (ret)
		worker_put(w);
	else
		*out = w;
	return ret;
}

int lockstep_arbiter_file_create(const struct lockstep_arbiter_file_config *cfg,
				 struct lockstep_arbiter **out)
{
	struct shared *sh = calloc(1, sizeof(*sh));
	int ret;

	if (!sh)
		return -ENOMEM;
	ret = lockstep_client_init(&sh->client, &file_ops, &client_ops, cfg->loop, cfg->node);
	if (!ret)
		ret = worker_create(cfg, &sh->worker);
	if (ret)
		goto out_destroy;
	ret = -ENOMEM;
	sh->event = event_new(cfg->loop, sh->worker->fd, EV_READ | EV_PERSIST, on_done, sh);
	if (!sh->event || event_add(sh->event, NULL))
		goto out_destroy;
	ret = thread_start(sh->worker);
	if (ret)
		goto out_destroy;
	*out = &sh->client.base;
	return 0;

out_destroy:
	shared_destroy(&sh->client);
	return ret;
}
