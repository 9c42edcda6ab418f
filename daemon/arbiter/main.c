// SPDX-License-Identifier: GPL-2.0
/* lockstep-arbiter: the test-and-set store, as a program. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "arbiter/etcd.h"
#include "arbiter/folder.h"
#include "arbiter/server.h"
#include "arbiter/store.h"
#include "common/json.h"
#include "common/log.h"
#include "transport/keys.h"
#include "transport/refusal.h"

#define DEFAULT_PORT	"7470"
#define DEFAULT_LISTEN	"*:" DEFAULT_PORT
#define DEFAULT_STORE	"/var/lib/lockstep-arbiter"
#define DEFAULT_KEYS	"/etc/lockstep/keys"

/* Exit codes: documented in usage(). */
enum {
	EXIT_OK		= 0,
	EXIT_FAILED	= 1,
	EXIT_USAGE	= 2,
	EXIT_DAMAGED	= 3,
	EXIT_NO_ANSWER	= 4,
};

struct options {
	const char *listen[8];
	unsigned int nlisten;
	const char *store;
	const char *shared;
	struct lockstep_http_config etcd;
	const char *keys;
	const char *address;
	const char *node;
	unsigned int timeout_ms;
	bool json;
	bool syslog;
	bool verbose;
};

static void usage(FILE *f)
{
	fputs("Usage: lockstep-arbiter [run] [options]   serve the store\n"
	      "       lockstep-arbiter status ADDRESS     ask a running arbiter what it holds\n"
	      "       lockstep-arbiter dump               print the records of a store that is not in use\n"
	      "       lockstep-arbiter restore            give a store a new UUID: after its folder was\n"
	      "                                           put back from a copy, so that no claim of a\n"
	      "                                           generation formed before is granted\n"
	      "       lockstep-arbiter init --shared DIR  make a shared folder a store\n"
	      "\n"
	      "  --listen ADDRESS   where to serve: host:port, [v6]:port, *:port or unix:path; may be\n"
	      "                     given several times (default " DEFAULT_LISTEN ")\n"
	      "  --store DIR        folder of the store, made if need be (default " DEFAULT_STORE ")\n"
	      "  --shared DIR       init, restore, dump: a folder that hosts use without an arbiter's\n"
	      "                     program, see lockstepd.conf(5); must be mounted\n"
	      "  --etcd SERVERS     restore: \"https://host:2379 ...\", an etcd cluster that hosts use\n"
	      "  --ca, --cert, --key FILE   certificates for --etcd\n"
	      "  --keys DIR         folder with ca.crt, node.crt and node.key, as lockstepctl keys\n"
	      "                     issue makes it (default " DEFAULT_KEYS ")\n"
	      "  --node NAME        status: name the arbiter must have (default: any of the cluster)\n"
	      "  --timeout MS       status: how long to wait (default 2000)\n"
	      "  --json             status, dump: print JSON\n"
	      "  --syslog           also log to syslog\n"
	      "  --verbose          log more\n"
	      "  --help             this text\n"
	      "\n"
	      "Exit status: 0 done; 1 failed; 2 wrong usage; 3 the store is damaged and was not\n"
	      "touched; 4 status got no answer.\n"
	      "The arbiter must run on neither of the two hosts it judges.\n", f);
}

/* --- run ----------------------------------------------------------------- */

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	(void)what;
	lockstep_info("signal %d: ending", (int)sig);
	event_base_loopbreak(arg);
}

static void on_refused(struct lockstep_transport *t, const char *address, const char *node,
		       int error, const char *reason)
{
	(void)error;
	lockstep_refusal_tell(lockstep_transport_user(t), address, node, reason);
}

static const struct lockstep_transport_ops transport_ops = {
	.refused = on_refused,
};

/* A transport with the names that the keys prove. */
static int make_transport(struct event_base *base, const char *keys,
			  struct lockstep_transport **t)
{
	char node[LOCKSTEP_NODE_NAME_MAX + 1], cluster[LOCKSTEP_NODE_NAME_MAX + 1], err[512];
	struct lockstep_transport_config cfg = {
		.cluster = cluster,
		.node = node,
		.keys_dir = keys,
	};
	static struct lockstep_refusals refusals;
	int ret;

