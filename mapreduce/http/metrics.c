// SPDX-License-Identifier: GPL-2.0
#include "metrics.h"

#include <inttypes.h>
#include <string.h>

#include <event2/buffer.h>
#include <json-c/json.h>

#define PREFIX	"lockstep_mapreduce_"

/* What one job says of a metric. */
typedef void sample_fn(struct json_object *job, const char *name, struct evbuffer *out);

static struct json_object *field(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	return o && json_object_object_get_ex(o, key, &v) ? v : NULL;
}

static const char *text(struct json_object *o, const char *key)
{
	struct json_object *v = field(o, key);

	return v ? json_object_get_string(v) : "";
}

static int64_t number(struct json_object *o, const char *key)
{
	return json_object_get_int64(field(o, key));
}

/* A label's value: backslash, quote and newline are escaped. */
static void label(struct evbuffer *out, const char *name, const char *value)
{
	evbuffer_add_printf(out, "%s=\"", name);
	for (; *value; value++) {
		if (*value == '\n')
			evbuffer_add(out, "\\n", 2);
		else if (*value == '"' || *value == '\\')
			evbuffer_add_printf(out, "\\%c", *value);
		else
			evbuffer_add(out, value, 1);
	}
	evbuffer_add(out, "\"", 1);
}

/* name{job="...",LABEL="..." ... up to the labels' end, which the caller writes */
static void begin(struct json_object *job, const char *name, struct evbuffer *out)
{
	evbuffer_add_printf(out, PREFIX "%s{", name);
	label(out, "job", text(job, "id"));
}

static void also(struct evbuffer *out, const char *name, const char *value)
{
	evbuffer_add(out, ",", 1);
	label(out, name, value);
}

static void end(struct evbuffer *out, int64_t value)
{
	evbuffer_add_printf(out, "} %" PRId64 "\n", value);
}

static void job_info(struct json_object *job, const char *name, struct evbuffer *out)
{
	begin(job, name, out);
	also(out, "name", text(job, "name"));
	also(out, "app", text(job, "app"));
	also(out, "state", text(job, "state"));
	also(out, "phase", text(job, "phase"));
	end(out, 1);
}

static void job_elapsed(struct json_object *job, const char *name, struct evbuffer *out)
{
	begin(job, name, out);
	evbuffer_add_printf(out, "} %.3f\n", (double)number(job, "elapsed_ms") / 1000);
}

static void each_phase(struct json_object *job, const char *name, struct evbuffer *out,
		       const char *label_name, const char *const keys[][2], size_t nr)
{
	struct json_object *phases = field(job, "phases"), *phase;
	size_t n = phases ? json_object_array_length(phases) : 0, i, k;

	for (i = 0; i < n; i++) {
		phase = json_object_array_get_idx(phases, i);
		for (k = 0; k < nr; k++) {
			begin(job, name, out);
			also(out, "phase", text(phase, "name"));
			also(out, label_name, keys[k][0]);
			end(out, number(phase, keys[k][1]));
		}
	}
}

static void tasks(struct json_object *job, const char *name, struct evbuffer *out)
{
	static const char *const keys[][2] = {
		{ "idle", "idle" }, { "running", "running" }, { "done", "done" },
	};

	each_phase(job, name, out, "state", keys, 3);
}

static void bytes(struct json_object *job, const char *name, struct evbuffer *out)
{
	static const char *const keys[][2] = { { "in", "in_bytes" }, { "out", "out_bytes" } };

	each_phase(job, name, out, "direction", keys, 2);
}

static void records(struct json_object *job, const char *name, struct evbuffer *out)
{
	static const char *const keys[][2] = { { "in", "in_records" }, { "out", "out_records" } };

	each_phase(job, name, out, "direction", keys, 2);
}

static void workers(struct json_object *job, const char *name, struct evbuffer *out)
{
	static const char *const states[] = { "idle", "running", "silent", "gone" };
	struct json_object *all = field(job, "workers");
	size_t n = all ? json_object_array_length(all) : 0, i, s;

	for (s = 0; s < sizeof(states) / sizeof(states[0]); s++) {
		int64_t count = 0;

		for (i = 0; i < n; i++)
			if (!strcmp(text(json_object_array_get_idx(all, i), "state"), states[s]))
				count++;
		begin(job, name, out);
		also(out, "state", states[s]);
		end(out, count);
	}
}

static void failed_attempts(struct json_object *job, const char *name, struct evbuffer *out)
{
	begin(job, name, out);
	end(out, number(job, "failed_attempts"));
}

static void scheduler_bytes(struct json_object *job, const char *name, struct evbuffer *out)
{
	begin(job, name, out);
	end(out, number(field(job, "scheduler"), "bytes"));
}

static void counters(struct json_object *job, const char *name, struct evbuffer *out)
{
	struct json_object *groups = field(job, "counters");

	if (!groups)
		return;
	json_object_object_foreach(groups, group, names) {
		json_object_object_foreach(names, counter, value) {
			begin(job, name, out);
			also(out, "group", group);
			also(out, "name", counter);
			end(out, json_object_get_int64(value));
		}
	}
}

/* A metric's samples stand together, whatever the number of jobs. */
static const struct {
	const char *name;
	const char *type;
	const char *help;
	sample_fn *sample;
} metrics[] = {
	{ "job_info", "gauge", "A job; its state and phase are labels.", job_info },
	{ "job_elapsed_seconds", "gauge", "Time since the job began, or that it took.", job_elapsed },
	{ "tasks", "gauge", "Tasks by phase and state.", tasks },
	{ "bytes_total", "counter", "Bytes read and written by tasks that are done.", bytes },
	{ "records_total", "counter", "Records read and written by tasks that are done.", records },
	{ "workers", "gauge", "Workers by state.", workers },
	{ "failed_attempts_total", "counter", "Attempts of tasks that failed.", failed_attempts },
	{ "scheduler_bytes", "gauge", "Memory of the scheduler's state.", scheduler_bytes },
	{ "counter", "gauge", "Counters of the application, of tasks that are done.", counters },
};

void mr_metrics_write(struct json_object *jobs, struct evbuffer *out)
{
	size_t n = json_object_array_length(jobs), m, i;

	for (m = 0; m < sizeof(metrics) / sizeof(metrics[0]); m++) {
		evbuffer_add_printf(out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n",
				    metrics[m].name, metrics[m].help, metrics[m].name, metrics[m].type);
		for (i = 0; i < n; i++)
			metrics[m].sample(json_object_array_get_idx(jobs, i), metrics[m].name, out);
	}
}
