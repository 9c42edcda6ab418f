// SPDX-License-Identifier: GPL-2.0
/* lockstepd.conf, see config.h and lockstepd.conf(5). */
#include "lockstepd/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "arbiter/backend.h"
#include "common/config.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

enum value_kind { VALUE_TEXT, VALUE_BOOL, VALUE_MSEC, VALUE_NUMBER, VALUE_SIZE, VALUE_LZ4 };

/* Where a setting goes; ranges are in milliseconds, percent, or characters. */
static const struct setting {
	const char *section;
	const char *key;
	enum value_kind kind;
	size_t offset;
	uint64_t min;
	uint64_t max;
} settings[] = {
#define AT(field)	offsetof(struct lockstepd_config, field)
#define ROOM(field)	(sizeof(((struct lockstepd_config *)0)->field) - 1)
	{ "node", "keys", VALUE_TEXT, AT(keys), 1, ROOM(keys) },
	{ "node", "socket", VALUE_TEXT, AT(socket), 1, 107 },
	{ "node", "syslog", VALUE_BOOL, AT(syslog), 0, 0 },
	{ "node", "verbose", VALUE_BOOL, AT(verbose), 0, 0 },
	{ "arbiter", "address", VALUE_TEXT, AT(arbiter_address), 1, ROOM(arbiter_address) },
	{ "arbiter", "folder", VALUE_TEXT, AT(arbiter_folder), 1, ROOM(arbiter_folder) },
	{ "arbiter", "etcd", VALUE_TEXT, AT(arbiter_etcd), 1, ROOM(arbiter_etcd) },
	{ "arbiter", "ca", VALUE_TEXT, AT(arbiter_ca), 1, ROOM(arbiter_ca) },
	{ "arbiter", "certificate", VALUE_TEXT, AT(arbiter_cert), 1, ROOM(arbiter_cert) },
	{ "arbiter", "key", VALUE_TEXT, AT(arbiter_key), 1, ROOM(arbiter_key) },
	{ "arbiter", "timeout", VALUE_MSEC, AT(arbiter_ms), LOCKSTEP_ARBITER_TIMEOUT_MS_MIN,
	  LOCKSTEP_ARBITER_TIMEOUT_MS_MAX },
	{ "arbiter", "same-host", VALUE_BOOL, AT(arbiter_same_host), 0, 0 },
	{ "detect", "heartbeat", VALUE_MSEC, AT(heartbeat_ms), LOCKSTEP_HEARTBEAT_MS_MIN,
	  LOCKSTEP_HEARTBEAT_MS_MAX },
	{ "detect", "silence", VALUE_MSEC, AT(silence_ms), LOCKSTEP_SILENCE_MS_MIN,
	  LOCKSTEP_SILENCE_MS_MAX },
	{ "detect", "confirm", VALUE_MSEC, AT(confirm_ms), 50, LOCKSTEP_SILENCE_MS_MAX },
	{ "detect", "backup", VALUE_NUMBER, AT(backup_percent), 110, 1000 },
	{ "detect", "resume", VALUE_MSEC, AT(resume_ms), 100, 600000 },
	{ "detect", "stuck", VALUE_MSEC, AT(stuck_ms), 1000, 3600000 },
	{ "log", "compress", VALUE_LZ4, AT(compress), 0, 0 },
	{ "guests", "definitions", VALUE_TEXT, AT(definitions), 1, ROOM(definitions) },
	{ "guests", "vmm", VALUE_TEXT, AT(vmm), 1, ROOM(vmm) },
	{ "guests", "run", VALUE_TEXT, AT(run), 1, ROOM(run) },
	{ "guests", "logs", VALUE_TEXT, AT(logs), 1, ROOM(logs) },
	{ "mapreduce", "listen", VALUE_TEXT, AT(mr.listen), 1, ROOM(mr.listen) },
	{ "mapreduce", "http", VALUE_TEXT, AT(mr.http), 1, ROOM(mr.http) },
	{ "mapreduce", "slots", VALUE_NUMBER, AT(mr.slots), 0, LOCKSTEPD_SLOTS_MAX },
	{ "mapreduce", "memory", VALUE_SIZE, AT(mr.memory), 16ULL << 20, 1ULL << 40 },
	{ "mapreduce", "silence", VALUE_MSEC, AT(mr.silence_ms), LOCKSTEP_STALL_MS_MIN,
	  LOCKSTEP_SILENCE_MS_MAX },
	{ "mapreduce", "user", VALUE_TEXT, AT(mr.user), 1, ROOM(mr.user) },
	{ "mapreduce", "run", VALUE_TEXT, AT(mr.run), 1, ROOM(mr.run) },
	{ "mapreduce", "state", VALUE_TEXT, AT(mr.state), 1, ROOM(mr.state) },
	{ "mapreduce", "programs", VALUE_TEXT, AT(mr.programs), 1, ROOM(mr.programs) },
#undef AT
#undef ROOM
};

static int bad_range(const struct setting *s, char *err, size_t errlen)
{
	snprintf(err, errlen, "%s: from %llu to %llu%s", s->key, (unsigned long long)s->min,
		 (unsigned long long)s->max,
		 s->kind == VALUE_MSEC ? " ms" : s->kind == VALUE_TEXT ? " characters" : "");
	return -ERANGE;
}