	ret = lockstep_keys_identity(keys, node, cluster);
	if (ret) {
		lockstep_err("%s", lockstep_keys_strerror());
		return ret;
	}
	ret = lockstep_transport_create(base, &cfg, &transport_ops, &refusals, err, sizeof(err),
					t);
	if (ret)
		lockstep_err("%s", err);
	return ret;
}

static int listen_all(struct lockstep_transport *t, const struct options *opt)
{
	char bound[LOCKSTEP_ADDR_STRLEN];
	unsigned int i;
	int err;

	for (i = 0; i < opt->nlisten; i++) {
		err = lockstep_transport_listen(t, opt->listen[i], bound);
		if (err) {
			lockstep_err("can't listen on %s: %s; is another program using it?",
				     opt->listen[i], strerror(-err));
			return err;
		}
		lockstep_info("listening on %s", bound);
	}
	return 0;
}

static int serve(struct event_base *base, struct lockstep_store *store, const struct options *opt)
{
	struct lockstep_arbiter_server srv = { 0 };
	struct event *term, *intr;
	struct lockstep_transport *t = NULL;
	int ret;

	term = evsignal_new(base, SIGTERM, on_signal, base);
	intr = evsignal_new(base, SIGINT, on_signal, base);
	ret = -ENOMEM;
	if (!term || !intr || event_add(term, NULL) || event_add(intr, NULL))
		goto out;
	ret = make_transport(base, opt->keys, &t);
	if (ret)
		goto out;
	ret = lockstep_arbiter_server_init(&srv, t, store);
	if (!ret)
		ret = listen_all(t, opt);
	if (ret)
		goto out;
	lockstep_info("serving %llu records", (unsigned long long)lockstep_store_records(store));
	event_base_dispatch(base);
	ret = srv.failed;
out:
	lockstep_transport_destroy(t);
	if (term)
		event_free(term);
	if (intr)
		event_free(intr);
	return ret;
}

static int open_store(const struct options *opt, struct lockstep_store **store)
{
	char err[1024], uuid[LOCKSTEP_UUID_STRLEN + 1];
	int ret;

	ret = lockstep_store_open(opt->store, store, err, sizeof(err));
	if (ret) {
		lockstep_err("%s", err);
		return ret == -EUCLEAN ? EXIT_DAMAGED : EXIT_FAILED;
	}
	lockstep_info("store %s in %s", lockstep_uuid_format(lockstep_store_uuid(*store), uuid),
		      opt->store);
	return EXIT_OK;
}

static int cmd_run(const struct options *opt)
{
	struct lockstep_store *store;
	struct event_base *base;
	int ret;

	ret = open_store(opt, &store);
	if (ret)
		return ret;
	base = lockstep_loop_create();
	ret = base ? serve(base, store, opt) : -ENOMEM;
	if (base)
		event_base_free(base);
	lockstep_store_close(store);
	return ret ? EXIT_FAILED : EXIT_OK;
}

/* --- a shared folder ------------------------------------------------------ */

static int open_shared(const struct options *opt, struct lockstep_folder **f)
{
	/* Who asks is of no importance to what is done here. */
	int ret = lockstep_folder_open(opt->shared, "operator", NULL, NULL, f);

	if (ret)
		lockstep_err("%s: %s", opt->shared, ret == -EINVAL ? "an absolute path is needed" :
			     strerror(-ret));
	return ret;
}

static int mint_shared(const struct options *opt, bool restore)
{
	char uuid[LOCKSTEP_UUID_STRLEN + 1];
	struct lockstep_folder *f;
	int ret;

	if (open_shared(opt, &f))
		return EXIT_FAILED;
	ret = lockstep_folder_mint(f, restore);
	if (ret)
		lockstep_err("%s: %s", opt->shared, lockstep_folder_detail(f));
	else
		printf("%s is now store %s%s\n", opt->shared,
		       lockstep_uuid_format(lockstep_folder_store(f), uuid),
		       restore ? "; generations formed before can't be claimed any more" : "");
	lockstep_folder_close(f);
	return ret ? EXIT_FAILED : EXIT_OK;
}

