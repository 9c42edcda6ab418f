// SPDX-License-Identifier: GPL-2.0
/* mrctl submit: a job for the cluster. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "ask.h"
#include "cluster.h"
#include "common/json.h"
#include "mrctl.h"
#include "spec.h"

#define PIECE	(256 * 1024)

static const char help[] =
	"Usage: mrctl submit [OPTION...] --output DIR APP INPUT...\n"
	"       mrctl submit [OPTION...] --output DIR --mapper CMD [--reducer CMD] INPUT...\n"
	"Run a job on the cluster of this node's lockstepd, and print its name.\n"
	"\n"
	"An INPUT is a path that every node can read, or NODE:/path. Outputs stay on the\n"
	"nodes that made them, in DIR/NODE; 'mrctl status JOB' tells which are where.\n"
	"\n"
	"      --wait             wait until it is over, as 'mrctl wait' does\n"
	"      --workers N        on one node, at most\n"
	"      --no-backup        no second attempts of the last tasks\n"
	"      --socket PATH      mrnode's (default: MRCTL_SOCKET, or the usual one)\n"
	"      --json             print JSON\n";

/**
 * struct submission - a submission
 * @files: what is sent: paths
 */
struct submission {
	struct mrctl_spec spec;
	struct mrctl_list files;
	const char *socket;
	bool wait;
	bool json;
	bool no_backup;
	unsigned long workers;
};

static int file_hash(const char *path, char *hex)
{
	uint8_t digest[EVP_MAX_MD_SIZE], *piece = malloc(PIECE);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned int n = 0, i;
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret = fd < 0 ? -errno : 0;
	ssize_t got = 0;

	if (!ret && (!piece || !ctx || !EVP_DigestInit_ex(ctx, EVP_sha256(), NULL)))
		ret = -ENOMEM;
	while (!ret && (got = read(fd, piece, PIECE)) > 0)
		EVP_DigestUpdate(ctx, piece, (size_t)got);
	if (!ret && got < 0)
		ret = -errno;
	if (!ret)
		EVP_DigestFinal_ex(ctx, digest, &n);
	for (i = 0; i < n; i++)
		sprintf(hex + 2 * i, "%02x", digest[i]);
	EVP_MD_CTX_free(ctx);
	free(piece);
	if (fd >= 0)
		close(fd);
	return ret;
}

static int file_add(struct submission *s, struct json_object *files, const char *path)
{
	const char *slash = strrchr(path, '/');
	char hex[2 * EVP_MAX_MD_SIZE + 1];
	struct json_object *o;
	struct stat st;
	int ret;

	if (stat(path, &st))
		return mrctl_fail(-EINVAL, "%s: %s", path, strerror(errno));
	ret = S_ISREG(st.st_mode) ? file_hash(path, hex) : -EINVAL;
	if (ret)
		return mrctl_fail(-EINVAL, "%s: %s", path,
				  S_ISREG(st.st_mode) ? strerror(-ret) : "not a file");
	o = json_object_new_object();
	lockstep_json_add_str(o, "name", slash ? slash + 1 : path);
	lockstep_json_add_u64(o, "size", (uint64_t)st.st_size);
	lockstep_json_add_str(o, "sha256", hex);
	lockstep_json_add_bool(o, "executable", st.st_mode & 0100);
	json_object_array_add(files, o);
	return mrctl_list_add(&s->files, path);
}

/* A path of this folder's is the nodes' by its full name. */
static char *absolute(const char *path)
{
	char cwd[PATH_MAX], *full;

	if (*path == '/' || strstr(path, ":/"))
		return strdup(path);
	if (!getcwd(cwd, sizeof(cwd)) || asprintf(&full, "%s/%s", cwd, path) < 0)
		return NULL;
	return full;
}

static void add_path(struct json_object *o, const char *key, const char *path)
{
	char *full = absolute(path);

	if (key)
		lockstep_json_add_str(o, key, full);
	else
		json_object_array_add(o, json_object_new_string(full ? full : ""));
	free(full);
}

static void add_numbers(struct json_object *o, const struct submission *s)
{
	static const char *const codecs[] = { "none", "lz4", "zstd" };
	const struct mrctl_spec *spec = &s->spec;

	if (spec->reduces != MRCTL_REDUCES_AUTO)
		lockstep_json_add_u64(o, "reduces", spec->reduces);
	if (spec->memory)
		lockstep_json_add_u64(o, "memory", spec->memory);
	if (spec->split)
		lockstep_json_add_u64(o, "split", spec->split);
	if (spec->task_timeout_ms)
		lockstep_json_add_u64(o, "timeout_ms", spec->task_timeout_ms);
	lockstep_json_add_u64(o, "attempts", spec->attempts_max);
	lockstep_json_add_u64(o, "skip", spec->skip_max);
	lockstep_json_add_u64(o, "workers", s->workers);
	lockstep_json_add_str(o, "codec", codecs[spec->codec]);
	lockstep_json_add_bool(o, "force", spec->force);
	lockstep_json_add_bool(o, "backup", !s->no_backup);
}

