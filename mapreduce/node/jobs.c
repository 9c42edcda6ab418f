// SPDX-License-Identifier: GPL-2.0
/*
 * Jobs whose home this node is. Each has a folder, STATE/jobs/NUMBER:
 *
 *	spec.json	what was submitted; appears with the folder
 *	journal		the coordinator's
 *	status.json	written when it is over: its status for ever
 *
 * A folder without status.json is a job that runs, or is to be carried on with.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/json.h"
#include "common/log.h"
#include "coordinator/job.h"
#include "coordinator/server.h"
#include "node/node.h"
#include "node/spec.h"

#define HOMES_MAX	200	/* folders kept; the oldest that are over are removed */
#define RUNNING_MAX	32	/* jobs that run at the same time */
#define STATUS_MAX	(1u << 30)

/**
 * struct mr_home - a job
 * @number: of it here
 * @name: NODE.NUMBER
 * @spec: as submitted
 * @share: what others are told; NULL while it does not run
 * @job: its coordinator; NULL when it is over
 * @ended: the coordinator said so: it is put away at the next tick
 * @brief: what a list says of it, when it is over
 */
struct mr_home {
	TAILQ_ENTRY(mr_home) entry;
	struct mr_node *node;
	uint64_t number;
	char name[MR_JOB_NAME_MAX + 1];
	struct json_object *spec;
	struct json_object *share;
	struct mr_job *job;
	bool ended;
	struct json_object *brief;
};

static void path_of(const struct mr_home *h, const char *file, char *out)
{
	snprintf(out, PATH_MAX, "%s/jobs/%" PRIu64 "%s%s", h->node->cfg.mr.state, h->number,
		 file ? "/" : "", file ? file : "");
}

static int write_json(const char *path, struct json_object *o)
{
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							 JSON_C_TO_STRING_NOSLASHESCAPE);

	return lockstep_file_replace(path, text, strlen(text), 0600);
}

static struct json_object *read_json(const char *path)
{
	struct json_object *o = NULL;
	size_t len;
	char *text;

	if (!lockstep_file_read(path, STATUS_MAX, &text, &len)) {
		o = json_tokener_parse(text);
		free(text);
	}
	return o;
}

static void home_free(struct mr_home *h)
{
	TAILQ_REMOVE(&h->node->homes, h, entry);
	if (h->job) {
		mr_server_remove(h->node->server, h->job);
		mr_job_destroy(h->job);
	}
	json_object_put(h->spec);
	json_object_put(h->share);
	json_object_put(h->brief);
	free(h);
}

static struct mr_home *home_new(struct mr_node *node, uint64_t number, struct json_object *spec)
{
	struct mr_home *h = calloc(1, sizeof(*h)), *before;

	if (!h)
		return NULL;
	h->node = node;
	h->number = number;
	h->spec = json_object_get(spec);
	snprintf(h->name, sizeof(h->name), "%s.%" PRIu64, node->name, number);
	TAILQ_FOREACH(before, &node->homes, entry)
		if (before->number < number)
			break;
	if (before)
		TAILQ_INSERT_BEFORE(before, h, entry);
	else
		TAILQ_INSERT_TAIL(&node->homes, h, entry);
	if (number >= node->next_number)
		node->next_number = number + 1;
	return h;
}

static struct mr_home *home_find(struct mr_node *node, const char *name)
{
	struct mr_home *h;

	TAILQ_FOREACH(h, &node->homes, entry)
		if (!strcmp(h->name, name))
			return h;
	return NULL;
}

/* --- status --------------------------------------------------------------------- */

/* A job whose coordinator can't even be made has a status too. */
static struct json_object *status_failed(const char *reason)
{
	struct json_object *o = json_object_new_object();

	if (o) {
		lockstep_json_add_str(o, "state", "failed");
		lockstep_json_add_str(o, "reason", reason);
	}
	return o;
}

static void status_decorate(const struct mr_home *h, struct json_object *o)
{
	lockstep_json_add_str(o, "job", h->name);
	lockstep_json_add_str(o, "home", h->node->name);
	lockstep_json_add_str(o, "output", mr_json_str(h->spec, "output", ""));
}

/* The few members of a status that a list shows. */
static struct json_object *brief_new(struct json_object *status)
{
	static const char *const keys[] = {
		"job", "name", "app", "state", "phase", "reason", "began", "elapsed_ms", "output",
		"reduces", "maps", "failed_attempts",
	};
	struct json_object *o = json_object_new_object(), *v;
	size_t i;

	for (i = 0; o && i < sizeof(keys) / sizeof(keys[0]); i++)
		if (json_object_object_get_ex(status, keys[i], &v))
			json_object_object_add(o, keys[i], json_object_get(v));
	return o;
}

static struct json_object *status_get(struct mr_home *h)
{
	struct json_object *o;
	char path[PATH_MAX];

	if (!h->job) {
		path_of(h, "status.json", path);
		return read_json(path);
	}
	o = mr_job_status(h->job);
	if (o)
		status_decorate(h, o);
	return o;
}

