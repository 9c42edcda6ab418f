// SPDX-License-Identifier: GPL-2.0
/* mrnode: a node's share of MapReduce, started by lockstepd. See node.h. */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "coordinator/server.h"
#include "http/http.h"
#include "node/node.h"
#include "node/store.h"
#include "transport/keys.h"

/* Exit codes: documented in usage(). */
enum {
	EXIT_OK		= 0,
	EXIT_FAILED	= 1,
	EXIT_USAGE	= 2,
};

static void usage(FILE *f)
{
	fputs("Usage: mrnode [--config FILE] [--verbose]\n"
	      "A node's share of MapReduce: jobs that were submitted here, workers of all jobs,\n"
	      "and the shuffle between nodes. lockstepd(8) starts it when lockstepd.conf(5) has a\n"
	      "section [mapreduce]; mrctl(1) speaks to it.\n"
	      "\n"
	      "  --config FILE  configuration (default " LOCKSTEPD_CONFIG ")\n"
	      "  --verbose      log more\n"
	      "  --help\n"
	      "\n"
	      "Exit status: 0 ended by SIGTERM or SIGINT; 1 could not start; 2 wrong usage.\n", f);
}

/*
 * Jobs run other people's code as this process's user, so that is no longer root, and
 * what it has of the keys in memory is not for that user to read.
 */
static int become_user(const struct mr_node *node, char *err, size_t errlen)
{
	const char *user = node->cfg.mr.user;
	pid_t parent = getppid();
	struct passwd *pw;
	int tied = 0;

	prctl(PR_GET_PDEATHSIG, &tied);
	if (!geteuid()) {
		errno = 0;
		pw = getpwnam(user);
		if (!pw) {
			snprintf(err, errlen, "[mapreduce] user: there is no user %s%s%s: useradd --system %s",
				 user, errno ? ": " : "", errno ? strerror(errno) : "", user);
			return -EINVAL;
		}
		if (chown(node->cfg.mr.run, pw->pw_uid, pw->pw_gid) ||
		    chown(node->cfg.mr.state, pw->pw_uid, pw->pw_gid) ||
		    initgroups(user, pw->pw_gid) || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) ||
		    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid)) {
			snprintf(err, errlen, "can't become user %s: %s", user, strerror(errno));
			return -errno;
		}
	}
	if (prctl(PR_SET_DUMPABLE, 0))
		return -errno;
	/* the change of user undid it */
	if (tied && prctl(PR_SET_PDEATHSIG, tied))
		return -errno;
	return tied && getppid() != parent ? -ECHILD : 0;
}

/* Each worker has several connections, each answer of the shuffle a file. */
static void files_allow(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		lockstep_warn("the number of open files is not raised: %s", strerror(errno));
}

static int transport_start(struct mr_node *node, char *err, size_t errlen)
{
	struct lockstep_transport_config tc = {
		.cluster = node->cluster,
		.node = node->name,
		.keys_dir = node->cfg.keys,
		.silence_ms = (unsigned int)node->cfg.mr.silence_ms,
		.stall_ms = (unsigned int)node->cfg.mr.silence_ms,
	};
	char bound[LOCKSTEP_ADDR_STRLEN];
	int ret;

	/* a user who knows the socket's folder may connect, its mode is the guard */
	ret = lockstep_file_mkdir(node->cfg.mr.run, 0700);
	if (!ret)
		ret = lockstep_file_mkdir(node->cfg.mr.state, 0700);
	if (ret) {
		snprintf(err, errlen, "%s, %s: %s", node->cfg.mr.run, node->cfg.mr.state,
			 strerror(-ret));
		return ret;
	}
	ret = lockstep_keys_identity(node->cfg.keys, node->name, node->cluster);
	if (ret) {
		snprintf(err, errlen, "%s", lockstep_keys_strerror());
		return ret;
	}
	ret = lockstep_transport_create(node->base, &tc, &mr_node_transport_ops, node, err, errlen,
					&node->transport);
	if (ret)
		return ret;
	ret = lockstep_transport_listen(node->transport, node->cfg.mr.listen, bound);
	if (ret) {
		snprintf(err, errlen, "can't listen on %s: %s; see [mapreduce] listen",
			 node->cfg.mr.listen, strerror(-ret));
		return ret;
	}
	lockstep_info("listening on %s", bound);
	return 0;
}

static int serve(struct mr_node *node, char *err, size_t errlen)
{
	char address[LOCKSTEP_ADDR_STRLEN];
	int ret;

	ret = mr_peers_create(node, err, errlen);
	if (!ret)
		ret = mr_server_create(node->transport, &node->server);
	if (!ret)
		ret = mr_relay_serve(node);
	if (!ret)
		ret = mr_intake_serve(node);
	if (!ret)
		ret = mr_control_serve(node);
	if (ret)
		return ret;
	snprintf(address, sizeof(address), "%s", TAILQ_FIRST(&node->peers)->address);
	ret = lockstep_transport_listen(node->transport, address, NULL);
	if (ret)
		snprintf(err, errlen, "can't listen on %s: %s", address,
			 ret == -EADDRINUSE ? "another mrnode runs" : strerror(-ret));
	return ret;
}

