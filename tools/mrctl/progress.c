// SPDX-License-Identifier: GPL-2.0
#include "progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "common/text.h"

#define LINES_MS	5000	/* between lines where there is no terminal */
#define COUNTERS_SHOWN	50
#define LINE_MAX_TEXT	256

/* --- words ------------------------------------------------------------------ */

char *mrctl_time_text(uint64_t ms, char *out)
{
	unsigned long long s = ms / 1000;

	if (s < 60)
		snprintf(out, MRCTL_TEXT_MAX, "%.1f s", (double)ms / 1000);
	else if (s < 3600)
		snprintf(out, MRCTL_TEXT_MAX, "%llu min %llu s", s / 60, s % 60);
	else
		snprintf(out, MRCTL_TEXT_MAX, "%llu h %llu min", s / 3600, s / 60 % 60);
	return out;
}

struct json_object *mrctl_field(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	return o && json_object_object_get_ex(o, key, &v) ? v : NULL;
}

const char *mrctl_text(struct json_object *o, const char *key)
{
	struct json_object *v = mrctl_field(o, key);

	return v ? json_object_get_string(v) : "";
}

uint64_t mrctl_number(struct json_object *o, const char *key)
{
	return json_object_get_uint64(mrctl_field(o, key));
}

/* --- how far ---------------------------------------------------------------- */

void mrctl_progress_init(struct mrctl_progress *progress, bool quiet)
{
	memset(progress, 0, sizeof(*progress));
	progress->quiet = quiet;
	progress->terminal = isatty(STDERR_FILENO);
}

static void line_clear(struct mrctl_progress *progress)
{
	if (progress->line)
		fputs("\r\033[K", stderr);
	progress->line = false;
}

/* "map 12/40, reduce 0/4, 35.0 MiB/s, 2 running, 1 failed, 3.2 s" */
static void line_make(struct json_object *status, char *line, size_t size)
{
	struct json_object *phases = mrctl_field(status, "phases"), *phase;
	size_t n = phases ? json_object_array_length(phases) : 0, len = 0, i;
	const char *now = mrctl_text(status, "phase");
	uint64_t running = 0, rate = 0, failed = mrctl_number(status, "failed_attempts");
	char text[MRCTL_TEXT_MAX];

	*line = '\0';
	for (i = 0; i < n && len < size; i++) {
		const char *name;

		phase = json_object_array_get_idx(phases, i);
		name = mrctl_text(phase, "name");
		running += mrctl_number(phase, "running");
		if (!strcmp(name, now))
			rate = mrctl_number(phase, "in_rate");
		if (mrctl_number(phase, "tasks") &&
		    (!strcmp(name, "map") || !strcmp(name, "reduce") || !strcmp(name, now)))
			len += snprintf(line + len, size - len, "%s %llu/%llu, ", name,
					(unsigned long long)mrctl_number(phase, "done"),
					(unsigned long long)mrctl_number(phase, "tasks"));
	}
	if (rate && len < size)
		len += snprintf(line + len, size - len, "%s/s, ", lockstep_text_bytes(rate, text, sizeof(text)));
	if (running && len < size)
		len += snprintf(line + len, size - len, "%llu running, ", (unsigned long long)running);
	if (failed && len < size)
		len += snprintf(line + len, size - len, "%llu failed, ", (unsigned long long)failed);
	if (len < size)
		snprintf(line + len, size - len, "%s",
			 mrctl_time_text(mrctl_number(status, "elapsed_ms"), text));
}

void mrctl_progress_show(struct mrctl_progress *progress, struct json_object *status)
{
	uint64_t ms = mrctl_number(status, "elapsed_ms");
	char line[LINE_MAX_TEXT];

	if (progress->quiet)
		return;
	if (!progress->terminal && ms < progress->shown_ms + LINES_MS)
		return;
	progress->shown_ms = ms;
	line_make(status, line, sizeof(line));
	if (progress->terminal) {
		fprintf(stderr, "\r%.79s\033[K", line);
		progress->line = true;
	} else {
		fprintf(stderr, "mrctl: %s\n", line);
	}
}

void mrctl_progress_print(struct mrctl_progress *progress, const char *format, ...)
{
	va_list args;

	line_clear(progress);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

/* --- how it ended ----------------------------------------------------------- */

static void counters_print(struct json_object *groups)
{
	unsigned int n = 0;

	if (!groups)
		return;
	json_object_object_foreach(groups, group, names) {
		json_object_object_foreach(names, name, value) {
			if (n++ < COUNTERS_SHOWN)
				fprintf(stderr, "  %s: %s = %s\n", group, name, json_object_get_string(value));
		}
	}
	if (n > COUNTERS_SHOWN)
		fprintf(stderr, "  and %u counters more; --json shows all\n", n - COUNTERS_SHOWN);
}

static void skipped_print(struct json_object *skipped)
{
	size_t n = skipped ? json_object_array_length(skipped) : 0, i;

	for (i = 0; i < n; i++) {
		struct json_object *s = json_object_array_get_idx(skipped, i);

		fprintf(stderr, "  skipped: record %llu of %s %llu\n",
			(unsigned long long)mrctl_number(s, "record"), mrctl_text(s, "kind"),
			(unsigned long long)mrctl_number(s, "number"));
	}
}

/* Folder of the outputs, how many and how long. */
static void outputs_print(struct json_object *outputs)
{
	size_t n = outputs ? json_object_array_length(outputs) : 0, i;
	char text[MRCTL_TEXT_MAX];
	uint64_t bytes = 0;
	const char *path;

	if (!n)
		return;
	for (i = 0; i < n; i++)
		bytes += mrctl_number(json_object_array_get_idx(outputs, i), "size");
	path = mrctl_text(json_object_array_get_idx(outputs, 0), "path");
	fprintf(stderr, "  %zu output%s, %s: %s%s\n", n, n == 1 ? "" : "s",
		lockstep_text_bytes(bytes, text, sizeof(text)), path, n == 1 ? "" : " ...");
}

/* The log of the attempt that failed first. */
static void first_failure_print(struct json_object *failures)
{
	struct json_object *first = failures && json_object_array_length(failures) ?
				    json_object_array_get_idx(failures, 0) : NULL;
	const char *log = mrctl_text(first, "log"), *end;

	if (!first)
		return;
	fprintf(stderr, "  first failure: %s %llu, attempt %llu: %s\n", mrctl_text(first, "kind"),
		(unsigned long long)mrctl_number(first, "number"),
		(unsigned long long)mrctl_number(first, "attempt"), mrctl_text(first, "message"));
	if (*log)
		fprintf(stderr, "  the last it wrote to standard error:\n");
	for (; *log; log = *end ? end + 1 : end) {
		end = strchrnul(log, '\n');
		fprintf(stderr, "  | %.*s\n", (int)(end - log), log);
	}
}

void mrctl_progress_end(struct mrctl_progress *progress, struct json_object *status)
{
	const char *state = mrctl_text(status, "state");
	char text[MRCTL_TEXT_MAX];

	line_clear(progress);
	mrctl_time_text(mrctl_number(status, "elapsed_ms"), text);
	if (strcmp(state, "succeeded")) {
		fprintf(stderr, "mrctl: job %s after %s: %s\n", state, text, mrctl_text(status, "reason"));
		first_failure_print(mrctl_field(status, "failures"));
		return;
	}
	if (progress->quiet)
		return;
	fprintf(stderr, "mrctl: job done in %s\n", text);
	outputs_print(mrctl_field(status, "outputs"));
	skipped_print(mrctl_field(status, "skipped"));
	counters_print(mrctl_field(status, "counters"));
}
