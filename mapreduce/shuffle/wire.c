// SPDX-License-Identifier: GPL-2.0
/* The shuffle's bytes, see wire.h. */
#include "shuffle/wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/bytes.h"
#include "transport/transport.h"

bool mr_job_name_valid(const char *name)
{
	char node[MR_JOB_NAME_MAX + 1];
	const char *dot = strrchr(name, '.');

	if (!dot || strlen(name) > MR_JOB_NAME_MAX)
		return false;
	if (!dot[1] || dot[1] == '0' || strlen(dot + 1) > 9 ||
	    dot[1 + strspn(dot + 1, "0123456789")])
		return false;
	mr_job_name_home(name, node, sizeof(node));
	return lockstep_node_name_valid(node);
}

void mr_job_name_home(const char *name, char *node, size_t size)
{
	snprintf(node, size, "%.*s", (int)(strrchr(name, '.') - name), name);
}

int mr_region_request_encode(const struct mr_region_request *request, uint8_t *buf)
{
	struct lockstep_writer w;

	if (!mr_job_name_valid(request->job))
		return -EINVAL;
	lockstep_writer_init(&w, buf, MR_REQUEST_MAX);
	lockstep_write_u8(&w, MR_WIRE_VERSION);
	lockstep_write_str(&w, request->job);
	lockstep_write_u32(&w, request->map);
	lockstep_write_u32(&w, request->attempt);
	lockstep_write_u64(&w, request->epoch);
	lockstep_write_u64(&w, request->index);
	lockstep_write_u32(&w, request->reduce);
	return lockstep_writer_ok(&w) ? (int)w.len : -EINVAL;
}

int mr_region_request_decode(const void *data, size_t len, struct mr_region_request *request)
{
	struct lockstep_reader r;
	uint8_t version;

	lockstep_reader_init(&r, data, len);
	version = lockstep_read_u8(&r);
	lockstep_read_str(&r, request->job, sizeof(request->job));
	request->map = lockstep_read_u32(&r);
	request->attempt = lockstep_read_u32(&r);
	request->epoch = lockstep_read_u64(&r);
	request->index = lockstep_read_u64(&r);
	request->reduce = lockstep_read_u32(&r);
	if (!lockstep_reader_done(&r) || version != MR_WIRE_VERSION)
		return -EINVAL;
	return mr_job_name_valid(request->job) ? 0 : -EINVAL;
}

size_t mr_file_request_encode(const uint8_t *content, uint8_t *buf)
{
	struct lockstep_writer w;

	lockstep_writer_init(&w, buf, MR_REQUEST_MAX);
	lockstep_write_u8(&w, MR_WIRE_VERSION);
	lockstep_write_bytes(&w, content, MR_CONTENT_SIZE);
	return w.len;
}

int mr_file_request_decode(const void *data, size_t len, uint8_t *content)
{
	struct lockstep_reader r;
	uint8_t version;

	lockstep_reader_init(&r, data, len);
	version = lockstep_read_u8(&r);
	lockstep_read_bytes(&r, content, MR_CONTENT_SIZE);
	return lockstep_reader_done(&r) && version == MR_WIRE_VERSION ? 0 : -EINVAL;
}

void mr_head_encode(const struct mr_head *head, uint8_t *buf)
{
	struct lockstep_writer w;

	lockstep_writer_init(&w, buf, MR_HEAD_SIZE);
	lockstep_write_u64(&w, head->len);
	lockstep_write_u64(&w, head->raw_len);
	lockstep_write_u64(&w, head->records);
	lockstep_write_u64(&w, head->checksum);
}

void mr_head_decode(const uint8_t *buf, struct mr_head *head)
{
	struct lockstep_reader r;

	lockstep_reader_init(&r, buf, MR_HEAD_SIZE);
	head->len = lockstep_read_u64(&r);
	head->raw_len = lockstep_read_u64(&r);
	head->records = lockstep_read_u64(&r);
	head->checksum = lockstep_read_u64(&r);
}
