/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The pair of 8259 interrupt controllers (ports 0x20, 0xa0, 0x4d0)
 *
 * vmm_irq_set() of device.h drives its lines.  As silicon does, and with the
 * same limits: rotation in automatic EOI mode and 8085 mode are absent.
 */
#ifndef VMM_PIC_H
#define VMM_PIC_H

#include <stdbool.h>
#include <stdint.h>

struct vmm;

/* Registers the device and sets vmm->pic. 0 or -errno. */
int vmm_pic_create(struct vmm *vmm);

/* Which of the 16 lines are level-triggered, as a BIOS would have set it (edge for all at first). */
void vmm_pic_set_level(struct vmm *vmm, uint16_t lines);

/* Does the pair drive the CPU's INTR pin? */
bool vmm_pic_pending(const struct vmm *vmm);

/* Interrupt acknowledge: the vector; changes the state of the pair. */
uint8_t vmm_pic_ack(struct vmm *vmm);

/**
 * struct vmm_pic_regs - registers of the pair, bit n for line n of 16
 * @irr: requests
 * @imr: masked lines
 * @isr: in service: acknowledged, and no end of interrupt has come
 */
struct vmm_pic_regs {
	uint16_t irr;
	uint16_t imr;
	uint16_t isr;
};

/* For people to look at: from any thread, so they need not belong together. */
void vmm_pic_regs_get(const struct vmm *vmm, struct vmm_pic_regs *regs);

#endif
