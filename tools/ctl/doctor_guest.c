// SPDX-License-Identifier: GPL-2.0
/* lockstepctl doctor: the guests that are defined here, and what each of them needs. */
#include "doctor.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/if_ether.h>
#include <linux/if_tun.h>

#include "common/config.h"
#include "common/text.h"
#include "lockstepd/definition.h"

#define MEMORY_DEF	(256ULL << 20)	/* of lockstep-vmm */
#define LOG_DEF		(8ULL << 20)	/* of the module */
#define SIZE_TEXT	32
#define FILES_MAX	8

/**
 * struct guest - a guest as lockstep-vmm would be told to run it
 * @name: its name
 * @memory: bytes, 0: can't be understood
 * @log: bytes of log, 0: the module's default
 * @tap: its device, or NULL
 * @files: what has to be readable
 * @nfiles: how many
 */
struct guest {
	const char *name;
	uint64_t memory;
	uint64_t log;
	const char *tap;
	const char *files[FILES_MAX];
	unsigned int nfiles;
};

/* --- definition ----------------------------------------------------------- */

static void option_take(struct guest *g, const char *key, const char *value)
{
	uint64_t n;

	if (!strcmp(key, "--memory")) {
		/* a number without a letter is in MiB there */
		if (!lockstep_config_u64(value, 0, UINT64_MAX >> 20, &n))
			g->memory = n << 20;
		else if (lockstep_config_size(value, 0, UINT64_MAX, &g->memory))
			g->memory = 0;
	} else if (!strcmp(key, "--log-size")) {
		if (lockstep_config_size(value, 0, UINT64_MAX, &g->log))
			g->log = 0;
	} else if (!strcmp(key, "--tap")) {
		g->tap = value;
	} else if ((!strcmp(key, "--kernel") || !strcmp(key, "--initrd") ||
		    !strcmp(key, "--disk")) && g->nfiles < FILES_MAX) {
		g->files[g->nfiles++] = value;
	}
}

static void guest_read(struct guest *g, const struct lockstepd_definition *def)
{
	unsigned int i;

	memset(g, 0, sizeof(*g));
	g->name = def->name;
	g->memory = MEMORY_DEF;
	/* args[0] is the program; an option is followed by its value, if it has one */
	for (i = 1; i + 1 < def->nargs; i++)
		if (!strncmp(def->args[i], "--", 2) && strncmp(def->args[i + 1], "--", 2))
			option_take(g, def->args[i], def->args[i + 1]);
}

static void peer_check(struct ctl_doctor *d, const struct lockstepd_definition *def)
{
	char remedy[256];
	unsigned int i;

	for (i = 0; i < d->cfg.npeers; i++)
		if (!strcmp(d->cfg.peers[i].node, def->peer))
			return;
	if (!def->peer[0]) {
		ctl_doctor_add(d, "guest", CTL_RESULT_WARNING,
			       "name the other host: peer = NODE in [guest]",
			       "%s: has no peer: start begins this half only", def->name);
	} else if (d->configured) {
		snprintf(remedy, sizeof(remedy),
			 "add a section [peer %s] to lockstepd.conf, or correct peer = in [guest]",
			 def->peer);
		ctl_doctor_add(d, "guest", CTL_RESULT_FAILURE, remedy,
			       "%s: its peer %s is not in lockstepd.conf", def->name, def->peer);
	}
}

/* --- files ---------------------------------------------------------------- */

/* Looked at as what a program run by this user may do, without an open() that a disk would notice. */
static void file_check(struct ctl_doctor *d, const char *name, const char *value)
{
	size_t n = strlen(value);
	char path[PATH_MAX];

	/* of a disk */
	if (n > 3 && !strcmp(value + n - 3, ",ro"))
		n -= 3;
	ctl_doctor_path(d, path, "%.*s", (int)n, value);
	if (!access(path, R_OK))
		return;
	if (errno == EACCES && geteuid())
		ctl_doctor_add(d, "files", CTL_RESULT_UNKNOWN, "run lockstepctl doctor as root",
			       "%s: %.*s can't be read by this user", name, (int)n, value);
	else
		ctl_doctor_add(d, "files", CTL_RESULT_FAILURE,
			       "put it there, with the same content as on the other host, or correct [vmm]",
			       "%s: %.*s: %s", name, (int)n, value, strerror(errno));
}

