// SPDX-License-Identifier: GPL-2.0
/* lockstepctl doctor: the other hosts, the arbiter, and the keys to reach them with. */
#include "doctor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transport/keys.h"

#define DAYS_MIN	30	/* left of a certificate, before it is worth a word */

/* --- peers ---------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	return a && b && !strcmp(a, b);
}

/* Of what the daemon tells of several nodes, what it tells of this one; NULL: nothing. */
static struct json_object *node_find(const struct ctl_doctor *d, const char *part,
				     const char *list, const char *node)
{
	struct json_object *all = ctl_object(ctl_object(d->daemon, part), list);
	size_t n = all ? json_object_array_length(all) : 0, i;

	for (i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(all, i);

		if (same_text(ctl_string(o, "node"), node))
			return o;
	}
	return NULL;
}

static void peer_check(struct ctl_doctor *d, const struct lockstepd_peer_config *cfg)
{
	struct json_object *p = node_find(d, "transport", "peers", cfg->node);
	uint64_t rtt = ctl_number(p, "rtt_ns");
	char text[512];

	if (!p) {
		ctl_doctor_add(d, "peer", CTL_RESULT_FAILURE,
			       "systemctl restart lockstepd: its guests stand still until it is back",
			       "%s: lockstepd does not know it: it runs with an older lockstepd.conf",
			       cfg->node);
	} else if (!ctl_bool(ctl_object(p, "log"), "up")) {
		snprintf(text, sizeof(text),
			 "start lockstepd on %s; see that TCP and UDP to %.200s pass, that both have keys of one cluster, and that %s has a [peer] for this host",
			 cfg->node, cfg->address[0] ? cfg->address : "its address", cfg->node);
		ctl_doctor_add(d, "peer", CTL_RESULT_FAILURE, text, "%s: not connected",
			       cfg->node);
	} else if (same_text(ctl_string(p, "boot_id"),
			     ctl_string(ctl_object(d->daemon, "status"), "boot_id"))) {
		ctl_doctor_add(d, "peer", CTL_RESULT_WARNING,
			       "have the twin on another machine",
			       "%s: runs on this very host: both halves are lost with it",
			       cfg->node);
	} else if (rtt) {
		ctl_doctor_add(d, "peer", CTL_RESULT_OK, NULL,
			       "%s: connected, round trip %.1f ms", cfg->node, (double)rtt / 1e6);
	} else {
		ctl_doctor_add(d, "peer", CTL_RESULT_OK, NULL, "%s: connected", cfg->node);
	}
}

/**
 * struct trait - what two hosts of a pair have in common
 * @name: as lockstepd names it: daemon/lockstepd/traits.c
 * @what: for people
 * @result: of a difference: a pair is refused, or it may come to harm
 * @remedy: what to do on the two hosts
 */
struct trait {
	const char *name;
	const char *what;
	enum ctl_result result;
	const char *remedy;
};

static const struct trait traits[] = {
	{ "version", "version of lockstep", CTL_RESULT_WARNING,
	  "install the same version on both hosts" },
	{ "abi", "module's ABI version", CTL_RESULT_FAILURE,
	  "install the same version on both hosts, and load its module" },
	{ "arch", "kind of virtualisation", CTL_RESULT_FAILURE,
	  "use two hosts with CPUs of the same kind: a pair of these is refused" },
	{ "cpu", "CPU", CTL_RESULT_WARNING,
	  "use two hosts with the same CPU: a guest that sees a difference, as in a last digit of RSQRTPS, diverges" },
	{ "counter", "counter", CTL_RESULT_FAILURE,
	  "rmmod lockstep; modprobe lockstep counter=, the same on both hosts: a pair of these is refused" },
	{ "kernel", "kernel", CTL_RESULT_WARNING,
	  "boot both hosts with the same kernel: its KVM carries out some of the guest's instructions" },
	{ "lag_limit_ms", "lag_limit_ms", CTL_RESULT_WARNING,
	  "set /sys/kernel/lockstep/lag_limit_ms the same on both hosts: after a failover the other one's holds" },
	{ "log_size", "log_size", CTL_RESULT_WARNING,
	  "set /sys/kernel/lockstep/log_size the same on both hosts: after a failover the other one's holds" },
	{ "detect", "detection", CTL_RESULT_WARNING,
	  "make [detect] of lockstepd.conf the same on both hosts, and restart lockstepd there" },
};

