/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The machine itself: what its own parts know of each other
 *
 * Devices see device.h only.  Everything here belongs to the vCPU's thread
 * unless a comment names another.
 */
#ifndef VMM_H
#define VMM_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <linux/kvm.h>
#include <linux/lockstep.h>

#include "config.h"
#include "device.h"

struct pci_bus;
struct vmm_control;
struct vmm_events;
struct vmm_host;
struct vmm_pic;
struct vmm_session_ops;
struct vmm_stream;

/* Why the machine stops; in order of precedence: the first one stays. */
enum vmm_ending {
	VMM_END_NONE = 0,
	VMM_END_POWEROFF,	/* by the guest, in order */
	VMM_END_RESET,		/* the guest asked for a reset */
	VMM_END_CRASH,		/* triple fault */
	VMM_END_HALTED,		/* lost the contest, or given up by the daemon */
	VMM_END_DIVERGED,	/* twin: not the primary's state any more */
	VMM_END_QUIT,		/* signal or control socket */
	VMM_END_ERROR,		/* host error, said on stderr */
};

/* Exit codes of lockstep-vmm(8). */
enum vmm_exit {
	VMM_EXIT_OK = 0,
	VMM_EXIT_ERROR = 1,
	VMM_EXIT_USAGE = 2,
	VMM_EXIT_HALTED = 3,
	VMM_EXIT_DIVERGED = 4,
	VMM_EXIT_RESET = 5,
	VMM_EXIT_QUIT = 6,
};

#define VMM_NEVER		UINT64_MAX	/* of a timer: not armed */
#define VMM_DEVICES_MAX		32
#define VMM_UNKNOWN_MSRS	16	/* told of; more are only counted */
#define VMM_PIO_RANGES_MAX	64

struct vmm_timer {
	uint64_t ns;		/* virtual time, VMM_NEVER: not armed */
	uint16_t kind;
};

struct vmm_pio_range {
	uint16_t base;
	uint16_t len;
	const struct vmm_pio_ops *ops;
	void *opaque;
};

/**
 * struct vmm_ram - guest memory: [0, low) and, when it is larger, [4 GiB, 4 GiB + high)
 * @base:    one mapping holds both
 * @sums:    per page, its part of @sum; NULL: writes are not tracked
 * @written: bit per page: written since it went into @sums
 * @sum:     memory digest when it was last taken
 */
struct vmm_ram {
	uint8_t *base;
	uint64_t low;
	uint64_t high;
	uint64_t *sums;
	uint64_t *written;
	uint64_t sum;
};

/**
 * struct vmm_contents - digests of the files a guest starts from, as vmm_start_read() found them
 */
struct vmm_contents {
	uint64_t kernel;
	uint64_t initrd;
	uint64_t disks[VMM_DISKS_MAX];
};

/**
 * struct vmm_counters - for "status"; written by the vCPU's thread, read by any
 */
struct vmm_counters {
	atomic_uint_fast64_t stops;
	atomic_uint_fast64_t interrupted;	/* KVM_RUN returned -EINTR */
	atomic_uint_fast64_t inputs;
	atomic_uint_fast64_t injections;
	atomic_uint_fast64_t halts;
	atomic_uint_fast64_t unknown_msrs;
	atomic_uint_fast64_t mmio;
};

/**
 * struct vmm - one guest
 * @run:       page shared with KVM
 * @devices:   in the order they were added
 * @units:     the device that takes the inputs of a unit
 * @ports:     per I/O port, index into @ranges + 1; 0: absent
 * @pic:       the interrupt controllers, needed at every entry
 * @session:   where inputs come from and outputs go to: the module, or nothing
 * @page:      shared with the module; the session's own when there is none
 * @contents:  of files and disks, for the start state
 * @live:      inputs and outputs are real (any thread reads it)
 * @started:   the start state is built
 * @halted:    the last stop was HLT with interrupts on, and no interrupt came yet
 * @ending:    set once by vmm_end()
 * @settled:   the session knows of the end already
 * @quit:      any thread: asks the vCPU's thread to end
 */
struct vmm {
	struct vmm_config config;

	int kvm_fd;
	int vm_fd;
	int vcpu_fd;
	struct kvm_run *run;
	size_t run_size;
	struct vmm_ram ram;
	pthread_t vcpu_thread;

	struct vmm_device *devices[VMM_DEVICES_MAX];
	unsigned int n_devices;
	struct vmm_device *units[VMM_UNITS];
	struct vmm_timer timers[VMM_UNITS];
	uint8_t ports[65536];
	struct vmm_pio_range ranges[VMM_PIO_RANGES_MAX];
	unsigned int n_ranges;
	struct vmm_pic *pic;
	struct pci_bus *pci;

	const struct vmm_session_ops *session;
	void *session_data;
	struct lockstep_page *page;

	struct vmm_events *events;
	struct vmm_host *host;
	struct vmm_control *control;
	struct vmm_stream *streams[LOCKSTEP_STREAMS];
	FILE *pcap;		/* record of the net stream, or NULL */
	struct vmm_contents contents;

	atomic_bool live;
	atomic_bool quit;
	bool started;
	bool halted;
	enum vmm_ending ending;
	bool settled;
	struct vmm_counters counters;
	uint32_t unknown_msrs[VMM_UNKNOWN_MSRS];
	unsigned int n_unknown_msrs;
};

/* End the machine after this stop; a later reason does not replace an earlier one. */
void vmm_end(struct vmm *vmm, enum vmm_ending ending);

/* The guest's TSC, logged: for RDMSR. */
uint64_t vmm_clock_tsc(struct vmm *vmm);

/* The first of all timers, VMM_NEVER: none is armed. */
uint64_t vmm_timers_next(const struct vmm *vmm);

/* Ask the vCPU's thread to end (any thread). */
void vmm_quit(struct vmm *vmm);

/* Have KVM_RUN, or a call of the module that sleeps, return with -EINTR (any thread). */
#define VMM_SIGNAL_KICK		SIGUSR1
void vmm_kick(struct vmm *vmm);

#endif
