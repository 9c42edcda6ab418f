/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A machine without a CPU, for tests of virtio devices
 *
 * It is what device.h asks of a machine: memory, ports, interrupt lines, inputs
 * and outputs, in both roles.  The test is the guest: it accesses ports and
 * memory, and says with machine_step() where inputs may be applied.  A primary
 * logs each input with the number of the step, and each output; a twin made from
 * the primary's log gets the inputs at the same steps, and its outputs are
 * compared.
 */
#ifndef VIRTIO_MACHINE_H
#define VIRTIO_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/device.h"
#include "vmm/pci.h"

#define MACHINE_MEMORY	(2U << 20)

struct machine_log;

struct vmm;

/* A live machine with a PCI bus; machine_exit() destroys its devices too. */
struct vmm *machine_new(void);

/* A twin that follows the log of @primary, which has to outlive it. */
struct vmm *machine_new_twin(struct vmm *primary);

void machine_exit(struct vmm *m);

struct pci_bus *machine_bus(struct vmm *m);
uint8_t *machine_memory(struct vmm *m);
struct vmm_device *machine_device(struct vmm *m, enum vmm_unit unit);

/* Ports. */
uint32_t machine_in(struct vmm *m, uint16_t port, uint8_t size);
void machine_out(struct vmm *m, uint16_t port, uint8_t size, uint32_t value);
uint32_t machine_config_in(struct vmm *m, unsigned int slot, unsigned int reg, uint8_t size);
void machine_config_out(struct vmm *m, unsigned int slot, unsigned int reg, uint8_t size,
			uint32_t value);
uint16_t machine_lines(const struct vmm *m);	/* bit n: PIC line n is up */

/*
 * A place where inputs are applied.  Live: all that wait are logged and applied.
 * Twin: those that the log has at this step.  Returns 0, or the -errno of the
 * first apply that failed.
 */
int machine_step(struct vmm *m);

/* As machine_step(), after an input has come (live; fails the test after 10 s). */
int machine_step_input(struct vmm *m);

/* Inputs that wait; live. */
size_t machine_waiting(struct vmm *m);

/* Apply an input as if the log had it. */
int machine_apply(struct vmm *m, enum vmm_unit unit, uint16_t kind, const void *data, uint32_t len);

/* What a primary has sent may be dropped on its twin up to here. */
void machine_release(struct vmm *m, uint32_t stream, uint64_t index);

/* A twin goes live. */
void machine_go_live(struct vmm *m);

/* Outputs so far: number of them, and one of them. Bytes of a stream count as one each. */
size_t machine_outputs(const struct vmm *m, uint32_t stream);
const uint8_t *machine_output(const struct vmm *m, uint32_t stream, size_t number, size_t *len);

/* Inputs a primary has logged. */
size_t machine_inputs(const struct vmm *m);
size_t machine_inputs_of(const struct vmm *m, enum vmm_unit unit);

/* The last announcement of room of a stream. */
uint32_t machine_room(const struct vmm *m, uint32_t stream);

bool machine_failed(const struct vmm *m);
unsigned int machine_said(const struct vmm *m);

/* Fail the test unless state of all devices and all of memory are equal. */
void machine_assert_equal(struct vmm *a, struct vmm *b);

/* Load the state of all devices of @from into @to, and its memory. */
int machine_load(struct vmm *to, struct vmm *from);

/* The state of all devices, as bytes to be freed; and back. Load returns 0 or -errno. */
uint8_t *machine_state(struct vmm *m, size_t *len);
int machine_load_state(struct vmm *m, const uint8_t *bytes, size_t len);

/* Make the next @count transfers of this kind on the file fail with @error. */
enum machine_io { MACHINE_READ, MACHINE_WRITE };
void machine_io_fail(const char *path, enum machine_io io, unsigned int count, int error);

/* ---- the guest's driver ---- */

#define DRIVER_QUEUES	2

struct driver_queue {
	uint64_t table, avail, used;
	uint16_t size;
	uint16_t next;		/* descriptor to use next */
	uint16_t avail_index;
	uint16_t seen;		/* of the used ring */
};

struct driver {
	struct vmm *m;
	uint16_t io;
	struct driver_queue queues[DRIVER_QUEUES];
};

struct driver_segment {
	uint64_t gpa;
	uint32_t len;
	bool in;	/* the device writes it */
};

/*
 * Reset the device in @slot, accept @features, put its queues to @gpa and say
 * that the driver is ready.  Each queue takes 16 KiB at most.
 */
void driver_init(struct driver *d, struct vmm *m, unsigned int slot, uint32_t features,
		 uint64_t gpa);

/* Add a request; returns its head. */
uint16_t driver_add(struct driver *d, unsigned int queue, const struct driver_segment *segments,
		    unsigned int count);
void driver_kick(struct driver *d, unsigned int queue);

/* Take the next used request: true, its head and length; false when there is none. */
bool driver_used(struct driver *d, unsigned int queue, uint16_t *head, uint32_t *len);

uint8_t driver_status(struct driver *d);
uint8_t driver_isr(struct driver *d);

/* ---- numbers that depend on a seed alone ---- */

struct random {
	uint64_t state;
};

/* From fuzz_seed(): a copy gives a twin the same numbers. */
void random_init(struct random *r);
uint64_t random_next(struct random *r);
uint32_t random_below(struct random *r, uint32_t limit);
void random_fill(struct random *r, void *data, size_t len);

/* Make a file of @size bytes of some pattern; @path has room for PATH_MAX. The caller unlinks it. */
void machine_disk(char *path, size_t size, uint8_t pattern);

#endif