static void files_check(struct ctl_doctor *d, const struct guest *g)
{
	unsigned int before = d->counts[CTL_RESULT_FAILURE] + d->counts[CTL_RESULT_UNKNOWN], i;

	for (i = 0; i < g->nfiles; i++)
		file_check(d, g->name, g->files[i]);
	if (before == d->counts[CTL_RESULT_FAILURE] + d->counts[CTL_RESULT_UNKNOWN])
		ctl_doctor_add(d, "files", CTL_RESULT_OK, NULL,
			       "%s: kernel, initrd and disks can be read (%u files)", g->name,
			       g->nfiles);
}

/* --- tap ------------------------------------------------------------------ */

static bool is_tap(const struct ctl_doctor *d, const char *tap)
{
	char path[PATH_MAX], value[32];

	snprintf(path, sizeof(path), "/sys/class/net/%.64s/tun_flags", tap);
	return !ctl_doctor_line(d, path, value, sizeof(value)) &&
	       strtoul(value, NULL, 0) & IFF_TAP;
}

/* "00000000,00000003": a mask of CPUs; the first queue that has one, or -1. */
static int steered_find(const struct ctl_doctor *d, const char *tap)
{
	char path[PATH_MAX], value[1024];
	int i;

	for (i = 0; ; i++) {
		snprintf(path, sizeof(path), "/sys/class/net/%.64s/queues/rx-%d/rps_cpus", tap, i);
		if (ctl_doctor_line(d, path, value, sizeof(value)))
			return -1;
		if (value[strspn(value, "0,")])
			return i;
	}
}

static void rps_check(struct ctl_doctor *d, const struct guest *g)
{
	int queue = steered_find(d, g->tap);
	char remedy[256];

	if (queue < 0) {
		ctl_doctor_add(d, "rps", CTL_RESULT_OK, NULL,
			       "%s: frames of %s stay on the CPU they come on", g->name, g->tap);
		return;
	}
	snprintf(remedy, sizeof(remedy), "echo 0 > /sys/class/net/%.64s/queues/rx-%d/rps_cpus",
		 g->tap, queue);
	ctl_doctor_add(d, "rps", CTL_RESULT_FAILURE, remedy,
		       "%s: RPS gives frames of %s to other CPUs: outputs may be reported as released too early",
		       g->name, g->tap);
}

/*
 * Sockets for all protocols are served before the gate; those for one protocol only
 * behind it, with what was released. Interface 0: of all interfaces.
 */
static bool captured(const struct ctl_doctor *d, unsigned int ifindex)
{
	unsigned int proto, at;
	char path[PATH_MAX], line[256];
	bool found = false;
	FILE *f;

	ctl_doctor_path(d, path, "/proc/net/packet");
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = sscanf(line, "%*s %*s %*s %x %u", &proto, &at) == 2 &&
			proto == ETH_P_ALL && (!at || at == ifindex);
	fclose(f);
	return found;
}

static void capture_check(struct ctl_doctor *d, const struct guest *g)
{
	char path[PATH_MAX], value[32];

	snprintf(path, sizeof(path), "/sys/class/net/%.64s/ifindex", g->tap);
	if (ctl_doctor_line(d, path, value, sizeof(value)))
		return;
	if (captured(d, (unsigned int)strtoul(value, NULL, 10)))
		ctl_doctor_add(d, "capture", CTL_RESULT_WARNING,
			       "end that program (ss -0p names it), or capture where frames go on to",
			       "%s: a packet socket (tcpdump?) on %s sees frames before they are released",
			       g->name, g->tap);
	else
		ctl_doctor_add(d, "capture", CTL_RESULT_OK, NULL,
			       "%s: no packet socket sees frames of %s before their release",
			       g->name, g->tap);
}

