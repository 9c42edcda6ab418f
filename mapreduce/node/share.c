// SPDX-License-Identifier: GPL-2.0
/*
 * What runs here of a job, wherever its home is: JOB in STATE/work has
 *
 *	files/	the application and what came with it: the workers' folder
 *	run/	their run files, and regions that were fetched for them
 *	log-N	what worker N said
 *
 * It begins when a home first announces the job and ends when it no longer does.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/json.h"
#include "common/log.h"
#include "common/spawn.h"
#include "engine/runindex.h"
#include "node/node.h"
#include "node/spec.h"
#include "node/store.h"
#include "shuffle/fetch.h"
#include "worker/keep.h"

#define WORKER_NICE	10
#define RETRY_NS	(2 * LOCKSTEP_NSEC_PER_SEC)	/* after what did not work */
#define RESPAWN_NS	(200 * LOCKSTEP_NSEC_PER_MSEC)
#define RESPAWN_MAX_NS	(10 * LOCKSTEP_NSEC_PER_SEC)
#define STEADY_NS	(10 * LOCKSTEP_NSEC_PER_SEC)	/* lived so long: the next pause is short */

/**
 * struct worker - a slot and the process in it
 * @pid: 0: none
 * @began_ns: when it was started
 * @next_ns: not to be started before
 * @pause_ns: after its end
 */
struct worker {
	pid_t pid;
	uint64_t began_ns;
	uint64_t next_ns;
	uint64_t pause_ns;
};

/**
 * struct mr_share - a job here
 * @home: its home
 * @job: its name
 * @spec: the share, as announced
 * @dir: JOB in STATE/work
 * @run: in there
 * @file: the next of its files to be placed; all of them: it is ready
 * @fetch: of that one, under way
 * @fetched: where to
 * @retry_ns: not to be tried before
 * @ending: its workers are killed; it goes with the last one
 * @seen: mark of mr_shares_sync()
 */
struct mr_share {
	TAILQ_ENTRY(mr_share) entry;
	struct mr_node *node;
	struct mr_peer *home;
	char job[MR_JOB_NAME_MAX + 1];
	struct json_object *spec;
	char dir[PATH_MAX];
	char run[PATH_MAX];
	size_t file;
	struct mr_fetch *fetch;
	char fetched[PATH_MAX];
	uint64_t retry_ns;
	bool ending;
	bool seen;
	unsigned int nr_workers;
	struct worker workers[];
};

static void files_go_on(struct mr_share *s);

static struct mr_share *share_find(struct mr_node *node, const char *job)
{
	struct mr_share *s;

	TAILQ_FOREACH(s, &node->shares, entry)
		if (!strcmp(s->job, job))
			return s;
	return NULL;
}

const char *mr_share_dir(struct mr_node *node, const char *job)
{
	struct mr_share *s = share_find(node, job);

	return s && !s->ending ? s->run : NULL;
}

/* Each worker has a folder of its own for its run files (worker/keep.h). */
int mr_share_run_find(struct mr_node *node, const struct mr_region_request *request, char *dir)
{
	struct mr_share *s = share_find(node, request->job);
	char name[MR_RUN_NAME_MAX], parent[PATH_MAX], path[PATH_MAX + 256 + MR_RUN_NAME_MAX];
	struct dirent *e;
	bool found = false;
	DIR *workers;

	if (!s || s->ending)
		return -ENOENT;
	mr_run_name(request->map, request->attempt, request->epoch, name);
	if (snprintf(parent, sizeof(parent), "%s/" MR_KEEP_PREFIX "%s", s->run,
		     mr_json_str(s->spec, "id", "")) >= (int)sizeof(parent))
		return -ENAMETOOLONG;
	workers = opendir(parent);
	if (!workers)
		return -errno;
	while (!found && (e = readdir(workers))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s/%s", parent, e->d_name, name);
		found = !access(path, R_OK) &&
			snprintf(dir, PATH_MAX, "%s/%s", parent, e->d_name) < PATH_MAX;
	}
	closedir(workers);
	return found ? 0 : -ENOENT;
}

/* --- removing ------------------------------------------------------------------- */

