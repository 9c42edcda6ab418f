/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VMM for the guests of vm.h, protected by the module: the calls of the uapi
 * header in their order, and devices as simple as can be.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <linux/lockstep.h>

#include "vm.h"

#define FRAME_LEN	64
#define KEPT_MAX	16384		/* no bound but that of the log: tests make fewer */
#define FRAME_TYPE	0x88b5		/* local experimental ethertype */
#define FRAME_INDEX_AT	14		/* 8 bytes, host order */

/* machine->end beyond enum lockstep_verdict: */
enum machine_end {
	MACHINE_RUNNING = -1,
	MACHINE_ENDED = 100,		/* the guest reached VM_PORT_END */
	MACHINE_QUIT,			/* machine_stop() */
	MACHINE_ERROR,			/* see machine->error */
};

/**
 * struct machine - one side
 * @vm:      its VM
 * @fd:      /dev/lockstep
 * @attach:  what was asked and answered
 * @page:    shared with the module
 * @log_size: to ask for at attach, 0: the module's default
 * @tap:     where frames are written, -1: nowhere
 * @held_up: stop between the record of a frame and its write
 * @frame_waits: one waits there
 * @spoil:   differ from the log on purpose, at this output's index (0: never)
 * @serial:  bytes made
 * @frames:  frames made
 * @kept:    frames of a twin, ring of the last ones
 * @resent:  kept frames sent at go-live
 * @inputs:  given to the guest
 * @stops:   made by the guest, or for the VMM
 * @end:     how machine_run() ended
 * @error:   errno with MACHINE_ERROR
 * @error_at: what failed
 */
struct machine {
	struct vm vm;
	int fd;
	struct lockstep_attach attach;
	struct lockstep_page *page;
	uint32_t log_size;
	int tap;
	atomic_bool held_up;
	atomic_bool frame_waits;
	uint64_t spoil;

	uint64_t serial;
	uint64_t frames;
	uint8_t kept[KEPT_MAX][FRAME_LEN];
	uint64_t resent;
	uint64_t inputs;
	atomic_uint stops;

	pthread_t thread;
	atomic_int tid;
	bool threaded;
	atomic_bool quit;
	atomic_int end;
	int error;
	const char *error_at;
};

void machine_attach_fill(struct lockstep_attach *attach, const struct vm *vm, const char *name);
int machine_open(struct machine *machine, const char *name, unsigned int role,
		 unsigned int flags, const char *output_dev);
void machine_close(struct machine *machine);
void machine_run(struct machine *machine);
int machine_start(struct machine *machine);
bool machine_sleeps(const struct machine *machine);
void machine_stop(struct machine *machine);

#endif
