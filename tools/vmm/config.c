// SPDX-License-Identifier: GPL-2.0
/*
 * The command line
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "config.h"

#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

#define LOG_SIZE_MIN	(64ULL << 10)
#define LOG_SIZE_MAX	(1ULL << 30)

#define STATE_DIR	"/var/lib/lockstep"

static const char help_text[] =
"Usage: lockstep-vmm --kernel FILE [OPTION...]\n"
"Run a Linux guest on KVM, alone or protected by the lockstep module.\n"
"\n"
"Guest\n"
"  --kernel FILE        bzImage\n"
"  --initrd FILE        initial file system\n"
"  --append WORDS       added behind the default kernel command line\n"
"  --memory SIZE        MiB, or a number with K, M or G behind it (default 256)\n"
"  --disk FILE[,ro]     raw disk image; up to 4 times\n"
"  --tap NAME           network device of the guest is this tap\n"
"  --mac ADDRESS        its MAC (default: made from the UUID)\n"
"  --net-pcap FILE      record all frames the guest makes, whether they leave or not\n"
"  --serial SINK        serial line: stdio (default), null, file:PATH, unix:PATH\n"
"  --console SINK       have a virtio console, too\n"
"  --rng                have a virtio entropy device\n"
"\n"
"Protection\n"
"  --role ROLE          primary, twin, or none (default: unprotected, no module needed)\n"
"  --name NAME          of the guest, unique on the host (default: guest)\n"
"  --uuid UUID          of the guest, the same on both hosts; needed when protected\n"
"  --wait               do not run the guest before it is protected\n"
"  --log-size SIZE      bytes of log to hold, a power of two (default: the module's)\n"
"\n"
"Host\n"
"  --control PATH       listen here for commands (unix socket)\n"
"  --ask COMMAND        send COMMAND to the machine that listens at --control, print the\n"
"                       answer and exit: 0 when it says ok, else 1; \"help\" lists commands\n"
"  --state-dir DIR      where dumps go (default " STATE_DIR ")\n"
"  --power-keys TEXT    what \"poweroff\" types on the serial line; \\n, \\r, \\xHH are understood\n"
"  --reset-ok           exit with 0 when the guest resets itself\n"
"  --help, --version\n"
"\n"
"Exit status: 0 the guest powered off, 1 host error, 2 wrong usage, 3 halted: the\n"
"other host has the guest, 4 diverged from the primary, 5 the guest reset itself\n"
"or crashed, 6 told to quit. On a terminal Ctrl-A x quits.\n";

enum option_id {
	OPT_KERNEL = 256, OPT_INITRD, OPT_APPEND, OPT_MEMORY, OPT_DISK, OPT_TAP, OPT_MAC, OPT_NET_PCAP,
	OPT_SERIAL, OPT_CONSOLE, OPT_RNG, OPT_ROLE, OPT_NAME, OPT_UUID, OPT_WAIT, OPT_LOG_SIZE,
	OPT_CONTROL, OPT_ASK, OPT_STATE_DIR, OPT_POWER_KEYS, OPT_RESET_OK, OPT_HELP, OPT_VERSION,
};

static const struct option options[] = {
	{ "kernel", required_argument, NULL, OPT_KERNEL },
	{ "initrd", required_argument, NULL, OPT_INITRD },
	{ "append", required_argument, NULL, OPT_APPEND },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "disk", required_argument, NULL, OPT_DISK },
	{ "tap", required_argument, NULL, OPT_TAP },
	{ "mac", required_argument, NULL, OPT_MAC },
	{ "net-pcap", required_argument, NULL, OPT_NET_PCAP },
	{ "serial", required_argument, NULL, OPT_SERIAL },
	{ "console", required_argument, NULL, OPT_CONSOLE },
	{ "rng", no_argument, NULL, OPT_RNG },
	{ "role", required_argument, NULL, OPT_ROLE },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "uuid", required_argument, NULL, OPT_UUID },
	{ "wait", no_argument, NULL, OPT_WAIT },
	{ "log-size", required_argument, NULL, OPT_LOG_SIZE },
	{ "control", required_argument, NULL, OPT_CONTROL },
	{ "ask", required_argument, NULL, OPT_ASK },
	{ "state-dir", required_argument, NULL, OPT_STATE_DIR },
	{ "power-keys", required_argument, NULL, OPT_POWER_KEYS },
	{ "reset-ok", no_argument, NULL, OPT_RESET_OK },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ }
};

static int bad(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int bad(const char *format, ...)
{
	va_list args;

	fputs("lockstep-vmm: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs(" (see --help)\n", stderr);
	return -EINVAL;
}

/* @shift: of a number without a letter */
static int parse_size(const char *option, const char *text, unsigned int shift, uint64_t *size)
{
	char *end;

	errno = 0;
	*size = strtoull(text, &end, 10);
	if (*end == 'K')
		shift = 10;
	else if (*end == 'M')
		shift = 20;
	else if (*end == 'G')
		shift = 30;
	if (*end && shift && strchr("KMG", *end))
		end++;
	if (errno || end == text || *end || text[0] == '-' || *size > UINT64_MAX >> shift)
		return bad("%s %s: a size is a number, with K, M or G behind it", option, text);
	*size <<= shift;
	return 0;
}