static int setting_take(const struct setting *s, const char *value, struct lockstepd_config *cfg,
			char *err, size_t errlen)
{
	void *at = (char *)cfg + s->offset;
	size_t len = strlen(value);
	int ret;

	switch (s->kind) {
	case VALUE_TEXT:
		if (len < s->min || len > s->max)
			return bad_range(s, err, errlen);
		memcpy(at, value, len + 1);
		return 0;
	case VALUE_BOOL:
		ret = lockstep_config_bool(value, at);
		if (ret)
			snprintf(err, errlen, "%s: yes or no", s->key);
		return ret;
	case VALUE_LZ4:
		*(bool *)at = !strcmp(value, "lz4");
		if (*(bool *)at || !strcmp(value, "none"))
			return 0;
		snprintf(err, errlen, "%s: none or lz4", s->key);
		return -EINVAL;
	case VALUE_MSEC:
		ret = lockstep_config_msec(value, s->min, s->max, at);
		break;
	case VALUE_SIZE:
		ret = lockstep_config_size(value, s->min, s->max, at);
		break;
	default:
		ret = lockstep_config_u64(value, s->min, s->max, at);
		break;
	}
	if (ret == -ERANGE)
		return bad_range(s, err, errlen);
	if (ret)
		snprintf(err, errlen, "%s: '%s' is no %s", s->key, value,
			 s->kind == VALUE_MSEC ? "time (500ms, 2s)" :
			 s->kind == VALUE_SIZE ? "size (64M, 2G)" : "number");
	return ret;
}

static int text_take(char *out, size_t size, const char *key, const char *value, char *err,
		     size_t errlen)
{
	if (*value && strlen(value) < size) {
		memcpy(out, value, strlen(value) + 1);
		return 0;
	}
	snprintf(err, errlen, "%s: from 1 to %zu characters", key, size - 1);
	return -EINVAL;
}

static struct lockstepd_peer_config *peer_get(struct lockstepd_config *cfg, const char *node)
{
	unsigned int i;

	for (i = 0; i < cfg->npeers; i++)
		if (!strcmp(cfg->peers[i].node, node))
			return &cfg->peers[i];
	if (cfg->npeers == LOCKSTEPD_PEERS_MAX)
		return NULL;
	snprintf(cfg->peers[cfg->npeers].node, sizeof(cfg->peers[0].node), "%s", node);
	return &cfg->peers[cfg->npeers++];
}

static int peer_take(const struct lockstep_config_item *item, struct lockstepd_config *cfg,
		     char *err, size_t errlen)
{
	struct lockstepd_peer_config *peer;

	if (!lockstep_node_name_valid(item->arg)) {
		snprintf(err, errlen, "a peer's section names its node: [peer b]");
		return -EINVAL;
	}
	peer = peer_get(cfg, item->arg);
	if (!peer) {
		snprintf(err, errlen, "at most %d peers", LOCKSTEPD_PEERS_MAX);
		return -ERANGE;
	}
	if (!strcmp(item->key, "address"))
		return text_take(peer->address, sizeof(peer->address), item->key, item->value,
				 err, errlen);
	if (!strcmp(item->key, "bulk-address"))
		return text_take(peer->bulk_address, sizeof(peer->bulk_address), item->key,
				 item->value, err, errlen);
	if (!strcmp(item->key, "mapreduce-address"))
		return text_take(peer->mr_address, sizeof(peer->mr_address), item->key,
				 item->value, err, errlen);
	snprintf(err, errlen, "no setting '%s' in [peer]: address, bulk-address, mapreduce-address",
		 item->key);
	return -EINVAL;
}

static int listen_take(const char *value, struct lockstepd_config *cfg, char *err, size_t errlen)
{
	if (cfg->nlisten == LOCKSTEPD_LISTEN_MAX) {
		snprintf(err, errlen, "at most %d addresses to listen on", LOCKSTEPD_LISTEN_MAX);
		return -ERANGE;
	}
	return text_take(cfg->listen[cfg->nlisten++], sizeof(cfg->listen[0]), "listen", value,
			 err, errlen);
}

static int item_take(const struct lockstep_config_item *item, void *arg, char *err, size_t errlen)
{
	struct lockstepd_config *cfg = arg;
	size_t i;

	if (!strcmp(item->section, "peer"))
		return peer_take(item, cfg, err, errlen);
	if (!strcmp(item->section, "node") && !strcmp(item->key, "listen"))
		return listen_take(item->value, cfg, err, errlen);
	if (!strcmp(item->section, "arbiter")) {
		if (!lockstep_node_name_valid(item->arg)) {
			snprintf(err, errlen, "the arbiter's section names its node: [arbiter c]");
			return -EINVAL;
		}
		if (cfg->arbiter_node[0] && strcmp(cfg->arbiter_node, item->arg)) {
			snprintf(err, errlen, "one arbiter only: '%s' was named before",
				 cfg->arbiter_node);
			return -EINVAL;
		}
		snprintf(cfg->arbiter_node, sizeof(cfg->arbiter_node), "%s", item->arg);
	}
	if (!strcmp(item->section, "mapreduce"))
		cfg->mr.enabled = true;
	for (i = 0; i < ARRAY_SIZE(settings); i++)
		if (!strcmp(settings[i].section, item->section) &&
		    !strcmp(settings[i].key, item->key))
			return setting_take(&settings[i], item->value, cfg, err, errlen);
	snprintf(err, errlen, "no setting '%s' in section '%s': see lockstepd.conf(5)", item->key,
		 item->section);
	return -EINVAL;
}

