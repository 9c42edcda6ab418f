// SPDX-License-Identifier: GPL-2.0
/* lockstepctl doctor: KVM, CPU, kernel and module of this host. */
#include "doctor.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/kvm.h>
#include <linux/lockstep.h>

#define SYSFS		"/sys/kernel/lockstep/"
#define PARAMETERS	"/sys/module/lockstep/parameters/"
#define VALUE_MAX	64

/**
 * struct cpu - the first processor of /proc/cpuinfo; all are alike
 * @vendor: as CPUID says it, or empty
 * @amd: SVM could be here
 * @intel: VMX could be
 * @virt: and is
 * @nrips: the next RIP is saved on exits
 */
struct cpu {
	char vendor[VALUE_MAX];
	char family[VALUE_MAX];
	char model[VALUE_MAX];
	bool amd;
	bool intel;
	bool virt;
	bool nrips;
};

/* --- KVM ------------------------------------------------------------------ */

static bool flag_has(const char *flags, const char *name)
{
	size_t n = strlen(name);
	const char *at;

	for (at = strstr(flags, name); at; at = strstr(at + 1, name))
		if ((at == flags || isspace((unsigned char)at[-1])) &&
		    (!at[n] || isspace((unsigned char)at[n])))
			return true;
	return false;
}

static void cpu_take(struct cpu *cpu, const char *key, const char *value)
{
	if (!strcmp(key, "vendor_id"))
		snprintf(cpu->vendor, sizeof(cpu->vendor), "%s", value);
	else if (!strcmp(key, "cpu family"))
		snprintf(cpu->family, sizeof(cpu->family), "%s", value);
	else if (!strcmp(key, "model"))
		snprintf(cpu->model, sizeof(cpu->model), "%s", value);
	if (strcmp(key, "flags"))
		return;
	cpu->virt = flag_has(value, cpu->intel ? "vmx" : "svm");
	cpu->nrips = flag_has(value, "nrip_save");
}

static void cpu_read(const struct ctl_doctor *d, struct cpu *cpu)
{
	char path[PATH_MAX], *line = NULL, *colon, *end;
	size_t size = 0;
	FILE *f;

	memset(cpu, 0, sizeof(*cpu));
	ctl_doctor_path(d, path, "/proc/cpuinfo");
	f = fopen(path, "re");
	if (!f)
		return;
	while (getline(&line, &size, f) > 0 && *line != '\n') {
		line[strcspn(line, "\n")] = '\0';
		colon = strchr(line, ':');
		if (!colon || colon[1] != ' ')
			continue;
		for (end = colon; end > line && isspace((unsigned char)end[-1]); end--)
			;
		*end = '\0';
		cpu_take(cpu, line, colon + 2);
		cpu->amd = !strcmp(cpu->vendor, "AuthenticAMD") ||
			   !strcmp(cpu->vendor, "HygonGenuine");
		cpu->intel = !strcmp(cpu->vendor, "GenuineIntel");
	}
	free(line);
	fclose(f);
}

static const char *kvm_modprobe(const struct cpu *cpu)
{
	return cpu->intel ? "modprobe kvm-intel" : "modprobe kvm-amd";
}

/* Below a root of tests a file stands for the device, and holds its answer. */
static int kvm_version(const struct ctl_doctor *d, int fd)
{
	int version = ioctl(fd, KVM_GET_API_VERSION, 0);
	char text[VALUE_MAX];

	if (version >= 0)
		return version;
	version = -errno;
	if (*d->root && !ctl_doctor_line(d, "/dev/kvm", text, sizeof(text)))
		version = atoi(text);
	return version;
}

static void kvm_check(struct ctl_doctor *d, const struct cpu *cpu)
{
	char path[PATH_MAX];
	int fd, version;

	ctl_doctor_path(d, path, "/dev/kvm");
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 && errno == EACCES && geteuid()) {
		ctl_doctor_add(d, "kvm", CTL_RESULT_UNKNOWN, "run lockstepctl doctor as root",
			       "/dev/kvm can't be opened by this user");
	} else if (fd < 0) {
		ctl_doctor_add(d, "kvm", CTL_RESULT_FAILURE, kvm_modprobe(cpu),
			       "/dev/kvm can't be opened: %s", strerror(errno));
	} else {
		version = kvm_version(d, fd);
		close(fd);
		if (version == KVM_API_VERSION)
			ctl_doctor_add(d, "kvm", CTL_RESULT_OK, NULL,
				       "/dev/kvm opens, API version %d", version);
		else if (version < 0)
			ctl_doctor_add(d, "kvm", CTL_RESULT_FAILURE,
				       "remove /dev/kvm: it is no KVM; loading the module makes it anew",
				       "/dev/kvm does not tell its API version: %s",
				       strerror(-version));
		else
			ctl_doctor_add(d, "kvm", CTL_RESULT_FAILURE,
				       "boot a kernel with the KVM of Linux",
				       "/dev/kvm answers with API version %d, not %d", version,
				       KVM_API_VERSION);
	}
}