/* A large folder takes long to remove, so that is left to another process. */
static void folder_remove(struct mr_node *node, const char *dir)
{
	char gone[PATH_MAX];
	char *args[] = { (char *)"rm", (char *)"-rf", (char *)"--", gone, NULL };
	struct lockstep_spawn spawn = { .args = args, .out = -1, .nice = WORKER_NICE };
	pid_t pid;

	do {
		snprintf(gone, sizeof(gone), "%s/work/.gone-%" PRIu64, node->cfg.mr.state,
			 ++node->removed);
	} while (!access(gone, F_OK));
	if (rename(dir, gone)) {
		if (errno != ENOENT)
			lockstep_err("%s can't be removed: %s", dir, strerror(errno));
		return;
	}
	pid = lockstep_spawn(&spawn);
	if (pid < 0)
		lockstep_err("%s can't be removed: %s", gone, strerror((int)-pid));
}

int mr_shares_clear(struct mr_node *node)
{
	char path[PATH_MAX], one[PATH_MAX + 256];
	struct dirent *e;
	DIR *dir;
	int ret;

	snprintf(path, sizeof(path), "%s/work", node->cfg.mr.state);
	ret = lockstep_file_opendir(path, 0700, &dir);
	if (ret)
		return ret;
	while ((e = readdir(dir))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(one, sizeof(one), "%s/%s", path, e->d_name);
		folder_remove(node, one);
	}
	closedir(dir);
	return 0;
}

static void share_free(struct mr_share *s)
{
	TAILQ_REMOVE(&s->node->shares, s, entry);
	json_object_put(s->spec);
	free(s);
}

/* Once no process of it lives, its folder goes. */
static void share_put(struct mr_share *s)
{
	unsigned int i;

	for (i = 0; i < s->nr_workers; i++)
		if (s->workers[i].pid)
			return;
	folder_remove(s->node, s->dir);
	lockstep_info("%s: over here", s->job);
	share_free(s);
}

static void share_end(struct mr_share *s)
{
	unsigned int i;

	s->ending = true;
	if (s->fetch)
		mr_fetch_cancel(s->fetch);
	s->fetch = NULL;
	/* with what it started: each leads a session of its own */
	for (i = 0; i < s->nr_workers; i++)
		if (s->workers[i].pid)
			kill(-s->workers[i].pid, SIGKILL);
	share_put(s);
}

/* --- workers -------------------------------------------------------------------- */

static pid_t worker_start(struct mr_share *s, unsigned int slot)
{
	char program[LOCKSTEPD_PATH_MAX + 16], socket[PATH_MAX];
	char log[PATH_MAX + 32], files[PATH_MAX + 16], app[PATH_MAX + 300], output[PATH_MAX];
	const struct lockstepd_mr_config *cfg = &s->node->cfg.mr;
	const char *name = mr_json_str(s->spec, "app", "");
	char *args[] = {
		program, (char *)"--socket", socket, (char *)"--via", s->home->name,
		(char *)"--job", (char *)mr_json_str(s->spec, "id", ""),
		(char *)"--cluster-job", s->job,
		(char *)"--node", s->node->name, (char *)"--work-dir", s->run,
		(char *)"--output-dir", output, app, NULL,
	};
	struct lockstep_spawn spawn = { .args = args, .dir = files, .nice = WORKER_NICE, .tied = true };
	pid_t pid;

	snprintf(program, sizeof(program), "%s%smrworker", cfg->programs, cfg->programs[0] ? "/" : "");
	snprintf(socket, sizeof(socket), "%s/" MR_NODE_SOCKET, cfg->run);
	snprintf(files, sizeof(files), "%s/files", s->dir);
	snprintf(app, sizeof(app), "%s%s%s", mr_spec_has_file(s->spec, name) ? files : "",
		 mr_spec_has_file(s->spec, name) ? "/" : "", name);
	snprintf(log, sizeof(log), "%s/log-%u", s->dir, slot);
	/* each node has a folder of its own in there: it may be one that they share */
	snprintf(output, sizeof(output), "%s/%s", mr_json_str(s->spec, "output", ""), s->node->name);
	/* what can't be made here is the worker's to report */
	lockstep_file_mkdir(output, 0755);
	spawn.out = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (spawn.out < 0)
		return -errno;
	pid = lockstep_spawn(&spawn);
	close(spawn.out);
	if (pid < 0)
		lockstep_err("%s can't be started: %s; see [mapreduce] programs in lockstepd.conf",
			     program, strerror((int)-pid));
	return pid;
}

