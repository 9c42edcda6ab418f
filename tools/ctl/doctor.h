/* SPDX-License-Identifier: GPL-2.0 */
/* lockstepctl doctor: what its parts share. */
#ifndef LOCKSTEP_CTL_DOCTOR_H
#define LOCKSTEP_CTL_DOCTOR_H

#include <limits.h>

#include "ctl.h"
#include "lockstepd/config.h"

/* Of one check; failures only decide the exit status. */
enum ctl_result {
	CTL_RESULT_OK,
	CTL_RESULT_WARNING,
	CTL_RESULT_FAILURE,
	CTL_RESULT_UNKNOWN,
	CTL_RESULT_COUNT,
};

/**
 * struct ctl_doctor - one look over the host
 * @opt: command line
 * @root: in front of every path, "" on a real host
 * @cfg: lockstepd.conf, or the defaults
 * @configured: it could be read
 * @daemon: lockstepd's answer to "status", or NULL
 * @findings: array of {check, result, text, remedy}
 * @counts: of each result
 */
struct ctl_doctor {
	const struct ctl_options *opt;
	const char *root;
	struct lockstepd_config cfg;
	bool configured;
	struct json_object *daemon;
	struct json_object *findings;
	unsigned int counts[CTL_RESULT_COUNT];
};

/**
 * ctl_doctor_add() - note what a check found
 * @d: doctor
 * @check: word that names the check
 * @result: what came of it
 * @remedy: what to do about it; NULL where all is well
 * @fmt: what was found, and its cause
 */
void ctl_doctor_add(struct ctl_doctor *d, const char *check, enum ctl_result result,
		    const char *remedy, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/** ctl_doctor_path() - where a path of the host is; PATH_MAX bytes, cut if longer */
void ctl_doctor_path(const struct ctl_doctor *d, char *out, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * ctl_doctor_line() - first line of a file of the host
 * @d: doctor
 * @path: file, as the host names it
 * @out: receives the line without its newline, cut if longer
 * @size: room in @out
 *
 * Return: 0 or -errno.
 */
int ctl_doctor_line(const struct ctl_doctor *d, const char *path, char *out, size_t size);

/** ctl_doctor_there() - is there such a file or folder on the host? */
bool ctl_doctor_there(const struct ctl_doctor *d, const char *path);

/* Each adds its findings. */
void ctl_doctor_kvm(struct ctl_doctor *d);
void ctl_doctor_module(struct ctl_doctor *d);
void ctl_doctor_daemon(struct ctl_doctor *d);
void ctl_doctor_keys(struct ctl_doctor *d);
void ctl_doctor_guests(struct ctl_doctor *d);

#endif
