// SPDX-License-Identifier: GPL-2.0
/* What a job is, see spec.h. */
#include "node/spec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "transport/transport.h"

static const char *const codecs[] = {
	[MR_CODEC_NONE] = "none",
	[MR_CODEC_LZ4] = "lz4",
	[MR_CODEC_ZSTD] = "zstd",
};

/* Numbers of a spec, and what they may be. */
static const struct limit {
	const char *key;
	uint64_t min;
	uint64_t max;
} limits[] = {
	{ "reduces", 0, MR_REDUCES_MAX },
	{ "memory", MR_MEMORY_MIN, 1ull << 40 },
	{ "split", MR_SPLIT_MIN, MR_SPLIT_MAX },
	{ "timeout_ms", MR_TASK_TIMEOUT_MS_MIN, MR_TASK_TIMEOUT_MS_MAX },
	{ "attempts", 0, 1000 },
	{ "skip", 0, 10000 },
	{ "workers", 0, 1024 },
};

/* --- JSON ----------------------------------------------------------------------- */

static struct json_object *member(struct json_object *o, const char *key, enum json_type type)
{
	struct json_object *v;

	if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, key, &v) ||
	    !json_object_is_type(v, type))
		return NULL;
	return v;
}

const char *mr_json_str(struct json_object *o, const char *key, const char *def)
{
	struct json_object *v = member(o, key, json_type_string);

	/* what follows a zero would be seen by some and not by others */
	if (!v || strlen(json_object_get_string(v)) != (size_t)json_object_get_string_len(v))
		return def;
	return json_object_get_string(v);
}

uint64_t mr_json_u64(struct json_object *o, const char *key, uint64_t def)
{
	struct json_object *v = member(o, key, json_type_int);

	return v ? json_object_get_uint64(v) : def;
}

bool mr_json_bool(struct json_object *o, const char *key)
{
	struct json_object *v = member(o, key, json_type_boolean);

	return v && json_object_get_boolean(v);
}

size_t mr_json_len(struct json_object *o, const char *key)
{
	struct json_object *v = member(o, key, json_type_array);

	return v ? json_object_array_length(v) : 0;
}

struct json_object *mr_json_at(struct json_object *o, const char *key, size_t i)
{
	return json_object_array_get_idx(member(o, key, json_type_array), i);
}

int mr_content_parse(const char *hex, uint8_t *content)
{
	static const char digits[] = "0123456789abcdef";
	unsigned int i;

	if (!hex || strlen(hex) != 2 * MR_CONTENT_SIZE || hex[strspn(hex, digits)])
		return -EINVAL;
	for (i = 0; i < MR_CONTENT_SIZE; i++)
		content[i] = (uint8_t)((strchr(digits, hex[2 * i]) - digits) << 4 |
				       (strchr(digits, hex[2 * i + 1]) - digits));
	return 0;
}

void mr_content_format(const uint8_t *content, char *hex)
{
	unsigned int i;

	for (i = 0; i < MR_CONTENT_SIZE; i++)
		sprintf(hex + 2 * i, "%02x", content[i]);
}

/* --- checks --------------------------------------------------------------------- */

static bool file_name_valid(const char *name)
{
	return name && *name && *name != '.' && strlen(name) <= 255 && !strchr(name, '/');
}

static bool file_valid(struct json_object *file)
{
	uint8_t content[MR_CONTENT_SIZE];

	return file_name_valid(mr_json_str(file, "name", NULL)) &&
	       mr_json_u64(file, "size", UINT64_MAX) <= MR_SPEC_FILE_MAX &&
	       !mr_content_parse(mr_json_str(file, "sha256", NULL), content);
}

bool mr_spec_has_file(struct json_object *spec, const char *name)
{
	size_t i;

	for (i = 0; i < mr_json_len(spec, "files"); i++)
		if (!strcmp(mr_json_str(mr_json_at(spec, "files", i), "name", ""), name))
			return true;
	return false;
}

/* What a node is told, and the whole has too. */
static const char *share_fault(struct json_object *o)
{
	const char *app = mr_json_str(o, "app", ""), *output = mr_json_str(o, "output", "");
	size_t i, n = mr_json_len(o, "files");

	if (n > MR_SPEC_FILES_MAX)
		return "too many files";
	for (i = 0; i < n; i++)
		if (!file_valid(mr_json_at(o, "files", i)))
			return "a file has no proper name, size or hash, or is larger than 1 GiB";
	if (strncmp(app, MR_STREAMING, strlen(MR_STREAMING)) && !mr_spec_has_file(o, app))
		return "the application is not among the files";
	if (*output != '/' || strlen(output) >= 4000)
		return "the output is no absolute path";
	return NULL;
}

bool mr_share_check(struct json_object *share)
{
	const char *job = mr_json_str(share, "job", "");

	return mr_job_name_valid(job) && *mr_json_str(share, "id", "") && !share_fault(share) &&
	       mr_json_u64(share, "workers", 0) <= 1024;
}

static const char *inputs_fault(struct json_object *spec)
{
	size_t i, n = mr_json_len(spec, "inputs");

	if (!n)
		return "there is no input";
	if (n > MR_INPUTS_MAX)
		return "too many inputs";
	for (i = 0; i < n; i++) {
		struct json_object *v = mr_json_at(spec, "inputs", i);

		const char *text = json_object_is_type(v, json_type_string) ?
				   json_object_get_string(v) : "";

		if (*text != '/' && !strstr(text, ":/"))
			return "an input is no absolute path, nor NODE:/path";
	}
	return NULL;
}