static int parse_memory(struct vmm_config *config, const char *text)
{
	int err = parse_size("--memory", text, 20, &config->memory);

	if (!err && (config->memory < VMM_MEMORY_MIN || config->memory > VMM_MEMORY_MAX ||
		     config->memory % (1 << 20)))
		return bad("--memory %s: from %llu MiB to %llu GiB, in whole MiB", text,
			   VMM_MEMORY_MIN >> 20, VMM_MEMORY_MAX >> 30);
	return err;
}

static int parse_log_size(struct vmm_config *config, const char *text)
{
	uint64_t size;
	int err = parse_size("--log-size", text, 0, &size);

	if (!err && (size < LOG_SIZE_MIN || size > LOG_SIZE_MAX || size & (size - 1)))
		return bad("--log-size %s: a power of two from 64K to 1G", text);
	config->log_size = (uint32_t)size;
	return err;
}

static int parse_name(struct vmm_config *config, const char *text)
{
	size_t len = strlen(text);

	if (!len || len >= sizeof(config->name) || text[0] == '.' ||
	    strspn(text, NAME_CHARS) != len)
		return bad("--name %s: up to %zu letters, digits, dots, dashes and underscores",
			   text, sizeof(config->name) - 1);
	memcpy(config->name, text, len + 1);
	return 0;
}

static int parse_uuid(struct vmm_config *config, const char *text)
{
	const char *from = text;

	for (unsigned int i = 0; i < LOCKSTEP_UUID_LEN; i++) {
		unsigned int byte;
		int used = 0;

		if ((i == 4 || i == 6 || i == 8 || i == 10) && *from++ != '-')
			goto bad;
		if (strspn(from, "0123456789abcdefABCDEF") < 2 ||
		    sscanf(from, "%2x%n", &byte, &used) != 1 || used != 2)
			goto bad;
		config->uuid[i] = (uint8_t)byte;
		from += 2;
	}
	if (!*from)
		return 0;
bad:
	return bad("--uuid %s: not a UUID; uuidgen makes one", text);
}

static int parse_mac(struct vmm_config *config, const char *text)
{
	uint8_t *mac = config->net.mac;
	int end = 0;

	if (sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2],
		   &mac[3], &mac[4], &mac[5], &end) != 6 || text[end] || end != 17 || mac[0] & 1)
		return bad("--mac %s: six hexadecimal bytes, not a group address", text);
	return 0;
}

static int parse_role(struct vmm_config *config, const char *text)
{
	if (!strcmp(text, "none"))
		config->role = VMM_ROLE_NONE;
	else if (!strcmp(text, "primary"))
		config->role = VMM_ROLE_PRIMARY;
	else if (!strcmp(text, "twin"))
		config->role = VMM_ROLE_TWIN;
	else
		return bad("--role %s: primary, twin or none", text);
	return 0;
}

static int parse_sink(const char *option, struct vmm_sink_config *sink, const char *text)
{
	if (!strcmp(text, "null")) {
		sink->kind = VMM_SINK_NULL;
	} else if (!strcmp(text, "stdio")) {
		sink->kind = VMM_SINK_STDIO;
	} else if (!strncmp(text, "file:", 5) && text[5]) {
		sink->kind = VMM_SINK_FILE;
		sink->path = text + 5;
	} else if (!strncmp(text, "unix:", 5) && text[5]) {
		sink->kind = VMM_SINK_UNIX;
		sink->path = text + 5;
	} else {
		return bad("%s %s: stdio, null, file:PATH or unix:PATH", option, text);
	}
	return 0;
}

static int parse_disk(struct vmm_config *config, char *text)
{
	struct vmm_disk_config *disk = &config->disks[config->n_disks];
	char *comma = strrchr(text, ',');

	if (config->n_disks == VMM_DISKS_MAX)
		return bad("--disk %s: at most %u disks", text, VMM_DISKS_MAX);
	if (comma && !strcmp(comma, ",ro")) {
		disk->readonly = true;
		*comma = '\0';
	}
	if (!*text)
		return bad("--disk takes a file");
	disk->path = text;
	config->n_disks++;
	return 0;
}

static int parse_tap(struct vmm_config *config, const char *text)
{
	if (!*text || strlen(text) >= sizeof(config->net.tap))
		return bad("--tap %s: the name of a network device", text);
	memcpy(config->net.tap, text, strlen(text) + 1);
	return 0;
}

