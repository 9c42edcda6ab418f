// SPDX-License-Identifier: GPL-2.0
/* lockstepd: carries the logs of protected guests between hosts and fails over. */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <event2/event.h>

#include "arbiter/etcd.h"
#include "arbiter/shared.h"
#include "common/log.h"
#include "lockstepd/daemon.h"
#include "lockstepd/launch.h"
#include "lockstepd/mapreduce.h"
#include "transport/keys.h"

/* Exit codes: documented in usage(). */
enum {
	EXIT_OK		= 0,
	EXIT_FAILED	= 1,
	EXIT_USAGE	= 2,
};

struct options {
	const char *config;
	bool check;
	bool verbose;
};

static void usage(FILE *f)
{
	fputs("Usage: lockstepd [--config FILE] [--check] [--verbose]\n"
	      "Carry the logs of this host's protected guests to and from the other hosts, and\n"
	      "fail over. See lockstepd(8) and lockstepd.conf(5).\n"
	      "\n"
	      "  --config FILE  configuration (default " LOCKSTEPD_CONFIG ")\n"
	      "  --check        read configuration and keys, say what is wrong, and end\n"
	      "  --verbose      log more\n"
	      "  --help, --version\n"
	      "\n"
	      "Exit status: 0 ended by SIGTERM or SIGINT, or --check found nothing; 1 could not\n"
	      "start; 2 wrong usage. Guests go on without the daemon only parked: restart it soon.\n",
	      f);
}

static int parse(int argc, char **argv, struct options *opt)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check", no_argument, NULL, 'k' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:kvhV", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			opt->config = optarg;
			break;
		case 'k':
			opt->check = true;
			break;
		case 'v':
			opt->verbose = true;
			break;
		case 'h':
			usage(stdout);
			return 1;
		case 'V':
			printf("lockstepd %s (ABI %d)\n", LOCKSTEPD_VERSION_TEXT,
			       LOCKSTEP_ABI_VERSION);
			return 1;
		default:
			usage(stderr);
			return -EINVAL;
		}
	}
	if (optind < argc) {
		usage(stderr);
		return -EINVAL;
	}
	return 0;
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct lockstepd *d = arg;
	struct lockstep_guest *g;

	(void)what;
	lockstep_notice("signal %d: ending", (int)sig);
	TAILQ_FOREACH(g, &d->core.guests, entry)
		if (!g->foreign && lockstep_failover_paired(g->state))
			lockstep_warn("%s: stands still, and is taken over by its other half, unless lockstepd is back soon",
				      g->info.name);
	lockstepd_peers_bye(d);
	event_base_loopbreak(d->base);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct lockstepd *d = arg;

	(void)fd;
	(void)what;
	lockstepd_module_look(d);
	lockstep_core_tick(&d->core);
	lockstepd_module_kick(d);
}

/*
 * Time is what is judged here: be there in time, and never wait for a page. What is fair to
 * all, at any nice value, lets a busy process finish its slice of milliseconds first. Children
 * are ordinary again.
 */
static void be_prompt(void)
{
	struct sched_param lowest = { .sched_priority = sched_get_priority_min(SCHED_RR) };

	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		lockstep_info("memory is not locked: %s", strerror(errno));
	if (!sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &lowest))
		return;
	lockstep_info("no real-time priority: %s", strerror(errno));
	if (setpriority(PRIO_PROCESS, 0, -15))
		lockstep_info("priority is not raised: %s", strerror(errno));
}

static void core_config(const struct lockstepd *d, struct lockstep_core_config *c)
{
	memset(c, 0, sizeof(*c));
	memcpy(c->node, d->node, sizeof(c->node));
	c->boot_id = *lockstep_transport_boot_id(d->transport);
	c->silence_ns = d->cfg.silence_ms * LOCKSTEP_NSEC_PER_MSEC;
	c->confirm_ns = d->cfg.confirm_ms * LOCKSTEP_NSEC_PER_MSEC;
	c->backup_percent = (unsigned int)d->cfg.backup_percent;
	c->resume_ns = d->cfg.resume_ms * LOCKSTEP_NSEC_PER_MSEC;
	c->stuck_ns = d->cfg.stuck_ms * LOCKSTEP_NSEC_PER_MSEC;
	c->arbiter_ms = (unsigned int)d->cfg.arbiter_ms;
	c->arbiter_same_host = d->cfg.arbiter_same_host;
	c->compress = d->cfg.compress;
}