/* What it has not told is not compared: that a module is not loaded is said apart. */
static unsigned int traits_check(struct ctl_doctor *d, const char *node, struct json_object *here,
				 struct json_object *there)
{
	unsigned int i, found = 0;

	for (i = 0; i < sizeof(traits) / sizeof(traits[0]); i++) {
		const char *ours = ctl_string(here, traits[i].name);
		const char *theirs = ctl_string(there, traits[i].name);

		if (!ours || !theirs || same_text(ours, theirs))
			continue;
		ctl_doctor_add(d, "peer-host", traits[i].result, traits[i].remedy,
			       "%s: its %s is not this host's: %s there, %s here", node,
			       traits[i].what, theirs, ours);
		found++;
	}
	return found;
}

/* Does the other host fit this one? */
static void peer_host_check(struct ctl_doctor *d, const char *node)
{
	struct json_object *o = node_find(d, "status", "nodes", node);
	struct json_object *there = ctl_object(o, "traits");
	struct json_object *here = ctl_object(ctl_object(d->daemon, "status"), "traits");
	unsigned int found;

	if (!ctl_bool(o, "up"))
		return;		/* said already */
	if (!ctl_string(there, "version") || !ctl_string(here, "version")) {
		ctl_doctor_add(d, "peer-host", CTL_RESULT_UNKNOWN,
			       "ask again in a second; after that, install the same version on both hosts",
			       "%s: has not told what its host is like", node);
		return;
	}
	found = traits_check(d, node, here, there);
	if (!ctl_string(there, "abi"))
		ctl_doctor_add(d, "peer-host", CTL_RESULT_WARNING,
			       "modprobe lockstep, there, unless it is for MapReduce only",
			       "%s: the module is not loaded there: it can't have a half of a guest",
			       node);
	else if (!found)
		ctl_doctor_add(d, "peer-host", CTL_RESULT_OK, NULL,
			       "%s: CPU, kernel, module and settings are as on this host", node);
}

static void peers_check(struct ctl_doctor *d)
{
	unsigned int i;

	if (!d->configured)
		return;
	if (!d->cfg.npeers)
		ctl_doctor_add(d, "peer", CTL_RESULT_FAILURE,
			       "add a section [peer NAME] with the other host's address to lockstepd.conf, and restart lockstepd",
			       "no other host is configured: a twin has nowhere to run");
	for (i = 0; i < d->cfg.npeers; i++)
		if (d->daemon) {
			peer_check(d, &d->cfg.peers[i]);
			peer_host_check(d, d->cfg.peers[i].node);
		} else {
			ctl_doctor_add(d, "peer", CTL_RESULT_UNKNOWN, "see daemon, above",
				       "%s: lockstepd can't be asked", d->cfg.peers[i].node);
		}
}

/* --- arbiter -------------------------------------------------------------- */

static const char *arbiter_name(const struct ctl_doctor *d, struct json_object *arbiter)
{
	const char *node = ctl_string(arbiter, "node");

	return node ? node : d->cfg.arbiter_node[0] ? d->cfg.arbiter_node : "the arbiter";
}