static struct json_object *http_job(void *user, size_t i)
{
	return mr_home_status_at(user, i);
}

static int http_start(struct mr_node *node, char *err, size_t errlen)
{
	int ret = mr_http_create(node->base, node->cfg.mr.http, http_job, node, err, errlen,
				 &node->http);

	if (!ret)
		lockstep_info("status page of jobs submitted here: %s", mr_http_url(node->http));
	return ret;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct mr_node *node = arg;
	uint64_t now = lockstep_clock_ns();

	(void)fd;
	(void)what;
	lockstep_transport_enter(node->transport);
	mr_homes_tick(node);
	mr_peers_tick(node, now);
	mr_shares_tick(node, now);
}

static void on_child(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	mr_shares_reap(arg);
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct mr_node *node = arg;

	(void)what;
	lockstep_notice("signal %d: ending", (int)sig);
	event_base_loopbreak(node->base);
}

static int events_start(struct mr_node *node)
{
	const struct timeval tick = { .tv_usec = MR_NODE_TICK_MS * 1000 };

	node->tick = event_new(node->base, -1, EV_PERSIST, on_tick, node);
	node->chld = evsignal_new(node->base, SIGCHLD, on_child, node);
	node->term = evsignal_new(node->base, SIGTERM, on_signal, node);
	node->intr = evsignal_new(node->base, SIGINT, on_signal, node);
	if (!node->tick || !node->chld || !node->term || !node->intr ||
	    event_add(node->tick, &tick) || event_add(node->chld, NULL) ||
	    event_add(node->term, NULL) || event_add(node->intr, NULL))
		return -ENOMEM;
	return 0;
}

static int run(struct mr_node *node, char *err, size_t errlen)
{
	int ret;

	files_allow();
	ret = transport_start(node, err, errlen);
	if (!ret)
		ret = become_user(node, err, errlen);
	if (!ret)
		ret = events_start(node);
	if (!ret)
		ret = mr_store_open(node);
	if (!ret)
		ret = mr_shares_clear(node);
	if (!ret)
		ret = serve(node, err, errlen);
	if (!ret)
		ret = mr_homes_load(node, err, errlen);
	if (!ret && node->cfg.mr.http[0])
		ret = http_start(node, err, errlen);
	if (ret)
		return ret;
	lockstep_notice("node %s of cluster %s, %u workers of each job", node->name, node->cluster,
			(unsigned int)node->cfg.mr.slots);
	event_base_dispatch(node->base);
	return 0;
}

static void events_free(struct mr_node *node)
{
	struct event *events[] = { node->tick, node->chld, node->term, node->intr };
	size_t i;

	for (i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (events[i])
			event_free(events[i]);
}

/* What fetches comes before the transport, what only is called by it behind. */
static void finish(struct mr_node *node)
{
	events_free(node);
	mr_http_destroy(node->http);
	mr_shares_destroy(node);
	mr_intakes_destroy(node);
	if (node->server)
		mr_homes_destroy(node);
	mr_peers_destroy(node);
	lockstep_transport_destroy(node->transport);
	mr_relays_destroy(node);
	mr_control_destroy(node);
	mr_server_destroy(node->server);
	mr_serve_exit(&node->serve);
	if (node->base)
		event_base_free(node->base);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *config = LOCKSTEPD_CONFIG;
	struct mr_node node = { 0 };
	char err[1024] = "";
	bool verbose = false;
	int c, ret;

	while ((c = getopt_long(argc, argv, "c:vh", longs, NULL)) != -1) {
		if (c == 'c') {
			config = optarg;
		} else if (c == 'v') {
			verbose = true;
		} else {
			usage(c == 'h' ? stdout : stderr);
			return c == 'h' ? EXIT_OK : EXIT_USAGE;
		}
	}
	lockstep_log_init("mrnode", verbose ? LOCKSTEP_LOG_DEBUG : LOCKSTEP_LOG_INFO, false);
	signal(SIGPIPE, SIG_IGN);
	TAILQ_INIT(&node.peers);
	TAILQ_INIT(&node.homes);
	TAILQ_INIT(&node.shares);
	TAILQ_INIT(&node.relays);
	TAILQ_INIT(&node.intakes);
	TAILQ_INIT(&node.clients);
	mr_serve_init(&node.serve);
	ret = lockstepd_config_read(config, &node.cfg, err, sizeof(err));
	if (!ret) {
		node.base = lockstep_loop_create();
		ret = node.base ? run(&node, err, sizeof(err)) : -ENOMEM;
	}
	if (ret)
		lockstep_err("%s", err[0] ? err : strerror(-ret));
	finish(&node);
	return ret ? EXIT_FAILED : EXIT_OK;
}
