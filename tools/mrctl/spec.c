// SPDX-License-Identifier: GPL-2.0
#include "spec.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/config.h"
#include "engine/fold.h"
#include "engine/streaming.h"
#include "mrctl.h"

#define OUTPUT_DEF	"mr-out"
#define OPTION_MAX	256	/* characters of an option's name */

const char mrctl_spec_help[] =
	"  -r, --reduces R       outputs (default: workers); 0: mappers write them\n"
	"  -m, --memory SIZE     of all workers together, as 512M or 2G\n"
	"  -o, --output DIR      folder of the outputs (default " OUTPUT_DEF ")\n"
	"  -f, --force           remove old outputs\n"
	"  -D NAME=VALUE         an option of the application\n"
	"      --mapper COMMAND  lines in, lines KEY [TAB VALUE] out; instead of APP\n"
	"      --reducer COMMAND lines in, sorted by key; or @sum @count @min @max @uniq\n"
	"                        @aggregate, which need no command\n"
	"      --combiner COMMAND   a reducer that runs behind each mapper\n"
	"      --file FILE       what the commands need, in the folder they run in\n"
	"      --env NAME=VALUE  for the commands\n"
	"      --split SIZE      of the input, for a mapper\n"
	"      --compress HOW    between map and reduce: none, lz4, zstd\n"
	"      --attempts N      of a task that fails (default 4)\n"
	"      --skip-bad-records[=N]  at most N (100) records that crash the application\n"
	"      --task-timeout TIME  until a silent worker's task is given to another (10s)\n"
	"      --name NAME       of the job\n";

/* --- lists ------------------------------------------------------------------ */

int mrctl_list_add(struct mrctl_list *list, const char *item)
{
	char **items = reallocarray(list->items, list->nr + 1, sizeof(*items));

	if (!items)
		return -ENOMEM;
	list->items = items;
	items[list->nr] = strdup(item);
	if (!items[list->nr])
		return -ENOMEM;
	list->nr++;
	return 0;
}

void mrctl_list_exit(struct mrctl_list *list)
{
	while (list->nr)
		free(list->items[--list->nr]);
	free(list->items);
	list->items = NULL;
}

/* "a\nb"; NULL without memory */
static char *list_join(const struct mrctl_list *list)
{
	size_t len = 1, i;
	char *text, *p;

	for (i = 0; i < list->nr; i++)
		len += strlen(list->items[i]) + 1;
	text = malloc(len);
	if (!text)
		return NULL;
	*text = '\0';
	for (i = 0, p = text; i < list->nr; i++)
		p += sprintf(p, "%s%s", i ? "\n" : "", list->items[i]);
	return text;
}

/* --- options ---------------------------------------------------------------- */

void mrctl_spec_init(struct mrctl_spec *spec)
{
	memset(spec, 0, sizeof(*spec));
	spec->output = OUTPUT_DEF;
	spec->reduces = MRCTL_REDUCES_AUTO;
	spec->attempts_max = MRCTL_ATTEMPTS_DEF;
}

void mrctl_spec_exit(struct mrctl_spec *spec)
{
	mrctl_list_exit(&spec->inputs);
	mrctl_list_exit(&spec->names);
	mrctl_list_exit(&spec->values);
	mrctl_list_exit(&spec->files);
	mrctl_list_exit(&spec->env);
}

static int wrong(const char *what, const char *arg, const char *remedy)
{
	mrctl_fail(0, "%s %s: %s", what, arg, remedy);
	return -EINVAL;
}

int mrctl_spec_set(struct mrctl_spec *spec, const char *name, const char *value)
{
	int ret = mrctl_list_add(&spec->names, name);

	return ret ? ret : mrctl_list_add(&spec->values, value);
}

int mrctl_spec_define(struct mrctl_spec *spec, const char *text)
{
	const char *equals = strchr(text, '=');
	char name[OPTION_MAX];

	if (!equals || equals == text || equals - text >= OPTION_MAX)
		return wrong("-D", text, "it must be NAME=VALUE");
	snprintf(name, sizeof(name), "%.*s", (int)(equals - text), text);
	return mrctl_spec_set(spec, name, equals + 1);
}