static void tap_check(struct ctl_doctor *d, const struct guest *g)
{
	char path[PATH_MAX], remedy[256];

	if (!g->tap)
		return;
	snprintf(path, sizeof(path), "/sys/class/net/%.64s", g->tap);
	snprintf(remedy, sizeof(remedy),
		 "ip tuntap add %.64s mode tap && ip link set %.64s up, as a port of your bridge",
		 g->tap, g->tap);
	if (!ctl_doctor_there(d, path)) {
		ctl_doctor_add(d, "tap", CTL_RESULT_FAILURE, remedy,
			       "%s: there is no device %s", g->name, g->tap);
		return;
	}
	if (!is_tap(d, g->tap)) {
		ctl_doctor_add(d, "tap", CTL_RESULT_FAILURE,
			       "name a tap in [vmm]; ip tuntap add NAME mode tap makes one",
			       "%s: %s is no tap", g->name, g->tap);
		return;
	}
	ctl_doctor_add(d, "tap", CTL_RESULT_OK, NULL, "%s: %s is there", g->name, g->tap);
	rps_check(d, g);
	capture_check(d, g);
}

/* --- memory --------------------------------------------------------------- */

/* Bytes that can still be given out; false: it is not told. */
static bool available_read(const struct ctl_doctor *d, uint64_t *bytes)
{
	unsigned long long kib;
	char path[PATH_MAX], line[256];
	bool found = false;
	FILE *f;

	ctl_doctor_path(d, path, "/proc/meminfo");
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = sscanf(line, "MemAvailable: %llu kB", &kib) == 1;
	fclose(f);
	*bytes = found ? kib << 10 : 0;
	return found;
}

static uint64_t log_size(const struct ctl_doctor *d, const struct guest *g)
{
	char value[32];

	if (g->log || ctl_doctor_line(d, "/sys/kernel/lockstep/log_size", value, sizeof(value)))
		return g->log ? g->log : LOG_DEF;
	return strtoull(value, NULL, 10);
}

/* @left: bytes, without what guests before this one need */
static void memory_check(struct ctl_doctor *d, const struct guest *g, bool told, uint64_t *left)
{
	uint64_t need = g->memory + log_size(d, g);
	char want[SIZE_TEXT], have[SIZE_TEXT], path[PATH_MAX];

	lockstep_text_bytes(need, want, sizeof(want));
	lockstep_text_bytes(*left, have, sizeof(have));
	snprintf(path, sizeof(path), "/sys/kernel/lockstep/%s", g->name);
	if (!g->memory) {
		ctl_doctor_add(d, "memory", CTL_RESULT_FAILURE,
			       "memory = is a number of MiB, or one with K, M or G behind it",
			       "%s: its memory can't be understood", g->name);
	} else if (ctl_doctor_there(d, path)) {
		ctl_doctor_add(d, "memory", CTL_RESULT_OK, NULL, "%s: runs, and has its memory",
			       g->name);
	} else if (!told) {
		ctl_doctor_add(d, "memory", CTL_RESULT_UNKNOWN, "mount /proc",
			       "%s: needs %s; /proc/meminfo does not tell what there is",
			       g->name, want);
	} else if (need > *left) {
		ctl_doctor_add(d, "memory", CTL_RESULT_FAILURE,
			       "free or add memory, on both hosts, or give the guest less",
			       "%s: needs %s, locked; %s are left", g->name, want, have);
	} else {
		ctl_doctor_add(d, "memory", CTL_RESULT_OK, NULL, "%s: needs %s of %s", g->name,
			       want, have);
		*left -= need;
	}
}

/* --- all ------------------------------------------------------------------ */

