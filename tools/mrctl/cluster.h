/* SPDX-License-Identifier: GPL-2.0 */
/* What commands on a cluster's jobs share. */
#ifndef LOCKSTEP_MRCTL_CLUSTER_H
#define LOCKSTEP_MRCTL_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json_object;

/* history and resume, when they are about the cluster. */
int mrctl_cluster_history(int argc, char **argv);
int mrctl_cluster_ask(int argc, char **argv);

/* mrnode's socket: MRCTL_SOCKET of the environment, or the usual one. */
const char *mrctl_socket(void);

/**
 * mrctl_wait() - wait until a job is over
 * @socket: mrnode's
 * @job: its name
 * @timeout_ms: 0: without limit
 * @json: print its status at the end
 *
 * Return: the exit status that tells how it ended.
 */
int mrctl_wait(const char *socket, const char *job, uint64_t timeout_ms, bool json);

/* One line: which attempt failed, where, at which record, and why. */
void mrctl_print_failure(FILE *f, struct json_object *failure);

#endif
