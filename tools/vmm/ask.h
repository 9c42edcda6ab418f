/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The other end of the control socket: send one command, print the answer
 */
#ifndef VMM_ASK_H
#define VMM_ASK_H

/* 0: the answer says ok; -ECANCELED: it does not; another -errno after a message. */
int vmm_ask(const char *path, const char *command);

#endif
