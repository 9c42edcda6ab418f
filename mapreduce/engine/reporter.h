/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a streaming command may say on its standard error, as under Hadoop:
 *
 *	reporter:counter:GROUP,COUNTER,AMOUNT
 *	reporter:status:MESSAGE
 */
#ifndef LOCKSTEP_MR_REPORTER_H
#define LOCKSTEP_MR_REPORTER_H

#include <stddef.h>
#include <stdint.h>

#include "lockstep/mapreduce.h"

enum mr_report_kind {
	MR_REPORT_NONE		= 0,	/* an ordinary line, or a malformed report */
	MR_REPORT_COUNTER	= 1,
	MR_REPORT_STATUS	= 2,
};

/**
 * struct mr_report - a line taken apart
 * @kind: what it is; decides which of the others are set
 * @group: counter's group
 * @name: counter's name
 * @amount: what to add to it
 * @status: message, within the line; not zero-terminated
 */
struct mr_report {
	enum mr_report_kind kind;
	char group[MR_NAME_MAX + 1];
	char name[MR_NAME_MAX + 1];
	int64_t amount;
	struct mr_bytes status;
};

/**
 * mr_report_parse() - take a line of standard error apart
 * @line: bytes, without newline
 * @len: how many
 * @report: receives what it says
 */
void mr_report_parse(const char *line, size_t len, struct mr_report *report);

/**
 * mr_number_parse() - a decimal 64-bit number, with or without sign
 * @text: bytes
 * @len: how many; white space around the number is allowed
 * @out: receives the number
 *
 * Return: 0, -EINVAL or -ERANGE.
 */
int mr_number_parse(const char *text, size_t len, int64_t *out);

#endif
