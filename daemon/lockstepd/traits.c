// SPDX-License-Identifier: GPL-2.0
/*
 * What this host is like, for its peers to compare: two halves of a guest must run alike,
 * and go on alike after a failover. "lockstepctl doctor" says which differ.
 *
 *	version		of these programs
 *	cpu		maker, family and model
 *	kernel		its release
 *	detect		when a peer is given up, by lockstepd.conf
 *
 * and, only while the module is loaded, what its files of these names say:
 *
 *	abi, arch, counter, lag_limit_ms, log_size
 */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "lockstepd/daemon.h"

#define SYSFS	"/sys/kernel/lockstep/"

static const char *const of_module[] = { "abi", "arch", "counter", "lag_limit_ms", "log_size" };

static void module_add(struct lockstep_traits *t)
{
	char path[64], line[LOCKSTEP_TRAIT_MAX + 1];
	unsigned int i;
	FILE *f;

	for (i = 0; i < sizeof(of_module) / sizeof(of_module[0]); i++) {
		snprintf(path, sizeof(path), SYSFS "%s", of_module[i]);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fgets(line, sizeof(line), f)) {
			line[strcspn(line, "\n")] = '\0';
			lockstep_traits_add(t, of_module[i], line);
		}
		fclose(f);
	}
}

/* "cpu family	: 23" of /proc/cpuinfo: copies its value if that is the line. */
static void cpu_take(const char *line, const char *key, char *out, size_t size)
{
	size_t len = strlen(key);
	const char *colon = strchr(line, ':');

	if (!colon || strncmp(line, key, len) || (line[len] != '\t' && line[len] != ' '))
		return;
	snprintf(out, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
}

/* The first processor's: all are alike. */
static void cpu_add(struct lockstep_traits *t)
{
	char line[256], vendor[16] = "", family[8] = "", model[8] = "";
	char value[LOCKSTEP_TRAIT_MAX + 1];
	FILE *f = fopen("/proc/cpuinfo", "re");

	if (!f)
		return;
	while (fgets(line, sizeof(line), f) && line[0] != '\n') {
		cpu_take(line, "vendor_id", vendor, sizeof(vendor));
		cpu_take(line, "cpu family", family, sizeof(family));
		if (strncmp(line, "model name", 10))
			cpu_take(line, "model", model, sizeof(model));
	}
	fclose(f);
	snprintf(value, sizeof(value), "%s family %s model %s", vendor, family, model);
	if (vendor[0])
		lockstep_traits_add(t, "cpu", value);
}

/* What stays as it is while this process lives. */
static void lasting_add(struct lockstep_traits *t, const struct lockstepd_config *cfg)
{
	char value[LOCKSTEP_TRAIT_MAX + 1];
	struct utsname name;

	lockstep_traits_add(t, "version", LOCKSTEPD_VERSION_TEXT);
	cpu_add(t);
	if (!uname(&name))
		lockstep_traits_add(t, "kernel", name.release);
	snprintf(value, sizeof(value), "silence %llu, confirm %llu, backup %llu %%, stuck %llu ms",
		 (unsigned long long)cfg->silence_ms, (unsigned long long)cfg->confirm_ms,
		 (unsigned long long)cfg->backup_percent, (unsigned long long)cfg->stuck_ms);
	lockstep_traits_add(t, "detect", value);
}

void lockstepd_traits_look(struct lockstepd *d)
{
	struct lockstep_traits t;

	if (!d->lasting.n)
		lasting_add(&d->lasting, &d->cfg);
	t = d->lasting;
	module_add(&t);
	lockstep_core_traits_set(&d->core, &t);
}
