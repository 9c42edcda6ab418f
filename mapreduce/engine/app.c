// SPDX-License-Identifier: GPL-2.0
/* Loading an application. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xxhash.h>

#include "engine/attempt.h"
#include "engine/streaming.h"

static int hash_file(const char *path, uint64_t *hash)
{
	char buf[16384];
	XXH3_state_t *state;
	int fd, ret = 0;
	ssize_t n;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	state = XXH3_createState();
	if (!state) {
		close(fd);
		return -ENOMEM;
	}
	XXH3_64bits_reset(state);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		XXH3_64bits_update(state, buf, (size_t)n);
	if (n < 0)
		ret = -errno;
	*hash = XXH3_64bits_digest(state);
	XXH3_freeState(state);
	close(fd);
	return ret;
}

/* What can't work, or NULL. */
static const char *impossible(const struct mr_app *app)
{
	if (!app->name || !app->name[0])
		return "it has no name: begin struct mr_app with MR_APP_HEADER(\"name\")";
	if (!app->map)
		return "it has no map function";
	if (app->combine && !app->reduce)
		return "combine needs reduce: how many values of a key it leaves depends on chance";
	if (app->combine && app->group)
		return "combine and group exclude each other: a combined value has no key of its own";
	if (app->reader && !app->reader->next)
		return "its reader has no next function";
	if (app->writer && !app->writer->write)
		return "its writer has no write function";
	return NULL;
}

static int check_app(const char *path, const struct mr_app *app, char *error, size_t error_len)
{
	const char *why;

	if (app->abi != MR_ABI_VERSION || app->size != sizeof(*app)) {
		snprintf(error, error_len,
			 "%s was built for ABI %u (struct mr_app of %u bytes), this program has %d (%zu): build it again with this version's lockstep/mapreduce.h",
			 path, app->abi, app->size, MR_ABI_VERSION, sizeof(*app));
		return -EPROTO;
	}
	why = impossible(app);
	if (why) {
		snprintf(error, error_len, "%s: %s", path, why);
		return -EPROTO;
	}
	return 0;
}

static int open_object(const char *path, void **object, char *error, size_t error_len)
{
	char *real = realpath(path, NULL);
	const char *why;

	if (!real) {
		snprintf(error, error_len, "%s: %s", path, strerror(errno));
		return -errno;
	}
	dlerror();
	*object = dlopen(real, RTLD_NOW | RTLD_LOCAL);
	free(real);
	if (*object)
		return 0;
	why = dlerror();
	snprintf(error, error_len, "%s can't be loaded: %s (build it with: cc -O2 -shared -fPIC)", path,
		 why ? why : "unknown");
	return -ENOEXEC;
}

static const struct mr_app *find_builtin(const char *name)
{
	static const struct mr_app *const builtins[] = { &mr_streaming, &mr_streaming_fold };
	size_t i;

	for (i = 0; i < sizeof(builtins) / sizeof(*builtins); i++)
		if (strcmp(builtins[i]->name, name) == 0)
			return builtins[i];
	return NULL;
}

int mr_app_load(const char *path, char *error, size_t error_len, const struct mr_app **app, uint64_t *hash)
{
	void *object = NULL;
	int ret;

	*app = find_builtin(path);
	if (*app) {
		if (hash)
			*hash = XXH3_64bits(path, strlen(path));
		return 0;
	}
	ret = open_object(path, &object, error, error_len);
	if (ret)
		return ret;
	*app = dlsym(object, "mr_app");
	if (!*app) {
		snprintf(error, error_len, "%s has no symbol mr_app: define \"const struct mr_app mr_app\"", path);
		dlclose(object);
		return -ENOEXEC;
	}
	ret = check_app(path, *app, error, error_len);
	if (!ret && hash) {
		ret = hash_file(path, hash);
		if (ret)
			snprintf(error, error_len, "%s: %s", path, strerror(-ret));
	}
	if (ret)
		dlclose(object);
	return ret;
}
