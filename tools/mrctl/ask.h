/* SPDX-License-Identifier: GPL-2.0 */
/* Requests to this node's mrnode (mapreduce/node/control.h), one at a time. */
#ifndef LOCKSTEP_MRCTL_ASK_H
#define LOCKSTEP_MRCTL_ASK_H

#include <stdbool.h>
#include <stddef.h>

struct json_object;

/**
 * struct mrctl_upload - what follows a submit
 * @spec: text of the spec
 * @paths: files, in the spec's order
 * @nr_paths: how many
 */
struct mrctl_upload {
	const char *spec;
	char *const *paths;
	size_t nr_paths;
};

/**
 * mrctl_ask() - ask, and wait for the answer
 * @socket: mrnode's
 * @request: {command, ...}; is put here
 * @upload: NULL, but for a submit
 * @tell: what goes wrong is told to standard error
 * @answer: receives the answer if it is {ok: true}
 *
 * Return: an enum mrctl_exit: MRCTL_OK, MRCTL_NOBODY when nobody answers, here or
 * where it is passed on to,
 * MRCTL_USAGE for a job or node that there is not, else MRCTL_FAILED.
 */
int mrctl_ask(const char *socket, struct json_object *request, const struct mrctl_upload *upload,
	      bool tell, struct json_object **answer);

#endif
