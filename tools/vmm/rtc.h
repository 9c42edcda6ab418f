/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The MC146818 clock and its CMOS memory (ports 0x70, 0x71; IRQ 8)
 *
 * Shows the wall clock of the side that is live, in UTC, every read of it
 * logged; the guest can set it, which moves an offset.  Periodic, alarm and
 * update interrupts are there, the update-in-progress flag is never set, and
 * the square wave and daylight saving are absent.
 */
#ifndef VMM_RTC_H
#define VMM_RTC_H

struct vmm;

/* 0 or -errno */
int vmm_rtc_create(struct vmm *vmm);

#endif
