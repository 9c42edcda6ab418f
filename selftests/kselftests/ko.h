/* SPDX-License-Identifier: GPL-2.0 */
/* The module's coming and going, and VMs that are not ours and run meanwhile. */
#ifndef KO_H
#define KO_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "vm.h"

/**
 * struct bystander - a VM that is not attached, in a thread of its own
 * @vm:     its VM, created and loaded by the test
 * @thread: runs it until bystander_stop()
 * @end:    why it ended, as vm_enter() says it; 0: it has not
 * @quit:   it is to
 */
struct bystander {
	struct vm vm;
	pthread_t thread;
	atomic_int end;
	atomic_bool quit;
};

int bystander_start(struct bystander *b);
bool bystander_goes_on(struct bystander *b);
bool bystander_stop(struct bystander *b);

int ko_load(const char *path);
int ko_unload(void);
int ko_parameter_set(const char *name, const char *value);

#endif