static int shared_records(struct lockstep_folder *f, struct json_object *list)
{
	char key[LOCKSTEP_ARBITER_KEY_MAX];
	const struct lockstep_image *im;
	struct lockstep_uuid *vms;
	size_t count, i, k;
	int ret;

	ret = lockstep_folder_identity(f);
	if (!ret)
		ret = lockstep_folder_guests(f, &vms, &count);
	if (ret)
		return ret;
	for (i = 0; !ret && i < count; i++) {
		ret = lockstep_folder_load(f, &vms[i], &im);
		for (k = 0; !ret && k < im->count; k++) {
			lockstep_arbiter_key_format(&im->records[k].key, key);
			json_object_array_add(list, lockstep_arbiter_record_json(key,
					      im->records[k].value, im->records[k].len));
		}
	}
	free(vms);
	return ret;
}

static int cmd_init(const struct options *opt)
{
	if (!opt->shared) {
		fputs("lockstep-arbiter: init needs --shared DIR; other stores need no init\n", stderr);
		return EXIT_USAGE;
	}
	return mint_shared(opt, false);
}

/* --- etcd ----------------------------------------------------------------- */

struct etcd_restore {
	struct event_base *base;
	int exit;
};

static void on_etcd_restored(const struct lockstep_arbiter_answer *answer, void *arg)
{
	char uuid[LOCKSTEP_UUID_STRLEN + 1];
	struct etcd_restore *r = arg;

	if (answer->result == LOCKSTEP_ARBITER_OK) {
		printf("the store is now %s; generations formed before can't be claimed any more\n",
		       lockstep_uuid_format(&answer->store, uuid));
		r->exit = EXIT_OK;
	} else {
		lockstep_err("not restored: %s", answer->detail);
	}
	event_base_loopbreak(r->base);
}

static int restore_etcd(const struct options *opt)
{
	struct etcd_restore r = { .base = lockstep_loop_create(), .exit = EXIT_FAILED };
	struct lockstep_arbiter_etcd_config cfg = {
		.loop = r.base, .name = "etcd", .node = "operator", .http = opt->etcd,
	};
	struct lockstep_arbiter *a = NULL;
	char err[512] = "no memory";
	int ret = -ENOMEM;

	if (r.base)
		ret = lockstep_arbiter_etcd_create(&cfg, &a, err, sizeof(err));
	if (ret)
		lockstep_err("%s", err);
	else if (!lockstep_arbiter_etcd_restore(a, opt->timeout_ms, on_etcd_restored, &r))
		event_base_dispatch(r.base);
	if (a)
		a->ops->destroy(a);
	if (r.base)
		event_base_free(r.base);
	return r.exit;
}

/* --- restore, dump ------------------------------------------------------- */

static int cmd_restore(const struct options *opt)
{
	char before[LOCKSTEP_UUID_STRLEN + 1], after[LOCKSTEP_UUID_STRLEN + 1];
	struct lockstep_store *store;
	int ret;

	if (opt->shared)
		return mint_shared(opt, true);
	if (opt->etcd.servers)
		return restore_etcd(opt);
	ret = open_store(opt, &store);
	if (ret)
		return ret;
	lockstep_uuid_format(lockstep_store_uuid(store), before);
	ret = lockstep_store_restore(store);
	if (ret)
		lockstep_err("%s: %s", opt->store, strerror(-ret));
	else
		printf("store %s is now %s; generations formed before can't be claimed any more\n",
		       before, lockstep_uuid_format(lockstep_store_uuid(store), after));
	lockstep_store_close(store);
	return ret ? EXIT_FAILED : EXIT_OK;
}

static struct json_object *records_json(struct lockstep_store *store)
{
	const struct lockstep_store_record *rec = NULL;
	struct json_object *list = json_object_new_array();
	char key[LOCKSTEP_ARBITER_KEY_MAX];

	while (list && (rec = lockstep_store_next(store, rec ? &rec->key : NULL))) {
		lockstep_arbiter_key_format(&rec->key, key);
		json_object_array_add(list, lockstep_arbiter_record_json(key, rec->value,
									 rec->len));
	}
	return list;
}

static void print_records(const struct lockstep_uuid *store, struct json_object *list, bool json)
{
	struct json_object *o;
	size_t i;

	for (i = 0; !json && i < json_object_array_length(list); i++)
		puts(json_object_to_json_string_ext(json_object_array_get_idx(list, i),
						    JSON_C_TO_STRING_NOSLASHESCAPE));
	o = json ? json_object_new_object() : NULL;
	if (!o)
		return;
	lockstep_json_add_uuid(o, "store", store);
	json_object_object_add(o, "records", json_object_get(list));
	lockstep_json_print(o);
	json_object_put(o);
}