static void workers_tick(struct mr_share *s, uint64_t now)
{
	struct worker *w;
	unsigned int i;
	pid_t pid;

	for (i = 0; i < s->nr_workers; i++) {
		w = &s->workers[i];
		if (w->pid || now < w->next_ns)
			continue;
		pid = worker_start(s, i);
		w->pid = pid > 0 ? pid : 0;
		w->began_ns = now;
		w->next_ns = now + RETRY_NS;
	}
}

static void worker_ended(struct mr_share *s, struct worker *w, int status)
{
	uint64_t now = lockstep_clock_ns();

	if (!s->ending && (!WIFEXITED(status) || WEXITSTATUS(status)))
		lockstep_info("%s: worker %d %s %d", s->job, (int)w->pid,
			      WIFEXITED(status) ? "ended with status" : "was killed by signal",
			      WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	/* what it had started, a streaming command say, does not outlive it */
	kill(-w->pid, SIGKILL);
	w->pid = 0;
	if (now - w->began_ns > STEADY_NS || !w->pause_ns)
		w->pause_ns = RESPAWN_NS;
	w->next_ns = now + w->pause_ns;
	w->pause_ns = w->pause_ns * 2 < RESPAWN_MAX_NS ? w->pause_ns * 2 : RESPAWN_MAX_NS;
}

void mr_shares_reap(struct mr_node *node)
{
	struct mr_share *s, *next;
	unsigned int i;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (s = TAILQ_FIRST(&node->shares); s; s = next) {
			next = TAILQ_NEXT(s, entry);
			for (i = 0; i < s->nr_workers; i++)
				if (s->workers[i].pid == pid)
					break;
			if (i == s->nr_workers)
				continue;
			worker_ended(s, &s->workers[i], status);
			if (s->ending)
				share_put(s);
			break;
		}
	}
}

/* --- files ---------------------------------------------------------------------- */

static void files_failed(struct mr_share *s, const char *name, const char *text)
{
	lockstep_err("%s: file %s: %s", s->job, name, text);
	s->retry_ns = lockstep_clock_ns() + RETRY_NS;
}

static void on_fetched(void *user, enum mr_fetch_fault fault, const struct mr_head *head,
		       const char *text)
{
	struct mr_share *s = user;
	struct json_object *file = mr_json_at(s->spec, "files", s->file);
	uint8_t content[MR_CONTENT_SIZE];
	int ret;

	(void)head;
	s->fetch = NULL;
	if (fault) {
		files_failed(s, mr_json_str(file, "name", ""), text);
		return;
	}
	mr_content_parse(mr_json_str(file, "sha256", ""), content);
	ret = mr_store_add(s->node, s->fetched, content);
	if (ret)
		files_failed(s, mr_json_str(file, "name", ""), strerror(-ret));
	else
		files_go_on(s);
}

static int file_fetch(struct mr_share *s, struct json_object *file, const uint8_t *content)
{
	uint8_t request[MR_REQUEST_MAX];
	struct mr_fetch_config config = {
		.kind = MR_STREAM_FILE,
		.request = request,
		.request_len = mr_file_request_encode(content, request),
		.max = mr_json_u64(file, "size", 0),
		.path = s->fetched,
		.done = on_fetched,
		.user = s,
	};

	if (!s->home->fetcher)
		return -ENOENT;		/* this is the home, and has lost it */
	mr_store_temporary(s->node, s->fetched);
	return mr_fetch_begin(s->home->fetcher, &config, &s->fetch);
}

