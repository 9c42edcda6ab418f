/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Everything the command line says, checked
 *
 * Strings point into argv and live as long as the process.
 */
#ifndef VMM_CONFIG_H
#define VMM_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/lockstep.h>

#define VMM_DISKS_MAX		4
#define VMM_CMDLINE_MAX		2047	/* COMMAND_LINE_SIZE of Linux on x86, less the NUL */
#define VMM_MEMORY_MIN		(32ULL << 20)
#define VMM_MEMORY_DEF		(256ULL << 20)
#define VMM_MEMORY_MAX		(256ULL << 30)

enum vmm_role {
	VMM_ROLE_NONE,		/* unprotected: no module, no log */
	VMM_ROLE_PRIMARY,
	VMM_ROLE_TWIN,
};

/* Where a byte stream (serial line, console) goes to and comes from. */
enum vmm_sink_kind {
	VMM_SINK_NULL,
	VMM_SINK_STDIO,
	VMM_SINK_FILE,		/* output only, appended */
	VMM_SINK_UNIX,		/* listening socket, one client at a time */
};

struct vmm_sink_config {
	enum vmm_sink_kind kind;
	const char *path;
};

struct vmm_net_config {
	char tap[16];		/* IFNAMSIZ; empty: no network device */
	uint8_t mac[6];
	const char *pcap;	/* record of its frames, or NULL */
};

struct vmm_disk_config {
	const char *path;
	bool readonly;
};

/**
 * struct vmm_config - what to run and how
 * @kernel:    bzImage
 * @initrd:    or NULL
 * @append:    added behind the default command line, or NULL
 * @memory:    bytes, a multiple of 1 MiB
 * @name:      of the guest, unique on the host
 * @uuid:      of the guest, the same on both hosts
 * @role:      primary, twin or unprotected
 * @wait:      do not run before the guest is protected
 * @net:       network device, if @net.tap is not empty
 * @disks:     @n_disks of them, unit VMM_UNIT_DISK0 + index
 * @serial:    of the 16550
 * @console:   of the virtio console, if @has_console
 * @rng:       have a virtio entropy device
 * @control:   path of the control socket, or NULL
 * @ask:       command to send there instead of running a guest, or NULL
 * @state_dir: where dumps are written
 * @log_size:  bytes of log to hold; 0: the module's default
 * @reset_ok:  a reset ends with exit code 0
 * @power_keys: bytes typed on the serial line for "poweroff", @n_power_keys of them
 */
struct vmm_config {
	const char *kernel;
	const char *initrd;
	const char *append;
	uint64_t memory;
	char name[LOCKSTEP_NAME_MAX];
	uint8_t uuid[LOCKSTEP_UUID_LEN];
	enum vmm_role role;
	bool wait;
	struct vmm_net_config net;
	unsigned int n_disks;
	struct vmm_disk_config disks[VMM_DISKS_MAX];
	struct vmm_sink_config serial;
	struct vmm_sink_config console;
	bool has_console;
	bool rng;
	const char *control;
	const char *ask;
	const char *state_dir;
	uint32_t log_size;
	bool reset_ok;
	uint8_t power_keys[128];
	size_t n_power_keys;
};

/**
 * vmm_config_parse - read the command line
 * @config: filled in
 *
 * Return: 0; 1 when --help or --version was answered; -EINVAL after a message on
 * stderr that names the option and what it takes.
 */
int vmm_config_parse(struct vmm_config *config, int argc, char **argv);

#endif
