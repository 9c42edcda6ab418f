/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The 16550A serial port (ports 0x3f8..0x3ff, IRQ 4)
 *
 * Bytes leave at once, so the transmitter is always empty; the receive FIFO is
 * deeper than silicon's, so that a burst of input is one input of the log.
 * There are no line errors, and the baud rate means nothing.
 */
#ifndef VMM_SERIAL_H
#define VMM_SERIAL_H

struct vmm;

/* 0 or -errno */
int vmm_serial_create(struct vmm *vmm);

#endif