static int arbiter_start(struct lockstepd *d, char *err, size_t errlen)
{
	struct lockstep_arbiter_file_config file = {
		.loop = d->base,
		.name = d->cfg.arbiter_node,
		.node = d->node,
		.boot_id = *lockstep_transport_boot_id(d->transport),
		.dir = d->cfg.arbiter_folder,
	};
	struct lockstep_arbiter_etcd_config etcd = {
		.loop = d->base,
		.name = d->cfg.arbiter_node,
		.node = d->node,
		.boot_id = file.boot_id,
		.http = {
			.servers = d->cfg.arbiter_etcd,
			.ca = d->cfg.arbiter_ca,
			.cert = d->cfg.arbiter_cert,
			.key = d->cfg.arbiter_key,
		},
	};
	const char *where = d->cfg.arbiter_address;
	char why[512] = "";
	int ret;

	if (!d->cfg.arbiter_node[0]) {
		if (d->cfg.mr.enabled)
			lockstep_notice("no arbiter is configured: this node is for MapReduce only");
		else
			lockstep_warn("no arbiter is configured: no guest can be protected");
		return 0;
	}
	if (d->cfg.arbiter_folder[0]) {
		where = d->cfg.arbiter_folder;
		ret = lockstep_arbiter_file_create(&file, &d->arbiter);
	} else if (d->cfg.arbiter_etcd[0]) {
		where = d->cfg.arbiter_etcd;
		ret = lockstep_arbiter_etcd_create(&etcd, &d->arbiter, why, sizeof(why));
	} else {
		ret = lockstep_arbiter_tcp_create(d->transport, d->cfg.arbiter_node,
						  d->cfg.arbiter_address, &d->arbiter);
	}
	if (ret)
		snprintf(err, errlen, "arbiter %s at %.256s: %s", d->cfg.arbiter_node, where,
			 why[0] ? why : strerror(-ret));
	return ret;
}

static int transport_start(struct lockstepd *d, char *err, size_t errlen)
{
	struct lockstep_transport_config tc = {
		.cluster = d->cluster,
		.node = d->node,
		.keys_dir = d->cfg.keys,
		.heartbeat_ms = (unsigned int)d->cfg.heartbeat_ms,
		.silence_ms = (unsigned int)d->cfg.silence_ms,
	};
	int ret;

	ret = lockstep_keys_identity(d->cfg.keys, d->node, d->cluster);
	if (ret) {
		snprintf(err, errlen, "%s", lockstep_keys_strerror());
		return ret;
	}
	ret = lockstep_transport_create(d->base, &tc, &lockstepd_transport_ops, d, err, errlen,
					&d->transport);
	return ret ? ret : arbiter_start(d, err, errlen);
}

static int listen_all(struct lockstepd *d, char *err, size_t errlen)
{
	char bound[LOCKSTEP_ADDR_STRLEN];
	unsigned int i;
	int ret;

	for (i = 0; i < d->cfg.nlisten; i++) {
		ret = lockstep_transport_listen(d->transport, d->cfg.listen[i], bound);
		if (ret) {
			snprintf(err, errlen, "can't listen on %s: %s", d->cfg.listen[i],
				 strerror(-ret));
			return ret;
		}
		lockstep_info("listening on %s", bound);
	}
	return 0;
}

