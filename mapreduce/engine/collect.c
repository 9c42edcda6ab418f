// SPDX-License-Identifier: GPL-2.0
/* What a map emits: collected, sorted, spilled, and in the end one run file. */
#include "engine/collect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "engine/merge.h"
#include "engine/run.h"
#include "engine/runindex.h"
#include "engine/sort.h"
#include "engine/tempfile.h"

#define FIRST_SLOTS	((size_t)16 << 10)

static int spill(struct mr_collect *c);

int mr_collect_init(struct mr_collect *c, struct mr_task *task)
{
	memset(c, 0, sizeof(*c));
	c->task = task;
	c->spill_fd = -1;
	c->arena = mr_arena_get(mr_arena_size(task->attempt));
	if (!c->arena)
		return mr_task_fail(task, MR_BLAME_SYSTEM, -ENOMEM, "no memory for pairs");
	if (task->app->combine) {
		c->slots = (uint64_t *)c->arena->base[MR_SPAN_SLOTS];
		c->nr_slots = FIRST_SLOTS;
		memset(c->slots, 0, c->nr_slots * sizeof(*c->slots));
	}
	return mr_partitioner_init(&c->partitioner, task);
}

void mr_collect_exit(struct mr_collect *c)
{
	if (c->spill_fd >= 0)
		close(c->spill_fd);
	free(c->spilled);
}

/* May there be @data bytes of pairs, @refs references, @slots slots? References are sorted with as much scratch. */
static bool fits(struct mr_collect *c, size_t data, size_t refs, size_t slots)
{
	const size_t used[__MR_SPAN_LAST] = {
		[MR_SPAN_DATA] = data,
		[MR_SPAN_REFS] = refs * sizeof(struct mr_ref),
		[MR_SPAN_SCRATCH] = refs * sizeof(struct mr_ref),
		[MR_SPAN_SLOTS] = slots * sizeof(*c->slots),
	};

	return mr_arena_fit(c->arena, used);
}

/* Room for a pair of @size bytes: more of the arena, or an empty one. */
static int make_room(struct mr_collect *c, size_t size)
{
	size_t step = c->arena->size / 64, data, refs;
	int ret;

	for (;;) {
		data = c->data + size + step;
		refs = c->slots ? c->nr_slots / 2 : c->refs + step / 64 + 1;
		if (fits(c, data, refs, c->nr_slots))
			break;
		if (!c->data)
			return mr_task_fail(c->task, MR_BLAME_SYSTEM, -ENOMEM, "no memory for a pair of %zu bytes", size);
		ret = spill(c);
		if (ret)
			return ret;
	}
	c->data_mark = data;
	c->refs_mark = refs;
	return 0;
}

/* Room is there. */
static void append(struct mr_collect *c, struct mr_bytes key, struct mr_bytes value, size_t value_cap, uint32_t part)
{
	struct mr_pair *pair = (struct mr_pair *)(c->arena->base[MR_SPAN_DATA] + c->data);

	pair->key_len = (uint32_t)key.len;
	pair->value_len = (uint32_t)value.len;
	pair->value_cap = (uint32_t)value_cap;
	pair->part = part;
	memcpy(pair->data, key.data, key.len);
	memcpy(pair->data + key.len, value.data, value.len);
	c->data += mr_pair_size(key.len, value_cap);
}

/* Twice as many slots; if they don't fit, none is filled after a spill. */
static int grow_table(struct mr_collect *c)
{
	uint64_t *old = (uint64_t *)c->arena->base[MR_SPAN_SCRATCH];
	size_t nr = c->nr_slots, i, at;

	if (!fits(c, c->data_mark, nr, 2 * nr))
		return spill(c);
	memcpy(old, c->slots, nr * sizeof(*old));
	c->nr_slots = 2 * nr;
	memset(c->slots, 0, c->nr_slots * sizeof(*c->slots));
	for (i = 0; i < nr; i++) {
		if (!old[i])
			continue;
		for (at = (old[i] >> 32) & (c->nr_slots - 1); c->slots[at]; at = (at + 1) & (c->nr_slots - 1))
			;
		c->slots[at] = old[i];
	}
	return 0;
}