static int dump_shared(const struct options *opt)
{
	struct json_object *list = json_object_new_array();
	struct lockstep_folder *f;
	int ret;

	if (!list || open_shared(opt, &f)) {
		json_object_put(list);
		return EXIT_FAILED;
	}
	ret = shared_records(f, list);
	if (ret)
		lockstep_err("%s: %s", opt->shared, lockstep_folder_detail(f));
	else
		print_records(lockstep_folder_store(f), list, opt->json);
	json_object_put(list);
	lockstep_folder_close(f);
	return ret ? EXIT_FAILED : EXIT_OK;
}

static int cmd_dump(const struct options *opt)
{
	struct lockstep_store *store;
	struct json_object *list;
	int ret;

	if (opt->shared)
		return dump_shared(opt);
	ret = open_store(opt, &store);
	if (ret)
		return ret;
	list = records_json(store);
	if (list) {
		print_records(lockstep_store_uuid(store), list, opt->json);
	} else {
		lockstep_err("no memory");
		ret = EXIT_FAILED;
	}
	json_object_put(list);
	lockstep_store_close(store);
	return ret;
}

/* --- status -------------------------------------------------------------- */

struct status {
	struct event_base *base;
	const struct options *opt;
	int exit;
};

static void print_status(const struct lockstep_arbiter_info *info, bool json)
{
	char store[LOCKSTEP_UUID_STRLEN + 1], boot[LOCKSTEP_UUID_STRLEN + 1];
	struct json_object *o;

	if (!json) {
		printf("arbiter %s\nstore   %s\nboot    %s\nrecords %llu\nrtt     %.3f ms\n",
		       info->node, lockstep_uuid_format(&info->store, store),
		       lockstep_uuid_format(&info->boot_id, boot),
		       (unsigned long long)info->records, (double)info->rtt_ns / 1e6);
		return;
	}
	o = json_object_new_object();
	if (!o)
		return;
	lockstep_json_add_str(o, "node", info->node);
	lockstep_json_add_uuid(o, "store", &info->store);
	lockstep_json_add_uuid(o, "boot_id", &info->boot_id);
	lockstep_json_add_u64(o, "records", info->records);
	lockstep_json_add_u64(o, "rtt_ns", info->rtt_ns);
	lockstep_json_print(o);
	json_object_put(o);
}

static void on_probe(const struct lockstep_arbiter_answer *answer,
		     const struct lockstep_arbiter_info *info, void *arg)
{
	struct status *st = arg;

	if (info) {
		print_status(info, st->opt->json);
		st->exit = EXIT_OK;
	} else {
		lockstep_err("no status from %s: %s", st->opt->address, answer->detail);
	}
	event_base_loopbreak(st->base);
}

static int cmd_status(const struct options *opt)
{
	struct status st = { .opt = opt, .exit = EXIT_NO_ANSWER };
	struct lockstep_transport *t = NULL;
	struct lockstep_arbiter *a = NULL;
	int ret = EXIT_FAILED, err;

	if (!opt->address) {
		fputs("lockstep-arbiter: status needs the address of an arbiter\n", stderr);
		return EXIT_USAGE;
	}
	st.base = lockstep_loop_create();
	if (!st.base || make_transport(st.base, opt->keys, &t))
		goto out;
	err = lockstep_arbiter_tcp_create(t, opt->node, opt->address, &a);
	if (!err)
		err = a->ops->probe(a, opt->timeout_ms, on_probe, &st);
	if (err) {
		lockstep_err("%s: %s", opt->address, strerror(-err));
		goto out;
	}
	event_base_dispatch(st.base);
	ret = st.exit;
out:
	if (a)
		a->ops->destroy(a);
	lockstep_transport_destroy(t);
	if (st.base)
		event_base_free(st.base);
	return ret;
}

/* --- command line -------------------------------------------------------- */

static const struct {
	const char *name;
	int (*fn)(const struct options *opt);
	enum lockstep_log_level level;	/* a question's answer is not mixed with notes */
} commands[] = {
	{ "init",	cmd_init,	LOCKSTEP_LOG_WARN },
	{ "run",	cmd_run,	LOCKSTEP_LOG_INFO },
	{ "status",	cmd_status,	LOCKSTEP_LOG_WARN },
	{ "dump",	cmd_dump,	LOCKSTEP_LOG_WARN },
	{ "restore",	cmd_restore,	LOCKSTEP_LOG_WARN },
};

