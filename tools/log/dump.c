// SPDX-License-Identifier: GPL-2.0
/* lockstep-log dump and stats: what is in a log file. */
#include "log.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "kmod/record.h"

static const char *type_name(unsigned int type)
{
	switch (type) {
	case LOCKSTEP_RECORD_TSC:
		return "tsc";
	case LOCKSTEP_RECORD_TSC_STOP:
		return "tsc-stop";
	case LOCKSTEP_RECORD_CLOCK:
		return "clock";
	case LOCKSTEP_RECORD_INPUT:
		return "input";
	case LOCKSTEP_RECORD_OUTPUT:
		return "output";
	case LOCKSTEP_RECORD_DIGEST:
		return "digest";
	case LOCKSTEP_RECORD_CONTROL:
		return "control";
	case LOCKSTEP_RECORD_WALL:
		return "wall";
	case LOCKSTEP_RECORD_FORCED:
		return "forced";
	}
	return "?";
}

static void hex(const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		printf("%02x", data[i]);
}

static void dump_record(const struct lockstep_log_options *opt, uint64_t lsn, uint64_t clock,
			const struct lockstep_rec *rec)
{
	if (opt->json) {
		printf("{\"lsn\":%llu,\"type\":\"%s\",\"size\":%u", (unsigned long long)lsn,
		       type_name(rec->type), rec->size);
		if (lockstep_record_is_short(rec->type)) {
			printf(",\"clock\":%llu}\n", (unsigned long long)clock);
			return;
		}
		printf(",\"unit\":%u,\"kind\":%u,\"count\":%llu,\"rip\":%llu,\"rcx\":%llu,\"digest\":%llu,\"payload\":\"",
		       rec->unit, rec->kind, (unsigned long long)rec->pos.count,
		       (unsigned long long)rec->pos.rip, (unsigned long long)rec->pos.rcx,
		       (unsigned long long)rec->digest);
		hex(rec->payload, rec->len);
		printf("\"}\n");
		return;
	}
	printf("%12llu %-8s ", (unsigned long long)lsn, type_name(rec->type));
	if (lockstep_record_is_short(rec->type)) {
		printf("%llu ns (+%llu)\n", (unsigned long long)clock,
		       (unsigned long long)rec->delta);
		return;
	}
	printf("unit %u kind %u count %llu rip %llx rcx %llx regs %016llx, %u bytes ", rec->unit,
	       rec->kind, (unsigned long long)rec->pos.count, (unsigned long long)rec->pos.rip,
	       (unsigned long long)rec->pos.rcx, (unsigned long long)rec->digest, rec->len);
	hex(rec->payload, rec->len > 48 ? 48 : rec->len);
	printf("%s\n", rec->len > 48 ? "..." : "");
}

/**
 * struct walker - what is called for the parts of a log
 * @record: for each record, with its LSN and the clock after it
 * @arg:    for @record
 * @batches: how many there were
 */
struct walker {
	void (*record)(void *arg, uint64_t lsn, uint64_t clock, const struct lockstep_rec *rec);
	void *arg;
	uint64_t batches;
};

static int walk(const struct lockstep_log_options *opt, struct lockstep_logfile *lf,
		struct walker *walker)
{
	uint64_t clock = 0, lsn;
	struct lockstep_rec rec;
	size_t at, len;
	int ret;

	if (lockstep_log_open(lf, opt->path))
		return LOG_ERROR;
	while ((ret = lockstep_logfile_next(lf)) > 0) {
		const uint8_t *bytes = (const uint8_t *)(&lf->batch.head + 1);

		len = ret - sizeof(lf->batch.head);
		lsn = le64toh(lf->batch.head.lsn);
		for (at = 0; at < len; at += rec.size) {
			lockstep_record_get(bytes + at, len - at, &rec);	/* was checked */
			clock += rec.delta;
			walker->record(walker->arg, lsn + at, clock, &rec);
		}
		walker->batches++;
	}
	if (ret < 0) {
		fprintf(stderr, "lockstep-log: %s: harmed behind lsn %llu\n", opt->path,
			(unsigned long long)lf->lsn);
		ret = LOG_ERROR;
	} else if (!lf->closed) {
		fprintf(stderr, "lockstep-log: %s: cut short at lsn %llu\n", opt->path,
			(unsigned long long)lf->lsn);
		ret = LOG_SHORT;
	}
	lockstep_logfile_end(lf);
	return ret;
}

