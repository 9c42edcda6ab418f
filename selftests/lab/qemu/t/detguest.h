/* SPDX-License-Identifier: GPL-2.0 */
/* Where things are in the memory of the guest of det.c. */
#ifndef DETGUEST_H
#define DETGUEST_H

#define DET_STR_(x)	#x
#define DET_STR(x)	DET_STR_(x)

#define DET_COUNTS	0x6000		/* #DE, #UD, #BP, #PF, result */
#define DET_GDT		0x7000
#define DET_IDT		0x7800
#define DET_PML4	0x8000
#define DET_PDPT	0x9000
#define DET_PD		0xa000
#define DET_PT		0xb000		/* maps DET_PAGED */
#define DET_TEXT	0x10000
#define DET_STACK	0x90000
#define DET_DATA	0x100000
#define DET_PAGED	0x400000
#define DET_MEMORY	0x600000

/* In det.c: the guest as it goes to DET_TEXT. */
extern const unsigned char guest_bin[];
extern const unsigned long guest_bin_size;

#endif