/* Whom does the arbiter die with? Asked where lockstepd was told not to mind. */
static void arbiter_host_check(struct ctl_doctor *d, struct json_object *arbiter)
{
	static const char remedy[] =
		"run it on a third machine, and take same-host out of lockstepd.conf";
	struct json_object *transport = ctl_object(d->daemon, "transport");
	struct json_object *peers = ctl_object(transport, "peers");
	size_t n = peers ? json_object_array_length(peers) : 0, i;
	const char *boot = ctl_string(arbiter, "boot_id"), *node = arbiter_name(d, arbiter);
	const char *here = ctl_string(ctl_object(d->daemon, "status"), "boot_id");

	if (same_text(boot, here)) {
		ctl_doctor_add(d, "arbiter-host", CTL_RESULT_WARNING, remedy,
			       "%s runs on this host: when that dies, nobody decides who goes on",
			       node);
		return;
	}
	for (i = 0; i < n; i++) {
		struct json_object *p = json_object_array_get_idx(peers, i);

		if (!same_text(boot, ctl_string(p, "boot_id")))
			continue;
		ctl_doctor_add(d, "arbiter-host", CTL_RESULT_WARNING, remedy,
			       "%s runs on the host of %s: when that dies, nobody decides who goes on",
			       node, ctl_string(p, "node"));
		return;
	}
	if (d->cfg.arbiter_same_host)
		ctl_doctor_add(d, "arbiter-host", CTL_RESULT_WARNING,
			       "take same-host out of lockstepd.conf: it is for tests",
			       "same-host = yes: an arbiter that dies with one of the hosts would be taken");
	else if (boot)
		ctl_doctor_add(d, "arbiter-host", CTL_RESULT_OK, NULL,
			       "%s runs on none of the connected hosts", node);
}

static void arbiter_check(struct ctl_doctor *d)
{
	struct json_object *arbiter = ctl_object(ctl_object(d->daemon, "status"), "arbiter");
	const char *node = arbiter_name(d, arbiter), *rejected = ctl_string(arbiter, "rejected");
	char text[512];

	if (d->configured && !d->cfg.arbiter_node[0]) {
		ctl_doctor_add(d, "arbiter", CTL_RESULT_FAILURE,
			       "run lockstep-arbiter on a third machine, add a section [arbiter NAME] with its address to lockstepd.conf, and restart lockstepd",
			       "none is configured: no guest can be protected");
	} else if (!d->daemon) {
		ctl_doctor_add(d, "arbiter", CTL_RESULT_UNKNOWN, "see daemon, above",
			       "%s: lockstepd can't be asked", node);
	} else if (!ctl_bool(arbiter, "configured")) {
		ctl_doctor_add(d, "arbiter", CTL_RESULT_FAILURE,
			       "systemctl restart lockstepd: its guests stand still until it is back",
			       "%s: lockstepd does not know it: it runs with an older lockstepd.conf",
			       node);
	} else if (!ctl_bool(arbiter, "reachable")) {
		snprintf(text, sizeof(text),
			 "start lockstep-arbiter on %s; see that TCP to %.200s passes, and that it has keys of this cluster",
			 node, d->cfg.arbiter_address[0] ? d->cfg.arbiter_address : "its address");
		ctl_doctor_add(d, "arbiter", CTL_RESULT_FAILURE, text,
			       "%s: not reachable: no generation begins and no failover is decided",
			       node);
	} else if (rejected) {
		ctl_doctor_add(d, "arbiter", CTL_RESULT_FAILURE,
			       "run it on a third machine (same-host = yes is for tests)",
			       "%s: not usable: %s", node, rejected);
	} else {
		ctl_doctor_add(d, "arbiter", CTL_RESULT_OK, NULL,
			       "%s: reachable, round trip %.1f ms", node,
			       (double)ctl_number(arbiter, "rtt_us") / 1e3);
		arbiter_host_check(d, arbiter);
	}
}

void ctl_doctor_daemon(struct ctl_doctor *d)
{
	if (d->daemon && !ctl_bool(d->daemon, "module") &&
	    ctl_doctor_there(d, "/sys/module/lockstep"))
		ctl_doctor_add(d, "daemon", CTL_RESULT_FAILURE,
			       "have lockstepd run as root and be of the module's version; its log says what it misses",
			       "the module is loaded, and lockstepd does not reach it");
	peers_check(d);
	arbiter_check(d);
}

/* --- keys ----------------------------------------------------------------- */