static int insert(struct mr_collect *c, uint64_t hash, struct mr_bytes key, struct mr_bytes value, size_t value_cap)
{
	size_t size = mr_pair_size(key.len, value_cap), at;
	uint32_t part;
	int ret;

	ret = mr_partition(&c->partitioner, key, &part);
	if (!ret && c->filled == c->nr_slots / 2)
		ret = grow_table(c);
	if (!ret && c->data + size > c->data_mark)
		ret = make_room(c, size);
	if (ret)
		return ret;
	for (at = (hash >> 32) & (c->nr_slots - 1); c->slots[at]; at = (at + 1) & (c->nr_slots - 1))
		;
	c->slots[at] = (hash & ~(uint64_t)UINT32_MAX) | (c->data / 8 + 1);
	c->filled++;
	append(c, key, value, value_cap, part);
	return 0;
}

/* A combined value has outgrown its place in @slot: put the pair elsewhere. */
static int move_pair(struct mr_collect *c, uint64_t *slot, struct mr_pair *pair, struct mr_bytes key,
		     struct mr_bytes value)
{
	size_t cap = value.len + value.len / 2, size;
	uint32_t part = pair->part;
	uint64_t hash = *slot;

	if (key.len + cap > mr_task_pair_max(c->task))
		cap = value.len;
	size = mr_pair_size(key.len, cap);
	pair->part = MR_PAIR_DEAD;
	if (c->data + size <= c->data_mark) {
		*slot = (hash & ~(uint64_t)UINT32_MAX) | (c->data / 8 + 1);
		append(c, key, value, cap, part);
		return 0;
	}
	/* the table may be spilled: the slot is free then, and else holds a dead pair */
	if (make_room(c, size))
		return c->task->result->error;
	if (!c->filled)
		return insert(c, hash, key, value, cap);
	*slot = (hash & ~(uint64_t)UINT32_MAX) | (c->data / 8 + 1);
	append(c, key, value, cap, part);
	return 0;
}

static int combine(struct mr_collect *c, uint64_t *slot, struct mr_pair *pair, struct mr_bytes key,
		   struct mr_bytes value)
{
	char *held = pair->data + pair->key_len;
	struct mr_bytes into = { held, pair->value_len };
	int ret;

	ret = mr_task_combine(c->task, key, &into, pair->value_cap, value);
	if (ret)
		return ret;
	if (into.data != held)
		return move_pair(c, slot, pair, key, into);
	pair->value_len = (uint32_t)into.len;
	return 0;
}

/* Short keys, most keys, are compared without a call. */
static inline bool key_equal(const char *a, const char *b, size_t len)
{
	uint64_t a8, b8, a8_end, b8_end;
	uint32_t a4, b4, a4_end, b4_end;

	if (len > 16)
		return memcmp(a, b, len) == 0;
	if (len >= 8) {
		memcpy(&a8, a, 8);
		memcpy(&b8, b, 8);
		memcpy(&a8_end, a + len - 8, 8);
		memcpy(&b8_end, b + len - 8, 8);
		return a8 == b8 && a8_end == b8_end;
	}
	if (len >= 4) {
		memcpy(&a4, a, 4);
		memcpy(&b4, b, 4);
		memcpy(&a4_end, a + len - 4, 4);
		memcpy(&b4_end, b + len - 4, 4);
		return a4 == b4 && a4_end == b4_end;
	}
	return !len || (a[0] == b[0] && a[len / 2] == b[len / 2] && a[len - 1] == b[len - 1]);
}

static int add_combining(struct mr_collect *c, struct mr_bytes key, struct mr_bytes value)
{
	uint64_t hash = XXH3_64bits(key.data, key.len), slot;
	size_t mask = c->nr_slots - 1, at;
	struct mr_pair *pair;

	for (at = (hash >> 32) & mask; (slot = c->slots[at]) != 0; at = (at + 1) & mask) {
		if (slot >> 32 != hash >> 32)
			continue;
		pair = (struct mr_pair *)(c->arena->base[MR_SPAN_DATA] + 8 * ((slot & UINT32_MAX) - 1));
		if (pair->key_len == key.len && key_equal(pair->data, key.data, key.len))
			return combine(c, &c->slots[at], pair, key, value);
	}
	return insert(c, hash, key, value, value.len);
}