/* Place one file after another, until one has to be fetched. */
static void files_go_on(struct mr_share *s)
{
	uint8_t content[MR_CONTENT_SIZE];
	char path[PATH_MAX + 300];
	struct json_object *file;
	const char *name;
	int ret;

	for (; s->file < mr_json_len(s->spec, "files"); s->file++) {
		file = mr_json_at(s->spec, "files", s->file);
		name = mr_json_str(file, "name", "");
		mr_content_parse(mr_json_str(file, "sha256", ""), content);
		snprintf(path, sizeof(path), "%s/files/%s", s->dir, name);
		ret = mr_store_place(s->node, content, path, mr_json_bool(file, "executable"));
		if (ret == -ENOENT || ret == -EILSEQ) {
			ret = file_fetch(s, file, content);
			if (!ret)
				return;
		}
		if (ret) {
			files_failed(s, name, strerror(-ret));
			return;
		}
	}
}

/* --- life ----------------------------------------------------------------------- */

static void share_begin(struct mr_peer *home, struct json_object *spec)
{
	uint64_t n = home->node->cfg.mr.slots, most = mr_json_u64(spec, "workers", 0);
	struct mr_share *s;
	char path[PATH_MAX + 16];
	int ret;

	n = most && most < n ? most : n;
	s = calloc(1, sizeof(*s) + n * sizeof(s->workers[0]));
	if (!s)
		return;
	s->node = home->node;
	s->home = home;
	s->spec = json_object_get(spec);
	s->seen = true;
	s->nr_workers = (unsigned int)n;
	snprintf(s->job, sizeof(s->job), "%s", mr_json_str(spec, "job", ""));
	snprintf(s->dir, sizeof(s->dir), "%s/work/%s", s->node->cfg.mr.state, s->job);
	TAILQ_INSERT_TAIL(&s->node->shares, s, entry);
	if (snprintf(s->run, sizeof(s->run), "%s/run", s->dir) >= (int)sizeof(s->run)) {
		share_free(s);
		return;
	}
	snprintf(path, sizeof(path), "%s/files", s->dir);
	ret = lockstep_file_mkdir(path, 0700);
	if (!ret)
		ret = lockstep_file_mkdir(s->run, 0700);
	if (ret) {
		lockstep_err("%s: %s: %s", s->job, s->dir, strerror(-ret));
		share_free(s);	/* the next announcement tries again */
		return;
	}
	lockstep_info("%s: taken part in, with %u workers", s->job, s->nr_workers);
	files_go_on(s);
}

void mr_shares_sync(struct mr_node *node, struct mr_peer *home, struct json_object *jobs)
{
	size_t i, n = json_object_array_length(jobs);
	struct mr_share *s, *next;
	char name[MR_JOB_NAME_MAX + 1];

	TAILQ_FOREACH(s, &node->shares, entry)
		s->seen = false;
	for (i = 0; i < n && node->cfg.mr.slots; i++) {
		struct json_object *spec = json_object_array_get_idx(jobs, i);

		if (!mr_share_check(spec))
			continue;
		mr_job_name_home(mr_json_str(spec, "job", ""), name, sizeof(name));
		if (strcmp(name, home->name))
			continue;	/* nobody speaks for another node */
		s = share_find(node, mr_json_str(spec, "job", ""));
		if (s)
			s->seen = true;
		else
			share_begin(home, spec);
	}
	for (s = TAILQ_FIRST(&node->shares); s; s = next) {
		next = TAILQ_NEXT(s, entry);
		if (s->home == home && !s->seen && !s->ending)
			share_end(s);
	}
}

void mr_shares_tick(struct mr_node *node, uint64_t now)
{
	struct mr_share *s;

	TAILQ_FOREACH(s, &node->shares, entry) {
		if (s->ending || s->fetch)
			continue;
		if (s->file == mr_json_len(s->spec, "files"))
			workers_tick(s, now);
		else if (now >= s->retry_ns)
			files_go_on(s);
	}
}

/* This process ends; what is left is cleared by the next one. */
void mr_shares_destroy(struct mr_node *node)
{
	struct mr_share *s;
	unsigned int i;

	while ((s = TAILQ_FIRST(&node->shares))) {
		for (i = 0; i < s->nr_workers; i++)
			if (s->workers[i].pid)
				kill(-s->workers[i].pid, SIGKILL);
		share_free(s);
	}
}
