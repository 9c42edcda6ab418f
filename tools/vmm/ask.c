// SPDX-License-Identifier: GPL-2.0
/*
 * The other end of the control socket
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ask.h"

static int fail(const char *path, int err)
{
	fprintf(stderr, "lockstep-vmm: %s: %s\n", path, strerror(-err));
	return err;
}

static int connect_to(const char *path, FILE **stream)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, err;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		err = -errno;
		close(fd);
		return err;
	}
	*stream = fdopen(fd, "r+");
	if (*stream)
		return 0;
	close(fd);
	return -ENOMEM;
}

static int is_ok(const char *line)
{
	struct json_object *object = json_tokener_parse(line), *ok;
	int err = -ECANCELED;

	if (json_object_object_get_ex(object, "ok", &ok) && json_object_get_boolean(ok))
		err = 0;
	json_object_put(object);
	return err;
}

int vmm_ask(const char *path, const char *command)
{
	char *line = NULL;
	size_t room = 0;
	FILE *stream = NULL;
	int err = connect_to(path, &stream);

	if (err)
		return fail(path, err);
	if (fprintf(stream, "%s\n", command) < 0 || fflush(stream)) {
		err = fail(path, -EPIPE);
	} else if (getline(&line, &room, stream) < 0) {
		fprintf(stderr, "lockstep-vmm: %s: the machine ended without an answer\n", path);
		err = -EPIPE;
	} else {
		fputs(line, stdout);
		err = is_ok(line);
	}
	free(line);
	fclose(stream);
	return err;
}