int mr_collect_add(struct mr_collect *c, struct mr_bytes key, struct mr_bytes value)
{
	size_t size = mr_pair_size(key.len, value.len);
	struct mr_ref *ref;
	int ret;

	if (key.len + value.len > mr_task_pair_max(c->task))
		return mr_task_fail(c->task, MR_BLAME_USER, -EMSGSIZE,
				    "emitted a pair of %zu bytes: memory of %llu allows %zu; give the job more memory",
				    key.len + value.len, (unsigned long long)c->task->attempt->memory,
				    mr_task_pair_max(c->task));
	if (c->slots)
		return add_combining(c, key, value);
	if (c->data + size > c->data_mark || c->refs == c->refs_mark) {
		ret = make_room(c, size);
		if (ret)
			return ret;
	}
	ref = (struct mr_ref *)c->arena->base[MR_SPAN_REFS] + c->refs;
	ret = mr_partition(&c->partitioner, key, &ref->part);
	if (ret)
		return ret;
	ref->prefix = mr_key_prefix(key.data, key.len, 0);
	ref->at = (uint32_t)(c->data / 8);
	c->refs++;
	append(c, key, value, value.len, ref->part);
	return 0;
}

/* References to all pairs of the table, in the order of their coming. */
static void list_table(struct mr_collect *c)
{
	struct mr_ref *refs = (struct mr_ref *)c->arena->base[MR_SPAN_REFS];
	const char *base = c->arena->base[MR_SPAN_DATA];
	const struct mr_pair *pair;
	size_t at;

	c->refs = 0;
	for (at = 0; at < c->data; at += mr_pair_size(pair->key_len, pair->value_cap)) {
		pair = (const struct mr_pair *)(base + at);
		if (pair->part == MR_PAIR_DEAD)
			continue;
		refs[c->refs].prefix = mr_key_prefix(pair->data, pair->key_len, 0);
		refs[c->refs].at = (uint32_t)(at / 8);
		refs[c->refs++].part = pair->part;
	}
}

/* Sort by partition and key; @ends[r] receives the end of partition r. */
static struct mr_ref *sort(struct mr_collect *c, size_t *ends)
{
	struct mr_ref *refs = (struct mr_ref *)c->arena->base[MR_SPAN_REFS];
	struct mr_ref *scratch = (struct mr_ref *)c->arena->base[MR_SPAN_SCRATCH], *sorted = refs;
	uint32_t parts = c->task->attempt->reduces, r;
	size_t i, begin = 0, n;

	if (parts == 1) {
		ends[0] = c->refs;
	} else {
		memset(ends, 0, parts * sizeof(*ends));
		for (i = 0; i < c->refs; i++)
			ends[refs[i].part]++;
		for (r = 0; r < parts; r++) {	/* now the beginnings, which become the ends */
			n = ends[r];
			ends[r] = begin;
			begin += n;
		}
		for (i = 0; i < c->refs; i++)
			scratch[ends[refs[i].part]++] = refs[i];
		sorted = scratch;
		scratch = refs;
	}
	for (r = 0, begin = 0; r < parts; begin = ends[r++])
		mr_sort(c->arena->base[MR_SPAN_DATA], sorted + begin, scratch + begin, ends[r] - begin,
			c->task->app->compare);
	return sorted;
}

static int write_region(struct mr_collect *c, struct mr_run_writer *w, const struct mr_ref *refs, size_t n,
			struct mr_region *region)
{
	const char *base = c->arena->base[MR_SPAN_DATA];
	const struct mr_pair *pair;
	size_t i;
	int ret;

	mr_run_region_begin(w, c->task->attempt->number);
	for (i = 0; i < n; i++) {
		if (i + 8 < n)
			__builtin_prefetch(mr_ref_pair(base, &refs[i + 8]));
		pair = mr_ref_pair(base, &refs[i]);
		ret = mr_run_write(w, (struct mr_bytes){ pair->data, pair->key_len },
				   (struct mr_bytes){ pair->data + pair->key_len, pair->value_len });
		if (ret)
			return ret;
	}
	return mr_run_region_end(w, region);
}

/* Sort what is held and write it as R regions; the memory is empty then. */
static int write_held(struct mr_collect *c, struct mr_run_writer *w, struct mr_region *regions)
{
	uint32_t parts = c->task->attempt->reduces, r;
	size_t *ends = malloc(parts * sizeof(*ends)), begin;
	struct mr_ref *sorted;
	int ret = 0;

	if (!ends)
		return -ENOMEM;
	if (c->slots)
		list_table(c);
	sorted = sort(c, ends);
	for (r = 0, begin = 0; !ret && r < parts; begin = ends[r++])
		ret = write_region(c, w, sorted + begin, ends[r] - begin, &regions[r]);
	if (!ret)
		ret = mr_run_flush(w);
	if (c->slots)
		memset(c->slots, 0, c->nr_slots * sizeof(*c->slots));
	c->data = 0;
	c->data_mark = 0;
	c->refs = 0;
	c->refs_mark = 0;
	c->filled = 0;
	free(ends);
	return ret;
}