/* What is submitted, as mapreduce/node/spec.h has it; NULL: told. */
static struct json_object *spec_new(struct submission *s)
{
	struct json_object *o = json_object_new_object(), *files = json_object_new_array();
	struct json_object *inputs = json_object_new_array(), *options = json_object_new_object();
	const char *slash = strrchr(s->spec.app, '/');
	bool command = s->spec.mapper || s->spec.reducer || s->spec.combiner;
	size_t i;
	int ret = command ? 0 : file_add(s, files, s->spec.app);

	for (i = 0; !ret && i < s->spec.files.nr; i++)
		ret = file_add(s, files, s->spec.files.items[i]);
	lockstep_json_add_str(o, "name", s->spec.name ? s->spec.name :
			      s->spec.mapper ? s->spec.mapper : slash ? slash + 1 : s->spec.app);
	lockstep_json_add_str(o, "app", command || !slash ? s->spec.app : slash + 1);
	for (i = 0; i < s->spec.inputs.nr; i++)
		add_path(inputs, NULL, s->spec.inputs.items[i]);
	for (i = 0; i < s->spec.names.nr; i++)
		lockstep_json_add_str(options, s->spec.names.items[i], s->spec.values.items[i]);
	add_path(o, "output", s->spec.output);
	add_numbers(o, s);
	json_object_object_add(o, "files", files);
	json_object_object_add(o, "inputs", inputs);
	json_object_object_add(o, "options", options);
	if (ret) {
		json_object_put(o);
		return NULL;
	}
	return o;
}

static int submit(struct submission *s)
{
	struct json_object *request = json_object_new_object(), *answer, *spec, *job;
	struct mrctl_upload upload = { 0 };
	int ret;

	spec = spec_new(s);
	if (!spec) {
		json_object_put(request);
		return MRCTL_USAGE;
	}
	upload.spec = json_object_to_json_string_ext(spec, JSON_C_TO_STRING_PLAIN |
						     JSON_C_TO_STRING_NOSLASHESCAPE);
	upload.paths = s->files.items;
	upload.nr_paths = s->files.nr;
	lockstep_json_add_str(request, "command", "submit");
	lockstep_json_add_u64(request, "spec_bytes", strlen(upload.spec));
	ret = mrctl_ask(s->socket, request, &upload, true, &answer);
	json_object_put(spec);
	if (ret)
		return ret;
	json_object_object_get_ex(answer, "job", &job);
	if (!s->json)
		puts(json_object_get_string(job));
	else if (!s->wait)
		lockstep_json_print(answer);
	fflush(stdout);
	if (s->wait)
		ret = mrctl_wait(s->socket, json_object_get_string(job), 0, s->json);
	json_object_put(answer);
	return ret;
}

static int take(struct submission *s, int c)
{
	char *end;

	switch (c) {
	case 'w':
		s->wait = true;
		return 0;
	case 'j':
		s->json = true;
		return 0;
	case 'b':
		s->no_backup = true;
		return 0;
	case 's':
		s->socket = optarg;
		return 0;
	case 'n':
		s->workers = strtoul(optarg, &end, 10);
		if (*optarg >= '0' && *optarg <= '9' && !*end && s->workers >= 1 && s->workers <= 1024)
			return 0;
		return mrctl_fail(-EINVAL, "--workers %s: from 1 to 1024", optarg);
	default:
		return mrctl_spec_take(&s->spec, c, optarg) ? -EINVAL : 0;
	}
}

static int cmd_submit(int argc, char **argv)
{
	static const struct option longs[] = {
		MRCTL_SPEC_LONGS,
		{ "wait", no_argument, NULL, 'w' },
		{ "json", no_argument, NULL, 'j' },
		{ "socket", required_argument, NULL, 's' },
		{ "workers", required_argument, NULL, 'n' },
		{ "no-backup", no_argument, NULL, 'b' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct submission s = { .socket = mrctl_socket() };
	int c, ret = MRCTL_USAGE;

	mrctl_spec_init(&s.spec);
	s.spec.nodes = true;
	optind = 1;
	while ((c = getopt_long(argc, argv, MRCTL_SPEC_SHORTS "h", longs, NULL)) != -1) {
		if (c == 'h') {
			printf("%s\n%s", help, mrctl_spec_help);
			ret = MRCTL_OK;
			goto out_exit;
		}
		if (c == '?' || take(&s, c))
			goto out_exit;
	}
	if (!s.spec.output)
		mrctl_fail(0, "--output is missing: outputs stay on the nodes, in a folder of that name");
	else if (!mrctl_spec_finish(&s.spec, argc - optind, argv + optind))
		ret = submit(&s);
out_exit:
	mrctl_list_exit(&s.files);
	mrctl_spec_exit(&s.spec);
	return ret;
}

const struct mrctl_command mrctl_submit_commands[] = {
	{ "submit", cmd_submit, "[OPTION...] APP INPUT...", "a job on the cluster" },
	{ NULL, NULL, NULL, NULL },
};