static int tick_start(struct lockstepd *d)
{
	uint64_t ms = d->cfg.silence_ms / 50;
	struct timeval tv = { 0 };

	/* often enough for the shortest time-out, seldom enough to cost nothing */
	tv.tv_usec = (suseconds_t)(ms < 5 ? 5 : ms > 50 ? 50 : ms) * 1000;
	d->tick = event_new(d->base, -1, EV_PERSIST, on_tick, d);
	return d->tick && !event_add(d->tick, &tv) ? 0 : -ENOMEM;
}

/* Guests first, then peers: a HELLO must not miss one that is here. */
static int run(struct lockstepd *d, const char *config, char *err, size_t errlen)
{
	struct lockstep_core_config core;
	struct event *term, *intr;
	int ret;

	core_config(d, &core);
	lockstep_core_init(&d->core, &core, &lockstepd_core_ops, d, d->arbiter);
	memcpy(d->core.view.node, d->cfg.arbiter_node, sizeof(d->core.view.node));
	term = evsignal_new(d->base, SIGTERM, on_signal, d);
	intr = evsignal_new(d->base, SIGINT, on_signal, d);
	ret = lockstepd_launcher_create(d->base, &d->cfg, &d->launcher);
	if (!ret && d->cfg.mr.enabled)
		ret = lockstepd_mapreduce_create(d->base, config, &d->cfg, &d->mapreduce);
	if (!ret && (!term || !intr || event_add(term, NULL) || event_add(intr, NULL)))
		ret = -ENOMEM;
	if (!ret)
		ret = lockstepd_control_create(d, err, errlen);
	if (!ret) {
		lockstepd_module_look(d);
		ret = lockstepd_peers_add(d, err, errlen);
	}
	if (!ret)
		ret = listen_all(d, err, errlen);
	if (!ret)
		ret = tick_start(d);
	if (!ret) {
		be_prompt();
		lockstep_notice("node %s of cluster %s", d->node, d->cluster);
		event_base_dispatch(d->base);
	} else if (!err[0]) {
		snprintf(err, errlen, "%s", strerror(-ret));
	}
	if (term)
		event_free(term);
	if (intr)
		event_free(intr);
	return ret;
}

static void finish(struct lockstepd *d)
{
	if (d->tick)
		event_free(d->tick);
	lockstepd_mapreduce_destroy(d->mapreduce);
	lockstepd_launcher_destroy(d->launcher);
	if (d->arbiter)
		d->arbiter->ops->destroy(d->arbiter);
	if (d->core.ops) {
		lockstepd_peers_free(d);
		lockstep_core_exit(&d->core);
	}
	lockstepd_control_destroy(d);
	lockstepd_module_close(d);
	lockstep_transport_destroy(d->transport);
}

int main(int argc, char **argv)
{
	struct options opt = { .config = LOCKSTEPD_CONFIG };
	struct lockstepd d = { 0 };
	char err[1024] = "";
	int ret;

	ret = parse(argc, argv, &opt);
	if (ret)
		return ret > 0 ? EXIT_OK : EXIT_USAGE;
	lockstep_log_init("lockstepd", opt.verbose ? LOCKSTEP_LOG_DEBUG : LOCKSTEP_LOG_INFO,
			  false);
	signal(SIGPIPE, SIG_IGN);
	ret = lockstepd_config_read(opt.config, &d.cfg, err, sizeof(err));
	if (ret) {
		lockstep_err("%s", err);
		return EXIT_FAILED;
	}
	if (d.cfg.syslog || d.cfg.verbose)
		lockstep_log_init("lockstepd",
				  opt.verbose || d.cfg.verbose ? LOCKSTEP_LOG_DEBUG :
				  LOCKSTEP_LOG_INFO, d.cfg.syslog);
	d.base = lockstep_loop_create();
	ret = d.base ? transport_start(&d, err, sizeof(err)) : -ENOMEM;
	if (!ret && !opt.check)
		ret = run(&d, opt.config, err, sizeof(err));
	if (ret)
		lockstep_err("%s", err[0] ? err : strerror(-ret));
	finish(&d);
	if (d.base)
		event_base_free(d.base);
	return ret ? EXIT_FAILED : EXIT_OK;
}
