// SPDX-License-Identifier: GPL-2.0
/*
 * Code that is patched while another CPU runs it: the first VM of KVM sets, and the last one
 * clears, a branch in the scheduler, through which two threads of each CPU go all the time. A CPU
 * that keeps the breakpoint of the patching as it was never comes out of it: then this hangs, and
 * the host with it.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vm.h"

#define CPUS		2
#define THREADS		(2 * CPUS)
#define ROUNDS		1000

static atomic_bool quit;

static void *switcher(void *arg)
{
	while (!quit)
		usleep(50);
	return arg;
}

int main(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), fd, i;
	pthread_t threads[THREADS];
	cpu_set_t cpus;

	for (i = 0; i < THREADS; i++) {
		if (pthread_create(&threads[i], NULL, switcher, NULL))
			give_up("a thread");
		CPU_ZERO(&cpus);
		CPU_SET(i % CPUS, &cpus);
		if (pthread_setaffinity_np(threads[i], sizeof(cpus), &cpus))
			give_up("a CPU for it");
	}
	for (i = 0; i < ROUNDS; i++) {
		fd = ioctl(kvm, KVM_CREATE_VM, 0);
		if (fd < 0)
			give_up("KVM_CREATE_VM");
		close(fd);
		if (i % 100 == 0)
			note("round %d", i);
	}
	quit = true;
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ok(true, "a branch patched %d times while both CPUs go through it", 2 * ROUNDS);
	return tap_end();
}