static int spill_to(struct mr_collect *c, struct mr_region *regions)
{
	struct mr_run_writer w;
	int ret;

	ret = mr_run_writer_init(&w, c->spill_fd, c->spill_pos, MR_CODEC_NONE);
	if (ret)
		return ret;
	ret = write_held(c, &w, regions);
	c->spill_pos = w.pos;
	mr_run_writer_exit(&w);
	return ret;
}

static int spill(struct mr_collect *c)
{
	uint32_t parts = c->task->attempt->reduces;
	struct mr_region *more;
	int ret = 0;

	if (c->spill_fd < 0) {
		c->spill_fd = mr_tempfile_unnamed(c->task->attempt->work_dir);
		if (c->spill_fd < 0)
			ret = c->spill_fd;
	}
	more = ret ? NULL : reallocarray(c->spilled, (c->nr_spills + 1) * parts, sizeof(*more));
	if (more) {
		c->spilled = more;
		ret = spill_to(c, more + c->nr_spills++ * parts);
	} else if (!ret) {
		ret = -ENOMEM;
	}
	return ret ? mr_task_fail(c->task, MR_BLAME_SYSTEM, ret, "spill in %s: %s", c->task->attempt->work_dir,
				  strerror(-ret)) : 0;
}

/* Merge the spills of each partition. Fails by itself. */
static int merge_spills(struct mr_collect *c, struct mr_run_writer *w, struct mr_region *regions)
{
	uint32_t parts = c->task->attempt->reduces, r;
	struct mr_region *of;
	struct mr_merge m;
	size_t s;
	int ret = 0;

	of = calloc(c->nr_spills, sizeof(*of));
	if (!of)
		return mr_task_fail(c->task, MR_BLAME_SYSTEM, -ENOMEM, "no memory to merge");
	for (r = 0; !ret && r < parts; r++) {
		for (s = 0; s < c->nr_spills; s++)
			of[s] = c->spilled[s * parts + r];
		ret = mr_merge_init(&m, c->task, of, c->nr_spills, c->spill_fd, c->spill_pos);
		if (!ret)
			ret = mr_merge_write(&m, w, &regions[r]);
		c->spill_pos = m.spill_pos;
		mr_merge_exit(&m);
	}
	free(of);
	return ret;
}

static int write_run(struct mr_collect *c, int fd, struct mr_region *regions)
{
	const struct mr_attempt *attempt = c->task->attempt;
	struct mr_run_writer w;
	int ret;

	ret = mr_run_writer_init(&w, fd, 0, attempt->codec);
	if (!ret && c->nr_spills) {
		ret = merge_spills(c, &w, regions);
		if (!ret)
			ret = mr_run_flush(&w);
	} else if (!ret) {
		ret = write_held(c, &w, regions);
	}
	c->task->result->out_bytes = w.pos;
	mr_run_writer_exit(&w);
	return ret ? mr_task_fail(c->task, MR_BLAME_SYSTEM, ret, "%s: %s", c->task->result->path, strerror(-ret)) : 0;
}

int mr_collect_finish(struct mr_collect *c)
{
	const struct mr_attempt *attempt = c->task->attempt;
	struct mr_result *result = c->task->result;
	char name[MR_RUN_NAME_MAX];
	uint32_t r;
	int ret, fd;

	if (c->nr_spills) {
		ret = spill(c);
		if (ret)
			return ret;
	}
	mr_run_name(attempt->number, attempt->attempt, attempt->epoch, name);
	fd = mr_tempfile_create(attempt->work_dir, name, &result->path);
	if (fd < 0)
		return mr_task_fail(c->task, MR_BLAME_SYSTEM, fd, "run file in %s: %s", attempt->work_dir, strerror(-fd));
	result->regions = calloc(attempt->reduces, sizeof(*result->regions));
	result->nr_regions = result->regions ? attempt->reduces : 0;
	ret = result->regions ? write_run(c, fd, result->regions)
			      : mr_task_fail(c->task, MR_BLAME_SYSTEM, -ENOMEM, "no memory for regions");
	for (r = 0; r < result->nr_regions; r++)
		result->regions[r].path = result->path;
	if (close(fd) < 0 && !ret)
		ret = mr_task_fail(c->task, MR_BLAME_SYSTEM, -errno, "%s: %s", result->path, strerror(errno));
	return ret;
}
