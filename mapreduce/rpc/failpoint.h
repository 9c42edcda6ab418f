/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where tests have a process die or stall: MR_FAILPOINT=NAME[:N][:ACTION] in the
 * environment. The Nth time (1) that NAME is passed the process does ACTION: "kill"
 * (the default), "stop" (SIGSTOP).
 */
#ifndef LOCKSTEP_MR_FAILPOINT_H
#define LOCKSTEP_MR_FAILPOINT_H

void mr_failpoint(const char *name);

#endif
