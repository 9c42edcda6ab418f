// SPDX-License-Identifier: GPL-2.0
/* mrctl worker: one of the processes of mrctl run; people use mrworker. */
#include <errno.h>
#include <sys/prctl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/attempt.h"
#include "mrctl.h"
#include "worker/runner.h"

static int worker(int argc, char **argv)
{
	struct mr_runner_config config = { 0 };
	char err[MR_ERROR_MAX] = "";
	int ret;

	if (argc != 5)
		return MRCTL_USAGE;
	config.address = argv[1];
	config.app = argv[2];
	config.work_dir = argv[3];
	config.output_dir = argv[4];
	/* who started it may have been killed */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ret = mr_runner_run(&config, err, sizeof(err));
	if (ret && ret != -ECANCELED && *err)
		mrctl_fail(0, "worker: %s", err);
	return ret ? MRCTL_FAILED : MRCTL_OK;
}

const struct mrctl_command mrctl_worker_commands[] = {
	{ "worker", worker, NULL, NULL },
	{ NULL, NULL, NULL, NULL },
};
