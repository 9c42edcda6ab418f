/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The 8254 timer (ports 0x40..0x43) and port 0x61
 *
 * Channel 0 drives IRQ 0; channel 2 shows in port 0x61.  Counters run on the
 * virtual clock: every access that shows or starts one takes a logged clock
 * value.  Counting in BCD is not there: it counts in binary.
 */
#ifndef VMM_PIT_H
#define VMM_PIT_H

struct vmm;

/* 0 or -errno */
int vmm_pit_create(struct vmm *vmm);

#endif
