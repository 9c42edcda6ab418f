// SPDX-License-Identifier: GPL-2.0
/* What a worker knows of its job. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "worker/work_impl.h"

struct mr_job_info *mr_job_info_create(struct mr_work *w, const Mr__Welcome *welcome)
{
	size_t i, len = mr__welcome__get_packed_size(welcome);
	struct mr_job_info *info = calloc(1, sizeof(*info));
	uint8_t *buf = malloc(len + 1);

	if (!info || !buf)
		goto out_free;
	info->keep.lock_fd = -1;
	mr__welcome__pack(welcome, buf);
	info->welcome = mr__welcome__unpack(NULL, len, buf);
	info->options = calloc(welcome->n_options + 1, sizeof(*info->options));
	if (!info->welcome || !info->options || mr_keep_init(&info->keep, w->config->work_dir, welcome->job))
		goto out_free;
	for (i = 0; i < welcome->n_options; i++) {
		info->options[i].name = info->welcome->options[i]->name;
		info->options[i].value = info->welcome->options[i]->value;
	}
	free(buf);
	return info;
out_free:
	free(buf);
	if (info)
		mr_job_info_destroy(info);
	return NULL;
}

/* Pages come in order; they may come again after a reconnect. */
int mr_job_info_points(struct mr_job_info *info, const Mr__Points *m)
{
	size_t i;
	void *copy;

	if (!info->points)
		info->points = calloc(m->total + 1ull, sizeof(*info->points));
	if (!info->points)
		return -ENOMEM;
	if (m->total + 1 != info->welcome->reduces || m->first > info->nr_points)
		return -EPROTO;
	for (i = 0; i < m->n_keys; i++) {
		if (m->first + i < info->nr_points)
			continue;
		copy = malloc(m->keys[i].len + 1);
		if (!copy)
			return -ENOMEM;
		if (m->keys[i].len)
			memcpy(copy, m->keys[i].data, m->keys[i].len);
		info->points[info->nr_points++] = (struct mr_bytes) { copy, m->keys[i].len };
	}
	return 0;
}

void mr_job_info_destroy(struct mr_job_info *info)
{
	uint32_t i;

	mr_keep_exit(&info->keep);
	for (i = 0; i < info->nr_points; i++)
		free((void *)info->points[i].data);
	free(info->points);
	free(info->options);
	if (info->welcome)
		mr__welcome__free_unpacked(info->welcome, NULL);
	free(info);
}