static const char *options_fault(struct json_object *spec)
{
	struct json_object *options;

	if (!json_object_object_get_ex(spec, "options", &options))
		return NULL;
	if (!json_object_is_type(options, json_type_object))
		return "options are no object";
	json_object_object_foreach(options, key, value) {
		(void)key;
		if (!json_object_is_type(value, json_type_string))
			return "an option's value is no text";
	}
	return NULL;
}

static int codec_of(struct json_object *spec)
{
	const char *name = mr_json_str(spec, "codec", codecs[MR_CODEC_LZ4]);
	int i;

	for (i = 0; i <= MR_CODEC_MAX; i++)
		if (!strcmp(codecs[i], name))
			return i;
	return -EINVAL;
}

int mr_spec_check(struct json_object *spec, char *err, size_t errlen)
{
	const char *fault = json_object_is_type(spec, json_type_object) ? NULL : "no object";
	uint64_t value;
	size_t i;

	if (!fault)
		fault = share_fault(spec);
	if (!fault)
		fault = inputs_fault(spec);
	if (!fault)
		fault = options_fault(spec);
	if (!fault && codec_of(spec) < 0)
		fault = "codec is none, lz4 or zstd";
	if (fault) {
		snprintf(err, errlen, "%s", fault);
		return -EINVAL;
	}
	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		value = mr_json_u64(spec, limits[i].key, limits[i].min);
		if (value >= limits[i].min && value <= limits[i].max)
			continue;
		snprintf(err, errlen, "%s: from %llu to %llu", limits[i].key,
			 (unsigned long long)limits[i].min, (unsigned long long)limits[i].max);
		return -EINVAL;
	}
	return 0;
}

/* --- views ---------------------------------------------------------------------- */

/* "node:/path" in two; another colon is the path's own. */
static int input_set(struct mr_job_input *input, const char *text)
{
	const char *colon = strstr(text, ":/");
	char *node;

	input->path = text;
	if (!colon || *text == '/')
		return 0;
	node = strndup(text, (size_t)(colon - text));
	if (!node)
		return -ENOMEM;
	if (lockstep_node_name_valid(node)) {
		input->node = node;
		input->path = colon + 1;
	} else {
		free(node);
	}
	return 0;
}

static int inputs_set(struct json_object *spec, struct mr_job_config *config)
{
	size_t i, n = mr_json_len(spec, "inputs");
	struct mr_job_input *inputs = calloc(n, sizeof(*inputs));

	if (!inputs)
		return -ENOMEM;
	config->inputs = inputs;
	for (i = 0; i < n; i++) {
		if (input_set(&inputs[i], json_object_get_string(mr_json_at(spec, "inputs", i))))
			return -ENOMEM;
		config->nr_inputs = i + 1;
	}
	return 0;
}

static int options_set(struct json_object *spec, struct mr_job_config *config)
{
	struct json_object *all = member(spec, "options", json_type_object);
	struct mr_option *options;

	if (!all)
		return 0;
	options = calloc((size_t)json_object_object_length(all) + 1, sizeof(*options));
	if (!options)
		return -ENOMEM;
	json_object_object_foreach(all, key, value) {
		options[config->nr_options].name = key;
		options[config->nr_options++].value = json_object_get_string(value);
	}
	config->options = options;
	return 0;
}

int mr_spec_config(struct json_object *spec, struct mr_job_config *config)
{
	int ret;

	memset(config, 0, sizeof(*config));
	config->name = mr_json_str(spec, "name", mr_json_str(spec, "app", ""));
	config->reduces = (uint32_t)mr_json_u64(spec, "reduces", 1);
	config->memory = mr_json_u64(spec, "memory", 0);
	config->codec = (enum mr_codec)codec_of(spec);
	config->split = mr_json_u64(spec, "split", 0);
	config->task_timeout_ms = (uint32_t)mr_json_u64(spec, "timeout_ms", 0);
	config->attempts_max = (uint32_t)mr_json_u64(spec, "attempts", 4);
	config->backup = !member(spec, "backup", json_type_boolean) || mr_json_bool(spec, "backup");
	config->overlap = true;
	config->skip_max = (uint32_t)mr_json_u64(spec, "skip", 0);
	config->force = mr_json_bool(spec, "force");
	ret = inputs_set(spec, config);
	if (!ret)
		ret = options_set(spec, config);
	if (ret)
		mr_spec_config_exit(config);
	return ret;
}

void mr_spec_config_exit(struct mr_job_config *config)
{
	size_t i;

	for (i = 0; i < config->nr_inputs; i++)
		free((char *)config->inputs[i].node);
	free((void *)config->inputs);
	free((void *)config->options);
	memset(config, 0, sizeof(*config));
}

struct json_object *mr_spec_share(struct json_object *spec, const char *job, const char *id)
{
	struct json_object *share = json_object_new_object(), *files;

	if (!share)
		return NULL;
	lockstep_json_add_str(share, "job", job);
	lockstep_json_add_str(share, "id", id);
	lockstep_json_add_str(share, "app", mr_json_str(spec, "app", ""));
	lockstep_json_add_str(share, "output", mr_json_str(spec, "output", ""));
	lockstep_json_add_u64(share, "workers", mr_json_u64(spec, "workers", 0));
	files = member(spec, "files", json_type_array);
	if (files)
		json_object_object_add(share, "files", json_object_get(files));
	return share;
}
