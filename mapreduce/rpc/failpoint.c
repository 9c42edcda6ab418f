// SPDX-License-Identifier: GPL-2.0
#include "rpc/failpoint.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

void mr_failpoint(const char *name)
{
	static _Atomic long passed;
	const char *point = getenv("MR_FAILPOINT");
	size_t len = strlen(name);
	long n = 1;

	if (!point || strncmp(point, name, len) || (point[len] && point[len] != ':'))
		return;
	if (point[len] == ':' && point[len + 1] >= '0' && point[len + 1] <= '9')
		n = strtol(point + len + 1, NULL, 10);
	if (++passed == n)
		raise(strstr(point + len, ":stop") ? SIGSTOP : SIGKILL);
}
