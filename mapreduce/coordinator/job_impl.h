/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of a job share; see job.h. */
#ifndef LOCKSTEP_MR_JOB_IMPL_H
#define LOCKSTEP_MR_JOB_IMPL_H

#include <sys/queue.h>

#include "coordinator/tally.h"
#include "coordinator/job.h"
#include "coordinator/journal.h"
#include "coordinator/sched.h"
#include "common/uuid.h"
#include "rpc/rpc.h"

struct event;
struct lockstep_conn;

#define MR_SAMPLE_SPLITS	16	/* splits that are sampled for range points */
#define MR_SAMPLE_KEYS		2048	/* keys of each */

/* Phases in their order; for status and for what is done next. */
enum mr_phase {
	MR_PHASE_STAT	= 0,
	MR_PHASE_SAMPLE	= 1,
	MR_PHASE_MAP	= 2,
	MR_PHASE_REDUCE	= 3,
	MR_PHASE_END	= 4,
	__MR_PHASE_LAST,
	MR_PHASE_MAX	= __MR_PHASE_LAST - 1
};

struct mr_input_file {
	char *path;
	uint32_t node;		/* or MR_NONE */
	uint64_t size;
	uint64_t mtime_ns;
	bool known;
};

/* Records that a task skips, ascending. */
struct mr_skips {
	uint64_t *records;
	uint32_t nr;
};

/**
 * struct mr_map - a map
 * @input: its file
 * @offset: of its split
 * @len: of its split
 * @run: where its output is, while it is done
 * @node: node of @run
 */
struct mr_map {
	uint32_t input;
	uint64_t offset;
	uint64_t len;
	struct {
		char *path;
		uint64_t epoch;
		uint64_t index;
		uint64_t bytes;
		uint32_t attempt;
		uint32_t node;
	} run;
	Mr__Totals *totals;
	struct mr_tally *tally;
	struct mr_skips skips;
};

/* A temporary output that its worker was told to publish. */
struct mr_commit {
	SLIST_ENTRY(mr_commit) all;
	char *node;
	char *dir;
	Mr__Commit *commit;
};

/**
 * struct mr_out - an output: of a reduce, or of a map when there are none
 * @commits: who was told to publish it
 * @winner: the one of them that is the output, once the task is done
 */
struct mr_out {
	SLIST_HEAD(, mr_commit) commits;
	struct mr_commit *winner;
	Mr__Totals *totals;
	struct mr_tally *tally;
	struct mr_skips skips;
};

/* A folder that workers write outputs to. */
struct mr_folder {
	uint32_t node;
	char *path;
	bool checked;
	struct mr_worker *checker;	/* who removes old outputs there */
};

/**
 * struct mr_worker - a connected worker
 * @conn: its connection
 * @slot: its number in the scheduler
 * @waiting: for another one to check its folder
 * @checking: its folder
 * @points: it has the range points
 */
struct mr_worker {
	TAILQ_ENTRY(mr_worker) all;
	struct mr_job *job;
	struct lockstep_conn *conn;
	char *name;
	uint32_t slot;
	uint32_t node;
	uint32_t folder;
	bool waiting;
	bool checking;
	bool ready;
	bool points;
	bool ended;
	uint32_t done;
	uint32_t failed;
	uint64_t heard_ns;
	uint64_t granted_ns;
	uint64_t in_bytes;
	uint64_t in_total;
	uint64_t records;
	char status[128];
};

/* An answer that waits for the journal. */
struct mr_answer {
	STAILQ_ENTRY(mr_answer) all;
	struct mr_worker *worker;
	Mr__Message *msg;
};

struct mr_failure {
	uint64_t ms;
	Mr__Kind kind;
	uint32_t number;
	uint32_t attempt;
	uint64_t epoch;
	char *worker;
	uint32_t node;
	const char *blame;
	int error;
	char *message;
	uint64_t record;
	bool user_code;
	char *log;
};

struct mr_event {
	uint64_t ms;
	char name[24];
	char text[160];
};

struct mr_phase_time {
	uint64_t began_ns;
	uint64_t ended_ns;
};

struct mr_job {
	struct event_base *base;
	const struct mr_job_ops *ops;
	void *user;

	/* configuration */
	char *name;
	char id[LOCKSTEP_UUID_STRLEN + 1];
	struct mr_input_file *inputs;
	uint32_t nr_inputs;
	uint32_t inputs_room;		/* while a journal is read: how many there will be */
	uint32_t reduces;
	uint64_t memory;
	enum mr_codec codec;
	struct mr_option *options;
	size_t nr_options;
	uint64_t split;
	uint32_t task_timeout_ms;
	bool force;
	bool range;

	/* the application, as the first worker has it */
	char *app;
	uint64_t app_hash;
	bool whole;

	/* state */
	struct mr_sched *sched;
	struct mr_journal *journal;
	uint64_t epoch;
	enum mr_job_state state;
	enum mr_phase phase;
	char reason[MR_ERROR_MAX];
	bool planned;
	bool granted;			/* a map or reduce was, once */
	uint64_t hold_until;		/* nothing is granted before: workers come back with what they have */
	uint32_t nr_maps;
	struct mr_map *maps;
	uint32_t nr_outs;
	struct mr_out *outs;
	uint32_t nr_samples;
	uint32_t *samples;		/* maps that are sampled */
	struct mr_bytes *keys;		/* samples, then range points */
	uint32_t nr_keys;