static int take_size(const char *what, const char *arg, uint64_t min, uint64_t max, uint64_t *out)
{
	return lockstep_config_size(arg, min, max, out) ?
	       wrong(what, arg, "it must be a size like 64M, and not too small") : 0;
}

static int take_number(const char *what, const char *arg, uint32_t min, uint32_t max, uint32_t *out)
{
	uint64_t n;
	char remedy[64];

	if (!lockstep_config_u64(arg, min, max, &n)) {
		*out = n;
		return 0;
	}
	snprintf(remedy, sizeof(remedy), "it must be a number, %u to %u", min, max);
	return wrong(what, arg, remedy);
}

static int take_codec(const char *arg, enum mr_codec *codec)
{
	static const char *const names[] = {
		[MR_CODEC_NONE] = "none", [MR_CODEC_LZ4] = "lz4", [MR_CODEC_ZSTD] = "zstd",
	};
	size_t i;

	for (i = 0; i <= MR_CODEC_MAX; i++) {
		if (!strcmp(arg, names[i])) {
			*codec = i;
			return 0;
		}
	}
	return wrong("--compress", arg, "it must be none, lz4 or zstd");
}

static int take_timeout(const char *arg, uint32_t *out)
{
	uint64_t ms;

	if (lockstep_config_msec(arg, MR_TASK_TIMEOUT_MS_MIN, MR_TASK_TIMEOUT_MS_MAX, &ms))
		return wrong("--task-timeout", arg, "it must be a time like 10s, 100ms to a day");
	*out = ms;
	return 0;
}

int mrctl_spec_take(struct mrctl_spec *spec, int c, const char *arg)
{
	switch (c) {
	case 'r':
		return take_number("--reduces", arg, 0, MR_REDUCES_MAX, &spec->reduces);
	case 'm':
		return take_size("--memory", arg, MR_MEMORY_MIN, UINT64_MAX, &spec->memory);
	case 'o':
		spec->output = arg;
		return 0;
	case 'f':
		spec->force = true;
		return 0;
	case 'D':
		return mrctl_spec_define(spec, arg);
	case 'N':
		spec->name = arg;
		return 0;
	case 'M':
		spec->mapper = arg;
		return 0;
	case 'R':
		spec->reducer = arg;
		return 0;
	case 'C':
		spec->combiner = arg;
		return 0;
	case 'F':
		return mrctl_list_add(&spec->files, arg);
	case 'E':
		return strchr(arg, '=') && !strchr(arg, '\n') ? mrctl_list_add(&spec->env, arg) :
			 wrong("--env", arg, "it must be NAME=VALUE, a line");
	case 'S':
		return take_size("--split", arg, MR_SPLIT_MIN, MR_SPLIT_MAX, &spec->split);
	case 'Z':
		return take_codec(arg, &spec->codec);
	case 'A':
		return take_number("--attempts", arg, 1, 1000, &spec->attempts_max);
	case 'B':
		spec->skip_max = MRCTL_SKIP_DEF;
		return arg ? take_number("--skip-bad-records", arg, 1, UINT32_MAX, &spec->skip_max) : 0;
	case 'T':
		return take_timeout(arg, &spec->task_timeout_ms);
	default:
		return 1;
	}
}

/* --- inputs ----------------------------------------------------------------- */

static int visible(const struct dirent *entry)
{
	return *entry->d_name != '.' && *entry->d_name != '_';
}

static int folder_add(struct mrctl_spec *spec, const char *dir)
{
	struct dirent **entries;
	int n = scandir(dir, &entries, visible, alphasort), i, ret = 0;

	if (n < 0) {
		ret = -errno;
		mrctl_fail(0, "%s: %s", dir, strerror(-ret));
		return ret;
	}
	for (i = 0; i < n; i++) {
		struct stat st;
		char *path;

		if (!ret && asprintf(&path, "%s/%s", dir, entries[i]->d_name) < 0)
			ret = -ENOMEM;
		if (!ret) {
			if (!stat(path, &st) && !S_ISDIR(st.st_mode))
				ret = mrctl_list_add(&spec->inputs, path);
			free(path);
		}
		free(entries[i]);
	}
	free(entries);
	return ret;
}

