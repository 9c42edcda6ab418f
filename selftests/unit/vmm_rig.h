/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A machine without KVM, for tests of the ISA devices
 *
 * The real struct vmm, ports, PIC and clock, on a session that records clock
 * values or gives recorded ones back.  The test is the guest and sets the time.
 */
#ifndef VMM_RIG_H
#define VMM_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/vmm.h"

#define RIG_ROOM	65536

/**
 * struct rig - a machine and what it has done
 * @now:     virtual time, @wall: of day, ns; clock reads give these (primary)
 * @clocks:  values read so far, to be replayed by a twin
 * @primary: a twin takes its values from here
 * @out:     bytes of the serial line
 * @room:    for input, as the serial line says
 * @said:    messages
 */
struct rig {
	struct vmm *vmm;
	uint64_t now;
	uint64_t wall;
	uint64_t clocks[RIG_ROOM];
	size_t n_clocks;
	struct rig *primary;
	uint8_t out[RIG_ROOM];
	size_t n_out;
	uint32_t room;
	uint32_t taken;
	unsigned int said;
};

/* A primary, or the twin of one; with a PIC. */
struct rig *rig_new(struct rig *primary);
void rig_exit(struct rig *rig);

uint8_t rig_in(struct rig *rig, uint16_t port);
void rig_out(struct rig *rig, uint16_t port, uint8_t value);

/* Program the PIC pair as Linux does (vectors 0x30 and 0x38) with all lines open. */
void rig_pic_init(struct rig *rig);

/* The line whose interrupt is taken now, with its EOI; -1: none waits. */
int rig_interrupt(struct rig *rig);

/* Apply an input of a device; 0 or -errno. */
int rig_apply(struct rig *rig, enum vmm_unit unit, uint16_t kind, const void *data, uint32_t len);

/* Primary: let time pass until @to, applying timers on their way as inputs. Their number. */
unsigned int rig_pass(struct rig *rig, uint64_t to);

/* All state as bytes, to be freed; and back, 0 or -errno. */
uint8_t *rig_save(struct rig *rig, size_t *len);
int rig_load(struct rig *rig, const void *data, size_t len);

#endif