/* The program that runs guests: a path, or found in PATH. */
static bool vmm_find(const struct ctl_doctor *d)
{
	const char *at = getenv("PATH"), *end;
	char path[PATH_MAX];

	if (strchr(d->cfg.vmm, '/')) {
		ctl_doctor_path(d, path, "%s", d->cfg.vmm);
		return !access(path, X_OK);
	}
	for (; at && *at; at = *end ? end + 1 : end) {
		end = strchrnul(at, ':');
		ctl_doctor_path(d, path, "%.*s/%s", (int)(end - at), at, d->cfg.vmm);
		if (!access(path, X_OK))
			return true;
	}
	return false;
}

static void vmm_check(struct ctl_doctor *d)
{
	if (vmm_find(d))
		ctl_doctor_add(d, "vmm", CTL_RESULT_OK, NULL, "%s can be run", d->cfg.vmm);
	else
		ctl_doctor_add(d, "vmm", CTL_RESULT_FAILURE,
			       "make install, or name it in lockstepd.conf: vmm = PATH in [guests]",
			       "%s is not there, or no program", d->cfg.vmm);
}

static void guest_check(struct ctl_doctor *d, const struct lockstepd_config *cfg,
			const char *name, bool told, uint64_t *left)
{
	unsigned int before = d->counts[CTL_RESULT_FAILURE] + d->counts[CTL_RESULT_WARNING];
	struct lockstepd_definition def;
	struct guest g;
	char err[512];

	if (lockstepd_definition_read(cfg, name, false, &def, err, sizeof(err))) {
		ctl_doctor_add(d, "guest", CTL_RESULT_FAILURE,
			       "correct its definition; lockstepd(8) has what belongs there",
			       "%s: %s", name, err);
		return;
	}
	guest_read(&g, &def);
	peer_check(d, &def);
	if (before == d->counts[CTL_RESULT_FAILURE] + d->counts[CTL_RESULT_WARNING])
		ctl_doctor_add(d, "guest", CTL_RESULT_OK, NULL, "%s: defined, peer %s", name,
			       def.peer);
	files_check(d, &g);
	tap_check(d, &g);
	memory_check(d, &g, told, left);
	lockstepd_definition_exit(&def);
}

static int is_definition(const struct dirent *e)
{
	const char *dot = strrchr(e->d_name, '.');

	return e->d_name[0] != '.' && dot && !strcmp(dot, ".conf");
}

void ctl_doctor_guests(struct ctl_doctor *d)
{
	struct lockstepd_config cfg = d->cfg;
	char path[PATH_MAX];
	struct dirent **names;
	uint64_t left = 0;
	int n, i, err;
	bool told;

	vmm_check(d);
	ctl_doctor_path(d, path, "%s", d->cfg.definitions);
	if (snprintf(cfg.definitions, sizeof(cfg.definitions), "%s", path) >=
	    (int)sizeof(cfg.definitions)) {
		ctl_doctor_add(d, "guest", CTL_RESULT_UNKNOWN, "choose a shorter --root",
			       "the name of %s is too long", path);
		return;
	}
	n = scandir(path, &names, is_definition, alphasort);
	err = n < 0 ? errno : 0;
	if (err == EACCES && geteuid()) {
		ctl_doctor_add(d, "guest", CTL_RESULT_UNKNOWN, "run lockstepctl doctor as root",
			       "%s can't be read by this user", d->cfg.definitions);
		return;
	}
	if (n <= 0)
		ctl_doctor_add(d, "guest", CTL_RESULT_WARNING,
			       "write NAME.conf there, on both hosts; lockstepd(8) has an example",
			       "no guest is defined in %s%s%s", d->cfg.definitions,
			       err ? ": " : "", err ? strerror(err) : "");
	if (n < 0)
		return;
	told = available_read(d, &left);
	for (i = 0; i < n; i++) {
		names[i]->d_name[strlen(names[i]->d_name) - strlen(".conf")] = '\0';
		guest_check(d, &cfg, names[i]->d_name, told, &left);
		free(names[i]);
	}
	free(names);
}