	/* who and where */
	char **nodes;
	uint32_t nr_nodes;
	struct mr_folder *folders;
	uint32_t nr_folders;
	TAILQ_HEAD(, mr_worker) workers;
	struct mr_worker **slots;	/* by number in the scheduler */
	uint32_t nr_slots;

	/* timers */
	struct event *timer;
	struct event *sync;
	struct event *over;
	STAILQ_HEAD(, mr_answer) answers;

	/* for status */
	uint64_t began_ns;
	uint64_t ended_ns;
	uint64_t began_real;		/* seconds since 1970 */
	struct mr_tallies counters;
	struct mr_phase_time times[MR_PHASE_MAX + 1];
	Mr__Totals sums[2];		/* of maps, of reduces, that are done */
	struct mr_failure failures[MR_JOB_FAILURES];	/* see mr_failure_slot() */
	uint64_t nr_failures;
	struct mr_event events[MR_JOB_EVENTS];
	uint64_t nr_events;
	struct { Mr__Kind kind; uint32_t number; uint64_t record; } skipped[MR_JOB_FAILURES];
	uint32_t nr_skipped;
};

static inline bool mr_job_has_outputs(const struct mr_job *job, Mr__Kind kind)
{
	return kind == (job->reduces ? MR__KIND__REDUCE : MR__KIND__MAP);
}

/* Where the nth failure is kept: the first ones for good, the later ones in turn. */
static inline uint32_t mr_failure_slot(uint64_t n)
{
	const uint32_t half = MR_JOB_FAILURES / 2;

	return n < half ? (uint32_t)n : half + (uint32_t)((n - half) % half);
}

/* job.c */
void mr_job_event(struct mr_job *job, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void mr_job_end(struct mr_job *job, enum mr_job_state state, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void mr_job_advance(struct mr_job *job);	/* to the next phase, when this one is done */
void mr_job_kick(struct mr_job *job);		/* do what the scheduler decides */
uint32_t mr_job_node(struct mr_job *job, const char *name);	/* its number; MR_NONE: no memory */

/* plan.c: 0 or -errno, with the job's reason set */
int mr_plan_splits(struct mr_job *job);
int mr_plan_samples(struct mr_job *job);
int mr_plan_points(struct mr_job *job);
int mr_plan_start(struct mr_job *job);		/* maps and reduces come into play */
int mr_plan_key(struct mr_job *job, const void *data, size_t len);

/* output.c */
int mr_out_commit(struct mr_job *job, const char *node, const char *dir, const Mr__Commit *commit);
int mr_out_done(struct mr_job *job, uint32_t number, const char *node, const char *dir, uint64_t inode,
		const Mr__Totals *totals);	/* -ENOENT: nobody committed it */
void mr_out_exit(struct mr_out *out);
void mr_out_name(uint32_t number, char *name, size_t size);
int mr_map_set(struct mr_job *job, uint32_t number, uint32_t node, const Mr__Run *run, const Mr__Totals *totals,
	       Mr__Counter * const *counters, size_t nr_counters);
void mr_map_exit(struct mr_map *map);
int mr_skip_add(struct mr_job *job, Mr__Kind kind, uint32_t number, uint64_t record);
void mr_totals_replace(Mr__Totals *sum, Mr__Totals **old, const Mr__Totals *totals);

/* replay.c */
int mr_replay_create(struct mr_job *job, const struct mr_job_config *config, char *err, size_t errlen);
int mr_replay_open(struct mr_job *job, const struct mr_job_config *config, char *err, size_t errlen);
void mr_replay_add(struct mr_job *job, const Mr__Record *record);

#define MR_RECORD(of, member, value)					\
	(&(Mr__Record){ PROTOBUF_C_MESSAGE_INIT(&mr__record__descriptor),	\
			.of_case = MR__RECORD__OF_##of, { .member = (value) } })

/* worker.c: what comes from workers, and goes to them */
int mr_worker_create(struct mr_job *job, struct lockstep_conn *conn, const Mr__Hello *hello, char *reason,
		     size_t len, struct mr_worker **worker);
void mr_worker_destroy(struct mr_worker *w);
int mr_worker_message(struct mr_worker *w, const Mr__Message *msg);	/* -EPROTO: it makes no sense */
void mr_worker_send(struct mr_worker *w, const Mr__Message *msg);
void mr_worker_answers(struct mr_job *job);	/* the journal is synced: send what waited */
struct mr_worker *mr_worker_find(struct mr_job *job, uint32_t slot);

/* grant.c */
void mr_worker_grant(struct mr_worker *w, const struct mr_decision *decision);
void mr_worker_cancel(struct mr_worker *w, const struct mr_decision *decision);
void mr_worker_end(struct mr_worker *w);
void mr_grant_run(struct mr_job *job, uint32_t number);

/* folder.c */
int mr_folder_find(struct mr_job *job, uint32_t node, const char *path, uint32_t *folder);
void mr_folder_ready(struct mr_worker *w);
void mr_folder_checked(struct mr_worker *w);
void mr_folder_failed(struct mr_worker *w, const Mr__Failed *m);
void mr_folder_left(struct mr_worker *w);
bool mr_job_folders_checked(const struct mr_job *job);	/* any */

#endif