static void cpu_check(struct ctl_doctor *d, const struct cpu *cpu)
{
	if (!cpu->vendor[0])
		ctl_doctor_add(d, "cpu", CTL_RESULT_UNKNOWN, "mount /proc",
			       "/proc/cpuinfo does not tell who made the CPU");
	else if (!cpu->amd && !cpu->intel)
		ctl_doctor_add(d, "cpu", CTL_RESULT_FAILURE, "use hosts with AMD CPUs",
			       "%s: the module knows SVM and VMX only", cpu->vendor);
	else if (!cpu->virt)
		ctl_doctor_add(d, "cpu", CTL_RESULT_FAILURE,
			       "turn it on in the firmware; in a VM, have its host allow nested virtualisation",
			       "%s: no %s", cpu->vendor, cpu->amd ? "SVM" : "VMX");
	else if (cpu->intel)
		ctl_doctor_add(d, "cpu", CTL_RESULT_WARNING, "use hosts with AMD CPUs",
			       "%s: lockstep's part for VMX has run in an emulator only",
			       cpu->vendor);
	else
		ctl_doctor_add(d, "cpu", CTL_RESULT_OK, NULL, "%s family %s model %s, SVM",
			       cpu->vendor, cpu->family, cpu->model);
}

/* Intel's unrestricted guests, which the module needs, imply EPT. */
static void paging_check(struct ctl_doctor *d, const struct cpu *cpu)
{
	const char *file = cpu->amd ? "/sys/module/kvm_amd/parameters/npt" :
				      "/sys/module/kvm_intel/parameters/unrestricted_guest";
	const char *name = cpu->amd ? "npt" : "unrestricted_guest";
	const char *module = cpu->amd ? "kvm-amd" : "kvm-intel";
	char value[VALUE_MAX], remedy[256];

	if (ctl_doctor_line(d, file, value, sizeof(value))) {
		ctl_doctor_add(d, "nested-paging", CTL_RESULT_UNKNOWN, kvm_modprobe(cpu),
			       "%s is not loaded, or does not tell", module);
	} else if (*value == 'Y' || *value == '1') {
		ctl_doctor_add(d, "nested-paging", CTL_RESULT_OK, NULL, "%s %s=%s", module, name,
			       value);
	} else {
		snprintf(remedy, sizeof(remedy),
			 "take %s=0%s out of /etc/modprobe.d and load %s again; if it stays off, the CPU has none",
			 name, cpu->amd ? "" : " or ept=0", module);
		ctl_doctor_add(d, "nested-paging", CTL_RESULT_FAILURE, remedy,
			       "off (%s %s=%s)", module, name, value);
	}
}

static void nrips_check(struct ctl_doctor *d, const struct cpu *cpu)
{
	if (cpu->nrips)
		ctl_doctor_add(d, "nrips", CTL_RESULT_OK, NULL, "the CPU saves the next RIP on exits");
	else
		ctl_doctor_add(d, "nrips", CTL_RESULT_FAILURE,
			       "none but another CPU; in a VM, have its host expose nrip-save",
			       "the CPU does not save the next RIP on exits: clock reads can't be answered");
}

/* lockstep-vmm turns PAUSE exits off for its guests: of account to another VMM only. */
static void pause_check(struct ctl_doctor *d)
{
	const char *base = strrchr(d->cfg.vmm, '/');
	char value[VALUE_MAX];

	base = base ? base + 1 : d->cfg.vmm;
	if (ctl_doctor_line(d, "/sys/module/kvm_amd/parameters/pause_filter_count", value,
			    sizeof(value)))
		return;
	if (!strcmp(value, "0") || !strcmp(base, "lockstep-vmm"))
		ctl_doctor_add(d, "pause", CTL_RESULT_OK, NULL, "PAUSE exits: %s",
			       strcmp(value, "0") ? "lockstep-vmm turns them off for its guests" :
			       "off (kvm-amd pause_filter_count=0)");
	else
		ctl_doctor_add(d, "pause", CTL_RESULT_WARNING,
			       "have the VMM enable KVM_X86_DISABLE_EXITS_PAUSE before the vCPU, or load kvm-amd with pause_filter_count=0",
			       "pause_filter_count=%s: the module refuses guests of %s if it leaves PAUSE exits on",
			       value, base);
}

