/* SPDX-License-Identifier: GPL-2.0 */
/* Jobs in Prometheus' text format, version 0.0.4. */
#ifndef LOCKSTEP_MR_METRICS_H
#define LOCKSTEP_MR_METRICS_H

struct evbuffer;
struct json_object;

/**
 * mr_metrics_write() - write all metrics
 * @jobs: array of jobs, as in coordinator/job.h (Status)
 * @out: receives the text
 */
void mr_metrics_write(struct json_object *jobs, struct evbuffer *out);

#endif
