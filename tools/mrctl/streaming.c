// SPDX-License-Identifier: GPL-2.0
/* mrctl streaming: mrctl run in the words of Hadoop's streaming. */
#include <errno.h>
#include <getopt.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mrctl.h"
#include "run.h"

enum word {
	WORD_INPUT = 256, WORD_OUTPUT, WORD_MAPPER, WORD_REDUCER, WORD_COMBINER, WORD_PARTITIONER, WORD_FILE,
	WORD_FILES, WORD_REDUCES, WORD_ENV, WORD_INPUT_FORMAT, WORD_OUTPUT_FORMAT, WORD_NOTHING,
};

static const struct option longs[] = {
	{ "input", required_argument, NULL, WORD_INPUT },
	{ "output", required_argument, NULL, WORD_OUTPUT },
	{ "mapper", required_argument, NULL, WORD_MAPPER },
	{ "reducer", required_argument, NULL, WORD_REDUCER },
	{ "combiner", required_argument, NULL, WORD_COMBINER },
	{ "partitioner", required_argument, NULL, WORD_PARTITIONER },
	{ "file", required_argument, NULL, WORD_FILE },
	{ "files", required_argument, NULL, WORD_FILES },
	{ "numReduceTasks", required_argument, NULL, WORD_REDUCES },
	{ "cmdenv", required_argument, NULL, WORD_ENV },
	{ "inputformat", required_argument, NULL, WORD_INPUT_FORMAT },
	{ "outputformat", required_argument, NULL, WORD_OUTPUT_FORMAT },
	{ "jobconf", required_argument, NULL, 'D' },
	{ "verbose", no_argument, NULL, WORD_NOTHING },
	{ "lazyOutput", no_argument, NULL, WORD_NOTHING },
	/* these are ours */
	{ "workers", required_argument, NULL, 'w' },
	{ "memory", required_argument, NULL, 'm' },
	{ "http", required_argument, NULL, 'p' },
	{ "force", no_argument, NULL, 'f' },
	{ "json", no_argument, NULL, 'j' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* Hadoop's names of what are options here. */
static const struct {
	const char *name;
	const char *option;
} properties[] = {
	{ "mapreduce.job.reduces=", "--reduces" }, { "mapred.reduce.tasks=", "--reduces" },
	{ "mapreduce.job.name=", "--name" }, { "mapred.job.name=", "--name" },
	{ "mapreduce.map.maxattempts=", "--attempts" }, { "mapred.map.max.attempts=", "--attempts" },
};

static void help(void)
{
	puts("Usage: mrctl streaming -input PATH... -output DIR [-mapper COMMAND] [-reducer COMMAND]\n"
	     "                       [-combiner COMMAND] [-partitioner CLASS] [-numReduceTasks R]\n"
	     "                       [-file FILE]... [-files FILE,FILE] [-cmdenv NAME=VALUE]...\n"
	     "                       [-D NAME=VALUE]... [-verbose]\n"
	     "                       [-workers N] [-memory SIZE] [-http ADDRESS] [-force] [-json] [-quiet]\n"
	     "mrctl run in the words of Hadoop's streaming, on this machine. Outputs are\n"
	     "DIR/mr-out-R, one reduce by default. A reducer may be NONE or aggregate.");
}

/**
 * struct line - a command line of mrctl run
 * @args: its arguments
 * @inputs: what comes behind them
 * @reduces: how many were asked for; NULL: not said
 * @map_only: none at all, whatever was asked for
 */
struct line {
	struct mrctl_list args;
	struct mrctl_list inputs;
	const char *reduces;
	bool map_only;
};

static int add(struct line *line, const char *option, const char *value)
{
	int ret = mrctl_list_add(&line->args, option);

	return ret || !value ? ret : mrctl_list_add(&line->args, value);
}

static int add_inputs(struct line *line, const char *patterns)
{
	char *copy = strdup(patterns), *save, *pattern;
	int ret = copy ? 0 : -ENOMEM;
	glob_t found;
	size_t i;

	for (pattern = copy ? strtok_r(copy, ",", &save) : NULL; pattern && !ret; pattern = strtok_r(NULL, ",", &save)) {
		if (glob(pattern, GLOB_NOCHECK | GLOB_BRACE, NULL, &found)) {
			ret = -ENOMEM;
			break;
		}
		for (i = 0; i < found.gl_pathc && !ret; i++)
			ret = mrctl_list_add(&line->inputs, found.gl_pathv[i]);
		globfree(&found);
	}
	free(copy);
	return ret;
}

static int add_files(struct line *line, const char *list)
{
	char *copy = strdup(list), *save, *file;
	int ret = copy ? 0 : -ENOMEM;

	for (file = copy ? strtok_r(copy, ",", &save) : NULL; file && !ret; file = strtok_r(NULL, ",", &save))
		ret = add(line, "--file", file);
	free(copy);
	return ret;
}

static int add_property(struct line *line, const char *text)
{
	size_t i;

	for (i = 0; i < sizeof(properties) / sizeof(properties[0]); i++) {
		size_t len = strlen(properties[i].name);

		if (strncmp(text, properties[i].name, len))
			continue;
		if (!strcmp(properties[i].option, "--reduces")) {
			line->reduces = text + len;
			return 0;
		}
		return add(line, properties[i].option, text + len);
	}
	return add(line, "-D", text);
}

/* A class by its name, with or without its package. */
static bool is_class(const char *arg, const char *name)
{
	const char *dot = strrchr(arg, '.');

	return !strcmp(dot ? dot + 1 : arg, name);
}

static int unknown(const char *option, const char *arg, const char *known)
{
	mrctl_fail(0, "-%s %s is not known here; %s is", option, arg, known);
	return -EINVAL;
}

static int take(struct line *line, int c, const char *arg)
{
	switch (c) {
	case WORD_INPUT:
		return add_inputs(line, arg);
	case WORD_OUTPUT:
		return add(line, "--output", arg);
	case WORD_MAPPER:
		return is_class(arg, "IdentityMapper") ? 0 : add(line, "--mapper", arg);
	case WORD_REDUCER:
		if (!strcmp(arg, "NONE")) {
			line->map_only = true;
			return 0;
		}
		return is_class(arg, "IdentityReducer") ? 0 : add(line, "--reducer", arg);
	case WORD_COMBINER:
		return add(line, "--combiner", arg);
	case WORD_PARTITIONER:
		if (is_class(arg, "TotalOrderPartitioner"))
			return add(line, "-D", "partition=range");
		return is_class(arg, "HashPartitioner") ? 0 :
		       unknown("partitioner", arg, "HashPartitioner or TotalOrderPartitioner");
	case WORD_FILE:
		return add(line, "--file", arg);
	case WORD_FILES:
		return add_files(line, arg);
	case WORD_REDUCES:
		line->reduces = arg;
		return 0;
	case WORD_ENV:
		return add(line, "--env", arg);
	case WORD_INPUT_FORMAT:
		return is_class(arg, "TextInputFormat") ? 0 : unknown("inputformat", arg, "TextInputFormat");
	case WORD_OUTPUT_FORMAT:
		return is_class(arg, "TextOutputFormat") ? 0 : unknown("outputformat", arg, "TextOutputFormat");
	case WORD_NOTHING:
		return 0;
	case 'D':
		return add_property(line, arg);
	case 'w':
		return add(line, "--workers", arg);
	case 'm':
		return add(line, "--memory", arg);
	case 'p':
		return add(line, "--http", arg);
	case 'f':
		return add(line, "--force", NULL);
	case 'j':
		return add(line, "--json", NULL);
	case 'q':
		return add(line, "--quiet", NULL);
	default:
		return -EINVAL;
	}
}

/* The whole as mrctl run would be given it. */
static int line_finish(struct line *line)
{
	size_t i;
	int ret = add(line, "--reduces", line->map_only ? "0" : line->reduces ? line->reduces : "1");

	if (!ret)
		ret = add(line, "--", NULL);
	for (i = 0; i < line->inputs.nr && !ret; i++)
		ret = add(line, line->inputs.items[i], NULL);
	return ret;
}

static int line_take(struct line *line, int argc, char **argv)
{
	bool streaming = false;
	int c, ret = add(line, "run", NULL);

	while (!ret && (c = getopt_long_only(argc, argv, "+D:h", longs, NULL)) != -1) {
		if (c == 'h') {
			help();
			return 1;
		}
		streaming |= c == WORD_MAPPER || c == WORD_REDUCER || c == WORD_COMBINER;
		ret = take(line, c, optarg);
	}
	if (ret)
		return ret;
	if (optind < argc || !line->inputs.nr) {
		if (optind < argc)
			mrctl_fail(0, "'%s' is no option; see --help", argv[optind]);
		else
			mrctl_fail(0, "-input is missing; see --help");
		return -EINVAL;
	}
	/* without one, or with identities alone, lines are sorted */
	if (!streaming || line->args.nr == 1)
		ret = add(line, "--mapper", "cat");
	return ret ? ret : line_finish(line);
}

static int command_streaming(int argc, char **argv)
{
	struct line line = { 0 };
	struct mrctl_run run;
	int ret = line_take(&line, argc, argv), code;

	if (ret) {
		mrctl_list_exit(&line.args);
		mrctl_list_exit(&line.inputs);
		return ret > 0 ? MRCTL_OK : MRCTL_USAGE;
	}
	mrctl_run_init(&run);
	code = mrctl_run_line(&run, (int)line.args.nr, line.args.items);
	mrctl_run_exit(&run);
	mrctl_list_exit(&line.args);
	mrctl_list_exit(&line.inputs);
	return code;
}

const struct mrctl_command mrctl_streaming_commands[] = {
	{ "streaming", command_streaming, "-input PATH ...", "the same, in the words of Hadoop's streaming" },
	{ NULL, NULL, NULL, NULL },
};