int mrctl_spec_input(struct mrctl_spec *spec, const char *path)
{
	struct stat st;

	if (spec->nodes && (strstr(path, ":/") || stat(path, &st)))
		return mrctl_list_add(&spec->inputs, path);
	if (stat(path, &st)) {
		int error = errno;

		mrctl_fail(0, "%s: %s", path, strerror(error));
		return -error;
	}
	return S_ISDIR(st.st_mode) ? folder_add(spec, path) : mrctl_list_add(&spec->inputs, path);
}

/* --- the whole -------------------------------------------------------------- */

/*
 * A combiner reads what a reducer would: it stands behind the mapper and a sort. In a
 * pipeline only the last status counts, so a mapper that fails kills the shell.
 */
static int mapper_option(struct mrctl_spec *spec)
{
	char *command;
	int ret;

	if (!spec->combiner || mr_fold_find(spec->combiner))
		return spec->mapper ? mrctl_spec_set(spec, "streaming.mapper", spec->mapper) : 0;
	if (asprintf(&command,
		     "{ (%s\n) || { echo \"mapper ended with status $?\" >&2; kill $$; }; } | LC_ALL=C sort -s -t '\t' -k 1,1 | (%s\n)",
		     spec->mapper ? spec->mapper : "cat", spec->combiner) < 0)
		return -ENOMEM;
	ret = mrctl_spec_set(spec, "streaming.mapper", command);
	free(command);
	return ret;
}

static int streaming_finish(struct mrctl_spec *spec)
{
	char *env;
	int ret;

	if (spec->skip_max)
		return wrong("--skip-bad-records", "", "a command can't name the record it fails at");
	if (spec->reducer && *spec->reducer == '@' && !mr_fold_find(spec->reducer))
		return wrong("--reducer", spec->reducer, "there are @sum @count @min @max @uniq @aggregate");
	if (mr_fold_find(spec->combiner) && mr_fold_find(spec->combiner) != mr_fold_find(spec->reducer))
		return wrong("--combiner", spec->combiner, "such a combiner needs the same reducer");
	spec->app = mr_streaming_name(spec->reducer);
	ret = mapper_option(spec);
	if (!ret && spec->reducer)
		ret = mrctl_spec_set(spec, "streaming.reducer", spec->reducer);
	if (ret || !spec->env.nr)
		return ret;
	env = list_join(&spec->env);
	ret = env ? mrctl_spec_set(spec, "streaming.env", env) : -ENOMEM;
	free(env);
	return ret;
}

int mrctl_spec_finish(struct mrctl_spec *spec, int argc, char **argv)
{
	int ret;

	if (spec->mapper || spec->reducer || spec->combiner) {
		ret = streaming_finish(spec);
		if (ret)
			return ret;
	} else if (argc) {
		spec->app = *argv++;
		argc--;
	}
	while (argc--) {
		ret = mrctl_spec_input(spec, *argv++);
		if (ret)
			return ret;
	}
	if (!spec->app || !spec->inputs.nr) {
		mrctl_fail(0, "%s is missing; see --help", spec->app ? "an input" : "an application, or a mapper or reducer,");
		return -EINVAL;
	}
	return 0;
}

int mrctl_spec_config(const struct mrctl_spec *spec, struct mr_job_config *config)
{
	struct mr_job_input *inputs = calloc(spec->inputs.nr, sizeof(*inputs));
	struct mr_option *options = calloc(spec->names.nr + 1, sizeof(*options));
	size_t i;

	if (!inputs || !options) {
		free(inputs);
		free(options);
		return -ENOMEM;
	}
	for (i = 0; i < spec->inputs.nr; i++)
		inputs[i].path = spec->inputs.items[i];
	for (i = 0; i < spec->names.nr; i++)
		options[i] = (struct mr_option){ spec->names.items[i], spec->values.items[i] };
	*config = (struct mr_job_config){
		.name = spec->name ? spec->name : spec->mapper ? spec->mapper : spec->app,
		.inputs = inputs, .nr_inputs = spec->inputs.nr,
		.reduces = spec->reduces, .memory = spec->memory, .codec = spec->codec,
		.options = options, .nr_options = spec->names.nr,
		.split = spec->split, .task_timeout_ms = spec->task_timeout_ms,
		.attempts_max = spec->attempts_max, .skip_max = spec->skip_max, .force = spec->force,
	};
	return 0;
}
