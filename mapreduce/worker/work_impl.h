/* SPDX-License-Identifier: GPL-2.0 */
/* What the two threads of a worker share; see work.h. */
#ifndef LOCKSTEP_MR_WORK_IMPL_H
#define LOCKSTEP_MR_WORK_IMPL_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "rpc/rpc.h"
#include "worker/keep.h"
#include "worker/log.h"
#include "worker/work.h"

struct event;
struct event_base;
struct lockstep_conn;
struct lockstep_transport;
struct mr_client;

/* What Welcome told. One that the task thread uses stays, also when another job comes. */
struct mr_job_info {
	SLIST_ENTRY(mr_job_info) all;
	Mr__Welcome *welcome;		/* unpacked from a copy */
	struct mr_option *options;
	struct mr_bytes *points;
	uint32_t nr_points;
	struct mr_keep keep;
};

/* What the coordinator says to the last message. */
enum mr_answer_kind {
	MR_ANSWER_NONE		= 0,
	MR_ANSWER_ACK		= 1,
	MR_ANSWER_PUBLISH	= 2,
	MR_ANSWER_DISCARD	= 3,
};

/**
 * struct mr_work - a worker
 *
 * The task thread takes grants and waits for answers; the network thread has all
 * that is below "network". What is between is under @lock, and @changed tells of it.
 */
struct mr_work {
	const struct mr_work_config *config;
	char name[MR_RPC_NAME_MAX + 1];
	struct mr_log log;
	struct lockstep_transport *transport;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct mr_job_info *info;	/* of the job that is worked for */
	Mr__Message *grant;		/* not yet taken */
	Mr__AttemptId current;		/* what was granted last */
	bool busy;			/* and is not yet done with */
	bool running;			/* engine and user code are at it */
	bool cancelled;
	bool reconnected;		/* to another job: nothing of the old one matters */
	Mr__Run **runs;			/* of the current reduce, by map */
	uint32_t nr_runs;
	uint32_t have_runs;
	enum mr_answer_kind answer;
	char publish[MR_RPC_NAME_MAX + 1];
	uint8_t *said;			/* the message that waits for an answer */
	size_t said_len;
	bool idle;
	bool over;
	int result;			/* of mr_work_run() */
	char reason[MR_RPC_TEXT_MAX + 1];

	/* network */
	pthread_t thread;
	struct event_base *base;
	struct lockstep_conn *conn;
	struct mr_client *client;	/* for other nodes' regions, or NULL */
	struct event *retry;
	struct event *beat;
	struct event *gasp;
	struct event *grace;
	uint64_t lost_ns;
	bool welcomed;
	SLIST_HEAD(, mr_job_info) infos;
};

/* link.c: the network thread */
int mr_link_start(struct mr_work *w, char *err, size_t errlen);
void mr_link_stop(struct mr_work *w);
void mr_link_idle(struct mr_work *w);	/* from the task thread: wants a grant */
/* From the task thread: say it, and wait for the answer. MR_ANSWER_NONE: it is over. */
enum mr_answer_kind mr_link_say(struct mr_work *w, const Mr__Message *msg);
void mr_link_send(struct mr_work *w, const Mr__Message *msg);	/* network thread */

/* info.c */
struct mr_job_info *mr_job_info_create(struct mr_work *w, const Mr__Welcome *welcome);
int mr_job_info_points(struct mr_job_info *info, const Mr__Points *points);
void mr_job_info_destroy(struct mr_job_info *info);

/* task.c: one grant, on the task thread */
void mr_work_task(struct mr_work *w, struct mr_job_info *info, const Mr__Grant *grant);

/* gasp.c */
int mr_gasp_init(struct mr_work *w);
void mr_gasp_heard(struct mr_work *w);	/* network thread: the coordinator knows; the process may die */

#endif
