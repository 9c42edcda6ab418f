// SPDX-License-Identifier: GPL-2.0
/* Bounds of every message. Both sides hold to them: what is sent is checked too. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "engine/attempt.h"
#include "rpc/rpc.h"

static bool text(const char *s, size_t max)
{
	return s && strlen(s) <= max;
}

static bool name(const char *s)
{
	return text(s, MR_RPC_NAME_MAX);
}

static bool absolute(const char *s)
{
	return text(s, MR_RPC_PATH_MAX) && s[0] == '/';
}

static bool id(const Mr__AttemptId *i)
{
	return i && i->kind >= MR__KIND__MAP && i->kind <= MR__KIND__SAMPLE;
}

static bool run(const Mr__Run *r)
{
	return r && id(r->id) && r->id->kind == MR__KIND__MAP && name(r->node) && absolute(r->path);
}

static bool counters(Mr__Counter * const *c, size_t n)
{
	size_t i;

	if (n > MR_COUNTERS_MAX)
		return false;
	for (i = 0; i < n; i++) {
		if (!text(c[i]->group, MR_NAME_MAX) || !text(c[i]->name, MR_NAME_MAX))
			return false;
	}
	return true;
}

static bool keys(const ProtobufCBinaryData *k, size_t n)
{
	size_t i, bytes = 0;

	if (n > MR_RPC_KEYS_MAX)
		return false;
	for (i = 0; i < n; i++) {
		if (k[i].len > MR_RPC_KEY_MAX)
			return false;
		bytes += k[i].len;
	}
	return bytes <= MR_RPC_KEYS_BYTES;
}

static bool check_hello(const Mr__Hello *m)
{
	return name(m->worker) && *m->worker && name(m->node) && absolute(m->work_dir) &&
	       absolute(m->output_dir) && name(m->app) && name(m->job);
}

static bool check_welcome(const Mr__Welcome *m)
{
	size_t i, bytes = 0;

	if (m->n_options > MR_RPC_OPTIONS_MAX || m->reduces > MR_REDUCES_MAX || m->codec > MR_CODEC_MAX)
		return false;
	for (i = 0; i < m->n_options; i++) {
		if (!name(m->options[i]->name))
			return false;
		bytes += strlen(m->options[i]->name) + strlen(m->options[i]->value);
	}
	/* The job's name becomes part of names of files. */
	return bytes <= MR_RPC_OPTIONS_BYTES && name(m->job) && *m->job && !strchr(m->job, '/') && m->heartbeat_ms;
}

static bool check_grant(const Mr__Grant *m)
{
	return id(m->id) && text(m->path, MR_RPC_PATH_MAX) && m->n_skip <= MR_RPC_SKIP_MAX &&
	       m->keys <= MR_RPC_KEYS_MAX;
}

static bool check_points(const Mr__Points *m)
{
	return m->total < MR_REDUCES_MAX && m->first <= m->total && m->n_keys <= m->total - m->first &&
	       keys(m->keys, m->n_keys);
}

static bool check_runs(const Mr__Runs *m)
{
	size_t i;

	if (!id(m->id) || m->n_runs > MR_RPC_RUNS_MAX)
		return false;
	for (i = 0; i < m->n_runs; i++) {
		if (!run(m->runs[i]))
			return false;
	}
	return true;
}

static bool check_commit(const Mr__Commit *m)
{
	return id(m->id) && absolute(m->path) && counters(m->counters, m->n_counters);
}

static bool check_publish(const Mr__Publish *m)
{
	/* It becomes the name of a file, in the worker's folder. */
	return id(m->id) && name(m->name) && *m->name && *m->name != '.' && !strchr(m->name, '/');
}

static bool check_done(const Mr__Done *m)
{
	return id(m->id) && (!m->run || run(m->run)) && counters(m->counters, m->n_counters) &&
	       keys(m->keys, m->n_keys);
}

static bool check_failed(const Mr__Failed *m)
{
	size_t i;

	if (m->n_bad_runs > MR_RPC_RUNS_MAX)
		return false;
	for (i = 0; i < m->n_bad_runs; i++) {
		if (!id(m->bad_runs[i]) || m->bad_runs[i]->kind != MR__KIND__MAP)
			return false;
	}
	return id(m->id) && m->error <= 0 && m->blame <= MR_BLAME_MAX && text(m->message, MR_RPC_TEXT_MAX) &&
	       text(m->log, MR_RPC_LOG_MAX);
}

static bool in_bounds(const Mr__Message *m)
{
	switch (m->of_case) {
	case MR__MESSAGE__OF_HELLO:
		return check_hello(m->hello);
	case MR__MESSAGE__OF_WELCOME:
		return check_welcome(m->welcome);
	case MR__MESSAGE__OF_REFUSE:
		return text(m->refuse->reason, MR_RPC_TEXT_MAX);
	case MR__MESSAGE__OF_HAVE:
		return run(m->have->run) && counters(m->have->counters, m->have->n_counters);
	case MR__MESSAGE__OF_READY:
		return true;
	case MR__MESSAGE__OF_GRANT:
		return check_grant(m->grant);
	case MR__MESSAGE__OF_RUNS:
		return check_runs(m->runs);
	case MR__MESSAGE__OF_POINTS:
		return check_points(m->points);
	case MR__MESSAGE__OF_HEARTBEAT:
		return id(m->heartbeat->id) && text(m->heartbeat->status, MR_RPC_TEXT_MAX);
	case MR__MESSAGE__OF_COMMIT:
		return check_commit(m->commit);
	case MR__MESSAGE__OF_PUBLISH:
		return check_publish(m->publish);
	case MR__MESSAGE__OF_DISCARD:
		return id(m->discard->id);
	case MR__MESSAGE__OF_DONE:
		return check_done(m->done);
	case MR__MESSAGE__OF_FAILED:
		return check_failed(m->failed);
	case MR__MESSAGE__OF_ACK:
		return id(m->ack->id);
	case MR__MESSAGE__OF_CANCEL:
		return id(m->cancel->id);
	case MR__MESSAGE__OF_END:
		return text(m->end->reason, MR_RPC_TEXT_MAX);
	default:
		return false;
	}
}

int mr_rpc_check(const Mr__Message *msg)
{
	return in_bounds(msg) ? 0 : -EINVAL;
}