static int check(const char *path, const struct lockstepd_config *cfg, char *err, size_t errlen)
{
	int kinds = !!cfg->arbiter_address[0] + !!cfg->arbiter_folder[0] + !!cfg->arbiter_etcd[0];

	if (cfg->arbiter_node[0] && kinds != 1)
		snprintf(err, errlen,
			 "%s: [arbiter %s] needs an address, a folder or etcd, one of them", path,
			 cfg->arbiter_node);
	else if (!cfg->arbiter_cert[0] != !cfg->arbiter_key[0])
		snprintf(err, errlen, "%s: [arbiter %s] certificate and key go together", path,
			 cfg->arbiter_node);
	else if (cfg->arbiter_folder[0] && cfg->arbiter_folder[0] != '/')
		snprintf(err, errlen, "%s: [arbiter %s] folder: an absolute path", path,
			 cfg->arbiter_node);
	else if (cfg->heartbeat_ms * 4 > cfg->silence_ms)
		snprintf(err, errlen,
			 "%s: [detect] silence must be at least four heartbeats (%llu ms)", path,
			 (unsigned long long)cfg->heartbeat_ms * 4);
	else if (cfg->mr.enabled && !cfg->mr.user[0] && !geteuid())
		snprintf(err, errlen,
			 "%s: [mapreduce] needs a user to run other people's code as: user = NAME",
			 path);
	else
		return 0;
	return -EINVAL;
}

/* Without a mapreduce-address: the host of the peer's other one, and the usual port. */
static void mr_address_guess(struct lockstepd_peer_config *peer)
{
	const char *from = peer->bulk_address[0] ? peer->bulk_address : peer->address;
	const char *colon = strrchr(from, ':');
	int host = colon ? (int)(colon - from) : 0;

	if (host && host + sizeof(":" LOCKSTEPD_MR_PORT) <= sizeof(peer->mr_address))
		snprintf(peer->mr_address, sizeof(peer->mr_address), "%.*s:" LOCKSTEPD_MR_PORT,
			 host, from);
}

static void set(char *out, size_t size, const char *value)
{
	snprintf(out, size, "%s", value);
}

static void defaults(struct lockstepd_config *cfg)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	memset(cfg, 0, sizeof(*cfg));
	set(cfg->keys, sizeof(cfg->keys), "/etc/lockstep/keys");
	set(cfg->socket, sizeof(cfg->socket), LOCKSTEPD_SOCKET);
	cfg->arbiter_ms = LOCKSTEP_ARBITER_TIMEOUT_MS_DEF;
	cfg->heartbeat_ms = LOCKSTEP_HEARTBEAT_MS_DEF;
	cfg->silence_ms = LOCKSTEP_SILENCE_MS_DEF;
	cfg->confirm_ms = 500;
	cfg->backup_percent = 150;
	cfg->resume_ms = 3000;
	cfg->stuck_ms = 60000;
	set(cfg->definitions, sizeof(cfg->definitions), "/etc/lockstep/guests");
	set(cfg->vmm, sizeof(cfg->vmm), "lockstep-vmm");
	set(cfg->run, sizeof(cfg->run), LOCKSTEPD_RUN_DIR);
	set(cfg->logs, sizeof(cfg->logs), "/var/log/lockstep");
	cfg->mr.slots = cores > 0 ? (uint64_t)cores : 1;
	cfg->mr.memory = 256ULL << 20;
	cfg->mr.silence_ms = LOCKSTEP_STALL_MS_DEF;
	set(cfg->mr.listen, sizeof(cfg->mr.listen), "*:" LOCKSTEPD_MR_PORT);
	set(cfg->mr.run, sizeof(cfg->mr.run), LOCKSTEPD_MR_RUN_DIR);
	set(cfg->mr.state, sizeof(cfg->mr.state), LOCKSTEPD_MR_STATE_DIR);
}

int lockstepd_config_read(const char *path, struct lockstepd_config *cfg, char *err,
			  size_t errlen)
{
	unsigned int i;
	int ret;

	defaults(cfg);
	ret = lockstep_config_read(path, item_take, cfg, err, errlen);
	if (ret)
		return ret;
	if (!cfg->nlisten)
		set(cfg->listen[cfg->nlisten++], sizeof(cfg->listen[0]), "*:" LOCKSTEPD_PORT);
	for (i = 0; i < cfg->npeers; i++)
		if (!cfg->peers[i].mr_address[0])
			mr_address_guess(&cfg->peers[i]);
	return check(path, cfg, err, errlen);
}
