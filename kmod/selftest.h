/* SPDX-License-Identifier: GPL-2.0 */
/* Tests that run at load, and refuse it when they fail. */
#ifndef LOCKSTEP_SELFTEST_H
#define LOCKSTEP_SELFTEST_H

int lockstep_selftest(void);

#endif