/* Connections go by no date: what may stumble over one are the operator's other tools. */
static void expiry_check(struct ctl_doctor *d, const char *file)
{
	char path[PATH_MAX];
	int days;

	ctl_doctor_path(d, path, "%s/%s", d->cfg.keys, file);
	if (lockstep_keys_days_left(path, &days))
		ctl_doctor_add(d, "certificate", CTL_RESULT_FAILURE,
			       "issue keys for this node (lockstepctl keys issue), and copy them here",
			       "%s", lockstep_keys_strerror());
	else if (days < 0)
		ctl_doctor_add(d, "certificate", CTL_RESULT_WARNING,
			       "issue keys that do not expire: lockstepctl keys issue",
			       "%s/%s has expired: lockstep goes by no date, other programs do",
			       d->cfg.keys, file);
	else if (days < DAYS_MIN)
		ctl_doctor_add(d, "certificate", CTL_RESULT_WARNING,
			       "issue keys that do not expire: lockstepctl keys issue",
			       "%s/%s expires in %d days: lockstep goes by no date, other programs do",
			       d->cfg.keys, file, days);
}

static void key_check(struct ctl_doctor *d)
{
	char path[PATH_MAX], remedy[PATH_MAX + 64];
	struct stat st;

	ctl_doctor_path(d, path, "%s/%s", d->cfg.keys, LOCKSTEP_KEYS_NODE_KEY);
	if (stat(path, &st)) {
		ctl_doctor_add(d, "key", CTL_RESULT_FAILURE,
			       "issue keys for this node (lockstepctl keys issue), and copy them here",
			       "%s/%s: %s", d->cfg.keys, LOCKSTEP_KEYS_NODE_KEY, strerror(errno));
	} else if (st.st_mode & 077) {
		snprintf(remedy, sizeof(remedy), "chmod 600 %s/%s; if others may have read it, make a new CA",
			 d->cfg.keys, LOCKSTEP_KEYS_NODE_KEY);
		ctl_doctor_add(d, "key", CTL_RESULT_FAILURE, remedy,
			       "%s/%s has mode %04o, not 0600: it is this node's identity",
			       d->cfg.keys, LOCKSTEP_KEYS_NODE_KEY,
			       (unsigned int)(st.st_mode & 07777));
	} else {
		ctl_doctor_add(d, "key", CTL_RESULT_OK, NULL, "%s/%s is its owner's only",
			       d->cfg.keys, LOCKSTEP_KEYS_NODE_KEY);
	}
}

void ctl_doctor_keys(struct ctl_doctor *d)
{
	char node[LOCKSTEP_NODE_NAME_MAX + 1], cluster[LOCKSTEP_NODE_NAME_MAX + 1];
	char path[PATH_MAX];
	int ret;

	ctl_doctor_path(d, path, "%s", d->cfg.keys);
	if (access(path, F_OK)) {
		ctl_doctor_add(d, "key", CTL_RESULT_FAILURE,
			       "lockstepctl keys make DIR CLUSTER NODE... once, anywhere; then copy this node's folder here",
			       "%s: %s", d->cfg.keys, strerror(errno));
		return;
	}
	if (access(path, R_OK | X_OK) && geteuid()) {
		ctl_doctor_add(d, "key", CTL_RESULT_UNKNOWN, "run lockstepctl doctor as root",
			       "%s can't be read by this user", d->cfg.keys);
		return;
	}
	key_check(d);
	ret = lockstep_keys_identity(path, node, cluster);
	if (ret) {
		ctl_doctor_add(d, "certificate", CTL_RESULT_FAILURE,
			       "issue keys for this node (lockstepctl keys issue), and copy them here",
			       "%s/%s: %s", d->cfg.keys, LOCKSTEP_KEYS_NODE_CERT,
			       ret == -EKEYREJECTED ? "not a certificate of lockstepctl keys issue" :
			       strerror(-ret));
	} else {
		ctl_doctor_add(d, "certificate", CTL_RESULT_OK, NULL, "node %s of cluster %s",
			       node, cluster);
		expiry_check(d, LOCKSTEP_KEYS_NODE_CERT);
	}
	expiry_check(d, LOCKSTEP_KEYS_CA_CERT);
}
