/* SPDX-License-Identifier: GPL-2.0 */
/* /dev/kpmu: a guest-only instruction counter with overflow, for the caller's thread. */
#ifndef KPMU_H
#define KPMU_H

#include <linux/ioctl.h>
#include <linux/types.h>

struct kpmu_state {
	__u64 count;
	__u64 overflows;
	__u64 in_nmi;		/* of these, in NMI context */
};

#define KPMU_ARM	_IO('k', 1)	/* argument: the period */
#define KPMU_READ	_IOR('k', 2, struct kpmu_state)
#define KPMU_RELEASE	_IO('k', 3)

#define KPMU_SIGNAL	10		/* SIGUSR1, sent at each overflow */

#endif