static void dump_one(void *arg, uint64_t lsn, uint64_t clock, const struct lockstep_rec *rec)
{
	dump_record(arg, lsn, clock, rec);
}

/**
 * lockstep_log_dump() - lockstep-log dump
 * @opt: command line
 *
 * Return: enum lockstep_log_status.
 */
int lockstep_log_dump(const struct lockstep_log_options *opt)
{
	static struct lockstep_logfile lf;
	struct walker walker = { .record = dump_one, .arg = (void *)(uintptr_t)opt };

	return walk(opt, &lf, &walker);
}

struct totals {
	uint64_t n[__LOCKSTEP_RECORD_LAST];
	uint64_t bytes[__LOCKSTEP_RECORD_LAST];
	uint64_t inputs[LOCKSTEP_UNITS];
	uint64_t clock;
};

static void count_one(void *arg, uint64_t lsn, uint64_t clock, const struct lockstep_rec *rec)
{
	struct totals *t = arg;

	(void)lsn;
	t->n[rec->type]++;
	t->bytes[rec->type] += rec->size;
	if (rec->type == LOCKSTEP_RECORD_INPUT)
		t->inputs[rec->unit]++;
	t->clock = clock;
}

static void stats_print(const struct lockstep_log_options *opt, const struct totals *t,
			const struct lockstep_logfile *lf, uint64_t batches)
{
	const char *sep = "";

	if (opt->json)
		printf("{\"bytes\":%llu,\"batches\":%llu,\"guest_seconds\":%.6f,\"records\":{",
		       (unsigned long long)lf->lsn, (unsigned long long)batches, t->clock / 1e9);
	else
		printf("%llu bytes in %llu batches, %.3f s of guest time, %.3f Mb/s\n",
		       (unsigned long long)lf->lsn, (unsigned long long)batches, t->clock / 1e9,
		       t->clock ? lf->lsn * 8e3 / t->clock : 0.0);
	for (unsigned int i = 0; i < __LOCKSTEP_RECORD_LAST; i++) {
		if (!t->n[i])
			continue;
		if (opt->json)
			printf("%s\"%s\":{\"count\":%llu,\"bytes\":%llu}", sep, type_name(i),
			       (unsigned long long)t->n[i], (unsigned long long)t->bytes[i]);
		else
			printf("%-8s %10llu records %12llu bytes, %.2f each\n", type_name(i),
			       (unsigned long long)t->n[i], (unsigned long long)t->bytes[i],
			       (double)t->bytes[i] / t->n[i]);
		sep = ",";
	}
	if (opt->json)
		printf("}}\n");
	for (unsigned int i = 0; i < LOCKSTEP_UNITS && !opt->json; i++)
		if (t->inputs[i])
			printf("inputs of unit %u: %llu\n", i, (unsigned long long)t->inputs[i]);
}

/**
 * lockstep_log_stats() - lockstep-log stats
 * @opt: command line
 *
 * Return: enum lockstep_log_status.
 */
int lockstep_log_stats(const struct lockstep_log_options *opt)
{
	static struct lockstep_logfile lf;
	static struct totals totals;
	struct walker walker = { .record = count_one, .arg = &totals };
	int ret = walk(opt, &lf, &walker);

	if (ret != LOG_ERROR)
		stats_print(opt, &totals, &lf, walker.batches);
	return ret;
}