static const struct option long_options[] = {
	{ "listen",	required_argument,	NULL, 'l' },
	{ "store",	required_argument,	NULL, 's' },
	{ "shared",	required_argument,	NULL, 'S' },
	{ "etcd",	required_argument,	NULL, 'E' },
	{ "ca",		required_argument,	NULL, 'A' },
	{ "cert",	required_argument,	NULL, 'C' },
	{ "key",	required_argument,	NULL, 'K' },
	{ "keys",	required_argument,	NULL, 'k' },
	{ "node",	required_argument,	NULL, 'n' },
	{ "timeout",	required_argument,	NULL, 't' },
	{ "json",	no_argument,		NULL, 'j' },
	{ "syslog",	no_argument,		NULL, 'y' },
	{ "verbose",	no_argument,		NULL, 'v' },
	{ "help",	no_argument,		NULL, 'h' },
	{ NULL, 0, NULL, 0 }
};

static bool parse_timeout(const char *s, struct options *opt)
{
	unsigned long ms;
	char *end;

	errno = 0;
	ms = strtoul(s, &end, 10);
	if (errno || end == s || *end || ms < LOCKSTEP_ARBITER_TIMEOUT_MS_MIN ||
	    ms > LOCKSTEP_ARBITER_TIMEOUT_MS_MAX)
		return false;
	opt->timeout_ms = (unsigned int)ms;
	return true;
}

/* -1 to go on, else an exit status. */
static int parse_option(int c, struct options *opt)
{
	switch (c) {
	case 'l':
		if (opt->nlisten == sizeof(opt->listen) / sizeof(opt->listen[0])) {
			fputs("lockstep-arbiter: too many --listen\n", stderr);
			return EXIT_USAGE;
		}
		opt->listen[opt->nlisten++] = optarg;
		return -1;
	case 's':
		opt->store = optarg;
		return -1;
	case 'S':
		opt->shared = optarg;
		return -1;
	case 'E':
		opt->etcd.servers = optarg;
		return -1;
	case 'A':
		opt->etcd.ca = optarg;
		return -1;
	case 'C':
		opt->etcd.cert = optarg;
		return -1;
	case 'K':
		opt->etcd.key = optarg;
		return -1;
	case 'k':
		opt->keys = optarg;
		return -1;
	case 'n':
		opt->node = optarg;
		return -1;
	case 't':
		if (parse_timeout(optarg, opt))
			return -1;
		fprintf(stderr, "lockstep-arbiter: --timeout takes %d to %d\n",
			LOCKSTEP_ARBITER_TIMEOUT_MS_MIN, LOCKSTEP_ARBITER_TIMEOUT_MS_MAX);
		return EXIT_USAGE;
	case 'j':
		opt->json = true;
		return -1;
	case 'y':
		opt->syslog = true;
		return -1;
	case 'v':
		opt->verbose = true;
		return -1;
	case 'h':
		usage(stdout);
		return EXIT_OK;
	default:
		usage(stderr);
		return EXIT_USAGE;
	}
}

int main(int argc, char **argv)
{
	struct options opt = {
		.store = DEFAULT_STORE,
		.keys = DEFAULT_KEYS,
		.timeout_ms = LOCKSTEP_ARBITER_TIMEOUT_MS_DEF,
	};
	const char *name;
	size_t i;
	int c, ret;

	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		ret = parse_option(c, &opt);
		if (ret >= 0)
			return ret;
	}
	name = optind < argc ? argv[optind++] : "run";
	if (optind < argc)
		opt.address = argv[optind++];
	if (!opt.nlisten)
		opt.listen[opt.nlisten++] = DEFAULT_LISTEN;
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(name, commands[i].name))
			continue;
		if (optind < argc || (opt.address && commands[i].fn != cmd_status))
			break;
		lockstep_log_init("lockstep-arbiter",
				  opt.verbose ? LOCKSTEP_LOG_DEBUG : commands[i].level,
				  opt.syslog);
		return commands[i].fn(&opt);
	}
	usage(stderr);
	return EXIT_USAGE;
}
