// SPDX-License-Identifier: GPL-2.0
/* mrctl worker: one of the processes of mrctl run; people use mrworker. */
#include <errno.h>
#include <stddef.h>

#include "engine/attempt.h"
#include "local.h"
#include "mrctl.h"
#include "transport/transport.h"
#include "worker/work.h"

static int worker(int argc, char **argv)
{
	struct lockstep_transport_config transport = { .cluster = MRCTL_CLUSTER, .node = MRCTL_NODE };
	struct mr_work_config config = {
		.transport = &transport, .node = MRCTL_NODE, .retry_ms = MR_WORK_RETRY_MS_DEF,
	};
	char err[1024] = "";
	int ret;

	if (argc != 5)
		return mrctl_fail(MRCTL_USAGE, "worker is mrctl run's own; there is mrworker");
	config.address = argv[1];
	config.work_dir = argv[3];
	config.output_dir = argv[4];
	ret = mr_app_load(argv[2], err, sizeof(err), &config.app, &config.app_hash);
	if (!ret)
		ret = mr_work_run(&config, err, sizeof(err));
	if (ret && ret != -ECANCELED)
		mrctl_fail(0, "worker: %s", err);
	return ret ? MRCTL_FAILED : MRCTL_OK;
}

const struct mrctl_command mrctl_worker_commands[] = {
	{ "worker", worker, NULL, NULL },
	{ NULL, NULL, NULL, NULL },
};
