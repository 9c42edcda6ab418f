/* SPDX-License-Identifier: GPL-2.0 */
/* lockstepd.conf(5): what the daemon is told, checked. */
#ifndef LOCKSTEPD_CONFIG_H
#define LOCKSTEPD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/transport.h"

#define LOCKSTEPD_PORT		"7471"
#define LOCKSTEPD_CONFIG	"/etc/lockstep/lockstepd.conf"
#define LOCKSTEPD_SOCKET	"/run/lockstep/lockstepd.sock"
#define LOCKSTEPD_RUN_DIR	"/run/lockstep"
#define LOCKSTEPD_MR_PORT	"7472"
#define LOCKSTEPD_MR_RUN_DIR	"/run/lockstep/mapreduce"
#define LOCKSTEPD_MR_STATE_DIR	"/var/lib/lockstep/mapreduce"
#define LOCKSTEPD_SLOTS_MAX	1024
#define LOCKSTEPD_PEERS_MAX	16
#define LOCKSTEPD_LISTEN_MAX	8
#define LOCKSTEPD_PATH_MAX	256

struct lockstepd_peer_config {
	char node[LOCKSTEP_NODE_NAME_MAX + 1];
	char address[LOCKSTEP_ADDR_STRLEN];
	char bulk_address[LOCKSTEP_ADDR_STRLEN];
	char mr_address[LOCKSTEP_ADDR_STRLEN];
};

/**
 * struct lockstepd_mr_config - the section [mapreduce]
 * @enabled: there is one
 * @slots: workers of one job on this node; 0: it only takes jobs
 * @memory: of each, bytes
 */
struct lockstepd_mr_config {
	bool enabled;
	uint64_t slots;
	uint64_t memory;
	uint64_t silence_ms;
	char listen[LOCKSTEP_ADDR_STRLEN];
	char http[LOCKSTEP_ADDR_STRLEN];
	char user[64];
	char run[65];
	char state[LOCKSTEPD_PATH_MAX];
	char programs[LOCKSTEPD_PATH_MAX];
};

/**
 * struct lockstepd_config - lockstepd.conf(5), which explains each
 */
struct lockstepd_config {
	char keys[LOCKSTEPD_PATH_MAX];
	char listen[LOCKSTEPD_LISTEN_MAX][LOCKSTEP_ADDR_STRLEN];
	unsigned int nlisten;
	char socket[LOCKSTEPD_PATH_MAX];
	bool syslog;
	bool verbose;

	struct lockstepd_peer_config peers[LOCKSTEPD_PEERS_MAX];
	unsigned int npeers;

	char arbiter_node[LOCKSTEP_NODE_NAME_MAX + 1];
	char arbiter_address[LOCKSTEP_ADDR_STRLEN];
	char arbiter_folder[LOCKSTEPD_PATH_MAX];
	char arbiter_etcd[1024];
	char arbiter_ca[LOCKSTEPD_PATH_MAX];
	char arbiter_cert[LOCKSTEPD_PATH_MAX];
	char arbiter_key[LOCKSTEPD_PATH_MAX];
	uint64_t arbiter_ms;
	bool arbiter_same_host;

	uint64_t heartbeat_ms;
	uint64_t silence_ms;
	uint64_t confirm_ms;
	uint64_t backup_percent;
	uint64_t resume_ms;
	uint64_t stuck_ms;

	bool compress;

	char definitions[LOCKSTEPD_PATH_MAX];
	char vmm[LOCKSTEPD_PATH_MAX];
	char run[65];
	char logs[LOCKSTEPD_PATH_MAX];

	struct lockstepd_mr_config mr;
};

/**
 * lockstepd_config_read() - read the file over the defaults
 * @path: file
 * @cfg: receives it
 * @err: receives a message with cause and remedy
 * @errlen: its size
 *
 * Return: 0 or -errno.
 */
int lockstepd_config_read(const char *path, struct lockstepd_config *cfg, char *err,
			  size_t errlen);

#endif