static int parse_keys(struct vmm_config *config, const char *text)
{
	for (const char *from = text; *from; from++) {
		uint8_t byte = (uint8_t)*from;
		unsigned int value;

		if (byte == '\\' && from[1] == 'x' && sscanf(from + 2, "%2x", &value) == 1 &&
		    strspn(from + 2, "0123456789abcdefABCDEF") >= 2) {
			byte = (uint8_t)value;
			from += 3;
		} else if (byte == '\\' && from[1] && strchr("nrt\\", from[1])) {
			byte = (uint8_t)"\n\r\t\\"[strchr("nrt\\", from[1]) - "nrt\\"];
			from++;
		} else if (byte == '\\') {
			return bad("--power-keys %s: only \\n, \\r, \\t, \\\\ and \\xHH", text);
		}
		if (config->n_power_keys == sizeof(config->power_keys))
			return bad("--power-keys: at most %zu bytes", sizeof(config->power_keys));
		config->power_keys[config->n_power_keys++] = byte;
	}
	return 0;
}

static int parse_option(struct vmm_config *config, int option, char *arg)
{
	switch (option) {
	case OPT_KERNEL:
		config->kernel = arg;
		return 0;
	case OPT_INITRD:
		config->initrd = arg;
		return 0;
	case OPT_APPEND:
		config->append = arg;
		return 0;
	case OPT_MEMORY:
		return parse_memory(config, arg);
	case OPT_DISK:
		return parse_disk(config, arg);
	case OPT_TAP:
		return parse_tap(config, arg);
	case OPT_MAC:
		return parse_mac(config, arg);
	case OPT_NET_PCAP:
		config->net.pcap = arg;
		return 0;
	case OPT_SERIAL:
		return parse_sink("--serial", &config->serial, arg);
	case OPT_CONSOLE:
		config->has_console = true;
		return parse_sink("--console", &config->console, arg);
	case OPT_RNG:
		config->rng = true;
		return 0;
	case OPT_ROLE:
		return parse_role(config, arg);
	case OPT_NAME:
		return parse_name(config, arg);
	case OPT_UUID:
		return parse_uuid(config, arg);
	case OPT_WAIT:
		config->wait = true;
		return 0;
	case OPT_LOG_SIZE:
		return parse_log_size(config, arg);
	case OPT_CONTROL:
		config->control = arg;
		return 0;
	case OPT_ASK:
		config->ask = arg;
		return 0;
	case OPT_STATE_DIR:
		config->state_dir = arg;
		return 0;
	case OPT_POWER_KEYS:
		return parse_keys(config, arg);
	case OPT_RESET_OK:
		config->reset_ok = true;
		return 0;
	case OPT_HELP:
		fputs(help_text, stdout);
		return 1;
	case OPT_VERSION:
		printf("lockstep-vmm (lockstep ABI %d)\n", LOCKSTEP_ABI_VERSION);
		return 1;
	default:
		return bad("wrong usage");
	}
}

/* A locally administered address, the same wherever the guest's name and UUID are. */
static void default_mac(struct vmm_config *config)
{
	static const uint8_t none[6];
	uint64_t hash;

	if (memcmp(config->net.mac, none, sizeof(none)))
		return;
	hash = XXH64(config->uuid, sizeof(config->uuid), 0) ^
	       XXH64(config->name, strlen(config->name), 0);
	memcpy(config->net.mac, &hash, sizeof(none));
	config->net.mac[0] = (config->net.mac[0] & 0xfc) | 2;
}

static int check(struct vmm_config *config)
{
	static const uint8_t none[LOCKSTEP_UUID_LEN];

	if (config->ask)
		return config->control ? 0 : bad("--ask needs --control, the socket to ask at");
	if (!config->kernel)
		return bad("--kernel is needed");
	if (config->role != VMM_ROLE_NONE && !memcmp(config->uuid, none, sizeof(none)))
		return bad("a protected guest needs --uuid, the same on both hosts");
	if (config->role == VMM_ROLE_NONE && config->wait)
		return bad("--wait is for a protected guest: give --role primary");
	if (config->has_console && config->console.kind == VMM_SINK_STDIO &&
	    config->serial.kind == VMM_SINK_STDIO)
		return bad("--serial and --console can't both be stdio");
	default_mac(config);
	return 0;
}

int vmm_config_parse(struct vmm_config *config, int argc, char **argv)
{
	int option, err;

	*config = (struct vmm_config){
		.memory = VMM_MEMORY_DEF,
		.name = "guest",
		.serial = { .kind = VMM_SINK_STDIO },
		.state_dir = STATE_DIR,
	};
	optind = 1;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		err = parse_option(config, option, optarg);
		if (err)
			return err;
	}
	if (optind < argc)
		return bad("%s: everything is an option", argv[optind]);
	return check(config);
}
