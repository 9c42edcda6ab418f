/* SPDX-License-Identifier: GPL-2.0 */
/* The page of http/, as it is compiled in. */
#ifndef LOCKSTEP_MR_PAGE_H
#define LOCKSTEP_MR_PAGE_H

extern const char mr_page[];
extern const char mr_page_end[];

#endif
