/* SPDX-License-Identifier: GPL-2.0 */
/* What the tests need to run at all. To be included behind kselftest_harness.h. */
#ifndef TEST_H
#define TEST_H

#include <unistd.h>

#include "vm.h"

/* The harness goes on with the test after a SKIP() in its setup; this does not. */
#define SKIP_TEST(...)	SKIP(_exit(255), __VA_ARGS__)

/* Also where the kernel looks for mistakes, and takes five times as long. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	150

/* In a fixture's setup. */
#define NEED_MODULE()								\
	do {									\
		if (geteuid())							\
			SKIP_TEST("needs root");				\
		if (!vm_can())							\
			SKIP_TEST("needs KVM; modprobe kvm-amd or kvm-intel");	\
		if (access("/dev/lockstep", F_OK))				\
			SKIP_TEST("needs the module; insmod lockstep.ko");	\
	} while (0)

#endif