void ctl_doctor_kvm(struct ctl_doctor *d)
{
	struct cpu cpu;

	cpu_read(d, &cpu);
	kvm_check(d, &cpu);
	cpu_check(d, &cpu);
	if (cpu.amd || cpu.intel)
		paging_check(d, &cpu);
	if (cpu.amd)
		nrips_check(d, &cpu);
	if (cpu.amd)
		pause_check(d);
}

/* --- kernel --------------------------------------------------------------- */

static void kernel_check(struct ctl_doctor *d, const char *release, bool loaded)
{
	static const char remedy[] =
		"boot Debian's 6.1 or 6.12 (apt-get install linux-image-amd64 on Debian 12)";
	unsigned int major = 0, minor = 0;

	if (sscanf(release, "%u.%u", &major, &minor) != 2)
		ctl_doctor_add(d, "kernel", CTL_RESULT_UNKNOWN, "mount /proc",
			       "/proc/sys/kernel/osrelease does not tell what runs");
	else if (major == 6 && (minor == 1 || minor == 12))
		ctl_doctor_add(d, "kernel", CTL_RESULT_OK, NULL, "%s", release);
	else if (loaded)
		ctl_doctor_add(d, "kernel", CTL_RESULT_WARNING, remedy,
			       "%s: the module is loaded, but what is tested is 6.1 and 6.12", release);
	else if (major == 6 && minor > 1 && minor < 12)
		ctl_doctor_add(d, "kernel", CTL_RESULT_WARNING, remedy,
			       "%s: what is tested is 6.1 and 6.12", release);
	else
		ctl_doctor_add(d, "kernel", CTL_RESULT_FAILURE, remedy,
			       "%s: the module is for 6.1 and 6.12", release);
}

/* Is the module installed for this kernel? */
static bool installed(const struct ctl_doctor *d, const char *release)
{
	char path[PATH_MAX], *line = NULL, *base;
	bool found = false;
	size_t size = 0;
	FILE *f;

	ctl_doctor_path(d, path, "/lib/modules/%s/modules.dep", release);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && getline(&line, &size, f) > 0) {
		line[strcspn(line, ":\n")] = '\0';
		base = strrchr(line, '/');
		base = base ? base + 1 : line;
		/* it may be compressed */
		found = !strncmp(base, "lockstep.ko", strlen("lockstep.ko"));
	}
	free(line);
	fclose(f);
	return found;
}

/* A kernel it is installed for; false: none. */
static bool installed_elsewhere(const struct ctl_doctor *d, char *out, size_t size)
{
	struct dirent *e;
	bool found = false;
	char path[PATH_MAX];
	DIR *dir;

	ctl_doctor_path(d, path, "/lib/modules");
	dir = opendir(path);
	if (!dir)
		return false;
	while (!found && (e = readdir(dir))) {
		found = e->d_name[0] != '.' && installed(d, e->d_name);
		if (found)
			snprintf(out, size, "%s", e->d_name);
	}
	closedir(dir);
	return found;
}

static void missing(struct ctl_doctor *d, const char *release)
{
	char other[256], remedy[512];

	if (installed(d, release)) {
		ctl_doctor_add(d, "module", CTL_RESULT_FAILURE,
			       "modprobe lockstep; the kernel log says why, if it refuses",
			       "lockstep is not loaded");
	} else if (installed_elsewhere(d, other, sizeof(other))) {
		snprintf(remedy, sizeof(remedy),
			 "boot %.200s, or build it for this one: make modules && make -C kmod modules_install",
			 other);
		ctl_doctor_add(d, "module", CTL_RESULT_FAILURE, remedy,
			       "lockstep is not loaded: it was built for %s, and %s runs", other,
			       release);
	} else {
		snprintf(remedy, sizeof(remedy),
			 "in the sources: make modules && insmod kmod/lockstep.ko (needs linux-headers-%.200s)",
			 release);
		ctl_doctor_add(d, "module", CTL_RESULT_FAILURE, remedy,
			       "lockstep is not loaded, and not installed for %s", release);
	}
}

