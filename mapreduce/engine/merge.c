// SPDX-License-Identifier: GPL-2.0
/* Merging sorted regions. */
#include "engine/merge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/collect.h"
#include "engine/progress.h"
#include "engine/sort.h"
#include "engine/tempfile.h"

static int fail_region(struct mr_merge *m, const struct mr_region *region, int err)
{
	const char *why = err == -EBADMSG ? "corrupt" : strerror(-err);

	if (!region->path)
		return mr_task_fail(m->task, MR_BLAME_SYSTEM, err, "spill in %s: %s", m->task->attempt->work_dir, why);
	m->task->result->bad_map = region->map;
	return mr_task_fail(m->task, err == -ENOMEM || err == -EMFILE ? MR_BLAME_SYSTEM : MR_BLAME_REGION, err,
			    "output of map %u, %s: %s", region->map, region->path, why);
}

static void close_readers(struct mr_merge *m, size_t keep)
{
	for (; m->nr > keep; m->nr--)
		if (m->readers[m->nr - 1].region->path)
			close(m->readers[m->nr - 1].fd);
}

static int open_reader(struct mr_merge *m, const struct mr_region *region)
{
	struct mr_run_reader *r = &m->readers[m->nr];
	int fd = m->spill_fd, ret;

	if (region->path) {
		fd = open(region->path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return fail_region(m, region, -errno);
	}
	ret = mr_run_open(r, fd, region);
	if (ret) {
		if (region->path)
			close(fd);
		return fail_region(m, region, ret);
	}
	m->nr++;
	return 0;
}

/* Open regions from @first on, as many as memory holds and at most @most. */
static int open_readers(struct mr_merge *m, size_t first, size_t most)
{
	size_t used[__MR_SPAN_LAST] = { 0 }, room, i;
	int ret;

	close_readers(m, 0);
	m->begun = false;
	for (i = first; i < m->nr_regions && m->nr < most; i++) {
		ret = open_reader(m, &m->regions[i]);
		if (ret)
			return ret;
		room = mr_run_room(&m->readers[m->nr - 1]);
		used[MR_SPAN_DATA] += room;
		if (!mr_arena_fit(m->arena, used)) {
			close_readers(m, m->nr - 1);
			break;
		}
		mr_run_set_room(&m->readers[m->nr - 1], m->arena->base[MR_SPAN_DATA] + used[MR_SPAN_DATA] - room);
	}
	if (i < m->nr_regions && m->nr < 2)
		return mr_task_fail(m->task, MR_BLAME_SYSTEM, -ENOMEM,
				    "pairs too long to be merged: give the job more memory than %llu",
				    (unsigned long long)m->task->attempt->memory);
	return 0;
}

static bool less(const struct mr_merge *m, uint32_t a, uint32_t b)
{
	int (*compare)(struct mr_bytes a, struct mr_bytes b) = m->task->app->compare;
	int cmp;

	if (m->done[a] || m->done[b])
		return !m->done[a];
	if (compare) {
		cmp = compare(m->readers[a].key, m->readers[b].key);
	} else {
		if (m->prefix[a] != m->prefix[b])
			return m->prefix[a] < m->prefix[b];
		cmp = mr_key_compare(m->readers[a].key, m->readers[b].key);
	}
	return cmp ? cmp < 0 : a < b;
}

/* Read on in one region. */
static int advance(struct mr_merge *m, uint32_t i)
{
	struct mr_run_reader *r = &m->readers[i];
	int ret = mr_run_next(r);

	if (ret < 0)
		return fail_region(m, r->region, ret);
	m->done[i] = !ret;
	if (ret && !r->same)
		m->prefix[i] = mr_key_prefix(r->key.data, r->key.len, 0);
	return ret;
}

/* The first match of all: @tree has the losers, [0] the winner. */
static int begin(struct mr_merge *m)
{
	uint32_t winner[2 * MR_MERGE_MAX] = { 0 }, n = (uint32_t)m->nr, i;
	bool left;

	for (i = 0; i < n; i++) {
		winner[n + i] = i;
		if (advance(m, i) < 0)
			return m->task->result->error;
	}
	for (i = n - 1; i > 0; i--) {
		left = less(m, winner[2 * i], winner[2 * i + 1]);
		winner[i] = winner[2 * i + !left];
		m->tree[i] = winner[2 * i + left];
	}
	m->tree[0] = winner[1];
	m->begun = true;
	return 0;
}

static void replay(struct mr_merge *m)
{
	uint32_t winner = m->tree[0], loser, at;

	for (at = (winner + (uint32_t)m->nr) / 2; at > 0; at /= 2) {
		if (less(m, m->tree[at], winner)) {
			loser = winner;
			winner = m->tree[at];
			m->tree[at] = loser;
		}
	}
	m->tree[0] = winner;
}

int mr_merge_next(struct mr_merge *m)
{
	const struct mr_run_reader *r;
	int ret;

	if (__builtin_expect(mr_progress_cancelled(), 0))
		return mr_task_fail(m->task, MR_BLAME_CANCEL, -ECANCELED, "cancelled");
	if (!m->nr)
		return 0;
	m->same = false;
	if (!m->begun) {
		ret = begin(m);
		if (ret)
			return ret;
	} else {
		ret = advance(m, m->tree[0]);
		if (ret < 0)
			return ret;
		/* no other region can have this key in an earlier place: it would have been first */
		m->same = ret && m->readers[m->tree[0]].same;
		if (!m->same)
			replay(m);
	}
	if (m->done[m->tree[0]])
		return 0;
	r = &m->readers[m->tree[0]];
	m->key = r->key;
	m->value = r->value;
	m->pairs++;
	return 1;
}

/**
 * struct held - a pair that more values may be combined into
 * @key: bytes
 * @key_len: how many
 * @key_cap: room
 * @value: bytes
 * @value_len: how many
 * @value_cap: room
 * @any: there is one
 */
struct held {
	char *key;
	size_t key_len;
	size_t key_cap;
	char *value;
	size_t value_len;
	size_t value_cap;
	bool any;
};

static int hold_bytes(char **to, size_t *to_len, size_t *cap, struct mr_bytes from)
{
	size_t more = from.len + from.len / 2 + 64;
	char *larger;

	if (from.len > *cap) {
		larger = realloc(*to, more);
		if (!larger)
			return -ENOMEM;
		*to = larger;
		*cap = more;
	}
	memcpy(*to, from.data, from.len);
	*to_len = from.len;
	return 0;
}

static int write_held(struct held *h, struct mr_run_writer *w)
{
	if (!h->any)
		return 0;
	h->any = false;
	return mr_run_write(w, (struct mr_bytes){ h->key, h->key_len }, (struct mr_bytes){ h->value, h->value_len });
}

static int hold(struct held *h, const struct mr_merge *m)
{
	int ret = hold_bytes(&h->key, &h->key_len, &h->key_cap, m->key);

	if (!ret)
		ret = hold_bytes(&h->value, &h->value_len, &h->value_cap, m->value);
	h->any = !ret;
	return ret;
}

static int combine_held(struct held *h, struct mr_merge *m)
{
	struct mr_bytes into = { h->value, h->value_len };
	int ret;

	ret = mr_task_combine(m->task, m->key, &into, h->value_cap, m->value);
	if (ret)
		return ret;
	if (into.data != h->value)
		return hold_bytes(&h->value, &h->value_len, &h->value_cap, into);
	h->value_len = into.len;
	return 0;
}

static int write_pairs(struct mr_merge *m, struct mr_run_writer *w)
{
	struct held h = { 0 };
	int more, ret = 0;

	while (!ret && (more = mr_merge_next(m)) != 0) {
		if (more < 0) {
			ret = more;
		} else if (!m->task->app->combine) {
			ret = mr_run_write(w, m->key, m->value);
		} else if (h.any && h.key_len == m->key.len && memcmp(h.key, m->key.data, h.key_len) == 0) {
			ret = combine_held(&h, m);
		} else {
			ret = write_held(&h, w);
			if (!ret)
				ret = hold(&h, m);
		}
	}
	if (!ret)
		ret = write_held(&h, w);
	free(h.key);
	free(h.value);
	return ret;
}

int mr_merge_write(struct mr_merge *m, struct mr_run_writer *w, struct mr_region *region)
{
	int ret;

	mr_run_region_begin(w, m->task->attempt->number);
	ret = write_pairs(m, w);
	if (!ret)
		ret = mr_run_region_end(w, region);
	return ret ? mr_task_fail(m->task, MR_BLAME_SYSTEM, ret, "merge: %s", strerror(-ret)) : 0;
}

/* Replace the regions that are open, from @first on, by their merge. */
static int merge_open(struct mr_merge *m, size_t first)
{
	size_t nr = m->nr;
	struct mr_region merged;
	struct mr_run_writer w;
	int ret = 0;

	if (m->spill_fd < 0) {
		m->spill_fd = mr_tempfile_unnamed(m->task->attempt->work_dir);
		m->own_spill = m->spill_fd >= 0;
		if (m->spill_fd < 0)
			ret = m->spill_fd;
	}
	if (!ret)
		ret = mr_run_writer_init(&w, m->spill_fd, m->spill_pos, MR_CODEC_NONE);
	if (ret)
		return mr_task_fail(m->task, MR_BLAME_SYSTEM, ret, "merge in %s: %s", m->task->attempt->work_dir,
				    strerror(-ret));
	ret = mr_merge_write(m, &w, &merged);
	if (!ret) {
		ret = mr_run_flush(&w);
		if (ret)
			mr_task_fail(m->task, MR_BLAME_SYSTEM, ret, "merge in %s: %s", m->task->attempt->work_dir,
				     strerror(-ret));
	}
	m->spill_pos = w.pos;
	mr_run_writer_exit(&w);
	close_readers(m, 0);
	if (ret)
		return ret;
	m->regions[first] = merged;
	memmove(&m->regions[first + 1], &m->regions[first + nr], (m->nr_regions - first - nr) * sizeof(*m->regions));
	m->nr_regions -= nr - 1;
	return 0;
}

/* Merge neighbours, no more than needed, until all that is left can be open at once. */
static int merge_passes(struct mr_merge *m)
{
	size_t at = 0, hold_max, most;
	int ret;

	for (;;) {
		ret = open_readers(m, 0, MR_MERGE_MAX);
		if (ret || m->nr == m->nr_regions)
			return ret;
		hold_max = m->nr;
		while (m->nr_regions > hold_max) {
			most = m->nr_regions - hold_max + 1;
			if (at + 2 > m->nr_regions)
				at = 0;
			ret = open_readers(m, at, most < MR_MERGE_MAX ? most : MR_MERGE_MAX);
			if (!ret)
				ret = merge_open(m, at++);
			if (ret)
				return ret;
		}
	}
}

int mr_merge_init(struct mr_merge *m, struct mr_task *task, const struct mr_region *regions, size_t nr, int spill_fd,
		  uint64_t spill_pos)
{
	size_t i;
	int ret;

	memset(m, 0, sizeof(*m));
	m->task = task;
	m->spill_fd = spill_fd;
	m->spill_pos = spill_pos;
	m->arena = mr_arena_get(mr_arena_size(task->attempt));
	m->regions = calloc(nr + 1, sizeof(*m->regions));
	m->readers = calloc(MR_MERGE_MAX, sizeof(*m->readers));
	m->prefix = calloc(MR_MERGE_MAX, sizeof(*m->prefix));
	if (!m->arena || !m->regions || !m->readers || !m->prefix)
		return mr_task_fail(task, MR_BLAME_SYSTEM, -ENOMEM, "no memory to merge");
	for (i = 0; i < nr; i++)
		if (regions[i].len)
			m->regions[m->nr_regions++] = regions[i];
	ret = merge_passes(m);
	m->pairs = 0;
	return ret;
}

void mr_merge_exit(struct mr_merge *m)
{
	if (m->readers)
		close_readers(m, 0);
	if (m->own_spill)
		close(m->spill_fd);
	free(m->regions);
	free(m->readers);
	free(m->prefix);
}
