// SPDX-License-Identifier: GPL-2.0
/* lockstepctl keys: the cluster's certificates. */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "transport/keys.h"
#include "transport/transport.h"

static int failed(void)
{
	fprintf(stderr, "lockstepctl: %s\n", lockstep_keys_strerror());
	return CTL_FAILED;
}

/* keys init DIR CLUSTER */
static int do_init(const struct ctl_options *opt)
{
	if (lockstep_keys_init(opt->args[1], opt->args[2]))
		return failed();
	printf("%s: CA of cluster %s; keep %s to yourself\n", opt->args[1], opt->args[2],
	       LOCKSTEP_KEYS_CA_KEY);
	return CTL_OK;
}

/* keys issue DIR NODE OUTDIR */
static int do_issue(const struct ctl_options *opt)
{
	if (lockstep_keys_issue(opt->args[1], opt->args[2], opt->args[3]))
		return failed();
	printf("%s: keys of node %s; copy the folder to /etc/lockstep/keys there\n", opt->args[3],
	       opt->args[2]);
	return CTL_OK;
}

/* keys make DIR CLUSTER NODE...: all of it at once, the nodes' in DIR/NODE */
static int do_make(const struct ctl_options *opt)
{
	char out[4096];
	int i, ret;

	ret = lockstep_keys_init(opt->args[1], opt->args[2]);
	if (ret && ret != -EEXIST)
		return failed();
	for (i = 3; i < opt->nargs; i++) {
		if (snprintf(out, sizeof(out), "%s/%s", opt->args[1], opt->args[i]) >=
		    (int)sizeof(out)) {
			fprintf(stderr, "lockstepctl: the path is too long\n");
			return CTL_FAILED;
		}
		if (lockstep_keys_issue(opt->args[1], opt->args[i], out))
			return failed();
		printf("%s: copy to /etc/lockstep/keys of node %s\n", out, opt->args[i]);
	}
	return CTL_OK;
}

/* keys show DIR */
static int do_show(const struct ctl_options *opt)
{
	char node[LOCKSTEP_NODE_NAME_MAX + 1], cluster[LOCKSTEP_NODE_NAME_MAX + 1];
	struct json_object *o;

	if (lockstep_keys_identity(opt->args[1], node, cluster))
		return failed();
	if (opt->json) {
		o = json_object_new_object();
		lockstep_json_add_str(o, "node", node);
		lockstep_json_add_str(o, "cluster", cluster);
		lockstep_json_print(o);
		json_object_put(o);
	} else {
		printf("node %s of cluster %s\n", node, cluster);
	}
	return CTL_OK;
}

static const struct {
	const char *name;
	int min;
	int max;
	int (*run)(const struct ctl_options *opt);
	const char *args;
} commands[] = {
	{ "make", 4, 64, do_make, "DIR CLUSTER NODE..." },
	{ "init", 3, 3, do_init, "DIR CLUSTER" },
	{ "issue", 4, 4, do_issue, "DIR NODE OUTDIR" },
	{ "show", 2, 2, do_show, "DIR" },
};

int ctl_keys(const struct ctl_options *opt)
{
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(opt->args[0], commands[i].name) && opt->nargs >= commands[i].min &&
		    opt->nargs <= commands[i].max)
			return commands[i].run(opt);
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(stderr, "%s lockstepctl keys %s %s\n", i ? "      " : "usage:",
			commands[i].name, commands[i].args);
	return CTL_USAGE;
}