static void abi_check(struct ctl_doctor *d)
{
	static const char remedy[] =
		"rmmod lockstep, and load the module of the programs' version, on both hosts";
	char value[VALUE_MAX];
	int ret = ctl_doctor_line(d, SYSFS "abi", value, sizeof(value));

	if (ret)
		ctl_doctor_add(d, "module", CTL_RESULT_FAILURE, remedy,
			       "lockstep is loaded, and does not tell its ABI (" SYSFS "abi: %s)",
			       strerror(-ret));
	else if (strtoul(value, NULL, 10) != LOCKSTEP_ABI_VERSION)
		ctl_doctor_add(d, "module", CTL_RESULT_FAILURE, remedy,
			       "lockstep has ABI version %s, these programs have %d", value,
			       LOCKSTEP_ABI_VERSION);
	else
		ctl_doctor_add(d, "module", CTL_RESULT_OK, NULL, "lockstep is loaded, ABI version %s",
			       value);
}

/* --- what counts between two exits of a guest ----------------------------- */

/* An older module has no file: its parameter says what was asked for, not what came of it. */
static bool counter_check(struct ctl_doctor *d)
{
	static const char ask[] = "rmmod lockstep; modprobe lockstep counter=auto, on both hosts";
	static const char log[] =
		"journalctl -k | grep lockstep says why: an unknown vendor, VMX, or no counter free (nmi_watchdog=0 frees one)";
	char value[VALUE_MAX], wanted[VALUE_MAX] = "none";
	bool told = !ctl_doctor_line(d, SYSFS "counter", value, sizeof(value));
	bool asked = !ctl_doctor_line(d, PARAMETERS "counter", wanted, sizeof(wanted));

	if (told && strcmp(value, "none")) {
		ctl_doctor_add(d, "counter", CTL_RESULT_OK, NULL,
			       "inputs may be taken at any instruction, by counting %s", value);
		return true;
	}
	if (!told && !asked)
		ctl_doctor_add(d, "counter", CTL_RESULT_UNKNOWN,
			       "load a module of the programs' version",
			       "this module does not tell whether a counter is used");
	else if (!told && strcmp(wanted, "none"))
		ctl_doctor_add(d, "counter", CTL_RESULT_UNKNOWN,
			       "journalctl -k | grep lockstep says whether none can be used",
			       "counter=%s was asked for; this module does not tell what came of it",
			       wanted);
	else
		ctl_doctor_add(d, "counter", CTL_RESULT_WARNING,
			       asked && strcmp(wanted, "none") ? log : ask,
			       "none: inputs wait for the guest's next exit");
	return false;
}

static bool number_read(const struct ctl_doctor *d, const char *path, unsigned long *v)
{
	char value[VALUE_MAX], *end;

	if (ctl_doctor_line(d, path, value, sizeof(value)))
		return false;
	*v = strtoul(value, &end, 10);
	return end != value && !*end;
}

/* A twin that begins to step too late has passed the position, and diverges. */
static void calibration_check(struct ctl_doctor *d)
{
	unsigned long skid, margin;
	char remedy[256];

	if (!number_read(d, SYSFS "counter_margin", &margin) ||
	    !number_read(d, SYSFS "counter_skid", &skid)) {
		ctl_doctor_add(d, "calibration", CTL_RESULT_UNKNOWN,
			       "load a module that measures the counter's skid; until then margin= has to be above it",
			       "this module does not tell the counter's skid and margin");
	} else if (skid >= margin) {
		snprintf(remedy, sizeof(remedy),
			 "rmmod lockstep; modprobe lockstep counter=auto margin=%lu, on both hosts",
			 2 * skid + 1);
		ctl_doctor_add(d, "calibration", CTL_RESULT_FAILURE, remedy,
			       "the counter stops up to %lu events late, and a twin begins to step %lu before a position: it may miss it",
			       skid, margin);
	} else {
		ctl_doctor_add(d, "calibration", CTL_RESULT_OK, NULL,
			       "the counter stops up to %lu events late, margin %lu", skid, margin);
	}
}

void ctl_doctor_module(struct ctl_doctor *d)
{
	bool loaded = ctl_doctor_there(d, "/sys/module/lockstep");
	char release[256];

	if (ctl_doctor_line(d, "/proc/sys/kernel/osrelease", release, sizeof(release)))
		release[0] = '\0';
	kernel_check(d, release, loaded);
	if (!loaded) {
		missing(d, release);
		return;
	}
	abi_check(d);
	if (counter_check(d))
		calibration_check(d);
}
