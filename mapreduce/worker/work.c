// SPDX-License-Identifier: GPL-2.0
#include "worker/work.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "worker/work_impl.h"

/* The next grant, or NULL: it is over. */
static Mr__Message *await_grant(struct mr_work *w, struct mr_job_info **info)
{
	Mr__Message *msg = NULL;

	pthread_mutex_lock(&w->lock);
	w->busy = false;
	w->running = false;
	w->reconnected = false;
	w->idle = true;
	mr_link_idle(w);
	while (!w->grant && !w->over)
		pthread_cond_wait(&w->changed, &w->lock);
	if (!w->over) {
		msg = w->grant;
		w->grant = NULL;
		*info = w->info;
	}
	pthread_mutex_unlock(&w->lock);
	return msg;
}

int mr_work_run(const struct mr_work_config *config, char *err, size_t errlen)
{
	static struct mr_work w;
	struct mr_job_info *info;
	Mr__Message *msg;
	int ret;

	w.config = config;
	SLIST_INIT(&w.infos);
	pthread_mutex_init(&w.lock, NULL);
	pthread_cond_init(&w.changed, NULL);
	snprintf(w.name, sizeof(w.name), "%s:%d:%llu", config->node, getpid(),
		 (unsigned long long)(lockstep_clock_ns() / LOCKSTEP_NSEC_PER_MSEC));
	snprintf(err, errlen, "out of memory");
	ret = mr_log_init(&w.log);
	if (!ret)
		ret = mr_link_start(&w, err, errlen);
	if (ret)
		return ret;
	while ((msg = await_grant(&w, &info))) {
		mr_work_task(&w, info, msg->grant);
		mr_rpc_free(msg);
	}
	mr_link_stop(&w);
	mr_keep_sweep(config->output_dir);
	while ((info = SLIST_FIRST(&w.infos))) {
		SLIST_REMOVE_HEAD(&w.infos, all);
		mr_job_info_destroy(info);
	}
	snprintf(err, errlen, "%s", w.reason);
	return w.result;
}
