// SPDX-License-Identifier: GPL-2.0
/*
 * Serves jobs that a file describes: an array of statuses, read at each request.
 *
 *	http-serve ADDRESS FILE		prints where
 */
#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>
#include <json-c/json.h>

#include "http/http.h"

static struct json_object *job(void *user, size_t i)
{
	struct json_object *jobs = json_object_from_file(user), *one;

	one = jobs && i < json_object_array_length(jobs) ? json_object_array_get_idx(jobs, i) : NULL;
	json_object_get(one);
	json_object_put(jobs);
	return one;
}

int main(int argc, char **argv)
{
	struct event_base *base = event_base_new();
	struct mr_http *http;
	char err[256] = "";

	if (argc != 3 || !base)
		return 2;
	if (mr_http_create(base, argv[1], job, argv[2], err, sizeof(err), &http)) {
		fprintf(stderr, "http-serve: %s\n", err);
		return 1;
	}
	puts(mr_http_url(http));
	fflush(stdout);
	event_base_dispatch(base);
	mr_http_destroy(http);
	event_base_free(base);
	return 0;
}