struct json_object *mr_home_status(struct mr_node *node, const char *name)
{
	struct mr_home *h = home_find(node, name);

	return h ? status_get(h) : NULL;
}

struct json_object *mr_home_status_at(struct mr_node *node, size_t i)
{
	struct mr_home *h;

	TAILQ_FOREACH(h, &node->homes, entry)
		if (!i--)
			return status_get(h);
	return NULL;
}

struct json_object *mr_homes_list(struct mr_node *node)
{
	struct json_object *list = json_object_new_array(), *o;
	struct mr_home *h;

	if (!list)
		return NULL;
	TAILQ_FOREACH(h, &node->homes, entry) {
		if (h->job) {
			o = mr_home_status(node, h->name);
			json_object_array_add(list, brief_new(o));
			json_object_put(o);
		} else {
			json_object_array_add(list, json_object_get(h->brief));
		}
	}
	return list;
}

struct json_object *mr_homes_announce(struct mr_node *node)
{
	struct json_object *list = json_object_new_array();
	struct mr_home *h;

	if (!list)
		return NULL;
	TAILQ_FOREACH(h, &node->homes, entry)
		if (h->job && !h->ended && h->share)
			json_object_array_add(list, json_object_get(h->share));
	return list;
}

/* --- the coordinator ------------------------------------------------------------ */

static void on_ended(struct mr_job *job, void *user)
{
	struct mr_home *h = user;

	(void)job;
	h->ended = true;
}

static void on_failure(struct mr_job *job, const char *line, void *user)
{
	struct mr_home *h = user;

	(void)job;
	lockstep_warn("%s: %s", h->name, line);
}

static const struct mr_job_ops job_ops = {
	.ended = on_ended,
	.failure = on_failure,
};

/* It is over: its status is kept, and then its coordinator is no longer needed. */
static void home_close(struct mr_home *h, struct json_object *status)
{
	char path[PATH_MAX];
	int ret;

	if (status) {
		status_decorate(h, status);
		path_of(h, "status.json", path);
		ret = write_json(path, status);
		if (ret)
			lockstep_err("%s: its status can't be kept: %s", h->name, strerror(-ret));
		json_object_put(h->brief);
		h->brief = brief_new(status);
		lockstep_notice("%s: %s%s%s", h->name, mr_json_str(status, "state", "over"),
				*mr_json_str(status, "reason", "") ? ": " : "",
				mr_json_str(status, "reason", ""));
	}
	if (h->job) {
		mr_server_remove(h->node->server, h->job);
		mr_job_destroy(h->job);
	}
	h->job = NULL;
	h->ended = false;
	json_object_put(h->share);
	h->share = NULL;
	h->node->announce_ns = 0;
}

static int home_open(struct mr_home *h, bool resume, char *err, size_t errlen)
{
	struct mr_job_config config;
	char journal[PATH_MAX];
	int ret;

	err[0] = '\0';
	ret = mr_spec_config(h->spec, &config);
	if (ret)
		return ret;
	path_of(h, "journal", journal);
	config.journal = journal;
	config.resume = resume;
	if (!config.memory)
		config.memory = h->node->cfg.mr.memory;
	ret = mr_job_create(h->node->base, &config, &job_ops, h, err, errlen, &h->job);
	mr_spec_config_exit(&config);
	if (!ret) {
		ret = mr_server_add(h->node->server, h->job);
		h->share = mr_spec_share(h->spec, h->name, mr_job_id(h->job));
		if (!ret && !h->share)
			ret = -ENOMEM;
	}
	if (ret) {
		if (!err[0])
			snprintf(err, errlen, "%s", strerror(-ret));
		lockstep_err("%s: %s", h->name, err);
		home_close(h, status_failed(err));
		return ret;
	}
	lockstep_notice("%s: %s", h->name, resume ? "carried on with" : "begun");
	h->node->announce_ns = 0;
	return 0;
}

/* --- folders -------------------------------------------------------------------- */

static void old_remove(struct mr_node *node)
{
	struct mr_home *h, *prev;
	char path[PATH_MAX];
	unsigned int n = 0;

	TAILQ_FOREACH(h, &node->homes, entry)
		n++;
	for (h = TAILQ_LAST(&node->homes, mr_home_head); h && n > HOMES_MAX; h = prev) {
		static const char *const files[] = { "status.json", "journal", "spec.json" };
		size_t i;

		prev = TAILQ_PREV(h, mr_home_head, entry);
		if (h->job)
			continue;
		for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
			path_of(h, files[i], path);
			unlink(path);
		}
		path_of(h, NULL, path);
		rmdir(path);
		home_free(h);
		n--;
	}
}

/* As many as there are workers now; it is a part of the job from then on. */
static void reduces_choose(struct mr_node *node, struct json_object *spec)
{
	uint64_t n = 0;
	struct mr_peer *p;

	if (json_object_object_get_ex(spec, "reduces", NULL))
		return;
	TAILQ_FOREACH(p, &node->peers, entry)
		n += !p->peer || p->up ? 1 : 0;
	n *= node->cfg.mr.slots ? node->cfg.mr.slots : 1;
	lockstep_json_add_u64(spec, "reduces", n);
}

int mr_home_submit(struct mr_node *node, struct json_object *spec, char *name, char *err,
		   size_t errlen)
{
	char path[PATH_MAX];
	struct mr_home *h;
	unsigned int n = 0;
	int ret;

	TAILQ_FOREACH(h, &node->homes, entry)
		n += h->job ? 1 : 0;
	if (n >= RUNNING_MAX) {
		snprintf(err, errlen, "%u jobs run here already: submit it on another node, or later",
			 n);
		return -EBUSY;
	}
	ret = mr_spec_check(spec, err, errlen);
	if (ret)
		return ret;
	reduces_choose(node, spec);
	h = home_new(node, node->next_number, spec);
	if (!h)
		return -ENOMEM;
	strcpy(name, h->name);
	path_of(h, NULL, path);
	ret = lockstep_file_mkdir(path, 0700);
	if (!ret) {
		path_of(h, "spec.json", path);
		ret = write_json(path, spec);
	}
	if (!ret) {
		snprintf(path, sizeof(path), "%s/jobs", node->cfg.mr.state);
		ret = lockstep_file_sync_dir(path);
	}
	if (ret) {
		snprintf(err, errlen, "%s: %s", path, strerror(-ret));
		home_free(h);
		return ret;
	}
	old_remove(node);
	return home_open(h, false, err, errlen);
}

static void home_load(struct mr_node *node, uint64_t number)
{
	struct json_object *spec, *status;
	char path[PATH_MAX], err[512];
	struct mr_home *h;

	h = home_new(node, number, NULL);
	if (!h)
		return;
	path_of(h, "spec.json", path);
	spec = read_json(path);
	if (!spec || mr_spec_check(spec, err, sizeof(err))) {
		/* without one it was never acknowledged; one that is of no use here is not for us to remove */
		if (spec)
			lockstep_err("%s: %s: %s", h->name, path, err);
		path_of(h, NULL, path);
		rmdir(path);
		json_object_put(spec);
		home_free(h);
		return;
	}
	h->spec = spec;
	path_of(h, "status.json", path);
	status = read_json(path);
	if (status) {
		h->brief = brief_new(status);
		json_object_put(status);
		return;
	}
	path_of(h, "journal", path);
	home_open(h, !access(path, F_OK), err, sizeof(err));
}

int mr_homes_load(struct mr_node *node, char *err, size_t errlen)
{
	char path[PATH_MAX];
	struct dirent *e;
	uint64_t number;
	char *end;
	DIR *dir;
	int ret;

	snprintf(path, sizeof(path), "%s/jobs", node->cfg.mr.state);
	ret = lockstep_file_mkdir(path, 0700);
	dir = ret ? NULL : opendir(path);
	if (!dir) {
		ret = ret ? ret : -errno;
		snprintf(err, errlen, "%s: %s", path, strerror(-ret));
		return ret;
	}
	node->next_number = 1;
	while ((e = readdir(dir))) {
		number = strtoull(e->d_name, &end, 10);
		if (number && !*end)
			home_load(node, number);
	}
	closedir(dir);
	return 0;
}

void mr_homes_destroy(struct mr_node *node)
{
	struct mr_home *h;

	while ((h = TAILQ_FIRST(&node->homes)))
		home_free(h);
}

void mr_homes_tick(struct mr_node *node)
{
	struct mr_home *h;

	TAILQ_FOREACH(h, &node->homes, entry)
		if (h->ended)
			home_close(h, mr_job_status(h->job));
}

void mr_homes_node_lost(struct mr_node *node, const char *name)
{
	struct mr_home *h;

	TAILQ_FOREACH(h, &node->homes, entry)
		if (h->job && !h->ended)
			mr_job_node_lost(h->job, name);
}

int mr_home_kill(struct mr_node *node, const char *name)
{
	struct mr_home *h = home_find(node, name);

	if (!h)
		return -ENOENT;
	if (!h->job || h->ended)
		return -EALREADY;
	mr_job_kill(h->job, "killed by mrctl");
	return 0;
}

int mr_home_resume(struct mr_node *node, const char *name, char *err, size_t errlen)
{
	struct mr_home *h = home_find(node, name);
	char path[PATH_MAX];

	if (!h)
		return -ENOENT;
	/* over, but not yet put away */
	if (h->job && mr_job_state(h->job) != MR_JOB_RUNNING)
		home_close(h, mr_job_status(h->job));
	if (h->job || !strcmp(mr_json_str(h->brief, "state", ""), "succeeded"))
		return -EALREADY;
	path_of(h, "status.json", path);
	if (unlink(path) && errno != ENOENT)
		return -errno;
	path_of(h, "journal", path);
	return home_open(h, !access(path, F_OK), err, errlen);
}
